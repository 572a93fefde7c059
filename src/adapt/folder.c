// Reading an adapter's folder (folder.h). The weights are copied once, on their way through the hash, into an anonymous
// file: a file on the disk that shrank under a mapping would end the process, and one that changed would not be what
// was hashed.
#include "adapt/folder.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "io/json.h"
#include "io/safetensors.h"

#define MAX_CONFIG (1024 * 1024)
#define CHUNK      (256 * 1024)

// Where the bytes of a file go besides the hash: one of them, or neither.
struct sink {
        struct buf *text;
        int fd; // -1: none
};

// Opening
// --------------------------------------------------------------------------------------------------------------------

static bool exists(int dir, const char *name)
{
        return faccessat(dir, name, F_OK, 0) == 0;
}

// What to do about weights that are there in another form.
static enum dyn_status fail_missing(int dir, const char *name, struct dyn_error *err)
{
        static const char *const pickles[] = {"adapter_model.bin", "pytorch_adapter.bin", "adapter_model.pt"};

        if (strcmp(name, FOLDER_CONFIG) == 0)
                return dyn_fail(err, DYN_INVALID, "%s: expected an adapter's configuration, found no such file", name);
        for (size_t i = 0; i < sizeof pickles / sizeof *pickles; i++) {
                if (exists(dir, pickles[i]))
                        return dyn_fail(err, DYN_UNSUPPORTED,
                                "%s: a pickle can run code and is not read: save the adapter as safetensors (%s)",
                                pickles[i], name);
        }
        return dyn_fail(err, DYN_INVALID, "%s: expected the adapter's tensors, found no such file", name);
}

static enum dyn_status open_file(int dir, const char *name, int *fd, int64_t *size, struct dyn_error *err)
{
        struct stat st;

        // A pipe must not make the loader wait.
        *fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (*fd < 0 && errno == ENOENT)
                return fail_missing(dir, name, err);
        if (*fd < 0 || fstat(*fd, &st) != 0)
                return dyn_fail(err, DYN_IO, "%s: %s", name, strerror(errno));
        if (!S_ISREG(st.st_mode))
                return dyn_fail(err, DYN_INVALID, "%s: expected a regular file", name);
        *size = st.st_size;
        return DYN_OK;
}

static enum dyn_status open_dir(const char *path, int *dir, struct dyn_error *err)
{
        *dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*dir >= 0)
                return DYN_OK;
        if (errno == ENOENT)
                return dyn_fail(err, DYN_NOT_FOUND, "no such folder");
        if (errno == ENOTDIR)
                return dyn_fail(err, DYN_INVALID, "expected a folder, found a file");
        return dyn_fail(err, DYN_IO, "%s", strerror(errno));
}

// Reading
// --------------------------------------------------------------------------------------------------------------------

