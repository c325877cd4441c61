#include "storage/wal_terms.h"

#include <string.h>

#include "base/mem.h"

enum { RUNS_MIN = 16 };

void wal_terms_init(struct wal_terms *terms)
{
    *terms = (struct wal_terms){0};
}

void wal_terms_release(struct wal_terms *terms)
{
    mem_free(terms->runs);
    *terms = (struct wal_terms){0};
}

void wal_terms_add(struct wal_terms *terms, struct entry_id id)
{
    REQUIRE(id.index > 0);
    REQUIRE(terms->runs_count == 0 || id.index == terms->last + 1);
    terms->last = id.index;
    if (terms->runs_count > 0 && terms->runs[terms->runs_count - 1].term == id.term)
        return;
    if (terms->runs_count == terms->capacity) {
        terms->capacity = MAX(terms->capacity * 2, (size_t)RUNS_MIN);
        terms->runs = mem_realloc(terms->runs, terms->capacity * sizeof *terms->runs);
    }
    terms->runs[terms->runs_count++] = id;
}

void wal_terms_cut(struct wal_terms *terms, raft_index from)
{
    REQUIRE(from > 0);
    while (terms->runs_count > 0 && terms->runs[terms->runs_count - 1].index >= from)
        terms->runs_count--;
    terms->last = terms->runs_count > 0 ? MIN(terms->last, from - 1) : 0;
}

void wal_terms_drop(struct wal_terms *terms, raft_index first)
{
    size_t gone = 0;
    while (gone + 1 < terms->runs_count && terms->runs[gone + 1].index <= first)
        gone++;
    terms->runs_count -= gone;
    if (gone > 0)
        memmove(terms->runs, terms->runs + gone, terms->runs_count * sizeof *terms->runs);
}

raft_term wal_terms_at(const struct wal_terms *terms, raft_index index)
{
    if (terms->runs_count == 0 || index > terms->last)
        return 0;
    for (size_t i = terms->runs_count; i > 0; i--)
        if (terms->runs[i - 1].index <= index)
            return terms->runs[i - 1].term;
    return 0;
}
