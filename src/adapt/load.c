// From a folder on the disk to a version on the host and on the device (adapt/version.h), and the counted references to
// it.
#include "adapt/version.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "adapt/blend.h"
#include "adapt/folder.h"
#include "adapt/patches.h"
#include "base/alloc.h"
#include "base/clock.h"

static atomic_uint_fast64_t last_id;

// Guards where a version's folder is, which it has on the host, and how many hold that: one that is lent stays for who
// reads it when it leaves the host.
static pthread_mutex_t folders = PTHREAD_MUTEX_INITIALIZER;

static void free_patches(struct dyn_adapter *a)
{
        if (a->patches != NULL)
                patches_free(a->host, a->patches);
        mem_free(a->patches);
        a->patches = NULL;
}

static void drop_folder(struct folder *folder)
{
        pthread_mutex_lock(&folders);
        bool last = --folder->users == 0;
        pthread_mutex_unlock(&folders);
        if (!last)
                return;
        folder_close(folder);
        mem_free(folder);
}

// The folder on the host, held once more; NULL if there is none.
static struct folder *hold_folder(struct dyn_adapter *a)
{
        pthread_mutex_lock(&folders);
        struct folder *folder = a->files;
        if (folder != NULL)
                folder->users++;
        pthread_mutex_unlock(&folders);
        return folder;
}

static void put_on_host(struct dyn_adapter *a, struct folder *folder)
{
        pthread_mutex_lock(&folders);
        folder->users++;
        a->files = folder;
        pthread_mutex_unlock(&folders);
}

static void destroy(struct dyn_adapter *a)
{
        assert(atomic_load(&a->running) == 0);
        free_patches(a);
        version_leave_host(a);
        blend_release(a);
        mem_free(a->outline);
        mem_free((char *)a->info.name);
        mem_free((char *)a->info.path);
        mem_free((char *)a->info.sha256);
        mem_free((char *)a->info.version);
        mem_free((char *)a->info.base_model);
        mem_free(a);
}

// What the lowered form says about the version.
static void describe(struct dyn_adapter *a, const struct dyn_lowered *lowered)
{
        a->outline = mem_array((size_t)lowered->n, sizeof *a->outline);
        for (int i = 0; i < lowered->n; i++) {
                const struct dyn_patch *p = &lowered->patches[i];

                a->outline[i] = (struct outline){p->site, (int)p->a.shape[0], p->a.dtype, p->scale};
                a->info.bytes += dyn_dtype_bytes(p->a.dtype, p->a.shape[0] * (p->a.shape[1] + p->b.shape[0]));
        }
        a->info.n_sites = lowered->n;
        a->info.rank = lowered->max_rank;
}

struct dyn_adapter *version_create(
        const struct adapter_host *host, const char *name, const char *path, const char *sha256)
{
        struct dyn_adapter *a = mem_zalloc(sizeof *a);

        a->host = host;
        a->id = atomic_fetch_add(&last_id, 1) + 1;
        atomic_init(&a->refs, 1);
        a->info.name = mem_strdup(name);
        a->info.path = mem_strdup(path);
        a->info.sha256 = mem_strdup(sha256);
        a->info.version = mem_strndup(sha256, 16);
        a->info.loaded_at = clock_unix();
        return a;
}

// Its folder's path; the caller's.
static char *path_of(const struct dyn_adapter *a)
{
        pthread_mutex_lock(&folders);
        char *path = mem_strdup(a->info.path);
        pthread_mutex_unlock(&folders);
        return path;
}

static enum dyn_status fail_at(struct dyn_adapter *a, struct dyn_error *err)
{
        char *path = path_of(a);
        enum dyn_status st = dyn_fail_in(err, path);

        mem_free(path);
        return st;
}

static const char *last_of(const char *path)
{
        const char *slash = strrchr(path, '/');

        return slash ? slash + 1 : path;
}

bool version_other_base(const struct adapter_host *host, const char *base_model)
{
        const char *ours = host->base ? last_of(host->base) : "", *theirs = base_model ? last_of(base_model) : "";
        size_t n = strlen(theirs), end = strlen(ours);
        bool file = end > 5 && strcasecmp(ours + end - 5, ".gguf") == 0;

        if (n == 0 || end == 0)
                return false;
        // A file's name goes on with how it is quantised.
        return strncasecmp(theirs, ours, n) != 0 || (ours[n] != 0 && !(file && strchr(".-_", ours[n]) != NULL));
}

// A shape that does not fit is easier to understand with the model that it was made for.
static void say_base(const struct adapter_host *host, const struct folder *folder, struct dyn_error *err)
{
        size_t n = strlen(err->text);

        if (err->status == DYN_INVALID && version_other_base(host, folder->base_model))
                snprintf(err->text + n, sizeof err->text - n,
                        " (it says that its base is \"%.120s\"; this is \"%.120s\")", folder->base_model,
                        last_of(host->base));
}

// The folder in memory, checked against the model. *lowered is given back by the caller.
static enum dyn_status read_folder(const struct adapter_host *host, const char *path, struct folder **out,
        struct dyn_lowered *lowered, struct dyn_error *err)
{
        struct folder *folder = mem_zalloc(sizeof *folder);
        enum dyn_status st = folder_open(folder, path, err);

