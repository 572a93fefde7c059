#include "api_fakes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/generation.h"
#include "base/alloc.h"
#include "sched/stats.h"
#include "text/detok.h"

#define MAX_EXCHANGES 16
#define MAX_EVENTS    64
#define MAX_TAKEN     64

// HTTP
// ---------------------------------------------------------------------------------------------------------------------

struct http_exchange {
        char *body;
        int status;
        struct buf out, headers;
        bool gone, streaming;
        cJSON *parsed[MAX_EVENTS];
        char *events[MAX_EVENTS];
        const char *names[MAX_EVENTS];
        int n_events;
        size_t backlog;
        void (*drained)(struct http_exchange *, void *);
        void (*aborted)(struct http_exchange *, void *);
        void *drained_user, *aborted_user;
};

static struct http_exchange *exchanges[MAX_EXCHANGES];
static int n_exchanges;

struct http_exchange *fake_exchange(const char *body)
{
        struct http_exchange *x = mem_zalloc(sizeof *x);

        assert_true(n_exchanges < MAX_EXCHANGES);
        x->body = mem_strdup(body);
        exchanges[n_exchanges++] = x;
        return x;
}

static void exchange_free(struct http_exchange *x)
{
        for (int i = 0; i < MAX_EVENTS; i++) {
                cJSON_Delete(x->parsed[i]);
                mem_free(x->events[i]);
        }
        mem_free(x->body);
        buf_free(&x->out);
        buf_free(&x->headers);
        mem_free(x);
}

int fake_status(const struct http_exchange *x)
{
        return x->status;
}

const char *fake_header(const struct http_exchange *x, const char *name)
{
        for (const char *p = x->headers.data, *end = p + x->headers.len; p < end;) {
                const char *value = p + strlen(p) + 1;

                if (strcmp(p, name) == 0)
                        return value;
                p = value + strlen(value) + 1;
        }
        return NULL;
}

static const cJSON *parse_once(cJSON **slot, const char *text)
{
        struct dyn_error err = {0};

        if (*slot == NULL && json_parse(text, strlen(text), slot, &err) != DYN_OK)
                fail_msg("%s in: %s", err.text, text);
        return *slot;
}

const cJSON *fake_json(struct http_exchange *x)
{
        assert_int_not_equal(x->status, 0);
        return parse_once(&x->parsed[0], x->out.data);
}

int fake_n_events(const struct http_exchange *x)
{
        return x->n_events;
}

const char *fake_event(const struct http_exchange *x, int i)
{
        assert_in_range(i, 0, x->n_events - 1);
        return x->events[i];
}

const cJSON *fake_chunk(struct http_exchange *x, int i)
{
        return parse_once(&x->parsed[i], fake_event(x, i));
}

const char *fake_event_name(const struct http_exchange *x, int i)
{
        assert_in_range(i, 0, x->n_events - 1);
        return x->names[i];
}

bool fake_closed(const struct http_exchange *x)
{
        return x->streaming && x->gone;
}

void fake_backlog(struct http_exchange *x, size_t bytes)
{
        x->backlog = bytes;
}

void fake_drained(struct http_exchange *x)
{
        x->backlog = 0;
        x->drained(x, x->drained_user);
}

void fake_abort(struct http_exchange *x)
{
        assert_false(x->gone);
        x->gone = true;
        if (x->aborted != NULL)
                x->aborted(x, x->aborted_user);
}

const char *http_body(const struct http_exchange *x, size_t *len)
{
        *len = strlen(x->body);
        return x->body;
}

struct buf http_take_body(struct http_exchange *x)
{
        struct buf body = {0};

        buf_puts(&body, x->body);
        return body;
}

const char *http_header(const struct http_exchange *x, const char *name)
{
        return NULL;
}

bool http_peer_is_local(const struct http_exchange *x)
{
        return true;
}

const char *http_param(const struct http_exchange *x)
{
        return NULL;
}

