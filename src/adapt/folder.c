// Reading an adapter's folder (folder.h). The weights are read once, into memory of our own, and hashed there: a file
// on the disk that shrank under a mapping would end the process, and one that changed would not be what was hashed.
#include "adapt/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/digest.h"
#include "base/alloc.h"
#include "base/aside.h"
#include "io/json.h"
#include "io/mapfile.h"
#include "io/safetensors.h"

#define MAX_CONFIG (1024 * 1024)
#define CHUNK      (256 * 1024)

// Bytes of a file that is hashed beside the reading.
#define WORTH_A_THREAD (4 << 20)

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

// Reads exactly size bytes and then the end. keep, if not NULL, takes them all.
static enum dyn_status pump(
        int fd, const char *name, int64_t size, struct digest *digest, char *keep, struct dyn_error *err)
{
        char *chunk = keep ? NULL : mem_alloc(CHUNK), more;
        bool behind = keep != NULL && size >= WORTH_A_THREAD;
        int64_t done = 0;
        ssize_t n = 1;

        if (behind)
                digest_follow(digest, keep);
        while (n != 0 && done < size) {
                char *to = keep ? keep + done : chunk;

                n = read(fd, to, size - done < CHUNK ? (size_t)(size - done) : CHUNK);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        break;
                done += n;
                if (behind)
                        digest_reached(digest, (size_t)done);
                else
                        digest_add(digest, to, (size_t)n);
                aside_breathe();
        }
        mem_free(chunk);
        while (done == size && (n = read(fd, &more, 1)) < 0 && errno == EINTR)
                ;
        if (n < 0)
                return dyn_fail(err, DYN_IO, "%s: %s", name, strerror(errno));
        if (n > 0 || done < size)
                return dyn_fail(err, DYN_IO, "%s: changed while it was read: expected %lld bytes, found %s", name,
                        (long long)size, n > 0 ? "more" : "fewer");
        return DYN_OK;
}

// Room for a whole file.
static enum dyn_status map(struct mapfile *keep, const char *name, int64_t size, struct dyn_error *err)
{
        keep->data = size > 0 ? mem_map((size_t)size) : NULL;
        if (keep->data == NULL && size > 0)
                return dyn_fail(err, DYN_NO_MEMORY, "%s: no memory for its %lld bytes", name, (long long)size);
        keep->size = (size_t)size;
        return DYN_OK;
}

static enum dyn_status read_file(int dir, const char *name, int64_t max_bytes, struct digest *digest,
        struct mapfile *keep, struct dyn_error *err)
{
        char head[80];
        int64_t size = 0;
        int fd;
        enum dyn_status st = open_file(dir, name, &fd, &size, err);

        if (st == DYN_OK && max_bytes > 0 && size > max_bytes)
                st = dyn_fail(err, DYN_INVALID, "%s: expected at most %lld bytes, found %lld", name,
                        (long long)max_bytes, (long long)size);
        if (st == DYN_OK && keep != NULL)
                st = map(keep, name, size, err);
        if (st == DYN_OK) {
                int n = snprintf(head, sizeof head, "%s %lld\n", name, (long long)size);

                digest_add(digest, head, (size_t)n);
                st = pump(fd, name, size, digest, keep ? keep->data : NULL, err);
        }
        if (fd >= 0)
                close(fd);
        return st;
}

// Both files in the order of the hash. config and weights, if not NULL, take what they hold.
static enum dyn_status read_files(const char *path, struct mapfile *config, struct mapfile *weights,
        char sha256[FOLDER_HASH], struct dyn_error *err)
{
        int dir;
        enum dyn_status st = open_dir(path, &dir, err);

        if (st)
                return st;
        struct digest *digest = digest_begin();

        st = read_file(dir, FOLDER_CONFIG, MAX_CONFIG, digest, config, err);
        if (st == DYN_OK)
                st = read_file(dir, FOLDER_WEIGHTS, 0, digest, weights, err);
        digest_end(digest, sha256);
        close(dir);
        return st;
}

enum dyn_status folder_hash(const char *path, char sha256[FOLDER_HASH], struct dyn_error *err)
{
        return read_files(path, NULL, NULL, sha256, err);
}

// Understanding
// ------------------------------------------------------------------------------------------------------------------

static enum dyn_status parse_config(struct folder *f, const struct mapfile *text, struct dyn_error *err)
{
        char found[80];

        if (json_parse(text->data ? text->data : "", text->size, &f->config, err))
                return dyn_fail_in(err, FOLDER_CONFIG);
        if (!cJSON_IsObject(f->config))
                return dyn_fail(err, DYN_INVALID, FOLDER_CONFIG ": expected an object, found %s",
                        json_describe(f->config, found, sizeof found));
        f->files.config = f->config;
        return json_get_string(f->config, "base_model_name_or_path", &f->base_model, err)
                       ? dyn_fail_in(err, FOLDER_CONFIG)
                       : DYN_OK;
}

enum dyn_status folder_open(struct folder *f, const char *path, struct dyn_error *err)
{
        struct mapfile config = {0}, weights = {0};
        enum dyn_status st;

        *f = (struct folder){.files.path = path};
        st = read_files(path, &config, &weights, f->sha256, err);
        f->bytes = config.size + weights.size;
        if (st == DYN_OK)
                st = parse_config(f, &config, err);
        if (st == DYN_OK)
                st = dyn_adapter_kind_find(&f->files, &f->kind, err);
        mapfile_close(&config);
        if (st == DYN_OK)
                st = safetensors_take(&f->weights, weights, FOLDER_WEIGHTS, err);
        else
                mapfile_close(&weights);
        f->files.weights = f->weights;
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
