#include "cpu/tile.h"

#include "cpu/vec.h"

#define LINE 64 // bytes

// A tile of so many accumulators has a register left for vec_load_with.
#define SPARING 8

_Static_assert(TILE_COLUMNS % (8 * VEC) == 0, "a tile of sums stays within a block of columns");

// A tile of dots is `outs` rows of w by `rows` rows of x: at most 12 accumulators, which leaves registers for the
// operands, and at least 8, so that each may wait for its last product.
#define DOTS_OUTS 8
#define DOTS_ROWS 4
#define FEW_ROWS  16

// A tile of sums is `vecs` vectors of columns by `rows` rows.
#define SUMS_VECS 8
#define SUMS_ROWS 3

// Eight more products for each output of a tile, from k on: w and x point there. The side with fewer vectors stays in
// registers, the other passes through one.
VEC_INLINE void dots_step(const enum dyn_dtype dtype, const int outs, const int rows, __m256 acc[][DOTS_ROWS],
        const char *w, size_t w_step, const float *x, size_t x_step)
{
        __m256 held[4], one;

        if (outs < rows) {
#pragma GCC unroll 8
                for (int i = 0; i < outs; i++) {
                        held[i] = vec_load_with(w + (size_t)i * w_step, dtype, outs * rows <= SPARING);
                        VEC_PIN(held[i]);
                }
#pragma GCC unroll 8
                for (int j = 0; j < rows; j++) {
                        one = _mm256_loadu_ps(x + (size_t)j * x_step);
                        VEC_PIN(one);
#pragma GCC unroll 8
                        for (int i = 0; i < outs; i++)
                                acc[i][j] = _mm256_fmadd_ps(held[i], one, acc[i][j]);
                }
                return;
        }
#pragma GCC unroll 8
        for (int j = 0; j < rows; j++) {
                held[j] = _mm256_loadu_ps(x + (size_t)j * x_step);
                VEC_PIN(held[j]);
        }
#pragma GCC unroll 8
        for (int i = 0; i < outs; i++) {
                one = vec_load_with(w + (size_t)i * w_step, dtype, outs * rows <= SPARING);
                VEC_PIN(one);
#pragma GCC unroll 8
                for (int j = 0; j < rows; j++)
                        acc[i][j] = _mm256_fmadd_ps(one, held[j], acc[i][j]);
        }
}

// The last n < 8 products.
VEC_INLINE void dots_part(const enum dyn_dtype dtype, const int outs, const int rows, __m256 acc[][DOTS_ROWS],
        const char *w, size_t w_step, const float *x, size_t x_step, size_t n)
{
#pragma GCC unroll 8
        for (int j = 0; j < rows; j++) {
                __m256 b = vec_load_part(x + (size_t)j * x_step, DYN_F32, n);

#pragma GCC unroll 8
                for (int i = 0; i < outs; i++)
                        acc[i][j] = _mm256_fmadd_ps(vec_load_part(w + (size_t)i * w_step, dtype, n), b, acc[i][j]);
        }
}

