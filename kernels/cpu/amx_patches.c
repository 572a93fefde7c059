#include "cpu/amx_patches.h"

#include "cpu/amx_tiles.h"
#include "cpu/lanes16.h"
#include "cpu/tile.h"

#define RANKS   AMX_PATCH_RANKS
#define COLUMNS AMX_PATCH_COLUMNS
#define PAIRS   AMX_PATCH_PAIRS
#define TILE    AMX_PATCH_TILE

// A line of ranks r and r + 1; zeros beyond the last rank.
VEC_INLINE void load_ranks(__m512i line[2], const struct dyn_lowrank *p, int r, int k)
{
        const uint16_t *from = (const uint16_t *)p->a + (size_t)r * (size_t)p->n_in + k;
        __mmask32 some = amx_patches_columns(p->n_in - k);

        line[0] = _mm512_maskz_loadu_epi16(r < p->rank ? some : 0, from);
        line[1] = _mm512_maskz_loadu_epi16(r + 1 < p->rank ? some : 0, from + p->n_in);
}

// The line's even columns in one tile and its odd ones in the next: as the line itself falls into pairs.
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

void amx_patches_a(uint32_t *to, const struct dyn_term *terms, int n_terms)
{
        for (int k = 0; k < terms[0].patch->n_in; k += COLUMNS)
                for (int t = 0; t < n_terms; t++)
                        for (int first = 0; first < terms[t].patch->rank; first += RANKS)
                                to = pair_line(to, terms[t].patch, first, k);
        AMX_WRITTEN();
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

// Packed B is (blocks of TILE_COLUMNS outputs, rank, TILE_COLUMNS).
void amx_patches_b(uint32_t *to, const struct dyn_term *terms, int n_terms, size_t o)
{
        for (int t = 0; t < n_terms; t++)
                for (int first = 0; first < terms[t].patch->rank; first += RANKS)
                        for (size_t at = o; at < o + AMX_PATCH_OUTS; at += 16, to += TILE)
                                pair_outs(to, terms[t].patch, first, at);
        AMX_WRITTEN();
}
