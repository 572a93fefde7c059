// What orchestrators and load balancers ask: GET /health, /ready and /version.
#include "api/reply.h"
#include "api/server.h"
#include "api/writer.h"

static void answer_status(struct http_exchange *x, const char *status)
{
        struct buf body = {0};
        struct writer w = {&body};

        writer_open(&w, '{');
        writer_member_string(&w, "status", status);
        writer_close(&w, '}');
        reply_json(x, 200, &body);
        buf_free(&body);
}

void api_health(struct http_exchange *x, void *ctx)
{
        answer_status(x, "ok");
}

void api_ready(struct http_exchange *x, void *ctx)
{
        struct problem p = {0};

        if (api_check_serving(ctx, x, &p) == DYN_OK)
                answer_status(x, "ready");
        else
                reply_problem(x, &p);
}

void api_version(struct http_exchange *x, void *ctx)
{
        const struct api *api = ctx;
        struct problem p = {0};
        struct buf body = {0};
        struct writer w = {&body};

        if (api_check_query(x, &p) != DYN_OK) {
                reply_problem(x, &p);
                return;
        }
        writer_open(&w, '{');
        writer_member_string(&w, "version", DYNLORA_VERSION);
        writer_member_string(&w, "backend", api->model ? api->model->backend : NULL);
        writer_member_string(&w, "system_fingerprint", api->model ? api->fingerprint : NULL);
        writer_close(&w, '}');
        reply_json(x, 200, &body);
        buf_free(&body);
}
