/* What clients ask: increments with and without an identity, changes and reads of a few registers,
 * and increments of clients that send the same write to several nodes at once and again and again,
 * whatever they were told. Requests enter at the node's own door, as a front door's would. */
#include <stdio.h>

#include "base/mem.h"
#include "sim/swarm/swarm.h"

static uint64_t below(struct swarm *swarm, uint64_t limit)
{
    return prng_below(&swarm->work, limit);
}

static unsigned any_site(struct swarm *swarm)
{
    return 1 + (unsigned)below(swarm, swarm->plan.nodes_count);
}

const char *operation_format(const struct operation *operation, char out[64])
{
    static const char *const names[] = {
        [OPERATION_OWN] = "increment",          [OPERATION_SHARED] = "increment the counter",
        [OPERATION_COUNT] = "read the counter", [OPERATION_READ] = "read register",
        [OPERATION_CHANGE] = "change register", [OPERATION_DELIVER] = "deliver write",
        [OPERATION_SEAL] = "seal write",        [OPERATION_OUTCOME] = "outcome of write",
        [OPERATION_OPEN] = "open session",      [OPERATION_CLOSE] = "close session",
        [OPERATION_TRANSFER] = "transfer",      [OPERATION_ANNOUNCE] = "announce",
        [OPERATION_MEMBERS] = "change members", [OPERATION_LAST] = "last write",
        [OPERATION_TXN] = "transaction",        [OPERATION_SWAP] = "transaction on register",
        [OPERATION_PAIR] = "read the pair",     [OPERATION_COMPACT] = "compact",
        [OPERATION_GRANT] = "grant a lease",    [OPERATION_ATTACH] = "put with a lease",
        [OPERATION_KEEP] = "keep a lease",      [OPERATION_REVOKE] = "revoke a lease"};
    bool names_write = operation->kind == OPERATION_DELIVER || operation->kind == OPERATION_SEAL ||
                       operation->kind == OPERATION_OUTCOME;
    bool names_key = operation->kind == OPERATION_READ || operation->kind == OPERATION_CHANGE ||
                     operation->kind == OPERATION_SWAP;
    if (names_write || names_key)
        (void)snprintf(out, 64, "%s %u", names[operation->kind],
                       names_write ? operation->write : operation->key);
    else
        (void)snprintf(out, 64, "%s", names[operation->kind]);
    return out;
}

/* ---- asking ---- */

static bool is_read(enum operation_kind kind)
{
    return kind == OPERATION_COUNT || kind == OPERATION_READ || kind == OPERATION_OUTCOME ||
           kind == OPERATION_PAIR;
}

struct operation *work_new(struct swarm *swarm, struct prng *prng, unsigned at,
                           enum operation_kind kind)
{
    struct operation *operation = mem_alloc(sizeof *operation);
    struct operation **slot = swarm_append((void **)&swarm->operations, &swarm->operations_count,
                                           sizeof swarm->operations[0]);
    *slot = operation;
    *operation = (struct operation){
        .swarm = swarm, .kind = kind, .at = at, .number = (unsigned)swarm->operations_count - 1};
    operation->is_calm = swarm->rolling.has_begun && plan_is_calm(&swarm->plan);
    operation->asked_at = world_now_at(swarm->world, at);
    buf_init(&operation->command, LIMIT_COMMAND_BYTES);
    operation->called_at = world_now(swarm->world);
    time_us patience = (200 + prng_below(prng, 4000)) * TIME_US_PER_MS;
    bool wants_redirect = prng_below(prng, 20) == 0;
    bool is_forwarded = prng_below(prng, 20) == 0;
    operation->request = (struct node_request){
        .kind = is_read(kind) ? NODE_READ : NODE_WRITE,
        .policy = wants_redirect ? ROUTE_REDIRECT : ROUTE_FORWARD,
        .is_forwarded = is_forwarded,
        .deadline = operation->asked_at + patience,
        .on_done = answers_on_done,
        .ctx = operation,
    };
    return operation;
}

static struct operation *new_operation(struct swarm *swarm, unsigned at, enum operation_kind kind)
{
    return work_new(swarm, &swarm->work, at, kind);
}

