// lowrank against a plain loop, and a row against itself in other segments.
#include "ops.h"

#define MAX_ROWS 70

struct patch {
        struct ops_matrix a, b;
        float scale;
        int rank;
};

// A site with n patches of different ranks, and rows for it.
struct site {
        int n_in, n_out, n;
        struct patch *patches;
        float *x, *y; // (MAX_ROWS, n_in), (MAX_ROWS, n_out)
};

static struct site site(enum dyn_dtype dtype, int n_in, int n_out, const int *ranks, int n)
{
        struct site s = {.n_in = n_in, .n_out = n_out, .n = n, .patches = test_malloc((size_t)n * sizeof *s.patches)};

        for (int i = 0; i < n; i++)
                s.patches[i] = (struct patch){.a = ops_matrix(dtype, ranks[i], n_in),
                        .b = ops_matrix(dtype, n_out, ranks[i]),
                        .scale = 0.25f + (float)i,
                        .rank = ranks[i]};
        s.x = ops_floats(MAX_ROWS * (size_t)n_in);
        s.y = ops_floats(MAX_ROWS * (size_t)n_out);
        return s;
}

static void site_free(struct site *s)
{
        for (int i = 0; i < s->n; i++) {
                ops_matrix_free(&s->patches[i].a);
                ops_matrix_free(&s->patches[i].b);
        }
        test_free(s->patches);
        test_free(s->x);
        test_free(s->y);
}

struct loaded {
        struct ops o;
        struct dyn_lowrank p[8];
        int n;
};

static struct loaded load(const char *backend, int n_threads, const struct site *s)
{
        struct loaded l = {.o = ops_open(backend, n_threads), .n = s->n};

        for (int i = 0; i < s->n; i++)
                assert_int_equal(l.o.ops->lowrank_load(l.o.dev, &l.p[i], &s->patches[i].a.t, &s->patches[i].b.t,
                                         s->patches[i].scale, NULL),
                        DYN_OK);
        return l;
}

static void loaded_free(struct loaded *l)
{
        for (int i = 0; i < l->n; i++)
                l->o.ops->lowrank_free(l->o.dev, &l->p[i]);
        ops_close(&l->o);
}

// Patches differ in weight too, and one of them is taken away.
static float weight_of(int patch)
{
        return patch == 1 ? -1 : 1.0f / (float)(1 + patch);
}

static struct dyn_term term_of(const struct loaded *l, int patch)
{
        return patch < 0 ? (struct dyn_term){0} : (struct dyn_term){&l->p[patch], weight_of(patch)};
}

// Cuts MAX_ROWS rows into segments of random lengths; which[i] is the patch of row i, or -1.
static int cut(struct dyn_segment *segs, const struct loaded *l, const int *which)
{
        int n = 0;

        for (int row = 0, end; row < MAX_ROWS; row = end) {
                int longest = ops_pick(1, 40);

                for (end = row; end < MAX_ROWS && end - row < longest && which[end] == which[row]; end++)
                        ;
                segs[n++] = (struct dyn_segment){row, end - row, term_of(l, which[row])};
        }
        return n;
}

// Rows of one patch come in runs, some have none.
static void choose(int *which, const struct site *s)
{
        for (int row = 0; row < MAX_ROWS;)
                for (int run = ops_pick(1, 25), patch = ops_pick(-1, s->n - 1); run && row < MAX_ROWS; run--)
                        which[row++] = patch;
}

static float *run(const struct loaded *l, const struct site *s, const struct dyn_segment *segs, int n)
{
        size_t bytes = MAX_ROWS * (size_t)s->n_out * sizeof(float);
        float *y = test_malloc(bytes);

        memcpy(y, s->y, bytes);
        l->o.ops->lowrank(l->o.dev, y, s->x, segs, n);
        l->o.ops->sync(l->o.dev);
        return y;
}

static void check_row(const struct site *s, int patch, int row, const float *y)
{
        const struct patch *p = &s->patches[patch];
        double *v = test_malloc((size_t)p->rank * 2 * sizeof *v), *size = v + p->rank;

        for (int r = 0; r < p->rank; r++) {
                v[r] = size[r] = 0;
                for (int k = 0; k < s->n_in; k++) {
                        double term = p->a.value[r * s->n_in + k] * (double)s->x[row * s->n_in + k];

                        v[r] += term;
                        size[r] += fabs(term);
                }
        }
        for (int o = 0; o < s->n_out; o++) {
                double sum = s->y[row * s->n_out + o], magnitude = fabs(sum);

                for (int r = 0; r < p->rank; r++) {
                        sum += (double)p->scale * weight_of(patch) * p->b.value[o * p->rank + r] * v[r];
                        magnitude += fabs((double)p->scale * weight_of(patch) * p->b.value[o * p->rank + r]) * size[r];
                }
                ops_near(y[row * s->n_out + o], sum, magnitude, 12);
        }
        test_free(v);
}

static void equals_the_plain_loop_for_every_rank_and_segment(void **state)
{
        static const int ranks[][4] = {{1, 2, 3, 5}, {8, 13, 16, 17}, {64, 31, 100, 4}, {256, 257, 7, 300}};
        int which[MAX_ROWS];
        struct dyn_segment segs[MAX_ROWS];

        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++)
                        for (int r = 0; r < 4; r++) {
                                struct site s = site(ops_dtypes[d], ops_pick(1, 150), ops_pick(1, 150), ranks[r], 4);
                                struct loaded l = load(ops_backend(b), 2, &s);

                                choose(which, &s);
                                float *y = run(&l, &s, segs, cut(segs, &l, which));

                                for (int row = 0; row < MAX_ROWS; row++)
                                        if (which[row] >= 0)
                                                check_row(&s, which[row], row, y);
                                        else
                                                ops_same(y + row * s.n_out, s.y + row * s.n_out, (size_t)s.n_out);
                                test_free(y);
                                loaded_free(&l);
                                site_free(&s);
                        }
}

