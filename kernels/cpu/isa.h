// One source for several instruction sets: the files of the fast backend are compiled once for each, KERNELS_ISA being
// its name (avx2, avx512, amx, neon; for quant_dots.c also vnni and dotprod). What they call in each other ends in that
// name, so that all of them fit in one program. amx has no vectors of its own: KERNELS_VECTORS says whose it uses.
#ifndef DYNLORA_KERNELS_CPU_ISA_H
#define DYNLORA_KERNELS_CPU_ISA_H

#ifndef KERNELS_VECTORS
#define KERNELS_VECTORS KERNELS_ISA
#endif

#define ISA_PASTE(name, isa)  name##_##isa
#define ISA_SUFFIX(name, isa) ISA_PASTE(name, isa)
#define ISA(name)             ISA_SUFFIX(name, KERNELS_ISA)
#define VECTORS(name)         ISA_SUFFIX(name, KERNELS_VECTORS)

#define fast_gemm       ISA(fast_gemm)
#define fast_linear     ISA(fast_linear)
#define fast_merge      ISA(fast_merge)
#define gemm_block      ISA(gemm_block)
#define gemm_form_bytes ISA(gemm_form_bytes)
#define gemm_form_item  ISA(gemm_form_item)
#define gemm_form_items ISA(gemm_form_items)
#define gemm_form_of    ISA(gemm_form_of)
#define gemm_outputs    ISA(gemm_outputs)

#define attention_chunk     VECTORS(attention_chunk)
#define attention_positions VECTORS(attention_positions)
#define fast_add            VECTORS(fast_add)
#define fast_add_bias       VECTORS(fast_add_bias)
#define fast_attention      VECTORS(fast_attention)
#define fast_embed          VECTORS(fast_embed)
#define fast_kv_write       VECTORS(fast_kv_write)
#define fast_lowrank        VECTORS(fast_lowrank)
#define fast_lowrank_load   VECTORS(fast_lowrank_load)
#define fast_merge_rows     VECTORS(fast_merge_rows)
#define fast_rmsnorm        VECTORS(fast_rmsnorm)
#define fast_rope           VECTORS(fast_rope)
#define fast_silu_mul       VECTORS(fast_silu_mul)
#define lowrank_expand      VECTORS(lowrank_expand)
#define lowrank_shrink      VECTORS(lowrank_shrink)
#define quant_rows          VECTORS(quant_rows)
#define tile_dots           VECTORS(tile_dots)
#define tile_sums           VECTORS(tile_sums)

#endif
