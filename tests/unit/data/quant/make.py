#!/usr/bin/env python3
"""Writes golden.bin: random blocks of every quantised type and what the `gguf` package dequantises them to.

For each type: its name in 8 bytes, the number of elements as u32, the blocks, the elements as f32. Scales are random
finite halves, subnormal ones among them. Needs the Python packages gguf and numpy (made with 0.19 and 2.4).
"""
import pathlib
import struct

import gguf
import numpy as np

# Where each type keeps its half-precision numbers, in bytes from the start of a block.
TYPES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q5_K": [0, 2],
         "Q6_K": [208]}

rng = np.random.default_rng(1)
out = b""
for name, halves in TYPES.items():
    qtype = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[qtype]
    n_blocks = 1024 // elements
    blocks = rng.integers(0, 256, (n_blocks, size), dtype=np.uint8)
    for at in halves:
        scale = (rng.standard_normal(n_blocks) * 0.01).astype(np.float16)
        scale[0] = 3e-7  # subnormal
        blocks[:, at:at + 2] = scale.view(np.uint8).reshape(n_blocks, 2)
    values = gguf.quants.dequantize(blocks.reshape(-1), qtype).astype("<f4")
    out += struct.pack("<8sI", name.encode(), values.size) + blocks.tobytes() + values.tobytes()
(pathlib.Path(__file__).parent / "golden.bin").write_bytes(out)
