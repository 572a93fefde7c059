"""Weighted lists of adapters: the answer is that of the sum of their deltas, and a blend lives like an adapter: alone or in a crowd,
on the device or not, until its members change."""
import hashlib
import shutil
import threading
import time

import pytest

from server import at_once
from test_golden import check

PROMPT = [5, 6, 7, 8]
MIX = [{"name": "all", "weight": 0.7}, {"name": "rank64", "weight": 0.3}]
BODY = {"prompt": PROMPT, "temperature": 0, "max_tokens": 8, "ignore_eos": True, "return_token_ids": True, "logprobs": 3}


def mix(a, b):
    return [{"name": "all", "weight": a}, {"name": "rank64", "weight": b}]


@pytest.fixture(scope="module")
def blender(start, tiny_model, tiny_store):
    """tiny and eight adapters, with memory that goes back at once, so that its RSS is what it holds."""
    with start("--model", tiny_model, "--adapters", tiny_store, "--kv-memory", "16M", "--served-model-name", "tiny",
               env={"MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0"}) as server:
        yield server
        assert server.stop() == 0


def ask(server, adapter, **fields):
    return server.post("/v1/completions", {**BODY, "adapter": adapter, **fields})


def bits(server, adapter, **fields):
    """JSON shows floats with all their digits."""
    reply = ask(server, adapter, **fields)
    assert reply.status == 200, reply
    choice = reply.json["choices"][0]
    return choice["token_ids"], choice["logprobs"]


def until(server, condition):
    end = time.monotonic() + 30 * server.slow
    while not condition():
        assert time.monotonic() < end


# What it answers
# ----------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("i", range(6))
def test_the_answer_is_that_of_pefts_weighted_adapter(blender, golden, i):
    cases = golden("blends")["cases"]
    lists = list(dict.fromkeys(str(c["adapter"]) for c in cases))
    assert len(lists) == 6
    for case in cases:
        if str(case["adapter"]) == lists[i]:
            check(blender, case)


def test_one_entry_of_weight_1_is_that_adapter_itself(blender):
    for entry in ({"name": "all"}, {"name": "all", "weight": 1}, {"name": "all", "weight": None}, {"weight": 1.0, "name": "all"}):
        reply, itself = ask(blender, [entry]), ask(blender, "all")
        assert reply.json["model"] == "all" and reply.json["adapter"] == itself.json["adapter"]
        assert reply.headers["x-dynlora-adapter"] == "all"
        assert reply.json["choices"] == itself.json["choices"]


def test_weights_of_0_leave_out(blender):
    assert bits(blender, mix(0, 0)) == bits(blender, None)
    assert bits(blender, mix(1, 0)) == bits(blender, "all")
    assert bits(blender, [{"name": "rank13", "weight": 0}, {"name": "all", "weight": 0.5}]) == bits(blender, [{"name": "all", "weight": 0.5}])


def test_each_weight_makes_a_difference(blender):
    lists = [mix(0.7, 0.3), mix(0.7, -0.3), mix(0.7, 0), mix(0.3, 0.7), mix(-1, 1)]
    assert len({str(bits(blender, m)) for m in lists}) == len(lists)


def test_the_answer_says_what_served_it(blender):
    sha256 = {a["name"]: a["sha256"] for a in blender.get("/v1/adapters").json["data"]}
    lines = f"{sha256['all']} 0.7\n{sha256['rank64']} 0.3\n"
    version = hashlib.sha256(lines.encode()).hexdigest()[:16]
    name = "all*0.7+rank64*0.3"
    for path, body in (("/v1/completions", {"prompt": PROMPT}), ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]})):
        body = {**body, "max_tokens": 4, "model": "tiny", "adapter": MIX}
        reply = blender.post(path, body)
        assert reply.json["model"] == name and reply.headers["x-dynlora-adapter"] == name
        assert reply.json["adapter"] == {"name": name, "version": version}
        stream = blender.stream(path, body)
        assert stream.headers["x-dynlora-adapter"] == name
        for chunk in stream.chunks():
            assert chunk["model"] == name and chunk["adapter"] == {"name": name, "version": version}
        stream.close()
    assert ask(blender, [{"name": f"all@{sha256['all'][:16]}", "weight": 0.7}, MIX[1]]).json["adapter"]["version"] == version


