#include "cpu/quant_dots.h"

#include "cpu/panel_dots.h"

#define ROWS   4    // of x that share what is unpacked
#define BLOCKS 32   // unpacked at a time for many rows: a panel of them stays in the first cache
#define LINE   64   // bytes
#define AHEAD  2048 // bytes that a row is fetched before they are used

// Blocks of 32 in one block of the type.
VEC_INLINE int group_of(const enum dyn_dtype dtype)
{
        return dtype == DYN_Q4_K || dtype == DYN_Q6_K ? 8 : 1;
}

VEC_INLINE size_t group_bytes(const enum dyn_dtype dtype)
{
        static const size_t bytes[] = {
                [DYN_Q4_0] = 18, [DYN_Q4_1] = 20, [DYN_Q8_0] = 34, [DYN_Q4_K] = 144, [DYN_Q6_K] = 210};

        return bytes[dtype];
}

// Outputs o, o + far, ... of a panel, of which the last may be missing: rows of w beyond are not read.
VEC_INLINE struct panel_rows source_of(const struct quant_dots *d, size_t o, size_t far)
{
        struct panel_rows s;
        size_t last = (size_t)d->n_out - 1;

        for (size_t i = 0; i < VEC; i++, o += far)
                s.row[i] = d->w + (o < last ? o : last) * d->w_bytes;
        return s;
}

VEC_INLINE void next_group(struct panel_rows *s, const enum dyn_dtype dtype)
{
        VEC_UNROLL
        for (int i = 0; i < VEC; i++)
                s->row[i] += group_bytes(dtype);
}

// While bytes at .. at + bytes - 1 of rows that follow each other are used, as many of the rows after them are fetched.
VEC_INLINE void fetch_ahead(const char *first_row, size_t w_bytes, size_t at, const size_t bytes)
{
        const char *p = first_row + VEC * (w_bytes + at);

        VEC_UNROLL
        for (size_t i = 0; i < VEC * bytes; i += LINE)
                vec_fetch(p + i);
}

// Each row on its own, as far as it goes on: for rows that are far apart.
VEC_INLINE void fetch_each(const struct panel_rows *s, size_t at)
{
        VEC_UNROLL
        for (int i = 0; i < VEC; i++)
                vec_fetch(s->row[i] + at + AHEAD);
}

VEC_INLINE void store(const struct quant_dots *d, size_t row, size_t o, vec sums)
{
        float *y = d->y + row * d->y_step + o;

        if (o + VEC <= (size_t)d->n_out) {
                vec_write(y, sums);
                return;
        }
        vec_store_part(y, sums, (size_t)d->n_out - o);
}

VEC_INLINE vec load(const struct quant_dots *d, size_t row, size_t o)
{
        const float *y = d->y + row * d->y_step + o;

        return o + VEC <= (size_t)d->n_out ? vec_read(y) : vec_load_part(y, DYN_F32, (size_t)d->n_out - o);
}

// The sums of outputs o, o + far, ...
VEC_INLINE void scatter(const struct quant_dots *d, size_t row, size_t o, size_t far, vec sums)
{
        float *y = d->y + row * d->y_step, whole[VEC];

        vec_write(whole, sums);
        for (size_t i = 0; i < VEC && o < (size_t)d->n_out; i++, o += far)
                y[o] = whole[i];
}

// All rows of x, at most ROWS, while w passes through the registers. Rows of w that are far apart make as many streams,
// which memory answers faster than one.
VEC_INLINE void dots_few(const enum dyn_dtype dtype, const int rows, const struct quant_dots *d, size_t o, size_t far)
{
        const int group = group_of(dtype);
        const size_t step = (group_bytes(dtype) + (size_t)group - 1) / (size_t)group, every = LINE / step;
        struct panel_rows s = source_of(d, o, far);
        vec acc[ROWS];
        size_t n = (size_t)d->n_blocks;

        VEC_UNROLL
        for (int j = 0; j < rows; j++)
                acc[j] = vec_zero();
        VEC_KEEP_LOOP
        for (size_t k = 0; k < n; k += (size_t)group) {
                struct panel p[8];

                panel_unpack(dtype, p, &s);
                VEC_KEEP_LOOP
                for (int i = 0; i < group; i++) {
                        if ((k + (size_t)i) % every == 0)
                                fetch_each(&s, (size_t)i * step);
                        VEC_UNROLL
                        for (int j = 0; j < rows; j++)
                                acc[j] = panel_dots(dtype, acc[j], &p[i], d->x + (size_t)j * n + k + (size_t)i);
                }
                next_group(&s, dtype);
        }
        VEC_UNROLL
        for (int j = 0; j < rows; j++)
                scatter(d, (size_t)j, o, far, acc[j]);
}

