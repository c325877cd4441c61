/* World: raft cores with the disks they write to, and the properties no run may break.
 *
 * It carries out every ready in its order: hard state, entries, messages, commit. What is written
 * is only queued; the test decides when the disk has it and when a message arrives, and may crash
 * a replica in between: a prefix of its queue survives.
 *
 * Checked all along (docs/invariants.md):
 *      R1  at most one leader in a term                    R2  state machine safety: what one
 *      R4  log matching                                        replica commits at an index, all do
 *      R18 leader completeness                             R6  term and vote survive
 *      R17 nothing leaves before what it rests on is on disk; snapshots hold what is committed
 *      R19 what is committed is on the disks of a majority
 *      R20 a read's index is at least all that was committed when it was asked */
#ifndef MINIKV_TESTS_UNIT_RAFT_WORLD_H
#define MINIKV_TESTS_UNIT_RAFT_WORLD_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "raft/raft.h"
#include "raft/text.h"
#include "types/proposal.h"

enum { REPLICAS_MAX = 7, WORLD_INDEX_MAX = 6000, WORLD_TERM_MAX = 6000, WORLD_READS_MAX = 4096 };

struct packet {
    struct message message;
    struct entry **entries; /* owned, with references */
};

struct disk_write { /* all of it survives a crash, or nothing */
    bool has_hard_state;
    struct hard_state hard_state;
    struct entry **entries;
    size_t entries_count;
    raft_index commit;
    struct entry_id mark; /* a snapshot that the log is to go on from; index 0: none */
    uint64_t number;
};

/* A state that replicas can begin from: all there is to it here is where it was taken. */
struct world_snapshot {
    struct entry_id last; /* index 0: none */
    struct config config; /* in force there */
    bool is_file;         /* else it is what a founding node begins with, and nobody can fetch it */
};

struct held_packet {
    struct packet *packet;
    uint64_t write_number; /* leaves when this write is on disk */
};

struct world;

struct replica {
    struct world *world;
    node_id id;
    struct raft *raft; /* NULL: down */
    struct raft_options options;
    time_us deadline;
    uint64_t life; /* counts restarts */

    /* on disk */
    struct hard_state hard_state;
    struct entry *disk[WORLD_INDEX_MAX + 1]; /* by index, from disk_first on */
    raft_index disk_first, disk_last, disk_commit;
    struct world_snapshot snapshot; /* the newest */
    /* on its way there */
    struct disk_write writes[512];
    size_t writes_count;
    uint64_t writes_number, writes_done;
    struct held_packet held[4096];
    size_t held_count;

    raft_index commit, applied;
    raft_term term_seen;
};

/* What is known about an index over all replicas. */
struct world_index {
    struct entry *entries[16]; /* one for each term that ever had it */
    raft_term prev_terms[16];
    size_t count;
    struct entry *committed;
    raft_term committed_in; /* the term of the leader that did */
};

struct world {
    struct replica *replicas; /* REPLICAS_MAX; id is position + 1 */
    size_t replicas_count;
    time_us now;
    struct world_index *indexes; /* WORLD_INDEX_MAX + 1 */
    raft_index committed;        /* everywhere together */
    node_id *leaders;            /* by term */
    raft_index *read_floors;     /* by number of the read */
    uint64_t reads_count, reads_done, reads_refused;
    size_t leaders_count;
    size_t load_count; /* entries a disk gives back at once */

    void (*on_packet)(struct world *world, struct packet *packet); /* takes it */
    void (*on_write)(struct world *world, struct replica *replica);
    void (*on_read)(struct world *world, struct replica *replica, const struct raft_read *read);
    void (*on_load)(struct world *world, struct replica *replica, const struct raft_load *load);
    void (*on_view)(struct world *world, struct replica *replica);
    void (*on_commit)(struct world *world, struct replica *replica);
    void (*on_offer)(struct world *world, struct replica *replica, const struct raft_offer *offer);
    void (*on_wanted)(struct world *world, struct replica *replica);
    void (*on_fail)(void); /* says which run it was */
};

