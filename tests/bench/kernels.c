// Times the operations of the CPU backend beside what this machine can do: how fast its threads read memory together,
// and how many fused multiply-adds they do. Not a test: `bench_kernels [threads] [bf16|q4_0|...] [backend]
// [merge|step|gemm|attention]` prints tables, all of them or the one that is named.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/threads.h"
#include "dynlora/backend.h"

#define MEMORY_BYTES ((size_t)512 << 20)
#define REPEATS      11
#define MAX_ROWS     512

static const struct dyn_backend_ops *ops;
static struct dyn_device *dev;
static double read_rate, fma_rate; // bytes and floating-point operations in a second, all threads

static int by_size(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

struct timing {
        double best, median; // seconds
};

static double seconds(void (*work)(void *arg), void *arg)
{
        int64_t start = clock_ns();

        work(arg);
        return (double)(clock_ns() - start) * 1e-9;
}

// s: (REPEATS), sorted here.
static struct timing timing(double *s)
{
        qsort(s, REPEATS, sizeof *s, by_size);
        return (struct timing){s[0], s[REPEATS / 2]};
}

// Times calls of work(arg), after one that is not counted.
static struct timing timed(void (*work)(void *arg), void *arg)
{
        double s[REPEATS];

        work(arg);
        for (int i = 0; i < REPEATS; i++)
                s[i] = seconds(work, arg);
        return timing(s);
}

// The machine
// ----------------------------------------------------------------------------------------------------------

struct machine {
        struct team *team;
        const uint64_t *memory; // MEMORY_BYTES
        volatile uint64_t sink;
        int n_threads;
};

static void read_part(void *arg, int i)
{
        struct machine *m = arg;
        size_t n = MEMORY_BYTES / sizeof(uint64_t) / (size_t)m->n_threads / 32 * 32, stream = n / 4;
        const uint64_t *p = m->memory + (size_t)i * n;
        uint64_t sum[8] = {0};

        for (size_t k = 0; k < stream; k += 8)
                for (size_t s = 0; s < 4; s++) {
                        __builtin_prefetch(p + s * stream + k + 256);
                        for (size_t j = 0; j < 8; j++)
                                sum[j] |= p[s * stream + k + j];
                }
        m->sink = sum[0] | sum[1] | sum[2] | sum[3] | sum[4] | sum[5] | sum[6] | sum[7];
}

static void read_all(void *arg)
{
        struct machine *m = arg;

        team_run(m->team, read_part, m, m->n_threads);
}

typedef float vec __attribute__((vector_size(32)));

#define FMA_LOOPS 4000000

static void fma_part(void *arg, int i)
{
        struct machine *m = arg;
        vec c[12], a = {0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f, 0.5f}, b = a * 0.25f;

#pragma GCC unroll 12
        for (int k = 0; k < 12; k++)
                c[k] = b * (float)(i + k);
        for (int k = 0; k < FMA_LOOPS; k++) {
#pragma GCC unroll 12
                for (int j = 0; j < 12; j++)
                        c[j] = c[j] * a + b;
        }
        float sum = 0;

        for (int k = 0; k < 12; k++)
                sum += c[k][k % 8];
        m->sink = (uint64_t)sum;
}

static void fma_all(void *arg)
{
        struct machine *m = arg;

        team_run(m->team, fma_part, m, m->n_threads);
}

// Others may use the machine too, so each table measures it anew.
static void measure_machine(const char *table, int n_threads)
{
        uint64_t *memory = mem_map(MEMORY_BYTES);
        struct machine m = {.team = team_create(n_threads), .memory = memory, .n_threads = n_threads};

        if (memory == NULL)
                return;
        memset(memory, 1, MEMORY_BYTES);
        read_rate = (double)MEMORY_BYTES / timed(read_all, &m).best;
        fma_rate = 12.0 * 8 * 2 * FMA_LOOPS * n_threads / timed(fma_all, &m).best;
        team_destroy(m.team);
        mem_unmap(memory, MEMORY_BYTES);
        printf("\n%s; %d threads read %.1f GB/s and multiply-add %.1f GFLOP/s\n", table, n_threads, read_rate * 1e-9,
                fma_rate * 1e-9);
}

static void print(const char *what, struct timing t, double bytes, double flops)
{
        printf("%-44s %9.1f us (best %9.1f) %6.1f GB/s %3.0f %% %7.1f GFLOP/s %3.0f %%\n", what, t.median * 1e6,
                t.best * 1e6, bytes / t.median * 1e-9, 100 * bytes / t.median / read_rate, flops / t.median * 1e-9,
                100 * flops / t.median / fma_rate);
}

// Operands: made-up weights near those of a model, in memory of the device
// -------------------------------------------------------------

// Blocks of any bytes, except for the halves that scale them.
static void quantised(enum dyn_dtype dtype, uint8_t *p, size_t n)
{
        size_t block = dyn_dtype_bytes(dtype, dyn_dtype_block(dtype)), at = dtype == DYN_Q6_K ? 208 : 0;
        bool two = dtype == DYN_Q4_1 || dtype == DYN_Q4_K;
        uint32_t seed = 1;

        for (size_t i = 0; i < n; i++) {
                seed = seed * 1664525 + 1013904223;
                p[i] = (uint8_t)(seed >> 24);
        }
        for (size_t i = 0; i < n; i += block)
                for (size_t k = i + at + 1; k < i + at + (two ? 4 : 2); k += 2)
                        p[k] = (p[k] & 0x83) | 0x10;
}

static struct dyn_tensor matrix(enum dyn_dtype dtype, int rows, int columns)
{
        struct dyn_tensor t = {.dtype = dtype, .n_dims = 2, .shape = {rows, columns, 1, 1}};
        uint32_t seed = 1;

        t.bytes = (size_t)rows * dyn_dtype_bytes(dtype, columns);
        t.data = ops->alloc(dev, t.bytes);
        if (dyn_dtype_block(dtype) > 1) {
                quantised(dtype, (uint8_t *)t.data, t.bytes);
                return t;
        }
        for (size_t i = 0; i < (size_t)rows * (size_t)columns; i++) {
                seed = seed * 1664525 + 1013904223;
                if (dtype == DYN_F32)
                        ((float *)t.data)[i] = (float)(int32_t)seed * 0x1p-36f;
                else if (dtype == DYN_F16)
                        ((uint16_t *)t.data)[i] = (uint16_t)(seed >> 16 & 0xa7ff);
                else
                        ((uint16_t *)t.data)[i] = (uint16_t)((seed >> 16 & 0x80ff) | 0x3c00);
        }
        return t;
}

static float *floats(size_t n)
{
        float *f = ops->alloc(dev, n * sizeof *f);

        for (size_t i = 0; i < n; i++)
                f[i] = (float)((int)(i * 7919 % 2003) - 1000) * 1e-3f;
        return f;
}

static struct dyn_weight weight(enum dyn_dtype dtype, int n_out, int n_in)
{
        struct dyn_tensor t = matrix(dtype, n_out, n_in);
        struct dyn_weight w;

        ops->weight_load(dev, &w, &t, NULL);
        return w;
}

static void weight_done(struct dyn_weight *w)
{
        void *data = (void *)w->data;

        ops->weight_free(dev, w);
        ops->free(dev, data);
}

static struct dyn_lowrank patch(enum dyn_dtype dtype, int n_out, int n_in, int rank)
{
        struct dyn_tensor a = matrix(dtype, rank, n_in), b = matrix(dtype, n_out, rank);
        struct dyn_lowrank p;

        ops->lowrank_load(dev, &p, &a, &b, 0.01f, NULL);
        ops->free(dev, (void *)a.data);
        ops->free(dev, (void *)b.data);
        return p;
}

// One operation at a time
// ---------------------------------------------------------------------------------------------

struct gemm {
        struct dyn_weight w[256]; // so many that none is in a cache
        int n, n_rows;
        float *x, *y;
};

static void gemms(void *arg)
{
        struct gemm *g = arg;

        for (int i = 0; i < g->n; i++)
                ops->gemm(dev, g->y, g->x, &g->w[i], g->n_rows);
}

static void bench_gemm(enum dyn_dtype dtype, int n_out, int n_in)
{
        static const int rows[] = {1, 2, 4, 8, 16, 32, 64, 128, 512};
        size_t bytes = (size_t)n_out * dyn_dtype_bytes(dtype, n_in);
        struct gemm g = {.x = floats((size_t)MAX_ROWS * (size_t)n_in), .y = floats((size_t)MAX_ROWS * (size_t)n_out)};

        for (g.n = 0; g.n < 256 && (g.n < 2 || (size_t)g.n * bytes < MEMORY_BYTES / 2); g.n++)
                g.w[g.n] = weight(dtype, n_out, n_in);
        int n = g.n;

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
                char what[64];

                g.n_rows = rows[i];
                g.n = rows[i] > 16 ? n / 8 + 1 : n;
                struct timing t = timed(gemms, &g);

                t.best /= g.n;
                t.median /= g.n;
                snprintf(what, sizeof what, "gemm (%d, %d) %s, %d rows", n_out, n_in, dyn_dtype_name(dtype), rows[i]);
                print(what, t, (double)bytes, 2.0 * n_out * n_in * rows[i]);
        }
        for (int i = 0; i < n; i++)
                weight_done(&g.w[i]);
        ops->free(dev, g.x);
        ops->free(dev, g.y);
}