# What is wrong with a list
# ----------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("adapter, where", [
    ([], '"adapter"'),
    ([{"name": "all"}] * 9, '"adapter"'),
    (["all"], '"adapter"[0]'),
    ([MIX[0], None], '"adapter"[1]'),
    ([{}], '"adapter"[0]'),
    ([{"weight": 1}], '"adapter"[0]'),
    ([MIX[0], {"name": 7}], '"adapter"[1]'),
    ([{"name": None}], '"adapter"[0]'),
    ([MIX[0], {"name": "rank64", "weight": "0.3"}], '"adapter"[1]'),
    ([MIX[0], {"name": "rank64", "weight": True}], '"adapter"[1]'),
    ([MIX[0], {"name": "rank64", "weight": 1e300}], '"adapter"[1]'),
    ([MIX[0], {"name": "rank64", "scale": 1}], '"adapter"[1]'),
    ([{"name": "all", "weight": 0.5}, {"name": "all", "weight": 0.5}], '"adapter"[1]'),
    ([[MIX[0]]], '"adapter"[0]'),
])
def test_a_bad_list_is_400_with_the_place(blender, adapter, where):
    for path in ("/v1/completions", "/tokenize"):
        reply = blender.post(path, {"prompt": "a", "adapter": adapter})
        assert (reply.status, reply.error["param"]) == (400, "adapter")
        assert reply.error["message"].startswith(where + ": "), reply


def test_a_weight_that_is_no_number_of_json_is_400(blender):
    for weight in ("1e999", "NaN", "Infinity"):
        body = '{"prompt": "a", "adapter": [{"name": "all", "weight": %s}]}' % weight
        assert blender.call("POST", "/v1/completions", body.encode()).status == 400


def test_unknown_names_and_versions_are_as_without_a_list(blender):
    for adapter, status, code in (([MIX[0], {"name": "nobody"}], 404, "adapter_not_found"), ([{"name": ""}], 404, "adapter_not_found"),
                                  ([{"name": "all*0.5"}], 404, "adapter_not_found"),
                                  ([MIX[0], {"name": "rank64@0123456789abcdef"}], 409, "adapter_version_gone")):
        reply = ask(blender, adapter)
        assert (reply.status, reply.error["code"], reply.error["param"]) == (status, code, "adapter")
    reply = ask(blender, MIX, model="all")
    assert (reply.status, reply.error["code"]) == (400, "adapter_contradicts_model")
    assert ask(blender, [{"name": "all"}], model="all").status == 200


def test_a_blend_is_no_adapter_of_the_lists(blender):
    name = ask(blender, MIX).json["model"]
    assert ask(blender, name).status == 404
    assert blender.get(f"/v1/adapters/{name}").status == 404
    for path in ("/v1/adapters", "/v1/models"):
        assert not any("*" in str(a) for a in blender.get(path).json["data"])


def test_metrics_have_one_label_for_all_blends(blender):
    before = blender.metrics()
    for i in range(3):
        ask(blender, mix(0.1, i))
    after = blender.metrics()
    assert not any("*" in k for k in after)
    counter = 'dynlora_requests_total{adapter="(blend)",outcome="ok"}'
    assert after[counter] == before.get(counter, 0) + 3
    for name in ("all", "rank64"):
        counter = f'dynlora_requests_total{{adapter="{name}",outcome="ok"}}'
        assert after.get(counter, 0) == before.get(counter, 0)
    assert 3 <= after["dynlora_blends"] <= 64
    blender.get("/metrics")
    assert blender.metrics()['dynlora_requests_total{adapter="(blend)",outcome="ok"}'] == after['dynlora_requests_total{adapter="(blend)",outcome="ok"}']


# Its life
# ----------------------------------------------------------------------------------------------------------------------

