/* Whole clusters under random faults on the simulated world: crashes, pauses, cut and reset links,
 * clocks of different speeds, leadership handed over.
 *
 * Three kinds of requests go to random nodes: increments without an identity, reads of a shared
 * counter, and increments of clients that send the same write to several nodes at once and again
 * and again, whatever they were told. Afterwards everything heals, and:
 *
 *      once        the log is read back from disk and followed with session_model.h: the state of
 *                  all nodes, and everything that any client was told, is what that comes to; no
 *                  (client, sequence) changed the state twice
 *      truth       a write acknowledged is there; one of which every delivery to the node that
 *                  ordered it was answered with effect none is not; without an identity also not
 *                  twice. All answers to one (client, sequence) are the same
 *      reads       show every increment acknowledged before, and none not yet sent
 *      state       equal digests at equal index, at every moment; what is encoded decodes to it
 *      liveness    every node takes a write within a bound
 *
 * MINIKV_SEED sets the first seed (default: from the clock, printed), MINIKV_SEEDS how many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/node.h"
#include "sim/world.h"
#include "storage/meta.h"
#include "storage/wal.h"
#include "support/world_node.h"
#include "unit/node/session_model.h"

enum {
    NODES_MAX = 5,
    CALLS_MAX = 8000,
    WRITES_MAX = 6000,
    CLIENTS_MAX = 256,
    CLIENTS_ACTIVE = 5,
    STORM_MS = 8000,
    HEAL_MS = 8000,
    INDEXES_MAX = 1 << 16,
    SEEDS_DEFAULT = 15
};

enum fate { FATE_OPEN, FATE_APPLIED, FATE_NONE, FATE_MAYBE };

enum call_kind {
    CALL_OWN,    /* increments a key of its own, once, without an identity */
    CALL_SHARED, /* increments the shared counter, without an identity */
    CALL_READ,   /* reads the shared counter */
    CALL_WRITE,  /* delivers a write of a client */
    CALL_SEAL,   /* settles one */
    CALL_OPEN,   /* allots a client id */
    CALL_TRANSFER
};

struct storm;

struct call {
    struct node_request request;
    struct storm *storm;
    enum call_kind kind;
    unsigned at, number;
    enum fate fate;
    uint64_t acked_before; /* reads: shared increments acknowledged when it was asked */
    unsigned write;        /* WRITE, SEAL */
    unsigned client;       /* OPEN */
    uint64_t nonce;        /* OPEN */
    struct buf command;
};

/* What one client wants done once. */
struct write {
    unsigned client;
    uint64_t sequence;
    bool is_shared;          /* the shared counter; else a key of its own */
    bool is_applied;         /* somebody was told so */
    bool is_sealed;          /* somebody was told that it never happens */
    bool is_refused;         /* somebody was told that it is too old */
    unsigned fresh_count;    /* answers that are no replay: at most one */
    unsigned hopeful_nodes;  /* bits: where a delivery was not answered with effect none */
    struct kv_result result; /* is_applied */
};

struct client {
    enum client_kind kind;
    char id[LIMIT_CLIENT_ID_BYTES + 1]; /* "": not allotted yet */
    bool is_expired;
    uint64_t sequence_last;
    unsigned settled_count; /* writes at the front that are answered for good */
    uint64_t acked;         /* of the last of them */
    unsigned writes[WRITES_MAX / 8];
    unsigned writes_count;
};

struct storm {
    uint64_t seed;
    struct prng prng;
    struct world *world;
    struct node *nodes[NODES_MAX + 1]; /* NULL: off */
    unsigned count;
    time_us session_ttl; /* 0: nobody is forgotten */
    struct call *calls;
    unsigned calls_count;
    struct write *writes;
    unsigned writes_count;
    struct client *clients;
    unsigned clients_count;
    unsigned active[CLIENTS_ACTIVE];
    uint64_t *digests; /* by index; 0: not seen yet */
    uint64_t shared_acked, shared_sent, shared_seen;
    bool is_paused[NODES_MAX + 1];
    struct kv *final; /* what all nodes have in the end */
};

