/* Link out: the side that dials, says hello and sends.
 *
 *   closed ──dial──▶ connecting ──open──▶ greeting ──welcome──▶ welcomed
 *      ▲  ▲               │                  │                     │
 *      │  └── failed ─────┴──── refused ─────┘                     │
 *      └─────────── end, bye, no pong, new address ────────────────┘
 *
 * Closed links dial again after a back-off that doubles with each failure and starts afresh with
 * each welcome; where two addresses are known, at the other one. One timer serves all states: when
 * to dial, when to give up, when to ping. */
#include "base/mem.h"
#include "peer/link.h"

#define MOVE_TO(state) (1u << (state))

static const unsigned moves[] = {
    [OUT_CLOSED] = MOVE_TO(OUT_CONNECTING),
    [OUT_CONNECTING] = MOVE_TO(OUT_GREETING) | MOVE_TO(OUT_CLOSED),
    [OUT_GREETING] = MOVE_TO(OUT_WELCOMED) | MOVE_TO(OUT_CLOSED),
    [OUT_WELCOMED] = MOVE_TO(OUT_CLOSED),
};

static void move_to(struct link_out *link, enum out_state state)
{
    INVARIANT(moves[link->state] & MOVE_TO(state));
    link->state = state;
}

static time_us now_of(const struct link_out *link)
{
    return env_now(link->peers->env);
}

static void set_timer(struct link_out *link, time_us delay)
{
    env_timer_set(link->peers->env, &link->timer, now_of(link) + delay);
}

static void report(struct link_out *link, enum link_state state, const struct welcome *welcome)
{
    const struct peers_callbacks *callbacks = &link->peers->callbacks;
    link->is_report_pending = false;
    callbacks->on_link(callbacks->ctx, link->peer, state, welcome);
}

/* ---- closing ---- */

/* The stream is gone or about to go. */
static void become_closed(struct link_out *link)
{
    move_to(link, OUT_CLOSED);
    link->stream = NULL;
    link->pings_unanswered = 0;
    link->stream_bytes = link->moved_bytes = link->queued_bytes = 0;
    outbox_clear(&link->outbox);
    inbox_clear(&link->inbox, LINK_GREETING_BYTES);
}

/* Closes from this side. The other one is told, so that it does not take this for a death. */
static void close_from_here(struct link_out *link)
{
    if (link->state == OUT_CLOSED)
        return;
    if (link->state == OUT_CONNECTING) {
        env_stream_close(link->stream);
    } else {
        (void)outbox_begin(&link->outbox, FRAME_BYE, link->stream);
        (void)outbox_end(&link->outbox); /* a full outbox: the other side sees a mere end */
        (void)outbox_flush(&link->outbox, link->stream);
        env_stream_finish(link->stream, LINK_LINGER);
    }
    become_closed(link);
}

static void dial_soon(struct link_out *link)
{
    REQUIRE(link->state == OUT_CLOSED);
    link->backoff = LINK_BACKOFF_MIN;
    set_timer(link, 0);
}

/* Nodes that lost each other at the same moment must not knock in step for ever: half of the delay
 * is chance. */
static void dial_later(struct link_out *link)
{
    REQUIRE(link->state == OUT_CLOSED);
    time_us half = link->backoff / 2;
    set_timer(link, half + prng_below(&link->peers->prng, half + 1));
    link->backoff = MIN(link->backoff * 2, LINK_BACKOFF_MAX);
}

/* Nobody who answers, or not who was meant: next time at the other address, if there is one. */
static void dial_elsewhere(struct link_out *link)
{
    if (address_is_set(&link->said) && !address_equal(&link->address, &link->said))
        link->address = link->said;
    else if (address_is_set(&link->home))
        link->address = link->home;
    dial_later(link);
}

/* ---- frames from the other side ---- */

static void on_malformed(struct link_out *link, enum complaint cause, const char *what)
{
    struct address peer;
    env_stream_peer(link->stream, &peer);
    complain(&link->peers->complaints, now_of(link), cause, &peer, "node %u answers with %s",
             link->peer, what);
    bool was_up = link->state == OUT_WELCOMED;
    close_from_here(link);
    dial_later(link);
    if (was_up)
        report(link, LINK_CLOSED, NULL);
}

