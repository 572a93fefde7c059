// The engine: one resident base model, many adapters, one batch. Usable without HTTP by whoever embeds it.
//
// One engine thread runs steps; the caller submits requests from any thread and takes events from one thread. It knows
// token ids only: tokenizer, templates and stop strings are the caller's. The same request with the same seed gives the
// same bits, whatever else is in the batch, however the prompt was chunked, and whether it was preempted or found its
// prefix in the cache.
#ifndef DYNLORA_ENGINE_H
#define DYNLORA_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dynlora/status.h"
#include "dynlora/tensor.h"

struct dyn_engine;
struct dyn_adapter; // one loaded version of an adapter: immutable and counted

#define DYN_MAX_LOGPROBS 20

// Whether adapters are merged into the base's weights. AUTO: when that pays, by measured cost (src/adapt/merge.h).
// NEVER computes every row on the base's own weights. ALWAYS: the adapter with most rows, whatever it costs.
enum dyn_merge { DYN_MERGE_AUTO, DYN_MERGE_NEVER, DYN_MERGE_ALWAYS };

// How quantised tensors of a checkpoint are held: as they lie where the device has a kernel for them, and as bf16
// otherwise; as they lie or not at all; all of them as bf16. The plain types stay what they are.
enum dyn_weights { DYN_WEIGHTS_AUTO, DYN_WEIGHTS_NATIVE, DYN_WEIGHTS_BF16 };

struct dyn_engine_options {
        const char *model;   // a Hugging Face folder or a .gguf file
        const char *backend; // "auto" or another name of backend.h: "cpu", "cpu-avx2", "plain", ...
        enum dyn_weights weights;
        int threads;             // 0: one for each core
        size_t kv_memory;        // bytes; 0: a share of free memory
        enum dyn_dtype kv_dtype; // F32 or F16
        int max_rows, max_queue; // sequences in a step; waiting ones before DYN_BUSY
        int step_tokens;         // tokens in a step, at least max_rows
        int max_context;         // positions in a sequence; 0: the model's
        bool prefix_cache;
        enum dyn_merge merge;
        void (*wake)(
                void *ctx); // called on the engine thread when events wait and the queue was empty before; may be NULL
        void (*progress)(void *ctx, const char *what, double done); // while loading, 0 .. 1; may be NULL
        void *ctx;                                                  // for wake and progress
};

// Loads the model and starts the engine thread. Takes seconds; the error says why it could not.
enum dyn_status dyn_engine_create(struct dyn_engine **, const struct dyn_engine_options *, struct dyn_error *);

// Ends every request with DYN_FINISH_CANCELLED (its events can no longer be polled), joins the thread, frees
// everything. Adapters still pinned by the caller must be unpinned before.
void dyn_engine_destroy(struct dyn_engine *);

struct dyn_model_info {
        const char *arch;    // "llama"
        const char *backend; // "cpu-avx2"
        int n_layers, dim, hidden_dim, n_heads, n_kv_heads, head_dim, vocab_size;
        int max_context; // positions a sequence may have here
        int64_t n_params;
        size_t weight_bytes;
        enum dyn_dtype weight_dtype; // of the largest share of the weights as they are used
        const char *fingerprint;     // 16 hex digits: checkpoint, backend, weight_dtype and kv_dtype
        size_t kv_bytes;
        int kv_pages;
};

const struct dyn_model_info *dyn_engine_model(const struct dyn_engine *);

// Adapters
// --------------------------------------------------------------------------------------------------------------

struct dyn_adapter_info {
        const char *name, *kind;
        const char *path;       // of a version that the server's store moves, until it moves: copy it to keep it
        const char *sha256;     // of the folder's content, 64 hex digits
        const char *version;    // the first 16 of them
        const char *base_model; // base_model_name_or_path as the adapter says it, or NULL
        int rank;               // the largest
        int n_sites;            // sites it patches
        size_t bytes;           // on the device
        int64_t loaded_at;      // seconds since 1970
};

// Reads, checks and lowers an adapter folder and puts it on the device; pinned once for the caller. Any thread; blocks.
// The folder may change or go afterwards. The error names file, field, what was expected and what was found.
enum dyn_status dyn_adapter_load(
        struct dyn_engine *, const char *name, const char *path, struct dyn_adapter **, struct dyn_error *);

// Where adapters of this engine are put, for those who move versions between disk, host and device themselves
// (src/adapt/version.h).
struct adapter_host;
const struct adapter_host *dyn_engine_adapter_host(const struct dyn_engine *);

const struct dyn_adapter_info *dyn_adapter_info(const struct dyn_adapter *);

// Counted references, any thread; the last unpin frees. NULL is allowed.
struct dyn_adapter *dyn_adapter_pin(struct dyn_adapter *);
void dyn_adapter_unpin(struct dyn_adapter *);