        folder->users = 1;
        if (st == DYN_OK && (st = folder->kind->lower(&folder->files, host->sites, lowered, err))) {
                say_base(host, folder, err);
                folder_close(folder);
        }
        if (st) {
                mem_free(folder);
                return dyn_fail_in(err, path);
        }
        assert(lowered->n > 0);
        folder->files.known_finite = true;
        *out = folder;
        return DYN_OK;
}

enum dyn_status version_open(const struct adapter_host *host, const char *name, const char *path,
        struct dyn_adapter **out, struct dyn_error *err)
{
        struct dyn_lowered lowered;
        struct folder *folder;
        enum dyn_status st = read_folder(host, path, &folder, &lowered, err);

        *out = NULL;
        if (st)
                return st;
        *out = version_create(host, name, path, folder->sha256);
        (*out)->info.kind = folder->kind->name; // static
        (*out)->info.base_model = folder->base_model ? mem_strdup(folder->base_model) : NULL;
        (*out)->files_bytes = folder->bytes;
        (*out)->files = folder;
        describe(*out, &lowered);
        dyn_lowered_finish(&lowered);
        return DYN_OK;
}

// The files once more, if they still are what this version is.
static enum dyn_status read_again(struct dyn_adapter *a, struct loan *loan, struct dyn_error *err)
{
        char *path = path_of(a);
        enum dyn_status st = read_folder(a->host, path, &loan->folder, &loan->lowered, err);

        if (st == DYN_OK && strcmp(loan->folder->sha256, a->info.sha256) != 0) {
                st = dyn_fail(err, DYN_CONFLICT, "%s: expected version %s, found %.16s: the folder has changed", path,
                        a->info.version, loan->folder->sha256);
                version_take_back(loan);
        }
        mem_free(path);
        return st;
}

enum dyn_status version_lend(struct dyn_adapter *a, struct loan *loan, struct dyn_error *err)
{
        *loan = (struct loan){.folder = hold_folder(a)};
        if (loan->folder == NULL)
                return read_again(a, loan, err);
        enum dyn_status st = loan->folder->kind->lower(&loan->folder->files, a->host->sites, &loan->lowered, err);
        if (st) {
                fail_at(a, err);
                version_take_back(loan);
        }
        return st;
}

void version_take_back(struct loan *loan)
{
        dyn_lowered_finish(&loan->lowered);
        if (loan->folder != NULL)
                drop_folder(loan->folder);
        *loan = (struct loan){0};
}

static enum dyn_status upload(struct dyn_adapter *a, const struct dyn_lowered *lowered, struct dyn_error *err)
{
        a->patches = mem_array((size_t)a->host->sites->n, sizeof *a->patches);
        if (patches_load(a->host, a->patches, lowered, err) == DYN_OK)
                return DYN_OK;
        free_patches(a);
        return fail_at(a, err);
}

enum dyn_status version_to_device(struct dyn_adapter *a, struct dyn_error *err)
{
        struct loan loan = {0};
        enum dyn_status st;

        if (a->patches != NULL)
                return DYN_OK;
        st = a->n_parts > 0 ? blend_lower(a, &loan.lowered, err) : version_lend(a, &loan, err);
        if (st)
                return st;
        if (a->files == NULL && loan.folder != NULL) // it was read
                put_on_host(a, loan.folder);
        st = upload(a, &loan.lowered, err);
        version_take_back(&loan);
        return st;
}

void version_move(struct dyn_adapter *a, const char *path)
{
        char *moved = mem_strdup(path);

        pthread_mutex_lock(&folders);
        mem_free((char *)a->info.path);
        a->info.path = moved;
        pthread_mutex_unlock(&folders);
}

bool version_leave_device(struct dyn_adapter *a)
{
        if (atomic_load(&a->running) > 0)
                return false;
        free_patches(a);
        return true;
}

void version_leave_host(struct dyn_adapter *a)
{
        pthread_mutex_lock(&folders);
        struct folder *folder = a->files;
        a->files = NULL;
        pthread_mutex_unlock(&folders);
        if (folder != NULL)
                drop_folder(folder);
}

enum dyn_status adapter_load(const struct adapter_host *host, const char *name, const char *path,
        struct dyn_adapter **out, struct dyn_error *err)
{
        struct dyn_error unread;
        enum dyn_status st;

        if (err == NULL)
                err = &unread;
        if ((st = version_open(host, name, path, out, err)))
                return st;
        if ((st = version_to_device(*out, err))) {
                destroy(*out);
                *out = NULL;
                return st;
        }
        version_leave_host(*out);
        return DYN_OK;
}

const struct dyn_adapter_info *dyn_adapter_info(const struct dyn_adapter *a)
{
        return &a->info;
}

struct dyn_adapter *dyn_adapter_pin(struct dyn_adapter *a)
{
        if (a != NULL)
                atomic_fetch_add_explicit(&a->refs, 1, memory_order_relaxed);
        return a;
}

void dyn_adapter_unpin(struct dyn_adapter *a)
{
        if (a != NULL && atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) == 1)
                destroy(a);
}