def test_blends_in_a_crowd_answer_as_alone(blender):
    kinds = [None, "all", MIX, "rank64", mix(0.3, 0.7), [{"name": "rslora", "weight": -1}, {"name": "layers", "weight": 0.5}, {"name": "rank1"}],
             [{"name": "all", "weight": 0.5}], mix(1, 0)]
    asked = [{"adapter": kinds[i % len(kinds)], "prompt": [3 + (i * j) % 280 for j in range(1, 4 + 5 * i)], "max_tokens": 10 + i} for i in range(24)]
    alone = [bits(blender, **a) for a in asked]
    mixed = blender.metric("dynlora_steps_mixed_total")
    for _ in range(3):
        assert at_once(*[lambda a=a: bits(blender, **a) for a in asked]) == alone
    assert blender.metric("dynlora_steps_mixed_total") > mixed


def test_its_prefix_is_found_again_and_is_nobody_elses(blender):
    prompt = [3 + i % 200 for i in range(100)]
    cached = []
    for adapter in (mix(0.4, 0.4), mix(0.4, 0.4), mix(0.4, 0.41), "all", None):
        reply = ask(blender, adapter, prompt=prompt)
        cached.append(reply.json["usage"]["prompt_tokens_details"]["cached_tokens"])
    assert cached == [0, 96, 0, 0, 0]


def test_an_update_of_a_member_is_in_the_first_answer_after_it(start, long_model, tiny_adapter, tmp_path):
    """Requests that run end on the versions that they began with."""
    folders = [str(shutil.copytree(tiny_adapter(r), tmp_path / "outside" / r)) for r in ("rank13", "rank64")]
    shutil.copytree(tiny_adapter("all"), tmp_path / "store" / "all")
    with start("--model", long_model, "--adapters", tmp_path / "store", "--adapter-root", tmp_path / "outside", "--kv-memory", "16M") as server:
        def put(name, folder):
            assert server.post("/v1/adapters", {"name": name, "path": folder, "replace": True}).status in (200, 201)

        expected = []
        for i, folder in enumerate(folders):
            put(f"quiet{i}", folder)
            expected.append(bits(server, [MIX[0], {"name": f"quiet{i}", "weight": 0.5}]))
        assert expected[0] != expected[1]
        it = [MIX[0], {"name": "it", "weight": 0.5}]
        assert ask(server, it).status == 404
        for i in range(10):
            put("it", folders[i % 2])
            assert bits(server, it) == expected[i % 2], i
            assert bits(server, it) == expected[i % 2], i
        whole = bits(server, it, max_tokens=3000)[0]
        stream = server.stream("/v1/completions", {**BODY, "max_tokens": 3000, "adapter": it})
        chunks = stream.chunks()
        got = list(next(chunks)["choices"][0]["token_ids"])
        put("it", folders[0])
        assert bits(server, it) == expected[0]
        assert server.call("DELETE", "/v1/adapters/it").status in (200, 202)
        assert ask(server, it).status == 404
        for chunk in chunks:
            got += chunk["choices"][0].get("token_ids") or []
        assert got == whole
        server.wait_until_idle(5)
        assert server.get("/v1/adapters/it").status == 404
        assert server.metric("dynlora_blends") == 2
        assert server.stop() == 0


