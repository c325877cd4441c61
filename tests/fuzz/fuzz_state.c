/* Any bytes as a state: the loader says the same of them whatever the pieces are, never ends the
 * process, and what it takes is sound, and is written as the same bytes, at once and as an image
 * that is read while the state changes.
 *
 * The first two bytes of an input are the size of the pieces. The digest is made to fit, so that
 * the rest is looked into. */
#include <stdint.h>

#include "base/limits.h"
#include "kv/kv_internal.h"

enum { DIGEST_BYTES = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static enum status load(struct bytes content, size_t piece_bytes, struct kv **out_kv)
{
    uint8_t digest[DIGEST_BYTES];
    enum status status = ST_OK;
    struct kv_loader *loader = kv_loader_new(&(struct kv_options){0});
    for (size_t at = 0; at < content.count && status == ST_OK; at += piece_bytes)
        status = kv_loader_feed(loader,
                                bytes_of(content.data + at, MIN(piece_bytes, content.count - at)));
    store_u64(digest, kv_digest(kv_loader_state(loader)));
    if (status == ST_OK)
        status = kv_loader_feed(loader, bytes_of(digest, sizeof digest));
    enum status finished = kv_loader_finish(loader, out_kv);
    INVARIANT(IMPLIES(status != ST_OK, finished == status));
    return finished;
}

/* An entry that gives the first key another value, if there is one. */
static bool take_key(void *ctx, const struct kv_item *item)
{
    struct buf *key = ctx;
    buf_put(key, item->key);
    return false;
}

static bool take_lease(void *ctx, const struct kv_lease *lease)
{
    *(uint64_t *)ctx = lease->lease;
    return false;
}

static void apply(struct kv *kv, const struct command *command)
{
    struct buf encoded;
    struct kv_stats stats;
    struct kv_result result;
    buf_init(&encoded, LIMIT_COMMAND_BYTES);
    command_encode(command, &encoded);
    kv_stats(kv, &stats);
    struct proposal proposal = {.stamp_us = stats.stamp_us, .command = buf_bytes(&encoded)};
    if (stats.applied.index < UINT64_MAX / 2)
        kv_apply(kv, (struct entry_id){stats.applied.term, stats.applied.index + 1}, &proposal,
                 &result);
    buf_release(&encoded);
}

/* Entries that keep the first lease alive, or end it with its keys. */
static void change_lease(struct kv *kv, bool is_kept)
{
    uint64_t lease = 0;
    uint8_t row[8];
    kv_leases_scan(kv, 0, take_lease, &lease);
    if (lease == 0)
        return;
    store_u64(row, lease);
    if (is_kept)
        apply(kv,
              &(struct command){.op = COMMAND_RENEW_LEASES, .value = bytes_of(row, sizeof row)});
    else
        apply(kv, &(struct command){.op = COMMAND_REVOKE_LEASE, .lease = lease});
}

static void change_key(struct kv *kv)
{
    struct buf key;
    buf_init(&key, LIMIT_KEY_BYTES);
    kv_scan(kv, &(struct kv_range){.start = BYTES_LITERAL("")}, take_key, &key);
    if (key.count == 0)
        buf_put_text(&key, "k");
    struct command incr = {.op = COMMAND_INCR,
                           .identity = {.client = BYTES_LITERAL("me"), .sequence = 1},
                           .key = buf_bytes(&key),
                           .by = 1};
    apply(kv, &incr);
    buf_release(&key);
}

/* Gives up what was before the last change but two. */
static void compact(struct kv *kv)
{
    struct kv_stats stats;
    kv_stats(kv, &stats);
    apply(kv, &(struct command){.op = COMMAND_COMPACT,
                                .revision = MAX(stats.compacted, stats.revision - 2)});
}

static void change(struct kv *kv, unsigned step)
{
    if (step % 3 == 2)
        compact(kv);
    change_key(kv);
    change_lease(kv, step % 2 == 0);
}

static void check(struct kv *kv, struct bytes content, size_t piece_bytes)
{
    struct buf at_once, in_pieces;
    buf_init(&at_once, 64 * MIB);
    buf_init(&in_pieces, 64 * MIB);
    kv_check(kv);
    kv_encode(kv, &at_once);
    INVARIANT(bytes_equal(bytes_of(at_once.data, at_once.count - DIGEST_BYTES), content));
    struct kv_image *image = kv_pin(kv);
    INVARIANT(kv_image_bytes(image) == at_once.count);
    for (unsigned step = 0; kv_image_read(image, piece_bytes, &in_pieces); step++)
        change(kv, step);
    INVARIANT(bytes_equal(buf_bytes(&at_once), buf_bytes(&in_pieces)));
    kv_unpin(kv, image);
    kv_check(kv);
    buf_release(&at_once);
    buf_release(&in_pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct kv *kv = NULL, *same = NULL;
    if (count < 2)
        return 0;
    size_t piece_bytes = (size_t)load_u16(data) + 1;
    struct bytes content = bytes_of(data + 2, count - 2);
    enum status status = load(content, piece_bytes, &kv);
    INVARIANT(load(content, SIZE_MAX / 2, &same) == status);
    INVARIANT((status == ST_OK) == (kv != NULL));
    if (kv != NULL) {
        INVARIANT(kv_digest(kv) == kv_digest(same));
        check(kv, content, piece_bytes);
    }
    kv_free(kv);
    kv_free(same);
    return 0;
}
