#include "support/wal_rig.h"

#include "base/mem.h"

void wal_rig_init(struct wal_rig *rig, struct env *env)
{
    *rig = (struct wal_rig){.env = env,
                            .options = {.directory = "wal",
                                        .segment_bytes = RIG_SEGMENT_BYTES,
                                        .owner = {0x1111, 0x2222},
                                        .idle_seal = RIG_IDLE_SEAL_US}};
}

void wal_rig_release(struct wal_rig *rig)
{
    wal_rig_close(rig);
    disk_env_free(rig->env);
    mem_free(rig->records);
    mem_free(rig->appends);
    mem_free(rig->found);
}

static void on_durable(void *ctx, uint64_t sequence)
{
    struct wal_rig *rig = ctx;
    REQUIRE(rig->failures_count == 0);
    REQUIRE(sequence > rig->sequence_durable);
    rig->sequence_durable = sequence;
    size_t done = 0;
    while (done < rig->appends_count && rig->appends[done].sequence <= sequence)
        rig->acked_count = rig->appends[done++].records_end;
    REQUIRE(done > 0);
    rig->appends_count -= done;
    memmove(rig->appends, rig->appends + done, rig->appends_count * sizeof *rig->appends);
}

static void on_room(void *ctx, bool is_out_of_space)
{
    struct wal_rig *rig = ctx;
    REQUIRE(is_out_of_space == (rig->room_changes_count % 2 == 0));
    rig->room_changes_count++;
}

static void on_failed(void *ctx, enum status status)
{
    struct wal_rig *rig = ctx;
    rig->failure = status;
    rig->failures_count++;
}

static void on_entry(void *ctx, struct entry *entry)
{
    struct wal_rig *rig = ctx;
    if (rig->found_count == rig->found_capacity) {
        rig->found_capacity = rig->found_capacity * 2 + 64;
        rig->found = mem_realloc(rig->found, rig->found_capacity * sizeof *rig->found);
    }
    rig->found[rig->found_count++] = (struct rig_record){.is_entry = true,
                                                         .id = entry->id,
                                                         .checksum = entry->checksum,
                                                         .data_bytes = entry->data_bytes};
}

/* What the records up to some point come to. */
struct state {
    struct hard_state hard_state;
    struct entry_id last, marked;
    raft_index base, commit;
};

static void take_record(struct state *state, const struct rig_record *record)
{
    state->commit = record->commit;
    if (record->is_entry) {
        state->last = record->id;
    } else if (record->is_mark) {
        state->marked = record->id;
        if (record->begins_anew) {
            state->last = record->id;
            state->base = record->id.index;
        }
    } else {
        state->hard_state = record->hard_state;
    }
}

/* The state after the first `count` records becomes the model's. */
static void rewind_to(struct wal_rig *rig, size_t count)
{
    struct state state = {0};
    for (size_t i = 0; i < count; i++)
        take_record(&state, &rig->records[i]);
    rig->records_count = count;
    rig->acked_count = count;
    rig->hard_state = state.hard_state;
    rig->last = state.last;
    rig->marked = state.marked;
    rig->base = state.base;
    rig->commit = state.commit;
}

static bool is_same_entry(const struct rig_record *a, const struct rig_record *b)
{
    return entry_id_equal(a->id, b->id) && a->checksum == b->checksum &&
           a->data_bytes == b->data_bytes;
}

/* The entries that recovery gave are the last ones of the first `count` records, and those in front
 * of them are such as compaction could give up. Compared from the end: an id may stand in the log
 * twice, superseded and appended again, and the first of the two may be gone. */
static bool are_entries_right(const struct wal_rig *rig, size_t count)
{
    size_t left = rig->found_count;
    for (size_t i = count; i > 0; i--) {
        const struct rig_record *record = &rig->records[i - 1];
        if (!record->is_entry)
            continue;
        if (left == 0 && record->id.index >= rig->first_kept)
            return false;
        if (left > 0 && !is_same_entry(record, &rig->found[--left]))
            return false;
    }
    return left == 0;
}

static bool is_as_found(const struct wal_rig *rig, const struct state *state, size_t count)
{
    const struct wal_recovered *found = &rig->recovered;
    return entry_id_equal(found->last, state->last) &&
           entry_id_equal(found->snapshot, state->marked) &&
           found->hard_state.term == state->hard_state.term &&
           found->hard_state.vote == state->hard_state.vote && are_entries_right(rig, count);
}

