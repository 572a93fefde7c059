// The architectures that this build knows: one row each.
#include "dynlora/arch.h"

#include <string.h>

extern const struct dyn_arch dyn_arch_llama;

static const struct dyn_arch *const table[] = {&dyn_arch_llama};

const struct dyn_arch *dyn_arch_find(const char *name)
{
        for (size_t i = 0; i < sizeof table / sizeof *table; i++)
                if (strcmp(table[i]->name, name) == 0)
                        return table[i];
        return NULL;
}

const char *dyn_arch_names(void)
{
        return "llama";
}
