// What a load does on the libuv pool (adapt/loads.h): it reads from a folder, the store or an archive, and has the
// store keep it.
#include "adapt/loads.h"

#include <string.h>

#include "adapt/archive.h"
#include "adapt/stage.h"
#include "base/alloc.h"
#include "base/aside.h"

// Where the store has the name's own files; the caller's. NULL without a store.
static char *own_path(const struct load *l)
{
        return l->registry->store ? mem_printf("%s/%s", store_path(l->registry->store), l->name) : NULL;
}

// Whether what serves are the store's own files.
static bool is_held_here(const struct load *l)
{
        char *own = own_path(l);
        bool here = own != NULL && strcmp(l->held_path, own) == 0;

        mem_free(own);
        return here;
}

// Whether the folder's content, which from then on would be read from place, is what the name holds; if it is other
// content, whether it may replace that. The same from elsewhere takes over from a path that may soon lead nowhere, but
// not from the store's own files.
static enum dyn_status compare(struct load *l, const char *path, const char *place, bool *same)
{
        char sha256[FOLDER_HASH];

        *same = false;
        if (l->held_path == NULL)
                return DYN_OK;
        if (folder_hash(path, sha256, &l->error))
                return dyn_fail_in(&l->error, path);
        if (strcmp(sha256, l->held) != 0)
                return l->replace || l->stale ? DYN_OK
                                              : dyn_fail(&l->error, DYN_CONFLICT,
                                                        "adapter \"%s\" is in use with other content (version %.16s)",
                                                        l->name, l->held);
        bool here = is_held_here(l);

        *same = !l->stale;
        l->replace |= !here;
        if (*same && strcmp(l->held_path, place) != 0 && !(l->keep && here))
                l->moved_to = mem_strdup(place);
        return DYN_OK;
}

// That the store has the name now, and with which settings.
static void note_written(struct load *l)
{
        struct store_entry seen;

        if (store_look(l->registry->store, l->name, &seen, NULL) != DYN_OK)
                return;
        l->signature = seen.signature;
        l->settings = seen.settings;
        l->has_settings = true;
        store_entry_finish(&seen);
}

// The settings alone: the store has the content already.
static enum dyn_status write_settings(struct load *l)
{
        enum dyn_status st = store_set(l->registry->store, l->name, &l->settings, &l->error);

        if (st == DYN_OK)
                note_written(l);
        return st;
}

// Whether what is read can have the pin that was asked for. One that the store asks for is met when there is room.
static enum dyn_status check_pin(struct load *l)
{
        size_t bytes = l->adapter ? l->adapter->info.bytes : l->held_bytes;

        if ((l->found && !l->own) || !l->has_settings || !l->settings.pin)
                return DYN_OK;
        return book_check_pin(l->registry, l->name, bytes, l->pin_room, &l->error);
}

static enum dyn_status open_checked(struct load *l, const char *path)
{
        enum dyn_status st = version_open(l->registry->host, l->name, path, &l->adapter, &l->error);
        size_t budget = l->registry->device_bytes;

        if (st == DYN_OK && l->adapter->info.bytes > budget) {
                st = dyn_fail(&l->error, DYN_NO_MEMORY,
                        "%s: it takes %zu bytes, and --adapter-memory allows %zu for all", path, l->adapter->info.bytes,
                        budget);
                dyn_adapter_unpin(l->adapter);
                l->adapter = NULL;
        }
        return st;
}

// Puts what is staged under its name; without it nothing is published, so that a restart finds what was promised.
static enum dyn_status commit(struct load *l, struct stage *stage)
{
        const struct store_settings *settings = l->has_settings ? &l->settings : NULL;
        enum dyn_status st = stage_commit(stage, l->name, l->replace, settings, &l->error);

        if (st == DYN_OK)
                note_written(l);
        return st;
}

static enum dyn_status keep_path(struct load *l, const char *path)
{
        struct stage *stage = NULL;
        enum dyn_status st = stage_open(&stage, l->registry->store, &l->error);

