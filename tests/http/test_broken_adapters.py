"""An adapter that is broken in any one thing is refused as it is registered, with the file and the field; in the store it is
listed as failed, and the others serve."""
import json
import os
import shutil
import time

import pytest

import broken


def test_registering_a_broken_adapter_is_4xx_with_file_and_field(fresh, tiny_adapter, tmp_path, slow):
    expected = fresh.complete([5, 6, 7], adapter="all", max_tokens=6, return_token_ids=True)["choices"]
    bad = []
    for i, (name, case) in enumerate(broken.ADAPTER.items()):
        path = broken.make(tmp_path / "outside" / f"a{i}", tiny_adapter("all"), case)
        reply = fresh.post("/v1/adapters", {"name": "broken", "path": path})
        message = reply.error["message"] if reply.status >= 400 else ""
        if reply.status not in (404, 422) or not all(word in message for word in case[2]) or len(message) > 500:
            bad.append(f"{name}: {reply}")
        if reply.status < 400:
            fresh.call("DELETE", "/v1/adapters/broken?wait=true")
    assert not bad, "\n".join(bad)
    assert fresh.get("/v1/adapters/broken").status == 404
    assert fresh.complete([5, 6, 7], adapter="all", max_tokens=6, return_token_ids=True)["choices"] == expected


def everything(folder):
    """Every path in a folder with its bytes."""
    found = {}
    for top, folders, files in os.walk(folder):
        found |= {os.path.join(top, f): None for f in folders}
        for name in files:
            with open(os.path.join(top, name), "rb") as f:
                found[os.path.join(top, name)] = f.read()
    return found


def listed(server):
    return [{k: v for k, v in e.items() if k not in ("requests", "tokens", "tier")} for e in server.get("/v1/adapters").json["data"]]


def test_nothing_changes_when_a_broken_adapter_or_archive_is_refused(fresh, tiny_adapter, tmp_path, slow):
    """The whole corpus, each case as a new adapter and as an update, by path or as an upload."""
    store, bad, n = tmp_path / "store", [], 0
    files, entries = everything(store), listed(fresh)

    def judge(case, reply, words):
        message = reply.error["message"] if reply.status >= 400 else ""
        if not (400 <= reply.status < 500 or reply.status == 507) or not all(w in message for w in words) or not 10 < len(message) < 500:
            bad.append(f"{case}: {words}: {reply}")
        if listed(fresh) != entries or everything(store) != files:
            bad.append(f"{case}: left {set(everything(store)) ^ set(files)} and {fresh.get('/v1/adapters')}")

    for i, (case, (data, words)) in enumerate(broken.archives(tiny_adapter("all")).items()):
        judge(f"upload of {case}", fresh.call("PUT", f"/v1/adapters/{('new', 'all')[i % 2]}", data), words)
        n += 1
    for i, (case, how) in enumerate(broken.ADAPTER.items()):
        path = broken.make(tmp_path / "outside" / f"a{i}", tiny_adapter("all"), how)
        judge(case, fresh.post("/v1/adapters", {"name": ("new", "all")[i % 2], "path": path, "replace": True}), how[2])
        shutil.rmtree(path)
        n += 1
    assert n >= 200 and not bad, f"{len(bad)} of {n}:\n" + "\n".join(bad)
    assert fresh.complete([5], adapter="all", max_tokens=1)


def test_a_failed_update_leaves_the_version_before_it_serving(fresh, tiny_adapter, tmp_path):
    before = fresh.get("/v1/adapters/all").json
    path = broken.make(tmp_path / "outside" / "b", tiny_adapter("all"), broken.ADAPTER["NaN"])
    assert fresh.post("/v1/adapters", {"name": "all", "path": path, "replace": True}).status == 422
    after = fresh.get("/v1/adapters/all").json
    assert (after["version"], after["state"]) == (before["version"], "ready")
    assert fresh.complete([5], adapter="all", max_tokens=1)


def test_refused_adapters_leak_nothing(fresh, tiny_adapter, tmp_path, slow):
    cases = [broken.make(tmp_path / "outside" / f"c{i}", tiny_adapter("all"), broken.ADAPTER[k])
             for i, k in enumerate(("NaN", "B missing", "config r=0", "weights: cut"))]

    def round_of_refusals():
        for path in cases:
            assert fresh.post("/v1/adapters", {"name": "broken", "path": path}).status == 422
    for _ in range(20):
        round_of_refusals()
    before, bytes_before = fresh.rss(), fresh.metric("dynlora_adapter_bytes")
    for _ in range(60 if slow == 1 else 5):
        round_of_refusals()
    assert fresh.metric("dynlora_adapter_bytes") == bytes_before
    assert slow > 1 or fresh.rss() - before < 2 << 20


