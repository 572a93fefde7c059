// Looking at the names of the store without reading the adapters (adapt/store.h): a thousand are looked at in some ten
// milliseconds, so that a reconcile can do it every second.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "adapt/folder.h"
#include "adapt/shelf.h"
#include "base/alloc.h"

static const char *const files[] = {FOLDER_CONFIG, FOLDER_WEIGHTS, STORE_SETTINGS};

// The signature
// ---------------------------------------------------------------------------------------------------------------

static void mix(struct store_entry *e, uint64_t word)
{
        e->signature = (e->signature ^ word) * 0x9e3779b97f4a7c15u;
        e->signature ^= e->signature >> 29;
}

// The time of change joins that of the content: it tells a file that was written to and then given its old time back.
static void mix_stat(struct store_entry *e, const struct stat *st)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        mix(e, st->st_dev);
        mix(e, st->st_ino);
        mix(e, (uint64_t)st->st_size);
        mix(e, (uint64_t)st->st_mtim.tv_sec);
        mix(e, (uint64_t)st->st_mtim.tv_nsec);
        // A folder gets a new one when it is renamed, which a commit does after it was filled.
        if (!S_ISDIR(st->st_mode)) {
                mix(e, (uint64_t)st->st_ctim.tv_sec);
                mix(e, (uint64_t)st->st_ctim.tv_nsec);
        }
        if (llabs((long long)now.tv_sec - st->st_ctim.tv_sec) <= 2)
                e->fresh = true;
}

// What is wrong first stays.
static void refuse(struct store_entry *e, enum dyn_status status, const struct dyn_error *err)
{
        if (e->status != DYN_OK)
                return;
        e->status = status;
        e->error = mem_strdup(err->text);
}

// A link in the store must end in it. name is relative to the store.
static void check_link(const struct store *s, struct store_entry *e, const char *name)
{
        char *path = mem_printf("%s/%s", s->path, name), *real = realpath(path, NULL);
        size_t n = strlen(s->real);
        struct dyn_error err;

        if (real == NULL)
                refuse(e, dyn_fail(&err, DYN_NOT_FOUND, "%s: the link leads nowhere: %s", path, strerror(errno)), &err);
        else if (strncmp(real, s->real, n) != 0 || (real[n] != '/' && n > 1))
                refuse(e,
                        dyn_fail(&err, DYN_FORBIDDEN, "%s: expected a link within the store, found that it leads to %s",
                                path, real),
                        &err);
        free(real);
        mem_free(path);
}

// The known files of a folder. Returns which of them are there, as bits.
static unsigned mix_files(const struct store *s, struct store_entry *e, int folder, int n, bool ours)
{
        unsigned there = 0;
        struct stat st;

        for (int i = 0; i < n; i++) {
                if (fstatat(folder, files[i], &st, AT_SYMLINK_NOFOLLOW) != 0) {
                        mix(e, 0);
                        continue;
                }
                there |= 1u << i;
                mix_stat(e, &st);
                if (!S_ISLNK(st.st_mode))
                        continue;
                if (fstatat(folder, files[i], &st, 0) == 0)
                        mix_stat(e, &st);
                if (ours) {
                        char *name = mem_printf("%s/%s", e->name, files[i]);

                        check_link(s, e, name);
                        mem_free(name);
                }
        }
        return there;
}

