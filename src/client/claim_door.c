/* Holds, as users have them: handles, and waiting. What is to be asked is claim.c's business. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/claim_door.h"
#include "client/minikv_internal.h"

/* ---- asking ---- */

void claims_on_done(void *ctx, struct minikv_result *result)
{
    (void)ctx;
    (void)result;
}

void claims_take(struct minikv *kv, const struct call *call)
{
    struct minikv_hold *handle = call->ctx;
    time_us now = driver_now();
    if (call->id == handle->keep_id) {
        handle->keep_id = 0;
        claim_kept(handle->claim, now, &call->result);
    } else if (call->id == handle->step_id) {
        handle->step_id = 0;
        claim_answered(handle->claim, now, &call->result);
    }
    kv->holds_tick = 0; /* there may be something to do at once */
    door_wake_all(kv);
}

static bool keep(struct minikv_hold *handle, time_us now)
{
    char target[64];
    const struct engine_way way = {.is_for_hold = true};
    struct claim *claim = handle->claim;
    if (handle->keep_id != 0 || claim_keep_at(claim) > now)
        return false;
    struct minikv_request request = claim_keep_request(claim, target, now);
    lease_asked(&claim->lease, now);
    if (engine_start(handle->kv->engine, now, &request, &way, claims_on_done, handle,
                     &handle->keep_id) == MINIKV_OK)
        return true;
    lease_answered(&claim->lease, now, LEASE_NO_ANSWER);
    return false;
}

static bool step(struct minikv_hold *handle, time_us now)
{
    time_us at;
    struct blob text;
    struct minikv_request request;
    struct claim *claim = handle->claim;
    if (handle->step_id != 0 || claim_next(claim, now, &at) == CLAIM_REST)
        return false;
    blob_init(&text);
    struct engine_way way = {.is_for_hold = true, .retake = claim->identity};
    if (claim->identity.client[0] != '\0')
        way.effect = MINIKV_MAYBE_APPLIED;
    bool is_started = claim_request(claim, &text, &request) &&
                      engine_start(handle->kv->engine, now, &request, &way, claims_on_done, handle,
                                   &handle->step_id) == MINIKV_OK;
    blob_release(&text);
    if (is_started)
        claim_asked(claim, now);
    else
        claim_put_off(claim, now);
    return is_started;
}

bool claims_run(struct minikv *kv, time_us now)
{
    bool has_sent = false;
    if (now < kv->holds_tick)
        return false;
    kv->holds_tick = TIME_NEVER;
    for (struct list *at = kv->holds.next; at != &kv->holds; at = at->next) {
        struct minikv_hold *handle = CONTAINER_OF(at, struct minikv_hold, link);
        time_us next;
        has_sent = keep(handle, now) || has_sent;
        has_sent = step(handle, now) || has_sent;
        (void)claim_next(handle->claim, now, &next);
        kv->holds_tick = MIN(kv->holds_tick, MIN(next, claim_keep_at(handle->claim)));
    }
    return has_sent;
}

/* ---- beginning and end ---- */

enum minikv_code minikv_hold_start(struct minikv *kv, const struct minikv_hold_request *request,
                                   struct minikv_hold **out_hold)
{
    if (claim_check(request) != MINIKV_OK)
        return MINIKV_INVALID;
    struct minikv_hold *handle = calloc(1, sizeof *handle);
    struct claim *claim = claim_new(request);
    if (handle == NULL || claim == NULL) {
        free(handle);
        claim_free(claim);
        return MINIKV_NO_MEMORY;
    }
    handle->kv = kv;
    handle->claim = claim;
    door_lock(kv);
    bool has_room = kv->holds_count < MINIKV_HOLDS_MAX && !engine_is_closing(kv->engine);
    if (has_room) {
        kv->holds_count++;
        list_push_back(&kv->holds, &handle->link);
        kv->holds_tick = 0;
        driver_refresh(&kv->driver);
        door_advance(kv);
        *out_hold = handle;
    }
    door_unlock(kv);
    if (!has_room) {
        claim_free(claim);
        free(handle);
    }
    return has_room ? MINIKV_OK : MINIKV_FULL;
}

