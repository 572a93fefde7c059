#include "dynlora/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum dyn_status dyn_fail(struct dyn_error *err, enum dyn_status status, const char *format, ...)
{
        if (err != NULL) {
                va_list args;

                va_start(args, format);
                vsnprintf(err->text, sizeof err->text, format, args);
                va_end(args);
                err->status = status;
        }
        return status;
}

enum dyn_status dyn_fail_in(struct dyn_error *err, const char *prefix)
{
        char text[sizeof err->text];

        memcpy(text, err->text, sizeof text);
        if ((size_t)snprintf(err->text, sizeof err->text, "%s: %s", prefix, text) >= sizeof err->text)
                memcpy(err->text + sizeof err->text - 4, "...", 4);
        return err->status;
}
