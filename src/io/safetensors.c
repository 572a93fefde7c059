#include "io/safetensors.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/map.h"
#include "io/json.h"
#include "io/mapfile.h"
#include "io/sthead.h"

#define MAX_INDEX 100000000 // bytes of model.safetensors.index.json

struct shard {
        struct mapfile file;
        char *name;               // as error messages show it
        struct st_entry *entries; // (n)
        int n;
};

struct safetensors {
        struct shard *shards; // (n_shards)
        int n_shards;
        const struct st_entry **tensors; // (n)
        int n;
        struct map by_name; // to an index into tensors
};

static enum dyn_status read_head(struct shard *s, struct dyn_error *err)
{
        enum dyn_status st = sthead_read(s->file.data, s->file.size, &s->entries, &s->n, err);

        return st == DYN_OK ? DYN_OK : dyn_fail_in(err, s->name);
}

// Puts the tensors of all files into one list and map.
static enum dyn_status list_tensors(struct safetensors *s, struct dyn_error *err)
{
        size_t total = 0;

        for (int i = 0; i < s->n_shards; i++)
                total += (size_t)s->shards[i].n;
        if (total > INT_MAX)
                return dyn_fail(err, DYN_UNSUPPORTED, "%s: expected at most %d tensors", s->shards[0].name, INT_MAX);
        s->tensors = mem_array(total, sizeof *s->tensors);
        for (int i = 0; i < s->n_shards; i++) {
                for (int j = 0; j < s->shards[i].n; j++) {
                        const struct st_entry *e = &s->shards[i].entries[j];

                        if (safetensors_find(s, e->name) != NULL)
                                return dyn_fail(err, DYN_INVALID, "%s: %.200s: the tensor is in another file, too",
                                        s->shards[i].name, e->name);
                        map_put(&s->by_name, e->name, strlen(e->name), (uint64_t)s->n);
                        s->tensors[s->n++] = e;
                }
        }
        return DYN_OK;
}

static enum dyn_status open_shards(struct safetensors *s, char **paths, int n_paths, struct dyn_error *err)
{
        s->shards = mem_array((size_t)n_paths, sizeof *s->shards);
        while (s->n_shards < n_paths) {
                struct shard *shard = &s->shards[s->n_shards++];

                shard->name = mem_strdup(paths[s->n_shards - 1]);
                enum dyn_status st = mapfile_open(&shard->file, shard->name, err);
                if (st == DYN_OK)
                        st = read_head(shard, err);
                if (st != DYN_OK)
                        return st;
        }
        return list_tensors(s, err);
}

