// One source for several instruction sets: the files of the fast backend are compiled once for each, KERNELS_ISA being
// its name (avx2, avx512, amx, neon; for quant_dots.c also vnni and dotprod). What they call in each other ends in that
// name, so that all of them fit in one program.
#ifndef DYNLORA_KERNELS_CPU_ISA_H
#define DYNLORA_KERNELS_CPU_ISA_H

#define ISA_PASTE(name, isa)  name##_##isa
#define ISA_SUFFIX(name, isa) ISA_PASTE(name, isa)
#define ISA(name)             ISA_SUFFIX(name, KERNELS_ISA)

#define fast_add          ISA(fast_add)
#define fast_add_bias     ISA(fast_add_bias)
#define fast_attention    ISA(fast_attention)
#define fast_embed        ISA(fast_embed)
#define fast_gemm         ISA(fast_gemm)
#define fast_kv_write     ISA(fast_kv_write)
#define fast_linear       ISA(fast_linear)
#define fast_lowrank      ISA(fast_lowrank)
#define fast_lowrank_load ISA(fast_lowrank_load)
#define fast_merge        ISA(fast_merge)
#define fast_rmsnorm      ISA(fast_rmsnorm)
#define fast_rope         ISA(fast_rope)
#define fast_silu_mul     ISA(fast_silu_mul)
#define gemm_block        ISA(gemm_block)
#define gemm_form_bytes   ISA(gemm_form_bytes)
#define gemm_form_item    ISA(gemm_form_item)
#define gemm_form_items   ISA(gemm_form_items)
#define gemm_form_of      ISA(gemm_form_of)
#define gemm_outputs      ISA(gemm_outputs)
#define lowrank_expand    ISA(lowrank_expand)
#define lowrank_shrink    ISA(lowrank_shrink)
#define quant_rows        ISA(quant_rows)
#define tile_dots         ISA(tile_dots)
#define tile_sums         ISA(tile_sums)

#endif
