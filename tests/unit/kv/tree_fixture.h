/* What the tests of the tree share: records with a number in them, and keys of chosen shapes. */
#ifndef MINIKV_TESTS_UNIT_KV_TREE_FIXTURE_H
#define MINIKV_TESTS_UNIT_KV_TREE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/prng.h"
#include "kv/tree.h"

struct record {
    struct tree_item item;
    uint64_t number;
    uint8_t key[];
};

static inline const struct record *record_of(const struct tree_item *item)
{
    return (const struct record *)(const void *)item;
}

static inline struct record *fixture_record(struct bytes key, uint64_t number)
{
    struct record *record = mem_alloc(sizeof *record + key.count);
    record->item.key_offset = offsetof(struct record, key);
    record->item.key_bytes = (uint16_t)key.count;
    record->number = number;
    memcpy(record->key, key.data, key.count);
    return record;
}

static inline void fixture_put(struct tree *tree, struct bytes key, uint64_t number)
{
    struct tree_cursor cursor;
    (void)tree_find(tree_view(tree), key, &cursor);
    tree_put_at(tree, &cursor, &fixture_record(key, number)->item);
}

static inline bool fixture_delete(struct tree *tree, struct bytes key)
{
    struct tree_cursor cursor;
    if (tree_find(tree_view(tree), key, &cursor) == NULL)
        return false;
    tree_delete_at(tree, &cursor);
    return true;
}

/* The numbers of a view, in the order of its keys. */
struct numbers {
    uint64_t *values; /* owned */
    size_t count;
};

static inline struct numbers fixture_walk(struct tree_view view)
{
    struct numbers numbers = {.values = mem_alloc_array(view.items_count + 1, sizeof(uint64_t))};
    struct tree_cursor cursor;
    const struct tree_item *item;
    (void)tree_find(view, bytes_of(NULL, 0), &cursor);
    while ((item = tree_next(&cursor)) != NULL && numbers.count <= view.items_count)
        numbers.values[numbers.count++] = record_of(item)->number;
    return numbers;
}

#endif
