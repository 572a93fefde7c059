#include "cpu/tile.h"

#include "cpu/vec.h"

#define LINE 64 // bytes

// A tile of dots is `outs` rows of w by `rows` rows of x, a tile of sums `vecs` vectors of columns by `rows` rows: at
// most 12 accumulators of 16 registers or 24 of 32, which leaves some for the operands. One row of x waits for memory,
// and four streams of w were measured best. Up to SPARING accumulators leave a register for vec_load_with.
//
// The tiles that there are: TILE(dtype, rows, outs or vecs). More rows than the most go in tiles of nearly as many
// each.
#if VEC == 16
#define DOTS_TILES(TILE, dtype)                                                                                        \
        TILE(dtype, 1, 4)                                                                                              \
        TILE(dtype, 2, 4)                                                                                              \
        TILE(dtype, 3, 4) TILE(dtype, 4, 4) TILE(dtype, 5, 4) TILE(dtype, 6, 4) TILE(dtype, 7, 3) TILE(dtype, 8, 3)
#define SUMS_TILES(TILE, dtype)                                                                                        \
        TILE(dtype, 1, 4) TILE(dtype, 2, 4) TILE(dtype, 3, 4) TILE(dtype, 4, 4) TILE(dtype, 5, 4) TILE(dtype, 6, 4)
#define DOTS_ROWS 8
#define DOTS_OUTS 4
#define SUMS_ROWS 6
#define SUMS_VECS 4
#elif VEC == 8
#define DOTS_TILES(TILE, dtype) TILE(dtype, 1, 4) TILE(dtype, 2, 4) TILE(dtype, 3, 4) TILE(dtype, 4, 3)
#define SUMS_TILES(TILE, dtype) TILE(dtype, 1, 8) TILE(dtype, 2, 4) TILE(dtype, 3, 4)
#define DOTS_ROWS               4
#define DOTS_OUTS               4
#define SUMS_ROWS               3
#define SUMS_VECS               8
#else
#define DOTS_TILES(TILE, dtype) TILE(dtype, 1, 8) TILE(dtype, 2, 8) TILE(dtype, 3, 6) TILE(dtype, 4, 6)
#define SUMS_TILES(TILE, dtype) TILE(dtype, 1, 8) TILE(dtype, 2, 8) TILE(dtype, 3, 8)
#define DOTS_ROWS               4
#define DOTS_OUTS               8
#define SUMS_ROWS               3
#define SUMS_VECS               8
#endif
#define SPARING    8
#define SUMS_LEAST 16 // columns that are done at once where a tile has more: the positions of a page of K

_Static_assert(TILE_COLUMNS % (SUMS_VECS * VEC) == 0, "a tile of sums stays within a block of columns");

// Rows at equal distances: where the first is, and the multiples of the distance that an address cannot scale by
// itself. Kept so, all rows of a tile and what is fetched take few registers; gcc has to be kept from pointers of its
// own.
struct lines {
        const char *at;
        size_t step, step3, step5, step7;
};

#define PIN(r) __asm__("" : "+r"(r))

VEC_INLINE struct lines lines_of(const void *at, size_t step)
{
        struct lines l = {at, step, 3 * step, 5 * step, 7 * step};

        PIN(l.step3);
        PIN(l.step5);
        PIN(l.step7);
        return l;
}

// Row i, where the first one is at `at`.
VEC_INLINE const void *line_at(const struct lines *l, const char *at, const int i)
{
        const size_t far[] = {0, l->step, 2 * l->step, l->step3, 4 * l->step, l->step5, 2 * l->step3, l->step7};

        return at + far[i];
}

VEC_INLINE void lines_go(struct lines *l, size_t bytes)
{
        l->at += bytes;
        PIN(l->at);
}

// VEC more products for each output of a tile. The side with fewer vectors stays in registers, the other passes through
// one.
VEC_INLINE void dots_step(const enum dyn_dtype dtype, const bool spare, const int outs, const int rows,
        vec acc[][DOTS_ROWS], struct lines *w, struct lines *x)
{
        vec held[DOTS_OUTS > DOTS_ROWS ? DOTS_OUTS : DOTS_ROWS], one;
        const int n = outs < rows ? outs : rows;

        VEC_UNROLL
        for (int i = 0; i < n; i++) {
                held[i] = outs < rows ? vec_load_with(line_at(w, w->at, i), dtype, spare)
                                      : vec_read(line_at(x, x->at, i));
                VEC_PIN(held[i]);
        }
        VEC_UNROLL
        for (int j = 0; j < outs + rows - n; j++) {
                one = outs < rows ? vec_read(line_at(x, x->at, j)) : vec_load_with(line_at(w, w->at, j), dtype, spare);
                VEC_PIN(one);
                VEC_UNROLL
                for (int i = 0; i < n; i++) {
                        vec *sum = outs < rows ? &acc[i][j] : &acc[j][i];

                        *sum = vec_fma(held[i], one, *sum);
                }
        }
        lines_go(w, VEC * vec_bytes(dtype));
        lines_go(x, VEC * sizeof(float));
}

