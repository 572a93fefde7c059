// Who asks for which adapter when. Everything comes from code with fixed seeds, so that two strategies meet the same.
#include "policy.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"

double rng_real(struct rng *r)
{
        uint64_t x = r->state += 0x9e3779b97f4a7c15u; // SplitMix64 (Steele et al., 2014)

        x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
        x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
        x ^= x >> 31;
        return ((double)(x >> 11) + 0.5) / 9007199254740992.0;
}

int rng_below(struct rng *r, int n)
{
        return (int)(rng_real(r) * n);
}

static double normal(struct rng *r)
{
        return sqrt(-2 * log(rng_real(r))) * cos(2 * M_PI * rng_real(r));
}

// The k-th most popular of n has weight 1 / k, so that ranks are spread like the logarithm.
static uint64_t zipf(struct rng *r, int n)
{
        uint64_t k;

        do
                k = (uint64_t)exp(rng_real(r) * log(n + 1.0));
        while (rng_real(r) > log1p(1.0) / (log1p(1.0 / (double)k) * (double)k) || k > (uint64_t)n);
        return k;
}

static uint64_t one(const struct trace *t, struct rng *r, int client, double now, uint64_t merged)
{
        return 1;
}

// One adapter, and for one request in ten another or the base.
static uint64_t mostly(const struct trace *t, struct rng *r, int client, double now, uint64_t merged)
{
        return rng_real(r) < 0.9 ? 1 : (uint64_t)(2 * rng_below(r, 2));
}

// One adapter, and one client that now and then asks for another.
static uint64_t visited(const struct trace *t, struct rng *r, int client, double now, uint64_t merged)
{
        return client == 0 && fmod(now, t->period) < t->period / 10 ? 2 : 1;
}

static uint64_t popular(const struct trace *t, struct rng *r, int client, double now, uint64_t merged)
{
        return zipf(r, t->n_adapters);
}

static uint64_t in_turn(const struct trace *t, struct rng *r, int client, double now, uint64_t merged)
{
        return 1 + (uint64_t)(now / t->period) % 2;
}

// A quarter of a period each: one adapter, many, another one, the base.
static uint64_t mixed(const struct trace *t, struct rng *r, int client, double now, uint64_t merged)
{
        switch ((int)(4 * now / t->period) % 4) {
        case 0:
                return 1;
        case 1:
                return zipf(r, t->n_adapters);
        case 2:
                return 2;
        default:
                return 0;
        }
}

// Whatever is merged, everybody wants something else as soon as it is.
static uint64_t spite(const struct trace *t, struct rng *r, int client, double now, uint64_t merged)
{
        return merged == 1 ? 2 : 1;
}

// One client among many wants the adapter that nobody else wants.
static uint64_t lonely(const struct trace *t, struct rng *r, int client, double now, uint64_t merged)
{
        return client == 0 ? 2 : 1;
}

// Each burst is one adapter's, of those that are popular.
static uint64_t of_burst(const struct trace *t, struct rng *r, int client, double now, uint64_t merged)
{
        struct rng burst = {(uint64_t)(now / t->period) + 1};

        return zipf(&burst, t->n_adapters);
}

const struct trace traces[] = {
        {.name = "alone", .what = "one client, one adapter", .crowd = 0.01, .n_adapters = 1, .wants = one},
        {.name = "steady", .what = "many clients, one adapter", .crowd = 1.5, .n_adapters = 1, .wants = one},
        {.name = "mostly",
                .what = "one adapter, every tenth request another or the base",
                .crowd = 1.5,
                .n_adapters = 2,
                .wants = mostly},
        {.name = "guest",
                .what = "one adapter, and for 2 s of every 20 s a client of another",
                .crowd = 1.5,
                .n_adapters = 2,
                .wants = visited,
                .period = 20},
        {.name = "zipf 10", .what = "ten adapters, Zipf", .crowd = 1.5, .n_adapters = 10, .wants = popular},
        {.name = "zipf 1000", .what = "a thousand adapters, Zipf", .crowd = 1.5, .n_adapters = 1000, .wants = popular},
        {.name = "zipf 5000",
                .what = "five thousand adapters, Zipf",
                .crowd = 1.5,
                .n_adapters = 5000,
                .wants = popular},
        {.name = "mixed",
                .what = "by turns for 30 s: one adapter, ten, another one, the base",
                .crowd = 1.5,
                .n_adapters = 10,
                .wants = mixed,
                .period = 120},
        {.name = "turns 1 s",
                .what = "two adapters, 1 s each",
                .crowd = 1.5,
                .n_adapters = 2,
                .wants = in_turn,
                .period = 1},
        {.name = "turns 5 s",
                .what = "two adapters, 5 s each",
                .crowd = 1.5,
                .n_adapters = 2,
                .wants = in_turn,
                .period = 5},
        {.name = "turns 10 s",
                .what = "two adapters, 10 s each",
                .crowd = 1.5,
                .n_adapters = 2,
                .wants = in_turn,
                .period = 10},
        {.name = "turns 30 s",
                .what = "two adapters, 30 s each",
                .crowd = 1.5,
                .n_adapters = 2,
                .wants = in_turn,
                .period = 30},
        {.name = "bursts",
                .what = "every 20 s a burst of one adapter's requests",
                .n_adapters = 20,
                .wants = of_burst,
                .period = 20,
                .rate = 0.6},
        {.name = "sparse",
                .what = "now and then a request, all of one adapter",
                .n_adapters = 1,
                .wants = one,
                .rate = 0.1},
        {.name = "azure",
                .what = "days of 120 s, bursts, heavy tails; 50 adapters",
                .n_adapters = 50,
                .rate = 0.6,
                .period = 120,
                .azure = true},
        {.name = "starve",
                .what = "one client of one adapter among many of another",
                .crowd = 1.5,
                .n_adapters = 2,
                .wants = lonely},
        {.name = "spite",
                .what = "everybody turns away from what is merged",
                .crowd = 1.5,
                .n_adapters = 2,
                .wants = spite,
                .watches = true},
};
const int n_traces = sizeof traces / sizeof *traces;

