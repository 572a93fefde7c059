#!/usr/bin/env python3
"""The golden files: what transformers and PEFT answer in float32, for the tests to compare dynlora with.

    make_golden.py MODELS DEMO_ADAPTERS [MODEL ...]

MODELS is a scratch folder that models and synthetic adapters are made in, DEMO_ADAPTERS holds sql, shout and pirate, MODEL is
smollm2, a name from make_tiny.py, or blends, which is tiny with several adapters at once (all of them). Writes MODEL.json beside
this script; README.md tells its fields. PEFT itself reads every adapter folder; a tensor that it or transformers would leave out or
miss ends the run.
"""
import hashlib
import json
import os
import sys
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"
import jinja2
import numpy as np
import peft
import tokenizers
import torch
import transformers

import make_base
import make_tiny

HERE = os.path.dirname(os.path.abspath(__file__))
SMOL = "smollm2"
DEMO = ["sql", "shout", "pirate"]
N_GREEDY, N_TOP, N_ANSWER = 16, 5, 32
TINY_LENGTHS = [1, 2, 7, 33, 100]
BLENDS = "blends"  # of tiny; ranks, scales, element types and adapted modules differ
BLENDED = [
    {"all": 0.7, "rank64": 0.3},
    {"rank64": 0.3, "all": 0.7},
    {"all": 1, "rslora": -0.5},
    {"rank13": 0.5, "layers": 2},
    {"all": 0.25, "rank1": 1.5, "rank13": -0.75, "rslora": 0.5},
    {"all": 0.6},
]
QUESTIONS = ["What is the capital of France?", "Count books by author."]
TEXTS = {
    "short": "Once upon a time",
    "long": (
        "The lighthouse at the end of the bay was built in 1874, after three ships had been lost on the rocks in a single winter. "
        "Its keeper, a quiet man called Tomás Ødegård, wrote down the weather every evening at six o'clock: \"Wind north-west, "
        "force 7; rain; visibility 0.5 miles.\" He did so for thirty-one years and missed only four days. When the lamp was "
        "replaced by an electric one, nobody needed a keeper any longer, but he stayed on, because he had nowhere else to go.\n\n"
        "His notebooks were found in 1962:\n  - 11,000 entries;\n  - 26 drawings of birds;\n  - a recipe for fish soup.\n"
        "Today they are kept in the town's small museum, where visitors may read them in the afternoon. The page that most people "
        "ask for is the last one. It says"
    ),
}


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def load(model_dir, adapter_dir):
    """The base in float32, with the adapter as PEFT understands its folder."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        model_dir, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not any(info.values()), f"{model_dir}: {info}"
    if adapter_dir:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", ".*keys did not match any targeted module.*")
            model = peft.PeftModel.from_pretrained(model, adapter_dir)
        with open(os.path.join(adapter_dir, "adapter_config.json"), encoding="utf-8") as f:
            strange = set(json.load(f)) ^ set(peft.LoraConfig().to_dict())
        assert not strange, f"{adapter_dir}: fields differ from PEFT's own: {strange}"
        expected = len(peft.get_peft_model_state_dict(model, save_embedding_layers=False))
        with open(os.path.join(adapter_dir, "adapter_model.safetensors"), "rb") as f:
            found = len(json.loads(f.read(int.from_bytes(f.read(8), "little")))) - 1
        assert found == expected, f"{adapter_dir}: PEFT made {expected} tensors, the file holds {found}"
    return model.eval()


def top(logits):
    best = torch.topk(torch.log_softmax(logits, -1), N_TOP)
    return [[i, round(p, 4)] for i, p in zip(best.indices.tolist(), best.values.tolist())]


def greedy(model, prompt, n_tokens, stop=None):
    """The prompt's logits, the greedy tokens, and the logits that chose each; those that chose `stop` are the last, without it."""
    out = model(input_ids=torch.tensor([prompt]), use_cache=True)
    prompt_logits, ids, rows = out.logits[0], [], []
    for _ in range(n_tokens):
        row = out.logits[0, -1]
        token = int(row.argmax())
        rows.append(row)
        if token == stop:
            break
        ids.append(token)
        out = model(input_ids=torch.tensor([[token]]), past_key_values=out.past_key_values, use_cache=True)
    return prompt_logits, ids, rows


