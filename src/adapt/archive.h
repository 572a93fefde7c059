// Unpacking an uploaded adapter: tar (ustar, pax, gnu), the same through gzip, or zip. The bytes are a stranger's:
// everything is bounded, only the two adapter files are ever written, into one folder, and whatever is not a plain
// file or folder with a plain name refuses the whole archive. Reads archives with libarchive. Any thread; blocks.
#ifndef DYNLORA_ADAPT_ARCHIVE_H
#define DYNLORA_ADAPT_ARCHIVE_H

#include <stdint.h>

#include "dynlora/status.h"

struct archive_limits {
        uint64_t bytes;      // unpacked, all entries together, also those that are passed over
        uint64_t file_bytes; // of one entry
        int entries;         // files and folders
        int ratio;           // unpacked bytes for a byte of the archive, once 1 MiB has been unpacked
};

// 8 GiB, 4 GiB, 64 entries, 200 to 1.
struct archive_limits archive_limits_default(void);

// Reads the archive at fd from its beginning to its end and writes adapter_config.json and adapter_model.safetensors to
// the folder dest (a descriptor), where they must not exist. They lie at the top of the archive or in its single top
// folder; other files are passed over, but pickles are refused by name. On an error what was written is deleted.
// DYN_INVALID: no such archive, cut short, damaged, over a limit, not allowed, or without the two files; the sentence
// begins with the entry's name where it is about one. DYN_UNSUPPORTED: encrypted, or a pickle. DYN_NO_MEMORY: the disk
// is full. DYN_IO.
enum dyn_status archive_unpack(int fd, int dest, const struct archive_limits *, struct dyn_error *);

#endif
