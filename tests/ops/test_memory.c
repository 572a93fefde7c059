// A device's memory, the 16-bit formats of the KV cache, and the table of backends.
#include "ops.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/half.h"
#include "cpu/pool.h"

static void alloc_gives_aligned_zeros_of_every_size(void **state)
{
        static const size_t sizes[] = {0, 1, 63, 4096, 1 << 20, 5000001};

        for (int b = 0; ops_backend(b); b++) {
                struct ops o = ops_open(ops_backend(b), 1);

                for (int i = 0; i < 6; i++) {
                        char *p = o.ops->alloc(o.dev, sizes[i]);

                        assert_non_null(p);
                        assert_int_equal((uintptr_t)p % 64, 0);
                        for (size_t k = 0; k < sizes[i]; k++)
                                assert_int_equal(p[k], 0);
                        memset(p, 1, sizes[i]);
                        o.ops->free(o.dev, p);
                }
                o.ops->free(o.dev, NULL);
                ops_close(&o);
        }
}

static void alloc_of_more_than_there_is_answers_null(void **state)
{
        struct ops o = ops_open("auto", 1);

        assert_null(o.ops->alloc(o.dev, SIZE_MAX - 10));
        assert_null(o.ops->alloc(o.dev, SIZE_MAX / 2));
        ops_close(&o);
}

static void upload_and_download_carry_bytes_both_ways(void **state)
{
        struct ops o = ops_open("auto", 1);
        char there[100], back[100], *on_device = o.ops->alloc(o.dev, 100);

        for (int i = 0; i < 100; i++)
                there[i] = (char)ops_random();
        o.ops->upload(o.dev, on_device, there, 100);
        o.ops->download(o.dev, back, on_device, 100);
        assert_memory_equal(there, back, 100);
        o.ops->free(o.dev, on_device);
        ops_close(&o);
}

static size_t resident_bytes(char *from, size_t bytes)
{
        size_t page = (size_t)sysconf(_SC_PAGESIZE), n = 0;
        char *first = from - (uintptr_t)from % page;
        unsigned char there;

        for (char *at = first; at < from + bytes; at += page) {
                assert_int_equal(mincore(at, 1, &there), 0);
                n += there & 1 ? page : 0;
        }
        return n;
}

static void pool_blocks_are_aligned_zeros_apart_from_each_other(void **state)
{
        enum { N = 300 };
        struct pool p;
        char *block[N];
        size_t bytes[N];

        pool_init(&p);
        for (int round = 0; round < 3; round++) {
                for (int i = 0; i < N; i++) {
                        bytes[i] = ops_random() % 200000;
                        block[i] = pool_alloc(&p, bytes[i]);
                        assert_int_equal((uintptr_t)block[i] % 64, 0);
                        for (size_t k = 0; k < bytes[i]; k += 1 + k % 13)
                                assert_int_equal(block[i][k], 0);
                        memset(block[i], i % 127 + 1, bytes[i]);
                        if (i % 3 == 1) { // some are freed early
                                pool_free(&p, block[i - 1]);
                                block[i - 1] = NULL;
                        }
                }
                for (int i = 0; i < N; i++) {
                        for (size_t k = 0; block[i] && k < bytes[i]; k++)
                                assert_int_equal(block[i][k], i % 127 + 1);
                        pool_free(&p, block[i]);
                }
        }
        assert_null(pool_alloc(&p, SIZE_MAX / 2 - 1));
        char *large = pool_alloc(&p, 20000001);

        large[20000000] = 1;
        pool_free(&p, large);
        pool_finish(&p);
}

// n blocks, each full of a byte of its own.
static void fill_blocks(struct pool *p, char **block, int n, size_t bytes)
{
        pool_init(p);
        for (int i = 0; i < n; i++) {
                block[i] = pool_alloc(p, bytes);
                memset(block[i], i % 127 + 1, bytes);
        }
}

// The first and the last, which are still as they were filled; the pool ends with them.
static void free_ends(struct pool *p, char **block, int n, size_t bytes)
{
        for (int i = 0; i < n; i += n - 1) {
                for (size_t k = 0; k < bytes; k++)
                        assert_int_equal(block[i][k], i % 127 + 1);
                pool_free(p, block[i]);
        }
        pool_finish(p);
}

