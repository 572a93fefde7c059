// src/adapt/blend.c and what load.c lends it. Oracle: the sum of the adapters' deltas by loops in double, from the
// values that were written into their folders.
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "adapt/blend.h"
#include "adapt/folder.h"
#include "adapter_folder.h"
#include "base/alloc.h"

#define LAYER_1 "\"layers_to_transform\": null", "\"layers_to_transform\": [1]"
#define RANK_2  "\"r\": 4", "\"r\": 2"
#define RSLORA  "\"use_rslora\": false", "\"use_rslora\": true"
#define ALPHA_5 "\"lora_alpha\": 8", "\"lora_alpha\": 5"

struct member {
        struct adapter_folder folder;
        int rank;
        double scale, weight;
        char *path;
        struct dyn_adapter *version;
};

static void open_members(struct member *m, int n)
{
        struct dyn_error err;

        for (int i = 0; i < n; i++) {
                char name[2] = {(char)('a' + i)};

                m[i].path = adapter_folder_write(&m[i].folder);
                if (version_open(&test_host, name, m[i].path, &m[i].version, &err))
                        fail_msg("%s", err.text);
        }
}

static void close_members(struct member *m, int n)
{
        for (int i = 0; i < n; i++) {
                dyn_adapter_unpin(m[i].version);
                adapter_folder_remove(m[i].path);
        }
}

static struct dyn_adapter *blend_of(const struct member *m, int n)
{
        struct blend_part parts[BLEND_MOST];

        for (int i = 0; i < n; i++)
                parts[i] = (struct blend_part){m[i].version, m[i].weight};
        return blend_create(parts, n);
}

static struct dyn_adapter *load_blend(const struct member *m, int n)
{
        struct dyn_adapter *a = blend_of(m, n);
        struct dyn_error err;

        if (version_to_device(a, &err))
                fail_msg("%s", err.text);
        return a;
}

// Sites
// ----------------------------------------------------------------------------------------------------------------------

static bool patches(const struct member *m, const char *site)
{
        bool usual = strstr(site, "q_proj") || strstr(site, "v_proj") || strstr(site, "down_proj");

        return usual && (m->folder.only == NULL || strstr(site, m->folder.only) != NULL);
}

static double value(const struct member *m, const char *site, char part, int i)
{
        char name[200];

        snprintf(name, sizeof name, "base_model.model.%s.lora_%c.weight", site, part);
        return (double)adapter_folder_value(name, m->folder.seed, i);
}

// Element (o, i) of a member's delta at a site.
static double delta(const struct member *m, const struct dyn_site *site, int o, int i)
{
        double sum = 0;

        if (!patches(m, site->name))
                return 0;
        for (int r = 0; r < m->rank; r++)
                sum += value(m, site->name, 'B', o * m->rank + r) * value(m, site->name, 'A', r * site->n_in + i);
        return m->weight * m->scale * sum;
}

static double found_delta(const struct dyn_lowrank *p, int o, int i)
{
        double sum = 0;

        for (int r = 0; r < p->rank; r++)
                sum += (double)((const float *)p->b)[o * p->rank + r] * (double)((const float *)p->a)[r * p->n_in + i];
        return (double)p->scale * sum;
}

static void expect_site(const struct dyn_adapter *a, int s, const struct member *m, int n)
{
        const struct dyn_site *site = &test_host.sites->at[s];
        const struct dyn_lowrank *p = &a->patches[s];
        int rank = 0;

        for (int k = 0; k < n; k++)
                rank += patches(&m[k], site->name) && m[k].weight != 0 ? m[k].rank : 0;
        assert_int_equal(p->rank, rank);
        for (int o = 0; o < site->n_out && rank > 0; o++)
                for (int i = 0; i < site->n_in; i++) {
                        double expected = 0;

                        for (int k = 0; k < n; k++)
                                expected += delta(&m[k], site, o, i);
                        if (fabs(found_delta(p, o, i) - expected) > 1e-6 * (1 + fabs(expected)))
                                fail_msg("%s: (%d, %d): expected %.9g, found %.9g", site->name, o, i, expected,
                                        found_delta(p, o, i));
                }
}

