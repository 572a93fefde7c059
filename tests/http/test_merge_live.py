"""Merging under load: requests, cancellations, removals, updates and signals in the middle of it, room on the device, and what the
server merges by itself. The long form of the random changes is tests/soak/merges."""
import os
import shutil
import subprocess
import sys
import threading
import time

import pytest

import make_tiny
from merging import LONG, PROMPT, agrees, ask, bar_all, entry, exact, f32_model, make_model, merge, mode_of, server, set_mode, start, wait_until
from server import at_once

STREAM = 2000  # tokens of a stream that outlasts two merges and the questions meanwhile
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def on_device(server):
    return server.metrics()['dynlora_adapter_bytes{tier="device"}']


@pytest.fixture(scope="module")
def deep(scratch):
    """(model, store): so many and wide layers that a merge lasts for many steps."""
    shape = {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 12, "num_attention_heads": 6, "head_dim": 32,
             "max_position_embeddings": 32768}
    model = make_model(scratch, "tiny-deep", **shape)
    recipe = {"r": 64, "lora_alpha": 64, "target_modules": make_tiny.ALL, "dtype": "f32"}
    for name in ("one", "two"):
        make_tiny.make_adapter(str(scratch / "deep-store" / name), name, recipe, {**make_tiny.BASE, **shape}, "tiny-deep", 0.3)
    return model, str(scratch / "deep-store")


# In the middle
# ----------------------------------------------------------------------------------------------------------------------

@pytest.fixture
def deep_server(start, deep, tmp_path):
    shutil.copytree(deep[1], tmp_path / "store")
    with start("--model", deep[0], "--adapters", tmp_path / "store", "--adapter-root", tmp_path, "--kv-memory", "256M") as server:
        bar_all(server)
        yield server


def read_stream(stream, chunks, got, last):
    for c in chunks:
        got += c["choices"][0].get("token_ids") or [] if c["choices"] else []
        last.update(c)


def running(server, adapter, n):
    """A stream that runs, its chunks, and the tokens of the first."""
    stream = server.stream("/v1/completions", {"prompt": PROMPT, "adapter": adapter, "max_tokens": n, "temperature": 0, "ignore_eos": True,
                                               "return_token_ids": True})
    chunks = stream.chunks()
    return stream, chunks, list(next(chunks)["choices"][0]["token_ids"])


def test_requests_in_the_middle_of_a_merge_get_their_own_answers(deep_server):
    """Those that run when it begins, and those that come while it lasts. The base's have the same bits throughout."""
    server, whole = deep_server, {}
    n = 200 // server.slow
    for adapter in (None, "one", "two"):
        whole[adapter] = ask(server, adapter, max_tokens=n)
    modes, partly = set(), 0
    for rounds in range(1, 31):
        streams = [running(server, a, STREAM) for a in whole]
        for name, other in (("one", "two"), ("two", "one")):
            set_mode(server, name, "merged")
            while not entry(server, name)["merged"]:
                partly += 1
                for adapter, answer in zip(whole, at_once(*(lambda a=a: ask(server, a, max_tokens=6) for a in whole))):
                    assert exact(answer)[0] == exact(whole[adapter])[0][:6], adapter
                    modes.add(mode_of(answer))
                    if adapter is None:
                        assert mode_of(answer) == "per-row" and exact(answer)[1] == exact(whole[None])[1][:6]
            set_mode(server, name, "auto")
            assert entry(server, other)["merged"] is False
        for (stream, chunks, got), adapter in zip(streams, whole):
            last, expected = {}, exact(whole[adapter])[0]
            while len(got) < len(expected) or (adapter and mode_of(last) != "switched" and len(got) < STREAM):
                read_stream(stream, [next(chunks)], got, last)
            stream.close()
            assert mode_of(last) == ("per-row" if adapter is None else "switched") or len(got) >= STREAM
            assert got[:len(expected)] == expected, adapter
        bar_all(server)
        if rounds >= 3 and "switched" in modes:
            break
    assert partly > 0 and "switched" in modes, (partly, modes)
    assert server.stop() == 0


