// Filling a hidden folder and putting it in place of a name (adapt/stage.h).
#include "adapt/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/folder.h"
#include "adapt/shelf.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/utf8.h"

#define CHUNK (256 * 1024)

struct stage {
        struct store *store;
        char hidden[256]; // its name in the store
        char *path;
        int folder;
        char *target; // of a registration by path
        bool committed;
};

enum dyn_status stage_open(struct stage **out, struct store *s, struct dyn_error *err)
{
        struct stage *g = mem_zalloc(sizeof *g);
        int made;

        *out = NULL;
        g->store = s;
        do {
                hidden_next(s, HIDDEN_STAGE, NULL, g->hidden);
                made = mkdirat(s->dir, g->hidden, 0777);
        } while (made != 0 && errno == EEXIST);
        g->folder = made ? -1 : openat(s->dir, g->hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (g->folder < 0) {
                int error = errno;

                if (made == 0)
                        unlinkat(s->dir, g->hidden, AT_REMOVEDIR);
                mem_free(g);
                return shelf_fail(err, s->path, NULL, error);
        }
        g->path = mem_printf("%s/%s", s->path, g->hidden);
        *out = g;
        return DYN_OK;
}

void stage_close(struct stage *g)
{
        if (g == NULL)
                return;
        close(g->folder);
        if (!g->committed)
                hidden_delete(g->store, g->hidden);
        mem_free(g->target);
        mem_free(g->path);
        mem_free(g);
}

const char *stage_path(const struct stage *g)
{
        return g->path;
}

int stage_folder(const struct stage *g)
{
        return g->folder;
}

// Filling
// ---------------------------------------------------------------------------------------------------------------------

static bool same_file(const struct stat *a, const struct stat *b)
{
        return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
               a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static enum dyn_status pump(int from, const char *from_path, int to, const char *to_path, struct dyn_error *err)
{
        char *chunk = mem_alloc(CHUNK);
        enum dyn_status st = DYN_OK;
        ssize_t n;

        do {
                n = read(from, chunk, CHUNK);
                if (n < 0 && errno != EINTR)
                        st = shelf_fail(err, from_path, NULL, errno);
                else if (n > 0 && !shelf_write(to, chunk, (size_t)n))
                        st = shelf_fail(err, to_path, NULL, errno);
        } while (st == DYN_OK && n != 0);
        mem_free(chunk);
        return st;
}

static enum dyn_status copy_open(
        const struct stage *g, int from, const char *path, const char *name, struct dyn_error *err)
{
        struct stat before, after;
        enum dyn_status st;

        if (fstat(from, &before) != 0)
                return shelf_fail(err, path, NULL, errno);
        if (!S_ISREG(before.st_mode))
                return dyn_fail(err, DYN_INVALID, "%s: expected a regular file", path);
        int to = openat(g->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);

        if (to < 0)
                return shelf_fail(err, g->path, name, errno);
        st = pump(from, path, to, g->path, err);
        if (close(to) != 0 && st == DYN_OK)
                st = shelf_fail(err, g->path, name, errno);
        if (st == DYN_OK && (fstat(from, &after) != 0 || !same_file(&before, &after)))
                st = dyn_fail(err, DYN_IO, "%s: changed while it was copied", path);
        return st;
}

enum dyn_status stage_copy(struct stage *g, const char *folder, struct dyn_error *err)
{
        static const char *const files[] = {FOLDER_CONFIG, FOLDER_WEIGHTS};
        enum dyn_status st = DYN_OK;

        for (int i = 0; i < 2 && st == DYN_OK; i++) {
                char *path = mem_printf("%s/%s", folder, files[i]);
                int from = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

                if (from >= 0)
                        st = copy_open(g, from, path, files[i], err);
                else if (errno == ENOENT || errno == ENOTDIR)
                        st = dyn_fail(err, DYN_NOT_FOUND, "%s: no such file", path);
                else
                        st = shelf_fail(err, path, NULL, errno);
                if (from >= 0)
                        close(from);
                mem_free(path);
        }
        return st;
}

static bool is_utf8(const char *s)
{
        const char *end = s + strlen(s);
        uint32_t code;
        int n = 1;

        for (; s < end && n > 0; s += n)
                n = utf8_next(s, end, &code);
        return n > 0;
}

enum dyn_status stage_point(struct stage *g, const char *path, struct dyn_error *err)
{
        if (path[0] != '/')
                return dyn_fail(err, DYN_INVALID, "expected an absolute path, found \"%.200s\"", path);
        if (!is_utf8(path))
                return dyn_fail(err, DYN_INVALID, "expected a path in UTF-8, found \"%.200s\"", path);
        mem_free(g->target);
        g->target = mem_strdup(path);
        return DYN_OK;
}

// Committing
// -------------------------------------------------------------------------------------------------------------------

static bool has_file(int folder, const char *name)
{
        struct stat st;

        return fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

static enum dyn_status check_whole(const struct stage *g, struct dyn_error *err)
{
        bool config = has_file(g->folder, FOLDER_CONFIG), weights = has_file(g->folder, FOLDER_WEIGHTS);

        if (g->target != NULL && (config || weights))
                return dyn_fail(err, DYN_INVALID, "expected adapter files or a path to them, found both");
        if (g->target == NULL && !(config && weights))
                return dyn_fail(err, DYN_INVALID, "expected " FOLDER_CONFIG " and " FOLDER_WEIGHTS ", found %s",
                        config    ? "no " FOLDER_WEIGHTS
                        : weights ? "no " FOLDER_CONFIG
                                  : "neither");
        return DYN_OK;
}

// Those that the name has; the default ones if it has none that can be read.
static struct store_settings settings_of(int dir, const char *name)
{
        struct store_settings settings = {0};
        struct dyn_error err;
        char *target = NULL;
        int folder = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (folder < 0)
                return settings;
        settings_read(folder, name, &settings, &target, &err);
        mem_free(target);
        close(folder);
        return settings;
}

// Every file of the stage, then the stage.
static enum dyn_status sync_all(const struct stage *g, struct dyn_error *err)
{
        static const char *const files[] = {FOLDER_CONFIG, FOLDER_WEIGHTS};

        for (int i = 0; i < 2 && g->target == NULL; i++) {
                int fd = openat(g->folder, files[i], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
                bool ok = fd >= 0 && fsync(fd) == 0;
                int error = errno;

                if (fd >= 0)
                        close(fd);
                if (!ok)
                        return shelf_fail(err, g->path, files[i], error);
        }
        return shelf_sync_folder(g->folder) ? DYN_OK : shelf_fail(err, g->path, NULL, errno);
}

// What was replaced may have got other settings after they were carried over.
static void follow_settings(const struct stage *g, const char *name, const char *replaced, struct store_settings had)
{
        struct store_settings now = settings_of(g->store->dir, replaced);
        struct dyn_error err;

        if ((now.pin != had.pin || now.mode != had.mode) && store_set(g->store, name, &now, &err))
                log_warn("adapter store: the settings of %s were lost: %s", name, err.text);
}

enum dyn_status stage_commit(
        struct stage *g, const char *name, bool replace, const struct store_settings *settings, struct dyn_error *err)
{
        struct store *s = g->store;
        char replaced[256];
        enum dyn_status st = check_whole(g, err);

        if (!store_name_ok(name))
                st = dyn_fail(err, DYN_INVALID,
                        "expected a name of 1 to %d of A-Z a-z 0-9 . _ - that does not start with a dot, found "
                        "\"%.140s\"",
                        STORE_NAME_MAX, name);
        if (st)
                return st;
        struct store_settings use = settings ? *settings : settings_of(s->dir, name);

        st = settings_write(g->folder, g->path, STORE_SETTINGS, &use, g->target, err);
        if (st == DYN_OK)
                st = sync_all(g, err);
        if (st == DYN_OK)
                st = shelf_place(s, g->hidden, name, replace, replaced, err);
        if (st)
                return st;
        g->committed = true;
        bool synced = shelf_sync_folder(s->dir);
        int error = errno;

        if (replaced[0] != 0 && settings == NULL)
                follow_settings(g, name, replaced, use);
        if (replaced[0] != 0 && synced)
                hidden_delete(s, replaced);
        return synced ? DYN_OK : shelf_fail(err, s->path, NULL, error);
}
