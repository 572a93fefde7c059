// Low-rank patches of the fast backend: v = A x as dot products, y += scale * B v as sums of B's columns, which are
// packed as rows for that. A unit is up to UNIT_ROWS rows of a segment; one member does a unit whole, or, when there
// are few and large ones, all members share first the ranks of A, then the outputs of B. Which of the two it was does
// not show in the bits.
#include <assert.h>
#include <string.h>

#include "base/threads.h"
#include "cpu/device.h"
#include "cpu/fast.h"
#include "cpu/lowrank.h"
#include "cpu/tile.h"

#define UNIT_ROWS  16
#define RANK_TILE  256 // ranks whose v is held at a time
#define RANK_BLOCK 12  // ranks of A in one item when members share a unit
#define OUT_BLOCK  128 // outputs of B, the same

// A unit that takes longer than this is worth two more loops.
#define SHARE_UNIT_NS 20000.0

_Static_assert(OUT_BLOCK % TILE_COLUMNS == 0, "blocks of outputs are whole blocks of packed columns");

// One block of up to TILE_COLUMNS outputs: (n, rank) to (rank, TILE_COLUMNS), zeros where there is no output. It stays
// in the cache meanwhile. Inlined for each size of an element.
#define PACK_BLOCK(type)                                                                                               \
        static void pack_##type(type *restrict to, const type *restrict b, size_t n, size_t rank)                      \
        {                                                                                                              \
                for (size_t r = 0; r < rank; r++, to += TILE_COLUMNS) {                                                \
                        for (size_t o = 0; o < n; o++)                                                                 \
                                to[o] = b[o * rank + r];                                                               \
                        for (size_t o = n; o < TILE_COLUMNS; o++)                                                      \
                                to[o] = 0;                                                                             \
                }                                                                                                      \
        }
PACK_BLOCK(uint16_t)
PACK_BLOCK(uint32_t)

// B: (n_out, rank) to (blocks of TILE_COLUMNS outputs, rank, TILE_COLUMNS)
static void pack_b(char *to, const char *b, size_t n_out, size_t rank, size_t size)
{
        for (size_t o = 0; o < n_out; o += TILE_COLUMNS) {
                size_t n = n_out - o < TILE_COLUMNS ? n_out - o : TILE_COLUMNS;

                if (size == sizeof(uint16_t))
                        pack_uint16_t((void *)(to + o * rank * size), (const void *)(b + o * rank * size), n, rank);
                else
                        pack_uint32_t((void *)(to + o * rank * size), (const void *)(b + o * rank * size), n, rank);
        }
}

