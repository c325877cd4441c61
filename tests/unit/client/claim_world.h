/* Claim world: a cluster's leases, keys and watches on virtual time, and claims that ask it over a
 * network that loses answers, delivers late, and stands still; holders die and stop meanwhile.
 *
 * The cluster keeps the rules: a lease ends no sooner than its time to live after the last
 * keep-alive was carried out, its keys go with it, a request under an identity is carried out once.
 */
#ifndef MINIKV_TESTS_CLAIM_WORLD_H
#define MINIKV_TESTS_CLAIM_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/prng.h"
#include "client/claim.h"
#include "client/json_reader.h"

enum {
    CW_CLAIMS = 5,
    CW_LEASES = 256,
    CW_REQUESTS = 64,
    CW_ONCE = 1024,
    CW_TTL_MS = 3000,
    CW_KEY_BYTES = 64,
    CW_DELETES = 512
};

enum cw_what { CW_GRANT, CW_KEEP, CW_ENTER, CW_LIST, CW_POLL, CW_REVOKE };

/* A lease, with the one key that may hang on it. */
struct cw_lease {
    bool is_there;
    time_us ends_at;
    char key[CW_KEY_BYTES]; /* "": none */
    uint64_t created;
};

struct cw_request {
    bool is_used, is_keep;
    unsigned owner;              /* who hears the answer; CW_CLAIMS: nobody any more */
    unsigned sender, generation; /* which claim of which client asked */
    enum cw_what what;
    uint64_t lease, from, once; /* once: 1 + place among the remembered; 0: none */
    char key[CW_KEY_BYTES];
    time_us run_at, answer_at; /* TIME_NEVER: not, or not any more */
    time_us poll_until;
    struct minikv_result result; /* memory: the body, or the items */
};

struct cw_once {
    bool is_done;
    enum minikv_code code;
    char body[256], word[32];
};

struct cw_client {
    struct claim *claim;
    time_us stands_until; /* it does nothing before */
    bool is_dead;
    unsigned generation, granted_count;
    bool is_robbed; /* its lease was revoked by hand, and it cannot know */
    enum minikv_hold_state seen;
};

struct cw {
    struct prng prng;
    bool has_faults;
    time_us now;
    uint64_t revision;
    struct cw_lease leases[CW_LEASES]; /* by id */
    uint64_t last_lease;
    struct cw_once remembered[CW_ONCE];
    size_t remembered_count;
    struct {
        uint64_t revision;
        char key[CW_KEY_BYTES];
    } deletes[CW_DELETES];
    size_t deletes_count;
    struct cw_request requests[CW_REQUESTS];
    struct cw_client clients[CW_CLAIMS];
    uint64_t token_max;
    unsigned held_count, lost_count, replays_count;
};

static inline bool cw_chance(struct cw *cw, unsigned percent)
{
    return cw->has_faults && prng_below(&cw->prng, 100) < percent;
}

static inline time_us cw_ms(struct cw *cw, unsigned ms_max)
{
    return prng_below(&cw->prng, (uint64_t)ms_max * TIME_US_PER_MS) + 1;
}

/* ---- the cluster ---- */

static inline void cw_end_lease(struct cw *cw, struct cw_lease *lease)
{
    lease->is_there = false;
    if (lease->key[0] == '\0')
        return;
    assert_true(cw->deletes_count < CW_DELETES);
    cw->deletes[cw->deletes_count].revision = ++cw->revision;
    memcpy(cw->deletes[cw->deletes_count++].key, lease->key, sizeof lease->key);
    lease->key[0] = '\0';
}

static inline void cw_expire(struct cw *cw)
{
    for (size_t i = 1; i <= cw->last_lease; i++)
        if (cw->leases[i].is_there && cw->leases[i].ends_at <= cw->now)
            cw_end_lease(cw, &cw->leases[i]);
}

static inline void cw_reply(struct minikv_result *result, const char *body)
{
    result->code = MINIKV_OK;
    result->memory = strdup(body);
    assert_non_null(result->memory);
    result->body = (struct minikv_bytes){result->memory, strlen(body)};
}

static inline void cw_refuse(struct minikv_result *result, enum minikv_code code, const char *word)
{
    result->code = code;
    (void)snprintf(result->word, sizeof result->word, "%s", word);
}

