#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

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

// Bytes that could break the line, and bytes that are no UTF-8, are written out.
static size_t escape_byte(char *out, unsigned char c, bool valid)
{
        if (as_json)
                return (size_t)sprintf(out, "\\u%04x", valid ? c : 0xfffd);
        return (size_t)sprintf(out, "\\x%02x", c);
}

// Stops where out would be full, never within a character.
static void escape(char *out, size_t cap, const char *in)
{
        const char *end = in + strlen(in);
        uint32_t code;
        size_t n = 0;

        for (int step; in < end && n + 7 < cap; in += step > 0 ? step : 1) {
                unsigned char c = (unsigned char)*in;

                step = utf8_next(in, end, &code);
                if (step <= 0 || c < 0x20 || c == 0x7f) {
                        n += escape_byte(out + n, c, step > 0);
                        continue;
                }
                if (as_json && (c == '"' || c == '\\'))
                        out[n++] = '\\';
                memcpy(out + n, in, (size_t)step);
                n += (size_t)step;
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
