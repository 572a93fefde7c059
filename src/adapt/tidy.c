// Taking away what killed processes left in the store (adapt/store.h). Only names that hidden_parse knows are touched.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/shelf.h"
#include "base/clock.h"
#include "base/log.h"

#define PATIENCE 3600 // seconds, with those who cannot be asked whether they live

static time_t newest_of(const struct stat *st)
{
        return st->st_mtime > st->st_ctime ? st->st_mtime : st->st_ctime;
}

// When the leftover or a file in it last changed, was written to or renamed; 0 if it is gone.
static time_t last_change(int dir, const char *name)
{
        struct stat st;
        const struct dirent *e;

        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
                return 0;
        time_t newest = newest_of(&st);
        int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);

        while (d != NULL && (e = readdir(d)) != NULL) {
                if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && strcmp(e->d_name, "..") != 0 &&
                        newest_of(&st) > newest)
                        newest = newest_of(&st);
        }
        if (d != NULL)
                closedir(d);
        else if (fd >= 0)
                close(fd);
        return newest;
}

static bool is_left(const struct store *s, const char *name, const struct hidden *h)
{
        if (h->kind == HIDDEN_GONE)
                return true;
        if (owner_is_here(s, &h->owner) && s->self.start != 0)
                return owner_is_dead(s, &h->owner);
        time_t changed = last_change(s->dir, name);

        return changed != 0 && clock_unix() - changed > PATIENCE;
}

static void tidy_one(const struct store *s, const char *name)
{
        struct hidden h;
        struct stat st;

        if (!hidden_parse(name, &h) || !is_left(s, name, &h))
                return;
        if (h.kind == HIDDEN_OLD && fstatat(s->dir, h.name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) {
                // Over a name that has come meanwhile no folder can be renamed, unless that one is empty.
                if (renameat(s->dir, name, s->dir, h.name) == 0)
                        log_info("adapter store: %s/%s is back: its replacement was interrupted", s->path, h.name);
                return;
        }
        hidden_delete(s, name);
}

void store_tidy(struct store *s)
{
        int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        const struct dirent *e;

        if (d == NULL) {
                log_warn("adapter store: %s: cannot be tidied: %s", s->path, strerror(errno));
                if (fd >= 0)
                        close(fd);
                return;
        }
        shelf_sync_folder(s->dir); // what replaced a leftover is on the disk before the leftover goes
        while ((e = readdir(d)) != NULL)
                if (e->d_name[0] == '.')
                        tidy_one(s, e->d_name);
        closedir(d);
        shelf_sync_folder(s->dir);
}