static void ping(struct link_out *link)
{
    struct buf *body = outbox_begin(&link->outbox, FRAME_PING, link->stream);
    buf_put_u64(body, now_of(link));
    (void)outbox_end(&link->outbox); /* with a full outbox it is the other side that is stuck */
    link->pings_unanswered++;
    peers_post_turn_end(link->peers);
    set_timer(link, link->peers->options.ping);
}

static void on_welcome(struct link_out *link, struct bytes body)
{
    struct welcome welcome;
    if (welcome_decode(body, &welcome) != ST_OK) {
        on_malformed(link, COMPLAINT_MALFORMED, "a malformed welcome");
        return;
    }
    move_to(link, OUT_WELCOMED);
    link->backoff = LINK_BACKOFF_MIN;
    link->inbox.frame_bytes_max = LIMIT_FRAME_BYTES;
    link->incarnation = welcome.incarnation;
    link->refused = 0;
    link->links_count++;
    ping(link);
    /* The process behind the link from there is alive after all: its end would be news. */
    struct link_in *in = peers_find_in(link->peers, link->peer);
    if (in != NULL && in->hello.incarnation == welcome.incarnation)
        in->is_death_known = false;
    report(link, LINK_UP, &welcome);
}

static void on_refuse(struct link_out *link, struct bytes body)
{
    enum refusal refusal;
    if (refusal_decode(body, &refusal) != ST_OK) {
        on_malformed(link, COMPLAINT_MALFORMED, "a malformed refusal");
        return;
    }
    env_stream_close(link->stream);
    become_closed(link);
    dial_elsewhere(link);
    if (refusal == link->refused)
        return;
    char address[LIMIT_ADDRESS_BYTES];
    diag(DIAG_WARN, "peer %u at %s refuses this node: %s", link->peer,
         address_format(&link->address, address), refusal_text(refusal));
    link->refused = refusal;
    report(link, LINK_CLOSED, NULL);
}

static void on_pong(struct link_out *link, struct bytes body)
{
    struct cursor cursor = cursor_of(body);
    time_us sent_at = cursor_u64(&cursor);
    if (!cursor_is_done(&cursor) || sent_at > now_of(link)) {
        on_malformed(link, COMPLAINT_MALFORMED, "a malformed pong");
        return;
    }
    link->round_trip = now_of(link) - sent_at;
}

static bool are_refusals_well_formed(struct bytes body)
{
    struct cursor cursor = cursor_of(body);
    struct envelope_refusal refusal;
    do {
        if (envelope_refusal_decode(&cursor, &refusal) != ST_OK)
            return false;
    } while (!cursor_is_done(&cursor));
    return true;
}

static void on_refused(struct link_out *link, struct bytes body)
{
    const struct peers_callbacks *callbacks = &link->peers->callbacks;
    if (!are_refusals_well_formed(body)) {
        on_malformed(link, COMPLAINT_MALFORMED, "malformed refusals of envelopes");
        return;
    }
    struct cursor cursor = cursor_of(body);
    struct envelope_refusal refusal;
    while (link->state == OUT_WELCOMED && !cursor_is_done(&cursor) &&
           envelope_refusal_decode(&cursor, &refusal) == ST_OK)
        callbacks->on_refusal(callbacks->ctx, link->peer, &refusal);
}

static void on_chunk(struct link_out *link, struct bytes body)
{
    struct peers *peers = link->peers;
    const struct peers_callbacks *callbacks = &peers->callbacks;
    struct snapshot_chunk chunk;
    if (snapshot_chunk_decode(body, &chunk) != ST_OK ||
        chunk_unpack(&peers->packer, &chunk, &chunk) != ST_OK) {
        on_malformed(link, COMPLAINT_MALFORMED, "a malformed chunk");
        return;
    }
    link->snapshot_received_bytes += chunk.bytes.count;
    if (callbacks->on_chunk != NULL)
        callbacks->on_chunk(callbacks->ctx, link->peer, &chunk);
}

