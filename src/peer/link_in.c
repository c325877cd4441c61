/* Link in: the side that was dialled, checks who it is, and receives.
 *
 *   accepted ──hello──▶ checked ──▶ welcomed ──▶ messages, envelopes, pings
 *      └─ too slow ─┐      └─▶ refused ─┐               └─▶ ended · bye · out of shape · superseded
 *                   ▼                   ▼
 *                 closed             closed, after the reason
 *
 * Nothing from an ungreeted link reaches the node, and no more than a few hundred bytes of it are
 * kept. A link that says anything out of shape is closed without any other effect. */
#include "base/failpoint.h"
#include "base/mem.h"
#include "peer/link.h"

static time_us now_of(const struct link_in *link)
{
    return env_now(link->peers->env);
}

/* ---- closing ---- */

static void link_in_free(struct link_gone *gone)
{
    struct link_in *link = CONTAINER_OF(gone, struct link_in, gone);
    outbox_release(&link->outbox);
    inbox_release(&link->inbox);
    mem_free(link);
}

/* The stream is gone or about to go. Whoever calls this says goodbye with peers_part. */
static void retire(struct link_in *link)
{
    struct peers *peers = link->peers;
    link->stream = NULL;
    outbox_clear(&link->outbox);
    env_timer_set(peers->env, &link->timer, TIME_NEVER);
    list_remove(&link->link);
    INVARIANT(peers->ins_count > 0);
    peers->ins_count--;
    list_push_back(&peers->gone, &link->gone.link);
    peers_post_turn_end(peers);
}

void link_in_close(struct link_in *link)
{
    if (link->is_greeted) {
        (void)outbox_begin(&link->outbox, FRAME_BYE, link->stream);
        (void)outbox_end(&link->outbox); /* a full outbox: the other side sees a mere end */
    }
    if (outbox_is_empty(&link->outbox)) {
        env_stream_close(link->stream);
    } else {
        (void)outbox_flush(&link->outbox, link->stream);
        env_stream_finish(link->stream, LINK_LINGER);
    }
    retire(link);
    if (link->is_greeted)
        peers_part(link->peers, link->hello.from);
}

static void complain_of(struct link_in *link, enum complaint cause, const char *what)
{
    struct complaints *complaints = &link->peers->complaints;
    if (link->is_greeted)
        complain(complaints, now_of(link), cause, &link->address, "from node %u: %s",
                 link->hello.from, what);
    else
        complain(complaints, now_of(link), cause, &link->address, "from an ungreeted node: %s",
                 what);
}

static void close_for(struct link_in *link, enum complaint cause, const char *what)
{
    complain_of(link, cause, what);
    link_in_close(link);
}

/* ---- hello ---- */

static enum refusal judge(struct link_in *link, const struct hello *hello)
{
    const struct peers_options *options = &link->peers->options;
    const struct peers_callbacks *callbacks = &link->peers->callbacks;
    if (hello->version != WIRE_VERSION)
        return REFUSAL_VERSION;
    if (hello->cluster_id != options->cluster_id)
        return REFUSAL_CLUSTER;
    if (hello->to != options->self)
        return REFUSAL_ADDRESSEE;
    if (hello->from == options->self)
        return REFUSAL_SELF;
    return callbacks->check(callbacks->ctx, hello);
}

static void refuse(struct link_in *link, const struct hello *hello, enum refusal refusal)
{
    refusal_encode(refusal, outbox_begin(&link->outbox, FRAME_REFUSE, link->stream));
    bool fits = outbox_end(&link->outbox);
    INVARIANT(fits);
    complain(&link->peers->complaints, now_of(link), COMPLAINT_REFUSED, &link->address,
             "refused as node %u: %s", hello->from, refusal_text(refusal));
    link_in_close(link);
}

static void welcome(struct link_in *link, const struct hello *hello)
{
    struct peers *peers = link->peers;
    struct welcome what = {0};
    peers->callbacks.on_hello(peers->callbacks.ctx, hello, &what);
    /* What the older link still had to say is discarded unread: `what` already tells its sender
     * how far it was heard. */
    struct link_in *older = peers_find_in(peers, hello->from);
    link->is_greeted = true;
    link->hello = *hello;
    if (older != NULL)
        link_in_close(older);

    link->inbox.frame_bytes_max = LIMIT_FRAME_BYTES;
    env_timer_set(peers->env, &link->timer, TIME_NEVER);
    welcome_encode(&what, outbox_begin(&link->outbox, FRAME_WELCOME, link->stream));
    bool fits = outbox_end(&link->outbox);
    INVARIANT(fits);
    peers_post_turn_end(peers);
    peers_meet(peers, hello);
}

