/* Peers: the set of links, and the end of each turn, when what was queued leaves. */
#include "peer/peer.h"

#include "base/mem.h"
#include "peer/link.h"

struct link_out *peers_find_out(struct peers *peers, node_id peer)
{
    for (size_t i = 0; i < peers->outs_count; i++)
        if (peers->outs[i]->peer == peer)
            return peers->outs[i];
    return NULL;
}

struct link_in *peers_find_in(struct peers *peers, node_id peer)
{
    for (struct list *at = peers->ins.next; at != &peers->ins; at = at->next) {
        struct link_in *link = CONTAINER_OF(at, struct link_in, link);
        if (link->is_greeted && link->hello.from == peer)
            return link;
    }
    return NULL;
}

/* ---- the end of a turn ---- */

void peers_post_turn_end(struct peers *peers)
{
    env_task_post(peers->env, &peers->turn_end);
}

static void free_gone(struct peers *peers)
{
    while (!list_is_empty(&peers->gone)) {
        struct link_gone *gone = CONTAINER_OF(peers->gone.next, struct link_gone, link);
        list_remove(&gone->link);
        gone->free(gone);
    }
}

static void peers_on_turn_end(void *ctx)
{
    struct peers *peers = ctx;
    /* Flushing may report a link, and that may change the set; whatever is missed for it has
     * posted this task again. */
    for (size_t i = 0; i < peers->outs_count; i++)
        link_out_flush(peers->outs[i]);
    for (struct list *at = peers->ins.next; at != &peers->ins; at = at->next)
        link_in_flush(CONTAINER_OF(at, struct link_in, link));
    free_gone(peers);
}

/* ---- lifecycle ---- */

static void peers_on_accept(void *ctx, struct env_stream *stream)
{
    link_in_accept(ctx, stream);
}

enum status peers_open(struct env *env, const struct peers_options *options,
                       const struct peers_callbacks *callbacks, struct peers **out_peers,
                       struct errtext *error)
{
    REQUIRE(options->self != NODE_NONE && options->self <= NODE_ID_MAX);
    REQUIRE(options->cluster_id != 0);
    REQUIRE(options->identity != 0);
    REQUIRE(options->ping > 0 && options->dead_after >= options->ping);

    struct peers *peers = mem_alloc(sizeof *peers);
    peers->env = env;
    peers->options = *options;
    peers->callbacks = *callbacks;
    list_init(&peers->ins);
    list_init(&peers->gone);
    env_task_init(&peers->turn_end, peers_on_turn_end, peers);
    prng_init(&peers->prng, env_random(env));
    enum status status =
        env_listen(env, &options->listen, peers_on_accept, peers, &peers->listener, error);
    if (status != ST_OK) {
        mem_free(peers);
        return status;
    }
    peers->message_in = mem_alloc(sizeof *peers->message_in);
    chunk_packer_init(&peers->packer);
    *out_peers = peers;
    return ST_OK;
}

void peers_close(struct peers *peers)
{
    if (peers == NULL)
        return;
    env_listener_close(peers->listener);
    for (size_t i = 0; i < peers->outs_count; i++)
        link_out_remove(peers->outs[i]);
    peers->outs_count = 0;
    while (!list_is_empty(&peers->ins))
        link_in_close(CONTAINER_OF(peers->ins.next, struct link_in, link));
    INVARIANT(peers->ins_count == 0);
    env_task_cancel(peers->env, &peers->turn_end);
    free_gone(peers);
    chunk_packer_release(&peers->packer);
    mem_free(peers->message_in);
    mem_free(peers);
}

/* ---- whom to dial ---- */

static bool is_guest(const struct link_out *link)
{
    return !address_is_set(&link->home);
}

static size_t count_guests(const struct peers *peers)
{
    size_t count = 0;
    for (size_t i = 0; i < peers->outs_count; i++)
        count += is_guest(peers->outs[i]);
    return count;
}

/* Who is in the configuration no more, or not yet again, as one that joins and has told this node
 * so long ago, is a guest as long as it is connected. */
static bool may_be_guest(struct peers *peers, const struct link_out *link)
{
    return peers_find_in(peers, link->peer) != NULL && address_is_set(&link->said);
}

static void remove_others(struct peers *peers, const struct config *config)
{
    size_t kept_count = 0, guests_count = count_guests(peers);
    for (size_t i = 0; i < peers->outs_count; i++) {
        struct link_out *link = peers->outs[i];
        bool is_kept = is_guest(link) || config_find(config, link->peer) != NULL;
        if (!is_kept && guests_count < LIMIT_GUESTS && may_be_guest(peers, link)) {
            link->home = (struct address){0};
            guests_count++;
            is_kept = true;
        }
        if (is_kept)
            peers->outs[kept_count++] = link;
        else
            link_out_remove(link);
    }
    peers->outs_count = kept_count;
}

static struct link_out *add_out(struct peers *peers, node_id peer, const struct address *address)
{
    INVARIANT(peers->outs_count < ARRAY_COUNT(peers->outs));
    return peers->outs[peers->outs_count++] = link_out_new(peers, peer, address);
}

/* Who was told another address, or none, could not answer if it does not know this node. */
static void set_own(struct peers *peers, const struct member *self)
{
    struct address own = self != NULL ? self->peer : (struct address){0};
    if (address_equal(&own, &peers->own))
        return;
    peers->own = own;
    for (size_t i = 0; i < peers->outs_count && self != NULL; i++)
        link_out_greet_again(peers->outs[i]);
}