def test_nobody_is_computed_with_a_merge_that_is_not_whole(deep_server):
    """Rows of both in a step would have the weights read twice, before anything is gained."""
    server, partly = deep_server, 0

    def on_merged():
        steps = server.metrics()
        return sum(steps[f'dynlora_steps_by_mode_total{{mode="{m}"}}'] for m in ("merged", "mixed"))

    for _ in range(30):
        streams = [running(server, a, STREAM)[0] for a in (None, "one")]
        before = on_merged()
        set_mode(server, "one", "merged")
        while True:
            steps = on_merged()
            if entry(server, "one")["merged"]:
                break
            partly += 1
            assert steps == before
        wait_until(server, lambda: on_merged() > before)
        for stream in streams:
            stream.close()
        set_mode(server, "one", "unmerged")
        wait_until(server, lambda: mode_of(ask(server, "one", max_tokens=1)) == "per-row")
        if partly > 0:
            break
    assert partly > 0
    assert server.stop() == 0


def test_clients_that_leave_in_the_middle_of_a_merge_leave_it_right(deep_server):
    server = deep_server
    expected = {a: exact(ask(server, a)) for a in (None, "one", "two")}
    for i in range(12):
        streams = [running(server, a, 4000)[0] for a in expected]
        set_mode(server, "one", "merged" if i % 2 == 0 else "unmerged")
        time.sleep(0.004 * (i % 4))
        for stream in streams:
            stream.close()
    server.wait_until_idle(5)
    wait_until(server, lambda: mode_of(ask(server, "one", max_tokens=1)) == "per-row")
    assert {a: exact(ask(server, a, prompt_logprobs=0)) for a in expected} == expected
    merge(server, "one")
    assert mode_of(ask(server, "one", prompt_logprobs=0)) == entry(server, "one")["version"]
    assert server.stop() == 0


def test_a_signal_in_the_middle_of_a_merge_lets_answers_end_and_exits_0(start, deep, tmp_path):
    shutil.copytree(deep[1], tmp_path / "store")
    for delay in (0, 0.003, 0.01):
        with start("--model", deep[0], "--adapters", tmp_path / "store", "--kv-memory", "64M") as server:
            bar_all(server)
            n = 100 // server.slow
            expected = exact(ask(server, "two", max_tokens=n))[0]
            stream, chunks, got = running(server, "two", n)
            set_mode(server, "one", "merged")
            time.sleep(delay)
            server.signal()
            read_stream(stream, chunks, got, {})
            assert got == expected
            assert server.wait() == 0


def test_what_is_removed_while_merged_leaves_the_base_as_it_was(server):
    expected = {a: exact(ask(server, a, prompt_logprobs=0)) for a in (None, "rank13", "rank64")}
    for name in ("all", "layers", "patterns"):
        merge(server, name)
        assert server.call("DELETE", f"/v1/adapters/{name}?wait=true").status == 200
        assert server.get(f"/v1/adapters/{name}").status == 404
        assert server.post("/v1/completions", {"adapter": name, "prompt": PROMPT}).status == 404
        for adapter, answer in expected.items():
            assert exact(ask(server, adapter, prompt_logprobs=0)) == answer, (name, adapter)
    assert on_device(server) == sum(e["bytes"] for e in server.get("/v1/adapters").json["data"] if e["tier"] == "device")


def test_removal_while_merged_lets_running_answers_end(deep_server):
    server, n = deep_server, STREAM // 2
    expected = exact(ask(server, "one", max_tokens=100))[0]
    merge(server, "one")
    stream, chunks, got = running(server, "one", n)
    assert server.call("DELETE", "/v1/adapters/one").status == 202
    assert server.post("/v1/completions", {"adapter": "one", "prompt": PROMPT}).status == 404
    read_stream(stream, chunks, got, {})
    assert got[:100] == expected and len(got) == n
    wait_until(server, lambda: server.get("/v1/adapters/one").status == 404)
    assert server.stop() == 0


