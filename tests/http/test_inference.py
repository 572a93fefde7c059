"""The fields of completions and chat do what their names promise; the oracle is the request without the field."""
import json
import math

import pytest

PROMPT = [40, 50, 60, 70, 80, 90]
WORDS = "the rain in the night and the other one"


def ids_of(reply, i=0):
    return reply["choices"][i]["token_ids"]


def complete(server, prompt=PROMPT, **fields):
    return server.complete(prompt, **{"max_tokens": 12, "return_token_ids": True, "ignore_eos": True, **fields})


# Prompts


def test_a_prompt_may_be_text_or_ids(tiny):
    ids = tiny.ok("/tokenize", {"prompt": WORDS})["tokens"]
    by_text, by_ids = complete(tiny, WORDS), complete(tiny, ids)
    assert by_text["choices"][0]["prompt_token_ids"] == ids == by_ids["choices"][0]["prompt_token_ids"]
    assert ids_of(by_text) == ids_of(by_ids) and by_text["choices"][0]["text"] == by_ids["choices"][0]["text"]


def test_several_prompts_are_answered_in_order(tiny):
    prompts = [[5, 6], [7], [8, 9, 10]]
    together = complete(tiny, prompts, n=2, temperature=1, seed=3)
    assert [c["index"] for c in together["choices"]] == list(range(6))
    for i, prompt in enumerate(prompts):
        alone = complete(tiny, prompt, n=2, temperature=1, seed=3)
        assert [ids_of(alone, k) for k in range(2)] == [ids_of(together, 2 * i + k) for k in range(2)]
    assert together["usage"]["prompt_tokens"] == 6 and together["usage"]["completion_tokens"] == 6 * 12
    texts = tiny.complete(["ab", "cd"], max_tokens=3, return_token_ids=True)
    assert [c["prompt_token_ids"] for c in texts["choices"]] == [tiny.ok("/tokenize", {"prompt": p})["tokens"] for p in ("ab", "cd")]


def test_messages_go_through_the_template(tiny):
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "hello"}]}]
    told = tiny.ok("/tokenize", {"messages": messages})["tokens"]
    answer = tiny.ok("/v1/chat/completions", {"messages": messages, "max_tokens": 2, "return_token_ids": True})
    prompt = answer.get("prompt_token_ids") or answer["choices"][0]["prompt_token_ids"]
    text = "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert prompt == told == tiny.ok("/tokenize", {"prompt": text})["tokens"]
    without = tiny.ok("/tokenize", {"messages": messages, "add_generation_prompt": False})["tokens"]
    assert without == told[:len(without)] and len(without) < len(told)


def test_echo_puts_the_prompt_before_the_answer(tiny):
    plain, echoed = complete(tiny, WORDS), complete(tiny, WORDS, echo=True, logprobs=0)
    assert echoed["choices"][0]["text"] == WORDS + plain["choices"][0]["text"]
    probs = echoed["choices"][0]["logprobs"]
    n_prompt = echoed["usage"]["prompt_tokens"]
    assert len(probs["tokens"]) == n_prompt + 12 and probs["token_logprobs"][0] is None
    assert probs["text_offset"][0] == 0 and probs["text_offset"][n_prompt] == len(WORDS)
    scored = complete(tiny, WORDS, echo=True, logprobs=0, max_tokens=0)
    assert scored["choices"][0]["text"] == WORDS and scored["usage"]["completion_tokens"] == 0
    assert scored["choices"][0]["logprobs"]["token_logprobs"] == probs["token_logprobs"][:n_prompt]


# Lengths


def test_max_tokens_ends_it(tiny):
    for n in (1, 2, 7):
        answer = complete(tiny, max_tokens=n)
        assert len(ids_of(answer)) == n == answer["usage"]["completion_tokens"]
        assert answer["choices"][0]["finish_reason"] == "length"
    assert len(ids_of(tiny.complete(PROMPT, return_token_ids=True, ignore_eos=True))) == 16  # OpenAI's default
    assert len(ids_of(complete(tiny, max_tokens=None, max_completion_tokens=5))) == 5


def test_an_answer_may_fill_the_context_and_not_more(tiny):
    assert len(ids_of(complete(tiny, max_tokens=250))) == 250
    reply = tiny.post("/v1/completions", {"prompt": PROMPT, "max_tokens": 251})
    assert (reply.status, reply.error["param"], reply.error["code"]) == (400, "max_tokens", "context_length_exceeded")
    reply = tiny.post("/v1/completions", {"prompt": [5] * 257, "max_tokens": 1})
    assert (reply.status, reply.error["param"]) == (400, "prompt")
    chat = tiny.chat("a", ignore_eos=True)
    assert chat["usage"]["total_tokens"] == 256 and chat["choices"][0]["finish_reason"] == "length"


