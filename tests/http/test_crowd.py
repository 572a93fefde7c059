"""200 clients at once with eight adapters and the base, a third of whom hang up midway: nothing but answers and 429s, and
afterwards the server is as it was. --crowd says how long (the issue's minute: tests/run --crowd 60)."""
import collections
import http.client
import json
import random
import threading
import time

import pytest

CLIENTS = 200
ADAPTERS = [None, "all", "rslora", "patterns", "layers", "regex", "rank1", "rank13", "rank64"]


def client(server, number, end, seen):
    """Requests of all sorts until the end; every third client leaves in the middle of each."""
    draw = random.Random(number)
    while time.monotonic() < end:
        stream = draw.random() < 0.6
        body = {"adapter": draw.choice(ADAPTERS), "max_tokens": draw.randint(1, 60), "ignore_eos": True, "stream": stream, "temperature": 1,
                "prompt": [draw.randrange(3, 290) for _ in range(draw.randint(1, 120))], "n": draw.choice([1, 1, 1, 3])}
        leaves = number % 3 == 0
        try:
            connection = server.connect()
            connection.request("POST", "/v1/completions", json.dumps(body))
            if leaves and draw.random() < 0.5:
                time.sleep(draw.random() * 0.05)
                connection.close()
                seen["left before the answer"] += 1
                continue
            reply = connection.getresponse()
            if leaves and reply.status == 200:
                reply.read(draw.randint(1, 400))
                connection.close()
                seen["left in the answer"] += 1
                continue
            data = reply.read()
            if reply.status == 200 and stream and not data.endswith(b"data: [DONE]\n\n"):
                seen[f"cut off: {data[-200:]}"] += 1
            elif reply.status == 200 and not stream and len(json.loads(data)["choices"]) != body["n"]:
                seen[f"wrong: {data[:200]}"] += 1
            else:
                seen[reply.status] += 1
            connection.close()
        except (OSError, http.client.HTTPException) as e:
            seen[f"{type(e).__name__}: {e}"] += 1


def crowd(server, seconds):
    seen, end = collections.Counter(), time.monotonic() + seconds
    threads = [threading.Thread(target=client, args=(server, i, end, seen), daemon=True) for i in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return seen


@pytest.mark.slow
def test_crowd(start, tiny_model, tiny_store, slow, request, capsys):
    seconds = request.config.getoption("--crowd")
    with start("--model", tiny_model, "--adapters", tiny_store, "--kv-memory", "1M", "--max-queue", 64) as server:
        alone = server.complete([7, 8, 9], adapter="rank13", max_tokens=30, logprobs=3, return_token_ids=True)["choices"]
        crowd(server, min(seconds, 5))
        server.wait_until_idle(5)
        before = server.rss()
        seen = crowd(server, seconds)
        took = server.wait_until_idle(5)
        after = server.rss()
        with capsys.disabled():
            print(f"\ncrowd of {CLIENTS} for {seconds} s: {dict(seen)}; idle after {took:.2f} s; RSS {before >> 10} -> {after >> 10} KiB;"
                  f" {server.metric('dynlora_preemptions_total'):.0f} preempted")
        strange = {k: v for k, v in seen.items() if k not in (200, 429, "left before the answer", "left in the answer")}
        assert not strange and seen[200] > 0 and seen["left in the answer"] > 0
        assert slow > 1 or after - before < max(2 << 20, before // 10)
        assert server.metric("dynlora_kv_pages_used") == 0
        for a in server.get("/v1/adapters").json["data"]:
            assert a["in_flight"] == 0
        assert server.complete([7, 8, 9], adapter="rank13", max_tokens=30, logprobs=3, return_token_ids=True)["choices"] == alone
        assert server.stop() == 0