struct totals {
    uint64_t applied, repeated, refused, expired, sealed;
};

static void fail_seed(const struct storm *storm, const char *what, unsigned number)
{
    fail_msg("MINIKV_SEED=%llu: %u: %s", (unsigned long long)storm->seed, number, what);
}

static uint64_t below(struct storm *storm, uint64_t limit)
{
    return prng_below(&storm->prng, limit);
}

static unsigned any_node(struct storm *storm)
{
    return 1 + (unsigned)below(storm, storm->count);
}

static void boot(struct storm *storm, unsigned id)
{
    struct node_options options = world_node_options(id, storm->count, true);
    struct node_callbacks callbacks = {0};
    struct errtext error = {0};
    options.session_ttl = storm->session_ttl;
    enum status status =
        node_open(world_boot(storm->world, id), &options, &callbacks, &storm->nodes[id], &error);
    if (status != ST_OK)
        fail_msg("MINIKV_SEED=%llu: node %u: %s", (unsigned long long)storm->seed, id, error.text);
    storm->is_paused[id] = false;
}

static void crash(struct storm *storm, unsigned id)
{
    struct node *node = storm->nodes[id];
    world_crash(storm->world, id);
    storm->nodes[id] = NULL; /* on_done: its clients learn nothing */
    node_close(node);
}

static void run_ms(struct storm *storm, uint64_t ms)
{
    time_us until = world_now(storm->world) + ms * TIME_US_PER_MS;
    while (world_step(storm->world, until))
        ;
}

/* ---- what clients are told ---- */

static void on_read(struct call *call, const struct node_answer *answer)
{
    struct storm *storm = call->storm;
    struct kv_item item;
    uint64_t shown = 0;
    if (answer->status != ST_OK)
        return;
    if (kv_get(node_kv(storm->nodes[call->at]), BYTES_LITERAL("shared"), &item))
        for (size_t i = 0; i < item.value.count; i++)
            shown = shown * 10 + (uint64_t)(item.value.data[i] - '0');
    if (shown < call->acked_before)
        fail_seed(storm, "a read misses an acknowledged increment", call->number);
    if (shown > storm->shared_sent)
        fail_seed(storm, "a read shows an increment that nobody sent", call->number);
    storm->shared_seen = MAX(storm->shared_seen, shown);
}

static bool is_settled(const struct write *write)
{
    return write->is_applied || write->is_sealed || write->is_refused;
}

static void settle(struct storm *storm, struct client *client)
{
    while (client->settled_count < client->writes_count) {
        const struct write *write = &storm->writes[client->writes[client->settled_count]];
        if (!is_settled(write))
            return;
        client->settled_count++;
        client->acked = write->sequence;
    }
}

static void learn_result(struct storm *storm, struct write *write, const struct kv_result *result,
                         unsigned number)
{
    if (!write->is_applied) {
        write->is_applied = true;
        write->result = *result;
        storm->shared_acked += write->is_shared;
    }
    if (write->result.number != result->number ||
        write->result.mod_revision != result->mod_revision ||
        write->result.revision != result->revision)
        fail_seed(storm, "two answers to the same write differ", number);
}

static void on_write(struct call *call, const struct node_answer *answer)
{
    struct storm *storm = call->storm;
    struct write *write = &storm->writes[call->write];
    struct client *client = &storm->clients[write->client];
    if (answer->status == ST_OK) {
        write->fresh_count += !answer->result.is_replayed;
        if (write->fresh_count > 1)
            fail_seed(storm, "took effect twice, by its answers", call->write);
        learn_result(storm, write, &answer->result, call->write);
    }
    write->is_sealed = write->is_sealed || answer->status == ST_SEALED;
    write->is_refused = write->is_refused || answer->status == ST_SEQUENCE_TOO_OLD;
    client->is_expired = client->is_expired || answer->status == ST_SESSION_EXPIRED;
    if (write->is_applied && write->is_sealed)
        fail_seed(storm, "was applied and sealed", call->write);
    settle(storm, client);
}

