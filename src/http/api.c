#include "http/api.h"

#include <llhttp.h>

#include "base/check.h"
#include "http/connection.h"
#include "http/reply.h"
#include "kv/leases.h"

#define PATH(text)                                                                                 \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }
#define ROUTE_BIT QUERY_BIT(ROUTE)
#define READ_BITS (QUERY_BIT(CONSISTENCY) | QUERY_BIT(REV) | QUERY_BIT(ROUTE))

/* Busiest first: the search stops at the first that fits. */
static const struct api_route routes[] = {
    {.method = API_PUT,
     .method_name = "PUT",
     .path = PATH("/v1/kv/"),
     .pattern = "/v1/kv/{key}",
     .has_key = true,
     .identity = API_IDENTITY_TAKEN,
     .takes_body = true,
     .takes_condition = true,
     .query_allowed = ROUTE_BIT | QUERY_BIT(LEASE),
     .start = kv_put_start,
     .answer = kv_put_answer},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/v1/kv/"),
     .pattern = "/v1/kv/{key}",
     .has_key = true,
     .takes_condition = true,
     .query_allowed = READ_BITS | QUERY_BIT(RAW),
     .has_large_reply = true,
     .start = kv_get_start,
     .answer = kv_get_answer},
    {.method = API_DELETE,
     .method_name = "DELETE",
     .path = PATH("/v1/kv/"),
     .pattern = "/v1/kv/{key}",
     .has_key = true,
     .identity = API_IDENTITY_TAKEN,
     .takes_condition = true,
     .query_allowed = ROUTE_BIT,
     .start = kv_delete_start,
     .answer = reply_done},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/v1/kv"),
     .pattern = "/v1/kv",
     .query_allowed = READ_BITS | QUERY_BIT(PREFIX) | QUERY_BIT(START) | QUERY_BIT(END) |
                      QUERY_BIT(LIMIT) | QUERY_BIT(AFTER) | QUERY_BIT(KEYS_ONLY) |
                      QUERY_BIT(COUNT_ONLY) | QUERY_BIT(ORDER),
     .has_large_reply = true,
     .start = list_start,
     .answer = list_answer},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/incr/"),
     .pattern = "/v1/incr/{key}",
     .has_key = true,
     .identity = API_IDENTITY_TAKEN,
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = kv_incr_start,
     .answer = kv_incr_answer},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/txn"),
     .pattern = "/v1/txn",
     .identity = API_IDENTITY_TAKEN,
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = txn_start,
     .answer = txn_answer},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/compact"),
     .pattern = "/v1/compact",
     .identity = API_IDENTITY_TAKEN,
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = compact_start,
     .answer = compact_answer},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/leases/"),
     .pattern = "/v1/leases/{lease}/keepalive",
     .has_lease = true,
     .behind = PATH("/keepalive"),
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = lease_renew_start,
     .answer = lease_renew_answer},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/leases"),
     .pattern = "/v1/leases",
     .identity = API_IDENTITY_TAKEN,
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = lease_grant_start,
     .answer = lease_grant_answer},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/v1/leases"),
     .pattern = "/v1/leases",
     .query_allowed = ROUTE_BIT | QUERY_BIT(CONSISTENCY) | QUERY_BIT(LIMIT) | QUERY_BIT(AFTER),
     .has_large_reply = true,
     .start = lease_list_start,
     .answer = lease_list_answer},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/v1/leases/"),
     .pattern = "/v1/leases/{lease}",
     .has_lease = true,
     .query_allowed = ROUTE_BIT | QUERY_BIT(CONSISTENCY) | QUERY_BIT(KEYS),
     .has_large_reply = true,
     .start = lease_get_start,
     .answer = lease_get_answer},
    {.method = API_DELETE,
     .method_name = "DELETE",
     .path = PATH("/v1/leases/"),
     .pattern = "/v1/leases/{lease}",
     .has_lease = true,
     .identity = API_IDENTITY_TAKEN,
     .query_allowed = ROUTE_BIT,
     .start = lease_revoke_start,
     .answer = reply_done},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/v1/watch"),
     .pattern = "/v1/watch",
     .query_allowed = ROUTE_BIT | QUERY_BIT(CONSISTENCY) | QUERY_BIT(KEY) | QUERY_BIT(PREFIX) |
                      QUERY_BIT(START) | QUERY_BIT(END) | QUERY_BIT(FROM) | QUERY_BIT(FROM_ID) |
                      QUERY_BIT(PREV) | QUERY_BIT(FILTER) | QUERY_BIT(POLL_MS) | QUERY_BIT(LIMIT),
     .has_large_reply = true,
     .start = watch_start,
     .prepare = watch_prepare,
     .answer = watch_answer},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/sessions"),
     .pattern = "/v1/sessions",
     .identity = API_IDENTITY_REFUSED,
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = session_open_start,
     .answer = session_open_answer},
    {.method = API_DELETE,
     .method_name = "DELETE",
     .path = PATH("/v1/sessions/"),
     .pattern = "/v1/sessions/{client}",
     .has_client = true,
     .identity = API_IDENTITY_REFUSED,
     .query_allowed = ROUTE_BIT,
     .start = session_close_start,
     .answer = reply_done},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/v1/outcome"),
     .pattern = "/v1/outcome",
     .query_allowed = ROUTE_BIT | QUERY_BIT(CLIENT) | QUERY_BIT(SEQUENCE) | QUERY_BIT(KEY),
     .start = outcome_start,
     .answer = outcome_answer},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/outcome/seal"),
     .pattern = "/v1/outcome/seal",
     .identity = API_IDENTITY_REFUSED,
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = outcome_seal_start,
     .answer = outcome_seal_answer},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/raft/peer_announce"),
     .pattern = "/v1/raft/peer_announce",
     .identity = API_IDENTITY_TAKEN,
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = announce_start,
     .answer = reply_done},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/raft/transfer"),
     .pattern = "/v1/raft/transfer",
     .identity = API_IDENTITY_REFUSED,
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = hand_over_start,
     .answer = reply_done},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/raft/join"),
     .pattern = "/v1/raft/join",
     .identity = API_IDENTITY_REFUSED,
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = join_start,
     .answer = join_answer},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/raft/remove"),
     .pattern = "/v1/raft/remove",
     .identity = API_IDENTITY_REFUSED,
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = remove_start,
     .answer = reply_done},
    {.method = API_POST,
     .method_name = "POST",
     .path = PATH("/v1/raft/promote"),
     .pattern = "/v1/raft/promote",
     .identity = API_IDENTITY_REFUSED,
     .takes_body = true,
     .query_allowed = ROUTE_BIT,
     .start = promote_start,
     .answer = reply_done},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/v1/snapshot"),
     .pattern = "/v1/snapshot",
     .query_allowed = QUERY_BIT(CONSISTENCY) | ROUTE_BIT,
     .has_large_reply = true,
     .start = snapshot_start,
     .prepare = snapshot_prepare,
     .answer = snapshot_answer},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/v1/raft/status"),
     .pattern = "/v1/raft/status",
     .answer = raft_status_answer},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/v1/raft/members"),
     .pattern = "/v1/raft/members",
     .answer = raft_members_answer},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/v1/raft/identity"),
     .pattern = "/v1/raft/identity",
     .answer = raft_identity_answer},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/livez"),
     .pattern = "/livez",
     .answer = livez_answer},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/readyz"),
     .pattern = "/readyz",
     .answer = readyz_answer},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/version"),
     .pattern = "/version",
     .answer = version_answer},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/metrics"),
     .pattern = "/metrics",
     .answer = metrics_answer},
    {.method = API_GET,
     .method_name = "GET",
     .path = PATH("/openapi.json"),
     .pattern = "/openapi.json",
     .answer = openapi_answer},
};