static inline void cw_grant(struct cw *cw, struct cw_request *request)
{
    char body[64];
    assert_true(cw->last_lease + 1 < CW_LEASES);
    uint64_t id = ++cw->last_lease;
    cw->leases[id] =
        (struct cw_lease){.is_there = true, .ends_at = cw->now + CW_TTL_MS * TIME_US_PER_MS};
    if (cw->clients[request->sender].generation == request->generation)
        cw->clients[request->sender].granted_count++;
    (void)snprintf(body, sizeof body, "{\"lease\":%llu,\"ttl_ms\":%d}", (unsigned long long)id,
                   CW_TTL_MS);
    cw_reply(&request->result, body);
}

static inline void cw_keep(struct cw *cw, struct cw_request *request)
{
    char body[64];
    struct cw_lease *lease = &cw->leases[request->lease];
    if (!lease->is_there) {
        cw_refuse(&request->result, MINIKV_NOT_FOUND, "lease-not-found");
        return;
    }
    lease->ends_at = cw->now + CW_TTL_MS * TIME_US_PER_MS;
    (void)snprintf(body, sizeof body, "{\"lease\":%llu,\"ttl_ms\":%d}",
                   (unsigned long long)request->lease, CW_TTL_MS);
    cw_reply(&request->result, body);
}

static inline void cw_enter(struct cw *cw, struct cw_request *request)
{
    char body[256];
    struct cw_lease *lease = &cw->leases[request->lease];
    if (lease->is_there && lease->key[0] != '\0') {
        (void)snprintf(body, sizeof body,
                       "{\"succeeded\":false,\"revision\":%llu,\"results\":[{\"get\":{\"items\":[{"
                       "\"key\":\"k\",\"create_revision\":%llu,\"lease\":%llu}],\"count\":1}}]}",
                       (unsigned long long)cw->revision, (unsigned long long)lease->created,
                       (unsigned long long)request->lease);
    } else if (lease->is_there) {
        lease->created = ++cw->revision;
        memcpy(lease->key, request->key, sizeof lease->key);
        (void)snprintf(body, sizeof body,
                       "{\"succeeded\":true,\"revision\":%llu,\"results\":[{\"put\":{}}]}",
                       (unsigned long long)cw->revision);
    } else {
        cw_refuse(&request->result, MINIKV_NOT_FOUND, "lease-not-found");
        return;
    }
    cw_reply(&request->result, body);
}

/* One page of all, as they are now. */
static inline void cw_list(struct cw *cw, struct cw_request *request)
{
    size_t count = 0;
    struct minikv_item *items = calloc(CW_LEASES, sizeof *items + CW_KEY_BYTES);
    assert_non_null(items);
    char *keys = (char *)(items + CW_LEASES);
    for (size_t i = 1; i <= cw->last_lease; i++) {
        const struct cw_lease *lease = &cw->leases[i];
        if (!lease->is_there || lease->key[0] == '\0')
            continue;
        char *key = memcpy(keys + count * CW_KEY_BYTES, lease->key, CW_KEY_BYTES);
        items[count++] = (struct minikv_item){.key = {key, strlen(key)},
                                              .create_revision = lease->created,
                                              .mod_revision = lease->created};
    }
    request->result.code = MINIKV_OK;
    request->result.memory = items;
    request->result.items = items;
    request->result.items_count = count;
    request->result.revision = cw->revision;
}

/* False: nothing has happened yet, and there is time. */
static inline bool cw_poll(struct cw *cw, struct cw_request *request)
{
    char body[96];
    bool is_there = false;
    for (size_t i = 0; i < cw->deletes_count; i++)
        is_there = is_there || (cw->deletes[i].revision >= request->from &&
                                strcmp(cw->deletes[i].key, request->key) == 0);
    if (!is_there && cw->now < request->poll_until)
        return false;
    (void)snprintf(body, sizeof body, "{\"events\":[%s],\"next\":\"1\",\"revision\":%llu}",
                   is_there ? "{\"id\":\"1\"}" : "", (unsigned long long)cw->revision);
    cw_reply(&request->result, body);
    return true;
}

