// What every call that can fail answers: a status for programs and one sentence for people.
// The sentence names the file or field, what was expected and what was found. Bugs are asserts, never a status.
#ifndef DYNLORA_STATUS_H
#define DYNLORA_STATUS_H

enum dyn_status {
        DYN_OK = 0,
        DYN_INVALID,     // the input is wrong
        DYN_NOT_FOUND,   // what was named is not there
        DYN_CONFLICT,    // the name is in use, or the version asked for is gone
        DYN_FORBIDDEN,   // a path or an act that is not allowed
        DYN_UNSUPPORTED, // well formed, but not something this build can do
        DYN_NO_MEMORY,   // a budget or the device is full
        DYN_IO,          // the operating system said no
        DYN_BUSY,        // the queue is full, or the server is starting or draining: try again
};

struct dyn_error {
        enum dyn_status status;
        char text[480];
};

// Fills err (which may be NULL) and returns status, so that a check reads `return dyn_fail(err, DYN_INVALID, ...)`.
enum dyn_status dyn_fail(struct dyn_error *err, enum dyn_status status, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

// Puts "prefix: " before the text of a failed call and returns its status. err must not be NULL here. Any thread.
enum dyn_status dyn_fail_in(struct dyn_error *err, const char *prefix);

#endif
