#include "sim/swarm/chronicle.h"

#include "base/mem.h"

void chronicle_init(struct chronicle *chronicle, raft_index first)
{
    *chronicle = (struct chronicle){.first = first};
}

void chronicle_release(struct chronicle *chronicle)
{
    for (size_t i = 0; i < chronicle->count; i++)
        entry_unref(chronicle->lines[i].entry);
    mem_free(chronicle->lines);
    *chronicle = (struct chronicle){0};
}

raft_index chronicle_last(const struct chronicle *chronicle)
{
    return chronicle->first + chronicle->count - 1;
}

struct chronicle_line *chronicle_at(const struct chronicle *chronicle, raft_index index)
{
    if (index < chronicle->first || index > chronicle_last(chronicle))
        return NULL;
    return &chronicle->lines[index - chronicle->first];
}

static void add(struct chronicle *chronicle, struct entry *entry, unsigned seen_by, raft_term term,
                time_us at)
{
    if (chronicle->count == chronicle->capacity) {
        chronicle->capacity = MAX(chronicle->capacity * 2, (size_t)1024);
        chronicle->lines =
            mem_realloc(chronicle->lines, chronicle->capacity * sizeof chronicle->lines[0]);
    }
    chronicle->lines[chronicle->count++] =
        (struct chronicle_line){.entry = entry, .seen_by = seen_by, .term = term, .at = at};
}

void chronicle_add(struct chronicle *chronicle, struct entry *entry, unsigned seen_by,
                   raft_term term, time_us at)
{
    REQUIRE(entry->id.index == chronicle_last(chronicle) + 1);
    add(chronicle, entry_ref(entry), seen_by, term, at);
}

void chronicle_add_unseen(struct chronicle *chronicle, unsigned seen_by, raft_term term, time_us at)
{
    add(chronicle, NULL, seen_by, term, at);
}