void work_count(struct operation *operation)
{
    struct swarm *swarm = operation->swarm;
    char text[64];
    swarm->open_count++;
    swarm->sites[operation->at].open_count++;
    swarm->totals.operations++;
    swarm_note(swarm, TRACE_CALL, operation->at, 0, operation->number, operation->kind, "#%u %s",
               operation->number, operation_format(operation, text));
}

void work_submit(struct operation *operation, const struct command *command)
{
    if (command != NULL)
        command_encode(command, &operation->command);
    operation->request.command = buf_bytes(&operation->command);
    work_count(operation);
    handle_client_request(operation->swarm->sites[operation->at].node, &operation->request);
}

/* ---- the counter ---- */

static void increment(struct swarm *swarm, unsigned at, enum operation_kind kind)
{
    char key[32];
    struct operation *operation = new_operation(swarm, at, kind);
    (void)snprintf(key, sizeof key, "own-%u", operation->number);
    struct command command = {.op = COMMAND_INCR, .by = 1, .key = bytes_of_text(key)};
    if (kind == OPERATION_SHARED) {
        command.key = BYTES_LITERAL("shared");
        swarm->shared_sent++;
    }
    if (kind == OPERATION_LAST) {
        operation->request.policy = ROUTE_FORWARD;
        operation->request.is_forwarded = false;
        operation->request.deadline += 10 * swarm->plan.election;
    }
    work_submit(operation, &command);
}

static void count(struct swarm *swarm, unsigned at)
{
    struct operation *operation = new_operation(swarm, at, OPERATION_COUNT);
    operation->acked_before = MAX(swarm->shared_acked, swarm->shared_seen);
    work_submit(operation, NULL);
}

/* ---- registers ---- */

static void fill_change(const struct swarm *swarm, const struct change *change, struct buf *value,
                        struct command *command)
{
    command->op = change->op;
    command->condition = change->condition;
    command->condition_revision = change->condition_revision;
    if (change->op != COMMAND_PUT)
        return;
    history_put_value(swarm, change, value);
    command->value = buf_bytes(value);
}

static void submit_change(struct operation *operation, unsigned key, const struct change *change,
                          const struct client_identity *identity)
{
    struct buf value;
    char key_text[HISTORY_KEY_BYTES];
    struct command command = {0};
    buf_init(&value, LIMIT_VALUE_BYTES);
    history_key(key, key_text);
    command.key = bytes_of_text(key_text);
    fill_change(operation->swarm, change, &value, &command);
    if (identity != NULL)
        command.identity = *identity;
    work_submit(operation, &command);
    buf_release(&value);
}

static void use_register(struct swarm *swarm, unsigned at)
{
    unsigned key = (unsigned)below(swarm, swarm->plan.keys_count);
    if (below(swarm, 2) == 0) {
        struct operation *operation = new_operation(swarm, at, OPERATION_READ);
        operation->key = key;
        operation->history = history_begin_read(swarm, key);
        work_submit(operation, NULL);
        return;
    }
    struct change change = history_draw_change(swarm, &swarm->work, key);
    struct operation *operation = new_operation(swarm, at, OPERATION_CHANGE);
    operation->key = key;
    operation->history = history_begin_change(swarm, key, &change);
    submit_change(operation, key, &change, NULL);
}

/* ---- clients with an identity ---- */

struct client_identity work_identity(const struct swarm *swarm, const struct write *write)
{
    const struct client *client = &swarm->clients[write->client];
    return (struct client_identity){client->kind, bytes_of_text(client->id), write->sequence, 0};
}

static void deliver(struct swarm *swarm, unsigned at, unsigned number)
{
    struct write *write = &swarm->writes[number];
    const struct client *client = &swarm->clients[write->client];
    struct client_identity identity = work_identity(swarm, write);
    struct operation *operation = new_operation(swarm, at, OPERATION_DELIVER);
    operation->write = number;
    if (below(swarm, 4) != 0)
        identity.acked = MIN(client->acked, write->sequence - 1);
    if (write->target == TARGET_REGISTER && write->deliveries_count == 0)
        write->history = history_begin_change(swarm, write->key, &write->change);
    write->deliveries_count++;
    if (write->target == TARGET_REGISTER) {
        submit_change(operation, write->key, &write->change, &identity);
        return;
    }
    char key[32];
    (void)snprintf(key, sizeof key, "write-%u", number);
    bool is_shared = write->target == TARGET_SHARED;
    struct command command = {.op = COMMAND_INCR,
                              .by = 1,
                              .key = is_shared ? BYTES_LITERAL("shared") : bytes_of_text(key),
                              .identity = identity};
    work_submit(operation, &command);
}

