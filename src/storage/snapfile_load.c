/* Loading: the newest snapshot that is whole, read once from front to back.
 *
 *      worker      reads and checks      │ window │ window │ window │ …
 *      loop        feeds what was right          ─┘ a few behind, in the same order
 *
 * A window is whose turn it is: the worker's from env_worker_start on, the loop's from
 * env_worker_wait on. Only what one window leaves at its end is read once more by the worker, to go
 * on with it in the next; the loop does not change it. */
#include "storage/snapfile_private.h"

#include <string.h>

#include "base/mem.h"

/* A block, so that once the header is out of the way each is read alone, and none is moved. */
enum {
    WINDOW_BYTES = SNAPFILE_UNIT_BYTES_MAX,
    WINDOW_PIECES = 16,
    WINDOWS_BATCH = LIMIT_SNAPSHOT_AHEAD / 2
};
static_assert((int)WINDOW_BYTES >= (int)SNAPFILE_HEADER_BYTES, "any part fits the window");
static_assert((int)WINDOWS_BATCH * 2 == (int)LIMIT_SNAPSHOT_AHEAD, "one half after the other");

struct piece {
    struct bytes content; /* borrowed from the window */
    uint64_t end;         /* in the file */
};

/* A stretch of the file, and what was found in it. */
struct window {
    struct env_job job;
    struct load *load;    /* borrowed */
    struct mem_room room; /* to be made ready by the way */
    uint8_t *bytes;       /* owned; WINDOW_BYTES, once it has been used */
    size_t count, used;
    bool has_header; /* it was that of the right snapshot */
    struct piece pieces[WINDOW_PIECES];
    size_t pieces_count;
    enum status status; /* behind the pieces: ST_OK: more to come; ST_NOT_FOUND: that was all */
    struct errtext error;
    uint64_t offset; /* in the file, where that is */
};

struct load {
    struct window windows[LIMIT_SNAPSHOT_AHEAD];
    struct entry_id last; /* as its name says */
    uint64_t cluster_id;
    const struct snapfile_sink *sink;
    bool has_begun;

    /* The worker's, while it is open. */
    struct env_file *file;    /* owned */
    const struct window *end; /* borrowed: the last one filled, whose rest comes first; or NULL */
    struct snapfile_stream stream;
    bool is_more_wanted; /* no part is whole in what has been read */
    bool is_file_at_end; /* there is nothing behind what has been read */
    bool is_over;
};

/* ---- ahead, by the worker ---- */

static enum status read_more(struct load *load, struct window *window)
{
    size_t count = 0;
    enum status status =
        env_file_read(load->file, load->stream.file_bytes + window->count,
                      window->bytes + window->count, WINDOW_BYTES - window->count, &count);
    if (status != ST_OK) {
        errtext_set(&window->error, "cannot read");
        return ST_IO;
    }
    load->is_file_at_end = count < WINDOW_BYTES - window->count;
    window->count += count;
    return ST_OK;
}

static enum status check_header(const struct load *load, struct window *window)
{
    if (load->stream.cluster_id != load->cluster_id) {
        errtext_set(&window->error, "a snapshot of another cluster");
        return ST_FORMAT;
    }
    if (!entry_id_equal(load->stream.last, load->last)) {
        errtext_set(&window->error, "another snapshot than its name says");
        return ST_CORRUPT;
    }
    window->has_header = true;
    return ST_OK;
}

static enum status take_part(struct load *load, struct window *window)
{
    struct bytes content,
        rest = bytes_of(window->bytes + window->used, window->count - window->used);
    size_t taken = 0;
    bool is_header = load->stream.next == SNAPFILE_HEADER;
    enum status status =
        snapfile_format_take(&load->stream, rest, &taken, &content, &window->error);
    window->used += taken;
    if (status == ST_OK && content.count > 0)
        window->pieces[window->pieces_count++] = (struct piece){content, load->stream.file_bytes};
    return status == ST_OK && is_header ? check_header(load, window) : status;
}

/* Begins with what the window before has left. */
static void take_rest(struct load *load, struct window *window)
{
    const struct window *before = load->end;
    REQUIRE(before != window);
    window->used = window->pieces_count = 0;
    window->has_header = false;
    window->count = before != NULL ? before->count - before->used : 0;
    INVARIANT(window->count <= WINDOW_BYTES);
    if (window->count > 0)
        memcpy(window->bytes, before->bytes + before->used, window->count);
    load->end = window;
}

