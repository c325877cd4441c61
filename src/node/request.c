/* The life of a request: submitted, routed, perhaps held, attempted, answered exactly once.
 *
 * The table finds the request of an attempt by its number when the command is applied. The list of
 * open attempts is in rising number, and so in rising fence. */
#include "base/failpoint.h"
#include "base/mem.h"
#include "node/node_internal.h"

static struct node_request **slot_of(struct node *node, uint64_t number)
{
    return &node->table[number % NODE_TABLE_SLOTS];
}

struct node_request *request_find(struct node *node, uint64_t number)
{
    struct node_request *request = *slot_of(node, number);
    while (request != NULL && request->number != number)
        request = request->hash_next;
    return request;
}

static void remove_from_table(struct node *node, struct node_request *request)
{
    struct node_request **at = slot_of(node, request->number);
    while (*at != request) {
        INVARIANT(*at != NULL);
        at = &(*at)->hash_next;
    }
    *at = request->hash_next;
    request->hash_next = NULL;
}

void request_detach(struct node *node, struct node_request *request)
{
    list_remove(&request->link);
    if (request->state == REQUEST_OPEN) {
        remove_from_table(node, request);
        if (request->sent_to != node->options.self)
            node->stats.requests_forwarded_open--;
    }
    if (request->state == REQUEST_HELD)
        node->held_count--;
    request->state = REQUEST_DONE;
}

void request_open(struct node *node, struct node_request *request, raft_term fence, node_id sent_to)
{
    REQUIRE(request->state == REQUEST_DONE); /* detached */
    REQUIRE(fence > 0);
    request->number = ++node->number_last;
    request->fence = fence;
    request->sent_to = sent_to;
    request->link_was_lost = false;
    request->state = REQUEST_OPEN;
    list_push_back(&node->open, &request->link);
    struct node_request **slot = slot_of(node, request->number);
    request->hash_next = *slot;
    *slot = request;
    if (sent_to != node->options.self)
        node->stats.requests_forwarded_open++;
}

static void renew_hold(const struct node *node, struct node_request *request)
{
    request->hold_until = MIN(env_now(node->env) + node->options.hold, request->deadline);
}

void request_hold(struct node *node, struct node_request *request)
{
    REQUIRE(request->state == REQUEST_DONE);
    if (node->held_count >= LIMIT_HELD) {
        request_answer(node, request, ST_BUSY, NULL);
        return;
    }
    (void)FAILPOINT("node.held", request->command);
    request->hops_count = 0;
    request->state = REQUEST_HELD;
    node->held_count++;
    list_push_back(&node->held, &request->link);
    node_arm_retry(node);
}

void request_again(struct node *node, struct node_request *request)
{
    request_detach(node, request);
    request->hops_count = 0;
    renew_hold(node, request); /* a new attempt may wait for a leader as long as the first */
    request->state = REQUEST_NEW;
    list_push_back(&node->submitted, &request->link);
    node_wake(node);
}

/* Statuses that say nothing of the request, only that another node should be asked. */
static bool was_not_taken(enum status status)
{
    static const enum status statuses[] = {
        ST_NOT_LEADER,        ST_NO_LEADER, ST_LEADER_UNREACHABLE, ST_LEADER_NOT_ANNOUNCED,
        ST_ALREADY_FORWARDED, ST_FENCED,    ST_NOT_READY,          ST_SHUTTING_DOWN};
    for (size_t i = 0; i < ARRAY_COUNT(statuses); i++)
        if (statuses[i] == status)
            return true;
    return false;
}

/* A leader that does not take it, because it hands over or shuts down, must not name itself. */
static struct redirect_msg redirect_from(const struct node *node)
{
    struct known_leader known = node->view.known;
    if (node->view.leader == node->options.self)
        known.known_leader_id = -1;
    return redirect_of(&known, false);
}

/* What a transaction came to is kv's until the next command: it is copied. */
static void keep_results(struct node *node, struct node_request *request)
{
    struct bytes *results = &request->answer.result.results;
    REQUIRE(request->results == NULL);
    if (results->count == 0)
        return;
    request->results = mem_alloc_raw(results->count);
    memcpy(request->results, results->data, results->count);
    results->data = request->results;
    node->results_bytes += results->count;
}

