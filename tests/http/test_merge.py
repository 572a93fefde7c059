"""Adapters merged into the base and taken out again: what is said of it, and what is computed meanwhile."""
import collections
import json
import os
import re
import shutil
import subprocess
import time

import pytest

from merging import LONG, PROMPT, agrees, ask, bar_all, entry, exact, f32_model, merge, mode_of, restore, server, set_mode, start, wait_until
from server import at_once

MODES = ["base", "per_row", "merged", "mixed"]


def by_mode(server):
    metrics = server.metrics()
    return {m: metrics[f'dynlora_steps_by_mode_total{{mode="{m}"}}'] for m in MODES}


# What is said of it
# ----------------------------------------------------------------------------------------------------------------------

def test_an_adapter_is_merged_and_restored_by_its_mode(server):
    version, plain = entry(server, "all")["version"], exact(ask(server, None))
    e = entry(server, "all")
    assert (e["merged"], e["merged_since"], e["mode"]) == (False, None, "unmerged")
    before = server.metrics()
    merge(server, "all")
    e = entry(server, "all")
    assert e["mode"] == "merged" and abs(e["merged_since"] - time.time()) < 60 * server.slow and e["unmerged_because"] is None
    assert [x["name"] for x in server.get("/v1/adapters").json["data"] if x["merged"]] == ["all"]
    assert mode_of(ask(server, "all")) == version
    assert mode_of(ask(server, None)) == "per-row" and exact(ask(server, None)) == plain
    restore(server, "all")
    e = entry(server, "all")
    assert (e["merged"], e["merged_since"]) == (False, None)
    assert mode_of(ask(server, "all")) == "per-row"
    assert exact(ask(server, None)) == plain
    after = server.metrics()
    for name in ("dynlora_merges_total", "dynlora_restores_total"):
        assert after[name] == before[name] + 1, name
    assert sum(v for k, v in after.items() if k.startswith("dynlora_merge_decisions_total{")) > 0


def test_the_memory_of_merged_weights_is_a_metric(server):
    rows = 64 + 32 + 32 + 64 + 3 * 160  # of q, k, v, o, gate and up, and of down turned round
    base = server.metric("dynlora_weight_bytes")
    assert server.metric("dynlora_merged_bytes") == 0
    merge(server, "all")
    matrices = server.metric("dynlora_merged_bytes")
    assert matrices == 3 * rows * 64 * 4  # layers, dim, f32
    restore(server, "all")
    wait_until(server, lambda: server.metric("dynlora_merged_bytes") == 0)
    merge(server, "layers")
    assert 0 < server.metric("dynlora_merged_bytes") < matrices
    assert server.metric("dynlora_weight_bytes") == base


def test_a_registration_can_say_that_it_shall_be_merged(server, tiny_adapter, tmp_path):
    shutil.copytree(tiny_adapter("paths"), tmp_path / "new")
    reply = server.post("/v1/adapters", {"name": "new", "path": str(tmp_path / "new"), "mode": "merged"})
    assert (reply.status, reply.json["mode"]) == (201, "merged"), reply
    wait_until(server, lambda: entry(server, "new")["merged"])
    assert mode_of(ask(server, "new")) == entry(server, "new")["version"]


def test_only_one_adapter_can_have_merged_for_its_mode(server, tiny_adapter, tmp_path):
    merge(server, "all")
    reply = server.call("PATCH", "/v1/adapters/rank1", {"mode": "merged"})
    assert reply.status == 409 and reply.error["param"] == "mode" and "all" in reply.error["message"], reply
    assert entry(server, "rank1")["mode"] == "unmerged" and entry(server, "all")["merged"]
    shutil.copytree(tiny_adapter("paths"), tmp_path / "new")
    reply = server.post("/v1/adapters", {"name": "new", "path": str(tmp_path / "new"), "mode": "merged"})
    assert reply.status == 409, reply
    assert server.get("/v1/adapters/new").status == 404
    set_mode(server, "all", "merged")  # its own once more
    set_mode(server, "all", "unmerged")
    merge(server, "rank1")
    wait_until(server, lambda: not entry(server, "all")["merged"])
    assert server.call("DELETE", "/v1/adapters/rank1?wait=true").status == 200
    merge(server, "all")


