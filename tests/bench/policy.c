// Plays every trace on every model with every strategy and prints what came of it: see tests/bench/policy.
#include "policy.h"

#include <math.h>
#include <stdio.h>

enum { AUTO, ALWAYS, NEVER, ORACLE, DLORA, SHOWN, TIMID = SHOWN, BOLD, N_STRATEGIES };

static const struct strategy *const strategies[] = {[AUTO] = &strategy_auto,
        [ALWAYS] = &strategy_always,
        [NEVER] = &strategy_never,
        [ORACLE] = &strategy_oracle,
        [DLORA] = &strategy_dlora,
        [TIMID] = &strategy_timid,
        [BOLD] = &strategy_bold};

// What is said under a model's table.
struct sums {
        int traces, below, above;
        double worst, worst_timid, worst_bold; // of throughput against the better of always and never
        const char *worst_at;
        double of_oracle; // logarithms of throughput against the oracle's
        int oracles;
        double crowding;
        double wait, wait_never;
};

static bool plays(const struct trace *t, int strategy)
{
        return !(t->watches && strategy == ORACLE);
}

static void sum_up(struct sums *s, const struct trace *t, const struct outcome *o)
{
        double better = fmax(o[ALWAYS].tokens, o[NEVER].tokens), ratio = o[AUTO].tokens / better;

        s->traces++;
        s->below += ratio < 0.95;
        s->above += ratio > 1.001;
        if (ratio < s->worst) {
                s->worst = ratio;
                s->worst_at = t->name;
        }
        s->worst_timid = fmin(s->worst_timid, o[TIMID].tokens / better);
        s->worst_bold = fmin(s->worst_bold, o[BOLD].tokens / better);
        if (plays(t, ORACLE)) {
                s->of_oracle += log(o[AUTO].tokens / o[ORACLE].tokens);
                s->oracles++;
        }
        s->crowding = fmin(s->crowding, o[AUTO].crowding);
        s->wait = fmax(s->wait, o[AUTO].wait);
        s->wait_never = fmax(s->wait_never, o[NEVER].wait);
}

static void print_names(const char *what, int width)
{
        static const char *const names[SHOWN] = {"auto", "alw.", "never", "oracle", "dLoRA"};

        for (int i = 0; i < SHOWN; i++)
                printf("%*s", width, names[i]);
        printf("%s", what);
}

static void print_head(const struct model *m)
{
        printf("\n%s: step %.1f ms, one adapter adds %.1f %%; merge %.0f ms, restore %.0f ms, a pass %.1f ms\n",
                m->name, 1e3 * model_base(m, m->max_rows),
                100 * model_patches(m, &(struct share){1, m->max_rows}, 1, 0) / model_base(m, m->max_rows),
                1e3 * model_merge(m), 1e3 * model_restore(m), 1e3 * model_pass(m));
        printf("%-11s|%-40s|%6s |%-35s|%-35s|%s\n", "", " tokens a second", "auto /", " p99 of latency, s",
                " longest standstill of a request, s", " merges");
        printf("%-11s|", "trace");
        print_names("|better |", 8);
        print_names("|", 7);
        print_names("|", 7);
        print_names("\n", 6);
}

static void print_row(const struct trace *t, const struct outcome *o)
{
        printf("%-11s|", t->name);
        for (int i = 0; i < SHOWN; i++)
                plays(t, i) ? printf("%8.1f", o[i].tokens) : printf("%8s", "-");
        printf("|%6.3f |", o[AUTO].tokens / fmax(o[ALWAYS].tokens, o[NEVER].tokens));
        for (int i = 0; i < SHOWN; i++)
                plays(t, i) ? printf("%7.1f", o[i].p99) : printf("%7s", "-");
        printf("|");
        for (int i = 0; i < SHOWN; i++)
                plays(t, i) ? printf("%7.1f", o[i].wait) : printf("%7s", "-");
        printf("|");
        for (int i = 0; i < SHOWN; i++)
                plays(t, i) ? printf("%6d", o[i].merges) : printf("%6s", "-");
        printf("\n");
}

static void print_sums(const struct sums *s)
{
        printf("auto / better of always and never: worst %.3f (%s); below 0.95 on %d of %d traces, above both on %d\n",
                s->worst, s->worst_at, s->below, s->traces, s->above);
        printf("the same when it believes patches to cost half, twice: worst %.3f, %.3f\n", s->worst_timid,
                s->worst_bold);
        printf("auto / oracle: %.3f in the geometric mean\n", exp(s->of_oracle / s->oracles));
        if (s->crowding < INFINITY)
                printf("least time from a merge of auto to its next: %.1f s\n", s->crowding);
        printf("longest standstill with auto: %.1f s, with never: %.1f s\n", s->wait, s->wait_never);
}

int main(void)
{
        for (int t = 0; t < n_traces; t++)
                printf("%-11s %s\n", traces[t].name, traces[t].what);
        for (int m = 0; m < n_models; m++) {
                struct sums sums = {
                        .worst = INFINITY, .worst_timid = INFINITY, .worst_bold = INFINITY, .crowding = INFINITY};

                print_head(&models[m]);
                for (int t = 0; t < n_traces; t++) {
                        struct outcome o[N_STRATEGIES] = {0};

                        for (int i = 0; i < N_STRATEGIES; i++)
                                if (plays(&traces[t], i))
                                        o[i] = server_play(&models[m], &traces[t], strategies[i], models[m].seconds);
                        print_row(&traces[t], o);
                        sum_up(&sums, &traces[t], o);
                }
                print_sums(&sums);
        }
        return 0;
}