static void on_bye(struct link_out *link)
{
    bool was_up = link->state == OUT_WELCOMED;
    close_from_here(link);
    dial_later(link);
    if (was_up)
        report(link, LINK_CLOSED, NULL);
}

static bool is_expected(const struct link_out *link, enum frame_type type)
{
    switch (type) {
    case FRAME_WELCOME:
    case FRAME_REFUSE:
        return link->state == OUT_GREETING;
    case FRAME_PONG:
    case FRAME_REFUSED:
    case FRAME_CHUNK:
        return link->state == OUT_WELCOMED;
    case FRAME_BYE:
        return true;
    case FRAME_HELLO:
    case FRAME_MESSAGE:
    case FRAME_FORWARD:
    case FRAME_FETCH:
    case FRAME_PING:
        return false;
    }
    UNREACHABLE();
}

static bool link_out_on_frame(void *ctx, enum frame_type type, struct bytes body)
{
    struct link_out *link = ctx;
    if (!is_expected(link, type))
        on_malformed(link, COMPLAINT_UNEXPECTED, "a frame out of place");
    else if (type == FRAME_WELCOME)
        on_welcome(link, body);
    else if (type == FRAME_REFUSE)
        on_refuse(link, body);
    else if (type == FRAME_PONG)
        on_pong(link, body);
    else if (type == FRAME_REFUSED)
        on_refused(link, body);
    else if (type == FRAME_CHUNK)
        on_chunk(link, body);
    else
        on_bye(link);
    return link->stream != NULL;
}

/* ---- the stream ---- */

static void link_out_on_open(void *ctx)
{
    struct link_out *link = ctx;
    const struct peers_options *options = &link->peers->options;
    struct hello hello = {.version = WIRE_VERSION,
                          .cluster_id = options->cluster_id,
                          .from = options->self,
                          .to = link->peer,
                          .identity = options->identity,
                          .incarnation = options->incarnation,
                          .history = link->peers->history,
                          .peer = link->peers->own};
    move_to(link, OUT_GREETING);
    hello_encode(&hello, outbox_begin(&link->outbox, FRAME_HELLO, link->stream));
    bool fits = outbox_end(&link->outbox);
    INVARIANT(fits);
    peers_post_turn_end(link->peers);
}

static void link_out_on_data(void *ctx, struct bytes bytes)
{
    struct link_out *link = ctx;
    link->received_bytes += bytes.count;
    link->pings_unanswered = 0;
    if (inbox_read(&link->inbox, bytes, link_out_on_frame, link) != ST_OK)
        on_malformed(link, COMPLAINT_MALFORMED, "no frame");
}

static void link_out_on_drained(void *ctx)
{
    struct link_out *link = ctx;
    peers_post_turn_end(link->peers);
}

static void link_out_on_end(void *ctx, enum env_end end)
{
    struct link_out *link = ctx;
    bool was_up = link->state == OUT_WELCOMED;
    become_closed(link);
    if (!was_up) {
        dial_elsewhere(link);
        return;
    }
    dial_later(link);
    /* Its other link will end, too; that is the same death. */
    struct link_in *in = peers_find_in(link->peers, link->peer);
    if (in != NULL)
        in->is_death_known = true;
    report(link, end == ENV_END_ERROR ? LINK_CLOSED : LINK_DEAD, NULL);
}

static const struct env_stream_handler handler = {.on_open = link_out_on_open,
                                                  .on_data = link_out_on_data,
                                                  .on_drained = link_out_on_drained,
                                                  .on_end = link_out_on_end};

static void dial(struct link_out *link)
{
    move_to(link, OUT_CONNECTING);
    link->stream = env_connect(link->peers->env, &link->address, &handler, link);
    set_timer(link, LINK_GREETING_TIMEOUT);
}

/* A ping behind megabytes on a slow line is answered late. But what stood in the queue and has left
 * since shows that the other side takes bytes in: this is no half-open connection. */