// On the device it is the sum, in as many bytes as it said before, and when it goes nothing is left.
static void expect_sum(struct member *m, int n)
{
        open_members(m, n);
        struct dyn_adapter *a = load_blend(m, n);
        size_t bytes = 0;
        int n_sites = 0;

        for (int s = 0; s < test_host.sites->n; s++) {
                const struct dyn_lowrank *p = &a->patches[s];

                expect_site(a, s, m, n);
                n_sites += p->rank > 0;
                bytes += dyn_dtype_bytes(p->dtype, (int64_t)p->rank * (p->n_in + p->n_out));
        }
        assert_int_equal(a->info.n_sites, n_sites);
        assert_int_equal(a->info.bytes, bytes);
        dyn_adapter_unpin(a);
        assert_int_equal(test_host_alive, 0);
        close_members(m, n);
}

// The sum
// --------------------------------------------------------------------------------------------------------------------

static void a_blend_is_the_weighted_sum_of_its_parts(void **state)
{
        struct member plain = {.rank = 4, .scale = 2, .weight = 0.7};
        struct member thin = {.folder = {RANK_2, .rank = 2, .seed = 1}, .rank = 2, .scale = 4, .weight = -0.3};
        struct member stable = {.folder = {RSLORA, .seed = 2, .dtypes = "F16"}, .rank = 4, .scale = 4, .weight = 1};
        struct member half = {
                .folder = {ALPHA_5, .seed = 3, .dtypes = "BF16"}, .rank = 4, .scale = 1.25, .weight = 0.1};
        struct member one_layer = {.folder = {LAYER_1, .seed = 4, .only = "layers.1.", .dtypes = "BF16"},
                .rank = 4,
                .scale = 2,
                .weight = 2};

        expect_sum((struct member[]){plain}, 1);
        expect_sum((struct member[]){plain, thin}, 2);
        expect_sum((struct member[]){one_layer, half}, 2);
        expect_sum((struct member[]){half, one_layer}, 2);
        expect_sum((struct member[]){thin, stable, half}, 3);
        expect_sum((struct member[]){stable, one_layer, plain}, 3);
        expect_sum((struct member[]){plain, thin, stable, half, one_layer}, 5);
}

static void a_part_of_weight_0_adds_nothing_and_is_not_read(void **state)
{
        struct member m[] = {{.rank = 4, .scale = 2, .weight = 0.5}, {.folder = {.seed = 1}, .rank = 4, .scale = 2}};
        struct dyn_error err;

        expect_sum(m, 2);
        open_members(m, 2);
        m[0].weight = 0;
        struct dyn_adapter *none = blend_of(m, 2);
        version_leave_host(m[0].version);
        version_leave_host(m[1].version);
        adapter_folder_remove(m[0].path);
        adapter_folder_remove(m[1].path);
        assert_int_equal(version_to_device(none, &err), DYN_OK);
        assert_int_equal(none->info.n_sites, 0);
        assert_int_equal(none->info.bytes, 0);
        assert_int_equal(test_host_alive, 0);
        dyn_adapter_unpin(none);
        dyn_adapter_unpin(m[0].version);
        dyn_adapter_unpin(m[1].version);
}

// Bits
// -----------------------------------------------------------------------------------------------------------------------

static void what_has_one_factor_keeps_its_element_type(void **state)
{
        struct member m[] = {
                {.folder = {.dtypes = "BF16"}, .rank = 4, .scale = 2, .weight = 0.5},
                {.folder = {RANK_2, .rank = 2, .seed = 1, .dtypes = "BF16"}, .rank = 2, .scale = 4, .weight = 0.25},
        };

        open_members(m, 2);
        struct dyn_adapter *a = load_blend(m, 2);
        const struct dyn_lowrank *p = &a->patches[0];

        assert_int_equal(p->dtype, DYN_BF16);
        assert_true(p->scale == 1.0f);
        for (int o = 0; o < p->n_out; o++)
                for (int r = 0; r < 6; r++) {
                        const struct member *of = r < 4 ? &m[0] : &m[1];
                        int i = r < 4 ? o * 4 + r : o * 2 + r - 4;

                        assert_true(
                                (double)((float *)p->b)[o * 6 + r] == value(of, test_host.sites->at[0].name, 'B', i));
                }
        dyn_adapter_unpin(a);
        close_members(m, 2);
}

