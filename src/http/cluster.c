/* Handlers of /v1/raft/…: who this node is, what it knows, announcing client addresses and
 * handing leadership over. Members are in http/members.c. */
#include "http/api.h"
#include "http/body.h"
#include "http/connection.h"
#include "http/json.h"
#include "http/reply.h"
#include "http/server.h"

static struct node *node_of(const struct exchange *exchange)
{
    return exchange->connection->http->node;
}

/* ---- announce ---- */

/* What an operator typed, as the address that others dial. */
static bool resolve(struct exchange *exchange, const struct body_announce *announce,
                    struct address *out_address)
{
    struct address typed;
    struct errtext error = {{0}};
    *out_address = (struct address){.port = 0};
    if (announce->http.count == 0)
        return true; /* the address is removed */
    if (!body_parse_address("http", announce->http, &typed, &exchange->problem))
        return false;
    enum status status =
        node_resolve_http(node_of(exchange), announce->id, &typed, out_address, &error);
    if (status != ST_OK)
        exchange_refuse(exchange, status, "%s", error.text);
    return status == ST_OK;
}

void announce_start(struct exchange *exchange, struct bytes body)
{
    struct body_announce announce;
    struct command command = {.op = COMMAND_ANNOUNCE, .identity = exchange->identity};
    if (!body_parse_announce(body, reply_scratch(exchange), &announce, &exchange->problem) ||
        !resolve(exchange, &announce, &command.http))
        return;
    command.member = announce.id;
    exchange_write(exchange, &command);
}

/* ---- handing leadership over ---- */

void hand_over_start(struct exchange *exchange, struct bytes body)
{
    struct command command = {.op = COMMAND_TRANSFER};
    if (body_parse_transfer(body, &command.member, &exchange->problem))
        exchange_write(exchange, &command);
}

/* ---- status ---- */

static const struct peer_stats *find_stats(const struct peer_stats *stats, size_t count, node_id id)
{
    for (size_t i = 0; i < count; i++)
        if (stats[i].id == id)
            return &stats[i];
    return NULL;
}

static void put_peers(struct exchange *exchange, raft_index last_index, struct buf *body)
{
    struct raft_peer_view peers[LIMIT_MEMBERS];
    struct peer_stats stats[LIMIT_MEMBERS];
    size_t peers_count = raft_peers(node_raft(node_of(exchange)), peers, LIMIT_MEMBERS);
    size_t stats_count = node_peer_stats(node_of(exchange), stats, LIMIT_MEMBERS);
    for (size_t i = 0; i < peers_count; i++) {
        const struct raft_peer_view *peer = &peers[i];
        const struct peer_stats *link = find_stats(stats, stats_count, peer->id);
        raft_index lag = last_index > peer->match ? last_index - peer->match : 0;
        buf_printf(body,
                   "%s{\"id\":%u,\"voter\":%s,\"match\":%llu,\"next\":%llu,\"state\":\"%s\","
                   "\"lag\":%llu,\"snapshot_bytes\":%llu,\"up\":%s}",
                   i == 0 ? "" : ",", peer->id, peer->is_voter ? "true" : "false",
                   (unsigned long long)peer->match, (unsigned long long)peer->next, peer->state,
                   (unsigned long long)lag, (unsigned long long)peer->snapshot_bytes,
                   link != NULL && link->is_up ? "true" : "false");
    }
}

static void put_snapshot(const struct node *node, struct buf *body)
{
    struct node_progress progress;
    node_progress(node, &progress);
    buf_printf(body, "\"snapshot\":{\"index\":%llu,\"bytes\":%llu,\"taking\":",
               (unsigned long long)progress.newest.last.index,
               (unsigned long long)progress.newest.bytes);
    if (progress.is_taking)
        buf_printf(body, "{\"bytes\":%llu,\"of\":%llu}", (unsigned long long)progress.taken_bytes,
                   (unsigned long long)progress.taking_bytes);
    else
        buf_put(body, BYTES_LITERAL("null"));
    buf_put(body, BYTES_LITERAL(",\"fetching\":"));
    if (progress.is_fetching)
        buf_printf(body, "{\"index\":%llu,\"from\":%u,\"bytes\":%llu,\"of\":%llu}",
                   (unsigned long long)progress.fetched.index, progress.source,
                   (unsigned long long)progress.fetched_bytes,
                   (unsigned long long)progress.fetching_bytes);
    else
        buf_put(body, BYTES_LITERAL("null"));
    buf_put(body, BYTES_LITERAL("}"));
}

void raft_status_answer(struct exchange *exchange)
{
    const struct node_view *view = node_view(node_of(exchange));
    const struct kv *kv = node_kv(node_of(exchange));
    struct kv_stats state;
    struct raft_view raft;
    kv_stats(kv, &state);
    raft_view(node_raft(node_of(exchange)), &raft);
    struct buf *body = reply_scratch(exchange);
    buf_printf(
        body,
        "{\"id\":%u,\"role\":\"%s\",\"term\":%llu,\"leader\":%u,\"commit_index\":%llu,"
        "\"applied_index\":%llu,\"last_index\":%llu,\"revision\":%llu,"
        "\"compacted\":%llu,\"digest\":\"%016llx\",\"clock_ms\":%llu,",
        view->self, raft_role_name(raft.role), (unsigned long long)raft.term, raft.leader,
        (unsigned long long)raft.commit, (unsigned long long)node_applied(node_of(exchange)),
        (unsigned long long)raft.last_index, (unsigned long long)state.revision,
        (unsigned long long)state.compacted, (unsigned long long)kv_digest(kv),
        (unsigned long long)(env_wall_now(exchange->connection->http->env) / TIME_US_PER_MS));
    put_snapshot(node_of(exchange), body);
    buf_put(body, BYTES_LITERAL(",\"peers\":["));
    if (raft.role == RAFT_ROLE_LEADER)
        put_peers(exchange, raft.last_index, body);
    const char *note = node_note(node_of(exchange));
    buf_put(body, BYTES_LITERAL("]"));
    if (note != NULL)
        buf_printf(body, ",\"note\":\"%s\"", note);
    buf_put(body, BYTES_LITERAL("}\n"));
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}

/* ---- identity ---- */

void raft_identity_answer(struct exchange *exchange)
{
    const struct node_view *view = node_view(node_of(exchange));
    struct buf *body = reply_scratch(exchange);
    buf_printf(body, "{\"node_id\":%u,\"cluster_id\":\"%016llx\"}\n", view->self,
               (unsigned long long)view->cluster_id);
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}
