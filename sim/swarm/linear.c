#include "sim/swarm/linear.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* Calls and answers in the order of time, in a list out of which an operation is lifted when it has
 * been given its place. */
struct point {
    size_t op; /* in search->ops */
    bool is_call;
    uint64_t at;
    size_t prev, next, match; /* in search->points; match: of a call, its answer */
};

/* An operation that was given its place, to be taken back. */
struct placed {
    size_t call; /* in points */
    uint64_t state_before;
};

/* What has been tried: a set of placed operations and the state they leave. */
struct tried {
    uint64_t *keys; /* words_count + 1 words each; owned */
    size_t slots_count, count, words_count;
    bool *is_used; /* owned */
};

struct search {
    const struct linear_op *ops;
    size_t ops_count;
    struct point *points; /* [0] is the head; owned */
    size_t points_count;
    struct placed *placed; /* owned */
    size_t placed_count;
    uint64_t *set; /* bits of placed operations, then the state; owned */
    struct tried tried;
    size_t open_count; /* known answers that still have to be explained */
};

/* ---- memory ---- */

static uint64_t hash_key(const uint64_t *key, size_t words_count)
{
    uint64_t hash = UINT64_C(0x243f6a8885a308d3);
    for (size_t i = 0; i < words_count; i++) {
        hash = (hash ^ key[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return hash;
}

static size_t find_slot(const struct tried *tried, const uint64_t *key)
{
    size_t at = hash_key(key, tried->words_count) & (tried->slots_count - 1);
    while (tried->is_used[at] && memcmp(&tried->keys[at * tried->words_count], key,
                                        tried->words_count * sizeof key[0]) != 0)
        at = (at + 1) & (tried->slots_count - 1);
    return at;
}

static void put_key(struct tried *tried, const uint64_t *key)
{
    size_t at = find_slot(tried, key);
    tried->is_used[at] = true;
    memcpy(&tried->keys[at * tried->words_count], key, tried->words_count * sizeof key[0]);
    tried->count++;
}

static void grow(struct tried *tried)
{
    struct tried old = *tried;
    tried->slots_count = old.slots_count != 0 ? old.slots_count * 2 : 1024;
    tried->count = 0;
    tried->keys = mem_alloc_array(tried->slots_count * tried->words_count, sizeof tried->keys[0]);
    tried->is_used = mem_alloc_array(tried->slots_count, sizeof tried->is_used[0]);
    for (size_t i = 0; i < old.slots_count; i++)
        if (old.is_used[i])
            put_key(tried, &old.keys[i * old.words_count]);
    mem_free(old.keys);
    mem_free(old.is_used);
}

/* False: it has been tried before. */
static bool remember(struct tried *tried, const uint64_t *key)
{
    if (tried->count * 2 >= tried->slots_count)
        grow(tried);
    if (tried->is_used[find_slot(tried, key)])
        return false;
    put_key(tried, key);
    return true;
}

/* ---- the list ---- */

static int compare_points(const void *a, const void *b)
{
    const struct point *left = a, *right = b;
    if (left->at != right->at)
        return left->at < right->at ? -1 : 1;
    return left->op < right->op ? -1 : left->op > right->op; /* only at LINEAR_NEVER */
}

static void lay_out(struct search *search)
{
    size_t count = 1;
    for (size_t i = 0; i < search->ops_count; i++) {
        const struct linear_op *op = &search->ops[i];
        REQUIRE((op->outcome == LINEAR_UNKNOWN) == (op->answered == LINEAR_NEVER));
        search->points[count++] = (struct point){.op = i, .is_call = true, .at = op->called};
        search->points[count++] = (struct point){.op = i, .at = op->answered};
        search->open_count += op->outcome != LINEAR_UNKNOWN;
    }
    qsort(search->points + 1, count - 1, sizeof search->points[0], compare_points);
    size_t *calls = mem_alloc_array(search->ops_count + 1, sizeof calls[0]);
    for (size_t i = 1; i < count; i++) {
        struct point *point = &search->points[i];
        point->prev = i - 1;
        point->next = (i + 1) % count;
        if (point->is_call)
            calls[point->op] = i;
        else
            search->points[calls[point->op]].match = i;
    }
    search->points[0] = (struct point){.next = count > 1 ? 1 : 0, .prev = count - 1};
    search->points_count = count;
    mem_free(calls);
}

static void unlink_point(struct search *search, size_t at)
{
    struct point *point = &search->points[at];
    search->points[point->prev].next = point->next;
    search->points[point->next].prev = point->prev;
}

static void relink_point(struct search *search, size_t at)
{
    struct point *point = &search->points[at];
    search->points[point->prev].next = at;
    search->points[point->next].prev = at;
}

/* ---- the search ---- */

static uint64_t *state_of(struct search *search)
{
    return &search->set[search->tried.words_count - 1];
}

/* Whether the operation can come next, and the state behind it. */
static bool can_follow(const struct linear_op *op, uint64_t state, uint64_t *out_state)
{
    *out_state = state;
    switch (op->kind) {
    case LINEAR_READ:
        return op->outcome == LINEAR_DONE && state == op->expected;
    case LINEAR_WRITE:
        *out_state = op->value;
        return true;
    case LINEAR_SWAP:
        if (op->outcome == LINEAR_REFUSED)
            return state != op->expected;
        *out_state = op->value;
        return state == op->expected; /* unknown, and finding another value: as if never */
    }
    UNREACHABLE();
}

static void set_bit(struct search *search, size_t op, bool is_set)
{
    uint64_t bit = UINT64_C(1) << op % 64;
    if (is_set)
        search->set[op / 64] |= bit;
    else
        search->set[op / 64] &= ~bit;
}

/* Gives the operation of this call its place next, unless that has been tried. */
static bool place(struct search *search, size_t call)
{
    size_t op = search->points[call].op;
    uint64_t before = *state_of(search), after;
    if (!can_follow(&search->ops[op], before, &after))
        return false;
    set_bit(search, op, true);
    *state_of(search) = after;
    if (!remember(&search->tried, search->set)) {
        set_bit(search, op, false);
        *state_of(search) = before;
        return false;
    }
    search->placed[search->placed_count++] = (struct placed){call, before};
    search->open_count -= search->ops[op].outcome != LINEAR_UNKNOWN;
    unlink_point(search, search->points[call].match);
    unlink_point(search, call);
    return true;
}

/* Takes the last one back; its call, from which to go on. */
static size_t take_back(struct search *search)
{
    struct placed last = search->placed[--search->placed_count];
    size_t op = search->points[last.call].op;
    relink_point(search, last.call);
    relink_point(search, search->points[last.call].match);
    search->open_count += search->ops[op].outcome != LINEAR_UNKNOWN;
    set_bit(search, op, false);
    *state_of(search) = last.state_before;
    return last.call;
}

static enum linear_verdict run(struct search *search, size_t steps_max, size_t *out_stuck)
{
    size_t at = search->points[0].next, deepest = 0;
    for (size_t steps = 0; search->open_count > 0; steps++) {
        if (steps >= steps_max)
            return LINEAR_UNDECIDED;
        const struct point *point = &search->points[at];
        bool is_call = at != 0 && point->is_call;
        if (is_call && place(search, at)) {
            at = search->points[0].next;
        } else if (is_call) {
            at = point->next;
        } else { /* an answer that nothing explains: somewhere above was wrong */
            if (at != 0 && at >= deepest) {
                deepest = at;
                *out_stuck = point->op;
            }
            if (search->placed_count == 0)
                return LINEAR_NO;
            at = search->points[take_back(search)].next;
        }
    }
    return LINEAR_YES;
}

enum linear_verdict linear_check(const struct linear_op *ops, size_t ops_count, size_t steps_max,
                                 size_t *out_stuck)
{
    struct search search = {.ops = ops, .ops_count = ops_count};
    search.tried.words_count = (ops_count + 63) / 64 + 1;
    search.points = mem_alloc_array(ops_count * 2 + 1, sizeof search.points[0]);
    search.placed = mem_alloc_array(ops_count + 1, sizeof search.placed[0]);
    search.set = mem_alloc_array(search.tried.words_count, sizeof search.set[0]);
    *out_stuck = 0;
    lay_out(&search);
    enum linear_verdict verdict = run(&search, steps_max, out_stuck);
    mem_free(search.points);
    mem_free(search.placed);
    mem_free(search.set);
    mem_free(search.tried.keys);
    mem_free(search.tried.is_used);
    return verdict;
}