/* Reads only what is needed to go on, so that the same is read whoever does it, and when. */
static enum status fill(struct load *load, struct window *window)
{
    enum status status = ST_OK;
    take_rest(load, window);
    if (load->is_more_wanted)
        status = read_more(load, window);
    while (status == ST_OK && window->pieces_count < WINDOW_PIECES)
        status = take_part(load, window);
    load->is_more_wanted = status == ST_SHORT || status == ST_NOT_FOUND;
    if (status == ST_SHORT && load->is_file_at_end) {
        errtext_set(&window->error, "the file is cut short");
        return ST_CORRUPT;
    }
    return load->is_more_wanted && !load->is_file_at_end ? ST_OK : status;
}

static void window_on_work(void *ctx)
{
    struct window *window = ctx;
    struct load *load = window->load;
    if (load->is_over)
        return;
    window->status = fill(load, window);
    window->offset = load->stream.file_bytes;
    load->is_over = window->status != ST_OK;
    mem_make_ready(window->room);
}

/* ---- behind it ---- */

/* What is wrong is told when all before it has been fed. */
static enum status feed(struct load *load, const struct window *window, struct errtext *error,
                        uint64_t *out_offset)
{
    const struct snapfile_sink *sink = load->sink;
    if (window->has_header) {
        sink->begin(sink->ctx, load->last);
        load->has_begun = true;
    }
    for (size_t i = 0; i < window->pieces_count; i++) {
        const struct piece *piece = &window->pieces[i];
        if (sink->feed(sink->ctx, piece->content) != ST_OK) {
            errtext_set(error, "the content is malformed");
            *out_offset = piece->end;
            return ST_CORRUPT;
        }
    }
    *error = window->error;
    *out_offset = window->offset;
    return window->status;
}

static void start(struct load *load, struct env_worker *worker, size_t from, size_t to)
{
    const struct snapfile_sink *sink = load->sink;
    for (size_t i = from; i < to; i++) {
        struct window *window = &load->windows[i];
        if (window->bytes == NULL)
            window->bytes = mem_alloc_raw(WINDOW_BYTES);
        window->room = (struct mem_room){0, 0};
        if (load->has_begun && sink->room != NULL)
            window->room = sink->room(sink->ctx);
        env_worker_start(worker, &window->job);
    }
}

/* One window at first, which is all of a small file. Then several at once: to wake another thread
 * costs as much as a window or two. */
static enum status load_all(struct env *env, struct load *load, struct errtext *error,
                            uint64_t *out_offset)
{
    struct env_worker *worker = env_worker_open(env);
    bool is_ahead = false;
    enum status status = ST_OK;
    start(load, worker, 0, 1);
    for (size_t i = 0; status == ST_OK; i = (i + 1) % LIMIT_SNAPSHOT_AHEAD) {
        struct window *window = &load->windows[i];
        env_worker_wait(worker, &window->job);
        status = feed(load, window, error, out_offset);
        if (status == ST_OK && !is_ahead)
            start(load, worker, 1, LIMIT_SNAPSHOT_AHEAD);
        else if (status == ST_OK && (i + 1) % WINDOWS_BATCH == 0)
            start(load, worker, i + 1 - WINDOWS_BATCH, i + 1);
        is_ahead = true;
    }
    env_worker_close(worker);
    return status == ST_NOT_FOUND ? ST_OK : status;
}

static enum status load_one(struct env *env, struct load *load, struct errtext *error)
{
    char path[SNAPFILE_PATH_BYTES];
    uint64_t offset = 0;
    (void)snapfile_path(load->last, ".snap", path);
    enum status status = env_file_open(env, path, ENV_OPEN_READ, &load->file, error);
    if (status != ST_OK)
        return ST_IO;
    load->stream = (struct snapfile_stream){0};
    load->end = NULL;
    load->is_more_wanted = true;
    load->is_file_at_end = load->is_over = load->has_begun = false;
    status = load_all(env, load, error, &offset);
    env_file_close(load->file);
    if (status != ST_OK)
        errtext_wrap(error, "%s: at offset %llu", path, (unsigned long long)offset);
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
    for (size_t i = 0; i < LIMIT_SNAPSHOT_AHEAD; i++) {
        struct window *window = &load.windows[i];
        *window = (struct window){.job = {.work = window_on_work, .ctx = window}, .load = &load};
    }
    enum status status = load_some(env, &load, infos, infos_count, error);
    if (status == ST_OK)
        *out_info = (struct snapshot_info){.last = load.last, .bytes = load.stream.file_bytes};
    for (size_t i = 0; i < LIMIT_SNAPSHOT_AHEAD; i++)
        mem_free(load.windows[i].bytes);
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
