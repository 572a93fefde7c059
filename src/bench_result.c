#include "bench_result.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "io/json.h"

// Medians
// -----------------------------------------------------------------------------------------------------------------

static int by_size(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;

        return (x > y) - (x < y);
}

// What is asked of one round.
typedef double figure_fn(const struct bench_result *, const struct bench_case *, int round);

static double median(const struct bench_result *r, const struct bench_case *c, figure_fn *figure)
{
        int n = r->conf->rounds;
        double *x = mem_array((size_t)n, sizeof *x);

        for (int i = 0; i < n; i++)
                x[i] = figure(r, c, i);
        qsort(x, (size_t)n, sizeof *x, by_size);
        double m = (x[(n - 1) / 2] + x[n / 2]) / 2;
        mem_free(x);
        return m;
}

static double rate(const struct bench_result *r, const struct bench_case *c, int round)
{
        return c->tokens / c->seconds[round];
}

static double flops(const struct bench_result *r, const struct bench_case *c, int round)
{
        return c->flops / c->seconds[round];
}

static double bytes(const struct bench_result *r, const struct bench_case *c, int round)
{
        return c->bytes / c->seconds[round];
}

static double of_fma(const struct bench_result *r, const struct bench_case *c, int round)
{
        return flops(r, c, round) / r->peaks[round].fma;
}

// Of the best instruction set that the backend multiplies these weights with.
static double peak_backend(const struct bench_result *r, const struct bench_case *c, int round)
{
        const struct bench_peaks *p = &r->peaks[round];
        bool amx = strcmp(r->model.backend, "cpu-amx") == 0;

        if (amx && r->model.weight_dtype == DYN_BF16)
                return p->tiles;
        return amx || strcmp(r->model.backend, "cpu-avx512") == 0 ? p->wide : p->fma;
}

static double of_backend(const struct bench_result *r, const struct bench_case *c, int round)
{
        return flops(r, c, round) / peak_backend(r, c, round);
}

static double of_read(const struct bench_result *r, const struct bench_case *c, int round)
{
        return bytes(r, c, round) / r->peaks[round].read;
}

static double of_base(const struct bench_result *r, const struct bench_case *c, int round)
{
        return r->cases[c->base].seconds[round] / c->seconds[round];
}

static double peak_read(const struct bench_result *r, const struct bench_case *c, int round)
{
        return r->peaks[round].read;
}

static double peak_fma(const struct bench_result *r, const struct bench_case *c, int round)
{
        return r->peaks[round].fma;
}

static double peak_wide(const struct bench_result *r, const struct bench_case *c, int round)
{
        return r->peaks[round].wide;
}

static double peak_tiles(const struct bench_result *r, const struct bench_case *c, int round)
{
        return r->peaks[round].tiles;
}

// "Intel(R) Xeon(R) Processor", as the system says it.
static void read_cpu(char *name, size_t cap)
{
        FILE *f = fopen("/proc/cpuinfo", "re");
        char line[256];

        snprintf(name, cap, "this machine");
        while (f != NULL && fgets(line, sizeof line, f) != NULL)
                if (strncmp(line, "model name", 10) == 0 && strstr(line, ": ") != NULL) {
                        snprintf(name, cap, "%.*s", (int)strcspn(strstr(line, ": ") + 2, "\n"), strstr(line, ": ") + 2);
                        break;
                }
        if (f != NULL)
                fclose(f);
}

// For people
// -----------------------------------------------------------------------------------------------------------------

