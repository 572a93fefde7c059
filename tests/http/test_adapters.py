"""Adapters come and go while the server serves."""
import os
import shutil
import threading
import time

import pytest

PROMPT = [5, 6, 7, 8]
FIELDS = {"name", "version", "sha256", "kind", "rank", "sites", "bytes", "state", "tier", "merged", "pinned", "mode", "in_flight",
          "requests", "tokens", "loaded_at", "source", "error"}


def ids(server, adapter, **fields):
    return server.complete(PROMPT, adapter=adapter, max_tokens=6, return_token_ids=True, **fields)["choices"][0]["token_ids"]


def register(server, name, path, query="", **fields):
    return server.post("/v1/adapters" + query, {"name": name, "path": str(path), **fields})


def test_the_list_tells_everything(tiny):
    listed = tiny.get("/v1/adapters").json
    entries = listed["data"] if isinstance(listed, dict) else listed
    assert [e["name"] for e in entries] == sorted(e["name"] for e in entries) and len(entries) == 8
    for e in entries:
        assert FIELDS <= set(e), FIELDS - set(e)
        assert (e["state"], e["error"], e["merged"], e["in_flight"]) == ("ready", None, False, 0)
        assert len(e["sha256"]) == 64 and e["sha256"].startswith(e["version"]) or e["version"]
        assert e["bytes"] > 0 and e["sites"] > 0 and abs(e["loaded_at"] - time.time()) < 3600
    one = tiny.get("/v1/adapters/rank64").json
    assert one["rank"] == 64 and one["sites"] == 21
    assert tiny.get("/v1/adapters/layers").json["sites"] == 4
    assert tiny.get("/v1/adapters/nobody").status == 404


def test_requests_and_tokens_are_counted(fresh):
    before = fresh.get("/v1/adapters/rank1").json
    for _ in range(3):
        ids(fresh, "rank1")
    after = fresh.get("/v1/adapters/rank1").json
    assert after["requests"] - before["requests"] == 3 and after["tokens"] - before["tokens"] in (18, 30)


def test_register_use_and_remove(fresh, tiny_adapter, tmp_path):
    shutil.copytree(tiny_adapter("one-layer"), tmp_path / "outside" / "mine")
    assert fresh.post("/v1/completions", {"adapter": "new", "prompt": PROMPT}).status == 404
    reply = register(fresh, "new", tmp_path / "outside" / "mine")
    assert reply.status == 201 and FIELDS <= set(reply.json) and reply.json["state"] == "ready", reply
    assert "new" in [m["id"] for m in fresh.get("/v1/models").json["data"]]
    answer = ids(fresh, "new")
    assert answer != ids(fresh, None)
    shutil.rmtree(tmp_path / "outside" / "mine")  # the folder may go
    assert ids(fresh, "new") == answer
    reply = fresh.call("DELETE", "/v1/adapters/new")
    assert reply.status in (200, 202)
    assert fresh.post("/v1/completions", {"adapter": "new", "prompt": PROMPT}).status == 404
    assert "new" not in [m["id"] for m in fresh.get("/v1/models").json["data"]]
    assert fresh.call("DELETE", "/v1/adapters/new").status == 404


def test_what_is_removed_is_gone_from_the_store_and_can_be_put_back(fresh, tmp_path):
    answer = ids(fresh, "rank13")
    kept = tmp_path / "outside" / "kept"
    shutil.copytree(tmp_path / "store" / "rank13", kept)
    assert fresh.call("DELETE", "/v1/adapters/rank13?wait=true").status == 200
    assert fresh.get("/v1/adapters/rank13").status == 404
    assert not (tmp_path / "store" / "rank13").exists()
    assert register(fresh, "rank13", kept).status == 201
    assert ids(fresh, "rank13") == answer


def test_the_same_content_again_is_200(fresh, tmp_path):
    version = fresh.get("/v1/adapters/all").json["version"]
    reply = register(fresh, "all", tmp_path / "store" / "all")
    assert (reply.status, reply.json["version"]) == (200, version)


