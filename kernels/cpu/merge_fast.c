// Merging in the fast backend. Some columns of A, widened, stay in the first cache while the rows of a block pass: the
// stored elements of a tile go into registers, every rank adds its product there, and what comes out is narrowed and
// written once. An element is summed rank by rank and term by term, wherever its tile begins.
#include <assert.h>

#include "base/alloc.h"
#include "base/quant.h"
#include "cpu/fast.h"
#include "cpu/tile.h"
#include "cpu/vec.h"

// A tile: as many sums as registers can hold beside the operands, and whole lines of the written matrix for each row.
#if VEC == 16
#define ROWS 6
#define VECS 4
#elif VEC == 8
#define ROWS 3
#define VECS 4
#else
#define ROWS 3
#define VECS 8
#endif
#define COLUMNS (VECS * VEC)

#define LINE        64                 // bytes
#define WIDEST      256                // elements in a block of any quantised type
#define PANEL_BYTES ((size_t)24 << 10) // of A in the first cache

_Static_assert(COLUMNS * sizeof(uint16_t) % LINE == 0 && WIDEST % COLUMNS == 0, "a tile writes whole lines");

// What all rows of a block share.
struct block {
        const struct cpu_merge *m;
        size_t rank;   // of all terms together
        float *by;     // (blocks of TILE_COLUMNS rows, rank, TILE_COLUMNS): weight * scale * B
        float *panel;  // (tiles, rank, COLUMNS): A
        float *wide;   // (ROWS, columns of the panel): stored elements that are quantised
        bool stream;   // rows are written past the caches
        vec_ints most; // the largest magnitudes so far, as bits
};

// The rows of a tile; a block's last row is repeated where fewer are left.
struct rows {
        const char *from[ROWS]; // stored
        const char *next[ROWS]; // what `from` of the rows after these will be
        char *to[ROWS];
        const float *by[ROWS];
};

static void widen(float *to, const char *from, enum dyn_dtype dtype, size_t n, float scale)
{
        const size_t size = vec_bytes(dtype);
        vec by = vec_set1(scale);
        size_t k = 0;

        for (; k + VEC <= n; k += VEC)
                vec_write(to + k, by * vec_load(from + k * size, dtype));
        if (k < n)
                vec_write(to + k, by * vec_load_part(from + k * size, dtype, n - k));
}

// The stored elements, widened; the same of the next rows are fetched meanwhile.
VEC_INLINE void load(const enum dyn_dtype stored, vec acc[ROWS][VECS], const struct rows *rows, size_t k)
{
        const size_t size = vec_bytes(stored);

        VEC_UNROLL
        for (int j = 0; j < ROWS; j++) {
                VEC_UNROLL
                for (size_t i = 0; i < COLUMNS * size; i += LINE)
                        vec_fetch(rows->next[j] + k * size + i);
                VEC_UNROLL
                for (size_t i = 0; i < VECS; i++)
                        acc[j][i] = vec_load(rows->from[j] + (k + i * VEC) * size, stored);
        }
}

VEC_INLINE void store(
        const enum dyn_dtype dtype, const vec acc[ROWS][VECS], const struct rows *rows, size_t k, bool stream)
{
        VEC_UNROLL
        for (int j = 0; j < ROWS; j++)
                VEC_UNROLL
        for (size_t i = 0; i < VECS; i += 2) {
                char *to = rows->to[j] + (k + i * VEC) * vec_bytes(dtype);

                if (dtype == DYN_F32) {
                        vec_put((float *)to, acc[j][i], stream);
                        vec_put((float *)to + VEC, acc[j][i + 1], stream);
                } else {
                        vec_put_halves(to, dtype, acc[j][i], acc[j][i + 1], stream);
                }
        }
}

