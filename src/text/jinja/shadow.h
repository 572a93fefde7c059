// Jinja decides where a name lives before a template runs: one that a block of its own scope sets before it reads it
// is that block's from the start, so that inner blocks which run earlier find it undefined, whatever was passed in
// under that name. This pass finds such names and puts a NODE_UNSET in front of the block. Called by the parser.
#ifndef DYNLORA_TEXT_JINJA_SHADOW_H
#define DYNLORA_TEXT_JINJA_SHADOW_H

#include "text/jinja/tree.h"

void shadow_names(struct tree *);

#endif
