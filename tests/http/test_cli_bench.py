"""`dynlora bench`: what it measures is there and possible, and what it cannot do is said. How fast it is, is not tested."""
import json
import math
import os
import subprocess

import pytest


@pytest.fixture(scope="module")
def bench(binary, slow):
    def bench(*args):
        return subprocess.run([binary, "bench", *map(str, args)], capture_output=True, text=True, timeout=120 * slow,
                              stdin=subprocess.DEVNULL)
    return bench


SMALL = ["--rounds", "1", "--prompt", "40", "--generate", "4", "--context", "20", "--threads", "2"]


def check_shape(told, prefill, decode):
    """Cases as (rows, adapters, none_loaded), every figure finite and above 0."""
    assert [(c["rows"], c["adapters"], False) for c in told["prefill"]] == prefill
    assert [(c["rows"], c["adapters"], c["none_loaded"]) for c in told["decode"]] == decode
    for case in told["prefill"] + told["decode"]:
        share, rate = ("of_fma", "gflop_s") if case in told["prefill"] else ("of_read", "gb_s")
        for field in ("tokens_s", "of_base", share, rate, "seconds"):
            for value in case[field] if field == "seconds" else [case[field]]:
                assert math.isfinite(value) and value > 0, (field, case)
        if not case["adapters"] and not case.get("none_loaded"):
            assert case["of_base"] == 1


def test_every_case_is_measured_and_told_as_json(bench, tiny_model):
    told = bench("--model", tiny_model, "--rows", "1,3", "--adapters", "0,1,3", "--rank", "4,8", "--json", *SMALL)
    assert told.returncode == 0, told
    told = json.loads(told.stdout)
    check_shape(told, [(1, 0, False), (1, 1, False)],
                [(1, 0, True), (1, 0, False), (1, 1, False), (3, 0, False), (3, 1, False), (3, 3, False)])
    assert told["machine"]["threads"] == 2 and told["machine"]["read_gb_s"] > 0.1 and told["machine"]["fma_gflop_s"] > 0.1
    model = told["model"]
    assert model["arch"] == "llama" and model["dtype"] == "BF16" and model["weight_bytes"] > 0 and model["adapter_bytes"] > 0
    assert model["kv_bytes"] > 0 and model["ready_s"] > 0 and model["other_bytes"] < 1 << 30
    assert told["ranks"] == [4, 8] and told["rounds"] == 1
    assert all(c["context"] == 32 for c in told["decode"])  # whole pages


def test_rates_are_work_over_time(bench, tiny_model):
    told = json.loads(bench("--model", tiny_model, "--rows", "2", "--adapters", "0", "--json", *SMALL).stdout)
    check_shape(told, [(1, 0, False)], [(2, 0, False)])
    assert told["prefill"][0]["tokens_s"] * told["prefill"][0]["seconds"][0] == pytest.approx(40)
    decode, weights, kv = told["decode"][0], told["model"]["weight_bytes"], 3 * 2 * 2 * 16 * 4  # layers, k and v, heads, head_dim, f32
    assert decode["tokens_s"] * decode["seconds"][0] == pytest.approx(2 * 4)
    assert decode["gb_s"] * 1e9 * decode["seconds"][0] == pytest.approx(4 * weights + 2 * kv * (33 + 34 + 35 + 36), rel=0.01)


@pytest.mark.parametrize("backend, model, peak", [
    ("plain", "tiny", "fma_gflop_s"), ("cpu-avx2", "tiny", "fma_gflop_s"), ("cpu-avx512", "tiny", "fma_avx512_gflop_s"),
    ("cpu-amx", "tiny", "fma_amx_bf16_gflop_s"), ("cpu-amx", "tiny-mha", "fma_avx512_gflop_s"),  # tiles are for bf16 alone
])
def test_shares_are_of_the_least_peak_and_of_the_backends_own(bench, models, backend, model, peak):
    told = bench("--model", os.path.join(models, model), "--rows", "1", "--adapters", "0", "--backend", backend, "--json", *SMALL)
    if "expected a processor" in told.stderr or "no backend" in told.stderr:
        pytest.skip(told.stderr)
    told = json.loads(told.stdout)
    machine, prefill = told["machine"], told["prefill"][0]
    assert told["model"]["backend"] == backend
    assert machine["backend_fma_gflop_s"] == machine[peak] > 0
    assert prefill["of_fma"] * machine["fma_gflop_s"] == pytest.approx(prefill["gflop_s"])
    assert prefill["of_backend_fma"] * machine[peak] == pytest.approx(prefill["gflop_s"])


def test_the_table_is_for_people(bench, tiny_model):
    told = bench("--model", tiny_model, "--rows", "1", "--adapters", "1", *SMALL)
    assert told.returncode == 0, told
    for words in ("2 threads", "GB/s", "GFLOP/s", "prefill of 40 tokens", "decode of 4 tokens after 32", "none loaded",
                  "of peak  of backend's  of base", "of peak  of base", tiny_model):
        assert words in told.stdout, words


def test_help_names_every_option_in_80_columns(bench):
    for word in ("help", "--help"):
        told = bench(word)
        assert told.returncode == 0 and not told.stderr
        assert max(len(line) for line in told.stdout.splitlines()) <= 80
    for option in ("model", "keep", "rows", "adapters", "rank", "prompt", "context", "generate", "rounds", "json", "threads", "step-tokens",
                   "kv-dtype"):
        assert f" --{option} " in told.stdout, option


@pytest.mark.parametrize("args, words", [
    (["--rows", "0"], ["--rows", "0"]), (["--rows", "1,,2"], ["--rows"]), (["--rows", "1,x"], ["--rows", "1,x"]), (["--rows", ""], ["--rows"]),
    (["--rows", "1,2,3,4,5,6,7,8,9"], ["--rows", "8"]), (["--rank", "0"], ["--rank"]), (["--adapters", "-1"], ["--adapters"]),
    (["--rounds", "0"], ["--rounds"]), (["--rounds"], ["--rounds"]), (["--row", "1"], ["--row", "rows"]), (["--json=maybe"], ["--json"]),
    (["--rounds", "1", "--rounds", "2"], ["--rounds"]), (["stray"], ["stray"]), (["--keep", "x"], ["--keep", "--model"]),
])
def test_a_bad_option_is_2_and_one_line(bench, tiny_model, args, words):
    told = bench("--model", tiny_model, *args)
    assert told.returncode == 2 and not told.stdout and len(told.stderr.splitlines()) == 1, told
    for word in words:
        assert word in told.stderr, told.stderr


@pytest.mark.parametrize("args, words", [
    (["--model", "/nothing/here"], ["/nothing/here"]), (["--prompt", "9999"], ["--prompt", "256", "10000"]),
])
def test_what_cannot_be_measured_is_1_and_one_line(bench, tiny_model, args, words):
    told = bench(*(["--model", tiny_model] if "--model" not in args else []), *args)
    assert told.returncode == 1 and not told.stdout and len(told.stderr.splitlines()) == 1, told
    for word in words:
        assert word in told.stderr, told.stderr


def test_nothing_is_left_behind(bench, tiny_model):
    def left():
        return {name for name in os.listdir("/tmp") if name.startswith("dynlora-bench-")}
    before = left()
    assert bench("--model", tiny_model, "--rows", "1", "--adapters", "1", *SMALL).returncode == 0
    assert left() <= before