// Merging. The engine decides between steps which adapter lies merged, if any; nobody waits for it, and answers stay
// right in every mode. An adapter is told to it here to be merged now; with keep, whatever it costs, until another call
// (NULL: nobody is preferred any more). The adapter must be pinned and on the device when this is called. Any thread.
void dyn_engine_prefer_merged(struct dyn_engine *, struct dyn_adapter *, bool keep);

// Seconds since 1970 from when on it has been merged in all its sites; 0: it is not.
int64_t dyn_adapter_merged_since(const struct dyn_adapter *);

// Why it cannot be merged, or NULL.
const char *dyn_adapter_unmerged_because(const struct dyn_adapter *);

// Requests
// --------------------------------------------------------------------------------------------------------------

struct dyn_logit_bias {
        int32_t id;
        float bias;
};

// Applied in this order: logit_bias, min_tokens (stop ids barred), repetition, frequency and presence penalty,
// temperature, min_p, top_k, top_p; then one draw from a counter-based generator keyed by (seed, position).
struct dyn_sampling {
        float temperature;                         // under 1e-5: greedy (ties: the lowest id)
        float top_p;                               // 1: off
        float min_p;                               // 0: off
        int top_k;                                 // 0: off
        float repetition_penalty;                  // 1: off; over prompt and answer
        float frequency_penalty, presence_penalty; // 0: off; over the answer
        uint64_t seed;
        const struct dyn_logit_bias *bias; // (n_bias)
        int n_bias;
};

// One sequence. The caller fills it (zero is the default where a default makes sense), keeps it and what it points to
// unchanged until DYN_EVENT_END, and frees it then.
struct dyn_request {
        const int32_t *prompt; // (n_prompt), at least one
        int n_prompt;
        struct dyn_adapter *adapter; // pinned by the caller until END; NULL is the base
        struct dyn_sampling sampling;
        int max_tokens; // 0: only the prompt is run (its logprobs are reported)
        int min_tokens;
        const int32_t *stop_ids; // (n_stop_ids): one of these ends the answer; it is the last token reported
        int n_stop_ids;
        int n_logprobs;        // best alternatives to report with each token; -1: no logprobs at all
        int n_prompt_logprobs; // the same for the prompt; -1: none. Anything else turns prefix reuse off for it
        void *owner;           // the caller's
        // Set by any thread, read once a step.
        atomic_bool cancelled; // end it
        atomic_bool held;      // leave it out of steps for now: its reader is slow
        // The engine's own.
        struct sequence *sequence;
};

// DYN_INVALID if it can never run (empty prompt, an id out of range, prompt + max_tokens over max_context);
// DYN_BUSY if max_queue requests wait. Nothing happens to it then. Any thread.
enum dyn_status dyn_engine_submit(struct dyn_engine *, struct dyn_request *, struct dyn_error *);

// Makes sure that the engine looks at a changed flag of a request. Any thread.
void dyn_engine_kick(struct dyn_engine *);

enum dyn_finish { DYN_FINISH_STOP, DYN_FINISH_LENGTH, DYN_FINISH_CANCELLED, DYN_FINISH_ERROR };
enum dyn_event_kind { DYN_EVENT_PROMPT, DYN_EVENT_TOKEN, DYN_EVENT_END };

struct dyn_logprob {
        int32_t id;
        float logprob; // natural log, from the model's own logits, before any sampling parameter
};

// Which weights an answer was computed with so far: the base's own, with one adapter's patch merged in, or several of
// these in turn. The same request and seed give the same bits again in the same one of the first two.
enum dyn_mode { DYN_MODE_PER_ROW, DYN_MODE_MERGED, DYN_MODE_SWITCHED };

struct dyn_event {
        struct dyn_request *request;
        enum dyn_event_kind kind;
        enum dyn_finish finish; // END
        int32_t token;          // PROMPT (in order, the first has no logprob), TOKEN
        float logprob;          // of token; 0 if none was asked for
        int rank;               // of token among all, 1 is the best; 0 if no logprob
        int cached_tokens;      // END: prompt tokens whose KV was reused
        enum dyn_mode mode;     // TOKEN, END
        char merged[17];        // MERGED: the version
        int n_top;
        struct dyn_logprob top[DYN_MAX_LOGPROBS]; // best first
};

// The oldest event, false if none waits. After END the engine no longer knows the request. One thread.
bool dyn_engine_poll(struct dyn_engine *, struct dyn_event *);

// Numbers
// ---------------------------------------------------------------------------------------------------------------

struct engine_metrics; // src/sched/stats.h: counters and histograms of the engine, read by the metrics page
const struct engine_metrics *dyn_engine_metrics(const struct dyn_engine *);

#endif
