// The shapes of the eight tiles, for the files that compute with them. A thread that is done with tiles releases them
// (_tile_release), lest the system carries them along.
#ifndef DYNLORA_KERNELS_CPU_AMX_TILES_H
#define DYNLORA_KERNELS_CPU_AMX_TILES_H

#include <stdint.h>

#include "cpu/vec.h"

#define AMX_TILE_ROWS  16 // at most
#define AMX_TILE_BYTES 64 // of a row, at most

// As LDTILECFG reads it.
struct amx_shapes {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
};

// What is read by tile instructions has to be written before: gcc's intrinsics don't say that they read memory.
#define AMX_WRITTEN() __asm__ volatile("" ::: "memory")

VEC_INLINE void amx_shapes_set(struct amx_shapes *s, int tile, int rows, int row_bytes)
{
        s->rows[tile] = (uint8_t)rows;
        s->row_bytes[tile] = (uint16_t)row_bytes;
}

// Afterwards all tiles are zero.
VEC_INLINE void amx_shapes_load(struct amx_shapes *s)
{
        s->palette = 1;
        AMX_WRITTEN();
        _tile_loadconfig(s);
}

#endif