const char *http_query(const struct http_exchange *x, const char *name)
{
        return NULL;
}

const char *http_query_unknown(const struct http_exchange *x, const char **taken)
{
        return NULL;
}

void http_add_header(struct http_exchange *x, const char *name, const char *value)
{
        assert_false(x->gone);
        buf_append(&x->headers, name, strlen(name) + 1);
        buf_append(&x->headers, value, strlen(value) + 1);
}

void http_explain(struct http_exchange *x, const char *why)
{
        assert_false(x->gone);
}

void http_respond(struct http_exchange *x, int status, const char *type, const char *body, size_t len)
{
        assert_false(x->gone || x->streaming);
        x->status = status;
        buf_append(&x->out, body, len);
        x->gone = true;
}

void http_respond_buf(struct http_exchange *x, int status, const char *type, struct buf *body)
{
        http_respond(x, status, type, body->data, body->len);
        buf_free(body);
}

void http_stream_open(struct http_exchange *x, int status, const char *type)
{
        assert_false(x->gone || x->streaming);
        x->status = status;
        x->streaming = true;
}

void http_stream_event(struct http_exchange *x, const char *name, const char *data, size_t len)
{
        assert_true(x->streaming && !x->gone && x->n_events < MAX_EVENTS);
        assert_null(memchr(data, '\n', len));
        x->names[x->n_events] = name;
        x->events[x->n_events++] = mem_strndup(data, len);
}

size_t http_stream_backlog(const struct http_exchange *x)
{
        assert_false(x->gone);
        return x->backlog;
}

void http_stream_close(struct http_exchange *x)
{
        assert_true(x->streaming && !x->gone);
        x->gone = true;
}

void http_on_drained(struct http_exchange *x, void (*drained)(struct http_exchange *, void *), void *user)
{
        x->drained = drained;
        x->drained_user = user;
}

void http_on_abort(struct http_exchange *x, void (*aborted)(struct http_exchange *, void *), void *user)
{
        assert_false(x->gone);
        x->aborted = aborted;
        x->aborted_user = user;
}

void http_cut_off(struct http_server *server, int status, const struct buf *body)
{
}

// The engine
// -----------------------------------------------------------------------------------------------------------------

struct dyn_engine {
        struct dyn_request *taken[MAX_TAKEN];
        int n, capacity;
        struct engine_metrics metrics;
};

static struct dyn_engine engine;
static const struct dyn_model_info model = {.arch = "llama",
        .backend = "cpu",
        .vocab_size = FAKE_VOCAB,
        .max_context = FAKE_CONTEXT,
        .fingerprint = "0123456789abcdef",
        .kv_pages = 10};

struct dyn_request *fake_taken(int i)
{
        assert_in_range(i, 0, engine.n - 1);
        return engine.taken[i];
}

int fake_n_taken(void)
{
        return engine.n;
}

void fake_capacity(int n)
{
        engine.capacity = n;
}

static struct dyn_event event(int i, enum dyn_event_kind kind)
{
        return (struct dyn_event){.request = fake_taken(i), .kind = kind};
}

static void add_top(struct dyn_event *e, int n)
{
        for (int k = 0; k < n; k++)
                e->top[k] = (struct dyn_logprob){'a' + k, -1.0F - (float)k};
        e->n_top = n > 0 ? n : 0;
}

void fake_prompt(int i, int32_t token, int rank, float logprob)
{
        struct dyn_event e = event(i, DYN_EVENT_PROMPT);

        e.token = token;
        e.rank = rank;
        e.logprob = logprob;
        if (rank > 0)
                add_top(&e, e.request->n_prompt_logprobs);
        generation_event(&e);
}

void fake_token(int i, int32_t token)
{
        struct dyn_event e = event(i, DYN_EVENT_TOKEN);

        e.token = token;
        if (e.request->n_logprobs >= 0) {
                e.rank = 9;
                e.logprob = -0.5F;
                add_top(&e, e.request->n_logprobs);
        }
        generation_event(&e);
}

