/* Any bytes as a transaction: what is taken is written as the same bytes, carrying it out on two
 * states never ends the process and leaves both equal, and what it came to can be read. Any bytes
 * as what one came to: they are sound, or told not to be.
 *
 * The first byte of an input says how many transactions follow one another in it, each behind its
 * u16 count of bytes, so that later ones meet what earlier ones have made; the rest is results. */
#include <stdint.h>

#include "base/limits.h"
#include "kv/txn.h"

enum { STATE_BYTES = 4000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static void write_again(struct cursor *in, struct buf *out)
{
    struct txn_head head;
    enum status status = txn_take_head(in, &head);
    INVARIANT(status == ST_OK);
    txn_put_head(out, head.compares_count, head.success_count, head.failure_count);
    for (size_t i = 0; i < head.compares_count; i++) {
        struct txn_compare compare;
        status = txn_take_compare(in, &compare);
        INVARIANT(status == ST_OK);
        txn_put_compare(out, &compare);
    }
    for (size_t i = 0; i < head.success_count + head.failure_count; i++) {
        struct txn_operation operation;
        status = txn_take_operation(in, &operation);
        INVARIANT(status == ST_OK);
        txn_put_operation(out, &operation);
        if (operation.op == TXN_NESTED)
            write_again(in, out);
    }
}

static void check_codec(struct bytes txn)
{
    struct buf again;
    enum status status = txn_check(txn);
    if (status != ST_OK && status != ST_DUPLICATE_KEY)
        return;
    struct cursor in = cursor_of(txn);
    buf_init(&again, LIMIT_TXN_BYTES);
    write_again(&in, &again);
    INVARIANT(bytes_equal(buf_bytes(&again), txn));
    buf_release(&again);
}

static struct kv *new_kv(void)
{
    struct kv *kv = kv_new(&(struct kv_options){.state_bytes_max = STATE_BYTES});
    struct config config = {.members_count = 1,
                            .members = {{.id = 1, .is_voter = true, .peer = {"a", 1}}}};
    kv_apply_config(kv, (struct entry_id){1, 1}, &config);
    return kv;
}

static void apply(struct kv *kv, uint64_t index, const struct command *command,
                  struct kv_result *out_result)
{
    struct buf encoded;
    buf_init(&encoded, LIMIT_COMMAND_BYTES);
    command_encode(command, &encoded);
    struct proposal proposal = {.stamp_us = index, .command = buf_bytes(&encoded)};
    kv_apply(kv, (struct entry_id){1, index}, &proposal, out_result);
    buf_release(&encoded);
}

static void check_results(const struct kv_result *one, const struct kv_result *two)
{
    INVARIANT(one->status == two->status);
    INVARIANT(one->changed == two->changed);
    INVARIANT(bytes_equal(one->results, two->results));
    INVARIANT((one->status == ST_OK) == (one->results.count != 0));
    INVARIANT(one->status != ST_OK || txn_results_are_sound(one->results));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct cursor cursor = cursor_of(bytes_of(data, count));
    struct kv_result one_result, two_result;
    struct kv *one = new_kv();
    struct kv *two = new_kv();
    struct command grant = {.op = COMMAND_GRANT_LEASE, .lease = 7, .ttl_ms = 60000};
    uint64_t index = 2;
    apply(one, index, &grant, &one_result);
    apply(two, index, &grant, &two_result);
    for (uint8_t left = cursor_u8(&cursor); left > 0 && !cursor.is_short; left--) {
        struct bytes txn = cursor_take(&cursor, cursor_u16(&cursor));
        struct command command = {.op = COMMAND_TXN, .value = txn};
        check_codec(txn);
        index++;
        apply(one, index, &command, &one_result);
        apply(two, index, &command, &two_result);
        check_results(&one_result, &two_result);
        INVARIANT(kv_digest(one) == kv_digest(two));
    }
    (void)txn_results_are_sound(cursor.rest);
    kv_check(one);
    kv_free(one);
    kv_free(two);
    return 0;
}
