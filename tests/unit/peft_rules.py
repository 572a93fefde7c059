"""Writes peft_rules.json: what PEFT itself says about each module under many configurations.

Run with peft 0.21 installed: python tests/unit/peft_rules.py > tests/unit/peft_rules.json
Each case is a configuration and, for every linear layer in "sites", null (not targeted) or [rank, scale].
"""
import json
import math

from peft import LoraConfig
from peft.tuners.tuners_utils import _ExcludedModule, check_target_module_exists
from peft.utils.other import get_pattern_key

SITES = [
    f"model.layers.{layer}.{site}"
    for layer in (0, 1, 2, 10)
    for site in (
        "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
        "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
    )
]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

CASES = [
    dict(target_modules=["q_proj", "v_proj"]),
    dict(target_modules=["proj"]),
    dict(target_modules=["self_attn.q_proj", "mlp.down_proj"]),
    dict(target_modules=["model.layers.1.self_attn.k_proj"]),
    dict(target_modules=["layers.1.self_attn.k_proj", "attn.q_proj"]),
    dict(target_modules=["1.self_attn.k_proj"]),
    dict(target_modules=[".*q_proj"]),
    dict(target_modules="q_proj"),
    dict(target_modules=".*q_proj"),
    dict(target_modules=r".*\.(q|v)_proj"),
    dict(target_modules=r"model\.layers\.\d+\.self_attn\.[qv]_proj"),
    dict(target_modules=r"model\.layers\.1.*"),
    dict(target_modules=r"model\.layers\.1"),
    dict(target_modules=r".*\.self_attn|.*\.mlp\.up"),
    dict(target_modules=r".*layers\.1\..*_proj"),
    dict(target_modules=r".*(?<!down)_proj"),
    dict(target_modules=r"(?!.*mlp).*"),
    dict(target_modules=r".*\.(?:gate|up)_proj|.*\.1\.self_attn\.q_proj"),
    dict(target_modules=r".*q_pro|.*q_proj"),
    dict(target_modules=r"^.*\.o_proj$"),
    dict(target_modules=r".*\.layers\.\d{2}\..*"),
    dict(target_modules=r".*\.layers\.\d{1,}\.mlp\.[^gu].*"),
    dict(target_modules=r".*\.layers\.[02468]\.\w+\.\w_proj"),
    dict(target_modules=ALL, exclude_modules=["q_proj", "model.layers.1.mlp.up_proj"]),
    dict(target_modules=ALL, exclude_modules=["layers.0", "mlp"]),
    dict(target_modules=ALL, exclude_modules=r".*\.1\..*"),
    dict(target_modules=ALL, exclude_modules=r"q_proj"),
    dict(target_modules=ALL, exclude_modules=r"model\.layers"),
    dict(target_modules=r".*_proj", exclude_modules=[]),
    dict(target_modules=["q_proj"], layers_to_transform=1),
    dict(target_modules=["q_proj"], layers_to_transform=0),
    dict(target_modules=["q_proj"], layers_to_transform=[]),
    dict(target_modules=["q_proj", "down_proj"], layers_to_transform=[0, 10]),
    dict(target_modules=["q_proj"], layers_to_transform=[1], layers_pattern="layers"),
    dict(target_modules=["q_proj"], layers_to_transform=[1], layers_pattern="layer"),
    dict(target_modules=["q_proj"], layers_to_transform=[1], layers_pattern=["h", "layers"]),
    dict(target_modules=["q_proj"], layers_to_transform=[1], layers_pattern=[]),
    dict(target_modules=["q_proj"], layers_to_transform=[1], layers_pattern=["layer.", "layers"]),
    dict(target_modules=["q_proj"], layers_to_transform=[1], layers_pattern="h|layers"),
    dict(target_modules=["q_proj"], layers_to_transform=[1], layers_pattern="model.layers"),
    dict(target_modules=["model.layers.2.mlp.up_proj", "q_proj"], layers_to_transform=[0]),
    dict(target_modules=ALL, rank_pattern={"q_proj": 2, "layers.1.self_attn.q_proj": 3}),
    dict(target_modules=ALL, rank_pattern={"layers.1.self_attn.q_proj": 3, "q_proj": 2}),
    dict(target_modules=ALL, rank_pattern={"^q_proj": 2}),
    dict(target_modules=ALL, rank_pattern={"^model.layers.0.self_attn.q_proj": 2}),
    dict(target_modules=ALL, rank_pattern={"^layers.0.self_attn.q_proj": 2}),
    dict(target_modules=ALL, rank_pattern={"proj": 2}),
    dict(target_modules=ALL, rank_pattern={"_proj": 2, ".*_proj": 5}),
    dict(target_modules=ALL, rank_pattern={"q_proj|v_proj": 3, "mlp.*": 6}),
    dict(target_modules=ALL, rank_pattern={"q_proj$": 3}),
    dict(target_modules=ALL, rank_pattern={"layers.1": 3, "layers.1.*": 7}),
    dict(target_modules=ALL, rank_pattern={r"layers\.[02]\.mlp\.(gate|up)_proj": 7, r"[qk]_proj": 5}),
    dict(target_modules=ALL, rank_pattern={r"(\d+)\.self_attn\.\w+": 9}),
    dict(target_modules=ALL, rank_pattern={"1.mlp.up_proj": 9}),
    dict(target_modules=ALL, rank_pattern={"model.layers.1.mlp.up_proj": 9}),
    dict(target_modules=ALL, rank_pattern={"": 9, "(?!q)._proj": 6}),
    dict(target_modules=ALL, rank_pattern={r"a)|(?:.*v_proj": 6}),
    dict(target_modules=ALL, rank_pattern={"q_proj": 2}, alpha_pattern={"k_proj": 3, ".*proj": 5}),
    dict(target_modules=ALL, rank_pattern={"q_proj": 2}, alpha_pattern={"q_proj": 3.5}, use_rslora=True),
    dict(target_modules=["q_proj"], use_rslora=True, r=13, lora_alpha=7),
    dict(target_modules=["q_proj"], r=1, lora_alpha=0.5),
    dict(target_modules=["q_proj"], r=64, lora_alpha=-16),
]


def answer(config, path):
    targeted = check_target_module_exists(config, path)
    if isinstance(targeted, _ExcludedModule) or not targeted:
        return None
    r = config.rank_pattern.get(get_pattern_key(config.rank_pattern.keys(), path), config.r)
    alpha = config.alpha_pattern.get(get_pattern_key(config.alpha_pattern.keys(), path), config.lora_alpha)
    return [r, alpha / (math.sqrt(r) if config.use_rslora else r)]


def main():
    rows = []
    for case in CASES:
        case = dict({"peft_type": "LORA", "r": 4, "lora_alpha": 8}, **case)
        arguments = {k: v for k, v in case.items() if k != "peft_type"}
        config = LoraConfig(**arguments)
        rows.append({"config": case, "answers": [answer(config, path) for path in SITES]})
    cases = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    print('{"sites":' + json.dumps(SITES) + ',\n"cases":[\n' + cases + "\n]}")


main()
