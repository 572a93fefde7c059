"""An adapter's life under load: no request sees a wrong, half or stale one, whoever changes it and however. The long forms of
the first two tests are tests/soak/cycles and tests/soak/kills."""
import os
import shutil
import subprocess
import sys
import time

import pytest

SOAK = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "soak")
sys.path.append(SOAK)

import make_tiny
import pool
from server import at_once

PROMPT = [5, 6, 7, 8]
LONG = [3 + i * 7 % 280 for i in range(400)]  # 25 pages of the cache


def soak(name, binary, models, slow, *options):
    done = subprocess.run([sys.executable, os.path.join(SOAK, name), "--server", binary, "--models", models, "--slow", str(slow), *map(str, options)],
                          capture_output=True, text=True, timeout=300 * slow)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_every_answer_is_that_of_the_version_it_names_while_adapters_come_and_go(binary, models, slow):
    soak("cycles", binary, models, slow, "--cycles", 300 if slow == 1 else 60)


@pytest.mark.slow
def test_the_store_is_whole_after_each_kill(binary, models, slow):
    soak("kills", binary, models, slow, "--kills", 12 if slow == 1 else 4)


# The stale cache: an update, and the first answer after it
# ----------------------------------------------------------------------------------------------------------------------

def post(server, folder, store):
    assert server.post("/v1/adapters", {"name": "it", "path": folder, "replace": True}).status == 200


def put(server, folder, store):
    assert server.call("PUT", "/v1/adapters/it", pool.pack(folder, "tar.gz")).status == 200


def wait_for(server, folder):
    version, end = pool.sha256_of(folder)[:16], time.monotonic() + 2 * server.slow
    while server.get("/v1/adapters/it").json["version"] != version:
        assert time.monotonic() < end, server.get("/v1/adapters/it")
        time.sleep(0.01)


def swap_folders(server, folder, store):
    """By two renames in the store; between them there is none."""
    shutil.copytree(folder, store / ".mine")
    os.rename(store / "it", store / ".his")
    os.rename(store / ".mine", store / "it")
    shutil.rmtree(store / ".his")
    wait_for(server, folder)


def swap_files(server, folder, store):
    """One file after the other, and not as the server puts them there."""
    for name in pool.FILES:
        shutil.copy(os.path.join(folder, name), store / name)
        os.rename(store / name, store / "it" / name)
    wait_for(server, folder)


