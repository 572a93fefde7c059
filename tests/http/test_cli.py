"""The command line, the environment and the file: who goes before whom, and what a wrong one is told."""
import os
import subprocess

import pytest


@pytest.fixture(scope="module")
def run(binary, slow):
    def run(*args, env=None):
        plain = {k: v for k, v in os.environ.items() if not k.startswith("DYNLORA_")}
        return subprocess.run([binary, *map(str, args)], capture_output=True, text=True, timeout=60 * slow, env={**plain, **(env or {})},
                              stdin=subprocess.DEVNULL)
    return run


def refused(result, *words, status=2):
    """It ended with this status and one line on stderr, in which the words are."""
    assert result.returncode == status, result
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0], (word, lines[0])


def test_help_reads_well_in_80_columns(run):
    for args in (["help"], ["--help"], ["serve", "--help"]):
        told = run(*args)
        assert told.returncode == 0 and not told.stderr
        assert max(len(line) for line in told.stdout.splitlines()) <= 80
    for option in ("--model", "--served-model-name", "--adapters", "--adapter-root", "--listen", "--ready-file", "--weights", "--threads",
                   "--backend", "--kv-memory", "--max-rows", "--max-queue", "--step-tokens", "--config", "--log-level", "--log-format"):
        assert f" {option} " in told.stdout, option


def test_version(run):
    assert run("version").stdout.startswith("dynlora ") and run("version").returncode == 0


def test_no_or_an_unknown_command_is_2(run):
    assert run().returncode == 2
    told = run("frobnicate")
    assert told.returncode == 2 and "frobnicate" in told.stderr


@pytest.mark.parametrize("args, words", [
    (["--modle", "x"], ["--modle", "model"]),
    (["--frob", "1"], ["--frob"]),
    (["--max-rows", "many"], ["--max-rows", "many"]),
    (["--max-rows", "0"], ["--max-rows", "0"]),
    (["--max-rows", "-5"], ["--max-rows"]),
    (["--max-rows", "99999999999999999999"], ["--max-rows"]),
    (["--max-rows", "5x"], ["--max-rows", "5x"]),
    (["--max-rows"], ["--max-rows"]),
    (["--kv-memory", "5Q"], ["--kv-memory", "5Q"]),
    (["--kv-memory", "-1"], ["--kv-memory"]),
    (["--kv-memory", "99999999T"], ["--kv-memory"]),
    (["--log-level", "loud"], ["--log-level", "loud"]),
    (["--weights", "int3"], ["--weights", "int3"]),
    (["--prefix-cache", "maybe"], ["--prefix-cache", "maybe"]),
    (["--step-tokens", "8", "--max-rows", "9"], ["--step-tokens"]),
    (["--max-rows", "4", "--max-rows", "5"], ["--max-rows"]),
    (["stray"], ["stray"]),
    (["--config", "/nothing.conf"], ["/nothing.conf"]),
    (["--served-model-name", ""], ["--served-model-name"]),
])
def test_a_bad_option_is_2_and_one_line(run, tiny_model, args, words):
    refused(run("serve", "--model", tiny_model, *args), *words)


def test_without_a_model_it_is_2(run):
    refused(run("serve"), "--model")


@pytest.mark.parametrize("name, value, words", [
    ("DYNLORA_MAX_ROWS", "many", ["DYNLORA_MAX_ROWS", "many"]), ("DYNLORA_COLOUR", "red", ["DYNLORA_COLOUR"]),
])
def test_a_bad_environment_is_2(run, tiny_model, name, value, words):
    refused(run("serve", "--model", tiny_model, env={name: value}), *words)


@pytest.mark.parametrize("text, words", [
    ("max-rows = many\n", [":1", "max-rows", "many"]), ("# ok\n\ncolour = red\n", [":3", "colour"]), ("just words\n", [":1"]),
    ("max-rows = 1\nmax-rows = 2\n", [":2", "max-rows"]), ("[section]\nmax-rows = 2\n", []), ("config = x\n", ["1"]),
])
def test_a_bad_file_is_2_with_its_line(run, tiny_model, tmp_path, text, words):
    (tmp_path / "d.conf").write_text(text)
    refused(run("serve", "--model", tiny_model, "--config", tmp_path / "d.conf"), "d.conf", *words)