static void on_seal(struct call *call, const struct node_answer *answer)
{
    struct storm *storm = call->storm;
    struct write *write = &storm->writes[call->write];
    if (answer->status != ST_OK)
        return;
    struct kv_result result = {.number = answer->result.number,
                               .mod_revision = answer->result.mod_revision};
    if (answer->result.outcome == KV_OUTCOME_NEVER)
        write->is_sealed = true;
    else if (answer->result.outcome != KV_OUTCOME_APPLIED)
        fail_seed(storm, "a seal left open what becomes of the write", call->write);
    else if (write->is_applied && (write->result.number != result.number ||
                                   write->result.mod_revision != result.mod_revision))
        fail_seed(storm, "a seal tells another result than the answer did", call->write);
    if (write->is_applied && write->is_sealed)
        fail_seed(storm, "was applied and sealed", call->write);
    settle(storm, &storm->clients[write->client]);
}

static void on_open(struct call *call, const struct node_answer *answer)
{
    struct client *client = &call->storm->clients[call->client];
    if (answer->status == ST_OK)
        (void)session_format_id((raft_index)answer->result.number, call->nonce, client->id);
    else
        client->is_expired = true; /* given up; another takes its place */
}

static void on_answer(struct call *call, const struct node_answer *answer)
{
    struct storm *storm = call->storm;
    call->fate = answer->effect == EFFECT_APPLIED ? FATE_APPLIED
                 : answer->effect == EFFECT_NONE  ? FATE_NONE
                                                  : FATE_MAYBE;
    switch (call->kind) {
    case CALL_READ:
        on_read(call, answer);
        break;
    case CALL_SHARED:
        storm->shared_acked += call->fate == FATE_APPLIED;
        break;
    case CALL_WRITE:
        on_write(call, answer);
        break;
    case CALL_SEAL:
        on_seal(call, answer);
        break;
    case CALL_OPEN:
        on_open(call, answer);
        break;
    case CALL_OWN:
    case CALL_TRANSFER:
        break;
    }
}

static void on_done(void *ctx, const struct node_answer *answer)
{
    struct call *call = ctx;
    struct storm *storm = call->storm;
    call->fate = FATE_MAYBE;
    if (storm->nodes[call->at] != NULL)
        on_answer(call, answer);
    else if (call->kind == CALL_OPEN)
        storm->clients[call->client].is_expired = true;
    if (call->kind == CALL_WRITE && call->fate != FATE_NONE)
        storm->writes[call->write].hopeful_nodes |= 1u << call->at;
    buf_release(&call->command);
}

/* ---- what clients ask ---- */

static struct call *new_call(struct storm *storm, unsigned at, enum call_kind kind)
{
    struct call *call = &storm->calls[storm->calls_count];
    REQUIRE(storm->calls_count < CALLS_MAX);
    *call = (struct call){.storm = storm, .kind = kind, .at = at, .number = storm->calls_count++};
    buf_init(&call->command, LIMIT_COMMAND_BYTES);
    call->request = (struct node_request){
        .kind = kind == CALL_READ ? NODE_READ : NODE_WRITE,
        .policy = below(storm, 20) == 0 ? ROUTE_REDIRECT : ROUTE_FORWARD,
        .is_forwarded = below(storm, 20) == 0,
        .deadline = world_now_at(storm->world, at) + (200 + below(storm, 4000)) * TIME_US_PER_MS,
        .on_done = on_done,
        .ctx = call,
    };
    return call;
}

static struct call *submit(struct call *call, const struct command *command)
{
    if (command != NULL)
        command_encode(command, &call->command);
    call->request.command = buf_bytes(&call->command);
    handle_client_request(call->storm->nodes[call->at], &call->request);
    return call;
}

