#include "sched/plan.h"

#include <stdlib.h>

static int min2(int a, int b)
{
        return a < b ? a : b;
}

// Insertion by version keeps the age order within one; a step has few sequences.
static void insert(const struct plan_view *views, struct plan_share *shares, int n, struct plan_share share)
{
        int at = n;

        for (; at > 0; at--) {
                const struct plan_view *before = &views[shares[at - 1].view], *own = &views[share.view];

                if (before->version < own->version ||
                        (before->version == own->version && shares[at - 1].view < share.view))
                        break;
                shares[at] = shares[at - 1];
        }
        shares[at] = share;
}

int plan_step(const struct plan_view *views, int n_views, const struct plan_limits *limits, struct plan_share *shares)
{
        int tokens = limits->step_tokens, extra = limits->extra_logits, n = 0;

        for (int pass = 0; pass < 2; pass++)
                for (int i = 0; i < n_views && tokens > 0; i++) {
                        const struct plan_view *v = &views[i];
                        int take = min2(v->pending, tokens);

                        if (v->held || (v->pending == 1) != (pass == 0))
                                continue;
                        if (v->all_logits) {
                                take = min2(take, extra + 1);
                                extra -= take - 1;
                        }
                        insert(views, shares, n++, (struct plan_share){.view = i, .n_tokens = take});
                        tokens -= take;
                }
        for (int i = 0, row = 0; i < n; i++) {
                shares[i].first_row = row;
                row += shares[i].n_tokens;
        }
        return n;
}
