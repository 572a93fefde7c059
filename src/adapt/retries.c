// Those whose version could not come to the device because its folder holds something else by now (adapt/registry.h):
// the store knows already what their name means, the book will within a second. They are called again in turns until
// then.
#include "adapt/book.h"

#define TURN_MS 50

static void take_turn(struct registry *r)
{
        struct retry *waiting = r->retries.first;

        r->retries.first = NULL;
        while (waiting != NULL) {
                struct retry *next = waiting->next;

                // It may forget one of those behind it, which is no longer on the list: so it goes back first.
                waiting->next = NULL;
                r->retries.first = next;
                waiting->again(waiting);
                waiting = r->retries.first;
                if (waiting != next)
                        break;
        }
}
