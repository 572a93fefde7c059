// The store's folder and what changes a name in it, but for commits, which are stage.c (adapt/store.h).
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/shelf.h"
#include "base/alloc.h"
#include "base/log.h"

#define TRIES 100 // against others who change the same name at the same moment

// What all of the store does
// ----------------------------------------------------------------------------------------------------

enum dyn_status shelf_fail(struct dyn_error *err, const char *folder, const char *name, int error)
{
        const char *slash = name ? "/" : "";

        name = name ? name : "";
        if (error == ENOSPC || error == EDQUOT)
                return dyn_fail(err, DYN_NO_MEMORY, "%s%s%s: the disk or its quota is full", folder, slash, name);
        return dyn_fail(err, DYN_IO, "%s%s%s: %s", folder, slash, name, strerror(error));
}

bool shelf_sync_folder(int fd)
{
        return fsync(fd) == 0 || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;
}

bool shelf_write(int fd, const void *data, size_t len)
{
        for (const char *at = data; len > 0;) {
                ssize_t n = write(fd, at, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return false;
                at += n;
                len -= (size_t)n;
        }
        return true;
}

// The folder
// ---------------------------------------------------------------------------------------------------------------------

enum dyn_status store_open(struct store **out, const char *path, struct dyn_error *err)
{
        int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char *real = dir < 0 ? NULL : realpath(path, NULL);

        *out = NULL;
        if (real == NULL) {
                int error = errno;

                if (dir >= 0)
                        close(dir);
                if (error == ENOENT)
                        return dyn_fail(err, DYN_NOT_FOUND, "%s: expected a folder, found nothing", path);
                if (error == ENOTDIR)
                        return dyn_fail(err, DYN_INVALID, "%s: expected a folder, found a file", path);
                return shelf_fail(err, path, NULL, error);
        }
        struct store *s = mem_zalloc(sizeof *s);

        s->path = mem_strdup(path);
        s->real = real;
        s->dir = dir;
        s->self = owner_self();
        *out = s;
        return DYN_OK;
}

void store_close(struct store *s)
{
        if (s == NULL)
                return;
        close(s->dir);
        free(s->real);
        mem_free(s->path);
        mem_free(s);
}

const char *store_path(const struct store *s)
{
        return s->path;
}

bool store_name_ok(const char *name)
{
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

        return name[0] != '.' && n >= 1 && n <= STORE_NAME_MAX && name[n] == 0;
}

// One name
// --------------------------------------------------------------------------------------------------------------------

static enum dyn_status fail_absent(const struct store *s, const char *name, struct dyn_error *err)
{
        return dyn_fail(err, DYN_NOT_FOUND, "%s/%.128s: no such adapter in the store", s->path, name);
}

enum dyn_status store_remove(struct store *s, const char *name, struct dyn_error *err)
{
        char gone[256];
        int error;

        hidden_next(s, HIDDEN_GONE, NULL, gone);
        do {
                if (!store_name_ok(name) || !shelf_has(s, name))
                        return fail_absent(s, name, err);
                error = renameat(s->dir, name, s->dir, gone) ? errno : 0;
        } while (error == ENOENT);
        if (error != 0)
                return shelf_fail(err, s->path, name, error);
        if (!shelf_sync_folder(s->dir))
                return shelf_fail(err, s->path, NULL, errno);
        hidden_delete(s, gone);
        return DYN_OK;
}

static enum dyn_status open_name(const struct store *s, const char *name, int *folder, struct dyn_error *err)
{
        do {
                if (!store_name_ok(name) || !shelf_has(s, name))
                        return fail_absent(s, name, err);
                *folder = openat(s->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (*folder >= 0)
                        return DYN_OK;
        } while (errno == ENOENT);
        int error = errno;
        struct stat st;

        if (fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
                return dyn_fail(err, DYN_FORBIDDEN, "%s/%s: expected a folder, found a link", s->path, name);
        return shelf_fail(err, s->path, name, error);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
        return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool holds_something(int dir)
{
        int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *e;
        bool some = false;

        while (d != NULL && !some && (e = readdir(d)) != NULL)
                some = e->d_name[0] != '.';
        if (d != NULL)
                closedir(d);
        else if (fd >= 0)
                close(fd);
        return some;
}

enum dyn_status shelf_follow(struct store *s, struct dyn_error *err)
{
        struct stat now, before;
        int dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char *real = dir < 0 ? NULL : realpath(s->path, NULL);
        int why = real == NULL ? errno : 0;
        bool same = real != NULL && strcmp(real, s->real) == 0;
        enum dyn_status st = DYN_OK;

        if (!same)
                st = dyn_fail(err, DYN_IO, "%s: expected the folder that it was at the start, found %s", s->path,
                        why ? strerror(why) : "that it leads elsewhere: a restart follows it");
        else if (fstat(dir, &now) != 0 || fstat(s->dir, &before) != 0)
                st = shelf_fail(err, s->path, NULL, errno);
        else if (!same_file(&now, &before) && !holds_something(dir))
                st = dyn_fail(err, DYN_IO, "%s: expected the folder that it was at the start, found another, empty one",
                        s->path);
        else if (!same_file(&now, &before) && dup3(dir, s->dir, O_CLOEXEC) < 0)
                st = shelf_fail(err, s->path, NULL, errno);
        else if (!same_file(&now, &before))
                log_warn("adapter store: %s is another folder than before: it is read anew", s->path);
        if (dir >= 0)
                close(dir);
        free(real);
        return st;
}

enum store_place store_place_of(const struct store *s, const char *name, const char *path)
{
        enum store_place place = STORE_ELSEWHERE;
        struct stat home, st;
        char *real = realpath(path, NULL);

        if (real == NULL || fstatat(s->dir, name, &home, AT_SYMLINK_NOFOLLOW) != 0) {
                free(real);
                return place;
        }
        // By what they are, not by their names: a volume can be mounted at two places.
        for (enum store_place found = STORE_ITSELF; *real != 0 && place == STORE_ELSEWHERE; found = STORE_WITHIN) {
                if (stat(real, &st) == 0 && same_file(&st, &home))
                        place = found;
                *strrchr(real, '/') = 0;
        }
        free(real);
        return place;
}

// Whether the name still means the folder.
static bool is_still(const struct store *s, const char *name, int folder)
{
        struct stat a, b;

        return fstatat(s->dir, name, &a, AT_SYMLINK_NOFOLLOW) == 0 && fstat(folder, &b) == 0 && same_file(&a, &b);
}

// Into the folder that the name means now, which somebody may be replacing.
static enum dyn_status set_in(const struct store *s, const char *name, int folder,
        const struct store_settings *settings, struct dyn_error *err)
{
        char fresh[256], *target = NULL, *label = mem_printf("%s/%s", s->path, name);
        struct store_settings before;
        enum dyn_status st = settings_read(folder, label, &before, &target, err);

        // Made in the store, where store_tidy finds it.
        hidden_next(s, HIDDEN_STAGE, NULL, fresh);
        if (st == DYN_OK)
                st = settings_write(s->dir, s->path, fresh, settings, target, err);
        if (st == DYN_OK && (renameat(s->dir, fresh, folder, STORE_SETTINGS) != 0 || !shelf_sync_folder(folder)))
                st = shelf_fail(err, label, STORE_SETTINGS, errno);
        if (st != DYN_OK)
                unlinkat(s->dir, fresh, 0);
        mem_free(target);
        mem_free(label);
        return st;
}

enum dyn_status store_set(
        struct store *s, const char *name, const struct store_settings *settings, struct dyn_error *err)
{
        for (int i = 0; i < TRIES; i++) {
                int folder = -1;
                enum dyn_status st = open_name(s, name, &folder, err);

                if (st)
                        return st;
                st = set_in(s, name, folder, settings, err);
                bool still = is_still(s, name, folder);

                close(folder);
                // What was written to a folder that is no longer the name's is lost, and so is the reason of a failure.
                if (still)
                        return st;
        }
        return dyn_fail(err, DYN_BUSY, "%s/%s: is being replaced again and again", s->path, name);
}
