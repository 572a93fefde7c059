// Where a registration may point (adapt/roots.h).
#include "adapt/roots.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "adapt/folder.h"
#include "base/alloc.h"

enum dyn_status roots_add(struct roots *r, const char *path, struct dyn_error *err)
{
        struct stat st;
        char *real = realpath(path, NULL);

        if (real == NULL || stat(real, &st) != 0) {
                free(real);
                return dyn_fail(err, errno == ENOENT ? DYN_NOT_FOUND : DYN_IO, "%s: %s", path, strerror(errno));
        }
        if (!S_ISDIR(st.st_mode)) {
                free(real);
                return dyn_fail(err, DYN_INVALID, "%s: expected a folder, found a file", path);
        }
        r->paths = mem_realloc(r->paths, (size_t)(r->n + 1) * sizeof *r->paths);
        r->paths[r->n++] = real;
        return DYN_OK;
}

void roots_finish(struct roots *r)
{
        for (int i = 0; i < r->n; i++)
                free(r->paths[i]);
        mem_free(r->paths);
        *r = (struct roots){0};
}

static bool is_inside(const struct roots *r, const char *real)
{
        for (int i = 0; i < r->n; i++) {
                size_t n = strlen(r->paths[i]);

                if (strncmp(real, r->paths[i], n) == 0 && (real[n] == 0 || real[n] == '/' || n == 1))
                        return true;
        }
        return false;
}

// The real path of the deepest part of a path that exists; NULL if what is missing climbs. path is cut.
static char *real_ancestor(char *path)
{
        for (;;) {
                char *slash = strrchr(path, '/');
                const char *last = slash ? slash + 1 : path;

                if (strcmp(last, "..") == 0)
                        return NULL;
                if (slash == NULL)
                        return realpath(".", NULL);
                *slash = 0;
                char *real = realpath(slash == path ? "/" : path, NULL);
                if (real != NULL || slash == path)
                        return real;
        }
}

static enum dyn_status fail_missing(const struct roots *r, const char *path, struct dyn_error *err)
{
        char *copy = mem_strdup(path), *real = real_ancestor(copy);
        bool inside = real != NULL && is_inside(r, real);

        free(real);
        mem_free(copy);
        return inside ? dyn_fail(err, DYN_NOT_FOUND, "%s: no such folder", path)
                      : dyn_fail(err, DYN_FORBIDDEN, "%s: expected a folder in the adapter store or in an adapter root",
                                path);
}

enum dyn_status roots_check(const struct roots *r, const char *path, struct dyn_error *err)
{
        static const char *const files[] = {"", "/" FOLDER_CONFIG, "/" FOLDER_WEIGHTS};

        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
                char *full = mem_printf("%s%s", path, files[i]);
                char *real = realpath(full, NULL);
                bool missing = real == NULL && (errno == ENOENT || errno == ENOTDIR);
                bool inside = real != NULL && is_inside(r, real);

                mem_free(full);
                free(real);
                if (missing && i == 0)
                        return fail_missing(r, path, err);
                if (!missing && !inside)
                        return dyn_fail(err, DYN_FORBIDDEN,
                                "%s%s: expected to lie in the adapter store or in an adapter root, found that it does "
                                "not",
                                path, files[i]);
        }
        return DYN_OK;
}

char *roots_settle(const char *path)
{
        const char *rest = NULL;

        for (const char *at = path; (at = strstr(at, "/..")) != NULL; at += 3)
                if (at[3] == 0 || at[3] == '/')
                        rest = at + 3;
        if (rest == NULL)
                return mem_strdup(path);
        char *climbing = mem_strndup(path, (size_t)(rest - path)), *real = realpath(climbing, NULL);
        char *settled = real == NULL             ? mem_strdup(path)
                        : strcmp(real, "/") == 0 ? mem_strdup(*rest ? rest : "/")
                                                 : mem_printf("%s%s", real, rest);

        free(real);
        mem_free(climbing);
        return settled;
}
