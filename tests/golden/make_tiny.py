#!/usr/bin/env python3
"""Small random models of the Llama architecture, and LoRA adapters for them and for SmolLM2, as Hugging Face and PEFT write them.

    make_tiny.py OUT            every tiny model into OUT/NAME, every adapter into OUT/adapters/NAME
    make_tiny.py OUT tiny ...   only the named models and adapters

Each model turns one thing of the architecture around, each adapter one thing of PEFT's folder; VARIANTS and ADAPTERS say
which. Numbers come from a hash of (tensor name, position), so the files have the same bytes on every machine and with every
numpy. Weights are large enough that logits differ by whole units: a wrong formula cannot pass as rounding. Needs numpy only.
"""
import hashlib
import os
import re
import sys

import numpy as np

import folder

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = (
    "Ġ t,h e,i n,Ġ a,r e,o n,Ġt he,e r,a t,Ġ s,n d,i s,Ġ o,o u,Ġ w,in g,e n,Ġ c,i t,o r,a n,l l,Ġa nd,e s,e d,Ġo f,Ġ b,"
    "Ġ p,Ġ f,Ġ in,a r,Ġt o,s t,Ġ m,Ġ d,o m,h at,a s,l e,i c,ĠĠ ĠĠ,Ġ Ġ"
).split(",")

BASE = {
    "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 16, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None, "attention_bias": False, "mlp_bias": False,
    "tie_word_embeddings": True, "max_position_embeddings": 256,
}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}

# What differs from BASE; a None removes the key. Not config: dtype, norm_dtype, shards, template_file.
VARIANTS = {
    "tiny": {"dtype": "bf16"},
    "tiny-untied": {"dtype": "f32", "tie_word_embeddings": False, "rope_theta": 500.0, "shards": 3, "template_file": True},
    "tiny-headdim": {"dtype": "f16", "norm_dtype": "f32", "head_dim": 24, "num_key_value_heads": 1},
    "tiny-bias": {"dtype": "bf16", "attention_bias": True, "mlp_bias": True},
    "tiny-llama3": {"dtype": "bf16", "rope_scaling": LLAMA3},
    "tiny-linear": {"dtype": "f16", "rope_scaling": {"type": "linear", "factor": 4.0}},
    # The rotary keys as transformers 5 writes them.
    "tiny-rope5": {"dtype": "bf16", "rope_theta": None, "rope_scaling": None, "rope_parameters": {**LLAMA3, "rope_theta": 700.0}},
    # Keys that the first Llama configs did not have yet, and that then follow from the others.
    "tiny-mha": {"dtype": "f32", "num_key_value_heads": None, "head_dim": None, "rope_scaling": None, "attention_bias": None,
                 "mlp_bias": None, "tie_word_embeddings": False},
    # No width is a multiple of 8, and an epsilon that is felt.
    "tiny-odd": {"dtype": "bf16", "hidden_size": 60, "intermediate_size": 100, "num_hidden_layers": 2, "num_attention_heads": 5,
                 "num_key_value_heads": 1, "head_dim": 10, "rms_norm_eps": 0.05},
}

SMOL = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64}
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
MLP = ["gate_proj", "up_proj", "down_proj"]
ALL = ATTENTION + MLP

PATTERNS = {
    "r": 4, "lora_alpha": 8, "target_modules": ALL,
    # The first key that matches counts, whatever matches later; ^ stands for the start of the whole path.
    "rank_pattern": {"^q_proj": 2, "layers.0.self_attn.q_proj": 6, "v_proj|o_proj": 11, "^model.layers.1.mlp.down_proj": 3, r"self_attn\.[qk]_proj": 5,
                     "q_proj": 9, r"layers\.[02]\.mlp\.(gate|up)_proj": 7},
    "alpha_pattern": {r"layers\.1\..*": 12, "q_proj": 3, "^down_proj": 90, "down_proj": 5, r"model\.layers\.0\.mlp\.up_proj": 21},
}