static struct call *submit_plain(struct storm *storm, unsigned at, enum call_kind kind)
{
    struct call *call = new_call(storm, at, kind);
    char key[32];
    (void)snprintf(key, sizeof key, "own-%u", call->number);
    struct command command = {.op = COMMAND_INCR, .by = 1, .key = bytes_of_text(key)};
    if (kind == CALL_SHARED)
        command.key = BYTES_LITERAL("shared");
    call->acked_before = MAX(storm->shared_acked, storm->shared_seen);
    storm->shared_sent += kind == CALL_SHARED;
    return submit(call, kind == CALL_READ ? NULL : &command);
}

static struct client_identity identity_of(struct storm *storm, const struct write *write)
{
    const struct client *client = &storm->clients[write->client];
    struct client_identity identity = {client->kind, bytes_of_text(client->id), write->sequence, 0};
    if (below(storm, 4) != 0)
        identity.acked = MIN(client->acked, write->sequence - 1);
    return identity;
}

static struct call *deliver(struct storm *storm, unsigned at, unsigned number)
{
    const struct write *write = &storm->writes[number];
    char key[64];
    (void)snprintf(key, sizeof key, "write-%u", number);
    struct command command = {.op = COMMAND_INCR,
                              .by = 1,
                              .key =
                                  write->is_shared ? BYTES_LITERAL("shared") : bytes_of_text(key),
                              .identity = identity_of(storm, write)};
    struct call *call = new_call(storm, at, CALL_WRITE);
    call->write = number;
    return submit(call, &command);
}

static void seal(struct storm *storm, unsigned at, unsigned number)
{
    struct command command = {.op = COMMAND_SEAL,
                              .identity = identity_of(storm, &storm->writes[number])};
    command.identity.acked = 0;
    struct call *call = new_call(storm, at, CALL_SEAL);
    call->write = number;
    (void)submit(call, &command);
}

static void transfer(struct storm *storm, unsigned at)
{
    struct command command = {.op = COMMAND_TRANSFER, .member = any_node(storm)};
    struct call *call = new_call(storm, at, CALL_TRANSFER);
    call->request.is_internal = true;
    (void)submit(call, &command);
}

static void new_client(struct storm *storm, unsigned slot, unsigned at)
{
    REQUIRE(storm->clients_count < CLIENTS_MAX);
    unsigned number = storm->clients_count++;
    struct client *client = &storm->clients[number];
    storm->active[slot] = number;
    client->kind = CLIENT_ID;
    if (storm->session_ttl == 0 && below(storm, 3) != 0) {
        client->kind = below(storm, 2) == 0 ? CLIENT_KEY : CLIENT_ID;
        (void)snprintf(client->id, sizeof client->id, "client-%u", number);
        return;
    }
    struct call *call = new_call(storm, at, CALL_OPEN);
    call->client = number;
    call->nonce = prng_next(&storm->prng);
    struct command command = {.op = COMMAND_OPEN_SESSION, .nonce = call->nonce};
    (void)submit(call, &command);
}

static unsigned new_write(struct storm *storm, unsigned client_number)
{
    struct client *client = &storm->clients[client_number];
    REQUIRE(storm->writes_count < WRITES_MAX);
    unsigned number = storm->writes_count++;
    bool jumps = client->kind == CLIENT_ID && below(storm, 200) == 0; /* past the window */
    client->sequence_last += jumps ? 1 + below(storm, 2 * LIMIT_SESSION_WINDOW) : 1;
    storm->writes[number] = (struct write){.client = client_number,
                                           .sequence = client->sequence_last,
                                           .is_shared = below(storm, 2) == 0};
    client->writes[client->writes_count++] = number;
    storm->shared_sent += storm->writes[number].is_shared;
    return number;
}