static_assert(ARRAY_COUNT(routes) <= API_ROUTES_MAX, "metrics have room for every route");

size_t api_routes_count(void)
{
    return ARRAY_COUNT(routes);
}

const struct api_route *api_route_at(size_t index)
{
    REQUIRE(index < ARRAY_COUNT(routes));
    return &routes[index];
}

size_t api_route_index(const struct api_route *route)
{
    return (size_t)(route - routes);
}

/* ---- finding ---- */

/* The part of the path that is a lease's id; false: the path is another. */
static bool lease_part(const struct api_route *route, struct bytes path, struct bytes *out_part)
{
    size_t around = route->path.count + route->behind.count;
    if (!bytes_has_prefix(path, route->path) || path.count < around)
        return false;
    size_t count = path.count - around;
    *out_part = bytes_of(path.data + route->path.count, count);
    struct bytes behind = bytes_of(out_part->data + count, route->behind.count);
    return bytes_equal(behind, route->behind) &&
           (count == 0 || memchr(out_part->data, '/', count) == NULL);
}

static bool path_fits(const struct api_route *route, struct bytes path)
{
    struct bytes part;
    if (route->has_lease)
        return lease_part(route, path, &part);
    return route->has_key || route->has_client ? bytes_has_prefix(path, route->path)
                                               : bytes_equal(path, route->path);
}

