#include "conf/value.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "conf/bench.h"
#include "conf/conf.h"

static void *field(void *fields, const struct conf_row *row)
{
        return (char *)fields + row->offset;
}

// Digits with an optional sign, whole.
static bool read_int(const char *text, int64_t *out)
{
        char *end;

        if (!isdigit((unsigned char)text[text[0] == '-']))
                return false;
        errno = 0;
        *out = strtoll(text, &end, 10);
        return errno == 0 && *end == 0;
}

// "16M", "1.5G", "4096": binary units. Fractions of a byte are cut.
static bool read_size(const char *text, int64_t *out)
{
        static const char units[] = "KMGT";
        size_t whole = strspn(text, "0123456789"), len = whole;
        double x = strtod(text, NULL); // digits alone: checked below

        if (whole == 0)
                return false;
        if (text[len] == '.') {
                size_t part = strspn(text + len + 1, "0123456789");

                if (part == 0)
                        return false;
                len += 1 + part;
        }
        if (text[len] != 0) {
                const char *unit = strchr(units, toupper((unsigned char)text[len]));

                if (unit == NULL || text[len + 1] != 0)
                        return false;
                for (long i = unit - units; i >= 0; i--)
                        x *= 1024;
        } else if (len != whole) {
                return false;
        }
        if (x >= 9e18)
                return false;
        *out = (int64_t)x;
        return true;
}

static bool read_bool(const char *text, bool *out)
{
        static const char *const words[] = {"on", "off", "true", "false", "yes", "no", "1", "0"};

        for (int i = 0; i < 8; i++) {
                if (strcmp(text, words[i]) == 0) {
                        *out = i % 2 == 0;
                        return true;
                }
        }
        return false;
}

static enum dyn_status set_number(void *fields, const struct conf_row *row, const char *text, struct dyn_error *err)
{
        const char *what = row->type == CONF_SIZE ? "a size such as 512M or 1.5G" : "a whole number";
        int64_t x;

        if (!(row->type == CONF_SIZE ? read_size(text, &x) : read_int(text, &x)))
                return dyn_fail(err, DYN_INVALID, "expected %s, found \"%s\"", what, text);
        if (x < row->min || x > row->max)
                return dyn_fail(err, DYN_INVALID, "expected %s from %lld to %lld, found %s",
                        row->type == CONF_SIZE ? "bytes" : what, (long long)row->min, (long long)row->max, text);
        if (row->type == CONF_SIZE)
                *(size_t *)field(fields, row) = (size_t)x;
        else
                *(int *)field(fields, row) = (int)x;
        return DYN_OK;
}

static enum dyn_status set_ints(void *fields, const struct conf_row *row, const char *text, struct dyn_error *err)
{
        struct conf_ints *ints = field(fields, row);
        char part[24];
        int64_t x;

        ints->n = 0;
        for (const char *at = text;; at++) {
                size_t len = strcspn(at, ",");

                snprintf(part, sizeof part, "%.*s", (int)len, at);
                if (len >= sizeof part || !read_int(part, &x) || x < row->min || x > row->max)
                        return dyn_fail(err, DYN_INVALID,
                                "expected whole numbers from %lld to %lld with commas between, found \"%s\"",
                                (long long)row->min, (long long)row->max, text);
                if (ints->n == CONF_MAX_INTS)
                        return dyn_fail(
                                err, DYN_INVALID, "expected at most %d numbers, found \"%s\"", CONF_MAX_INTS, text);
                ints->at[ints->n++] = (int)x;
                at += len;
                if (*at == 0)
                        return DYN_OK;
        }
}

static const struct conf_choice *find_choice(const struct conf_row *row, const char *text, struct dyn_error *err)
{
        struct buf names = {0};

        for (const struct conf_choice *k = row->choices; k->name != NULL; k++) {
                if (strcmp(k->name, text) == 0) {
                        buf_free(&names);
                        return k;
                }
                buf_printf(&names, "%s%s", names.len == 0 ? "" : k[1].name == NULL ? " or " : ", ", k->name);
        }
        dyn_fail(err, DYN_INVALID, "expected %s, found \"%s\"", names.data, text);
        buf_free(&names);
        return NULL;
}

static enum dyn_status set_string(void *fields, const struct conf_row *row, const char *text, struct dyn_error *err)
{
        char **s = field(fields, row);

        if (*text == 0)
                return dyn_fail(err, DYN_INVALID, "expected a value, found nothing");
        if (row->choices != NULL && find_choice(row, text, err) == NULL)
                return DYN_INVALID;
        mem_free(*s);
        *s = mem_strdup(text);
        return DYN_OK;
}

static enum dyn_status add_string(void *fields, const struct conf_row *row, const char *text, struct dyn_error *err)
{
        struct conf_list *list = field(fields, row);

        if (*text == 0)
                return dyn_fail(err, DYN_INVALID, "expected a value, found nothing");
        list->at = mem_realloc(list->at, ((size_t)list->n + 1) * sizeof *list->at);
        list->at[list->n++] = mem_strdup(text);
        return DYN_OK;
}

enum dyn_status conf_value_set(void *fields, const struct conf_row *row, const char *text, struct dyn_error *err)
{
        const struct conf_choice *choice;

        switch (row->type) {
        case CONF_STRING:
                return set_string(fields, row, text, err);
        case CONF_LIST:
                return add_string(fields, row, text, err);
        case CONF_INTS:
                return set_ints(fields, row, text, err);
        case CONF_BOOL:
        case CONF_SWITCH:
                if (!read_bool(text, field(fields, row)))
                        return dyn_fail(err, DYN_INVALID, "expected on or off, found \"%s\"", text);
                return DYN_OK;
        case CONF_ENUM:
                choice = find_choice(row, text, err);
                if (choice == NULL)
                        return DYN_INVALID;
                memcpy(field(fields, row), &choice->value, sizeof choice->value);
                return DYN_OK;
        default:
                return set_number(fields, row, text, err);
        }
}

void conf_value_clear(void *fields, const struct conf_row *row)
{
        if (row->type == CONF_STRING) {
                char **s = field(fields, row);

                mem_free(*s);
                *s = NULL;
        } else if (row->type == CONF_LIST) {
                struct conf_list *list = field(fields, row);

                for (int i = 0; i < list->n; i++)
                        mem_free(list->at[i]);
                mem_free(list->at);
                *list = (struct conf_list){0};
        }
}
