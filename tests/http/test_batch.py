"""Same answer alone and in a crowd: 32 requests to eight adapters and the base, of mixed lengths and ways to sample, streamed
or not, arriving at random times, each bit for bit what it is alone."""
import random
import threading
import time

import pytest

from server import at_once

ADAPTERS = [None, "all", "rslora", "patterns", "layers", "regex", "rank1", "rank13", "rank64"]
SMOL = [None, "sql", "shout", "pirate", "smollm2.all", "smollm2.rslora", "smollm2.patterns", "smollm2.regex", "smollm2.rank64"]


def make_requests(adapters, longest_prompt, longest_answer, vocab, n=32):
    """Half of the prompts begin alike, so that prefixes are found again."""
    draw = random.Random(5)
    common = [draw.randrange(3, vocab) for _ in range(longest_prompt // 2)]
    for i in range(n):
        own = [draw.randrange(3, vocab) for _ in range(draw.randint(1, longest_prompt - len(common)))]
        body = {"prompt": common + own if i % 2 else own, "adapter": adapters[i % len(adapters)], "max_tokens": draw.randint(1, longest_answer),
                "logprobs": draw.randint(0, 5), "return_token_ids": True, "seed": i, "temperature": draw.choice([0, 0.7, 1.2]),
                "ignore_eos": bool(i % 3)}
        if i % 5 == 0:
            body.update(top_p=0.9, repetition_penalty=1.1)
        if i % 7 == 0:
            body.update(n=2, frequency_penalty=0.5)
        if i % 4 == 0:
            body.update(prompt_logprobs=2)
        yield body


def exact(choice):
    """What must be the same bits; JSON shows floats with all their digits."""
    return {k: choice[k] for k in ("token_ids", "logprobs", "text", "finish_reason")} | {"prompt_logprobs": choice.get("prompt_logprobs")}


def ask(server, body):
    return [exact(c) for c in server.ok("/v1/completions", body)["choices"]]


def ask_streamed(server, body):
    found = [{"token_ids": [], "text": "", "finish_reason": None, "prompt_logprobs": None,
              "logprobs": {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}} for _ in range(body.get("n", 1))]
    stream = server.stream("/v1/completions", body)
    assert stream.status == 200
    for chunk in stream.chunks():
        for c in chunk["choices"]:
            to = found[c["index"]]
            to["token_ids"] += c.get("token_ids") or []
            to["text"] += c["text"]
            to["finish_reason"] = c["finish_reason"] or to["finish_reason"]
            for k in to["logprobs"]:
                to["logprobs"][k] += c["logprobs"][k] if c["logprobs"] else []
    stream.close()
    return found


def in_a_crowd(server, requests, seconds):
    draw = random.Random(6)

    def one(body):
        delay, streamed = draw.random() * seconds, "prompt_logprobs" not in body and draw.random() < 0.5
        def run():
            time.sleep(delay)
            return ask_streamed(server, body) if streamed else ask(server, body)
        return run
    return at_once(*(one(body) for body in requests))


def compare(alone, crowd, requests):
    different = [i for i, (a, b) in enumerate(zip(alone, crowd)) if a != b]
    assert not different, "\n".join(f"{requests[i]}\nalone {alone[i]}\ncrowd {crowd[i]}" for i in different[:2])


@pytest.fixture(scope="module")
def tiny_requests():
    return list(make_requests(ADAPTERS, 90, 60, 290))


@pytest.fixture(scope="module")
def tiny_alone(start, tiny_model, tiny_store, tiny_requests):
    """One at a time, one row, one thread, nothing kept."""
    with start("--model", tiny_model, "--adapters", tiny_store, "--kv-memory", "16M", "--max-rows", 2, "--step-tokens", 16, "--threads", 1,
               "--prefix-cache", "off") as server:
        return [ask(server, body) for body in tiny_requests]


def page_bytes(start, model):
    with start("--model", model, "--kv-memory", "16M") as server:
        return int(server.metric("dynlora_kv_bytes") / server.metric("dynlora_kv_pages"))


@pytest.mark.parametrize("prefix", ["off", "on"])
def test_together(start, tiny_model, tiny_store, tiny_requests, tiny_alone, prefix):
    with start("--model", tiny_model, "--adapters", tiny_store, "--kv-memory", "16M", "--prefix-cache", prefix) as server:
        compare(tiny_alone, in_a_crowd(server, tiny_requests, 0.3), tiny_requests)
        assert server.metric("dynlora_steps_mixed_total") > 0
        assert (server.metric("dynlora_cached_tokens_total") > 0) == (prefix == "on")
        compare(tiny_alone, in_a_crowd(server, tiny_requests, 0), tiny_requests)
        assert server.stop() == 0


@pytest.mark.parametrize("prefix", ["off", "on"])
def test_together_with_too_little_memory(start, tiny_model, tiny_store, tiny_requests, tiny_alone, prefix):
    budget = 16 * page_bytes(start, tiny_model)
    with start("--model", tiny_model, "--adapters", tiny_store, "--kv-memory", budget, "--prefix-cache", prefix,
               "--step-tokens", 40) as server:
        for _ in range(3):
            compare(tiny_alone, in_a_crowd(server, tiny_requests, 0), tiny_requests)
        assert server.metric("dynlora_preemptions_total") > 0
        assert server.stop() == 0


def test_a_mixed_batch_shares_its_steps(tiny):
    """Eight adapters at once take fewer steps than one after the other."""
    bodies = [{"prompt": [5, 6, 7], "adapter": a, "max_tokens": 200, "ignore_eos": True} for a in ADAPTERS[1:]]
    before = tiny.metric("dynlora_steps_total")
    together = threading.Barrier(len(bodies))

    def run(body):
        together.wait()
        return tiny.ok("/v1/completions", body)
    at_once(*(lambda b=b: run(b) for b in bodies))
    assert tiny.metric("dynlora_steps_total") - before < 8 * 200 * 0.6


@pytest.fixture(scope="module")
def smollm2_requests():
    return list(make_requests(SMOL, 40, 48, 49000))


@pytest.fixture(scope="module")
def smollm2_alone(smollm2, smollm2_requests):
    return [ask(smollm2, body) for body in smollm2_requests]


@pytest.mark.slow
@pytest.mark.parametrize("pages", [500, 8])
def test_smollm2_together(start, models, smollm2_store, smollm2_requests, smollm2_alone, pages):
    model = f"{models}/SmolLM2-135M-Instruct"
    with start("--model", model, "--adapters", smollm2_store, "--kv-memory", pages * page_bytes(start, model), "--step-tokens", 48) as server:
        compare(smollm2_alone, in_a_crowd(server, smollm2_requests, 0.5), smollm2_requests)
        assert pages == 500 or server.metric("dynlora_preemptions_total") > 0
        assert server.stop() == 0
