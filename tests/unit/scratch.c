#include "scratch.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[200];

const char *scratch_dir(void)
{
        const char *tmp = getenv("TMPDIR");

        if (dir[0] != 0)
                return dir;
        snprintf(dir, sizeof dir, "%s/dynlora-test-XXXXXX", tmp ? tmp : "/tmp");
        if (mkdtemp(dir) == NULL) {
                perror(dir);
                abort();
        }
        return dir;
}

const char *scratch_path(const char *name)
{
        static char paths[2][512];
        static int turn;

        turn = !turn;
        snprintf(paths[turn], sizeof paths[turn], "%s/%s", scratch_dir(), name);
        return paths[turn];
}

const char *scratch_write(const char *name, const void *data, size_t len)
{
        const char *path = scratch_path(name);
        FILE *f = fopen(path, "wb");

        if (f == NULL || fwrite(data, 1, len, f) != len || fclose(f) != 0) {
                perror(path);
                abort();
        }
        return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
        return remove(path);
}

int scratch_remove(void **state)
{
        if (dir[0] != 0)
                nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        dir[0] = 0;
        return 0;
}