def test_the_end_of_text_ends_it_unless_ignored(tiny):
    ids = ids_of(complete(tiny, max_tokens=20))
    k = next(k for k in range(3, 12) if ids[k] not in ids[:k])
    stopped = complete(tiny, max_tokens=20, stop_token_ids=[ids[k]])
    assert ids_of(stopped) == ids[:k + 1] and stopped["choices"][0]["finish_reason"] == "stop"
    assert stopped["choices"][0]["stop_reason"] == ids[k]
    biased = tiny.complete(PROMPT, max_tokens=20, return_token_ids=True, logit_bias={"2": 100})  # 2 is the end of text
    assert ids_of(biased) in ([], [2]) and biased["choices"][0]["finish_reason"] == "stop" and biased["choices"][0]["text"] == ""
    assert len(ids_of(complete(tiny, max_tokens=20, logit_bias={"2": 100}))) == 20


def test_min_tokens_bars_the_end(tiny):
    answer = tiny.complete(PROMPT, max_tokens=20, min_tokens=7, return_token_ids=True, logit_bias={"2": 100})
    assert answer["usage"]["completion_tokens"] in (7, 8) and answer["choices"][0]["finish_reason"] == "stop"
    assert 2 not in ids_of(answer)[:7]


def test_stop_strings_cut_the_text(tiny):
    text = complete(tiny, max_tokens=60)["choices"][0]["text"]
    stop = text[20:24]
    cut = complete(tiny, max_tokens=60, stop=stop)["choices"][0]
    assert cut["text"] == text[:text.index(stop)] and cut["finish_reason"] == "stop" and cut["stop_reason"] == stop
    kept = complete(tiny, max_tokens=60, stop=["\x01never", stop], include_stop_str_in_output=True)["choices"][0]
    assert kept["text"] == text[:text.index(stop) + 4]
    stream = tiny.stream("/v1/completions", {"prompt": PROMPT, "temperature": 0, "max_tokens": 60, "ignore_eos": True, "stop": [stop]})
    assert "".join(c["choices"][0]["text"] for c in stream.chunks()) == cut["text"]


# Sampling


def test_zero_temperature_is_greedy(tiny):
    answer = complete(tiny, logprobs=1)
    probs = answer["choices"][0]["logprobs"]
    assert all(max(top.values()) == lp for top, lp in zip(probs["top_logprobs"], probs["token_logprobs"]))
    for same in ({"temperature": 1, "top_k": 1}, {"temperature": 1, "top_p": 1e-9}, {"temperature": 1, "min_p": 1.0}, {"seed": 9}):
        assert ids_of(complete(tiny, **same)) == ids_of(answer), same


def test_a_seed_gives_the_same_answer_again(tiny):
    again = [ids_of(complete(tiny, temperature=1.3, seed=s)) for s in (1, 1, 2, 2**60, -5)]
    assert again[0] == again[1] and len({tuple(a) for a in again}) == 4
    unseeded = {tuple(ids_of(complete(tiny, temperature=1.3))) for _ in range(3)}
    assert len(unseeded) == 3


def test_n_answers_differ_and_the_first_is_the_single_one(tiny):
    three = complete(tiny, temperature=1.3, seed=4, n=3)
    assert len({tuple(ids_of(three, i)) for i in range(3)}) == 3
    assert ids_of(three) == ids_of(complete(tiny, temperature=1.3, seed=4))
    assert [bool(c.get("prompt_token_ids")) for c in three["choices"]] == [True, False, False]


def test_sampling_follows_the_probabilities(tiny):
    """400 draws of one token against the probabilities that the model itself reports."""
    ids = {"return_tokens_as_token_ids": True}
    top = complete(tiny, max_tokens=1, logprobs=20, **ids)["choices"][0]["logprobs"]["top_logprobs"][0]
    expected = {t: math.exp(p) for t, p in top.items()}
    drawn = [complete(tiny, max_tokens=1, temperature=1, seed=s, n=100, logprobs=0, **ids)["choices"] for s in (0, 1000, 2000, 3000)]
    tokens = [c["logprobs"]["tokens"][0] for part in drawn for c in part]
    for token, p in expected.items():
        assert abs(tokens.count(token) / 400 - p) < 4 * math.sqrt(p * (1 - p) / 400) + 0.005, token