# What differs from PEFT's defaults. Not config: dtype, and change: how large B A is beside the weight it is added to.
ADAPTERS = {
    "all": {"r": 8, "lora_alpha": 16, "lora_dropout": 0.05, "target_modules": ALL, "dtype": "bf16"},
    "rslora": {"r": 13, "lora_alpha": 8, "use_rslora": True, "target_modules": ["q_proj", "v_proj"], "dtype": "f32", "change": 0.8},
    "patterns": {**PATTERNS, "dtype": "f16"},
    "patterns-rslora": {**PATTERNS, "use_rslora": True, "dtype": "bf16"},
    "layers": {"r": 4, "lora_alpha": 4, "target_modules": ["v_proj", "down_proj"], "layers_to_transform": [0, 2], "dtype": "f32"},
    "one-layer": {"r": 2, "lora_alpha": 16, "target_modules": ALL, "layers_to_transform": 1, "layers_pattern": "layers", "dtype": "bf16"},
    "regex": {"r": 5, "lora_alpha": 10, "target_modules": r".*\.layers\.[02]\.(self_attn\.(q|o)|mlp\.up)_proj", "dtype": "f16"},
    "all-linear": {"r": 3, "lora_alpha": 6, "target_modules": "all-linear", "dtype": "bf16"},
    "paths": {"r": 4, "lora_alpha": 8, "target_modules": ["self_attn.q_proj", "model.layers.1.self_attn.k_proj", "mlp.down_proj"],
              "dtype": "f32", "change": 0.8},
    "rank1": {"r": 1, "lora_alpha": 2, "target_modules": ALL, "dtype": "f32"},
    "rank13": {"r": 13, "lora_alpha": 26, "target_modules": ALL, "dtype": "f16"},
    "rank64": {"r": 64, "lora_alpha": 16, "target_modules": ALL, "dtype": "bf16"},
}
SMOL_ADAPTERS = {
    "all": {"r": 16, "lora_alpha": 32, "target_modules": ALL, "dtype": "bf16"},
    "rslora": {"r": 13, "lora_alpha": 8, "use_rslora": True, "target_modules": ATTENTION, "dtype": "f32"},
    "patterns": {**PATTERNS, "dtype": "f16"},
    "regex": {"r": 5, "lora_alpha": 10, "target_modules": r".*\.layers\.(\d|2[0-9])\.(self_attn\.(q|o)|mlp\.up)_proj", "dtype": "bf16"},
    "rank1": {"r": 1, "lora_alpha": 2, "target_modules": ALL, "dtype": "bf16"},
    "rank64": {"r": 64, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj", "down_proj"], "dtype": "bf16"},
}
# Which adapters every model gets; tiny gets all.
EACH = ["all", "rslora"]


def noise(name, shape):
    """About normal numbers of mean 0 and variance 1: sums of four 16-bit uniforms out of a 64-bit mix of (name, position)."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    with np.errstate(over="ignore"):  # splitmix64, Steele, Lea and Flood 2014
        z = np.uint64(seed) + np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    total = sum(((z >> np.uint64(s)) & np.uint64(0xFFFF)).astype(np.float64) for s in (0, 16, 32, 48))
    return ((total / 65536 - (2 - 2 / 65536)) * np.sqrt(3.0)).reshape(shape)


def sites(config):
    """The linear layers of one block: module path within the layer -> (out, in)."""
    dim, hidden = config["hidden_size"], config["intermediate_size"]
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or dim // heads
    q, kv = heads * head_dim, (config.get("num_key_value_heads") or heads) * head_dim
    return {"self_attn.q_proj": (q, dim), "self_attn.k_proj": (kv, dim), "self_attn.v_proj": (kv, dim), "self_attn.o_proj": (dim, q),
            "mlp.gate_proj": (hidden, dim), "mlp.up_proj": (hidden, dim), "mlp.down_proj": (dim, hidden)}


def weights(model, config, dtype, norm_dtype):
    """Standard deviations: 1.4 / sqrt(in) for a matrix, so that attention is peaked; 0.3 for embedding, head and biases."""
    dim, vocab, tensors = config["hidden_size"], config["vocab_size"], {}

    def put(name, shape, scale, mean=0.0, as_dtype=dtype):
        tensors[name] = ((mean + scale * noise(f"{model}:{name}", shape)).astype(np.float32), as_dtype)

    put("model.embed_tokens.weight", (vocab, dim), 0.3)
    for i in range(config["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        put(layer + "input_layernorm.weight", (dim,), 0.2, 1.0, norm_dtype)
        put(layer + "post_attention_layernorm.weight", (dim,), 0.2, 1.0, norm_dtype)
        for site, (n_out, n_in) in sites(config).items():
            put(layer + site + ".weight", (n_out, n_in), 1.4 / np.sqrt(n_in))
            if config.get("attention_bias" if "attn" in site else "mlp_bias"):
                put(layer + site + ".bias", (n_out,), 0.3)
    put("model.norm.weight", (dim,), 0.2, 1.0, norm_dtype)
    if not config["tie_word_embeddings"]:
        put("lm_head.weight", (vocab, dim), 0.3)
    return tensors


def byte_alphabet():
    """The 256 characters that byte-level BPE writes bytes as (Radford et al., GPT-2, 2019), in the order of the bytes."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    other = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(256 + other.index(b)) for b in range(256)]


def tokenizer():
    merges = [m.split(" ") for m in MERGES]
    tokens = list(dict.fromkeys(SPECIAL + byte_alphabet() + ["".join(m) for m in merges]))
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [{"id": i, "content": t, **flags} for i, t in enumerate(SPECIAL)],
        "normalizer": None, "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": {t: i for i, t in enumerate(tokens)},
                  "merges": merges},
    }


