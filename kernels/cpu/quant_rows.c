#include "cpu/quant_rows.h"

#include "base/half.h"
#include "cpu/vec.h"

#define LEAST 0x1p-100f
#define VECS  (QUANT_BLOCK / VEC)

// The largest magnitude as an integer compares floats: neither infinity nor NaN is lost.
VEC_INLINE float largest(const vec x[VECS])
{
        vec_ints most = vec_magnitude(x[0]);

        for (int i = 1; i < VECS; i++)
                most = vec_ints_max(most, vec_magnitude(x[i]));
        return half_from_bits((uint32_t)vec_ints_largest(most));
}

static void fill(struct quant_block *to, const float *p)
{
        vec x[VECS];
        int32_t sum[2] = {0};

        for (int i = 0; i < VECS; i++)
                x[i] = vec_read(p + (size_t)i * VEC);
        float most = largest(x);
        bool nothing = most < LEAST;
        float by = nothing ? 0 : 127 / most;

        for (int i = 0; i < VECS; i++)
                vec_write_i8(to->q + (size_t)i * VEC, x[i] * by);
        for (int i = 0; i < QUANT_BLOCK / 2; i++) {
                sum[0] += to->q[i];
                sum[1] += to->q[i + QUANT_BLOCK / 2];
        }
        to->half[0] = (int16_t)sum[0];
        to->half[1] = (int16_t)sum[1];
        to->scale = nothing ? 0 : most / 127;
        to->sum = to->scale * (float)(sum[0] + sum[1]);
        to->sum8 = -8 * (sum[0] + sum[1]);
}

void quant_rows(struct quant_block *to, const float *x, size_t n)
{
        for (size_t i = 0; i < n / QUANT_BLOCK; i++)
                fill(to + i, x + i * QUANT_BLOCK);
}
