// Which modules of the base a PEFT configuration targets: target_modules, exclude_modules, layers_to_transform and
// layers_pattern, as PEFT reads them (check_target_module_exists in src/peft/tuners/tuners_utils.py). Called by the
// kinds of this room that attach to linear layers. Borrows the configuration.
#ifndef DYNLORA_ADAPTERS_TARGET_H
#define DYNLORA_ADAPTERS_TARGET_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "dynlora/adapter.h"

struct target {
        const cJSON *modules;    // strings: names or ends of module paths; NULL if by pattern or all
        struct pyregex *pattern; // target_modules as one pattern
        bool all_linear;         // every linear layer but the output head
        const cJSON *exclude;    // as modules
        struct pyregex *exclude_pattern;
        const cJSON *layers;             // a number or an array of numbers; NULL: every layer
        struct pyregex **layers_pattern; // (n_layers_pattern)
        int n_layers_pattern;
};

// Zero *target first; on failure too, target_finish gives back what is in it.
enum dyn_status target_init(struct target *, const cJSON *config, struct dyn_error *);
void target_finish(struct target *);

// Whether a linear layer of that module path is targeted. layer is -1 outside the blocks.
enum dyn_status target_includes(
        const struct target *, const char *module, int layer, bool *included, struct dyn_error *);

#endif