/* A new write, or one of the last again, whatever became of it; to several nodes at once. */
static void act_as_client(struct storm *storm, unsigned at)
{
    unsigned slot = (unsigned)below(storm, CLIENTS_ACTIVE);
    struct client *client = &storm->clients[storm->active[slot]];
    bool has_left =
        client->writes_count > 0 && below(storm, client->kind == CLIENT_KEY ? 10 : 100) == 0;
    if ((client->is_expired || has_left) && storm->clients_count < CLIENTS_MAX) {
        new_client(storm, slot, at);
        return;
    }
    if (below(storm, 20) == 0 && storm->writes_count > 0) {
        (void)deliver(storm, at, (unsigned)below(storm, storm->writes_count)); /* a very late one */
        return;
    }
    if (client->id[0] == '\0' || client->writes_count == ARRAY_COUNT(client->writes))
        return;
    unsigned number;
    bool has_more = client->kind == CLIENT_ID && below(storm, 5) < 2; /* a key is for one write */
    if (client->writes_count == 0 || has_more) {
        number = new_write(storm, storm->active[slot]);
    } else {
        unsigned back = (unsigned)below(storm, MIN(client->writes_count, 40u));
        number = client->writes[client->writes_count - 1 - back];
    }
    if (below(storm, 40) == 0)
        seal(storm, at, number);
    for (unsigned i = (unsigned)below(storm, 3); i > 0; i--) {
        unsigned other = any_node(storm);
        if (storm->nodes[other] != NULL)
            (void)deliver(storm, other, number);
    }
    (void)deliver(storm, at, number);
}

static void act(struct storm *storm)
{
    unsigned at = any_node(storm);
    if (storm->nodes[at] == NULL || storm->calls_count > CALLS_MAX - 64)
        return;
    switch (below(storm, 8)) {
    case 0:
        (void)submit_plain(storm, at, CALL_READ);
        break;
    case 1:
        (void)submit_plain(storm, at, CALL_OWN);
        break;
    case 2:
        (void)submit_plain(storm, at, CALL_SHARED);
        break;
    default:
        act_as_client(storm, at);
        break;
    }
    if (below(storm, 200) == 0)
        transfer(storm, at);
}

/* ---- what happens to the nodes ---- */

static void heal_links(struct storm *storm)
{
    for (unsigned a = 1; a <= storm->count; a++)
        for (unsigned b = 1; b <= storm->count; b++)
            world_cut(storm->world, a, b, false);
}

static void strike(struct storm *storm)
{
    unsigned a = any_node(storm), b = any_node(storm);
    switch (below(storm, 12)) {
    case 0:
        if (storm->nodes[a] != NULL)
            crash(storm, a);
        break;
    case 1:
    case 2:
        if (storm->nodes[a] == NULL)
            boot(storm, a);
        break;
    case 3:
        for (unsigned i = 1; i <= storm->count; i++) /* all at once */
            if (storm->nodes[i] != NULL && below(storm, 8) == 0)
                crash(storm, i);
        break;
    case 4:
        storm->is_paused[a] = storm->nodes[a] != NULL && !storm->is_paused[a];
        world_pause(storm->world, a, storm->is_paused[a]);
        break;
    case 5:
    case 6:
        if (a != b)
            world_cut(storm->world, a, b, true);
        break;
    case 7:
        heal_links(storm);
        break;
    case 8:
        for (unsigned i = 1; i <= storm->count; i++) { /* alone */
            world_cut(storm->world, a, i, a != i);
            world_cut(storm->world, i, a, a != i);
        }
        break;
    default:
        if (a != b)
            world_reset_links(storm->world, a, b);
        break;
    }
}

/* Whoever starts from the bytes of a state has the same state, which the caller owns. */
static struct kv *copy_state(struct storm *storm, const struct kv *kv)
{
    struct kv_options options = {0};
    struct kv *copy = NULL;
    struct buf encoded, again;
    buf_init(&encoded, SIZE_MAX / 2);
    buf_init(&again, SIZE_MAX / 2);
    kv_encode(kv, &encoded);
    if (kv_decode(buf_bytes(&encoded), &options, &copy) != ST_OK)
        fail_seed(storm, "an encoded state does not decode", 0);
    kv_check(copy);
    kv_encode(copy, &again);
    if (kv_digest(copy) != kv_digest(kv) || !bytes_equal(buf_bytes(&encoded), buf_bytes(&again)))
        fail_seed(storm, "an encoded state decodes to another one", 0);
    buf_release(&encoded);
    buf_release(&again);
    return copy;
}

