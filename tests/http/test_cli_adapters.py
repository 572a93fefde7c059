"""`dynlora adapters`: the administration routes from a shell. What it prints, what it sends, and its exit status."""
import http.server
import json
import os
import shutil
import subprocess
import tarfile
import threading
import time

import pytest

TOKEN = "admin-c0de"
PROMPT = [5, 6, 7, 8]


@pytest.fixture(scope="module")
def run(binary, slow):
    def run(*args, env=None, cwd=None):
        plain = {k: v for k, v in os.environ.items() if not k.startswith("DYNLORA_")}
        return subprocess.run([binary, "adapters", *map(str, args)], capture_output=True, text=True, timeout=60 * slow,
                              env={**plain, **(env or {})}, cwd=cwd, stdin=subprocess.DEVNULL)
    return run


@pytest.fixture
def on(run, fresh):
    """The command on the server `fresh`, which must do what it is told."""
    def on(*args, **more):
        told = run(*args, "--url", fresh.url, **more)
        assert (told.returncode, told.stderr) == (0, ""), told
        return told.stdout
    return on


def failed(told, status, *words):
    """It ended with this status, one line on stderr in which the words are, and nothing on stdout."""
    assert told.returncode == status and not told.stdout, told
    lines = told.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("dynlora adapters: "), told
    for word in words:
        assert word in lines[0], (word, lines[0])


def entry(server, name):
    return server.get(f"/v1/adapters/{name}").json


# Showing

def test_list_is_a_table_of_at_most_100_columns(on, fresh):
    fresh.complete(PROMPT, adapter="rank64", max_tokens=1)
    head, *rows = on("list").splitlines()
    assert head.split() == ["NAME", "VERSION", "KIND", "RANK", "STATE", "TIER", "SIZE", "IN-FLIGHT", "REQUESTS"]
    assert len({len(row) for row in (head, *rows)}) == 1 and len(head) <= 100
    listed = fresh.get("/v1/adapters").json["data"]
    assert [row.split()[0] for row in rows] == [e["name"] for e in listed] and len(rows) == 8
    e = entry(fresh, "rank64")
    row = next(row.split() for row in rows if row.startswith("rank64 "))
    assert row == ["rank64", e["version"], "lora", "64", "ready", e["tier"], f"{e['bytes'] / 1024:.1f}", "KiB", "0", "1"]


def test_list_tells_why_one_failed_and_which_are_pinned(on, fresh, tmp_path):
    os.makedirs(tmp_path / "store" / "broken")
    (tmp_path / "store" / "broken" / "adapter_config.json").write_text("{}")
    on("pin", "all")
    end = time.monotonic() + 20 * fresh.slow
    while entry(fresh, "broken").get("state") != "failed":
        assert time.monotonic() < end
        time.sleep(0.05)
    table = on("list")
    assert next(line for line in table.splitlines() if line.startswith("broken ")).split()[1:5] == ["-", "-", "-", "failed"]
    assert f"\nbroken: {entry(fresh, 'broken')['error']}\n" in table
    assert next(line for line in table.splitlines() if line.startswith("all ")).split()[5].endswith("*") and "* pinned" in table


def test_list_tells_what_is_merged_and_where_it_lies(run, start, tiny_model, tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "store")
    with start("--model", tiny_model, "--adapters", tmp_path / "store", "--kv-memory", "1M", "--merge-at-start", "all") as server:
        server.call("PATCH", "/v1/adapters/rank1", {"pin": True})
        for pin, tier in ((False, "device, merged"), (True, "device*, merged")):
            server.call("PATCH", "/v1/adapters/all", {"pin": pin})
            head, *rows = run("list", "--url", server.url).stdout.splitlines()
            tiers = {row.split()[0]: row[head.index("TIER"):head.index("SIZE")].split("  ")[0].strip() for row in rows[:8]}
            assert (tiers["all"], tiers["rank1"]) == (tier, "device*") and len(head) <= 100, rows
        assert server.stop() == 0


def test_a_name_too_long_for_the_line_is_cut(on, tiny_adapter):
    name = "n" * 100
    on("add", name, tiny_adapter("rank1"), "--upload")
    lines = on("list").splitlines()
    assert all(len(line) <= 100 for line in lines) and any(line.startswith("nnnnnnnnnn") and ".. " in line for line in lines)
    assert on("remove", name) == f"{name}: removed\n"


def test_json_is_the_servers_answer(on, fresh):
    assert json.loads(on("list", "--json")) == fresh.get("/v1/adapters").json
    assert json.loads(on("pin", "all", "--json"))["pinned"] is True


# Changing