static void what_has_not_becomes_f32_and_is_rounded_once(void **state)
{
        struct member m[] = {
                {.folder = {.dtypes = "BF16"}, .rank = 4, .scale = 2, .weight = 0.7},
                {.folder = {.seed = 1, .dtypes = "BF16"}, .rank = 4, .scale = 2, .weight = 0.3},
        };

        open_members(m, 2);
        struct dyn_adapter *a = load_blend(m, 2);
        const struct dyn_lowrank *p = &a->patches[0];
        const char *site = test_host.sites->at[0].name;

        assert_int_equal(p->dtype, DYN_F32);
        assert_true(p->scale == 1.0f);
        for (int r = 0; r < 8; r++) {
                float factor = (float)(m[r / 4].weight * 2);

                assert_true(((float *)p->b)[8 + r] == (float)value(&m[r / 4], site, 'B', 4 + r % 4) * factor);
                assert_true(((float *)p->a)[r * 8 + 3] == (float)value(&m[r / 4], site, 'A', r % 4 * 8 + 3));
        }
        dyn_adapter_unpin(a);
        close_members(m, 2);
}

static void one_adapter_with_a_weight_is_the_adapter_with_that_scale(void **state)
{
        struct member m = {.folder = {.dtypes = "F16"}, .rank = 4, .scale = 2, .weight = -0.7};

        open_members(&m, 1);
        struct dyn_adapter *a = load_blend(&m, 1);

        assert_int_equal(a->patches[0].dtype, DYN_F16);
        assert_true(a->patches[0].scale == (float)(-0.7 * 2));
        dyn_adapter_unpin(a);
        close_members(&m, 1);
}

// Identity
// -------------------------------------------------------------------------------------------------------------------

static void its_name_and_version_say_members_and_weights(void **state)
{
        struct member m[] = {{.rank = 4, .weight = 0.7}, {.folder = {.seed = 1}, .rank = 4, .weight = 0.3}};

        open_members(m, 2);
        struct dyn_adapter *one = blend_of(m, 2), *again = blend_of(m, 2);
        m[1].weight = 0.1 + 0.2;
        struct dyn_adapter *other = blend_of(m, 2);

        assert_string_equal(one->info.name, "a*0.7+b*0.3");
        assert_string_equal(one->info.kind, "blend");
        assert_int_equal(strlen(one->info.sha256), 64);
        assert_int_equal(strlen(one->info.version), 16);
        assert_string_equal(one->info.version, again->info.version);
        assert_true(one->id != again->id && one->id != m[0].version->id);
        assert_string_equal(other->info.name, "a*0.7+b*0.30000000000000004");
        assert_string_not_equal(other->info.version, one->info.version);
        dyn_adapter_unpin(one);
        dyn_adapter_unpin(again);
        dyn_adapter_unpin(other);
        close_members(m, 2);
}

// Tiers
// ----------------------------------------------------------------------------------------------------------------------

static void parts_that_left_the_host_are_read_again_and_stay_where_they_are(void **state)
{
        struct member m[] = {
                {.rank = 4, .scale = 2, .weight = 0.7}, {.folder = {.seed = 1}, .rank = 4, .scale = 2, .weight = 0.3}};

        open_members(m, 2);
        version_leave_host(m[0].version);
        struct dyn_adapter *a = load_blend(m, 2);

        expect_site(a, 0, m, 2);
        assert_null(m[0].version->files);
        assert_non_null(m[1].version->files);
        assert_null(m[0].version->patches);
        dyn_adapter_unpin(a);
        close_members(m, 2);
}