struct attention {
        struct dyn_kv kv;
        struct dyn_span span[8];
        int n_spans, n_heads;
        float *q, *out;
};

static void attentions(void *arg)
{
        struct attention *a = arg;

        for (int layer = 0; layer < a->kv.n_layers; layer++)
                ops->attention(dev, a->out, a->q, &a->kv, layer, a->n_heads, a->span, a->n_spans);
}

static void bench_attention(int n_spans, int n_rows, int context)
{
        enum { LAYERS = 8, HEADS = 9, KV_HEADS = 3, DIM = 64 };
        int n_pages = (context + DYN_PAGE_TOKENS - 1) / DYN_PAGE_TOKENS;
        size_t bytes = (size_t)LAYERS * (size_t)(n_spans * n_pages) * KV_HEADS * DYN_PAGE_TOKENS * DIM * 2;
        int32_t *pages = mem_array((size_t)(n_spans * n_pages), sizeof *pages);
        struct attention a = {.kv = {DYN_F16, LAYERS, n_spans * n_pages, KV_HEADS, DIM, ops->alloc(dev, bytes),
                                      ops->alloc(dev, bytes)},
                .n_spans = n_spans,
                .n_heads = HEADS,
                .q = floats((size_t)(n_spans * n_rows * HEADS * DIM)),
                .out = floats((size_t)(n_spans * n_rows * HEADS * DIM))};
        char what[64];

        memset(a.kv.k, 0x11, bytes);
        memset(a.kv.v, 0x11, bytes);
        for (int i = 0; i < n_spans * n_pages; i++)
                pages[i] = i;
        for (int i = 0; i < n_spans; i++)
                a.span[i] = (struct dyn_span){i * n_rows, n_rows, context - n_rows, pages + i * n_pages};
        struct timing t = timed(attentions, &a);

        t.best /= LAYERS;
        t.median /= LAYERS;
        snprintf(what, sizeof what, "attention, %d sequences, %d rows at %d", n_spans, n_rows, context);
        print(what, t, 2.0 * (double)bytes / LAYERS,
                4.0 * HEADS * DIM * n_spans * n_rows * (context - (n_rows - 1) * 0.5));
        ops->free(dev, a.kv.k);
        ops->free(dev, a.kv.v);
        ops->free(dev, a.q);
        ops->free(dev, a.out);
        mem_free(pages);
}

