#include "raft/raft.h"

#include "base/mem.h"
#include "raft/raft_internal.h"

static void check_start(const struct raft_options *options, const struct raft_start *start)
{
    REQUIRE(options->self != NODE_NONE);
    REQUIRE(options->heartbeat > 0);
    REQUIRE(options->election > options->heartbeat);
    REQUIRE(start->commit >= start->base.index);
    REQUIRE(start->commit <= start->base.index + start->entries_count);
}

static void load_log(struct raft *raft, const struct raft_start *start)
{
    raft_log_init(&raft->log, start->base);
    for (size_t i = 0; i < start->entries_count; i++)
        raft_log_append(&raft->log, start->entries[i]);
    raft_log_mark_durable(&raft->log);
}

/* A configuration counts from the moment it is in the log, also after a restart (FAULTS M8). */
static void load_configs(struct raft *raft, const struct raft_start *start)
{
    raft_change_init(raft, &start->config);
    for (size_t i = 0; i < start->entries_count; i++)
        if (start->entries[i]->type == ENTRY_CONFIG)
            raft_change_on_append(raft, start->entries[i]);
    raft_change_on_commit(raft);
}

/* Equal seeds must not make equal nodes (FAULTS C21). */
static uint64_t seed_of(const struct raft_options *options)
{
    return options->seed ^ (uint64_t)options->self * 0x9e3779b97f4a7c15u;
}

struct raft *raft_new(const struct raft_options *options, const struct raft_start *start)
{
    check_start(options, start);
    struct raft *raft = mem_alloc(sizeof *raft);
    raft->options = *options;
    if (raft->options.log_cache_bytes == 0)
        raft->options.log_cache_bytes = LIMIT_LOG_CACHE_BYTES;
    prng_init(&raft->prng, seed_of(options));
    raft->now = start->now;

    load_log(raft, start);
    raft->commit = raft->applied = start->commit;
    raft->output.hard_state = raft->hard_state = start->hard_state;
    /* An entry may have reached the disk before the term it came with. No vote of that term has
     * left this node then, so it is free. */
    if (raft_log_last(&raft->log).term > raft->hard_state.term)
        raft->hard_state = (struct hard_state){.term = raft_log_last(&raft->log).term};
    raft->role = RAFT_ROLE_LEARNER;
    load_configs(raft, start);
    return raft;
}

void raft_free(struct raft *raft)
{
    if (raft == NULL)
        return;
    raft_ready_begin(raft); /* lets go of what the last step held */
    raft_log_release(&raft->log);
    mem_free(raft->configs.items);
    mem_free(raft->reads.waits);
    mem_free(raft->reads.asked);
    mem_free(raft->output.messages);
    mem_free(raft->output.reads);
    mem_free(raft->output.held);
    mem_free(raft);
}

struct raft_peer *raft_peer_find(struct raft *raft, node_id id)
{
    for (size_t i = 0; i < raft->peers_count; i++)
        if (raft->peers[i].id == id)
            return &raft->peers[i];
    return NULL;
}

bool raft_is_voter(const struct raft *raft, node_id id)
{
    const struct member *member = config_find(raft_config(raft), id);
    return member != NULL && member->is_voter;
}

uint64_t raft_majority(const struct raft *raft, uint64_t own,
                       uint64_t (*value_of)(const struct raft_peer *peer))
{
    uint64_t values[LIMIT_MEMBERS];
    size_t count = 0;
    if (raft_is_voter(raft, raft->options.self))
        values[count++] = own;
    for (size_t i = 0; i < raft->peers_count; i++)
        if (raft->peers[i].is_voter)
            values[count++] = value_of(&raft->peers[i]);
    return raft_quorum_value(values, count);
}

