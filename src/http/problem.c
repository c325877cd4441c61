#include "http/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "http/json.h"

static const char *const advice[STATUS_COUNT] = {
    [ST_NOT_FOUND] = "nothing is stored under this key",
    [ST_CONDITION_FAILED] = "read the key again; ETag, if there is one, names the revision it had",
    [ST_NOT_INTEGER] = "only a value that is a decimal 64-bit integer can be incremented",
    [ST_OVERFLOW] = "increment by less, or store another value first",
    [ST_UNKNOWN_MEMBER] = "GET /v1/raft/members lists the ids of this cluster",
    [ST_MEMBER_EXISTS] =
        "GET /v1/raft/members lists ids and addresses; choose others, or remove that member first. "
        "A node whose data directory was emptied comes back after its removal",
    [ST_MEMBERS_FULL] = "remove a member first",
    [ST_LAST_VOTER] = "promote another member first",
    [ST_NOT_CAUGHT_UP] = "it is promoted by itself once it has the log and its data directory is "
                         "registered; GET /v1/raft/status at the leader shows how far it is",
    [ST_REVISION_FUTURE] =
        "name a revision that has been reached; GET /v1/raft/status has the present one",
    [ST_COMPACTED] =
        "revisions that old are not kept any more; X-MiniKV-Compacted names the oldest "
        "one that can be read; name that or a later one",
    [ST_SEQUENCE_TOO_OLD] = "send new writes with higher sequences; whether an earlier delivery of "
                            "this one took effect "
                            "is no longer known",
    [ST_SEALED] = "it was sealed on request (POST /v1/outcome/seal); send the write under a new "
                  "identity if it is wanted after all",
    [ST_SESSION_EXPIRED] =
        "this client, or this write of it, is no longer remembered, and the write is not carried "
        "out any more; open a session (POST /v1/sessions) for new ones",
    [ST_IDENTITY_REUSED] =
        "give every write a sequence, or an Idempotency-Key, of its own; repeat a write with "
        "nothing in it changed",
    [ST_LEASE_NOT_FOUND] = "it has expired, was revoked, or was never granted; grant one "
                           "(POST /v1/leases) and write its keys again",
    [ST_LEASE_EXISTS] = "choose another id, or leave it out and the cluster allots one",
    [ST_LEASES_FULL] = "revoke leases, or wait until some expire; attach fewer keys to one lease",
    [ST_DUPLICATE_KEY] =
        "name each key in one put or delete only, ranges that are deleted included",
    [ST_TXN_TOO_LARGE] =
        "one transaction deletes at most 65536 keys, looks at 524288, and comes to 1310720 bytes "
        "of "
        "results: each key and value read and 40 bytes; with a client id or an Idempotency-Key to "
        "65536 bytes, since they are remembered. Read less (limit, keys_only, count_only), or send "
        "several",
    [ST_STATE_FULL] = "delete keys; the limit is fixed in this version; reads go on",
    [ST_BAD_REQUEST] = "the request line or the message is not HTTP/1.1",
    [ST_BAD_TARGET] = "send a path that begins with / and is percent-encoded",
    [ST_BAD_HEADER] = "correct the header and send the request again",
    [ST_BAD_HOST] = "send exactly one Host header: host or host:port",
    [ST_BAD_LENGTH] = "send one Content-Length of plain digits, or Transfer-Encoding: chunked",
    [ST_BAD_JSON] = "send one JSON object",
    [ST_BAD_FIELD] = "send the fields that docs/http-api.md lists for this request",
    [ST_BAD_QUERY] = "send the parameters that docs/http-api.md lists for this request",
    [ST_BAD_ENCODING] = "percent-encode as %41, base64 with padding",
    [ST_BAD_CONDITION] = "send If-Match: \"<revision>\" or If-None-Match: *",
    [ST_BAD_IDENTITY] = "send X-MiniKV-Client-Id (1 to 64 printable characters) with "
                        "X-MiniKV-Sequence (1 to 2^63-1), or Idempotency-Key: \"text\"",
    [ST_BAD_ADDRESS] = "send host:port, [v6]:port or http://host:port",
    [ST_KEY_EMPTY] = "put the key behind the slash: 1 to 4096 bytes, percent-encoded",
    [ST_KEY_TOO_LONG] = "a key has at most 4096 bytes",
    [ST_VALUE_TOO_LONG] = "a value has at most 1048576 bytes",
    [ST_BODY_TOO_LONG] = "a body has at most 2097152 bytes",
    [ST_TARGET_TOO_LONG] = "path and query have at most 16384 bytes together",
    [ST_HEADERS_TOO_LONG] = "at most 100 headers and 32768 bytes",
    [ST_NO_RESOURCE] = "docs/http-api.md lists all paths; keys live under /v1/kv/",
    [ST_METHOD_NOT_ALLOWED] = "the Allow header lists the methods of this path",
    [ST_NOT_ACCEPTABLE] = "accept application/json or application/octet-stream",
    [ST_EXPECTATION_FAILED] = "the only expectation known here is 100-continue",
    [ST_UNSUPPORTED_CODING] = "the only transfer coding known here is chunked",
    [ST_UNSUPPORTED_VERSION] = "send HTTP/1.1 or HTTP/1.0",
    [ST_REQUEST_TIMEOUT] = "send the whole request at once, on a new connection",
    [ST_ADDRESS_MISMATCH] = "announce the address at which that node itself serves HTTP",
    [ST_NO_LEADER] = "an election is under way, or most nodes cannot be reached: "
                     "GET /v1/raft/status at each",
    [ST_LEADER_UNREACHABLE] = "ask another node; this one keeps dialling the leader",
    [ST_NOT_LEADER] = "send the request to the address in Location",
    [ST_LEADER_NOT_ANNOUNCED] = "announce the leader's client address "
                                "(POST /v1/raft/peer_announce), or wait until it does so itself",
    [ST_ALREADY_FORWARDED] = "send the request to the leader, see X-Leader-HTTP",
    [ST_BUSY] = "the node has all it can hold; send the request again shortly",
    [ST_SESSIONS_FULL] =
        "as much is remembered for clients as the limit allows; acknowledge answers "
        "(X-MiniKV-Acked) or wait: what is unused for --session-ttl is forgotten",
    [ST_CHANGE_OPEN] = "one change is made at a time; send the request again shortly",
    [ST_FENCED] = "the leader changed; send the request again",
    [ST_NOT_READY] = "the node is catching up, or has no link to the leader; ask another node",
    [ST_SHUTTING_DOWN] = "send the request to another node",
    [ST_NO_SPACE] = "free space on the leader's disk, or move leadership",
    [ST_LINK_LOST] = "the write may have happened or may still happen: send it again if it has a "
                     "client id or an Idempotency-Key; if not, read before writing again",
    [ST_TIMEOUT] = "the write may have happened or may still happen: send it again if it has a "
                   "client id or an Idempotency-Key; if not, read before writing again",
    [ST_IO] = "the node stops; on another node send the write again if it has a client id or an "
              "Idempotency-Key; if not, read before writing again",
    [ST_CORRUPT] = "see the log of this node; send the request to another node",
    [ST_FORMAT] = "see the log of this node; send the request to another node",
    [ST_LOCKED] = "see the log of this node; send the request to another node",
    [ST_LIMIT] = "a limit was passed inside the node; see its log",
    [ST_SHORT] = "something inside the node ended early; see its log",
    [ST_NO_MEMORY] = "send the request again shortly, or to another node",
    [ST_CLOSED] = "send the request again",
};

