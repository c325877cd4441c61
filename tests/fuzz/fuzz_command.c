/* Any bytes as a command: what decodes encodes to the same bytes, and applying them to two states
 * never ends the process and leaves both equal, though one is written and read back half-way.
 *
 * The first byte of an input says how many commands follow one another in it, each behind its u16
 * count of bytes, so that later ones meet what earlier ones have made. */
#include <stdint.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/limits.h"
#include "kv/kv.h"

enum {
    STATE_BYTES = 2000,
    PAST_EVENTS = 7,
    PAST_BYTES = 900,
    STAMP_US = 500000 /* from one command to the next, so that short leases expire on the way */
};

static const struct kv_options options = {
    .state_bytes_max = STATE_BYTES, .past_events_max = PAST_EVENTS, .past_bytes_max = PAST_BYTES};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static void check_codec(struct bytes bytes)
{
    struct command command;
    enum command_op op = command_peek(bytes);
    if (command_decode(bytes, &command) != ST_OK)
        return;
    struct buf again;
    buf_init(&again, LIMIT_COMMAND_BYTES);
    command_encode(&command, &again);
    INVARIANT(bytes_equal(buf_bytes(&again), bytes));
    INVARIANT(op == command.op);
    INVARIANT(bytes_equal(command_peek_key(bytes), command.key));
    struct client_identity identity;
    bool has_identity = command_peek_identity(bytes, &identity);
    INVARIANT(has_identity == (command.identity.client.count != 0));
    INVARIANT(IMPLIES(has_identity, bytes_equal(identity.client, command.identity.client)));
    buf_release(&again);
}

static struct kv *new_kv(void)
{
    struct kv *kv = kv_new(&options);
    struct config config = {.members_count = 2,
                            .members = {{.id = 1, .is_voter = true, .peer = {"a", 1}},
                                        {.id = 2, .is_voter = false, .peer = {"b", 2}}}};
    kv_apply_config(kv, (struct entry_id){1, 1}, &config);
    return kv;
}

static void apply(struct kv *kv, uint64_t index, struct bytes bytes, struct kv_result *out_result)
{
    struct proposal proposal = {.stamp_us = index * STAMP_US, .command = bytes};
    kv_apply(kv, (struct entry_id){1, index}, &proposal, out_result);
}

/* What the state answers without an entry is what it would have answered to the entry. */
static void check_recall(bool is_known, const struct kv_result *recalled,
                         const struct kv_result *applied)
{
    if (!is_known)
        return;
    INVARIANT(recalled->status == applied->status);
    INVARIANT(recalled->is_replayed == applied->is_replayed);
    INVARIANT(recalled->revision == applied->revision);
    INVARIANT(recalled->number == applied->number);
    INVARIANT(!applied->changed);
}

static struct kv *reload(struct kv *kv)
{
    struct kv *again = NULL;
    struct buf bytes;
    buf_init(&bytes, 16 * MIB);
    kv_encode(kv, &bytes);
    enum status status = kv_decode(buf_bytes(&bytes), &options, &again);
    INVARIANT(status == ST_OK);
    INVARIANT(kv_digest(again) == kv_digest(kv));
    buf_release(&bytes);
    kv_free(kv);
    return again;
}

/* As a state; only for what happens on the way. */
static void check_state(struct bytes bytes)
{
    struct kv *kv;
    if (bytes.count == 0)
        return;
    if (kv_decode(bytes, &(struct kv_options){0}, &kv) != ST_OK)
        return;
    kv_check(kv);
    kv_free(kv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct cursor cursor = cursor_of(bytes_of(data, count));
    struct kv *one = new_kv();
    struct kv *two = new_kv();
    uint64_t index = 1;
    for (uint8_t left = cursor_u8(&cursor); left > 0 && !cursor.is_short; left--) {
        struct command command;
        struct kv_result result, same, recalled;
        struct bytes bytes = cursor_take(&cursor, cursor_u16(&cursor));
        check_codec(bytes);
        index++;
        kv_prefetch_commands(one, &bytes, 1);
        /* Only what a front door has encoded is asked about. */
        bool is_known =
            command_decode(bytes, &command) == ST_OK && kv_recall(two, bytes, 0, &recalled);
        apply(one, index, bytes, &result);
        apply(two, index, bytes, &same);
        check_recall(is_known, &recalled, &same);
        INVARIANT(result.status == same.status);
        INVARIANT(kv_digest(one) == kv_digest(two));
        if (left % 4 == 0)
            two = reload(two);
    }
    check_codec(cursor.rest);
    check_state(cursor.rest);
    kv_check(one);
    kv_free(one);
    kv_free(two);
    return 0;
}
