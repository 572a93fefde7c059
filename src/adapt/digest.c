// Hashing, beside the reading of what is hashed where that is worth a thread (adapt/digest.h).
#include "adapt/digest.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/aside.h"

#define PIECE (256 * 1024)

struct digest {
        EVP_MD_CTX *hash;
        const char *data;
        size_t hashed; // of data
        pthread_t thread;
        bool follows; // there is a thread
        bool aside;   // as the one that it follows
        pthread_mutex_t lock;
        pthread_cond_t news;
        size_t reached; // under the lock, as ended
        bool ended;
};

struct digest *digest_begin(void)
{
        struct digest *d = mem_zalloc(sizeof *d);

        d->hash = EVP_MD_CTX_new();
        EVP_DigestInit_ex(d->hash, EVP_sha256(), NULL);
        pthread_mutex_init(&d->lock, NULL);
        pthread_cond_init(&d->news, NULL);
        return d;
}

void digest_add(struct digest *d, const void *data, size_t len)
{
        EVP_DigestUpdate(d->hash, data, len);
}

static void hash_up_to(struct digest *d, size_t end)
{
        digest_add(d, d->data + d->hashed, end - d->hashed);
        d->hashed = end;
}

// Waits for more than was hashed; false if nothing more comes.
static bool wait_for_more(struct digest *d, size_t *reached)
{
        pthread_mutex_lock(&d->lock);
        while (d->reached == d->hashed && !d->ended)
                pthread_cond_wait(&d->news, &d->lock);
        *reached = d->reached;
        pthread_mutex_unlock(&d->lock);
        return *reached > d->hashed;
}

static void *follow(void *arg)
{
        struct digest *d = arg;
        size_t reached;

        if (d->aside)
                aside_enter();
        while (wait_for_more(d, &reached)) {
                while (d->hashed < reached) {
                        hash_up_to(d, reached - d->hashed > PIECE ? d->hashed + PIECE : reached);
                        aside_breathe();
                }
        }
        return NULL;
}

void digest_follow(struct digest *d, const void *data)
{
        d->data = data;
        d->aside = aside_is();
        d->follows = pthread_create(&d->thread, NULL, follow, d) == 0; // else digest_reached hashes
}

void digest_reached(struct digest *d, size_t len)
{
        if (!d->follows) {
                hash_up_to(d, len);
                return;
        }
        pthread_mutex_lock(&d->lock);
        d->reached = len;
        pthread_cond_signal(&d->news);
        pthread_mutex_unlock(&d->lock);
}

static void end_following(struct digest *d)
{
        if (!d->follows)
                return;
        pthread_mutex_lock(&d->lock);
        d->ended = true;
        pthread_cond_signal(&d->news);
        pthread_mutex_unlock(&d->lock);
        pthread_join(d->thread, NULL);
}

void digest_end(struct digest *d, char hex[65])
{
        unsigned char sum[32];

        end_following(d);
        EVP_DigestFinal_ex(d->hash, sum, NULL);
        for (int i = 0; i < 32; i++)
                snprintf(hex + 2 * i, 3, "%02x", sum[i]);
        EVP_MD_CTX_free(d->hash);
        pthread_cond_destroy(&d->news);
        pthread_mutex_destroy(&d->lock);
        mem_free(d);
}