/* The largest number of records after which the state is as found; SIZE_MAX: none. */
static size_t find_recovered(const struct wal_rig *rig)
{
    struct state state = {0};
    size_t matching = SIZE_MAX;
    for (size_t count = 0; count <= rig->records_count; count++) {
        if (count > 0)
            take_record(&state, &rig->records[count - 1]);
        if (is_as_found(rig, &state, count))
            matching = count;
    }
    return matching;
}

/* Everything from the entry on that had to be kept can be read, and nothing from before a log that
 * began anew. */
static bool is_first_right(const struct wal_rig *rig, raft_index first)
{
    if (rig->last.index == rig->base)
        return first == 0;
    if (first == 0)
        return rig->last.index < rig->first_kept;
    return first > rig->base && first <= MAX(rig->first_kept, rig->base + 1);
}

/* What recovery found is the state after some number of records, not fewer than were acknowledged.
 */
static bool accept_recovered(struct wal_rig *rig)
{
    const struct wal_recovered *found = &rig->recovered;
    raft_index commit_min = rig->acked_count > 0 ? rig->records[rig->acked_count - 1].commit : 0;
    if (found->commit > rig->commit || found->commit < MIN(commit_min, found->last.index))
        return false;
    size_t count = find_recovered(rig);
    if (count == SIZE_MAX || count < rig->acked_count)
        return false;
    rewind_to(rig, count);
    rig->commit = MAX(rig->commit, found->commit);
    return is_first_right(rig, found->first);
}

enum status wal_rig_open(struct wal_rig *rig)
{
    REQUIRE(rig->wal == NULL);
    struct wal_callbacks callbacks = {
        .on_durable = on_durable, .on_failed = on_failed, .ctx = rig, .on_room = on_room};
    rig->found_count = 0;
    rig->appends_count = 0;
    rig->sequence_durable = 0;
    rig->failure = ST_OK;
    rig->failures_count = 0;
    rig->room_changes_count = 0;
    rig->error = (struct errtext){0};
    struct wal *wal;
    enum status status = wal_open(rig->env, &rig->options, &callbacks, on_entry, rig, &wal,
                                  &rig->recovered, &rig->error);
    if (status != ST_OK)
        return status;
    rig->wal = wal;
    if (!accept_recovered(rig)) {
        errtext_set(&rig->error,
                    "records were lost or invented: %zu of %zu acknowledged, %zu entries found",
                    rig->acked_count, rig->records_count, rig->found_count);
        return ST_CONDITION_FAILED;
    }
    return ST_OK;
}

void wal_rig_close(struct wal_rig *rig)
{
    wal_close(rig->wal);
    rig->wal = NULL;
}

void wal_rig_kill(struct wal_rig *rig)
{
    wal_rig_close(rig);
    disk_env_kill(rig->env);
}

void wal_rig_cut_power(struct wal_rig *rig)
{
    wal_rig_close(rig);
    disk_env_cut_power(rig->env);
}

struct entry *wal_rig_entry(uint64_t seed, struct entry_id id, size_t data_bytes)
{
    struct prng prng;
    prng_init(&prng, seed);
    struct entry *entry = entry_new(data_bytes == 0 ? ENTRY_NOOP : ENTRY_COMMAND, data_bytes);
    for (size_t i = 0; i < data_bytes; i += sizeof(uint64_t)) {
        uint64_t random = prng_next(&prng);
        memcpy(entry->data + i, &random, MIN(data_bytes - i, sizeof random));
    }
    entry_seal(entry, id);
    return entry;
}

static void add_record(struct wal_rig *rig, struct rig_record record)
{
    if (rig->records_count == rig->records_capacity) {
        rig->records_capacity = rig->records_capacity * 2 + 64;
        rig->records = mem_realloc(rig->records, rig->records_capacity * sizeof *rig->records);
    }
    rig->records[rig->records_count++] = record;
}

static void note_sequence(struct wal_rig *rig, uint64_t sequence)
{
    if (rig->appends_count == rig->appends_capacity) {
        rig->appends_capacity = rig->appends_capacity * 2 + 64;
        rig->appends = mem_realloc(rig->appends, rig->appends_capacity * sizeof *rig->appends);
    }
    rig->appends[rig->appends_count++] =
        (struct rig_append){.sequence = sequence, .records_end = rig->records_count};
}

