#include "api/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

#include "api/tokens.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"

// The tokens of one file.
struct ring {
        const char *option, *path; // path NULL: nobody asked for tokens
        struct buf digests;        // SHA256_DIGEST_LENGTH bytes for each
};

struct auth {
        struct ring keys, admins;
};

// Reading
// -------------------------------------------------------------------------------------------------------------------

static void take(void *ctx, const char *token, size_t len)
{
        struct buf *digests = ctx;

        SHA256((const unsigned char *)token, len, (unsigned char *)buf_reserve(digests, SHA256_DIGEST_LENGTH));
        digests->len += SHA256_DIGEST_LENGTH;
}

static size_t count(const struct ring *r)
{
        return r->digests.len / SHA256_DIGEST_LENGTH;
}

static enum dyn_status read_ring(struct ring *r, struct dyn_error *err)
{
        struct buf digests = {0};
        bool exposed;

        if (r->path == NULL)
                return DYN_OK;
        enum dyn_status st = tokens_read(r->path, take, &digests, &exposed, err);
        if (st != DYN_OK) {
                buf_free(&digests);
                return dyn_fail_in(err, r->option);
        }
        if (exposed)
                log_warn("%s %s: other users of this machine may read it; chmod o-r would keep it to yourself",
                        r->option, r->path);
        buf_free(&r->digests);
        r->digests = digests;
        return DYN_OK;
}

enum dyn_status auth_create(
        struct auth **out, const char *api_key_file, const char *admin_token_file, struct dyn_error *err)
{
        struct auth *a = mem_zalloc(sizeof *a);
        enum dyn_status st;

        *out = NULL;
        a->keys = (struct ring){.option = "--api-key-file", .path = api_key_file};
        a->admins = (struct ring){.option = "--admin-token-file", .path = admin_token_file};
        if ((st = read_ring(&a->keys, err)) != DYN_OK || (st = read_ring(&a->admins, err)) != DYN_OK) {
                auth_destroy(a);
                return st;
        }
        *out = a;
        return DYN_OK;
}

void auth_destroy(struct auth *a)
{
        if (a == NULL)
                return;
        buf_free(&a->keys.digests);
        buf_free(&a->admins.digests);
        mem_free(a);
}

void auth_reload(struct auth *a)
{
        struct ring *rings[] = {&a->keys, &a->admins};
        struct dyn_error err;

        for (int i = 0; i < 2; i++) {
                struct ring *r = rings[i];

                if (r->path == NULL)
                        continue;
                if (read_ring(r, &err) == DYN_OK)
                        log_info("%s %s: read again, %zu tokens", r->option, r->path, count(r));
                else
                        log_error("%s; the %zu tokens read before stay", err.text, count(r));
        }
}

// Asking
// --------------------------------------------------------------------------------------------------------------------

// "Bearer TOKEN", the word in any case (RFC 6750, RFC 9110).
static const char *bearer(const char *authorization)
{
        if (authorization == NULL || strncasecmp(authorization, "bearer ", 7) != 0)
                return NULL;
        const char *token = authorization + 7 + strspn(authorization + 7, " ");
        return *token != 0 ? token : NULL;
}

// Every digest is compared whole, so that the time tells neither which one matched nor how much of it.
static bool holds(const struct ring *r, const unsigned char *digest)
{
        bool found = false;

        for (size_t at = 0; at < r->digests.len; at += SHA256_DIGEST_LENGTH)
                found |= CRYPTO_memcmp(r->digests.data + at, digest, SHA256_DIGEST_LENGTH) == 0;
        return found;
}

int auth_check(const struct auth *a, enum auth_access access, const char *authorization, bool local, const char **why)
{
        bool admin = access == AUTH_ADMIN;
        const char *token = bearer(authorization);
        unsigned char digest[SHA256_DIGEST_LENGTH];

        if (access == AUTH_OPEN || (!admin && a->keys.path == NULL))
                return 0;
        if (admin && a->admins.path == NULL) {
                *why = "without --admin-token-file this answers only on the machine that the server runs on";
                return local ? 0 : 403;
        }
        if (token == NULL) {
                *why = admin ? "expected the header \"Authorization: Bearer TOKEN\" with an admin token, found none"
                             : "expected the header \"Authorization: Bearer KEY\" with an API key, found none";
                return 401;
        }
        SHA256((const unsigned char *)token, strlen(token), digest);
        bool is_admin = holds(&a->admins, digest), is_key = holds(&a->keys, digest);
        *why = admin ? "the token is not one of this server's admin tokens"
                     : "the key is not one of this server's API keys";
        return is_admin || (is_key && !admin) ? 0 : 401;
}
