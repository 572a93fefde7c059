"""What comes over HTTP is what transformers and PEFT answer; golden_check holds the engine itself against all of the cases."""
import pytest

SURE = 0.05


def check(server, case, tolerance=0.02, **fields):
    choice = server.complete(case["prompt"], adapter=case["adapter"], max_tokens=len(case["greedy"]), ignore_eos=True, prompt_logprobs=5,
                             logprobs=0, return_token_ids=True, **fields)["choices"][0]
    for i, token in enumerate(case["prompt"]):
        told = choice["prompt_logprobs"][i]
        if i == 0:
            assert told is None
            continue
        assert abs(told[str(token)]["logprob"] - case["prompt_logprobs"][i]) <= tolerance
        for best, logprob in case["prompt_top"][i]:
            if str(best) in told:
                assert abs(told[str(best)]["logprob"] - logprob) <= tolerance
    for i, token in enumerate(case["greedy"]):
        if choice["token_ids"][i] != token:
            assert case["margins"][i] <= SURE, f"token {i}: expected {token}, found {choice['token_ids'][i]}"
            break
        assert abs(choice["logprobs"]["token_logprobs"][i] - case["greedy_logprobs"][i]) <= tolerance


def some(cases, names, per_adapter=2):
    """The shortest and the longest prompt of each of these adapters."""
    for name in names:
        mine = sorted((c for c in cases if c["adapter"] == name), key=lambda c: len(c["prompt"]))
        assert mine, name
        yield from mine[:: max(1, len(mine) - 1)][:per_adapter]


@pytest.mark.parametrize("adapter", [None, "all", "rslora", "patterns", "layers", "regex", "rank1", "rank13", "rank64"])
def test_tiny(tiny, golden, adapter):
    cases = [{**c, "adapter": c["adapter"] and c["adapter"].removeprefix("tiny.")} for c in golden("tiny")["cases"]]
    for case in some(cases, [adapter], 5):
        check(tiny, case)


@pytest.mark.parametrize("adapter", [None, "sql", "shout", "pirate", "smollm2.all", "smollm2.rslora", "smollm2.patterns",
                                     "smollm2.regex", "smollm2.rank1", "smollm2.rank64"])
def test_smollm2(smollm2, golden, adapter):
    for case in some(golden("smollm2")["cases"], [adapter]):
        check(smollm2, case)


@pytest.mark.parametrize("adapter", [None, "sql", "smollm2.rslora"])
def test_smollm2_from_gguf(smollm2_gguf, golden, adapter):
    for case in some(golden("smollm2")["cases"], [adapter]):
        check(smollm2_gguf, case)


@pytest.mark.parametrize("adapter", [None, "sql"])
def test_smollm2_from_gguf_as_it_lies(smollm2_native, golden, adapter):
    """Activations are rounded to 8 bits then: single log-probabilities move, all of them together hardly."""
    off = []
    for case in some(golden("smollm2")["cases"], [adapter]):
        told = smollm2_native.complete(case["prompt"], adapter=adapter, max_tokens=0, prompt_logprobs=0)["choices"][0]["prompt_logprobs"]
        off += [abs(told[i][str(t)]["logprob"] - case["prompt_logprobs"][i]) for i, t in enumerate(case["prompt"]) if i]
    assert sum(off) / len(off) < 0.25
    assert smollm2_native.metric("dynlora_weight_bytes") < 100 << 20


@pytest.mark.smollm2
@pytest.mark.parametrize("server", ["smollm2", "smollm2_gguf"])
def test_the_demo_adapters_answer_as_they_were_trained_to(request, golden, server):
    server = request.getfixturevalue(server)
    for sample in golden("smollm2")["samples"]:
        if sample["min_margin"] < SURE:
            continue
        choice = server.chat(sample["question"], adapter=sample["adapter"], max_tokens=32, return_token_ids=True)["choices"][0]
        assert choice["message"]["content"] == sample["text"], (sample["adapter"], sample["question"])