static void on_hello(struct link_in *link, struct bytes body)
{
    struct hello hello;
    if (hello_decode(body, &hello) != ST_OK) {
        close_for(link, COMPLAINT_MALFORMED, "a malformed hello");
        return;
    }
    enum refusal refusal = judge(link, &hello);
    if (refusal != 0)
        refuse(link, &hello, refusal);
    else
        welcome(link, &hello);
}

/* ---- frames of a greeted link ---- */

static void on_message(struct link_in *link, struct bytes body)
{
    struct peers *peers = link->peers;
    struct message_in *in = peers->message_in;
    if (FAILPOINT("peer.received", body))
        return;
    if (message_decode(body, in) != ST_OK) {
        close_for(link, COMPLAINT_MALFORMED, "a malformed message");
        return;
    }
    if (in->message.from != link->hello.from || in->message.to != peers->options.self)
        close_for(link, COMPLAINT_SENDER, "a message of others");
    else
        peers->callbacks.on_message(peers->callbacks.ctx, &link->hello, &in->message,
                                    address_is_set(&in->leader_http) ? &in->leader_http : NULL);
    message_in_release(in);
}

static bool are_envelopes_well_formed(struct bytes body)
{
    struct cursor cursor = cursor_of(body);
    struct envelope envelope;
    do {
        if (envelope_decode(&cursor, &envelope) != ST_OK)
            return false;
    } while (!cursor_is_done(&cursor));
    return true;
}

static void on_forward(struct link_in *link, struct bytes body)
{
    const struct peers_callbacks *callbacks = &link->peers->callbacks;
    if (!are_envelopes_well_formed(body)) {
        close_for(link, COMPLAINT_MALFORMED, "malformed envelopes");
        return;
    }
    struct cursor cursor = cursor_of(body);
    struct envelope envelope;
    while (link->stream != NULL && !cursor_is_done(&cursor) &&
           envelope_decode(&cursor, &envelope) == ST_OK)
        callbacks->on_envelope(callbacks->ctx, &link->hello, &envelope);
}

static void on_fetch(struct link_in *link, struct bytes body)
{
    const struct peers_callbacks *callbacks = &link->peers->callbacks;
    struct snapshot_fetch fetch;
    if (snapshot_fetch_decode(body, &fetch) != ST_OK)
        close_for(link, COMPLAINT_MALFORMED, "a malformed fetch");
    else if (callbacks->on_fetch != NULL)
        callbacks->on_fetch(callbacks->ctx, &link->hello, &fetch);
}

static void on_ping(struct link_in *link, struct bytes body)
{
    if (body.count != sizeof(uint64_t)) {
        close_for(link, COMPLAINT_MALFORMED, "a malformed ping");
        return;
    }
    buf_put(outbox_begin(&link->outbox, FRAME_PONG, link->stream), body);
    if (!outbox_end(&link->outbox)) {
        close_for(link, COMPLAINT_SLOW, "pings, and nobody who reads the pongs");
        return;
    }
    peers_post_turn_end(link->peers);
}

static bool is_expected(const struct link_in *link, enum frame_type type)
{
    switch (type) {
    case FRAME_HELLO:
        return !link->is_greeted;
    case FRAME_MESSAGE:
    case FRAME_FORWARD:
    case FRAME_FETCH:
    case FRAME_PING:
    case FRAME_BYE:
        return link->is_greeted;
    case FRAME_WELCOME:
    case FRAME_REFUSE:
    case FRAME_REFUSED:
    case FRAME_CHUNK:
    case FRAME_PONG:
        return false;
    }
    UNREACHABLE();
}

static bool link_in_on_frame(void *ctx, enum frame_type type, struct bytes body)
{
    struct link_in *link = ctx;
    if (!is_expected(link, type))
        close_for(link, COMPLAINT_UNEXPECTED, "a frame out of place");
    else if (type == FRAME_HELLO)
        on_hello(link, body);
    else if (type == FRAME_MESSAGE)
        on_message(link, body);
    else if (type == FRAME_FORWARD)
        on_forward(link, body);
    else if (type == FRAME_FETCH)
        on_fetch(link, body);
    else if (type == FRAME_PING)
        on_ping(link, body);
    else
        link_in_close(link); /* bye */
    return link->stream != NULL;
}

/* ---- the stream ---- */

static void link_in_on_data(void *ctx, struct bytes bytes)
{
    struct link_in *link = ctx;
    link->heard_at = now_of(link);
    if (link->is_greeted) {
        struct link_out *out = peers_find_out(link->peers, link->hello.from);
        if (out != NULL)
            out->received_bytes += bytes.count;
    }
    if (inbox_read(&link->inbox, bytes, link_in_on_frame, link) != ST_OK)
        close_for(link, COMPLAINT_MALFORMED, "no frame");
}

static void link_in_on_drained(void *ctx)
{
    struct link_in *link = ctx;
    peers_post_turn_end(link->peers);
}

