// Log-probabilities as the model gave them: a log-softmax over the raw logits, and the best few without sorting the
// rest.
#include <math.h>

#include "sample/sample.h"
#include "sample/sampler.h"

static double log_sum_exp(const float *logits, int n)
{
        float max = -INFINITY;
        double sum = 0;

        for (int i = 0; i < n; i++)
                max = logits[i] > max ? logits[i] : max;
        for (int i = 0; i < n; i++)
                sum += (double)expf(logits[i] - max);
        return (double)max + log(sum);
}

// Insertion into the best n_top so far; equal logits keep the lower id first.
static int insert(struct dyn_logprob *top, int n, int n_top, int32_t id, float logit)
{
        int at = n < n_top ? n : n_top - 1;

        for (; at > 0 && top[at - 1].logprob < logit; at--)
                top[at] = top[at - 1];
        top[at] = (struct dyn_logprob){id, logit};
        return n < n_top ? n + 1 : n;
}

void sample_logprobs(struct sampler *s, const float *logits, int n_top, struct dyn_event *event)
{
        double total = log_sum_exp(logits, s->vocab_size);
        float own = logits[event->token];

        event->logprob = (float)((double)own - total);
        event->rank = 1;
        event->n_top = 0;
        for (int i = 0; i < s->vocab_size; i++) {
                event->rank += logits[i] > own;
                if (n_top > 0 && (event->n_top < n_top || logits[i] > event->top[n_top - 1].logprob))
                        event->n_top = insert(event->top, event->n_top, n_top, i, logits[i]);
        }
        for (int i = 0; i < event->n_top; i++)
                event->top[i].logprob = (float)((double)event->top[i].logprob - total);
}
