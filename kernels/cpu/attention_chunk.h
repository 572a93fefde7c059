// What attention makes of one chunk of positions, for a block of rows that share the loads of K and V. What a row and
// head gives is the same in every block.
#ifndef DYNLORA_KERNELS_CPU_ATTENTION_CHUNK_H
#define DYNLORA_KERNELS_CPU_ATTENTION_CHUNK_H

#include "cpu/isa.h"
#include "dynlora/backend.h"

#define ATTENTION_CHUNK  256  // positions
#define ATTENTION_ROWS   16   // of a block at most
#define ATTENTION_HEADS  8    // likewise
#define ATTENTION_FLOATS 1024 // likewise, heads times head_dim

// Consecutive rows of a span, some heads of one KV head.
struct attention_block {
        const struct dyn_kv *kv;
        int layer;
        const struct dyn_span *span;
        int first, n_rows; // of the span
        int kv_head, head, heads;
        const float *q; // (n_rows, heads, head_dim)
};

// One head of a row: the sum of exp(score - best) * V is in `acc`, of exp(score - best) in `sum`.
struct attention_part {
        float best, sum;
};

// To how many positions of the chunk row i of the block attends: 1 to its first alone, 0 or fewer where its own
// position is before it.
int attention_positions(const struct attention_block *, int i, int chunk);

// All rows attend to some of the chunk. acc: (n_rows, heads, head_dim), part: (n_rows, heads).
void attention_chunk(const struct attention_block *, int chunk, float *acc, struct attention_part *part);

#endif
