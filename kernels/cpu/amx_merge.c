#include "cpu/amx_merge.h"

#include <assert.h>

#include "base/alloc.h"
#include "cpu/amx_patches.h"
#include "cpu/amx_tiles.h"

#define LINE       64 // bytes of the merged matrix
#define STRETCH    2  // lines of a row that are done together
#define PARTS      4  // of a stretch: each sums the even or the odd columns of a line of the next one
#define LEAST_RANK 12 // below, vectors wait for memory as well and have less to prepare
#define OUTS       AMX_PATCH_OUTS
#define COLUMNS    AMX_PATCH_COLUMNS
#define TILE       AMX_PATCH_TILE // pairs, or sums

// Sums for the first outputs and for the others; A of a line's even or odd columns, and B of these outputs.
#define C0 0
#define C1 1
#define A0 2
#define B0 3
#define B1 4

typedef float line_sums[2][OUTS * 16]; // of even and of odd columns

// What all rows share. Tiles of all terms' ranks, term by term.
struct job {
        const struct cpu_merge *m;
        int n_tiles;              // over the ranks of all terms
        int n_lines;              // of a row
        uint32_t *a;              // (n_lines, n_tiles, 2, TILE)
        uint32_t *b;              // (n_tiles, 2, TILE): of OUTS outputs
        float *scales;            // (terms)
        line_sums *sums, *coming; // (terms, STRETCH): of this stretch and of the next
        __m512i most;             // the largest magnitudes so far, bf16
        bool stream;              // lines are written past the caches
};

// Where a stretch lies: of its first row what is written, what is stored and what is fetched meanwhile.
struct stretch {
        char *to;
        const char *from, *next;
        size_t row_bytes;
        int n_rows, columns;
        int line; // of A, its first
};

bool amx_merge_takes(const struct dyn_tensor *stored, const struct dyn_term *terms, int n_terms)
{
        bool all = stored->dtype == DYN_BF16;
        int rank = 0;

        for (int t = 0; t < n_terms; t++) {
                all &= terms[t].patch->dtype == DYN_BF16;
                rank += terms[t].patch->rank;
        }
        return all && rank >= LEAST_RANK;
}

// A part of what the stretch from this line on adds.
static void sum_part(const struct job *j, line_sums *sums, int line, int part)
{
        float *to = sums[part / 2][part % 2];
        const uint32_t *a, *b = j->b;

        line += part / 2;
        if (line >= j->n_lines)
                return;
        a = j->a + (size_t)line * (size_t)j->n_tiles * 2 * TILE + part % 2 * TILE;
        for (int t = 0; t < j->m->n_terms; t++, to += STRETCH * sizeof(line_sums) / sizeof *to) {
                _tile_zero(C0);
                _tile_zero(C1);
                for (int i = amx_patches_tiles(j->m->terms[t].patch); i > 0; i--, a += 2 * TILE, b += 2 * TILE) {
                        _tile_loadd(A0, a, LINE);
                        _tile_loadd(B0, b, LINE);
                        _tile_dpbf16ps(C0, B0, A0);
                        _tile_loadd(B1, b + TILE, LINE);
                        _tile_dpbf16ps(C1, B1, A0);
                }
                _tile_stored(C0, to, LINE);
                _tile_stored(C1, to + TILE, LINE);
        }
}

// What is not a number stays so when it is rounded, since of bf16 it has zeros below.
VEC_INLINE __m512i round_line(__m512 even, __m512 odd)
{
        const __m512i high = _mm512_set1_epi32((int)0xffff0000);

        return _mm512_or_si512(_mm512_srli_epi32(vec_bf16_high(even), 16), _mm512_and_si512(vec_bf16_high(odd), high));
}

// A row of a stretch: what is stored plus each term's sum, even columns and odd ones apart.
VEC_INLINE __m512i merge_row(const struct job *j, char *restrict to, const char *restrict from, const char *next,
        int row, int columns, bool stream, __m512i most)
{
        const __m512i high = _mm512_set1_epi32((int)0xffff0000), magnitude = _mm512_set1_epi16(0x7fff);
        const line_sums *sums = j->sums;
        __m512 even[STRETCH], odd[STRETCH];

        VEC_UNROLL
        for (int i = 0; i < STRETCH; i++) {
                __m512i stored = _mm512_maskz_loadu_epi16(amx_patches_columns(columns - i * COLUMNS), from + i * LINE);

                even[i] = _mm512_castsi512_ps(_mm512_slli_epi32(stored, 16));
                odd[i] = _mm512_castsi512_ps(_mm512_and_si512(stored, high));
                __builtin_prefetch(next + i * LINE);
        }
        for (int t = 0; t < j->m->n_terms; t++, sums += STRETCH) {
                __m512 scale = _mm512_set1_ps(j->scales[t]);

                VEC_UNROLL
                for (int i = 0; i < STRETCH; i++) {
                        even[i] = _mm512_fmadd_ps(scale, _mm512_load_ps(sums[i][0] + row * 16), even[i]);
                        odd[i] = _mm512_fmadd_ps(scale, _mm512_load_ps(sums[i][1] + row * 16), odd[i]);
                }
        }
        VEC_UNROLL
        for (int i = 0; i < STRETCH; i++) {
                __m512i line = round_line(even[i], odd[i]);
                __mmask32 some = amx_patches_columns(columns - i * COLUMNS);

                if (stream)
                        _mm512_stream_si512((void *)(to + i * LINE), line);
                else
                        _mm512_mask_storeu_epi16(to + i * LINE, some, line);
                most = _mm512_mask_max_epu16(most, some, most, _mm512_and_si512(line, magnitude));
        }
        return most;
}

