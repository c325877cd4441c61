/* Serve: see the header. */
#include "node/serve.h"

#include <inttypes.h>

#include "base/mem.h"

enum { BURSTS_PER_SECOND = 50 }; /* a timer that is late by 20 ms costs nothing */

#define COMPLAINT_INTERVAL (10000 * (time_us)TIME_US_PER_MS)

static void serve_on_timer(void *ctx);

void serve_init(struct serve *serve, struct env *env, const struct serve_options *options)
{
    REQUIRE(options->send != NULL && options->on_damaged != NULL);
    *serve = (struct serve){.env = env, .options = *options};
    bucket_init(&serve->bucket, options->bytes_per_second,
                options->bytes_per_second / BURSTS_PER_SECOND);
    env_timer_init(&serve->timer, serve_on_timer, serve);
}

static void close_file(struct serve *serve)
{
    snapfile_close(serve->file);
    serve->file = NULL;
}

void serve_release(struct serve *serve)
{
    env_timer_set(serve->env, &serve->timer, TIME_NEVER);
    close_file(serve);
    mem_free(serve->piece);
    serve->piece = NULL;
    serve->waiting_count = 0;
}

/* ---- the answer ---- */

/* A file that cannot be read will be asked for again and again. */
static void complain(struct serve *serve, const char *what)
{
    time_us now = env_now(serve->env);
    if (serve->complained_at != 0 && now - serve->complained_at < COMPLAINT_INTERVAL)
        return;
    serve->complained_at = MAX(now, 1);
    diag(DIAG_WARN, "cannot send the snapshot at index %" PRIu64 " to another node: %s",
         serve->last.index, what);
}

/* Has the file open, or not, if there is none to be had. */
static void open_file(struct serve *serve, struct entry_id last)
{
    struct errtext error = {.text = ""};
    if (serve->file != NULL && entry_id_equal(serve->last, last))
        return;
    close_file(serve);
    serve->last = last;
    enum status status = snapfile_open(serve->env, last, &serve->file, &error);
    if (status != ST_OK && status != ST_NOT_FOUND)
        complain(serve, error.text);
    if (status != ST_OK)
        serve->options.on_damaged(serve->options.ctx, last);
    ENSURE((serve->file != NULL) == (status == ST_OK));
}

/* The piece that was asked for; without any bytes when there is none. */
static struct bytes read_piece(struct serve *serve, const struct snapshot_fetch *fetch)
{
    size_t count = 0;
    open_file(serve, fetch->snapshot);
    if (serve->file == NULL || fetch->offset >= snapfile_bytes(serve->file))
        return bytes_of(NULL, 0);
    if (serve->piece == NULL)
        serve->piece = mem_alloc_raw(LIMIT_SNAPSHOT_CHUNK_BYTES);
    uint64_t rest = snapfile_bytes(serve->file) - fetch->offset;
    size_t wanted = (size_t)MIN(rest, fetch->bytes_max);
    INVARIANT(wanted <= LIMIT_SNAPSHOT_CHUNK_BYTES);
    enum status status = snapfile_read(serve->file, fetch->offset, serve->piece, wanted, &count);
    if (status == ST_OK)
        return bytes_of(serve->piece, count);
    complain(serve, status == ST_CORRUPT ? "its file is damaged" : "its file cannot be read");
    close_file(serve);
    serve->options.on_damaged(serve->options.ctx, serve->last);
    return bytes_of(NULL, 0);
}

static struct snapshot_chunk answer_to(const struct snapshot_fetch *fetch, enum chunk_state state)
{
    return (struct snapshot_chunk){.number = fetch->number,
                                   .snapshot = fetch->snapshot,
                                   .offset = fetch->offset,
                                   .state = state};
}

static enum status send_answer(struct serve *serve, node_id to, const struct snapshot_chunk *chunk)
{
    return serve->options.send(serve->options.ctx, to, chunk);
}

static void answer(struct serve *serve, node_id to, const struct snapshot_fetch *fetch)
{
    struct snapshot_chunk chunk = answer_to(fetch, CHUNK_GONE);
    struct bytes bytes = read_piece(serve, fetch);
    if (bytes.count != 0) {
        chunk.state = CHUNK_HERE;
        chunk.total = snapfile_bytes(serve->file);
        chunk.bytes = bytes;
    }
    /* A link that is down or full: the peer does not get it, and asks again. */
    if (send_answer(serve, to, &chunk) != ST_OK || bytes.count == 0)
        return;
    bucket_spend(&serve->bucket, env_now(serve->env), bytes.count);
    serve->sent_bytes += bytes.count;
}

/* ---- the queue ---- */

static void arm(struct serve *serve)
{
    time_us now = env_now(serve->env);
    bool has_work = serve->waiting_count != 0;
    env_timer_set(serve->env, &serve->timer,
                  has_work ? bucket_ready_at(&serve->bucket, now) : TIME_NEVER);
}

static void serve_on_timer(void *ctx)
{
    struct serve *serve = ctx;
    REQUIRE(serve->waiting_count != 0);
    struct serve_fetch first = serve->waiting[0];
    serve->waiting_count--;
    memmove(serve->waiting, serve->waiting + 1, serve->waiting_count * sizeof first);
    answer(serve, first.from, &first.fetch);
    arm(serve);
}

/* What waits for the same piece for the same peer; NULL: nothing. */
static struct serve_fetch *find_same(struct serve *serve, node_id from,
                                     const struct snapshot_fetch *fetch)
{
    for (size_t i = 0; i < serve->waiting_count; i++) {
        struct serve_fetch *waiting = &serve->waiting[i];
        if (waiting->from == from && waiting->fetch.offset == fetch->offset &&
            entry_id_equal(waiting->fetch.snapshot, fetch->snapshot))
            return waiting;
    }
    return NULL;
}

void serve_on_fetch(struct serve *serve, node_id from, const struct snapshot_fetch *fetch)
{
    REQUIRE(from != NODE_NONE);
    REQUIRE(fetch->bytes_max >= 1 && fetch->bytes_max <= LIMIT_SNAPSHOT_CHUNK_BYTES);
    struct serve_fetch *same = find_same(serve, from, fetch);
    if (same != NULL) {
        same->fetch = *fetch;
        return;
    }
    if (serve->waiting_count == LIMIT_FETCHES) {
        struct snapshot_chunk busy = answer_to(fetch, CHUNK_BUSY);
        (void)send_answer(serve, from, &busy); /* not getting it, the peer asks again as well */
        return;
    }
    serve->waiting[serve->waiting_count++] = (struct serve_fetch){from, *fetch};
    arm(serve);
}

void serve_forget(struct serve *serve, node_id from)
{
    size_t kept_count = 0;
    for (size_t i = 0; i < serve->waiting_count; i++)
        if (serve->waiting[i].from != from)
            serve->waiting[kept_count++] = serve->waiting[i];
    serve->waiting_count = kept_count;
    arm(serve);
}

void serve_on_pruned(struct serve *serve, raft_index keep_from)
{
    if (serve->file != NULL && serve->last.index < keep_from)
        close_file(serve);
}
