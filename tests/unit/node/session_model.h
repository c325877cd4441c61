/* Session model: what exactly once means, as plainly as it can be written, over a committed log.
 *
 * It reads the entries of a log in order and keeps for each client every sequence that it has seen.
 * It shares nothing with src/kv but the codec, knows no limits, and does every search from end to
 * end. What the nodes came to and what clients were told is held against it.
 *
 * Knows INCR (by 1), SEAL, OPEN_SESSION and EXPIRE_SESSIONS; other commands change nothing here. */
#ifndef MINIKV_TESTS_UNIT_NODE_SESSION_MODEL_H
#define MINIKV_TESTS_UNIT_NODE_SESSION_MODEL_H

#include "base/mem.h"
#include "kv/kv.h"
#include "types/entry.h"

enum { MODEL_CLIENTS_MAX = 512, MODEL_WRITES_MAX = 8192 };

struct model_write {
    size_t client; /* in model.clients */
    uint64_t sequence;
    bool is_done, is_sealed;
    int64_t number;       /* what the increment came to */
    node_id accepted_by;  /* the node whose entry changed the state */
    size_t entries_count; /* that carry its identity */
};

struct model_client {
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    bool is_allotted, is_open;
    uint64_t highest, acked;
    uint64_t used_us;
};

struct model {
    struct model_client clients[MODEL_CLIENTS_MAX];
    size_t clients_count;
    struct model_write writes[MODEL_WRITES_MAX];
    size_t writes_count;
    const char *shared_key;
    int64_t shared;    /* the counter at `shared_key` */
    uint64_t stamp_us; /* log time */
    size_t repeated_count, refused_count, expired_count;
};

static inline struct model_client *model_client_find(struct model *model, struct bytes id)
{
    for (size_t i = 0; i < model->clients_count; i++)
        if (bytes_equal_text(id, model->clients[i].id))
            return &model->clients[i];
    return NULL;
}

static inline struct model_client *model_client_add(struct model *model, struct bytes id,
                                                    bool is_allotted)
{
    REQUIRE(model->clients_count < MODEL_CLIENTS_MAX);
    struct model_client *client = &model->clients[model->clients_count++];
    *client = (struct model_client){.is_allotted = is_allotted, .is_open = true};
    memcpy(client->id, id.data, id.count);
    return client;
}

static inline struct model_write *model_write_find(struct model *model, struct bytes id,
                                                   uint64_t sequence)
{
    for (size_t i = 0; i < model->writes_count; i++) {
        struct model_write *write = &model->writes[i];
        if (write->sequence == sequence && bytes_equal_text(id, model->clients[write->client].id))
            return write;
    }
    return NULL;
}

/* The client of an identity, opened where that is allowed; NULL: it has expired. */
static inline struct model_client *model_use(struct model *model,
                                             const struct client_identity *identity)
{
    raft_index index;
    uint64_t nonce;
    bool is_allotted = session_parse_id(identity->client, &index, &nonce);
    struct model_client *client = model_client_find(model, identity->client);
    if (client == NULL && !is_allotted)
        client = model_client_add(model, identity->client, false);
    if (client == NULL || !client->is_open)
        return NULL;
    client->used_us = model->stamp_us;
    client->highest = MAX(client->highest, identity->sequence);
    client->acked = MAX(client->acked, identity->acked);
    return client;
}

static inline bool model_is_below(const struct model_client *client, uint64_t sequence)
{
    uint64_t window =
        client->highest > LIMIT_SESSION_WINDOW ? client->highest - LIMIT_SESSION_WINDOW : 0;
    return sequence <= MAX(window, client->acked);
}

/* The write of an identity, if it may still be touched; NULL: expired, or below the window. */
static inline struct model_write *model_reach(struct model *model,
                                              const struct client_identity *identity)
{
    struct model_client *client = model_use(model, identity);
    struct model_write *write = model_write_find(model, identity->client, identity->sequence);
    if (client != NULL && write == NULL) {
        REQUIRE(model->writes_count < MODEL_WRITES_MAX);
        write = &model->writes[model->writes_count++];
        *write = (struct model_write){.client = (size_t)(client - model->clients),
                                      .sequence = identity->sequence};
    }
    if (write != NULL)
        write->entries_count++;
    if (client == NULL || model_is_below(client, identity->sequence)) {
        model->refused_count++;
        return NULL;
    }
    return write;
}

static inline int64_t model_increment(struct model *model, struct bytes key)
{
    return bytes_equal_text(key, model->shared_key) ? ++model->shared : 1;
}

static inline void model_incr(struct model *model, const struct command *command,
                              const struct proposal *proposal)
{
    if (command->identity.client.count == 0) {
        (void)model_increment(model, command->key);
        return;
    }
    struct model_write *write = model_reach(model, &command->identity);
    if (write == NULL || write->is_sealed)
        return;
    if (write->is_done) {
        model->repeated_count++;
        return;
    }
    write->is_done = true;
    write->number = model_increment(model, command->key);
    write->accepted_by = proposal->origin.node;
}

static inline void model_expire(struct model *model, uint64_t cutoff_us)
{
    for (size_t i = 0; i < model->clients_count; i++) {
        struct model_client *client = &model->clients[i];
        if (!client->is_open || client->used_us >= cutoff_us)
            continue;
        REQUIRE(client->is_allotted); /* others would begin anew, which this model does not */
        client->is_open = false;
        model->expired_count++;
    }
}

static inline void model_apply(struct model *model, const struct entry *entry)
{
    struct proposal proposal;
    struct command command;
    if (entry->type != ENTRY_COMMAND || proposal_decode(entry_data(entry), &proposal) != ST_OK ||
        command_decode(proposal.command, &command) != ST_OK)
        return;
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    model->stamp_us = MAX(model->stamp_us, proposal.stamp_us);
    if (command.op == COMMAND_INCR) {
        model_incr(model, &command, &proposal);
    } else if (command.op == COMMAND_SEAL) {
        struct model_write *write = model_reach(model, &command.identity);
        if (write != NULL && !write->is_done)
            write->is_sealed = true;
    } else if (command.op == COMMAND_OPEN_SESSION) {
        (void)session_format_id(entry->id.index, command.nonce, id);
        model_client_add(model, bytes_of_text(id), true)->used_us = model->stamp_us;
    } else if (command.op == COMMAND_EXPIRE_SESSIONS) {
        model_expire(model, command.cutoff_us);
    }
}

#endif
