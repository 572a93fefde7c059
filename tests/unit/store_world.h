// An adapter store of a test's own, the calls of the system that the store meets, which can be told to refuse
// (linked with --wrap), and what tests ask of it.
#ifndef DYNLORA_TESTS_STORE_WORLD_H
#define DYNLORA_TESTS_STORE_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "adapt/store.h"

extern struct store *store; // opened by store_world_begin
extern struct dyn_error err;

extern bool cannot_swap, disk_full;             // renameat2 and fsync refuse
extern time_t clock_ahead;                      // seconds that the calendar is ahead
extern void (*before_swap)(const char *hidden); // called once

// Setup and teardown for cmocka.
int store_world_begin(void **state);
int store_world_end(void **state);

const char *store_dir(void);
const char *in_store(const char *name); // the path of it there, valid until the fourth call after

void put(const char *path, const char *text);
void put_in(const char *folder, const char *name, const char *text);

// Fills a folder with a version of an adapter: both files say which.
void fill(const char *folder, int version);

// Stages and commits a version, or a path.
enum dyn_status commit(const char *name, int version, bool replace, const struct store_settings *);
enum dyn_status point(const char *name, const char *path, const struct store_settings *);

// The bytes of a file, -1 if it cannot be read.
int read_whole(int folder, const char *name, char *text, size_t cap);

#define ABSENT (-1)
#define HALF   (-2)
#define GOING  (-3) // replaced while it was read

// The version that a name holds.
int version_of(const char *name);

// How many entries of the store are hidden, or all of them.
int count(bool hidden);

bool exists(const char *name);

// That err has it.
void has(const char *part);

// The entry of a name, its strings valid until the next call.
struct store_entry look(const char *name);

#endif
