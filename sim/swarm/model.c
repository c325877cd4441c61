#include <stdio.h>

#include "base/mem.h"
#include "kv/session.h"
#include "sim/swarm/model_internal.h"
#include "types/proposal.h"

enum { NAME_BYTES = LIMIT_IDEMPOTENCY_KEY_BYTES + 40 };

void model_init(struct model *model)
{
    *model = (struct model){.revision = 1, .compacted = 1};
}

void model_release(struct model *model)
{
    for (size_t i = 0; i < model->keys_count; i++) {
        mem_free((void *)model->keys[i].key.data);
        mem_free((void *)model->keys[i].value.data);
    }
    for (size_t i = 0; i < model->revisions_count; i++)
        mem_free((void *)model->revisions[i].results.data);
    mem_free(model->clients);
    mem_free(model->writes);
    mem_free(model->keys);
    mem_free(model->order);
    mem_free(model->leases);
    mem_free(model->revisions);
    mem_free(model->touched);
    table_release(&model->client_names);
    table_release(&model->write_names);
    table_release(&model->key_names);
}

/* ---- names ---- */

/* Keys and ids of clients are two worlds; "k…", "c…". */
static struct bytes client_name(const struct client_identity *identity, char out[NAME_BYTES])
{
    int count = snprintf(out, NAME_BYTES, "%c%.*s", identity->kind == CLIENT_KEY ? 'k' : 'c',
                         (int)identity->client.count, (const char *)identity->client.data);
    return bytes_of(out, (size_t)count);
}

static struct bytes write_name(const struct client_identity *identity, char out[NAME_BYTES])
{
    size_t count = client_name(identity, out).count;
    count += (size_t)snprintf(out + count, NAME_BYTES - count, "/%llu",
                              (unsigned long long)identity->sequence);
    return bytes_of(out, count);
}

void *model_append(void **array, size_t *count, size_t item_bytes)
{
    if ((*count & (*count - 1)) == 0)
        *array = mem_realloc(*array, MAX(*count * 2, (size_t)1) * item_bytes);
    void *item = (char *)*array + (*count)++ * item_bytes;
    memset(item, 0, item_bytes);
    return item;
}

static struct model_client *find_client(struct model *model, const struct client_identity *identity)
{
    char name[NAME_BYTES];
    size_t at = table_find(&model->client_names, client_name(identity, name), SIZE_MAX);
    return at != SIZE_MAX ? &model->clients[at] : NULL;
}

static struct model_client *add_client(struct model *model, const struct client_identity *identity)
{
    char name[NAME_BYTES];
    table_add(&model->client_names, client_name(identity, name), model->clients_count);
    struct model_client *client =
        model_append((void **)&model->clients, &model->clients_count, sizeof *client);
    client->is_open = true;
    return client;
}

static struct model_write *find_write(const struct model *model,
                                      const struct client_identity *identity)
{
    char name[NAME_BYTES];
    size_t at = table_find(&model->write_names, write_name(identity, name), SIZE_MAX);
    return at != SIZE_MAX ? &model->writes[at] : NULL;
}

const struct model_write *model_find_write(const struct model *model,
                                           const struct client_identity *identity)
{
    return find_write(model, identity);
}

static struct model_write *write_of(struct model *model, const struct client_identity *identity)
{
    struct model_write *write = find_write(model, identity);
    if (write != NULL)
        return write;
    char name[NAME_BYTES];
    table_add(&model->write_names, write_name(identity, name), model->writes_count);
    return model_append((void **)&model->writes, &model->writes_count, sizeof *write);
}

/* ---- keys ---- */

static bool condition_holds(const struct command *command, const struct model_key *key)
{
    switch (command->condition) {
    case CONDITION_NONE:
        return true;
    case CONDITION_REVISION:
        return key->is_there && key->mod_revision == command->condition_revision;
    case CONDITION_EXISTS:
        return key->is_there;
    case CONDITION_ABSENT:
        return !key->is_there;
    case CONDITION_NOT_REVISION:
        return !key->is_there || key->mod_revision != command->condition_revision;
    }
    UNREACHABLE();
}

static int64_t number_in(const struct model_key *key)
{
    int64_t number = 0;
    for (size_t i = 0; key->is_there && i < key->value.count; i++)
        number = number * 10 + (key->value.data[i] - '0');
    return number;
}

static struct model_result change(struct model *model, const struct command *command)
{
    struct model_key *key = model_key_of(model, command->key);
    struct model_result result = {.status = ST_OK};
    uint64_t revision = model->revision + 1;
    if (!condition_holds(command, key)) {
        result.status = ST_CONDITION_FAILED;
    } else if (command->op == COMMAND_DELETE) {
        result.changed = model_delete_key(model, key, revision);
    } else if (command->op == COMMAND_PUT && !model_has_lease(model, command->lease)) {
        result.status = ST_LEASE_NOT_FOUND;
    } else if (command->op == COMMAND_PUT) {
        result.changed = true;
        model_set_value(model, key, command->value, command->lease, revision);
    } else {
        char text[24];
        result.changed = true;
        result.number = number_in(key) + command->by;
        (void)snprintf(text, sizeof text, "%lld", (long long)result.number);
        model_set_value(model, key, bytes_of_text(text), key->is_there ? key->lease : 0, revision);
    }
    result.mod_revision = key->is_there ? key->mod_revision : 0;
    return result;
}

