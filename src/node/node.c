/* Opens and closes a node, and gives its work an order: the turn. */
#include "base/mem.h"
#include "node/node_internal.h"

static void show_applied(struct node *node)
{
    if (node->applied == node->applied_shown || node->callbacks.on_applied == NULL)
        return;
    node->applied_shown = node->applied;
    node->callbacks.on_applied(node->callbacks.ctx);
}

static void on_turn(void *ctx)
{
    struct node *node = ctx;
    if (node->must_reroute) {
        node->must_reroute = false;
        propose_held(node);
    }
    propose_submitted(node);
    propose_flush(node);
    read_start_batch(node);
    if (!node->is_fatal)
        apply_committed(node);
    snapshot_consider(node);
    snapshot_collect(node);
    expiry_consider_leases(node);
    transfer_start(node);
    transfer_settle(node);
    read_complete(node);
    forward_repeat_refusals(node);
    heir_tell(node);
    if (!node->is_caught_up && node->ready_index != 0 && node->applied >= node->ready_index)
        node->is_caught_up = true;
    identity_admit(node);
    directory_refresh(node);
    if (node->must_review) { /* also when somebody has registered: the first names the log */
        node->must_review = false;
        peers_set_history(node->peers, identity_history(node));
        peers_review(node->peers);
    }
    show_applied(node);
    request_deliver(node); /* last: it hands control to the front doors */
}

void node_wake(struct node *node)
{
    env_task_post(node->env, &node->turn);
}

void node_arm_retry(struct node *node)
{
    if (node->retry_is_armed)
        return;
    node->retry_is_armed = true;
    env_timer_set(node->env, &node->retry, env_now(node->env) + NODE_RETRY_US);
}

/* Looks again at what waits for something that no event announces. */
static void on_retry(void *ctx)
{
    struct node *node = ctx;
    node->retry_is_armed = false;
    stop_continue(node);
    propose_held(node);
    read_retry(node);
    bool is_waiting = !list_is_empty(&node->held) || !list_is_empty(&node->reads_waiting) ||
                      !list_is_empty(&node->read_batches) || node->is_stopping;
    if (is_waiting)
        node_arm_retry(node);
    node_wake(node);
    stop_check(node);
}

static void on_tick(void *ctx)
{
    struct node *node = ctx;
    struct raft_event event = {.type = RAFT_EVENT_TICK, .now = env_now(node->env)};
    (void)ready_step(node, &event); /* TICK is never refused */
    expiry_on_tick(node);
    members_on_tick(node);
    snapshot_on_tick(node);
}

/* The leader's client address rides on its appends, with its term (docs/routing.md); NULL: it has
 * announced none. */
static void follow_hint(struct node *node, const struct message *message,
                        const struct address *leader_http)
{
    if (message->term != node->view.term || message->from != node->view.leader)
        return; /* an old leader's word is never followed */
    node->heard_at = env_now(node->env);
    node->heard_commit = message->append.commit;
    if (node->ready_index == 0) {
        node->ready_index = MAX(node->heard_commit, (raft_index)1);
        node_wake(node); /* after a snapshot there may be nothing left to apply */
    }
    apply_note_fresh(node);
    struct address http = {0};
    if (leader_http != NULL)
        http = *leader_http;
    bool is_same = node->hint_leader == message->from && node->hint_term == message->term &&
                   address_equal(&node->hint_http, &http);
    if (is_same)
        return;
    node->hint_leader = message->from;
    node->hint_term = message->term;
    node->hint_http = http;
    node->leader_http = http;
    node_view_refresh(node);
}

static void on_message(void *ctx, const struct hello *sender, const struct message *message,
                       const struct address *leader_http)
{
    struct node *node = ctx;
    if (!identity_takes(node, sender, message->type))
        return;
    if (message->type == MESSAGE_APPEND && message->append.entries_count == 0)
        node_note_arrival(node);
    struct raft_event event = {
        .type = RAFT_EVENT_MESSAGE, .now = env_now(node->env), .message = message};
    (void)ready_step(node, &event); /* MESSAGE is never refused */
    bool is_led = message->type == MESSAGE_APPEND || message->type == MESSAGE_SNAPSHOT;
    if (is_led && message->from == node->view.leader && message->term == node->view.term)
        node->heard_identity = sender->identity;
    if (message->type == MESSAGE_APPEND && !node->is_fatal)
        follow_hint(node, message, leader_http);
}

static void on_link(void *ctx, node_id peer, enum link_state state, const struct welcome *welcome)
{
    struct node *node = ctx;
    struct raft_event event = {.type = RAFT_EVENT_LINK, .now = env_now(node->env)};
    event.link.peer = peer;
    event.link.is_up = state == LINK_UP;
    event.link.is_dead = state == LINK_DEAD;
    (void)ready_step(node, &event); /* LINK is never refused */
    forward_on_link(node, peer, state, welcome);
    if (state == LINK_UP) {
        heir_on_link_up(node, peer);
        install_on_link(node, peer);
    }
}

