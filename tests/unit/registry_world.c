#include "registry_world.h"

#include "harness.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

pthread_mutex_t world_gate = PTHREAD_MUTEX_INITIALIZER;
atomic_int world_at_gate;
const struct adapter_host *world_host = &test_host;
const struct adapter_folder world_broken = {.tensor = "q_proj.lora_B.weight", .drop = true};

static _Atomic uint64_t steps;

// Linked in place of version_open.
enum dyn_status __real_version_open(const struct adapter_host *, const char *name, const char *path,
        struct dyn_adapter **out, struct dyn_error *err);
enum dyn_status __wrap_version_open(const struct adapter_host *, const char *name, const char *path,
        struct dyn_adapter **out, struct dyn_error *err);

enum dyn_status __wrap_version_open(const struct adapter_host *host, const char *name, const char *path,
        struct dyn_adapter **out, struct dyn_error *err)
{
        atomic_fetch_add(&world_at_gate, 1);
        pthread_mutex_lock(&world_gate);
        pthread_mutex_unlock(&world_gate);
        return __real_version_open(host, name, path, out, err);
}

// The folders
// -------------------------------------------------------------------------------------------------------------------

char *world_path(const char *folder, const char *name)
{
        return mem_printf("%s/%s", folder, name);
}

void world_put(struct world *w, const char *name, const struct adapter_folder *folder)
{
        char *path = world_path(w->store, name);

        adapter_folder_write_to(path, folder);
        mem_free(path);
}

void world_swap(struct world *w, const char *name, const struct adapter_folder *folder)
{
        char *fresh = world_path(w->store, ".fresh"), *path = world_path(w->store, name);

        adapter_folder_write_to(fresh, folder);
        assert_int_equal(renameat2(AT_FDCWD, fresh, AT_FDCWD, path, RENAME_EXCHANGE), 0);
        adapter_folder_remove(fresh);
        mem_free(path);
}

void world_drop(struct world *w, const char *name)
{
        char *path = world_path(w->store, name), *aside = world_path(w->store, ".aside");

        assert_int_equal(rename(path, aside), 0);
        adapter_folder_remove(aside);
        mem_free(path);
}

bool world_stores(const struct world *w, const char *name)
{
        char *path = world_path(w->store, name);
        bool there = access(path, F_OK) == 0;

        mem_free(path);
        return there;
}

int world_hidden(const struct world *w)
{
        static const char *const kinds[] = {".stage-", ".gone-", ".old-"};
        DIR *d = opendir(w->store);
        const struct dirent *e;
        int n = 0;

        while ((e = readdir(d)) != NULL)
                for (int i = 0; i < 3; i++)
                        n += strncmp(e->d_name, kinds[i], strlen(kinds[i])) == 0;
        closedir(d);
        return n;
}

// The registry
// ------------------------------------------------------------------------------------------------------------------

static struct registry *open_registry(const struct world *w, size_t device_bytes)
{
        struct registry_options options = {
                .host = world_host,
                .resident = {.loop = w->loop, .device_bytes = device_bytes, .host_bytes = 1 << 20, .steps = &steps},
                .loop = w->loop,
                .base = "smollm2",
                .store = w->store,
                .roots = (const char *const *)&w->root,
                .n_roots = 1,
        };
        struct registry *r;
        struct dyn_error err;

        if (registry_create(&r, &options, &err))
                fail_msg("%s", err.text);
        return r;
}

int world_set_up(void **state)
{
        struct world *w = mem_zalloc(sizeof *w);

        w->loop = mem_zalloc(sizeof *w->loop);
        uv_loop_init(w->loop);
        w->store = adapter_folder_store();
        w->root = adapter_folder_store();
        w->outside = adapter_folder_write(&(struct adapter_folder){0});
        w->one = world_path(w->root, "one");
        w->other = world_path(w->root, "other");
        w->broken = world_path(w->root, "broken");
        w->link = world_path(w->root, "link");
        adapter_folder_write_to(w->one, &(struct adapter_folder){0});
        adapter_folder_write_to(w->other, &(struct adapter_folder){.seed = 1});
        adapter_folder_write_to(w->broken, &world_broken);
        w->registry = open_registry(w, 1 << 20);
        *state = w;
        return 0;
}

struct world world_twin(const struct world *w, size_t device_bytes)
{
        struct world twin = *w;

        twin.registry = open_registry(w, device_bytes);
        twin.watched = false;
        return twin;
}

void world_close(struct world *w)
{
        registry_stop(w->registry);
        // Another one may keep the loop busy.
        for (int64_t began = clock_ns(); clock_ns() - began < 300000000;) {
                uv_run(w->loop, UV_RUN_NOWAIT);
                usleep(500);
        }
        registry_destroy(w->registry);
}

int world_tear_down(void **state)
{
        struct world *w = *state;

        registry_stop(w->registry);
        uv_run(w->loop, UV_RUN_DEFAULT);
        registry_destroy(w->registry);
        assert_int_equal(test_host_alive, 0);
        assert_int_equal(uv_loop_close(w->loop), 0);
        assert_int_equal(world_hidden(w), 0);
        adapter_folder_remove(w->store);
        adapter_folder_remove(w->root);
        adapter_folder_remove(w->outside);
        mem_free(w->one);
        mem_free(w->other);
        mem_free(w->broken);
        mem_free(w->link);
        mem_free(w->loop);
        mem_free(w);
        return 0;
}