/* A message of a lower term never goes unanswered: its sender learns the term (FAULTS C16). */
static void answer_stale(struct raft *raft, const struct message *message)
{
    switch (message->type) {
    case MESSAGE_APPEND:
    case MESSAGE_TIMEOUT_NOW:
    case MESSAGE_SNAPSHOT:
        raft_send(raft, MESSAGE_APPEND_REPLY, message->from)->append_reply.is_rejected = true;
        break;
    case MESSAGE_VOTE:
        raft_send(raft, MESSAGE_VOTE_REPLY, message->from)->vote_reply.is_granted = false;
        break;
    case MESSAGE_READ_INDEX: {
        struct message *reply = raft_send(raft, MESSAGE_READ_INDEX_REPLY, message->from);
        reply->read_index_reply.id = message->read_index.id;
        reply->read_index_reply.is_refused = true;
        break;
    }
    case MESSAGE_PRE_VOTE:
    case MESSAGE_PRE_VOTE_REPLY:
    case MESSAGE_VOTE_REPLY:
    case MESSAGE_APPEND_REPLY:
    case MESSAGE_READ_INDEX_REPLY:
        break;
    }
}

/* Raft §5.1, for all messages in one place: a higher term makes a follower of everyone, a lower one
 * is refused. Returns whether the message is to be handled further. */
static bool pass_term(struct raft *raft, const struct message *message)
{
    /* A pre-vote asks about a term that nobody is in yet. It changes nothing (thesis §9.6). */
    if (message->type == MESSAGE_PRE_VOTE)
        return true;
    if (message->type == MESSAGE_PRE_VOTE_REPLY && message->vote_reply.is_granted)
        return true;

    if (message->term > raft->hard_state.term) {
        if (message->type == MESSAGE_VOTE && !message->vote.is_transfer &&
            raft_election_is_held(raft))
            return false; /* thesis §4.2.3: not even its term is taken */
        raft_become_follower(raft, message->term, NODE_NONE);
        return true;
    }
    if (message->term < raft->hard_state.term) {
        answer_stale(raft, message);
        return message->type == MESSAGE_PRE_VOTE_REPLY; /* a refusal counts from any term */
    }
    return true;
}

static bool is_addressed_well(const struct raft *raft, const struct message *message)
{
    return message->to == raft->options.self && message->from != raft->options.self &&
           message->from != NODE_NONE;
}

static void set_gone(struct raft *raft, node_id id, bool is_gone)
{
    struct raft_peer *peer = raft_peer_find(raft, id);
    if (peer != NULL)
        peer->is_gone = is_gone;
}

static void on_message(struct raft *raft, const struct message *message)
{
    if (!is_addressed_well(raft, message))
        return;
    set_gone(raft, message->from, false);
    if (!pass_term(raft, message))
        return;

    switch (message->type) {
    case MESSAGE_PRE_VOTE:
        raft_election_on_pre_vote(raft, message);
        break;
    case MESSAGE_VOTE:
        raft_election_on_vote(raft, message);
        break;
    case MESSAGE_PRE_VOTE_REPLY:
    case MESSAGE_VOTE_REPLY:
        raft_election_on_reply(raft, message);
        break;
    case MESSAGE_APPEND:
        raft_follow_on_append(raft, message);
        break;
    case MESSAGE_APPEND_REPLY:
        raft_lead_on_append_reply(raft, message);
        break;
    case MESSAGE_READ_INDEX:
        raft_read_on_index(raft, message);
        break;
    case MESSAGE_READ_INDEX_REPLY:
        raft_read_on_index_reply(raft, message);
        break;
    case MESSAGE_TIMEOUT_NOW:
        raft_transfer_on_timeout_now(raft, message);
        break;
    case MESSAGE_SNAPSHOT:
        raft_follow_on_snapshot(raft, message);
        break;
    }
}

static void on_tick(struct raft *raft)
{
    raft_read_on_tick(raft);
    if (raft->role == RAFT_ROLE_LEADER)
        raft_lead_on_tick(raft);
    else
        raft_election_on_tick(raft);
}

static void on_link(struct raft *raft, const struct raft_event *event)
{
    set_gone(raft, event->link.peer, !event->link.is_up);
    if (event->link.peer == raft->leader)
        raft_read_refuse_asked(raft); /* the questions, or their answers, may be lost */
    if (raft->role == RAFT_ROLE_LEADER)
        raft_lead_on_link(raft, event);
    else
        raft_election_on_link(raft, event);
}