// The tile from column k on; panel: (rank, COLUMNS).
VEC_INLINE void tile(const enum dyn_dtype stored, const enum dyn_dtype dtype, struct block *b, const struct rows *rows,
        const float *panel, size_t k)
{
        const float *from[ROWS];
        vec acc[ROWS][VECS];
        vec_ints most = b->most;

        VEC_UNROLL
        for (int j = 0; j < ROWS; j++)
                from[j] = rows->by[j];
        load(stored, acc, rows, k);
        for (const float *end = panel + b->rank * COLUMNS; panel < end; panel += COLUMNS) {
                vec by[ROWS];

                VEC_UNROLL
                for (int j = 0; j < ROWS; j++) {
                        by[j] = vec_set1(*from[j]);
                        from[j] += TILE_COLUMNS;
                        VEC_PIN(by[j]);
                }
                VEC_UNROLL
                for (int i = 0; i < VECS; i++) {
                        vec a = vec_read(panel + i * VEC);

                        VEC_PIN(a);
                        VEC_UNROLL
                        for (int j = 0; j < ROWS; j++)
                                acc[j][i] = vec_fma(by[j], a, acc[j][i]);
                }
        }
        VEC_UNROLL
        for (int j = 0; j < ROWS; j++)
                VEC_UNROLL
        for (int i = 0; i < VECS; i++)
                most = vec_ints_max(most, vec_magnitude(acc[j][i]));
        b->most = most;
        store(dtype, acc, rows, k, b->stream);
}

// The last n < COLUMNS columns of the rows, by way of memory that is as wide as a tile.
VEC_INLINE void part(const enum dyn_dtype stored, const enum dyn_dtype dtype, struct block *b, const struct rows *rows,
        const float *panel, size_t k, size_t n)
{
        const size_t from_size = vec_bytes(stored), size = vec_bytes(dtype);
        char from[ROWS][COLUMNS * sizeof(float)] = {0}, to[ROWS][COLUMNS * sizeof(float)];
        struct rows wide = *rows;

        for (int j = 0; j < ROWS; j++) {
                memcpy(from[j], rows->from[j] + k * from_size, n * from_size);
                wide.from[j] = from[j];
                wide.to[j] = to[j];
        }
        tile(stored, dtype, b, &wide, panel, 0);
        for (int j = 0; j < ROWS; j++)
                memcpy(rows->to[j] + k * size, to[j], n * size);
}

// Columns first .. end - 1 of some rows. Quantised rows come widened.
VEC_INLINE void tiles(const enum dyn_dtype stored, const enum dyn_dtype dtype, struct block *b, const struct rows *rows,
        size_t first, size_t end)
{
        const float *panel = b->panel;
        size_t k = first;

        for (; k + COLUMNS <= end; k += COLUMNS, panel += b->rank * COLUMNS)
                tile(stored, dtype, b, rows, panel, k);
        if (k < end)
                part(stored, dtype, b, rows, panel, k, end - k);
}

static void tiles_of(struct block *b, const struct rows *rows, size_t first, size_t end)
{
        switch (b->m->stored->dtype) {
        case DYN_F32:
                tiles(DYN_F32, DYN_F32, b, rows, first, end);
                break;
        case DYN_F16:
                tiles(DYN_F16, DYN_F16, b, rows, first, end);
                break;
        case DYN_BF16:
                tiles(DYN_BF16, DYN_BF16, b, rows, first, end);
                break;
        default:
                tiles(DYN_F32, DYN_BF16, b, rows, first, end);
        }
}

// weight * scale * B of the outputs in n blocks of TILE_COLUMNS, from block `first` on.
static void widen_b(struct block *b, size_t first, size_t n)
{
        float *to = b->by;

        for (size_t block = first; block < first + n; block++)
                for (int t = 0; t < b->m->n_terms; t++) {
                        const struct dyn_lowrank *p = b->m->terms[t].patch;
                        size_t count = (size_t)p->rank * TILE_COLUMNS, size = vec_bytes(p->dtype);

                        widen(to, (const char *)p->b + block * count * size, p->dtype, count,
                                p->scale * b->m->terms[t].weight);
                        to += count;
                }
}

// Columns first .. end - 1 of A; the last tile has zeros behind them.
static void widen_a(struct block *b, size_t first, size_t end)
{
        float *to = b->panel;

        for (size_t k = first; k < end; k += COLUMNS) {
                size_t n = end - k < COLUMNS ? end - k : COLUMNS;

                for (int t = 0; t < b->m->n_terms; t++) {
                        const struct dyn_lowrank *p = b->m->terms[t].patch;
                        size_t size = vec_bytes(p->dtype), row_bytes = size * (size_t)p->n_in;
                        const char *from = (const char *)p->a + k * size;

                        for (int r = 0; r < p->rank; r++, from += row_bytes, to += COLUMNS) {
                                if (n < COLUMNS)
                                        memset(to, 0, COLUMNS * sizeof *to);
                                widen(to, from, p->dtype, n, 1);
                        }
                }
        }
}

