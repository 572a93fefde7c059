#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static enum log_level least_level = LOG_INFO;
static bool as_json;

static const char *const names[] = {"debug", "info", "warn", "error"};

void log_configure(enum log_level least, bool json)
{
        least_level = least;
        as_json = json;
}

bool log_enabled(enum log_level level)
{
        return level >= least_level;
}

// JSON string contents; control bytes become \u00XX so that a message can never break its line.
static void escape(char *out, size_t cap, const char *in)
{
        size_t n = 0;

        for (; *in != 0 && n + 7 < cap; in++) {
                unsigned char c = (unsigned char)*in;

                if (c < 0x20 || c == 0x7f) {
                        n += (size_t)snprintf(out + n, cap - n, as_json ? "\\u%04x" : "\\x%02x", c);
                } else {
                        if (as_json && (c == '"' || c == '\\'))
                                out[n++] = '\\';
                        out[n++] = (char)c;
                }
        }
        out[n] = 0;
}

void log_write(enum log_level level, const char *format, ...)
{
        char message[1024], clean[1600], when[32];
        struct timespec now;
        struct tm tm;
        va_list args;

        if (!log_enabled(level))
                return;
        va_start(args, format);
        vsnprintf(message, sizeof message, format, args);
        va_end(args);
        escape(clean, sizeof clean, message);
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &tm);
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &tm);
        fprintf(stderr,
                as_json ? "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"message\":\"%s\"}\n" : "%s.%03ldZ %-5s %s\n",
                when, now.tv_nsec / 1000000, names[level], clean);
}