static void on_applied(struct raft *raft, raft_index index)
{
    REQUIRE(index <= raft->commit);
    raft->applied = MAX(raft->applied, index);
    raft_log_evict(&raft->log, MIN(raft->applied, raft->log.durable),
                   raft->options.log_cache_bytes);
}

static enum status dispatch(struct raft *raft, const struct raft_event *event)
{
    switch (event->type) {
    case RAFT_EVENT_TICK:
        on_tick(raft);
        break;
    case RAFT_EVENT_MESSAGE:
        on_message(raft, event->message);
        break;
    case RAFT_EVENT_PROPOSE:
        return raft_lead_propose(raft, event);
    case RAFT_EVENT_DURABLE:
        raft_log_on_durable(&raft->log, event->durable);
        raft_follow_on_durable(raft);
        break;
    case RAFT_EVENT_APPLIED:
        on_applied(raft, event->applied);
        break;
    case RAFT_EVENT_READ:
        raft_read_ask(raft, event->read);
        break;
    case RAFT_EVENT_LINK:
        on_link(raft, event);
        break;
    case RAFT_EVENT_LOADED:
        raft_replicate_on_loaded(raft, event);
        break;
    case RAFT_EVENT_TRANSFER:
        return raft_transfer_start(raft, event->transfer.to);
    case RAFT_EVENT_CAMPAIGN:
        if (raft->role != RAFT_ROLE_LEADER && raft->role != RAFT_ROLE_LEARNER)
            raft_election_start(raft);
        break;
    case RAFT_EVENT_COMPACTED:
        raft_snapshot_on_compacted(raft, event);
        break;
    case RAFT_EVENT_INSTALLED:
        raft_snapshot_on_installed(raft, event->installed.last, event->installed.config);
        break;
    }
    return ST_OK;
}

enum status raft_step(struct raft *raft, const struct raft_event *event,
                      struct raft_ready *out_ready)
{
    REQUIRE(event->now >= raft->now);
    raft->now = event->now;
    raft_ready_begin(raft);
    enum status status = dispatch(raft, event);
    if (raft->role == RAFT_ROLE_LEADER)
        raft_lead_finish(raft);
    raft_ready_end(raft, out_ready);
#if defined(MINIKV_CHECKED)
    raft_check_step(raft, out_ready);
#endif
    return status;
}

void raft_view(const struct raft *raft, struct raft_view *out_view)
{
    *out_view = (struct raft_view){
        .role = raft->role,
        .term = raft->hard_state.term,
        .leader = raft->leader,
        .leader_since = raft->leader_since,
        .first_index = raft_log_first(&raft->log),
        .last_index = raft_log_last(&raft->log).index,
        .commit = raft->commit,
        .durable = raft->log.durable,
        .term_start = raft->lead.term_start,
        .transfer_to = raft->lead.transfer_to,
        .uncommitted_bytes = raft->lead.uncommitted_bytes,
    };
}

const struct config *raft_config(const struct raft *raft)
{
    return &raft->configs.items[raft->configs.count - 1].config;
}

size_t raft_peers(const struct raft *raft, struct raft_peer_view *out_peers, size_t peers_max)
{
    size_t count = MIN(raft->peers_count, peers_max);
    for (size_t i = 0; i < count; i++) {
        const struct raft_peer *peer = &raft->peers[i];
        out_peers[i] = (struct raft_peer_view){.id = peer->id,
                                               .is_voter = peer->is_voter,
                                               .state = raft_peer_state_name(peer->state),
                                               .match = peer->match,
                                               .next = peer->next,
                                               .heard_at = peer->heard_at};
        if (peer->state == RAFT_PEER_SNAPSHOT && raft_snapshot_serves(raft, peer))
            out_peers[i].snapshot_bytes = raft->snapshot.bytes;
    }
    return count;
}

struct entry *raft_entry(const struct raft *raft, raft_index index)
{
    return raft_log_entry(&raft->log, index);
}
