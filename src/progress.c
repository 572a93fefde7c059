#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define ON_TERMINAL_NS 100000000
#define IN_LOG_NS      2000000000

void progress_say(struct progress *p, const char *what, double done)
{
        int64_t now = clock_ns();

        if (p->said_ns == 0)
                p->said_ns = now; // a load that is over at once needs no line
        if (isatty(STDERR_FILENO)) {
                if (now - p->said_ns < ON_TERMINAL_NS)
                        return;
                p->width = fprintf(stderr, "\r%s: %3.0f %%", what, done * 100) - 1;
                fflush(stderr);
        } else {
                if (now - p->said_ns < IN_LOG_NS)
                        return;
                log_info("%s: %.0f %%", what, done * 100);
        }
        p->said_ns = now;
}

void progress_end(struct progress *p)
{
        if (p->width > 0)
                fprintf(stderr, "\r%*s\r", p->width, "");
        p->width = 0;
}
