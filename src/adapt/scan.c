// The first reading of the store: which of its folders are still to be read, and the word that it is done
// (registry_scan_store in adapt/registry.h). Loop thread.
#include "adapt/book.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"

#define TELL_NS 1000000000 // between two words of progress

struct scan {
        void (*done)(void *ctx, int n_ready, int n_failed);
        void *ctx;
        int n_ready, n_failed, n_left;
        bool listed;         // no more are to come
        int64_t began, told; // nanoseconds
};

static void end_if_done(struct scan *s)
{
        if (!s->listed || s->n_left > 0)
                return;
        log_info("adapter store: %d ready, %d refused, read in %.1f s", s->n_ready, s->n_failed,
                (double)(clock_ns() - s->began) / 1e9);
        if (s->done != NULL)
                s->done(s->ctx, s->n_ready, s->n_failed);
        mem_free(s);
}

void scan_expect(struct scan *s)
{
        s->n_left++;
}

void scan_count(struct scan *s, bool ready)
{
        int64_t now = clock_ns();

        s->n_ready += ready;
        s->n_failed += !ready;
        s->n_left--;
        if (s->n_left > 0 && now - s->told > TELL_NS) {
                int n_read = s->n_ready + s->n_failed;

                s->told = now;
                log_info("adapter store: %d of %d folders read", n_read, n_read + s->n_left);
        }
        end_if_done(s);
}

enum dyn_status registry_scan_store(
        struct registry *r, void (*done)(void *ctx, int n_ready, int n_failed), void *ctx, struct dyn_error *err)
{
        struct store_listing listing = {0};
        struct scan *s;

        if (r->store != NULL) {
                store_tidy(r->store);
                if (store_list(r->store, &listing, err))
                        return DYN_IO;
                watch_start(r);
        }
        s = mem_zalloc(sizeof *s);
        s->done = done;
        s->ctx = ctx;
        s->began = s->told = clock_ns();
        watch_take(r, &listing, s);
        store_listing_free(&listing);
        s->listed = true;
        end_if_done(s);
        return DYN_OK;
}
