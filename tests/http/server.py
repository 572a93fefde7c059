"""The server under test: the real binary on a free port of 127.0.0.1, and a plain client for it.

Used by every test in this folder. The client is http.client and sockets, so that what a library would mend on the way (a
header, a retry) is seen as it is.
"""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

SANITIZER = re.compile(r"runtime error:|(Address|Leak|Thread|UndefinedBehavior)Sanitizer")


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, {k.lower(): v for k, v in headers}, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The members of {"error": {...}}, whose shape is checked."""
        assert self.headers.get("content-type", "").startswith("application/json"), (self.status, self.headers, self.body)
        assert list(self.json) == ["error"], self.body
        error = self.json["error"]
        assert set(error) >= {"message", "type", "param", "code"}, self.body
        assert isinstance(error["message"], str) and error["message"] and "\n" not in error["message"], self.body
        assert isinstance(error["type"], str) and (error["param"] is None or isinstance(error["param"], str)), self.body
        return error

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


class Stream:
    """An answer that is read as server-sent events; close() hangs up in the middle."""

    def __init__(self, connection, reply):
        self.connection, self.reply = connection, reply
        self.status, self.headers = reply.status, {k.lower(): v for k, v in reply.getheaders()}

    def events(self):
        """(event name or None, data) as they come."""
        name, data = None, []
        for line in self.reply:
            line = line.rstrip(b"\r\n").decode()
            if not line and data:
                yield name, "\n".join(data)
                name, data = None, []
            elif line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))

    def chunks(self):
        """Parsed chunks up to [DONE], which must come last."""
        done = False
        for name, data in self.events():
            assert not done, f"after [DONE]: {data}"
            assert name is None, f"{name}: {data}"
            done = data == "[DONE]"
            if not done:
                yield json.loads(data)
        assert done, "the stream ended without [DONE]"

    def close(self):
        self.reply.close()
        self.connection.close()


class Server:
    """`dynlora serve` with options; stop() tells its exit status, and a sanitizer's complaint fails the test."""

    def __init__(self, binary, *options, env=None, listen="127.0.0.1:0", slow=1, prefix=(), wait=True):
        self.dir = tempfile.TemporaryDirectory(prefix="dynlora-test-")
        self.slow = slow
        self.ready_file = os.path.join(self.dir.name, "ready")
        self.log_file = os.path.join(self.dir.name, "log")
        command = [*prefix, binary, "serve", "--listen", listen, "--ready-file", self.ready_file, *map(str, options)]
        plain = {k: v for k, v in os.environ.items() if not k.startswith("DYNLORA_")}
        with open(self.log_file, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**plain, **(env or {})})
        self.address = None
        if wait:
            self.wait_until_ready()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        ended, log = self.process.poll(), self.log
        self.kill()
        if ended not in (None, 0) or SANITIZER.search(log):  # pytest shows it beside what failed
            print(f"the server ended with {ended}:\n{log[-8000:]}", file=sys.stderr)

    @property
    def log(self):
        """What it has said; nothing once it was ended by kill()."""
        if not os.path.exists(self.log_file):
            return ""
        with open(self.log_file, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_until_ready(self, seconds=120):
        end = time.monotonic() + seconds * self.slow
        while not (os.path.exists(self.ready_file) and os.path.getsize(self.ready_file)):
            if self.process.poll() is not None:
                log = self.log
                self.kill()
                raise RuntimeError(f"the server ended with {self.process.returncode}: {log}")
            if time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"the server was not ready after {seconds} s")
            time.sleep(0.01)
        with open(self.ready_file, encoding="utf-8") as f:
            self.address = f.read().strip()

    @property
    def host_port(self):
        host, port = self.address.rsplit(":", 1)
        return host, int(port)

    @property
    def url(self):
        return f"http://{self.address}"

    # Ending it

    def signal(self, which=signal.SIGTERM):
        self.process.send_signal(which)

    def wait(self, seconds=30):
        return self.process.wait(seconds * self.slow)

    def stop(self):
        """SIGTERM, and the exit status."""
        try:
            if self.process.poll() is None:
                self.signal()
            status = self.wait()
        finally:
            log = self.log
            self.kill()
        assert not SANITIZER.search(log), log[-8000:]
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.dir.cleanup()

    # Talking to it

    def connect(self, timeout=120):
        connection = http.client.HTTPConnection(*self.host_port, timeout=timeout * self.slow)
        connection.connect()
        return connection

    def socket(self, timeout=60):
        return socket.create_connection(self.host_port, timeout=timeout * self.slow)

    def call(self, method, path, body=None, headers=None, timeout=120):
        """body: bytes as they are, anything else as JSON."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        connection = self.connect(timeout)
        try:
            connection.request(method, path, body, sent)
            reply = connection.getresponse()
            return Reply(reply.status, reply.getheaders(), reply.read())
        finally:
            connection.close()

    def get(self, path, **more):
        return self.call("GET", path, **more)

    def post(self, path, body, **more):
        return self.call("POST", path, body, **more)

    def ok(self, path, body):
        """The JSON of a 200 answer to a POST."""
        reply = self.post(path, body)
        assert reply.status == 200, reply
        return reply.json

    def complete(self, prompt, **fields):
        return self.ok("/v1/completions", {"prompt": prompt, "temperature": 0, **fields})

    def chat(self, text, **fields):
        return self.ok("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], "temperature": 0, **fields})

    def stream(self, path, body):
        connection = self.connect()
        connection.request("POST", path, json.dumps({**body, "stream": True}).encode(), {"content-type": "application/json"})
        return Stream(connection, connection.getresponse())

    # Looking at it

    def metrics(self):
        """Each line of the metrics page: name with labels -> value."""
        lines = self.get("/metrics").body.decode().splitlines()
        return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))}

    def metric(self, name):
        """A metric's value, summed over its labels."""
        values = [v for k, v in self.metrics().items() if k.split("{")[0] == name]
        assert values, f"no metric is named {name}"
        return sum(values)

    def running(self):
        return self.metric("vllm:num_requests_running") + self.metric("vllm:num_requests_waiting")

    def wait_until_idle(self, seconds=1):
        """How long it took until no request runs or waits."""
        began = time.monotonic()
        while self.running() > 0:
            assert time.monotonic() - began < seconds * self.slow, f"not idle after {seconds * self.slow} s: {self.metrics()}"
            time.sleep(0.01)
        return time.monotonic() - began

    def wait_until_running(self, n, seconds=30):
        end = time.monotonic() + seconds * self.slow
        while self.metric("vllm:num_requests_running") < n:
            assert time.monotonic() < end, f"not running {n} requests after {seconds} s"
            time.sleep(0.01)

    def rss(self):
        """Resident memory in bytes, without what is mapped from files."""
        return self.memory("RssAnon")

    def forget_peak(self):
        with open(f"/proc/{self.process.pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")

    def peak(self):
        """The most resident memory since forget_peak, in bytes."""
        return self.memory("VmHWM")

    def memory(self, field):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            fields = dict(line.split(":", 1) for line in f)
        return int(fields[field].split()[0]) * 1024


def at_once(*calls):
    """Runs the functions on a thread each, and answers what they return, in order; the first exception is raised."""
    results, errors = [None] * len(calls), []

    def run(i):
        try:
            results[i] = calls[i]()
        except BaseException as e:  # told to the test below
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(calls))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    return results
