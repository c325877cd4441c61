/* The disks of a world, and replicas that live on them: writes, snapshots, crashes, restarts.
 *
 * A snapshot is a file beside the log, durable as a whole or not there. The mark that says the log
 * goes on from it is queued like any write. Where both survive a crash the log counts only if it
 * has the snapshot's entry, or goes on right behind it (docs/decisions/0009). */
#ifndef MINIKV_TESTS_UNIT_RAFT_WORLD_DISK_H
#define MINIKV_TESTS_UNIT_RAFT_WORLD_DISK_H

#include "unit/raft/world.h"

enum { WORLD_SNAPSHOT_BYTES = 1000 };

static inline void replica_deliver(struct replica *replica, struct packet *packet)
{
    if (replica->raft != NULL)
        (void)replica_step(
            replica, (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &packet->message});
    packet_free(packet);
}

/* ---- the log on disk ---- */

/* Whether the disk knows which entry is at `index`, and which. The log comes first: what is written
 * before the mark of an installed snapshot follows what was there before. */
static inline bool disk_knows(const struct replica *replica, raft_index index,
                              struct entry_id *out_id)
{
    if (index >= replica->disk_first && index <= replica->disk_last)
        *out_id = replica->disk[index]->id;
    else if (index == replica->snapshot.last.index)
        *out_id = replica->snapshot.last;
    else
        return false;
    return true;
}

static inline void disk_drop(struct replica *replica, raft_index first, raft_index last)
{
    for (raft_index i = first; i <= last; i++) {
        entry_unref(replica->disk[i]);
        replica->disk[i] = NULL;
    }
}

static inline void disk_append(struct replica *replica, struct entry *entry)
{
    raft_index index = entry->id.index;
    struct entry_id prev = {0};
    WORLD_CHECK(replica->world, index >= replica->disk_first && index <= replica->disk_last + 1);
    bool is_known = index == 1 || disk_knows(replica, index - 1, &prev);
    if (!is_known) /* a newer snapshot waits for its mark */
        prev = replica->world->indexes[index - 1].committed->id;
    check_entry(replica->world, entry, prev.term);
    disk_drop(replica, index, replica->disk_last);
    replica->disk[index] = entry_ref(entry);
    replica->disk_last = index;
}