static void a_pool_block_gives_its_pages_back_while_its_neighbours_stay(void **state)
{
        enum { N = 3, BYTES = 2500000, SHARED = 65536 };
        struct pool p;
        char *block[N];

        fill_blocks(&p, block, N, BYTES);
        assert_true(resident_bytes(block[1], BYTES) >= BYTES);
        pool_free(&p, block[1]);
        assert_in_range(resident_bytes(block[1], BYTES), 0, 2 * SHARED);
        free_ends(&p, block, N, BYTES);
}

static void small_pool_blocks_give_their_pages_back_with_the_last_one_there(void **state)
{
        enum { N = 4000, BYTES = 1000, SHARED = 65536 };
        struct pool p;
        char *block[N];

        fill_blocks(&p, block, N, BYTES);
        size_t span = (size_t)(block[N - 1] - block[0]);

        for (int i = 1; i < N - 1; i += 2)
                pool_free(&p, block[i]);
        assert_true(resident_bytes(block[0], span) >= span);
        for (int i = 2; i < N - 1; i += 2)
                pool_free(&p, block[i]);
        assert_in_range(resident_bytes(block[0], span), 0, 2 * SHARED);
        free_ends(&p, block, N, BYTES);
}

static void halves_widen_to_their_value(void **state)
{
        for (uint32_t h = 0; h < 65536; h++) {
                if ((h & 0x7c00) != 0x7c00)
                        assert_true((double)half_from_f16((uint16_t)h) == ops_decode(DYN_F16, (uint16_t)h));
                if ((h & 0x7f80) != 0x7f80)
                        assert_true((double)half_from_bf16((uint16_t)h) == ops_decode(DYN_BF16, (uint16_t)h));
        }
        assert_true(half_from_f16(0x7c00) == INFINITY && half_from_f16(0xfc00) == -INFINITY);
        assert_true(isnan(half_from_f16(0x7c01)));
}

static void halves_narrow_to_the_nearest_even(void **state)
{
        for (uint32_t h = 0; h < 0x7bff; h++) {
                double low = ops_decode(DYN_F16, (uint16_t)h), high = ops_decode(DYN_F16, (uint16_t)(h + 1));
                float middle = (float)((low + high) / 2);

                assert_int_equal(half_to_f16((float)low), h);
                assert_int_equal(half_to_f16(-(float)low), h | 0x8000);
                assert_int_equal(half_to_f16(middle), h + (h & 1));
                assert_int_equal(half_to_f16(nextafterf(middle, 0)), h);
                assert_int_equal(half_to_f16(nextafterf(middle, 1e9f)), h + 1);
        }
        assert_int_equal(half_to_f16(65519.0f), 0x7bff);
        assert_int_equal(half_to_f16(65520.0f), 0x7c00);
        assert_int_equal(half_to_f16(-1e30f), 0xfc00);
        assert_int_equal(half_to_f16(NAN) & 0x7fff, 0x7e00);
        assert_int_equal(half_to_f16(0x1p-149f), 0);
}

static void kv_write_narrows_alike_on_every_backend(void **state)
{
        enum { ROWS = 20, DIM = 22 };
        float *k = ops_floats(ROWS * DIM), *v = ops_floats(ROWS * DIM);
        int32_t pages[2] = {1, 0};
        struct dyn_span span = {.n_rows = ROWS, .pages = pages};
        uint16_t found[2][2 * 16 * DIM], expected[2][2 * 16 * DIM] = {0};

        for (int i = 0; i < ROWS * DIM; i++) {
                int pos = i / DIM, page = pages[pos / 16] * 16 * DIM, slot = pos % 16;

                k[i] *= i % 5 ? 1 : 1e5f;
                expected[0][page + i % DIM * 16 + slot] = half_to_f16(k[i]);
                expected[1][page + slot * DIM + i % DIM] = half_to_f16(v[i]);
        }
        for (int b = 0; ops_backend(b); b++) {
                struct dyn_kv kv = {.dtype = DYN_F16, .n_layers = 1, .n_pages = 2, .n_kv_heads = 1, .head_dim = DIM};
                struct ops o = ops_open(ops_backend(b), 1);

                kv.k = o.ops->alloc(o.dev, sizeof found[0]);
                kv.v = o.ops->alloc(o.dev, sizeof found[1]);
                o.ops->kv_write(o.dev, &kv, 0, k, v, &span, 1);
                o.ops->download(o.dev, found[0], kv.k, sizeof found[0]);
                o.ops->download(o.dev, found[1], kv.v, sizeof found[1]);
                assert_memory_equal(found, expected, sizeof found);
                o.ops->free(o.dev, kv.k);
                o.ops->free(o.dev, kv.v);
                ops_close(&o);
        }
        test_free(k);
        test_free(v);
}

