// dynlora.json of a folder in the store (adapt/shelf.h): {"path": "/elsewhere", "pin": true, "mode": "auto"}, each of
// them optional. What is not understood is refused: it was meant to change something.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/shelf.h"
#include "base/alloc.h"
#include "io/json.h"

#define MAX_TEXT (64 * 1024)

static const char *const modes[] = {"auto", "merged", "unmerged"};

const char *store_mode_name(enum store_mode mode)
{
        return modes[mode];
}

static enum dyn_status parse_mode(const cJSON *tree, enum store_mode *mode, struct dyn_error *err)
{
        const char *text = "auto";
        enum dyn_status st = json_get_string(tree, "mode", &text, err);

        for (int i = 0; st == DYN_OK && i < 3; i++) {
                if (strcmp(text, modes[i]) == 0) {
                        *mode = (enum store_mode)i;
                        return DYN_OK;
                }
        }
        return st ? st
                  : dyn_fail(err, DYN_INVALID, "\"mode\": expected auto, merged or unmerged, found \"%.40s\"", text);
}

static enum dyn_status parse_path(const cJSON *tree, char **target, struct dyn_error *err)
{
        const char *path = NULL;
        enum dyn_status st = json_get_string(tree, "path", &path, err);

        if (st || path == NULL)
                return st;
        if (path[0] != '/')
                return dyn_fail(err, DYN_INVALID, "\"path\": expected an absolute path, found \"%.200s\"", path);
        *target = mem_strdup(path);
        return DYN_OK;
}

static enum dyn_status parse(const cJSON *tree, struct store_settings *s, char **target, struct dyn_error *err)
{
        char found[80];
        enum dyn_status st;

        if (!cJSON_IsObject(tree))
                return dyn_fail(
                        err, DYN_INVALID, "expected an object, found %s", json_describe(tree, found, sizeof found));
        for (const cJSON *c = tree->child; c != NULL; c = c->next) {
                if (strcmp(c->string, "path") != 0 && strcmp(c->string, "pin") != 0 && strcmp(c->string, "mode") != 0)
                        return dyn_fail(
                                err, DYN_INVALID, "expected \"path\", \"pin\" or \"mode\", found \"%.80s\"", c->string);
        }
        st = json_get_bool(tree, "pin", &s->pin, err);
        if (st == DYN_OK)
                st = parse_mode(tree, &s->mode, err);
        if (st == DYN_OK)
                st = parse_path(tree, target, err);
        return st;
}

// The file's bytes. A link is not followed: the file is ours.
static enum dyn_status read_text(int fd, char *text, size_t *len, struct dyn_error *err)
{
        struct stat st;
        ssize_t n = 1;

        *len = 0;
        if (fstat(fd, &st) != 0)
                return dyn_fail(err, DYN_IO, "%s", strerror(errno));
        if (!S_ISREG(st.st_mode) || st.st_size > MAX_TEXT)
                return dyn_fail(err, DYN_INVALID, "expected a regular file of at most %d bytes", MAX_TEXT);
        while (n > 0 && *len < MAX_TEXT) {
                n = read(fd, text + *len, MAX_TEXT - *len);
                if (n < 0 && errno == EINTR)
                        n = 1;
                else if (n < 0)
                        return dyn_fail(err, DYN_IO, "%s", strerror(errno));
                else
                        *len += (size_t)n;
        }
        return DYN_OK;
}

enum dyn_status settings_read(
        int folder, const char *label, struct store_settings *s, char **target, struct dyn_error *err)
{
        int fd = openat(folder, STORE_SETTINGS, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        cJSON *tree = NULL;
        enum dyn_status st;
        size_t len;

        *s = (struct store_settings){0};
        *target = NULL;
        if (fd < 0 && errno == ENOENT)
                return DYN_OK;
        if (fd < 0 && errno == ELOOP) {
                st = dyn_fail(err, DYN_INVALID, "expected a regular file, found a link");
        } else if (fd < 0) {
                st = dyn_fail(err, DYN_IO, "%s", strerror(errno));
        } else {
                char *text = mem_alloc(MAX_TEXT);

                st = read_text(fd, text, &len, err);
                if (st == DYN_OK)
                        st = json_parse(text, len, &tree, err);
                if (st == DYN_OK)
                        st = parse(tree, s, target, err);
                mem_free(text);
                cJSON_Delete(tree);
                close(fd);
        }
        if (st == DYN_OK)
                return DYN_OK;
        *s = (struct store_settings){0};
        dyn_fail_in(err, STORE_SETTINGS);
        return dyn_fail_in(err, label);
}

enum dyn_status settings_write(int folder, const char *label, const char *file, const struct store_settings *s,
        const char *target, struct dyn_error *err)
{
        cJSON *tree = cJSON_CreateObject();
        int fd = openat(folder, file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
        bool ok;

        if (target != NULL)
                cJSON_AddStringToObject(tree, "path", target);
        cJSON_AddBoolToObject(tree, "pin", s->pin);
        cJSON_AddStringToObject(tree, "mode", modes[s->mode]);
        char *text = cJSON_PrintUnformatted(tree);

        cJSON_Delete(tree);
        ok = fd >= 0 && shelf_write(fd, text, strlen(text)) && shelf_write(fd, "\n", 1) && fsync(fd) == 0;
        int error = errno;

        cJSON_free(text);
        if (fd >= 0)
                close(fd);
        return ok ? DYN_OK : shelf_fail(err, label, file, error);
}
