#include "api/counters.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static const char *const outcome_names[N_OUTCOMES] = {"ok", "cancelled", "rejected", "error"};

void counters_init(struct counters *c)
{
        *c = (struct counters){0};
        struct metric_histogram *seconds[] = {&c->first_token_seconds, &c->token_seconds, &c->request_seconds};
        for (int i = 0; i < 3; i++) {
                seconds[i]->bounds = metric_seconds;
                seconds[i]->n_bounds = METRIC_BUCKETS;
        }
}

void counters_finish(struct counters *c)
{
        for (int i = 0; i < c->n_traffic; i++)
                mem_free(c->traffic[i].adapter);
        mem_free(c->traffic);
        mem_free(c->answered);
}

struct traffic *counters_traffic(struct counters *c, const char *adapter)
{
        for (int i = 0; i < c->n_traffic; i++)
                if (strcmp(c->traffic[i].adapter, adapter) == 0)
                        return &c->traffic[i];
        c->traffic = mem_realloc(c->traffic, (size_t)(c->n_traffic + 1) * sizeof *c->traffic);
        c->traffic[c->n_traffic] = (struct traffic){.adapter = mem_strdup(adapter)};
        return &c->traffic[c->n_traffic++];
}

void counters_forget(struct counters *c, bool (*keep)(void *ctx, const char *adapter), void *ctx)
{
        int n = 0;

        for (int i = 0; i < c->n_traffic; i++) {
                if (keep(ctx, c->traffic[i].adapter))
                        c->traffic[n++] = c->traffic[i];
                else
                        mem_free(c->traffic[i].adapter);
        }
        c->n_traffic = n;
}

void counters_answer(struct counters *c, const char *route, int status)
{
        int i = 0;

        while (i < c->n_answered && (c->answered[i].status != status || strcmp(c->answered[i].route, route) != 0))
                i++;
        if (i == c->n_answered) {
                c->answered = mem_realloc(c->answered, (size_t)(i + 1) * sizeof *c->answered);
                c->answered[i] = (struct answered){.route = route, .status = status};
                c->n_answered++;
        }
        c->answered[i].n++;
}

static void print_traffic(const struct counters *c, struct buf *out)
{
        struct buf labels = {0};

        prom_head(out, "dynlora_requests_total", "counter", "Inference requests by adapter and outcome.");
        for (int i = 0; i < c->n_traffic; i++)
                for (int k = 0; k < N_OUTCOMES; k++) {
                        buf_clear(&labels);
                        prom_label(&labels, "adapter", c->traffic[i].adapter);
                        prom_label(&labels, "outcome", outcome_names[k]);
                        prom_value(out, "dynlora_requests_total", labels.data, (double)c->traffic[i].requests[k]);
                }
        prom_head(out, "dynlora_tokens_total", "counter", "Tokens of ended requests by adapter, prompt or completion.");
        for (int i = 0; i < c->n_traffic; i++)
                for (int k = 0; k < 2; k++) {
                        const struct traffic *t = &c->traffic[i];

                        buf_clear(&labels);
                        prom_label(&labels, "adapter", t->adapter);
                        prom_label(&labels, "kind", k == 0 ? "prompt" : "completion");
                        prom_value(out, "dynlora_tokens_total", labels.data,
                                (double)(k == 0 ? t->prompt_tokens : t->completion_tokens));
                }
        buf_free(&labels);
}

static void print_answers(const struct counters *c, struct buf *out)
{
        struct buf labels = {0};
        char status[16];

        prom_head(out, "dynlora_http_requests_total", "counter", "HTTP answers by route and status (499: peer left).");
        for (int i = 0; i < c->n_answered; i++) {
                snprintf(status, sizeof status, "%d", c->answered[i].status);
                buf_clear(&labels);
                prom_label(&labels, "route", c->answered[i].route);
                prom_label(&labels, "status", status);
                prom_value(out, "dynlora_http_requests_total", labels.data, (double)c->answered[i].n);
        }
        buf_free(&labels);
}

static void print_histogram(
        struct buf *out, const char *name, const char *help, const struct metric_histogram *histogram)
{
        prom_head(out, name, "histogram", help);
        prom_histogram(out, name, NULL, histogram);
}

void counters_print(const struct counters *c, struct buf *out)
{
        print_traffic(c, out);
        print_answers(c, out);
        print_histogram(out, "dynlora_time_to_first_token_seconds", "From a request's arrival to its first token.",
                &c->first_token_seconds);
        print_histogram(out, "dynlora_time_per_output_token_seconds", "From one token of an answer to the next.",
                &c->token_seconds);
        print_histogram(
                out, "dynlora_request_seconds", "From an inference request's arrival to its end.", &c->request_seconds);
}