// One tile of d: outputs o, o + far, ... and rows row, row + 1, ... Rows of w that are far apart make as many streams,
// which memory answers faster than one. Inlined with constants for dtype, outs and rows.
VEC_INLINE void dots_tile(const enum dyn_dtype dtype, const int outs, const int rows, const struct tile_dots *d,
        size_t o, size_t far, size_t row)
{
        const char *w = (const char *)d->w + o * d->w_bytes;
        const float *x = d->x + row * d->x_step;
        float *y = d->y + row * d->y_step + o, sums[4];
        const size_t w_step = far * d->w_bytes, x_step = d->x_step, size = vec_bytes(dtype);
        const size_t n = (size_t)d->n, whole = n / VEC * VEC;
        __m256 acc[DOTS_OUTS][DOTS_ROWS];

#pragma GCC unroll 8
        for (int i = 0; i < outs; i++)
#pragma GCC unroll 8
                for (int j = 0; j < rows; j++)
                        acc[i][j] = _mm256_setzero_ps();
        for (size_t k = 0; k < whole;) {
                size_t stop = k + LINE / size < whole ? k + LINE / size : whole;

#pragma GCC unroll 8
                for (int i = 0; i < outs; i++)
                        _mm_prefetch(w + (size_t)i * w_step + (ptrdiff_t)(k * size) + d->ahead, _MM_HINT_T0);
#pragma GCC unroll 1
                for (; k < stop; k += VEC)
                        dots_step(dtype, outs, rows, acc, w + k * size, w_step, x + k, x_step);
        }
        if (whole < n)
                dots_part(dtype, outs, rows, acc, w + whole * size, w_step, x + whole, x_step, n - whole);
#pragma GCC unroll 8
        for (int i = 0; i < outs; i++) {
                _mm_storeu_ps(sums, vec_sum4(acc[i][0], acc[i][rows > 1 ? 1 : 0], acc[i][rows > 2 ? 2 : 0],
                                            acc[i][rows > 3 ? 3 : 0]));
#pragma GCC unroll 8
                for (int j = 0; j < rows; j++)
                        y[(size_t)j * d->y_step + (size_t)i * far] = sums[j];
        }
}

// A tile of as many of the rows that are left as fit beside so many outputs.
VEC_INLINE void dots_left(
        const enum dyn_dtype dtype, const int outs, const struct tile_dots *d, size_t o, size_t far, size_t row)
{
        size_t left = (size_t)d->n_rows - row;

        if (outs <= 3 && left >= 4)
                dots_tile(dtype, outs, 4, d, o, far, row);
        else if (outs <= 4 && left >= 3)
                dots_tile(dtype, outs, 3, d, o, far, row);
        else if (outs <= 4 && left == 2)
                dots_tile(dtype, outs, 2, d, o, far, row);
        else
                dots_tile(dtype, outs, 1, d, o, far, row);
}

// Few rows: all of them for a tile of w while it is in the first cache. Many: all of w for one tile of x.
VEC_INLINE void dots_all(const enum dyn_dtype dtype, const int outs, const struct tile_dots *d)
{
        size_t n_out = (size_t)d->n_out, n_rows = (size_t)d->n_rows, far = n_out / (size_t)outs;
        size_t together = n_rows <= FEW_ROWS ? n_rows : DOTS_ROWS;

        for (size_t first = 0; first < n_rows; first += together) {
                size_t end = first + together < n_rows ? first + together : n_rows;

                for (size_t o = 0; o < far; o++)
                        for (size_t row = first; row < end; row += DOTS_ROWS)
                                dots_left(dtype, outs, d, o, far, row);
                for (size_t o = far * (size_t)outs; o < n_out; o++)
                        for (size_t row = first; row < end; row += DOTS_ROWS)
                                dots_left(dtype, 1, d, o, 1, row);
        }
}

VEC_INLINE void dots(const enum dyn_dtype dtype, const struct tile_dots *d)
{
        if (d->n_rows == 1)
                dots_all(dtype, 8, d);
        else if (d->n_rows < DOTS_ROWS)
                dots_all(dtype, 4, d);
        else
                dots_all(dtype, 3, d);
}

static void dots_f32(const struct tile_dots *d)
{
        dots(DYN_F32, d);
}

static void dots_f16(const struct tile_dots *d)
{
        dots(DYN_F16, d);
}

static void dots_bf16(const struct tile_dots *d)
{
        dots(DYN_BF16, d);
}

void tile_dots(enum dyn_dtype dtype, const struct tile_dots *d)
{
        if (dtype == DYN_F32)
                dots_f32(d);
        else if (dtype == DYN_F16)
                dots_f16(d);
        else
                dots_bf16(d);
}