def test_broken_adapters_in_the_store_are_listed_as_failed(start, tiny_model, tiny_store, tiny_adapter, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "store")
    for name in ("NaN", "config no JSON"):
        broken.make(tmp_path / "store" / name.replace(" ", "-"), tiny_adapter("all"), broken.ADAPTER[name])
    os.makedirs(tmp_path / "store" / "empty")
    (tmp_path / "store" / "a-file").write_text("not a folder")
    (tmp_path / "store" / ".hidden").mkdir()
    with start("--model", tiny_model, "--adapters", tmp_path / "store", "--kv-memory", "1M") as server:
        listed = {e["name"]: e for e in server.get("/v1/adapters").json["data"]}
        assert ".hidden" not in listed
        for name, word in (("NaN", "lora_B"), ("config-no-JSON", "adapter_config.json"), ("empty", "adapter_config.json")):
            assert listed[name]["state"] == "failed" and word in listed[name]["error"], listed[name]
            assert server.post("/v1/completions", {"prompt": [5], "adapter": name}).status == 404
            assert server.get(f"/v1/models/{name}").status == 404
        assert listed["all"]["state"] == "ready" and server.complete([5], adapter="all", max_tokens=1)
        assert server.stop() == 0


@pytest.mark.parametrize("other", ["tiny-odd.all", "tiny-headdim.all"])
def test_an_adapter_of_another_model_is_refused(fresh, models, tmp_path, other):
    shutil.copytree(os.path.join(models, "adapters", other), tmp_path / "outside" / "o")
    reply = fresh.post("/v1/adapters", {"name": "o", "path": str(tmp_path / "outside" / "o")})
    assert reply.status == 422 and "expected" in reply.error["message"] and "found" in reply.error["message"], reply
    with open(tmp_path / "outside" / "o" / "adapter_config.json", encoding="utf-8") as f:
        base = json.load(f)["base_model_name_or_path"]
    assert f'its base is "{base}"; this is "tiny"' in reply.error["message"], reply


def test_an_adapter_that_fits_but_names_another_base_is_served_and_logged(fresh, tiny_adapter, tmp_path):
    shutil.copytree(tiny_adapter("rank1"), tmp_path / "outside" / "o")
    config = tmp_path / "outside" / "o" / "adapter_config.json"
    config.write_text(config.read_text().replace('"tiny"', '"somebody/else"'))
    reply = fresh.post("/v1/adapters", {"name": "o", "path": str(tmp_path / "outside" / "o")})
    assert (reply.status, reply.json["base_model"]) == (201, "somebody/else"), reply
    assert "adapter o: fits, but says that its base is somebody/else" in fresh.log and fresh.log.count("says that") == 1


def test_what_is_known_of_a_refused_folder_is_logged_once(fresh, tmp_path):
    (tmp_path / "store" / "empty").mkdir()
    end = time.monotonic() + 20 * fresh.slow
    while fresh.get("/v1/adapters/empty").status != 200 or fresh.get("/v1/adapters/empty").json["state"] != "failed":
        assert time.monotonic() < end
    time.sleep(3.5)  # it is read once more when clocks can tell changes apart
    for _ in range(5):  # removed while it is read once more
        shutil.copytree(tmp_path / "store" / "all", tmp_path / "outside" / "x", dirs_exist_ok=True)
        assert fresh.post("/v1/adapters", {"name": "x", "path": str(tmp_path / "outside" / "x")}).status == 201
        assert fresh.call("DELETE", "/v1/adapters/x?wait=true").status == 200
    warnings = [line for line in fresh.log.splitlines() if " warn " in line and "adapter" in line]
    assert len(warnings) == 1 and "adapter empty:" in warnings[0], warnings


def wait_for(server, name, **expected):
    end = time.monotonic() + 20 * server.slow
    while {k: (e := server.get(f"/v1/adapters/{name}").json).get(k) for k in expected} != expected:
        assert time.monotonic() < end, e
        time.sleep(0.02)


def test_a_pin_of_one_that_failed_is_listed_and_met_when_it_is_mended(fresh, tiny_adapter, tmp_path):
    shutil.copytree(tiny_adapter("paths"), tmp_path / "half")
    os.rename(tmp_path / "half" / "adapter_model.safetensors", tmp_path / "weights")
    os.rename(tmp_path / "half", tmp_path / "store" / "half")
    wait_for(fresh, "half", state="failed")
    reply = fresh.call("PATCH", "/v1/adapters/half", {"pin": True})
    assert (reply.status, reply.json["pinned"], reply.json["state"]) == (200, True, "failed"), reply
    assert fresh.get("/v1/adapters/half").json["pinned"]
    os.rename(tmp_path / "weights", tmp_path / "store" / "half" / "adapter_model.safetensors")
    wait_for(fresh, "half", state="ready", pinned=True, tier="device")


def test_a_pin_of_an_order_that_failed_is_listed_and_met_by_the_next(fresh, tiny_adapter, tmp_path):
    shutil.copytree(tiny_adapter("paths"), tmp_path / "outside" / "p")
    assert fresh.post("/v1/adapters?wait=false", {"name": "later", "path": str(tmp_path / "outside" / "nothing")}).status == 202
    wait_for(fresh, "later", state="failed")
    reply = fresh.call("PATCH", "/v1/adapters/later", {"pin": True, "mode": "unmerged"})
    assert (reply.status, reply.json["pinned"], reply.json["state"]) == (200, True, "failed"), reply
    assert fresh.post("/v1/adapters", {"name": "later", "path": str(tmp_path / "outside" / "p")}).status == 201
    wait_for(fresh, "later", state="ready", pinned=True, mode="unmerged", tier="device")
