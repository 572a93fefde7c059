// Putting a filled hidden folder in place of a name, against everybody else who may be doing so (adapt/shelf.h).
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "adapt/shelf.h"

#define TRIES 100 // against others who change the same name at the same moment

static bool exists(const struct store *s, const char *name)
{
        struct stat st;

        return fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

// What one try to put the stage in place came to; for FAILED errno says why.
enum outcome { PLACED, AGAIN, FAILED };

// For file systems that cannot swap: the old one goes aside, then the new one comes. What is aside is in out.
static enum outcome swap_in_two(const struct store *s, const char *hidden, const char *name, char out[256])
{
        char aside[256];

        hidden_next(s, HIDDEN_OLD, name, aside);
        if (renameat(s->dir, name, s->dir, aside) != 0)
                return errno == ENOENT ? AGAIN : FAILED;
        if (renameat(s->dir, hidden, s->dir, name) == 0) {
                strcpy(out, aside);
                return PLACED;
        }
        int error = errno;

        if (error == EEXIST || error == ENOTEMPTY || error == ENOTDIR) { // somebody else's new one came first
                hidden_delete(s, aside);
                return AGAIN;
        }
        renameat(s->dir, aside, s->dir, name);
        errno = error;
        return FAILED;
}

// What was replaced then has the name in out, "" if nothing was.
static enum outcome place_once(const struct store *s, const char *hidden, const char *name, bool replace, char out[256])
{
        out[0] = 0;
        if (!exists(s, name)) {
                if (renameat2(s->dir, hidden, s->dir, name, RENAME_NOREPLACE) == 0)
                        return PLACED;
                // A folder is never renamed over one that holds something.
                if ((errno == EINVAL || errno == ENOSYS) && renameat(s->dir, hidden, s->dir, name) == 0)
                        return PLACED;
                return errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR ? AGAIN : FAILED;
        }
        if (!replace) {
                errno = EEXIST;
                return FAILED;
        }
        if (renameat2(s->dir, hidden, s->dir, name, RENAME_EXCHANGE) == 0) {
                strcpy(out, hidden);
                return PLACED;
        }
        if (errno == EINVAL || errno == ENOSYS)
                return swap_in_two(s, hidden, name, out);
        return errno == ENOENT && exists(s, hidden) ? AGAIN : FAILED;
}

enum dyn_status shelf_place(const struct store *s, const char *hidden, const char *name, bool replace,
        char replaced[256], struct dyn_error *err)
{
        for (int i = 0; i < TRIES; i++) {
                enum outcome o = place_once(s, hidden, name, replace, replaced);

                if (o == PLACED)
                        return DYN_OK;
                if (o == FAILED)
                        return errno == EEXIST ? dyn_fail(err, DYN_CONFLICT, "%s/%s: is there already", s->path, name)
                                               : shelf_fail(err, s->path, name, errno);
        }
        return dyn_fail(err, DYN_BUSY, "%s/%s: is being replaced again and again", s->path, name);
}