static void link_in_on_end(void *ctx, enum env_end end)
{
    struct link_in *link = ctx;
    struct peers *peers = link->peers;
    bool is_death = link->is_greeted && !link->is_death_known && end != ENV_END_ERROR;
    if (link->inbox.partial.count != 0)
        complain_of(link, COMPLAINT_CUT, "the end within a frame");
    retire(link);
    struct link_out *out = is_death ? peers_find_out(peers, link->hello.from) : NULL;
    if (out != NULL)
        link_out_on_sign_of_death(out);
    if (link->is_greeted)
        peers_part(peers, link->hello.from);
}

static const struct env_stream_handler handler = {
    .on_data = link_in_on_data, .on_drained = link_in_on_drained, .on_end = link_in_on_end};

static void link_in_on_timer(void *ctx)
{
    struct link_in *link = ctx;
    REQUIRE(!link->is_greeted);
    close_for(link, COMPLAINT_SILENT, "no hello in time");
}

/* ---- accepting ---- */

/* Who has to go when all places are taken: the oldest that has not been greeted, so that a crowd of
 * silent connections cannot keep members out; else whoever has been silent for longest. */
static struct link_in *find_victim(struct peers *peers)
{
    struct link_in *victim = NULL;
    for (struct list *at = peers->ins.next; at != &peers->ins; at = at->next) {
        struct link_in *link = CONTAINER_OF(at, struct link_in, link);
        if (!link->is_greeted)
            return link;
        if (victim == NULL || link->heard_at < victim->heard_at)
            victim = link;
    }
    return victim;
}

void link_in_accept(struct peers *peers, struct env_stream *stream)
{
    if (peers->ins_count == LIMIT_LINKS_INBOUND)
        close_for(find_victim(peers), COMPLAINT_CROWD, "nothing, and its place is needed");

    struct link_in *link = mem_alloc(sizeof *link);
    link->peers = peers;
    link->stream = stream;
    link->gone.free = link_in_free;
    link->heard_at = env_now(peers->env);
    env_stream_peer(stream, &link->address);
    outbox_init(&link->outbox, LINK_BACK_BYTES + LIMIT_CHUNKS_BYTES);
    inbox_init(&link->inbox, LINK_GREETING_BYTES);
    list_push_back(&peers->ins, &link->link);
    peers->ins_count++;
    env_timer_init(&link->timer, link_in_on_timer, link);
    env_timer_set(peers->env, &link->timer, link->heard_at + LINK_GREETING_TIMEOUT);
    env_stream_start(stream, &handler, link);
    ENSURE(peers->ins_count <= LIMIT_LINKS_INBOUND);
}

void link_in_review(struct link_in *link)
{
    const struct peers_callbacks *callbacks = &link->peers->callbacks;
    enum refusal refusal =
        link->is_greeted ? callbacks->check(callbacks->ctx, &link->hello) : (enum refusal)0;
    if (refusal != 0)
        close_for(link, COMPLAINT_REFUSED, refusal_text(refusal));
}

void link_in_refuse_envelope(struct link_in *link, const struct envelope_refusal *refusal)
{
    envelope_refusal_encode(refusal, outbox_begin_item(&link->outbox, FRAME_REFUSED, link->stream));
    if (!outbox_end_item(&link->outbox)) {
        /* A refusal that gets lost would be waited for; the handshake of a new link tells it. */
        close_for(link, COMPLAINT_SLOW, "envelopes, and nobody who reads the refusals");
        return;
    }
    peers_post_turn_end(link->peers);
}

enum status link_in_send_chunk(struct link_in *link, const struct snapshot_chunk *chunk)
{
    struct peers *peers = link->peers;
    size_t waiting = link->outbox.frames.count + env_stream_queued(link->stream);
    size_t wanted = FRAME_HEADER_BYTES + SNAPSHOT_CHUNK_HEADER_BYTES + chunk->bytes.count;
    /* What chunks leave is for pongs and refusals, which must find room. */
    if (waiting + wanted > LIMIT_CHUNKS_BYTES)
        return ST_BUSY;
    struct snapshot_chunk packed = chunk_pack(&peers->packer, chunk);
    snapshot_chunk_encode(&packed, outbox_begin(&link->outbox, FRAME_CHUNK, link->stream));
    bool fits = outbox_end(&link->outbox);
    INVARIANT(fits);
    peers_post_turn_end(peers);
    struct link_out *out = peers_find_out(peers, link->hello.from);
    if (out != NULL)
        out->snapshot_sent_bytes += chunk->bytes.count;
    return ST_OK;
}

void link_in_flush(struct link_in *link)
{
    if (outbox_is_empty(&link->outbox) || env_stream_queued(link->stream) > LINK_QUEUED_BYTES)
        return; /* then on_drained comes back */
    size_t bytes_count = outbox_flush(&link->outbox, link->stream);
    struct link_out *out = peers_find_out(link->peers, link->hello.from);
    if (out != NULL)
        out->sent_bytes += bytes_count;
}
