#include "conf/conf.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "conf/source.h"
#include "conf/table.h"

#define ENV_PREFIX "DYNLORA_"

// Defaults
// ---------------------------------------------------------------------------------------------------------------

static void set_defaults(struct conf *c)
{
        *c = (struct conf){0};
        source_set_defaults(&conf_serve_table, c);
}

// Environment
// ---------------------------------------------------------------------------------------------------------------

// "MAX_ROWS" as "max-rows".
static size_t option_name(char *out, const char *var, size_t len)
{
        size_t n = len < SOURCE_MAX_NAME ? len : SOURCE_MAX_NAME;

        for (size_t i = 0; i < n; i++)
                out[i] = (char)(var[i] == '_' ? '-' : tolower((unsigned char)var[i]));
        return n;
}

// Each part of a list between colons, empty parts left out.
static enum dyn_status take_parts(struct source *s, int row, const char *text, const char *where)
{
        char *copy = mem_strdup(text), *rest = copy, *part;
        enum dyn_status st = DYN_OK;

        while (st == DYN_OK && (part = strsep(&rest, ":")) != NULL)
                if (*part != 0)
                        st = source_take(s, row, part, where);
        mem_free(copy);
        return st;
}

// Whether Kubernetes set it: for a service called "dynlora" each pod gets DYNLORA_SERVICE_HOST, DYNLORA_PORT,
// DYNLORA_PORT_8000_TCP_ADDR and more, for "dynlora-x" DYNLORA_X_PORT and so on. No option has these words.
static bool is_service_link(const char *name, size_t len)
{
        for (size_t i = 0; i + 4 <= len; i += strcspn(name + i, "_=") + 1) {
                size_t word = strcspn(name + i, "_=");

                if ((word == 4 && memcmp(name + i, "PORT", 4) == 0) || strncmp(name + i, "SERVICE_HOST=", 13) == 0)
                        return true;
        }
        return false;
}

// What `dynlora adapters` reads, often from the same shell.
static bool is_clients(const char *name, size_t len)
{
        return (len == 3 && memcmp(name, "URL", 3) == 0) || (len == 11 && memcmp(name, "ADMIN_TOKEN", 11) == 0);
}

static enum dyn_status take_variable(struct source *s, const char *name, size_t len, const char *text)
{
        char option[SOURCE_MAX_NAME], where[SOURCE_MAX_NAME + 40];
        size_t n = option_name(option, name, len);
        int row = len > SOURCE_MAX_NAME ? -1 : conf_table_find(&conf_serve_table, option, n);

        snprintf(where, sizeof where, "environment variable " ENV_PREFIX "%.*s", (int)n, name);
        if ((row >= 0 && *text == 0) || is_service_link(name, len) || is_clients(name, len))
                return DYN_OK; // set to nothing is not set
        if (row >= 0)
                return conf_serve_table.rows[row].type == CONF_LIST ? take_parts(s, row, text, where)
                                                                    : source_take(s, row, text, where);
        return source_fail_unknown(s, where, option, n);
}

static enum dyn_status take_environment(struct conf *c, struct dyn_error *err)
{
        struct source s = {c, &conf_serve_table, err, {false}};
        enum dyn_status st = DYN_OK;

        for (char **e = environ; *e != NULL && st == DYN_OK; e++) {
                const char *equals = strchr(*e, '='), *name = *e + strlen(ENV_PREFIX);

                if (strncmp(*e, ENV_PREFIX, strlen(ENV_PREFIX)) == 0 && equals >= name)
                        st = take_variable(&s, name, (size_t)(equals - name), equals + 1);
        }
        return st;
}

// File
// ---------------------------------------------------------------------------------------------------------------

struct file {
        struct source source;
        const char *path;
        FILE *stream;
        int line;
        bool failed; // and the source's error says why
};

static bool fail_line(struct file *f, const char *expected)
{
        f->failed = true;
        dyn_fail(f->source.err, DYN_INVALID, "%s:%d: expected %s", f->path, f->line, expected);
        return false;
}

