"""Who may call what: API keys, admin tokens, and the rule for administration without them."""
import http.client
import json
import os
import signal
import socket
import time

import pytest

COMPLETION = {"prompt": [5], "max_tokens": 1}
OPEN = [("GET", "/health", None), ("GET", "/ready", None), ("GET", "/version", None), ("GET", "/metrics", None)]
INFERENCE = [("POST", "/v1/completions", COMPLETION), ("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
             ("GET", "/v1/models", None), ("GET", "/v1/models/tiny", None), ("POST", "/tokenize", {"prompt": "a"}),
             ("POST", "/detokenize", {"tokens": [5]})]
ADMIN = [("GET", "/v1/adapters", None), ("GET", "/v1/adapters/all", None), ("POST", "/v1/adapters", {}), ("PUT", "/v1/adapters/x", b"x"),
         ("PATCH", "/v1/adapters/all", {}), ("DELETE", "/v1/adapters/nobody", None), ("POST", "/v1/load_lora_adapter", {}),
         ("POST", "/v1/unload_lora_adapter", {})]
KEY, OTHER_KEY, ADMIN_TOKEN = "key-3f9a", "key-77b1", "admin-c0de"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def guarded(start, tiny_model, tiny_store, tmp_path_factory):
    """Asks for API keys and for admin tokens."""
    files = tmp_path_factory.mktemp("tokens")
    with start("--model", tiny_model, "--adapters", tiny_store, "--kv-memory", "16M", "--served-model-name", "tiny", "--log-level", "debug",
               "--api-key-file", write(files / "keys", "# of two clients", "", KEY, f"{OTHER_KEY}\r"),
               "--admin-token-file", write(files / "admins", ADMIN_TOKEN)) as server:
        yield server
        for token in (KEY, OTHER_KEY, ADMIN_TOKEN, "stray-token"):
            assert token not in server.log
        assert server.stop() == 0


def unauthorized(reply):
    assert reply.status == 401, reply
    assert reply.headers["www-authenticate"] == "Bearer"
    error = reply.error
    assert (error["type"], error["code"], error["param"]) == ("authentication_error", "invalid_api_key", None)
    return error["message"]


@pytest.mark.parametrize("method, path, body", OPEN)
def test_probes_and_metrics_are_open(guarded, method, path, body):
    for headers in ({}, bearer(KEY), bearer("stray-token")):
        assert guarded.call(method, path, body, headers).status == 200


@pytest.mark.parametrize("method, path, body", INFERENCE)
def test_inference_needs_a_key_or_an_admin_token(guarded, method, path, body):
    assert "API key" in unauthorized(guarded.call(method, path, body))
    unauthorized(guarded.call(method, path, body, bearer("stray-token")))
    for token in (KEY, OTHER_KEY, ADMIN_TOKEN):
        assert guarded.call(method, path, body, bearer(token)).status == 200


@pytest.mark.parametrize("method, path, body", ADMIN)
def test_administration_needs_an_admin_token(guarded, method, path, body):
    for headers in ({}, bearer(KEY), bearer("stray-token")):
        assert "admin" in unauthorized(guarded.call(method, path, body, headers))
    assert guarded.call(method, path, body, bearer(ADMIN_TOKEN)).status not in (401, 403)


@pytest.mark.parametrize("value", ["", KEY, "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Bearer {KEY} x",
                                   f"Bearer {KEY.upper()}", "Bearer # of two clients", f"Token {KEY}", f"Bearer {KEY},{KEY}"])
def test_anything_but_a_whole_token_after_bearer_is_401(guarded, value):
    unauthorized(guarded.get("/v1/models", headers={"Authorization": value}))


def test_the_word_bearer_is_known_in_any_case(guarded):
    assert guarded.get("/v1/models", headers={"Authorization": f"bearer  {KEY}"}).status == 200


def test_the_openai_client_sends_a_key_and_raises_without(guarded):
    openai = pytest.importorskip("openai")
    assert openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=KEY).models.list().data[0].id == "tiny"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{guarded.url}/v1", api_key="stray-token", max_retries=0).models.list()


def test_paths_and_methods_that_are_not_there_say_so(guarded):
    assert guarded.get("/v1/nothing").status == 404
    assert guarded.call("DELETE", "/v1/models").status == 405


