#!/usr/bin/env python3
"""The golden files of merged weights: what a model answers whose matrices an adapter was added to, rounded as they are stored.

    make_merged.py MODELS DEMO_ADAPTERS [MODEL ...]

As make_golden.py, after it: the cases of MODEL.json that have an adapter, answered by merged weights (all computing is in
float32, only the weights are rounded). Writes merged-MODEL.json beside this script; README.md tells its fields.
"""
import json
import os
import sys
import warnings

import torch
import transformers
import peft

import make_golden
import make_tiny

HERE = os.path.dirname(os.path.abspath(__file__))
# Stored in bf16 with every adapter, f32, f16, biases, odd widths; and the real one.
MODELS = ["tiny", "tiny-untied", "tiny-headdim", "tiny-bias", "tiny-odd", make_golden.SMOL]


def stored_dtype(model_dir):
    with open(os.path.join(model_dir, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    return getattr(torch, config.get("dtype") or config["torch_dtype"])


def stored(model_dir):
    """The base with its matrices in the type that the file holds."""
    model = make_golden.load(model_dir, None)
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data = module.weight.data.to(stored_dtype(model_dir))
    return model


def merged_once(model_dir, adapter_dir):
    """W' = round(W + s B A), the sum in float64, rounded once to the type that the file holds."""
    model = make_golden.load(model_dir, adapter_dir)
    for module in model.modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            a, b = (m["default"].weight.double() for m in (module.lora_A, module.lora_B))
            weight = module.get_base_layer().weight
            weight.data = (weight.double() + module.scaling["default"] * (b @ a)).float().to(stored_dtype(model_dir)).float()
    return model.unload().eval()


def merged_by_peft(model_dir, adapter_dir):
    """merge_and_unload on the model as it is stored."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*keys did not match any targeted module.*")
        return peft.PeftModel.from_pretrained(stored(model_dir), adapter_dir).merge_and_unload().float().eval()


def answer(once, by_peft, case):
    logits, ids, rows = make_golden.greedy(once, case["prompt"], make_golden.N_GREEDY)
    peft_logits = by_peft(input_ids=torch.tensor([case["prompt"]])).logits[0]
    rest = list(enumerate(case["prompt"][1:]))
    return {
        "name": case["name"], "adapter": case["adapter"], "prompt": case["prompt"],
        "prompt_logprobs": [None] + [make_golden.logprob(logits[i], t) for i, t in rest],
        "peft_logprobs": [None] + [make_golden.logprob(peft_logits[i], t) for i, t in rest],
        "greedy": ids, "greedy_logprobs": [make_golden.logprob(r, t) for r, t in zip(rows, ids)],
        "margins": [make_golden.margin(r) for r in rows],
    }


def apart(cases, key, other):
    """The largest and the mean distance of two lists of log-probabilities."""
    gaps = [abs(a - b) for c in cases for a, b in zip(c[key][1:], other(c)[1:])]
    return f"{max(gaps):.5f} (mean {sum(gaps) / len(gaps):.5f})"


def merged(name, models, demo):
    with open(os.path.join(HERE, f"{name}.json"), encoding="utf-8") as f:
        golden = json.load(f)
    model_dir, cases = os.path.join(models, golden["model"]), []
    per_row = {(c["adapter"], c["name"]): c for c in golden["cases"]}
    for adapter in golden["adapter_sha256"]:
        folder = os.path.join(demo if adapter in make_golden.DEMO else os.path.join(models, "adapters"), adapter)
        once, by_peft = merged_once(model_dir, folder), merged_by_peft(model_dir, folder)
        mine = [answer(once, by_peft, c) for c in golden["cases"] if c["adapter"] == adapter]
        told = apart(mine, "prompt_logprobs", lambda c: c["peft_logprobs"])
        rounding = apart(mine, "prompt_logprobs", lambda c: per_row[c["adapter"], c["name"]]["prompt_logprobs"])
        print(f"{name:13} {adapter:24} from merge_and_unload {told}  from the adapter per row {rounding}", flush=True)
        cases += mine
    head = {k: golden[k] for k in ("model", "model_sha256", "adapter_sha256")}
    head["versions"] = make_golden.versions()
    make_golden.write(os.path.join(HERE, f"merged-{name}.json"), head, cases=cases)


def main():
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    torch.set_grad_enabled(False)
    transformers.utils.logging.disable_progress_bar()
    for name in sys.argv[3:] or MODELS:
        merged(name, sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