// A decode step of SmolLM2-135M's shape
// -------------------------------------------------------------------------------

enum { LAYERS = 30, DIM = 576, HIDDEN = 1536, HEADS = 9, KV_HEADS = 3, HEAD_DIM = 64, VOCAB = 49152, CONTEXT = 128 };
enum { Q, K, V, O, GATE, UP, DOWN, SITES };

static const int site_in[SITES] = {DIM, DIM, DIM, DIM, DIM, DIM, HIDDEN};
static const int site_out[SITES] = {DIM, KV_HEADS *HEAD_DIM, KV_HEADS *HEAD_DIM, DIM, HIDDEN, HIDDEN, DIM};

#define MAX_PATCHES 32

struct model {
        struct dyn_weight w[LAYERS][SITES], head;
        struct dyn_lowrank p[MAX_PATCHES][LAYERS][SITES];
        struct dyn_kv kv;
        int32_t pages[MAX_PATCHES][CONTEXT / DYN_PAGE_TOKENS], ids[MAX_PATCHES];
        float *x, *h, *q, *k, *v, *gate, *up, *norm, *table, *logits;
        double bytes, patch_bytes; // of all weights; of one adapter
        int n_rows, n_patches;     // as many rows for each
};

static void linear(struct model *m, int layer, int site, float *y, const float *x)
{
        struct dyn_segment segs[MAX_PATCHES];
        int n = m->n_patches ? m->n_rows / m->n_patches : 0;

        ops->gemm(dev, y, x, &m->w[layer][site], m->n_rows);
        for (int i = 0; i < m->n_patches; i++)
                segs[i] = (struct dyn_segment){i * n, n, {&m->p[i][layer][site], 1}};
        if (n)
                ops->lowrank(dev, y, x, segs, m->n_patches);
}