@pytest.mark.parametrize("method, path", [("POST", "/v1/completions"), ("PUT", "/v1/adapters/x"), ("POST", "/v1/adapters")])
@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
def test_a_body_is_not_asked_for_and_not_waited_for(guarded, method, path, expect):
    with guarded.socket() as s:
        s.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n{expect}\r\n".encode())
        answer = b""
        while data := s.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 401 ") and b"connection: close" in answer.lower() and b"100 Continue" not in answer


def test_a_connection_goes_on_after_401_without_a_body(guarded):
    connection = guarded.connect()
    for headers, status in (({}, 401), (bearer(KEY), 200), ({}, 401), (bearer(ADMIN_TOKEN), 200)):
        connection.request("GET", "/v1/models", headers=headers)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == status
    connection.close()


# Reading the files again

@pytest.fixture
def files(tmp_path):
    write(tmp_path / "keys", KEY)
    write(tmp_path / "admins", ADMIN_TOKEN)
    return tmp_path


@pytest.fixture
def changing(start, tiny_model, files):
    with start("--model", tiny_model, "--kv-memory", "16M", "--api-key-file", files / "keys", "--admin-token-file",
               files / "admins") as server:
        yield server
        assert server.stop() == 0


def reload(server, words):
    """SIGHUP, and waits until the log says so once more."""
    before = server.log.count(words)
    server.signal(signal.SIGHUP)
    end = time.monotonic() + 10 * server.slow
    while server.log.count(words) == before:
        assert time.monotonic() < end and server.process.poll() is None, server.log
        time.sleep(0.01)


def test_sighup_adds_and_revokes(changing, files):
    asks = lambda token, path="/v1/models": changing.get(path, headers=bearer(token)).status
    write(files / "keys", OTHER_KEY)
    assert (asks(KEY), asks(OTHER_KEY)) == (200, 401)  # nothing changes before it is asked for
    reload(changing, "--admin-token-file")
    assert (asks(KEY), asks(OTHER_KEY), asks(ADMIN_TOKEN, "/v1/adapters")) == (401, 200, 200)
    write(files / "admins", "admin-next")
    reload(changing, "--admin-token-file")
    assert (asks(ADMIN_TOKEN, "/v1/adapters"), asks("admin-next", "/v1/adapters")) == (401, 200)


@pytest.mark.parametrize("spoil", [lambda keys: keys.unlink(), lambda keys: keys.write_text(""), lambda keys: keys.write_text("a b\n"),
                                   lambda keys: (keys.unlink(), keys.mkdir())])
def test_a_bad_file_at_sighup_keeps_the_old_tokens_and_is_logged(changing, files, spoil):
    spoil(files / "keys")
    reload(changing, "--admin-token-file")
    assert changing.get("/v1/models", headers=bearer(KEY)).status == 200
    assert changing.get("/v1/models", headers=bearer("a")).status == 401
    errors = [line for line in changing.log.splitlines() if " error " in line]
    assert len(errors) == 1 and "--api-key-file" in errors[0] and str(files / "keys") in errors[0]


def test_sighup_does_not_end_a_server_without_files(start, tiny_model):
    with start("--model", tiny_model, "--kv-memory", "16M") as server:
        for _ in range(3):
            server.signal(signal.SIGHUP)
            time.sleep(0.05)
        assert server.get("/health").status == 200
        assert server.stop() == 0


# At the start

@pytest.mark.parametrize("option", ["--api-key-file", "--admin-token-file"])
@pytest.mark.parametrize("text", [None, "", "# none\n\n", "two words\n", "caf\u00e9\n"])
def test_a_bad_file_at_the_start_is_one_line(start, tiny_model, tmp_path, option, text):
    if text is not None:
        (tmp_path / "tokens").write_text(text, encoding="utf-8")
    with start("--model", tiny_model, option, tmp_path / "tokens", wait=False) as server:
        assert server.wait() == 1
        lines = server.log.splitlines()
        assert len(lines) == 1 and option in lines[0] and str(tmp_path / "tokens") in lines[0] and "words" not in lines[0], lines


def test_a_pipe_is_refused_and_not_waited_for(start, tiny_model, tmp_path):
    os.mkfifo(tmp_path / "tokens")
    with start("--model", tiny_model, "--api-key-file", tmp_path / "tokens", wait=False) as server:
        assert server.wait() == 1


def test_a_file_that_others_may_read_is_a_warning(start, tiny_model, tmp_path):
    for mode, warned in ((0o600, False), (0o640, False), (0o644, True)):
        write(tmp_path / "keys", KEY).chmod(mode)
        with start("--model", tiny_model, "--kv-memory", "16M", "--api-key-file", tmp_path / "keys") as server:
            lines = [line for line in server.log.splitlines() if "--api-key-file" in line]
            assert len(lines) == warned and all(" warn " in line for line in lines)
            assert server.stop() == 0


