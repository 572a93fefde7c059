// The store of a test and the system under it (store_world.h).
#include "store_world.h"

#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/folder.h"
#include "adapt/stage.h"
#include "scratch.h"

#define WEIGHTS 20000 // bytes, so that a file is not written in one go

struct store *store;
struct dyn_error err;
static char dir[300];

// The system's refusals
// --------------------------------------------------------------------------------------------------------

bool cannot_swap, disk_full;
time_t clock_ahead;
void (*before_swap)(const char *from);

int __real_renameat2(int, const char *, int, const char *, unsigned);
int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags);
int __real_fsync(int);
int __wrap_fsync(int fd);
int __real_clock_gettime(clockid_t, struct timespec *);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

int __wrap_renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
        if (cannot_swap) {
                errno = EINVAL;
                return -1;
        }
        if (before_swap != NULL && flags == RENAME_EXCHANGE) {
                before_swap(from);
                before_swap = NULL;
        }
        return __real_renameat2(from_dir, from, to_dir, to, flags);
}

int __wrap_fsync(int fd)
{
        if (disk_full) {
                errno = ENOSPC;
                return -1;
        }
        return __real_fsync(fd);
}

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
        int r = __real_clock_gettime(id, t);

        if (id == CLOCK_REALTIME)
                t->tv_sec += clock_ahead;
        return r;
}

// Helpers
// ---------------------------------------------------------------------------------------------------------------------

int store_world_begin(void **state)
{
        static int n;

        snprintf(dir, sizeof dir, "%s/store%d", scratch_dir(), n++);
        assert_int_equal(mkdir(dir, 0777), 0);
        assert_int_equal(store_open(&store, dir, &err), DYN_OK);
        return 0;
}

int store_world_end(void **state)
{
        cannot_swap = disk_full = false;
        clock_ahead = 0;
        store_close(store);
        return 0;
}

const char *in_store(const char *name)
{
        static char paths[4][600];
        static int turn;

        turn = (turn + 1) % 4;
        snprintf(paths[turn], sizeof paths[turn], "%s/%s", dir, name);
        return paths[turn];
}

void put(const char *path, const char *text)
{
        FILE *f = fopen(path, "wb");

        assert_non_null(f);
        fputs(text, f);
        assert_int_equal(fclose(f), 0);
}

void put_in(const char *folder, const char *name, const char *text)
{
        char path[700];

        snprintf(path, sizeof path, "%s/%s", folder, name);
        put(path, text);
}

// Fills a folder with a version: both files say which.
void fill(const char *folder, int version)
{
        char text[WEIGHTS + 1];

        for (int i = 0; i < WEIGHTS; i += 8)
                sprintf(text + i, "%7d ", version);
        put_in(folder, FOLDER_WEIGHTS, text);
        text[8] = 0;
        put_in(folder, FOLDER_CONFIG, text);
}

enum dyn_status commit(const char *name, int version, bool replace, const struct store_settings *settings)
{
        struct stage *g;
        enum dyn_status st = stage_open(&g, store, &err);

        if (st)
                return st;
        fill(stage_path(g), version);
        st = stage_commit(g, name, replace, settings, &err);
        stage_close(g);
        return st;
}

enum dyn_status point(const char *name, const char *path, const struct store_settings *settings)
{
        struct stage *g;
        enum dyn_status st;

        assert_int_equal(stage_open(&g, store, &err), DYN_OK);
        st = stage_point(g, path, &err);
        if (st == DYN_OK)
                st = stage_commit(g, name, true, settings, &err);
        stage_close(g);
        return st;
}

int read_whole(int folder, const char *name, char *text, size_t cap)
{
        int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, cap);

        if (fd >= 0)
                close(fd);
        return (int)n;
}

// The version that a name holds.
int version_of(const char *name)
{
        static char text[WEIGHTS + 8], config[16];
        int folder = open(in_store(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (folder < 0)
                return ABSENT;
        int n = read_whole(folder, FOLDER_WEIGHTS, text, sizeof text);
        int m = read_whole(folder, FOLDER_CONFIG, config, sizeof config);
        struct stat now, then;
        bool same = fstat(folder, &then) == 0 && stat(in_store(name), &now) == 0 && now.st_ino == then.st_ino;

        close(folder);
        if (!same)
                return GOING;
        if (n != WEIGHTS || m != 8)
                return HALF;
        for (int i = 0; i < WEIGHTS; i += 8)
                if (memcmp(text + i, config, 8) != 0)
                        return HALF;
        return atoi(config);
}

// How many entries of the store are hidden, or all of them.
int count(bool hidden)
{
        DIR *d = opendir(dir);
        const struct dirent *e;
        int n = 0;

        assert_non_null(d);
        while ((e = readdir(d)) != NULL)
                n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && (e->d_name[0] == '.' || !hidden);
        closedir(d);
        return n;
}

bool exists(const char *name)
{
        struct stat st;

        return lstat(in_store(name), &st) == 0;
}

void has(const char *part)
{
        if (strstr(err.text, part) == NULL)
                fail_msg("expected \"%s\" in \"%s\"", part, err.text);
}

struct store_entry look(const char *name)
{
        static struct store_entry e;

        store_entry_finish(&e);
        if (store_look(store, name, &e, &err))
                fail_msg("%s", err.text);
        struct store_entry copy = e;

        return copy;
}

const char *store_dir(void)
{
        return dir;
}
