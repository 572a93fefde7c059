// The messages of a chat: checks each one and has the model's chat template turn them into one text.
#ifndef DYNLORA_API_CONVERSATION_H
#define DYNLORA_API_CONVERSATION_H

#include "api/fields.h"
#include "api/server.h"

// Appends the text of params->messages. DYN_INVALID also when the template itself refuses the conversation or when the
// model has no template.
enum dyn_status conversation_render(struct api *, const struct params *, struct buf *out, struct problem *);

// The messages as a template sees them: role, name and content, text parts joined by newlines, nulls left out.
// cJSON_Delete the result; it borrows from the input.
enum dyn_status conversation_read(const cJSON *messages, cJSON **out, struct problem *);

#endif