// The last n < VEC products.
VEC_INLINE void dots_part(const enum dyn_dtype dtype, const int outs, const int rows, vec acc[][DOTS_ROWS],
        const struct lines *w, const struct lines *x, size_t n)
{
        VEC_UNROLL
        for (int j = 0; j < rows; j++) {
                vec b = vec_load_part(line_at(x, x->at, j), DYN_F32, n);

                VEC_UNROLL
                for (int i = 0; i < outs; i++)
                        acc[i][j] = vec_fma(vec_load_part(line_at(w, w->at, i), dtype, n), b, acc[i][j]);
        }
}

// Accumulator t + k, counted row by row of w.
VEC_INLINE vec nth(const int rows, vec acc[][DOTS_ROWS], const int t, const int k)
{
        return acc[(t + k) / rows][(t + k) % rows];
}

// One tile of d: outputs o, o + far, ... and rows row, row + 1, ... Rows of w that are far apart make as many streams,
// which memory answers faster than one. Inlined with constants for dtype, spare, outs and rows.
VEC_INLINE void dots_tile(const enum dyn_dtype dtype, const bool spare, const int outs, const int rows,
        const struct tile_dots *d, size_t o, size_t far, size_t row)
{
        float *y = d->y + row * d->y_step + o;
        const size_t vecs = (size_t)d->n / VEC, in_line = LINE / vec_bytes(dtype) / VEC;
        struct lines w = lines_of((const char *)d->w + o * d->w_bytes, far * d->w_bytes);
        struct lines x = lines_of(d->x + row * d->x_step, d->x_step * sizeof *d->x);
        vec acc[DOTS_OUTS][DOTS_ROWS];

        VEC_UNROLL
        for (int i = 0; i < outs; i++)
                VEC_UNROLL
        for (int j = 0; j < rows; j++)
                acc[i][j] = vec_zero();
        for (size_t k = 0; k < vecs / in_line; k++) {
                const char *next = w.at + TILE_AHEAD;

                PIN(next);
                VEC_UNROLL
                for (int i = 0; i < outs; i++)
                        vec_fetch(line_at(&w, next, i));
                VEC_UNROLL
                for (size_t i = 0; i < in_line; i++)
                        dots_step(dtype, spare, outs, rows, acc, &w, &x);
        }
        for (size_t k = 0; k < vecs % in_line; k++)
                dots_step(dtype, spare, outs, rows, acc, &w, &x);
        if (d->n % VEC != 0)
                dots_part(dtype, outs, rows, acc, &w, &x, (size_t)d->n % VEC);
        float sums[DOTS_OUTS * DOTS_ROWS + 3];

        VEC_UNROLL
        for (int t = 0; t < outs * rows; t += 4)
                vec_sum4(sums + t, nth(rows, acc, t, 0), nth(rows, acc, t, outs * rows - t > 1 ? 1 : 0),
                        nth(rows, acc, t, outs * rows - t > 2 ? 2 : 0), nth(rows, acc, t, outs * rows - t > 3 ? 3 : 0));
        VEC_UNROLL
        for (int i = 0; i < outs; i++)
                VEC_UNROLL
        for (int j = 0; j < rows; j++)
                y[(size_t)j * d->y_step + (size_t)i * far] = sums[i * rows + j];
}

// All outputs for rows row .. row + rows - 1.
VEC_INLINE void dots_rows(
        const enum dyn_dtype dtype, const int outs, const int rows, const struct tile_dots *d, size_t row)
{
        const bool spare = outs * rows <= SPARING;
        size_t n_out = (size_t)d->n_out, far = n_out / (size_t)outs;

        for (size_t o = 0; o < far; o++)
                dots_tile(dtype, spare, outs, rows, d, o, far, row);
        for (size_t o = far * (size_t)outs; o < n_out; o++)
                dots_tile(dtype, spare, 1, rows, d, o, 1, row);
}

