#include "audit/audit_judge.h"

#include <xxhash.h>

#include "audit/hash_index.h"
#include "base/mem.h"

struct client {
    uint64_t id_offset; /* in `ids` */
    uint32_t id_bytes;
    enum client_kind kind;
    bool is_allotted;
    bool was_opened, is_open; /* allotted */
    raft_index used_at;       /* last */
    uint64_t used_us;         /* log time */
    raft_index forgot_before; /* own: what was before here may have been forgotten */
    uint64_t silence_us;      /* of the client in front of that */
};

struct write {
    uint32_t client; /* place in `clients` */
    bool is_sealed;  /* never to be carried out; else carried out */
    uint64_t sequence;
    raft_index at;
    uint64_t answer; /* a hash of what it came to */
};

/* An entry that made sessions expire. Kept are those that no later one outdoes. */
struct expiry {
    raft_index at;
    uint64_t cutoff_us;
};

struct audit_judge {
    node_id node;
    struct audit_counts counts;
    uint64_t stamp_us; /* log time */

    const struct kv *base; /* borrowed; NULL: the log begins with nothing */
    raft_index base_index;
    uint64_t base_us;

    struct client *clients; /* owned */
    size_t clients_count, clients_capacity;
    struct hash_index clients_index;
    struct buf ids;

    struct write *writes; /* owned */
    size_t writes_count, writes_capacity;
    struct hash_index writes_index;

    struct expiry *expiries; /* owned; rising `at`, falling `cutoff_us` */
    size_t expiries_count, expiries_capacity;

    struct audit_report *report; /* borrowed */
};

struct audit_judge *audit_judge_new(node_id node, struct audit_report *report)
{
    struct audit_judge *judge = mem_alloc(sizeof *judge);
    judge->node = node;
    judge->report = report;
    hash_index_init(&judge->clients_index);
    hash_index_init(&judge->writes_index);
    buf_init(&judge->ids, SIZE_MAX / 2);
    return judge;
}

void audit_judge_begin(struct audit_judge *judge, const struct kv *base)
{
    struct kv_stats stats;
    REQUIRE(judge->clients_count == 0);
    kv_stats(base, &stats);
    judge->base = base;
    judge->base_index = stats.applied.index;
    judge->base_us = judge->stamp_us = stats.stamp_us;
}

void audit_judge_free(struct audit_judge *judge)
{
    if (judge == NULL)
        return;
    hash_index_release(&judge->clients_index);
    hash_index_release(&judge->writes_index);
    buf_release(&judge->ids);
    mem_free(judge->clients);
    mem_free(judge->writes);
    mem_free(judge->expiries);
    mem_free(judge);
}

const struct audit_counts *audit_judge_counts(const struct audit_judge *judge)
{
    return &judge->counts;
}

/* ---- what is known ---- */

/* Room for one more; the array may move. */
static void *make_room(void *items, size_t count, size_t *capacity, size_t item_bytes)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity + *capacity / 2 + 64;
    return mem_realloc(items, *capacity * item_bytes);
}

struct client_key {
    const struct audit_judge *judge;
    const struct client_identity *identity;
};

static struct bytes client_id(const struct audit_judge *judge, const struct client *client)
{
    return bytes_of(judge->ids.data + client->id_offset, client->id_bytes);
}

static bool is_client(const void *ctx, uint32_t place)
{
    const struct client_key *key = ctx;
    const struct client *client = &key->judge->clients[place];
    return client->kind == key->identity->kind &&
           bytes_equal(client_id(key->judge, client), key->identity->client);
}