def test_registering_says_what_came_of_it(fresh, tiny_adapter, tmp_path):
    for folder in ("one", "two"):
        shutil.copytree(tiny_adapter("rank1"), tmp_path / "outside" / folder)
    shutil.copytree(tiny_adapter("rank13"), tmp_path / "outside" / "three")
    told = [register(fresh, "mine", tmp_path / "outside" / folder, replace=True) for folder in ("one", "one", "two", "three")]
    assert [(r.status, r.json["outcome"]) for r in told] == [(201, "new"), (200, "unchanged"), (200, "unchanged"), (200, "updated")]
    assert told[2].json["source"] == str(tmp_path / "outside" / "two")  # where it comes from since then
    shutil.rmtree(tmp_path / "outside" / "one")
    assert ids(fresh, "mine") == ids(fresh, "rank13")


def test_the_stores_own_folder_keeps_its_files_when_it_is_registered_by_path(start, tiny_model, tiny_adapter, tmp_path):
    shutil.copytree(tiny_adapter("rank1"), tmp_path / "store" / "a")
    with start("--model", tiny_model, "--adapters", os.path.relpath(tmp_path / "store"), "--kv-memory", "16M") as server:
        for file in os.listdir(tiny_adapter("rank13")):
            shutil.copy(os.path.join(tiny_adapter("rank13"), file), tmp_path / "store" / "a")
        reply = register(server, "a", tmp_path / "store" / "a", replace=True)
        assert (reply.status, reply.json["rank"]) == (200, 13), reply
        assert {"adapter_config.json", "adapter_model.safetensors"} <= set(os.listdir(tmp_path / "store" / "a"))
        shutil.copytree(tiny_adapter("rank1"), tmp_path / "store" / "a" / "checkpoint-1")
        reply = register(server, "a", tmp_path / "store" / "a" / "checkpoint-1", replace=True)
        assert (reply.status, reply.error["param"]) == (422, "path") and "another name" in reply.error["message"], reply
        assert os.path.exists(tmp_path / "store" / "a" / "checkpoint-1" / "adapter_config.json")


def test_other_content_is_409_unless_it_replaces(fresh, tmp_path):
    old, new = ids(fresh, "all"), ids(fresh, "rank64")
    reply = register(fresh, "all", tmp_path / "store" / "rank64")
    assert reply.status == 409 and 'set "replace"' in reply.error["message"] and ids(fresh, "all") == old
    before = fresh.get("/v1/adapters/all").json["version"]
    reply = register(fresh, "all", tmp_path / "store" / "rank64", replace=True)
    assert reply.status == 200 and reply.json["version"] != before, reply
    assert ids(fresh, "all") == new
    gone = fresh.post("/v1/completions", {"adapter": f"all@{before}", "prompt": PROMPT})
    assert (gone.status, gone.error["code"]) == (409, "adapter_version_gone")


def test_a_replaced_version_never_serves_its_prefix(fresh, tmp_path):
    prompt = [9 + i % 100 for i in range(180)]

    def ask():
        return fresh.complete(prompt, adapter="all", max_tokens=8, logprobs=0, return_token_ids=True)["choices"][0]

    expected = fresh.complete(prompt, adapter="rank64", max_tokens=8, logprobs=0, return_token_ids=True)["choices"][0]
    old = ask(), ask()
    assert old[0] == old[1] != expected
    assert register(fresh, "all", tmp_path / "store" / "rank64", replace=True).status == 200
    new = ask()
    assert (new["token_ids"], new["logprobs"]) == (expected["token_ids"], expected["logprobs"])


def test_wait_false_answers_before_it_is_loaded(fresh, tiny_adapter, tmp_path):
    shutil.copytree(tiny_adapter("paths"), tmp_path / "outside" / "p")
    reply = register(fresh, "later", tmp_path / "outside" / "p", "?wait=false")
    assert reply.status == 202 and reply.json["state"] in ("loading", "ready"), reply
    end = time.monotonic() + 20
    while (state := fresh.get("/v1/adapters/later").json["state"]) != "ready":
        assert state == "loading" and time.monotonic() < end
    assert ids(fresh, "later")