static unsigned method_bit(unsigned method)
{
    switch (method) {
    case HTTP_GET:
    case HTTP_HEAD:
        return API_GET;
    case HTTP_PUT:
        return API_PUT;
    case HTTP_POST:
        return API_POST;
    case HTTP_DELETE:
        return API_DELETE;
    }
    return 0;
}

void api_allowed(struct bytes path, struct buf *out)
{
    const char *separator = "";
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
        if (!path_fits(&routes[i], path))
            continue;
        buf_put_text(out, separator);
        buf_put_text(out, routes[i].method_name);
        if (routes[i].method == API_GET)
            buf_put_text(out, ", HEAD");
        separator = ", ";
    }
}

static const struct api_route *find(struct bytes path, unsigned method, bool *out_path_fits)
{
    unsigned bit = method_bit(method);
    *out_path_fits = false;
    for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
        if (!path_fits(&routes[i], path))
            continue;
        *out_path_fits = true;
        if (((unsigned)routes[i].method & bit) != 0)
            return &routes[i];
    }
    return NULL;
}

static void refuse_path(struct exchange *exchange, bool path_is_known)
{
    exchange_refuse(exchange, path_is_known ? ST_METHOD_NOT_ALLOWED : ST_NO_RESOURCE, "%s", "");
}

/* ---- checking ---- */

/* The rest of the path behind the route's own; false: refused. */
static bool take_rest(struct exchange *exchange, struct bytes *out_rest)
{
    struct bytes path = exchange->parts.path;
    size_t prefix = exchange->route->path.count;
    struct bytes rest = bytes_of(path.data + prefix, path.count - prefix);
    if (rest.count != 0 && memchr(rest.data, '%', rest.count) != NULL) {
        if (percent_decode(rest, false, &exchange->decoded) != ST_OK) {
            exchange_refuse(exchange, ST_BAD_ENCODING,
                            "the %s holds a %% without two hexadecimal digits",
                            exchange->route->has_key ? "key" : "client id");
            return false;
        }
        rest = buf_bytes(&exchange->decoded);
    }
    *out_rest = rest;
    return true;
}

static void take_key(struct exchange *exchange)
{
    struct bytes key;
    if (!take_rest(exchange, &key))
        return;
    exchange->key = key;
    if (key.count == 0)
        exchange_refuse(exchange, ST_KEY_EMPTY, "%s", "");
    else if (key.count > LIMIT_KEY_BYTES)
        exchange_refuse(exchange, ST_KEY_TOO_LONG, "the key has %zu bytes; at most %d are taken",
                        key.count, LIMIT_KEY_BYTES);
}

/* Only ids that the cluster has allotted have a place of their own: forgetting one that a client
 * has chosen would let a late duplicate of one of its writes open it anew, and execute again. */
