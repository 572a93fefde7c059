// Merge sort; a comparison is a step.
#include "text/jinja/sort.h"

#include "text/jinja/compare.h"
#include "text/jinja/words.h"

static void merge(struct run *r, struct pair *from, struct pair *to, size_t n, bool reverse)
{
        size_t half = n / 2, a = 0, b = half;

        for (size_t i = 0; i < n; i++) {
                bool left = b >= n;

                if (a < half && b < n && run_spend(r, 1)) {
                        int order = compare_order(r, from[a].key, from[b].key);

                        left = reverse ? order >= 0 : order <= 0;
                }
                to[i] = a < half && (left || b >= n) ? from[a++] : from[b++];
        }
}

static void sort(struct run *r, struct pair *pairs, struct pair *spare, size_t n, bool reverse)
{
        if (n < 2 || !run_ok(r))
                return;
        sort(r, pairs, spare, n / 2, reverse);
        sort(r, pairs + n / 2, spare, n - n / 2, reverse);
        memcpy(spare, pairs, n * sizeof *pairs);
        merge(r, spare, pairs, n, reverse);
}

void sort_by_key(struct run *r, struct pair *pairs, size_t n, bool reverse)
{
        struct pair *spare = run_alloc(r, n * sizeof *spare);

        if (spare)
                sort(r, pairs, spare, n, reverse);
}

struct value sort_fold(struct run *r, struct value v)
{
        return v.kind == VALUE_STRING ? value_string(words_lower(r, v.string)) : v;
}

const struct pair *sort_pairs(struct run *r, const struct dict *dict, bool by_value, bool fold, bool reverse)
{
        // Sorted beside their keys: pairs[i].value is the position in the dict.
        struct pair *order = run_alloc(r, dict->n * sizeof *order), *sorted = run_alloc(r, dict->n * sizeof *sorted);

        if (!order || !sorted)
                return dict->pairs;
        for (size_t i = 0; i < dict->n; i++) {
                struct value key = by_value ? dict->pairs[i].value : dict->pairs[i].key;

                order[i] = (struct pair){fold ? sort_fold(r, key) : key, value_int((int64_t)i)};
        }
        sort_by_key(r, order, dict->n, reverse);
        for (size_t i = 0; i < dict->n; i++)
                sorted[i] = dict->pairs[order[i].value.integer];
        return sorted;
}
