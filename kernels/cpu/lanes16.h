// Sixteen rows of sixteen 32-bit elements, turned over in registers (AVX-512).
#ifndef DYNLORA_KERNELS_CPU_LANES16_H
#define DYNLORA_KERNELS_CPU_LANES16_H

#include "cpu/vec.h"

// One exchange of halves between rows `far` apart: quarters by halves of the register, then ever smaller pieces.
#define LANES_SWAP(r, far, low, high)                                                                                  \
        VEC_UNROLL for (int i_ = 0; i_ < 16; i_++) if ((i_ & (far)) == 0)                                              \
        {                                                                                                              \
                __m512i a_ = (r)[i_], b_ = (r)[i_ + (far)];                                                            \
                                                                                                                       \
                (r)[i_] = low;                                                                                         \
                (r)[i_ + (far)] = high;                                                                                \
        }

// r[i][j] to r[j][i].
VEC_INLINE void lanes16_transpose(__m512i r[16])
{
        LANES_SWAP(r, 8, _mm512_shuffle_i32x4(a_, b_, 0x44), _mm512_shuffle_i32x4(a_, b_, 0xee))
        LANES_SWAP(r, 4, _mm512_permutex2var_epi64(a_, _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), b_),
                _mm512_permutex2var_epi64(a_, _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), b_))
        LANES_SWAP(r, 2, _mm512_unpacklo_epi64(a_, b_), _mm512_unpackhi_epi64(a_, b_))
        LANES_SWAP(
                r, 1, _mm512_mask_shuffle_epi32(a_, 0xaaaa, b_, 0xa0), _mm512_mask_shuffle_epi32(b_, 0x5555, a_, 0xf5))
}

#endif
