#include "kv/session_writes.h"

#include <assert.h>
#define XXH_INLINE_ALL /* short inputs of known length, several for each entry */
#include <xxhash.h>

#include "base/limits.h"
#include "base/mem.h"
#include "kv/txn.h"

static_assert(2 * sizeof(struct session_write) <= SESSION_RESULT_BYTES, "what it counts covers it");
static_assert(sizeof(struct session_held) + 16 <= SESSION_HELD_BYTES, "and here, with the heap's");
static_assert(LIMIT_REMEMBERED_RESULT_BYTES <= LIMIT_SESSION_RESULTS_BYTES &&
                  LIMIT_SESSION_RESULTS_BYTES <= UINT32_MAX,
              "what the last write came to is always remembered");

/* By code. A new one goes to the end: the codes are in snapshots and digests, and what is in the
 * list decides what every node remembers. */
static const enum status kept_statuses[] = {ST_OK,
                                            ST_CONDITION_FAILED,
                                            ST_NOT_INTEGER,
                                            ST_OVERFLOW,
                                            ST_UNKNOWN_MEMBER,
                                            ST_LEASE_NOT_FOUND,
                                            ST_LEASE_EXISTS,
                                            ST_TXN_TOO_LARGE,
                                            ST_COMPACTED,
                                            ST_REVISION_FUTURE};

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

struct session_held *session_held_new(const struct tree *tree, struct bytes results)
{
    REQUIRE(results.count >= 1);
    REQUIRE(results.count <= LIMIT_REMEMBERED_RESULT_BYTES);
    struct session_held *held = mem_alloc_raw(sizeof *held + results.count);
    tree_object_init(tree, &held->object);
    held->hash = XXH3_64bits(results.data, results.count);
    held->bytes_count = (uint32_t)results.count;
    memcpy(held->bytes, results.data, results.count);
    return held;
}

uint64_t session_writes_bytes(const struct session_writes *writes)
{
    return (uint64_t)SESSION_RESULT_BYTES * writes->count +
           (uint64_t)SESSION_HELD_BYTES * writes->held_count + writes->held_bytes;
}

/* `number` stands for what the write holds. */
static void store_write(const struct session_write *write, uint64_t number,
                        uint8_t out[SESSION_WRITE_BYTES])
{
    store_u64(out, write->sequence);
    store_u64(out + 8, write->fingerprint);
    store_u64(out + 16, write->revision);
    store_u64(out + 24, write->mod_revision);
    store_u64(out + 32, number);
    out[40] = write->op;
    out[41] = write->status_code;
    out[42] = write->changed;
}

uint64_t session_write_hash(const struct session_write *write)
{
    uint8_t raw[SESSION_WRITE_BYTES];
    const struct session_held *held = session_write_held(write);
    store_write(write, held != NULL ? held->hash : (uint64_t)write->number, raw);
    return XXH3_64bits(raw, sizeof raw);
}

void session_write_encode(const struct session_write *write, struct buf *out)
{
    uint8_t raw[SESSION_WRITE_BYTES];
    const struct session_held *held = session_write_held(write);
    store_write(write, held != NULL ? held->bytes_count : (uint64_t)write->number, raw);
    buf_put(out, bytes_of(raw, sizeof raw));
    if (held != NULL)
        buf_put(out, bytes_of(held->bytes, held->bytes_count));
}

size_t session_write_encoded_bytes(struct bytes in)
{
    enum { AT_NUMBER = 32, AT_OP = 40 };
    if (in.count < SESSION_WRITE_BYTES || in.data[AT_OP] != COMMAND_TXN)
        return SESSION_WRITE_BYTES;
    uint64_t held_bytes = load_u64(in.data + AT_NUMBER);
    /* More than there may be is refused by whoever decodes it. */
    return SESSION_WRITE_BYTES + (held_bytes <= LIMIT_REMEMBERED_RESULT_BYTES ? held_bytes : 0);
}

static bool is_write_op(uint8_t op)
{
    return (op >= COMMAND_PUT && op <= COMMAND_REGISTER) ||
           (op >= COMMAND_TXN && op <= COMMAND_REVOKE_LEASE) || op == COMMAND_TRANSFER;
}

static bool is_blank(const struct session_write *write)
{
    return write->fingerprint == 0 && write->revision == 0 && write->mod_revision == 0 &&
           write->number == 0 && write->status_code == 0 && !write->changed;
}

/* A transaction that was carried out holds what it came to, and nothing else does. */
static enum status take_results(struct cursor *in, struct session_write *write,
                                struct bytes *out_results)
{
    bool holds = session_status_of(write->status_code) == ST_OK;
    uint64_t bytes_count = (uint64_t)write->number;
    write->number = 0;
    if (bytes_count > LIMIT_REMEMBERED_RESULT_BYTES || holds != (bytes_count != 0))
        return ST_FORMAT;
    *out_results = cursor_take(in, (size_t)bytes_count);
    if (in->is_short)
        return ST_SHORT;
    return !holds || txn_results_are_sound(*out_results) ? ST_OK : ST_FORMAT;
}

enum status session_write_decode(struct cursor *in, struct session_write *out_write,
                                 struct bytes *out_results)
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
    *out_results = bytes_of(NULL, 0);
    enum status status = ST_OK;
    if (write.op == COMMAND_TXN)
        status = take_results(in, &write, out_results);
    *out_write = write;
    return status;
}

static void retire_slots(const struct session_writes *writes, struct tree *tree)
{
    if (writes->slots != NULL)
        tree_retire(tree, &writes->slots->object);
}

static void retire_held(const struct session_write *write, struct tree *tree)
{
    struct session_held *held = session_write_held(write);
    if (held != NULL)
        tree_retire(tree, &held->object);
}

/* `writes` stay as they are: a pin may see the session that they are part of. */
void session_writes_retire(const struct session_writes *writes, struct tree *tree)
{
    for (uint32_t i = 0; i < writes->count && writes->held_count != 0; i++)
        retire_held(session_writes_at(writes, i), tree);
    retire_slots(writes, tree);
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
    retire_slots(writes, tree);
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

/* One more that holds results, or (-1) one less. */
static void note_held(struct session_writes *writes, const struct session_write *write, int by)
{
    const struct session_held *held = session_write_held(write);
    if (held == NULL)
        return;
    writes->held_count += (uint32_t)by;
    writes->held_bytes += (uint32_t)by * held->bytes_count;
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
    note_held(writes, write, 1);
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
        const struct session_write *write = session_writes_at(writes, 0);
        writes->hash -= session_write_hash(write);
        note_held(writes, write, -1);
        retire_held(write, tree);
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