static enum refusal check(void *ctx, const struct hello *hello)
{
    return identity_check(ctx, hello);
}

static void on_hello(void *ctx, const struct hello *hello, struct welcome *out_welcome)
{
    struct node *node = ctx;
    forward_welcome(node, hello, out_welcome);
    heir_on_hello(node, hello);
    serve_forget(&node->serve, hello->from);
}

static enum status send_chunk(void *ctx, node_id to, const struct snapshot_chunk *chunk)
{
    struct node *node = ctx;
    return peers_chunk(node->peers, to, chunk);
}

static void on_fetch(void *ctx, const struct hello *sender, const struct snapshot_fetch *fetch)
{
    struct node *node = ctx;
    if (!identity_knows(node, sender))
        return; /* a guest; it asks whoever offers one */
    node->snapshot.fetched_at = env_now(node->env);
    serve_on_fetch(&node->serve, sender->from, fetch);
}

static void take_office(struct node *node)
{
    time_us now = env_now(node->env);
    uint64_t last_stamp = apply_last_stamp(node);
    node->stamp_base = last_stamp != 0 ? last_stamp : env_wall_now(node->env);
    node->stamp_base_at = now;
    (void)expiry_take_standstill(node); /* what was before is not counted anyway */
    node->stats.elections_count++;
    if (node->ready_index == 0) {
        struct raft_view view;
        raft_view(node->raft, &view);
        node->ready_index = view.term_start;
    }
}

static struct address directory_http(const struct node *node, node_id id)
{
    const struct kv_member *member = kv_member(node->kv, id);
    return member != NULL ? member->http : (struct address){0};
}

void node_on_leader_http(struct node *node)
{
    node->leader_http = directory_http(node, node->view.leader);
    node_view_refresh(node);
}

static struct address leader_http_of(struct node *node, const struct raft_view *raft)
{
    if (raft->leader != node->view.leader)
        node->leader_http = directory_http(node, raft->leader); /* until its first append */
    return raft->leader != NODE_NONE ? node->leader_http : (struct address){0};
}

/* Raft §8, in the form that clients get: at a leader's first word its address may be missing. */
static struct known_leader known_of(const struct node_view *view)
{
    struct known_leader known = {.known_leader_id = -1, .term = view->term};
    if (view->leader == NODE_NONE)
        return known;
    known.known_leader_id = (int32_t)view->leader;
    memcpy(known.known_leader_host, view->leader_http.host, sizeof view->leader_http.host);
    known.known_leader_port = view->leader_http.port;
    return known;
}

void node_view_refresh(struct node *node)
{
    struct raft_view raft;
    raft_view(node->raft, &raft);
    struct node_view view = {.version = node->view.version,
                             .self = node->options.self,
                             .cluster_id = node->meta.cluster_id,
                             .role = raft.role,
                             .term = raft.term,
                             .leader = raft.leader,
                             .leader_http = leader_http_of(node, &raft)};
    const struct member *leader = config_find(raft_config(node->raft), raft.leader);
    if (leader != NULL)
        view.leader_peer = leader->peer;
    view.known = known_of(&view);
    struct node_view before = node->view;
    bool is_same = before.version != 0 && before.role == view.role && before.term == view.term &&
                   before.leader == view.leader &&
                   address_equal(&before.leader_peer, &view.leader_peer) &&
                   address_equal(&before.leader_http, &view.leader_http);
    if (is_same)
        return;

    view.version++;
    node->view = view;
    traces_on_view(node);
    bool took_office = view.role == RAFT_ROLE_LEADER &&
                       (before.role != RAFT_ROLE_LEADER || before.term != view.term);
    if (took_office)
        take_office(node);
    if (before.leader != view.leader && view.leader != NODE_NONE) {
        node->stats.leader_changes_count++;
        diag(DIAG_INFO, "node %u leads in term %llu", view.leader, (unsigned long long)view.term);
    }
    node->must_reroute = true;
    node->must_review = true;
    node->own_not_before = 0;
    node_wake(node);
    if (node->callbacks.on_view != NULL)
        node->callbacks.on_view(node->callbacks.ctx);
}

void node_fail(struct node *node, enum status status, const char *what)
{
    if (node->is_fatal)
        return;
    node->is_fatal = true;
    node->fatal_status = status;
    diag(DIAG_ERROR, "stops serving: %s (%s)", what, status_info(status)->title);
    if (node->callbacks.on_fatal != NULL)
        node->callbacks.on_fatal(node->callbacks.ctx, status);
}