// Gives inih a line without leading blanks, which it would take for the continuation of the line before. It would also
// take a line that does not fit for two.
static char *next_line(char *line, int cap, void *ctx)
{
        struct file *f = ctx;

        if (f->failed || fgets(line, cap, f->stream) == NULL)
                return NULL;
        f->line++;
        size_t len = strlen(line), blanks = strspn(line, " \t");

        if (len == 0 || (line[len - 1] != '\n' && !feof(f->stream))) {
                fail_line(f, "a shorter line, without NUL bytes");
                return NULL;
        }
        memmove(line, line + blanks, len - blanks + 1);
        return line;
}

static int take_line(void *ctx, const char *section, const char *name, const char *text)
{
        struct file *f = ctx;
        char where[300];
        int row = conf_table_find(&conf_serve_table, name, strlen(name));

        if (*section != 0)
                return fail_line(f, "no [section]");
        if (strcmp(name, "config") == 0)
                return fail_line(f, "no other file to be named in this one");
        snprintf(where, sizeof where, "%.200s:%d: %.*s", f->path, f->line, SOURCE_MAX_NAME, name);
        f->failed = (row >= 0 ? source_take(&f->source, row, text, where)
                              : source_fail_unknown(&f->source, where, name, strlen(name))) != DYN_OK;
        return !f->failed;
}

static enum dyn_status take_file(struct conf *c, const char *path, struct dyn_error *err)
{
        struct file f = {.source = {c, &conf_serve_table, err, {false}}, .path = path, .stream = fopen(path, "re")};

        if (f.stream == NULL)
                return dyn_fail(err, DYN_IO, "%s: %s", path, strerror(errno));
        int bad_line = ini_parse_stream(next_line, &f, take_line, &f);
        bool broken = ferror(f.stream);

        fclose(f.stream);
        if (broken)
                return dyn_fail(err, DYN_IO, "%s: cannot be read", path);
        if (bad_line != 0 && (!f.failed || bad_line < f.line))
                return dyn_fail(err, DYN_INVALID, "%s:%d: expected a line `option = value`", path, bad_line);
        return f.failed ? DYN_INVALID : DYN_OK;
}

// All together
// ---------------------------------------------------------------------------------------------------------------

static enum dyn_status check_whole(const struct conf *c, struct dyn_error *err)
{
        if (c->model == NULL)
                return dyn_fail(
                        err, DYN_INVALID, "--model: expected a Hugging Face folder or a .gguf file, found nothing");
        if (c->step_tokens < c->max_rows)
                return dyn_fail(err, DYN_INVALID, "--step-tokens: expected at least --max-rows (%d), found %d",
                        c->max_rows, c->step_tokens);
        if (c->merge_at_start != NULL && c->adapters == NULL)
                return dyn_fail(err, DYN_INVALID, "--merge-at-start: expected --adapters with it, found none");
        if (c->merge_at_start != NULL && c->merge == DYN_MERGE_NEVER)
                return dyn_fail(err, DYN_INVALID, "--merge-at-start: expected --merge auto or always, found never");
        return DYN_OK;
}

static enum dyn_status read_over(struct conf *c, int argc, char **argv, struct dyn_error *err)
{
        enum dyn_status st = take_environment(c, err);

        return st == DYN_OK ? source_take_flags(&conf_serve_table, c, argc, argv, err) : st;
}

// Flags and environment are read twice if they name a file, which must come before them.
enum dyn_status conf_read(struct conf *c, int argc, char **argv, struct dyn_error *err)
{
        struct dyn_error local;

        if (err == NULL)
                err = &local;
        set_defaults(c);
        enum dyn_status st = read_over(c, argc, argv, err);
        if (st == DYN_OK && c->config != NULL) {
                char *path = mem_strdup(c->config);

                conf_finish(c);
                set_defaults(c);
                st = take_file(c, path, err);
                if (st == DYN_OK)
                        st = read_over(c, argc, argv, err);
                mem_free(path);
        }
        return st == DYN_OK ? check_whole(c, err) : st;
}

void conf_finish(struct conf *c)
{
        source_clear(&conf_serve_table, c);
}
