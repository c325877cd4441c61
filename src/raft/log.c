#include "raft/log.h"

#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "base/mem.h"

enum { SLOTS_MIN = 64 };

void raft_log_init(struct raft_log *log, struct entry_id base)
{
    *log = (struct raft_log){.base = base, .handed = base.index, .durable = base.index};
    log->capacity = SLOTS_MIN;
    log->slots = mem_alloc_array(log->capacity, sizeof *log->slots);
}

void raft_log_release(struct raft_log *log)
{
    for (size_t i = 0; i < log->count; i++)
        entry_unref(log->slots[log->head + i]);
    mem_free(log->slots);
    log->slots = NULL;
}

/* The entries slide to the front when half of the array is free there, so that they are always in
 * one piece and a message can borrow a range of them. */
static void make_room(struct raft_log *log)
{
    if (log->head + log->count < log->capacity)
        return;
    if (log->head > log->capacity / 2) {
        memmove(log->slots, log->slots + log->head, log->count * sizeof *log->slots);
        log->head = 0;
    } else {
        log->capacity *= 2;
        log->slots = mem_realloc(log->slots, log->capacity * sizeof *log->slots);
    }
}

void raft_log_append(struct raft_log *log, struct entry *entry)
{
    REQUIRE(entry->id.index == raft_log_last(log).index + 1);
    REQUIRE(entry->id.term >= raft_log_last(log).term);
    make_room(log);
    log->slots[log->head + log->count++] = entry_ref(entry);
    log->bytes += entry_bytes(entry);
}

/* Entries that the disk is still writing are to go: nothing more for it until it is done. */
static void begin_drain(struct raft_log *log)
{
    if (log->handed > log->durable && log->drain.index == 0)
        log->drain = raft_log_id(log, log->handed);
}

static void drop_newest(struct raft_log *log)
{
    struct entry *entry = log->slots[log->head + --log->count];
    log->bytes -= entry_bytes(entry);
    entry_unref(entry);
}

static void drop_oldest(struct raft_log *log)
{
    struct entry *entry = log->slots[log->head++];
    log->count--;
    log->base = entry->id;
    log->bytes -= entry_bytes(entry);
    entry_unref(entry);
}

void raft_log_cut(struct raft_log *log, raft_index first)
{
    REQUIRE(first > log->base.index);
    REQUIRE(first <= raft_log_last(log).index);
    if (first <= log->handed) {
        begin_drain(log);
        log->handed = first - 1;
        log->durable = MIN(log->durable, log->handed);
    }
    while (raft_log_last(log).index >= first)
        drop_newest(log);
}

void raft_log_evict(struct raft_log *log, raft_index index_max, size_t bytes_max)
{
    REQUIRE(index_max <= log->durable);
    while (log->bytes > bytes_max && log->base.index < index_max)
        drop_oldest(log);
}

void raft_log_install(struct raft_log *log, struct entry_id last)
{
    REQUIRE(last.index > log->base.index);
    if (raft_log_has(log, last)) {
        while (log->base.index < last.index)
            drop_oldest(log);
        log->handed = MAX(log->handed, last.index);
        log->durable = MAX(log->durable, last.index);
    } else {
        begin_drain(log);
        while (log->count > 0)
            drop_newest(log);
        log->base = last;
        log->handed = log->durable = last.index;
    }
    ENSURE(entry_id_equal(log->base, last));
}

void raft_log_mark_durable(struct raft_log *log)
{
    log->handed = log->durable = raft_log_last(log).index;
}

size_t raft_log_hand_out(struct raft_log *log, struct entry ***out_entries)
{
    size_t count = 0;
    *out_entries = NULL;
    if (log->drain.index == 0 && log->handed < raft_log_last(log).index)
        *out_entries = raft_log_tail(log, log->handed + 1, &count);
    log->handed += count;
    return count;
}

void raft_log_on_durable(struct raft_log *log, struct entry_id id)
{
    if (log->drain.index != 0) { /* of the log as it was: below the cut it is what it was */
        log->durable = MAX(log->durable, MIN(id.index, log->handed));
        if (entry_id_equal(id, log->drain))
            log->drain = (struct entry_id){0};
        return;
    }
    if (id.index > log->durable && id.index <= log->handed &&
        entry_id_equal(id, raft_log_id(log, id.index)))
        log->durable = id.index;
}

raft_index raft_log_first(const struct raft_log *log)
{
    return log->base.index + 1;
}

struct entry_id raft_log_last(const struct raft_log *log)
{
    return log->count == 0 ? log->base : log->slots[log->head + log->count - 1]->id;
}

bool raft_log_knows(const struct raft_log *log, raft_index index)
{
    return index >= log->base.index && index <= log->base.index + log->count;
}

bool raft_log_has(const struct raft_log *log, struct entry_id id)
{
    return raft_log_knows(log, id.index) && entry_id_equal(raft_log_id(log, id.index), id);
}

struct entry_id raft_log_id(const struct raft_log *log, raft_index index)
{
    REQUIRE(raft_log_knows(log, index));
    return index == log->base.index ? log->base : raft_log_entry(log, index)->id;
}

struct entry *raft_log_entry(const struct raft_log *log, raft_index index)
{
    if (index <= log->base.index || index > log->base.index + log->count)
        return NULL;
    return log->slots[log->head + (index - log->base.index - 1)];
}

struct entry **raft_log_tail(const struct raft_log *log, raft_index first, size_t *out_count)
{
    REQUIRE(first > log->base.index);
    REQUIRE(first <= log->base.index + log->count + 1);
    size_t skipped = first - log->base.index - 1;
    *out_count = log->count - skipped;
    return log->slots + log->head + skipped;
}

/* How many entries in memory have a term below this one. Terms never decrease along a log. */
static size_t count_below(const struct raft_log *log, raft_term term)
{
    size_t low = 0;
    size_t high = log->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->slots[log->head + middle]->id.term < term)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

raft_index raft_log_term_first(const struct raft_log *log, raft_index index)
{
    REQUIRE(raft_log_entry(log, index) != NULL);
    return log->base.index + 1 + count_below(log, raft_log_id(log, index).term);
}

raft_index raft_log_term_last(const struct raft_log *log, raft_term term)
{
    raft_index index = log->base.index + count_below(log, term + 1);
    return index > 0 && raft_log_id(log, index).term == term ? index : 0;
}

size_t raft_entries_fit(struct entry *const *entries, size_t entries_count, size_t *out_bytes)
{
    size_t count = 0;
    size_t bytes = 0;
    while (count < MIN(entries_count, (size_t)LIMIT_APPEND_ENTRIES)) {
        size_t more = entry_bytes(entries[count]);
        if (count > 0 && bytes + more > LIMIT_APPEND_BYTES)
            break;
        bytes += more;
        count++;
    }
    *out_bytes = bytes;
    return count;
}
