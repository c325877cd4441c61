/* Leases and locks: holds that are taken and waited for in one call. */
#include <stdio.h>
#include <string.h>

#include "client/claim_door.h"
#include "client/claim_text.h"
#include "client/minikv_internal.h"

/* ---- taking ---- */

/* Why it is not held, or the token. */
static void tell(struct minikv_hold *hold, enum minikv_code code, struct minikv_result *out_result)
{
    struct minikv_holding holding;
    minikv_hold_look(hold, &holding);
    *out_result = (struct minikv_result){.code = code, .revision = holding.fence.token};
    if (code == MINIKV_OK) {
        out_result->effect = MINIKV_APPLIED;
        return;
    }
    memcpy(out_result->word, holding.word, sizeof holding.word);
    memcpy(out_result->detail, holding.detail, sizeof holding.detail);
    if (out_result->detail[0] == '\0')
        (void)snprintf(out_result->detail, sizeof out_result->detail, "%s",
                       code == MINIKV_HELD ? "somebody else holds it" : "no node has answered");
}

/* Gives back what it has come to. */
static void give_up(struct minikv_hold *hold, struct minikv_result *result)
{
    struct minikv_result left;
    (void)minikv_hold_release(hold, &left);
    if (left.effect == MINIKV_MAYBE_APPLIED)
        result->effect = MINIKV_MAYBE_APPLIED;
    minikv_result_release(&left);
}

static struct claim_patience patience_of(const struct minikv *kv, int wait_ms)
{
    time_us now = driver_now(), wait = (time_us)MAX(wait_ms, 0) * TIME_US_PER_MS;
    if (wait_ms < 0)
        return (struct claim_patience){TIME_NEVER, TIME_NEVER};
    return (struct claim_patience){.asking = now + MAX(wait, kv->timeout), .behind = now + wait};
}

static const char *explain(enum minikv_code code)
{
    if (code == MINIKV_INVALID)
        return "the name, the value or the time to live is out of its range";
    return code == MINIKV_FULL ? "there are as many holds as there may be" : "out of memory";
}

static enum minikv_code take(struct minikv *kv, const struct minikv_hold_request *request,
                             int wait_ms, struct minikv_hold **out_hold,
                             struct minikv_result *out_result)
{
    struct minikv_hold *hold;
    struct claim_patience patience = patience_of(kv, wait_ms);
    enum minikv_code code = minikv_hold_start(kv, request, &hold);
    if (code != MINIKV_OK) {
        *out_result = (struct minikv_result){.code = code};
        (void)snprintf(out_result->detail, sizeof out_result->detail, "%s", explain(code));
        return code;
    }
    code = claim_await(hold, &patience);
    tell(hold, code, out_result);
    if (code == MINIKV_OK)
        *out_hold = hold;
    else
        give_up(hold, out_result);
    return code;
}

static enum minikv_code no_name(struct minikv_result *out_result)
{
    *out_result = (struct minikv_result){.code = MINIKV_INVALID, .detail = "the name is empty"};
    return MINIKV_INVALID;
}

enum minikv_code minikv_lock_acquire(struct minikv *kv, struct minikv_bytes name, uint64_t ttl_ms,
                                     int wait_ms, struct minikv_hold **out_hold,
                                     struct minikv_result *out_result)
{
    struct minikv_hold_request request = {.ttl_ms = ttl_ms, .name = name};
    return name.count == 0 ? no_name(out_result)
                           : take(kv, &request, wait_ms, out_hold, out_result);
}

enum minikv_code minikv_election_campaign(struct minikv *kv, struct minikv_bytes name,
                                          struct minikv_bytes value, uint64_t ttl_ms, int wait_ms,
                                          struct minikv_hold **out_hold,
                                          struct minikv_result *out_result)
{
    struct minikv_hold_request request = {.ttl_ms = ttl_ms, .name = name, .value = value};
    return name.count == 0 ? no_name(out_result)
                           : take(kv, &request, wait_ms, out_hold, out_result);
}

/* ---- leases ---- */

enum minikv_code minikv_lease_grant(struct minikv *kv, uint64_t ttl_ms,
                                    struct minikv_hold **out_hold, struct minikv_result *out_result)
{
    struct minikv_hold_request request = {.ttl_ms = ttl_ms};
    return take(kv, &request, 0, out_hold, out_result);
}

enum minikv_code minikv_lease_look(struct minikv *kv, uint64_t lease,
                                   struct minikv_lease *out_lease, struct minikv_result *out_result)
{
    char target[64];
    struct lease_reply reply;
    struct minikv_request request = {
        .op = MINIKV_CALL, .method = "GET", .target = target, .is_repeatable = true};
    claim_put_lease(target, lease, "");
    enum minikv_code code = minikv_perform(kv, &request, out_result);
    if (code != MINIKV_OK)
        return code;
    if (!lease_reply_read(bytes_of(out_result->body.data, out_result->body.count), &reply)) {
        out_result->code = MINIKV_REFUSED;
        (void)snprintf(out_result->detail, sizeof out_result->detail,
                       "the reply is not what was asked for");
        return MINIKV_REFUSED;
    }
    *out_lease = (struct minikv_lease){
        .ttl_ms = reply.ttl_ms, .remaining_ms = reply.remaining_ms, .keys_count = reply.keys_count};
    return MINIKV_OK;
}
