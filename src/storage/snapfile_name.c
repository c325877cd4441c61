/* Names of snapshots: listing, and removing what is not needed any more. */
#include "storage/snapfile_private.h"

#include <stdio.h>
#include <string.h>

enum { NAME_DIGITS = 16, NAME_BYTES = NAME_DIGITS + 1 + NAME_DIGITS };

const char *snapfile_path(struct entry_id last, const char *suffix, char out[SNAPFILE_PATH_BYTES])
{
    (void)snprintf(out, SNAPFILE_PATH_BYTES, SNAPFILE_DIRECTORY "/%016llx-%016llx%s",
                   (unsigned long long)last.index, (unsigned long long)last.term, suffix);
    return out;
}

enum status snapfile_make_directory(struct env *env)
{
    enum status status = env_dir_make(env, SNAPFILE_DIRECTORY);
    return status == ST_OK ? env_dir_sync(env, ".") : status;
}

static bool parse_number(const char *text, uint64_t *out_number)
{
    uint64_t number = 0;
    for (int i = 0; i < NAME_DIGITS; i++) {
        char c = text[i];
        if (c >= '0' && c <= '9')
            number = number << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *out_number = number;
    return true;
}

/* The id in "<index>-<term><suffix>"; false when it is something else. */
static bool parse_name(const char *name, const char *suffix, struct entry_id *out_last)
{
    return strlen(name) == NAME_BYTES + strlen(suffix) && name[NAME_DIGITS] == '-' &&
           parse_number(name, &out_last->index) &&
           parse_number(name + NAME_DIGITS + 1, &out_last->term) &&
           strcmp(name + NAME_BYTES, suffix) == 0 && out_last->index > 0;
}

struct names {
    struct buf ids; /* of struct entry_id, oldest first */
    const char *suffixes[2];
};

static void collect(void *ctx, const char *name)
{
    struct names *names = ctx;
    struct entry_id last;
    for (size_t i = 0; i < ARRAY_COUNT(names->suffixes); i++)
        if (names->suffixes[i] != NULL && parse_name(name, names->suffixes[i], &last))
            buf_put(&names->ids, bytes_of(&last, sizeof last));
}

/* Those there are with one of these suffixes; no directory is none. The caller releases `ids`. */
static enum status list_names(struct env *env, const char *suffix, const char *other,
                              struct names *names)
{
    *names = (struct names){.suffixes = {suffix, other}};
    buf_init(&names->ids, SIZE_MAX / 2);
    enum status status = env_dir_list(env, SNAPFILE_DIRECTORY, collect, names);
    return status == ST_NOT_FOUND ? ST_OK : status;
}

static size_t count_of(const struct names *names)
{
    return names->ids.count / sizeof(struct entry_id);
}

static struct entry_id id_at(const struct names *names, size_t i)
{
    struct entry_id id;
    memcpy(&id, names->ids.data + i * sizeof id, sizeof id);
    return id;
}

/* 0: unknown. */
static uint64_t size_of(struct env *env, struct entry_id last)
{
    char path[SNAPFILE_PATH_BYTES];
    struct env_file *file = NULL;
    uint64_t bytes = 0;
    struct errtext ignored;
    enum status status =
        env_file_open(env, snapfile_path(last, ".snap", path), ENV_OPEN_READ, &file, &ignored);
    if (status == ST_OK)
        status = env_file_size(file, &bytes);
    env_file_close(file);
    return status == ST_OK ? bytes : 0;
}

enum status snapfile_list(struct env *env, struct snapshot_info *out_infos, size_t infos_max,
                          size_t *out_count)
{
    struct names names;
    enum status status = list_names(env, ".snap", NULL, &names);
    size_t count = count_of(&names);
    for (size_t i = 0; i < MIN(count, infos_max) && status == ST_OK; i++) {
        out_infos[i].last = id_at(&names, count - 1 - i);
        out_infos[i].bytes = size_of(env, out_infos[i].last);
    }
    buf_release(&names.ids);
    if (status == ST_OK)
        *out_count = count;
    return status;
}

static enum status remove_file(struct env *env, struct entry_id last, const char *suffix,
                               struct errtext *error)
{
    char path[SNAPFILE_PATH_BYTES];
    enum status status = env_unlink(env, snapfile_path(last, suffix, path));
    if (status == ST_OK || status == ST_NOT_FOUND)
        return ST_OK;
    errtext_set(error, "%s: unlink: %s", path, status_info(status)->title);
    return status;
}

enum status snapfile_prune(struct env *env, raft_index keep_from, struct errtext *error)
{
    struct names names;
    enum status status = list_names(env, ".snap", NULL, &names);
    if (status != ST_OK)
        errtext_set(error, "%s: list: %s", SNAPFILE_DIRECTORY, status_info(status)->title);
    for (size_t i = 0; i < count_of(&names) && status == ST_OK; i++)
        if (id_at(&names, i).index < keep_from)
            status = remove_file(env, id_at(&names, i), ".snap", error);
    buf_release(&names.ids);
    return status;
}

enum status snapfile_clean(struct env *env, struct errtext *error)
{
    struct names names;
    enum status status = list_names(env, ".tmp", ".part", &names);
    if (status != ST_OK)
        errtext_set(error, "%s: list: %s", SNAPFILE_DIRECTORY, status_info(status)->title);
    for (size_t i = 0; i < count_of(&names) && status == ST_OK; i++) {
        status = remove_file(env, id_at(&names, i), ".tmp", error);
        if (status == ST_OK)
            status = remove_file(env, id_at(&names, i), ".part", error);
    }
    buf_release(&names.ids);
    return status;
}
