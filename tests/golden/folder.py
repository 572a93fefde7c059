"""What a Hugging Face folder is made of: safetensors files, their index, and JSON.

Used by make_base.py and make_tiny.py. Needs numpy only, so that a test can make its models in a second; the tensors are
written in the order of their names, so that the same numbers always give the same bytes.
"""
import json
import os

import numpy as np

DTYPES = {"f32": ("F32", 4), "f16": ("F16", 2), "bf16": ("BF16", 2)}


def to_bf16(x):
    """f32 -> the upper 16 bits, rounded to nearest even."""
    u = np.ascontiguousarray(x, np.float32).view(np.uint32)
    with np.errstate(over="ignore"):
        return ((u + np.uint32(0x7FFF) + ((u >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def from_bf16(h):
    """The upper 16 bits -> f32."""
    return (h.astype(np.uint32) << np.uint32(16)).view(np.float32)


def encode(x, dtype):
    """An f32 array -> the array whose bytes are the tensor in that dtype."""
    if dtype == "bf16":
        return to_bf16(x)
    return np.ascontiguousarray(x, np.float16 if dtype == "f16" else np.float32)


def write_json(path, value, indent=2):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        json.dump(value, f, indent=indent, ensure_ascii=False)
        f.write("\n")


def write_safetensors(path, tensors):
    """tensors: name -> (f32 array, dtype name). Header padded with spaces to 8 bytes, as the format allows."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        array, dtype = tensors[name]
        label, size = DTYPES[dtype]
        end = offset + array.size * size
        header[name] = {"dtype": label, "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(tensors):
            f.write(encode(*tensors[name]).tobytes())
    return offset


def write_model(out, tensors, shards=1):
    """model.safetensors, or so many shards of about one size with model.safetensors.index.json."""
    if shards == 1:
        write_safetensors(os.path.join(out, "model.safetensors"), tensors)
        return
    total = sum(a.size * DTYPES[d][1] for a, d in tensors.values())
    parts, filled = [{} for _ in range(shards)], 0
    for name in sorted(tensors):
        array, dtype = tensors[name]
        parts[min(shards - 1, filled * shards // total)][name] = tensors[name]
        filled += array.size * DTYPES[dtype][1]
    where = {}
    for i, part in enumerate(parts):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        write_safetensors(os.path.join(out, file), part)
        where.update({name: file for name in part})
    write_json(os.path.join(out, "model.safetensors.index.json"), {"metadata": {"total_size": total}, "weight_map": where})


def write_tokenizer_config(out, config, template, template_file):
    """The chat template lies in tokenizer_config.json, or in a file of its own as newer folders have it."""
    if template_file:
        with open(os.path.join(out, "chat_template.jinja"), "w", encoding="utf-8", newline="\n") as f:
            f.write(template)
    else:
        config = {**config, "chat_template": template}
    write_json(os.path.join(out, "tokenizer_config.json"), config)
