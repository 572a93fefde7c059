"""How it ends, and what it says when it cannot take more."""
import json
import os
import signal
import threading
import time

import pytest

LONG = {"prompt": [5, 6, 7], "temperature": 0, "ignore_eos": True, "return_token_ids": True}


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_answers_end_and_exits_0(start, long_model, tiny_store, which):
    with start("--model", long_model, "--adapters", tiny_store, "--kv-memory", "256M") as server:
        body = {**LONG, "max_tokens": 4000 // server.slow, "adapter": "all"}
        expected = server.ok("/v1/completions", body)["choices"][0]["token_ids"]
        stream, whole = server.stream("/v1/completions", body), []
        other = threading.Thread(target=lambda: whole.append(server.post("/v1/completions", body)))
        other.start()
        chunks = stream.chunks()
        got = list(next(chunks)["choices"][0]["token_ids"])
        server.wait_until_running(2)
        idle = server.socket()
        server.signal(which)
        for c in chunks:
            got += c["choices"][0].get("token_ids") or []
        other.join()
        assert got == expected and whole[0].status == 200 and whole[0].json["choices"][0]["token_ids"] == expected
        assert server.wait() == 0
        assert not os.path.exists(server.ready_file)
        idle.close()


def test_draining_answers_503_on_open_connections(start, long_model):
    with start("--model", long_model, "--kv-memory", "256M") as server:
        connection = server.connect()
        stream = server.stream("/v1/completions", {**LONG, "max_tokens": 20000})
        next(stream.chunks())
        # A request of which half is sent when the signal comes.
        body = json.dumps({**LONG, "max_tokens": 1}).encode()
        connection.putrequest("POST", "/v1/completions")
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body[:5])
        time.sleep(0.2)
        server.signal()
        time.sleep(0.2)
        connection.send(body[5:])
        reply = connection.getresponse()
        assert reply.status == 503 and int(reply.getheader("retry-after")) > 0
        assert json.loads(reply.read())["error"]["message"]
        stream.close()
        connection.close()
        assert server.wait() == 0


def test_who_asks_while_it_drains_hears_that_it_does(start, long_model, tiny_store):
    """On new connections, as a load balancer asks; after the last answer nobody listens."""
    with start("--model", long_model, "--adapters", tiny_store, "--kv-memory", "256M") as server:
        idle = server.socket()
        stream = server.stream("/v1/completions", {**LONG, "max_tokens": 20000})
        chunks = stream.chunks()
        next(chunks)
        server.signal()
        while server.get("/ready").status == 200:
            time.sleep(0.01)
        for path, body, status in (("/ready", None, 503), ("/v1/completions", {**LONG, "max_tokens": 1}, 503), ("/health", None, 200),
                                   ("/v1/adapters", None, 200), ("/metrics", None, 200)):
            reply = server.call("POST" if body else "GET", path, body)
            assert reply.status == status and reply.headers["connection"] == "close", reply
            assert status != 503 or int(reply.headers["retry-after"]) > 0
        assert server.call("POST", "/v1/adapters", {"name": "new", "path": str(tiny_store)}).status == 503
        idle.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")  # one that was open before
        assert idle.recv(12) == b"HTTP/1.1 503"
        next(chunks)  # it still runs
        stream.close()
        assert server.wait() == 0
        with pytest.raises(OSError):
            server.get("/ready")
        idle.close()


def test_a_second_signal_ends_it_at_once(start, long_model):
    with start("--model", long_model, "--kv-memory", "256M") as server:
        stream = server.stream("/v1/completions", {**LONG, "max_tokens": 30000})
        next(stream.chunks())
        server.signal()
        time.sleep(0.2)
        assert server.process.poll() is None
        began = time.monotonic()
        server.signal(signal.SIGINT)
        assert server.wait() == 128 + signal.SIGINT
        assert time.monotonic() - began < server.slow
        assert "second signal" in server.log.split("stopping: 1 requests")[1].split("\n")[0]  # somebody may wait for it at a terminal
        assert "second signal: 1 requests are cut off" in server.log
        stream.close()


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_drain_has_a_time_limit_if_asked_for(start, long_model, which):
    with start("--model", long_model, "--kv-memory", "256M", "--drain-timeout", 1) as server:
        stream = server.stream("/v1/completions", {**LONG, "max_tokens": 30000})
        next(stream.chunks())
        began = time.monotonic()
        server.signal(which)
        assert server.wait() == 128 + which
        assert 0.5 < time.monotonic() - began < 5 * server.slow
        stream.close()


