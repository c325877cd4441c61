/* Handlers of /v1/raft/members, join, remove and promote: who belongs to the cluster. */
#include "base/mem.h"
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

/* ---- join ---- */

void join_start(struct exchange *exchange, struct bytes body)
{
    struct body_join join;
    struct address typed;
    struct errtext error = {{0}};
    struct command command = {.op = COMMAND_JOIN};
    exchange->joins_http = (struct address){.port = 0};
    if (!body_parse_join(body, reply_scratch(exchange), &join, &exchange->problem) ||
        !body_parse_address("peer", join.peer, &typed, &exchange->problem) ||
        (join.http.count > 0 &&
         !body_parse_address("http", join.http, &exchange->joins_http, &exchange->problem)))
        return;
    enum status status = node_resolve_peer(node_of(exchange), &typed, &command.peer, &error);
    if (status != ST_OK) {
        exchange_refuse(exchange, status, "%s", error.text);
        return;
    }
    exchange->joins_id = command.member = join.id;
    command.member_identity = join.identity;
    exchange_write(exchange, &command);
}

/* The client address that came with a request to join, once the member is there. Like every
 * announced address it counts when it answers as that member; a node that is not running yet
 * announces itself when it is. */
struct follow_up {
    struct buf command;
    struct node_request request;
};

static void on_announced(void *ctx, const struct node_answer *answer)
{
    (void)answer;
    struct follow_up *follow_up = ctx;
    buf_release(&follow_up->command);
    mem_free(follow_up);
}

static void announce_joined(struct exchange *exchange)
{
    struct http *http = exchange->connection->http;
    struct command command = {.op = COMMAND_ANNOUNCE, .member = exchange->joins_id};
    struct errtext error;
    if (node_resolve_http(http->node, exchange->joins_id, &exchange->joins_http, &command.http,
                          &error) != ST_OK)
        return;
    struct follow_up *follow_up = mem_alloc(sizeof *follow_up);
    buf_init(&follow_up->command, LIMIT_COMMAND_BYTES);
    command_encode(&command, &follow_up->command);
    follow_up->request = (struct node_request){
        .kind = NODE_WRITE,
        .policy = ROUTE_FORWARD,
        .is_internal = true,
        .deadline = env_now(http->env) + exchange->timeout,
        .command = buf_bytes(&follow_up->command),
        .on_done = on_announced,
        .ctx = follow_up,
    };
    node_submit(http->node, &follow_up->request);
}

void join_answer(struct exchange *exchange)
{
    if (address_is_set(&exchange->joins_http))
        announce_joined(exchange);
    reply_done(exchange);
}

/* ---- remove, promote ---- */

static void change_start(struct exchange *exchange, struct bytes body, enum command_op op)
{
    struct command command = {.op = op};
    if (body_parse_member(body, &command.member, &exchange->problem))
        exchange_write(exchange, &command);
}

void remove_start(struct exchange *exchange, struct bytes body)
{
    change_start(exchange, body, COMMAND_REMOVE);
}

void promote_start(struct exchange *exchange, struct bytes body)
{
    change_start(exchange, body, COMMAND_PROMOTE);
}

/* ---- members ---- */

static void put_address(struct buf *out, const struct address *address)
{
    char text[LIMIT_ADDRESS_BYTES];
    json_put_ascii(out, address_is_set(address) ? address_format(address, text) : "");
}

void raft_members_answer(struct exchange *exchange)
{
    const struct kv *kv = node_kv(node_of(exchange));
    const struct config *config = kv_config(kv);
    struct buf *body = reply_scratch(exchange);
    buf_put(body, BYTES_LITERAL("{\"members\":["));
    for (uint32_t i = 0; i < config->members_count; i++) {
        const struct member *member = &config->members[i];
        const struct kv_member *known = kv_member(kv, member->id);
        struct address unset = {.port = 0};
        buf_printf(body, "%s{\"id\":%u,\"peer\":", i == 0 ? "" : ",", member->id);
        put_address(body, &member->peer);
        buf_put(body, BYTES_LITERAL(",\"http\":"));
        put_address(body, known == NULL ? &unset : &known->http);
        buf_printf(body, ",\"voter\":%s}", member->is_voter ? "true" : "false");
    }
    buf_put(body, BYTES_LITERAL("]}\n"));
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}
