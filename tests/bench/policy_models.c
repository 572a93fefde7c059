// What steps, merges and restores cost on the machines that are simulated.
#include "policy.h"

// SmolLM2-135M and a model of TinyLlama's shape (1.1B), bf16, on two cores of a Xeon. The first: the README's figures
// for steps of 1, 8 and 32 rows, and for adapters of rank 16 at all seven modules (9.8 MB: 8 % at one row of one
// adapter, 8 % at eight, 20 % at eight rows of eight), solved for what a step, a byte and a row cost. The second
// reads 2.07 GB at the same 29.5 GB/s, and its patches, sites and weights cost by their bytes what the first one's do.
// A step with rows of the merged adapter and others reads the weights under it once more: 7.5 ms for the first.
//
// Llama-7B on an A100, dLoRA: the constants of its scheduler, 15 ms merged, 27 ms per row for any mix (an einsum over
// all resident adapters), 20 ms to merge or to subtract (Wu et al., OSDI 2024, and its artifact). Reading the weights
// once more is 13 GB at 1.5 TB/s. The checkpoint's and the merged ones both lie on the device: restoring is giving
// memory back.
//
// The same with the kernels of today: Punica adds 2 ms a step (Chen et al., MLSys 2024); an adapter of rank 16 is 80
// MB, read at 1.5 TB/s; a row costs little. With one adapter that is 14 % of a step; vLLM measured 8 to 24 % with
// Llama-3.1-8B on a TPU v6e (vllm-project/vllm#15655) and 33 % of throughput with Llama-2-7B on an A100 in 2024
// (#11267).
#define SMOL_BYTES    9767000
#define SMOL_TOUCHED  212300000
#define TINY_BYTES    25230000
#define TINY_TOUCHED  1938000000
#define LLAMA_BYTES   80000000
#define LLAMA_TOUCHED 13000000000
#define CPU_BYTE      (0.30e-3 / SMOL_BYTES)
#define CPU_ROW       (0.12e-3 / SMOL_BYTES)
#define CPU_MERGE     (50e-3 / SMOL_TOUCHED)
#define CPU_RESTORE   (1e-3 / SMOL_TOUCHED)
#define CPU_PASS      (7.5e-3 / SMOL_TOUCHED)
#define GPU_RESTORE   (1e-3 / LLAMA_TOUCHED)
#define GPU_PASS      (1 / 1.5e12)

const struct model models[] = {
        {
                .name = "135M on this CPU",
                .max_rows = 8,
                .seconds = 240,
                .fixed = 7.8e-3,
                .row = 1.31e-3,
                .beyond = 2.26e-3,
                .bytes = SMOL_BYTES,
                .touched = SMOL_TOUCHED,
                .costs = {0.33e-3, CPU_BYTE, CPU_ROW, CPU_MERGE, CPU_RESTORE, CPU_PASS},
                .subtract = 50e-3,
                .t_merged = 18.3e-3,
                .t_patched = 20.8e-3,
        },
        {
                .name = "1.1B on this CPU",
                .max_rows = 8,
                .seconds = 1200,
                .fixed = 60e-3,
                .row = 10e-3,
                .beyond = 17.6e-3,
                .bytes = TINY_BYTES,
                .touched = TINY_TOUCHED,
                .costs = {0.24e-3, CPU_BYTE, CPU_ROW, CPU_MERGE, CPU_RESTORE, CPU_PASS},
                .subtract = 0.456,
                .t_merged = 140e-3,
                .t_patched = 146e-3,
        },
        {
                .name = "7B on a GPU, dLoRA's constants",
                .max_rows = MAX_ROWS,
                .seconds = 240,
                .fixed = 14e-3,
                .row = 0.03e-3,
                .beyond = 0.05e-3,
                .bytes = LLAMA_BYTES,
                .touched = LLAMA_TOUCHED,
                .costs = {12e-3, 0, 0, 20e-3 / LLAMA_TOUCHED, GPU_RESTORE, GPU_PASS},
                .subtract = 20e-3,
                .t_merged = 15e-3,
                .t_patched = 27e-3,
        },
        {
                .name = "7B on a GPU, kernels of today",
                .max_rows = MAX_ROWS,
                .seconds = 240,
                .fixed = 14e-3,
                .row = 0.03e-3,
                .beyond = 0.05e-3,
                .bytes = LLAMA_BYTES,
                .touched = LLAMA_TOUCHED,
                .costs = {2e-3, 1 / 1.5e12, 0.002e-3 / LLAMA_BYTES, 20e-3 / LLAMA_TOUCHED, GPU_RESTORE, GPU_PASS},
                .subtract = 20e-3,
                .t_merged = 15e-3,
                .t_patched = 17.3e-3,
        },
};
const int n_models = sizeof models / sizeof *models;

double model_base(const struct model *m, int rows)
{
        double over = rows > 8 ? rows - 8 : 0;

        return m->fixed + m->row * (rows - over) + m->beyond * over;
}

double model_pass(const struct model *m)
{
        return m->costs.pass * (double)m->touched;
}

double model_patches(const struct model *m, const struct share *s, int n, uint64_t merged)
{
        double bytes = (double)m->bytes, all = 0;
        int read = 0, rows = 0;
        bool there = false;

        for (int i = 0; i < n; i++) {
                there |= merged && s[i].version == merged;
                if (s[i].version && s[i].version != merged) {
                        read++;
                        rows += s[i].rows;
                }
        }
        if (read)
                all = m->costs.call + bytes * (m->costs.byte * read + m->costs.row * rows);
        if (there && n > 1) // the others need the base's own weights
                all += model_pass(m);
        return all;
}

double model_merge(const struct model *m)
{
        return m->costs.merge * (double)m->touched;
}

double model_restore(const struct model *m)
{
        return m->costs.restore * (double)m->touched;
}
