/* Loading: the newest snapshot that is whole, read once from front to back. */
#include "storage/snapfile_private.h"

#include <string.h>

#include "base/mem.h"

/* A block, so that once the header is out of the way each is read alone, to where a cache of the
 * processor still has the one before, and none is moved. */
enum { WINDOW_BYTES = SNAPFILE_UNIT_BYTES_MAX };
static_assert((int)WINDOW_BYTES >= (int)SNAPFILE_HEADER_BYTES, "any part fits the window");

struct load {
    struct env_file *file; /* owned */
    uint8_t *window;       /* owned; its first byte is at stream.file_bytes */
    size_t window_count;
    bool is_end; /* of the file: there is nothing behind the window */
    struct snapfile_stream stream;
    uint64_t cluster_id;
    struct entry_id last; /* as its name says */
    const struct snapfile_sink *sink;
};

static enum status fill_window(struct load *load, struct errtext *error)
{
    size_t count = 0;
    enum status status =
        env_file_read(load->file, load->stream.file_bytes + load->window_count,
                      load->window + load->window_count, WINDOW_BYTES - load->window_count, &count);
    if (status != ST_OK) {
        errtext_set(error, "cannot read");
        return ST_IO;
    }
    load->is_end = count < WINDOW_BYTES - load->window_count;
    load->window_count += count;
    return ST_OK;
}

static enum status check_header(const struct load *load, struct errtext *error)
{
    if (load->stream.cluster_id != load->cluster_id) {
        errtext_set(error, "a snapshot of another cluster");
        return ST_FORMAT;
    }
    if (!entry_id_equal(load->stream.last, load->last)) {
        errtext_set(error, "another snapshot than its name says");
        return ST_CORRUPT;
    }
    load->sink->begin(load->sink->ctx, load->last);
    return ST_OK;
}

/* The parts that are whole in the window. ST_SHORT: more is needed; ST_NOT_FOUND: that was all. */
static enum status take_window(struct load *load, struct errtext *error)
{
    size_t used = 0;
    enum status status = ST_OK;
    while (status == ST_OK) {
        struct bytes content, rest = bytes_of(load->window + used, load->window_count - used);
        size_t taken = 0;
        bool is_header = load->stream.next == SNAPFILE_HEADER;
        status = snapfile_format_take(&load->stream, rest, &taken, &content, error);
        used += taken;
        if (status == ST_OK && is_header)
            status = check_header(load, error);
        if (status == ST_OK && content.count > 0 &&
            load->sink->feed(load->sink->ctx, content) != ST_OK) {
            errtext_set(error, "the content is malformed");
            status = ST_CORRUPT;
        }
    }
    load->window_count -= used;
    memmove(load->window, load->window + used, load->window_count);
    return status;
}

static enum status load_all(struct load *load, struct errtext *error)
{
    enum status status;
    do {
        status = fill_window(load, error);
        if (status != ST_OK)
            return status;
        status = take_window(load, error);
    } while ((status == ST_SHORT || status == ST_NOT_FOUND) && !load->is_end);
    if (status != ST_SHORT)
        return status == ST_NOT_FOUND ? ST_OK : status;
    errtext_set(error, "the file is cut short");
    return ST_CORRUPT;
}

static enum status load_one(struct env *env, struct load *load, struct errtext *error)
{
    char path[SNAPFILE_PATH_BYTES];
    (void)snapfile_path(load->last, ".snap", path);
    enum status status = env_file_open(env, path, ENV_OPEN_READ, &load->file, error);
    if (status != ST_OK)
        return ST_IO;
    load->stream = (struct snapfile_stream){0};
    load->window_count = 0;
    status = load_all(load, error);
    env_file_close(load->file);
    if (status != ST_OK)
        errtext_wrap(error, "%s: at offset %llu", path,
                     (unsigned long long)load->stream.file_bytes);
    return status;
}

/* Tries one after the other, until one is whole. */
static enum status load_some(struct env *env, struct load *load, const struct snapshot_info *infos,
                             size_t infos_count, struct errtext *error)
{
    enum status worst = ST_OK;
    for (size_t i = 0; i < infos_count; i++) {
        struct errtext text = {.text = ""};
        load->last = infos[i].last;
        enum status status = load_one(env, load, &text);
        if (status == ST_OK)
            return ST_OK;
        if (worst == ST_OK) {
            worst = status;
            *error = text;
        }
        if (status == ST_FORMAT || status == ST_IO) { /* what cannot be read now may be whole */
            *error = text;
            return status;
        }
        if (load->sink->on_damaged != NULL)
            load->sink->on_damaged(load->sink->ctx, text.text);
    }
    return worst == ST_OK ? ST_NOT_FOUND : worst;
}

/* Whoever acts on what was found must find it again after a power cut, although the process that
 * renamed it may have died before it synced the directory. */
static enum status sync_names(struct env *env)
{
    enum status status = env_dir_sync(env, SNAPFILE_DIRECTORY);
    return status == ST_OK ? env_dir_sync(env, ".") : status;
}

enum status snapfile_load_first(struct env *env, uint64_t cluster_id,
                                const struct snapshot_info *infos, size_t infos_count,
                                const struct snapfile_sink *sink, struct snapshot_info *out_info,
                                struct errtext *error)
{
    struct load load = {.cluster_id = cluster_id, .sink = sink};
    load.window = mem_alloc_raw(WINDOW_BYTES);
    enum status status = load_some(env, &load, infos, infos_count, error);
    if (status == ST_OK)
        *out_info = (struct snapshot_info){.last = load.last, .bytes = load.stream.file_bytes};
    mem_free(load.window);
    return status;
}

enum status snapfile_load_newest(struct env *env, uint64_t cluster_id,
                                 const struct snapfile_sink *sink, struct snapshot_info *out_info,
                                 struct errtext *error)
{
    size_t count = 0, listed = 0;
    enum status status = snapfile_list(env, NULL, 0, &count);
    struct snapshot_info *infos = mem_alloc_array(count + 1, sizeof *infos);
    if (status == ST_OK)
        status = snapfile_list(env, infos, count, &listed);
    if (status == ST_OK && count > 0)
        status = sync_names(env);
    if (status != ST_OK)
        errtext_set(error, "%s: %s", SNAPFILE_DIRECTORY, status_info(status)->title);
    else
        status = snapfile_load_first(env, cluster_id, infos, count, sink, out_info, error);
    mem_free(infos);
    return status;
}
