#include "kv/session_writes.h"

#include <assert.h>
#define XXH_INLINE_ALL /* short inputs of known length, several for each entry */
#include <xxhash.h>

#include "base/mem.h"

static_assert(2 * sizeof(struct session_write) <= SESSION_RESULT_BYTES, "what it counts covers it");

/* By code. A new one goes to the end: the codes are in snapshots and digests, and what is in the
 * list decides what every node remembers. */
static const enum status kept_statuses[] = {ST_OK, ST_CONDITION_FAILED, ST_NOT_INTEGER, ST_OVERFLOW,
                                            ST_UNKNOWN_MEMBER};

bool session_keeps(enum status status)
{
    for (size_t i = 0; i < ARRAY_COUNT(kept_statuses); i++)
        if (kept_statuses[i] == status)
            return true;
    return false;
}

uint8_t session_status_code(enum status status)
{
    uint8_t code = 0;
    while (kept_statuses[code] != status) {
        code++;
        REQUIRE(code < ARRAY_COUNT(kept_statuses));
    }
    return code;
}

enum status session_status_of(uint8_t code)
{
    REQUIRE(code < ARRAY_COUNT(kept_statuses));
    return kept_statuses[code];
}

static void store_write(const struct session_write *write, uint8_t out[SESSION_WRITE_BYTES])
{
    store_u64(out, write->sequence);
    store_u64(out + 8, write->fingerprint);
    store_u64(out + 16, write->revision);
    store_u64(out + 24, write->mod_revision);
    store_u64(out + 32, (uint64_t)write->number);
    out[40] = write->op;
    out[41] = write->status_code;
    out[42] = write->changed;
}

uint64_t session_write_hash(const struct session_write *write)
{
    uint8_t raw[SESSION_WRITE_BYTES];
    store_write(write, raw);
    return XXH3_64bits(raw, sizeof raw);
}

void session_write_encode(const struct session_write *write, struct buf *out)
{
    uint8_t raw[SESSION_WRITE_BYTES];
    store_write(write, raw);
    buf_put(out, bytes_of(raw, sizeof raw));
}

static bool is_write_op(uint8_t op)
{
    return (op >= COMMAND_PUT && op <= COMMAND_REGISTER) || op == COMMAND_TRANSFER;
}

static bool is_blank(const struct session_write *write)
{
    return write->fingerprint == 0 && write->revision == 0 && write->mod_revision == 0 &&
           write->number == 0 && write->status_code == 0 && !write->changed;
}

enum status session_write_decode(struct cursor *in, struct session_write *out_write)
{
    struct session_write write = {.sequence = cursor_u64(in),
                                  .fingerprint = cursor_u64(in),
                                  .revision = cursor_u64(in),
                                  .mod_revision = cursor_u64(in),
                                  .number = (int64_t)cursor_u64(in),
                                  .op = cursor_u8(in),
                                  .status_code = cursor_u8(in)};
    uint8_t changed = cursor_u8(in);
    write.changed = changed == 1;
    if (in->is_short)
        return ST_SHORT;
    if (changed > 1 || write.status_code >= ARRAY_COUNT(kept_statuses) ||
        (write.changed && session_status_of(write.status_code) != ST_OK))
        return ST_FORMAT;
    if (write.op == SESSION_OP_SEALED ? !is_blank(&write) : !is_write_op(write.op))
        return ST_FORMAT;
    *out_write = write;
    return ST_OK;
}

/* `writes` stay as they are: a pin may see the session that they are part of. */
void session_writes_retire(const struct session_writes *writes, struct tree *tree)
{
    if (writes->slots != NULL)
        tree_retire(tree, &writes->slots->object);
}

const struct session_write *session_writes_find(const struct session_writes *writes,
                                                uint64_t sequence, uint32_t *out_at)
{
    uint32_t low = 0;
    uint32_t high = writes->count;
    /* Clients count up: most are behind the last, or are the last. */
    if (high != 0 && session_writes_at(writes, high - 1)->sequence < sequence)
        low = high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (session_writes_at(writes, middle)->sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    *out_at = low;
    if (low == writes->count || session_writes_at(writes, low)->sequence != sequence)
        return NULL;
    return session_writes_at(writes, low);
}

static void move_to(struct session_writes *writes, struct tree *tree, uint32_t capacity)
{
    REQUIRE(capacity >= writes->count);
    struct session_slots *slots = mem_alloc_raw(sizeof *slots + capacity * sizeof *slots->at);
    tree_object_init(tree, &slots->object);
    if (writes->count != 0)
        memcpy(slots->at, writes->slots->at + writes->first, writes->count * sizeof *slots->at);
    session_writes_retire(writes, tree);
    writes->slots = slots;
    writes->first = 0;
    writes->capacity = capacity;
}

static bool is_pinned(const struct session_writes *writes, const struct tree *tree)
{
    return writes->slots != NULL && tree_is_pinned(tree, &writes->slots->object);
}

/* Makes room for one more behind the last, in slots that may be changed: at the front, if an eighth
 * is free there, so that each write is moved a bounded number of times; else by growing. */
static void make_room(struct session_writes *writes, struct tree *tree)
{
    bool may_change = !is_pinned(writes, tree);
    if (may_change && writes->first + writes->count < writes->capacity)
        return;
    if (may_change && writes->first > writes->capacity / 8) {
        memmove(writes->slots->at, writes->slots->at + writes->first,
                writes->count * sizeof *writes->slots->at);
        writes->first = 0;
    } else {
        move_to(writes, tree, writes->count + writes->count / 2 + 1);
    }
}

void session_writes_insert(struct session_writes *writes, struct tree *tree, uint32_t at,
                           const struct session_write *write)
{
    REQUIRE(at <= writes->count);
    REQUIRE(at == 0 || session_writes_at(writes, at - 1)->sequence < write->sequence);
    REQUIRE(at == writes->count || session_writes_at(writes, at)->sequence > write->sequence);
    make_room(writes, tree);
    struct session_write *slot = writes->slots->at + writes->first + at;
    if (at < writes->count)
        memmove(slot + 1, slot, (writes->count - at) * sizeof *slot);
    *slot = *write;
    writes->count++;
    writes->hash += session_write_hash(write);
}

/* Half empty and more: gives memory back, and leaves room enough not to grow again at once. */
static void give_back(struct session_writes *writes, struct tree *tree)
{
    if (writes->capacity > 2 * MAX(writes->count, 1u))
        move_to(writes, tree, MAX(writes->count + writes->count / 2, 1u));
}

/* Moves `first` only: slots that a pin sees stay as they are. */
uint32_t session_writes_drop(struct session_writes *writes, struct tree *tree, uint64_t floor)
{
    uint32_t dropped_count = 0;
    while (writes->count != 0 && session_writes_at(writes, 0)->sequence <= floor) {
        writes->hash -= session_write_hash(session_writes_at(writes, 0));
        writes->first++;
        writes->count--;
        dropped_count++;
    }
    if (writes->count == 0)
        writes->first = 0;
    if (dropped_count != 0)
        give_back(writes, tree);
    return dropped_count;
}