static void step(void *arg)
{
        struct model *m = arg;
        int n = m->n_rows;
        struct dyn_span spans[MAX_PATCHES];

        for (int i = 0; i < n; i++)
                spans[i] = (struct dyn_span){i, 1, CONTEXT - 1, m->pages[i]};
        ops->embed(dev, m->x, &m->head, m->ids, n);
        for (int l = 0; l < LAYERS; l++) {
                ops->rmsnorm(dev, m->h, m->x, m->norm, 1e-5f, DIM, n);
                linear(m, l, Q, m->q, m->h);
                linear(m, l, K, m->k, m->h);
                linear(m, l, V, m->v, m->h);
                ops->rope(dev, m->q, m->table, false, HEADS, HEAD_DIM, n);
                ops->rope(dev, m->k, m->table, false, KV_HEADS, HEAD_DIM, n);
                ops->kv_write(dev, &m->kv, l, m->k, m->v, spans, n);
                ops->attention(dev, m->h, m->q, &m->kv, l, HEADS, spans, n);
                linear(m, l, O, m->q, m->h);
                ops->add(dev, m->x, m->q, (size_t)n * DIM);
                ops->rmsnorm(dev, m->h, m->x, m->norm, 1e-5f, DIM, n);
                linear(m, l, GATE, m->gate, m->h);
                linear(m, l, UP, m->up, m->h);
                ops->silu_mul(dev, m->gate, m->up, (size_t)n * HIDDEN);
                linear(m, l, DOWN, m->q, m->gate);
                ops->add(dev, m->x, m->q, (size_t)n * DIM);
        }
        ops->rmsnorm(dev, m->h, m->x, m->norm, 1e-5f, DIM, n);
        ops->gemm(dev, m->logits, m->h, &m->head, n);
}

static struct model *model(enum dyn_dtype dtype, int rank)
{
        struct model *m = mem_zalloc(sizeof *m);
        size_t kv_bytes = (size_t)LAYERS * MAX_PATCHES * CONTEXT * KV_HEADS * HEAD_DIM * 2;