void problem_clear(struct problem *problem)
{
    problem->status = ST_OK;
    problem->detail.text[0] = '\0';
}

void problem_set(struct problem *problem, enum status status, const char *format, ...)
{
    REQUIRE(status != ST_OK);

    if (problem->status != ST_OK)
        return;
    problem->status = status;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(problem->detail.text, sizeof problem->detail.text, format, arguments);
    va_end(arguments);
}

const char *problem_advice(enum status status, enum effect effect)
{
    /* A read, or a write that never left this node: nobody has to find out what became of it. */
    if (effect == EFFECT_NONE && status_info(status)->effect == EFFECT_MAYBE)
        return "nothing was changed; ask again, or ask another node";
    return advice[status] == NULL ? "" : advice[status];
}

void problem_put(struct buf *out, enum status status, enum effect effect, const char *detail)
{
    const struct status_info *info = status_info(status);
    bool has_detail = detail != NULL && detail[0] != '\0';
    buf_printf(out,
               "{\"type\":\"urn:minikv:%s\",\"title\":\"%s\",\"status\":%d,\"detail\":", info->code,
               info->title, info->http);
    json_put_ascii(out, has_detail ? detail : problem_advice(status, effect));
    buf_printf(out, ",\"effect\":\"%s\"", effect_name(effect));
}