def test_top_k_top_p_and_min_p_leave_only_the_likely(tiny):
    ids = {"return_tokens_as_token_ids": True}
    probs = complete(tiny, max_tokens=1, logprobs=20, **ids)["choices"][0]["logprobs"]["top_logprobs"][0]
    order = sorted(probs, key=probs.get, reverse=True)
    p = [math.exp(probs[t]) for t in order]

    def drawn(**fields):
        answer = complete(tiny, max_tokens=1, temperature=1, seed=7, n=100, logprobs=0, **ids, **fields)
        return {c["logprobs"]["tokens"][0] for c in answer["choices"]}

    assert drawn(top_k=3) <= set(order[:3])
    assert drawn(top_p=p[0] + p[1] / 2) <= set(order[:2])
    assert drawn(min_p=p[1] / p[0] * 0.999) <= {t for t, q in zip(order, p) if q >= p[1] * 0.998}


def test_penalties_and_bias_change_what_they_name(tiny):
    ids = ids_of(complete(tiny, max_tokens=60))
    assert len(set(ids)) < 60  # it repeats itself
    for penalty in ({"repetition_penalty": 100}, {"frequency_penalty": 2}, {"presence_penalty": 2}):
        assert len(set(ids_of(complete(tiny, max_tokens=60, **penalty)))) > len(set(ids)), penalty
    assert ids_of(complete(tiny, max_tokens=3, logit_bias={"77": 100})) == [77, 77, 77]
    assert ids[0] not in ids_of(complete(tiny, max_tokens=30, logit_bias={str(ids[0]): -100}))


# What answers say


def test_logprobs_do_not_depend_on_sampling(tiny):
    greedy = complete(tiny, logprobs=5)["choices"][0]["logprobs"]
    biased = complete(tiny, logprobs=5, repetition_penalty=1.0001, logit_bias={"200": -3})["choices"][0]["logprobs"]
    assert greedy["top_logprobs"][0] == biased["top_logprobs"][0]


def test_prompt_logprobs_name_the_token_and_the_best(tiny):
    choice = complete(tiny, prompt_logprobs=3, max_tokens=1)["choices"][0]
    told = choice["prompt_logprobs"]
    assert len(told) == len(PROMPT) and told[0] is None
    for token, at in zip(PROMPT[1:], told[1:]):
        own = at[str(token)]
        assert set(own) == {"logprob", "rank", "decoded_token"} and own["rank"] >= 1 and own["logprob"] <= 0
        assert len(at) == (3 if own["rank"] <= 3 else 4)
        assert sorted(v["rank"] for v in at.values())[:3] == [1, 2, 3]
        by_rank = sorted(at.values(), key=lambda v: v["rank"])
        assert all(a["logprob"] >= b["logprob"] for a, b in zip(by_rank, by_rank[1:]))


def test_prompt_logprobs_are_the_echoed_ones(tiny):
    told = complete(tiny, prompt_logprobs=0, echo=True, logprobs=0)["choices"][0]
    assert [a[str(t)]["logprob"] for a, t in zip(told["prompt_logprobs"][1:], PROMPT[1:])] == told["logprobs"]["token_logprobs"][1:len(PROMPT)]


def test_chat_logprobs_are_those_of_completions(tiny):
    prompt = tiny.ok("/tokenize", {"messages": [{"role": "user", "content": "hi"}]})["tokens"]
    chat = tiny.chat("hi", max_tokens=6, ignore_eos=True, logprobs=True, top_logprobs=2)["choices"][0]["logprobs"]["content"]
    plain = complete(tiny, prompt, max_tokens=6, logprobs=2)["choices"][0]["logprobs"]
    assert [t["logprob"] for t in chat] == plain["token_logprobs"] and [t["token"] for t in chat] == plain["tokens"]
    assert all(len(t["top_logprobs"]) == 2 for t in chat)
    assert tiny.chat("hi", max_tokens=2)["choices"][0]["logprobs"] is None


def test_tokens_may_be_told_as_ids(tiny):
    answer = complete(tiny, logprobs=1, return_tokens_as_token_ids=True)["choices"][0]
    assert answer["logprobs"]["tokens"] == [f"token_id:{i}" for i in answer["token_ids"]]
    chat = tiny.chat("hi", max_tokens=3, logprobs=True, return_tokens_as_token_ids=True, return_token_ids=True)["choices"][0]
    assert [t["token"] for t in chat["logprobs"]["content"]] == [f"token_id:{i}" for i in chat["token_ids"]]


