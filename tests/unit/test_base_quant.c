// Element types: dequantisation equals what ggml's own Python package computes (golden.bin, made by
// data/quant/make.py), and the 16-bit conversions equal exact arithmetic.
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/quant.h"

static uint32_t bits_of(float f)
{
        uint32_t u;

        memcpy(&u, &f, 4);
        return u;
}

static float float_of(uint32_t u)
{
        float f;

        memcpy(&f, &u, 4);
        return f;
}

static void quantised_blocks_read_as_ggml_reads_them(void **state)
{
        FILE *f = fopen("tests/unit/data/quant/golden.bin", "rb");
        char name[9] = "";
        uint32_t n, n_types = 0;

        assert_non_null(f);
        while (fread(name, 8, 1, f) == 1) {
                int dtype = 0;

                assert_int_equal(fread(&n, 4, 1, f), 1);
                while (strcmp(dyn_dtype_name(dtype), name) != 0)
                        assert_true(++dtype < DYN_N_DTYPES);
                size_t bytes = dyn_dtype_bytes(dtype, n);
                char *blocks = malloc(bytes + 1) + 1; // unaligned, as in a file
                float *expected = malloc(n * sizeof *expected), *found = malloc(n * sizeof *found);

                assert_int_equal(fread(blocks, 1, bytes, f), bytes);
                assert_int_equal(fread(expected, sizeof *expected, n, f), n);
                quant_to_f32(found, dtype, blocks, n);
                for (uint32_t i = 0; i < n; i++)
                        if (bits_of(found[i]) != bits_of(expected[i]))
                                fail_msg("%s %u: expected %a, found %a", name, i, expected[i], found[i]);
                free(blocks - 1);
                free(expected);
                free(found);
                n_types++;
        }
        fclose(f);
        assert_int_equal(n_types, 8);
}

// The value of a half by its definition (IEEE 754-2008, 3.4).
static double half_value(unsigned h)
{
        int exponent = h >> 10 & 31, fraction = h & 0x3ff;
        double x = exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25);

        return h & 0x8000 ? -x : x;
}

static bool is_nan16(unsigned h)
{
        return (h & 0x7c00) == 0x7c00 && (h & 0x3ff) != 0;
}

static void every_half_is_read_exactly(void **state)
{
        for (unsigned h = 0; h < 0x10000; h++) {
                float f = half_from_f16((uint16_t)h);

                if (is_nan16(h))
                        assert_true(isnan(f));
                else if ((h & 0x7fff) == 0x7c00)
                        assert_true(isinf(f) && !signbit(f) == !(h >> 15));
                else
                        assert_true((double)f == half_value(h) && !signbit(f) == !(h >> 15));
        }
}

static void every_half_survives_a_round_trip(void **state)
{
        for (unsigned h = 0; h < 0x10000; h++) {
                uint16_t back = half_to_f16(half_from_f16((uint16_t)h));

                if (is_nan16(h))
                        assert_true(is_nan16(back) && back >> 15 == h >> 15);
                else
                        assert_int_equal(back, h);
        }
}

// The half nearest to x, of two the even one, by looking at both neighbours. At 65520 infinity begins.
static unsigned nearest_half(double x)
{
        unsigned sign = signbit(x) ? 0x8000 : 0, low = 0, high = 0x7c00;

        x = fabs(x);
        if (x >= 65520)
                return sign | 0x7c00;
        while (high - low > 1) {
                unsigned middle = (low + high) / 2;

                if (half_value(middle) <= x)
                        low = middle;
                else
                        high = middle;
        }
        double above = high == 0x7c00 ? 65536 : half_value(high), down = x - half_value(low), up = above - x;

        return sign | (down < up || (down == up && low % 2 == 0) ? low : high);
}

static void floats_round_to_the_nearest_half_ties_to_even(void **state)
{
        srand(1);
        for (unsigned h = 0; h < 0x7c00; h++) { // each half, the middle to the next, and their neighbours
                float at = (float)half_value(h),
                      middle = (float)((half_value(h) + (h == 0x7bff ? 65536 : half_value(h + 1))) / 2);
                float tries[] = {
                        at, nextafterf(at, 1e9f), middle, nextafterf(middle, 0), nextafterf(middle, 1e9f), -middle};

                for (int i = 0; i < 6; i++)
                        assert_int_equal(half_to_f16(tries[i]), nearest_half((double)tries[i]));
        }
        for (int i = 0; i < 1000000; i++) {
                float x = float_of((uint32_t)rand() << 16 ^ (uint32_t)rand());

                if (!isnan(x))
                        assert_int_equal(half_to_f16(x), nearest_half((double)x));
        }
        assert_int_equal(half_to_f16(INFINITY), 0x7c00);
        assert_int_equal(half_to_f16(-INFINITY), 0xfc00);
        assert_true(is_nan16(half_to_f16(NAN)) && is_nan16(half_to_f16(float_of(0xff800001))));
}

static void floats_round_to_the_nearest_bf16_ties_to_even(void **state)
{
        for (uint32_t high = 0; high < 0x10000; high++) {
                static const uint32_t lows[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};

                assert_int_equal(bits_of(half_from_bf16((uint16_t)high)), high << 16);
                for (int i = 0; i < 6; i++) {
                        uint32_t u = high << 16 | lows[i], up = lows[i] > 0x8000 || (lows[i] == 0x8000 && high % 2);
                        uint16_t found = half_to_bf16(float_of(u));

                        if (isnan(float_of(u)))
                                assert_true(isnan(half_from_bf16(found)) && found >> 15 == high >> 15);
                        else
                                assert_int_equal(
                                        found, high + up); // a carry into the exponent is right, up to infinity
                }
        }
}

static void runs_convert_as_single_values_do(void **state)
{
        float f[1003], back[1003];
        uint16_t h[1003];
        char shifted[2 * 1003 + 1];

        srand(2);
        for (int i = 0; i < 1003; i++)
                f[i] = ldexpf((float)rand() / (float)RAND_MAX - 0.5f, rand() % 60 - 40);
        for (enum dyn_dtype d = DYN_F16; d <= DYN_BF16; d++) {
                quant_from_f32(h, d, f, 1003);
                memcpy(shifted + 1, h, sizeof h);
                quant_to_f32(back, d, shifted + 1, 1003);
                for (int i = 0; i < 1003; i++) {
                        assert_int_equal(h[i], d == DYN_F16 ? half_to_f16(f[i]) : half_to_bf16(f[i]));
                        assert_true(back[i] == (d == DYN_F16 ? half_from_f16(h[i]) : half_from_bf16(h[i])));
                }
        }
        quant_from_f32(back, DYN_F32, f, 1003);
        assert_memory_equal(back, f, sizeof f);
        memset(back, 0, sizeof back);
        quant_to_f32(back, DYN_F32, f, 1003);
        assert_memory_equal(back, f, sizeof f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(quantised_blocks_read_as_ggml_reads_them),
                cmocka_unit_test(every_half_is_read_exactly),
                cmocka_unit_test(every_half_survives_a_round_trip),
                cmocka_unit_test(floats_round_to_the_nearest_half_ties_to_even),
                cmocka_unit_test(floats_round_to_the_nearest_bf16_ties_to_even),
                cmocka_unit_test(runs_convert_as_single_values_do),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
