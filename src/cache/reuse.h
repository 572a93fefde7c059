// Prefix reuse: whole pages of KV found again by the adapter version and the exact tokens that led to them. A page's
// place is a chain: its parent's number, then its own tokens; numbers are never used twice, and keys are compared
// whole, so that a hit can be neither stale nor a collision. Engine thread.
#ifndef DYNLORA_CACHE_REUSE_H
#define DYNLORA_CACHE_REUSE_H

#include "cache/kv.h"

// Where a sequence stands in its chain after some whole pages. Zero-initialise with the version of the adapter (0: the
// base).
struct reuse_chain {
        uint64_t version;
        uint64_t parent; // number of the last page in the chain, 0 before the first
        uint64_t
                mode; // of the weights that its pages were computed with, REUSE_MODES if several; set before publishing
};

#define REUSE_MODES UINT64_MAX

// The pages that already hold the longest known run of whole pages of tokens: pins each, writes them to pages and moves
// the chain behind them. Returns how many; at most n_tokens / DYN_PAGE_TOKENS.
int reuse_match(struct kv_pool *, struct reuse_chain *, const int32_t *tokens, int n_tokens, int32_t *pages);

// Makes a full page in use known under the next place in the chain, holding these DYN_PAGE_TOKENS tokens; moves the
// chain on. If another page has that place already, the chain goes on from that one and this page stays private.
void reuse_publish(struct kv_pool *, struct reuse_chain *, const int32_t *tokens, int32_t page);

#endif
