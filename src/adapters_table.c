#include "adapters_table.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "io/json.h"

#define WIDTH    100
#define GAP      2
#define CELL     128 // bytes of a cell
#define NAME_MIN 16

enum { NAME, VERSION, KIND, RANK, STATE, TIER, SIZE, IN_FLIGHT, REQUESTS, N_COLUMNS };

static const struct {
        const char *title, *member;
        bool number; // to the right
} columns[N_COLUMNS] = {
        {"NAME", "name", false},
        {"VERSION", "version", false},
        {"KIND", "kind", false},
        {"RANK", "rank", true},
        {"STATE", "state", false},
        {"TIER", "tier", false},
        {"SIZE", "bytes", true},
        {"IN-FLIGHT", "in_flight", true},
        {"REQUESTS", "requests", true},
};

struct row {
        char cell[N_COLUMNS][CELL];
};

static void put_bytes(char *cell, double bytes)
{
        if (bytes < 1 << 20)
                snprintf(cell, CELL, "%.1f KiB", bytes / 1024);
        else if (bytes < 1 << 30)
                snprintf(cell, CELL, "%.1f MiB", bytes / 1048576);
        else
                snprintf(cell, CELL, "%.1f GiB", bytes / 1073741824);
}

// One word of one line, whatever the server sent.
static void put_text(char *cell, const char *text)
{
        snprintf(cell, CELL, "%s", text);
        for (char *c = cell; *c != 0; c++)
                if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
                        *c = '?';
}

static void put_cell(char *cell, const cJSON *value, int column)
{
        if (cJSON_IsNumber(value) && column == SIZE)
                put_bytes(cell, value->valuedouble);
        else if (cJSON_IsNumber(value))
                snprintf(cell, CELL, "%.0f", value->valuedouble);
        else
                put_text(cell, cJSON_IsString(value) && value->valuestring[0] ? value->valuestring : "-");
}

static void add(char *cell, const char *text)
{
        size_t len = strlen(cell);

        snprintf(cell + len, CELL - len, "%s", text);
}

static void put_row(struct row *row, const cJSON *adapter)
{
        for (int i = 0; i < N_COLUMNS; i++)
                put_cell(row->cell[i], json_member(adapter, columns[i].member), i);
        if (cJSON_IsTrue(json_member(adapter, "pinned")))
                add(row->cell[TIER], "*");
        if (cJSON_IsTrue(json_member(adapter, "merged")))
                add(row->cell[TIER], ", merged");
}

// Each column as wide as it must be, and the names what is left of the line.
static void measure(const struct row *rows, int n, int width[N_COLUMNS])
{
        int left = WIDTH;

        for (int i = 0; i < N_COLUMNS; i++) {
                width[i] = (int)strlen(columns[i].title);
                for (int r = 0; r < n; r++)
                        if ((int)strlen(rows[r].cell[i]) > width[i])
                                width[i] = (int)strlen(rows[r].cell[i]);
                left -= i == NAME ? 0 : GAP + width[i];
        }
        if (width[NAME] > left)
                width[NAME] = left > NAME_MIN ? left : NAME_MIN;
}

static void print_line(FILE *out, const char *const cells[N_COLUMNS], const int width[N_COLUMNS])
{
        for (int i = 0; i < N_COLUMNS; i++) {
                int len = (int)strlen(cells[i]);

                if (len > width[i])
                        fprintf(out, "%.*s..", width[i] - 2, cells[i]);
                else if (columns[i].number)
                        fprintf(out, "%*s", width[i], cells[i]);
                else
                        fprintf(out, "%-*s", width[i], cells[i]);
                fprintf(out, "%*s", i + 1 < N_COLUMNS ? GAP : 1, i + 1 < N_COLUMNS ? "" : "\n");
        }
}

static void print_notes(FILE *out, const cJSON *adapters)
{
        bool pinned = false;
        const cJSON *a;

        cJSON_ArrayForEach(a, adapters)
        {
                const cJSON *name = json_member(a, "name"), *error = json_member(a, "error");

                pinned |= cJSON_IsTrue(json_member(a, "pinned"));
                if (cJSON_IsString(name) && cJSON_IsString(error))
                        fprintf(out, "\n%s: %s\n", name->valuestring, error->valuestring);
        }
        if (pinned)
                fputs("\n* pinned: stays in memory\n", out);
}

void adapters_table_print(FILE *out, const cJSON *adapters)
{
        int n = cJSON_GetArraySize(adapters), r = 0, width[N_COLUMNS];
        struct row *rows = mem_array((size_t)n + 1, sizeof *rows);
        const char *cells[N_COLUMNS];
        const cJSON *a;

        cJSON_ArrayForEach(a, adapters) put_row(&rows[r++], a);
        measure(rows, n, width);
        for (int i = 0; i < N_COLUMNS; i++)
                cells[i] = columns[i].title;
        print_line(out, cells, width);
        for (r = 0; r < n; r++) {
                for (int i = 0; i < N_COLUMNS; i++)
                        cells[i] = rows[r].cell[i];
                print_line(out, cells, width);
        }
        print_notes(out, adapters);
        mem_free(rows);
}
