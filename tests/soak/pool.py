"""What the soaks in this folder and the tests of an adapter's life have in common: a pool of tiny's adapters whose answers are
known before anything is under load, archives of them, and a client that keeps its connection.

Answers are recorded from a quiet server that does nothing else, and are held against a version, never against a name: an
answer says itself which version gave it. Needs the models that tests/run makes.
"""
import argparse
import hashlib
import http.client
import io
import json
import os
import shutil
import sys
import tarfile
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VENV = os.path.join(ROOT, ".venv", "bin", "python")
if os.path.exists(VENV) and sys.prefix == sys.base_prefix:  # where tests/run put numpy
    os.execv(VENV, [VENV, *sys.argv])
sys.path[:0] = [os.path.join(ROOT, "tests", "http"), os.path.join(ROOT, "tests", "golden")]

import make_tiny
from server import Reply, Server

FILES = ("adapter_config.json", "adapter_model.safetensors")
SETTINGS = "dynlora.json"
# The second shares its first 32 tokens, two pages of the cache, with the third.
PROMPTS = [[5, 6, 7, 8], [9 + i % 90 for i in range(40)], [9 + i % 90 for i in range(32)] + [7, 5, 3], [17]]
N_TOKENS = 8
BASE = None  # as a version


def sha256_of(folder):
    """The content hash as src/adapt/folder.h says it."""
    digest = hashlib.sha256()
    for name in FILES:
        with open(os.path.join(folder, name), "rb") as f:
            data = f.read()
        digest.update(f"{name} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def pack(folder, kind):
    """The two files as a tar, tar.gz or zip."""
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
            for name in FILES:
                z.write(os.path.join(folder, name), name)
    else:
        with tarfile.open(fileobj=out, mode="w:gz" if kind == "tar.gz" else "w") as t:
            for name in FILES:
                t.add(os.path.join(folder, name), f"some-folder/{name}" if kind == "tar" else name)
    return out.getvalue()


class Content:
    def __init__(self, folder, kind):
        self.folder, self.sha256, self.archive = folder, sha256_of(folder), pack(folder, kind)

    @property
    def version(self):
        return self.sha256[:16]


class Pool:
    """Copies of tiny's adapters in a folder of their own, and what each answers to each prompt."""

    def __init__(self, models, folder):
        self.folder, self.contents, self.answers = folder, [], {}
        for i, recipe in enumerate(make_tiny.ADAPTERS):
            shutil.copytree(os.path.join(models, "adapters", f"tiny.{recipe}"), os.path.join(folder, recipe))
            self.contents.append(Content(os.path.join(folder, recipe), ("tar", "tar.gz", "zip")[i % 3]))
        self.by_version = {c.version: c for c in self.contents}

    def options(self, models, store):
        return ["--model", os.path.join(models, "tiny"), "--served-model-name", "tiny", "--adapters", store,
                "--adapter-root", self.folder, "--kv-memory", "8M", "--merge", "never"]

    def record(self, binary, models, store, slow):
        """Asks a quiet server with an empty store, one adapter at a time."""
        with Server(binary, *self.options(models, store), slow=slow) as server:
            client = Client(server)
            self.answers[BASE] = [client.tokens(None, p) for p in PROMPTS]
            for c in self.contents:
                reply = client.call("POST", "/v1/adapters", {"name": "quiet", "path": c.folder})
                assert (reply.status, reply.json["version"], reply.json["sha256"]) == (201, c.version, c.sha256), reply
                self.answers[c.version] = [client.tokens("quiet", p) for p in PROMPTS]
                assert client.call("DELETE", "/v1/adapters/quiet?wait=true").status == 200
            assert server.stop() == 0
        every = [json.dumps(a) for a in self.answers.values()]
        assert len(set(every)) == len(every), "two versions give the same answers: nothing could be told from them"

    def complaint(self, adapter, body, reply):
        """What is wrong with a 200 answer to the request body that named the adapter, or None."""
        said = reply.json["adapter"]
        version = said["version"] if said else BASE
        if (said["name"] if said else None) != (adapter and adapter.split("@")[0]) or version not in self.answers:
            return f"asked {adapter}, and {said} answered"
        if adapter and "@" in adapter and adapter.split("@")[1] != version:
            return f"asked {adapter}, and version {version} answered"
        expected = self.answers[version][PROMPTS.index(body["prompt"])]
        found = reply.json["choices"][0]["token_ids"]
        return None if found == expected else f"{adapter}, version {version}: expected {expected}, found {found}"


def request(adapter, prompt):
    return {"prompt": prompt, "adapter": adapter, "max_tokens": N_TOKENS, "temperature": 0, "ignore_eos": True, "return_token_ids": True}


class Client:
    """One connection, kept; it is opened again when it broke."""

    def __init__(self, server):
        self.server, self.connection = server, None

    def call(self, method, path, body=None, timeout=60):
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(*self.server.host_port, timeout=timeout * self.server.slow)
            self.connection.request(method, path, body, {"content-type": "application/json"} if body else {})
            reply = self.connection.getresponse()
            return Reply(reply.status, reply.getheaders(), reply.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def tokens(self, adapter, prompt):
        reply = self.call("POST", "/v1/completions", request(adapter, prompt))
        assert reply.status == 200, reply
        return reply.json["choices"][0]["token_ids"]

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def hidden(store):
    return sorted(n for n in os.listdir(store) if n.startswith("."))


def halves(store, pool):
    """Complaints about the visible folders of the store: each holds a whole known content, or a registered path alone."""
    bad = []
    for name in sorted(n for n in os.listdir(store) if not n.startswith(".")):
        folder = os.path.join(store, name)
        files = set(os.listdir(folder))
        if files - {SETTINGS} == set(FILES):
            if sha256_of(folder)[:16] not in pool.by_version:
                bad.append(f"{name}: no known content")
        elif files == {SETTINGS}:
            with open(os.path.join(folder, SETTINGS), encoding="utf-8") as f:
                path = json.load(f).get("path")
            if path not in [c.folder for c in pool.contents]:
                bad.append(f"{name}: points to {path}")
        else:
            bad.append(f"{name}: holds {sorted(files)}")
    return bad


def arguments(doc, **more):
    """The options that all soaks take; more: name -> (default, help)."""
    parse = argparse.ArgumentParser(description=doc.split("\n")[0])
    parse.add_argument("--server", default=os.path.join(ROOT, "build", "test", "src", "dynlora"), help="the binary (build/test)")
    parse.add_argument("--models", default=os.path.join(ROOT, "build", "models"), help="what tests/run makes (build/models)")
    parse.add_argument("--seed", type=int, default=1, help="of all that is drawn (1)")
    parse.add_argument("--slow", type=int, default=1, help="how much longer than usual things may take (1)")
    parse.add_argument("--json", help="also write the figures to this file")
    for name, (default, text) in more.items():
        parse.add_argument(f"--{name}", type=type(default), default=default, help=f"{text} ({default})")
    a = parse.parse_args()
    a.server, a.models = os.path.abspath(a.server), os.path.abspath(a.models)
    return a


def tell(path, figures):
    if path:
        with open(path, "w", encoding="utf-8") as f:
            json.dump(figures, f, indent=1)