def logprob(row, token):
    return round(float(torch.log_softmax(row, -1)[token]), 5)


def margin(row):
    best = torch.topk(row, 2).values
    return round(float(best[0] - best[1]), 4)


def run_case(model, name, adapter, prompt, source):
    logits, ids, rows = greedy(model, prompt, N_GREEDY)
    return {
        "name": name, "adapter": adapter, **source, "prompt": prompt,
        "prompt_logprobs": [None] + [logprob(logits[i], t) for i, t in enumerate(prompt[1:])],
        "prompt_top": [None] + [top(logits[i]) for i in range(len(prompt) - 1)],
        "greedy": ids, "greedy_logprobs": [logprob(r, t) for r, t in zip(rows, ids)],
        "greedy_top": [top(r) for r in rows], "margins": [margin(r) for r in rows],
    }


class Text:
    """A folder's own tokenizer and chat template, run by tokenizers and jinja2 alone."""

    def __init__(self, model_dir):
        self.tokenizer = tokenizers.Tokenizer.from_file(os.path.join(model_dir, "tokenizer.json"))
        with open(os.path.join(model_dir, "tokenizer_config.json"), encoding="utf-8") as f:
            self.template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(json.load(f)["chat_template"])

    def chat(self, question):
        text = self.template.render(messages=[{"role": "user", "content": question}], add_generation_prompt=True)
        return self.encode(text)

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def answer(self, model, question):
        _, ids, rows = greedy(model, self.chat(question), N_ANSWER, stop=2)
        return {"ids": ids, "text": self.tokenizer.decode(ids), "min_margin": min(map(margin, rows))}

    def sample(self, model, adapter, question, told):
        """One line of an adapter's samples.json, which was made elsewhere, answered again."""
        sample = {"adapter": adapter, "question": question, "prompt": self.chat(question), **self.answer(model, question)}
        if sample["text"] != told:
            print(f"note: {adapter}: {question}: {sample['text']!r}, but samples.json has {told!r}, least margin {sample['min_margin']}")
        return sample


def smol_prompts(text, questions):
    prompts = [(f"chat: {q}", text.chat(q), {"question": q}) for q in questions]
    return prompts + [(name, text.encode(t), {"text": t}) for name, t in TEXTS.items()]


def tiny_prompts(model_name, vocab_size):
    for n in TINY_LENGTHS:
        bits = hashlib.shake_256(f"{model_name} {n}".encode()).digest(2 * n)
        yield f"{n} ids", [int(i) % vocab_size for i in np.frombuffer(bits, "<u2")], {}


def golden_smol(model_dir, adapter_dirs):
    text, base, cases, samples, plain = Text(model_dir), load(model_dir, None), [], [], {}
    for adapter, directory in adapter_dirs.items():
        model, questions = load(model_dir, directory) if directory else base, QUESTIONS
        if adapter in DEMO:
            with open(os.path.join(directory, "samples.json"), encoding="utf-8") as f:
                told = json.load(f)
            questions = [t["prompt"] for t in told]
            samples += [text.sample(model, adapter, t["prompt"], t["adapter"]) for t in told]
            plain.update({t["prompt"]: text.sample(base, None, t["prompt"], t["base"]) for t in told if t["prompt"] not in plain})
        for name, prompt, source in smol_prompts(text, questions):
            cases.append(run_case(model, name, adapter, prompt, source))
    return cases, [*plain.values(), *samples]


def golden_tiny(name, model_dir, adapter_dirs):
    cases = []
    for adapter, directory in adapter_dirs.items():
        model = load(model_dir, directory)
        for case, prompt, source in tiny_prompts(name, model.config.vocab_size):
            cases.append(run_case(model, case, adapter, prompt, source))
    return cases, []


