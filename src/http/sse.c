// Server-sent events (the HTML standard, "event stream"), on top of a streamed answer. The api room sends tokens with
// it.
#include <assert.h>
#include <string.h>

#include "base/alloc.h"
#include "http/http.h"

void http_stream_event(struct http_exchange *e, const char *name, const char *data, size_t len)
{
        struct buf event = {0};

        assert(memchr(data, '\n', len) == NULL && memchr(data, '\r', len) == NULL);
        if (name != NULL)
                buf_printf(&event, "event: %s\n", name);
        buf_puts(&event, "data: ");
        buf_append(&event, data, len);
        buf_puts(&event, "\n\n");
        http_stream_write(e, event.data, event.len);
        buf_free(&event);
}