void fake_text(int i, const char *text)
{
        for (; *text != 0; text++)
                fake_token(i, (unsigned char)*text);
}

void fake_end(int i, enum dyn_finish finish)
{
        struct dyn_event e = event(i, DYN_EVENT_END);

        e.finish = finish;
        e.cached_tokens = 1;
        generation_event(&e);
}

const struct dyn_model_info *dyn_engine_model(const struct dyn_engine *e)
{
        return &model;
}

const struct engine_metrics *dyn_engine_metrics(const struct dyn_engine *e)
{
        return &e->metrics;
}

enum dyn_status dyn_engine_submit(struct dyn_engine *e, struct dyn_request *r, struct dyn_error *err)
{
        if (e->n == e->capacity)
                return dyn_fail(err, DYN_BUSY, "%d requests wait already", e->n);
        e->taken[e->n++] = r;
        return DYN_OK;
}

void dyn_engine_kick(struct dyn_engine *e)
{
}

bool dyn_engine_poll(struct dyn_engine *e, struct dyn_event *out)
{
        return false;
}

// The registry
// ---------------------------------------------------------------------------------------------------------------

static struct dyn_adapter sql = {.info = {.name = "sql", .version = "1111", .kind = "lora"}};
static struct dyn_adapter shout = {.info = {.name = "shout", .version = "2222", .kind = "lora"}};
static struct adapter_version versions[2];
static struct adapter_entry entries[3] = {
        {.name = "sql", .source = "/sql", .state = ADAPTER_READY, .current = &versions[0]},
        {.name = "shout", .source = "/shout", .state = ADAPTER_READY, .current = &versions[1]},
        {.name = "slow", .source = "/slow", .state = ADAPTER_LOADING}};
static struct adapter_version versions[2] = {{&entries[0], &sql}, {&entries[1], &shout}};

static char mixed[200]; // "NAME*WEIGHT+..." of the last blend
static struct dyn_adapter mix = {.info = {.name = mixed, .version = "3333", .kind = "blend"}};
static struct adapter_entry mix_entry = {.name = mixed, .source = mixed, .state = ADAPTER_READY, .blend = true};
static struct adapter_version mix_version = {&mix_entry, &mix};
int fake_n_blends;

int fake_sql_in_flight;

enum dyn_status registry_resolve(
        struct registry *r, const char *name, struct adapter_version **version, struct dyn_error *err)
{
        size_t len = strcspn(name, "@");

        for (int i = 0; i < 3; i++) {
                if (strlen(entries[i].name) != len || memcmp(entries[i].name, name, len) != 0)
                        continue;
                if (entries[i].current == NULL)
                        return dyn_fail(err, DYN_BUSY, "adapter \"%s\" is loading", name);
                if (name[len] == '@' && strcmp(name + len + 1, entries[i].current->adapter->info.version) != 0)
                        return dyn_fail(err, DYN_CONFLICT, "that version is gone");
                *version = entries[i].current;
                return DYN_OK;
        }
        return dyn_fail(err, DYN_NOT_FOUND, "no adapter \"%s\"", name);
}

enum dyn_status registry_blend(struct registry *r, const struct registry_share *shares, int n,
        struct adapter_version **version, struct dyn_error *err)
{
        size_t len = 0;

        for (int i = 0; i < n; i++)
                len += (size_t)snprintf(mixed + len, sizeof mixed - len, "%s%s*%g", i ? "+" : "",
                        shares[i].version->entry->name, shares[i].weight);
        fake_n_blends++;
        *version = &mix_version;
        return DYN_OK;
}

bool registry_uses(const struct adapter_version *v, const struct adapter_entry *entry)
{
        return v->entry == entry;
}

void registry_begin(struct adapter_version *v)
{
        fake_sql_in_flight += v == &versions[0];
}

void registry_end(struct adapter_version *v, uint64_t tokens)
{
        fake_sql_in_flight -= v == &versions[0];
}

