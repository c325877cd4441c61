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
 *      R17 nothing leaves before what it rests on is on disk
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
    uint64_t number;
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
    struct entry *disk[WORLD_INDEX_MAX + 1]; /* by index */
    raft_index disk_last, disk_commit;
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
    struct entry *entry = entry_new(ENTRY_CONFIG, text.count);
    memcpy(entry->data, text.data, text.count);
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

/* R2, R19. */
static inline void check_commit(struct world *world, struct replica *replica, raft_index commit)
{
    WORLD_CHECK(world, commit >= replica->commit);
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
    if (message->type == MESSAGE_VOTE || message->type == MESSAGE_APPEND)
        WORLD_CHECK(world, replica->hard_state.vote == replica->id);
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

static inline void replica_deliver(struct replica *replica, struct packet *packet)
{
    if (replica->raft != NULL)
        (void)replica_step(
            replica, (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &packet->message});
    packet_free(packet);
}

static inline void disk_append(struct replica *replica, struct entry *entry)
{
    raft_index index = entry->id.index;
    WORLD_CHECK(replica->world, index >= 1 && index <= replica->disk_last + 1);
    check_entry(replica->world, entry, index == 1 ? 0 : replica->disk[index - 1]->id.term);
    for (raft_index i = index; i <= replica->disk_last; i++)
        entry_unref(replica->disk[i]);
    replica->disk[index] = entry_ref(entry);
    replica->disk_last = index;
}

/* The oldest queued write reaches the disk; returns its last entry, or {0}. */
static inline struct entry_id disk_finish_write(struct replica *replica)
{
    struct disk_write write = replica->writes[0];
    struct entry_id last = {0};
    replica->writes_count--;
    memmove(replica->writes, replica->writes + 1, replica->writes_count * sizeof write);
    if (write.has_hard_state)
        replica->hard_state = write.hard_state;
    for (size_t i = 0; i < write.entries_count; i++) {
        disk_append(replica, write.entries[i]);
        last = write.entries[i]->id;
        entry_unref(write.entries[i]);
    }
    mem_free(write.entries);
    replica->disk_commit = MAX(replica->disk_commit, write.commit);
    WORLD_CHECK(replica->world, replica->disk_commit <= replica->disk_last);
    replica->writes_done = write.number;
    return last;
}

/* The next `count` writes reach the disk, reported once for all. */
static inline void replica_sync(struct replica *replica, size_t count)
{
    struct entry_id durable = {0};
    for (size_t i = 0; i < count; i++) {
        struct entry_id last = disk_finish_write(replica);
        durable = last.index != 0 ? last : durable;
    }
    release_held(replica);
    if (durable.index != 0)
        (void)replica_step(replica,
                           (struct raft_event){.type = RAFT_EVENT_DURABLE, .durable = durable});
}

static inline void replica_apply(struct replica *replica, raft_index index)
{
    replica->applied = index;
    (void)replica_step(replica, (struct raft_event){.type = RAFT_EVENT_APPLIED, .applied = index});
}

static inline void replica_answer_load(struct replica *replica, struct raft_load load)
{
    struct raft_event event = {.type = RAFT_EVENT_LOADED, .loaded.peer = load.peer};
    if (load.first <= replica->disk_last) {
        size_t count = MIN(replica->world->load_count, replica->disk_last - load.first + 1);
        event.loaded.entries = &replica->disk[load.first];
        event.loaded.entries_count = count;
    }
    if (load.first > 1 && load.first <= replica->disk_last)
        event.loaded.prev = replica->disk[load.first - 1]->id;
    (void)replica_step(replica, event);
}

static inline enum status replica_propose(struct replica *replica, struct entry **entries,
                                          size_t entries_count)
{
    enum status status =
        replica_step(replica, (struct raft_event){.type = RAFT_EVENT_PROPOSE,
                                                  .propose = {entries, entries_count}});
    for (size_t i = 0; i < entries_count; i++)
        entry_unref(entries[i]);
    return status;
}

static inline void replica_read(struct replica *replica)
{
    struct world *world = replica->world;
    WORLD_CHECK(world, world->reads_count + 1 < WORLD_READS_MAX);
    uint64_t number = ++world->reads_count;
    world->read_floors[number] = world->committed;
    struct read_id id = {.incarnation = replica->id, .number = number};
    (void)replica_step(replica, (struct raft_event){.type = RAFT_EVENT_READ, .read = id});
}

/* `writes_kept` of the queued writes survive. */
static inline void replica_crash(struct replica *replica, size_t writes_kept)
{
    for (size_t i = 0; i < writes_kept; i++)
        (void)disk_finish_write(replica);
    for (size_t i = 0; i < replica->writes_count; i++) {
        for (size_t j = 0; j < replica->writes[i].entries_count; j++)
            entry_unref(replica->writes[i].entries[j]);
        mem_free(replica->writes[i].entries);
    }
    for (size_t i = 0; i < replica->held_count; i++)
        packet_free(replica->held[i].packet);
    replica->writes_count = replica->held_count = 0;
    replica->writes_done = replica->writes_number;
    raft_free(replica->raft);
    replica->raft = NULL;
    replica->deadline = TIME_NEVER;
    replica->term_seen = replica->hard_state.term; /* R6: never less than what it promised */
    replica->life++;
}

static inline void config_at(const struct replica *replica, raft_index index, struct config *out)
{
    *out = (struct config){0};
    for (raft_index i = 1; i <= index; i++) {
        if (replica->disk[i]->type != ENTRY_CONFIG)
            continue;
        enum status status = config_decode(entry_data(replica->disk[i]), out);
        REQUIRE(status == ST_OK);
    }
}

/* Starts from what is on disk, with only what follows `base` in memory; steps a first tick. */
static inline void replica_start(struct replica *replica, raft_index base, uint64_t seed)
{
    struct world *world = replica->world;
    REQUIRE(replica->raft == NULL);
    REQUIRE(base <= replica->disk_commit);
    struct raft_start start = {.hard_state = replica->hard_state,
                               .commit = replica->disk_commit,
                               .entries = &replica->disk[base + 1],
                               .entries_count = replica->disk_last - base,
                               .now = world->now};
    if (base > 0)
        start.base = replica->disk[base]->id;
    config_at(replica, base, &start.config);
    for (raft_index i = 1; i <= replica->disk_commit; i++)
        WORLD_CHECK(world, replica->disk[i] == world->indexes[i].committed);
    replica->options.self = replica->id;
    replica->options.seed = seed;
    replica->raft = raft_new(&replica->options, &start);
    replica->commit = start.commit;
    replica->applied = base;
    (void)replica_step(replica, (struct raft_event){.type = RAFT_EVENT_TICK});
}

/* A disk as bootstrap leaves it, or with a history of terms; entry 1 is the configuration. */
static inline void replica_format(struct replica *replica, struct entry **entries,
                                  size_t entries_count, struct hard_state hard_state)
{
    for (size_t i = 0; i < entries_count; i++)
        disk_append(replica, entries[i]);
    replica->disk_commit = MIN((size_t)1, entries_count);
    replica->hard_state = hard_state;
    if (entries_count > 0) {
        replica->world->indexes[1].committed = entries[0];
        replica->world->committed = MAX(replica->world->committed, (raft_index)1);
    }
}

static inline void world_init(struct world *world, size_t replicas_count,
                              const struct raft_options *options)
{
    world->replicas_count = replicas_count;
    world->load_count = 3;
    world->replicas = mem_alloc_array(REPLICAS_MAX, sizeof *world->replicas);
    world->indexes = mem_alloc_array(WORLD_INDEX_MAX + 1, sizeof *world->indexes);
    world->leaders = mem_alloc_array(WORLD_TERM_MAX + 1, sizeof *world->leaders);
    world->read_floors = mem_alloc_array(WORLD_READS_MAX, sizeof *world->read_floors);
    for (size_t i = 0; i < REPLICAS_MAX; i++)
        world->replicas[i] = (struct replica){
            .world = world, .id = (node_id)(i + 1), .options = *options, .deadline = TIME_NEVER};
}

static inline void world_release(struct world *world)
{
    for (size_t i = 0; i < world->replicas_count; i++) {
        struct replica *replica = &world->replicas[i];
        replica_crash(replica, 0);
        for (raft_index j = 1; j <= replica->disk_last; j++)
            entry_unref(replica->disk[j]);
    }
    for (size_t i = 0; i <= WORLD_INDEX_MAX; i++)
        for (size_t j = 0; j < world->indexes[i].count; j++)
            entry_unref(world->indexes[i].entries[j]);
    mem_free(world->replicas);
    mem_free(world->indexes);
    mem_free(world->leaders);
    mem_free(world->read_floors);
}

#endif