// The rows of a tile that begins with row o of a block whose last one is `last`.
static struct rows rows_from(const struct block *b, size_t o, size_t last, size_t first_block)
{
        const struct dyn_weight *w = b->m->w;
        size_t from_bytes = dyn_dtype_bytes(b->m->stored->dtype, w->n_in);
        size_t to_bytes = dyn_dtype_bytes(w->dtype, w->n_in);
        struct rows rows;

        for (size_t j = 0; j < ROWS; j++) {
                size_t row = o + j < last ? o + j : last;

                rows.from[j] = (const char *)b->m->stored->data + row * from_bytes;
                rows.next[j] = rows.from[j] + ROWS * from_bytes;
                rows.to[j] = (char *)w->owned + row * to_bytes;
                rows.by[j] = b->by + (row / TILE_COLUMNS - first_block) * b->rank * TILE_COLUMNS + row % TILE_COLUMNS;
        }
        return rows;
}

// Quantised elements first .. end - 1 of the rows, as f32.
static void widen_stored(const struct block *b, struct rows *rows, size_t first, size_t end)
{
        enum dyn_dtype stored = b->m->stored->dtype;
        size_t n = end - first, skip = dyn_dtype_bytes(stored, (int64_t)first);

        for (size_t j = 0; j < ROWS; j++) {
                float *wide = b->wide + j * n;

                quant_to_f32(wide, stored, rows->from[j] + skip, (int64_t)n);
                rows->from[j] = rows->next[j] = (const char *)(wide - first);
        }
}

// Rows that begin at a line go past the caches: nothing is read to be written over. Fresh memory is in a cache already,
// where the system has just filled it with zeros.
bool fast_merge_rows(const struct cpu_merge *m, int first_row, int n_rows)
{
        size_t first = (size_t)first_row, last = first + (size_t)n_rows - 1, n_in = (size_t)m->w->n_in;
        size_t first_block = first / TILE_COLUMNS, n_blocks = last / TILE_COLUMNS - first_block + 1;
        struct block b = {.m = m, .stream = n_in % COLUMNS == 0 && !m->fresh};

        for (int t = 0; t < m->n_terms; t++)
                b.rank += (size_t)m->terms[t].patch->rank;
        size_t tile_bytes = b.rank * COLUMNS * sizeof(float);
        size_t by_bytes = b.rank * TILE_COLUMNS * sizeof(float) * n_blocks;
        bool quantised = dyn_dtype_block(m->stored->dtype) > 1;
        size_t n_tiles = PANEL_BYTES / (tile_bytes + 1) + 1;

        if (quantised) // whole blocks, of up to WIDEST elements
                n_tiles = (n_tiles + WIDEST / COLUMNS - 1) / (WIDEST / COLUMNS) * (WIDEST / COLUMNS);
        size_t columns = n_tiles * COLUMNS, wide_bytes = quantised ? ROWS * columns * sizeof(float) : 0;
        char *memory = mem_alloc(n_tiles * tile_bytes + by_bytes + wide_bytes + LINE);

        b.panel = (float *)(((uintptr_t)memory + LINE - 1) / LINE * LINE);
        b.by = b.panel + n_tiles * b.rank * COLUMNS;
        b.wide = b.by + by_bytes / sizeof(float);
        widen_b(&b, first_block, n_blocks);
        for (size_t k = 0; k < n_in; k += columns) {
                size_t end = n_in - k < columns ? n_in : k + columns;

                widen_a(&b, k, end);
                for (size_t o = first; o <= last; o += ROWS) {
                        struct rows rows = rows_from(&b, o, last, first_block);

                        if (quantised)
                                widen_stored(&b, &rows, k, end);
                        tiles_of(&b, &rows, k, end);
                }
        }
        vec_fence();
        mem_free(memory);
        return vec_ints_largest(b.most) < cpu_merge_infinite(m->w->dtype);
}