void world_settle(struct world *w)
{
        if (!w->watched) {
                uv_run(w->loop, UV_RUN_DEFAULT);
                return;
        }
        for (int64_t began = clock_ns(); clock_ns() - began < 50000000;) {
                uv_run(w->loop, UV_RUN_NOWAIT);
                usleep(500);
        }
}

// What it does
// ------------------------------------------------------------------------------------------------------------------

static void end(struct ending *e, enum dyn_status status, const struct dyn_error *error)
{
        e->calls++;
        e->status = status;
        snprintf(e->text, sizeof e->text, "%s", error ? error->text : "");
        assert_true((status == DYN_OK) == (error == NULL));
}

void world_on_done(void *ctx, enum dyn_status status, enum registry_outcome outcome, const struct adapter_entry *entry,
        const struct dyn_error *error)
{
        struct ending *e = ctx;

        end(e, status, error);
        e->outcome = outcome;
        e->entry = entry;
        assert_true((status == DYN_OK) == (entry != NULL));
}

static void begin(struct world *w, const struct registry_order *order, struct ending *e)
{
        struct dyn_error err;

        *e = (struct ending){0};
        if (registry_load(w->registry, order, world_on_done, e, &err))
                fail_msg("%s", err.text);
        assert_int_equal(e->calls, 0);
}

void world_begin(struct world *w, const char *name, const char *path, bool replace, struct ending *e)
{
        begin(w, &(struct registry_order){name, path, replace, NULL}, e);
}

struct ending world_order(struct world *w, const struct registry_order *order)
{
        struct ending e;

        begin(w, order, &e);
        world_until(w, e.calls > 0);
        world_settle(w);
        assert_int_equal(e.calls, 1);
        return e;
}

struct ending world_load(struct world *w, const char *name, const char *path, bool replace)
{
        return world_order(w, &(struct registry_order){name, path, replace, NULL});
}

static void add_file(struct archive *a, const char *folder, const char *name)
{
        char *path = world_path(folder, name);
        struct archive_entry *entry = archive_entry_new();
        FILE *f = fopen(path, "rb");
        char data[16384];
        size_t len = fread(data, 1, sizeof data, f);

        assert_true(len < sizeof data);
        fclose(f);
        archive_entry_set_pathname(entry, name);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, (la_int64_t)len);
        archive_write_header(a, entry);
        assert_int_equal(archive_write_data(a, data, len), len);
        archive_entry_free(entry);
        mem_free(path);
}

int world_archive(const char *folder)
{
        int fd = memfd_create("upload", MFD_CLOEXEC);
        struct archive *a = archive_write_new();

        archive_write_set_format_ustar(a);
        assert_int_equal(archive_write_open_fd(a, fd), ARCHIVE_OK);
        add_file(a, folder, "adapter_config.json");
        add_file(a, folder, "adapter_model.safetensors");
        assert_int_equal(archive_write_free(a), ARCHIVE_OK);
        return fd;
}

struct ending world_upload(struct world *w, const char *name, const char *folder)
{
        struct ending e = {0};
        struct dyn_error err;

        if (registry_upload(w->registry, name, world_archive(folder), world_on_done, &e, &err))
                fail_msg("%s", err.text);
        world_until(w, e.calls > 0);
        world_settle(w);
        assert_int_equal(e.calls, 1);
        return e;
}

static void on_set(void *ctx, enum dyn_status status, const struct adapter_entry *entry, const struct dyn_error *error)
{
        struct ending *e = ctx;

        end(e, status, error);
        e->entry = entry;
}

struct ending world_set(struct world *w, const char *name, struct store_settings settings)
{
        struct ending e = {0};
        struct dyn_error err;

        if (registry_set(w->registry, name, &settings, on_set, &e, &err))
                fail_msg("%s", err.text);
        world_until(w, e.calls > 0);
        world_settle(w);
        assert_int_equal(e.calls, 1);
        return e;
}

static void on_gone(void *ctx, enum dyn_status status, const struct dyn_error *error)
{
        end(ctx, status, error);
}

void world_unregister(struct world *w, const char *name, bool drained, struct ending *e)
{
        struct dyn_error err;

        if (registry_remove(w->registry, name, drained, e ? on_gone : NULL, e, &err))
                fail_msg("%s", err.text);
}

struct ending world_remove(struct world *w, const char *name)
{
        struct ending e = {0};

        world_unregister(w, name, true, &e);
        world_until(w, e.calls > 0);
        return e;
}

struct adapter_version *world_resolve(struct world *w, const char *name)
{
        struct adapter_version *v;
        struct dyn_error err;

        if (registry_resolve(w->registry, name, &v, &err))
                fail_msg("%s", err.text);
        return v;
}

void world_unresolved(struct world *w, const char *name, enum dyn_status status, const char *text)
{
        struct adapter_version *v;
        struct dyn_error err;

        assert_int_equal(registry_resolve(w->registry, name, &v, &err), status);
        assert_string_equal(err.text, text);
        assert_null(v);
}

const char *world_version(struct world *w, const char *name)
{
        const struct adapter_entry *e = registry_find(w->registry, name);

        return e && e->current ? dyn_adapter_info(e->current->adapter)->version : "";
}

static void on_scanned(void *ctx, int ready, int failed)
{
        struct counts *c = ctx;

        *c = (struct counts){c->calls + 1, ready, failed};
}

struct counts world_scan(struct world *w)
{
        struct counts c = {0};
        struct dyn_error err;

        if (registry_scan_store(w->registry, on_scanned, &c, &err))
                fail_msg("%s", err.text);
        w->watched = true;
        world_until(w, c.calls > 0);
        world_settle(w);
        assert_int_equal(c.calls, 1);
        return c;
}
