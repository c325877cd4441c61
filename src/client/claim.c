#include "client/claim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "client/claim_text.h"
#include "client/txn_reply.h"

/* ---- making ---- */

static bool is_empty_or_given(struct minikv_bytes bytes)
{
    return bytes.count == 0 || bytes.data != NULL;
}

enum minikv_code claim_check(const struct minikv_hold_request *request)
{
    bool has_room = request->name.count + 1 + CLAIM_PLACE_BYTES <= LIMIT_KEY_BYTES &&
                    request->value.count <= LIMIT_VALUE_BYTES;
    bool is_given = is_empty_or_given(request->name) && is_empty_or_given(request->value);
    bool is_ttl = request->ttl_ms == 0 ||
                  (request->ttl_ms >= LEASE_TTL_MS_MIN && request->ttl_ms <= LEASE_TTL_MS_MAX);
    return has_room && is_given && is_ttl ? MINIKV_OK : MINIKV_INVALID;
}

/* "NAME/" and room for the place, twice: of the own key, and of the one before. */
static void set_names(struct claim *claim, const struct minikv_hold_request *request, char *memory)
{
    size_t prefix_count = request->name.count + 1, key_count = prefix_count + CLAIM_PLACE_BYTES;
    memcpy(memory, request->name.data, request->name.count);
    memory[request->name.count] = '/';
    claim->prefix = bytes_of(memory, prefix_count);
    claim->key = bytes_of(memory, key_count);
    claim->place = memory + prefix_count;
    claim->before_key = memory + key_count;
    if (request->value.count != 0)
        memcpy(memory + 2 * key_count, request->value.data, request->value.count);
    claim->value = bytes_of(memory + 2 * key_count, request->value.count);
}

struct claim *claim_new(const struct minikv_hold_request *request)
{
    size_t key_count = request->name.count + 1 + CLAIM_PLACE_BYTES;
    struct claim *claim = calloc(1, sizeof *claim + 2 * key_count + request->value.count);
    if (claim == NULL)
        return NULL;
    claim->state = MINIKV_HOLD_ENTERING;
    claim->step = CLAIM_GRANT;
    claim->ttl_ms = request->ttl_ms != 0 ? request->ttl_ms : CLAIM_TTL_MS;
    claim->adopted = request->lease;
    if (request->name.count != 0)
        set_names(claim, request, (char *)(claim + 1));
    return claim;
}

void claim_free(struct claim *claim)
{
    free(claim);
}

/* ---- where it stands ---- */

bool claim_is_over(const struct claim *claim)
{
    switch (claim->state) {
    case MINIKV_HOLD_LEFT:
    case MINIKV_HOLD_LOST:
    case MINIKV_HOLD_FAILED:
        return true;
    case MINIKV_HOLD_ENTERING:
    case MINIKV_HOLD_WAITING:
    case MINIKV_HOLD_HELD:
    case MINIKV_HOLD_LEAVING:
        break;
    }
    return false;
}

static void say(struct claim *claim, enum minikv_code code, const char *word, const char *detail)
{
    claim->code = code;
    (void)snprintf(claim->word, sizeof claim->word, "%s", word);
    (void)snprintf(claim->detail, sizeof claim->detail, "%s", detail);
}

static void say_result(struct claim *claim, const struct minikv_result *result)
{
    say(claim, result->code, result->word, result->detail);
}

static void all_is_well(struct claim *claim)
{
    say(claim, MINIKV_OK, "", "");
}

static void rest_in(struct claim *claim, enum minikv_hold_state state)
{
    claim->state = state;
    claim->step = CLAIM_REST;
}

static void lose(struct claim *claim, const char *word, const char *detail)
{
    rest_in(claim, MINIKV_HOLD_LOST);
    say(claim, MINIKV_LOST, word, detail);
}

static void lose_lease(struct claim *claim)
{
    claim->lease.is_gone = true;
    claim->lease.certain_until = 0;
    lose(claim, "lease-not-found", "the lease has expired, or has been revoked");
}

static void fail(struct claim *claim, const struct minikv_result *result)
{
    rest_in(claim, MINIKV_HOLD_FAILED);
    say_result(claim, result);
}

/* ---- what to ask ---- */

enum claim_step claim_next(const struct claim *claim, time_us now, time_us *out_at)
{
    bool waits = !claim->is_asking && claim->step != CLAIM_REST && claim->again_at > now;
    *out_at = waits ? claim->again_at : TIME_NEVER;
    return waits || claim->is_asking ? CLAIM_REST : claim->step;
}