static void check_states(struct storm *storm)
{
    for (unsigned i = 1; i <= storm->count; i++) {
        if (storm->nodes[i] == NULL)
            continue;
        const struct kv *kv = node_kv(storm->nodes[i]);
        raft_index applied = node_applied(storm->nodes[i]);
        REQUIRE(applied < INDEXES_MAX);
        if (storm->digests[applied] == 0)
            storm->digests[applied] = kv_digest(kv);
        if (storm->digests[applied] != kv_digest(kv))
            fail_seed(storm, "differs from another node at the same index", i);
    }
    unsigned some = any_node(storm);
    if (storm->nodes[some] != NULL && below(storm, 100) == 0)
        kv_free(copy_state(storm, node_kv(storm->nodes[some])));
}

static void rage(struct storm *storm)
{
    time_us until = world_now(storm->world) + STORM_MS * TIME_US_PER_MS;
    uint64_t calm = 20 + below(storm, 400); /* one strike in so many steps */
    while (world_now(storm->world) < until) {
        act(storm);
        if (below(storm, calm) == 0)
            strike(storm);
        run_ms(storm, 1 + below(storm, 8));
        check_states(storm);
    }
}

static void heal(struct storm *storm)
{
    heal_links(storm);
    for (unsigned i = 1; i <= storm->count; i++) {
        if (storm->is_paused[i])
            world_pause(storm->world, i, false);
        if (storm->nodes[i] == NULL)
            boot(storm, i);
    }
    run_ms(storm, HEAL_MS);
}

/* ---- what must have come of it ---- */

static struct call *take_plainly(struct call *call)
{
    call->request.deadline += HEAL_MS * TIME_US_PER_MS;
    return call;
}

static void check_liveness(struct storm *storm)
{
    unsigned first = storm->calls_count;
    unsigned client = storm->clients_count++;
    storm->clients[client].kind = CLIENT_ID;
    (void)snprintf(storm->clients[client].id, sizeof storm->clients[client].id, "last");
    bool has_session =
        storm->session_ttl == 0; /* the model forgets no client of its own choosing */
    unsigned write = has_session ? new_write(storm, client) : 0;
    for (unsigned i = 1; i <= storm->count; i++) {
        struct call *call = new_call(storm, i, CALL_OWN);
        char key[32];
        (void)snprintf(key, sizeof key, "own-%u", call->number);
        struct command command = {.op = COMMAND_INCR, .by = 1, .key = bytes_of_text(key)};
        call->request.policy = ROUTE_FORWARD;
        call->request.is_forwarded = false;
        (void)submit(take_plainly(call), &command);
    }
    run_ms(storm, HEAL_MS);
    for (unsigned number = first; number < storm->calls_count; number++)
        if (storm->calls[number].fate != FATE_APPLIED)
            fail_seed(storm, "after everything healed a write is not taken", number);
    for (unsigned i = 1; has_session && i <= storm->count; i++)
        (void)deliver(storm, i, write);
    run_ms(storm, HEAL_MS);
    for (unsigned i = 2; i <= storm->count; i++)
        if (kv_digest(node_kv(storm->nodes[i])) != kv_digest(node_kv(storm->nodes[1])))
            fail_seed(storm, "two nodes differ", i);
    storm->final = copy_state(storm, node_kv(storm->nodes[1]));
}

static void check_call(struct storm *storm, const struct call *call)
{
    if (call->fate == FATE_OPEN)
        fail_seed(storm, "was never answered", call->number);
    if (call->kind != CALL_OWN)
        return;
    char key[32];
    struct kv_item item;
    (void)snprintf(key, sizeof key, "own-%u", call->number);
    bool is_there = kv_get(storm->final, bytes_of_text(key), &item);
    if (is_there && item.version != 1)
        fail_seed(storm, "took effect twice", call->number);
    if (call->fate == FATE_APPLIED && !is_there)
        fail_seed(storm, "was acknowledged and is lost", call->number);
    if (call->fate == FATE_NONE && is_there)
        fail_seed(storm, "was answered with effect none and took effect", call->number);
}