static inline void cw_revoke(struct cw *cw, struct cw_request *request)
{
    struct cw_lease *lease = &cw->leases[request->lease];
    if (!lease->is_there) {
        cw_refuse(&request->result, MINIKV_NOT_FOUND, "lease-not-found");
        return;
    }
    cw_end_lease(cw, lease);
    request->result.code = MINIKV_OK;
}

static inline bool cw_do(struct cw *cw, struct cw_request *request)
{
    switch (request->what) {
    case CW_GRANT:
        cw_grant(cw, request);
        return true;
    case CW_KEEP:
        cw_keep(cw, request);
        return true;
    case CW_ENTER:
        cw_enter(cw, request);
        return true;
    case CW_LIST:
        cw_list(cw, request);
        return true;
    case CW_POLL:
        return cw_poll(cw, request);
    case CW_REVOKE:
        cw_revoke(cw, request);
        return true;
    }
    return true;
}

/* As kv_apply does with an identity: once. */
static inline bool cw_run(struct cw *cw, struct cw_request *request)
{
    struct cw_once *once = request->once != 0 ? &cw->remembered[request->once - 1] : NULL;
    struct minikv_result *result = &request->result;
    cw_expire(cw);
    if (once != NULL && once->is_done) {
        cw->replays_count++;
        result->code = once->code;
        (void)snprintf(result->word, sizeof result->word, "%s", once->word);
        if (once->code == MINIKV_OK)
            cw_reply(result, once->body);
    } else if (!cw_do(cw, request)) {
        return false;
    } else if (once != NULL) {
        once->is_done = true;
        once->code = result->code;
        (void)snprintf(once->word, sizeof once->word, "%s", result->word);
        (void)snprintf(once->body, sizeof once->body, "%.*s", (int)result->body.count,
                       result->body.count != 0 ? (const char *)result->body.data : "");
    }
    return true;
}

/* ---- the network ---- */

static inline uint64_t cw_number(const char *text, const char *before)
{
    const char *at = strstr(text, before);
    return at != NULL ? strtoull(at + strlen(before), NULL, 10) : 0;
}

/* What is asked, from what is sent. */
static inline void cw_parse(struct cw_request *to, const struct minikv_request *request)
{
    char text[1024] = "";
    if (request->op == MINIKV_LIST) {
        to->what = CW_LIST;
        return;
    }
    (void)snprintf(text, sizeof text, "%s %s %.*s", request->method, request->target,
                   (int)request->value.count,
                   request->value.count != 0 ? (const char *)request->value.data : "");
    to->lease = cw_number(text, "/v1/leases/");
    if (strncmp(text, "POST /v1/leases ", 16) == 0) {
        to->what = CW_GRANT;
        assert_int_equal(cw_number(text, "\"ttl_ms\":"), CW_TTL_MS);
    } else if (strstr(text, "/keepalive") != NULL) {
        to->what = CW_KEEP;
    } else if (strncmp(text, "DELETE /v1/leases/", 18) == 0) {
        to->what = CW_REVOKE;
    } else if (strncmp(text, "POST /v1/txn ", 13) == 0) {
        struct reader reader;
        size_t count = 0;
        char *key = strstr(text, "\"key_base64\":") + 13;
        to->what = CW_ENTER;
        to->lease = cw_number(text, "\"lease\":");
        reader_init(&reader, bytes_of_text(key));
        reader_base64(&reader, (uint8_t *)to->key, &count);
        to->key[count] = '\0';
    } else {
        /* the place is of hexadecimal digits; "/" is percent-encoded */
        static const char pattern[] = "GET /v1/watch?filter=delete&key=job%%2F%16s";
        to->what = CW_POLL;
        if (sscanf(text, pattern, to->key + 4) != 1)
            fail_msg("what is this? %s", text);
        memcpy(to->key, "job/", 4);
        to->from = cw_number(text, "&from=");
    }
    assert_true(to->lease < CW_LEASES);
}

static inline struct cw_request *cw_free_request(struct cw *cw)
{
    for (size_t i = 0; i < CW_REQUESTS; i++)
        if (!cw->requests[i].is_used)
            return &cw->requests[i];
    fail_msg("too many requests are under way");
    return NULL;
}

