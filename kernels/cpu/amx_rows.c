#include "cpu/amx_rows.h"

#include <stdint.h>

#include "cpu/lanes16.h"

#define PAIRS       (AMX_INS / 2)
#define FEW_COLUMNS 4 // up to which turning all sixteen over takes longer than storing one by one

int amx_rows_groups(int n_rows)
{
        return (n_rows + AMX_ROWS - 1) / AMX_ROWS;
}

static size_t row_bytes(int n_in)
{
        return (size_t)((n_in + AMX_INS - 1) / AMX_INS) * AMX_PARTS * PAIRS * sizeof(uint32_t);
}

size_t amx_rows_bytes(int n_in, int n_rows)
{
        return row_bytes(n_in) * (size_t)n_rows;
}

size_t amx_rows_at(int n_in, int group)
{
        return row_bytes(n_in) * AMX_ROWS * (size_t)group;
}

// AMX_INS elements of a row as pairs, part after part. Cutting off the low half of a float leaves its first eight bits,
// and what is cut off is exact as well.
VEC_INLINE void split(__m512i parts[AMX_PARTS], const float *x, int n)
{
        const __m512i high = _mm512_set1_epi32((int)0xffff0000);
        const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        uint32_t some = n < AMX_INS ? ((uint32_t)1 << n) - 1 : UINT32_MAX;
        __m512 a = _mm512_maskz_loadu_ps((__mmask16)some, x),
               b = _mm512_maskz_loadu_ps((__mmask16)(some >> 16), x + 16);
        __m512 even = _mm512_permutex2var_ps(a, evens, b);
        __m512 odd = _mm512_permutex2var_ps(a, _mm512_or_si512(evens, _mm512_set1_epi32(1)), b);

        for (int i = 0; i < AMX_PARTS; i++) {
                __m512i e = _mm512_and_si512(_mm512_castps_si512(even), high);
                __m512i o = _mm512_and_si512(_mm512_castps_si512(odd), high);

                parts[i] = _mm512_or_si512(_mm512_srli_epi32(e, 16), o);
                even = _mm512_sub_ps(even, _mm512_castsi512_ps(e));
                odd = _mm512_sub_ps(odd, _mm512_castsi512_ps(o));
        }
}

// The pairs of a row, to its column of each part.
static void put_column(uint32_t *to, const __m512i parts[AMX_PARTS], int columns)
{
        uint32_t pair[PAIRS];

        for (int i = 0; i < AMX_PARTS; i++) {
                _mm512_storeu_si512(pair, parts[i]);
                for (int k = 0; k < PAIRS; k++)
                        to[(i * PAIRS + k) * columns] = pair[k];
        }
}

static void put_columns(uint32_t *to, __m512i parts[AMX_PARTS][AMX_ROWS], int columns)
{
        __mmask16 some = (__mmask16)(((uint32_t)1 << columns) - 1);

        for (int i = 0; i < AMX_PARTS; i++) {
                lanes16_transpose(parts[i]);
                for (int k = 0; k < PAIRS; k++)
                        _mm512_mask_storeu_epi32(to + (i * PAIRS + k) * columns, some, parts[i][k]);
        }
}

void amx_rows(void *to, const float *x, int n_in, int n_rows, int group)
{
        int first = group * AMX_ROWS, columns = n_rows - first < AMX_ROWS ? n_rows - first : AMX_ROWS;
        uint32_t *tile = (uint32_t *)((char *)to + amx_rows_at(n_in, group));

        x += (size_t)first * (size_t)n_in;
        for (int k = 0; k < n_in; k += AMX_INS, tile += AMX_PARTS * PAIRS * columns) {
                int n = n_in - k < AMX_INS ? n_in - k : AMX_INS;
                __m512i all[AMX_PARTS][AMX_ROWS] = {0}, parts[AMX_PARTS];

                for (int row = 0; row < columns; row++) {
                        split(parts, x + (size_t)row * (size_t)n_in + k, n);
                        if (columns == 1)
                                for (int i = 0; i < AMX_PARTS; i++)
                                        _mm512_storeu_si512(tile + i * PAIRS, parts[i]);
                        else if (columns <= FEW_COLUMNS)
                                put_column(tile + row, parts, columns);
                        for (int i = 0; i < AMX_PARTS; i++)
                                all[i][row] = parts[i];
                }
                if (columns > FEW_COLUMNS)
                        put_columns(tile, all, columns);
        }
}
