// The simulator of the merge policy: traces of requests, models of what steps cost, strategies that say what is merged,
// and a server that plays one trace with one strategy. Times are seconds. A version is an adapter's number from 1; 0 is
// the base, or nothing merged.
#ifndef DYNLORA_TESTS_BENCH_POLICY_H
#define DYNLORA_TESTS_BENCH_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "adapt/merge.h"

#define MAX_ROWS    32  // sequences that run at once, in the largest model
#define STEP_TOKENS 64  // rows of a step, prompts included
#define DECIDED     0.1 // seconds between two decisions of the policy

// What a step costs
// ----------------------------------------------------------------------------------------------------------

struct model {
        const char *name;
        int max_rows;              // sequences that run at once
        double seconds;            // of a trace: some ten thousand steps
        double fixed, row, beyond; // a step of the base: fixed, and for each row; for each after the eighth
        size_t bytes;              // of an adapter's patches
        size_t touched;            // of the weights under them
        struct merge_costs costs;
        double subtract;            // taking an adapter out by subtracting, as dLoRA does
        double t_merged, t_patched; // a full step of one adapter merged, and of four per row: dLoRA's profile
};

extern const struct model models[];
extern const int n_models;

// Rows of a version in a step.
struct share {
        uint64_t version;
        int rows;
};

double model_base(const struct model *, int rows);

// What adapters add to a step: with `merged` in the weights (0: nothing).
double model_patches(const struct model *, const struct share *, int n, uint64_t merged);

double model_merge(const struct model *);
double model_restore(const struct model *);
double model_pass(const struct model *);

// Who asks for what
// ----------------------------------------------------------------------------------------------------------

struct request {
        double arrived;
        uint64_t version;
        int prompt, answer; // tokens
};

struct rng {
        uint64_t state;
};

double rng_real(struct rng *); // in (0, 1)
int rng_below(struct rng *, int n);

// Clients that ask anew when they have their answer (closed), or requests that come when they come (open).
struct trace {
        const char *name, *what;
        double crowd;   // closed: clients, as a share of the sequences that run at once; at least one
        int n_adapters; // versions are at most that
        bool watches;   // the trace sees what is merged: an oracle cannot know it
        uint64_t (*wants)(const struct trace *, struct rng *, int client, double now, uint64_t merged);
        double period; // of the trace, if it has one
        double rate;   // open: mean load, as a share of what the model can do with one adapter per row
        bool azure;
};

extern const struct trace traces[];
extern const int n_traces;

struct arrivals {
        struct request *at; // (n), by time
        int n;
};

// A client's next request.
struct request trace_request(const struct trace *, struct rng *, int client, double now, uint64_t merged);

// An open trace's requests until `seconds`; to be freed.
struct arrivals trace_arrivals(const struct trace *, const struct model *, double seconds);

// A server that plays a trace
// ----------------------------------------------------------------------------------------------------------

struct live {
        struct request r;
        int client;
        int prompt, answer; // tokens left
        double moved;       // its last step, or its arrival
};

struct view {
        double now;
        const struct model *model;
        const struct trace *trace;
        const struct live *live; // (n), by arrival
        int n;
};

struct strategy {
        const char *name;
        bool stops; // a switch holds everybody up, and what was merged is subtracted
        void *(*create)(const struct view *, double seconds);
        void (*destroy)(void *);
        // Which of the live ones run, at most max_rows, in order; returns how many. *merged: what should be merged.
        int (*choose)(void *, const struct view *, int *chosen, uint64_t *merged);
        void (*ran)(void *, double now, const struct share *, int n); // may be NULL
};

extern const struct strategy strategy_auto, strategy_always, strategy_never, strategy_oracle, strategy_dlora;
extern const struct strategy strategy_timid, strategy_bold; // auto, with costs that are wrong by a factor of two

// The oldest that fit.
int choose_oldest(const struct view *, int *chosen);

struct outcome {
        double tokens; // answered a second
        double p99;    // of requests' latency
        double wait;   // the longest that any request stood still
        int merges;
        double crowding; // least time between the beginnings of two merges
};

struct outcome server_play(const struct model *, const struct trace *, const struct strategy *, double seconds);

#endif