        for (int l = 0; l < LAYERS; l++)
                for (int s = 0; s < SITES; s++) {
                        m->w[l][s] = weight(dtype, site_out[s], site_in[s]);
                        m->bytes += (double)site_out[s] * (double)dyn_dtype_bytes(dtype, site_in[s]);
                        m->patch_bytes += 2.0 * rank * (site_in[s] + site_out[s]);
                        for (int i = 0; i < MAX_PATCHES; i++)
                                m->p[i][l][s] = patch(DYN_BF16, site_out[s], site_in[s], rank);
                }
        m->head = weight(dtype, VOCAB, DIM);
        m->bytes += (double)VOCAB * (double)dyn_dtype_bytes(dtype, DIM);
        m->kv = (struct dyn_kv){DYN_F16, LAYERS, MAX_PATCHES * CONTEXT / DYN_PAGE_TOKENS, KV_HEADS, HEAD_DIM,
                ops->alloc(dev, kv_bytes), ops->alloc(dev, kv_bytes)};
        for (int i = 0; i < MAX_PATCHES; i++)
                for (int j = 0; j < CONTEXT / DYN_PAGE_TOKENS; j++)
                        m->pages[i][j] = i * (CONTEXT / DYN_PAGE_TOKENS) + j;
        float **rows[] = {&m->x, &m->h, &m->q, &m->k, &m->v, &m->gate, &m->up, &m->norm, &m->table};

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                *rows[i] = floats((size_t)MAX_PATCHES * HIDDEN);
        m->logits = floats((size_t)MAX_PATCHES * VOCAB);
        return m;
}

static void model_free(struct model *m)
{
        for (int l = 0; l < LAYERS; l++)
                for (int s = 0; s < SITES; s++) {
                        weight_done(&m->w[l][s]);
                        for (int i = 0; i < MAX_PATCHES; i++)
                                ops->lowrank_free(dev, &m->p[i][l][s]);
                }
        weight_done(&m->head);
        ops->free(dev, m->kv.k);
        ops->free(dev, m->kv.v);
        float *rows[] = {m->x, m->h, m->q, m->k, m->v, m->gate, m->up, m->norm, m->table, m->logits};

        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
                ops->free(dev, rows[i]);
        mem_free(m);
}

// Each round runs every case once, so that whoever else uses the machine disturbs them alike.
static void bench_steps(enum dyn_dtype dtype)
{
        static const int cases[][2] = {{1, 0}, {1, 1}, {8, 0}, {8, 1}, {8, 8}, {32, 0}, {32, 8}, {32, 32}};
        enum { N = sizeof cases / sizeof *cases };
        struct model *m = model(dtype, 16);
        double s[N][REPEATS], base = 0;

        for (int round = -1; round < REPEATS; round++)
                for (int i = 0; i < N; i++) {
                        m->n_rows = cases[i][0];
                        m->n_patches = cases[i][1];
                        double t = seconds(step, m);

                        if (round >= 0)
                                s[i][round] = t;
                }
        for (int i = 0; i < N; i++) {
                int n_rows = cases[i][0], n_patches = cases[i][1];
                struct timing t = timing(s[i]);
                char what[64];

                base = n_patches ? base : t.median;
                snprintf(what, sizeof what, "step, %d rows, %d adapters (%.2f of base)", n_rows, n_patches,
                        base / t.median);
                print(what, t, m->bytes + n_patches * m->patch_bytes,
                        n_rows * (m->bytes + (n_patches ? m->patch_bytes : 0)));
        }
        model_free(m);
}

// Merging all modules of some layers, beside a copy of the same bytes
// ----------------------------------------------------------------------

#define MAX_MODULES (30 * SITES)

struct layers {
        const char *name;
        int n, dim, kv_dim, hidden_dim;
};

struct merges {
        struct dyn_tensor stored[MAX_MODULES];
        struct dyn_weight w[MAX_MODULES];
        struct dyn_lowrank p[2][MAX_MODULES];
        int n, which; // modules; the adapter that is merged next
        double bytes; // of all modules
        char *copy;   // where they are copied to
        size_t offset[MAX_MODULES];
        struct team *team;
        int n_threads;
};