def test_the_first_answer_after_an_update_while_merged_is_the_new_one(server, tmp_path):
    folders = [shutil.copytree(tmp_path / "store" / r, tmp_path / "outside" / r) for r in ("rank13", "rank64")]
    contents = [ask(server, r, LONG) for r in ("rank13", "rank64")]
    merge(server, "all")
    for i in range(12 if server.slow == 1 else 4):
        ask(server, "all", LONG)
        reply = server.post("/v1/adapters", {"name": "all", "path": str(folders[i % 2]), "replace": True})
        assert (reply.status, reply.json["mode"]) == (200, "merged"), reply
        first = ask(server, "all", LONG)
        assert first["adapter"]["version"] == reply.json["version"] and agrees(first, contents[i % 2]), i
        if i % 3:
            wait_until(server, lambda: entry(server, "all")["merged"])
            assert entry(server, "all")["version"] == reply.json["version"]
            then = ask(server, "all", LONG, prompt_logprobs=0)
            assert mode_of(then) == reply.json["version"] and agrees(then, contents[i % 2]), i


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["auto", "always"])
def test_answers_stay_right_while_what_is_merged_changes_at_random(binary, models, slow, policy):
    """The long form is tests/soak/merges --cycles 10000."""
    command = [sys.executable, os.path.join(ROOT, "tests", "soak", "merges"), "--server", binary, "--models", models, "--slow", str(slow),
               "--policy", policy, "--cycles", "200" if slow == 1 else "40"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300 * slow)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


# Room
# ----------------------------------------------------------------------------------------------------------------------