def test_a_parameter_that_is_not_known_is_refused(fresh, tiny_adapter):
    reply = fresh.call("DELETE", "/v1/adapters/rank1?wiat=true")
    assert reply.status == 400 and "?wiat: expected the parameter wait" in reply.json["error"]["message"], reply
    assert ids(fresh, "rank1")
    assert register(fresh, "twice", tiny_adapter("rank1"), "?wait=true&pin=true").status == 400
    assert fresh.get("/v1/adapters/twice").status == 404


ROUTES = [("POST", "/v1/completions"), ("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("GET", "/v1/models/all"), ("POST", "/tokenize"),
          ("POST", "/detokenize"), ("GET", "/version"), ("GET", "/v1/adapters"), ("POST", "/v1/adapters"), ("GET", "/v1/adapters/all"),
          ("PUT", "/v1/adapters/all"), ("PATCH", "/v1/adapters/all"), ("DELETE", "/v1/adapters/all"), ("POST", "/v1/load_lora_adapter"),
          ("POST", "/v1/unload_lora_adapter")]


@pytest.mark.parametrize("method, path", ROUTES)
def test_every_route_refuses_a_parameter_that_it_does_not_take(tiny, method, path):
    takes = "the parameter wait or none" if method != "PATCH" and method != "GET" and path.startswith("/v1/adapters") else "no parameter"
    for query in ("?foo=1", "?foo", "?wait=true&foo=1") if "wait" in takes else ("?foo=1", "?foo", "?foo=1&wait=true"):
        reply = tiny.call(method, path + query, None if method == "GET" else {})
        assert (reply.status, reply.error["param"], reply.error["code"]) == (400, "foo", "invalid_value"), reply
        assert reply.error["message"] == f"?foo: expected {takes}"
    assert tiny.get("/v1/adapters/all").json["state"] == "ready"


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_a_probe_may_have_any_parameter(tiny, path):
    assert tiny.get(f"{path}?nocache=17").status == tiny.call("HEAD", f"{path}?a=b&c").status == 200


def test_what_nobody_waited_for_stays_listed_with_its_reason(fresh, tiny_adapter, tmp_path):
    reply = fresh.call("PUT", "/v1/adapters/later?wait=false", b"no archive")
    assert reply.status == 202, reply
    end = time.monotonic() + 20
    while (entry := fresh.get("/v1/adapters/later").json)["state"] == "loading":
        assert time.monotonic() < end
    assert entry["state"] == "failed" and "archive" in entry["error"] and entry["source"], entry
    asked = fresh.post("/v1/completions", {"adapter": "later", "prompt": PROMPT})
    assert asked.status == 404 and "archive" in asked.error["message"], asked
    shutil.copytree(tiny_adapter("paths"), tmp_path / "outside" / "p")
    assert register(fresh, "later", tmp_path / "outside" / "p").json["error"] is None

    register(fresh, "later", tmp_path / "outside" / "nothing", "?wait=false", replace=True)
    while (entry := fresh.get("/v1/adapters/later").json)["error"] is None:
        assert time.monotonic() < end
    assert entry["state"] == "ready" and "nothing" in entry["error"]
    time.sleep(1.5)  # the store was looked at meanwhile
    assert fresh.get("/v1/adapters/later").json == entry
    assert fresh.call("DELETE", "/v1/adapters/later").status == 200 and fresh.get("/v1/adapters/later").status == 404


def test_settings_that_the_store_does_not_take_are_not_taken(fresh, tmp_path):
    (tmp_path / "store" / "all" / "dynlora.json").write_text("{")
    reply = fresh.call("PATCH", "/v1/adapters/all", {"pin": True, "mode": "unmerged"})
    assert reply.status == 422 and "dynlora.json" in reply.error["message"], reply
    entry = fresh.get("/v1/adapters/all").json
    assert (entry["pinned"], entry["mode"]) == (False, "auto")


def test_pins_that_do_not_fit_together_are_507(start, tiny_model, tiny_adapter, tmp_path):
    for name in "abc":
        shutil.copytree(tiny_adapter("all"), tmp_path / "store" / name)
    size = 53760
    with start("--model", tiny_model, "--adapters", tmp_path / "store", "--adapter-root", tmp_path, "--kv-memory", "16M",
               "--adapter-memory", 2 * size + 1000) as server:
        def pin(name):
            return server.call("PATCH", f"/v1/adapters/{name}", {"pin": True})

        assert server.get("/v1/adapters/a").json["bytes"] == size
        assert [pin(name).status for name in "ab"] == [200, 200]
        reply = pin("c")
        assert (reply.status, reply.error["param"]) == (507, "pin") and str(size) in reply.error["message"], reply
        assert not server.get("/v1/adapters/c").json["pinned"] and pin("a").status == 200
        shutil.copytree(tiny_adapter("all"), tmp_path / "d")
        assert register(server, "d", tmp_path / "d", pin=True).status == 507
        assert server.get("/v1/adapters/d").status == 404 and not (tmp_path / "store" / "d").exists()
        lines = [line for line in server.log.splitlines() if ": 507 in" in line]
        assert len(lines) == 2 and 'ms: adapter "c" cannot be pinned: ' in lines[0] and 'ms: adapter "d" cannot be pinned: ' in lines[1], lines
        assert server.call("PATCH", "/v1/adapters/a", {"pin": False}).status == 200
        assert pin("c").status == 200


def vllm(server, call, **fields):
    return server.post(f"/v1/{call}_lora_adapter", fields)


def test_vllms_routes_answer_in_vllms_words(fresh, tiny_adapter, tmp_path):
    for name in ("rank1", "rank13"):
        shutil.copytree(tiny_adapter(name), tmp_path / "outside" / name)
    path = str(tmp_path / "outside" / "rank1")
    reply = vllm(fresh, "load", lora_name="v", lora_path=path, is_3d_lora_weight=False)
    assert (reply.status, reply.body) == (200, b"Success: LoRA adapter 'v' added successfully."), reply
    reply = vllm(fresh, "load", lora_name="v", lora_path=str(tmp_path / "outside" / "rank13"))
    assert (reply.status, reply.error["param"]) == (400, "lora_name") and 'set "load_inplace"' in reply.error["message"], reply
    assert vllm(fresh, "load", lora_name="v", lora_path=str(tmp_path / "outside" / "rank13"), load_inplace=True).status == 200
    assert fresh.get("/v1/adapters/v").json["rank"] == 13
    for path, status in ((tmp_path / "outside" / "nothing", 404), ("/etc", 400), ("", 400)):
        reply = vllm(fresh, "load", lora_name="w", lora_path=str(path))
        assert (reply.status, reply.error["param"]) == (status, "lora_path"), reply
    reply = vllm(fresh, "unload", lora_name="v", lora_int_id=3)
    assert (reply.status, reply.body) == (200, b"Success: LoRA adapter 'v' removed successfully."), reply
    assert vllm(fresh, "unload", lora_name="v").status == 404 and vllm(fresh, "unload").status == 400


def test_a_bad_upload_blames_no_field(fresh):
    reply = fresh.call("PUT", "/v1/adapters/x", b"no archive")
    assert (reply.status, reply.error["param"]) == (422, None), reply


@pytest.mark.parametrize("body, param", [
    ({}, "name"),
    ({"name": 5, "path": "x"}, "name"),
    ({"name": "", "path": "x"}, "name"),
    ({"name": "a/b", "path": "x"}, "name"),
    ({"name": "../a", "path": "x"}, "name"),
    ({"name": ".hidden", "path": "x"}, "name"),
    ({"name": "a b", "path": "x"}, "name"),
    ({"name": "n" * 500, "path": "x"}, "name"),
    ({"name": "tiny", "path": "x"}, "name"),  # the base's
    ({"name": "x", "path": 5}, "path"),
    ({"name": "x", "path": ""}, "path"),
    ({"name": "x", "path": "x", "colour": 3}, "colour"),
    ({"name": "x", "path": "x", "replace": "yes"}, "replace"),
])
def test_a_bad_registration_names_the_field(fresh, body, param):
    reply = fresh.post("/v1/adapters", body)
    assert (reply.status, reply.error["param"]) == (400, param), reply


def test_paths_outside_the_roots_are_403(fresh, tiny_adapter, tmp_path):
    for path in (tiny_adapter("all"), "/etc", "/", tmp_path / "store" / ".." / "elsewhere"):
        if "elsewhere" in str(path):
            shutil.copytree(tiny_adapter("all"), tmp_path / "elsewhere")
        assert register(fresh, "x", path).status == 403, path
    os.symlink(tiny_adapter("all"), tmp_path / "outside" / "link")
    assert register(fresh, "x", tmp_path / "outside" / "link").status == 403
    os.makedirs(tmp_path / "outside" / "half")
    shutil.copy(os.path.join(tiny_adapter("all"), "adapter_config.json"), tmp_path / "outside" / "half")
    os.symlink("/etc/passwd", tmp_path / "outside" / "half" / "adapter_model.safetensors")
    assert register(fresh, "x", tmp_path / "outside" / "half").status == 403
    assert fresh.get("/v1/adapters/x").status == 404


def test_a_folder_that_is_not_there_is_422_or_404(fresh, tmp_path):
    reply = register(fresh, "x", tmp_path / "outside" / "nothing")
    assert reply.status in (404, 422) and "nothing" in reply.error["message"], reply


def test_removal_lets_running_requests_end(start, long_model, tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "store")
    with start("--model", long_model, "--adapters", tmp_path / "store", "--kv-memory", "256M") as server:
        body = {"adapter": "rank64", "prompt": PROMPT, "temperature": 0, "max_tokens": 3000 // server.slow, "ignore_eos": True, "return_token_ids": True}
        alone = server.ok("/v1/completions", body)["choices"][0]["token_ids"]
        stream = server.stream("/v1/completions", body)
        chunks = stream.chunks()
        got = list(next(chunks)["choices"][0]["token_ids"])
        reply = server.call("DELETE", "/v1/adapters/rank64")
        assert reply.status == 202, reply
        assert server.post("/v1/completions", {**body, "stream": False}).status == 404
        waited = threading.Thread(target=lambda: results.append(server.call("DELETE", "/v1/adapters/rank64?wait=true", timeout=60)))
        results = []
        waited.start()
        state = server.get("/v1/adapters/rank64")
        assert state.status == 404 or state.json["state"] == "draining"
        for c in chunks:
            got += c["choices"][0].get("token_ids") or []
        assert got == alone
        waited.join(30)
        assert results and results[0].status in (200, 404)
        assert server.get("/v1/adapters/rank64").status == 404
        assert server.stop() == 0


def test_replacing_lets_running_requests_end_on_their_version(start, long_model, tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "store")
    with start("--model", long_model, "--adapters", tmp_path / "store", "--kv-memory", "256M") as server:
        body = {"adapter": "rank64", "prompt": PROMPT, "temperature": 0, "max_tokens": 3000 // server.slow, "ignore_eos": True, "return_token_ids": True}
        old, new = (server.ok("/v1/completions", {**body, "adapter": a})["choices"][0]["token_ids"] for a in ("rank64", "all"))
        stream = server.stream("/v1/completions", body)
        chunks = stream.chunks()
        got = list(next(chunks)["choices"][0]["token_ids"])
        reply = register(server, "rank64", tmp_path / "store" / "all", replace=True)
        assert reply.status == 200, reply
        assert server.ok("/v1/completions", {**body, "max_tokens": 20})["choices"][0]["token_ids"] == new[:20]
        for c in chunks:
            got += c["choices"][0].get("token_ids") or []
        assert got == old
        assert server.stop() == 0


@pytest.mark.slow
def test_coming_and_going_leaks_nothing(fresh, tmp_path, slow):
    def cycle(n):
        for i in range(n):
            assert register(fresh, f"a{i % 3}", tmp_path / "store" / "rank64").status in (200, 201)
            ids(fresh, f"a{i % 3}")
            assert register(fresh, f"a{i % 3}", tmp_path / "store" / "all", replace=True).status == 200
            assert fresh.call("DELETE", f"/v1/adapters/a{i % 3}?wait=true").status == 200
    cycle(60)
    before, pages = fresh.rss(), fresh.metric("dynlora_adapter_bytes")
    cycle(120 if slow == 1 else 30)
    assert fresh.metric("dynlora_adapter_bytes") == pages
    assert slow > 1 or fresh.rss() - before < 4 << 20

