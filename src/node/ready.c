/* Carries out a raft_ready, field by field, in the order that raft.h gives: hard state and entries
 * to the log, messages once the hard state is durable, then commit, reads and the next deadline.
 *
 * 1. raft_step says what to do.
 * 2. Hard state and entries are queued to the log in one append. If there is a hard state, messages
 *    wait behind a gate until that append is durable, later messages behind them (FAULTS C10, C11).
 * 3. Messages leave; a leader's entries while its own disk still writes them.
 * 4. The log reports an append durable: the gate opens, raft hears RAFT_EVENT_DURABLE.
 *
 * If the process dies before 4, nothing that depends on the append has left the node. */
#include "base/failpoint.h"
#include "base/mem.h"
#include "node/node_internal.h"

static void free_gated(struct node *node, struct gated_message *gated)
{
    list_remove(&gated->link);
    node->gated_count--;
    if (gated->message.type == MESSAGE_APPEND && gated->message.append.entries_count > 0) {
        for (size_t i = 0; i < gated->message.append.entries_count; i++)
            entry_unref(gated->message.append.entries[i]);
        mem_free(gated->message.append.entries);
    }
    mem_free(gated);
}

static void gate_message(struct node *node, const struct message *message,
                         const struct address *leader_http)
{
    if (node->gated_count == LIMIT_GATED_MESSAGES) /* lost, as messages get lost */
        free_gated(node, CONTAINER_OF(node->gated.next, struct gated_message, link));
    struct gated_message *gated = mem_alloc(sizeof *gated);
    gated->message = *message;
    if (leader_http != NULL)
        gated->leader_http = *leader_http;
    if (message->type == MESSAGE_APPEND && message->append.entries_count > 0) {
        size_t count = message->append.entries_count;
        gated->message.append.entries = mem_alloc_array(count, sizeof(struct entry *));
        for (size_t i = 0; i < count; i++)
            gated->message.append.entries[i] = entry_ref(message->append.entries[i]);
    }
    list_push_back(&node->gated, &gated->link);
    node->gated_count++;
}

static void open_gate(struct node *node)
{
    if (node->durable_sequence < node->gate_sequence)
        return;
    while (!list_is_empty(&node->gated)) {
        struct gated_message *gated = CONTAINER_OF(node->gated.next, struct gated_message, link);
        bool has_address = address_is_set(&gated->leader_http);
        peers_send(node->peers, &gated->message, has_address ? &gated->leader_http : NULL);
        free_gated(node, gated);
    }
}

static void remember_append(struct node *node, uint64_t sequence, struct entry_id last)
{
    if (node->appends_count == node->appends_capacity) {
        size_t capacity = MAX(node->appends_capacity * 2, (size_t)64);
        struct pending_append *bigger = mem_alloc_array(capacity, sizeof *bigger);
        for (size_t i = 0; i < node->appends_count; i++)
            bigger[i] = node->appends[(node->appends_first + i) % node->appends_capacity];
        mem_free(node->appends);
        node->appends = bigger;
        node->appends_capacity = capacity;
        node->appends_first = 0;
    }
    size_t at = (node->appends_first + node->appends_count++) % node->appends_capacity;
    node->appends[at] = (struct pending_append){.sequence = sequence, .last = last};
}

/* (1) and (2) */
static void persist(struct node *node, const struct raft_ready *ready)
{
    if (!ready->hard_state_changed && ready->entries_count == 0)
        return;

    struct entry_id last = {0};
    bool moves_config = /* with what is cut a configuration may go */
        ready->entries_count > 0 && ready->entries[0]->id.index <= node->appended;
    for (size_t i = 0; i < ready->entries_count; i++) {
        (void)FAILPOINT("node.appended", entry_data(ready->entries[i]));
        moves_config = moves_config || ready->entries[i]->type == ENTRY_CONFIG;
        identity_note(node, ready->entries[i]);
        node->appended = ready->entries[i]->id.index;
        last = ready->entries[i]->id;
    }

    uint64_t sequence = 0;
    enum status status =
        wal_append(node->wal, ready->hard_state_changed ? &ready->hard_state : NULL, ready->entries,
                   ready->entries_count, ready->commit, &sequence);
    if (status != ST_OK) {
        /* Raft bounds what is uncommitted below what the log can queue, so a full queue means a
         * disk that has stood still for as long; either way this replica cannot go on. */
        node_fail(node, status == ST_BUSY ? ST_IO : status, "the log takes no more");
        return;
    }
    remember_append(node, sequence, last);
    if (ready->hard_state_changed)
        node->gate_sequence = sequence;
    if (moves_config)
        members_link(node);
}

/* (3) */
static void send_messages(struct node *node, const struct raft_ready *ready)
{
    const struct kv_member *self = kv_member(node->kv, node->options.self);
    bool is_announced = self != NULL && address_is_set(&self->http);
    bool is_gated = node->durable_sequence < node->gate_sequence || !list_is_empty(&node->gated);
    for (size_t i = 0; i < ready->messages_count; i++) {
        const struct message *message = &ready->messages[i];
        bool is_append = message->type == MESSAGE_APPEND;
        const struct address *http = is_append && is_announced ? &self->http : NULL;
        if (is_gated)
            gate_message(node, message, http);
        else
            peers_send(node->peers, message, http);
    }
}

