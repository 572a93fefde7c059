#include "model/rope.h"

#include <math.h>

// Long wavelengths are slowed by the factor, short ones stay, those between are blended.
static float llama3(float freq, const struct model_config *c)
{
        float factor = (float)c->rope_factor, low = (float)c->rope_low_freq_factor;
        float high = (float)c->rope_high_freq_factor, context = (float)c->rope_original_context;
        float wavelength = 2 * (float)M_PI / freq;

        if (wavelength > context / low)
                return freq / factor;
        if (wavelength < context / high)
                return freq;
        float smooth = (context / wavelength - low) / (high - low);
        return (1 - smooth) * freq / factor + smooth * freq;
}

void rope_frequencies(float *inv_freq, const struct model_config *c, const float *factors)
{
        for (int i = 0; i < c->head_dim / 2; i++) {
                float freq = 1 / powf((float)c->rope_theta, (float)(2 * i) / (float)c->head_dim);

                if (c->rope_scaling == ROPE_LINEAR)
                        freq /= (float)c->rope_factor;
                if (c->rope_scaling == ROPE_LLAMA3)
                        freq = llama3(freq, c);
                inv_freq[i] = factors ? freq / factors[i] : freq;
        }
}

void rope_fill(float *table, const float *inv_freq, int head_dim, const struct dyn_span *spans, int n_spans)
{
        for (int s = 0; s < n_spans; s++)
                for (int r = 0; r < spans[s].n_rows; r++) {
                        float *row = table + (size_t)(spans[s].first_row + r) * (size_t)head_dim;

                        for (int i = 0; i < head_dim / 2; i++) {
                                float angle = (float)(spans[s].first_pos + r) * inv_freq[i];

                                row[i] = cosf(angle);
                                row[head_dim / 2 + i] = sinf(angle);
                        }
                }
}
