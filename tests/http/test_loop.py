"""What one client sends keeps nobody else: large bodies are read, and large answers written, beside the loop."""
import json
import threading
import time

import pytest
from server import at_once
from test_sockets import narrow_socket, post, read_reply

LONG = {"prompt": [5, 6, 7], "temperature": 0, "ignore_eos": True}
EMPTY = [[] for _ in range(200000)]

# Path, body and the status of its answer: the worst of each kind within half a megabyte or so.
WORST = {
    "one letter": ("/tokenize", {"prompt": "a" * 100000}, 200),
    "white space": ("/tokenize", {"prompt": " " * 100000}, 200),
    "special tokens": ("/tokenize", {"prompt": "<|im_start|>" * 8000, "return_token_strs": True}, 200),
    "marks": ("/tokenize", {"prompt": "a" + "\u0301\u0316" * 20000}, 200),
    "a prompt that does not fit": ("/v1/completions", {"prompt": "a" * 100000}, 400),
    "ids": ("/v1/completions", {"prompt": [5] * 200000}, 400),
    "ids to text": ("/detokenize", {"tokens": [5] * 200000}, 200),
    "many prompts": ("/v1/completions", {"prompt": ["a" * 400] * 250, "max_tokens": 1}, 200),
    "too many prompts": ("/v1/completions", {"prompt": ["a"] * 100000}, 400),
    "messages": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}] * 20000, "max_tokens": 1}, 400),
    "parts": ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}] * 40000}]}, 400),
    "template arguments": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1,
                                                    "chat_template_kwargs": {f"k{i}": i for i in range(50000)}}, 200),
    "a field that is unused": ("/v1/completions", {"prompt": "a", "max_tokens": 1, "metadata": EMPTY}, 200),
    "a list of adapters": ("/v1/completions", {"prompt": "a", "adapter": EMPTY}, 400),
    "a name": ("/v1/completions", {"prompt": "a", "model": "a" * 1000000}, 404),
    "stop strings": ("/v1/completions", {"prompt": "a", "stop": ["x"] * 200000}, 400),
    "biases": ("/v1/completions", {"prompt": "a", "logit_bias": {str(-i): 1 for i in range(100000)}}, 400),
    "a registration": ("/v1/adapters", {"name": EMPTY}, 400),
    "no JSON": ("/v1/completions", b"[" + b"\n" * 1000000, 400),
}


