#include "cpu/quant_dots.h"

#include "cpu/quant_panel.h"

#define ROWS   4  // of x that share what is unpacked
#define BLOCKS 32 // unpacked at a time for many rows: a panel of them stays in the first cache
#define LINE   64 // bytes

// Four bytes of x for every output.
VEC_INLINE __m256i four_of(const struct quant_block *x, int c)
{
        int32_t four;

        memcpy(&four, x->q + (size_t)c * 4, sizeof four);
        return _mm256_set1_epi32(four);
}

// sum + the dots of q (0 .. 15) with x. At most 8 * 2 * 15 * 127 stands in 16 bits.
VEC_INLINE __m256i dots_of_nibbles(__m256i sum, const __m256i *q, const struct quant_block *x)
{
#ifdef __AVXVNNI__
        VEC_UNROLL
        for (int c = 0; c < 8; c++)
                sum = _mm256_dpbusd_avx_epi32(sum, q[c], four_of(x, c));
        return sum;
#else
        __m256i even = _mm256_maddubs_epi16(q[0], four_of(x, 0)), odd = _mm256_maddubs_epi16(q[1], four_of(x, 1));

        VEC_UNROLL
        for (int c = 2; c < 8; c += 2) {
                even = _mm256_add_epi16(even, _mm256_maddubs_epi16(q[c], four_of(x, c)));
                odd = _mm256_add_epi16(odd, _mm256_maddubs_epi16(q[c + 1], four_of(x, c + 1)));
        }
        return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_add_epi16(even, odd), _mm256_set1_epi16(1)));
#endif
}

// The dots of q (signed) with x. maddubs wants one side without sign: |q| <= 128 by x with the sign of q is within 16
// bits for two products, since no x is -128.
VEC_INLINE __m256i dots_of_bytes(const __m256i *q, const struct quant_block *x)
{
#ifdef __AVXVNNI__
        __m256i sum = _mm256_slli_epi32(_mm256_set1_epi32(x->sum8), 4);

        VEC_UNROLL
        for (int c = 0; c < 8; c++)
                sum = _mm256_dpbusd_avx_epi32(sum, _mm256_xor_si256(q[c], _mm256_set1_epi8(-128)), four_of(x, c));
        return sum;
#else
        __m256i sum = _mm256_setzero_si256();

        VEC_UNROLL
        for (int c = 0; c < 8; c++) {
                __m256i two = _mm256_maddubs_epi16(_mm256_abs_epi8(q[c]), _mm256_sign_epi8(four_of(x, c), q[c]));

                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(two, _mm256_set1_epi16(1)));
        }
        return sum;
#endif
}

// The sum over both groups of group * the dots of q (0 .. 63) less 32 with x. 16 bits hold two products of maddubs.
VEC_INLINE __m256i dots_of_sixes(const struct quant_panel *p, const struct quant_block *x)
{
        __m256i sum = _mm256_setzero_si256();
        int32_t halves;

        memcpy(&halves, x->half, sizeof halves);
        VEC_UNROLL
        for (int c = 0; c < 8; c += 2) {
                __m256i two = _mm256_add_epi16(_mm256_maddubs_epi16(p->q[c], four_of(x, c)),
                        _mm256_maddubs_epi16(p->q[c + 1], four_of(x, c + 1)));

                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(two, p->group[c / 4]));
        }
        __m256i base = _mm256_madd_epi16(p->groups, _mm256_set1_epi32(halves));

        return _mm256_sub_epi32(sum, _mm256_slli_epi32(base, 5));
}

// acc + a block of the panel times one of x.
VEC_INLINE __m256 dots_block(
        const enum dyn_dtype dtype, __m256 acc, const struct quant_panel *p, const struct quant_block *x)
{
        __m256i dots;

        if (dtype == DYN_Q8_0)
                dots = dots_of_bytes(p->q, x);
        else if (dtype == DYN_Q6_K)
                dots = dots_of_sixes(p, x);
        else
                dots = dots_of_nibbles(
                        dtype == DYN_Q4_0 ? _mm256_set1_epi32(x->sum8) : _mm256_setzero_si256(), p->q, x);
        acc = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots), _mm256_mul_ps(p->scale, _mm256_set1_ps(x->scale)), acc);
        if (dtype == DYN_Q4_1 || dtype == DYN_Q4_K)
                acc = _mm256_fmadd_ps(p->least, _mm256_set1_ps(x->sum), acc);
        return acc;
}

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

