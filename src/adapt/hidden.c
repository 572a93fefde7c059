// Hidden names of the store (adapt/shelf.h): who made one and whether he still lives, and deleting what is behind it.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "adapt/shelf.h"
#include "base/log.h"
#include "base/map.h"

#define MAX_DEPTH 64

static const char *const prefixes[] = {".stage-", ".gone-", ".old-"};

// Owners
// ---------------------------------------------------------------------------------------------------------------------

static size_t read_text(const char *path, char *text, size_t cap)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, cap - 1);

        if (fd >= 0)
                close(fd);
        text[n > 0 ? n : 0] = 0;
        return n > 0 ? (size_t)n : 0;
}

// When a process began, in ticks since the boot; 0 if it has ended. Source: proc(5), fields 3 and 22 of stat.
static unsigned long long start_of(long pid)
{
        char path[40], text[1024], state = 0;
        unsigned long long start = 0;

        snprintf(path, sizeof path, "/proc/%ld/stat", pid);
        read_text(path, text, sizeof text);
        const char *rest = strrchr(text, ')'); // the name before it may hold anything

        if (rest == NULL ||
                sscanf(rest + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                        &state, &start) != 2)
                return 0;
        return state == 'Z' || state == 'X' ? 0 : start;
}

// Hosts may share a name, and containers of one host a name and the number of a process: the boot and the namespace
// that numbers processes tell them apart.
struct owner owner_self(void)
{
        struct owner o = {.pid = getpid()};
        struct {
                char name[256], boot[64];
                uint64_t space;
        } host = {0};
        struct stat st;
        int n = 0;

        gethostname(host.name, sizeof host.name - 1);
        read_text("/proc/sys/kernel/random/boot_id", host.boot, sizeof host.boot);
        host.space = stat("/proc/self/ns/pid", &st) == 0 ? st.st_ino : 0;
        for (const char *s = host.name; *s != 0 && n < 24; s++, n++)
                o.host[n] = strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.", *s) ? *s : '_';
        snprintf(o.host + n, sizeof o.host - (size_t)n, "_%08" PRIx32, (uint32_t)map_hash(&host, sizeof host));
        o.start = start_of(o.pid);
        return o;
}

bool owner_is_here(const struct store *s, const struct owner *o)
{
        return strcmp(o->host, s->self.host) == 0;
}

bool owner_is_dead(const struct store *s, const struct owner *o)
{
        // Without /proc nobody can be seen to live.
        return owner_is_here(s, o) && s->self.start != 0 && start_of(o->pid) != o->start;
}

// Names
// -----------------------------------------------------------------------------------------------------------------------

void hidden_next(const struct store *s, enum hidden_kind kind, const char *name, char out[256])
{
        static atomic_ullong counter;
        bool old = kind == HIDDEN_OLD;

        snprintf(out, 256, "%s%s%s%s-%ld-%llu-%llu", prefixes[kind], old ? name : "", old ? "-" : "", s->self.host,
                s->self.pid, s->self.start, atomic_fetch_add(&counter, 1));
}

// Cuts the last "-field" off text.
static char *cut_last(char *text)
{
        char *dash = strrchr(text, '-');

        if (dash != NULL)
                *dash = 0;
        return dash ? dash + 1 : NULL;
}

static bool read_number(const char *text, unsigned long long *out)
{
        char *end;

        if (text == NULL || text[0] < '0' || text[0] > '9')
                return false;
        errno = 0;
        *out = strtoull(text, &end, 10);
        return *end == 0 && errno == 0;
}

bool hidden_parse(const char *text, struct hidden *h)
{
        char copy[256];
        unsigned long long n, pid;
        size_t kind = 0;

        while (kind < 3 && strncmp(text, prefixes[kind], strlen(prefixes[kind])) != 0)
                kind++;
        if (kind == 3 || strlen(text) >= sizeof copy)
                return false;
        *h = (struct hidden){.kind = (enum hidden_kind)kind};
        strcpy(copy, text + strlen(prefixes[kind]));
        if (!read_number(cut_last(copy), &n) || !read_number(cut_last(copy), &h->owner.start) ||
                !read_number(cut_last(copy), &pid) || pid > INT32_MAX)
                return false;
        const char *host = kind == HIDDEN_OLD ? cut_last(copy) : copy;

        if (host == NULL || host[0] == 0 || strchr(host, '-') != NULL || strlen(host) >= sizeof h->owner.host)
                return false;
        strcpy(h->owner.host, host);
        h->owner.pid = (long)pid;
        if (kind != HIDDEN_OLD)
                return true;
        if (!store_name_ok(copy))
                return false;
        strcpy(h->name, copy);
        return true;
}

// Deleting
// --------------------------------------------------------------------------------------------------------------------

static bool delete_tree(int dir, const char *name, int depth);

static bool delete_inside(int fd, int depth)
{
        DIR *d = fdopendir(fd);
        const struct dirent *e;
        bool ok = true;

        if (d == NULL) {
                close(fd);
                return false;
        }
        while ((e = readdir(d)) != NULL) {
                if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
                        ok = delete_tree(fd, e->d_name, depth + 1) && ok;
        }
        closedir(d);
        return ok;
}

// Somebody else may be deleting the same tree: what is gone is gone.
static bool delete_tree(int dir, const char *name, int depth)
{
        if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
                return true;
        if (errno != EISDIR && errno != EPERM)
                return false;
        if (depth > MAX_DEPTH) {
                errno = ELOOP;
                return false;
        }
        int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (fd < 0)
                return errno == ENOENT;
        fchmod(fd, 0700); // a folder that may not be written to keeps its files
        delete_inside(fd, depth);
        return unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

void hidden_delete(const struct store *s, const char *name)
{
        char gone[256];

        // Somebody who is just writing settings to the folder may put them there between its emptying and its end.
        for (int i = 0; i < 8; i++) {
                if (delete_tree(s->dir, name, 0))
                        return;
                if (errno != ENOTEMPTY && errno != EEXIST)
                        break;
        }
        log_warn("adapter store: %s/%s: could not be deleted: %s", s->path, name, strerror(errno));
        hidden_next(s, HIDDEN_GONE, NULL, gone);
        renameat(s->dir, name, s->dir, gone); // for the next store_tidy
}
