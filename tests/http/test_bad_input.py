"""Bad bodies get the right status, name their field, and leave the server as it was."""
import json
import time

import pytest

COMPLETION = {"prompt": [5, 6, 7], "max_tokens": 2}
CHAT = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 2}
BOTH = (COMPLETION, CHAT)

# A value of the wrong type or out of range for each field that both calls know.
WRONG = {
    "model": [5, [], {}, True],
    "adapter": [5, False, {}],
    "max_tokens": ["5", 1.5, -1, 10**12, True, [1]],
    "max_completion_tokens": ["5", 1.5, -1, {}],
    "min_tokens": ["1", -1, 0.5, 3],
    "temperature": ["1", -0.1, 2.1, True, [], 1e308],
    "top_p": ["1", -0.1, 1.1, {}],
    "top_k": ["1", -2, 1.5, 10**12],
    "min_p": ["0", -0.1, 1.1],
    "repetition_penalty": ["1", 0, -1, 1e9],
    "frequency_penalty": ["1", -2.1, 2.1],
    "presence_penalty": ["1", -2.1, 2.1],
    "logit_bias": [5, [], "x", {"a": 1}, {"-1": 1}, {"5": 101}, {"5": "1"}, {"99999999999": 1}, {"5.0": 1}, {"": 1}],
    "seed": ["1", 1.5, 1e30, [], True],
    "stop": [5, {}, [5], [""], "", ["a", None], ["s"] * 1000, "x" * 100000],
    "stop_token_ids": [5, "5", [-1], [1.5], [10**9], ["5"], [None]],
    "ignore_eos": [1, "true", []],
    "n": ["1", 0, -1, 1.5, 1000, True],
    "stream": [1, "true", {}],
    "stream_options": [5, True, "x", []],
    "include_stop_str_in_output": [1, "true"],
    "skip_special_tokens": [1, "true"],
    "return_token_ids": [1, "true"],
    "return_tokens_as_token_ids": [0, "x"],
    "add_special_tokens": [1, "true"],
    "prompt_logprobs": ["1", -1, 1.5, 21, True],
}
WRONG_COMPLETION = {
    "prompt": [5, True, {}, [], "", [[]], ["a", 5], [5, "a"], [-1], [10**9], [5, None], [1.5], [[[5]]], None, ["a", ""]],
    "logprobs": ["1", -1, 21, True, 1.5],
    "echo": [1, "true"],
}
WRONG_CHAT = {
    "messages": [5, "a", {}, [], None, [5], [None], [{}], [{"role": "user"}], [{"content": "a"}], [{"role": 5, "content": "a"}],
                 [{"role": "user", "content": 5}], [{"role": "user", "content": [5]}], [{"role": "user", "content": {}}],
                 [{"role": "user", "content": [{"type": "text"}]}], [{"role": "user", "content": [{"type": "text", "text": 5}]}],
                 [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}],
                 [{"role": "assistant", "content": "a", "tool_calls": [{"id": "x"}]}]],
    "logprobs": [1, "true", 5],
    "top_logprobs": ["1", -1, 21, 1.5, 3],
    "add_generation_prompt": [1, "true"],
    "chat_template_kwargs": [5, [], "x"],
}
UNSUPPORTED = [
    ("/v1/chat/completions", CHAT, {"tools": [{"type": "function"}]}),
    ("/v1/chat/completions", CHAT, {"tool_choice": "required"}),
    ("/v1/chat/completions", CHAT, {"response_format": {"type": "json_object"}}),
    ("/v1/chat/completions", CHAT, {"modalities": ["audio"]}),
    ("/v1/chat/completions", CHAT, {"functions": [{"name": "f"}]}),
    ("/v1/chat/completions", CHAT, {"prompt": "a"}),
    ("/v1/completions", COMPLETION, {"messages": CHAT["messages"]}),
    ("/v1/completions", COMPLETION, {"suffix": "x"}),
    ("/v1/completions", COMPLETION, {"best_of": 3}),
    ("/v1/completions", COMPLETION, {"use_beam_search": True}),
    ("/v1/completions", COMPLETION, {"top_logprobs": 3}),
    ("/v1/completions", COMPLETION, {"guided_json": {}}),
    ("/v1/completions", COMPLETION, {"Temperature": 1}),
    ("/v1/completions", COMPLETION, {"": 1}),
    ("/v1/completions", COMPLETION, {"colour\n": "red"}),
]