/* Its calls are of no interest any more. */
static void drop_calls(struct minikv_hold *handle)
{
    uint64_t ids[] = {handle->step_id, handle->keep_id};
    handle->step_id = handle->keep_id = 0;
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++)
        if (ids[i] != 0)
            (void)engine_cancel(handle->kv->engine, driver_now(), ids[i]);
}

/* With the lock held. */
static void end(struct minikv_hold *handle)
{
    struct minikv *kv = handle->kv;
    drop_calls(handle);
    list_remove(&handle->link); /* before callbacks run */
    kv->holds_count--;
    door_advance(kv); /* what was done before, too, is of this handle until here */
    claim_free(handle->claim);
    free(handle);
}

void minikv_hold_free(struct minikv_hold *hold)
{
    if (hold == NULL)
        return;
    struct minikv *kv = hold->kv;
    door_lock(kv);
    end(hold);
    door_unlock(kv);
}

void claims_close(struct minikv *kv)
{
    while (!list_is_empty(&kv->holds))
        end(CONTAINER_OF(kv->holds.next, struct minikv_hold, link));
}

/* ---- looking ---- */

/* What is being given back is gone as soon as a node has heard of it. */
static time_us certain_for(const struct claim *claim)
{
    bool is_given_back = claim->state == MINIKV_HOLD_LEAVING || claim->state == MINIKV_HOLD_LEFT;
    return is_given_back ? 0 : lease_certain_for(&claim->lease, driver_now());
}

void minikv_hold_look(struct minikv_hold *handle, struct minikv_holding *out_holding)
{
    const struct claim *claim = handle->claim;
    door_lock(handle->kv);
    *out_holding = (struct minikv_holding){.state = claim->state,
                                           .certain_ms = certain_for(claim) / TIME_US_PER_MS,
                                           .ttl_ms = claim->lease.id != 0 ? claim->lease.ttl_ms
                                                                          : claim->ttl_ms,
                                           .lease = claim->lease.id,
                                           .code = claim->code};
    if (claim->token != 0)
        out_holding->fence.key = (struct minikv_bytes){claim->key.data, claim->key.count};
    if (claim->state == MINIKV_HOLD_HELD)
        out_holding->fence.token = claim->token;
    memcpy(out_holding->word, claim->word, sizeof claim->word);
    memcpy(out_holding->detail, claim->detail, sizeof claim->detail);
    door_unlock(handle->kv);
}

/* ---- waiting ---- */

static time_us until_of(int wait_ms)
{
    return wait_ms < 0 ? TIME_NEVER : driver_now() + (time_us)wait_ms * TIME_US_PER_MS;
}

/* What it is now to somebody who wants to have it. */
static enum minikv_code code_of(const struct claim *claim)
{
    switch (claim->state) {
    case MINIKV_HOLD_ENTERING:
    case MINIKV_HOLD_LEAVING:
        return MINIKV_UNAVAILABLE;
    case MINIKV_HOLD_WAITING:
        return MINIKV_HELD;
    case MINIKV_HOLD_HELD:
        return lease_certain_for(&claim->lease, driver_now()) != 0 ? MINIKV_OK : MINIKV_UNAVAILABLE;
    case MINIKV_HOLD_LEFT:
    case MINIKV_HOLD_LOST:
        return MINIKV_LOST;
    case MINIKV_HOLD_FAILED:
        break;
    }
    return claim->code;
}

/* Waits with the lock held while `wants` says so; looks at least once at what has come. */
static void wait_while(struct minikv_hold *handle, const struct claim_patience *patience,
                       bool (*wants)(const struct claim *claim))
{
    struct waiter waiter;
    struct claim *claim = handle->claim;
    if (!waiter_init(&waiter, NULL, NULL))
        return; /* as if the time were up */
    for (bool is_first = true; wants(claim); is_first = false) {
        time_us until = claim->state == MINIKV_HOLD_WAITING ? patience->behind : patience->asking;
        if (!is_first && driver_now() >= until)
            break;
        door_wait(handle->kv, &waiter, until);
    }
    waiter_release(&waiter);
}

