/* What each command does to the state. Everything here depends on the state and the entry alone:
 * the same entries make the same state and the same results on every node. Commands come out of
 * the log, so nothing in their bytes may stop the process: what is wrong with them is a status. */
#include "base/limits.h"
#include "kv/change.h"
#include "kv/decimal.h"
#include "kv/kv_internal.h"
#include "kv/membership.h"
#include "kv/txn.h"

static bool condition_holds(const struct command *command, const struct item *item)
{
    switch (command->condition) {
    case CONDITION_NONE:
        return true;
    case CONDITION_REVISION:
        return item != NULL && item->mod_revision == command->condition_revision;
    case CONDITION_EXISTS:
        return item != NULL;
    case CONDITION_ABSENT:
        return item == NULL;
    case CONDITION_NOT_REVISION:
        return item == NULL || item->mod_revision != command->condition_revision;
    }
    UNREACHABLE();
}

/* A key to be written: where it stands, and what it is now. */
struct target {
    struct tree_cursor cursor;
    const struct item *newest; /* NULL: there is none */
    const struct item *old;    /* the same, or NULL when it says that the key is deleted */
};

/* What speaks against it; ST_OK: nothing. */
static enum status may_write(const struct kv *kv, const struct target *target,
                             const struct kv_item *wanted)
{
    uint64_t old_lease = target->old != NULL ? item_lease(target->old) : 0;
    if (wanted->lease != 0 && wanted->lease != old_lease) {
        enum status status = leases_may_attach(kv->leases, wanted->lease, 1);
        if (status != ST_OK)
            return status;
    }
    uint64_t more_bytes = change_growth_at(target->newest, wanted->key, wanted->value.count);
    return change_has_room(kv, more_bytes) ? ST_OK : ST_STATE_FULL;
}

/* Gives the key a new value, and a revision to the state. */
static void write_value(struct kv *kv, struct target *target, const struct kv_item *wanted,
                        struct kv_result *result)
{
    result->status = may_write(kv, target, wanted);
    if (result->status != ST_OK)
        return;
    struct change change;
    change_begin(&change, kv);
    (void)change_put_at(&change, &target->cursor, target->newest, wanted->key, wanted->value,
                        wanted->lease);
    result->changed = change_end(&change);
    result->mod_revision = kv->revision;
}

static void apply_put(struct kv *kv, const struct command *command, struct target *target,
                      struct kv_result *result)
{
    struct kv_item wanted = {.key = command->key, .value = command->value, .lease = command->lease};
    write_value(kv, target, &wanted, result);
}

static void apply_delete(struct kv *kv, struct target *target, struct kv_result *result)
{
    if (target->old == NULL) /* done already; as in etcd that is no change and no error */
        return;
    struct change change;
    change_begin(&change, kv);
    change_delete_at(&change, &target->cursor, target->newest);
    result->changed = change_end(&change);
    result->mod_revision = 0;
}

static void apply_incr(struct kv *kv, const struct command *command, struct target *target,
                       struct kv_result *result)
{
    int64_t number = 0;
    struct kv_item wanted = {.key = command->key};
    if (target->old != NULL) {
        struct kv_item content = item_content(target->old);
        if (!decimal_parse(content.value, &number)) {
            result->status = ST_NOT_INTEGER;
            return;
        }
        wanted.lease = content.lease;
    }
    if (__builtin_add_overflow(number, command->by, &number)) {
        result->status = ST_OVERFLOW;
        return;
    }
    uint8_t text[DECIMAL_BYTES_MAX];
    wanted.value = decimal_format(number, text);
    write_value(kv, target, &wanted, result);
    if (result->status == ST_OK)
        result->number = number;
}