// One tile of s: `vecs` vectors from column o on, where the last of them has only `last` columns, and rows row, row +
// 1, ... Inlined as above.
VEC_INLINE void sums_tile(const enum dyn_dtype dtype, const int vecs, const int rows, const struct tile_sums *s,
        size_t o, size_t last, size_t row)
{
        const size_t size = vec_bytes(dtype);
        const char *b = (const char *)s->b + o / TILE_COLUMNS * s->block_bytes + o % TILE_COLUMNS * size;
        const float *c = s->c + row * s->c_step;
        float *y = s->y + row * s->y_step + o;
        __m256 acc[SUMS_ROWS][SUMS_VECS], scale = _mm256_set1_ps(s->scale);

#pragma GCC unroll 8
        for (int j = 0; j < rows; j++)
#pragma GCC unroll 8
                for (int i = 0; i < vecs; i++)
                        acc[j][i] = _mm256_setzero_ps();
        for (int r = 0; r < s->n; r++, b += s->b_bytes) {
                __m256 by[SUMS_ROWS];

#pragma GCC unroll 8
                for (size_t i = 0; i < (size_t)vecs * VEC * size; i += LINE)
                        _mm_prefetch(b + i + s->ahead, _MM_HINT_T0);
#pragma GCC unroll 8
                for (int j = 0; j < rows; j++) {
                        by[j] = _mm256_set1_ps(c[(size_t)j * s->c_step + (size_t)r]);
                        VEC_PIN(by[j]);
                }
#pragma GCC unroll 8
                for (int i = 0; i < vecs; i++) {
                        __m256 column =
                                last < VEC ? vec_load_part(b, dtype, last)
                                           : vec_load_with(b + (size_t)i * VEC * size, dtype, vecs * rows <= SPARING);

#pragma GCC unroll 8
                        for (int j = 0; j < rows; j++)
                                acc[j][i] = _mm256_fmadd_ps(by[j], column, acc[j][i]);
                }
        }
#pragma GCC unroll 8
        for (int j = 0; j < rows; j++)
#pragma GCC unroll 8
                for (int i = 0; i < vecs; i++) {
                        float *at = y + (size_t)j * s->y_step + (size_t)i * VEC;

                        if (last < VEC)
                                vec_store_part(
                                        at, _mm256_fmadd_ps(scale, acc[j][i], vec_load_part(at, DYN_F32, last)), last);
                        else
                                _mm256_storeu_ps(at, _mm256_fmadd_ps(scale, acc[j][i], _mm256_loadu_ps(at)));
                }
}

VEC_INLINE void sums_rows(
        const enum dyn_dtype dtype, const int vecs, const int rows, const struct tile_sums *s, size_t row)
{
        size_t n_out = (size_t)s->n_out, columns = (size_t)vecs * VEC, o = 0;

        for (; o + columns <= n_out; o += columns)
                sums_tile(dtype, vecs, rows, s, o, VEC, row);
        for (; o + VEC <= n_out; o += VEC)
                sums_tile(dtype, 1, rows, s, o, VEC, row);
        if (o < n_out)
                sums_tile(dtype, 1, rows, s, o, n_out - o, row);
}

VEC_INLINE void sums(const enum dyn_dtype dtype, const struct tile_sums *s)
{
        size_t row = 0, n_rows = (size_t)s->n_rows;

        for (; row + 3 <= n_rows; row += 3)
                sums_rows(dtype, 4, 3, s, row);
        if (row + 2 == n_rows)
                sums_rows(dtype, 4, 2, s, row);
        else if (row + 1 == n_rows)
                sums_rows(dtype, SUMS_VECS, 1, s, row);
}

static void sums_f32(const struct tile_sums *s)
{
        sums(DYN_F32, s);
}

static void sums_f16(const struct tile_sums *s)
{
        sums(DYN_F16, s);
}

static void sums_bf16(const struct tile_sums *s)
{
        sums(DYN_BF16, s);
}

void tile_sums(enum dyn_dtype dtype, const struct tile_sums *s)
{
        if (dtype == DYN_F32)
                sums_f32(s);
        else if (dtype == DYN_F16)
                sums_f16(s);
        else
                sums_bf16(s);
}