static bool wants_to_be_held(const struct claim *claim)
{
    bool is_uncertain = claim->state == MINIKV_HOLD_HELD && code_of(claim) != MINIKV_OK;
    return claim->state == MINIKV_HOLD_ENTERING || claim->state == MINIKV_HOLD_WAITING ||
           is_uncertain;
}

/* One that is due is answered well, not only given up. */
static bool wants_to_be_certain(const struct claim *claim)
{
    bool is_due = claim->lease.is_asking || claim->code != MINIKV_OK;
    return claim->state == MINIKV_HOLD_HELD && (is_due || code_of(claim) != MINIKV_OK);
}

static bool wants_to_be_left(const struct claim *claim)
{
    return !claim_is_over(claim);
}

enum minikv_code claim_await(struct minikv_hold *handle, const struct claim_patience *patience)
{
    door_lock(handle->kv);
    wait_while(handle, patience, wants_to_be_held);
    enum minikv_code code = code_of(handle->claim);
    door_unlock(handle->kv);
    return code;
}

enum minikv_code minikv_hold_wait(struct minikv_hold *hold, int wait_ms)
{
    time_us until = until_of(wait_ms);
    struct claim_patience patience = {until, until};
    return claim_await(hold, &patience);
}

enum minikv_code minikv_hold_keep(struct minikv_hold *hold, int wait_ms)
{
    time_us until = until_of(wait_ms);
    struct claim_patience patience = {until, until};
    door_lock(hold->kv);
    driver_refresh(&hold->kv->driver);
    door_advance(hold->kv); /* which sends what is due */
    wait_while(hold, &patience, wants_to_be_certain);
    enum minikv_code code = code_of(hold->claim);
    door_unlock(hold->kv);
    return code;
}

/* ---- leaving ---- */

/* With the lock held. */
static void leave(struct minikv_hold *handle)
{
    struct minikv *kv = handle->kv;
    uint64_t id = handle->step_id;
    if (handle->claim->state == MINIKV_HOLD_LEAVING || handle->claim->state == MINIKV_HOLD_LEFT)
        return;
    if (claim_leave(handle->claim, driver_now()))
        handle->step_id = 0;
    if (id != 0) /* a grant, whose answer is to be told: what is known of it by now */
        (void)engine_cancel(kv->engine, driver_now(), id);
    kv->holds_tick = 0;
    driver_refresh(&kv->driver);
    door_advance(kv);
}

void minikv_hold_leave(struct minikv_hold *hold)
{
    door_lock(hold->kv);
    leave(hold);
    door_unlock(hold->kv);
}

static void tell_left(const struct claim *claim, struct minikv_result *out_result)
{
    bool is_left = claim->state == MINIKV_HOLD_LEFT;
    *out_result = (struct minikv_result){.code = is_left ? claim->code : MINIKV_UNAVAILABLE};
    if (!is_left)
        out_result->effect = MINIKV_MAYBE_APPLIED;
    else if (claim->code == MINIKV_OK)
        out_result->effect = MINIKV_APPLIED;
    memcpy(out_result->word, claim->word, sizeof claim->word);
    memcpy(out_result->detail, claim->detail, sizeof claim->detail);
    if (!is_left && claim->detail[0] == '\0')
        (void)snprintf(out_result->detail, sizeof out_result->detail,
                       "no node answers; it is given back when its lease ends");
}

enum minikv_code minikv_hold_release(struct minikv_hold *hold, struct minikv_result *out_result)
{
    struct minikv *kv = hold->kv;
    door_lock(kv);
    time_us until = driver_now() + kv->timeout;
    struct claim_patience patience = {until, until};
    leave(hold);
    wait_while(hold, &patience, wants_to_be_left);
    tell_left(hold->claim, out_result);
    end(hold);
    door_unlock(kv);
    return out_result->code;
}