# Administration without admin tokens

@pytest.fixture(scope="module")
def everywhere(start, tiny_model, tiny_store):
    """Listens on every address, and asks nobody for anything."""
    with start("--model", tiny_model, "--adapters", tiny_store, "--kv-memory", "16M", listen="0.0.0.0:0") as server:
        yield server
        assert server.stop() == 0


def own_address():
    """An address of this machine that is not loopback; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
            found = s.getsockname()[0]
        except OSError:
            found = "127.0.0.1"
    return None if found.startswith("127.") or found == "0.0.0.0" else found


def ask(server, method, path, body=None, to="127.0.0.1", source=None, headers=None):
    connection = http.client.HTTPConnection(to, server.host_port[1], timeout=30 * server.slow, source_address=source and (source, 0))
    sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, sent, headers or {})
    reply = connection.getresponse()
    answer = reply.status, reply.read()
    connection.close()
    return answer


@pytest.mark.parametrize("method, path, body", ADMIN)
def test_administration_without_tokens_is_for_this_machine(everywhere, method, path, body):
    assert ask(everywhere, method, path, body)[0] != 403


@pytest.mark.parametrize("method, path, body", ADMIN)
def test_others_are_told_which_option_would_let_them(everywhere, method, path, body):
    address = own_address()
    if address is None:
        pytest.skip("this machine has only loopback addresses")
    status, answer = ask(everywhere, method, path, body, source=address)  # to 127.0.0.1 from an address that is not this one
    error = json.loads(answer)["error"]
    assert status == 403 and error["type"] == "permission_error" and "--admin-token-file" in error["message"]


def test_others_may_ask_for_inference(everywhere):
    address = own_address()
    if address is None:
        pytest.skip("this machine has only loopback addresses")
    assert ask(everywhere, "POST", "/v1/completions", COMPLETION, source=address)[0] == 200
    assert ask(everywhere, "GET", "/v1/adapters", to=address)[0] == 200  # from this machine to itself


@pytest.mark.parametrize("headers", [
    {"X-Forwarded-For": "192.0.2.7"}, {"Forwarded": "for=192.0.2.7"}, {"Origin": "http://page.example"}, {"Origin": "null"},
    {"Host": "page.example:8000", "Origin": "http://page.example:8000"}, {"Host": "page.example"}, {"Host": "127.0.0.1.page.example"},
    {"Host": "localhost.page.example:8000"},
])
def test_who_asks_by_way_of_this_machine_is_not_on_it(everywhere, headers):
    assert ask(everywhere, "GET", "/v1/adapters", headers=headers)[0] == 403


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000", "127.0.0.1:8000"])
def test_this_machine_is_known_by_its_own_names(everywhere, host):
    assert ask(everywhere, "GET", "/v1/adapters", headers={"Host": host})[0] == 200
    assert ask(everywhere, "GET", "/v1/adapters", headers={"Host": host, "Origin": f"http://{host}"})[0] == 200


def test_a_unix_socket_is_this_machine(start, tiny_model, tmp_path):
    with start("--model", tiny_model, "--kv-memory", "16M", listen=f"unix:{tmp_path}/s") as server:
        connection = http.client.HTTPConnection("anything")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(f"{tmp_path}/s")
        connection.request("GET", "/v1/adapters")
        assert connection.getresponse().status == 200
        connection.close()
        assert server.stop() == 0


def test_an_admin_token_is_asked_for_on_this_machine_too_and_is_enough_elsewhere(start, tiny_model, tmp_path):
    with start("--model", tiny_model, "--kv-memory", "16M", "--admin-token-file", write(tmp_path / "admins", ADMIN_TOKEN),
               listen="0.0.0.0:0") as server:
        assert ask(server, "GET", "/v1/adapters")[0] == 401
        assert ask(server, "GET", "/v1/models")[0] == 200  # nobody asked for keys
        assert ask(server, "GET", "/v1/adapters", headers={**bearer(ADMIN_TOKEN), "X-Forwarded-For": "192.0.2.7"})[0] == 200
        if own_address():
            assert ask(server, "GET", "/v1/adapters", source=own_address(), headers=bearer(ADMIN_TOKEN))[0] == 200
        assert server.stop() == 0