static void merge_all(void *arg)
{
        struct merges *m = arg;

        for (int i = 0; i < m->n; i++) {
                struct dyn_term term = {&m->p[m->which][i], 1};

                if (ops->merge(dev, &m->w[i], &m->stored[i], &term, 1, NULL) != DYN_OK)
                        abort();
        }
        m->which ^= 1;
}

static void restore_all(void *arg)
{
        struct merges *m = arg;

        for (int i = 0; i < m->n; i++)
                ops->weight_free(dev, &m->w[i]);
}

// Each member copies its part of every module.
static void copy_part(void *arg, int part)
{
        struct merges *m = arg;

        for (int i = 0; i < m->n; i++) {
                size_t bytes = m->stored[i].bytes / (size_t)m->n_threads, from = bytes * (size_t)part;

                memcpy(m->copy + m->offset[i] + from, (const char *)m->stored[i].data + from, bytes);
        }
}

static void copy_all(void *arg)
{
        struct merges *m = arg;

        team_run(m->team, copy_part, m, m->n_threads);
}

static void modules(struct merges *m, const struct layers *l, enum dyn_dtype dtype)
{
        const int d = l->dim, kv = l->kv_dim, h = l->hidden_dim;
        const int shapes[SITES][2] = {{d, d}, {kv, d}, {kv, d}, {d, d}, {h, d}, {h, d}, {d, h}};

        for (m->n = 0; m->n < l->n * SITES; m->n++) {
                const int *shape = shapes[m->n % SITES];

                m->stored[m->n] = matrix(dtype, shape[0], shape[1]);
                m->offset[m->n] = (size_t)m->bytes;
                m->bytes += (double)m->stored[m->n].bytes;
                ops->weight_load(dev, &m->w[m->n], &m->stored[m->n], NULL);
        }
}

// Onto memory that the system gives just then (cold), over another merge (warm), and back, each in every round.
enum { COPY_COLD, COPY_WARM, MERGE_COLD, MERGE_WARM, RESTORE, MERGE_KINDS };

static void merge_round(struct merges *m, double s[MERGE_KINDS])
{
        m->copy = mem_map((size_t)m->bytes);
        if (m->copy == NULL)
                abort();
        s[COPY_COLD] = seconds(copy_all, m);
        s[COPY_WARM] = seconds(copy_all, m);
        mem_unmap(m->copy, (size_t)m->bytes);
        s[MERGE_COLD] = seconds(merge_all, m);
        s[MERGE_WARM] = seconds(merge_all, m);
        s[RESTORE] = seconds(restore_all, m);
        for (int i = 0; i < m->n; i++)
                ops->weight_load(dev, &m->w[i], &m->stored[i], NULL);
}

static void bench_merge(const struct layers *l, enum dyn_dtype dtype, int rank, int n_threads)
{
        static const char *const names[] = {"memcpy, cold", "memcpy, warm", "merge, cold", "merge, warm", "restore"};
        static const int against[] = {COPY_COLD, COPY_WARM, COPY_COLD, COPY_WARM, COPY_WARM};
        struct merges *m = mem_zalloc(sizeof *m);
        double round[MERGE_KINDS], s[MERGE_KINDS][REPEATS];
        struct timing t[MERGE_KINDS];
        char what[64];

        m->team = team_create(n_threads);
        m->n_threads = n_threads;
        modules(m, l, dtype);
        for (int i = 0; i < 2 * m->n; i++)
                m->p[i / m->n][i % m->n] = patch(DYN_BF16, m->w[i % m->n].n_out, m->w[i % m->n].n_in, rank);
        for (int i = -1; i < REPEATS; i++) {
                merge_round(m, round);
                for (int kind = 0; i >= 0 && kind < MERGE_KINDS; kind++)
                        s[kind][i] = round[kind];
        }
        for (int kind = 0; kind < MERGE_KINDS; kind++) {
                double flops = 2.0 * rank * m->bytes / (double)dyn_dtype_bytes(dtype, 1);

                t[kind] = timing(s[kind]);
                snprintf(what, sizeof what, "%s, rank %d, %s (%.2f)", l->name, rank, names[kind],
                        t[kind].median / t[against[kind]].median);
                print(what, t[kind], 2 * m->bytes, kind == MERGE_COLD || kind == MERGE_WARM ? flops : 0);
        }
        for (int i = 0; i < m->n; i++) {
                ops->lowrank_free(dev, &m->p[0][i]);
                ops->lowrank_free(dev, &m->p[1][i]);
                ops->weight_free(dev, &m->w[i]);
                ops->free(dev, (void *)m->stored[i].data);
        }
        team_destroy(m->team);
        mem_free(m);
}