def test_what_lies_merged_makes_room_for_those_who_ask(start, f32_model, tiny_store, tmp_path):
    """A device that holds one adapter or two: the merged one leaves when others have to run, and comes again."""
    shutil.copytree(tiny_store, tmp_path / "store")
    with start("--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "16M") as quiet:
        bar_all(quiet)
        bytes_of = {e["name"]: e["bytes"] for e in quiet.get("/v1/adapters").json["data"]}
        expected = {a: ask(quiet, a) for a in bytes_of}
        for name in bytes_of:
            set_mode(quiet, name, "auto")
        assert quiet.stop() == 0
    room = max(bytes_of.values()) + 1024
    with start("--model", f32_model, "--adapters", tmp_path / "store", "--kv-memory", "16M", "--adapter-memory", room, "--merge", "always") as server:
        for i in range(3):
            for name in expected:
                for _ in range(3):
                    assert agrees(ask(server, name), expected[name]), name
            answers = at_once(*(lambda a=a: ask(server, a) for a in expected))
            assert all(agrees(answer, expected[name]) for name, answer in zip(expected, answers))
        assert server.metric("dynlora_merges_total") > 0 and on_device(server) <= room
        assert server.stop() == 0


# The policies
# ----------------------------------------------------------------------------------------------------------------------

def busy_until(server, what, *names, seconds=30):
    """Streams of these adapters until it is so."""
    stop = threading.Event()

    def work(name):
        while not stop.is_set():
            ask(server, name, max_tokens=50)

    threads = [threading.Thread(target=work, args=(n,)) for n in names]
    for t in threads:
        t.start()
    try:
        wait_until(server, what, seconds)
    finally:
        stop.set()
        for t in threads:
            t.join()


@pytest.mark.slow
def test_always_merges_what_is_asked_for(start, deep, tmp_path):
    shutil.copytree(deep[1], tmp_path / "store")
    with start("--model", deep[0], "--adapters", tmp_path / "store", "--kv-memory", "64M", "--merge", "always") as server:
        busy_until(server, lambda: entry(server, "one")["merged"], "one")
        busy_until(server, lambda: entry(server, "two")["merged"], "two")
        set_mode(server, "two", "unmerged")
        busy_until(server, lambda: not entry(server, "two")["merged"], "two", "two")
        for _ in range(20):
            ask(server, "two", max_tokens=10)
            assert not entry(server, "two")["merged"]
        assert server.stop() == 0


@pytest.mark.slow
def test_auto_merges_what_everybody_asks_for(start, deep, tmp_path):
    """Rank 64 on small matrices: per row it costs a good part of a step."""
    shutil.copytree(deep[1], tmp_path / "store")
    with start("--model", deep[0], "--adapters", tmp_path / "store", "--kv-memory", "64M") as server:
        busy_until(server, lambda: entry(server, "one")["merged"], *["one"] * 4)
        assert mode_of(ask(server, "one")) == entry(server, "one")["version"]
        assert server.stop() == 0


# The real model
# ----------------------------------------------------------------------------------------------------------------------

@pytest.mark.smollm2
@pytest.mark.parametrize("model", ["SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct.gguf"])
def test_the_demo_adapters_answer_as_trained_whichever_is_merged(start, models, smollm2_store, golden, tmp_path, model):
    for name in ("sql", "shout", "pirate"):
        shutil.copytree(f"{smollm2_store}/{name}", tmp_path / "store" / name)
    samples = [s for s in golden("smollm2")["samples"] if s["min_margin"] > 0.7]
    assert {s["adapter"] for s in samples} == {"sql", "shout", "pirate"}
    with start("--model", f"{models}/{model}", "--adapters", tmp_path / "store", "--kv-memory", "256M") as server:
        bar_all(server)
        for merged in ("sql", "pirate"):
            # What is asked before it is merged meets the merge in the middle.
            set_mode(server, merged, "merged")
            for _ in range(2):
                answers = at_once(*(lambda s=s: server.chat(s["question"], adapter=s["adapter"], max_tokens=32) for s in samples))
                for sample, answer in zip(samples, answers):
                    assert answer["choices"][0]["message"]["content"] == sample["text"], (merged, sample["adapter"], sample["question"])
                wait_until(server, lambda: entry(server, merged)["merged"])
            set_mode(server, merged, "unmerged")
        assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.smollm2
def test_on_quantised_weights_auto_merges_what_an_operator_asks_for_alone(start, models, smollm2_store, tmp_path):
    """Even rank 64, which auto would merge by its estimates: a merged matrix in bf16 takes longer to read than the quantised one."""
    for name in ("smollm2.rank64", "shout"):
        shutil.copytree(f"{smollm2_store}/{name}", tmp_path / "store" / name)
    options = ["--model", f"{models}/SmolLM2-135M-Instruct.gguf", "--adapters", tmp_path / "store", "--kv-memory", "64M"]
    with start(*options) as server:
        def decided():
            return sum(v for k, v in server.metrics().items() if k.startswith("dynlora_merge_decisions_total{"))

        expected = {a: exact(ask(server, a)) for a in (None, "shout")}
        first = decided()
        busy_until(server, lambda: decided() >= first + 60, *["smollm2.rank64"] * 4)
        e = entry(server, "smollm2.rank64")
        assert not e["merged"] and "quantised" in e["unmerged_because"] and server.metric("dynlora_merges_total") == 0
        merge(server, "smollm2.rank64")
        assert mode_of(ask(server, "smollm2.rank64")) == entry(server, "smollm2.rank64")["version"]
        assert entry(server, "smollm2.rank64")["unmerged_because"] is None
        assert {a: exact(ask(server, a, prompt_logprobs=0)) for a in expected} == expected
        set_mode(server, "smollm2.rank64", "auto")  # the wish is gone, and so is the merge, although nobody asks
        wait_until(server, lambda: not entry(server, "smollm2.rank64")["merged"])
        assert server.stop() == 0
    with start(*options, "--merge-at-start", "smollm2.rank64") as server:
        assert mode_of(ask(server, "smollm2.rank64")) == entry(server, "smollm2.rank64")["version"]
        busy_until(server, lambda: server.metrics()['dynlora_steps_by_mode_total{mode="mixed"}'] > 20, "smollm2.rank64", "shout")
        assert mode_of(ask(server, "shout")) == "per-row" and exact(ask(server, "shout")) == expected["shout"]
        assert server.stop() == 0
