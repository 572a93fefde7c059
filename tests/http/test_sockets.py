"""HTTP by hand: what clients do to a connection that no library would."""
import json
import os
import re
import resource
import socket
import struct
import time

import pytest

BODY = json.dumps({"prompt": [5, 6, 7], "max_tokens": 4, "temperature": 0, "return_token_ids": True}).encode()
LONG = {"prompt": [5, 6, 7], "temperature": 0, "max_tokens": 30000, "ignore_eos": True}


def post(body=BODY, path="/v1/completions", extra=b"", version=b"1.1"):
    return b"POST " + path.encode() + b" HTTP/" + version + b"\r\nHost: x\r\nContent-Length: " + str(len(body)).encode() + b"\r\n" + extra + b"\r\n" + body


def read_reply(s, buffer=b""):
    """(status, headers, body, what came after it) of one whole answer."""
    while b"\r\n\r\n" not in buffer:
        data = s.recv(65536)
        assert data, f"closed in the middle of a head: {buffer[:300]}"
        buffer += data
    head, buffer = buffer.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
    status = int(lines[0].split()[1])
    length = int(headers.get("content-length", 0))
    while len(buffer) < length:
        data = s.recv(65536)
        assert data, "closed in the middle of a body"
        buffer += data
    return status, headers, buffer[:length], buffer[length:]


def read_all(s):
    data = b""
    while part := s.recv(65536):
        data += part
    return data


@pytest.fixture
def wire(tiny):
    with tiny.socket() as s:
        yield s


@pytest.fixture(scope="module")
def expected(tiny):
    return json.loads(tiny.call("POST", "/v1/completions", BODY).body)["choices"][0]["token_ids"]


def ids(body):
    return json.loads(body)["choices"][0]["token_ids"]


def test_keep_alive_serves_many(wire, expected):
    for _ in range(20):
        wire.sendall(post())
        status, headers, body, rest = read_reply(wire)
        assert (status, ids(body), rest) == (200, expected, b"") and headers.get("connection", "keep-alive").lower() != "close"