// One tile of s: `vecs` vectors from column o on, where the last of them has only `last` columns, and rows row, row +
// 1, ... Inlined as above.
VEC_INLINE void sums_tile(const enum dyn_dtype dtype, const bool spare, const int vecs, const int rows,
        const struct tile_sums *s, size_t o, size_t last, size_t row)
{
        const size_t size = vec_bytes(dtype);
        const char *b = (const char *)s->b + o / TILE_COLUMNS * s->block_bytes + o % TILE_COLUMNS * size;
        const float *c = s->c + row * s->c_step;
        float *y = s->y + row * s->y_step + o;
        vec acc[SUMS_ROWS][SUMS_VECS], scale = vec_set1(s->scale);

        VEC_UNROLL
        for (int j = 0; j < rows; j++)
                VEC_UNROLL
        for (int i = 0; i < vecs; i++)
                acc[j][i] = vec_zero();
        for (int r = 0; r < s->n; r++, b += s->b_bytes) {
                vec by[SUMS_ROWS];

                VEC_UNROLL
                for (size_t i = 0; i < (size_t)vecs * VEC * size; i += LINE)
                        vec_fetch(b + i + s->ahead);
                VEC_UNROLL
                for (int j = 0; j < rows; j++) {
                        by[j] = vec_set1(c[(size_t)j * s->c_step + (size_t)r]);
                        VEC_PIN(by[j]);
                }
                VEC_UNROLL
                for (int i = 0; i < vecs; i++) {
                        vec column = last < VEC ? vec_load_part(b, dtype, last)
                                                : vec_load_with(b + (size_t)i * VEC * size, dtype, spare);

                        VEC_UNROLL
                        for (int j = 0; j < rows; j++)
                                acc[j][i] = vec_fma(by[j], column, acc[j][i]);
                }
        }
        VEC_UNROLL
        for (int j = 0; j < rows; j++)
                VEC_UNROLL
        for (int i = 0; i < vecs; i++) {
                float *at = y + (size_t)j * s->y_step + (size_t)i * VEC;

                if (last < VEC)
                        vec_store_part(at, vec_fma(scale, acc[j][i], vec_load_part(at, DYN_F32, last)), last);
                else
                        vec_write(at, vec_fma(scale, acc[j][i], vec_read(at)));
        }
}

// All columns for rows row .. row + rows - 1.
VEC_INLINE void sums_rows(
        const enum dyn_dtype dtype, const int vecs, const int rows, const struct tile_sums *s, size_t row)
{
        const bool spare = vecs * rows <= SPARING;
        size_t n_out = (size_t)s->n_out, columns = (size_t)vecs * VEC, o = 0;

        for (; o + columns <= n_out; o += columns)
                sums_tile(dtype, spare, vecs, rows, s, o, VEC, row);
        for (; VEC < SUMS_LEAST && o + SUMS_LEAST <= n_out; o += SUMS_LEAST)
                sums_tile(dtype, spare, SUMS_LEAST / VEC, rows, s, o, VEC, row);
        for (; o + VEC <= n_out; o += VEC)
                sums_tile(dtype, spare, 1, rows, s, o, VEC, row);
        if (o < n_out)
                sums_tile(dtype, spare, 1, rows, s, o, n_out - o, row);
}

// Each tile has a function of its own, lest what one keeps in a register is missing in another.
#define DOTS(dtype, rows, outs)                                                                                        \
        static __attribute__((noinline)) void dots_##dtype##_##rows(const struct tile_dots *d, size_t row)             \
        {                                                                                                              \
                dots_rows(dtype, outs, rows, d, row);                                                                  \
        }
DOTS_TILES(DOTS, DYN_F32)
DOTS_TILES(DOTS, DYN_F16)
DOTS_TILES(DOTS, DYN_BF16)

#define SUMS(dtype, rows, vecs)                                                                                        \
        static __attribute__((noinline)) void sums_##dtype##_##rows(const struct tile_sums *s, size_t row)             \
        {                                                                                                              \
                sums_rows(dtype, vecs, rows, s, row);                                                                  \
        }
SUMS_TILES(SUMS, DYN_F32)
SUMS_TILES(SUMS, DYN_F16)
SUMS_TILES(SUMS, DYN_BF16)

// By rows.
#define DOTS_NAME(dtype, rows, outs) dots_##dtype##_##rows,
static void (*const dots_of[][DOTS_ROWS])(const struct tile_dots *, size_t row) = {
        [DYN_F32] = {DOTS_TILES(DOTS_NAME, DYN_F32)},
        [DYN_F16] = {DOTS_TILES(DOTS_NAME, DYN_F16)},
        [DYN_BF16] = {DOTS_TILES(DOTS_NAME, DYN_BF16)},
};

#define SUMS_NAME(dtype, rows, vecs) sums_##dtype##_##rows,
static void (*const sums_of[][SUMS_ROWS])(const struct tile_sums *, size_t row) = {
        [DYN_F32] = {SUMS_TILES(SUMS_NAME, DYN_F32)},
        [DYN_F16] = {SUMS_TILES(SUMS_NAME, DYN_F16)},
        [DYN_BF16] = {SUMS_TILES(SUMS_NAME, DYN_BF16)},
};

void tile_dots(enum dyn_dtype dtype, const struct tile_dots *d)
{
        int tiles = (d->n_rows + DOTS_ROWS - 1) / DOTS_ROWS;

        for (int row = 0, rows; tiles > 0; tiles--, row += rows) {
                rows = (d->n_rows - row + tiles - 1) / tiles;
                dots_of[dtype][rows - 1](d, (size_t)row);
        }
}

void tile_sums(enum dyn_dtype dtype, const struct tile_sums *s)
{
        for (int row = 0, rows; row < s->n_rows; row += rows) {
                rows = s->n_rows - row < SUMS_ROWS ? s->n_rows - row : SUMS_ROWS;
                sums_of[dtype][rows - 1](s, (size_t)row);
        }
}
