#include "cpu/amx_merge.h"

#include <assert.h>

#include "base/alloc.h"
#include "cpu/amx_rows.h"
#include "cpu/amx_tiles.h"
#include "cpu/lanes16.h"
#include "cpu/tile.h"

#define OUTS       32           // that are done together: two tiles
#define LINE       64           // bytes of the merged matrix
#define STRETCH    2            // lines of a row that are done together
#define LEAST_RANK 12           // below, vectors wait for memory as well and have less to prepare
#define COLUMNS    32           // of two tiles: a line
#define RANKS      AMX_INS      // of a tile
#define PAIRS      (RANKS / 2)  // of ranks
#define TILE       (PAIRS * 16) // pairs, or sums, in a tile

// Sums of even and of odd columns, for the first outputs and for the others; A of these columns, and B of these
// outputs.
#define C0 0
#define C1 1
#define C2 2
#define C3 3
#define A0 4
#define A1 5
#define B0 6
#define B1 7

// What all rows share. Tiles of all terms' ranks, term by term.
struct job {
        const struct cpu_merge *m;
        int n_tiles;                 // over the ranks of all terms
        int n_lines;                 // of a row
        uint32_t *a;                 // (n_lines, n_tiles, 2, PAIRS, 16): pairs of ranks by even and by odd columns
        uint32_t *b;                 // (n_tiles, OUTS, PAIRS): pairs of ranks of each output
        float *scales;               // (terms)
        float (*sums)[2][OUTS * 16]; // (terms, STRETCH)
        __m512i most;                // the largest magnitudes so far, bf16
        bool stream;                 // lines are written past the caches
};

static int tiles_of(const struct dyn_term *t)
{
        return (t->patch->rank + RANKS - 1) / RANKS;
}

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

static __mmask32 first_columns(int n)
{
        return n >= COLUMNS ? UINT32_MAX : n <= 0 ? 0 : ((uint32_t)1 << n) - 1;
}

// A line of ranks r and r + 1; zeros beyond the last rank.
VEC_INLINE void load_ranks(__m512i line[2], const struct dyn_lowrank *p, int r, int k)
{
        const uint16_t *from = (const uint16_t *)p->a + (size_t)r * (size_t)p->n_in + k;
        __mmask32 some = first_columns(p->n_in - k);

        line[0] = _mm512_maskz_loadu_epi16(r < p->rank ? some : 0, from);
        line[1] = _mm512_maskz_loadu_epi16(r + 1 < p->rank ? some : 0, from + p->n_in);
}

// Pairs of ranks, of the line's even columns in one tile and of its odd ones in the next: as the line itself falls into
// pairs.
static uint32_t *pair_line(uint32_t *to, const struct dyn_lowrank *p, int first, int k)
{
        const __m512i high = _mm512_set1_epi32((int)0xffff0000);

        for (int i = 0; i < PAIRS; i++, to += 16) {
                __m512i r[2];

                load_ranks(r, p, first + 2 * i, k);
                _mm512_store_si512(to, _mm512_or_si512(_mm512_andnot_si512(high, r[0]), _mm512_slli_epi32(r[1], 16)));
                _mm512_store_si512(
                        to + TILE, _mm512_or_si512(_mm512_srli_epi32(r[0], 16), _mm512_and_si512(high, r[1])));
        }
        return to + TILE;
}

static void pair_a(struct job *j)
{
        uint32_t *to = j->a;

        for (int line = 0; line < j->n_lines; line++)
                for (int t = 0; t < j->m->n_terms; t++)
                        for (int first = 0; first < j->m->terms[t].patch->rank; first += RANKS)
                                to = pair_line(to, j->m->terms[t].patch, first, line * COLUMNS);
}