def test_clients_that_a_drain_cuts_off_are_told(start, long_model):
    """Streams by an error event, all others by 503: one that runs, one that waits for a row, and one of which half is here."""
    with start("--model", long_model, "--kv-memory", "256M", "--max-rows", 2, "--drain-timeout", 1) as server:
        half = server.connect()
        half.putrequest("POST", "/v1/completions")
        half.putheader("content-length", "100")
        half.endheaders(b"{")
        stream, whole = server.stream("/v1/completions", {**LONG, "max_tokens": 30000}), []
        threads = [threading.Thread(target=lambda: whole.append(server.post("/v1/completions", {**LONG, "max_tokens": 30000}))) for _ in range(2)]
        for t in threads:
            t.start()
        server.wait_until_running(2)
        while server.metric("vllm:num_requests_waiting") < 1:
            time.sleep(0.01)
        server.signal()
        *_, (name, data) = stream.events()
        error = json.loads(data)["error"]
        assert name == "error" and "stopping" in error["message"] and (error["type"], error["code"]) == ("server_error", "draining")
        for t in threads:
            t.join()
        reply = half.getresponse()
        assert reply.status == 503 and "stopping" in json.loads(reply.read())["error"]["message"]
        for r in whole:
            assert r.status == 503 and int(r.headers["retry-after"]) > 0 and r.headers["connection"] == "close", r
            assert "stopping" in r.error["message"] and r.error["code"] == "draining", r
        stream.close()
        half.close()
        assert server.wait() == 128 + signal.SIGTERM


def test_a_signal_while_it_starts_ends_it(start, models):
    for delay in (0, 0.01, 0.05, 0.2, 0.5):
        with start("--model", f"{models}/tiny", wait=False) as server:
            time.sleep(delay)
            server.signal()
            assert server.wait() in (0, -signal.SIGTERM)  # before main there is nobody who could catch it


def test_a_full_queue_is_429(start, long_model):
    with start("--model", long_model, "--max-rows", 1, "--max-queue", 2, "--kv-memory", "256M") as server:
        streams = [server.stream("/v1/completions", {**LONG, "max_tokens": 30000})]
        server.wait_until_running(1)
        held = []
        for _ in range(2):
            s = server.connect()
            s.request("POST", "/v1/completions", json.dumps({**LONG, "max_tokens": 5}))
            held.append(s)
        while server.metric("vllm:num_requests_waiting") < 2:
            time.sleep(0.01)
        reply = server.post("/v1/completions", {**LONG, "max_tokens": 5})
        assert reply.status == 429 and int(reply.headers["retry-after"]) > 0
        assert reply.error["type"] == "rate_limit_error"
        assert server.get("/health").status == 200 and server.get("/ready").status == 200
        refused = server.metrics()['dynlora_requests_total{adapter="base",outcome="rejected"}']
        assert refused == 1
        streams[0].close()
        for s in held:  # those that waited get their turn
            assert s.getresponse().status == 200
            s.close()
        assert server.post("/v1/completions", {**LONG, "max_tokens": 5}).status == 200
        assert server.stop() == 0


def test_n_that_does_not_fit_the_queue_is_refused_whole(start, long_model):
    with start("--model", long_model, "--max-rows", 2, "--max-queue", 4, "--kv-memory", "256M") as server:
        stream = server.stream("/v1/completions", {**LONG, "max_tokens": 30000, "n": 2})
        server.wait_until_running(2)
        server.post("/v1/completions", {**LONG, "max_tokens": 5, "n": 5})
        reply = server.post("/v1/completions", {**LONG, "max_tokens": 5, "n": 5})
        assert reply.status in (400, 429), reply
        stream.close()
        server.wait_until_idle()
        assert server.stop() == 0