// Where a registration by path leads, which may be nowhere.
static void mix_target(const struct store *s, struct store_entry *e)
{
        int folder = open(e->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        if (folder < 0) {
                mix(e, (uint64_t)errno);
                return;
        }
        if (fstat(folder, &st) == 0)
                mix_stat(e, &st);
        mix_files(s, e, folder, 2, false);
        close(folder);
}

// One name
// --------------------------------------------------------------------------------------------------------------------

static void look_inside(const struct store *s, struct store_entry *e, int folder)
{
        struct dyn_error err;
        struct stat st;

        if (fstat(folder, &st) == 0)
                mix_stat(e, &st);
        unsigned there = mix_files(s, e, folder, 3, true);

        if (!(there & 4))
                return;
        char *label = mem_printf("%s/%s", s->path, e->name);
        enum dyn_status status = settings_read(folder, label, &e->settings, &e->target, &err);

        if (status == DYN_OK && e->target != NULL && (there & 3))
                status = dyn_fail(&err, DYN_INVALID,
                        "%s: " STORE_SETTINGS ": expected no \"path\" beside adapter files, found \"%.200s\"", label,
                        e->target);
        if (status)
                refuse(e, status, &err);
        if (e->target != NULL)
                mix_target(s, e);
        mem_free(label);
}

// False: there is no such name, or it is a file.
static bool look_at(const struct store *s, const char *name, struct store_entry *e)
{
        struct dyn_error err;
        struct stat st;

        *e = (struct store_entry){0};
        if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || (!S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)))
                return false;
        bool link = S_ISLNK(st.st_mode);
        int folder = openat(s->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (link ? 0 : O_NOFOLLOW));

        if (folder < 0 && (errno == ENOTDIR || (errno == ENOENT && !link)))
                return false;
        int error = errno;

        e->name = mem_strdup(name);
        if (!store_name_ok(name))
                refuse(e,
                        dyn_fail(&err, DYN_INVALID,
                                "%s: expected a name of 1 to %d of A-Z a-z 0-9 . _ -, found \"%.255s\"", s->path,
                                STORE_NAME_MAX, name),
                        &err);
        if (link) {
                mix_stat(e, &st);
                check_link(s, e, name);
        }
        if (folder >= 0) {
                look_inside(s, e, folder);
                close(folder);
        } else {
                refuse(e, shelf_fail(&err, s->path, name, error), &err);
        }
        return true;
}

void store_entry_finish(struct store_entry *e)
{
        mem_free(e->name);
        mem_free(e->target);
        mem_free(e->error);
        *e = (struct store_entry){0};
}

static DIR *open_listing(const struct store *s)
{
        int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (d == NULL && fd >= 0)
                close(fd);
        return d;
}

// Whether somebody has put the name aside in order to replace it.
static bool is_moving(const struct store *s, const char *name)
{
        DIR *d = open_listing(s);
        const struct dirent *e;
        struct hidden h;
        bool moving = false;

        while (d != NULL && !moving && (e = readdir(d)) != NULL)
                moving = e->d_name[0] == '.' && hidden_parse(e->d_name, &h) && h.kind == HIDDEN_OLD &&
                         strcmp(h.name, name) == 0;
        if (d != NULL)
                closedir(d);
        return moving;
}

static bool is_there(const struct store *s, const char *name)
{
        struct stat st;

        return fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool shelf_has(const struct store *s, const char *name)
{
        struct timespec pause = {.tv_nsec = 10000000};

        for (int i = 0; i < 100; i++) {
                if (is_there(s, name))
                        return true;
                // It may have come back between the two looks.
                if (!is_moving(s, name))
                        return is_there(s, name);
                nanosleep(&pause, NULL);
        }
        return false;
}

enum dyn_status store_look(struct store *s, const char *name, struct store_entry *e, struct dyn_error *err)
{
        *e = (struct store_entry){0};
        for (int i = 0; i < 100 && store_name_ok(name) && shelf_has(s, name); i++) {
                if (look_at(s, name, e))
                        return DYN_OK;
        }
        return dyn_fail(err, DYN_NOT_FOUND, "%s/%.128s: no such adapter in the store", s->path, name);
}

// All of them
// -----------------------------------------------------------------------------------------------------------------

static int by_name(const void *a, const void *b)
{
        return strcmp(((const struct store_entry *)a)->name, ((const struct store_entry *)b)->name);
}

enum dyn_status store_list(struct store *s, struct store_listing *l, struct dyn_error *err)
{
        const struct dirent *e;
        int cap = 0;

        *l = (struct store_listing){0};
        enum dyn_status st = shelf_follow(s, err);
        if (st != DYN_OK)
                return st;
        DIR *d = open_listing(s);
        if (d == NULL)
                return shelf_fail(err, s->path, NULL, errno);
        while (errno = 0, (e = readdir(d)) != NULL) {
                if (l->n == cap) {
                        cap = cap ? 2 * cap : 64;
                        l->entries = mem_realloc(l->entries, (size_t)cap * sizeof *l->entries);
                }
                if (e->d_name[0] != '.' && look_at(s, e->d_name, &l->entries[l->n]))
                        l->n++;
        }
        int error = errno;

        closedir(d);
        if (error != 0) {
                store_listing_free(l);
                return shelf_fail(err, s->path, NULL, error);
        }
        if (l->n > 1)
                qsort(l->entries, (size_t)l->n, sizeof *l->entries, by_name);
        return DYN_OK;
}

void store_listing_free(struct store_listing *l)
{
        for (int i = 0; i < l->n; i++)
                store_entry_finish(&l->entries[i]);
        mem_free(l->entries);
        *l = (struct store_listing){0};
}
