#include "sample/sample.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "sample/sampler.h"

struct sampler *sampler_create(int vocab_size)
{
        struct sampler *s = mem_zalloc(sizeof *s);

        s->vocab_size = vocab_size;
        s->counts = mem_array((size_t)vocab_size, sizeof *s->counts);
        s->candidates = mem_array((size_t)vocab_size, sizeof *s->candidates);
        s->weights = mem_array((size_t)vocab_size, sizeof *s->weights);
        return s;
}

void sampler_destroy(struct sampler *s)
{
        if (s == NULL)
                return;
        mem_free(s->counts);
        mem_free(s->candidates);
        mem_free(s->weights);
        mem_free(s);
}

// Source of the repetition penalty: Keskar et al., "CTRL", 2019.
static void penalise_repetition(struct sampler *s, float *logits, float penalty, const struct sample_history *h)
{
        for (int i = 0; i < h->n_tokens; i++) {
                int32_t id = h->tokens[i];

                if (s->counts[id]++ == 0)
                        logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
        }
        for (int i = 0; i < h->n_tokens; i++)
                s->counts[h->tokens[i]] = 0;
}

static void penalise_presence(
        struct sampler *s, float *logits, const struct dyn_sampling *p, const struct sample_history *h)
{
        for (int i = h->n_prompt; i < h->n_tokens; i++) {
                int32_t id = h->tokens[i];

                if (s->counts[id]++ == 0)
                        logits[id] -= p->presence_penalty;
                logits[id] -= p->frequency_penalty;
        }
        for (int i = h->n_prompt; i < h->n_tokens; i++)
                s->counts[h->tokens[i]] = 0;
}

// The highest, the lowest id among equals; -1 if there is none above minus infinity. In lanes, so that it vectorises.
static int32_t best(const float *logits, int n)
{
        float lane[16], max = -INFINITY;
        int i = 0;

        for (int k = 0; k < 16; k++)
                lane[k] = -INFINITY;
        for (; i + 16 <= n; i += 16)
                for (int k = 0; k < 16; k++)
                        lane[k] = logits[i + k] > lane[k] ? logits[i + k] : lane[k];
        for (; i < n; i++)
                lane[0] = logits[i] > lane[0] ? logits[i] : lane[0];
        for (int k = 0; k < 16; k++)
                max = lane[k] > max ? lane[k] : max;
        if (max == -INFINITY)
                return -1;
        for (i = 0; logits[i] != max;)
                i++;
        return i;
}

// Higher logits first, lower ids first among equals.
static int by_logit(const void *a, const void *b)
{
        const struct candidate *x = a, *y = b;

        if (x->logit != y->logit)
                return x->logit > y->logit ? -1 : 1;
        return (x->id > y->id) - (x->id < y->id);
}

// The k-th highest logit: quickselect over a copy in the weights' room.
static float kth_logit(struct sampler *s, int n, int k)
{
        double *v = s->weights;
        int lo = 0, hi = n - 1;

        for (int i = 0; i < n; i++)
                v[i] = (double)s->candidates[i].logit;
        while (lo < hi) {
                double pivot = v[lo + (hi - lo) / 2];
                int i = lo, j = hi;

                while (i <= j) {
                        while (v[i] > pivot)
                                i++;
                        while (v[j] < pivot)
                                j--;
                        if (i <= j) {
                                double t = v[i];

                                v[i++] = v[j];
                                v[j--] = t;
                        }
                }
                if (k - 1 <= j)
                        hi = j;
                else if (k - 1 >= i)
                        lo = i;
                else
                        break;
        }
        return (float)v[k - 1];
}

// Keeps the k highest; of those equal to the last, the lower ids.
static int keep_top_k(struct sampler *s, int n, int k)
{
        if (k <= 0 || k >= n)
                return n;
        float least = kth_logit(s, n, k);
        int above = 0, kept = 0;

        for (int i = 0; i < n; i++)
                above += s->candidates[i].logit > least;
        for (int i = 0, equal = k - above; i < n; i++) {
                struct candidate c = s->candidates[i];

                if (c.logit > least || (c.logit == least && equal-- > 0))
                        s->candidates[kept++] = c;
        }
        return kept;
}

static double weigh(struct sampler *s, int n, float max)
{
        double total = 0;

        for (int i = 0; i < n; i++)
                total += s->weights[i] = (double)expf(s->candidates[i].logit - max);
        return total;
}

// The nucleus (Holtzman et al., 2019): the fewest tokens whose probabilities reach top_p. A token below (1 - top_p) / n
// cannot be in it, so only those above are sorted.
static int keep_top_p(struct sampler *s, int n, float top_p, float max)
{
        if (top_p >= 1)
                return n;
        double total = weigh(s, n, max), least = total * (1 - (double)top_p) / n, sum = 0;
        int kept = 0, last = 0;

        for (int i = 0; i < n; i++)
                if (s->weights[i] >= least || s->candidates[i].logit == max)
                        s->candidates[kept++] = s->candidates[i];
        qsort(s->candidates, (size_t)kept, sizeof *s->candidates, by_logit);
        while (last < kept) {
                sum += (double)expf(s->candidates[last++].logit - max);
                if (sum >= (double)top_p * total)
                        break;
        }
        return last;
}

static int32_t draw(struct sampler *s, int n, float max, double u)
{
        double target = weigh(s, n, max) * u, sum = 0;

        for (int i = 0; i < n; i++) {
                sum += s->weights[i];
                if (sum > target)
                        return s->candidates[i].id;
        }
        return s->candidates[n - 1].id;
}

static int32_t sample_truncated(struct sampler *s, const float *logits, const struct dyn_sampling *p, uint64_t position)
{
        int32_t top = best(logits, s->vocab_size);
        int n = 0;

        if (top < 0)
                return -1;
        float max = logits[top] / p->temperature;
        float least = p->min_p > 0 ? max + logf(p->min_p) : -INFINITY;
        for (int i = 0; i < s->vocab_size; i++) {
                float scaled = logits[i] / p->temperature;

                if (scaled >= least && scaled > -INFINITY)
                        s->candidates[n++] = (struct candidate){i, scaled};
        }
        n = keep_top_k(s, n, p->top_k);
        n = keep_top_p(s, n, p->top_p, max);
        return draw(s, n, max, sample_uniform(p->seed, position));
}

// A NaN or an infinity says that the model is broken. No early exit, so that the loop vectorises.
static bool is_broken(const float *logits, int n)
{
        bool broken = false;

        for (int i = 0; i < n; i++)
                broken |= !(logits[i] < INFINITY);
        return broken;
}

int32_t sample_token(struct sampler *s, float *logits, const struct dyn_sampling *p, const struct sample_history *h,
        const int32_t *barred, int n_barred)
{
        if (is_broken(logits, s->vocab_size))
                return -1;
        for (int i = 0; i < p->n_bias; i++)
                logits[p->bias[i].id] += p->bias[i].bias;
        for (int i = 0; i < n_barred; i++)
                logits[barred[i]] = -INFINITY;
        if (p->repetition_penalty != 1)
                penalise_repetition(s, logits, p->repetition_penalty, h);
        if (p->presence_penalty != 0 || p->frequency_penalty != 0)
                penalise_presence(s, logits, p, h);
        if (p->temperature < 1e-5f)
                return best(logits, s->vocab_size);
        return sample_truncated(s, logits, p, (uint64_t)h->n_tokens);
}