static bool request_grant(const struct claim *claim, struct blob *text,
                          struct minikv_request *request)
{
    char target[64];
    request->method = "POST";
    if (claim->adopted != 0) { /* a keep-alive answers as a grant does */
        claim_put_lease(target, claim->adopted, "/keepalive");
        blob_put(text, target, strlen(target) + 1);
        request->is_repeatable = true;
        return !text->is_failed;
    }
    request->target = "/v1/leases";
    request->is_once = true;
    claim_put_grant(text, claim->ttl_ms);
    return !text->is_failed;
}

static void request_page(const struct claim *claim, struct minikv_request *request)
{
    *request =
        (struct minikv_request){.op = MINIKV_LIST,
                                .range = {.prefix = {claim->prefix.data, claim->prefix.count},
                                          .after = {claim->after, claim->after_count},
                                          .revision = claim->revision,
                                          .keys_only = true}};
}

bool claim_request(const struct claim *claim, struct blob *text, struct minikv_request *out_request)
{
    char target[64];
    bool is_target = true; /* what is in `text`; else the body */
    *out_request = (struct minikv_request){.op = MINIKV_CALL};
    switch (claim->step) {
    case CLAIM_REST:
        return false;
    case CLAIM_GRANT:
        (void)request_grant(claim, text, out_request);
        is_target = claim->adopted != 0;
        break;
    case CLAIM_ENTER:
        out_request->method = "POST";
        out_request->target = "/v1/txn";
        out_request->is_once = true;
        claim_put_enter(text, claim->key, claim->value, claim->lease.id);
        is_target = false;
        break;
    case CLAIM_PAGE:
        request_page(claim, out_request);
        return true;
    case CLAIM_CHANGE:
        out_request->method = "GET";
        out_request->is_repeatable = true;
        out_request->timeout_ms = 3 * CLAIM_POLL_MS;
        claim_put_poll(text, "filter=delete&key", bytes_of(claim->before_key, claim->key.count),
                       claim->changes_from, CLAIM_POLL_MS);
        break;
    case CLAIM_REVOKE:
        out_request->method = "DELETE";
        out_request->is_once = true;
        claim_put_lease(target, claim->lease.id, "");
        blob_put(text, target, strlen(target) + 1);
        break;
    }
    if (is_target)
        out_request->target = (const char *)text->data;
    else
        out_request->value = (struct minikv_bytes){text->data, text->count};
    return !text->is_failed;
}

void claim_asked(struct claim *claim, time_us now)
{
    if (claim->step == CLAIM_GRANT && claim->identity.client[0] == '\0')
        claim->first_sent_at = now;
    claim->is_asking = true;
}

void claim_put_off(struct claim *claim, time_us now)
{
    claim->again_at = now + (time_us)CLAIM_AGAIN_MS * TIME_US_PER_MS;
}

/* ---- going on ---- */

static void go_on(struct claim *claim, enum claim_step step)
{
    claim->step = step;
    claim->again_at = 0;
    claim->identity = (struct minikv_identity){0};
}

static void look_anew(struct claim *claim)
{
    claim->revision = claim->before_token = 0;
    claim->after_count = 0;
    claim->sees_itself = false;
    go_on(claim, CLAIM_PAGE);
}

static void granted(struct claim *claim, const struct minikv_result *result)
{
    struct lease_reply reply;
    char place[CLAIM_PLACE_BYTES + 1];
    if (!lease_reply_read(bytes_of(result->body.data, result->body.count), &reply)) {
        struct minikv_result odd = {.code = MINIKV_REFUSED, .detail = "no node of this version"};
        fail(claim, &odd);
        return;
    }
    lease_begin(&claim->lease, reply.lease, reply.ttl_ms, claim->first_sent_at);
    (void)snprintf(place, sizeof place, "%016llx", (unsigned long long)reply.lease);
    if (claim->place != NULL)
        memcpy(claim->place, place, CLAIM_PLACE_BYTES);
    if (claim->state == MINIKV_HOLD_LEAVING) {
        go_on(claim, CLAIM_REVOKE);
    } else if (claim->place == NULL) {
        rest_in(claim, MINIKV_HOLD_HELD);
    } else {
        go_on(claim, CLAIM_ENTER);
    }
}

static void entered(struct claim *claim, const struct minikv_result *result)
{
    struct txn_reply reply;
    bool is_good = txn_reply_read(bytes_of(result->body.data, result->body.count), &reply);
    if (is_good && reply.has_succeeded)
        claim->token = reply.revision;
    else if (is_good && reply.found[0].lease == claim->lease.id) /* by an earlier delivery */
        claim->token = reply.found[0].create_revision;
    if (claim->token != 0) {
        look_anew(claim);
        return;
    }
    struct minikv_result taken = {.code = MINIKV_REFUSED,
                                  .detail = "the key is there already: somebody else writes below "
                                            "this name"};
    fail(claim, &taken);
}