static void backends_are_found_by_name_alone(void **state)
{
        const struct dyn_backend_ops *best = dyn_backend_at(0);

        assert_string_equal(dyn_backend_find("plain", NULL)->name, "plain");
        assert_ptr_equal(dyn_backend_find("auto", NULL), best);
        assert_ptr_equal(dyn_backend_find("cpu", NULL), best);
        for (int b = 0; ops_backend(b); b++)
                assert_ptr_equal(dyn_backend_find(ops_backend(b), NULL), dyn_backend_at(b));
        for (int b = 0; b < 3; b++) {
                static const char *const names[] = {"abacus", "", "cpu-"};
                char expected[64];
                struct dyn_error err;

                assert_null(dyn_backend_find(names[b], &err));
                snprintf(expected, sizeof expected, "this build has no backend \"%s\"", names[b]);
                assert_string_equal(err.text, expected);
        }
}

#ifdef __x86_64__
// The oracle of what the processor has is the system: /proc/cpuinfo.
static void backend_that_the_processor_cannot_run_is_refused_with_what_it_lacks(void **state)
{
        static const struct {
                const char *name, *flags[4], *needs;
        } sets[] = {{"cpu-amx", {"amx_bf16", "amx_tile", "avx512f", "avx512bw"},
                            "AMX-BF16 and AVX-512, and a Linux from 5.16 on"},
                {"cpu-avx512", {"avx512f", "avx512bw", "avx512dq", "avx512vl"}, "AVX-512 F, BW, DQ and VL"},
                {"cpu-avx2", {"avx2", "fma", "f16c", "avx"}, "AVX2 and FMA"}};
        char line[8192] = "";
        FILE *f = fopen("/proc/cpuinfo", "r");

        assert_non_null(f);
        while (fgets(line, sizeof line, f) && strncmp(line, "flags", 5) != 0)
                continue;
        fclose(f);
        assert_memory_equal(line, "flags", 5);
        for (char *c = line; *c; c++)
                *c = *c == '\n' ? ' ' : *c;
        for (int i = 0; i < 2; i++) {
                bool runs = true;
                struct dyn_error err;

                for (int k = 0; k < 4; k++) {
                        char flag[16];

                        snprintf(flag, sizeof flag, " %s ", sets[i].flags[k]);
                        runs &= strstr(line, flag) != NULL;
                }
                assert_int_equal(dyn_backend_find(sets[i].name, &err) != NULL, runs);
                if (!runs) {
                        assert_int_equal(err.status, DYN_UNSUPPORTED);
                        assert_non_null(strstr(err.text, sets[i].name));
                        assert_non_null(strstr(err.text, sets[i].needs));
                }
        }
}
#endif

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(alloc_gives_aligned_zeros_of_every_size),
                cmocka_unit_test(alloc_of_more_than_there_is_answers_null),
                cmocka_unit_test(upload_and_download_carry_bytes_both_ways),
                cmocka_unit_test(pool_blocks_are_aligned_zeros_apart_from_each_other),
                cmocka_unit_test(a_pool_block_gives_its_pages_back_while_its_neighbours_stay),
                cmocka_unit_test(small_pool_blocks_give_their_pages_back_with_the_last_one_there),
                cmocka_unit_test(halves_widen_to_their_value),
                cmocka_unit_test(halves_narrow_to_the_nearest_even),
                cmocka_unit_test(kv_write_narrows_alike_on_every_backend),
                cmocka_unit_test(backends_are_found_by_name_alone),
#ifdef __x86_64__
                cmocka_unit_test(backend_that_the_processor_cannot_run_is_refused_with_what_it_lacks),
#endif
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
