// One inference call: its prompts times n sequences in the engine, whose events become text here. admission.c brings it
// from its arrival into the engine; generation.c reads the events; answer.c, completions.c and chat.c say them whole,
// stream.c as they come. It takes its exchange at once and lives until the engine has ended all of its sequences, also
// when the client is long gone. Loop thread; while it is read at the desk, all but exchange, aborted, version and the
// links is the desk's; while its answer is written there, both only read it.
#ifndef DYNLORA_API_GENERATION_H
#define DYNLORA_API_GENERATION_H

#include <stddef.h>

#include "api/fields.h"
#include "api/logprobs.h"
#include "api/prompts.h"
#include "api/stop.h"
#include "api/writer.h"
#include "text/detok.h"

// One sequence.
struct choice {
        struct dyn_request request;
        struct generation *generation;
        int index;             // in the answer
        struct prompt *prompt; // what it continues
        bool first_of_prompt;  // of the n that continue it: speaks for the prompt
        struct detok detok, echo_detok;
        struct buf text;       // of the answer, without the prompt
        size_t settled;        // bytes of it that no stop string can take back
        size_t stop_from;      // a stop string may begin from here on
        struct stop_scan scan; // of text
        size_t n_chars;        // characters of echo and text, as far as counted
        size_t counted;        // bytes of text counted
        struct tokens tokens;  // sampled
        struct logprobs probs; // of tokens, if wanted
        struct logprobs prompt_probs;
        int64_t token_ns; // when the last token came; 0: none yet
        int cached_tokens;

        bool finished;      // the answer is complete: what still comes is dropped
        bool ended;         // the engine is done with it
        bool failed;        // by the engine's fault
        const char *finish; // "stop", "length"
        int stop_string;    // which completed it, or -1
        int32_t stop_token; // which of stop_token_ids completed it, or -1

        bool opened; // stream: its first chunk is out
        size_t sent, sent_tokens;
};

struct generation {
        struct api *api;
        struct http_exchange *exchange; // NULL once it is answered or the client has left
        const struct generation_form *form;
        struct generation *next, **link; // in api->generations
        char id[48];
        int64_t created; // seconds since 1970
        int64_t arrived_ns;

        struct desk_job job;
        bool at_desk;
        struct buf text;        // the body as it came, until it is read
        size_t body_bytes;      // how large it was, until little is left of it
        cJSON *body;            // params and stops borrow from it
        struct problem problem; // what the desk found wrong
        struct params params;
        struct adapter_version *version; // NULL is the base; counted in while this lives
        bool accepted;                   // nothing is wrong with it: it counts as a request
        struct want want;                // for the version to be on the device
        bool wanting, granted;
        struct retry retry; // after a want that failed, to choose the version anew
        bool retrying;
        int64_t lost_ns; // when the first want failed; 0: none did
        struct prompts prompts;
        struct stop_set stops;
        struct tokens stop_ids; // those of the request, then the model's
        int n_own_stop_ids;
        struct dyn_logit_bias *bias; // (n_bias)
        int n_bias;

        struct choice *choices; // (n_choices)
        int n_choices, n_submitted, n_ended;
        bool has_mode; // an event came: which weights it was computed with so far, and the version or number to it
        enum dyn_mode mode;
        char merged[17];
        uint64_t switched;
        bool held;     // the client reads too slowly: sequences rest
        bool aborted;  // the client left
        bool rejected; // the queue was full
        struct buf answer;
};

static inline struct generation *generation_of(struct desk_job *job)
{
        return (struct generation *)((char *)job - offsetof(struct generation, job));
}

// A part of a choice as one chunk, or the whole answer, shows it.
struct slice {
        bool opens; // what belongs before the first token goes with it
        bool ends;  // the finish reason goes with it
        const char *text;
        size_t len;
        size_t first_token, end_token;
};

// How completions and chat differ.
struct generation_form {
        enum fields_of of;
        const char *id_prefix, *object, *chunk_object;
        enum dyn_status (*read_prompts)(struct api *, const struct params *, struct prompts *, struct problem *);
        void (*write_choice)(struct writer *, const struct choice *, const struct slice *);
        void (*write_top)(struct writer *, const struct generation *); // members beside the choices; may be NULL
        bool opens_alone; // a stream's first chunk of a choice holds no text
};

// admission.c: reads the exchange's body and starts what it asks for, or answers why not.
void generation_begin(struct api *, struct http_exchange *, const struct generation_form *);

struct generation *generation_create(struct api *, struct http_exchange *, const struct generation_form *);

// The end of one of which nothing is in the engine any more: its answer, if somebody still waits for it.
void generation_complete(struct generation *);

// From api.c's pump.
void generation_event(const struct dyn_event *);

// Ends all sequences of a call that nobody waits for any more.
void generation_cancel(struct generation *);

// Lets its sequences rest, or go on.
void generation_hold(struct generation *, bool held);

#endif