def loop_ms(server):
    """CPU time of the thread that the loop runs on."""
    with open(f"/proc/{server.process.pid}/task/{server.process.pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0]) / 1e6


@pytest.fixture(scope="module")
def huge(slow):
    """A body that takes longer to read than anybody should wait for."""
    return b'{"prompt": [' + b"5," * (8000000 // slow**2) + b"5]}"


@pytest.mark.parametrize("kind", WORST)
def test_no_body_keeps_the_loop(roomy, slow, kind):
    path, body, status = WORST[kind]

    def cost():
        before = loop_ms(roomy)
        reply = roomy.post(path, body)
        assert reply.status == status, reply
        return loop_ms(roomy) - before
    assert min(cost() for _ in range(3)) < 5 * slow


def test_stop_strings_cost_little_per_token(roomy, slow):
    """Sixty-four of a thousand letters, each of which begins as the text ends."""
    def cost(stop):
        before = loop_ms(roomy)
        roomy.complete([5, 6, 7], max_tokens=1500, ignore_eos=True, logit_bias={"5": 100}, stop=stop)
        return loop_ms(roomy) - before
    letter = roomy.ok("/detokenize", {"tokens": [5]})["prompt"]
    half = 500 // len(letter.encode())
    stops = [letter * (half - i) + "\u0394" + letter * half for i in range(64)]
    assert min(cost(stops) for _ in range(2)) - min(cost([]) for _ in range(2)) < 40 * slow


def test_the_loop_answers_while_a_huge_body_is_read(roomy, huge):
    def longest_share():
        """The longest that /health took, as a share of the time that the body took."""
        longest, took = [0], [None]

        def send():
            began = time.monotonic()
            assert roomy.post("/v1/completions", huge).status == 400
            took[0] = time.monotonic() - began
        sender = threading.Thread(target=send)
        connection = roomy.connect()
        sender.start()
        while sender.is_alive():
            began = time.monotonic()
            connection.request("GET", "/health")
            assert connection.getresponse().read() is not None
            longest[0] = max(longest[0], time.monotonic() - began)
        sender.join()
        connection.close()
        return longest[0] / took[0]
    assert min(longest_share() for _ in range(3)) < 0.3


@pytest.mark.slow
def test_a_long_prompt_stops_nobody_elses_stream(roomy, slow, huge):
    """A stream goes on while others have much to read: a good many of its tokens come before the last of them is done."""
    stream = roomy.stream("/v1/completions", {**LONG, "max_tokens": 30000})
    chunks = stream.chunks()
    next(chunks)
    crowd = [("/v1/completions", huge)] * 2 + [WORST[kind][:2] for kind in WORST if kind != "many prompts"]  # those take steps
    others = threading.Thread(target=lambda: [roomy.post(path, body) for path, body in crowd])
    others.start()
    gaps, before = [], time.monotonic()
    for _ in chunks:
        now = time.monotonic()
        gaps.append(now - before)
        before = now
        if not others.is_alive():
            break
    stream.close()
    others.join()
    assert len(gaps) > 20 and max(gaps) < slow, (len(gaps), max(gaps))


def test_answers_keep_their_order(roomy):
    text = "ab " * 20000
    with roomy.socket() as s:
        s.sendall(post(json.dumps({"prompt": text}).encode(), "/tokenize") + post(b'{"prompt": "b"}', "/tokenize"))
        status, _, first, rest = read_reply(s)
        assert status == 200 and json.loads(first)["count"] > 10000
        status, _, second, _ = read_reply(s, rest)
        assert status == 200 and json.loads(second)["count"] < 5
    ids = json.loads(first)["tokens"]
    assert roomy.ok("/detokenize", {"tokens": ids})["prompt"] == text


def test_a_huge_answer_reaches_a_slow_reader_whole(roomy):
    ids = [5 + i % 50 for i in range(400000)]
    expected = "".join(roomy.ok("/detokenize", {"tokens": ids[:50]})["prompt"] for _ in range(1)) * 8000
    with narrow_socket(roomy) as s:
        s.sendall(post(json.dumps({"tokens": ids}).encode(), "/detokenize") + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1)
        status, _, body, rest = read_reply(s)
        assert status == 200 and json.loads(body)["prompt"] == expected
        assert read_reply(s, rest)[0] == 200


def test_too_many_long_requests_are_429(start, long_model):
    with start("--model", long_model, "--max-queue", 2, "--kv-memory", "64M") as server:
        body = json.dumps({"prompt": "a", "max_tokens": 1, "metadata": [[]] * 1000000}).encode()
        replies = at_once(*[lambda: server.post("/v1/completions", body)] * 12)
        assert {r.status for r in replies} == {200, 429}
        refused = next(r for r in replies if r.status == 429)
        assert refused.error["code"] == "queue_full" and int(refused.headers["retry-after"]) > 0
        assert server.post("/v1/completions", body).status == 200
        assert server.stop() == 0


def test_a_hang_up_while_it_is_read_frees_everything(roomy):
    body = json.dumps({"prompt": "a", "adapter": "all", "max_tokens": 1, "metadata": [[]] * 300000}).encode()
    for pause in (0, 0.001, 0.01, 0.1, 0.3):
        for _ in range(3):
            with roomy.socket() as s:
                s.sendall(post(body))
                time.sleep(pause)
    end = time.monotonic() + 10 * roomy.slow
    while roomy.running() > 0 or roomy.get("/v1/adapters/all").json["in_flight"] > 0:  # some are still read, and run later
        assert time.monotonic() < end, roomy.metrics()
        time.sleep(0.05)
    assert roomy.ok("/v1/completions", {"prompt": "a", "max_tokens": 1})


def test_a_signal_lets_what_is_read_end(start, long_model):
    with start("--model", long_model, "--kv-memory", "64M") as server:
        body = json.dumps({"prompt": "a", "max_tokens": 1, "metadata": [[]] * 1000000}).encode()
        replies = []
        client = threading.Thread(target=lambda: replies.append(server.post("/v1/completions", body)))
        before = loop_ms(server)
        client.start()
        while loop_ms(server) - before < 1 and client.is_alive():  # most of it is there
            time.sleep(0.001)
        time.sleep(0.05)
        server.signal()
        client.join()
        assert replies[0].status in (200, 503)
        assert server.wait() == 0
