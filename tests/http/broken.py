"""Folders, files and archives that are wrong in one thing each: made from good ones, with the words that the error must have."""
import gzip
import io
import json
import os
import shutil
import struct
import tarfile
import warnings
import zipfile


def read_tensors(path):
    """(header, data) of a safetensors file."""
    with open(path, "rb") as f:
        raw = f.read()
    n = int.from_bytes(raw[:8], "little")
    return json.loads(raw[8:8 + n]), raw[8 + n:]


def write_tensors(path, header, data, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write((len(text) if length is None else length).to_bytes(8, "little", signed=False) + text + data)


class Tensors:
    """A change to a safetensors file: change(header, data) edits the header, and may answer new data."""

    def __init__(self, change):
        self.change = change

    def __call__(self, path):
        header, data = read_tensors(path)
        data = self.change(header, data) or data
        write_tensors(path, header, data)


def first(header, word=""):
    return next(k for k in sorted(header) if word in k and k != "__metadata__")


def edit(**fields):
    """A change to a JSON file; a value of ... removes the field."""
    def change(path):
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
        config.update(fields)
        with open(path, "w", encoding="utf-8") as f:
            json.dump({k: v for k, v in config.items() if v is not ...}, f)
    return change


def text(value):
    def change(path):
        with open(path, "wb") as f:
            f.write(value)
    return change


def remove(path):
    os.remove(path)


def cut(n):
    def change(path):
        with open(path, "rb+") as f:
            f.truncate(n if n >= 0 else os.path.getsize(path) + n)
    return change


def head_length(n):
    def change(path):
        header, data = read_tensors(path)
        write_tensors(path, header, data, length=n)
    return change


def set_field(word, field, value):
    def change(header, data):
        header[first(header, word)][field] = value
    return Tensors(change)


def set_value(word, bits):
    """The first element of a tensor: the bytes."""
    def change(header, data):
        at = header[first(header, word)]["data_offsets"][0]
        return data[:at] + bits + data[at + len(bits):]
    return Tensors(change)


def drop(word):
    """Takes a tensor out, and its bytes, so that nothing else is wrong."""
    def change(header, data):
        begin, end = header.pop(first(header, word))["data_offsets"]
        for k, t in header.items():
            if k != "__metadata__" and t["data_offsets"][0] >= end:
                t["data_offsets"] = [o - (end - begin) for o in t["data_offsets"]]
        return data[:begin] + data[end:]
    return Tensors(change)


def rename(word, new):
    def change(header, data):
        header[new] = header.pop(first(header, word))
    return Tensors(change)


def overlap(header, data):
    names = [k for k in sorted(header) if k != "__metadata__" and header[k]["shape"] == header[first(header, "k_proj")]["shape"]]
    header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]


def shift(by):
    def change(header, data):
        t = header[first(header, "v_proj")]
        t["data_offsets"] = [o + by for o in t["data_offsets"]]
    return Tensors(change)


NAN_BF16, INF_BF16 = struct.pack("<H", 0x7FC0), struct.pack("<H", 0xFF80)
ONE = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"

