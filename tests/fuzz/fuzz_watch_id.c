/* Any bytes as the id of an event, as in Last-Event-ID: it is none, or it leads to a place whose id
 * leads there again; and whatever state it is looked up in, the event found there is not before it.
 *
 * The first byte of an input says how the state came about. */
#include <stdint.h>

#include "base/check.h"
#include "base/limits.h"
#include "http/watch_place.h"
#include "kv/txn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static void apply(struct kv *kv, uint64_t index, const struct command *command)
{
    struct buf encoded;
    struct kv_result result;
    buf_init(&encoded, LIMIT_COMMAND_BYTES);
    command_encode(command, &encoded);
    struct proposal proposal = {.stamp_us = index, .command = buf_bytes(&encoded)};
    kv_apply(kv, (struct entry_id){1, index}, &proposal, &result);
    buf_release(&encoded);
}

/* Two keys at one revision. */
static void apply_txn(struct kv *kv, uint64_t index)
{
    struct buf txn;
    struct txn_operation a = {.op = TXN_PUT, .key = BYTES_LITERAL("a")};
    struct txn_operation b = {.op = TXN_PUT, .key = BYTES_LITERAL("b")};
    buf_init(&txn, LIMIT_TXN_BYTES);
    txn_put_head(&txn, 0, 2, 0);
    txn_put_operation(&txn, &a);
    txn_put_operation(&txn, &b);
    apply(kv, index, &(struct command){.op = COMMAND_TXN, .value = buf_bytes(&txn)});
    buf_release(&txn);
}

/* Bit by bit: one key, or two, is changed; and up to where the past is given up. */
static struct kv *new_kv(uint8_t how)
{
    struct kv *kv = kv_new(&(struct kv_options){0});
    struct command put = {.op = COMMAND_PUT, .key = BYTES_LITERAL("k")};
    struct command compact = {.op = COMMAND_COMPACT, .revision = how >> 5};
    uint64_t index = 0;
    for (unsigned bit = 0; bit < 5; bit++) {
        index++;
        if ((how & 1u << bit) != 0)
            apply_txn(kv, index);
        else
            apply(kv, index, &put);
    }
    if (compact.revision > 1)
        apply(kv, ++index, &compact);
    return kv;
}

static void check_found(const struct kv *kv, struct watch_place place)
{
    uint64_t number;
    struct kv_event event;
    if (watch_place_find(kv, place, &number) != ST_OK || number == kv_events_end(kv))
        return;
    enum status status = kv_event_at(kv, number, &event);
    INVARIANT(status == ST_OK);
    INVARIANT(event.item.mod_revision > place.revision ||
              (event.item.mod_revision == place.revision && event.nth >= place.nth));
}

static void check_again(struct watch_place place)
{
    struct buf text;
    struct watch_place again;
    buf_init(&text, 64);
    watch_id_put_place(&text, place);
    bool is_id = watch_id_parse(buf_bytes(&text), &again);
    INVARIANT(is_id && !text.is_full);
    INVARIANT(again.revision == place.revision && again.nth == place.nth);
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct watch_place place;
    if (count < 1 || !watch_id_parse(bytes_of(data + 1, count - 1), &place))
        return 0;
    struct kv *kv = new_kv(data[0]);
    check_again(place);
    check_found(kv, place);
    kv_free(kv);
    return 0;
}
