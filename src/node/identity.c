/* Who is who: which data directory stands for which member, as far as this node's log goes.
 *
 * A vote or an acknowledgement is a promise that a disk remembers, so a member of a configuration
 * is an id together with the disk that was recorded for it (COMMAND_REGISTER). Two things follow,
 * and with them elections and commits are those of Raft, where a server is a disk:
 *
 *   - whoever leads or stands counts only answers of disks that its own log knows, its own among
 * them;
 *   - whoever follows takes entries and grants votes by terms and logs alone (thesis §4.1: also to
 *     those who are not in its configuration). For its log may be old: a member that was away does
 *     not know who has come since, and must learn it from them.
 *
 * So strangers of the same history are let in as guests while there is no leader to say who they
 * are, and refused, with the reason, while there is one (docs/decisions/0009). */
#include "node/node_internal.h"

/* REGISTER as it will be applied, or nothing. */
static bool is_register(const struct entry *entry, struct command *out_command)
{
    struct proposal proposal;
    return entry->type == ENTRY_COMMAND && proposal_decode(entry_data(entry), &proposal) == ST_OK &&
           command_peek(proposal.command) == COMMAND_REGISTER &&
           command_decode(proposal.command, out_command) == ST_OK;
}

void identity_note(struct node *node, const struct entry *entry)
{
    struct command command;
    if (entry->type == ENTRY_CONFIG || is_register(entry, &command))
        node->identity_last = entry->id.index;
}

/* What applying the entry makes of the identity recorded for `id` (kv/directory.h): the first one
 * stays until the member is removed. */
static uint64_t recorded_after(uint64_t recorded, const struct entry *entry, node_id id)
{
    struct command command;
    struct config config;
    if (entry->type == ENTRY_CONFIG && entry_config(entry, &config) == ST_OK)
        return config_find(&config, id) != NULL ? recorded : 0;
    if (recorded == 0 && is_register(entry, &command) && command.member == id)
        return command.member_identity;
    return recorded;
}

/* At the end of the log, committed or not: what is recorded there could vote in the meantime. */
static uint64_t recorded_for(const struct node *node, node_id id)
{
    const struct kv_member *member = kv_member(node->kv, id);
    uint64_t recorded = member != NULL ? member->identity : 0;
    if (node->identity_last <= node->applied)
        return recorded;
    struct raft_view view;
    raft_view(node->raft, &view);
    for (raft_index i = node->applied + 1; i <= view.last_index; i++) {
        const struct entry *entry = raft_entry(node->raft, i);
        if (entry != NULL)
            recorded = recorded_after(recorded, entry, id);
    }
    return recorded;
}

/* 0: known. What is applied counts as well: see members_link. */
static enum refusal look_up(const struct node *node, node_id id, uint64_t identity)
{
    if (kv_member(node->kv, id) == NULL && config_find(raft_config(node->raft), id) == NULL)
        return REFUSAL_MEMBER;
    uint64_t recorded = recorded_for(node, id);
    return recorded == 0 || recorded == identity ? (enum refusal)0 : REFUSAL_IDENTITY;
}

bool identity_knows(const struct node *node, const struct hello *sender)
{
    return look_up(node, sender->from, sender->identity) == 0;
}

/* Only what is committed: a first registration that is cut off again names nothing. */
uint64_t identity_history(const struct node *node)
{
    struct kv_stats state;
    kv_stats(node->kv, &state);
    return state.history;
}

/* Founders that begin anew with empty disks are another cluster with the same id. What tells its
 * log from this one is who registered first. A log without a name has nothing to
 * lose, and lets in everybody. */
enum refusal identity_check(const struct node *node, const struct hello *hello)
{
    uint64_t history = identity_history(node);
    node_id leader = node->view.leader;
    bool is_leader = leader == hello->from && node->heard_identity == hello->identity;
    bool is_other = history != 0 && hello->history != history;
    if (node->applied == 0)
        return (enum refusal)0; /* joining: who is who comes with a snapshot */
    if (is_other && hello->history != 0)
        return REFUSAL_HISTORY;
    if (is_leader || (leader == NODE_NONE && !is_other))
        return (enum refusal)0; /* whoever it is: it can say who is who, or nobody here can */
    return look_up(node, hello->from, hello->identity);
}

bool identity_takes(const struct node *node, const struct hello *sender, enum message_type type)
{
    switch (type) {
    case MESSAGE_PRE_VOTE:
    case MESSAGE_VOTE:
    case MESSAGE_APPEND:
    case MESSAGE_TIMEOUT_NOW:
    case MESSAGE_SNAPSHOT:
    case MESSAGE_READ_INDEX_REPLY: /* of the leader that was asked */
        return true;
    case MESSAGE_PRE_VOTE_REPLY:
    case MESSAGE_VOTE_REPLY:
    case MESSAGE_APPEND_REPLY:
    case MESSAGE_READ_INDEX:
        return identity_knows(node, sender);
    }
    UNREACHABLE();
}

/* A founder's disk counts before it is recorded: the initial configuration means it. Not so the
 * disk of one who has joined, for the id may have had another one. One whose removal is in the log
 * and not committed may be the only one that can win (thesis §4.2.2): it stands by the record it
 * had. */
static bool is_own_disk(const struct node *node)
{
    uint64_t recorded = recorded_for(node, node->options.self);
    const struct kv_member *self = kv_member(node->kv, node->options.self);
    bool is_founder = node->meta.initial.members_count > 0;
    bool was_recorded = self != NULL && self->identity == node->meta.identity;
    return recorded == node->meta.identity || (recorded == 0 && (is_founder || was_recorded));
}

void identity_admit(struct node *node)
{
    bool is_admitted = is_own_disk(node);
    if (is_admitted == node->is_admitted)
        return;
    node->is_admitted = is_admitted;
    raft_admit(node->raft, is_admitted);
    struct raft_event event = {.type = RAFT_EVENT_TICK, .now = env_now(node->env)};
    (void)ready_step(node, &event); /* TICK is never refused; its deadline is another one now */
    node_view_refresh(node);
}
