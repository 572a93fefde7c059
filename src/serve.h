// `dynlora serve`: builds the rooms in order, runs the loop and tears down in reverse.
#ifndef DYNLORA_SERVE_H
#define DYNLORA_SERVE_H

#include <stdbool.h>

#include "conf/conf.h"

// Until the server is asked to stop and has drained: 0; or at once with 1, and one line in the log why it could not
// start. *at_once is set where threads still run and the process should end without tidying up.
int serve_run(const struct conf *, bool *at_once);

#endif