/* ---- looking who is before ---- */

static void look_at(struct claim *claim, const struct minikv_item *item)
{
    struct bytes key = bytes_of(item->key.data, item->key.count);
    uint64_t token = item->create_revision;
    if (token == claim->token && bytes_equal(key, claim->key))
        claim->sees_itself = true;
    bool is_place = key.count == claim->key.count; /* not of a name below this one */
    if (!is_place || token >= claim->token || token <= claim->before_token)
        return;
    claim->before_token = token;
    memcpy(claim->before_key, key.data, key.count);
}

/* All places have been looked at. */
static void judge(struct claim *claim)
{
    if (!claim->sees_itself) {
        lose(claim, "", "the key of this place is gone");
        return;
    }
    bool is_first = claim->before_token == 0;
    if (is_first) /* nobody is before: its own key is looked after, which somebody may delete */
        memcpy(claim->before_key, claim->key.data, claim->key.count);
    claim->state = is_first ? MINIKV_HOLD_HELD : MINIKV_HOLD_WAITING;
    claim->changes_from = claim->revision + 1;
    go_on(claim, CLAIM_CHANGE);
}

static void seen(struct claim *claim, const struct minikv_result *page)
{
    for (size_t i = 0; i < page->items_count; i++)
        look_at(claim, &page->items[i]);
    claim->revision = page->revision;
    claim->after_count = MIN(page->next.count, sizeof claim->after);
    if (claim->after_count != 0)
        memcpy(claim->after, page->next.data, claim->after_count);
    else
        judge(claim);
}

static void changed(struct claim *claim, const struct minikv_result *result)
{
    size_t events_count;
    uint64_t revision;
    struct bytes body = bytes_of(result->body.data, result->body.count);
    bool is_quiet = poll_reply_read(body, &events_count, &revision) && events_count == 0;
    if (is_quiet)
        claim->changes_from = MAX(claim->changes_from, revision + 1);
    else
        look_anew(claim);
}

/* ---- leaving ---- */

static void left(struct claim *claim, enum minikv_code code)
{
    rest_in(claim, MINIKV_HOLD_LEFT);
    claim->lease.certain_until = 0;
    if (code == MINIKV_LOST || claim->was_lost)
        say(claim, MINIKV_LOST, "lease-not-found", "it had been lost before it was given back");
    else
        all_is_well(claim);
}

bool claim_leave(struct claim *claim, time_us now)
{
    bool is_unknown_yet = claim->lease.id == 0 && claim->step == CLAIM_GRANT &&
                          (claim->is_asking || claim->identity.client[0] != '\0');
    claim->was_certain =
        claim->state != MINIKV_HOLD_LOST && lease_certain_for(&claim->lease, now) != 0;
    claim->was_lost = claim->state == MINIKV_HOLD_LOST;
    if (is_unknown_yet && claim->adopted == 0) { /* it is to be known before it can be given back */
        claim->state = MINIKV_HOLD_LEAVING;
        return false;
    }
    claim->is_asking = false;
    if (claim->state == MINIKV_HOLD_ENTERING && claim->lease.id == 0) /* it is there all the same */
        claim->lease = (struct lease){.id = claim->adopted, .ttl_ms = claim->ttl_ms};
    if (claim->lease.id == 0 || claim->lease.is_gone) {
        left(claim, MINIKV_OK);
        return true;
    }
    claim->state = MINIKV_HOLD_LEAVING;
    go_on(claim, CLAIM_REVOKE);
    return true;
}

/* ---- answers ---- */

static void take(struct claim *claim, const struct minikv_result *result)
{
    if (claim->state != MINIKV_HOLD_HELD) /* then keep-alives say how it is */
        all_is_well(claim);
    switch (claim->step) {
    case CLAIM_REST:
        break;
    case CLAIM_GRANT:
        granted(claim, result);
        break;
    case CLAIM_ENTER:
        entered(claim, result);
        break;
    case CLAIM_PAGE:
        seen(claim, result);
        break;
    case CLAIM_CHANGE:
        changed(claim, result);
        break;
    case CLAIM_REVOKE:
        left(claim, MINIKV_OK);
        break;
    }
}

/* Its session is no more, or has gone on without it: to ask again under it gives no answer. */
static bool is_forgotten(const struct minikv_result *result)
{
    return strcmp(result->word, "session-expired") == 0 ||
           strcmp(result->word, "sequence-too-old") == 0;
}

