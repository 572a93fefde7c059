// An architecture: which weights a model has and the forward pass through them.
// Written for those who add one (src/model/arch/): a file with a load and a forward, and a row in arch/table.c.
// Configuration keys are read by src/model/config.c; loading goes through src/model/weights.h, where asking for a
// weight by name and shape is its validation.
#ifndef DYNLORA_ARCH_H
#define DYNLORA_ARCH_H

#include "dynlora/status.h"

struct model;
struct step;
struct weights;

struct dyn_arch {
        const char *name; // "model_type" in config.json, "general.architecture" in GGUF

        // Asks for every weight, in the order of use, and enters every linear layer as a site.
        enum dyn_status (*load)(struct model *, struct weights *, struct dyn_error *);

        // From token ids to the final hidden rows: s->x (n_rows, dim), before the last norm. No device, no adapter, no
        // request.
        void (*forward)(struct step *);
};

// By name; NULL if there is none.
const struct dyn_arch *dyn_arch_find(const char *name);

// The names, separated by ", ", for messages.
const char *dyn_arch_names(void);

#endif
