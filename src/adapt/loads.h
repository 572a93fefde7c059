// A load of an adapter, shared by loads.c, which begins it, loads_pool.c, which reads, and loads_result.c, which ends
// it. Nobody else includes this.
#ifndef DYNLORA_ADAPT_LOADS_H
#define DYNLORA_ADAPT_LOADS_H

#include "adapt/book.h"

struct load {
        uv_work_t work;
        struct registry *registry;
        struct registered *entry; // NULL: dropped
        struct load *next;        // in the registry's list
        char *name, *path;
        char held[FOLDER_HASH]; // the content that the name holds now, if held_path is not NULL
        char *held_path;        // where that came from
        size_t held_bytes;      // and takes on the device
        bool stale;             // and the store holds something else
        int archive;            // an upload to unpack instead of reading path; -1: none
        bool replace;
        bool keep;     // enter it into the store, which does not have it yet
        bool found;    // the store has it: listed as failed if it is refused
        bool own;      // look it up in the store first
        bool unwanted; // unregistered meanwhile: what it puts into the store is taken out again
        struct store_settings settings;
        bool has_settings;  // else those of the name stay
        size_t pin_room;    // bytes that can be pinned
        uint64_t signature; // of what the store holds now, 0 if it is not there
        struct scan *scan;  // NULL: not of the first reading of the store
        registry_done *done;
        void *ctx;
        int64_t began; // nanoseconds
        // What the worker found.
        struct dyn_adapter *adapter; // NULL: failed, or the name holds this content already
        char *moved_to;              // where the same content comes from now; NULL: from where it came
        enum dyn_status status;
        struct dyn_error error;
};

// Reads, checks, hashes, and puts into the store what it has to. Pool thread.
void loads_work(uv_work_t *);

// Enters what came of it into the book, tells who waits for it, and frees it. Loop thread.
void loads_after(uv_work_t *, int uv_status);

#endif