def test_pipelined_requests_are_answered_in_order(wire, expected):
    wire.sendall(b"".join([post(), b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", post(b"{"), post(), b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"]))
    statuses, rest = [], b""
    for _ in range(5):
        status, _, body, rest = read_reply(wire, rest)
        statuses.append(status)
        if status == 200 and b"choices" in body:
            assert ids(body) == expected
    assert statuses == [200, 200, 400, 200, 404] and rest == b""


def test_a_byte_at_a_time(wire, expected):
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for b in post():
        wire.sendall(bytes([b]))
    assert ids(read_reply(wire)[2]) == expected


def test_chunked_bodies(wire, expected):
    for sizes in ([7], [1, 2, 3, 500], [len(BODY)]):
        wire.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        at = 0
        while at < len(BODY):
            part = BODY[at:at + sizes[min(at, len(sizes) - 1)]]
            at += len(part)
            wire.sendall(b"%x;ext=1\r\n%s\r\n" % (len(part), part))
        wire.sendall(b"0\r\nTrailer: x\r\n\r\n")
        status, _, body, _ = read_reply(wire)
        assert (status, ids(body)) == (200, expected)


def test_expect_100_continue(wire, expected):
    head, body = post(extra=b"Expect: 100-continue\r\n").split(b"\r\n\r\n")
    wire.sendall(head + b"\r\n\r\n")
    status, _, _, rest = read_reply(wire)
    assert (status, rest) == (100, b"")
    wire.sendall(body)
    assert ids(read_reply(wire)[2]) == expected


def test_expect_100_continue_of_a_huge_body_is_refused_before_it_is_sent(wire):
    wire.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n")
    assert read_reply(wire)[0] == 413


def test_http_1_0_closes(wire, expected):
    wire.sendall(post(version=b"1.0"))
    reply = read_all(wire)
    assert reply.startswith(b"HTTP/1.") and ids(reply.split(b"\r\n\r\n", 1)[1]) == expected
    assert b"chunked" not in reply.split(b"\r\n\r\n", 1)[0]


def test_http_1_0_streams_until_close(wire):
    wire.sendall(post(json.dumps({"prompt": [5], "max_tokens": 3, "stream": True}).encode(), version=b"1.0"))
    head, body = read_all(wire).split(b"\r\n\r\n", 1)
    assert b"chunked" not in head and body.startswith(b"data: ") and body.endswith(b"data: [DONE]\n\n")


def test_connection_close_is_kept(wire):
    wire.sendall(post(extra=b"Connection: close\r\n"))
    assert read_all(wire).startswith(b"HTTP/1.1 200")


def test_absolute_targets_and_queries(wire):
    wire.sendall(b"GET http://x/health?a=b HTTP/1.1\r\nHost: x\r\n\r\nGET /health?%41=%20 HTTP/1.1\r\nHost: x\r\n\r\n")
    status, _, _, rest = read_reply(wire)
    assert (status, read_reply(wire, rest)[0]) == (200, 200)


@pytest.mark.parametrize("request_bytes, status", [
    (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n\r\n", (411, 400)),
    (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n", (400,)),
    (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", (400,)),
    (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", (400, 413)),
    (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", (400,)),
    (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
    (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", (400, 411, 501)),
    (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", (400,)),
    (b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", (400, 413)),
    (b"BREW /v1/completions HTTP/1.1\r\nHost: x\r\n\r\n", (400, 405, 501)),
    (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", (400, 505)),
    (b"GET /health HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n", (400,)),
    (b"GET /health HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", (400,)),
    (b"GET /health HTTP/1.1\nHost: x\n\n", (200, 400)),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,)),
    (b"\r\n\r\n\r\nnonsense\r\n\r\n", (400,)),
    (b"GET /" + b"a" * 70000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (414, 431)),
    (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"b" * 70000 + b"\r\n\r\n", (431,)),
    (b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20000 + b"\r\n", (431,)),
])
def test_broken_requests_are_answered_and_closed(tiny, request_bytes, status):
    with tiny.socket(10) as s:
        try:
            s.sendall(request_bytes)
        except ConnectionError:
            pass
        got, headers, body, _ = read_reply(s)
        assert got in status, (got, body)
        if got != 200:
            assert json.loads(body)["error"]["message"]
    assert tiny.get("/health").status == 200


def test_many_header_lines_of_one_name_do_not_confuse(wire):
    wire.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 50 + b"\r\n")
    assert read_reply(wire)[0] == 200


def test_a_slow_head_is_408(start, tiny_model):
    with start("--model", tiny_model, "--header-timeout", 1, "--body-timeout", 1, "--idle-timeout", 1) as server:
        with server.socket() as s:
            s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost")
            began = time.monotonic()
            status, headers, body, _ = read_reply(s)
            assert status == 408 and 0.5 < time.monotonic() - began < 5 * server.slow and json.loads(body)["error"]["message"]
            assert s.recv(1) == b""
        with server.socket(0.05) as s:  # a dribble is no way around it
            began, reply = time.monotonic(), b""
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n")
            while not reply and time.monotonic() - began < 5 * server.slow:
                s.sendall(b"a")
                try:
                    reply = s.recv(1000)
                except TimeoutError:
                    pass
            assert reply.startswith(b"HTTP/1.1 408")
        with server.socket() as s:
            s.sendall(post()[:-10])
            assert read_reply(s)[0] == 408
        with server.socket() as s:  # idle: closed without a word
            began = time.monotonic()
            assert s.recv(1) == b"" and time.monotonic() - began < 5 * server.slow
        assert server.get("/health").status == 200
        assert server.stop() == 0


@pytest.mark.parametrize("how", ["close", "reset", "shutdown"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_hang_up_frees_the_row(roomy, how, stream):
    s = roomy.socket()
    s.sendall(post(json.dumps({**LONG, "stream": stream, "adapter": "all"}).encode()))
    roomy.wait_until_running(1)
    if stream:
        assert b"200 OK" in s.recv(1000)
    if how == "reset":
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if how == "shutdown":
        s.shutdown(socket.SHUT_RDWR)
    s.close()
    roomy.wait_until_idle(1)
    assert roomy.metric("dynlora_kv_pages_used") == 0
    assert roomy.get("/v1/adapters/all").json["in_flight"] == 0


def test_a_hang_up_frees_the_waiting_too(start, long_model):
    with start("--model", long_model, "--max-rows", 1, "--kv-memory", "256M") as server:
        sockets = [server.socket() for _ in range(5)]
        for s in sockets:
            s.sendall(post(json.dumps({**LONG, "n": 1}).encode()))
        server.wait_until_running(1)
        while server.metric("vllm:num_requests_waiting") < 4:
            time.sleep(0.01)
        for s in reversed(sockets):
            s.close()
        server.wait_until_idle(1)
        assert server.stop() == 0


def narrow_socket(server):
    """A socket whose kernel takes little, and little at a time; it must be told before the connection is made."""
    s = socket.socket()
    s.settimeout(60 * server.slow)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    s.connect(server.host_port)
    return s


def test_a_slow_reader_gets_everything_and_costs_little(roomy, slow):
    """It reads nothing for a while: its rows rest, memory stays, others go on; then it reads all of it."""
    body = {**LONG, "max_tokens": 8000 if slow == 1 else 2000, "stream": True, "logprobs": 20, "return_token_ids": True}
    whole = roomy.ok("/v1/completions", {**body, "stream": False})["choices"][0]["token_ids"]
    before = roomy.rss()
    with narrow_socket(roomy) as s:
        s.sendall(post(json.dumps(body).encode(), extra=b"Connection: close\r\n"))
        time.sleep(2)
        assert roomy.running() == 1 or slow > 1
        began = time.monotonic()
        assert len(roomy.complete([9], max_tokens=20, ignore_eos=True, return_token_ids=True)["choices"][0]["token_ids"]) == 20
        assert time.monotonic() - began < 5 * slow
        assert slow > 1 or roomy.rss() - before < 16 << 20
        raw = read_all(s)
    text = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", raw.split(b"\r\n\r\n", 1)[1])
    got = [i for m in re.finditer(rb'"token_ids":\[([\d,]*)\]', text) for i in map(int, filter(None, m[1].split(b",")))]
    assert got == whole and b"[DONE]" in raw
    roomy.wait_until_idle()


def test_a_reader_that_takes_nothing_is_dropped(start, long_model):
    with start("--model", long_model, "--write-timeout", 1, "--kv-memory", "256M") as server:
        with narrow_socket(server) as s:
            s.sendall(post(json.dumps({**LONG, "stream": True, "logprobs": 20}).encode()))
            server.wait_until_running(1)
            server.wait_until_idle(20)
        assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("n, pause, seconds", [(1, 1, 3), (200, 0.25, 15)])
def test_a_reader_that_trickles_is_dropped(start, long_model, slow, n, pause, seconds):
    """Its row is somebody else's meanwhile, and what waits for it does not grow."""
    with start("--model", long_model, "--write-timeout", seconds, "--max-rows", 1, "--kv-memory", "256M") as server:
        with narrow_socket(server) as s:
            s.sendall(post(json.dumps({**LONG, "stream": True, "logprobs": 20}).encode()))
            server.wait_until_running(1)
            before, taken, began = server.rss(), 0, time.monotonic()
            while server.running() > 0:
                assert time.monotonic() - began < 60 * slow, f"{taken} bytes taken, and still there"
                taken += len(s.recv(n))
                if server.metric("vllm:num_requests_running") == 0:  # it rests
                    server.complete([9], max_tokens=2, ignore_eos=True)
                time.sleep(pause)
            assert slow > 1 or server.rss() - before < 16 << 20
            assert re.search("http: POST /v1/completions: dropped, because its client took (nothing|next to nothing) of the answer for \\d+ s", server.log)
            assert taken < 50000 and server.metric("dynlora_kv_pages_used") == 0
        assert server.stop() == 0


def test_a_client_that_pipelines_without_reading_is_not_a_leak(tiny, slow):
    with tiny.socket(5) as s:
        before = tiny.rss()
        s.setblocking(False)
        sent, one = 0, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50
        end = time.monotonic() + 1
        while time.monotonic() < end and sent < 64 << 20:
            try:
                sent += s.send(one)
            except BlockingIOError:
                time.sleep(0.01)
        assert slow > 1 or tiny.rss() - before < 16 << 20
    assert tiny.get("/health").status == 200


def test_connections_over_the_limit_are_turned_away_at_once(start, tiny_model):
    with start("--model", tiny_model, "--max-connections", 5) as server:
        held = [server.socket() for _ in range(5)]
        for s in held:
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_reply(s)[0] == 200
        with server.socket() as extra:
            try:
                extra.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                assert read_all(extra)[:12] in (b"", b"HTTP/1.1 503")
            except ConnectionError:
                pass
        for s in held:
            s.close()
        end, status = time.monotonic() + 5 * server.slow, None
        while status != 200 and time.monotonic() < end:
            try:
                status = server.get("/health").status
            except OSError:
                pass
            time.sleep(0.05)
        assert status == 200
        assert server.stop() == 0


def cpu_seconds(server):
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def asked(server, n):
    """So many connections that asked for /health, with whether each was answered with 200 within a while."""
    sockets, answered = [server.socket() for _ in range(n)], []
    for s in sockets:
        s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        s.settimeout(0.5 * server.slow)
    for s in sockets:
        try:
            answered.append(s.recv(65536).startswith(b"HTTP/1.1 200"))
        except OSError:
            answered.append(False)
    return sockets, answered


def test_an_idle_connection_takes_a_page_at_most(start, tiny_model, slow):
    with start("--model", tiny_model) as server:
        for s in asked(server, 100)[0]:
            s.close()
        before = server.rss()
        sockets, answered = asked(server, 500)
        assert all(answered)
        assert slow > 1 or server.rss() - before < 500 * 4096
        for s in sockets:
            s.close()
        assert server.stop() == 0


def test_the_descriptor_limit_is_raised_as_far_as_it_may(start, tiny_model):
    with start("--model", tiny_model, prefix=["prlimit", "--nofile=40:1200"]) as server:
        sockets, answered = asked(server, 100)
        assert all(answered)
        for s in sockets:
            s.close()
        assert "descriptors" not in server.log
        assert server.stop() == 0


def test_connections_beyond_the_descriptors_are_refused_in_one_line(start, tiny_model):
    with start("--model", tiny_model, prefix=["prlimit", "--nofile=200"]) as server:
        sockets, answered = asked(server, 250)
        assert answered == [i < 100 for i in range(250)]
        assert len(re.findall("http: .*refused.*200 descriptors", server.log)) == 1, server.log
        before = cpu_seconds(server)
        time.sleep(0.5)
        assert cpu_seconds(server) - before < 0.3
        for s in sockets:
            s.close()
        while not asked(server, 1)[1][0]:
            time.sleep(0.05)
        assert server.stop() == 0


def test_without_a_descriptor_left_connections_wait_and_nothing_spins(start, tiny_model):
    with start("--model", tiny_model) as server:
        pid, n_open = server.process.pid, len(os.listdir(f"/proc/{server.process.pid}/fd"))
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (n_open + 3, hard))
        sockets, answered = asked(server, 10)
        n = sum(answered)
        assert 0 < n < 4 and answered == [i < n for i in range(10)]
        assert len(re.findall("http: .*Too many open files", server.log)) == 1, server.log
        before = cpu_seconds(server)
        time.sleep(1)
        assert cpu_seconds(server) - before < 0.3
        for s in sockets[:n]:
            s.close()
        for s in sockets[n:]:  # their turn comes as others leave
            s.settimeout(10 * server.slow)
            assert read_reply(s)[0] == 200
            s.close()
        assert server.stop() == 0