static void note_append(struct wal_rig *rig, const struct hard_state *hard_state,
                        struct entry *const *entries, size_t count, uint64_t sequence)
{
    if (hard_state != NULL) {
        rig->hard_state = *hard_state;
        add_record(rig, (struct rig_record){.hard_state = *hard_state, .commit = rig->commit});
    }
    for (size_t i = 0; i < count; i++) {
        rig->last = entries[i]->id;
        add_record(rig, (struct rig_record){.is_entry = true,
                                            .id = entries[i]->id,
                                            .checksum = entries[i]->checksum,
                                            .data_bytes = entries[i]->data_bytes,
                                            .commit = rig->commit});
    }
    note_sequence(rig, sequence);
}

enum status wal_rig_append(struct wal_rig *rig, const struct hard_state *hard_state,
                           struct entry_id first, size_t count, size_t data_bytes)
{
    struct entry **entries = mem_alloc_array(count + 1, sizeof *entries);
    for (size_t i = 0; i < count; i++)
        entries[i] = wal_rig_entry(rig->records_count * 1000 + i,
                                   (struct entry_id){first.term, first.index + i}, data_bytes);
    uint64_t sequence;
    enum status status = wal_append(rig->wal, hard_state, entries, count, rig->commit, &sequence);
    if (status == ST_OK)
        note_append(rig, hard_state, entries, count, sequence);
    for (size_t i = 0; i < count; i++)
        entry_unref(entries[i]);
    mem_free(entries);
    return status;
}

enum status wal_rig_append_random(struct wal_rig *rig, struct prng *prng)
{
    static const size_t sizes[] = {0, 1, 20, 100, 100, 500, 3000, 4096, 9000, 40000};
    struct hard_state hard_state = rig->hard_state;
    struct entry_id first = {MAX(rig->last.term, 1), rig->last.index + 1};
    /* An entry's term is in the hard state first, so that no id names two different entries. */
    bool has_hard_state = prng_below(prng, 5) == 0 || hard_state.term == 0;
    size_t count = (size_t)prng_below(prng, 4);
    if (rig->last.index > rig->commit && prng_below(prng, 3) == 0)
        rig->commit += prng_below(prng, rig->last.index - rig->commit);
    if (has_hard_state) {
        hard_state.term += 1 + prng_below(prng, 2);
        hard_state.vote = (node_id)prng_below(prng, 4);
        first.term = hard_state.term;
    }
    if (has_hard_state && rig->last.index > rig->commit && prng_below(prng, 2) == 0)
        first.index = rig->commit + 1 + prng_below(prng, rig->last.index - rig->commit);
    if (!has_hard_state && count == 0)
        count = 1;
    return wal_rig_append(rig, has_hard_state ? &hard_state : NULL, first, count,
                          sizes[prng_below(prng, ARRAY_COUNT(sizes))]);
}

/* Whether the model's log has this very entry. */
static bool is_held(const struct wal_rig *rig, struct entry_id id)
{
    bool is_held = false;
    for (size_t i = 0; i < rig->records_count; i++) {
        const struct rig_record *record = &rig->records[i];
        if (record->is_entry && record->id.index <= id.index)
            is_held = entry_id_equal(record->id, id);
        else if (record->is_mark)
            is_held = entry_id_equal(record->id, id) || (is_held && !record->begins_anew);
    }
    return is_held;
}

enum status wal_rig_mark(struct wal_rig *rig, struct entry_id snapshot)
{
    bool begins_anew = !is_held(rig, snapshot);
    uint64_t sequence;
    enum status status = wal_mark(rig->wal, snapshot, &sequence);
    if (status != ST_OK)
        return status;
    rig->commit = MAX(rig->commit, snapshot.index);
    rig->marked = snapshot;
    if (begins_anew) {
        rig->last = snapshot;
        rig->base = snapshot.index;
    }
    add_record(rig, (struct rig_record){.is_mark = true,
                                        .begins_anew = begins_anew,
                                        .id = snapshot,
                                        .commit = rig->commit});
    note_sequence(rig, sequence);
    return ST_OK;
}

/* The entry of this index, as appended last. */
static struct entry_id newest_id(const struct wal_rig *rig, raft_index index)
{
    struct entry_id id = {0};
    for (size_t i = 0; i < rig->records_count; i++)
        if (rig->records[i].is_entry && rig->records[i].id.index == index)
            id = rig->records[i].id;
    return id;
}