static bool is_queue_moving(struct link_out *link)
{
    size_t queued_bytes = env_stream_queued(link->stream);
    INVARIANT(queued_bytes <= link->stream_bytes);
    uint64_t moved_bytes = link->stream_bytes - queued_bytes;
    bool is_moving = link->queued_bytes != 0 && moved_bytes > link->moved_bytes;
    link->queued_bytes = queued_bytes;
    link->moved_bytes = moved_bytes;
    return is_moving;
}

/* Silence is counted in pings, not in time: after this process has been stopped for a while, what
 * has arrived meanwhile is read before the next ping is due. */
static bool is_half_open(const struct link_out *link)
{
    const struct peers_options *options = &link->peers->options;
    return link->pings_unanswered * options->ping >= options->dead_after;
}

static void link_out_on_timer(void *ctx)
{
    struct link_out *link = ctx;
    switch (link->state) {
    case OUT_CLOSED:
        dial(link);
        break;
    case OUT_CONNECTING:
    case OUT_GREETING:
        close_from_here(link);
        dial_elsewhere(link);
        break;
    case OUT_WELCOMED:
        if (is_queue_moving(link))
            link->pings_unanswered = 0;
        if (!is_half_open(link)) {
            ping(link);
            break;
        }
        close_from_here(link);
        dial_soon(link);
        report(link, LINK_CLOSED, NULL);
        break;
    }
}

/* ---- what peers asks for ---- */

static void link_out_free(struct link_gone *gone)
{
    struct link_out *link = CONTAINER_OF(gone, struct link_out, gone);
    outbox_release(&link->outbox);
    inbox_release(&link->inbox);
    mem_free(link);
}

struct link_out *link_out_new(struct peers *peers, node_id peer, const struct address *address)
{
    struct link_out *link = mem_alloc(sizeof *link);
    link->peers = peers;
    link->peer = peer;
    link->address = *address;
    link->gone.free = link_out_free;
    outbox_init(&link->outbox, LIMIT_OUTBOX_BYTES);
    inbox_init(&link->inbox, LINK_GREETING_BYTES);
    env_timer_init(&link->timer, link_out_on_timer, link);
    dial_soon(link);
    return link;
}

void link_out_remove(struct link_out *link)
{
    close_from_here(link);
    env_timer_set(link->peers->env, &link->timer, TIME_NEVER);
    list_push_back(&link->peers->gone, &link->gone.link);
    peers_post_turn_end(link->peers);
}

static void dial_anew(struct link_out *link)
{
    link->is_report_pending |= link->state == OUT_WELCOMED;
    close_from_here(link);
    dial_soon(link);
    peers_post_turn_end(link->peers);
}

void link_out_move_to(struct link_out *link, const struct address *home)
{
    link->home = *home;
    if (address_equal(&link->address, home))
        return;
    link->address = *home;
    dial_anew(link);
}

void link_out_greet_again(struct link_out *link)
{
    if (link->state == OUT_GREETING || link->state == OUT_WELCOMED)
        dial_anew(link);
}

void link_out_flush(struct link_out *link)
{
    if (link->is_report_pending)
        report(link, LINK_CLOSED, NULL);
    if (outbox_is_empty(&link->outbox) || env_stream_queued(link->stream) > LINK_QUEUED_BYTES)
        return; /* then on_drained comes back */
    size_t bytes_count = outbox_flush(&link->outbox, link->stream);
    link->sent_bytes += bytes_count;
    link->stream_bytes += bytes_count;
}

void link_out_on_sign_of_life(struct link_out *link, const struct hello *hello)
{
    bool was_up = link->state == OUT_WELCOMED;
    bool is_waiting = link->state == OUT_CLOSED;
    link->said = hello->peer;
    /* Started again, or at another place: the process that this link leads to is not the one. */
    bool is_other = was_up && link->incarnation != hello->incarnation;
    if (!is_waiting && !is_other)
        return;
    close_from_here(link);
    if (address_is_set(&link->said))
        link->address = link->said;
    dial_soon(link);
    if (was_up)
        report(link, LINK_CLOSED, NULL);
}

void link_out_on_sign_of_death(struct link_out *link)
{
    if (link->state == OUT_WELCOMED) {
        close_from_here(link);
        dial_soon(link);
    }
    report(link, LINK_DEAD, NULL);
}