def max_rows(server):
    """What the server says of it: max_lora in the gateways' metric."""
    info = next(k for k in server.metrics() if k.startswith("vllm:lora_requests_info{"))
    return int(info.split('max_lora="')[1].split('"')[0])


@pytest.mark.parametrize("flag, env, file, expected", [
    (None, None, None, 32), (None, None, 3, 3), (None, 5, None, 5), (None, 5, 3, 5), (7, 5, 3, 7), (7, None, 3, 7), (7, 5, None, 7),
])
def test_a_flag_goes_before_the_environment_before_the_file(start, tiny_model, tmp_path, flag, env, file, expected):
    options = ["--max-rows", flag] if flag else []
    if file:
        (tmp_path / "d.conf").write_text(f"# a comment\nmodel = {tiny_model}\nmax-rows = {file}\n")
        options += ["--config", tmp_path / "d.conf"]
    else:
        options += ["--model", tiny_model]
    with start(*options, env={"DYNLORA_MAX_ROWS": str(env)} if env else None) as server:
        assert max_rows(server) == expected
        assert server.stop() == 0


def test_the_sample_file_is_taken_as_it_is(start, tiny_model):
    sample = os.path.join(os.path.dirname(__file__), "..", "..", "conf", "dynlora.conf")
    with start("--model", tiny_model, "--config", sample) as server:
        assert max_rows(server) == 32
        assert server.stop() == 0


def test_the_log_is_one_json_object_a_line_if_asked_for(start, tiny_model):
    import json

    with start("--model", tiny_model, "--log-format", "json") as server:
        server.complete([5], max_tokens=1)
        log = server.log
        assert server.stop() == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert lines and all(isinstance(line, dict) for line in lines)


def test_a_unix_socket(start, tiny_model, tmp_path):
    import http.client
    import socket

    with start("--model", tiny_model, listen=f"unix:{tmp_path}/s") as server:
        assert server.address == f"unix:{tmp_path}/s"
        connection = http.client.HTTPConnection("x")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(f"{tmp_path}/s")
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 200
        connection.close()
        assert server.stop() == 0
    assert not os.path.exists(f"{tmp_path}/s")


def test_an_address_that_is_taken_is_1(run, tiny, tiny_model):
    refused(run("serve", "--model", tiny_model, "--listen", tiny.address), tiny.address.split(":")[1], status=1)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:99999", "127.0.0.1:x", ":::", "unix:", "unix:/nothing/here/s", "256.1.1.1:80"])
def test_a_bad_address_is_told(run, tiny_model, address):
    told = run("serve", "--model", tiny_model, "--listen", address)
    assert told.returncode in (1, 2) and any(part in told.stderr for part in address.split(":")) and len(told.stderr.splitlines()) == 1, told


def test_inspect_tells_what_a_model_is(run, models, tiny_model):
    told = run("inspect", tiny_model)
    assert told.returncode == 0 and not told.stderr
    for word in ("llama", "BF16", "256", "301"):
        assert word in told.stdout, word
    told = run("inspect", f"{models}/SmolLM2-135M-Instruct.gguf")
    assert told.returncode == 0
    for word in ("llama", "Q4_1", "Q8_0", "F32", "30", "576", "49152"):
        assert word in told.stdout, word


def test_inspect_tells_what_an_adapter_is(run, tiny_adapter):
    told = run("inspect", tiny_adapter("patterns"))
    assert told.returncode == 0
    for word in ("lora", "q_proj", "down_proj"):
        assert word in told.stdout, word
    assert max(len(line) for line in told.stdout.splitlines()) <= 100
    rank64 = run("inspect", tiny_adapter("rank64")).stdout
    assert "64" in rank64 and "BF16" in rank64


def test_inspect_tells_why_it_would_be_refused(run, tmp_path, tiny_adapter):
    refused(run("inspect", "/nothing/here"), "/nothing/here", status=1)
    refused(run("inspect", tmp_path), str(tmp_path), status=1)
    os.makedirs(tmp_path / "bad")
    for name in os.listdir(tiny_adapter("all")):
        with open(os.path.join(tiny_adapter("all"), name), "rb") as f:
            data = f.read()
        (tmp_path / "bad" / name).write_bytes(data.replace(b'"use_dora": false', b'"use_dora": true'))
    refused(run("inspect", tmp_path / "bad"), "adapter_config.json", "use_dora", status=1)