static uint32_t add_client(struct audit_judge *judge, const struct client_identity *identity)
{
    raft_index index = 0;
    uint64_t nonce;
    judge->clients = make_room(judge->clients, judge->clients_count, &judge->clients_capacity,
                               sizeof *judge->clients);
    judge->clients[judge->clients_count++] =
        (struct client){.id_offset = judge->ids.count,
                        .id_bytes = (uint32_t)identity->client.count,
                        .kind = identity->kind,
                        .is_allotted = identity->kind == CLIENT_ID &&
                                       session_parse_id(identity->client, &index, &nonce)};
    struct client *client = &judge->clients[judge->clients_count - 1];
    if (judge->base != NULL) { /* when it was last heard of before that is not known */
        client->used_at = judge->base_index;
        client->was_opened = client->is_open = client->is_allotted && index <= judge->base_index;
    }
    buf_put(&judge->ids, identity->client);
    judge->counts.clients_count++;
    return (uint32_t)(judge->clients_count - 1);
}

static uint32_t know_client(struct audit_judge *judge, const struct client_identity *identity)
{
    struct client_key key = {judge, identity};
    uint64_t hash = XXH3_64bits(identity->client.data, identity->client.count) + identity->kind;
    uint32_t place = hash_index_find(&judge->clients_index, hash, is_client, &key);
    if (place != HASH_INDEX_NONE)
        return place;
    place = add_client(judge, identity);
    hash_index_add(&judge->clients_index, hash, place);
    return place;
}

struct write_key {
    const struct write *writes;
    uint32_t client;
    uint64_t sequence;
};

static bool is_write(const void *ctx, uint32_t place)
{
    const struct write_key *key = ctx;
    return key->writes[place].client == key->client && key->writes[place].sequence == key->sequence;
}

static uint64_t write_hash(uint32_t client, uint64_t sequence)
{
    uint8_t raw[12];
    store_u32(raw, client);
    store_u64(raw + 4, sequence);
    return XXH3_64bits(raw, sizeof raw);
}

/* NULL: nothing is known of it. Borrowed until the next remember_write. */
static struct write *recall_write(const struct audit_judge *judge, uint32_t client,
                                  uint64_t sequence)
{
    struct write_key key = {judge->writes, client, sequence};
    uint32_t place =
        hash_index_find(&judge->writes_index, write_hash(client, sequence), is_write, &key);
    return place != HASH_INDEX_NONE ? &judge->writes[place] : NULL;
}

static void remember_write(struct audit_judge *judge, const struct write *write)
{
    struct write *known = recall_write(judge, write->client, write->sequence);
    if (known != NULL) {
        *known = *write;
        return;
    }
    judge->writes = make_room(judge->writes, judge->writes_count, &judge->writes_capacity,
                              sizeof *judge->writes);
    hash_index_add(&judge->writes_index, write_hash(write->client, write->sequence),
                   (uint32_t)judge->writes_count);
    judge->writes[judge->writes_count++] = *write;
}

static uint64_t hash_answer(enum status status, const struct kv_result *result)
{
    uint8_t raw[20];
    store_u32(raw, (uint32_t)status);
    store_u64(raw + 4, result->mod_revision);
    store_u64(raw + 12, (uint64_t)result->number);
    return XXH3_64bits(raw, sizeof raw);
}

/* The same, asking the state that the log begins with as well. */
static struct write *know_write(struct audit_judge *judge, uint32_t client,
                                const struct client_identity *identity)
{
    struct write *known = recall_write(judge, client, identity->sequence);
    if (known != NULL || judge->base == NULL)
        return known;
    struct kv_result result;
    kv_outcome(judge->base, identity, &result);
    bool is_applied = result.outcome == KV_OUTCOME_APPLIED;
    if (!is_applied && result.outcome != KV_OUTCOME_NEVER)
        return NULL;
    remember_write(
        judge,
        &(struct write){.client = client,
                        .is_sealed = !is_applied,
                        .sequence = identity->sequence,
                        .at = judge->base_index,
                        .answer = is_applied ? hash_answer(result.applied_status, &result) : 0});
    return recall_write(judge, client, identity->sequence);
}

/* ---- expiry ---- */

