#include "bench_machine.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/alloc.h"
#include "base/clock.h"
#include "base/threads.h"
#include "dynlora/backend.h"

#define MEMORY_BYTES ((size_t)512 << 20) // far more than any cache
#define REPEATS      5
#define FMA_LOOPS    20000000
#define CHAINS       12 // sums at a time: more than latency times units, and fewer than the registers
#define TILE_LOOPS   (FMA_LOOPS / 16)
#define TILE_FLOPS   (6.0 * 2 * 16 * 16 * 32) // of a loop: six sums of 16 by 16, each over 32 products

typedef void work_fn(void *arg, int i);

struct machine {
        struct team *team;
        const char *memory; // (MEMORY_BYTES)
        work_fn *read, *fma, *wide, *tiles;
        int n_threads;
        _Atomic float sink; // of every thread, so that no loop is left out
};

// Reading: each thread goes through a part of its own in four streams, as the rows of a matrix are read
// -----------------------------------------------------------------------------------------------------------------

static void read_plain(void *arg, int i)
{
        struct machine *m = arg;
        size_t part = MEMORY_BYTES / (size_t)m->n_threads / 256 * 256, stream = part / 4;
        const char *p = m->memory + (size_t)i * part;
        uint64_t sum[8] = {0}, line[8];

        for (size_t k = 0; k + 64 <= stream; k += 64)
                for (size_t s = 0; s < 4; s++) {
                        const char *at = p + s * stream + k;

                        __builtin_prefetch(at + 2048);
                        memcpy(line, at, sizeof line);
                        for (int j = 0; j < 8; j++)
                                sum[j] |= line[j];
                }
        m->sink = (float)(sum[0] | sum[1] | sum[2] | sum[3] | sum[4] | sum[5] | sum[6] | sum[7]);
}

// Multiplying and adding: registers alone
// -----------------------------------------------------------------------------------------------------------------

// As many lanes as four of the narrowest vectors have: the compiler fills what it has.
#define PLAIN_LANES 16

static void fma_plain(void *arg, int i)
{
        struct machine *m = arg;
        float c[PLAIN_LANES], a = 0.5f, b = 0.125f, sum = 0;

        for (int k = 0; k < PLAIN_LANES; k++)
                c[k] = (float)(i + k);
        for (int loop = 0; loop < FMA_LOOPS; loop++)
                for (int k = 0; k < PLAIN_LANES; k++)
#ifdef __FP_FAST_FMAF
                        c[k] = __builtin_fmaf(c[k], a, b);
#else
                        c[k] = c[k] * a + b;
#endif
        for (int k = 0; k < PLAIN_LANES; k++)
                sum += c[k];
        m->sink = sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void read_avx2(void *arg, int i)
{
        struct machine *m = arg;
        size_t part = MEMORY_BYTES / (size_t)m->n_threads / 256 * 256, stream = part / 4;
        const char *p = m->memory + (size_t)i * part;
        __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

        for (size_t k = 0; k + 64 <= stream; k += 64)
                for (size_t s = 0; s < 4; s++) {
                        const char *at = p + s * stream + k;

                        __builtin_prefetch(at + 2048);
                        sum[0] = _mm256_or_si256(sum[0], _mm256_load_si256((const __m256i *)at));
                        sum[1] = _mm256_or_si256(sum[1], _mm256_load_si256((const __m256i *)(at + 32)));
                }
        m->sink = (float)_mm256_extract_epi32(_mm256_or_si256(sum[0], sum[1]), 0);
}

__attribute__((target("avx2,fma"))) static void fma_avx2(void *arg, int i)
{
        struct machine *m = arg;
        __m256 c[CHAINS], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.125f), sum = b;

#pragma GCC unroll 12
        for (int k = 0; k < CHAINS; k++)
                c[k] = _mm256_set1_ps((float)(i + k));
        for (int loop = 0; loop < FMA_LOOPS; loop++) {
#pragma GCC unroll 12
                for (int k = 0; k < CHAINS; k++)
                        c[k] = _mm256_fmadd_ps(c[k], a, b);
        }
#pragma GCC unroll 12
        for (int k = 0; k < CHAINS; k++)
                sum = _mm256_add_ps(sum, c[k]);
        m->sink = _mm256_cvtss_f32(sum);
}

