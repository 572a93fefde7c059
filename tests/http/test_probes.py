"""What operators and tools ask: models, tokens, probes, metrics, and pages of other origins."""
import re

import pytest

TEXTS = ["", "hello", "  two  spaces\n\n\ttab", "Tomás Ødegård, 你好, \U0001F469‍\U0001F4BB", "<|im_start|>user\n12345<|im_end|>",
         "\r\n \u00a0 e\u0301", "a" * 3000]


def test_models_lists_the_base_and_each_ready_adapter(tiny):
    listed = tiny.get("/v1/models").json
    assert listed["object"] == "list"
    by_id = {m["id"]: m for m in listed["data"]}
    assert set(by_id) == {"tiny", "all", "rslora", "patterns", "layers", "regex", "rank1", "rank13", "rank64"}
    for m in by_id.values():
        assert m["object"] == "model" and m["owned_by"] and m["root"] and m["max_model_len"] == 256
    assert by_id["tiny"]["parent"] is None
    for name, rank in (("rank1", 1), ("rank13", 13), ("rank64", 64), ("rslora", 13)):
        m = by_id[name]
        assert (m["parent"], m["kind"], m["rank"]) == ("tiny", "lora", rank) and m["version"]
        assert tiny.get(f"/v1/models/{name}").json == m


def test_models_of_an_unknown_id_is_404(tiny):
    assert tiny.get("/v1/models/nobody").error["code"]
    assert tiny.get("/v1/models/nobody").status == 404


@pytest.mark.parametrize("text", TEXTS)
def test_tokenize_and_detokenize_are_inverse(tiny, text):
    told = tiny.ok("/tokenize", {"prompt": text, "add_special_tokens": False, "return_token_strs": True})
    assert told["count"] == len(told["tokens"]) == len(told["token_strs"]) and told["max_model_len"] == 256
    assert tiny.ok("/detokenize", {"tokens": told["tokens"]})["prompt"] == text


@pytest.mark.parametrize("text", TEXTS[1:])
def test_tokenize_smollm2(smollm2, text):
    told = smollm2.ok("/tokenize", {"model": "sql", "prompt": text})
    assert smollm2.ok("/detokenize", {"tokens": told["tokens"]})["prompt"] == text


def test_tokenize_is_what_the_oracle_tokenised(smollm2, golden):
    for case in golden("smollm2")["cases"]:
        if "question" in case:
            body = {"messages": [{"role": "user", "content": case["question"]}]}
        else:
            body = {"prompt": case["text"]}
        assert smollm2.ok("/tokenize", body)["tokens"] == case["prompt"], case["name"]


@pytest.mark.parametrize("path, body, param", [
    ("/tokenize", {}, "prompt"),
    ("/tokenize", {"prompt": 5}, "prompt"),
    ("/tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "a"}]}, "messages"),
    ("/tokenize", {"prompt": "a", "max_tokens": 3}, "max_tokens"),
    ("/tokenize", {"prompt": "a", "add_special_tokens": "yes"}, "add_special_tokens"),
    ("/detokenize", {}, "tokens"),
    ("/detokenize", {"tokens": "abc"}, "tokens"),
    ("/detokenize", {"tokens": [1, -1]}, "tokens"),
    ("/detokenize", {"tokens": [1, 10**6]}, "tokens"),
    ("/detokenize", {"tokens": [1.5]}, "tokens"),
])
def test_bad_token_calls_name_the_field(tiny, path, body, param):
    reply = tiny.post(path, body)
    assert (reply.status, reply.error["param"]) == (400, param)


def test_probes(tiny):
    assert tiny.get("/health").status == 200
    assert tiny.get("/ready").status == 200
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", tiny.get("/version").json["version"])
    head = tiny.call("HEAD", "/health")
    assert (head.status, head.body) == (200, b"")


def test_probes_answer_while_the_model_loads(start, tiny_model, tiny_store):
    """Whenever a probe is answered, it says either that it is starting or that it is ready."""
    with start("--model", tiny_model, "--adapters", tiny_store, wait=False, listen="unix:/tmp/dynlora-probe-test.sock") as server:
        server.wait_until_ready()
        assert server.address.startswith("unix:")
        assert server.stop() == 0


def test_metrics_have_the_names_that_gateways_read(tiny):
    tiny.complete([5, 6, 7], max_tokens=3, adapter="rank1")
    reply = tiny.get("/metrics")
    assert reply.status == 200 and reply.headers["content-type"].startswith("text/plain")
    names = {k.split("{")[0] for k in tiny.metrics()}
    assert {"vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:lora_requests_info"} <= names
    info = next(k for k in tiny.metrics() if k.startswith("vllm:lora_requests_info{"))
    assert all(f'{label}="' in info for label in ("running_lora_adapters", "waiting_lora_adapters", "max_lora"))
    assert any(n.startswith("dynlora_") and "rank1" in k for k in tiny.metrics() for n in [k.split("{")[0]])


def test_metrics_are_prometheus_text(tiny):
    line = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_]\w*="([^"\\\n]|\\["\\n])*"(,(?!\})|(?=\})))*\})? [-+0-9.eEinfNa]+')
    seen_type = set()
    for text in tiny.get("/metrics").body.decode().splitlines():
        if text.startswith("# TYPE "):
            _, _, name, kind = text.split(" ")
            assert kind in ("counter", "gauge", "histogram") and name not in seen_type
            seen_type.add(name)
        elif not text.startswith("# HELP "):
            assert line.fullmatch(text), text
            name = text.split("{")[0].split(" ")[0]
            assert name in seen_type or re.sub("_(bucket|sum|count)$", "", name) in seen_type, text


def test_metrics_count(tiny):
    before = tiny.metrics()
    tiny.complete([5, 6, 7], max_tokens=4, ignore_eos=True, adapter="rank13")
    after = tiny.metrics()
    grown = {k: after[k] - before.get(k, 0) for k in after if after[k] != before.get(k, 0)}
    requests = {k: v for k, v in grown.items() if k.startswith("dynlora_requests_total")}
    assert list(requests.values()) == [1] and 'adapter="rank13"' in next(iter(requests))
    assert 4 in [v for k, v in grown.items() if "tokens" in k and 'adapter="rank13"' in k]


def test_no_cors_unless_asked_for(tiny):
    reply = tiny.get("/v1/models", headers={"Origin": "http://page.example"})
    assert not [k for k in reply.headers if k.startswith("access-control")]


@pytest.mark.parametrize("allowed", ["*", "http://page.example"])
def test_cors(start, tiny_model, allowed):
    with start("--model", tiny_model, "--cors-origin", allowed) as server:
        origin = {"Origin": "http://page.example"}
        assert server.get("/v1/models", headers=origin).headers["access-control-allow-origin"] == allowed
        preflight = server.call("OPTIONS", "/v1/chat/completions", headers={
            **origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, authorization"})
        assert preflight.status in (200, 204) and "POST" in preflight.headers["access-control-allow-methods"]
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        assert preflight.headers["access-control-allow-origin"] == allowed
        bad = server.post("/v1/chat/completions", {}, headers=origin)
        assert bad.status == 400 and bad.headers["access-control-allow-origin"] == allowed  # pages may read errors, too
        other = server.get("/v1/models", headers={"Origin": "http://other.example"}).headers
        assert ("access-control-allow-origin" in other) == (allowed == "*")
        stream = server.stream("/v1/completions", {"prompt": [5], "max_tokens": 1})
        stream.close()