void peers_set(struct peers *peers, const struct config *config)
{
    REQUIRE(config->members_count <= LIMIT_MEMBERS);
    remove_others(peers, config);
    set_own(peers, config_find(config, peers->options.self));
    for (uint32_t i = 0; i < config->members_count; i++) {
        const struct member *member = &config->members[i];
        if (member->id == peers->options.self)
            continue;
        struct link_out *link = peers_find_out(peers, member->id);
        if (link == NULL)
            link = add_out(peers, member->id, &member->peer);
        if (!address_equal(&link->home, &member->peer))
            link_out_move_to(link, &member->peer);
    }
}

void peers_set_history(struct peers *peers, uint64_t history)
{
    peers->history = history;
}

/* ---- who dials in ---- */

void peers_meet(struct peers *peers, const struct hello *hello)
{
    struct link_out *link = peers_find_out(peers, hello->from);
    if (link != NULL)
        link_out_on_sign_of_life(link, hello);
    else if (address_is_set(&hello->peer) && count_guests(peers) < LIMIT_GUESTS)
        add_out(peers, hello->from, &hello->peer)->said = hello->peer;
}

/* Of guests who came when there was no place for another. */
static void meet_others(struct peers *peers)
{
    for (struct list *at = peers->ins.next; at != &peers->ins; at = at->next) {
        const struct link_in *link = CONTAINER_OF(at, struct link_in, link);
        if (link->is_greeted && peers_find_out(peers, link->hello.from) == NULL)
            peers_meet(peers, &link->hello);
    }
}

void peers_part(struct peers *peers, node_id peer)
{
    struct link_out *link = peers_find_out(peers, peer);
    if (link == NULL || !is_guest(link) || peers_find_in(peers, peer) != NULL)
        return;
    for (size_t i = 0; i < peers->outs_count; i++)
        if (peers->outs[i] == link)
            peers->outs[i] = peers->outs[--peers->outs_count];
    link_out_remove(link);
    meet_others(peers);
}

void peers_review(struct peers *peers)
{
    struct list *next;
    for (struct list *at = peers->ins.next; at != &peers->ins; at = next) {
        next = at->next;
        link_in_review(CONTAINER_OF(at, struct link_in, link));
    }
}

/* ---- sending ---- */

void peers_send(struct peers *peers, const struct message *message,
                const struct address *leader_http)
{
    REQUIRE(message->from == peers->options.self);
    REQUIRE(message->to != peers->options.self);
    struct link_out *link = peers_find_out(peers, message->to);
    if (link == NULL)
        return;
    if (link->state != OUT_WELCOMED) {
        link->dropped_count++;
        return;
    }
    message_encode(message, leader_http, outbox_begin(&link->outbox, FRAME_MESSAGE, link->stream));
    if (!outbox_end(&link->outbox))
        link->dropped_count++;
    peers_post_turn_end(peers);
}

enum status peers_forward(struct peers *peers, const struct envelope *envelope)
{
    struct link_out *link = peers_find_out(peers, envelope->to);
    if (link == NULL || link->state != OUT_WELCOMED)
        return ST_CLOSED;
    envelope_encode(envelope, outbox_begin_item(&link->outbox, FRAME_FORWARD, link->stream));
    if (!outbox_end_item(&link->outbox)) {
        link->dropped_count++;
        return ST_BUSY;
    }
    peers_post_turn_end(peers);
    return ST_OK;
}

void peers_refuse(struct peers *peers, node_id to, uint64_t incarnation,
                  const struct envelope_refusal *refusal)
{
    struct link_in *link = peers_find_in(peers, to);
    if (link != NULL && link->hello.incarnation == incarnation)
        link_in_refuse_envelope(link, refusal);
}

enum status peers_fetch(struct peers *peers, node_id from, const struct snapshot_fetch *fetch)
{
    REQUIRE(from != peers->options.self);
    struct link_out *link = peers_find_out(peers, from);
    if (link == NULL || link->state != OUT_WELCOMED)
        return ST_CLOSED;
    snapshot_fetch_encode(fetch, outbox_begin(&link->outbox, FRAME_FETCH, link->stream));
    if (!outbox_end(&link->outbox)) {
        link->dropped_count++;
        return ST_BUSY;
    }
    peers_post_turn_end(peers);
    return ST_OK;
}

enum status peers_chunk(struct peers *peers, node_id to, const struct snapshot_chunk *chunk)
{
    REQUIRE(chunk->unpacked_bytes == 0);
    struct link_in *link = peers_find_in(peers, to);
    return link != NULL ? link_in_send_chunk(link, chunk) : ST_CLOSED;
}

size_t peers_stats(const struct peers *peers, struct peer_stats *out_stats, size_t stats_max)
{
    size_t count = MIN(peers->outs_count, stats_max);
    for (size_t i = 0; i < count; i++) {
        const struct link_out *link = peers->outs[i];
        out_stats[i] = (struct peer_stats){
            .id = link->peer,
            .is_up = link->state == OUT_WELCOMED,
            .links_count = link->links_count,
            .sent_bytes = link->sent_bytes,
            .received_bytes = link->received_bytes,
            .snapshot_sent_bytes = link->snapshot_sent_bytes,
            .snapshot_received_bytes = link->snapshot_received_bytes,
            .dropped_count = link->dropped_count,
            .outbox_bytes = link->outbox.frames.count +
                            (link->stream != NULL ? env_stream_queued(link->stream) : 0),
            .round_trip = link->round_trip,
            .refused = link->refused,
        };
    }
    return count;
}
