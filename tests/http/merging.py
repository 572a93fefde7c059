"""What the tests of merging have in common. Their models are f32 where answers of different modes are compared: a merge hardly rounds
there, so that what is right agrees to the third digit and what is wrong does not."""
import re
import shutil
import time

import numpy as np
import pytest

import make_tiny

PROMPT = [5, 6, 7, 8]
LONG = [3 + i * 7 % 280 for i in range(100)]  # six pages of the cache
SAME = 0.002  # f32: how far the log-probabilities of two modes may be from each other


@pytest.fixture(scope="module")
def start(start):
    """Starts a server that may merge."""
    return lambda *options, **more: start(*(() if "--merge" in options else ("--merge", "auto")), *options, **more)


def make_model(folder, name, **recipe):
    make_tiny.VARIANTS[name] = {"dtype": "f32", **recipe}
    make_tiny.make_model(str(folder / name), name)
    return str(folder / name)


@pytest.fixture(scope="module")
def f32_model(scratch):
    """tiny's shape, so that its adapters fit, and a long context."""
    return make_model(scratch, "tiny-merge", max_position_embeddings=32768)


@pytest.fixture
def server(start, f32_model, tiny_store, tmp_path):
    """The f32 model with a store of its own, nothing of it merged."""
    shutil.copytree(tiny_store, tmp_path / "store")
    with start("--model", f32_model, "--adapters", tmp_path / "store", "--adapter-root", tmp_path, "--kv-memory", "64M",
               "--served-model-name", "tiny") as server:
        bar_all(server)
        yield server
        assert server.stop() == 0


def bar_all(server):
    """No adapter may be merged until a test says so: what the policy finds best is not for these tests."""
    for e in server.get("/v1/adapters").json["data"]:
        set_mode(server, e["name"], "unmerged")


def set_mode(server, name, mode):
    reply = server.call("PATCH", f"/v1/adapters/{name}", {"mode": mode})
    assert (reply.status, reply.json["mode"]) == (200, mode), reply
    return reply.json


def entry(server, name):
    reply = server.get(f"/v1/adapters/{name}")
    assert reply.status == 200, reply
    return reply.json


def wait_until(server, what, seconds=15):
    end = time.monotonic() + seconds * server.slow
    while not what():
        assert time.monotonic() < end, [e for e in server.get("/v1/adapters").json["data"] if e["mode"] != "unmerged"]
        time.sleep(0.005)


def merge(server, name):
    set_mode(server, name, "merged")
    wait_until(server, lambda: entry(server, name)["merged"])


def restore(server, name):
    set_mode(server, name, "unmerged")
    wait_until(server, lambda: mode_of(ask(server, name, PROMPT, max_tokens=1)) == "per-row")


def ask(server, adapter, prompt=PROMPT, **fields):
    return server.complete(prompt, adapter=adapter, **{"max_tokens": 8, "logprobs": 0, "ignore_eos": True, "return_token_ids": True, **fields})


def mode_of(answer):
    """What its fingerprint says: "per-row", "switched", or the version that was merged."""
    fingerprint = answer["system_fingerprint"]
    if merged := re.search("-merged-([0-9a-f]{16})$", fingerprint):
        return merged[1]
    if re.search("-switched-[0-9]+$", fingerprint):
        return "switched"
    assert "merged" not in fingerprint and "switched" not in fingerprint, fingerprint
    return "per-row"


def exact(answer):
    choice = answer["choices"][0]
    return choice["token_ids"], choice["logprobs"]["token_logprobs"]


def agrees(answer, expected, within=SAME):
    """Token for token, and each log-probability."""
    (ids, logprobs), (expected_ids, expected_logprobs) = exact(answer), exact(expected)
    return ids == expected_ids and np.abs(np.subtract(logprobs, expected_logprobs)).max() < within
