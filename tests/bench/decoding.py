"""Asking a server for tokens and merges, for the benchmarks that do. Needs the Python packages of tests/run."""
import os
import re
import shutil
import subprocess
import time

import make_tiny
from server import at_once

N_PROMPT, N_ANSWER = 32, 128


def make_adapter(store, name, rank):
    """Adapter `name` for SmolLM2, with numbers of its own at all seven modules."""
    path = os.path.join(store, name)
    if not os.path.exists(os.path.join(path, "adapter_config.json")):
        shutil.rmtree(path, ignore_errors=True)
        recipe = {**make_tiny.SMOL_ADAPTERS["all"], "r": rank, "lora_alpha": 2 * rank}
        make_tiny.make_adapter(path, name, recipe, make_tiny.SMOL, "SmolLM2-135M-Instruct", 0.1)


def run(server, adapters, rows, n_tokens, draw):
    """Seconds until the last of the rows, which ask for the adapters in turn (None: the base), has its answer."""
    bodies = [{"prompt": [draw.randrange(1000, 40000) for _ in range(N_PROMPT)], "max_tokens": n_tokens, "ignore_eos": True, "temperature": 0,
               "adapter": adapters[i % len(adapters)]} for i in range(rows)]
    began = time.perf_counter()
    at_once(*(lambda b=b: server.ok("/v1/completions", b) for b in bodies))
    return time.perf_counter() - began


def decode(server, adapters, rows, draw, n=N_ANSWER):
    """Seconds that decoding n tokens took, from a run with one token and one with more."""
    short, long = run(server, adapters, rows, 1, draw), run(server, adapters, rows, 1 + n, draw)
    return long - short


def set_mode(server, adapter, mode):
    assert server.call("PATCH", f"/v1/adapters/{adapter}", {"mode": mode}).status == 200


def set_merged(server, adapter, merged):
    """Seconds that it took to bring the weights there, None if they were."""
    if server.get(f"/v1/adapters/{adapter}").json["merged"] == merged:
        return None
    began = time.perf_counter()
    set_mode(server, adapter, "merged" if merged else "unmerged")
    while server.get(f"/v1/adapters/{adapter}").json["merged"] != merged:
        assert time.perf_counter() < began + 60, server.get(f"/v1/adapters/{adapter}").json
        time.sleep(0.001)
    return time.perf_counter() - began


def kernels(build, *options):
    """Lines of bench_kernels, which the caller need not read to the end; none without it."""
    target = "tests/bench/bench_kernels"
    if subprocess.run(["ninja", "-C", build, target], capture_output=True).returncode != 0:
        return
    with subprocess.Popen([os.path.join(build, target), *options], stdout=subprocess.PIPE, text=True, bufsize=1) as p:
        try:
            yield from p.stdout
        finally:
            p.kill()


def read_bandwidth(build):
    """GB/s that all threads together read, as bench_kernels measures it before anything else."""
    found = next((m for m in (re.search(r"read ([\d.]+) GB/s", line) for line in kernels(build)) if m), None)
    return float(found[1]) if found else None


def cpu_name():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        found = re.search(r"^model name\s*: (.*)$", f.read(), re.M)
    return found[1] if found else "unknown CPU"