/* Entries for a slow peer: from disk, since raft no longer has them. */
static void load_entries(struct node *node, const struct raft_load *load)
{
    struct entry *entries[LIMIT_APPEND_ENTRIES + 1];
    struct errtext error;
    struct raft_event event = {.type = RAFT_EVENT_LOADED, .now = env_now(node->env)};
    event.loaded.peer = load->peer;

    /* One more in front: its term is what the follower checks. */
    raft_index first = load->first;
    event.loaded.is_gone = first <= node->base.index;
    bool has_prev = first > node->base.index + 1;
    size_t count = 0;
    enum status status = ST_NOT_FOUND;
    if (!event.loaded.is_gone)
        status = wal_read(node->wal, has_prev ? first - 1 : first, load->bytes_max, entries,
                          ARRAY_COUNT(entries), &count, &error);
    if (status != ST_OK && status != ST_NOT_FOUND) {
        node_fail(node, status, error.text);
        return;
    }
    size_t skip = has_prev && count > 0 ? 1 : 0;
    if (has_prev && count > 0)
        event.loaded.prev = entries[0]->id;
    else if (!has_prev)
        event.loaded.prev = node->base;
    event.loaded.entries = entries + skip;
    event.loaded.entries_count = count - skip;
    (void)ready_step(node, &event); /* LOADED is never refused */
    for (size_t i = 0; i < count; i++)
        entry_unref(entries[i]);
}

static void carry_out(struct node *node, const struct raft_ready *ready)
{
    persist(node, ready);
    if (node->is_fatal)
        return;
    send_messages(node, ready);
    if (ready->commit > node->applied)
        node_wake(node);
    for (size_t i = 0; i < ready->reads_count; i++)
        read_on_ready(node, &ready->reads[i]);
    env_timer_set(node->env, &node->tick, ready->deadline);
    if (ready->snapshot_wanted && !node->snapshot.is_wanted)
        node_wake(node);
    node->snapshot.is_wanted = ready->snapshot_wanted;
    if (ready->view_changed)
        node_view_refresh(node);
}

enum status ready_step(struct node *node, const struct raft_event *event)
{
    if (node->is_fatal)
        return ST_NOT_LEADER;
    REQUIRE(!node->is_stepping);

    struct raft_ready ready;
    struct raft_offer offer = {0};
    struct raft_load loads[LIMIT_MEMBERS];
    node->is_stepping = true;
    traces_on_event(node, event);
    enum status status = raft_step(node->raft, event, &ready);
    traces_on_step(node);
    size_t loads_count = MIN(ready.loads_count, ARRAY_COUNT(loads));
    if (loads_count > 0)
        memcpy(loads, ready.loads, loads_count * sizeof loads[0]);
    if (ready.has_offer)
        offer = ready.offer;
    carry_out(node, &ready);
    node->is_stepping = false;
    if (ready.entries_count > 0 && !node->is_fatal)
        identity_admit(node); /* before anything else happens: what has come may be about it */
    if (offer.last.index != 0 && !node->is_fatal)
        install_on_offer(node, &offer);

    for (size_t i = 0; i < loads_count && !node->is_fatal; i++)
        load_entries(node, &loads[i]);
    return status;
}

void ready_on_durable(void *ctx, uint64_t sequence)
{
    struct node *node = ctx;
    REQUIRE(sequence >= node->durable_sequence);
    node->durable_sequence = sequence;
    open_gate(node);
    snapshot_on_durable(node);

    struct entry_id last = {0};
    while (node->appends_count > 0 && node->appends[node->appends_first].sequence <= sequence) {
        if (node->appends[node->appends_first].last.index != 0)
            last = node->appends[node->appends_first].last;
        node->appends_first = (node->appends_first + 1) % node->appends_capacity;
        node->appends_count--;
    }
    if (last.index == 0)
        return;
    struct raft_event event = {
        .type = RAFT_EVENT_DURABLE, .now = env_now(node->env), .durable = last};
    (void)ready_step(node, &event); /* DURABLE is never refused */
    snapshot_on_log(node);
}

void ready_on_failed(void *ctx, enum status status)
{
    node_fail(ctx, status, "a write or sync of the log failed; it is never retried");
}

bool ready_is_mute(const struct node *node)
{
    if (node->durable_sequence >= node->gate_sequence)
        return false;
    struct wal_stats log;
    wal_stats(node->wal, &log);
    return log.is_waiting_for_room;
}

void node_note_arrival(struct node *node)
{
    node->arrivals_count++;
}

/* A write in the loop saves the hand-over to a thread and back, which is what one client's request
 * waits for most, and what followers that serve no clients spend most on. It is in the way of
 * whoever else wants something of this node meanwhile. */
bool ready_may_block(void *ctx)
{
    struct node *node = ctx;
    if (node->arrivals_count > NODE_QUIET_ARRIVALS)
        node->busy_writes = NODE_BUSY_WRITES;
    else if (node->busy_writes > 0)
        node->busy_writes--;
    node->arrivals_count = 0;
    return node->busy_writes == 0;
}

void ready_release(struct node *node)
{
    while (!list_is_empty(&node->gated))
        free_gated(node, CONTAINER_OF(node->gated.next, struct gated_message, link));
    mem_free(node->appends);
    node->appends = NULL;
    node->appends_count = 0;
}
