/* Ready: collecting what a step has to say, in memory that every step uses again. */
#include <string.h>

#include "base/mem.h"
#include "raft/raft_internal.h"

void raft_grow(void **items, size_t count, size_t *capacity, size_t item_bytes)
{
    REQUIRE(count <= *capacity);
    if (count < *capacity)
        return;
    *capacity = MAX(2 * *capacity, (size_t)8);
    *items = mem_realloc(*items, *capacity * item_bytes);
}

void raft_ready_begin(struct raft *raft)
{
    struct raft_output *output = &raft->output;
    for (size_t i = 0; i < output->held_count; i++)
        entry_unref(output->held[i]);
    output->messages_count = output->reads_count = 0;
    output->loads_count = output->held_count = 0;
    output->offer = (struct raft_offer){0};
    raft->mark = (struct raft_mark){.hard_state = raft->hard_state,
                                    .role = raft->role,
                                    .leader = raft->leader,
                                    .commit = raft->commit,
                                    .last = raft_log_last(&raft->log)};
}

struct message *raft_send(struct raft *raft, enum message_type type, node_id to)
{
    REQUIRE(to != NODE_NONE);
    REQUIRE(to != raft->options.self);
    struct raft_output *output = &raft->output;
    raft_grow((void **)&output->messages, output->messages_count, &output->messages_capacity,
              sizeof *output->messages);
    struct message *message = &output->messages[output->messages_count++];
    memset(message, 0, sizeof *message);
    message->type = type;
    message->from = raft->options.self;
    message->to = to;
    message->term = raft->hard_state.term;
    return message;
}

void raft_answer_read(struct raft *raft, struct read_id id, bool is_refused, raft_index index)
{
    struct raft_output *output = &raft->output;
    raft_grow((void **)&output->reads, output->reads_count, &output->reads_capacity,
              sizeof *output->reads);
    output->reads[output->reads_count++] =
        (struct raft_read){.id = id, .is_refused = is_refused, .index = index};
}

void raft_ask_load(struct raft *raft, node_id peer, raft_index first)
{
    struct raft_output *output = &raft->output;
    REQUIRE(first > 0);
    INVARIANT(output->loads_count < LIMIT_MEMBERS);
    output->loads[output->loads_count++] = (struct raft_load){
        .peer = peer,
        .first = first,
        .bytes_max = LIMIT_APPEND_BYTES + ENTRY_HEADER_BYTES + LIMIT_ENTRY_BYTES};
}

struct entry **raft_hold(struct raft *raft, struct entry **entries, size_t entries_count)
{
    struct raft_output *output = &raft->output;
    REQUIRE(output->held_count == 0);
    if (entries_count > output->held_capacity) {
        output->held_capacity = entries_count;
        output->held = mem_realloc(output->held, entries_count * sizeof(struct entry *));
    }
    for (size_t i = 0; i < entries_count; i++)
        output->held[output->held_count++] = entry_ref(entries[i]);
    return output->held;
}

static time_us deadline_of(const struct raft *raft)
{
    time_us at =
        raft->role == RAFT_ROLE_LEADER ? raft_lead_deadline(raft) : raft_election_deadline(raft);
    return MIN(at, raft_read_deadline(raft));
}

void raft_ready_end(struct raft *raft, struct raft_ready *out_ready)
{
    struct raft_output *output = &raft->output;
    const struct raft_mark *mark = &raft->mark;
    struct hard_state told = output->hard_state;
    output->hard_state = raft->hard_state;

    *out_ready = (struct raft_ready){
        .hard_state_changed =
            told.term != raft->hard_state.term || told.vote != raft->hard_state.vote,
        .hard_state = raft->hard_state,
        .messages = output->messages,
        .messages_count = output->messages_count,
        .reads = output->reads,
        .reads_count = output->reads_count,
        .loads = output->loads,
        .loads_count = output->loads_count,
        .has_offer = output->offer.from != NODE_NONE,
        .offer = output->offer,
        .snapshot_wanted = raft_snapshot_is_wanted(raft),
        .deadline = deadline_of(raft),
        .view_changed = mark->role != raft->role || mark->leader != raft->leader ||
                        mark->hard_state.term != raft->hard_state.term,
    };
    out_ready->entries_count = raft_log_hand_out(&raft->log, &out_ready->entries);
    /* Never ahead of what the disk has been given: a node may write this number down beside the
     * entries, and at the next start trust every entry up to it. */
    out_ready->commit = MIN(raft->commit, raft->log.handed);
}
