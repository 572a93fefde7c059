// Stand-ins for the rooms around src/api: an HTTP exchange that remembers its answer, an engine that takes requests and
// says what a test tells it to, a registry of two adapters, and a tokenizer whose ids are bytes.
#ifndef DYNLORA_TESTS_API_FAKES_H
#define DYNLORA_TESTS_API_FAKES_H

#include "api/server.h"
#include "harness.h"
#include "io/json.h"

// HTTP. An exchange stays readable after it is answered; touching it from the API then fails the test.
struct http_exchange *fake_exchange(const char *body); // freed by fakes_tear_down
int fake_status(const struct http_exchange *);         // 0: not answered
const char *fake_header(const struct http_exchange *, const char *name);
const cJSON *fake_json(struct http_exchange *); // the answer, parsed; freed with the exchange
int fake_n_events(const struct http_exchange *);
const char *fake_event(const struct http_exchange *, int i); // the data of a streamed event
const cJSON *fake_chunk(struct http_exchange *, int i);      // the same, parsed
const char *fake_event_name(const struct http_exchange *, int i);
bool fake_closed(const struct http_exchange *); // the stream
void fake_backlog(struct http_exchange *, size_t bytes);
void fake_drained(struct http_exchange *);
void fake_abort(struct http_exchange *);

// The engine. fake_token and fake_end speak of the i-th request that was taken.
#define FAKE_CONTEXT 100
#define FAKE_EOS     0
#define FAKE_AB      256 // a token of two letters, "ab"
#define FAKE_VOCAB   300
struct dyn_request *fake_taken(int i);
int fake_n_taken(void);
void fake_capacity(int n); // requests that it takes before it says DYN_BUSY
void fake_prompt(int i, int32_t token, int rank, float logprob);
void fake_token(int i, int32_t token);
void fake_text(int i, const char *text); // a token for each byte
void fake_end(int i, enum dyn_finish);

// An api that serves these fakes, with the base "base-model" and the adapters "sql" (version 1111), "shout" (2222) and
// "slow", which is still loading.
extern struct api *fake_api;
extern uv_loop_t fake_loop;
void fake_turn(void); // of the loop: waits until something large is read or written, and goes on with it
extern int fake_sql_in_flight;
extern int fake_n_blends; // asked for so far
int fakes_set_up(void **state);
int fakes_tear_down(void **state);

// The member at a path of names and indices: at(json, "choices.0.text").
const cJSON *at(const cJSON *, const char *path);
const char *string_at(const cJSON *, const char *path); // fails the test if it is no string
int int_at(const cJSON *, const char *path);

#endif
