#include "conf/nearest.h"

#include <limits.h>
#include <string.h>

#define MAX_LEN 48

static int least(int a, int b)
{
        return a < b ? a : b;
}

// Letters to insert, delete or replace to turn a into b. Source: Levenshtein, 1966; row by row after Wagner and
// Fischer, 1974.
static int distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
        int row[MAX_LEN + 1];

        for (size_t j = 0; j <= b_len; j++)
                row[j] = (int)j;
        for (size_t i = 1; i <= a_len; i++) {
                int diagonal = row[0];

                row[0] = (int)i;
                for (size_t j = 1; j <= b_len; j++) {
                        int above = row[j];

                        row[j] = least(least(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
                        diagonal = above;
                }
        }
        return row[b_len];
}

const char *conf_nearest(const struct conf_table *t, const char *name, size_t len)
{
        const char *best = NULL;
        int best_distance = INT_MAX;

        if (len > MAX_LEN)
                return NULL;
        for (int i = 0; i < t->n; i++) {
                const char *other = t->rows[i].name;
                int d = distance(name, len, other, strlen(other));

                if (d < best_distance) {
                        best_distance = d;
                        best = other;
                }
        }
        return best_distance <= 1 + (int)len / 4 ? best : NULL;
}