// Sixteen outputs, ranks `first` and on.
static void pair_outs(uint32_t *to, const struct dyn_lowrank *p, int first, size_t o)
{
        const __m256i none = _mm256_setzero_si256();
        const uint16_t *from =
                (const uint16_t *)p->b + o / TILE_COLUMNS * (size_t)p->rank * TILE_COLUMNS + o % TILE_COLUMNS;
        __m512i pairs[PAIRS];

        if (o >= (size_t)p->n_out)
                return; // nobody reads what comes of these
        for (int i = 0, r = first; i < PAIRS; i++, r += 2) {
                __m256i low = r < p->rank ? _mm256_loadu_si256((const void *)(from + r * TILE_COLUMNS)) : none;
                __m256i high =
                        r + 1 < p->rank ? _mm256_loadu_si256((const void *)(from + (r + 1) * TILE_COLUMNS)) : none;

                pairs[i] =
                        _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
        }
        lanes16_transpose(pairs);
        for (int i = 0; i < PAIRS; i++)
                _mm512_store_si512(to + i * PAIRS, pairs[i]);
}

// Outputs o .. o + OUTS - 1: packed B is (blocks of TILE_COLUMNS outputs, rank, TILE_COLUMNS).
static void pair_b(struct job *j, size_t o)
{
        uint32_t *to = j->b;

        for (int t = 0; t < j->m->n_terms; t++) {
                const struct dyn_lowrank *p = j->m->terms[t].patch;

                for (int first = 0; first < p->rank; first += RANKS)
                        for (size_t at = o; at < o + OUTS; at += 16, to += TILE)
                                pair_outs(to, p, first, at);
        }
        AMX_WRITTEN();
}

// The sums of one term for a line of all outputs.
static void sum_term(float sums[2][OUTS * 16], const uint32_t *a, const uint32_t *b, int n_tiles)
{
        _tile_zero(C0);
        _tile_zero(C1);
        _tile_zero(C2);
        _tile_zero(C3);
        for (int i = 0; i < n_tiles; i++, a += 2 * TILE, b += 2 * TILE) {
                _tile_loadd(A0, a, LINE);
                _tile_loadd(B0, b, LINE);
                _tile_dpbf16ps(C0, B0, A0);
                _tile_loadd(A1, a + TILE, LINE);
                _tile_dpbf16ps(C1, B0, A1);
                _tile_loadd(B1, b + TILE, LINE);
                _tile_dpbf16ps(C2, B1, A0);
                _tile_dpbf16ps(C3, B1, A1);
        }
        _tile_stored(C0, sums[0], LINE);
        _tile_stored(C1, sums[1], LINE);
        _tile_stored(C2, sums[0] + TILE, LINE);
        _tile_stored(C3, sums[1] + TILE, LINE);
}

// Those of all terms for a line of the stretch.
static void sum_terms(struct job *j, int line, const uint32_t *a)
{
        const uint32_t *b = j->b;

        for (int t = 0; t < j->m->n_terms; t++) {
                int n_tiles = tiles_of(&j->m->terms[t]);

                sum_term(j->sums[t * STRETCH + line], a, b, n_tiles);
                a += n_tiles * 2 * TILE;
                b += n_tiles * 2 * TILE;
        }
}

// A line of a row: what is stored plus each term's sum, even columns and odd ones apart. What is not a number stays so
// when it is rounded, since of bf16 it has zeros below. sums: those of the line and row.
VEC_INLINE __m512i merge_line(const struct job *j, __m512i stored, const float *sums)
{
        const __m512i high = _mm512_set1_epi32((int)0xffff0000);
        __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(stored, 16));
        __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(stored, high));

        for (int t = 0; t < j->m->n_terms; t++, sums += sizeof *j->sums / sizeof *sums * STRETCH) {
                __m512 scale = _mm512_set1_ps(j->scales[t]);

                even = _mm512_fmadd_ps(scale, _mm512_load_ps(sums), even);
                odd = _mm512_fmadd_ps(scale, _mm512_load_ps(sums + OUTS * 16), odd);
        }
        return _mm512_or_si512(_mm512_srli_epi32(vec_bf16_high(even), 16), _mm512_and_si512(vec_bf16_high(odd), high));
}

