#include "cpu/amx_dots.h"

#include <cpuid.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpu/amx_rows.h"
#include "cpu/amx_tiles.h"
#include "cpu/lanes16.h"

#define OUTS  16 // outputs of a tile of W
#define TILES 4  // of W that meet a group of x at once
#define LINE  64 // bytes: AMX_INS elements of W
#define AHEAD 12 // tiles of W that are fetched before they are used
#define FIRST 4  // groups that a tile of W meets when it comes from memory

// The eight tiles, numbers since the instructions spell them: sums of four tiles of W with a group, one of those tiles,
// and the three parts of the group.
#define C0 0
#define C1 1
#define C2 2
#define C3 3
#define W0 4
#define X0 5
#define X1 6
#define X2 7

#define SUM_BYTES (AMX_ROWS * sizeof(float)) // of a row of sums

// Where a block of AMX_INS elements is: the first of the tiles of W, and a group of x.
struct operands {
        const char *w, *x;
        size_t w_bytes, x_bytes; // of a row of W; of a row of a tile of x
};

// What the tiles are set up for.
struct tiles {
        int outs, rows;
};

// W as it comes from memory: blocks of the tiles that are done together, in the order in which they are used.
struct stream {
        const char *at, *end; // the next block; behind W
        size_t w_bytes;
        int block, n_blocks; // of a row
};

bool amx_dots_enable(void)
{
        unsigned a, b, c, d;
        const long request_permission = 0x1023, tile_data = 18;

        if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d >> 22 & 5) != 5) // AMX-BF16, AMX-TILE
                return false;
        return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

// For tiles of `outs` outputs and groups of `rows` rows, unless they are as that already.
static void configure(struct tiles *t, int outs, int rows)
{
        struct amx_shapes s = {0};

        if (t->outs == outs && t->rows == rows)
                return;
        *t = (struct tiles){outs, rows};
        for (int c = C0; c <= C3; c++)
                amx_shapes_set(&s, c, outs, rows * (int)sizeof(float));
        amx_shapes_set(&s, W0, outs, LINE);
        for (int x = X0; x <= X2; x++)
                amx_shapes_set(&s, x, AMX_INS / 2, rows * (int)sizeof(uint32_t));
        amx_shapes_load(&s);
}

#define MEET(c, i)                                                                                                     \
        _tile_loadd(W0, o->w + (i)*OUTS * o->w_bytes, o->w_bytes);                                                     \
        _tile_dpbf16ps(c, W0, X0);                                                                                     \
        _tile_dpbf16ps(c, W0, X1);                                                                                     \
        _tile_dpbf16ps(c, W0, X2);

VEC_INLINE void block(const int tiles, const struct operands *o)
{
        const size_t part = o->x_bytes * AMX_INS / 2;

        _tile_loadd(X0, o->x, o->x_bytes);
        _tile_loadd(X1, o->x + part, o->x_bytes);
        _tile_loadd(X2, o->x + 2 * part, o->x_bytes);
        MEET(C0, 0)
        if (tiles == 1)
                return;
        MEET(C1, 1)
        MEET(C2, 2)
        MEET(C3, 3)
}

// The next block of n rows.
VEC_INLINE void fetch(struct stream *s, int n)
{
        for (int i = 0; i < n && s->at < s->end; i++)
                _mm_prefetch(s->at + (size_t)i * s->w_bytes, _MM_HINT_T0);
        s->at += LINE;
        if (++s->block < s->n_blocks)
                return;
        s->block = 0;
        s->at += (size_t)n * s->w_bytes - (size_t)s->n_blocks * LINE;
}