def test_every_answer_is_that_of_the_version_it_names_while_a_member_comes_and_goes(start, tiny_model, tiny_adapter, tmp_path):
    """On a device that holds two blends, beside requests of the members themselves."""
    folders = [str(shutil.copytree(tiny_adapter(r), tmp_path / "outside" / r)) for r in ("rank13", "rslora")]
    shutil.copytree(tiny_adapter("all"), tmp_path / "store" / "all")
    with start("--model", tiny_model, "--adapters", tmp_path / "store", "--adapter-root", tmp_path / "outside", "--kv-memory", "1M",
               "--adapter-memory", "700K", "--host-adapter-memory", "1") as server:
        lists = [[{"name": "all", "weight": w}, {"name": "it", "weight": v}] for w, v in ((0.7, 0.3), (1, 1), (0, -1), (0.5, 0))] + ["it", "all"]

        def answer(adapter):
            reply = ask(server, adapter, max_tokens=5)
            if reply.status in (404, 503) and adapter != "all":  # "it" is not there, or loading anew
                return None
            assert reply.status == 200, reply
            return reply.json["adapter"]["version"], str(reply.json["choices"][0])

        def change(folder):
            if folder is None:
                assert server.call("DELETE", "/v1/adapters/it?wait=true").status == 200
            else:
                assert server.post("/v1/adapters", {"name": "it", "path": folder, "replace": True}).status in (200, 201)

        expected = set()
        for folder in folders:
            change(folder)
            expected |= {answer(m) for m in lists}
        assert len({version for version, _ in expected}) == len(expected) == 11
        done, seen = threading.Event(), []

        def client(i):
            while not done.is_set():
                seen.append(answer(lists[i % len(lists)]))

        def changer():
            try:
                for i in range(40):
                    change([folders[0], folders[1], None, folders[i // 4 % 2]][i % 4])
                    time.sleep(0.02)
            finally:
                done.set()

        at_once(changer, *[lambda i=i: client(i) for i in range(12)])
        assert set(seen) - {None} <= expected
        assert len(set(seen)) > len(lists)
        server.wait_until_idle(5)
        assert server.metrics()['dynlora_adapter_bytes{tier="device"}'] <= 700 << 10
        assert server.stop() == 0


def test_blends_come_and_go_on_a_device_that_holds_few(start, tiny_model, tiny_store, slow):
    """One blend takes about 1 MB in f32; the least recently used leave, and nobody's bits change."""
    memory = 2500000
    with start("--model", tiny_model, "--adapters", tiny_store, "--kv-memory", "4M", "--adapter-memory", memory,
               "--host-adapter-memory", "1") as server:
        lists = [*(mix(0.5, 0.1 * i) for i in range(6)), "all", "rank64", "rslora"]
        first = [bits(server, m) for m in lists]
        assert len({str(b) for b in first}) == len(lists)
        for _ in range(3):
            assert at_once(*[lambda m=m: bits(server, m) for m in lists]) == first
            assert server.metrics()['dynlora_adapter_bytes{tier="device"}'] <= memory
        assert server.metric("dynlora_adapter_evictions_total") > 20
        assert server.stop() == 0


def test_a_blend_that_cannot_fit_is_507(start, tiny_model, tiny_store):
    with start("--model", tiny_model, "--adapters", tiny_store, "--kv-memory", "4M", "--adapter-memory", "700K") as server:
        reply = ask(server, MIX)
        assert reply.status == 507 and reply.error["message"].startswith("all*0.7+rank64*0.3: "), reply
        assert "POST /v1/completions: 507 in" in server.log and f"ms: {reply.error['message']}\n" in server.log
        assert ask(server, [{"name": "rank64", "weight": 0.5}]).status == 200
        assert server.stop() == 0


def test_a_hundred_blends_and_more_take_the_memory_of_64(blender, slow):
    for i in range(100):
        ask(blender, mix(0.5, i), max_tokens=1)
    before, held = blender.rss(), blender.metrics()['dynlora_adapter_bytes{tier="device"}']
    for i in range(200):
        assert ask(blender, mix(0.25, i), max_tokens=1).status == 200
    assert blender.metric("dynlora_blends") == 64
    assert blender.metrics()['dynlora_adapter_bytes{tier="device"}'] <= held * 1.05
    assert slow > 1 or blender.rss() - before < 4 << 20


def test_a_merged_blend_answers_the_same_within_rounding_until_a_member_changes(start, tiny_model, tiny_adapter, tiny_store, golden, tmp_path):
    cases = [c for c in golden("blends")["cases"] if c["adapter"] == MIX and len(c["prompt"]) > 2]
    shutil.copytree(tiny_store, tmp_path / "store")
    with start("--model", tiny_model, "--adapters", tmp_path / "store", "--adapter-root", tiny_adapter("rank13"), "--kv-memory", "4M",
               "--merge", "always") as server:
        base = bits(server, None)
        version = ask(server, MIX).json["adapter"]["version"]
        until(server, lambda: ask(server, MIX).json["system_fingerprint"].endswith(f"-merged-{version}"))
        for case in cases:
            check(server, case, tolerance=0.15)
        assert server.post("/v1/adapters", {"name": "rank64", "path": tiny_adapter("rank13"), "replace": True}).status == 200
        until(server, lambda: ask(server, None).json["system_fingerprint"].endswith("-per-row"))
        assert bits(server, None) == base
        assert ask(server, MIX).json["adapter"]["version"] != version
        assert server.stop() == 0