// A row's part of a stretch. next: what is fetched meanwhile.
VEC_INLINE __m512i merge_row(const struct job *j, char *restrict to, const char *restrict from, const char *next,
        int row, int columns, __m512i most)
{
        const __m512i magnitude = _mm512_set1_epi16(0x7fff);
        const float *sums = j->sums[0][0] + row * 16;

        for (; columns > 0;
                columns -= COLUMNS, to += LINE, from += LINE, next += LINE, sums += sizeof *j->sums / sizeof *sums) {
                __mmask32 some = first_columns(columns);
                __m512i line = merge_line(j, _mm512_maskz_loadu_epi16(some, from), sums);

                __builtin_prefetch(next);
                if (j->stream)
                        _mm512_stream_si512((void *)to, line);
                else
                        _mm512_mask_storeu_epi16(to, some, line);
                most = _mm512_max_epu16(most, _mm512_and_si512(line, magnitude));
        }
        return most;
}

// Some rows, a stretch of columns at a time: first all sums of the stretch, then row after row, in the order in which
// memory likes to be read and written. The next stretch, or the next rows' first, is fetched meanwhile.
static void merge_tile(struct job *j, size_t row, int n_rows)
{
        size_t n_in = (size_t)j->m->w->n_in, row_bytes = n_in * sizeof(uint16_t);
        const char *from = (const char *)j->m->stored->data + row * row_bytes, *below = from + OUTS * row_bytes;
        char *to = (char *)j->m->w->owned + row * row_bytes;
        const uint32_t *a = j->a;
        size_t line = (size_t)j->n_tiles * 2 * TILE; // of A
        __m512i most = j->most;

        for (size_t k = 0; k < n_in; k += STRETCH * COLUMNS, from += STRETCH * LINE, to += STRETCH * LINE) {
                int columns = n_in - k < STRETCH * COLUMNS ? (int)(n_in - k) : STRETCH * COLUMNS;
                const char *next = k + STRETCH * COLUMNS < n_in ? from + STRETCH * LINE : below;

                for (int i = 0; i * COLUMNS < columns; i++, a += line)
                        sum_terms(j, i, a);
                for (size_t i = 0; i < (size_t)n_rows; i++)
                        most = merge_row(j, to + i * row_bytes, from + i * row_bytes, next + i * row_bytes, (int)i,
                                columns, most);
        }
        j->most = most;
}

// Room for all of it in one block, whose address is kept in *memory.
static void set_up(struct job *j, char **memory)
{
        size_t n_terms = (size_t)j->m->n_terms;

        for (int t = 0; t < j->m->n_terms; t++)
                j->n_tiles += tiles_of(&j->m->terms[t]);
        j->n_lines = (j->m->w->n_in + COLUMNS - 1) / COLUMNS;
        size_t lines = (size_t)j->n_lines, tiles = (size_t)j->n_tiles * TILE * sizeof *j->a,
               sums = n_terms * STRETCH * sizeof *j->sums;

        *memory = mem_alloc(LINE + tiles * (2 * lines + 2) + sums + n_terms * sizeof *j->scales);
        j->a = (uint32_t *)(((uintptr_t)*memory + LINE - 1) / LINE * LINE);
        j->b = j->a + 2 * lines * tiles / sizeof *j->a;
        j->sums = (void *)(j->b + 2 * tiles / sizeof *j->b);
        j->scales = (float *)(j->sums + n_terms * STRETCH);
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
        pair_a(&j);
        for (int tile = C0; tile <= B1; tile++)
                amx_shapes_set(&shapes, tile, AMX_TILE_ROWS, AMX_TILE_BYTES);
        amx_shapes_load(&shapes);
        for (int o = 0; o < n_rows; o += OUTS) {
                pair_b(&j, (size_t)(first_row + o));
                merge_tile(&j, (size_t)(first_row + o), n_rows - o < OUTS ? n_rows - o : OUTS);
        }
        _tile_release();
        _mm_sfence();
        mem_free(memory);
        return _mm512_cmpge_epu16_mask(j.most, _mm512_set1_epi16(0x7f80)) == 0;
}
