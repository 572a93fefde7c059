// The Unicode normalisation forms (UAX #15), in time linear in the text but for a sort of combining marks.
// normalizer.c calls it. Any thread.
#ifndef DYNLORA_TEXT_UNICODE_FORM_H
#define DYNLORA_TEXT_UNICODE_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

// Appends the form of text (valid UTF-8): NFD, NFC (compose), NFKD (compatible), NFKC (both).
void unicode_form(struct buf *out, const char *text, size_t len, bool compose, bool compatible);

#endif
