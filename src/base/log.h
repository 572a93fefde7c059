// Log lines on stderr: time, level, message, as text or as one JSON object a line. Messages say what happened and, if
// somebody must act, what to do. Any thread.
#ifndef DYNLORA_BASE_LOG_H
#define DYNLORA_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

// Before other threads start.
void log_configure(enum log_level least, bool json);

bool log_enabled(enum log_level);

void log_write(enum log_level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