const struct adapter_entry *registry_find(const struct registry *r, const char *name)
{
        return NULL;
}

int registry_count(const struct registry *r)
{
        return 3;
}

const struct adapter_entry *registry_at(const struct registry *r, int i)
{
        return &entries[i];
}

const struct dyn_adapter_info *adapter_entry_info(const struct adapter_entry *e)
{
        return e->current ? &e->current->adapter->info : NULL;
}

const struct dyn_adapter_info *dyn_adapter_info(const struct dyn_adapter *a)
{
        return &a->info;
}

const char *adapter_state_name(enum adapter_state s)
{
        return s == ADAPTER_READY ? "ready" : "loading";
}

struct registry_totals registry_totals(const struct registry *r)
{
        return (struct registry_totals){0};
}

enum dyn_status registry_check_name(const struct registry *r, const char *name, struct dyn_error *err)
{
        return DYN_OK;
}

// Every version is on the device.
void registry_want(struct adapter_version *v, struct want *w)
{
        w->granted(w, DYN_OK, NULL);
}

void registry_release(struct adapter_version *v)
{
}

void resident_forget(struct want *w)
{
}

bool registry_retry(struct registry *r, struct retry *retry)
{
        return false;
}

void registry_retry_forget(struct retry *retry)
{
}

int64_t dyn_adapter_merged_since(const struct dyn_adapter *a)
{
        return 0;
}

const struct dyn_adapter *registry_merged(const struct registry *r)
{
        return NULL;
}

int64_t adapter_entry_merged_since(const struct adapter_entry *e)
{
        return 0;
}

const char *adapter_entry_unmerged_because(const struct adapter_entry *e)
{
        return NULL;
}

const char *adapter_entry_unpinned_because(const struct adapter_entry *e)
{
        return NULL;
}

const char *registry_marked_merged(const struct registry *r)
{
        return NULL;
}

const char *adapter_entry_tier(const struct adapter_entry *e)
{
        return "device";
}

const char *store_mode_name(enum store_mode mode)
{
        return "auto";
}

enum dyn_status registry_load(
        struct registry *r, const struct registry_order *order, registry_done *done, void *ctx, struct dyn_error *err)
{
        return dyn_fail(err, DYN_BUSY, "stopping");
}

enum dyn_status registry_upload(
        struct registry *r, const char *name, int archive, registry_done *done, void *ctx, struct dyn_error *err)
{
        return dyn_fail(err, DYN_BUSY, "stopping");
}

enum dyn_status registry_set(struct registry *r, const char *name, const struct store_settings *settings,
        registry_set_done *done, void *ctx, struct dyn_error *err)
{
        return dyn_fail(err, DYN_NOT_FOUND, "no adapter");
}

enum dyn_status registry_remove(
        struct registry *r, const char *name, bool drained, registry_gone *gone, void *ctx, struct dyn_error *err)
{
        return dyn_fail(err, DYN_NOT_FOUND, "no adapter");
}

// Text
// ---------------------------------------------------------------------------------------------------------------------

struct tokenizer {
        int unused;
};

void tokens_push(struct tokens *t, int32_t id)
{
        if (t->n == t->cap) {
                t->cap = t->cap ? t->cap * 2 : 8;
                t->ids = mem_realloc(t->ids, (size_t)t->cap * sizeof *t->ids);
        }
        t->ids[t->n++] = id;
}

void tokens_free(struct tokens *t)
{
        mem_free(t->ids);
        *t = (struct tokens){0};
}

void tokenizer_encode(
        const struct tokenizer *t, const char *text, size_t len, bool special, bool parse, struct tokens *out)
{
        for (size_t i = 0; i < len; i++)
                tokens_push(out, (unsigned char)text[i]);
}

int tokenizer_n_ids(const struct tokenizer *t)
{
        return FAKE_AB + 1;
}