# name: (file, change, words that the one line must have)
SAFETENSORS = {
    "empty": (text(b""), []),
    "short": (text(b"\x05\x00"), []),
    "no header": (text(b"\x00" * 8), []),
    "header longer than the file": (head_length(1 << 40), []),
    "header length -1": (head_length((1 << 64) - 1), []),
    "header cut": (head_length(50), []),
    "header is no object": (lambda p: write_tensors(p, b"[1, 2]", b""), []),
    "header of garbage": (lambda p: write_tensors(p, b"\xff" * 64, b"\x00" * 64), []),
    "header with a name twice": (lambda p: write_tensors(p, b"{" + ONE + b"," + ONE + b"}", b"\x00" * 4), []),
    "cut": (cut(-1), []),
    "half": (cut(5000), []),
    "trailing bytes": (Tensors(lambda h, d: d + b"\x00" * 100), []),
    "dtype unknown": (set_field("q_proj", "dtype", "F7"), ["F7"]),
    "dtype not text": (set_field("q_proj", "dtype", 5), ["dtype"]),
    "dtype of another size": (set_field("q_proj", "dtype", "F64"), []),
    "dtype of integers": (set_field("q_proj", "dtype", "I16"), ["q_proj", "type"]),
    "shape negative": (set_field("q_proj", "shape", [-1, 64]), ["shape"]),
    "shape huge": (set_field("q_proj", "shape", [1 << 40, 1 << 40]), []),
    "shape that overflows to the right size": (set_field("q_proj", "shape", [1 << 63, 2]), []),
    "shape not numbers": (set_field("q_proj", "shape", ["a"]), ["shape"]),
    "shape of a fraction": (set_field("q_proj", "shape", [1.5, 64]), ["shape"]),
    "shape missing": (set_field("q_proj", "shape", None), ["shape"]),
    "offsets reversed": (set_field("q_proj", "data_offsets", [8192, 0]), []),
    "offsets negative": (set_field("q_proj", "data_offsets", [-8, 8184]), []),
    "offsets beyond the file": (shift(1 << 30), []),
    "offsets of another size": (set_field("q_proj", "data_offsets", [0, 100]), []),
    "offsets of one number": (set_field("q_proj", "data_offsets", [0]), []),
    "offsets overlap": (Tensors(overlap), []),
    "offsets shifted": (shift(2), []),
    "entry not an object": (lambda p: Tensors(lambda h, d: h.update({first(h): 5}))(p), []),
}
MODEL = {f"weights: {k}": (WEIGHTS, *v) for k, v in SAFETENSORS.items()} | {
    "weights missing": (WEIGHTS, remove, ["safetensors"]),
    "tensor missing": (WEIGHTS, drop("layers.1.mlp.down_proj"), ["layers.1.mlp.down_proj"]),
    "norm missing": (WEIGHTS, drop("model.norm"), ["model.norm"]),
    "embedding missing": (WEIGHTS, drop("embed_tokens"), ["embed_tokens"]),
    "tensor of another shape": (WEIGHTS, set_field("layers.0.self_attn.q_proj", "shape", [32, 128]), ["q_proj"]),
    "tensor of more dimensions": (WEIGHTS, set_field("layers.0.self_attn.q_proj", "shape", [64, 64, 1]), ["q_proj"]),
    "config missing": (CONFIG, remove, ["config.json"]),
    "config empty": (CONFIG, text(b""), ["config.json"]),
    "config no JSON": (CONFIG, text(b"{"), ["config.json"]),
    "config no object": (CONFIG, text(b"[]"), ["config.json"]),
    "config deep": (CONFIG, text(b"[" * 100000), ["config.json"]),
    "another architecture": (CONFIG, edit(model_type="mamba", architectures=["MambaForCausalLM"]), ["amba"]),
    "another activation": (CONFIG, edit(hidden_act="relu"), ["hidden_act", "relu"]),
    "layers 0": (CONFIG, edit(num_hidden_layers=0), ["num_hidden_layers"]),
    "layers -1": (CONFIG, edit(num_hidden_layers=-1), ["num_hidden_layers"]),
    "layers huge": (CONFIG, edit(num_hidden_layers=1 << 40), ["num_hidden_layers"]),
    "layers more than there are": (CONFIG, edit(num_hidden_layers=4), ["layers.3"]),
    "layers not a number": (CONFIG, edit(num_hidden_layers="3"), ["num_hidden_layers"]),
    "layers missing": (CONFIG, edit(num_hidden_layers=...), ["num_hidden_layers"]),
    "width 0": (CONFIG, edit(hidden_size=0), ["hidden_size"]),
    "width of another model": (CONFIG, edit(hidden_size=128), []),
    "heads that do not divide": (CONFIG, edit(num_key_value_heads=3), ["3", "heads"]),
    "head_dim odd": (CONFIG, edit(head_dim=15), ["head_dim"]),
    "vocabulary of another size": (CONFIG, edit(vocab_size=300), []),
    "epsilon negative": (CONFIG, edit(rms_norm_eps=-1), ["rms_norm_eps"]),
    "theta 0": (CONFIG, edit(rope_theta=0), ["rope_theta"]),
    "rope_scaling unknown": (CONFIG, edit(rope_scaling={"rope_type": "spiral", "factor": 2}), ["spiral"]),
    "rope_scaling without factor": (CONFIG, edit(rope_scaling={"rope_type": "linear"}), ["factor"]),
    "quantised": (CONFIG, edit(quantization_config={"quant_method": "gptq", "bits": 4}), ["quantization_config"]),
    "tokenizer missing": (TOKENIZER, remove, ["tokenizer.json"]),
    "tokenizer no JSON": (TOKENIZER, text(b"{"), ["tokenizer.json"]),
    "tokenizer without model": (TOKENIZER, edit(model=...), ["tokenizer.json", "model"]),
    "tokenizer of another type": (TOKENIZER, edit(model={"type": "WordPiece", "vocab": {}}), ["WordPiece"]),
    "tokenizer with an unknown split": (TOKENIZER, edit(pre_tokenizer={"type": "Sorcery"}), ["Sorcery"]),
    "template that is not understood": ("tokenizer_config.json", edit(chat_template="a\n{% frobnicate %}"), ["2", "frobnicate"]),
    "template cut": ("tokenizer_config.json", edit(chat_template="{% for m in messages %}"), ["1", "end"]),
}