        if (st == DYN_OK && (st = stage_point(stage, path, &l->error)) == DYN_OK)
                st = commit(l, stage);
        stage_close(stage);
        return st;
}

// From the folder that a path names, which is known without what climbs in it. keep: the store has to be
// told.
static enum dyn_status read_path(struct load *l, const char *path, bool keep)
{
        enum dyn_status st = roots_check(&l->registry->roots, path, &l->error);
        char *settled = roots_settle(path);
        bool same = false;

        if (st == DYN_OK)
                st = compare(l, settled, settled, &same);
        if (st == DYN_OK && !same)
                st = open_checked(l, settled);
        if (st == DYN_OK)
                st = check_pin(l);
        if (st == DYN_OK && keep && (!same || l->moved_to))
                st = keep_path(l, settled);
        else if (st == DYN_OK && keep && l->has_settings)
                st = write_settings(l);
        mem_free(settled);
        return st;
}

// From what the store has under the name, wherever that leads.
static enum dyn_status read_own(struct load *l)
{
        struct store_entry seen;
        enum dyn_status st = store_look(l->registry->store, l->name, &seen, &l->error);

        if (st != DYN_OK)
                return st;
        char *own = own_path(l);

        l->signature = seen.signature;
        st = seen.status ? dyn_fail(&l->error, seen.status, "%s", seen.error)
                         : read_path(l, seen.target ? seen.target : own, false);
        mem_free(own);
        if (st == DYN_OK && l->has_settings) {
                st = write_settings(l);
        } else if (st == DYN_OK) {
                l->settings = seen.settings;
                l->has_settings = true;
        }
        store_entry_finish(&seen);
        return st;
}

// From a folder that the store shall point to. A folder of the store cannot point to itself: it would be gone.
static enum dyn_status read_kept(struct load *l)
{
        switch (store_place_of(l->registry->store, l->name, l->path)) {
        case STORE_ITSELF:
                return read_own(l);
        case STORE_WITHIN:
                return dyn_fail(&l->error, DYN_INVALID,
                        "%s: expected a folder outside %s/%s, which this registration would replace: use another name",
                        l->path, store_path(l->registry->store), l->name);
        case STORE_ELSEWHERE:
                break;
        }
        return read_path(l, l->path, true);
}

// Messages speak of the adapter's files, not of the hidden folder that they were unpacked to.
static void hide_stage(struct load *l, const struct stage *stage)
{
        size_t n = strlen(stage_path(stage));

        if (strncmp(l->error.text, stage_path(stage), n) == 0 && strncmp(l->error.text + n, ": ", 2) == 0)
                memmove(l->error.text, l->error.text + n + 2, strlen(l->error.text + n + 2) + 1);
}

// From an uploaded archive, unpacked beside the store's folders, checked there, and put in place.
static enum dyn_status read_archive(struct load *l)
{
        struct archive_limits limits = archive_limits_default();
        struct stage *stage = NULL;
        bool same = false;
        enum dyn_status st = stage_open(&stage, l->registry->store, &l->error);

        if (st == DYN_OK)
                st = archive_unpack(l->archive, stage_folder(stage), &limits, &l->error);
        if (st == DYN_OK)
                st = compare(l, stage_path(stage), l->path, &same);
        if (st == DYN_OK && !same)
                st = open_checked(l, stage_path(stage));
        if (st == DYN_OK && (!same || l->moved_to))
                st = commit(l, stage);
        if (st == DYN_OK && l->adapter != NULL)
                version_move(l->adapter, l->path);
        if (st != DYN_OK && stage != NULL)
                hide_stage(l, stage);
        stage_close(stage);
        return st;
}

static void read_aside(void *arg)
{
        struct load *l = arg;

        l->status = l->archive >= 0 ? read_archive(l)
                    : l->own        ? read_own(l)
                    : l->keep       ? read_kept(l)
                                    : read_path(l, l->path, false);
        if (l->status != DYN_OK) {
                dyn_adapter_unpin(l->adapter);
                l->adapter = NULL;
        }
}

// Steps go before: who registers can wait a little longer.
void loads_work(uv_work_t *req)
{
        aside_run(read_aside, req->data);
}