static bool write_all(int fd, const char *data, size_t len)
{
        while (len > 0) {
                ssize_t n = write(fd, data, len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return false;
                data += n;
                len -= (size_t)n;
        }
        return true;
}

// Reads exactly size bytes and then the end.
static enum dyn_status pump(
        int fd, const char *name, int64_t size, EVP_MD_CTX *hash, struct sink sink, struct dyn_error *err)
{
        char *chunk = mem_alloc(CHUNK);
        enum dyn_status st = DYN_OK;
        int64_t done = 0;

        while (st == DYN_OK) {
                ssize_t n = read(fd, chunk, CHUNK);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        st = dyn_fail(err, DYN_IO, "%s: %s", name, strerror(errno));
                if (n <= 0)
                        break;
                done += n;
                EVP_DigestUpdate(hash, chunk, (size_t)n);
                if (sink.text != NULL)
                        buf_append(sink.text, chunk, (size_t)n);
                if (done > size)
                        break;
                if (sink.fd >= 0 && !write_all(sink.fd, chunk, (size_t)n))
                        st = dyn_fail(err, DYN_NO_MEMORY, "%s: no memory for its %lld bytes: %s", name, (long long)size,
                                strerror(errno));
        }
        mem_free(chunk);
        if (st == DYN_OK && done != size)
                st = dyn_fail(err, DYN_IO, "%s: changed while it was read: expected %lld bytes, found %s", name,
                        (long long)size, done > size ? "more" : "fewer");
        return st;
}

static enum dyn_status read_file(
        int dir, const char *name, int64_t max_bytes, EVP_MD_CTX *hash, struct sink sink, struct dyn_error *err)
{
        char head[80];
        int64_t size = 0;
        int fd;
        enum dyn_status st = open_file(dir, name, &fd, &size, err);

        if (st == DYN_OK && max_bytes > 0 && size > max_bytes)
                st = dyn_fail(err, DYN_INVALID, "%s: expected at most %lld bytes, found %lld", name,
                        (long long)max_bytes, (long long)size);
        if (st == DYN_OK) {
                int n = snprintf(head, sizeof head, "%s %lld\n", name, (long long)size);

                EVP_DigestUpdate(hash, head, (size_t)n);
                st = pump(fd, name, size, hash, sink, err);
        }
        if (fd >= 0)
                close(fd);
        return st;
}

// Both files in the order of the hash. config and weights take what they hold.
static enum dyn_status read_files(
        const char *path, struct buf *config, int weights, char sha256[FOLDER_HASH], struct dyn_error *err)
{
        unsigned char digest[32];
        int dir;
        enum dyn_status st = open_dir(path, &dir, err);

        if (st)
                return st;
        EVP_MD_CTX *hash = EVP_MD_CTX_new();

        EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
        st = read_file(dir, FOLDER_CONFIG, MAX_CONFIG, hash, (struct sink){.text = config, .fd = -1}, err);
        if (st == DYN_OK)
                st = read_file(dir, FOLDER_WEIGHTS, 0, hash, (struct sink){.fd = weights}, err);
        EVP_DigestFinal_ex(hash, digest, NULL);
        EVP_MD_CTX_free(hash);
        close(dir);
        for (int i = 0; i < 32; i++)
                snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
        return st;
}

enum dyn_status folder_hash(const char *path, char sha256[FOLDER_HASH], struct dyn_error *err)
{
        return read_files(path, NULL, -1, sha256, err);
}

// Understanding
// ------------------------------------------------------------------------------------------------------------------

static enum dyn_status parse_config(struct folder *f, const struct buf *text, struct dyn_error *err)
{
        char found[80];

        if (json_parse(text->data ? text->data : "", text->len, &f->config, err))
                return dyn_fail_in(err, FOLDER_CONFIG);
        if (!cJSON_IsObject(f->config))
                return dyn_fail(err, DYN_INVALID, FOLDER_CONFIG ": expected an object, found %s",
                        json_describe(f->config, found, sizeof found));
        f->files.config = f->config;
        return json_get_string(f->config, "base_model_name_or_path", &f->base_model, err)
                       ? dyn_fail_in(err, FOLDER_CONFIG)
                       : DYN_OK;
}

// The reader names the anonymous file that it was given; people know the one in the folder.
static enum dyn_status fail_weights(const char *alias, struct dyn_error *err)
{
        size_t n = strlen(alias);

        if (strncmp(err->text, alias, n) == 0) {
                n += strspn(err->text + n, ": ");
                memmove(err->text, err->text + n, strlen(err->text + n) + 1);
        }
        return dyn_fail_in(err, FOLDER_WEIGHTS);
}

static enum dyn_status parse_weights(struct folder *f, int fd, struct dyn_error *err)
{
        char alias[40];

        snprintf(alias, sizeof alias, "/proc/self/fd/%d", fd);
        if (safetensors_open(&f->weights, alias, err))
                return fail_weights(alias, err);
        f->files.weights = f->weights;
        return DYN_OK;
}

static enum dyn_status measure(struct folder *f, const struct buf *config, int weights, struct dyn_error *err)
{
        struct stat st;

        if (fstat(weights, &st) != 0)
                return dyn_fail(err, DYN_IO, FOLDER_WEIGHTS ": %s", strerror(errno));
        f->bytes = config->len + (size_t)st.st_size;
        return DYN_OK;
}

enum dyn_status folder_open(struct folder *f, const char *path, struct dyn_error *err)
{
        struct buf config = {0};
        int fd = memfd_create("adapter", MFD_CLOEXEC);
        enum dyn_status st;

        *f = (struct folder){.files.path = path};
        if (fd < 0)
                return dyn_fail(err, DYN_IO, "cannot make an anonymous file: %s", strerror(errno));
        st = read_files(path, &config, fd, f->sha256, err);
        if (st == DYN_OK)
                st = measure(f, &config, fd, err);
        if (st == DYN_OK)
                st = parse_config(f, &config, err);
        if (st == DYN_OK)
                st = dyn_adapter_kind_find(&f->files, &f->kind, err);
        if (st == DYN_OK)
                st = parse_weights(f, fd, err);
        buf_free(&config);
        close(fd);
        if (st)
                folder_close(f);
        return st;
}

void folder_close(struct folder *f)
{
        cJSON_Delete(f->config);
        safetensors_close(f->weights);
        *f = (struct folder){0};
}