// Rows row .. row + rows - 1 of x with `blocks` blocks of a panel, the first of which is block k of the row; the sums
// so far are in y.
VEC_INLINE void dots_panel(const enum dyn_dtype dtype, const int rows, const struct quant_dots *d,
        const struct panel *p, size_t o, size_t row, size_t k, size_t blocks)
{
        const struct quant_block *x = d->x + row * (size_t)d->n_blocks + k;
        vec acc[ROWS];

        VEC_UNROLL
        for (int j = 0; j < rows; j++)
                acc[j] = k ? load(d, row + (size_t)j, o) : vec_zero();
        VEC_KEEP_LOOP
        for (size_t i = 0; i < blocks; i++)
                VEC_UNROLL
        for (int j = 0; j < rows; j++)
                acc[j] = panel_dots(dtype, acc[j], p + i, x + (size_t)j * (size_t)d->n_blocks + i);
        VEC_UNROLL
        for (int j = 0; j < rows; j++)
                store(d, row + (size_t)j, o, acc[j]);
}

// Many rows: panels of w are unpacked once for all of them.
VEC_INLINE void dots_many(const enum dyn_dtype dtype, const struct quant_dots *d, size_t o)
{
        const size_t group = (size_t)group_of(dtype), n_rows = (size_t)d->n_rows, n = (size_t)d->n_blocks;
        struct panel_rows s = source_of(d, o, 1);
        const char *first = s.row[0];
        struct panel p[BLOCKS];
        size_t at = 0;

        for (size_t k = 0, blocks; k < n; k += blocks) {
                size_t row = 0;

                blocks = n - k < BLOCKS ? n - k : BLOCKS;
                for (size_t i = 0; i < blocks; i += group, at += group_bytes(dtype)) {
                        fetch_ahead(first, d->w_bytes, at, group_bytes(dtype));
                        panel_unpack(dtype, p + i, &s);
                        next_group(&s, dtype);
                }
                for (; row + ROWS <= n_rows; row += ROWS)
                        dots_panel(dtype, ROWS, d, p, o, row, k, blocks);
                for (; row + 2 <= n_rows; row += 2)
                        dots_panel(dtype, 2, d, p, o, row, k, blocks);
                if (row < n_rows)
                        dots_panel(dtype, 1, d, p, o, row, k, blocks);
        }
}

#define DOTS(dtype, one, two, three, four, many)                                                                       \
        static __attribute__((noinline)) void one(const struct quant_dots *d, size_t o, size_t far)                    \
        {                                                                                                              \
                dots_few(dtype, 1, d, o, far);                                                                         \
        }                                                                                                              \
        static __attribute__((noinline)) void two(const struct quant_dots *d, size_t o, size_t far)                    \
        {                                                                                                              \
                dots_few(dtype, 2, d, o, far);                                                                         \
        }                                                                                                              \
        static __attribute__((noinline)) void three(const struct quant_dots *d, size_t o, size_t far)                  \
        {                                                                                                              \
                dots_few(dtype, 3, d, o, far);                                                                         \
        }                                                                                                              \
        static __attribute__((noinline)) void four(const struct quant_dots *d, size_t o, size_t far)                   \
        {                                                                                                              \
                dots_few(dtype, 4, d, o, far);                                                                         \
        }                                                                                                              \
        static __attribute__((noinline)) void many(const struct quant_dots *d, size_t o, size_t far)                   \
        {                                                                                                              \
                dots_many(dtype, d, o);                                                                                \
        }

DOTS(DYN_Q4_0, q4_0_1, q4_0_2, q4_0_3, q4_0_4, q4_0_many)
DOTS(DYN_Q4_1, q4_1_1, q4_1_2, q4_1_3, q4_1_4, q4_1_many)
DOTS(DYN_Q8_0, q8_0_1, q8_0_2, q8_0_3, q8_0_4, q8_0_many)
DOTS(DYN_Q4_K, q4_k_1, q4_k_2, q4_k_3, q4_k_4, q4_k_many)
DOTS(DYN_Q6_K, q6_k_1, q6_k_2, q6_k_3, q6_k_4, q6_k_many)

// By the rows of x.
static void (*const dots_of[][ROWS + 1])(const struct quant_dots *, size_t o, size_t far) = {
        [DYN_Q4_0] = {q4_0_1, q4_0_2, q4_0_3, q4_0_4, q4_0_many},
        [DYN_Q4_1] = {q4_1_1, q4_1_2, q4_1_3, q4_1_4, q4_1_many},
        [DYN_Q8_0] = {q8_0_1, q8_0_2, q8_0_3, q8_0_4, q8_0_many},
        [DYN_Q4_K] = {q4_k_1, q4_k_2, q4_k_3, q4_k_4, q4_k_many},
        [DYN_Q6_K] = {q6_k_1, q6_k_2, q6_k_3, q6_k_4, q6_k_many},
};

void ISA(quant_dots)(enum dyn_dtype dtype, const struct quant_dots *d)
{
        bool few = d->n_rows <= ROWS;
        size_t n_out = (size_t)d->n_out, far = n_out / VEC, o = 0;

        if (d->n_rows == 0)
                return;
        for (; few && o < far; o++)
                dots_of[dtype][d->n_rows - 1](d, o, far);
        for (o *= VEC; o < n_out; o += VEC)
                dots_of[dtype][few ? d->n_rows - 1 : ROWS](d, o, 1);
}
