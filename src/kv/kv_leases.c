/* What the commands of leases do to the state. A lease goes with its keys, and all that one command
 * takes away goes at one revision. */
#include "base/cursor.h"
#include "kv/change.h"
#include "kv/kv_internal.h"

static void apply_grant(struct kv *kv, struct entry_id id, const struct command *command,
                        struct kv_result *result)
{
    if (command->ttl_ms < LEASE_TTL_MS_MIN || command->ttl_ms > LEASE_TTL_MS_MAX ||
        command->lease > LEASE_ID_MAX) {
        result->status = ST_BAD_REQUEST;
        return;
    }
    result->status = leases_grant(kv->leases, command->lease, id.index, command->ttl_ms,
                                  kv->stamp_us, &result->lease);
    if (result->status == ST_OK)
        result->number = (int64_t)result->lease; /* what is remembered of a write */
}

/* Deleting a key takes it off its lease, and with that its name there. */
static void remove_with_keys(struct change *change, uint64_t lease)
{
    uint8_t room[LIMIT_KEY_BYTES];
    struct bytes key;
    struct leases *leases = change->kv->leases;
    while (leases_key(leases, lease, bytes_of(NULL, 0), &key)) {
        memcpy(room, key.data, key.count);
        bool existed = change_delete(change, bytes_of(room, key.count));
        INVARIANT(existed); /* K30 */
    }
    leases_remove(leases, lease);
}

static void apply_revoke(struct kv *kv, const struct command *command, struct kv_result *result)
{
    struct kv_lease lease;
    if (!leases_find(kv->leases, command->lease, &lease)) {
        result->status = ST_LEASE_NOT_FOUND;
        return;
    }
    struct change change;
    change_begin(&change, kv);
    remove_with_keys(&change, command->lease);
    result->changed = change_end(&change);
}

static void apply_renew(struct kv *kv, const struct command *command, struct kv_result *result)
{
    struct cursor in = cursor_of(command->value);
    while (!cursor_is_done(&in) && !in.is_short)
        result->number += leases_renew(kv->leases, cursor_u64(&in), kv->stamp_us);
}

/* The first ones by expiry, as many as one command takes away. The leader's log time is never ahead
 * of what it stamps, and should a command say so all the same, its stamp counts. */
static void apply_expire(struct kv *kv, const struct command *command, struct kv_result *result)
{
    uint64_t cutoff_us = MIN(command->cutoff_us, kv->stamp_us);
    uint64_t gone_count = 0; /* leases and keys */
    struct kv_lease lease;
    struct change change;
    change_begin(&change, kv);
    while (leases_first(kv->leases, &lease) && lease.expires_us <= cutoff_us) {
        gone_count += 1 + lease.keys_count;
        if (result->number != 0 && gone_count > LIMIT_LEASES_EXPIRED)
            break;
        remove_with_keys(&change, lease.lease);
        result->number++;
    }
    result->changed = change_end(&change);
}

void kv_apply_lease(struct kv *kv, struct entry_id id, const struct command *command,
                    struct kv_result *result)
{
    if (command->op == COMMAND_GRANT_LEASE)
        apply_grant(kv, id, command, result);
    else if (command->op == COMMAND_REVOKE_LEASE)
        apply_revoke(kv, command, result);
    else if (command->op == COMMAND_RENEW_LEASES)
        apply_renew(kv, command, result);
    else
        apply_expire(kv, command, result);
    result->revision = kv->revision;
}

bool kv_lease(const struct kv *kv, uint64_t lease, struct kv_lease *out_lease)
{
    return leases_find(kv->leases, lease, out_lease);
}

void kv_leases_scan(const struct kv *kv, uint64_t from,
                    bool (*on_lease)(void *ctx, const struct kv_lease *lease), void *ctx)
{
    leases_scan(kv->leases, from, on_lease, ctx);
}

void kv_lease_keys(const struct kv *kv, uint64_t lease, bool (*on_key)(void *ctx, struct bytes key),
                   void *ctx)
{
    leases_keys(kv->leases, lease, on_key, ctx);
}