def make_model(out, name):
    recipe = {**BASE, **VARIANTS[name]}
    dtype, shards = recipe.pop("dtype"), recipe.pop("shards", 1)
    norm_dtype, template_file = recipe.pop("norm_dtype", dtype), recipe.pop("template_file", False)
    text = tokenizer()
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "vocab_size": len(text["model"]["vocab"]),
              **{k: v for k, v in recipe.items() if v is not None}, **ids}
    config["dtype" if "rope_parameters" in config else "torch_dtype"] = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[dtype]
    os.makedirs(out, exist_ok=True)
    folder.write_model(out, weights(name, config, dtype, norm_dtype), shards)
    folder.write_json(os.path.join(out, "tokenizer.json"), text)
    folder.write_tokenizer_config(out, {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "unk_token": SPECIAL[0],
        "pad_token": SPECIAL[2], "add_prefix_space": False, "clean_up_tokenization_spaces": False, "model_max_length": 256}, TEMPLATE, template_file)
    folder.write_json(os.path.join(out, "generation_config.json"), ids)
    folder.write_json(os.path.join(out, "config.json"), config)


def adapter_config(recipe):
    """Every field that PEFT 0.21 writes, at its default where the recipe says nothing."""
    return {
        "alora_invocation_tokens": None, "alpha_pattern": {}, "arrow_config": None, "auto_mapping": None, "base_model_name_or_path": "",
        "bias": "none", "corda_config": None, "ensure_weight_tying": False, "eva_config": None, "exclude_modules": None,
        "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True, "kasa_config": None, "layer_replication": None,
        "layers_pattern": None, "layers_to_transform": None, "loftq_config": {}, "lora_alpha": 8, "lora_bias": False,
        "lora_dropout": 0.0, "lora_ga_config": None, "megatron_config": None, "megatron_core": "megatron.core", "modules_to_save": None,
        "monteclora_config": None, "peft_type": "LORA", "peft_version": "0.21.2", "qalora_group_size": 16, "r": 8, "rank_pattern": {},
        "revision": None, "target_modules": None, "target_parameters": None, "task_type": "CAUSAL_LM", "trainable_token_indices": None,
        "use_bdlora": None, "use_dora": False, "use_qalora": False, "use_rslora": False, "velora_config": None, **recipe,
    }


def targeted(config, path, layer):
    wanted, only = config["target_modules"], config["layers_to_transform"]
    if wanted == "all-linear":
        return True
    if isinstance(wanted, str):
        return re.fullmatch(wanted, path) is not None
    if only is not None and layer not in ([only] if isinstance(only, int) else only):
        return False
    return any(path == w or path.endswith("." + w) for w in wanted)


def by_pattern(patterns, path, otherwise):
    return next((v for k, v in patterns.items() if re.match(rf"(.*\.)?({k})$", path)), otherwise)


def lora_tensors(name, config, shape, dtype, change):
    """A of variance 1 / in; B so large that s B A is `change` times as large as a matrix of variance 1 / in."""
    tensors = {}
    for layer in range(shape["num_hidden_layers"]):
        for site, (n_out, n_in) in sites(shape).items():
            path = f"model.layers.{layer}.{site}"
            if not targeted(config, path, layer):
                continue
            rank = by_pattern(config["rank_pattern"], path, config["r"])
            base = config["lora_alpha"] / (np.sqrt(config["r"]) if config["use_rslora"] else config["r"])
            for part, size, scale in (("A", (rank, n_in), 1 / np.sqrt(n_in)), ("B", (n_out, rank), change / (base * np.sqrt(rank)))):
                tensor = f"base_model.model.{path}.lora_{part}.weight"
                tensors[tensor] = ((scale * noise(f"{name}:{tensor}", size)).astype(np.float32), dtype)
    return tensors


def make_adapter(out, name, recipe, shape, base_name, change):
    recipe = dict(recipe)
    dtype, change = recipe.pop("dtype"), recipe.pop("change", change)
    config = adapter_config({**recipe, "base_model_name_or_path": base_name})
    os.makedirs(out, exist_ok=True)
    folder.write_safetensors(os.path.join(out, "adapter_model.safetensors"), lora_tensors(name, config, shape, dtype, change))
    folder.write_json(os.path.join(out, "adapter_config.json"), config)


def adapters_of(model):
    """The names of a model's adapters: the model's name, a dot, the recipe's name."""
    recipes = SMOL_ADAPTERS if model == "smollm2" else ADAPTERS if model == "tiny" else EACH
    return [f"{model}.{recipe}" for recipe in recipes]


def make(out, name):
    """A model by its name, or an adapter by its name, into the folder `out`."""
    model, _, recipe = name.partition(".")
    if not recipe:
        make_model(out, model)
    elif model == "smollm2":
        make_adapter(out, name, SMOL_ADAPTERS[recipe], SMOL, "HuggingFaceTB/SmolLM2-135M-Instruct", 0.5)
    else:
        make_adapter(out, name, ADAPTERS[recipe], {**BASE, **VARIANTS[model]}, model, 0.5)


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        raise SystemExit(__doc__)
    out, names = sys.argv[1], sys.argv[2:]
    known = [*VARIANTS, *(a for m in ["smollm2", *VARIANTS] for a in adapters_of(m))]
    for name in names:
        if name not in known:
            raise SystemExit(f"make_tiny: expected one of {', '.join(known)}, found {name}")
    for name in names or known:
        make(os.path.join(out, "adapters", name) if "." in name else os.path.join(out, name), name)


if __name__ == "__main__":
    main()
