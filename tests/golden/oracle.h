// What golden files say (README.md), and how far the engine's results are from it.
#ifndef DYNLORA_TESTS_ORACLE_H
#define DYNLORA_TESTS_ORACLE_H

#include "driver.h"
#include "io/json.h"

// Distances of log-probabilities from the oracle's.
struct gap {
        double worst, sum;
        int n;
};

void gap_add(struct gap *, double off);
double gap_mean(const struct gap *);

// A parsed golden file; exits with a message if it cannot be read. cJSON_Delete the result.
cJSON *oracle_open(const char *path);

// The adapter of that name from the first folder that has it, pinned; exits with a message if none has.
struct dyn_adapter *oracle_adapter(struct driver *, const char *name, char **folders, int n_folders);

// The prompt of a case, to be freed by mem_free, and its length.
int32_t *oracle_prompt(const cJSON *c, int *n);

// Log-probabilities of the prompt beside the list under key; false if there are not as many.
bool oracle_prompt_gap(const cJSON *c, const char *key, const struct result *, struct gap *);

// The oracle's best ones at each place of the prompt, where they are among the result's.
void oracle_top_gap(const cJSON *c, const struct result *, struct gap *);

// The answer's tokens and their log-probabilities, as far as the tokens are the oracle's and one more. False (and a
// line) if one differs where the oracle's margin was above sure.
bool oracle_greedy_gap(const cJSON *c, const struct result *, double sure, struct gap *);

#endif
