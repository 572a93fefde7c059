#include "resident_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
atomic_int at_gate;
_Atomic uint64_t steps;
struct dyn_error err;

// Linked in place of version_to_device.
enum dyn_status __real_version_to_device(struct dyn_adapter *, struct dyn_error *);
enum dyn_status __wrap_version_to_device(struct dyn_adapter *, struct dyn_error *);

enum dyn_status __wrap_version_to_device(struct dyn_adapter *a, struct dyn_error *error)
{
        atomic_fetch_add(&at_gate, 1);
        pthread_mutex_lock(&gate);
        pthread_mutex_unlock(&gate);
        return __real_version_to_device(a, error);
}

int n_granted;

void on_granted(struct want *w, enum dyn_status status, const struct dyn_error *error)
{
        struct asker *a = (struct asker *)w;

        a->calls++;
        a->order = n_granted++;
        a->status = status;
        snprintf(a->text, sizeof a->text, "%s", error ? error->text : "");
        assert_true((status == DYN_OK) == (error == NULL));
}

void ask(struct asker *a, struct residence *place)
{
        *a = (struct asker){.want.granted = on_granted, .place = place};
        resident_want(place, &a->want);
}

struct dyn_adapter *open_version(const char *path)
{
        struct dyn_adapter *a;

        if (version_open(&test_host, "sql", path, &a, &err))
                fail_msg("%s", err.text);
        return a;
}

int set_up(void **state)
{
        struct world *w = mem_zalloc(sizeof *w);

        uv_loop_init(&w->loop);
        w->store = adapter_folder_store();
        for (int i = 0; i < 16; i++) {
                w->paths[i] = mem_printf("%s/%d", w->store, i);
                adapter_folder_write_to(w->paths[i], &(struct adapter_folder){.seed = i});
        }
        struct dyn_adapter *a = open_version(w->paths[0]);

        w->bytes = a->info.bytes;
        w->files = a->files_bytes;
        dyn_adapter_unpin(a);
        n_granted = 0;
        atomic_store(&steps, 0);
        *state = w;
        return 0;
}

void on_gone(void *ctx)
{
        struct world *w = ctx;

        w->n_gone++;
}

int tear_down(void **state)
{
        struct world *w = *state;

        resident_stop(w->house);
        uv_run(&w->loop, UV_RUN_DEFAULT);
        for (int i = 0; i < w->n; i++) {
                if (!w->places[i].leaving)
                        resident_leave(&w->places[i], on_gone, w);
        }
        assert_int_equal(w->n_gone, w->n);
        struct resident_totals t = resident_totals(w->house);
        assert_int_equal(t.device_bytes, 0);
        assert_int_equal(t.host_bytes, 0);
        assert_int_equal(t.waiting, 0);
        resident_destroy(w->house);
        for (int i = 0; i < w->n; i++)
                dyn_adapter_unpin(w->places[i].adapter);
        assert_int_equal(test_host_alive, 0);
        assert_int_equal(uv_loop_close(&w->loop), 0);
        for (int i = 0; i < 16; i++)
                mem_free(w->paths[i]);
        adapter_folder_remove(w->store);
        mem_free(w);
        return 0;
}

void build(struct world *w, int device, int host)
{
        w->house = resident_create(
                &(struct resident_options){&w->loop, (size_t)device * w->bytes, (size_t)host * w->files, &steps});
}

struct residence *enter(struct world *w)
{
        struct residence *place = &w->places[w->n];
        struct dyn_adapter *a = open_version(w->paths[w->n]);

        w->n++;
        if (resident_enter(w->house, place, a, &err))
                fail_msg("%s", err.text);
        return place;
}

bool on_device(const struct residence *place)
{
        return strcmp(residence_tier(place), "device") == 0;
}

void check_device(const struct world *w)
{
        struct resident_totals t = resident_totals(w->house);

        assert_true(t.device_bytes <= t.device_budget);
        assert_true((size_t)test_host_alive <= PATCHES * (t.device_budget / w->bytes));
}

void check_host(const struct world *w)
{
        size_t bytes = 0;

        for (int i = 0; i < w->n; i++)
                bytes += w->places[i].adapter->files ? w->places[i].adapter->files_bytes : 0;
        assert_int_equal(resident_totals(w->house).host_bytes, bytes);
        assert_true(bytes <= resident_totals(w->house).host_budget);
}

void settle(struct world *w)
{
        bool loading = true;

        while (loading) {
                uv_run(&w->loop, UV_RUN_NOWAIT);
                check_device(w);
                loading = false;
                for (int i = 0; i < w->n; i++)
                        loading = loading || w->places[i].load != NULL;
                if (loading)
                        usleep(200);
        }
}

void wait_for(struct world *w, const struct asker *a)
{
        int64_t began = clock_ns();

        while (a->calls == 0) {
                uv_run(&w->loop, UV_RUN_NOWAIT);
                check_device(w);
                usleep(200);
                assert_true(clock_ns() - began < 30 * (int64_t)1000000000);
        }
        settle(w);
}

void use(struct world *w, struct residence *place)
{
        struct asker a;

        ask(&a, place);
        wait_for(w, &a);
        assert_int_equal(a.status, DYN_OK);
        assert_true(on_device(place));
        resident_done(place);
}

void leave(struct world *w, struct residence *place)
{
        resident_leave(place, on_gone, w);
}