static void hear_expiry(struct audit_judge *judge, raft_index at, uint64_t cutoff_us)
{
    while (judge->expiries_count > 0 &&
           judge->expiries[judge->expiries_count - 1].cutoff_us <= cutoff_us)
        judge->expiries_count--;
    judge->expiries = make_room(judge->expiries, judge->expiries_count, &judge->expiries_capacity,
                                sizeof *judge->expiries);
    judge->expiries[judge->expiries_count++] = (struct expiry){at, cutoff_us};
}

/* The latest time before which sessions have expired by an entry behind `at`; 0: there is none. */
static uint64_t cutoff_since(const struct audit_judge *judge, raft_index at)
{
    size_t low = 0, high = judge->expiries_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (judge->expiries[middle].at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low < judge->expiries_count ? judge->expiries[low].cutoff_us : 0;
}

/* The client is heard of: what it did before may have been forgotten by now, if it was silent for
 * long enough. */
static void note_use(struct audit_judge *judge, struct client *client, raft_index at)
{
    if (client->used_at != 0 && cutoff_since(judge, client->used_at) > client->used_us) {
        client->forgot_before = at;
        client->silence_us = judge->stamp_us - MAX(client->used_us, judge->base_us);
    }
    client->used_at = at;
    client->used_us = judge->stamp_us;
}

/* ---- judging ---- */

static struct audit_finding finding_of(const struct audit_judge *judge, enum audit_kind kind,
                                       raft_index at, const struct client_identity *identity)
{
    struct audit_finding finding = {.kind = kind,
                                    .node = judge->node,
                                    .index = at,
                                    .is_key = identity->kind == CLIENT_KEY,
                                    .sequence = identity->sequence};
    memcpy(finding.client, identity->client.data,
           MIN(identity->client.count, sizeof finding.client - 1));
    return finding;
}

static bool is_refused_for_identity(enum status status)
{
    return status == ST_SEQUENCE_TOO_OLD || status == ST_SEALED || status == ST_SESSION_EXPIRED ||
           status == ST_IDENTITY_REUSED || status == ST_SESSIONS_FULL;
}

/* What was refused for a reason that may pass has not been decided: it may come again. */
static bool is_carried_out(const struct kv_result *result, bool has_changed)
{
    return has_changed || (!result->is_replayed && !is_refused_for_identity(result->status) &&
                           status_info(result->status)->retry != RETRY_LATER);
}

/* Only for ids that the cluster has not allotted does forgetting undo what was promised. */
static bool may_be_forgotten(const struct client *client, const struct write *write)
{
    return !client->is_allotted && write->at < client->forgot_before;
}

static void convict(struct audit_judge *judge, raft_index at,
                    const struct client_identity *identity, const struct client *client,
                    const struct write *known)
{
    unsigned long long first = known->at;
    if (may_be_forgotten(client, known))
        audit_report_add(judge->report, finding_of(judge, AUDIT_FORGOTTEN, at, identity),
                         "carried out again; the first was at %llu, and forgotten after %llu s "
                         "of silence",
                         first, (unsigned long long)client->silence_us / 1000000);
    else if (known->is_sealed)
        audit_report_add(judge->report, finding_of(judge, AUDIT_UNSEALED, at, identity),
                         "carried out, though it was sealed as never at %llu", first);
    else
        audit_report_add(judge->report, finding_of(judge, AUDIT_TWICE, at, identity),
                         "carried out a second time; the first was at %llu", first);
}

static void hear_carried_out(struct audit_judge *judge, raft_index at,
                             const struct client_identity *identity, uint32_t client_place,
                             uint64_t answer)
{
    const struct client *client = &judge->clients[client_place];
    const struct write *known = know_write(judge, client_place, identity);
    judge->counts.writes_count++;
    if (known != NULL)
        convict(judge, at, identity, client, known);
    else if (client->is_allotted && !client->is_open)
        audit_report_add(judge->report, finding_of(judge, AUDIT_UNOPENED, at, identity),
                         "carried out in a session that was %s",
                         client->was_opened ? "closed" : "never opened");
    remember_write(judge, &(struct write){.client = client_place,
                                          .sequence = identity->sequence,
                                          .at = at,
                                          .answer = answer});
}

/* An answer given for a write that is not carried out here: it must be the one of before. That it
 * was given shows that the client's session is still there. */
static void hear_repetition(struct audit_judge *judge, raft_index at,
                            const struct client_identity *identity, uint32_t client_place,
                            uint64_t answer)
{
    struct client *client = &judge->clients[client_place];
    const struct write *known = know_write(judge, client_place, identity);
    if (known == NULL || known->is_sealed) {
        audit_report_add(judge->report, finding_of(judge, AUDIT_INVENTED, at, identity),
                         "answered as a repetition, but it was never carried out before");
        return;
    }
    client->forgot_before = MIN(client->forgot_before, known->at);
    if (known->answer != answer)
        audit_report_add(judge->report, finding_of(judge, AUDIT_ANSWER, at, identity),
                         "answered otherwise than at %llu, where it was carried out",
                         (unsigned long long)known->at);
}

static void hear_seal(struct audit_judge *judge, raft_index at,
                      const struct client_identity *identity, uint32_t client_place,
                      const struct kv_result *result)
{
    if (result->status != ST_OK)
        return;
    if (result->outcome == KV_OUTCOME_APPLIED) {
        hear_repetition(judge, at, identity, client_place,
                        hash_answer(result->applied_status, result));
        return;
    }
    const struct client *client = &judge->clients[client_place];
    const struct write *known = know_write(judge, client_place, identity);
    if (known != NULL && !known->is_sealed && !may_be_forgotten(client, known))
        audit_report_add(judge->report, finding_of(judge, AUDIT_ANSWER, at, identity),
                         "sealed as never, though it was carried out at %llu",
                         (unsigned long long)known->at);
    remember_write(judge, &(struct write){.client = client_place,
                                          .is_sealed = true,
                                          .sequence = identity->sequence,
                                          .at = at});
}

static void hear_identified(struct audit_judge *judge, raft_index at, enum command_op op,
                            const struct client_identity *identity, const struct kv_result *result,
                            bool has_changed)
{
    uint32_t client_place = know_client(judge, identity);
    struct client *client = &judge->clients[client_place];
    note_use(judge, client, at);
    if (op == COMMAND_CLOSE_SESSION) {
        client->is_open = false;
    } else if (op == COMMAND_SEAL) {
        hear_seal(judge, at, identity, client_place, result);
    } else if (is_carried_out(result, has_changed)) {
        hear_carried_out(judge, at, identity, client_place, hash_answer(result->status, result));
    } else if (result->is_replayed) {
        judge->counts.replayed_count++;
        hear_repetition(judge, at, identity, client_place, hash_answer(result->status, result));
    } else if (is_refused_for_identity(result->status)) {
        judge->counts.refused_count++;
    }
}

static void hear_opening(struct audit_judge *judge, struct entry_id at, uint64_t nonce)
{
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    struct client_identity identity = {
        .kind = CLIENT_ID, .client = bytes_of_text(session_format_id(at.index, nonce, id))};
    uint32_t place = know_client(judge, &identity); /* may move the clients */
    struct client *client = &judge->clients[place];
    client->was_opened = client->is_open = true;
    note_use(judge, client, at.index);
}

void audit_judge_hear(struct audit_judge *judge, struct entry_id at,
                      const struct proposal *proposal, const struct kv_result *result,
                      bool has_changed)
{
    struct command command;
    judge->stamp_us = MAX(judge->stamp_us, proposal->stamp_us);
    if (command_decode(proposal->command, &command) != ST_OK)
        return;
    if (command.op == COMMAND_OPEN_SESSION && result->status == ST_OK)
        hear_opening(judge, at, command.nonce);
    else if (command.op == COMMAND_EXPIRE_SESSIONS && result->status == ST_OK)
        hear_expiry(judge, at.index, command.cutoff_us);
    else if (command.identity.client.count != 0)
        hear_identified(judge, at.index, command.op, &command.identity, result, has_changed);
}
