// What names an uploaded archive may hold (adapt/entries.h).
#include "adapt/entries.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "adapt/folder.h"
#include "base/alloc.h"
#include "base/utf8.h"

#define MAX_NAME 255

const char *const entries_files[2] = {FOLDER_CONFIG, FOLDER_WEIGHTS};

void entries_finish(struct entries *s)
{
        for (int i = 0; i < s->n; i++)
                mem_free(s->list[i].name);
        mem_free(s->list);
        *s = (struct entries){0};
}

const char *entries_show(const char *raw, char buf[128])
{
        size_t n = 0;

        for (; raw[n] != 0 && n < 120; n++)
                buf[n] = raw[n] >= ' ' && raw[n] <= '~' ? raw[n] : '?';
        strcpy(buf + n, raw[n] ? "..." : "");
        return buf;
}

static bool ends_with(const char *s, const char *end)
{
        size_t n = strlen(s), m = strlen(end);

        return n >= m && strcasecmp(s + n - m, end) == 0;
}

static const char *base_of(const char *name)
{
        const char *slash = strrchr(name, '/');

        return slash ? slash + 1 : name;
}

// What macOS adds to archives: its attributes of the files beside them.
static bool is_macos(const char *name)
{
        return strncmp(base_of(name), "._", 2) == 0 || strcmp(name, "__MACOSX") == 0 ||
               strncmp(name, "__MACOSX/", 9) == 0;
}

// Checking
// --------------------------------------------------------------------------------------------------------------------

static enum dyn_status check_bytes(const char *raw, struct dyn_error *err)
{
        const char *end = raw + strlen(raw);
        uint32_t code;

        if (end - raw > MAX_NAME)
                return dyn_fail(err, DYN_INVALID, "expected a name of at most %d bytes", MAX_NAME);
        for (const char *s = raw; s < end;) {
                int n = utf8_next(s, end, &code);

                if (n <= 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) || code == '\\')
                        return dyn_fail(err, DYN_INVALID,
                                "expected a name in UTF-8 without control characters and backslashes");
                s += n;
        }
        if (raw[0] == '/' || (raw[0] != 0 && raw[1] == ':'))
                return dyn_fail(err, DYN_INVALID, "expected a relative name, found an absolute one");
        return DYN_OK;
}

// A pickle can run code when it is read. training_args.bin, which trainers leave beside an adapter, is passed over.
static enum dyn_status check_pickle(const char *name, struct dyn_error *err)
{
        static const char *const ends[] = {".pt", ".pth", ".pkl", ".pickle", ".ckpt"};
        const char *base = base_of(name);
        bool pickle = strcasecmp(base, "adapter_model.bin") == 0 || strcasecmp(base, "pytorch_adapter.bin") == 0;

        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
                pickle = pickle || ends_with(base, ends[i]);
        return pickle ? dyn_fail(err, DYN_UNSUPPORTED,
                                "a pickle can run code and is not read: save the adapter as safetensors")
                      : DYN_OK;
}

// raw without what means nothing, into out. False if it climbs.
static bool normalise(const char *raw, char out[MAX_NAME + 1])
{
        size_t len = 0;

        for (const char *s = raw; *s != 0;) {
                size_t n = strcspn(s, "/");

                if (n == 2 && s[0] == '.' && s[1] == '.')
                        return false;
                if (n > 0 && !(n == 1 && s[0] == '.')) {
                        if (len > 0)
                                out[len++] = '/';
                        memcpy(out + len, s, n);
                        len += n;
                }
                s += n + (s[n] == '/');
        }
        out[len] = 0;
        return true;
}

static enum dyn_status check_twice(const struct entries *s, const char *name, struct dyn_error *err)
{
        for (int i = 0; i < s->n; i++) {
                if (strcasecmp(s->list[i].name, name) == 0)
                        return dyn_fail(err, DYN_INVALID, "stands twice in the archive%s",
                                strcmp(s->list[i].name, name) ? ", in upper and lower case" : "");
        }
        return DYN_OK;
}

static enum dyn_status check(
        const struct entries *s, const char *raw, bool folder, int max, char *name, struct dyn_error *err)
{
        enum dyn_status st = check_bytes(raw, err);

        if (st)
                return st;
        if (!normalise(raw, name))
                return dyn_fail(err, DYN_INVALID, "expected a name within the archive, found \"..\"");
        if (name[0] == 0)
                return folder ? DYN_OK : dyn_fail(err, DYN_INVALID, "expected a file's name, found none");
        st = check_twice(s, name, err);
        if (st == DYN_OK && !folder && !is_macos(name))
                st = check_pickle(name, err);
        if (st == DYN_OK && s->n >= max)
                st = dyn_fail(err, DYN_INVALID, "expected at most %d files and folders in an archive, found more", max);
        return st;
}

enum dyn_status entries_add(
        struct entries *s, const char *raw, bool folder, int max, const char **name, struct dyn_error *err)
{
        char normal[MAX_NAME + 1], shown[128];

        *name = "";
        if (check(s, raw, folder, max, normal, err))
                return dyn_fail_in(err, entries_show(raw, shown));
        if (normal[0] == 0)
                return DYN_OK;
        s->list = mem_realloc(s->list, (size_t)(s->n + 1) * sizeof *s->list);
        s->list[s->n] = (struct entry){.name = mem_strdup(normal), .folder = folder};
        *name = s->list[s->n++].name;
        return DYN_OK;
}

// Where the adapter lies
// ---------------------------------------------------------------------------------------------------------

int entries_file_of(const char *name, const char *root)
{
        size_t n = strlen(root);

        if (strncmp(name, root, n) != 0 || (n > 0 && name[n] != '/'))
                return -1;
        for (int i = 0; i < 2; i++) {
                if (strcmp(name + n + (n > 0), entries_files[i]) == 0)
                        return i;
        }
        return -1;
}

// Bits of the adapter's files that are there.
static unsigned files_in(const struct entries *s, const char *root)
{
        unsigned there = 0;

        for (int i = 0; i < s->n; i++) {
                int file = s->list[i].folder ? -1 : entries_file_of(s->list[i].name, root);

                if (file >= 0)
                        there |= 1u << file;
        }
        return there;
}

// How many folders there are at the top; the name of the last one in root.
static int top_folders(const struct entries *s, char root[256])
{
        int n = 0;

        root[0] = 0;
        for (int i = 0; i < s->n; i++) {
                const char *name = s->list[i].name;
                size_t len = strcspn(name, "/");

                if (is_macos(name) || (name[len] == 0 && !s->list[i].folder))
                        continue;
                if (n > 0 && strncmp(root, name, len) == 0 && root[len] == 0)
                        continue;
                snprintf(root, 256, "%.*s", (int)len, name);
                n++;
        }
        return n;
}

enum dyn_status entries_root(const struct entries *s, char root[256], struct dyn_error *err)
{
        unsigned there = files_in(s, "");

        root[0] = 0;
        if (there == 0 && top_folders(s, root) == 1)
                there = files_in(s, root);
        if (there == 3)
                return DYN_OK;
        return dyn_fail(err, DYN_INVALID,
                "expected " FOLDER_CONFIG " and " FOLDER_WEIGHTS
                " at the top of the archive or in its single folder, found %s",
                there == 1   ? "no " FOLDER_WEIGHTS
                : there == 2 ? "no " FOLDER_CONFIG
                             : "neither");
}
