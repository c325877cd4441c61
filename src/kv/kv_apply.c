/* What each command does to the state. Everything here depends on the state and the entry alone:
 * the same entries make the same state and the same results on every node. Commands come out of
 * the log, so nothing in their bytes may stop the process: what is wrong with them is a status. */
#include "base/limits.h"
#include "kv/decimal.h"
#include "kv/kv_internal.h"

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

/* What the key had counts no more. */
static void forget(struct kv *kv, const struct item *item)
{
    kv->items_hash -= item->hash;
    kv->state_bytes -= item_state_bytes(item->tree.key_bytes, item->value_bytes);
}

/* Refused is what would grow a state that then is over the limit; shrinking always goes. */
static bool has_room(const struct kv *kv, const struct item *old, size_t key_bytes,
                     size_t value_bytes)
{
    uint64_t bytes = item_state_bytes(key_bytes, value_bytes);
    uint64_t old_bytes = old != NULL ? item_state_bytes(old->tree.key_bytes, old->value_bytes) : 0;
    return bytes <= old_bytes || kv->state_bytes - old_bytes + bytes <= kv->state_bytes_max;
}

/* Gives the key at the cursor a new value, and a revision to the state. */
static void write_value(struct kv *kv, struct tree_cursor *cursor, const struct item *old,
                        const struct kv_item *wanted, struct kv_result *result)
{
    if (!has_room(kv, old, wanted->key.count, wanted->value.count)) {
        result->status = ST_STATE_FULL;
        return;
    }
    struct kv_item content = *wanted;
    content.mod_revision = kv->revision + 1;
    content.create_revision = old != NULL ? old->create_revision : content.mod_revision;
    content.version = old != NULL ? old->version + 1 : 1;
    struct item *item = item_new(&content);

    if (old != NULL)
        forget(kv, old);
    kv->items_hash += item->hash;
    kv->state_bytes += item_state_bytes(content.key.count, content.value.count);
    kv->revision = content.mod_revision;
    tree_put_at(kv->tree, cursor, &item->tree);
    result->changed = true;
    result->mod_revision = content.mod_revision;
}

static void apply_put(struct kv *kv, const struct command *command, struct tree_cursor *cursor,
                      const struct item *old, struct kv_result *result)
{
    struct kv_item wanted = {.key = command->key, .value = command->value};
    write_value(kv, cursor, old, &wanted, result);
}

static void apply_delete(struct kv *kv, struct tree_cursor *cursor, const struct item *old,
                         struct kv_result *result)
{
    if (old == NULL) /* done already; as in etcd that is no change and no error */
        return;
    forget(kv, old);
    kv->revision++;
    tree_delete_at(kv->tree, cursor);
    result->changed = true;
    result->mod_revision = 0;
}

static void apply_incr(struct kv *kv, const struct command *command, struct tree_cursor *cursor,
                       const struct item *old, struct kv_result *result)
{
    int64_t number = 0;
    struct kv_item wanted = {.key = command->key};
    if (old != NULL) {
        struct kv_item content = item_content(old);
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
    write_value(kv, cursor, old, &wanted, result);
    if (result->status == ST_OK)
        result->number = number;
}

static void apply_to_key(struct kv *kv, const struct command *command, struct kv_result *result)
{
    struct tree_cursor cursor;
    const struct item *old = item_of(tree_find(tree_view(kv->tree), command->key, &cursor));
    result->mod_revision = old != NULL ? old->mod_revision : 0;
    if (!condition_holds(command, old))
        result->status = ST_CONDITION_FAILED;
    else if (command->op == COMMAND_PUT)
        apply_put(kv, command, &cursor, old, result);
    else if (command->op == COMMAND_DELETE)
        apply_delete(kv, &cursor, old, result);
    else
        apply_incr(kv, command, &cursor, old, result);
}

static void apply_command(struct kv *kv, const struct command *command, struct kv_result *result)
{
    switch (command->op) {
    case COMMAND_PUT:
    case COMMAND_DELETE:
    case COMMAND_INCR:
        apply_to_key(kv, command, result);
        return;
    case COMMAND_ANNOUNCE:
        result->status = directory_announce(&kv->directory, command->member, &command->http);
        return;
    case COMMAND_REGISTER:
        result->status =
            directory_register(&kv->directory, command->member, command->member_identity);
        return;
    }
    UNREACHABLE();
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
    if (command_decode(proposal->command, &command) == ST_OK)
        apply_command(kv, &command, &result);
    else
        result.status = ST_BAD_REQUEST;
    result.revision = kv->revision;
    ENSURE(kv->revision == revision + result.changed);
    ENSURE(IMPLIES(result.changed, result.status == ST_OK));
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
