/* Handler of /v1/snapshot, and the sending of what it answers.
 *
 *      read permission ─▶ applied index ─▶ snapshot at it or later ─▶ file ─▶ pieces
 *
 * Everything that was acknowledged before the request is in it. With ?consistency=stale it is what
 * this node has, also where no majority is left to ask. */
#include "base/mem.h"
#include "http/api.h"
#include "http/connection.h"
#include "http/reply.h"
#include "http/server.h"

#define SECOND_US ((time_us)1000000)
/* How far behind its pace it may catch up at once. */
#define BURST_US ((time_us)10000)

struct backup {
    struct source source;
    struct exchange *exchange; /* borrowed */
    struct node_snapshot_wait wait;
    bool is_waiting;
    bool is_stopped;
    struct snapfile *file; /* owned; NULL: not there yet */
    struct snapshot_info info;
    uint64_t offset; /* of the next piece */
    time_us due;     /* when it is, by the pace */
    struct env_timer timer;
};

static struct http *http_of(const struct exchange *exchange)
{
    return exchange->connection->http;
}

static struct backup *backup_of(struct source *source)
{
    return CONTAINER_OF(source, struct backup, source);
}

/* ---- waiting ---- */

/* Whatever is in the way, nothing has been changed. */
static void refuse(struct exchange *exchange, enum status status)
{
    exchange->answer = (struct node_answer){.status = status, .effect = EFFECT_NONE};
    exchange->state = EXCHANGE_READY;
}

static void backup_on_snapshot(void *ctx, enum status status, const struct snapshot_info *info)
{
    struct exchange *exchange = ctx;
    struct backup *backup = backup_of(exchange->source);
    struct errtext error;
    REQUIRE(exchange->state == EXCHANGE_PREPARING);
    backup->is_waiting = false;
    exchange->state = EXCHANGE_READY;
    if (status == ST_OK && info->last.index == 0)
        status = ST_NOT_READY; /* a node that joins, and has no state yet */
    if (status == ST_OK) {
        backup->info = *info;
        status = snapfile_open(http_of(exchange)->env, info->last, &backup->file, &error);
    }
    if (status != ST_OK)
        refuse(exchange, status == ST_NOT_FOUND ? ST_IO : status);
    connection_answer(exchange->connection);
}

static void backup_on_timer(void *ctx)
{
    struct exchange *exchange = ctx;
    connection_answer(exchange->connection);
}

/* ---- sending ---- */

static enum source_step backup_send(struct source *source, struct buf *out)
{
    struct backup *backup = backup_of(source);
    struct http *http = http_of(backup->exchange);
    time_us now = env_now(http->env);
    uint64_t left = snapfile_bytes(backup->file) - backup->offset;
    size_t count, wanted = (size_t)MIN(left, (uint64_t)LIMIT_BACKUP_PIECE_BYTES);
    if (backup->is_stopped)
        return SOURCE_BROKEN;
    if (now < backup->due) {
        env_timer_set(http->env, &backup->timer, backup->due);
        return SOURCE_LATER;
    }
    bool has_room = buf_reserve(out, wanted);
    INVARIANT(has_room); /* it is sent while little is queued */
    if (snapfile_read(backup->file, backup->offset, out->data + out->count, wanted, &count) !=
            ST_OK ||
        count != wanted)
        return SOURCE_BROKEN;
    out->count += count;
    backup->offset += count;
    http->metrics.backup_bytes += count;
    backup->due = MAX(backup->due, now > BURST_US ? now - BURST_US : 0) +
                  wanted * SECOND_US / http->options.backup_rate;
    return count == left ? SOURCE_DONE : SOURCE_MORE;
}

/* It would keep the node from ending for longer than anybody waits for that. */
static void backup_stop(struct source *source)
{
    struct backup *backup = backup_of(source);
    backup->is_stopped = true;
    if (backup->is_waiting)
        node_snapshot_cancel(&backup->wait);
    backup->is_waiting = false;
    if (backup->exchange->state != EXCHANGE_SENDING)
        refuse(backup->exchange, ST_SHUTTING_DOWN);
}

static void backup_free(struct source *source)
{
    struct backup *backup = backup_of(source);
    struct http *http = http_of(backup->exchange);
    REQUIRE(http->backups_count > 0);
    http->backups_count--;
    if (backup->is_waiting)
        node_snapshot_cancel(&backup->wait);
    env_timer_set(http->env, &backup->timer, TIME_NEVER);
    snapfile_close(backup->file);
    mem_free(backup);
}

static const struct source_ops ops = {
    .send = backup_send, .free = backup_free, .stop = backup_stop};

/* ---- the request ---- */

static void await(struct exchange *exchange)
{
    struct http *http = http_of(exchange);
    struct backup *backup = mem_alloc(sizeof *backup);
    backup->exchange = exchange;
    backup->is_waiting = true;
    backup->wait = (struct node_snapshot_wait){
        .index = node_applied(http->node), .on_done = backup_on_snapshot, .ctx = exchange};
    env_timer_init(&backup->timer, backup_on_timer, exchange);
    backup->source.ops = &ops;
    exchange->source = &backup->source;
    exchange->state = EXCHANGE_PREPARING;
    http->backups_count++;
    node_snapshot_await(http->node, &backup->wait);
}

void snapshot_prepare(struct exchange *exchange)
{
    const struct http *http = http_of(exchange);
    if (http->is_stopping)
        refuse(exchange, ST_SHUTTING_DOWN);
    else if (http->backups_count >= LIMIT_BACKUPS)
        refuse(exchange, ST_BUSY);
    else
        await(exchange);
}

void snapshot_start(struct exchange *exchange, struct bytes body)
{
    (void)body; /* the route takes none */
    kv_read_start(exchange);
    if (exchange->is_stale && !exchange_is_refused(exchange))
        snapshot_prepare(exchange);
}

void snapshot_answer(struct exchange *exchange)
{
    const struct backup *backup = backup_of(exchange->source);
    REQUIRE(backup->file != NULL);

    struct buf *out = reply_begin(exchange, 200);
    reply_header_number(out, "X-MiniKV-Snapshot-Index", backup->info.last.index);
    reply_header_number(out, "X-MiniKV-Snapshot-Term", backup->info.last.term);
    reply_end_head(exchange, CONTENT_RAW, snapfile_bytes(backup->file));
    if (!exchange->is_head_only)
        exchange->state = EXCHANGE_SENDING;
}
