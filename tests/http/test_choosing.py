"""Each call names who answers, and every answer says who did; an unknown name is never the base."""
import pytest

PROMPT = [5, 6, 7, 8]


def ask(server, **fields):
    return server.post("/v1/completions", {"prompt": PROMPT, "temperature": 0, "max_tokens": 6, "return_token_ids": True, **fields})


@pytest.fixture(scope="module")
def alone(tiny):
    """Whose answer is whose: token ids of the base and of two adapters, all different."""
    ids = {name: ask(tiny, adapter=name).json["choices"][0]["token_ids"] for name in (None, "all", "rank64")}
    assert len({tuple(i) for i in ids.values()}) == 3
    return ids


def served_by(reply, name, alone):
    assert reply.status == 200, reply
    assert reply.json["model"] == (name or "tiny")
    if name:
        assert reply.json["adapter"]["name"] == name and len(reply.json["adapter"]["version"]) >= 8
        assert reply.headers["x-dynlora-adapter"] == name
    else:
        assert reply.json["adapter"] is None or reply.json["adapter"]["name"] is None
        assert reply.headers["x-dynlora-adapter"] not in ("all", "rank64")
    assert reply.json["choices"][0]["token_ids"] == alone[name]


@pytest.mark.parametrize("fields, name", [
    ({}, None),
    ({"model": "tiny"}, None),
    ({"model": None}, None),
    ({"adapter": None}, None),
    ({"model": "all"}, "all"),
    ({"adapter": "all"}, "all"),
    ({"model": "tiny", "adapter": "all"}, "all"),
    ({"model": "all", "adapter": "all"}, "all"),
    ({"model": "tiny", "adapter": None}, None),
    ({"model": "all", "adapter": None}, None),
    ({"model": "rank64"}, "rank64"),
])
def test_who_answers(tiny, alone, fields, name):
    served_by(ask(tiny, **fields), name, alone)


@pytest.mark.parametrize("fields, param", [
    ({"model": "nobody"}, "model"),
    ({"adapter": "nobody"}, "adapter"),
    ({"adapter": ""}, "adapter"),
    ({"model": ""}, "model"),
    ({"model": "tiny", "adapter": "nobody"}, "adapter"),
    ({"model": "nobody", "adapter": "all"}, "model"),
    ({"adapter": "tiny"}, "adapter"),  # the base is no adapter
    ({"adapter": "ALL"}, "adapter"),
    ({"adapter": "../store/all"}, "adapter"),
    ({"model": "all "}, "model"),
])
def test_an_unknown_name_is_404(tiny, fields, param):
    reply = ask(tiny, **fields)
    assert reply.status == 404, reply
    assert (reply.error["code"], reply.error["param"]) == ("adapter_not_found", param)


def test_two_adapters_at_once_is_400(tiny):
    reply = ask(tiny, model="all", adapter="rank64")
    assert (reply.status, reply.error["param"]) == (400, "adapter")


def test_a_version_is_asked_for_by_name(tiny, alone):
    version = tiny.get("/v1/adapters/all").json["version"]
    reply = ask(tiny, adapter=f"all@{version}")
    served_by(reply, "all", alone)
    assert reply.json["adapter"]["version"] == version


def test_a_version_that_is_not_loaded_is_409(tiny):
    reply = ask(tiny, adapter="all@0123456789abcdef")
    assert (reply.status, reply.error["code"]) == (409, "adapter_version_gone")
    assert ask(tiny, adapter="nobody@0123456789abcdef").status == 404


@pytest.mark.parametrize("value", [5, True, {}, {"name": "all"}, []])
def test_any_other_adapter_is_400(tiny, value):
    reply = ask(tiny, adapter=value)
    assert (reply.status, reply.error["param"]) == (400, "adapter")


@pytest.mark.parametrize("adapter", [None, "rank64"])
def test_streams_and_chats_say_it_too(tiny, adapter):
    for path, body in (("/v1/completions", {"prompt": PROMPT}), ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]})):
        stream = tiny.stream(path, {**body, "max_tokens": 4, "adapter": adapter})
        assert stream.headers["content-type"].startswith("text/event-stream")
        chunks = list(stream.chunks())
        assert {c["model"] for c in chunks} == {adapter or "tiny"}
        assert {c["adapter"]["name"] if c["adapter"] else None for c in chunks} == {adapter}
        if adapter:
            assert stream.headers["x-dynlora-adapter"] == adapter
        stream.close()


def test_the_fingerprint_is_the_base_and_its_mode(tiny):
    prints = {ask(tiny, adapter=a).json["system_fingerprint"] for a in (None, "all", "rank1")}
    assert len(prints) == 1 and prints.pop()