enum status wal_rig_mark_random(struct wal_rig *rig, struct prng *prng)
{
    raft_index oldest = MAX(rig->marked.index, rig->base) + 1;
    if (prng_below(prng, 4) != 0 && rig->commit >= oldest) {
        raft_index index = oldest + prng_below(prng, rig->commit - oldest + 1);
        return wal_rig_mark(rig, newest_id(rig, index)); /* its own */
    }
    if (prng_below(prng, 4) == 0 && rig->marked.index > 0)
        return wal_rig_mark(rig, rig->marked); /* once more */
    struct hard_state hard_state = {.term = rig->hard_state.term + 1};
    raft_index behind = MAX(rig->last.index, rig->commit) + 3 - rig->commit;
    struct entry_id fetched = {hard_state.term, rig->commit + 1 + prng_below(prng, behind)};
    enum status status = wal_rig_append(rig, &hard_state, (struct entry_id){0}, 0, 0);
    return status == ST_OK ? wal_rig_mark(rig, fetched) : status;
}

struct entry_id wal_rig_durable_mark(const struct wal_rig *rig)
{
    struct entry_id marked = {0};
    for (size_t i = 0; i < rig->acked_count; i++)
        if (rig->records[i].is_mark)
            marked = rig->records[i].id;
    return marked;
}

void wal_rig_compact(struct wal_rig *rig, raft_index first_kept)
{
    rig->first_kept = MAX(rig->first_kept, first_kept);
    wal_compact(rig->wal, first_kept);
}

bool wal_rig_settle(struct wal_rig *rig)
{
    time_us end = env_now(rig->env) + RIG_SETTLE_US;
    while (rig->appends_count > 0)
        if (rig->failures_count > 0 || env_now(rig->env) > end || !disk_env_step(rig->env))
            return false;
    return true;
}

/* The newest record of each index: the last one that was appended. Gives ownership. */
static const struct rig_record **newest_records(const struct wal_rig *rig)
{
    const struct rig_record **newest = mem_alloc_array(rig->last.index + 1, sizeof(void *));
    for (size_t i = 0; i < rig->records_count; i++)
        if (rig->records[i].is_entry && rig->records[i].id.index <= rig->last.index)
            newest[rig->records[i].id.index] = &rig->records[i];
    return newest;
}

static const char *compare_entry(const struct rig_record *record, const struct entry *entry)
{
    if (record == NULL || !entry_id_equal(record->id, entry->id))
        return "another entry was read";
    return record->checksum == entry->checksum ? NULL : "other data was read";
}

enum { READ_ENTRIES_MAX = 16 };

/* Reads some entries from `index` on. Returns NULL, or what is wrong. */
static const char *read_some(struct wal_rig *rig, struct prng *prng, raft_index index,
                             const struct rig_record **newest, size_t *out_count)
{
    struct entry *entries[READ_ENTRIES_MAX];
    size_t bytes_max = (size_t)prng_below(prng, 100000);
    size_t entries_max = 1 + (size_t)prng_below(prng, READ_ENTRIES_MAX);
    const char *wrong = NULL;
    if (wal_read(rig->wal, index, bytes_max, entries, entries_max, out_count, &rig->error) != ST_OK)
        return rig->error.text;
    size_t bytes = 0;
    for (size_t i = 0; i < *out_count; i++) {
        if (wrong == NULL)
            wrong = compare_entry(newest[index + i], entries[i]);
        bytes += entry_bytes(entries[i]);
        entry_unref(entries[i]);
    }
    if (*out_count == 0 || *out_count > entries_max || (*out_count > 1 && bytes > bytes_max))
        return "another number of entries was read than asked for";
    return wrong;
}

const char *wal_rig_compare(struct wal_rig *rig, struct prng *prng)
{
    REQUIRE(rig->appends_count == 0);
    struct entry *entry;
    struct wal_stats stats;
    size_t count = 0;
    wal_stats(rig->wal, &stats);
    if (!is_first_right(rig, stats.first))
        return "the log begins with another entry than it may";
    if (wal_read(rig->wal, rig->last.index + 1, 1, &entry, 1, &count, &rig->error) != ST_NOT_FOUND)
        return "an entry behind the last was read";
    if (wal_read(rig->wal, MAX(stats.first, 1) - 1, 1, &entry, 1, &count, &rig->error) !=
        ST_NOT_FOUND)
        return "an entry before the first was read";
    if (stats.first == 0)
        return NULL;
    const struct rig_record **newest = newest_records(rig);
    const char *wrong = NULL;
    for (raft_index index = stats.first; index <= rig->last.index && wrong == NULL; index += count)
        wrong = read_some(rig, prng, index, newest, &count);
    for (int i = 0; i < 10 && wrong == NULL; i++)
        wrong =
            read_some(rig, prng, stats.first + prng_below(prng, rig->last.index - stats.first + 1),
                      newest, &count);
    mem_free(newest);
    return wrong;
}