def test_replicas_that_set_merged_for_two_adapters_at_once_follow_the_first_by_name(start, f32_model, tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "store")
    options = ["--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "16M"]
    with start(*options) as one, start(*options) as two:
        bar_all(one)
        wait_until(two, lambda: all(e["mode"] == "unmerged" for e in two.get("/v1/adapters").json["data"]))
        at_once(lambda: set_mode(one, "rank1", "merged"), lambda: set_mode(two, "all", "merged"))
        for server in (one, two):
            wait_until(server, lambda: entry(server, "all")["merged"] and entry(server, "rank1")["mode"] == "merged")
            rank1 = entry(server, "rank1")
            assert not rank1["merged"] and "another adapter" in rank1["unmerged_because"], rank1
            assert entry(server, "all")["unmerged_because"] is None
            assert mode_of(ask(server, "rank1")) == "per-row" and mode_of(ask(server, "all")) == entry(server, "all")["version"]
        assert two.call("PATCH", "/v1/adapters/rank1", {"pin": True}).status == 200  # which is no word about the mode
        set_mode(two, "all", "auto")
        for server in (one, two):
            wait_until(server, lambda: entry(server, "rank1")["merged"])
            assert entry(server, "rank1")["unmerged_because"] is None
        assert (one.stop(), two.stop()) == (0, 0)


def test_who_shall_be_merged_at_start_gives_way_to_a_mode(start, f32_model, tiny_adapter, tmp_path):
    for name in ("all", "rank1"):
        shutil.copytree(tiny_adapter(name), tmp_path / "store" / name)
    (tmp_path / "store" / "all" / "dynlora.json").write_text('{"mode": "merged"}')
    with start("--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "16M", "--merge-at-start", "rank1") as server:
        wait_until(server, lambda: entry(server, "all")["merged"])
        assert "another adapter" in entry(server, "rank1")["unmerged_because"]
        assert "adapter rank1 is not merged at start: the mode of adapter all is merged" in server.log
        assert server.stop() == 0


def test_the_list_says_what_is_merged_also_if_that_is_a_weighted_list(start, f32_model, tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "store")
    blend = [{"name": "all", "weight": 0.7}, {"name": "rank13", "weight": 0.3}]
    with start("--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "16M", "--merge", "always") as server:
        def merged():
            return server.get("/v1/adapters").json["merged"]

        assert merged() is None
        for adapter in (blend, "rank1"):
            set_mode(server, "rank13", "unmerged")  # and so every list with it
            wait_until(server, lambda: merged() is None)
            set_mode(server, "rank13", "auto")
            if adapter == "rank1":
                set_mode(server, "rank1", "merged")
            served = ask(server, adapter)["adapter"]
            wait_until(server, lambda: ask(server, adapter) and merged() is not None)
            found = merged()
            assert (found["name"], found["version"]) == (served["name"], served["version"])
            assert abs(found["since"] - time.time()) < 60 * server.slow
            assert [e["name"] for e in server.get("/v1/adapters").json["data"] if e["merged"]] == [adapter] * (adapter == "rank1")
        assert server.call("DELETE", "/v1/adapters/rank1?wait=true").status == 200
        assert merged() is None
        assert server.stop() == 0


@pytest.mark.parametrize("mode", ["Merged", "", 1, True, ["merged"], {"merged": True}])
def test_a_bad_mode_names_the_field(server, mode):
    reply = server.call("PATCH", "/v1/adapters/all", {"mode": mode})
    assert (reply.status, reply.error["param"]) == (400, "mode"), reply
    assert entry(server, "all")["mode"] == "unmerged"


def test_a_server_that_never_merges_says_so(start, f32_model, tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "store")
    with start("--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "16M", "--merge", "never") as server:
        set_mode(server, "all", "merged")
        for _ in range(5):
            assert mode_of(ask(server, "all")) == "per-row"
            time.sleep(0.05)
        e = entry(server, "all")
        assert (e["merged"], e["merged_since"]) == (False, None) and "never" in e["unmerged_because"], e
        steps = by_mode(server)
        assert steps["merged"] == steps["mixed"] == 0 < steps["per_row"]
        assert server.metric("dynlora_merges_total") == 0
        assert server.stop() == 0


def test_each_decision_is_explained_in_a_line_of_the_debug_log(start, f32_model, tiny_store, tmp_path):
    """Who came closest, what it costs per row and merged, what it would have saved, what the switch costs, and what was seen."""
    shutil.copytree(tiny_store, tmp_path / "store")
    explained = re.compile(r"merge policy auto: (\S+) merged, the last merge \S+ s ago, (\S+) should be: ([a-z ]+) \((.+) takes (\S+) ms of a step per row and "
                           r"(\S+) ms merged, is in (\d+) % of the steps, alone in (\d+) %, with (\S+) rows; "
                           r"merged it would have saved (\S+) s of (\S+) s needed, the switch costs (\S+) s; (\d+) candidates, (\S+) rows, (\S+) steps/s\)")
    with start("--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "16M", "--log-level", "debug") as server:
        bar_all(server)
        set_mode(server, "rank64", "auto")
        begun = time.monotonic()
        while time.monotonic() < begun + 1 or not any(m[4] == "rank64" for m in explained.finditer(server.log)):
            assert time.monotonic() < begun + 30 * server.slow
            ask(server, "rank64", max_tokens=50)
        server.wait_until_idle(5)
        lines = [m.groups() for m in explained.finditer(server.log)]
        counted = {k: v for k, v in server.metrics().items() if k.startswith("dynlora_merge_decisions_total{") and v}
        assert {f'dynlora_merge_decisions_total{{verdict="{why}"}}': n for why, n in collections.Counter(m[2] for m in lines).items()} == counted
        for before, after, why, name, per_row, merged, present, alone, rows, saved, needed, *_ in lines:
            assert float(saved) <= float(needed) * 1.01 and (why in ("pays", "loses") or after == before)
            if name == "rank64":  # nobody else asks
                assert float(per_row) > 0 and float(merged) == 0 and int(present) == int(alone) > 50 and float(rows) >= 1
        assert server.stop() == 0


@pytest.mark.parametrize("policy", ["auto", "always"])
def test_one_that_must_not_be_merged_keeps_nobody_from_it(start, f32_model, tiny_store, tmp_path, policy):
    """Also while it has no rows, and was asked for more than the other."""
    shutil.copytree(tiny_store, tmp_path / "store")
    with start("--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "16M", "--merge", policy) as server:
        bar_all(server)
        set_mode(server, "all", "auto")
        end = time.monotonic() + 30 * server.slow
        while not entry(server, "all")["merged"]:
            assert time.monotonic() < end, server.metrics()
            ask(server, "rank64", max_tokens=60)
            ask(server, "all", max_tokens=40)
        assert not entry(server, "rank64")["merged"]
        assert server.stop() == 0


def test_the_mode_is_kept_over_a_restart(start, f32_model, tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "store")
    options = ["--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "16M"]
    with start(*options) as server:
        bar_all(server)
        merge(server, "rank64")
        expected = exact(ask(server, "rank64"))
        assert server.stop() == 0
    with start(*options) as server:
        wait_until(server, lambda: entry(server, "rank64")["merged"])
        assert [(e["name"], e["mode"]) for e in server.get("/v1/adapters").json["data"] if e["mode"] != "unmerged"] == [("rank64", "merged")]
        assert exact(ask(server, "rank64")) == expected
        assert server.stop() == 0


# At start
# ----------------------------------------------------------------------------------------------------------------------

def test_a_server_can_start_with_an_adapter_merged(start, f32_model, tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "store")
    with start("--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "16M", "--merge-at-start", "rank13") as server:
        e = entry(server, "rank13")
        assert e["merged"] and mode_of(ask(server, "rank13")) == e["version"]
        for name in ("rank13", "all"):  # still able to switch
            bar_all(server)
            merge(server, name)
            assert mode_of(ask(server, name)) == entry(server, name)["version"]
            set_mode(server, name, "auto")
        assert server.stop() == 0


def test_a_start_can_name_the_adapter_that_is_to_be_merged_anyway(start, f32_model, tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "store")
    (tmp_path / "store" / "rank13" / "dynlora.json").write_text('{"mode": "merged"}')
    with start("--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "16M", "--merge-at-start", "rank13") as server:
        assert entry(server, "rank13")["merged"]
        assert server.stop() == 0


@pytest.mark.parametrize("options, status, words", [
    (["--merge-at-start", "nobody"], 1, ["--merge-at-start", "nobody"]),
    (["--merge-at-start", "half"], 1, ["--merge-at-start", "half"]),
    (["--merge-at-start", "all", "--merge", "never"], 2, ["--merge-at-start", "never"]),
    (["--merge", "often"], 2, ["merge", "often"]),
])
def test_a_start_that_cannot_merge_what_it_should_fails_and_says_why(binary, slow, f32_model, tiny_store, tmp_path, options, status, words):
    shutil.copytree(tiny_store, tmp_path / "store")
    shutil.copytree(tmp_path / "store" / "all", tmp_path / "store" / "half")
    os.remove(tmp_path / "store" / "half" / "adapter_model.safetensors")
    env = {k: v for k, v in os.environ.items() if not k.startswith("DYNLORA_")}
    done = subprocess.run([binary, "serve", "--listen", "127.0.0.1:0", "--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "1M", *options],
                          capture_output=True, text=True, timeout=60 * slow, env=env)
    last = done.stderr.splitlines()[-1]
    assert done.returncode == status and all(w in last for w in words), done


# What is computed
# ----------------------------------------------------------------------------------------------------------------------

OTHERS = [None, "rslora", "patterns", "layers", "rank64"]


def test_everybody_gets_his_own_answer_while_one_is_merged(server):
    """Together in one batch, so that steps hold rows on merged weights and on the base's own. All but the merged one's are what they are
    without any merge, bit for bit."""
    prompts = [PROMPT, LONG, [17]]
    expected = {(a, i): ask(server, a, p) for a in [*OTHERS, "all"] for i, p in enumerate(prompts)}
    version = entry(server, "all")["version"]
    merge(server, "all")
    # prompt_logprobs: so that no cached page of the other mode is met.
    answers = at_once(*(lambda a=a, i=i: ask(server, a, prompts[i], prompt_logprobs=0) for a, i in expected))
    for key, answer in zip(expected, answers):
        if key[0] == "all":
            assert mode_of(answer) == version and agrees(answer, expected[key]), (key, exact(answer), exact(expected[key]))
        else:
            assert mode_of(answer) == "per-row" and exact(answer) == exact(expected[key]), (key, exact(answer), exact(expected[key]))
    told = {json.dumps(exact(e)) for e in expected.values()}
    assert len(told) == len(expected)  # no two adapters agree on a prompt: nothing was mistaken for another


def test_a_prefix_that_was_cached_in_one_mode_is_gone_on_with_in_the_other(server):
    other = LONG[::-1]
    assert mode_of(ask(server, "all", other)) == "per-row"
    merge(server, "all")
    assert mode_of(ask(server, "all", LONG)) == entry(server, "all")["version"]
    merged = ask(server, "all", other)
    restore(server, "all")
    per_row = ask(server, "all", LONG)
    for prompt, answer in ((LONG, per_row), (other, merged)):
        expected = ask(server, "all", prompt, prompt_logprobs=0)  # all of it computed
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] >= 96
        assert agrees(answer, expected) and mode_of(answer) == "switched"
        assert mode_of(expected) == "per-row"


def test_the_same_seed_and_fingerprint_give_the_same_answer(server):
    def sampled(adapter, seed):
        return ask(server, adapter, PROMPT, temperature=1, seed=seed, max_tokens=30)

    seen = {}
    for who in (None, "all", None, "rank13", "all", None):
        if who:
            merge(server, who)
        for adapter in (None, "all", "rank13"):
            for seed in (1, 2):
                answer = sampled(adapter, seed)
                assert mode_of(answer) != "switched"
                known = seen.setdefault((answer["system_fingerprint"], adapter, seed), exact(answer))
                assert exact(answer) == known, (answer["system_fingerprint"], adapter, seed)
        if who:
            restore(server, who)
    assert len({fingerprint for fingerprint, _, _ in seen}) == 3


def test_a_fingerprint_tells_an_adapter_that_is_merged_from_one_of_the_same_content(server, tmp_path):
    """The other one is computed per row: its answers have other bits."""
    shutil.copytree(tmp_path / "store" / "all", tmp_path / "twin")
    assert server.post("/v1/adapters", {"name": "twin", "path": str(tmp_path / "twin"), "mode": "unmerged"}).status == 201
    seen = {}
    for merged, other in (("all", "twin"), ("twin", "all")):
        merge(server, merged)
        for name in (merged, other):
            answer = ask(server, name, prompt_logprobs=0)
            assert agrees(answer, ask(server, merged, prompt_logprobs=0))
            assert mode_of(answer) == (entry(server, name)["version"] if name == merged else "per-row")
            assert exact(answer) == seen.setdefault(answer["system_fingerprint"], exact(answer)), (merged, name)
        restore(server, merged)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_every_chunk_of_a_stream_has_the_fingerprint(server, path):
    for change, mode in ((merge, entry(server, "all")["version"]), (restore, "per-row")):
        change(server, "all")
        asked = {"prompt": PROMPT} if path == "/v1/completions" else {"messages": [{"role": "user", "content": mode}]}  # nothing of it is cached
        chunks = list(server.stream(path, {**asked, "adapter": "all", "max_tokens": 5, "ignore_eos": True}).chunks())
        assert len(chunks) > 1 and {mode_of(c) for c in chunks} == {mode}


def test_steps_are_counted_by_mode(server):
    def changed(*adapters):
        before = by_mode(server)
        at_once(*(lambda a=a: ask(server, a, max_tokens=200) for a in adapters))
        after = by_mode(server)
        return {m for m in MODES if after[m] != before[m]}

    assert changed(None) == {"base"} and changed("all") == {"per_row"}
    merge(server, "all")
    assert changed("all") == {"merged"} and changed(None) == {"base"} and changed("rank1") == {"per_row"}
    assert "mixed" in changed("all", None) and "mixed" in changed("all", "rank1")
    restore(server, "all")
    assert changed(None) == {"base"}