static void check_write(struct storm *storm, struct model *model, unsigned number)
{
    const struct write *write = &storm->writes[number];
    struct bytes id = bytes_of_text(storm->clients[write->client].id);
    const struct model_write *wanted = model_write_find(model, id, write->sequence);
    bool is_done = wanted != NULL && wanted->is_done;
    bool is_sealed = wanted != NULL && wanted->is_sealed;
    if (write->is_applied && !is_done)
        fail_seed(storm, "was acknowledged, and no entry of the log carries it out", number);
    if (write->is_applied && write->result.number != wanted->number)
        fail_seed(storm, "was answered with another number than the log comes to", number);
    if (write->is_sealed && !is_sealed)
        fail_seed(storm, "was said to happen never, and is not sealed", number);
    if (is_done && (write->hopeful_nodes & 1u << wanted->accepted_by) == 0)
        fail_seed(storm, "was answered with effect none only, and took effect", number);
    if (write->is_shared)
        return;

    char key[32];
    struct kv_item item;
    (void)snprintf(key, sizeof key, "write-%u", number);
    bool is_there = kv_get(storm->final, bytes_of_text(key), &item);
    if (is_there != is_done)
        fail_seed(storm, is_done ? "is lost" : "took effect against the log", number);
    if (is_there && item.version != 1)
        fail_seed(storm, "took effect twice", number);
}

static void check_counter(struct storm *storm, const struct model *model)
{
    struct kv_item item;
    char wanted[32];
    (void)snprintf(wanted, sizeof wanted, "%lld", (long long)model->shared);
    bool is_there = kv_get(storm->final, BYTES_LITERAL("shared"), &item);
    if (is_there != (model->shared != 0) || (is_there && !bytes_equal_text(item.value, wanted)))
        fail_seed(storm, "the shared counter is not the number of distinct increments",
                  (unsigned)model->shared);
}

static void on_durable(void *ctx, uint64_t sequence)
{
    (void)ctx, (void)sequence;
}

static void on_failed(void *ctx, enum status status)
{
    fail_seed(ctx, status_info(status)->code, 0);
}

/* The committed log of a machine whose node is off, as its disk has it. */
static void follow_log(struct storm *storm, unsigned machine, raft_index applied,
                       struct model *model)
{
    struct env *env = world_boot(storm->world, machine);
    struct wal_callbacks callbacks = {on_durable, on_failed, storm};
    struct wal_recovered recovered;
    struct errtext error = {0};
    struct meta meta;
    struct wal *wal = NULL;
    if (meta_load(env, &meta, &error) != ST_OK)
        fail_seed(storm, error.text, machine);
    struct wal_options options = {.directory = "wal",
                                  .segment_bytes = WAL_SEGMENT_BYTES_MIN,
                                  .owner = {meta.cluster_id, meta.identity},
                                  .must_exist = true};
    if (wal_open(env, &options, &callbacks, NULL, NULL, &wal, &recovered, &error) != ST_OK)
        fail_seed(storm, error.text, machine);
    for (raft_index next = 2; next <= applied;) {
        struct entry *entries[256];
        size_t count = 0;
        if (wal_read(wal, next, MIB, entries, MIN(ARRAY_COUNT(entries), applied - next + 1), &count,
                     &error) != ST_OK)
            fail_seed(storm, error.text, machine);
        for (size_t i = 0; i < count; i++) {
            model_apply(model, entries[i]);
            entry_unref(entries[i]);
        }
        next += count;
    }
    wal_close(wal);
    world_crash(storm->world, machine);
}

