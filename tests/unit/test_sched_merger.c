// src/sched/merger.c, switcher.c: what they say of an adapter that cannot be merged. The model is small and random, the
// device does or does not merge as the test says, and so does the system have memory: link with
// -Wl,--wrap=mem_available.
#include "harness.h"

#include "base/alloc.h"
#include "base/log.h"
#include "sched/merger.h"
#include "tiny_model.h"

static struct dyn_backend_ops ops; // the plain ones, but for merge
static enum dyn_status merging;    // how a merge ends
static size_t available;

size_t __wrap_mem_available(void);

size_t __wrap_mem_available(void)
{
        return available;
}

static enum dyn_status merge(struct dyn_device *dev, struct dyn_weight *w, const struct dyn_tensor *stored,
        const struct dyn_term *terms, int n, struct dyn_error *err)
{
        if (merging != DYN_OK)
                return dyn_fail(err, merging, "the device will not");
        return dyn_backend_find("plain", NULL)->merge(dev, w, stored, terms, n, err);
}

struct world {
        char *folder;
        struct model *model;
        struct engine_metrics metrics;
        struct merger *merger;
        struct adapter_host host;
        struct dyn_adapter *adapter; // rank 1 at the first site
};

static void put_patch(struct world *w)
{
        const struct dyn_sites *sites = model_sites(w->model);
        float ones[256];
        struct dyn_tensor a = {.data = ones, .dtype = DYN_F32, .n_dims = 2, .shape = {1, sites->at[0].n_in}};
        struct dyn_tensor b = {.data = ones, .dtype = DYN_F32, .n_dims = 2, .shape = {sites->at[0].n_out, 1}};

        assert_true(sites->at[0].n_in <= 256 && sites->at[0].n_out <= 256);
        for (int i = 0; i < 256; i++)
                ones[i] = 1;
        w->adapter =
                version_create(&w->host, "sql", "/sql", "0123456789abcdef0123456789abcdef0123456789abcdef01234567");
        w->adapter->patches = mem_array((size_t)sites->n, sizeof *w->adapter->patches);
        assert_int_equal(
                ops.lowrank_load(model_device(w->model), &w->adapter->patches[0], &a, &b, 1.0f / 16, NULL), DYN_OK);
}

static int set_up(void **state)
{
        struct world *w = mem_zalloc(sizeof *w);

        ops = *dyn_backend_find("plain", NULL);
        ops.merge = merge;
        merging = DYN_OK;
        available = (size_t)1 << 40;
        w->folder = tiny_model_write(&(struct tiny_model){0});
        struct model_options o = {.path = w->folder, .ops = &ops, .threads = 1, .step_tokens = 4, .max_logit_rows = 4};
        assert_int_equal(model_open(&w->model, &o, NULL), DYN_OK);
        assert_int_equal(merger_create(&w->merger, w->model, MERGE_AUTO, &w->metrics, NULL), DYN_OK);
        w->host = (struct adapter_host){.ops = &ops, .device = model_device(w->model), .sites = model_sites(w->model)};
        put_patch(w);
        *state = w;
        return 0;
}

static int tear_down(void **state)
{
        struct world *w = *state;

        merger_destroy(w->merger);
        assert_int_equal(w->adapter->running, 0);
        dyn_adapter_unpin(w->adapter);
        model_close(w->model);
        tiny_model_remove(w->folder);
        mem_free(w);
        return 0;
}

// As --merge-at-start does.
static void nominate(struct world *w)
{
        atomic_fetch_add(&dyn_adapter_pin(w->adapter)->running, 1);
        merger_prefer(w->merger, w->adapter, false);
        while (merger_work(w->merger, true))
                ;
}

static void expect(struct world *w, bool merged, const char *why)
{
        const char *found = atomic_load(&w->adapter->unmerged_because);

        assert_int_equal(atomic_load(&w->adapter->merged_since) != 0, merged);
        assert_int_equal(merger_mode(w->merger, w->adapter), merged ? w->adapter->id : 0);
        if (why == NULL)
                assert_null(found);
        else
                assert_string_equal(found, why);
}

static void without_memory_of_the_system_it_stays_per_row_and_says_so(void **state)
{
        struct world *w = *state;

        available = (size_t)64 << 20;
        nominate(w);
        expect(w, false, "the system's memory does not allow copies of the weights it touches");
        assert_false(atomic_load(&w->adapter->refused));
}

static void without_memory_of_the_device_it_stays_per_row_and_says_so(void **state)
{
        struct world *w = *state;

        merging = DYN_NO_MEMORY;
        nominate(w);
        expect(w, false, "the device has no memory for merged weights");
        assert_false(atomic_load(&w->adapter->refused));
}

static void a_merge_that_succeeds_takes_the_reason_back(void **state)
{
        struct world *w = *state;

        merging = DYN_NO_MEMORY;
        nominate(w);
        merging = DYN_OK;
        nominate(w);
        expect(w, true, NULL);
}

// Also a moment after a try without memory, from which the policy keeps away for a while.
static void who_asks_again_is_answered_by_a_try(void **state)
{
        struct world *w = *state;

        for (int i = 0; i < 3; i++) {
                merging = i < 2 ? DYN_NO_MEMORY : DYN_OK;
                atomic_store(&w->adapter->unmerged_because, NULL);
                atomic_fetch_add(&dyn_adapter_pin(w->adapter)->running, 1);
                merger_prefer(w->merger, w->adapter, true);
                while (merger_work(w->merger, true))
                        ;
                expect(w, i == 2, i < 2 ? "the device has no memory for merged weights" : NULL);
        }
}

static void what_is_not_finite_is_refused_for_good(void **state)
{
        struct world *w = *state;

        merging = DYN_INVALID;
        nominate(w);
        expect(w, false, "a merged weight would not be finite");
        assert_true(atomic_load(&w->adapter->refused));
}

#define WITH_MERGER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                WITH_MERGER(without_memory_of_the_system_it_stays_per_row_and_says_so),
                WITH_MERGER(without_memory_of_the_device_it_stays_per_row_and_says_so),
                WITH_MERGER(a_merge_that_succeeds_takes_the_reason_back),
                WITH_MERGER(who_asks_again_is_answered_by_a_try),
                WITH_MERGER(what_is_not_finite_is_refused_for_good),
        };

        log_configure(LOG_ERROR, false);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