/* When it is carried out, and when its sender hears what: of a loss, nothing but that. */
static inline void cw_send(struct cw *cw, unsigned owner, bool is_keep,
                           const struct minikv_request *asked, const struct minikv_identity *retake)
{
    struct cw_client *client = &cw->clients[owner];
    struct cw_request *request = cw_free_request(cw);
    *request = (struct cw_request){.is_used = true,
                                   .is_keep = is_keep,
                                   .owner = owner,
                                   .sender = owner,
                                   .generation = client->generation};
    cw_parse(request, asked);
    request->run_at = cw->now + cw_ms(cw, 20);
    request->answer_at = TIME_NEVER;
    request->poll_until = request->run_at + CLAIM_POLL_MS * TIME_US_PER_MS;
    if (asked->is_once) {
        struct minikv_identity *identity = &request->result.identity;
        if (retake->client[0] != '\0')
            *identity = *retake;
        else {
            assert_true(cw->remembered_count < CW_ONCE);
            (void)snprintf(identity->client, sizeof identity->client, "s%u", owner);
            identity->sequence = ++cw->remembered_count;
        }
        request->once = identity->sequence;
    }
    if (cw_chance(cw, 15)) { /* nobody takes it */
        request->run_at = TIME_NEVER;
        request->answer_at = cw->now + cw_ms(cw, 500);
        cw_refuse(&request->result, MINIKV_UNAVAILABLE, "no-leader");
        if (request->once != 0 && retake->client[0] != '\0') { /* what was sent before may be */
            request->result.code = MINIKV_UNKNOWN;
            request->result.effect = MINIKV_MAYBE_APPLIED;
        }
    } else if (cw_chance(cw, 20)) { /* its sender hears nothing of it; perhaps it is carried out */
        struct cw_request *copy = cw_free_request(cw);
        *copy = *request;
        copy->owner = CW_CLAIMS; /* whose answer goes nowhere */
        copy->run_at = cw_chance(cw, 30) ? TIME_NEVER : cw->now + cw_ms(cw, 2000);
        copy->is_used = copy->run_at != TIME_NEVER;
        request->run_at = TIME_NEVER;
        request->answer_at = cw->now + cw_ms(cw, 800);
        cw_refuse(&request->result, asked->is_once ? MINIKV_UNKNOWN : MINIKV_UNAVAILABLE, "");
        request->result.effect = asked->is_once ? MINIKV_MAYBE_APPLIED : MINIKV_NOT_APPLIED;
    }
}

/* ---- clients ---- */

static inline bool cw_acts(const struct cw *cw, const struct cw_client *client)
{
    return client->claim != NULL && !client->is_dead && cw->now >= client->stands_until;
}

static inline void cw_ask(struct cw *cw, unsigned owner)
{
    struct claim *claim = cw->clients[owner].claim;
    struct minikv_request request;
    struct blob text;
    char target[64];
    time_us at;
    if (claim_keep_at(claim) <= cw->now) {
        request = claim_keep_request(claim, target, cw->now);
        lease_asked(&claim->lease, cw->now);
        cw_send(cw, owner, true, &request, &claim->identity);
    }
    if (claim_next(claim, cw->now, &at) == CLAIM_REST)
        return;
    blob_init(&text);
    assert_true(claim_request(claim, &text, &request));
    cw_send(cw, owner, false, &request, &claim->identity);
    blob_release(&text);
    claim_asked(claim, cw->now);
}

/* Whatever was on its way to this client's old claim is of no interest. */
static inline void cw_forget(struct cw *cw, unsigned owner)
{
    for (size_t i = 0; i < CW_REQUESTS; i++)
        if (cw->requests[i].is_used && cw->requests[i].owner == owner)
            cw->requests[i].owner = CW_CLAIMS;
}

static inline void cw_begin(struct cw *cw, unsigned owner)
{
    struct cw_client *client = &cw->clients[owner];
    struct minikv_hold_request request = {.ttl_ms = CW_TTL_MS, .name = minikv_text("job")};
    cw_forget(cw, owner);
    claim_free(client->claim);
    *client =
        (struct cw_client){.claim = claim_new(&request), .generation = client->generation + 1};
    assert_non_null(client->claim);
}

