// SHA-256 of bytes that come one after the other. Of bytes that stay in memory it can run behind whoever fetches them,
// on a thread of its own, so that a large file takes as long as the slower of the two. One caller at a time.
#ifndef DYNLORA_ADAPT_DIGEST_H
#define DYNLORA_ADAPT_DIGEST_H

#include <stddef.h>

struct digest;

struct digest *digest_begin(void);

// At once, before digest_follow.
void digest_add(struct digest *, const void *data, size_t len);

// What comes next lies at data, as far as digest_reached says, and stays there until digest_end.
void digest_follow(struct digest *, const void *data);
void digest_reached(struct digest *, size_t len);

// Hexadecimal digits and a NUL. The digest is gone.
void digest_end(struct digest *, char hex[65]);

#endif