def test_a_folder_is_registered_by_its_path(on, fresh, tiny_adapter, tmp_path):
    shutil.copytree(tiny_adapter("rank1"), tmp_path / "outside" / "mine")
    told = on("add", "new", "outside/mine", cwd=tmp_path)  # the server is somewhere else
    e = entry(fresh, "new")
    assert told == f"new: version {e['version']}, ready\n" and e["rank"] == 1 and e["source"] == str(tmp_path / "outside" / "mine")


def test_update_gives_a_new_version(on, run, fresh, tiny_adapter, tmp_path):
    shutil.copytree(tiny_adapter("rank1"), tmp_path / "outside" / "one")
    shutil.copytree(tiny_adapter("rank64"), tmp_path / "outside" / "two")
    on("add", "mine", tmp_path / "outside" / "one")
    before = entry(fresh, "mine")["version"]
    failed(run("add", "mine", tmp_path / "outside" / "two", "--url", fresh.url), 1, "mine", "update")
    assert on("add", "mine", tmp_path / "outside" / "one") == f"mine: version {before}, ready, unchanged\n"
    assert entry(fresh, "mine")["version"] == before
    on("update", "mine", tmp_path / "outside" / "two")
    assert entry(fresh, "mine")["rank"] == 64
    on("update", "mine", tiny_adapter("rank1"), "--upload")
    assert entry(fresh, "mine")["version"] == before
    failed(run("update", "nobody", tmp_path / "outside" / "two", "--url", fresh.url), 1, "nobody")


def test_upload_packs_the_two_files(on, run, fresh, tiny_adapter, tmp_path):
    shutil.copytree(tiny_adapter("rank64"), tmp_path / "far" / "away")  # no root of the server's
    (tmp_path / "far" / "away" / "optimizer.pt").write_bytes(b"not for you")
    failed(run("add", "far", tmp_path / "far" / "away", "--url", fresh.url), 1)
    on("add", "far", "away", "--upload", cwd=tmp_path / "far")
    assert entry(fresh, "far")["rank"] == 64
    failed(run("add", "far", tmp_path / "far" / "away", "--upload", "--url", fresh.url), 1, "far", "update")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_file_is_sent_as_it_is(on, fresh, tiny_adapter, tmp_path, mode):
    with tarfile.open(tmp_path / "a.tar", mode) as tar:
        tar.add(tiny_adapter("rank13"), "rank13")
    on("add", "packed", tmp_path / "a.tar")
    assert entry(fresh, "packed")["rank"] == 13


def test_pin_unpin_and_remove(on, run, fresh):
    assert on("pin", "all") == "all: pinned\n" and entry(fresh, "all")["pinned"] is True
    assert on("unpin", "all") == "all: unpinned\n" and entry(fresh, "all")["pinned"] is False
    assert on("remove", "all") == "all: removed\n" and fresh.get("/v1/adapters/all").status == 404
    for action in ("pin", "unpin", "remove"):
        failed(run(action, "all", "--url", fresh.url), 1, "all")


def test_a_name_is_one_segment_of_the_path_whatever_it_holds(run, fresh):
    for name in ("../models", "a/b", "all?x=1", "all#x", "all%00", "caf\u00e9", "a b"):
        failed(run("remove", name, "--url", fresh.url), 1)
    assert len(fresh.get("/v1/adapters").json["data"]) == 8


def test_a_refusal_is_told_in_the_servers_words(run, fresh, tmp_path):
    told = run("add", "x", "/nothing/here", "--url", fresh.url)
    failed(told, 1, fresh.post("/v1/adapters", {"name": "x", "path": "/nothing/here"}).error["message"])
    as_json = run("add", "x", "/nothing/here", "--json", "--url", fresh.url)
    assert as_json.returncode == 1 and json.loads(as_json.stdout)["error"]["message"] in as_json.stderr
    (tmp_path / "bad.tar").write_bytes(b"no archive")
    failed(run("add", "x", tmp_path / "bad.tar", "--url", fresh.url), 1)


# Whom it asks, and as whom

@pytest.fixture(scope="module")
def guarded(start, tiny_model, tiny_store, tmp_path_factory):
    file = tmp_path_factory.mktemp("tokens") / "admins"
    file.write_text(f"# of the operators\n{TOKEN}\nsecond\n")
    with start("--model", tiny_model, "--adapters", tiny_store, "--kv-memory", "16M", "--admin-token-file", file) as server:
        server.token_file = file
        yield server
        assert server.stop() == 0


def test_the_token_is_from_the_file_or_else_the_environment(run, guarded, tmp_path):
    url = ("--url", guarded.url)
    (tmp_path / "wrong").write_text("wrong\n")
    failed(run("list", *url), 1, "admin token")
    failed(run("list", *url, env={"DYNLORA_ADMIN_TOKEN": "wrong"}), 1, "admin token")
    assert run("list", *url, env={"DYNLORA_ADMIN_TOKEN": TOKEN}).returncode == 0
    assert run("list", *url, "--token-file", guarded.token_file).returncode == 0
    assert run("list", *url, f"--token-file={guarded.token_file}", env={"DYNLORA_ADMIN_TOKEN": "wrong"}).returncode == 0
    failed(run("list", *url, "--token-file", tmp_path / "wrong", env={"DYNLORA_ADMIN_TOKEN": TOKEN}), 1, "admin token")


