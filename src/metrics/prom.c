#include <stdio.h>

#include "metrics/metrics.h"

void prom_head(struct buf *b, const char *name, const char *type, const char *help)
{
        buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void prom_value(struct buf *b, const char *name, const char *labels, double value)
{
        buf_puts(b, name);
        if (labels != NULL)
                buf_printf(b, "{%s}", labels);
        buf_printf(b, " %.17g\n", value);
}

void prom_histogram(struct buf *b, const char *name, const char *labels, const struct metric_histogram *h)
{
        const char *own = labels ? labels : "", *comma = labels ? "," : "";
        char open[2] = {0}, close[2] = {0};
        uint64_t total = 0;

        if (labels != NULL)
                open[0] = '{', close[0] = '}';
        for (int i = 0; i < h->n_bounds; i++) {
                total += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
                buf_printf(b, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, own, comma, h->bounds[i],
                        (unsigned long long)total);
        }
        total += atomic_load_explicit(&h->counts[h->n_bounds], memory_order_relaxed);
        buf_printf(b, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, own, comma, (unsigned long long)total);
        buf_printf(
                b, "%s_sum%s%s%s %.17g\n", name, open, own, close, atomic_load_explicit(&h->sum, memory_order_relaxed));
        buf_printf(b, "%s_count%s%s%s %llu\n", name, open, own, close, (unsigned long long)total);
}

void prom_label(struct buf *b, const char *label, const char *value)
{
        buf_printf(b, "%s%s=\"", b->len ? "," : "", label);
        for (; *value != 0; value++) {
                if (*value == '\n') {
                        buf_puts(b, "\\n");
                        continue;
                }
                if (*value == '"' || *value == '\\')
                        buf_putc(b, '\\');
                buf_putc(b, *value);
        }
        buf_putc(b, '"');
}