def table():
    for path, body, more in (("/v1/completions", COMPLETION, WRONG_COMPLETION), ("/v1/chat/completions", CHAT, WRONG_CHAT)):
        for field, values in {**WRONG, **more}.items():
            for value in values:
                yield path, body, field, value


def test_each_field_of_the_wrong_type_or_out_of_range_is_named(tiny):
    rows, bad = list(table()), []
    assert len(rows) > 250
    for path, body, field, value in rows:
        reply = tiny.post(path, {**body, field: value})
        if reply.status != 400 or not (reply.error["param"] or "").startswith(field):
            bad.append(f"{path} {field}={json.dumps(value)[:80]}: {reply}")
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("path, body, more", UNSUPPORTED)
def test_what_is_not_supported_is_named_not_ignored(tiny, path, body, more):
    (field,) = more
    reply = tiny.post(path, {**body, **more})
    assert reply.status == 400 and (reply.error["param"] or "") == field, reply
    assert field.strip() in reply.error["message"]


@pytest.mark.parametrize("fields, param", [
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 5}}, "stream_options"),
    ({"stream": True, "stream_options": {"colour": 5}}, "stream_options"),
    ({"stream": True, "prompt_logprobs": 1}, "prompt_logprobs"),
    ({"min_tokens": 5, "max_tokens": 2}, "min_tokens"),
    ({"max_tokens": 1000}, "max_tokens"),
    ({"n": 128, "prompt": [[5]] * 128}, "n"),
])
def test_fields_that_contradict_each_other(tiny, fields, param):
    reply = tiny.post("/v1/completions", {**COMPLETION, **fields})
    assert reply.status == 400 and param in (reply.error["param"] or ""), reply


NOT_JSON = [
    b"", b" ", b"{", b"}", b"{}x", b"[]", b"5", b'"a"', b"null", b"true", b"{'prompt': 'a'}", b'{"prompt": "a",}', b'{"prompt" "a"}',
    b'{"prompt": "a" "b"}', b'{"prompt": "a\nb"}', b'{"prompt": "\\x"}', b'{"prompt": "\\u12"}', b'{"prompt": "\\ud800"}',
    b'{"prompt": "\\udc00\\ud800"}', b'{"prompt": "a\x00b"}', b'{"prompt": "\xff\xfe"}', b'{"prompt": "\xc0\x80"}', b'{"prompt": "\xed\xa0\x80"}',
    b'{"prompt": 01}', b'{"prompt": [1,]}', b'{"prompt": +1}', b'{"prompt": NaN}', b'{"prompt": Infinity}', b'{"prompt": 1e}', b'{"prompt": .5}',
    b'{"prompt": nul}', b"\x00", b"\xff\xff\xff\xff", b'{"prompt": "a"}\x00', b"[" * 100000, b'{"a":' * 100000,
    b'{"prompt": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    b'{"prompt": "' + b"a" * 100000, b"\xef\xbb\xbf{", b'{"max_tokens": 1, "prompt": "a"} {"prompt": "b"}',
]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions", "/v1/adapters", "/tokenize", "/detokenize"])
def test_what_is_not_a_json_object_is_400(tiny, path):
    for body in NOT_JSON:
        reply = tiny.call("POST", path, body, {"content-type": "application/json"})
        assert reply.status == 400 and reply.error["message"], (body[:60], reply)


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400, "1" + "0" * 5000, "1e-400", "0." + "9" * 5000, "18446744073709551616",
                                    "-9223372036854775809"])
def test_huge_numbers_are_refused_or_meant(tiny, number):
    for field in ("max_tokens", "seed", "temperature", "n", "top_k", "logit_bias"):
        value = f'{{"5": {number}}}' if field == "logit_bias" else number
        reply = tiny.call("POST", "/v1/completions", f'{{"prompt": [5], "{field}": {value}}}'.encode())
        assert reply.status in (200, 400), reply
        if reply.status == 400:
            assert reply.error["param"] in (field, None)


