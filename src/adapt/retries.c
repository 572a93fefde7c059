// Those whose version could not come to the device because its folder holds something else by now (adapt/registry.h).
// The book hears of that within a second or so; until then they are called again and again. Loop thread.
#include "adapt/book.h"

#define TURN_MS 50

static void on_turn(uv_timer_t *timer)
{
        struct retries *all = timer->data;
        struct retry *first;

        all->turn++;
        while ((first = all->first) != NULL && first->turn != all->turn) {
                registry_retry_forget(first);
                first->again(first);
        }
}

void retries_init(struct retries *all, uv_loop_t *loop)
{
        uv_timer_init(loop, &all->timer);
        all->timer.data = all;
}

void retries_stop(struct retries *all)
{
        if (all->stopped)
                return;
        all->stopped = true;
        on_turn(&all->timer);
        uv_close((uv_handle_t *)&all->timer, NULL);
}

bool registry_retry(struct registry *r, struct retry *retry)
{
        struct retries *all = &r->retries;
        struct retry **end = &all->first;

        if (all->stopped || r->store == NULL)
                return false;
        while (*end != NULL)
                end = &(*end)->next;
        *end = retry;
        retry->next = NULL;
        retry->all = all;
        retry->turn = all->turn;
        if (!uv_is_active((uv_handle_t *)&all->timer))
                uv_timer_start(&all->timer, on_turn, TURN_MS, TURN_MS);
        return true;
}

void registry_retry_forget(struct retry *retry)
{
        struct retries *all = retry->all;
        struct retry **at = &all->first;

        while (*at != retry)
                at = &(*at)->next;
        *at = retry->next;
        if (all->first == NULL)
                uv_timer_stop(&all->timer);
}