static void bench_merges(enum dyn_dtype dtype, int n_threads)
{
        static const struct layers models[] = {
                {"SmolLM2-135M", 30, 576, 192, 1536}, {"1.1B, 4 layers", 4, 2048, 256, 5632}};
        static const int ranks[] = {8, 16, 64};

        for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
                measure_machine("Merge and restore (ratio to memcpy)", n_threads);
                for (size_t r = 0; r < sizeof ranks / sizeof *ranks; r++)
                        bench_merge(&models[i], dtype, ranks[r], n_threads);
        }
}

static void bench_gemms(enum dyn_dtype dtype, int n_threads)
{
        static const int shapes[][2] = {{DIM, DIM}, {HIDDEN, DIM}, {DIM, HIDDEN}, {VOCAB, DIM}, {5632, 2048}, {2048, 5632}};

        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
                if (shapes[i][1] % dyn_dtype_block(dtype) != 0)
                        continue;
                measure_machine("gemm", n_threads);
                bench_gemm(dtype, shapes[i][0], shapes[i][1]);
        }
}

static void bench_decode(enum dyn_dtype dtype, int n_threads)
{
        measure_machine("Decode steps of SmolLM2-135M's shape", n_threads);
        if (DIM % dyn_dtype_block(dtype) == 0)
                bench_steps(dtype);
}

static void bench_contexts(enum dyn_dtype dtype, int n_threads)
{
        (void)dtype;
        measure_machine("attention", n_threads);
        for (int context = 128; context <= 8192; context *= 8) {
                bench_attention(1, 1, context);
                bench_attention(8, 1, context);
        }
        bench_attention(1, 512, 512);
        bench_attention(1, 64, 2048);
}

int main(int argc, char **argv)
{
        static const struct {
                const char *name;
                void (*run)(enum dyn_dtype, int n_threads);
        } tables[] = {
                {"merge", bench_merges}, {"step", bench_decode}, {"gemm", bench_gemms}, {"attention", bench_contexts}};
        struct dyn_device_options options = {.n_threads = argc > 1 ? atoi(argv[1]) : 0,
                .max_rows = MAX_ROWS,
                .max_width = VOCAB,
                .max_context = 32768};
        enum dyn_dtype dtype = DYN_BF16;

        for (int d = DYN_F32; argc > 2 && d < DYN_N_DTYPES; d++)
                if (strcasecmp(argv[2], dyn_dtype_name((enum dyn_dtype)d)) == 0)
                        dtype = (enum dyn_dtype)d;
        setvbuf(stdout, NULL, _IOLBF, 0);
        if (options.n_threads <= 0)
                options.n_threads = team_cores();
        ops = dyn_backend_find(argc > 3 ? argv[3] : "auto", NULL);
        if (ops == NULL || ops->open(&dev, &options, NULL) != DYN_OK)
                return 1;
        for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
                if (argc <= 4 || strcmp(argv[4], tables[i].name) == 0)
                        tables[i].run(dtype, options.n_threads);
        ops->close(dev);
        return 0;
}
