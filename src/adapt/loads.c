// What the registry does on the libuv pool: loads by request and the scan of the store (adapt/registry.h). One load a
// name at a time; the book is touched only when a load has come back to the loop.
#include "adapt/registry.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "adapt/book.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

// The folders of the store that are still being read.
struct scan {
        void (*done)(void *ctx, int n_ready, int n_failed);
        void *ctx;
        int n, n_ready, n_failed;
        int64_t began, told; // nanoseconds
};

struct load {
        uv_work_t work;
        struct registry *registry;
        struct registered *entry; // NULL: dropped
        struct load *next;        // in the registry's list
        char *name, *path;
        char held[FOLDER_HASH]; // the content that the name holds now, "" if none
        bool replace;
        struct scan *scan; // NULL: asked for at run time
        registry_done *done;
        void *ctx;
        int64_t began; // nanoseconds
        // What the worker found.
        struct dyn_adapter *adapter; // NULL: failed, or the name holds this content already
        enum dyn_status status;
        struct dyn_error error;
};

const char *load_path(const struct load *l)
{
        return l->path;
}

void load_drop(struct load *l)
{
        l->entry = NULL;
        uv_cancel((uv_req_t *)&l->work); // refused if it has begun: its result is thrown away then
}

// On the pool
// ---------------------------------------------------------------------------------------------------------------------

// Whether the folder's content is the one that the name holds; if it is another, whether it may replace it.
static enum dyn_status compare(struct load *l, bool *same)
{
        char sha256[FOLDER_HASH];

        *same = false;
        if (l->held[0] == 0)
                return DYN_OK;
        if (folder_hash(l->path, sha256, &l->error))
                return dyn_fail_in(&l->error, l->path);
        *same = strcmp(sha256, l->held) == 0;
        if (!*same && !l->replace)
                return dyn_fail(&l->error, DYN_CONFLICT,
                        "adapter \"%s\" is in use with other content (version %.16s): set \"replace\" to update it",
                        l->name, l->held);
        return DYN_OK;
}

static void work(uv_work_t *req)
{
        struct load *l = req->data;
        bool same = false;

        l->status = roots_check(&l->registry->roots, l->path, &l->error);
        if (l->status == DYN_OK)
                l->status = compare(l, &same);
        if (l->status == DYN_OK && !same)
                l->status = version_open(l->registry->host, l->name, l->path, &l->adapter, &l->error);
}

// Back on the loop
// ----------------------------------------------------------------------------------------------------------------

static void end_scan(struct scan *s)
{
        log_info("adapter store: %d ready, %d refused, read in %.1f s", s->n_ready, s->n_failed,
                (double)(clock_ns() - s->began) / 1e9);
        if (s->done != NULL)
                s->done(s->ctx, s->n_ready, s->n_failed);
        mem_free(s);
}

static void count_in_scan(struct scan *s, bool ready)
{
        int64_t now = clock_ns();

        s->n_ready += ready;
        s->n_failed += !ready;
        if (s->n_ready + s->n_failed == s->n)
                return end_scan(s);
        if (now - s->told > 1000000000) {
                s->told = now;
                log_info("adapter store: %d of %d folders read", s->n_ready + s->n_failed, s->n);
        }
}

static void tell(const struct load *l, enum registry_outcome outcome)
{
        if (l->status != DYN_OK) {
                log_warn("adapter %s: %s", l->name, l->error.text);
        } else if (outcome != REGISTRY_SAME) {
                const struct dyn_adapter_info *info = dyn_adapter_info(l->adapter);

                log_write(l->scan ? LOG_DEBUG : LOG_INFO,
                        "adapter %s: %s of rank %d at %d sites, version %s, %.1f MB, loaded in %.0f ms", l->name,
                        info->kind, info->rank, info->n_sites, info->version, (double)info->bytes / 1e6,
                        (double)(clock_ns() - l->began) / 1e6);
        }
}

// What became of a load that nobody can use any more.
static void judge(struct load *l, int uv_status)
{
        if (l->entry != NULL && uv_status == 0 && !l->registry->stopping)
                return;
        dyn_adapter_unpin(l->adapter);
        l->adapter = NULL;
        l->status = l->registry->stopping ? dyn_fail(&l->error, DYN_BUSY, "the server is stopping")
                                          : dyn_fail(&l->error, DYN_CONFLICT,
                                                    "adapter \"%s\" was unregistered while it was loading", l->name);
}

static void unlink_load(struct load *l)
{
        struct load **at = &l->registry->loads;

        while (*at != l)
                at = &(*at)->next;
        *at = l->next;
        if (l->entry != NULL)
                l->entry->load = NULL;
}

// A folder of the store stays listed with what is wrong with it.
static void note_failure(struct load *l)
{
        struct registered *e = l->entry;

        l->registry->totals.failures += l->status != DYN_CONFLICT && l->status != DYN_BUSY;
        if (l->scan == NULL || e == NULL)
                return;
        mem_free(e->failure);
        mem_free(e->failed_source);
        e->failure = mem_strdup(l->error.text);
        e->failed_source = mem_strdup(l->path);
}

