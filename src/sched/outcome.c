#include "sched/outcome.h"

#include <stdio.h>
#include <string.h>

#include "adapt/version.h"
#include "base/log.h"

static void report_prompt(struct outcome *o, struct sequence *seq, int position, const float *logits)
{
        struct dyn_request *r = seq->request;
        struct dyn_event event = {.request = r, .kind = DYN_EVENT_PROMPT, .token = seq->tokens[0]};

        if (seq->n_prompt_reported == 0) {
                o->emit(o->ctx, &event);
                seq->n_prompt_reported = 1;
        }
        // After a preemption the prompt is computed again, but not reported again.
        if (position + 1 != seq->n_prompt_reported || position + 1 >= r->n_prompt)
                return;
        event.token = seq->tokens[position + 1];
        sample_logprobs(o->sampler, logits, r->n_prompt_logprobs, &event);
        o->emit(o->ctx, &event);
        seq->n_prompt_reported++;
}

void outcome_stamp(const struct sequence *seq, struct dyn_event *event)
{
        const struct dyn_adapter *own = seq->request->adapter;

        if (seq->mode == 0)
                return;
        event->mode = DYN_MODE_SWITCHED;
        if (own == NULL || seq->mode != own->id)
                return;
        event->mode = DYN_MODE_MERGED;
        snprintf(event->merged, sizeof event->merged, "%s", own->info.version);
}

static bool is_stop(const struct dyn_request *r, int32_t token)
{
        for (int i = 0; i < r->n_stop_ids; i++)
                if (r->stop_ids[i] == token)
                        return true;
        return false;
}

// Draws the next token. True if the sequence is over, and why.
static bool draw(struct outcome *o, struct sequence *seq, float *logits, enum dyn_finish *finish)
{
        struct dyn_request *r = seq->request;
        struct sample_history history = {seq->tokens, seq->n_tokens, r->n_prompt};
        struct dyn_event event = {.request = r, .kind = DYN_EVENT_TOKEN};
        int n_answer = seq->n_tokens - r->n_prompt;

        *finish = DYN_FINISH_LENGTH;
        if (n_answer == r->max_tokens)
                return true;
        if (r->n_logprobs >= 0)
                memcpy(o->raw, logits, o->vocab_size * sizeof *o->raw);
        event.token = sample_token(
                o->sampler, logits, &r->sampling, &history, r->stop_ids, n_answer < r->min_tokens ? r->n_stop_ids : 0);
        if (event.token < 0) {
                log_error("the model's logits hold no finite number: the checkpoint or an adapter is broken");
                *finish = DYN_FINISH_ERROR;
                return true;
        }
        if (r->n_logprobs >= 0)
                sample_logprobs(o->sampler, o->raw, r->n_logprobs, &event);
        seq->tokens[seq->n_tokens++] = event.token;
        metric_add(&o->metrics->generated_tokens, 1);
        outcome_stamp(seq, &event);
        o->emit(o->ctx, &event);
        if (is_stop(r, event.token))
                *finish = DYN_FINISH_STOP;
        return *finish == DYN_FINISH_STOP || n_answer + 1 == r->max_tokens;
}

bool outcome_take(
        struct outcome *o, struct sequence *seq, int n_tokens, bool all_logits, float **logits, enum dyn_finish *finish)
{
        bool over = false, reaches_end = n_tokens == sequence_pending(seq);

        for (int k = 0; k < n_tokens; k++) {
                bool is_last = reaches_end && k == n_tokens - 1;

                if (all_logits)
                        report_prompt(o, seq, seq->n_computed + k, *logits);
                if (is_last)
                        over = draw(o, seq, *logits, finish);
                if (all_logits || is_last)
                        *logits += o->vocab_size;
        }
        seq->n_computed += n_tokens;
        return over;
}