def blend(model, model_dir, models, weights):
    """The adapters as one, as PEFT adds them up; it must be the sum of their deltas."""
    name = "+".join(f"{a}*{w}" for a, w in weights.items())
    for a in weights:
        directory = os.path.join(models, "adapters", f"tiny.{a}")
        if isinstance(model, peft.PeftModel):
            model.load_adapter(directory, a)
        else:
            model = peft.PeftModel.from_pretrained(model, directory, a)
    model.add_weighted_adapter([*weights], [*weights.values()], "sum", combination_type="cat")
    model.set_adapter("sum")
    for module in model.modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            parts = [w * module.get_delta_weight(a) for a, w in weights.items() if a in module.lora_A]
            assert torch.allclose(module.get_delta_weight("sum"), sum(parts), rtol=1e-4, atol=1e-6), f"{name}: not the sum of its parts"
    return name, model.eval()


def golden_blends(model_dir, models):
    cases = []
    for weights in BLENDED:
        name, model = blend(load(model_dir, None), model_dir, models, weights)
        for case, prompt, source in tiny_prompts("tiny", model.config.vocab_size):
            case = run_case(model, case, name, prompt, source)
            cases.append({**case, "adapter": [{"name": a, "weight": w} for a, w in weights.items()]})
    return cases, []


def write(path, head, **lists):
    """JSON with one line for each item of a list, so that a change of one shows as one."""
    def lines(items):
        return ",\n".join(json.dumps(i, separators=(",", ":"), ensure_ascii=False) for i in items)
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.write(json.dumps(head, indent=1)[:-2] + "".join(f',\n "{k}": [\n{lines(v)}\n ]' for k, v in lists.items()) + "\n}\n")


def versions():
    return {m.__name__: m.__version__ for m in (torch, transformers, peft, tokenizers, jinja2)}


def summarise(name, cases):
    """How far each adapter is from the base, and how many greedy steps are too close to call."""
    base = {c["name"]: c for c in cases if c["adapter"] is None}
    for adapter in dict.fromkeys(c["adapter"] for c in cases):
        mine = [c for c in cases if c["adapter"] == adapter]
        pairs = [(a, b) for c in mine if c["name"] in base for a, b in zip(c["prompt_logprobs"][1:], base[c["name"]]["prompt_logprobs"][1:])]
        lp, gap = np.array([p for p, _ in pairs]), np.array([abs(a - b) for a, b in pairs])
        margins = np.array([m for c in mine for m in c["margins"]])
        print(f"{name:13} {adapter or 'base':24} logprob mean {lp.mean():6.2f}  from base mean {gap.mean():5.2f} max {gap.max():5.2f}"
              f"  margin < 0.05: {(margins < 0.05).sum():2d} of {margins.size}", flush=True)


def golden(name, models, demo):
    model_name = {SMOL: "SmolLM2-135M-Instruct", BLENDS: "tiny"}.get(name, name)
    model_dir = os.path.join(models, model_name)
    if name != SMOL:
        make_tiny.make(model_dir, model_name)
    elif not os.path.exists(os.path.join(model_dir, "config.json")):
        make_base.make(model_dir)
    adapter_dirs = {None: None}
    if name == SMOL:
        adapter_dirs.update({a: os.path.join(demo, a) for a in DEMO})
    for adapter in make_tiny.adapters_of("tiny" if name == BLENDS else name):
        adapter_dirs[adapter] = os.path.join(models, "adapters", adapter)
        make_tiny.make(adapter_dirs[adapter], adapter)
    head = {
        "model": os.path.basename(model_dir),
        "versions": versions(),
        "model_sha256": {f: sha256(os.path.join(model_dir, f)) for f in sorted(os.listdir(model_dir)) if f.endswith(".safetensors")},
        "adapter_sha256": {a: {f: sha256(os.path.join(d, f)) for f in ("adapter_config.json", "adapter_model.safetensors")}
                           for a, d in adapter_dirs.items() if a},
    }
    if name == BLENDS:
        cases, samples = golden_blends(model_dir, models)
    else:
        cases, samples = golden_smol(model_dir, adapter_dirs) if name == SMOL else golden_tiny(name, model_dir, adapter_dirs)
    write(os.path.join(HERE, f"{name}.json"), head, samples=samples, cases=cases)
    if name != BLENDS:
        summarise(name, cases)


def main():
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    torch.set_grad_enabled(False)
    transformers.utils.logging.disable_progress_bar()
    for name in sys.argv[3:] or [*make_tiny.VARIANTS, SMOL, BLENDS]:
        golden(name, sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