static void a_part_whose_folder_holds_something_else_is_a_conflict(void **state)
{
        struct member m[] = {
                {.rank = 4, .scale = 2, .weight = 0.7}, {.folder = {.seed = 1}, .rank = 4, .scale = 2, .weight = 0.3}};
        struct dyn_error err;

        open_members(m, 2);
        struct dyn_adapter *a = blend_of(m, 2);
        version_leave_host(m[1].version);
        adapter_folder_write_to(m[1].path, &(struct adapter_folder){.seed = 9});
        assert_int_equal(version_to_device(a, &err), DYN_CONFLICT);
        assert_int_equal(strncmp(err.text, m[1].path, strlen(m[1].path)), 0);
        assert_null(a->patches);
        adapter_folder_write_to(m[1].path, &m[1].folder);
        assert_int_equal(version_to_device(a, &err), DYN_OK);
        expect_site(a, 13, m, 2);
        dyn_adapter_unpin(a);
        close_members(m, 2);
}

static void a_folder_that_is_lent_outlasts_its_place_on_the_host(void **state)
{
        struct member m = {.rank = 4};
        struct loan loan;
        struct dyn_error err;

        open_members(&m, 1);
        assert_int_equal(version_lend(m.version, &loan, &err), DYN_OK);
        version_leave_host(m.version);
        assert_null(m.version->files);
        assert_true((double)*(const float *)loan.lowered.patches[0].b.data ==
                    value(&m, test_host.sites->at[0].name, 'B', 0));
        version_take_back(&loan);
        close_members(&m, 1);
}

// Failing
// --------------------------------------------------------------------------------------------------------------------

static void a_weight_that_makes_a_value_infinite_is_an_error(void **state)
{
        struct member m[] = {
                {.folder = {.tensor = "q_proj.lora_B.weight", .value = 3e38f}, .rank = 4, .scale = 2, .weight = 1e6},
                {.folder = {.seed = 1}, .rank = 4, .scale = 2, .weight = 1},
        };
        struct dyn_error err;

        open_members(m, 2);
        struct dyn_adapter *a = blend_of(m, 2);
        assert_int_equal(version_to_device(a, &err), DYN_INVALID);
        assert_string_equal(err.text, "adapter a: model.layers.0.self_attn.q_proj: expected finite values times the "
                                      "weight 1e+06, found others");
        assert_int_equal(test_host_alive, 0);
        dyn_adapter_unpin(a);
        close_members(m, 2);
}

static void a_full_device_leaves_nothing_behind(void **state)
{
        struct member m[] = {{.rank = 4, .weight = 0.7}, {.folder = {.seed = 1}, .rank = 4, .weight = 0.3}};
        struct dyn_error err;

        open_members(m, 2);
        struct dyn_adapter *a = blend_of(m, 2);
        for (int room = 0; room < 6; room++) {
                test_host_refuses = room;
                assert_int_equal(version_to_device(a, &err), DYN_NO_MEMORY);
                assert_int_equal(test_host_alive, 0);
                assert_null(a->patches);
        }
        test_host_refuses = -1;
        assert_int_equal(version_to_device(a, &err), DYN_OK);
        dyn_adapter_unpin(a);
        close_members(m, 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_blend_is_the_weighted_sum_of_its_parts),
                cmocka_unit_test(a_part_of_weight_0_adds_nothing_and_is_not_read),
                cmocka_unit_test(what_has_one_factor_keeps_its_element_type),
                cmocka_unit_test(what_has_not_becomes_f32_and_is_rounded_once),
                cmocka_unit_test(one_adapter_with_a_weight_is_the_adapter_with_that_scale),
                cmocka_unit_test(its_name_and_version_say_members_and_weights),
                cmocka_unit_test(parts_that_left_the_host_are_read_again_and_stay_where_they_are),
                cmocka_unit_test(a_part_whose_folder_holds_something_else_is_a_conflict),
                cmocka_unit_test(a_folder_that_is_lent_outlasts_its_place_on_the_host),
                cmocka_unit_test(a_weight_that_makes_a_value_infinite_is_an_error),
                cmocka_unit_test(a_full_device_leaves_nothing_behind),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