def test_a_repeated_field_is_refused_or_one_of_the_two(tiny):
    reply = tiny.call("POST", "/v1/completions", b'{"prompt": [5], "max_tokens": 1, "max_tokens": 2}')
    assert reply.status in (200, 400)
    reply = tiny.call("POST", "/v1/completions", b'{"prompt": [5], "adapter": "all", "adapter": "nobody"}')
    assert reply.status in (400, 404)  # never silently the first


@pytest.mark.parametrize("method, path, status", [
    ("GET", "/v1/completions", 405), ("PUT", "/v1/chat/completions", 405), ("DELETE", "/v1/models", 405), ("POST", "/v1/models", 405),
    ("PATCH", "/v1/completions", 405), ("POST", "/health", 405), ("DELETE", "/metrics", 405), ("GET", "/tokenize", 405),
    ("GET", "/nothing", 404), ("POST", "/v1", 404), ("GET", "/v1/models/", 404), ("GET", "/v1/adapters/a/b", 404), ("POST", "/v1/completions/", 404),
    ("GET", "/v1/models/%zz", 400), ("GET", "/v1/models/%00", 400), ("GET", "/../etc/passwd", 404), ("GET", "/v1/models/..%2f..%2fetc", 404),
])
def test_wrong_methods_and_paths(tiny, method, path, status):
    reply = tiny.call(method, path, b"{}" if method in ("PUT", "POST", "PATCH") else None)
    assert reply.status == status and reply.error["message"], reply
    if status == 405:
        assert reply.headers["allow"] and method not in reply.headers["allow"].split(", ")


def test_a_huge_body_is_413(tiny):
    reply = tiny.call("POST", "/v1/completions", b'{"prompt": "' + b"a" * (17 << 20) + b'"}')
    assert reply.status == 413 and reply.error["message"]


@pytest.mark.parametrize("chunked, most", [(True, 2.3), (False, 1.3)])
def test_a_body_at_the_limit_takes_little_more_than_its_size_and_a_byte_beyond_it_is_413_at_once(fresh, slow, chunked, most):
    """most: how many times its size it may take; one whose size is not known beforehand is moved as it grows."""
    limit, piece = 16 << 20, b"a" * 65536
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {limit}"
    with fresh.socket() as wire:
        wire.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n".encode())
        fresh.forget_peak()
        before = fresh.peak()
        for _ in range(limit // len(piece) - 1):
            wire.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
        part = piece[:-1]  # all but a byte
        wire.sendall(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
        end = time.monotonic() + 10 * slow
        while (taken := fresh.rss()) < limit and time.monotonic() < end:
            time.sleep(0.01)
        assert taken > limit
        time.sleep(0.2)
        assert slow > 1 or fresh.peak() - before < most * limit
        if chunked:
            wire.sendall(b"2\r\n")
            assert wire.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_long_prompt_is_400_at_once(tiny):
    reply = tiny.post("/v1/completions", {"prompt": "a" * (10 << 20)})
    assert (reply.status, reply.error["param"], reply.error["code"]) == (400, "prompt", "context_length_exceeded")
    reply = tiny.post("/v1/completions", {"prompt": [5] * (1 << 20)})
    assert (reply.status, reply.error["param"]) == (400, "prompt")


def test_too_many_prompts_are_400(tiny):
    reply = tiny.post("/v1/completions", {"prompt": [[5]] * 100000})
    assert (reply.status, reply.error["param"]) == (400, "prompt")


def test_a_template_that_refuses_the_conversation_is_400(tiny):
    reply = tiny.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "chat_template": "{{ 1 }}"})
    assert (reply.status, reply.error["param"]) == (400, "chat_template")


def test_bad_input_leaves_the_server_as_it_was(fresh, slow):
    def round_of_bad_input():
        for path, body, field, value in table():
            fresh.post(path, {**body, field: value})
        for body in NOT_JSON:
            fresh.call("POST", "/v1/completions", body)
        fresh.post("/v1/completions", {"prompt": "a" * (4 << 20)})
    expected = fresh.complete([5, 6, 7], max_tokens=8, return_token_ids=True)["choices"]
    round_of_bad_input()
    before = fresh.rss()
    for _ in range(3):
        round_of_bad_input()
    assert slow > 1 or fresh.rss() - before < 2 << 20
    assert fresh.complete([5, 6, 7], max_tokens=8, return_token_ids=True)["choices"] == expected
    assert fresh.running() == 0
