"""Servers to test, one for each need and shared by the tests that change nothing lasting in them.

tests/run calls pytest with --server and --models; by hand: .venv/bin/python -m pytest tests/http after a tests/run.
"""
import json
import os
import shutil
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
GOLDEN = os.path.join(ROOT, "tests", "golden")
DEMO = os.path.join(ROOT, "deploy", "demo", "adapters")
sys.path[:0] = [HERE, GOLDEN]

import make_tiny
from server import Server

CROWD = ["all", "rslora", "patterns", "layers", "regex", "rank1", "rank13", "rank64"]  # eight adapters of tiny


def pytest_addoption(parser):
    parser.addoption("--server", default=os.path.join(ROOT, "build", "test", "src", "dynlora"), help="the binary")
    parser.addoption("--models", default=os.path.join(ROOT, "build", "models"), help="what tests/run makes")
    parser.addoption("--crowd", default=10, type=int, help="seconds that the crowd of 200 clients stays")


def pytest_configure(config):
    config.addinivalue_line("markers", "smollm2: needs the real model")
    config.addinivalue_line("markers", "slow: takes more than a few seconds")


def pytest_collection_modifyitems(items):
    for item in items:
        if {"smollm2", "smollm2_gguf", "smollm2_native", "smollm2_store"} & set(item.fixturenames):
            item.add_marker("smollm2")


@pytest.fixture(scope="session")
def binary(request):
    path = os.path.abspath(request.config.getoption("--server"))
    if not os.path.exists(path):
        pytest.exit(f"expected the server's binary at {path}: run tests/run", 2)
    return path


@pytest.fixture(scope="session")
def models(request):
    path = os.path.abspath(request.config.getoption("--models"))
    if not os.path.exists(os.path.join(path, "tiny", "config.json")):
        pytest.exit(f"expected models in {path}: run tests/run", 2)
    return path


@pytest.fixture(scope="session")
def slow(binary):
    """How much longer than usual things may take: a sanitizer's build is known by its symbols."""
    with open(binary, "rb") as f:
        code = f.read()
    return 10 if b"__tsan_init" in code else 5 if b"__asan_init" in code else 1


@pytest.fixture(scope="session")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def tiny_model(models):
    return os.path.join(models, "tiny")


@pytest.fixture(scope="session")
def tiny_adapter(models):
    """Path of a synthetic adapter of tiny by its recipe."""
    return lambda recipe: os.path.join(models, "adapters", f"tiny.{recipe}")


@pytest.fixture(scope="session")
def tiny_store(scratch, tiny_adapter):
    """A store with eight adapters."""
    store = scratch / "store"
    for name in CROWD:
        shutil.copytree(tiny_adapter(name), store / name)
    return str(store)


@pytest.fixture(scope="session")
def long_model(scratch):
    """tiny's shape with a long context, so that an answer can last for seconds; tiny's adapters fit."""
    make_tiny.VARIANTS["tiny-long"] = {"dtype": "bf16", "max_position_embeddings": 32768}
    make_tiny.make_model(str(scratch / "tiny-long"), "tiny-long")
    return str(scratch / "tiny-long")


@pytest.fixture(scope="session")
def start(binary, slow):
    """Starts a server with options; the test ends it, or leaving a `with` kills it.

    Unless a test says how to merge, nothing is merged: then the bits of an answer depend on its request alone.
    """
    never = ("--merge", "never")
    return lambda *options, **more: Server(
        binary, *(() if any(str(o).startswith("--merge") for o in options) else never), *options, slow=slow, **more)


def serving(server):
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def tiny(start, tiny_model, tiny_store):
    """tiny and eight adapters. Tests leave it as they found it."""
    yield from serving(start("--model", tiny_model, "--adapters", tiny_store, "--kv-memory", "64M", "--served-model-name", "tiny"))


@pytest.fixture(scope="module")
def roomy(start, long_model, tiny_store):
    """The same with a long context."""
    yield from serving(start("--model", long_model, "--adapters", tiny_store, "--kv-memory", "256M"))


@pytest.fixture
def fresh(start, tiny_model, tiny_store, tmp_path):
    """tiny with a store of its own, for tests that change it; tmp_path / "outside" is a root, too. Freed pages go back at once, so that
    its RSS is what it holds."""
    shutil.copytree(tiny_store, tmp_path / "store")
    (tmp_path / "outside").mkdir()
    yield from serving(start("--model", tiny_model, "--adapters", tmp_path / "store", "--adapter-root", tmp_path / "outside",
                             "--kv-memory", "16M", "--served-model-name", "tiny",
                             env={"MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0"}))


@pytest.fixture(scope="session")
def smollm2_store(scratch, models):
    """The three demo adapters and the six synthetic ones."""
    store = scratch / "smollm2-store"
    for name in ("sql", "shout", "pirate"):
        shutil.copytree(os.path.join(DEMO, name), store / name)
    for recipe in make_tiny.SMOL_ADAPTERS:
        shutil.copytree(os.path.join(models, "adapters", f"smollm2.{recipe}"), store / f"smollm2.{recipe}")
    return str(store)


@pytest.fixture(scope="session")
def smollm2(start, models, smollm2_store):
    """The real model from its Hugging Face folder, and nine adapters."""
    yield from serving(start("--model", os.path.join(models, "SmolLM2-135M-Instruct"), "--adapters", smollm2_store,
                             "--kv-memory", "512M", "--served-model-name", "smollm2"))


@pytest.fixture(scope="module")
def smollm2_gguf(start, models, smollm2_store):
    """The real model from its GGUF, dequantised: the numbers that the golden files were made with."""
    yield from serving(start("--model", os.path.join(models, "SmolLM2-135M-Instruct.gguf"), "--adapters", smollm2_store,
                             "--kv-memory", "512M", "--served-model-name", "smollm2", "--weights", "bf16"))


@pytest.fixture(scope="module")
def smollm2_native(start, models, smollm2_store):
    """The real model from its GGUF as it lies."""
    yield from serving(start("--model", os.path.join(models, "SmolLM2-135M-Instruct.gguf"), "--adapters", smollm2_store,
                             "--kv-memory", "512M", "--served-model-name", "smollm2"))


@pytest.fixture(scope="session")
def golden():
    """A golden file by its model's name."""
    def read(name):
        with open(os.path.join(GOLDEN, f"{name}.json"), encoding="utf-8") as f:
            return json.load(f)
    return read