// Lengths are log-normal, as answers of chats are: median 16 and 48 tokens, one in a hundred 160 and 300.
static int length_of(struct rng *r, double median, double sigma, int most)
{
        double x = median * exp(sigma * normal(r));

        return x < 1 ? 1 : x > most ? most : (int)x;
}

static struct request request_at(double now, uint64_t version, struct rng *r)
{
        return (struct request){.arrived = now,
                .version = version,
                .prompt = length_of(r, 16, 1, 256),
                .answer = length_of(r, 48, 0.8, 512)};
}

struct request trace_request(const struct trace *t, struct rng *r, int client, double now, uint64_t merged)
{
        struct rng who = {r->state ^ 0x5bd1e995}; // lengths stay the same whatever it takes to choose

        return request_at(now, t->wants(t, &who, client, now, merged), r);
}

static void push(struct arrivals *a, struct request r)
{
        if ((a->n & (a->n - 1)) == 0)
                a->at = mem_realloc(a->at, sizeof *a->at * (a->n ? 2 * (size_t)a->n : 1));
        a->at[a->n++] = r;
}

static int by_time(const void *a, const void *b)
{
        const struct request *x = a, *y = b;

        return (x->arrived > y->arrived) - (x->arrived < y->arrived);
}

// Requests a second that keep the model busy when all its rows have one adapter: a request is about 66 steps of a row,
// and its prompt as much again.
static double capacity(const struct model *m)
{
        struct share s = {1, m->max_rows};
        double tokens = m->max_rows / (model_base(m, m->max_rows) + model_patches(m, &s, 1, 0));

        return tokens / (66 + 26 * m->row * m->max_rows / model_base(m, m->max_rows));
}

// As arrivals of serverless functions are (Shahrad et al., "Serverless in the Wild", ATC 2020): popularity by a power
// law, load that follows the day, each adapter in on and off times of heavy-tailed length.
static struct arrivals azure(const struct trace *t, double rate, double seconds)
{
        struct arrivals a = {0};
        double all = 0;

        for (int k = 1; k <= t->n_adapters; k++)
                all += 1.0 / k;
        for (int k = 1; k <= t->n_adapters; k++) {
                struct rng r = {(uint64_t)k};
                double mean = rate / (k * all), now = -20 * rng_real(&r);

                while (now < seconds) {
                        double on = 1.2 * pow(rng_real(&r), -1 / 1.5), off = 3.6 * pow(rng_real(&r), -1 / 1.5);
                        double end = now + fmin(on, 60);

                        for (;;) {
                                double day = 1 + 0.8 * sin(2 * M_PI * now / t->period);

                                now -= log(rng_real(&r)) / (4 * mean * 1.8);
                                if (now > end || now > seconds)
                                        break;
                                if (now > 0 && rng_real(&r) < day / 1.8)
                                        push(&a, request_at(now, (uint64_t)k, &r));
                        }
                        now = end + fmin(off, 120);
                }
        }
        return a;
}

struct arrivals trace_arrivals(const struct trace *t, const struct model *m, double seconds)
{
        struct arrivals a = {0};
        struct rng r = {7};
        double rate = t->rate * capacity(m);

        if (t->azure) {
                a = azure(t, rate, seconds);
        } else { // if it has a period, the period's load comes in its first half
                for (double now = 0;;) {
                        now -= log(rng_real(&r)) / (t->period > 0 ? 2 * rate : rate);
                        if (now > seconds)
                                break;
                        if (t->period == 0 || fmod(now, t->period) < t->period / 2)
                                push(&a, trace_request(t, &r, 0, now, 0));
                }
        }
        if (a.n)
                qsort(a.at, (size_t)a.n, sizeof *a.at, by_time);
        return a;
}