@pytest.mark.parametrize("update, rounds", [(post, 30), (put, 30), (swap_folders, 6), (swap_files, 6)])
def test_the_first_answer_after_an_update_is_the_new_one(start, long_model, tiny_adapter, tmp_path, slow, update, rounds):
    folders = [shutil.copytree(tiny_adapter(r), tmp_path / "outside" / r) for r in ("all", "rank13")]
    shutil.copytree(folders[0], tmp_path / "store" / "it")
    # Not the tmp_path of the other folders: a file of the store's file system is renamed into the store.
    with start("--model", long_model, "--adapters", tmp_path / "store", "--adapter-root", tmp_path / "outside", "--kv-memory", "64M") as server:
        def body(name, n):
            return {"adapter": name, "prompt": LONG, "max_tokens": n, "temperature": 0, "ignore_eos": True, "return_token_ids": True}

        def tokens(name, n):
            return server.ok("/v1/completions", body(name, n))

        expected = []
        for i, folder in enumerate(folders):
            assert server.post("/v1/adapters", {"name": f"quiet{i}", "path": str(folder)}).status == 201
            expected.append(tokens(f"quiet{i}", 200)["choices"][0]["token_ids"])
        assert expected[0][:8] != expected[1][:8]
        for i in range(rounds if slow == 1 else 4):
            old, new = expected[i % 2], expected[(i + 1) % 2]
            assert tokens("it", 8)["choices"][0]["token_ids"] == old[:8]
            warm = tokens("it", 8)
            assert warm["usage"]["prompt_tokens_details"]["cached_tokens"] >= 384 and warm["choices"][0]["token_ids"] == old[:8]
            running = server.stream("/v1/completions", body("it", 200))
            chunks = running.chunks()
            got = list(next(chunks)["choices"][0]["token_ids"])
            update(server, str(folders[(i + 1) % 2]), tmp_path / "store")
            first = tokens("it", 8)
            assert first["choices"][0]["token_ids"] == new[:8], (i, first)
            assert first["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
            for c in chunks:
                got += c["choices"][0].get("token_ids") or []
            assert got == old, f"round {i}: what ran during the update did not end on its version"
        assert server.stop() == 0


def test_requests_for_a_version_that_waits_on_the_disk_get_the_new_one_when_it_is_replaced(start, tiny_model, tiny_adapter, tmp_path):
    """Two contents under one name and a device that holds one adapter: the version that a request found may be gone from the
    store before it could come to the device."""
    (tmp_path / "store").mkdir()
    folders = [shutil.copytree(tiny_adapter(r), tmp_path / "outside" / r) for r in ("all", "rank13")]
    with start("--model", tiny_model, "--adapters", tmp_path / "store", "--adapter-root", tmp_path / "outside", "--kv-memory", "1M",
               "--adapter-memory", "150K", "--host-adapter-memory", "1") as server:
        expected = {}
        for i, folder in enumerate(folders):
            assert server.post("/v1/adapters", {"name": "it", "path": str(folder), "replace": True}).status in (200, 201)
            expected[pool.sha256_of(folder)[:16]] = server.complete(PROMPT, adapter="it", max_tokens=8, return_token_ids=True)["choices"][0]["token_ids"]
        assert server.post("/v1/adapters", {"name": "other", "path": str(folders[0])}).status == 201
        for i in range(40):
            server.complete(PROMPT, adapter="other", max_tokens=1)  # takes the place of "it"
            # As another replica would: this server hears of it later.
            shutil.copytree(folders[i % 2], tmp_path / "store" / ".new")
            if (tmp_path / "store" / "it").exists():
                os.rename(tmp_path / "store" / "it", tmp_path / f"old{i}")
            os.rename(tmp_path / "store" / ".new", tmp_path / "store" / "it")
            answer = server.complete(PROMPT, adapter="it", max_tokens=8, return_token_ids=True)
            assert answer["choices"][0]["token_ids"] == expected[answer["adapter"]["version"]], (i, answer)
            if i >= 4:
                time.sleep(0.02 * (i % 5))
        assert server.stop() == 0


# Memory
# ----------------------------------------------------------------------------------------------------------------------

def shift_by_a_byte(folder):
    """A longer header, after which no element is aligned: the loader needs copies of all tensors."""
    path = os.path.join(folder, "adapter_model.safetensors")
    with open(path, "rb") as f:
        data = f.read()
    size = int.from_bytes(data[:8], "little")
    with open(path, "wb") as f:
        f.write((size + 1).to_bytes(8, "little") + data[8:8 + size] + b" " + data[8 + size:])


@pytest.mark.slow
@pytest.mark.parametrize("shifted", [False, True])
def test_memory_returns_after_an_adapter_is_unloaded(start, tiny_model, tmp_path, slow, shifted):
    """Without any setting of the allocator's: an adapter of some 60 MB comes and goes, and within seconds the server is as small
    as it was, though nothing else happens in it."""
    large = str(tmp_path / "outside" / "large")
    (tmp_path / "store").mkdir()
    recipe = {"r": 4096, "lora_alpha": 16, "target_modules": make_tiny.ALL, "dtype": "f32"}
    make_tiny.make_adapter(large, "large", recipe, {**make_tiny.BASE, **make_tiny.VARIANTS["tiny"]}, "tiny", 0.1)
    if shifted:
        shift_by_a_byte(large)
    with start("--model", tiny_model, "--adapters", tmp_path / "store", "--adapter-root", tmp_path / "outside", "--kv-memory", "16M") as server:
        server.complete(PROMPT, max_tokens=1)
        before = server.rss()
        assert server.post("/v1/adapters", {"name": "large", "path": large}).json["sha256"] == pool.sha256_of(large)
        server.complete(PROMPT, adapter="large", max_tokens=1)
        loaded = server.rss()
        assert server.call("DELETE", "/v1/adapters/large?wait=true").status == 200
        end = time.monotonic() + 5 * slow
        while (after := server.rss()) - before > 4 << 20 and time.monotonic() < end:
            time.sleep(0.1)
        print(f"RSS: {before >> 10} KiB before, {loaded >> 10} KiB with the adapter, {after >> 10} KiB after it was unloaded")
        assert loaded - before > 50 << 20
        assert slow > 1 or after - before < 4 << 20
        assert server.stop() == 0


# Two servers on one store
# ----------------------------------------------------------------------------------------------------------------------

def answer(server, name):
    """(version, tokens), or the status that was no 200."""
    reply = server.post("/v1/completions", pool.request(name, PROMPT))
    return (reply.json["adapter"]["version"], reply.json["choices"][0]["token_ids"]) if reply.status == 200 else reply.status


def within_two_seconds(servers, name, expected):
    for server in servers:
        began = time.monotonic()
        while (found := answer(server, name)) != expected:
            assert time.monotonic() - began < 2 * server.slow, (name, expected, found)
            time.sleep(0.02)


@pytest.fixture
def replicas(start, tiny_model, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "outside").mkdir()
    options = ["--model", tiny_model, "--adapters", tmp_path / "store", "--adapter-root", tmp_path / "outside", "--kv-memory", "1M"]
    with start(*options) as one, start(*options) as two:
        yield one, two
        assert (one.stop(), two.stop()) == (0, 0)


def test_what_one_server_does_the_other_answers_within_two_seconds(replicas, tiny_adapter, tmp_path):
    one, two = replicas
    folders = [shutil.copytree(tiny_adapter(r), tmp_path / "outside" / r) for r in ("all", "rank13", "regex")]
    for by, other in ((one, two), (two, one)):
        seen = []
        for i, folder in enumerate(folders):
            if i == 1:
                reply = by.call("PUT", "/v1/adapters/shared", pool.pack(folder, "zip"))
            else:
                reply = by.post("/v1/adapters", {"name": "shared", "path": str(folder), "replace": i > 0})
            assert reply.status == (200 if i else 201), reply
            seen.append(answer(by, "shared"))
            assert seen[-1][0] == pool.sha256_of(folder)[:16]
            within_two_seconds([other], "shared", seen[-1])
        assert len({str(s) for s in seen}) == 3
        assert by.call("PATCH", "/v1/adapters/shared", {"pin": True}).json["pinned"] is True
        end = time.monotonic() + 2 * by.slow
        while not other.get("/v1/adapters/shared").json["pinned"]:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert answer(by, "shared") == answer(other, "shared") == seen[-1]
        assert other.call("DELETE", "/v1/adapters/shared?wait=true").status == 200
        within_two_seconds([by], "shared", 404)
        assert os.listdir(tmp_path / "store") == []


def test_folders_that_people_put_into_the_store_are_served_by_both_within_two_seconds(replicas, tiny_adapter, tmp_path):
    store = tmp_path / "store"
    for recipe in ("all", "rank13"):
        shutil.copytree(tiny_adapter(recipe), store / ".coming")
        if (store / "dropped").exists():
            os.rename(store / "dropped", tmp_path / "before")
        os.rename(store / ".coming", store / "dropped")
        expected = (pool.sha256_of(store / "dropped")[:16], None)
        for server in replicas:
            began = time.monotonic()
            while (found := answer(server, "dropped")) in (404, 503) or found[0] != expected[0]:
                assert time.monotonic() - began < 2 * server.slow, (recipe, found)
                time.sleep(0.02)
        assert answer(replicas[0], "dropped") == answer(replicas[1], "dropped")
    os.remove(store / "dropped" / pool.FILES[1])  # half an adapter: the last whole one goes on
    time.sleep(1)
    for server in replicas:
        assert answer(server, "dropped")[0] == expected[0]
    shutil.rmtree(store / "dropped")
    within_two_seconds(replicas, "dropped", 404)


def test_replicas_that_pin_more_than_fits_keep_the_first_by_name(start, tiny_model, tiny_adapter, tmp_path):
    for name in "ab":
        shutil.copytree(tiny_adapter("all"), tmp_path / "store" / name)
    options = ["--model", tiny_model, "--adapters", tmp_path / "store", "--kv-memory", "1M", "--adapter-memory", "60K"]

    def entries(server):
        return [server.get(f"/v1/adapters/{name}").json for name in "ab"]

    def pin(server, name):
        assert server.call("PATCH", f"/v1/adapters/{name}", {"pin": True}).status == 200

    def wait_until(server, what):
        end = time.monotonic() + 3 * server.slow
        while not what(*entries(server)):
            assert time.monotonic() < end, entries(server)
            time.sleep(0.02)

    with start(*options) as one, start(*options) as two:
        at_once(lambda: pin(one, "b"), lambda: pin(two, "a"))
        for server in (one, two):
            wait_until(server, lambda a, b: a["pinned"] and b["pinned"] and (a["tier"], b["tier"]) == ("device", "host"))
            a, b = entries(server)
            assert a["unpinned_because"] is None and "no room" in b["unpinned_because"], (a, b)
            assert (answer(server, "a")[0], answer(server, "b")) == (a["version"], 507)
        assert one.call("PATCH", "/v1/adapters/a", {"pin": False}).status == 200
        for server in (one, two):
            wait_until(server, lambda a, b: not a["pinned"] and b["tier"] == "device" and b["unpinned_because"] is None)
        assert (one.stop(), two.stop()) == (0, 0)


def test_two_servers_that_change_one_name_at_once_agree_in_the_end(replicas, tiny_adapter, tmp_path):
    folders = [shutil.copytree(tiny_adapter(r), tmp_path / "outside" / r) for r in ("all", "rank13")]
    for i in range(10):
        for k, server in enumerate(replicas):
            reply = server.post("/v1/adapters?wait=false", {"name": "fought", "path": str(folders[(i + k) % 2]), "replace": True})
            assert reply.status in (202, 409), reply
    end = time.monotonic() + 3 * replicas[0].slow
    while isinstance(found := answer(replicas[0], "fought"), int) or found != answer(replicas[1], "fought"):
        assert time.monotonic() < end, [s.get("/v1/adapters/fought").json for s in replicas]
        time.sleep(0.05)