static void apply_to_key(struct kv *kv, const struct command *command, struct kv_result *result)
{
    struct target target;
    target.newest = change_seek(kv, command->key, &target.cursor);
    target.old = target.newest != NULL && !item_is_deleted(target.newest) ? target.newest : NULL;
    result->mod_revision = target.old != NULL ? target.old->mod_revision : 0;
    if (!condition_holds(command, target.old))
        result->status = ST_CONDITION_FAILED;
    else if (command->op == COMMAND_PUT)
        apply_put(kv, command, &target, result);
    else if (command->op == COMMAND_DELETE)
        apply_delete(kv, &target, result);
    else
        apply_incr(kv, command, &target, result);
}

/* Gives up the past below that revision; the same again is fine. */
static void apply_compact(struct kv *kv, const struct command *command, struct kv_result *result)
{
    if (command->revision > kv->revision)
        result->status = ST_REVISION_FUTURE;
    else if (command->revision < kv->past.compacted)
        result->status = ST_COMPACTED;
    else
        past_compact(kv, command->revision);
    result->number = (int64_t)kv->past.compacted;
}

/* Whoever leads reads it in the log and hands over; here it is only whether there is such a voter.
 */
static enum status apply_transfer(const struct kv *kv, const struct command *command)
{
    const struct kv_member *member = directory_find(&kv->directory, command->member);
    return member != NULL && member->member.is_voter ? ST_OK : ST_UNKNOWN_MEMBER;
}

/* What the leader did not make a configuration of, or could not: here it is only why. */
static enum status apply_to_members(const struct kv *kv, const struct command *command)
{
    struct config next;
    bool is_changed;
    const struct kv_member *member = directory_find(&kv->directory, command->member);
    enum status status = member_change(&kv->directory.config, member != NULL ? member->identity : 0,
                                       command, &next, &is_changed);
    return status == ST_OK && is_changed ? ST_CHANGE_OPEN : status;
}

static void apply_open(struct kv *kv, struct entry_id id, const struct command *command,
                       struct kv_result *result)
{
    result->status = sessions_open(kv->sessions, command->nonce, id, kv->stamp_us);
    if (result->status == ST_OK)
        result->number = (int64_t)id.index;
}

static void apply_seal(struct kv *kv, struct entry_id id, const struct command *command,
                       struct kv_result *result)
{
    struct session_result earlier;
    enum session_verdict verdict =
        sessions_seal(kv->sessions, &command->identity, id, kv->stamp_us, &earlier);
    kv_tell_outcome(kv, verdict, &earlier, result);
    if (result->outcome == KV_OUTCOME_EXPIRED) /* nothing to settle it in */
        result->status = ST_SESSION_EXPIRED;
}

static void apply_txn(struct kv *kv, const struct command *command, struct kv_result *result)
{
    buf_reset(&kv->results);
    if (txn_check(command->value) != ST_OK) {
        result->status = ST_BAD_REQUEST;
        return;
    }
    /* With an identity, what it comes to is remembered as well, and has a limit of its own. */
    bool is_remembered = command->identity.client.count != 0;
    if (is_remembered && !sessions_may_hold_results(kv->sessions)) {
        result->status = ST_SESSIONS_FULL;
        return;
    }
    result->status = txn_apply(
        kv, command->value, is_remembered ? LIMIT_REMEMBERED_RESULT_BYTES : LIMIT_TXN_RESULTS_BYTES,
        &kv->results, &result->changed);
    result->revision = kv->revision;
    if (result->status == ST_OK)
        result->results = buf_bytes(&kv->results);
}