static void print_head(const struct bench_result *r, FILE *out)
{
        const struct dyn_model_info *m = &r->model;
        double wide = median(r, NULL, peak_wide), tiles = median(r, NULL, peak_tiles);
        char cpu[100];

        read_cpu(cpu, sizeof cpu);
        fprintf(out, "%s, %d threads: reads %.1f GB/s, multiplies and adds %.1f GFLOP/s", cpu, r->threads,
                median(r, NULL, peak_read) * 1e-9, median(r, NULL, peak_fma) * 1e-9);
        if (wide > 0)
                fprintf(out, "\n(with AVX-512 %.1f", wide * 1e-9);
        if (tiles > 0)
                fprintf(out, ", with AMX %.1f of bf16", tiles * 1e-9);
        if (wide > 0)
                fprintf(out, "; \"of peak\" below is of the first)");
        fprintf(out, "\n%s: %s, %.1f M parameters, %.0f MiB as %s, backend %s\n", r->name, m->arch,
                (double)m->n_params * 1e-6, (double)m->weight_bytes / 1048576, dyn_dtype_name(m->weight_dtype),
                m->backend);
        fprintf(out,
                "ready in %.3f s; %.0f MiB beside weights, KV cache and adapters, %.0f MiB before the first request\n",
                r->ready_seconds, (double)r->bytes / 1048576, (double)r->ready_bytes / 1048576);
        if (r->adapter_bytes > 0) {
                fprintf(out, "adapters of rank");
                for (int i = 0; i < r->conf->ranks.n; i++)
                        fprintf(out, "%s %d", i ? "," : "", r->conf->ranks.at[i]);
                fprintf(out, " at all modules, %.0f MiB together\n", (double)r->adapter_bytes / 1048576);
        }
}

void bench_result_print(const struct bench_result *r, FILE *out)
{
        print_head(r, out);
        fprintf(out, "\nprefill of %d tokens\n%13s %10s %10s %9s %13s %8s\n", r->conf->prompt, "adapters", "tokens/s",
                "GFLOP/s", "of peak", "of backend's", "of base");
        for (const struct bench_case *c = r->cases; c < r->cases + r->n; c++)
                if (c->prefill)
                        fprintf(out, "%13d %10.1f %10.1f %7.1f %% %11.1f %% %8.2f\n", c->adapters, median(r, c, rate),
                                median(r, c, flops) * 1e-9, 100 * median(r, c, of_fma), 100 * median(r, c, of_backend),
                                median(r, c, of_base));
        fprintf(out, "\ndecode of %d tokens after %d\n%5s %13s %10s %10s %9s %8s\n", r->conf->generate,
                r->conf->context, "rows", "adapters", "tokens/s", "GB/s", "of peak", "of base");
        for (const struct bench_case *c = r->cases; c < r->cases + r->n; c++) {
                char adapters[20];

                if (c->prefill)
                        continue;
                snprintf(adapters, sizeof adapters, "%d", c->adapters);
                fprintf(out, "%5d %13s %10.1f %10.2f %7.1f %% %8.2f\n", c->rows,
                        c->none_loaded ? "none loaded" : adapters, median(r, c, rate), median(r, c, bytes) * 1e-9,
                        100 * median(r, c, of_read), median(r, c, of_base));
        }
        fprintf(out,
                "\nMedians of %d rounds. Shares and ratios are of the same round; \"of peak\" is of the rate that the "
                "machine\n"
                "reads (decode) or multiplies and adds (prefill), \"of backend's\" of that with the backend's best "
                "instructions.\n"
                "AMX takes three products of bf16 for one of f32 by bf16, so a third of its peak is all that there "
                "is.\n",
                r->conf->rounds);
}

// For scripts
// -----------------------------------------------------------------------------------------------------------------

static void add_ints(cJSON *to, const char *name, const struct conf_ints *ints)
{
        cJSON_AddItemToObject(to, name, cJSON_CreateIntArray(ints->at, ints->n));
}