static void init_lists(struct node *node)
{
    struct list *lists[] = {&node->gated,     &node->submitted,    &node->held,
                            &node->open,      &node->answered,     &node->reads_waiting,
                            &node->verifying, &node->read_batches, &node->transfers};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++)
        list_init(lists[i]);
    for (size_t i = 0; i < NODE_TAKEN; i++)
        buf_init(&node->taken[i].refused, LIMIT_FORWARD_REFUSALS_BYTES + 64);
    buf_init(&node->own_command, LIMIT_COMMAND_BYTES);
}

static enum status open_peers(struct node *node, struct errtext *error)
{
    struct peers_options options = {
        .cluster_id = node->meta.cluster_id,
        .self = node->options.self,
        .identity = node->meta.identity,
        .incarnation = node->incarnation,
        .listen = node->options.listen_peer,
        .ping = node->options.heartbeat * 2,
        .dead_after = node->options.election * 2,
    };
    struct peers_callbacks callbacks = {.ctx = node,
                                        .on_message = on_message,
                                        .on_envelope = forward_on_envelope,
                                        .on_refusal = forward_on_refusal,
                                        .on_link = on_link,
                                        .check = check,
                                        .on_hello = on_hello,
                                        .on_fetch = on_fetch,
                                        .on_chunk = install_on_chunk};
    enum status status = peers_open(node->env, &options, &callbacks, &node->peers, error);
    if (status == ST_OK)
        members_link(node);
    return status;
}

/* Before anybody may knock: who is who stands in the log (identity.c). */
static enum status replay(struct node *node, struct errtext *error)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    while (node->applied < view.commit && !node->is_fatal)
        apply_committed(node);
    if (!node->is_fatal)
        return ST_OK;
    errtext_set(error, "the committed log cannot be read back");
    return node->fatal_status;
}

enum status node_open(struct env *env, const struct node_options *options,
                      const struct node_callbacks *callbacks, struct node **out_node,
                      struct errtext *error)
{
    REQUIRE(options->self != NODE_NONE && options->self <= NODE_ID_MAX);
    REQUIRE(options->heartbeat > 0 && options->heartbeat < options->election);

    struct node *node = mem_alloc(sizeof *node);
    node->env = env;
    node->options = *options;
    node->callbacks = *callbacks;
    node->incarnation = env_random(env);
    init_lists(node);
    snapshot_init(node);
    struct serve_options serve = {.bytes_per_second = snapshot_rate(node),
                                  .send = send_chunk,
                                  .on_damaged = snapshot_on_damaged,
                                  .ctx = node};
    serve_init(&node->serve, env, &serve);
    install_init(node);
    expiry_init(node);
    heir_init(node);
    env_timer_init(&node->tick, on_tick, node);
    env_timer_init(&node->retry, on_retry, node);
    env_task_init(&node->turn, on_turn, node);

    enum status status = node_recover(node, error);
    if (status == ST_OK)
        status = replay(node, error);
    if (status == ST_OK)
        status = open_peers(node, error);
    if (status != ST_OK) {
        node_close(node);
        return status;
    }
    if (node->snapshot.info.last.index != 0)
        snapshot_tell_raft(node);
    node_view_refresh(node);
    env_timer_set(env, &node->tick, env_now(env));
    node_wake(node);
    *out_node = node;
    return ST_OK;
}

void node_hint(struct node *node, const struct config *members)
{
    if (node->applied == 0)
        peers_set(node->peers, members);
}

static void answer_all(struct node *node, struct list *list, enum status status)
{
    while (!list_is_empty(list))
        request_answer(node, CONTAINER_OF(list->next, struct node_request, link), status, NULL);
}

void node_close(struct node *node)
{
    if (node == NULL)
        return;
    answer_all(node, &node->submitted, ST_SHUTTING_DOWN);
    answer_all(node, &node->held, ST_SHUTTING_DOWN);
    answer_all(node, &node->open, ST_TIMEOUT); /* an attempt is out there */
    answer_all(node, &node->transfers, ST_TIMEOUT);
    read_release(node);
    answer_all(node, &node->reads_waiting, ST_SHUTTING_DOWN);
    node->is_fatal = true; /* whatever on_done submits now is refused */
    request_deliver(node);

    for (size_t i = 0; i < node->proposals_count; i++)
        entry_unref(node->proposals[i]);
    directory_release(node);
    install_release(node);
    serve_release(&node->serve);
    snapshot_release(node);
    expiry_release(node);
    heir_release(node);
    env_timer_set(node->env, &node->tick, TIME_NEVER);
    env_timer_set(node->env, &node->retry, TIME_NEVER);
    env_task_cancel(node->env, &node->turn);
    peers_close(node->peers);
    wal_close(node->wal);
    ready_release(node);
    raft_free(node->raft);
    kv_free(node->kv);
    for (size_t i = 0; i < NODE_TAKEN; i++)
        buf_release(&node->taken[i].refused);
    mem_free(node);
}
