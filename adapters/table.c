// The adapter kinds, one row each (dynlora/adapter.h). A new kind is a file of this room and a row here.
#include "dynlora/adapter.h"

#include <assert.h>

#include "adapters/lora.h"
#include "adapters/peft.h"
#include "base/alloc.h"
#include "io/json.h"

static const struct dyn_adapter_kind *const kinds[] = {
        &dyn_adapter_lora,
};

enum dyn_status dyn_adapter_kind_find(
        const struct dyn_adapter_folder *folder, const struct dyn_adapter_kind **out, struct dyn_error *err)
{
        const cJSON *type = json_member(folder->config, "peft_type");
        char found[80];

        *out = NULL;
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
                if (!kinds[i]->claims(folder))
                        continue;
                assert(*out == NULL);
                *out = kinds[i];
        }
        if (*out != NULL)
                return DYN_OK;
        return dyn_fail(err, cJSON_IsString(type) ? DYN_UNSUPPORTED : DYN_INVALID,
                PEFT_CONFIG ": \"peft_type\": expected \"LORA\", found %s", json_describe(type, found, sizeof found));
}

void dyn_lowered_finish(struct dyn_lowered *lowered)
{
        if (lowered == NULL)
                return;
        for (int i = 0; i < lowered->n_keep; i++)
                mem_free(lowered->keep[i]);
        mem_free(lowered->keep);
        mem_free(lowered->patches);
        *lowered = (struct dyn_lowered){0};
}