ADAPTER_WEIGHTS, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
ADAPTER = {f"weights: {k}": (ADAPTER_WEIGHTS, change, [ADAPTER_WEIGHTS, *words]) for k, (change, words) in SAFETENSORS.items()} | {
    "weights missing": (ADAPTER_WEIGHTS, remove, [ADAPTER_WEIGHTS]),
    "B missing": (ADAPTER_WEIGHTS, drop("layers.1.self_attn.q_proj.lora_B"), ["layers.1.self_attn.q_proj", "lora_B"]),
    "A missing": (ADAPTER_WEIGHTS, drop("layers.1.self_attn.q_proj.lora_A"), ["layers.1.self_attn.q_proj", "lora_A"]),
    **{what: (ADAPTER_WEIGHTS, rename("layers.2.mlp.up_proj.lora_A", name), [word]) for what, name, word in [
        ("a layer too many", "base_model.model.model.layers.9.mlp.up_proj.lora_A.weight", "layers.9"),
        ("a tensor of no site", "base_model.model.model.layers.2.mlp.sideways.lora_A.weight", "sideways"),
        ("a tensor of no name", "frob", "frob"),
        ("a magnitude vector", "base_model.model.model.layers.2.mlp.up_proj.lora_magnitude_vector", "lora_magnitude_vector"),
    ]},
    "A of another width": (ADAPTER_WEIGHTS, set_field("layers.0.self_attn.q_proj.lora_A", "shape", [4, 128]), ["layers.0.self_attn.q_proj", "lora_A"]),
    "A turned": (ADAPTER_WEIGHTS, set_field("layers.0.self_attn.q_proj.lora_A", "shape", [64, 8]), ["layers.0.self_attn.q_proj"]),
    "NaN": (ADAPTER_WEIGHTS, set_value("layers.1.mlp.up_proj.lora_B", NAN_BF16), ["layers.1.mlp.up_proj.lora_B"]),
    "infinity": (ADAPTER_WEIGHTS, set_value("layers.1.mlp.up_proj.lora_A", INF_BF16), ["layers.1.mlp.up_proj.lora_A"]),
    "config missing": (ADAPTER_CONFIG, remove, [ADAPTER_CONFIG]),
    "config no JSON": (ADAPTER_CONFIG, text(b"{,}"), [ADAPTER_CONFIG]),
    "config no object": (ADAPTER_CONFIG, text(b"5"), [ADAPTER_CONFIG]),
    "config deep": (ADAPTER_CONFIG, text(b'{"a":' * 50000), [ADAPTER_CONFIG]),
    **{f"config {k}={json.dumps(v)}": (ADAPTER_CONFIG, edit(**{k: v}), [ADAPTER_CONFIG, k]) for k, v in [
        ("r", 0), ("r", -4), ("r", "8"), ("r", 1 << 40), ("r", 2.5), ("lora_alpha", "16"), ("lora_alpha", None), ("target_modules", None),
        ("target_modules", 5), ("target_modules", "("), ("peft_type", "VERA"),
        ("peft_type", 5), ("use_dora", True), ("use_qalora", True), ("use_bdlora", {"a": 1}), ("bias", "all"), ("bias", "lora_only"),
        ("modules_to_save", ["lm_head"]), ("lora_bias", True), ("fan_in_fan_out", True), ("trainable_token_indices", [5]),
        ("layer_replication", [[0, 2]]), ("target_parameters", ["x"]), ("alora_invocation_tokens", [1]), ("rank_pattern", 5),
        ("rank_pattern", {"q_proj": 0}), ("alpha_pattern", {"q_proj": "x"}), ("rank_pattern", {"(": 4}), ("use_rslora", "yes"),
        ("layers_to_transform", ["a"]), ("exclude_modules", 5), ("frob", 1), ("velora_config", {"a": 1}),
        ("r", None), ("r", True), ("r", []), ("r", -1e300), ("r", 4097), ("lora_alpha", {}), ("lora_alpha", True), ("lora_alpha", 1e39),
        ("target_modules", [5]),
        ("target_modules", ["q_proj", None]), ("target_modules", {"q_proj": 1}), ("target_modules", True), ("target_modules", "[z-a]"),
        ("peft_type", None), ("peft_type", "LOHA"), ("peft_type", "IA3"), ("peft_type", "PREFIX_TUNING"),
        ("peft_type", "lora"), ("peft_type", ["LORA"]), ("use_dora", "yes"), ("use_dora", 1), ("use_qalora", 1), ("bias", 5), ("bias", "some"), ("bias", True),
        ("modules_to_save", "lm_head"), ("modules_to_save", 1), ("lora_bias", 1), ("lora_bias", "x"), ("fan_in_fan_out", 1), ("fan_in_fan_out", "x"),
        ("trainable_token_indices", {"embed_tokens": [1]}), ("trainable_token_indices", 3), ("layer_replication", 3), ("target_parameters", "x"),
        ("alora_invocation_tokens", 5), ("arrow_config", {"top_k": 1}), ("kasa_config", {"a": 1}), ("monteclora_config", {"a": 1}),
        ("loftq_config", {"loftq_bits": 4}),
        ("megatron_config", {"a": 1}), ("use_bdlora", True), ("velora_config", 1), ("rank_pattern", [4]), ("rank_pattern", {"q_proj": "4"}),
        ("rank_pattern", {"q_proj": -1}), ("rank_pattern", {"q_proj": 4.5}), ("rank_pattern", {"q_proj": 1e9}), ("rank_pattern", {"q_proj": None}),
        ("alpha_pattern", 7), ("alpha_pattern", {"(": 4}), ("alpha_pattern", {"q_proj": None}), ("alpha_pattern", {"q_proj": 1e300}),
        ("use_rslora", 1), ("use_rslora", [1]), ("use_rslora", {"a": 1}), ("layers_to_transform", "0"), ("layers_to_transform", [1.5]),
        ("layers_to_transform", {"a": 1}),
        ("layers_to_transform", True), ("exclude_modules", [5]), ("exclude_modules", {"a": 1}), ("exclude_modules", "("), ("layers_pattern", 5),
        ("init_lora_weights", "pissa"), ("init_lora_weights", "olora"), ("init_lora_weights", "frob"),
        ("is_prompt_learning", True), ("num_virtual_tokens", 20), ("r_new", 1.5),
    ]},
    "config r=4 of tensors with 8": (ADAPTER_CONFIG, edit(r=4), ["lora_A"]),
    "config of an empty pattern of modules": (ADAPTER_CONFIG, edit(target_modules=""), [ADAPTER_CONFIG, "target"]),
    "config of no module": (ADAPTER_CONFIG, edit(target_modules=[]), ["target"]),
    "config of unknown modules": (ADAPTER_CONFIG, edit(target_modules=["frob_proj"]), ["target"]),
    "config without target_modules": (ADAPTER_CONFIG, edit(target_modules=...), ["target_modules"]),
    "config of fewer modules than tensors": (ADAPTER_CONFIG, edit(target_modules=["q_proj"]), []),
    "config of more layers than tensors": (ADAPTER_CONFIG, edit(target_modules=["q_proj", "lm_head"]), ["lm_head"]),
}