static void take_client(struct exchange *exchange)
{
    struct client_identity identity = {.kind = CLIENT_ID};
    raft_index index;
    uint64_t nonce;
    if (!take_rest(exchange, &identity.client))
        return;
    if (session_parse_id(identity.client, &index, &nonce))
        exchange_take_identity(exchange, &identity);
    else
        exchange_refuse(exchange, ST_BAD_IDENTITY,
                        "only sessions that POST /v1/sessions has opened can be closed; an id of "
                        "your own choosing is forgotten when it has not been used for "
                        "--session-ttl");
}

static void take_lease(struct exchange *exchange)
{
    struct bytes part;
    bool fits = lease_part(exchange->route, exchange->parts.path, &part);
    REQUIRE(fits);
    if (!number_parse(part, &exchange->lease) || exchange->lease > LEASE_ID_MAX)
        exchange_refuse(exchange, ST_BAD_TARGET, "a lease's id is a number from 1 to %llu",
                        (unsigned long long)LEASE_ID_MAX);
}

static void take_query(struct exchange *exchange)
{
    struct errtext error;
    enum status status = query_parse(exchange->parts.query, exchange->route->query_allowed,
                                     &exchange->query, &error);
    if (status != ST_OK) {
        exchange_refuse(exchange, status, "%s", error.text);
        return;
    }
    if (!query_has(&exchange->query, QUERY_ROUTE))
        return;
    exchange->has_policy = policy_parse(exchange->query.values[QUERY_ROUTE], &exchange->policy);
    if (!exchange->has_policy)
        exchange_refuse(exchange, ST_BAD_QUERY, "route is forward or redirect");
}

static void check_identity(struct exchange *exchange)
{
    const struct identity *given = &exchange->connection->parse.headers.identity;
    struct client_identity identity;
    if (given->given == 0)
        return;
    switch (exchange->route->identity) {
    case API_IDENTITY_IGNORED:
        return;
    case API_IDENTITY_TAKEN:
        if (identity_finish(given, &identity, &exchange->problem))
            exchange_take_identity(exchange, &identity);
        return;
    case API_IDENTITY_REFUSED:
        exchange_refuse(exchange, ST_BAD_IDENTITY,
                        "%s %s takes no X-MiniKV-Client-Id, X-MiniKV-Sequence, X-MiniKV-Acked or "
                        "Idempotency-Key",
                        exchange->route->method_name, exchange->route->pattern);
        return;
    }
    UNREACHABLE();
}

static void check_headers(struct exchange *exchange)
{
    if (exchange->condition != CONDITION_NONE && !exchange->route->takes_condition)
        exchange_refuse(exchange, ST_BAD_CONDITION,
                        "%s %s takes neither If-Match nor If-None-Match",
                        exchange->route->method_name, exchange->route->pattern);
    if (!exchange_is_refused(exchange))
        check_identity(exchange);
}

void api_match(struct exchange *exchange)
{
    bool path_is_known;
    if (exchange->parts.path.count == 0)
        return; /* the target is malformed and the request refused */
    exchange->route = find(exchange->parts.path, exchange->method, &path_is_known);
    if (exchange->route == NULL) {
        /* Where there is nothing, or nothing of the kind, other mistakes matter less. */
        problem_clear(&exchange->problem);
        refuse_path(exchange, path_is_known);
        return;
    }
    if (exchange_is_refused(exchange))
        return;
    /* Slices of `decoded` must not move: all that is decoded together is shorter than the target.
     */
    (void)buf_reserve(&exchange->decoded, exchange->target.count);
    take_query(exchange);
    if (exchange->route->has_key && !exchange_is_refused(exchange))
        take_key(exchange);
    if (exchange->route->has_client && !exchange_is_refused(exchange))
        take_client(exchange);
    if (exchange->route->has_lease && !exchange_is_refused(exchange))
        take_lease(exchange);
    if (!exchange_is_refused(exchange))
        check_headers(exchange);
}
