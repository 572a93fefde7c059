// Low-rank adaptation, plain and rank-stabilised; see lora.c.
#ifndef DYNLORA_ADAPTERS_LORA_H
#define DYNLORA_ADAPTERS_LORA_H

#include "dynlora/adapter.h"

extern const struct dyn_adapter_kind dyn_adapter_lora;

#endif