// Outputs of a panel, of which the last may be missing: rows of w beyond are not read.
VEC_INLINE struct quant_source source_of(const struct quant_dots *d, size_t o)
{
        struct quant_source s;
        size_t last = (size_t)d->n_out - 1;

        for (size_t i = 0; i < QUANT_OUTS; i++)
                s.row[i] = d->w + (o + i < last ? o + i : last) * d->w_bytes;
        return s;
}

VEC_INLINE void next_group(struct quant_source *s, const enum dyn_dtype dtype)
{
        VEC_UNROLL
        for (int i = 0; i < QUANT_OUTS; i++)
                s->row[i] += group_bytes(dtype);
}

// The rows that come after these eight are fetched while these are used, as many bytes of them.
VEC_INLINE void fetch_ahead(const struct quant_source *s, size_t used, size_t w_bytes, const size_t bytes)
{
        const char *p = s->row[0] - used + QUANT_OUTS * (w_bytes + used);

        VEC_UNROLL
        for (size_t i = 0; i < QUANT_OUTS * bytes; i += LINE)
                _mm_prefetch(p + i, _MM_HINT_T0);
}

VEC_INLINE void store(const struct quant_dots *d, size_t row, size_t o, __m256 sums)
{
        float *y = d->y + row * d->y_step + o;

        if (o + QUANT_OUTS <= (size_t)d->n_out)
                _mm256_storeu_ps(y, sums);
        else
                vec_store_part(y, sums, (size_t)d->n_out - o);
}

VEC_INLINE __m256 load(const struct quant_dots *d, size_t row, size_t o)
{
        const float *y = d->y + row * d->y_step + o;

        return o + QUANT_OUTS <= (size_t)d->n_out ? _mm256_loadu_ps(y)
                                                  : vec_load_part(y, DYN_F32, (size_t)d->n_out - o);
}

// All rows of x, at most ROWS, while w passes through the registers.
VEC_INLINE void dots_few(const enum dyn_dtype dtype, const int rows, const struct quant_dots *d, size_t o)
{
        const int group = group_of(dtype);
        struct quant_source s = source_of(d, o);
        __m256 acc[ROWS];
        size_t n = (size_t)d->n_blocks, used = 0;

        VEC_UNROLL
        for (int j = 0; j < rows; j++)
                acc[j] = _mm256_setzero_ps();
        VEC_KEEP_LOOP
        for (size_t k = 0; k < n; k += (size_t)group) {
                struct quant_panel p[8];

                fetch_ahead(&s, used, d->w_bytes, group_bytes(dtype));
                quant_unpack(dtype, p, &s);
                next_group(&s, dtype);
                used += group_bytes(dtype);
                VEC_KEEP_LOOP
                for (int i = 0; i < group; i++)
                        VEC_UNROLL
                for (int j = 0; j < rows; j++)
                        acc[j] = dots_block(dtype, acc[j], &p[i], d->x + (size_t)j * n + k + (size_t)i);
        }
        VEC_UNROLL
        for (int j = 0; j < rows; j++)
                store(d, (size_t)j, o, acc[j]);
}

// Rows row .. row + rows - 1 of x with `blocks` blocks of a panel, the first of which is block k of the row; the sums
// so far are in y.
VEC_INLINE void dots_panel(const enum dyn_dtype dtype, const int rows, const struct quant_dots *d,
        const struct quant_panel *p, size_t o, size_t row, size_t k, size_t blocks)
{
        const struct quant_block *x = d->x + row * (size_t)d->n_blocks + k;
        __m256 acc[ROWS];

        VEC_UNROLL
        for (int j = 0; j < rows; j++)
                acc[j] = k ? load(d, row + (size_t)j, o) : _mm256_setzero_ps();
        VEC_KEEP_LOOP
        for (size_t i = 0; i < blocks; i++)
                VEC_UNROLL
        for (int j = 0; j < rows; j++)
                acc[j] = dots_block(dtype, acc[j], p + i, x + (size_t)j * (size_t)d->n_blocks + i);
        VEC_UNROLL
        for (int j = 0; j < rows; j++)
                store(d, row + (size_t)j, o, acc[j]);
}

