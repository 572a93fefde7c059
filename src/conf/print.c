// The tables for people: the help of `dynlora serve` and `dynlora bench`, and the sample configuration file.
#include <string.h>

#include "conf/bench.h"
#include "conf/conf.h"
#include "conf/table.h"

#define WIDTH 80
#define LEFT  30 // where the help's text begins

// Text broken at blanks into lines of at most `width` columns, `lead` before each line but the first.
static void wrap(FILE *out, const char *text, int width, const char *lead)
{
        while (*text != 0) {
                size_t len = strlen(text), cut = len;

                if (len > (size_t)width)
                        for (cut = (size_t)width; cut > 0 && text[cut] != ' '; cut--)
                                ;
                if (cut == 0)
                        cut = strcspn(text, " ");
                fprintf(out, "%.*s\n", (int)cut, text);
                text += cut + strspn(text + cut, " ");
                if (*text != 0)
                        fputs(lead, out);
        }
}

// "PATH", or the choices: "auto|bf16".
static void describe_argument(char *text, size_t cap, const struct conf_row *row)
{
        size_t n = 0;

        if (row->choices == NULL) {
                snprintf(text, cap, "%s", row->type == CONF_BOOL ? "on|off" : row->argument);
                return;
        }
        for (const struct conf_choice *k = row->choices; k->name != NULL && n < cap; k++)
                n += (size_t)snprintf(text + n, cap - n, "%s%s", n ? "|" : "", k->name);
}

static void print_option(FILE *out, const struct conf_row *row)
{
        char argument[60] = "", left[100], help[400], lead[LEFT + 1];

        if (row->type != CONF_SWITCH)
                describe_argument(argument, sizeof argument, row);
        snprintf(left, sizeof left, "  --%s %s", row->name, argument);
        if (row->initial != NULL)
                snprintf(help, sizeof help, "%s (%s)", row->help, row->initial);
        else
                snprintf(help, sizeof help, "%s", row->help);
        memset(lead, ' ', LEFT);
        lead[LEFT] = 0;
        if (strlen(left) < LEFT)
                fprintf(out, "%-*s", LEFT, left);
        else
                fprintf(out, "%s\n%s", left, lead);
        wrap(out, help, WIDTH - LEFT, lead);
}

static void print_table(FILE *out, const struct conf_table *t)
{
        for (int i = 0; i < t->n; i++) {
                if (t->rows[i].group != NULL)
                        fprintf(out, "%s%s\n", i ? "\n" : "", t->rows[i].group);
                print_option(out, &t->rows[i]);
        }
}

void conf_print_help(FILE *out)
{
        print_table(out, &conf_serve_table);
        fputs("\n", out);
        fputs("Defaults are in parentheses. A SIZE is in bytes, or 512M, 1.5G and the like.\n", out);
}

void conf_bench_print_help(FILE *out)
{
        print_table(out, &conf_bench_table);
}

void conf_print_sample(FILE *out)
{
        char argument[60];

        fputs("# Options of `dynlora serve --config FILE`, each with its default. Take away the #\n"
              "# before an option to set it. Flags and environment variables (DYNLORA_MAX_ROWS)\n"
              "# go before this file.\n",
                out);
        for (int i = 0; i < conf_serve_table.n; i++) {
                const struct conf_row *row = &conf_serve_table.rows[i];

                if (row->group != NULL)
                        fprintf(out, "\n# %s\n# %.*s\n", row->group, (int)strlen(row->group), "--------------------");
                if (strcmp(row->name, "config") == 0)
                        continue;
                describe_argument(argument, sizeof argument, row);
                fputs("\n# ", out);
                wrap(out, row->help, WIDTH - 2, "# ");
                if (row->choices != NULL || row->type == CONF_BOOL)
                        fprintf(out, "# One of %s.\n", argument);
                fprintf(out, "#%s = %s\n", row->name, row->initial ? row->initial : argument);
        }
}