static struct model_result do_write(struct model *model, const struct command *command)
{
    return command->op == COMMAND_TXN ? model_carry_out(model, command->value)
                                      : change(model, command);
}

/* ---- clients ---- */

/* The client of an identity, opened where that is allowed; NULL: it has expired. */
static struct model_client *use(struct model *model, const struct client_identity *identity)
{
    raft_index index;
    uint64_t nonce;
    bool is_allotted =
        identity->kind == CLIENT_ID && session_parse_id(identity->client, &index, &nonce);
    struct model_client *client = find_client(model, identity);
    if (client == NULL && !is_allotted)
        client = add_client(model, identity);
    if (client == NULL || (!client->is_open && client->is_allotted))
        return NULL;
    client->is_open = true;
    client->used_us = model->stamp_us;
    client->highest = MAX(client->highest, identity->sequence);
    client->acked = MAX(client->acked, identity->acked);
    return client;
}

static bool is_below(const struct model_client *client, uint64_t sequence)
{
    uint64_t window =
        client->highest > LIMIT_SESSION_WINDOW ? client->highest - LIMIT_SESSION_WINDOW : 0;
    return sequence <= MAX(window, client->acked);
}

/* The write of an identity, if it may still be touched; NULL: expired, or below the window. */
static struct model_write *reach(struct model *model, const struct client_identity *identity)
{
    struct model_write *write = write_of(model, identity);
    struct model_client *client = use(model, identity);
    write->entries_count++;
    if (client == NULL || is_below(client, identity->sequence)) {
        model->refused_count++;
        return NULL;
    }
    return write;
}

static void apply_write(struct model *model, const struct command *command, node_id origin)
{
    if (command->identity.client.count == 0) {
        (void)do_write(model, command);
        return;
    }
    struct model_write *write = reach(model, &command->identity);
    if (write == NULL || write->is_sealed)
        return;
    if (write->is_done) {
        model->repeated_count++;
        return;
    }
    model->applied_count++;
    write->is_done = true;
    write->accepted_by = origin;
    write->result = do_write(model, command);
}

static void seal(struct model *model, const struct command *command)
{
    struct model_write *write = reach(model, &command->identity);
    if (write == NULL || write->is_done)
        return;
    model->sealed_count += !write->is_sealed;
    write->is_sealed = true;
}

static void expire(struct model *model, uint64_t cutoff_us)
{
    for (size_t i = 0; i < model->clients_count; i++) {
        struct model_client *client = &model->clients[i];
        if (!client->is_open || client->used_us >= cutoff_us)
            continue;
        INVARIANT(client->is_allotted); /* others would begin anew, which this model does not */
        client->is_open = false;
        model->expired_count++;
    }
}

static void apply_command(struct model *model, const struct command *command, struct entry_id id,
                          node_id origin)
{
    char allotted[LIMIT_CLIENT_ID_BYTES + 1];
    switch (command->op) {
    case COMMAND_PUT:
    case COMMAND_DELETE:
    case COMMAND_INCR:
    case COMMAND_TXN:
        apply_write(model, command, origin);
        return;
    case COMMAND_SEAL:
        seal(model, command);
        return;
    case COMMAND_OPEN_SESSION: {
        (void)session_format_id(id.index, command->nonce, allotted);
        struct client_identity identity = {CLIENT_ID, bytes_of_text(allotted), 0, 0};
        struct model_client *client = add_client(model, &identity);
        client->is_allotted = true;
        client->used_us = model->stamp_us;
        return;
    }
    case COMMAND_CLOSE_SESSION: {
        struct model_client *client = find_client(model, &command->identity);
        if (client != NULL && client->is_allotted)
            client->is_open = false;
        return;
    }
    case COMMAND_EXPIRE_SESSIONS:
        expire(model, command->cutoff_us);
        return;
    case COMMAND_ANNOUNCE: /* of the directory; no key and no client */
    case COMMAND_REGISTER:
    case COMMAND_TRANSFER:
    case COMMAND_JOIN:
    case COMMAND_REMOVE:
    case COMMAND_PROMOTE:
        return;
    case COMMAND_COMPACT:
        if (command->revision <= model->revision)
            model->compacted = MAX(model->compacted, command->revision);
        return;
    case COMMAND_GRANT_LEASE:
        model_grant(model, command, id.index);
        return;
    case COMMAND_REVOKE_LEASE:
        model_revoke(model, command->lease);
        return;
    case COMMAND_RENEW_LEASES:
        model_renew(model, command->value);
        return;
    case COMMAND_EXPIRE_LEASES:
        model_end_leases(model, MIN(command->cutoff_us, model->stamp_us));
        return;
    }
    UNREACHABLE();
}

void model_apply(struct model *model, const struct entry *entry)
{
    struct proposal proposal;
    struct command command;
    if (entry->type != ENTRY_COMMAND || proposal_decode(entry_data(entry), &proposal) != ST_OK)
        return;
    uint64_t revision = model->revision;
    model->stamp_us = MAX(model->stamp_us, proposal.stamp_us);
    if (command_decode(proposal.command, &command) == ST_OK)
        apply_command(model, &command, entry->id, proposal.origin.node);
    model_end_command(model, revision);
}
