"""The same weights for each server of tests/bench/versus: GGUF files of one model in several types, and adapters twice, as PEFT
and as llama.cpp have them; for tests/bench/server also a Hugging Face folder. Needs numpy and gguf.
"""
import json
import os
import shutil

import gguf
import numpy as np
from gguf.quants import dequantize, quantize

import folder
import make_tiny

TYPES = {"bf16": "BF16", "f16": "F16", "q8_0": "Q8_0", "q4_0": "Q4_0"}
# TinyLlama-1.1B's shape (Zhang et al., 2024).
LARGE = {"hidden_size": 2048, "intermediate_size": 5632, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 64}
LARGE_VOCAB = 32000
SITES = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
RANK, ALPHA = 16, 32
Q = gguf.GGMLQuantizationType


# What every file of a model has

def copy_fields(writer, fields, changed):
    """The metadata of another file, except for what is changed."""
    for name, field in fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type", "general.quantization_version"):
            continue
        value = changed.get(name, field.contents())
        writer.add_key_value(name, value, field.types[0], field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None)
    writer.add_file_type(0)
    writer.add_quantization_version(2)


def write_model(path, fields, changed, tensors):
    """tensors: (name, shape, type, function that makes the bytes); the file appears when it is whole."""
    writer = gguf.GGUFWriter(path + ".part", "llama")
    copy_fields(writer, fields, changed)
    for name, shape, kind, _ in tensors:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        n_bytes = int(np.prod(shape)) // block * size
        plain = {Q.F32: np.float32, Q.F16: np.float16}.get(kind)
        stored = shape if plain else (*shape[:-1], shape[-1] // block * size)
        writer.add_tensor_info(name, stored, np.dtype(plain or np.uint8), n_bytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for *_, make in tensors:
        writer.write_tensor_data(make())
    writer.close()
    os.rename(path + ".part", path)


def kind_of(name, n_dims, wanted):
    """Vectors stay f32; the embedding, which is SmolLM2's head, too, is no smaller than Q8_0."""
    if n_dims == 1:
        return Q.F32
    return Q.Q8_0 if name == "token_embd.weight" and wanted == "q4_0" else Q[TYPES[wanted]]


# SmolLM2: real numbers

def make_smollm2(path, source, wanted):
    """source: the GGUF file that tests/run fetches. Numbers are rounded to bf16 first, as in the Hugging Face folder."""
    reader = gguf.GGUFReader(source)

    def convert(t, kind):
        w = dequantize(t.data, t.tensor_type).astype(np.float32)
        return quantize(folder.from_bf16(folder.to_bf16(w)), kind)

    tensors = []
    for t in reader.tensors:
        shape = tuple(int(n) for n in reversed(t.shape))
        kind = kind_of(t.name, len(shape), wanted)
        tensors.append((t.name, shape, kind, lambda t=t, kind=kind: convert(t, kind)))
    write_model(path, reader.fields, {}, tensors)


# A model of 1.1 billion random numbers

def random_bytes(draw, shape, kind):
    """Numbers of either sign and about 2^-6, in blocks of the type."""
    n = int(np.prod(shape))
    if kind == Q.F32:
        return np.ones(shape, np.float32)
    if kind in (Q.BF16, Q.F16):
        mask, base = (0x807F, 0x3C80) if kind == Q.BF16 else (0x83FF, 0x2400)
        bits = draw.integers(0, 1 << 16, n, np.uint16) & np.uint16(mask) | np.uint16(base)
        return bits.view(np.uint8 if kind == Q.BF16 else np.float16).reshape(*shape[:-1], -1)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = draw.integers(0, 256, (n // block, size), np.uint8)
    scale = 2**-5 / (127 if kind == Q.Q8_0 else 8)
    blocks[:, :2] = np.array([scale], np.float16).view(np.uint8)
    return blocks.reshape(*shape[:-1], -1)


def cut_vocabulary(fields, n):
    """The first n tokens, and the merges that stay among them."""
    tokens = fields["tokenizer.ggml.tokens"].contents()[:n]
    known = set(tokens)
    merges = [m for m in fields["tokenizer.ggml.merges"].contents() if {*m.split(" "), m.replace(" ", "")} <= known]
    return {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": fields["tokenizer.ggml.token_type"].contents()[:n],
            "tokenizer.ggml.merges": merges}


def make_large(path, source, wanted):
    """The vocabulary is borrowed from SmolLM2's file."""
    fields, s, draw = gguf.GGUFReader(source).fields, LARGE, np.random.default_rng(1)
    shapes = {"token_embd.weight": (LARGE_VOCAB, s["hidden_size"]), "output.weight": (LARGE_VOCAB, s["hidden_size"]),
              "output_norm.weight": (s["hidden_size"],)}
    for i in range(s["num_hidden_layers"]):
        shapes.update({f"blk.{i}.{SITES[site]}.weight": shape for site, shape in make_tiny.sites(s).items()})
        shapes.update({f"blk.{i}.{norm}.weight": (s["hidden_size"],) for norm in ("attn_norm", "ffn_norm")})
    tensors = []
    for name, shape in shapes.items():
        kind = kind_of(name, len(shape), wanted)
        tensors.append((name, shape, kind, lambda shape=shape, kind=kind: random_bytes(draw, shape, kind)))
    write_model(path, fields, {
        **cut_vocabulary(fields, LARGE_VOCAB), "general.name": "random 1.1B", "llama.block_count": s["num_hidden_layers"], "llama.context_length": 2048,
        "llama.embedding_length": s["hidden_size"], "llama.feed_forward_length": s["intermediate_size"],
        "llama.attention.head_count": s["num_attention_heads"], "llama.attention.head_count_kv": s["num_key_value_heads"],
        "llama.rope.freq_base": 10000.0, "llama.vocab_size": LARGE_VOCAB, "llama.rope.dimension_count": s["head_dim"]}, tensors)


def cut_tokenizer(path, out, n):
    """The first n tokens of a tokenizer.json, and the merges that stay among them."""
    with open(path, encoding="utf-8") as f:
        text = json.load(f)
    model = text["model"]
    model["vocab"] = {token: i for token, i in model["vocab"].items() if i < n}
    model["merges"] = [m for m in model["merges"] if {*m, "".join(m)} <= model["vocab"].keys()]
    folder.write_json(out, text, indent=None)


def write_random_safetensors(path, shapes):
    """bf16 numbers as in make_large, one tensor after the other."""
    header, offset, draw = {}, 0, np.random.default_rng(1)
    for name, shape in shapes.items():
        end = offset + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            f.write(random_bytes(draw, shape, Q.BF16).tobytes())


def make_large_folder(path, source):
    """The same shape as a Hugging Face folder; the vocabulary is borrowed from SmolLM2's. config.json comes last: then it is whole."""
    shapes = {"model.embed_tokens.weight": (LARGE_VOCAB, LARGE["hidden_size"]), "lm_head.weight": (LARGE_VOCAB, LARGE["hidden_size"]),
              "model.norm.weight": (LARGE["hidden_size"],)}
    for i in range(LARGE["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        shapes.update({f"{layer}{site}.weight": shape for site, shape in make_tiny.sites(LARGE).items()})
        shapes.update({f"{layer}{norm}.weight": (LARGE["hidden_size"],) for norm in ("input_layernorm", "post_attention_layernorm")})
    os.makedirs(path, exist_ok=True)
    write_random_safetensors(os.path.join(path, "model.safetensors"), shapes)
    cut_tokenizer(os.path.join(source, "tokenizer.json"), os.path.join(path, "tokenizer.json"), LARGE_VOCAB)
    for name in ("tokenizer_config.json", "generation_config.json"):
        shutil.copy(os.path.join(source, name), path)
    with open(os.path.join(source, "config.json"), encoding="utf-8") as f:
        config = json.load(f)
    folder.write_json(os.path.join(path, "config.json"), {**config, **LARGE, "vocab_size": LARGE_VOCAB, "max_position_embeddings": 2048,
                                                          "rope_theta": 10000.0, "tie_word_embeddings": False})


# Adapters

def interleave(w, n_heads):
    """Rows of a head: (x0 x1 ... y0 y1 ...) -> (x0 y0 x1 y1 ...), GGUF's order of the rotary pairs."""
    return w.reshape(n_heads, 2, -1, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def write_lora_gguf(path, tensors, shape):
    """tensors: PEFT's names -> (f32 array, dtype)."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(ALPHA))
    heads = {"attn_q": shape["num_attention_heads"], "attn_k": shape["num_key_value_heads"]}
    for name, (w, _) in tensors.items():  # base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight
        part = name.split(".")
        site = SITES[".".join(part[5:7])]
        if part[7] == "lora_B" and site in heads:
            w = interleave(w, heads[site])
        writer.add_tensor(f"blk.{part[4]}.{site}.weight.{part[7].lower()}", w.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_adapters(store, gguf_dir, n, shape, base):
    """n adapters of rank 16 at all modules, f16: PEFT folders store/versus0, ... and the same numbers as gguf_dir/versus0.gguf, ..."""
    recipe = {"r": RANK, "lora_alpha": ALPHA, "target_modules": make_tiny.ALL}
    os.makedirs(gguf_dir, exist_ok=True)
    for i in range(n):
        name = f"versus{i}"
        path, other = os.path.join(store, name), os.path.join(gguf_dir, f"{name}.gguf")
        if os.path.exists(os.path.join(path, "adapter_config.json")) and os.path.exists(other):
            continue
        config = make_tiny.adapter_config({**recipe, "base_model_name_or_path": base})
        tensors = make_tiny.lora_tensors(name, config, shape, "f16", 0.3)
        os.makedirs(path, exist_ok=True)
        write_lora_gguf(other, tensors, shape)
        folder.write_safetensors(os.path.join(path, "adapter_model.safetensors"), tensors)
        folder.write_json(os.path.join(path, "adapter_config.json"), config)
    return [os.path.join(gguf_dir, f"versus{i}.gguf") for i in range(n)]