def test_special_tokens_are_left_out_of_the_text_unless_asked_for(tiny):
    fields = {"max_tokens": 3, "logit_bias": {"1": 100}}  # 1 is <|im_start|>
    assert complete(tiny, **fields)["choices"][0]["text"] == ""
    assert complete(tiny, skip_special_tokens=False, **fields)["choices"][0]["text"] == "<|im_start|>" * 3


def test_usage_counts(tiny):
    usage = complete(tiny, n=2)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (6, 24, 30)


def test_a_repeated_prompt_is_found_in_the_cache(tiny):
    prompt = [9 + i % 200 for i in range(150)]
    first, second = complete(tiny, prompt), complete(tiny, prompt)
    assert second["usage"]["prompt_tokens_details"]["cached_tokens"] > 100
    assert ids_of(first) == ids_of(second)
    other = complete(tiny, prompt, adapter="rank13")["usage"]["prompt_tokens_details"]["cached_tokens"]
    assert other == 0  # what an adapter computed serves that adapter alone


def test_unused_fields_change_nothing(tiny):
    assert ids_of(complete(tiny)) == ids_of(complete(tiny, user="me", metadata={"a": "b"}, store=True))


def test_nulls_are_as_if_not_there(tiny):
    nulls = {k: None for k in ("top_p", "stop", "seed", "logit_bias", "logprobs", "stream", "n", "stream_options", "top_k", "echo")}
    assert ids_of(complete(tiny)) == ids_of(complete(tiny, **nulls))


# Streams


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_a_stream_is_the_whole_answer_in_pieces(tiny, path):
    asked = {"prompt": PROMPT, "logprobs": 2} if path == "/v1/completions" else {
        "messages": [{"role": "user", "content": "hi"}], "logprobs": True, "top_logprobs": 2}
    body = {**asked, "temperature": 1, "seed": 11, "n": 3, "max_tokens": 30, "ignore_eos": True, "return_token_ids": True}
    whole = tiny.ok(path, body)
    stream = tiny.stream(path, {**body, "stream_options": {"include_usage": True}})
    assert stream.status == 200 and stream.headers["content-type"].startswith("text/event-stream")
    text, ids, probs, finish, usage = [""] * 3, [[], [], []], [[], [], []], [None] * 3, None
    for chunk in stream.chunks():
        assert chunk["id"] and chunk["object"] == whole["object"] + (".chunk" if "chat" in path else "")
        assert chunk["system_fingerprint"] == whole["system_fingerprint"]
        usage = chunk["usage"] or usage
        for c in chunk["choices"]:
            i = c["index"]
            assert finish[i] is None
            finish[i] = c["finish_reason"]
            text[i] += (c["delta"].get("content") or "") if "chat" in path else c["text"]
            ids[i] += c.get("token_ids") or []
            if c["logprobs"]:
                probs[i] += c["logprobs"]["content"] if "chat" in path else c["logprobs"]["token_logprobs"]
    for i, c in enumerate(whole["choices"]):
        assert text[i] == (c["message"]["content"] if "chat" in path else c["text"])
        assert ids[i] == c["token_ids"] and finish[i] == c["finish_reason"] == "length"
        assert probs[i] == (c["logprobs"]["content"] if "chat" in path else c["logprobs"]["token_logprobs"])
    assert {k: usage[k] for k in ("prompt_tokens", "completion_tokens")} == {k: whole["usage"][k] for k in ("prompt_tokens", "completion_tokens")}


def test_a_stream_never_cuts_a_character(smollm2):
    body = {"prompt": "Repeat: \U0001F600\U0001F44D\U0001F3FD 你好 \U0001F600\U0001F44D\U0001F3FD 你好 \U0001F600", "temperature": 0, "max_tokens": 24}
    whole = smollm2.ok("/v1/completions", body)["choices"][0]["text"]
    stream = smollm2.stream("/v1/completions", body)
    pieces = [c["choices"][0]["text"] for c in stream.chunks()]
    assert "".join(pieces) == whole
    if "\ufffd" not in whole:
        assert not any("\ufffd" in p for p in pieces)


def test_events_are_single_lines_of_json(tiny):
    stream = tiny.stream("/v1/completions", {"prompt": PROMPT, "max_tokens": 40, "temperature": 2, "seed": 1})
    raw = stream.reply.read().decode()
    events = raw.split("\n\n")
    assert events[-1] == "" and events[-2] == "data: [DONE]"
    for e in events[:-2]:
        assert e.startswith("data: ") and "\n" not in e
        json.loads(e[6:])