enum dyn_status fast_lowrank_load(struct dyn_device *dev, struct dyn_lowrank *p, const struct dyn_tensor *a,
        const struct dyn_tensor *b, float scale, struct dyn_error *err)
{
        enum dyn_status st = cpu_lowrank_begin(dev, p, a, b, scale, err);

        if (st != DYN_OK)
                return st;
        size_t size = dyn_dtype_bytes(p->dtype, 1), rank = (size_t)p->rank, n_out = (size_t)p->n_out;
        size_t columns = (n_out + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS;
        size_t a_bytes = rank * (size_t)p->n_in * size;

        st = cpu_lowrank_alloc(dev, p, a_bytes, columns * rank * size, err);
        if (st != DYN_OK)
                return st;
        memcpy(p->a, a->data, a_bytes);
        pack_b(p->b, b->data, n_out, rank, size);
        return DYN_OK;
}

void lowrank_shrink(const struct dyn_lowrank *p, float *v, size_t v_step, const float *x, int n_rows, int first, int n)
{
        size_t row_bytes = dyn_dtype_bytes(p->dtype, p->n_in);

        tile_dots(p->dtype, &(struct tile_dots){.w = (const char *)p->a + (size_t)first * row_bytes,
                                    .w_bytes = row_bytes,
                                    .x = x,
                                    .x_step = (size_t)p->n_in,
                                    .y = v,
                                    .y_step = v_step,
                                    .n = p->n_in,
                                    .n_out = n,
                                    .n_rows = n_rows});
}

// y[i][o] += weight * scale * sum of B[o][first + r] v[i][r] over n ranks, for n_out outputs from o on. y: (n_rows,
// p->n_out)
static void expand(const struct dyn_term *t, float *y, const float *v, size_t v_step, int n_rows, int first, int n,
        int o, int n_out)
{
        const struct dyn_lowrank *p = t->patch;
        size_t line = TILE_COLUMNS * dyn_dtype_bytes(p->dtype, 1), block = (size_t)p->rank * line;

        tile_sums(p->dtype,
                &(struct tile_sums){.b = (const char *)p->b + (size_t)(o / TILE_COLUMNS) * block + (size_t)first * line,
                        .b_bytes = line,
                        .block_bytes = block,
                        .c = v,
                        .c_step = v_step,
                        .y = y + o,
                        .y_step = (size_t)p->n_out,
                        .scale = p->scale * t->weight,
                        .n = n,
                        .n_out = n_out,
                        .n_rows = n_rows,
                        .ahead = TILE_AHEAD});
}

static int tile_of(const struct dyn_lowrank *p, int first)
{
        return p->rank - first < RANK_TILE ? p->rank - first : RANK_TILE;
}

void lowrank_expand(const struct dyn_term *t, float *y, const float *v, size_t v_step, int n_rows, int o, int n_out)
{
        for (int first = 0; first < t->patch->rank; first += RANK_TILE)
                expand(t, y, v + first, v_step, n_rows, first, tile_of(t->patch, first), o, n_out);
}

struct unit {
        struct dyn_term term;
        int first_row, n_rows;
};

struct lowrank {
        float *y;
        const float *x;
        const struct dyn_segment *segs;
        struct unit unit; // the shared one, and its tile of ranks
        float *v;         // (UNIT_ROWS, RANK_TILE)
        int first, n;
};

static int units_of(const struct dyn_segment *seg)
{
        return seg->term.patch ? (seg->n_rows + UNIT_ROWS - 1) / UNIT_ROWS : 0;
}

static struct unit unit_at(const struct lowrank *l, int i)
{
        const struct dyn_segment *seg = l->segs;

        for (; i >= units_of(seg); seg++)
                i -= units_of(seg);
        int skip = i * UNIT_ROWS, left = seg->n_rows - skip;

        return (struct unit){seg->term, seg->first_row + skip, left < UNIT_ROWS ? left : UNIT_ROWS};
}

static const float *x_of(const struct lowrank *l, const struct unit *u)
{
        return l->x + (size_t)u->first_row * (size_t)u->term.patch->n_in;
}

static float *y_of(const struct lowrank *l, const struct unit *u)
{
        return l->y + (size_t)u->first_row * (size_t)u->term.patch->n_out;
}

static void whole_unit(void *arg, int i)
{
        const struct lowrank *l = arg;
        struct unit u = unit_at(l, i);
        const struct dyn_lowrank *p = u.term.patch;
        float v[UNIT_ROWS * RANK_TILE];

        for (int first = 0; first < p->rank; first += RANK_TILE) {
                int n = tile_of(p, first);

                lowrank_shrink(p, v, RANK_TILE, x_of(l, &u), u.n_rows, first, n);
                expand(&u.term, y_of(l, &u), v, RANK_TILE, u.n_rows, first, n, 0, p->n_out);
        }
}

static void some_ranks(void *arg, int i)
{
        const struct lowrank *l = arg;
        int from = i * RANK_BLOCK, left = l->n - from;

        lowrank_shrink(l->unit.term.patch, l->v + from, RANK_TILE, x_of(l, &l->unit), l->unit.n_rows, l->first + from,
                left < RANK_BLOCK ? left : RANK_BLOCK);
}

static void some_outputs(void *arg, int i)
{
        const struct lowrank *l = arg;
        int from = i * OUT_BLOCK, left = l->unit.term.patch->n_out - from;

        expand(&l->unit.term, y_of(l, &l->unit), l->v, RANK_TILE, l->unit.n_rows, l->first, l->n, from,
                left < OUT_BLOCK ? left : OUT_BLOCK);
}

static void share_unit(struct dyn_device *dev, struct lowrank *l, int i)
{
        float v[UNIT_ROWS * RANK_TILE];

        l->unit = unit_at(l, i);
        l->v = v;
        const struct dyn_lowrank *p = l->unit.term.patch;
        for (l->first = 0; l->first < p->rank; l->first += RANK_TILE) {
                l->n = tile_of(p, l->first);
                team_run(dev->team, some_ranks, l, (l->n + RANK_BLOCK - 1) / RANK_BLOCK);
                team_run(dev->team, some_outputs, l, (p->n_out + OUT_BLOCK - 1) / OUT_BLOCK);
        }
}

// About how long one member takes for a unit of the segment: A and B come from memory once, then it is arithmetic.
static double unit_ns(const struct dyn_segment *seg)
{
        const struct dyn_lowrank *p = seg->term.patch;
        double weights = (double)p->rank * ((double)p->n_in + p->n_out);
        int n_rows = seg->n_rows < UNIT_ROWS ? seg->n_rows : UNIT_ROWS;

        return weights * (0.1 + 0.025 * n_rows);
}

void fast_lowrank(struct dyn_device *dev, float *y, const float *x, const struct dyn_segment *segs, int n_segs)
{
        struct lowrank l = {.y = y, .x = x, .segs = segs};
        int n_units = 0;
        double cost = 0;

        assert(y != x);
        for (int i = 0; i < n_segs; i++)
                if (units_of(&segs[i])) {
                        n_units += units_of(&segs[i]);
                        cost += units_of(&segs[i]) * unit_ns(&segs[i]);
                }
        if (n_units >= 2 * team_size(dev->team) || cost < n_units * SHARE_UNIT_NS) {
                cpu_spread(dev, whole_unit, &l, n_units, cost);
                return;
        }
        for (int i = 0; i < n_units; i++)
                share_unit(dev, &l, i);
}
