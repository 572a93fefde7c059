#include "conf/source.h"

#include <stdio.h>
#include <string.h>

#include "conf/nearest.h"
#include "conf/value.h"

enum dyn_status source_fail_unknown(struct source *s, const char *where, const char *name, size_t len)
{
        const char *near = conf_nearest(s->table, name, len);

        if (near == NULL)
                return dyn_fail(s->err, DYN_INVALID, "%s: unknown option", where);
        return dyn_fail(s->err, DYN_INVALID, "%s: unknown option; the nearest is %s", where, near);
}

enum dyn_status source_take(struct source *s, int row, const char *text, const char *where)
{
        const struct conf_row *r = &s->table->rows[row];
        enum dyn_status st = DYN_OK;

        if (!s->given[row])
                conf_value_clear(s->fields, r);
        else if (r->type != CONF_LIST)
                st = dyn_fail(s->err, DYN_INVALID, "expected it once, found it again with \"%s\"", text);
        s->given[row] = true;
        if (st == DYN_OK)
                st = conf_value_set(s->fields, r, text, s->err);
        return st == DYN_OK ? DYN_OK : dyn_fail_in(s->err, where);
}

static enum dyn_status take_flag(struct source *s, int row, const char *name, size_t len, const char *text)
{
        char where[SOURCE_MAX_NAME + 16];

        snprintf(where, sizeof where, "flag --%.*s", (int)(len > SOURCE_MAX_NAME ? SOURCE_MAX_NAME : len), name);
        if (row >= 0 && text == NULL)
                return dyn_fail(s->err, DYN_INVALID, "%s: expected a value after it, found none", where);
        return row >= 0 ? source_take(s, row, text, where) : source_fail_unknown(s, where, name, len);
}

enum dyn_status source_take_flags(
        const struct conf_table *table, void *fields, int argc, char **argv, struct dyn_error *err)
{
        struct source s = {fields, table, err, {false}};
        enum dyn_status st = DYN_OK;

        for (int i = 0; i < argc && st == DYN_OK; i++) {
                const char *name = argv[i] + 2, *text = NULL;

                if (strncmp(argv[i], "--", 2) != 0 || *name == 0)
                        return dyn_fail(
                                err, DYN_INVALID, "expected an option such as --model, found \"%.100s\"", argv[i]);
                size_t len = strcspn(name, "=");
                int row = conf_table_find(table, name, len);

                if (name[len] == '=')
                        text = name + len + 1;
                else if (row >= 0 && table->rows[row].type == CONF_SWITCH)
                        text = "on";
                else if (i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
                        text = argv[++i];
                st = take_flag(&s, row, name, len, text);
        }
        return st;
}

void source_set_defaults(const struct conf_table *table, void *fields)
{
        for (int i = 0; i < table->n; i++)
                if (table->rows[i].initial != NULL)
                        conf_value_set(fields, &table->rows[i], table->rows[i].initial, NULL);
}

void source_clear(const struct conf_table *table, void *fields)
{
        for (int i = 0; i < table->n; i++)
                conf_value_clear(fields, &table->rows[i]);
}
