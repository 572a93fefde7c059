#include "client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"

#define ANSWER_MAX      (64 * 1024 * 1024)
#define CONNECT_SECONDS 10L

struct client {
        CURL *curl;
        char *url;         // as given, for errors
        char *base;        // without a slash at the end
        char *socket_path; // NULL for TCP
        char *authorization;
};

static bool is_visible(const char *s)
{
        for (; *s != 0; s++)
                if (*s <= ' ' || *s > '~')
                        return false;
        return true;
}

enum dyn_status client_create(struct client **out, const char *url, const char *token, struct dyn_error *err)
{
        size_t len = strlen(url);

        if (len == 0 || url[0] == '/' || strcmp(url, "unix:") == 0)
                return dyn_fail(err, DYN_INVALID, "expected http://HOST:PORT or unix:PATH, found \"%s\"", url);
        if (token != NULL && (*token == 0 || !is_visible(token)))
                return dyn_fail(err, DYN_INVALID, "the token: expected visible ASCII characters");
        CURL *curl = curl_easy_init();
        if (curl == NULL)
                return dyn_fail(err, DYN_IO, "libcurl cannot be used");
        struct client *c = mem_zalloc(sizeof *c);
        c->curl = curl;
        c->url = mem_strdup(url);
        while (len > 0 && url[len - 1] == '/')
                len--;
        if (strncmp(url, "unix:", 5) == 0) {
                c->socket_path = mem_strdup(url + 5);
                c->base = mem_strdup("http://localhost");
        } else {
                c->base = mem_strndup(url, len);
        }
        if (token != NULL)
                c->authorization = mem_printf("Authorization: Bearer %s", token);
        *out = c;
        return DYN_OK;
}

void client_destroy(struct client *c)
{
        if (c == NULL)
                return;
        curl_easy_cleanup(c->curl);
        mem_free(c->url);
        mem_free(c->base);
        mem_free(c->socket_path);
        mem_free(c->authorization);
        mem_free(c);
}

// Fewer bytes taken than given end the call.
static size_t on_answer(char *data, size_t size, size_t n, void *user)
{
        struct buf *body = user;

        if (n > ANSWER_MAX - body->len)
                return 0;
        buf_append(body, data, n);
        return n;
}

static enum dyn_status set_body(CURL *curl, const struct client_call *call, struct dyn_error *err)
{
        struct stat st;

        if (call->file != NULL) {
                if (fstat(fileno(call->file), &st) != 0)
                        return dyn_fail(err, DYN_IO, "%s", strerror(errno));
                rewind(call->file);
                curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
                curl_easy_setopt(curl, CURLOPT_READDATA, call->file);
                curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)st.st_size);
        } else if (call->json != NULL) {
                curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call->json);
        }
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call->method);
        return DYN_OK;
}

// libcurl speaks of port 80 where a Unix socket was meant.
static enum dyn_status fail_call(const struct client *c, CURLcode code, const char *why, struct dyn_error *err)
{
        long os_error = 0;

        curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &os_error);
        if (code == CURLE_COULDNT_CONNECT && os_error != 0)
                return dyn_fail(err, DYN_IO, "%s: no server answers there: %s", c->url, strerror((int)os_error));
        return dyn_fail(err, DYN_IO, "%s: %s", c->url, why[0] ? why : curl_easy_strerror(code));
}

static char *whole_url(struct client *c, const struct client_call *call)
{
        char *name = call->name ? curl_easy_escape(c->curl, call->name, 0) : NULL;
        char *url = mem_printf("%s%s%s%s", c->base, call->path, name ? "/" : "", name ? name : "");

        curl_free(name);
        return url;
}

enum dyn_status client_send(
        struct client *c, const struct client_call *call, int *status, struct buf *body, struct dyn_error *err)
{
        struct curl_slist *headers = NULL;
        char why[CURL_ERROR_SIZE] = "";
        char *url = whole_url(c, call);
        long answered = 0;

        curl_easy_reset(c->curl);
        if (call->json != NULL)
                headers = curl_slist_append(headers, "Content-Type: application/json");
        if (c->authorization != NULL)
                headers = curl_slist_append(headers, c->authorization);
        curl_easy_setopt(c->curl, CURLOPT_URL, url);
        curl_easy_setopt(c->curl, CURLOPT_DEFAULT_PROTOCOL, "http");
        curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, c->socket_path);
        curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
        curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
        curl_easy_setopt(c->curl, CURLOPT_TCP_KEEPALIVE, 1L);
        curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, on_answer);
        curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, body);
        curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, why);
        enum dyn_status st = set_body(c->curl, call, err);
        if (st == DYN_OK) {
                CURLcode code = curl_easy_perform(c->curl);

                curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &answered);
                if (code != CURLE_OK)
                        st = fail_call(c, code, why, err);
        }
        *status = (int)answered;
        // The error buffer and the headers are the handle's no longer.
        curl_easy_reset(c->curl);
        curl_slist_free_all(headers);
        mem_free(url);
        return st;
}