// Row after row, in the order in which memory likes to be read and written. Between them tiles sum what the next
// stretch adds, while memory answers. Inlined with constants for columns, those of the stretch, and stream.
VEC_INLINE void merge_stretch(struct job *j, const struct stretch *s, int columns, bool stream)
{
        __m512i most = j->most;
        size_t at = 0;

        for (int part = 0, row = 0; part < PARTS; part++) {
                sum_part(j, j->coming, s->line + STRETCH, part);
                for (; row < s->n_rows && row < (part + 1) * (OUTS / PARTS); row++, at += s->row_bytes)
                        most = merge_row(j, s->to + at, s->from + at, s->next + at, row, columns, stream, most);
        }
        j->most = most;
}

static void merge_some(struct job *j, const struct stretch *s)
{
        if (s->columns < STRETCH * COLUMNS)
                merge_stretch(j, s, s->columns, false);
        else if (j->stream)
                merge_stretch(j, s, STRETCH * COLUMNS, true);
        else
                merge_stretch(j, s, STRETCH * COLUMNS, false);
}

// Some rows, a stretch of columns at a time. The next stretch, or the next rows' first, is fetched meanwhile.
static void merge_tile(struct job *j, size_t row, int n_rows)
{
        size_t row_bytes = (size_t)j->m->w->n_in * sizeof(uint16_t);
        const char *from = (const char *)j->m->stored->data + row * row_bytes;
        struct stretch s = {
                .to = (char *)j->m->w->owned + row * row_bytes, .from = from, .row_bytes = row_bytes, .n_rows = n_rows};

        for (int part = 0; part < PARTS; part++)
                sum_part(j, j->sums, 0, part);
        for (int k = 0, left; (left = j->m->w->n_in - k) > 0; k += STRETCH * COLUMNS) {
                line_sums *done = j->sums;

                s.columns = left < STRETCH * COLUMNS ? left : STRETCH * COLUMNS;
                s.next = left > STRETCH * COLUMNS ? s.from + STRETCH * LINE : from + OUTS * row_bytes;
                merge_some(j, &s);
                s.line += STRETCH;
                s.from += STRETCH * LINE;
                s.to += STRETCH * LINE;
                j->sums = j->coming;
                j->coming = done;
        }
}

// Room for all of it in one block, whose address is kept in *memory.
static void set_up(struct job *j, char **memory)
{
        size_t n_terms = (size_t)j->m->n_terms;

        for (int t = 0; t < j->m->n_terms; t++)
                j->n_tiles += amx_patches_tiles(j->m->terms[t].patch);
        j->n_lines = (j->m->w->n_in + COLUMNS - 1) / COLUMNS;
        size_t lines = (size_t)j->n_lines, tiles = (size_t)j->n_tiles * TILE * sizeof *j->a,
               sums = n_terms * STRETCH * sizeof(line_sums);

        *memory = mem_alloc(LINE + tiles * (2 * lines + 2) + 2 * sums + n_terms * sizeof *j->scales);
        j->a = (uint32_t *)(((uintptr_t)*memory + LINE - 1) / LINE * LINE);
        j->b = j->a + 2 * lines * tiles / sizeof *j->a;
        j->sums = (void *)(j->b + 2 * tiles / sizeof *j->b);
        j->coming = j->sums + n_terms * STRETCH;
        j->scales = (float *)(j->coming + n_terms * STRETCH);
        for (size_t t = 0; t < n_terms; t++)
                j->scales[t] = j->m->terms[t].weight * j->m->terms[t].patch->scale;
}

bool amx_merge_rows(const struct cpu_merge *m, int first_row, int n_rows)
{
        struct job j = {.m = m, .stream = m->w->n_in % COLUMNS == 0 && !m->fresh};
        struct amx_shapes shapes = {0};
        char *memory;

        assert(first_row % 16 == 0); // or outputs of a tile would lie in two blocks of B
        set_up(&j, &memory);
        amx_patches_a(j.a, m->terms, m->n_terms);
        for (int tile = C0; tile <= B1; tile++)
                amx_shapes_set(&shapes, tile, AMX_TILE_ROWS, AMX_TILE_BYTES);
        amx_shapes_load(&shapes);
        for (int o = 0; o < n_rows; o += OUTS) {
                amx_patches_b(j.b, m->terms, m->n_terms, (size_t)(first_row + o));
                merge_tile(&j, (size_t)(first_row + o), n_rows - o < OUTS ? n_rows - o : OUTS);
        }
        _tile_release();
        _mm_sfence();
        mem_free(memory);
        return _mm512_cmpge_epu16_mask(j.most, _mm512_set1_epi16(0x7f80)) == 0;
}
