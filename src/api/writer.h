// Writes JSON into a buffer: commas come by themselves, strings are escaped, and bytes that are not UTF-8 become
// U+FFFD, so that whatever a token stands for, the answer is one line of valid JSON. Used by every handler of this
// room.
#ifndef DYNLORA_API_WRITER_H
#define DYNLORA_API_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

// Set out; the rest starts at zero.
struct writer {
        struct buf *out;
        bool comma; // the next value needs one before it
};

void writer_open(struct writer *, char bracket);  // '{' or '['
void writer_close(struct writer *, char bracket); // '}' or ']'
void writer_key(struct writer *, const char *key);

void writer_string(struct writer *, const char *s); // NULL is null
void writer_bytes(struct writer *, const char *s, size_t len);
void writer_int(struct writer *, int64_t value);
void writer_number(struct writer *, double value);
void writer_float(struct writer *, float value); // enough digits to read back the same bits; -inf becomes -9999
void writer_bool(struct writer *, bool value);
void writer_null(struct writer *);

// A key and its value in one line.
void writer_member_string(struct writer *, const char *key, const char *s);
void writer_member_int(struct writer *, const char *key, int64_t value);
void writer_member_bool(struct writer *, const char *key, bool value);
void writer_member_null(struct writer *, const char *key);

#endif