/* As the door does. */
static inline void cw_leave(struct cw *cw, unsigned owner)
{
    struct claim *claim = cw->clients[owner].claim;
    if (claim->state == MINIKV_HOLD_LEAVING || claim->state == MINIKV_HOLD_LEFT)
        return;
    if (!claim_leave(claim, cw->now))
        return;
    for (size_t i = 0; i < CW_REQUESTS; i++)
        if (cw->requests[i].is_used && cw->requests[i].owner == owner && !cw->requests[i].is_keep)
            cw->requests[i].owner = CW_CLAIMS;
}

static inline void cw_deliver(struct cw *cw, struct cw_request *request)
{
    struct claim *claim = request->owner < CW_CLAIMS ? cw->clients[request->owner].claim : NULL;
    if (claim != NULL && request->is_keep)
        claim_kept(claim, cw->now, &request->result);
    else if (claim != NULL)
        claim_answered(claim, cw->now, &request->result);
    minikv_result_release(&request->result);
    request->is_used = false;
}

/* ---- what is always true ---- */

static inline bool cw_is_certain(const struct cw *cw, const struct cw_client *client)
{
    return client->claim != NULL && !client->is_dead && !client->is_robbed &&
           client->claim->state == MINIKV_HOLD_HELD &&
           lease_certain_for(&client->claim->lease, cw->now) != 0;
}

static inline void cw_check(struct cw *cw)
{
    unsigned certain_count = 0;
    for (unsigned i = 0; i < CW_CLAIMS; i++) {
        struct cw_client *client = &cw->clients[i];
        struct claim *claim = client->claim;
        certain_count += cw_is_certain(cw, client);
        if (claim == NULL || client->seen == claim->state)
            continue;
        if (claim->state == MINIKV_HOLD_HELD) {
            assert_true(claim->token > cw->token_max);
            cw->token_max = claim->token;
            cw->held_count++;
        }
        if (claim->state == MINIKV_HOLD_LEFT && claim->lease.id != 0)
            assert_false(cw->leases[claim->lease.id].is_there);
        assert_true(claim->state != MINIKV_HOLD_FAILED);
        cw->lost_count += claim->state == MINIKV_HOLD_LOST;
        client->seen = claim->state;
        assert_true(client->granted_count <= 1); /* however many answers got lost */
    }
    assert_in_range(certain_count, 0, 1);
}

/* ---- time ---- */

/* Everything that is due in this millisecond. */
static inline void cw_tick(struct cw *cw)
{
    cw->now += TIME_US_PER_MS;
    cw_expire(cw);
    for (size_t i = 0; i < CW_REQUESTS; i++) {
        struct cw_request *request = &cw->requests[i];
        if (!request->is_used || request->run_at > cw->now)
            continue;
        request->run_at = TIME_NEVER;
        if (!cw_run(cw, request))
            request->run_at = cw->now + 20 * TIME_US_PER_MS; /* a long poll looks again */
        else
            request->answer_at = cw->now + cw_ms(cw, 20);
    }
    for (size_t i = 0; i < CW_REQUESTS; i++) {
        struct cw_request *request = &cw->requests[i];
        bool is_heard = request->owner >= CW_CLAIMS || cw_acts(cw, &cw->clients[request->owner]);
        if (request->is_used && is_heard && request->answer_at <= cw->now)
            cw_deliver(cw, request);
    }
    for (unsigned i = 0; i < CW_CLAIMS; i++)
        if (cw_acts(cw, &cw->clients[i]))
            cw_ask(cw, i);
    cw_check(cw);
}

static inline void cw_init(struct cw *cw, uint64_t seed)
{
    memset(cw, 0, sizeof *cw); /* too large for a literal on the stack */
    prng_init(&cw->prng, seed);
    cw->now = 1000;
    cw->revision = 1;
    cw->has_faults = true;
    for (unsigned i = 0; i < CW_CLAIMS; i++)
        cw_begin(cw, i);
}

static inline void cw_release(struct cw *cw)
{
    for (size_t i = 0; i < CW_REQUESTS; i++)
        if (cw->requests[i].is_used)
            minikv_result_release(&cw->requests[i].result);
    for (unsigned i = 0; i < CW_CLAIMS; i++)
        claim_free(cw->clients[i].claim);
}

#endif
