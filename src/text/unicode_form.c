#include "text/unicode_form.h"

#include <stdlib.h>

#include <utf8proc.h>

#include "base/alloc.h"
#include "text/utf8.h"

struct marked {
        utf8proc_int32_t code;
        unsigned index;
        utf8proc_propval_t combining_class;
};

static int by_class(const void *a, const void *b)
{
        const struct marked *x = a, *y = b;

        if (x->combining_class != y->combining_class)
                return x->combining_class < y->combining_class ? -1 : 1;
        return x->index < y->index ? -1 : 1;
}

// Canonical ordering of a run of characters whose combining class is not 0: stable by class. Sorted by hand because
// utf8proc's own ordering takes quadratic time on a long run.
static void sort_run(utf8proc_int32_t *codes, size_t n)
{
        struct marked *run;

        if (n < 2)
                return;
        run = mem_array(n, sizeof *run);
        for (size_t i = 0; i < n; i++)
                run[i] = (struct marked){codes[i], (unsigned)i, utf8proc_get_property(codes[i])->combining_class};
        qsort(run, n, sizeof *run, by_class);
        for (size_t i = 0; i < n; i++)
                codes[i] = run[i].code;
        mem_free(run);
}

static void sort_marks(utf8proc_int32_t *codes, size_t n)
{
        for (size_t i = 0, start; i < n; i++) {
                start = i;
                while (i < n && utf8proc_get_property(codes[i])->combining_class != 0)
                        i++;
                sort_run(codes + start, i - start);
        }
}

void unicode_form(struct buf *out, const char *text, size_t len, bool compose, bool compatible)
{
        utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0);
        utf8proc_int32_t *codes = NULL;
        utf8proc_ssize_t n = 0, cap = 0;
        uint32_t code = 0;

        for (size_t i = 0; i < len; i += (size_t)utf8_len(text + i)) {
                utf8_next(text + i, text + len, &code);
                if (cap - n < 32) { // the longest decomposition is 18 characters
                        cap = cap * 2 + 256;
                        codes = mem_realloc(codes, (size_t)cap * sizeof *codes);
                }
                n += utf8proc_decompose_char((utf8proc_int32_t)code, codes + n, cap - n, options, NULL);
        }
        sort_marks(codes, (size_t)n);
        if (compose)
                n = utf8proc_normalize_utf32(codes, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        for (utf8proc_ssize_t i = 0; i < n; i++)
                out->len += (size_t)utf8_put(buf_reserve(out, 4), (uint32_t)codes[i]);
        mem_free(codes);
}