static void apply_command(struct kv *kv, struct entry_id id, const struct command *command,
                          struct kv_result *result)
{
    result->revision = kv->revision;
    switch (command->op) {
    case COMMAND_PUT:
    case COMMAND_DELETE:
    case COMMAND_INCR:
        apply_to_key(kv, command, result);
        result->revision = kv->revision;
        return;
    case COMMAND_ANNOUNCE:
        result->status = directory_announce(&kv->directory, command->member, &command->http);
        return;
    case COMMAND_REGISTER:
        result->status =
            directory_register(&kv->directory, command->member, command->member_identity);
        if (result->status == ST_OK && kv->history == 0)
            kv->history = command->member_identity;
        return;
    case COMMAND_OPEN_SESSION:
        apply_open(kv, id, command, result);
        return;
    case COMMAND_CLOSE_SESSION:
        result->status = sessions_close(kv->sessions, command->identity.client);
        return;
    case COMMAND_EXPIRE_SESSIONS:
        result->number = (int64_t)sessions_expire(kv->sessions, command->cutoff_us);
        return;
    case COMMAND_SEAL:
        apply_seal(kv, id, command, result);
        return;
    case COMMAND_TRANSFER:
        result->status = apply_transfer(kv, command);
        return;
    case COMMAND_JOIN:
    case COMMAND_REMOVE:
    case COMMAND_PROMOTE:
        result->status = apply_to_members(kv, command);
        return;
    case COMMAND_TXN:
        apply_txn(kv, command, result);
        return;
    case COMMAND_COMPACT:
        apply_compact(kv, command, result);
        return;
    case COMMAND_GRANT_LEASE:
    case COMMAND_REVOKE_LEASE:
    case COMMAND_RENEW_LEASES:
    case COMMAND_EXPIRE_LEASES:
        kv_apply_lease(kv, id, command, result);
        return;
    }
    UNREACHABLE();
}

/* Does the identity name this command, and not one that the command is about? */
static bool is_identified(const struct command *command)
{
    return command->identity.client.count != 0 && command->op != COMMAND_SEAL &&
           command->op != COMMAND_CLOSE_SESSION;
}

/* Exactly once (Raft §8, thesis §6.3): a write that was carried out before is answered with what it
 * came to then. It is looked up here, where the log has put it behind or before its duplicates, and
 * nowhere earlier. */
static void apply_once(struct kv *kv, struct entry_id id, const struct command *command,
                       struct bytes encoded, struct kv_result *result)
{
    struct session_result earlier;
    uint64_t fingerprint = command_fingerprint(encoded);
    enum session_verdict verdict =
        sessions_begin(kv->sessions, &command->identity, fingerprint, id, kv->stamp_us, &earlier);
    if (verdict != SESSION_FRESH) {
        kv_tell_verdict(kv, verdict, &earlier, result);
        return;
    }
    apply_command(kv, id, command, result);
    sessions_record(kv->sessions, &command->identity, fingerprint,
                    &(struct session_result){.op = command->op,
                                             .status = result->status,
                                             .changed = result->changed,
                                             .revision = result->revision,
                                             .mod_revision = result->mod_revision,
                                             .number = result->number,
                                             .results = result->results});
}

/* Every entry is applied once and in order, whatever is in it. */
static void advance(struct kv *kv, struct entry_id id)
{
    REQUIRE(id.index == kv->applied.index + 1);
    REQUIRE(id.term >= kv->applied.term);
    kv->applied = id;
}

void kv_apply(struct kv *kv, struct entry_id id, const struct proposal *proposal,
              struct kv_result *out_result)
{
    struct command command;
    struct kv_result result = {.status = ST_OK};
    uint64_t revision = kv->revision;
    advance(kv, id);
    kv->stamp_us = MAX(kv->stamp_us, proposal->stamp_us);
    if (command_decode(proposal->command, &command) != ST_OK)
        result = (struct kv_result){.status = ST_BAD_REQUEST, .revision = kv->revision};
    else if (is_identified(&command))
        apply_once(kv, id, &command, proposal->command, &result);
    else
        apply_command(kv, id, &command, &result);
    past_keep_time(kv);
    ENSURE(kv->revision == revision + result.changed);
    ENSURE(IMPLIES(result.changed, result.status == ST_OK));
    ENSURE(IMPLIES(result.changed, !result.is_replayed));
    *out_result = result;
}

void kv_apply_config(struct kv *kv, struct entry_id id, const struct config *config)
{
    advance(kv, id);
    directory_set_config(&kv->directory, config);
}

void kv_apply_noop(struct kv *kv, struct entry_id id)
{
    advance(kv, id);
}
