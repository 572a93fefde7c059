// A request on its way through the engine: its tokens, how far their KV is computed, and the pages that hold it.
// Made at submit, owned by the scheduler from then on; engine thread.
#ifndef DYNLORA_SCHED_SEQUENCE_H
#define DYNLORA_SCHED_SEQUENCE_H

#include "cache/reuse.h"
#include "dynlora/engine.h"

struct sequence {
        struct dyn_request *request;
        struct sequence *next;    // in the waiting line
        uint64_t order;           // of arrival
        int32_t *tokens;          // (n_prompt + max_tokens): the prompt, then the answer
        int n_tokens, n_computed; // tokens known; of these, in the KV cache
        int32_t *pages;           // (n_pages)
        int n_pages;
        struct reuse_chain chain; // behind n_published pages
        int n_published;
        int n_prompt_reported; // prompt tokens reported with their logprobs
        int cached_tokens;     // prompt tokens reused when it was first admitted
        uint64_t mode;         // of the weights in all its steps and reused pages, REUSE_MODES if several; chain.mode
                               // is that of its pages alone
        bool has_mode;
        bool admitted_before;
};

struct sequence *sequence_create(struct dyn_request *);
void sequence_destroy(struct sequence *);

// Tokens whose KV is not there yet; the last one's logits give the next token.
static inline int sequence_pending(const struct sequence *s)
{
        return s->n_tokens - s->n_computed;
}

// Its reader is slow: it rests.
static inline bool sequence_is_held(const struct sequence *s)
{
        return atomic_load(&s->request->held);
}

// Whether rows of the prompt must give logits, to report the prompt's logprobs.
static inline bool sequence_reports_prompt(const struct sequence *s)
{
        return s->request->n_prompt_logprobs >= 0 && s->n_prompt_reported < s->request->n_prompt;
}

// Takes pages until all tokens have a place; false, with what it got so far, if the pool is empty.
bool sequence_reserve(struct sequence *, struct kv_pool *, int n_tokens);

// It takes part in a step with weights in that mode; before n_computed grows.
void sequence_ran(struct sequence *, uint64_t mode);

// It found its first pages in the cache.
void sequence_reused(struct sequence *);

// Gives all pages back; everything must be computed again.
void sequence_release(struct sequence *, struct kv_pool *);

// Makes whole computed pages known for reuse.
void sequence_publish(struct sequence *, struct kv_pool *);

#endif