// A or B is as small as x is large.
static void denormal_matrices_count(void **state)
{
        static const int ranks[1] = {24};
        int which[MAX_ROWS] = {0};
        struct dyn_segment segs[MAX_ROWS];

        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++)
                        for (int small = 0; small < 2; small++) {
                                struct site s = site(ops_dtypes[d], ops_pick(1, 150), ops_pick(1, 150), ranks, 1);

                                ops_matrix_denormal(small ? &s.patches[0].b : &s.patches[0].a);
                                for (int i = 0; i < MAX_ROWS * s.n_in; i++)
                                        s.x[i] *= 0x1p100f;
                                memset(s.y, 0, MAX_ROWS * (size_t)s.n_out * sizeof *s.y);
                                struct loaded l = load(ops_backend(b), 2, &s);
                                float *y = run(&l, &s, segs, cut(segs, &l, which));

                                for (int row = 0; row < MAX_ROWS; row++)
                                        check_row(&s, 0, row, y);
                                test_free(y);
                                loaded_free(&l);
                                site_free(&s);
                        }
}

static void row_has_the_same_bits_in_every_segment_and_team(void **state)
{
        static const int ranks[5] = {16, 1, 40, 300, 9};
        int which[MAX_ROWS];
        struct dyn_segment segs[MAX_ROWS];

        for (int b = 0; ops_backend(b); b++)
                for (int d = 0; d < N_DTYPES; d++) {
                        struct site s = site(ops_dtypes[d], 203, 157, ranks, 5);
                        struct loaded one = load(ops_backend(b), 1, &s);

                        choose(which, &s);
                        for (int row = 0; row < MAX_ROWS; row++)
                                segs[row] = (struct dyn_segment){row, 1, term_of(&one, which[row])};
                        float *alone = run(&one, &s, segs, MAX_ROWS);

                        for (int n_threads = 1; n_threads <= 3; n_threads++)
                                for (int again = 0; again < 4; again++) {
                                        struct loaded l = load(ops_backend(b), n_threads, &s);
                                        float *y = run(&l, &s, segs, cut(segs, &l, which));

                                        ops_same(y, alone, MAX_ROWS * (size_t)s.n_out);
                                        test_free(y);
                                        loaded_free(&l);
                                }
                        test_free(alone);
                        loaded_free(&one);
                        site_free(&s);
                }
}

// Few rows with so large a patch that the whole team works on each.
static void share_large_patch(const char *backend)
{
        static const int ranks[1] = {264};
        int which[MAX_ROWS] = {0};
        struct dyn_segment segs[MAX_ROWS];

        for (int row = 0; row < MAX_ROWS; row++)
                which[row] = row < 18 ? 0 : -1;
        for (int d = 0; d < N_DTYPES; d++) {
                struct site s = site(ops_dtypes[d], 1003, 1501, ranks, 1);
                struct loaded one = load(backend, 1, &s), three = load(backend, 3, &s);
                struct dyn_segment whole[2] = {{0, 1, term_of(&three, 0)}, {1, 17, term_of(&three, 0)}};
                float *alone = run(&one, &s, segs, cut(segs, &one, which)), *shared = run(&three, &s, whole, 2);

                ops_same(shared, alone, MAX_ROWS * (size_t)s.n_out);
                check_row(&s, 0, 17, shared);
                test_free(alone);
                test_free(shared);
                loaded_free(&one);
                loaded_free(&three);
                site_free(&s);
        }
}

static void large_patch_gives_the_same_bits_however_it_is_shared(void **state)
{
        for (int b = 0; ops_backend(b); b++)
                if (ops_fast(b))
                        share_large_patch(ops_backend(b));
}

static void patch_that_does_not_fit_together_is_refused(void **state)
{
        struct ops_matrix a = ops_matrix(DYN_F16, 4, 20), b = ops_matrix(DYN_F16, 30, 5);
        struct ops_matrix c = ops_matrix(DYN_BF16, 30, 4);

        for (int i = 0; ops_backend(i); i++) {
                struct ops o = ops_open(ops_backend(i), 1);
                struct dyn_lowrank p;
                struct dyn_error err;

                assert_int_equal(o.ops->lowrank_load(o.dev, &p, &a.t, &b.t, 1, &err), DYN_INVALID);
                assert_non_null(strstr(err.text, "(4, 20)"));
                assert_non_null(strstr(err.text, "(30, 5)"));
                assert_int_equal(o.ops->lowrank_load(o.dev, &p, &a.t, &c.t, 1, &err), DYN_UNSUPPORTED);
                o.ops->lowrank_free(o.dev, &p); // nothing
                ops_close(&o);
        }
        ops_matrix_free(&a);
        ops_matrix_free(&b);
        ops_matrix_free(&c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(equals_the_plain_loop_for_every_rank_and_segment),
                cmocka_unit_test(denormal_matrices_count),
                cmocka_unit_test(row_has_the_same_bits_in_every_segment_and_team),
                cmocka_unit_test(large_patch_gives_the_same_bits_however_it_is_shared),
                cmocka_unit_test(patch_that_does_not_fit_together_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