// The sums of `tiles` tiles of `outs` outputs each, over n elements. stream: what comes after, or NULL.
VEC_INLINE void sum(const int tiles, struct operands o, int outs, int n, struct stream *stream)
{
        _tile_zero(C0);
        _tile_zero(C1);
        _tile_zero(C2);
        _tile_zero(C3);
        for (; n >= AMX_INS; n -= AMX_INS) {
                if (stream != NULL)
                        fetch(stream, tiles * outs);
                block(tiles, &o);
                o.w += LINE;
                o.x += o.x_bytes * AMX_PARTS * AMX_INS / 2;
        }
        if (n == 0)
                return;
        uint16_t last[TILES * OUTS][AMX_INS] = {0};

        for (int i = 0; i < tiles * outs; i++)
                memcpy(last[i], o.w + (size_t)i * o.w_bytes, (size_t)n * sizeof **last);
        o.w = (const char *)last;
        o.w_bytes = sizeof *last;
        AMX_WRITTEN();
        block(tiles, &o);
}

// Sums of a tile, (outs, AMX_ROWS), to y, (rows, outs).
static void put(float *y, size_t y_step, const float *c, int outs, int rows)
{
        __mmask16 some = (__mmask16)(((uint32_t)1 << outs) - 1);
        __m512i r[AMX_ROWS];

        for (int i = 0; i < AMX_ROWS; i++)
                r[i] = _mm512_loadu_si512(c + i * AMX_ROWS);
        lanes16_transpose(r);
        for (int i = 0; i < rows; i++)
                _mm512_mask_storeu_epi32(y + (size_t)i * y_step, some, r[i]);
}

// Tiles of outputs that are done together.
struct piece {
        int out;         // the first
        int tiles, outs; // outputs of each
};

static struct piece piece_at(const struct amx_dots *d, int out, int most)
{
        int left = d->n_out - out;

        return (struct piece){out, left >= most * OUTS ? most : 1, left < OUTS ? left : OUTS};
}

static int rows_of(const struct amx_dots *d, int group)
{
        int left = d->n_rows - group * AMX_ROWS;

        return left < AMX_ROWS ? left : AMX_ROWS;
}

// A piece for one group.
static void meet(const struct amx_dots *d, struct tiles *t, struct piece p, int group, struct stream *stream)
{
        float c[TILES][OUTS * AMX_ROWS] __attribute__((aligned(LINE)));
        int rows = rows_of(d, group);
        struct operands o = {.w = (const char *)d->w + (size_t)p.out * d->w_bytes,
                .x = (const char *)d->x + amx_rows_at(d->n_in, group),
                .w_bytes = d->w_bytes,
                .x_bytes = (size_t)rows * sizeof(uint32_t)};

        configure(t, p.outs, rows);
        if (p.tiles == TILES)
                sum(TILES, o, p.outs, d->n_in, stream);
        else
                sum(1, o, p.outs, d->n_in, stream);
        _tile_stored(C0, c[0], SUM_BYTES);
        _tile_stored(C1, c[1], SUM_BYTES);
        _tile_stored(C2, c[2], SUM_BYTES);
        _tile_stored(C3, c[3], SUM_BYTES);
        for (int i = 0; i < p.tiles; i++)
                put(d->y + (size_t)group * AMX_ROWS * d->y_step + p.out + i * OUTS, d->y_step, c[i], p.outs, rows);
}

// Pieces of W meet the first groups as they come from memory, and then, from the second cache, one group after the
// other.
void amx_dots(const struct amx_dots *d)
{
        int groups = amx_rows_groups(d->n_rows), first = groups < FIRST ? groups : FIRST, most = groups > 1 ? TILES : 1;
        struct stream stream = {.at = d->w,
                .end = (const char *)d->w + (size_t)d->n_out * d->w_bytes,
                .w_bytes = d->w_bytes,
                .n_blocks = d->n_in / AMX_INS};
        struct tiles t = {0};
        struct piece p;

        for (int i = 0; i < AHEAD / most; i++)
                fetch(&stream, most * OUTS);
        for (int out = 0; out < d->n_out; out += p.tiles * p.outs) {
                p = piece_at(d, out, most);
                for (int group = 0; group < first; group++)
                        meet(d, &t, p, group, group == 0 ? &stream : NULL);
        }
        for (int group = first; group < groups; group++)
                for (int out = 0; out < d->n_out; out += p.tiles * p.outs) {
                        p = piece_at(d, out, most);
                        meet(d, &t, p, group, NULL);
                }
        _tile_release();
}