def make(out, good, case):
    """A copy of a good folder with one thing changed."""
    file, change, _ = case
    shutil.copytree(good, out)
    change(os.path.join(out, file))
    return str(out)


# Uploads
# ----------------------------------------------------------------------------------------------------------------------

FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS)


def tar(entries, compress="", form=tarfile.PAX_FORMAT):
    """entries: (name, bytes), or a TarInfo as it is."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:" + compress, format=form) as t:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                t.addfile(entry)
                continue
            info = tarfile.TarInfo(entry[0])
            info.size = len(entry[1])
            t.addfile(info, io.BytesIO(entry[1]))
    return out.getvalue()


def zipped(entries, how=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as z, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that is there twice
        for name, data in entries:
            z.writestr(name, data)
    return out.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def lying(archive, at, data):
    return archive[:at] + data + archive[at + len(data):]


def sized(tar_bytes, size):
    """The first header of a tar with another size in it and the checksum that fits."""
    header = lying(lying(tar_bytes[:512], 124, size), 148, b" " * 8)
    return lying(header, 148, b"%06o\0 " % sum(header)) + tar_bytes[512:]


def archives(good):
    """name: (bytes, words that the error must have) of uploads that are refused; good: a good adapter's folder."""
    files = []
    for name in FILES:
        with open(os.path.join(good, name), "rb") as f:
            files.append((name, f.read()))
    config, weights = files
    plain, packed, z = tar(files), tar(files, "gz"), zipped(files)
    kinds = {"symlink": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE, "character device": tarfile.CHRTYPE, "block device": tarfile.BLKTYPE,
             "pipe": tarfile.FIFOTYPE}
    told = {"symlink": "link", "hard link": "link", "character device": "device", "block device": "device", "pipe": "pipe"}
    other = ["expected a complete tar, tar.gz or zip archive, found something else"]
    cases = {"empty": (b"", ["found no bytes"]), "no archive": (b"hello, world" * 100, other), "JSON": (b'{"name": "x"}', other),
             "safetensors as it is": (weights[1], other),
             "zeros": (b"\x00" * 10240, []), "an empty tar": (tar([]), [ADAPTER_CONFIG]), "an empty zip": (zipped([]), ["found a zip without entries"]),
             "a gzip of no tar": (gzip.compress(b"no tar" * 1000), ["found gzip of something else"]), "gzip in gzip": (gzip.compress(packed), ["gzip"])}
    for what, kind in kinds.items():
        for name in (*FILES, "other"):
            rest = [f for f in files if f[0] != name]
            cases[f"{what} {name}"] = (tar([special(name, kind, "/etc/passwd"), *rest]), [told[what]])
    for name in ("../evil", "a/../../evil", "..", "/etc/evil", "//evil", "/" + ADAPTER_CONFIG, "../" + ADAPTER_CONFIG, "a/..", "a\\b", "a\nb",
        "\x01", "n" * 300,
                 "./../x"):
        cases[f"tar with {name[:20]!r}"] = (tar([*files, (name, b"x")]), ["name"] if ".." not in name else [".."])
        if "\\" not in name and name != "\x01":  # a reader may take the first for Windows' way of writing a folder
            cases[f"zip with {name[:20]!r}"] = (zipped([*files, (name, b"x")]), [])
    for name in ("adapter_model.bin", "pytorch_adapter.bin", "adapter_model.pt", "x.pkl", "x.pickle", "x.pt", "x.pth", "deep/er/x.ckpt", "ADAPTER_MODEL.BIN"):
        cases[f"pickle {name}"] = (tar([*files, (name, b"\x80\x04.")]), [name.split("/")[-1], "pickle"])
        cases[f"pickle {name} alone, zip"] = (zipped([config, (name, b"\x80\x04.")]), [name.split("/")[-1], "pickle"])
    for name, make in (("tar", tar), ("zip", zipped)):
        cases |= {
            f"{name} without weights": (make([config]), [ADAPTER_WEIGHTS]), f"{name} without config": (make([weights]), [ADAPTER_CONFIG]),
            f"{name} of two folders": (make([("a/" + config[0], config[1]), ("b/" + weights[0], weights[1])]), ["folder"]),
            f"{name} too deep": (make([("a/b/" + f, d) for f, d in files]), ["folder"]),
            f"{name} twice config": (make([config, weights, (config[0], b"{}")]), ["twice"]),
            f"{name} twice, other case": (make([config, weights, (config[0].upper(), b"{}")]), ["twice"]),
            f"{name} of many entries": (make([*files, *((f"f{i}", b"") for i in range(100))]), ["64"]),
            f"{name} of a broken config": (make([(config[0], b"{"), weights]), [ADAPTER_CONFIG]),
            f"{name} of broken weights": (make([config, (weights[0], weights[1][:-1])]), [ADAPTER_WEIGHTS]),
            f"{name} of empty files": (make([(config[0], b""), (weights[0], b"")]), [ADAPTER_CONFIG]),
        }
    zeros = b"\x00" * (64 << 20)
    cases |= {"bomb, tar.gz": (tar([*files, ("zeros", zeros)], "gz"), ["200"]), "bomb, zip": (zipped([*files, ("zeros", zeros)]), ["200"]),
              "bomb in the weights": (zipped([config, (weights[0], zeros)]), ["200"])}
    for at in (1, 100, 511, 512, 513, 700, 1024, 1500, len(plain) // 4, len(plain) // 2, len(weights[1])):
        cases[f"tar cut at {at}"] = (plain[:at], ["cut short"] if at >= 512 else other)
    for at in (1, 5, 10, 18, 100, len(packed) // 4, len(packed) // 2, len(packed) - 8, len(packed) - 1):
        cases[f"tar.gz cut at {at}"] = (packed[:at], ["cut short"] if at > 1 else other)
    for at in (1, 4, 29, 30, 60, len(z) // 4, len(z) // 2, len(z) - 200):
        cases[f"zip cut at {at}"] = (z[:at], ["expected a complete", "found a zip that ends before its directory"] if at > 1 else other)
    middle = len(packed) // 2
    cases |= {"tar.gz damaged in the middle": (lying(packed, middle, bytes(b ^ 255 for b in packed[middle:middle + 8])), []),
              "tar.gz with a wrong checksum": (lying(packed, len(packed) - 8, b"\0\0\0\0"), []),
              "zip damaged in the middle": (lying(z, len(z) // 2, bytes(b ^ 255 for b in z[len(z) // 2:len(z) // 2 + 8])), []),
              "tar with a wrong checksum": (lying(plain, 0, b"X"), []),
              "tar with a huge size": (sized(tar(files, form=tarfile.USTAR_FORMAT), b"77777777777\0"), []),
              "tar with a negative size": (sized(tar(files, form=tarfile.USTAR_FORMAT), b"\xff" * 12), [])}
    return cases


def gguf_cases(good):
    """(name, bytes) of damaged GGUF files: cuts at many places, and lying counts and sizes."""
    def put(at, data):
        return good[:at] + data + good[at + len(data):]
    yield "empty", b""
    yield "magic", b"GGML" + good[4:]
    for version in (0, 1, 99, 3 << 24):
        yield f"version {version}", put(4, struct.pack("<I", version))
    for at, what in ((8, "tensors"), (16, "keys")):
        for n in (0, 1, 1 << 20, 1 << 40, (1 << 63) - 1, (1 << 64) - 1):
            yield f"{what} {n}", put(at, struct.pack("<Q", n))
    for n in (4, 8, 12, 20, 24, 30, 100, 1000, 50000, 500000, 1 << 20, len(good) // 2, len(good) - 1):
        yield f"cut at {n}", good[:n]
    yield "first key's length", put(24, struct.pack("<Q", (1 << 64) - 1))
    first_key = 24 + 8 + struct.unpack("<Q", good[24:32])[0]
    for kind in (8, 9, 13, 255, (1 << 32) - 1):
        yield f"first key's type {kind}", put(first_key, struct.pack("<I", kind))