static enum registry_outcome enter(struct load *l)
{
        enum registry_outcome outcome = REGISTRY_SAME;

        if (l->status == DYN_OK && l->adapter != NULL) {
                outcome = l->entry->pub.current ? REGISTRY_UPDATED : REGISTRY_NEW;
                l->status = book_publish(l->entry, l->adapter, &l->error);
                if (l->status == DYN_OK) {
                        l->registry->totals.loads++;
                } else {
                        dyn_fail_in(&l->error, l->path);
                        dyn_adapter_unpin(l->adapter);
                }
        }
        if (l->status != DYN_OK)
                note_failure(l);
        return outcome;
}

static void after(uv_work_t *req, int uv_status)
{
        struct load *l = req->data;

        judge(l, uv_status);
        unlink_load(l);
        enum registry_outcome outcome = enter(l);
        tell(l, outcome);

        if (l->entry != NULL)
                book_settle(l->entry);
        if (l->done != NULL)
                l->done(l->ctx, l->status, outcome, l->status ? NULL : &l->entry->pub, l->status ? &l->error : NULL);
        if (l->scan != NULL)
                count_in_scan(l->scan, l->status == DYN_OK);
        mem_free(l->name);
        mem_free(l->path);
        mem_free(l);
}

// Beginning
// -----------------------------------------------------------------------------------------------------------------------

// The entry's next load, without what the caller wants of it; begin it with start.
static struct load *create(struct registry *r, const char *name, char *path)
{
        struct registered *e = book_find(r, name, strlen(name));
        struct load *l = mem_zalloc(sizeof *l);

        if (e == NULL)
                e = book_add(r, name);
        l->work.data = l;
        l->registry = r;
        l->entry = e;
        l->name = mem_strdup(name);
        l->path = path;
        l->began = clock_ns();
        if (e->pub.current != NULL)
                memcpy(l->held, dyn_adapter_info(e->pub.current->adapter)->sha256, FOLDER_HASH);
        return l;
}

static void start(struct load *l)
{
        struct registry *r = l->registry;

        l->next = r->loads;
        r->loads = l;
        l->entry->load = l;
        book_settle(l->entry);
        uv_queue_work(r->loop, &l->work, work, after);
}

enum dyn_status registry_load(struct registry *r, const char *name, const char *path, bool replace, registry_done *done,
        void *ctx, struct dyn_error *err)
{
        const struct registered *e = book_find(r, name, strlen(name));
        enum dyn_status st = registry_check_name(r, name, err);

        if (st)
                return st;
        if (r->stopping)
                return dyn_fail(err, DYN_BUSY, "the server is stopping");
        if (e != NULL && e->load != NULL)
                return dyn_fail(err, DYN_CONFLICT, "adapter \"%s\" is being loaded already", name);
        if (path == NULL && r->store == NULL)
                return dyn_fail(err, DYN_INVALID, "expected a path, since there is no adapter store");

        struct load *l = create(r, name, path ? mem_strdup(path) : mem_printf("%s/%s", r->store, name));

        l->replace = replace;
        l->done = done;
        l->ctx = ctx;
        start(l);
        return DYN_OK;
}

// A folder of the store that has no load yet. What is no folder, or hidden, is none of ours.
static void scan_one(struct registry *r, struct scan *s, const char *name)
{
        struct dyn_error err;
        char *path = mem_printf("%s/%s", r->store, name);
        struct stat st;
        bool folder = stat(path, &st) != 0 || S_ISDIR(st.st_mode);

        if (name[0] == '.' || !folder || book_find(r, name, strlen(name)) != NULL) {
                mem_free(path);
        } else if (registry_check_name(r, name, &err)) {
                log_warn("adapter store: %s is passed over: %s", path, err.text);
                mem_free(path);
        } else {
                struct load *l = create(r, name, path);

                l->scan = s;
                s->n++;
                start(l);
        }
}

enum dyn_status registry_scan_store(
        struct registry *r, void (*done)(void *ctx, int n_ready, int n_failed), void *ctx, struct dyn_error *err)
{
        struct dirent **names = NULL;
        int n = r->store ? scandir(r->store, &names, NULL, alphasort) : 0;

        if (n < 0)
                return dyn_fail(err, DYN_IO, "%s: %s", r->store, strerror(errno));
        struct scan *s = mem_zalloc(sizeof *s);

        s->done = done;
        s->ctx = ctx;
        s->began = s->told = clock_ns();
        for (int i = 0; i < n; i++) {
                scan_one(r, s, names[i]->d_name);
                free(names[i]);
        }
        free(names);
        if (s->n == 0)
                end_scan(s);
        return DYN_OK;
}

void registry_stop(struct registry *r)
{
        r->stopping = true;
        resident_stop(r->resident);
        for (struct load *l = r->loads; l != NULL; l = l->next)
                uv_cancel((uv_req_t *)&l->work);
}