__attribute__((noreturn)) static inline void
world_fail(const struct world *world, const char *property, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken: %s (at %" PRIu64 " us)\n", file, line, property, world->now);
    for (size_t i = 0; i < world->replicas_count; i++) {
        struct buf text;
        buf_init(&text, 4096);
        if (world->replicas[i].raft != NULL)
            raft_format(world->replicas[i].raft, &text);
        fprintf(stderr, "  %s\n", buf_text(&text));
        buf_release(&text);
    }
    if (world->on_fail != NULL)
        world->on_fail();
    abort();
}

#define WORLD_CHECK(world, property)                                                               \
    ((property) ? (void)0 : world_fail(world, #property, __FILE__, __LINE__))

/* ---- making things ---- */

static inline struct config world_config(const node_id *voters, size_t voters_count)
{
    struct config config = {0};
    for (size_t i = 0; i < voters_count; i++) {
        struct member member = {.id = voters[i], .is_voter = true, .peer.port = 7000};
        snprintf(member.peer.host, sizeof member.peer.host, "10.0.0.%u", voters[i]);
        enum status status = config_add(&config, &member);
        REQUIRE(status == ST_OK);
    }
    return config;
}

static inline struct entry *world_config_entry(const struct config *config)
{
    struct buf text;
    buf_init(&text, 4096);
    config_encode(config, &text);
    struct entry *entry = entry_new(ENTRY_CONFIG, PROPOSAL_HEADER_BYTES + text.count);
    memset(entry->data, 0, PROPOSAL_HEADER_BYTES); /* nobody has asked */
    memcpy(entry->data + PROPOSAL_HEADER_BYTES, text.data, text.count);
    buf_release(&text);
    return entry;
}

static inline struct entry *world_command(uint64_t number)
{
    struct entry *entry = entry_new(ENTRY_COMMAND, sizeof number);
    memcpy(entry->data, &number, sizeof number);
    return entry;
}

static inline void packet_free(struct packet *packet)
{
    for (uint32_t i = 0;
         i < packet->message.append.entries_count && packet->message.type == MESSAGE_APPEND; i++)
        entry_unref(packet->entries[i]);
    mem_free(packet->entries);
    mem_free(packet);
}

static inline struct packet *packet_copy(const struct message *message)
{
    struct packet *packet = mem_alloc(sizeof *packet);
    packet->message = *message;
    if (message->type != MESSAGE_APPEND)
        return packet;
    packet->entries = mem_alloc_array(message->append.entries_count, sizeof(struct entry *));
    for (uint32_t i = 0; i < message->append.entries_count; i++)
        packet->entries[i] = entry_ref(message->append.entries[i]);
    packet->message.append.entries = packet->entries;
    return packet;
}

/* ---- properties ---- */

/* R4: one entry per (index, term), always after the same entry; of those that reach a disk or
 * another replica. */
static inline void check_entry(struct world *world, struct entry *entry, raft_term prev_term)
{
    WORLD_CHECK(world, entry->id.index <= WORLD_INDEX_MAX);
    struct world_index *known = &world->indexes[entry->id.index];
    for (size_t i = 0; i < known->count; i++) {
        if (known->entries[i]->id.term != entry->id.term)
            continue;
        WORLD_CHECK(world, known->entries[i] == entry);
        WORLD_CHECK(world, known->prev_terms[i] == prev_term);
        return;
    }
    WORLD_CHECK(world, known->count < 16);
    known->prev_terms[known->count] = prev_term;
    known->entries[known->count++] = entry_ref(entry);
}

static inline bool is_on_majority(const struct world *world, const struct config *config,
                                  const struct entry *entry)
{
    size_t voters_count = 0;
    size_t copies_count = 0;
    for (uint32_t i = 0; i < config->members_count; i++) {
        if (!config->members[i].is_voter)
            continue;
        voters_count++;
        const struct replica *replica = &world->replicas[config->members[i].id - 1];
        copies_count +=
            replica->disk_last >= entry->id.index && replica->disk[entry->id.index] == entry;
    }
    return copies_count >= voters_count / 2 + 1;
}

/* A snapshot holds what is committed, and nothing else (FAULTS P7). */
static inline void check_snapshot(struct world *world, struct entry_id last)
{
    WORLD_CHECK(world, last.index >= 1 && last.index <= world->committed);
    WORLD_CHECK(world, entry_id_equal(world->indexes[last.index].committed->id, last));
}

/* R2, R19. What a snapshot stands for has been committed by others. */
static inline void check_commit(struct world *world, struct replica *replica, raft_index commit)
{
    WORLD_CHECK(world, commit >= replica->commit);
    replica->commit = MIN(commit, MAX(replica->commit, replica->snapshot.last.index));
    for (raft_index i = replica->commit + 1; i <= commit; i++) {
        struct entry *entry = raft_entry(replica->raft, i);
        WORLD_CHECK(world, entry != NULL);
        struct world_index *known = &world->indexes[i];
        if (known->committed == NULL) {
            WORLD_CHECK(world, i == world->committed + 1);
            WORLD_CHECK(world, is_on_majority(world, raft_config(replica->raft),
                                              raft_entry(replica->raft, commit)));
            known->committed = entry;
            known->committed_in = raft_entry(replica->raft, commit)->id.term;
            world->committed = i;
        }
        WORLD_CHECK(world, known->committed == entry);
    }
    replica->commit = commit;
}

/* R1, R18. A single voter leads at once; only when its vote is on disk is it known to have led. */
static inline void check_leader(struct world *world, struct replica *replica)
{
    struct raft_view view;
    raft_view(replica->raft, &view);
    WORLD_CHECK(world, view.term <= WORLD_TERM_MAX);
    WORLD_CHECK(world, view.term >= replica->term_seen);
    replica->term_seen = view.term;
    if (view.role != RAFT_ROLE_LEADER || replica->hard_state.term != view.term)
        return;
    node_id *leader = &world->leaders[view.term];
    if (*leader == replica->id)
        return;
    WORLD_CHECK(world, *leader == NODE_NONE);
    *leader = replica->id;
    world->leaders_count++;
    for (raft_index i = view.first_index; i <= world->committed; i++)
        if (world->indexes[i].committed_in < view.term)
            WORLD_CHECK(world, raft_entry(replica->raft, i) == world->indexes[i].committed);
}

/* R17: what a message promises is on disk when it leaves. */
static inline void check_packet(const struct replica *replica, const struct message *message)
{
    struct world *world = replica->world;
    bool is_ahead = message->type == MESSAGE_PRE_VOTE ||
                    (message->type == MESSAGE_PRE_VOTE_REPLY && message->vote_reply.is_granted);
    WORLD_CHECK(world, is_ahead || message->term <= replica->hard_state.term);
    if (message->term != replica->hard_state.term)
        return;
    bool is_leaders = message->type == MESSAGE_APPEND || message->type == MESSAGE_SNAPSHOT;
    if (message->type == MESSAGE_VOTE || is_leaders)
        WORLD_CHECK(world, replica->hard_state.vote == replica->id);
    if (message->type == MESSAGE_SNAPSHOT)
        check_snapshot(world, message->snapshot.last);
    if (message->type == MESSAGE_APPEND) {
        raft_term prev_term = message->append.prev.term;
        for (uint32_t i = 0; i < message->append.entries_count; i++) {
            check_entry(world, message->append.entries[i], prev_term);
            prev_term = message->append.entries[i]->id.term;
        }
    }
    if (message->type == MESSAGE_VOTE_REPLY && message->vote_reply.is_granted)
        WORLD_CHECK(world, replica->hard_state.vote == message->to);
    if (message->type != MESSAGE_APPEND_REPLY || message->append_reply.is_rejected)
        return;

    raft_index match = message->append_reply.match;
    if (match <= replica->snapshot.last.index)
        return;
    WORLD_CHECK(world, match <= replica->disk_last);
    const struct replica *leader = &world->replicas[message->to - 1];
    struct raft_view view;
    if (leader->raft == NULL || match == 0)
        return;
    raft_view(leader->raft, &view);
    if (view.role == RAFT_ROLE_LEADER && view.term == message->term && match >= view.first_index)
        WORLD_CHECK(world, raft_entry(leader->raft, match) == replica->disk[match]);
}

/* ---- a replica at work ---- */

static inline void release_held(struct replica *replica)
{
    size_t count = 0;
    while (count < replica->held_count &&
           replica->held[count].write_number <= replica->writes_done) {
        struct packet *packet = replica->held[count++].packet;
        check_packet(replica, &packet->message);
        replica->world->on_packet(replica->world, packet);
    }
    replica->held_count -= count;
    memmove(replica->held, replica->held + count, replica->held_count * sizeof *replica->held);
}

static inline void queue_write(struct replica *replica, const struct raft_ready *ready)
{
    if (!ready->hard_state_changed && ready->entries_count == 0)
        return;
    WORLD_CHECK(replica->world, replica->writes_count < 512);
    struct disk_write *write = &replica->writes[replica->writes_count++];
    *write = (struct disk_write){.has_hard_state = ready->hard_state_changed,
                                 .hard_state = ready->hard_state,
                                 .entries_count = ready->entries_count,
                                 .commit = ready->commit,
                                 .number = ++replica->writes_number};
    write->entries = mem_alloc_array(ready->entries_count, sizeof(struct entry *));
    for (size_t i = 0; i < ready->entries_count; i++)
        write->entries[i] = entry_ref(ready->entries[i]);
    replica->world->on_write(replica->world, replica);
}

static inline void hold_messages(struct replica *replica, const struct raft_ready *ready)
{
    uint64_t number = 0;
    for (size_t i = 0; i < replica->writes_count; i++)
        if (replica->writes[i].has_hard_state)
            number = replica->writes[i].number;
    for (size_t i = 0; i < ready->messages_count; i++) {
        WORLD_CHECK(replica->world, replica->held_count < 4096);
        replica->held[replica->held_count++] = (struct held_packet){
            .packet = packet_copy(&ready->messages[i]), .write_number = number};
    }
    release_held(replica);
}

static inline void check_read(struct world *world, struct replica *replica,
                              const struct raft_read *read)
{
    WORLD_CHECK(world, read->id.number < WORLD_READS_MAX);
    WORLD_CHECK(world, read->id.incarnation == replica->id);
    WORLD_CHECK(world, world->read_floors[read->id.number] != UINT64_MAX); /* answered once */
    if (read->is_refused)
        world->reads_refused++;
    else
        WORLD_CHECK(world, read->index >= world->read_floors[read->id.number]); /* R20 */
    world->read_floors[read->id.number] = UINT64_MAX;
    world->reads_done++;
}

/* Everything in the ready's order. Nothing in here steps any raft. */
static inline void carry_out(struct replica *replica, const struct raft_ready *ready)
{
    struct world *world = replica->world;
    replica->deadline = ready->deadline;
    queue_write(replica, ready);
    hold_messages(replica, ready);
    check_leader(world, replica);
    bool has_more = ready->commit > replica->commit;
    check_commit(world, replica, ready->commit);
    for (size_t i = 0; i < ready->reads_count; i++) {
        check_read(world, replica, &ready->reads[i]);
        world->on_read(world, replica, &ready->reads[i]);
    }
    for (size_t i = 0; i < ready->loads_count; i++)
        world->on_load(world, replica, &ready->loads[i]);
    if (ready->has_offer && world->on_offer != NULL)
        world->on_offer(world, replica, &ready->offer);
    if (ready->snapshot_wanted && world->on_wanted != NULL)
        world->on_wanted(world, replica);
    if (ready->view_changed && world->on_view != NULL)
        world->on_view(world, replica);
    if (has_more && world->on_commit != NULL)
        world->on_commit(world, replica);
}

static inline enum status replica_step(struct replica *replica, struct raft_event event)
{
    struct raft_ready ready;
    event.now = replica->world->now;
    enum status status = raft_step(replica->raft, &event, &ready);
    raft_check(replica->raft);
    if (event.type == RAFT_EVENT_TICK)
        WORLD_CHECK(replica->world, ready.deadline > replica->world->now);
    carry_out(replica, &ready);
    return status;
}

#endif