static void check_log(struct storm *storm, struct totals *totals)
{
    struct model *model = mem_alloc(sizeof *model);
    model->shared_key = "shared";
    unsigned reader = any_node(storm);
    raft_index applied = node_applied(storm->nodes[reader]);
    crash(storm, reader);
    follow_log(storm, reader, applied, model);
    for (unsigned i = 0; i < storm->writes_count; i++)
        check_write(storm, model, i);
    check_counter(storm, model);
    for (unsigned i = 0; i < model->writes_count; i++) {
        totals->applied += model->writes[i].is_done;
        totals->sealed += model->writes[i].is_sealed;
    }
    totals->repeated += model->repeated_count;
    totals->refused += model->refused_count;
    totals->expired += model->expired_count;
    mem_free(model);
}

static void set_up(struct storm *storm)
{
    struct world_options options = {.seed = storm->seed,
                                    .delay_min = 20,
                                    .delay_max = 20 + below(storm, 20000),
                                    .sync_min = 30,
                                    .sync_max = 30 + below(storm, 30000)};
    storm->world = world_new(&options);
    storm->count = 1 + (unsigned)below(storm, NODES_MAX);
    if (storm->seed % 3 == 0)
        storm->session_ttl = (1000 + below(storm, 3000)) * TIME_US_PER_MS;
    storm->calls = mem_alloc_array(CALLS_MAX, sizeof storm->calls[0]);
    storm->writes = mem_alloc_array(WRITES_MAX, sizeof storm->writes[0]);
    storm->clients = mem_alloc_array(CLIENTS_MAX + 1, sizeof storm->clients[0]);
    storm->digests = mem_alloc_array(INDEXES_MAX, sizeof storm->digests[0]);
    bool has_odd_clocks = below(storm, 2) == 0;
    for (unsigned i = 1; i <= storm->count; i++) {
        if (has_odd_clocks)
            world_clock(storm->world, i, 80 + (unsigned)below(storm, 45),
                        below(storm, 1000000) * 1000 * TIME_US_PER_MS);
        boot(storm, i);
    }
    for (unsigned slot = 0; slot < CLIENTS_ACTIVE; slot++)
        new_client(storm, slot, any_node(storm));
}

static void play(uint64_t seed, struct totals *totals)
{
    struct storm storm = {.seed = seed};
    prng_init(&storm.prng, seed);
    set_up(&storm);

    rage(&storm);
    heal(&storm);
    check_liveness(&storm);
    for (unsigned i = 0; i < storm.calls_count; i++)
        check_call(&storm, &storm.calls[i]);
    check_log(&storm, totals);

    for (unsigned i = 1; i <= storm.count; i++)
        if (storm.nodes[i] != NULL)
            crash(&storm, i);
    world_free(storm.world);
    mem_free(storm.calls);
    mem_free(storm.writes);
    mem_free(storm.clients);
    mem_free(storm.digests);
    kv_free(storm.final);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void
whatever_breaks_no_answer_lies_nothing_happens_twice_and_the_cluster_recovers(void **state)
{
    uint64_t first = number_from("MINIKV_SEED", (uint64_t)time(NULL) * 1000);
    uint64_t count = number_from("MINIKV_SEEDS", SEEDS_DEFAULT);
    struct totals totals = {0};
    for (uint64_t seed = first; seed < first + count; seed++)
        play(seed, &totals);
    printf("seeds %llu-%llu: %llu writes of clients took effect, %llu entries repeated one, %llu "
           "came too late, %llu were sealed first; %llu clients were forgotten\n",
           (unsigned long long)first, (unsigned long long)(first + count - 1),
           (unsigned long long)totals.applied, (unsigned long long)totals.repeated,
           (unsigned long long)totals.refused, (unsigned long long)totals.sealed,
           (unsigned long long)totals.expired);
    if (count < SEEDS_DEFAULT)
        return;
    assert_true(totals.applied > 0);
    assert_true(totals.repeated > 0);
    assert_true(totals.refused > 0);
    assert_true(totals.sealed > 0);
    assert_true(totals.expired > 0);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            whatever_breaks_no_answer_lies_nothing_happens_twice_and_the_cluster_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
