#include "bench_drive.h"

#include <assert.h>
#include <semaphore.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "dynlora/backend.h"

struct bench_drive {
        struct dyn_engine *engine;
        sem_t wake;
        uint64_t random;
};

struct row {
        struct dyn_request request;
        int n_cached; // tokens of the prompt that were known already
};

static void on_events(void *ctx)
{
        struct bench_drive *d = ctx;

        sem_post(&d->wake);
}

enum dyn_status bench_drive_create(
        struct bench_drive **out, const struct dyn_engine_options *options, struct dyn_error *err)
{
        struct bench_drive *d = mem_zalloc(sizeof *d);
        struct dyn_engine_options o = *options;

        o.prefix_cache = true;
        o.max_queue = INT32_MAX;
        o.wake = on_events;
        o.ctx = d;
        sem_init(&d->wake, 0, 0);
        enum dyn_status st = dyn_engine_create(&d->engine, &o, err);
        if (st != DYN_OK) {
                bench_drive_destroy(d);
                return st;
        }
        *out = d;
        return DYN_OK;
}

void bench_drive_destroy(struct bench_drive *d)
{
        if (d == NULL)
                return;
        dyn_engine_destroy(d->engine);
        sem_destroy(&d->wake);
        mem_free(d);
}

struct dyn_engine *bench_drive_engine(const struct bench_drive *d)
{
        return d->engine;
}

// Waits until so many rows have ended.
static enum dyn_status wait_for(struct bench_drive *d, int n, struct dyn_error *err)
{
        enum dyn_status st = DYN_OK;
        struct dyn_event event;

        while (n > 0) {
                while (!dyn_engine_poll(d->engine, &event))
                        sem_wait(&d->wake);
                if (event.kind != DYN_EVENT_END)
                        continue;
                ((struct row *)event.request->owner)->n_cached = event.cached_tokens;
                if (event.finish == DYN_FINISH_ERROR)
                        st = dyn_fail(err, DYN_IO, "the engine gave a sequence up: the log says why");
                n--;
        }
        return st;
}

// Rows with prompts of their own. random: a linear congruential generator of 64 bits (Knuth's MMIX).
static struct row *create_rows(struct bench_drive *d, int n, int n_prompt)
{
        struct row *rows = mem_array((size_t)n, sizeof *rows);
        int vocab = dyn_engine_model(d->engine)->vocab_size;

        for (int i = 0; i < n; i++) {
                int32_t *prompt = mem_array((size_t)n_prompt, sizeof *prompt);

                for (int k = 0; k < n_prompt; k++) {
                        d->random = d->random * 6364136223846793005u + 1442695040888963407u;
                        prompt[k] = (int32_t)((d->random >> 33) % (uint64_t)vocab);
                }
                rows[i].request = (struct dyn_request){
                        .prompt = prompt,
                        .n_prompt = n_prompt,
                        .sampling = {.top_p = 1, .repetition_penalty = 1},
                        .n_logprobs = -1,
                        .n_prompt_logprobs = -1,
                        .owner = &rows[i],
                };
        }
        return rows;
}

static void free_rows(struct row *rows, int n)
{
        for (int i = 0; i < n; i++)
                mem_free((int32_t *)rows[i].request.prompt);
        mem_free(rows);
}

// Lets all rows go at the same moment and waits for the last.
static enum dyn_status run(
        struct bench_drive *d, struct row *rows, int n, int max_tokens, double *seconds, struct dyn_error *err)
{
        enum dyn_status st = DYN_OK, ended;
        int n_submitted = 0;

        for (int i = 0; i < n && st == DYN_OK; i++) {
                rows[i].request.max_tokens = max_tokens;
                atomic_store(&rows[i].request.held, true);
                st = dyn_engine_submit(d->engine, &rows[i].request, err);
                n_submitted += st == DYN_OK;
        }
        int64_t began = clock_ns();

        for (int i = 0; i < n_submitted; i++)
                atomic_store(&rows[i].request.held, false);
        dyn_engine_kick(d->engine);
        ended = wait_for(d, n_submitted, err);
        *seconds = (double)(clock_ns() - began) * 1e-9;
        return st ? st : ended;
}

enum dyn_status bench_drive_prefill(
        struct bench_drive *d, struct dyn_adapter *adapter, int n_prompt, double *seconds, struct dyn_error *err)
{
        struct row *row = create_rows(d, 1, n_prompt);

        row->request.adapter = adapter;
        enum dyn_status st = run(d, row, 1, 1, seconds, err);
        free_rows(row, 1);
        return st;
}

// The first time the rows only compute their context, whose pages are kept for reuse. The second time each row begins
// with its last token, so all are in every step up to the end.
enum dyn_status bench_drive_decode(struct bench_drive *d, int n_rows, struct dyn_adapter *const *adapters,
        int n_adapters, int n_context, int n_tokens, double *seconds, struct dyn_error *err)
{
        struct row *rows = create_rows(d, n_rows, n_context + 1);

        assert(n_context % DYN_PAGE_TOKENS == 0);
        for (int i = 0; i < n_rows; i++)
                rows[i].request.adapter = n_adapters ? adapters[i % n_adapters] : NULL;
        enum dyn_status st = run(d, rows, n_rows, 1, seconds, err);
        if (st == DYN_OK)
                st = run(d, rows, n_rows, n_tokens, seconds, err);
        for (int i = 0; i < n_rows && st == DYN_OK; i++)
                if (rows[i].n_cached != n_context)
                        st = dyn_fail(err, DYN_CONFLICT, "expected %d tokens of context in the KV cache, found %d",
                                n_context, rows[i].n_cached);
        free_rows(rows, n_rows);
        return st;
}