static void ask(struct swarm *swarm, unsigned at, unsigned number, enum operation_kind kind)
{
    const struct write *write = &swarm->writes[number];
    struct operation *operation = new_operation(swarm, at, kind);
    operation->write = number;
    operation->was_applied = write->is_applied;
    if (kind == OPERATION_OUTCOME) {
        work_submit(operation, NULL);
        return;
    }
    struct command command = {.op = COMMAND_SEAL, .identity = work_identity(swarm, write)};
    work_submit(operation, &command);
}

static bool forgets(const struct swarm *swarm)
{
    return swarm->plan.session_ttl != 0;
}

static void new_client(struct swarm *swarm, unsigned slot, unsigned at)
{
    struct client *client =
        swarm_append((void **)&swarm->clients, &swarm->clients_count, sizeof swarm->clients[0]);
    unsigned number = (unsigned)swarm->clients_count - 1;
    swarm->active[slot] = number;
    client->kind = CLIENT_ID;
    if (!forgets(swarm) && below(swarm, 3) != 0) { /* forgotten, these would begin anew */
        client->kind = below(swarm, 2) == 0 ? CLIENT_KEY : CLIENT_ID;
        (void)snprintf(client->id, sizeof client->id, "client-%u", number);
        return;
    }
    struct operation *operation = new_operation(swarm, at, OPERATION_OPEN);
    operation->client = number;
    operation->nonce = prng_next(&swarm->work);
    struct command command = {.op = COMMAND_OPEN_SESSION, .nonce = operation->nonce};
    work_submit(operation, &command);
}

static void close_client(struct swarm *swarm, unsigned number, unsigned at)
{
    struct client *client = &swarm->clients[number];
    struct operation *operation = new_operation(swarm, at, OPERATION_CLOSE);
    operation->client = number;
    struct command command = {.op = COMMAND_CLOSE_SESSION};
    command.identity = (struct client_identity){CLIENT_ID, bytes_of_text(client->id), 0, 0};
    client->is_expired = true;
    work_submit(operation, &command);
}

static unsigned new_write(struct swarm *swarm, unsigned client_number)
{
    struct client *client = &swarm->clients[client_number];
    struct write *write =
        swarm_append((void **)&swarm->writes, &swarm->writes_count, sizeof swarm->writes[0]);
    unsigned number = (unsigned)swarm->writes_count - 1;
    unsigned *last =
        swarm_append((void **)&client->writes, &client->writes_count, sizeof client->writes[0]);
    *last = number;
    bool jumps = client->kind == CLIENT_ID && below(swarm, 200) == 0; /* past the window */
    client->sequence_last += jumps ? 1 + below(swarm, 2 * LIMIT_SESSION_WINDOW) : 1;
    *write = (struct write){.client = client_number,
                            .sequence = client->sequence_last,
                            .target = (enum target)below(swarm, TARGET_REGISTER + 1)};
    swarm->shared_sent += write->target == TARGET_SHARED;
    if (write->target == TARGET_REGISTER) {
        write->key = (unsigned)below(swarm, swarm->plan.keys_count);
        write->change = history_draw_change(swarm, &swarm->work, write->key);
    }
    return number;
}

/* A new write of this client, or one of its last again; false: it has none to send. */
static bool choose_write(struct swarm *swarm, unsigned client_number, unsigned *out_number)
{
    const struct client *client = &swarm->clients[client_number];
    bool has_more = client->kind == CLIENT_ID && below(swarm, 5) < 2; /* a key is for one write */
    if (client->id[0] == '\0')
        return false;
    if (client->writes_count == 0 || has_more) {
        *out_number = new_write(swarm, client_number);
        return true;
    }
    uint64_t back = below(swarm, MIN(client->writes_count, (size_t)40));
    *out_number = client->writes[client->writes_count - 1 - back];
    return true;
}

