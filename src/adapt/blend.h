// A blend: a version of weighted others, y = W x + sum of weight_i * scale_i * B_i (A_i x). It is a version like any
// other to everybody but the loader: at each site its patch is the parts' patches, one after the other along the rank.
// Source: PEFT's add_weighted_adapter, combination "cat".
#ifndef DYNLORA_ADAPT_BLEND_H
#define DYNLORA_ADAPT_BLEND_H

#include "adapt/version.h"

#define BLEND_MOST   8   // parts
#define BLEND_WEIGHT 1e6 // the largest weight either way: beyond it, an answer is noise at best

struct blend_part {
        struct dyn_adapter *adapter; // no blend
        double weight;
};

// Of 1 to BLEND_MOST parts, in an order that decides its bits; pins each. On no tier, and known by what its parts are:
// its name is "a*0.7+b*0.3", its version a hash of their versions and weights. Reads nothing. Any thread.
struct dyn_adapter *blend_create(const struct blend_part *parts, int n);

// Its patches, from the parts wherever those are (version_lend). What has the same factor, weight * scale, and the same
// element type in all parts at a site keeps both; else everything there becomes f32 with the factors in B. Any thread;
// blocks.
enum dyn_status blend_lower(const struct dyn_adapter *, struct dyn_lowered *, struct dyn_error *);

// Unpins its parts, if it has any: the end of a version.
void blend_release(struct dyn_adapter *);

#endif