/* Asking again may help. */
static bool passes(const struct claim *claim, const struct minikv_result *result)
{
    switch (result->code) {
    case MINIKV_UNAVAILABLE:
    case MINIKV_UNKNOWN:
    case MINIKV_NO_MEMORY:
        return true;
    case MINIKV_OK:
    case MINIKV_NOT_FOUND:
    case MINIKV_CONDITION_FAILED:
    case MINIKV_NOT_INTEGER:
    case MINIKV_OVERFLOW:
    case MINIKV_REFUSED:
    case MINIKV_FULL:
    case MINIKV_INVALID:
    case MINIKV_CANCELLED:
    case MINIKV_LOST:
    case MINIKV_HELD:
        break;
    }
    /* A grant is cancelled when it is to be given back, and has to be known for that. */
    bool is_over = result->code == MINIKV_CANCELLED && claim->state != MINIKV_HOLD_LEAVING;
    return result->effect == MINIKV_MAYBE_APPLIED && !is_over;
}

static bool says_lease_is_gone(const struct minikv_result *result)
{
    return result->code == MINIKV_NOT_FOUND && strcmp(result->word, "lease-not-found") == 0;
}

/* A lease that is not there any more may have been ended by an earlier delivery of this: if it was
 * certain when it was told to leave, it was not another's before that. */
static void not_revoked(struct claim *claim, bool was_open)
{
    left(claim, was_open && claim->was_certain ? MINIKV_OK : MINIKV_LOST);
}

/* That lease cannot have been granted any more. */
static void not_granted(struct claim *claim, const struct minikv_result *result)
{
    if (claim->state == MINIKV_HOLD_LEAVING)
        left(claim, MINIKV_OK);
    else
        fail(claim, result);
}

void claim_answered(struct claim *claim, time_us now, const struct minikv_result *result)
{
    bool was_open = claim->identity.client[0] != '\0';
    claim->is_asking = false;
    if (result->code == MINIKV_OK) {
        take(claim, result);
        return;
    }
    claim->identity = (struct minikv_identity){0};
    if (result->effect == MINIKV_MAYBE_APPLIED && !is_forgotten(result))
        claim->identity = result->identity;
    bool is_compacted = strcmp(result->word, "compacted") == 0;
    if (claim->state == MINIKV_HOLD_HELD && !is_compacted) { /* nothing is known to be wrong */
        claim_put_off(claim, now);
    } else if (passes(claim, result)) {
        say_result(claim, result);
        bool has_given_up = claim->step == CLAIM_GRANT && claim->state == MINIKV_HOLD_LEAVING &&
                            claim->identity.client[0] == '\0';
        if (has_given_up)
            left(claim, MINIKV_OK);
        else
            claim_put_off(claim, now);
    } else if (claim->step == CLAIM_GRANT) {
        not_granted(claim, result);
    } else if (claim->step == CLAIM_REVOKE && says_lease_is_gone(result)) {
        not_revoked(claim, was_open);
    } else if (claim->step == CLAIM_REVOKE && result->code != MINIKV_CANCELLED) {
        say_result(claim, result);
        claim_put_off(claim, now);
    } else if (says_lease_is_gone(result)) {
        lose_lease(claim);
    } else if (is_compacted) { /* as good as a change */
        look_anew(claim);
    } else {
        fail(claim, result);
    }
}

/* ---- keep-alives ---- */

time_us claim_keep_at(const struct claim *claim)
{
    bool is_kept = !claim_is_over(claim) && claim->state != MINIKV_HOLD_LEAVING;
    return is_kept ? lease_keep_at(&claim->lease) : TIME_NEVER;
}

struct minikv_request claim_keep_request(const struct claim *claim, char target[64], time_us now)
{
    time_us patience_ms = lease_patience(&claim->lease, now) / TIME_US_PER_MS;
    claim_put_lease(target, claim->lease.id, "/keepalive");
    return (struct minikv_request){.op = MINIKV_CALL,
                                   .method = "POST",
                                   .target = target,
                                   .is_repeatable = true,
                                   .timeout_ms = (unsigned)MIN(patience_ms, (time_us)UINT32_MAX)};
}

void claim_kept(struct claim *claim, time_us now, const struct minikv_result *result)
{
    struct lease_reply reply;
    struct bytes body = bytes_of(result->body.data, result->body.count);
    bool is_kept = result->code == MINIKV_OK && lease_reply_read(body, &reply) &&
                   reply.lease == claim->lease.id;
    enum lease_answer answer = is_kept                      ? LEASE_KEPT
                               : says_lease_is_gone(result) ? LEASE_GONE
                                                            : LEASE_NO_ANSWER;
    lease_answered(&claim->lease, now, answer);
    if (claim_is_over(claim) || claim->state == MINIKV_HOLD_LEAVING)
        return;
    if (answer == LEASE_GONE)
        lose_lease(claim);
    else if (answer == LEASE_NO_ANSWER)
        say_result(claim, result);
    else if (claim->state == MINIKV_HOLD_HELD)
        all_is_well(claim);
}