__attribute__((target("avx512f"))) static void fma_avx512(void *arg, int i)
{
        struct machine *m = arg;
        __m512 c[CHAINS], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.125f), sum = b;

#pragma GCC unroll 12
        for (int k = 0; k < CHAINS; k++)
                c[k] = _mm512_set1_ps((float)(i + k));
        for (int loop = 0; loop < FMA_LOOPS; loop++) {
#pragma GCC unroll 12
                for (int k = 0; k < CHAINS; k++)
                        c[k] = _mm512_fmadd_ps(c[k], a, b);
        }
#pragma GCC unroll 12
        for (int k = 0; k < CHAINS; k++)
                sum = _mm512_add_ps(sum, c[k]);
        m->sink = _mm512_cvtss_f32(sum);
}

// All tiles are 16 rows of 64 bytes: six sums, and what is multiplied.
__attribute__((target("amx-tile,amx-bf16"))) static void fma_amx(void *arg, int i)
{
        struct {
                uint8_t palette, zeros[15];
                uint16_t row_bytes[16];
                uint8_t rows[16];
        } shapes = {.palette = 1};
        uint16_t ones[16 * 32]; // of bf16

        for (int k = 0; k < 8; k++) {
                shapes.row_bytes[k] = 64;
                shapes.rows[k] = 16;
        }
        for (int k = 0; k < 16 * 32; k++)
                ones[k] = 0x3f80;
        __asm__ volatile("" ::: "memory"); // gcc's intrinsics don't say that they read it
        _tile_loadconfig(&shapes);
        _tile_loadd(6, ones, 64);
        _tile_loadd(7, ones, 64);
        for (int loop = 0; loop < TILE_LOOPS; loop++) {
                _tile_dpbf16ps(0, 6, 7);
                _tile_dpbf16ps(1, 6, 7);
                _tile_dpbf16ps(2, 6, 7);
                _tile_dpbf16ps(3, 6, 7);
                _tile_dpbf16ps(4, 6, 7);
                _tile_dpbf16ps(5, 6, 7);
        }
        _tile_release();
}
#endif

// Together
// -----------------------------------------------------------------------------------------------------------------

static void choose(struct machine *m)
{
        m->read = read_plain;
        m->fma = fma_plain;
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
                m->read = read_avx2;
                m->fma = fma_avx2;
        }
        if (__builtin_cpu_supports("avx512f"))
                m->wide = fma_avx512;
        if (dyn_backend_find("cpu-amx", NULL) != NULL) // which asks the system for tiles, too
                m->tiles = fma_amx;
#endif
}

// The least of some times, in seconds: what others take is not the machine's.
static double least_time(struct machine *m, work_fn *work)
{
        double least = 0;

        for (int i = 0; i <= REPEATS; i++) { // the first wakes the team
                int64_t began = clock_ns();

                team_run(m->team, work, m, m->n_threads);
                double s = (double)(clock_ns() - began) * 1e-9;
                if (i == 1 || (i > 1 && s < least))
                        least = s;
        }
        return least;
}

enum dyn_status bench_machine_measure(int n_threads, struct bench_peaks *peaks, struct dyn_error *err)
{
        char *memory = mem_map(MEMORY_BYTES);
        struct machine m = {.memory = memory, .n_threads = n_threads};

        if (memory == NULL)
                return dyn_fail(
                        err, DYN_NO_MEMORY, "expected %zu MiB of memory to read, found less", MEMORY_BYTES >> 20);
        memset(memory, 1, MEMORY_BYTES);
        choose(&m);
        m.team = team_create(n_threads);
        double sums = 2.0 * FMA_LOOPS * n_threads, lanes = m.fma == fma_plain ? PLAIN_LANES : CHAINS * 8;

        peaks->read = (double)MEMORY_BYTES / least_time(&m, m.read);
        peaks->fma = sums * lanes / least_time(&m, m.fma);
        peaks->wide = m.wide ? sums * CHAINS * 16 / least_time(&m, m.wide) : 0;
        peaks->tiles = m.tiles ? TILE_FLOPS * TILE_LOOPS * n_threads / least_time(&m, m.tiles) : 0;
        team_destroy(m.team);
        mem_unmap(memory, MEMORY_BYTES);
        return DYN_OK;
}