const char *tokenizer_piece(const struct tokenizer *t, int32_t id, size_t *len)
{
        static char bytes[256];

        if (id == FAKE_EOS || id == FAKE_AB) {
                *len = id == FAKE_EOS ? 4 : 2;
                return id == FAKE_EOS ? "</s>" : "ab";
        }
        *len = id < 256;
        bytes[id & 255] = (char)id;
        return &bytes[id & 255];
}

const int32_t *tokenizer_stop_ids(const struct tokenizer *t, int *n)
{
        static const int32_t ids[] = {FAKE_EOS};

        *n = 1;
        return ids;
}

const char *tokenizer_bos(const struct tokenizer *t)
{
        return NULL;
}

const char *tokenizer_eos(const struct tokenizer *t)
{
        return "</s>";
}

void detok_init(struct detok *d, const struct tokenizer *t, bool skip_special)
{
        *d = (struct detok){.tokenizer = t, .skip_special = skip_special};
}

void detok_push(struct detok *d, int32_t id, struct buf *out)
{
        size_t len;
        const char *piece = tokenizer_piece(d->tokenizer, id, &len);

        if (id != FAKE_EOS || !d->skip_special)
                buf_append(out, piece, len);
}

void detok_finish(struct detok *d, struct buf *out)
{
}

struct chat_template {
        int unused;
};

// Renders "role:content;" of each message; a message with the role "bad" is one that the template refuses.
enum dyn_status chat_template_render(
        const struct chat_template *t, const struct chat_template_input *input, struct buf *out, struct dyn_error *err)
{
        for (const cJSON *m = input->messages->child; m != NULL; m = m->next) {
                const char *role = json_member(m, "role")->valuestring;

                if (strcmp(role, "bad") == 0)
                        return dyn_fail(err, DYN_INVALID, "roles must alternate");
                buf_printf(out, "%s:%s;", role, json_member(m, "content")->valuestring);
        }
        return DYN_OK;
}

// All of it
// ----------------------------------------------------------------------------------------------------------------

struct api *fake_api;
uv_loop_t fake_loop;

void fake_turn(void)
{
        uv_run(&fake_loop, UV_RUN_ONCE);
}

int fakes_set_up(void **state)
{
        static struct tokenizer tokenizer;
        static struct chat_template chat_template;

        engine = (struct dyn_engine){.capacity = MAX_TAKEN};
        uv_loop_init(&fake_loop);
        fake_api = api_create(&(struct api_options){"base-model", "/models/base", 4, 8, NULL, &fake_loop});
        api_serve(fake_api, &(struct api_parts){&engine, &tokenizer, &chat_template, NULL});
        return 0;
}

// Whatever a test started has ended: nothing may be left running.
int fakes_tear_down(void **state)
{
        int left = api_running(fake_api);

        api_close(fake_api);
        uv_run(&fake_loop, UV_RUN_DEFAULT);
        uv_loop_close(&fake_loop);
        api_destroy(fake_api);
        for (int i = 0; i < n_exchanges; i++)
                exchange_free(exchanges[i]);
        n_exchanges = 0;
        return left + fake_sql_in_flight;
}

const cJSON *at(const cJSON *v, const char *path)
{
        while (*path != 0 && v != NULL) {
                size_t len = strcspn(path, ".");
                char name[64];

                snprintf(name, sizeof name, "%.*s", (int)len, path);
                v = cJSON_IsArray(v) ? cJSON_GetArrayItem(v, atoi(name)) : json_member(v, name);
                path += len + (path[len] == '.');
        }
        return v;
}

const char *string_at(const cJSON *v, const char *path)
{
        v = at(v, path);
        if (!cJSON_IsString(v))
                fail_msg("%s: expected a string", path);
        return v->valuestring;
}

int int_at(const cJSON *v, const char *path)
{
        v = at(v, path);
        if (!cJSON_IsNumber(v))
                fail_msg("%s: expected a number", path);
        return v->valueint;
}
