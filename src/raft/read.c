/* Linearizable reads without the log (thesis §6.4): an index that is at least everything that was
 * committed when the read arrived, confirmed by a majority that still follows this leader.
 *
 * 1. Reads gather at the leader, its own and those its followers ask for.
 * 2. A round starts: its index is what is committed now, its number rides on an append to all.
 * 3. Every answer echoes the newest number seen. A majority of echoes confirms that no other leader
 *    had been elected when the round started; all its reads are answered with its index.
 *
 * What can go wrong: a new leader may know less than is committed, so it starts no round before an
 * entry of its own term is committed (FAULTS C1). An echo of an earlier term never counts, because
 * the message does not (FAULTS C2). Echoes get lost: every later append asks again. The leader is
 * deposed: all its reads are refused, and may be asked again. */
#include <string.h>

#include "base/mem.h"
#include "raft/raft_internal.h"

static void answer(struct raft *raft, struct raft_read_wait wait, bool is_refused, raft_index index)
{
    if (wait.from == raft->options.self) {
        raft_answer_read(raft, wait.id, is_refused, index);
        return;
    }
    struct message *reply = raft_send(raft, MESSAGE_READ_INDEX_REPLY, wait.from);
    reply->read_index_reply.id = wait.id;
    reply->read_index_reply.is_refused = is_refused;
    reply->read_index_reply.index = index;
}

static void drop_waits(struct raft_reads *reads, size_t count)
{
    REQUIRE(count <= reads->waits_count);
    reads->waits_count -= count;
    memmove(reads->waits, reads->waits + count, reads->waits_count * sizeof *reads->waits);
}

/* ---- the leader ---- */

static void add_wait(struct raft *raft, node_id from, struct read_id id)
{
    struct raft_reads *reads = &raft->reads;
    struct raft_read_wait wait = {.from = from, .id = id};
    if (raft->role != RAFT_ROLE_LEADER || reads->waits_count == LIMIT_READS_WAITING) {
        answer(raft, wait, true, 0);
        return;
    }
    raft_grow((void **)&reads->waits, reads->waits_count, &reads->waits_capacity,
              sizeof *reads->waits);
    reads->waits[reads->waits_count++] = wait;
}

static uint64_t round_of(const struct raft_peer *peer)
{
    return peer->round_echoed;
}

static void confirm_rounds(struct raft *raft)
{
    struct raft_reads *reads = &raft->reads;
    uint64_t confirmed = raft_majority(raft, reads->round, round_of);
    size_t rounds_count = 0;
    size_t waits_count = 0;
    for (; rounds_count < reads->rounds_count; rounds_count++) {
        const struct raft_read_round *round = &reads->rounds[rounds_count];
        if (round->number > confirmed)
            break;
        for (size_t i = 0; i < round->waits_count; i++)
            answer(raft, reads->waits[waits_count++], false, round->index);
    }
    if (rounds_count == 0)
        return;
    reads->rounds_count -= rounds_count;
    memmove(reads->rounds, reads->rounds + rounds_count,
            reads->rounds_count * sizeof *reads->rounds);
    reads->waits_sent_count -= waits_count;
    drop_waits(reads, waits_count);
}

/* All that wait share one round; while too many are under way they go on gathering. */
static void start_round(struct raft *raft)
{
    struct raft_reads *reads = &raft->reads;
    size_t count = reads->waits_count - reads->waits_sent_count;
    if (count == 0 || reads->rounds_count == LIMIT_READ_ROUNDS)
        return;
    if (raft->commit < raft->lead.term_start)
        return;
    reads->rounds[reads->rounds_count++] = (struct raft_read_round){
        .number = ++reads->round, .index = raft->commit, .waits_count = count};
    reads->waits_sent_count = reads->waits_count;
}

void raft_read_finish(struct raft *raft)
{
    REQUIRE(raft->role == RAFT_ROLE_LEADER);
    confirm_rounds(raft);
    start_round(raft);
    confirm_rounds(raft); /* a single voter is its own majority */
}

void raft_read_refuse_waits(struct raft *raft)
{
    struct raft_reads *reads = &raft->reads;
    for (size_t i = 0; i < reads->waits_count; i++)
        answer(raft, reads->waits[i], true, 0);
    reads->waits_count = reads->waits_sent_count = reads->rounds_count = 0;
    reads->round = 0;
}

void raft_read_on_index(struct raft *raft, const struct message *message)
{
    add_wait(raft, message->from, message->read_index.id);
}

/* ---- everybody else ---- */

static void ask_leader(struct raft *raft, struct read_id id)
{
    struct raft_reads *reads = &raft->reads;
    if (raft->leader == NODE_NONE || reads->asked_count == LIMIT_READS_ASKED) {
        raft_answer_read(raft, id, true, 0);
        return;
    }
    raft_grow((void **)&reads->asked, reads->asked_count, &reads->asked_capacity,
              sizeof *reads->asked);
    reads->asked[reads->asked_count++] = (struct raft_read_asked){.id = id, .at = raft->now};
    raft_send(raft, MESSAGE_READ_INDEX, raft->leader)->read_index.id = id;
}

void raft_read_ask(struct raft *raft, struct read_id id)
{
    if (raft->role == RAFT_ROLE_LEADER)
        add_wait(raft, raft->options.self, id);
    else
        ask_leader(raft, id);
}

static void drop_asked(struct raft_reads *reads, size_t at, size_t count)
{
    reads->asked_count -= count;
    memmove(reads->asked + at, reads->asked + at + count,
            (reads->asked_count - at) * sizeof *reads->asked);
}

/* Only what has been asked and is open is answered, once. */
void raft_read_on_index_reply(struct raft *raft, const struct message *message)
{
    struct raft_reads *reads = &raft->reads;
    struct read_id id = message->read_index_reply.id;
    for (size_t i = 0; i < reads->asked_count; i++) {
        if (reads->asked[i].id.number != id.number ||
            reads->asked[i].id.incarnation != id.incarnation)
            continue;
        drop_asked(reads, i, 1);
        raft_answer_read(raft, id, message->read_index_reply.is_refused,
                         message->read_index_reply.index);
        return;
    }
}

static void refuse_oldest(struct raft *raft, size_t count)
{
    for (size_t i = 0; i < count; i++)
        raft_answer_read(raft, raft->reads.asked[i].id, true, 0);
    drop_asked(&raft->reads, 0, count);
}

void raft_read_refuse_asked(struct raft *raft)
{
    if (raft->reads.asked_count > 0)
        refuse_oldest(raft, raft->reads.asked_count);
}

/* A question, or its answer, that got lost without the link breaking. */
void raft_read_on_tick(struct raft *raft)
{
    size_t count = 0;
    while (count < raft->reads.asked_count &&
           raft->now >= raft->reads.asked[count].at + raft->options.election)
        count++;
    if (count > 0)
        refuse_oldest(raft, count);
}

time_us raft_read_deadline(const struct raft *raft)
{
    return raft->reads.asked_count == 0 ? TIME_NEVER
                                        : raft->reads.asked[0].at + raft->options.election;
}