/* They are the caller's to free, when the answer has been told; NULL: there are none. */
static uint8_t *take_results(struct node *node, struct node_request *request)
{
    uint8_t *results = request->results;
    if (results != NULL)
        node->results_bytes -= request->answer.result.results.count;
    request->results = NULL;
    return results;
}

void request_answer(struct node *node, struct node_request *request, enum status status,
                    const struct kv_result *result)
{
    request_detach(node, request);
    env_timer_set(node->env, &request->timer, TIME_NEVER);
    request->answer = (struct node_answer){
        .status = status, .effect = status_info(status)->effect, .hops_count = request->hops_count};
    if (was_not_taken(status))
        request->answer.redirect = redirect_from(node);
    if (request->kind == NODE_READ)
        request->answer.effect = EFFECT_NONE; /* whatever became of it, a read changes nothing */
    if (result != NULL)
        request->answer.result = *result;
    keep_results(node, request);
    if (status_info(status)->retry == RETRY_LATER)
        request->answer.retry_after_ms = 200;
    request->state = REQUEST_ANSWERING;
    list_push_back(&node->answered, &request->link);
    node_wake(node);
}

void request_expire(struct node *node, struct node_request *request)
{
    REQUIRE(request->state == REQUEST_DONE); /* detached, and not opened again */
    request_answer(node, request, ST_TIMEOUT, NULL);
    request->answer.effect = EFFECT_NONE;
}

void request_deliver(struct node *node)
{
    while (!list_is_empty(&node->answered)) {
        struct node_request *request = CONTAINER_OF(node->answered.next, struct node_request, link);
        list_remove(&request->link);
        request->state = REQUEST_DONE;
        node->requests_count--;
        uint8_t *results = take_results(node, request);
        request->on_done(request->ctx, &request->answer); /* may reuse or free the request */
        mem_free(results);
    }
}

/* What can be said at the deadline depends on how far the request came. */
static void on_deadline(void *ctx)
{
    struct node_request *request = ctx;
    struct node *node = request->node;
    switch ((enum request_state)request->state) {
    case REQUEST_NEW:
    case REQUEST_HELD: /* no attempt is under way */
        request_answer(node, request, propose_give_up(node, request), NULL);
        break;
    case REQUEST_OPEN:
        request_answer(node, request, request->link_was_lost ? ST_LINK_LOST : ST_TIMEOUT, NULL);
        break;
    case REQUEST_TRANSFER: /* ordered; whether it comes to that is up to the member */
        request_answer(node, request, ST_TIMEOUT, NULL);
        break;
    case REQUEST_READING:
        request_answer(node, request, node->view.leader == NODE_NONE ? ST_NO_LEADER : ST_TIMEOUT,
                       NULL);
        break;
    case REQUEST_ANSWERING:
    case REQUEST_DONE:
        UNREACHABLE(); /* the timer was disarmed */
    }
}

static void submit(struct node *node, struct node_request *request, bool is_client)
{
    REQUIRE(request->on_done != NULL);
    REQUIRE(request->kind == NODE_READ || request->command.count > 0);
    REQUIRE(request->command.count <= LIMIT_COMMAND_BYTES);

    request->node = node;
    request->is_client = is_client;
    request->asked_at = 0;
    request->hops_count = 0;
    request->results = NULL;
    request->hash_next = NULL;
    renew_hold(node, request);
    list_init(&request->link);
    env_timer_init(&request->timer, on_deadline, request);
    request->state = REQUEST_DONE;
    node->requests_count++;
    if (node->requests_count > LIMIT_REQUESTS || node->is_fatal) {
        request_answer(node, request, node->is_fatal ? ST_SHUTTING_DOWN : ST_BUSY, NULL);
        return;
    }
    if (ready_is_mute(node)) { /* it hears of nothing that is committed from now on */
        request_answer(node, request, ST_NO_SPACE, NULL);
        return;
    }
    env_timer_set(node->env, &request->timer, request->deadline);
    request->state = REQUEST_NEW;
    list_push_back(&node->submitted, &request->link);
    node_wake(node);
}

void handle_client_request(struct node *node, struct node_request *request)
{
    submit(node, request, true);
}

void node_submit(struct node *node, struct node_request *request)
{
    submit(node, request, false);
}

void node_cancel(struct node *node, struct node_request *request)
{
    REQUIRE(request->state != REQUEST_DONE);
    request_detach(node, request);
    env_timer_set(node->env, &request->timer, TIME_NEVER);
    mem_free(take_results(node, request));
    node->requests_count--;
}
