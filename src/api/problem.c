#include "api/problem.h"

#include <stdarg.h>
#include <stdio.h>

enum dyn_status problem_of(struct problem *p, const char *param, const char *code)
{
        snprintf(p->param, sizeof p->param, "%s", param ? param : "");
        p->code = code;
        return p->err.status;
}

enum dyn_status problem_set(
        struct problem *p, enum dyn_status status, const char *param, const char *code, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(p->err.text, sizeof p->err.text, format, args);
        va_end(args);
        p->err.status = status;
        return problem_of(p, param, code);
}
