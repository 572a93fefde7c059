// The alphabet of byte-level BPE: each byte is written as one printable character, so that vocabularies hold text.
// Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019 (GPT-2's encoder). Any thread.
#ifndef DYNLORA_TEXT_BYTELEVEL_H
#define DYNLORA_TEXT_BYTELEVEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

// Writes the character (1 or 2 bytes of UTF-8) of that byte; returns its length.
int bytelevel_put(char *p, unsigned char byte);

// Appends the bytes that a token stands for. A token with a character from outside the alphabet stands for itself.
void bytelevel_decode(struct buf *out, const char *token, size_t len);

#endif