static void add_head(const struct bench_result *r, cJSON *to)
{
        const struct dyn_model_info *m = &r->model;
        cJSON *machine = cJSON_AddObjectToObject(to, "machine"), *model = cJSON_AddObjectToObject(to, "model");
        char cpu[100];

        read_cpu(cpu, sizeof cpu);
        cJSON_AddStringToObject(machine, "cpu", cpu);
        cJSON_AddNumberToObject(machine, "threads", r->threads);
        cJSON_AddNumberToObject(machine, "read_gb_s", median(r, NULL, peak_read) * 1e-9);
        cJSON_AddNumberToObject(machine, "fma_gflop_s", median(r, NULL, peak_fma) * 1e-9);
        cJSON_AddNumberToObject(machine, "fma_avx512_gflop_s", median(r, NULL, peak_wide) * 1e-9);
        cJSON_AddNumberToObject(machine, "fma_amx_bf16_gflop_s", median(r, NULL, peak_tiles) * 1e-9);
        cJSON_AddNumberToObject(machine, "backend_fma_gflop_s", median(r, NULL, peak_backend) * 1e-9);
        cJSON_AddStringToObject(model, "name", r->name);
        cJSON_AddStringToObject(model, "arch", m->arch);
        cJSON_AddStringToObject(model, "backend", m->backend);
        cJSON_AddNumberToObject(model, "parameters", (double)m->n_params);
        cJSON_AddStringToObject(model, "dtype", dyn_dtype_name(m->weight_dtype));
        cJSON_AddNumberToObject(model, "weight_bytes", (double)m->weight_bytes);
        cJSON_AddNumberToObject(model, "kv_bytes", (double)m->kv_bytes);
        cJSON_AddNumberToObject(model, "adapter_bytes", (double)r->adapter_bytes);
        cJSON_AddNumberToObject(model, "ready_s", r->ready_seconds);
        cJSON_AddNumberToObject(model, "other_bytes_ready", (double)r->ready_bytes);
        cJSON_AddNumberToObject(model, "other_bytes", (double)r->bytes);
        add_ints(to, "ranks", &r->conf->ranks);
        cJSON_AddNumberToObject(to, "rounds", r->conf->rounds);
}

static void add_case(const struct bench_result *r, const struct bench_case *c, cJSON *to)
{
        cJSON *o = cJSON_CreateObject();

        cJSON_AddItemToArray(to, o);
        cJSON_AddNumberToObject(o, "rows", c->rows);
        cJSON_AddNumberToObject(o, "adapters", c->adapters);
        cJSON_AddNumberToObject(o, c->prefill ? "prompt" : "context", c->prefill ? r->conf->prompt : r->conf->context);
        if (!c->prefill) {
                cJSON_AddNumberToObject(o, "generate", r->conf->generate);
                cJSON_AddBoolToObject(o, "none_loaded", c->none_loaded);
        }
        cJSON_AddNumberToObject(o, "tokens_s", median(r, c, rate));
        cJSON_AddNumberToObject(
                o, c->prefill ? "gflop_s" : "gb_s", (c->prefill ? median(r, c, flops) : median(r, c, bytes)) * 1e-9);
        cJSON_AddNumberToObject(
                o, c->prefill ? "of_fma" : "of_read", c->prefill ? median(r, c, of_fma) : median(r, c, of_read));
        if (c->prefill)
                cJSON_AddNumberToObject(o, "of_backend_fma", median(r, c, of_backend));
        cJSON_AddNumberToObject(o, "of_base", median(r, c, of_base));
        cJSON_AddItemToObject(o, "seconds", cJSON_CreateDoubleArray(c->seconds, r->conf->rounds));
}

void bench_result_print_json(const struct bench_result *r, FILE *out)
{
        cJSON *all = cJSON_CreateObject();

        cJSON_AddStringToObject(all, "version", DYNLORA_VERSION);
        add_head(r, all);
        cJSON *prefill = cJSON_AddArrayToObject(all, "prefill"), *decode = cJSON_AddArrayToObject(all, "decode");
        for (int i = 0; i < r->n; i++)
                add_case(r, &r->cases[i], r->cases[i].prefill ? prefill : decode);
        char *text = cJSON_Print(all);

        fprintf(out, "%s\n", text);
        cJSON_free(text);
        cJSON_Delete(all);
}