def test_a_large_upload_without_a_token_is_refused_before_it_is_sent(run, guarded, tmp_path):
    with open(tmp_path / "large.tar", "wb") as f:
        f.truncate(1 << 30)
    failed(run("add", "x", tmp_path / "large.tar", "--url", guarded.url), 1, "admin token")


def test_the_url_is_from_the_option_or_else_the_environment(run, guarded):
    token = {"DYNLORA_ADMIN_TOKEN": TOKEN}
    assert run("list", env={**token, "DYNLORA_URL": guarded.url}).returncode == 0
    assert run("list", "--url", guarded.url + "/", env={**token, "DYNLORA_URL": "http://127.0.0.1:1"}).returncode == 0
    assert run("list", "--url", guarded.address, env=token).returncode == 0  # what the ready file says


def test_a_unix_socket(run, start, tiny_model, tmp_path):
    with start("--model", tiny_model, "--kv-memory", "16M", listen=f"unix:{tmp_path}/s") as server:
        told = run("list", "--url", server.address)
        assert told.returncode == 0 and told.stdout.split()[:2] == ["NAME", "VERSION"]
        assert server.stop() == 0
    failed(run("list", "--url", f"unix:{tmp_path}/s"), 2, f"unix:{tmp_path}/s")


def test_no_proxy_and_no_redirect_sees_the_token(run, guarded):
    seen = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("Authorization"))
            self.send_response(302)
            self.send_header("Location", guarded.url + "/v1/adapters")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{other.server_port}"
        token = {"DYNLORA_ADMIN_TOKEN": TOKEN}
        assert run("list", "--url", guarded.url, env={**token, "http_proxy": address, "all_proxy": address}).returncode == 0
        assert not seen
        failed(run("list", "--url", address, env=token), 1, "302")
        assert seen == [f"Bearer {TOKEN}"]
        other.shutdown()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:1", "unix:/nothing/here", "http://", "ftp://127.0.0.1", "file:///etc/passwd",
                                 "", "unix:", "http://no-such-host.invalid", "x y"])
def test_no_answer_is_2(run, url):
    failed(run("list", "--url", url), 2)


def test_where_no_server_answers_is_said_in_the_words_of_the_url(run):
    failed(run("list", "--url", "unix:/nothing/here"), 2, "unix:/nothing/here: no server answers there: No such file")
    failed(run("list", "--url", "http://127.0.0.1:1"), 2, "http://127.0.0.1:1: no server answers there: Connection refused")
    failed(run("list", "--url", "/nothing/here"), 2, "unix:PATH")


@pytest.mark.parametrize("token", ["two words", "caf\u00e9", "line\nX-Header: 1"])
def test_a_token_that_no_header_can_carry_is_2(run, guarded, token):
    failed(run("list", "--url", guarded.url, env={"DYNLORA_ADMIN_TOKEN": token}), 2, "token")


@pytest.mark.parametrize("args, words", [
    (["frobnicate"], ["frobnicate", "list"]), (["list", "x"], ["list"]), (["add", "x"], ["add"]), (["remove"], ["remove"]),
    (["pin", "a", "b"], ["pin"]), (["add", "a", "b", "c"], ["c"]), (["list", "--frob"], ["--frob"]), (["list", "--url"], ["--url"]),
    (["--json"], ["list"]), (["list", "--token-file", "/nothing/here"], ["--token-file", "/nothing/here"]), (["remove", ""], ["name"]),
    (["add", "x", "nothing/here"], ["nothing/here"]), (["add", "x", "/nothing/here", "--upload"], ["/nothing/here"]),
    (["remove", "x", "--upload"], ["--upload"]), (["add", "x", "/", "--upload"], ["/adapter_config.json"]),
])
def test_bad_usage_is_2_and_one_line(run, args, words):
    failed(run(*args, env={"DYNLORA_URL": "http://127.0.0.1:1"}), 2, *words)


def test_help_reads_well_in_80_columns(run):
    for args in (["help"], ["--help"], ["list", "--help"], ["-h"]):
        told = run(*args)
        assert told.returncode == 0 and not told.stderr
        assert max(len(line) for line in told.stdout.splitlines()) <= 80
    for word in ("list", "add", "update", "remove", "pin", "unpin", "--url", "--token-file", "--upload", "--json", "DYNLORA_URL",
                 "DYNLORA_ADMIN_TOKEN"):
        assert word in told.stdout, word
    told = run()
    assert told.returncode == 2 and not told.stdout and "list" in told.stderr
