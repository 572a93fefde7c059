// The scratch that the files of the sample room share.
#ifndef DYNLORA_SAMPLE_SAMPLER_H
#define DYNLORA_SAMPLE_SAMPLER_H

#include <stdint.h>

struct candidate {
        int32_t id;
        float logit;
};

struct sampler {
        int vocab_size;
        int32_t *counts;              // (vocab_size), zero between calls
        struct candidate *candidates; // (vocab_size)
        double *weights;              // (vocab_size): exp(logit - max) of the candidates
};

#endif