/* To one node or to several at once. */
static void send_out(struct swarm *swarm, unsigned at, unsigned number)
{
    if (below(swarm, 40) == 0)
        ask(swarm, at, number, OPERATION_SEAL);
    if (below(swarm, 10) == 0)
        ask(swarm, at, number, OPERATION_OUTCOME);
    for (uint64_t i = below(swarm, swarm->plan.copies_max); i > 0; i--) {
        unsigned other = any_site(swarm);
        if (site_is_open(&swarm->sites[other]))
            deliver(swarm, other, number);
    }
    deliver(swarm, at, number);
}

static void act_as_client(struct swarm *swarm, unsigned at)
{
    unsigned slot = (unsigned)below(swarm, swarm->plan.clients_count), number;
    const struct client *client = &swarm->clients[swarm->active[slot]];
    bool is_allotted = client->id[0] == 's';
    bool has_left =
        client->writes_count > 0 && below(swarm, client->kind == CLIENT_KEY ? 10 : 100) == 0;
    if (has_left && is_allotted && below(swarm, 2) == 0)
        close_client(swarm, swarm->active[slot], at);
    if (swarm->clients[swarm->active[slot]].is_expired || has_left)
        new_client(swarm, slot, at);
    else if (below(swarm, 20) == 0 && swarm->writes_count > 0)
        deliver(swarm, at, (unsigned)below(swarm, swarm->writes_count)); /* a very late one */
    else if (choose_write(swarm, swarm->active[slot], &number))
        send_out(swarm, at, number);
}

/* ---- operators ---- */

void work_transfer(struct swarm *swarm, unsigned at, node_id to)
{
    struct command command = {.op = COMMAND_TRANSFER, .member = to};
    struct operation *operation = new_operation(swarm, at, OPERATION_TRANSFER);
    operation->request.is_internal = true;
    work_submit(operation, &command);
}

void work_announce(struct swarm *swarm, unsigned at, node_id member, const struct address *http)
{
    struct command command = {.op = COMMAND_ANNOUNCE, .member = member, .http = *http};
    struct operation *operation = new_operation(swarm, at, OPERATION_ANNOUNCE);
    operation->request.is_internal = true;
    work_submit(operation, &command);
}

void work_change_members(struct swarm *swarm, unsigned at, const struct command *command)
{
    struct operation *operation = new_operation(swarm, at, OPERATION_MEMBERS);
    operation->member = command->member;
    operation->is_join = command->op == COMMAND_JOIN;
    operation->request.is_internal = true;
    work_submit(operation, command);
}

void work_last(struct swarm *swarm, unsigned at)
{
    increment(swarm, at, OPERATION_LAST);
}

/* ---- when ---- */

static enum work draw_work(struct swarm *swarm)
{
    uint64_t at = below(swarm, swarm->plan.share_sum);
    unsigned kind = 0;
    for (; at >= swarm->plan.shares[kind]; kind++)
        at -= swarm->plan.shares[kind];
    return (enum work)kind;
}

static void act(struct swarm *swarm)
{
    unsigned at = any_site(swarm);
    if (!site_is_open(&swarm->sites[at]))
        return;
    switch (draw_work(swarm)) {
    case WORK_COUNTER:
        increment(swarm, at, below(swarm, 2) == 0 ? OPERATION_OWN : OPERATION_SHARED);
        return;
    case WORK_READ:
        count(swarm, at);
        return;
    case WORK_SESSION:
        act_as_client(swarm, at);
        return;
    case WORK_REGISTER:
        use_register(swarm, at);
        return;
    case WORK_KINDS:
        break;
    }
    UNREACHABLE();
}

/* Some at once, then a pause: what arrives in one turn takes other ways than what comes alone. */
static void plan_next(struct swarm *swarm)
{
    uint64_t pace = below(swarm, 4);
    time_us every = swarm->plan.operation_every;
    time_us pause = pace < 2 ? below(swarm, every / 8 + 1) : below(swarm, every * 4);
    bool has_more = swarm->operations_count < swarm->plan.operations_max;
    swarm->next_work_at = has_more ? world_now(swarm->world) + pause : TIME_NEVER;
}

void work_begin(struct swarm *swarm)
{
    for (unsigned slot = 0; slot < swarm->plan.clients_count; slot++)
        new_client(swarm, slot, 1 + (any_site(swarm) - 1) % plan_founders(&swarm->plan));
    plan_next(swarm);
}

void work_due(struct swarm *swarm)
{
    while (swarm->next_work_at <= world_now(swarm->world)) {
        act(swarm);
        plan_next(swarm);
    }
}
