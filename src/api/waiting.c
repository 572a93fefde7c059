// Answers that wait (api/waiting.h), and what they say when they are not the adapter itself.
#include "api/waiting.h"

#include <stdio.h>
#include <string.h>

#include "api/reply.h"
#include "base/alloc.h"

enum dyn_status waiting_read(struct http_exchange *x, bool *wait, struct problem *p)
{
        const char *v = http_query(x, "wait");

        if (v == NULL)
                return DYN_OK;
        *wait = *v == 0 || strcmp(v, "true") == 0 || strcmp(v, "1") == 0;
        if (*wait || strcmp(v, "false") == 0 || strcmp(v, "0") == 0)
                return DYN_OK;
        return problem_set(p, DYN_INVALID, "wait", NULL, "wait: expected true or false, found \"%.40s\"", v);
}

static void on_abort(struct http_exchange *x, void *user)
{
        ((struct waiting *)user)->exchange = NULL;
}

struct waiting *waiting_on(const struct api *api, struct http_exchange *x, const char *name, bool vllm)
{
        struct waiting *w = mem_zalloc(sizeof *w);

        w->exchange = x;
        w->api = api;
        w->name = mem_strdup(name);
        w->vllm = vllm;
        http_on_abort(x, on_abort, w);
        return w;
}

void waiting_over(struct waiting *w)
{
        mem_free(w->name);
        mem_free(w);
}

void waiting_answer_vllm(const struct waiting *w, const char *what)
{
        char *text = mem_printf("Success: LoRA adapter '%s' %s successfully.", w->name, what);

        http_respond(w->exchange, 200, "text/plain; charset=utf-8", text, strlen(text));
        mem_free(text);
}

// What to do about a name that holds something else.
static void advise(const struct waiting *w, struct dyn_error *err)
{
        const struct adapter_entry *entry = registry_find(w->api->registry, w->name);
        size_t n = strlen(err->text);

        if (err->status == DYN_CONFLICT && w->replace != NULL && entry != NULL && entry->state != ADAPTER_DRAINING)
                snprintf(err->text + n, sizeof err->text - n, ": set \"%s\" to update it", w->replace);
}

// vLLM says 400 where we say 409, 422 or 403.
void waiting_answer_failure(const struct waiting *w, struct problem *p, const char *param)
{
        enum dyn_status st = p->err.status;

        advise(w, &p->err);
        p->about = st == DYN_BUSY ? ABOUT_SERVER : ABOUT_ADAPTER;
        if (w->vllm && st == DYN_NOT_FOUND) {
                p->about = ABOUT_REQUEST;
        } else if (w->vllm && st != DYN_BUSY && st != DYN_NO_MEMORY) {
                p->about = ABOUT_REQUEST;
                p->err.status = DYN_INVALID;
        }
        problem_of(p, param, st == DYN_INVALID || st == DYN_UNSUPPORTED ? "bad_adapter" : NULL);
        reply_problem(w->exchange, p);
}

void waiting_refuse(struct waiting *w, struct http_exchange *x, struct problem *p)
{
        p->about = p->err.status == DYN_BUSY ? ABOUT_SERVER : ABOUT_REQUEST;
        problem_of(p, p->err.status == DYN_NO_MEMORY ? "pin" : "name",
                p->err.status == DYN_CONFLICT ? "adapter_busy" : NULL);
        if (w != NULL)
                waiting_over(w);
        reply_problem(x, p);
}