// Many rows: panels of w are unpacked once for all of them.
VEC_INLINE void dots_many(const enum dyn_dtype dtype, const struct quant_dots *d, size_t o)
{
        const size_t group = (size_t)group_of(dtype), n_rows = (size_t)d->n_rows, n = (size_t)d->n_blocks;
        struct quant_source s = source_of(d, o);
        struct quant_panel p[BLOCKS];

        for (size_t k = 0, blocks; k < n; k += blocks) {
                size_t row = 0;

                blocks = n - k < BLOCKS ? n - k : BLOCKS;
                for (size_t i = 0; i < blocks; i += group, next_group(&s, dtype))
                        quant_unpack(dtype, p + i, &s);
                for (; row + ROWS <= n_rows; row += ROWS)
                        dots_panel(dtype, ROWS, d, p, o, row, k, blocks);
                for (; row < n_rows; row++)
                        dots_panel(dtype, 1, d, p, o, row, k, blocks);
        }
}

#define DOTS(dtype, one, two, three, four, many)                                                                       \
        static __attribute__((noinline)) void one(const struct quant_dots *d, size_t o)                                \
        {                                                                                                              \
                dots_few(dtype, 1, d, o);                                                                              \
        }                                                                                                              \
        static __attribute__((noinline)) void two(const struct quant_dots *d, size_t o)                                \
        {                                                                                                              \
                dots_few(dtype, 2, d, o);                                                                              \
        }                                                                                                              \
        static __attribute__((noinline)) void three(const struct quant_dots *d, size_t o)                              \
        {                                                                                                              \
                dots_few(dtype, 3, d, o);                                                                              \
        }                                                                                                              \
        static __attribute__((noinline)) void four(const struct quant_dots *d, size_t o)                               \
        {                                                                                                              \
                dots_few(dtype, 4, d, o);                                                                              \
        }                                                                                                              \
        static __attribute__((noinline)) void many(const struct quant_dots *d, size_t o)                               \
        {                                                                                                              \
                dots_many(dtype, d, o);                                                                                \
        }

DOTS(DYN_Q4_0, q4_0_1, q4_0_2, q4_0_3, q4_0_4, q4_0_many)
DOTS(DYN_Q4_1, q4_1_1, q4_1_2, q4_1_3, q4_1_4, q4_1_many)
DOTS(DYN_Q8_0, q8_0_1, q8_0_2, q8_0_3, q8_0_4, q8_0_many)
DOTS(DYN_Q4_K, q4_k_1, q4_k_2, q4_k_3, q4_k_4, q4_k_many)
DOTS(DYN_Q6_K, q6_k_1, q6_k_2, q6_k_3, q6_k_4, q6_k_many)

// By the rows of x.
static void (*const dots_of[][ROWS + 1])(const struct quant_dots *, size_t o) = {
        [DYN_Q4_0] = {q4_0_1, q4_0_2, q4_0_3, q4_0_4, q4_0_many},
        [DYN_Q4_1] = {q4_1_1, q4_1_2, q4_1_3, q4_1_4, q4_1_many},
        [DYN_Q8_0] = {q8_0_1, q8_0_2, q8_0_3, q8_0_4, q8_0_many},
        [DYN_Q4_K] = {q4_k_1, q4_k_2, q4_k_3, q4_k_4, q4_k_many},
        [DYN_Q6_K] = {q6_k_1, q6_k_2, q6_k_3, q6_k_4, q6_k_many},
};

void QUANT_DOTS(enum dyn_dtype dtype, const struct quant_dots *d)
{
        for (size_t o = 0; o < (size_t)d->n_out && d->n_rows > 0; o += QUANT_OUTS)
                dots_of[dtype][(d->n_rows < ROWS + 1 ? d->n_rows : ROWS + 1) - 1](d, o);
}