/* The log goes on from its entry `last`, or, if it has another there or none, begins anew. */
static inline void disk_mark(struct replica *replica, struct entry_id last)
{
    bool is_there = last.index >= replica->disk_first && last.index <= replica->disk_last;
    if (is_there && entry_id_equal(replica->disk[last.index]->id, last))
        return;
    if (replica->disk_first == last.index + 1)
        return; /* it begins behind the snapshot already */
    disk_drop(replica, replica->disk_first, replica->disk_last);
    replica->disk_first = last.index + 1;
    replica->disk_last = last.index;
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
    if (write.mark.index != 0)
        disk_mark(replica, write.mark);
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

/* That the log has left something behind can be said in two ways. */
static inline void replica_answer_load(struct replica *replica, struct raft_load load)
{
    struct raft_event event = {.type = RAFT_EVENT_LOADED, .loaded.peer = load.peer};
    raft_index first = load.first;
    if (first < replica->disk_first) {
        event.loaded.is_gone = first % 2 == 0 || replica->disk_last < replica->disk_first;
        event.loaded.is_oldest = !event.loaded.is_gone;
        first = replica->disk_first;
    }
    if (first <= replica->disk_last && !event.loaded.is_gone) {
        size_t count = MIN(replica->world->load_count, replica->disk_last - first + 1);
        event.loaded.entries = &replica->disk[first];
        event.loaded.entries_count = count;
    }
    event.loaded.prev.index = first - 1;
    if (first > replica->disk_first)
        event.loaded.prev = replica->disk[first - 1]->id;
    (void)replica_step(replica, event);
}

/* ---- snapshots ---- */

/* What was committed up to `index`, wherever. */
static inline struct world_snapshot world_snapshot_at(const struct world *world, raft_index index)
{
    struct world_snapshot snapshot = {.last = world->indexes[index].committed->id, .is_file = true};
    for (raft_index i = index; i >= 1; i--) {
        if (world->indexes[i].committed->type != ENTRY_CONFIG)
            continue;
        enum status status = entry_config(world->indexes[i].committed, &snapshot.config);
        REQUIRE(status == ST_OK);
        break;
    }
    return snapshot;
}

static inline void replica_tell_snapshot(struct replica *replica)
{
    struct raft_event event = {.type = RAFT_EVENT_COMPACTED};
    event.compacted.snapshot = replica->snapshot.last;
    event.compacted.bytes = WORLD_SNAPSHOT_BYTES;
    event.compacted.log_first = replica->disk_first;
    (void)replica_step(replica, event);
}

/* What the log before a snapshot is no longer needed for: its entry is on disk, and no mark waits.
 */
static inline bool may_compact(const struct replica *replica)
{
    struct entry_id last = replica->snapshot.last;
    for (size_t i = 0; i < replica->writes_count; i++)
        if (replica->writes[i].mark.index != 0)
            return false;
    return last.index >= replica->disk_first && last.index <= replica->disk_last &&
           entry_id_equal(replica->disk[last.index]->id, last);
}

/* One of what is applied; of the log on disk at most `entries_kept` entries before it stay. */
static inline void replica_take_snapshot(struct replica *replica, raft_index index,
                                         raft_index entries_kept)
{
    REQUIRE(index >= replica->snapshot.last.index && index <= replica->applied);
    replica->snapshot = world_snapshot_at(replica->world, index);
    raft_index first = entries_kept > index ? 1 : index + 1 - entries_kept;
    if (may_compact(replica) && first > replica->disk_first) {
        disk_drop(replica, replica->disk_first, first - 1);
        replica->disk_first = first;
    }
    replica_tell_snapshot(replica);
}

/* It is on this disk. An older one would not be put there. */
static inline void replica_save_snapshot(struct replica *replica, struct entry_id last)
{
    check_snapshot(replica->world, last);
    if (last.index > replica->snapshot.last.index)
        replica->snapshot = world_snapshot_at(replica->world, last.index);
}

static inline void replica_install(struct replica *replica, struct entry_id last)
{
    struct world *world = replica->world;
    struct world_snapshot snapshot = world_snapshot_at(world, last.index);
    struct raft_event event = {.type = RAFT_EVENT_INSTALLED};
    event.installed.last = last;
    event.installed.config = &snapshot.config;
    struct raft_view view;
    raft_view(replica->raft, &view);
    if (last.index <= view.commit) { /* late: nothing may come of it (FAULTS P1) */
        struct raft_view after;
        (void)replica_step(replica, event);
        raft_view(replica->raft, &after);
        WORLD_CHECK(world, after.commit == view.commit && after.last_index == view.last_index);
        return;
    }
    replica_save_snapshot(replica, last);
    WORLD_CHECK(world, replica->writes_count < 512);
    replica->writes[replica->writes_count++] =
        (struct disk_write){.mark = last, .commit = last.index, .number = ++replica->writes_number};
    world->on_write(world, replica);
    replica->applied = last.index;
    (void)replica_step(replica, event);
    WORLD_CHECK(world, replica->commit == last.index);
    replica_tell_snapshot(replica);
}

/* ---- what a node asks of its core ---- */

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

static inline struct config config_at(const struct replica *replica, raft_index index)
{
    struct config config = replica->snapshot.config;
    for (raft_index i = replica->snapshot.last.index + 1; i <= index; i++) {
        if (replica->disk[i]->type != ENTRY_CONFIG)
            continue;
        enum status status = entry_config(replica->disk[i], &config);
        REQUIRE(status == ST_OK);
    }
    return config;
}

/* The first index that a start may have in memory is behind the snapshot. */
static inline raft_index replica_base_min(const struct replica *replica)
{
    return replica->snapshot.last.index;
}

/* Starts from what is on disk, with only what follows `base` in memory; steps a first tick. */
static inline void replica_start(struct replica *replica, raft_index base, uint64_t seed)
{
    struct world *world = replica->world;
    REQUIRE(replica->raft == NULL);
    if (replica->snapshot.last.index != 0)
        disk_mark(replica, replica->snapshot.last);
    replica->disk_commit = MAX(replica->disk_commit, replica->snapshot.last.index);
    base = MAX(base, replica_base_min(replica));
    REQUIRE(base <= replica->disk_commit);
    struct raft_start start = {.hard_state = replica->hard_state,
                               .commit = replica->disk_commit,
                               .entries = &replica->disk[base + 1],
                               .entries_count = replica->disk_last - base,
                               .now = world->now};
    bool is_known = base == 0 || disk_knows(replica, base, &start.base);
    WORLD_CHECK(world, is_known);
    start.config = config_at(replica, base);
    for (raft_index i = replica->disk_first; i <= replica->disk_commit; i++)
        WORLD_CHECK(world, replica->disk[i] == world->indexes[i].committed);
    replica->options.self = replica->id;
    replica->options.seed = seed;
    replica->raft = raft_new(&replica->options, &start);
    replica->commit = start.commit;
    replica->applied = base;
    (void)replica_step(replica, (struct raft_event){.type = RAFT_EVENT_TICK});
    if (replica->snapshot.is_file)
        replica_tell_snapshot(replica);
}

/* What founding nodes begin with is no file, and no entry of their log (src/node/recover.c). */
static inline void replica_found(struct replica *replica)
{
    REQUIRE(replica->disk_first == 1 && replica->disk_last == 1);
    enum status status = entry_config(replica->disk[1], &replica->snapshot.config);
    REQUIRE(status == ST_OK);
    replica->snapshot.last = replica->disk[1]->id;
    disk_drop(replica, 1, 1);
    replica->disk_first = 2;
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
            .world = world,
            .id = (node_id)(i + 1),
            .options = *options,
            .deadline = TIME_NEVER,
            .disk_first = 1,
        };
}

static inline void world_release(struct world *world)
{
    for (size_t i = 0; i < world->replicas_count; i++) {
        struct replica *replica = &world->replicas[i];
        replica_crash(replica, 0);
        disk_drop(replica, replica->disk_first, replica->disk_last);
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