// The name of a file in the index's own folder, not a way out of it.
static bool plain_name(const char *name)
{
        return name[0] != 0 && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int by_text(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

// The distinct files that the index names, sorted; (*n) strings to be freed.
static enum dyn_status list_files(
        const cJSON *weight_map, const char *folder, char ***paths, int *n, struct dyn_error *err)
{
        struct map seen = {0};
        enum dyn_status st = DYN_OK;
        uint64_t one;

        *n = 0;
        *paths = mem_array((size_t)cJSON_GetArraySize(weight_map), sizeof **paths);
        for (const cJSON *m = weight_map->child; m != NULL && st == DYN_OK; m = m->next) {
                char what[80];

                if (!cJSON_IsString(m) || !plain_name(m->valuestring))
                        st = dyn_fail(err, DYN_INVALID,
                                "\"weight_map\": \"%.100s\": expected the name of a file in the same folder, found %s",
                                m->string, json_describe(m, what, sizeof what));
                else if (!map_get(&seen, m->valuestring, strlen(m->valuestring), &one)) {
                        map_put(&seen, m->valuestring, strlen(m->valuestring), 1);
                        (*paths)[(*n)++] = mem_printf("%s/%s", folder, m->valuestring);
                }
        }
        map_free(&seen);
        if (st == DYN_OK && *n == 0)
                st = dyn_fail(err, DYN_INVALID, "\"weight_map\": expected at least one tensor");
        qsort(*paths, (size_t)*n, sizeof **paths, by_text);
        return st;
}

// The shard that a tensor was read from.
static const struct shard *shard_of(const struct safetensors *s, const struct st_entry *e)
{
        for (int i = 0; i < s->n_shards; i++)
                if (e >= s->shards[i].entries && e < s->shards[i].entries + s->shards[i].n)
                        return &s->shards[i];
        return NULL;
}

// Each tensor that the index names must be in the file that it names.
static enum dyn_status check_map(const struct safetensors *s, const cJSON *weight_map, struct dyn_error *err)
{
        for (const cJSON *m = weight_map->child; m != NULL; m = m->next) {
                uint64_t i;

                if (map_get(&s->by_name, m->string, strlen(m->string), &i)) {
                        const char *file = shard_of(s, s->tensors[i])->name;

                        if (strcmp(strrchr(file, '/') + 1, m->valuestring) == 0)
                                continue;
                }
                return dyn_fail(err, DYN_INVALID, "\"weight_map\": expected %.150s in %.150s, which does not have it",
                        m->string, m->valuestring);
        }
        return DYN_OK;
}

static enum dyn_status open_index(
        struct safetensors *s, const char *folder, const char *index_path, struct dyn_error *err)
{
        cJSON *index;
        char **paths = NULL;
        int n = 0;
        enum dyn_status st = json_parse_file(index_path, MAX_INDEX, &index, err);

        if (st != DYN_OK)
                return st;
        const cJSON *weight_map = json_member(index, "weight_map");
        if (cJSON_IsObject(weight_map))
                st = list_files(weight_map, folder, &paths, &n, err);
        else
                st = dyn_fail(err, DYN_INVALID, "\"weight_map\": expected an object");
        if (st != DYN_OK) {
                dyn_fail_in(err, index_path);
                goto done;
        }
        st = open_shards(s, paths, n, err);
        if (st != DYN_OK)
                goto done;
        st = check_map(s, weight_map, err);
        if (st != DYN_OK)
                dyn_fail_in(err, index_path);
done:
        for (int i = 0; i < n; i++)
                mem_free(paths[i]);
        mem_free(paths);
        cJSON_Delete(index);
        return st;
}

static enum dyn_status open_folder(struct safetensors *s, const char *folder, struct dyn_error *err)
{
        char *single = mem_printf("%s/model.safetensors", folder);
        char *index = mem_printf("%s/model.safetensors.index.json", folder);
        enum dyn_status st;
        struct stat info;

        if (stat(single, &info) == 0)
                st = open_shards(s, &single, 1, err);
        else if (stat(index, &info) == 0)
                st = open_index(s, folder, index, err);
        else
                st = dyn_fail(
                        err, DYN_NOT_FOUND, "%s: expected model.safetensors or model.safetensors.index.json", folder);
        mem_free(single);
        mem_free(index);
        return st;
}

enum dyn_status safetensors_open(struct safetensors **out, const char *path, struct dyn_error *err)
{
        struct safetensors *s = mem_zalloc(sizeof *s);
        struct dyn_error local;
        struct stat info;
        enum dyn_status st;

        *out = NULL;
        if (err == NULL)
                err = &local;
        if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
                st = open_folder(s, path, err);
        } else {
                char *one = mem_strdup(path);

                st = open_shards(s, &one, 1, err);
                mem_free(one);
        }
        if (st != DYN_OK) {
                safetensors_close(s);
                return st;
        }
        *out = s;
        return DYN_OK;
}

enum dyn_status safetensors_take(struct safetensors **out, struct mapfile file, const char *name, struct dyn_error *err)
{
        struct safetensors *s = mem_zalloc(sizeof *s);

        s->shards = mem_array(1, sizeof *s->shards);
        s->shards[s->n_shards++] = (struct shard){.file = file, .name = mem_strdup(name)};
        enum dyn_status st = read_head(&s->shards[0], err);
        if (st == DYN_OK)
                st = list_tensors(s, err);
        if (st != DYN_OK) {
                safetensors_close(s);
                s = NULL;
        }
        *out = s;
        return st;
}

void safetensors_close(struct safetensors *s)
{
        if (s == NULL)
                return;
        for (int i = 0; i < s->n_shards; i++) {
                sthead_free(s->shards[i].entries, s->shards[i].n);
                mapfile_close(&s->shards[i].file);
                mem_free(s->shards[i].name);
        }
        mem_free(s->shards);
        mem_free(s->tensors);
        map_free(&s->by_name);
        mem_free(s);
}

int safetensors_count(const struct safetensors *s)
{
        return s->n;
}

const char *safetensors_name(const struct safetensors *s, int i)
{
        return s->tensors[i]->name;
}

const struct dyn_tensor *safetensors_at(const struct safetensors *s, int i)
{
        return &s->tensors[i]->tensor;
}

const struct dyn_tensor *safetensors_find(const struct safetensors *s, const char *name)
{
        uint64_t i;

        return map_get(&s->by_name, name, strlen(name), &i) ? &s->tensors[i]->tensor : NULL;
}
