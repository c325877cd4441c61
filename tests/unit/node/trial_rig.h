/* Trial: a cluster on the simulated world whose clients count, whatever becomes of the nodes, and
 * whose nodes take snapshots often.
 *
 * Each client sends one write after the other, each with an identity, and repeats it at another
 * node until it is answered: so in the end the counter holds exactly what was acknowledged. Every
 * second write is a value of some size, so that the log grows and is cut. */
#ifndef MINIKV_TESTS_UNIT_NODE_TRIAL_RIG_H
#define MINIKV_TESTS_UNIT_NODE_TRIAL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/node.h"
#include "sim/world.h"
#include "support/world_node.h"

enum {
    TRIAL_MACHINES = 5,
    TRIAL_CLIENTS = 4,
    TRIAL_SLICE_MS = 5,
    TRIAL_RETRY_MS = 40,
    TRIAL_BOOT_MS = 150,      /* after a stop */
    TRIAL_PATIENCE_MS = 40000 /* for all to be as one again */
};

struct trial;

struct trial_client {
    struct trial *trial;
    unsigned id;
    uint64_t sequence; /* of the write under way */
    uint64_t last;     /* the last one it shall send */
    unsigned attempts_count;
    bool is_open;
    bool was_refused; /* finally: the harness or the node is wrong */
    time_us not_before;
    struct node_request request;
    struct buf command;
};

struct trial_place {
    struct trial *trial;
    unsigned id;
};

struct trial {
    struct world *world;
    struct trial_place places[TRIAL_MACHINES + 1];
    struct node *nodes[TRIAL_MACHINES + 1];
    unsigned founders_count;
    bool boots_again;                /* who stops is booted after TRIAL_BOOT_MS */
    bool is_off[TRIAL_MACHINES + 1]; /* shall stay off */
    time_us stopped_at[TRIAL_MACHINES + 1];
    unsigned stops_count;
    enum status fatal; /* of any node */
    bool is_closing;   /* a node that is off, whose clients hear nothing any more */
    struct trial_client clients[TRIAL_CLIENTS];
    uint64_t acked_incr_count;
    uint64_t snapshot_bytes;
    size_t value_bytes;
    uint64_t cluster_id; /* as the founders have it */
    uint16_t port;       /* for peers, of who boots next; 0: the usual one */
    uint64_t snapshot_rate;
    struct config joined_hint;
    node_verify_fn verify; /* NULL: announcements are taken unverified; `ctx` is the place */
};

/* A machine that stops in the middle of an operation lets that one fail. */
static inline void trial_on_fatal(void *ctx, enum status status)
{
    struct trial_place *place = ctx;
    if (world_is_on(place->trial->world, place->id))
        place->trial->fatal = status;
}

static inline struct node_options trial_options(const struct trial *trial, unsigned id)
{
    bool is_founder = id <= trial->founders_count;
    struct node_options options =
        world_node_options(id, is_founder ? trial->founders_count : id, true);
    options.snapshot_bytes = trial->snapshot_bytes;
    options.snapshot_rate = trial->snapshot_rate;
    if (trial->port != 0)
        options.listen_peer.port = trial->port;
    if (!is_founder) {
        options.joins = true;
        options.cluster_id = trial->cluster_id;
        options.initial = (struct config){0};
        options.hint = trial->joined_hint;
    }
    return options;
}

static inline void trial_close_node(struct trial *trial, struct node *node)
{
    trial->is_closing = true;
    node_close(node);
    trial->is_closing = false;
}

static inline void trial_boot(struct trial *trial, unsigned id)
{
    struct node_options options = trial_options(trial, id);
    trial->places[id] = (struct trial_place){trial, id};
    struct node_callbacks callbacks = {
        .ctx = &trial->places[id], .on_fatal = trial_on_fatal, .verify = trial->verify};
    struct errtext error = {0};
    trial->is_off[id] = false;
    trial->stopped_at[id] = 0;
    struct node *node = NULL;
    enum status status =
        node_open(world_boot(trial->world, id), &options, &callbacks, &node, &error);
    if (!world_is_on(trial->world, id)) { /* it died while it recovered; world_on_stop follows */
        if (status == ST_OK)
            trial_close_node(trial, node);
        return;
    }
    if (status != ST_OK)
        fail_msg("node %u does not start: %s", id, error.text);
    trial->nodes[id] = node;
    trial->cluster_id = node_view(node)->cluster_id;
}

static inline void trial_on_stop(void *ctx, unsigned machine)
{
    struct trial *trial = ctx;
    struct node *node = trial->nodes[machine];
    trial->nodes[machine] = NULL;
    trial->stopped_at[machine] = MAX(world_now(trial->world), 1);
    trial->stops_count++;
    trial_close_node(trial, node);
}

static inline void trial_stop(struct trial *trial, unsigned id, enum world_stop how)
{
    struct node *node = trial->nodes[id];
    assert_non_null(node);
    trial->is_off[id] = true;
    trial->nodes[id] = NULL;
    world_stop(trial->world, id, how);
    trial_close_node(trial, node);
}

/* ---- clients ---- */

static inline void trial_on_done(void *ctx, const struct node_answer *answer)
{
    struct trial_client *client = ctx;
    struct trial *trial = client->trial;
    bool was_incr = client->sequence % 2 == 1;
    client->is_open = false;
    client->not_before = world_now(trial->world) + TRIAL_RETRY_MS * TIME_US_PER_MS;
    if (trial->is_closing) /* whoever is told now lost its connection before */
        return;
    enum status status = answer->status != ST_OK ? answer->status : answer->result.status;
    if (status == ST_OK) {
        trial->acked_incr_count += was_incr;
        client->sequence++;
        client->not_before = 0;
    } else if (status_info(status)->retry == RETRY_NEVER) {
        print_error("client %u, write %llu: %s\n", client->id, (unsigned long long)client->sequence,
                    status_info(status)->code);
        client->was_refused = true;
    }
}

static inline void trial_send(struct trial *trial, struct trial_client *client, unsigned at)
{
    char id[16], key[16];
    static uint8_t value[64 * 1024];
    (void)snprintf(id, sizeof id, "client-%u", client->id);
    (void)snprintf(key, sizeof key, "%u-%llu", client->id,
                   (unsigned long long)(client->sequence % 16));
    struct command command = {
        .op = client->sequence % 2 == 1 ? COMMAND_INCR : COMMAND_PUT,
        .identity = {CLIENT_ID, bytes_of_text(id), client->sequence, client->sequence - 1},
    };
    struct prng noise; /* so that no link gets off lightly by compression */
    prng_init(&noise, client->id * UINT64_C(1000003) + client->sequence);
    for (size_t i = 0; i < trial->value_bytes; i += sizeof(uint64_t)) {
        uint64_t word = prng_next(&noise);
        memcpy(value + i, &word, MIN(sizeof word, trial->value_bytes - i));
    }
    if (command.op == COMMAND_INCR) {
        command.key = BYTES_LITERAL("count");
        command.by = 1;
    } else {
        command.key = bytes_of_text(key);
        command.value = bytes_of(value, trial->value_bytes);
    }
    buf_reset(&client->command);
    command_encode(&command, &client->command);
    client->attempts_count++;
    client->is_open = true;
    client->request = (struct node_request){
        .kind = NODE_WRITE,
        .deadline = world_now_at(trial->world, at) + 2000 * TIME_US_PER_MS,
        .command = buf_bytes(&client->command),
        .on_done = trial_on_done,
        .ctx = client,
    };
    handle_client_request(trial->nodes[at], &client->request);
}

static inline void trial_poke(struct trial *trial)
{
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++) {
        struct trial_client *client = &trial->clients[i];
        if (client->is_open || client->was_refused || client->sequence > client->last ||
            world_now(trial->world) < client->not_before)
            continue;
        for (unsigned tries = 0; tries < TRIAL_MACHINES; tries++) {
            unsigned at = 1 + (client->id + client->attempts_count + tries) % TRIAL_MACHINES;
            if (trial->nodes[at] != NULL && node_applied(trial->nodes[at]) > 0) {
                trial_send(trial, client, at);
                break;
            }
        }
    }
}

static inline void trial_boot_stopped(struct trial *trial)
{
    time_us now = world_now(trial->world);
    for (unsigned i = 1; i <= TRIAL_MACHINES && trial->boots_again; i++)
        if (trial->stopped_at[i] != 0 && !trial->is_off[i] &&
            now >= trial->stopped_at[i] + TRIAL_BOOT_MS * TIME_US_PER_MS)
            trial_boot(trial, i);
}

/* As the server does for who joins and has nothing yet: the members may change meanwhile. */
static inline void trial_hint(struct trial *trial)
{
    const struct node *leader = NULL;
    for (unsigned i = 1; i <= TRIAL_MACHINES; i++)
        if (trial->nodes[i] != NULL && node_view(trial->nodes[i])->role == RAFT_ROLE_LEADER)
            leader = trial->nodes[i];
    for (unsigned i = 1; i <= TRIAL_MACHINES && leader != NULL; i++)
        if (trial->nodes[i] != NULL && node_applied(trial->nodes[i]) == 0)
            node_hint(trial->nodes[i], kv_config(node_kv(leader)));
}

/* ---- time ---- */

static inline void trial_run(struct trial *trial, unsigned long ms)
{
    time_us end = world_now(trial->world) + ms * TIME_US_PER_MS;
    while (world_now(trial->world) < end) {
        time_us until = MIN(end, world_now(trial->world) + TRIAL_SLICE_MS * TIME_US_PER_MS);
        trial_boot_stopped(trial);
        trial_hint(trial);
        trial_poke(trial);
        while (world_step(trial->world, until))
            ;
    }
}

static inline bool trial_is_done(const struct trial *trial)
{
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++)
        if (trial->clients[i].sequence <= trial->clients[i].last && !trial->clients[i].was_refused)
            return false;
    return true;
}

/* Every client sends `count` writes more; until all are answered. */
static inline void trial_work(struct trial *trial, uint64_t count)
{
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++)
        trial->clients[i].last += count;
    for (unsigned ms = 0; !trial_is_done(trial); ms += TRIAL_SLICE_MS) {
        if (ms > TRIAL_PATIENCE_MS)
            fail_msg("the clients get no answers any more");
        trial_run(trial, TRIAL_SLICE_MS);
    }
}

/* Those that run and belong to it have the same state, and there is a leader. */
static inline bool trial_is_one(const struct trial *trial, unsigned *out_leader)
{
    const struct node *leader = NULL;
    for (unsigned i = 1; i <= TRIAL_MACHINES; i++)
        if (trial->nodes[i] != NULL && node_view(trial->nodes[i])->role == RAFT_ROLE_LEADER) {
            leader = trial->nodes[i];
            *out_leader = i;
        }
    for (unsigned i = 1; i <= TRIAL_MACHINES && leader != NULL; i++) {
        const struct node *node = trial->nodes[i];
        if (node == NULL && trial->stopped_at[i] != 0 && !trial->is_off[i])
            return false; /* about to boot */
        if (node == NULL || config_find(kv_config(node_kv(leader)), i) == NULL)
            continue;
        if (node_applied(node) != node_applied(leader) || !node_is_ready(node))
            return false;
    }
    return leader != NULL;
}

static inline uint64_t trial_counter(const struct node *node)
{
    struct kv_item item;
    char text[32] = "";
    if (!kv_get(node_kv(node), BYTES_LITERAL("count"), &item))
        return 0;
    (void)snprintf(text, sizeof text, "%.*s", (int)item.value.count, (const char *)item.value.data);
    return strtoull(text, NULL, 10);
}

/* Until all are as one; then nothing that was acknowledged is missing or doubled. */
static inline void trial_settle(struct trial *trial)
{
    unsigned leader = 0;
    for (unsigned ms = 0; !trial_is_one(trial, &leader); ms += 20) {
        if (ms > TRIAL_PATIENCE_MS) {
            for (unsigned i = 1; i <= TRIAL_MACHINES; i++)
                if (trial->nodes[i] != NULL)
                    print_error("node %u: %s of node %u in term %llu, applied %llu, %s\n", i,
                                raft_role_name(node_view(trial->nodes[i])->role),
                                node_view(trial->nodes[i])->leader,
                                (unsigned long long)node_view(trial->nodes[i])->term,
                                (unsigned long long)node_applied(trial->nodes[i]),
                                node_is_ready(trial->nodes[i]) ? "ready" : "not ready");
            fail_msg("the nodes do not come together");
        }
        trial_run(trial, 20);
    }
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++)
        assert_false(trial->clients[i].was_refused);
    for (unsigned i = 1; i <= TRIAL_MACHINES; i++) {
        const struct node *node = trial->nodes[i];
        if (node == NULL || config_find(kv_config(node_kv(trial->nodes[leader])), i) == NULL)
            continue;
        assert_true(kv_digest(node_kv(node)) == kv_digest(node_kv(trial->nodes[leader])));
        kv_check(node_kv(node));
        assert_int_equal(trial_counter(node), trial->acked_incr_count);
    }
    assert_int_equal(trial->fatal, ST_OK);
}

/* ---- members ---- */

struct trial_question {
    struct node_request request;
    struct buf command;
    bool is_answered;
    struct node_answer answer;
};

static inline void trial_on_answer(void *ctx, const struct node_answer *answer)
{
    struct trial_question *question = ctx;
    question->answer = *answer;
    question->is_answered = true;
}

static inline void trial_submit(struct trial *trial, unsigned at, const struct command *command,
                                struct trial_question *question)
{
    *question = (struct trial_question){
        .request = {.kind = NODE_WRITE,
                    .deadline = world_now_at(trial->world, at) + 60000 * TIME_US_PER_MS,
                    .on_done = trial_on_answer,
                    .ctx = question}};
    buf_init(&question->command, LIMIT_COMMAND_BYTES);
    command_encode(command, &question->command);
    question->request.command = buf_bytes(&question->command);
    assert_non_null(trial->nodes[at]);
    handle_client_request(trial->nodes[at], &question->request);
}

static inline enum status trial_answer(struct trial *trial, struct trial_question *question)
{
    while (!question->is_answered)
        trial_run(trial, 1);
    buf_release(&question->command);
    return question->answer.status != ST_OK ? question->answer.status
                                            : question->answer.result.status;
}

/* Asks node `at`, and waits for the answer. */
static inline enum status trial_ask(struct trial *trial, unsigned at, const struct command *command)
{
    struct trial_question question;
    trial_submit(trial, at, command, &question);
    return trial_answer(trial, &question);
}

static inline struct command trial_joining(const struct trial *trial, unsigned id)
{
    struct command command = {
        .op = COMMAND_JOIN, .member = id, .peer = trial_options(trial, id).listen_peer};
    if (trial->nodes[id] != NULL)
        command.member_identity = node_identity(trial->nodes[id]);
    return command;
}

static inline struct command trial_removing(unsigned id)
{
    return (struct command){.op = COMMAND_REMOVE, .member = id};
}

static inline struct command trial_promoting(unsigned id)
{
    return (struct command){.op = COMMAND_PROMOTE, .member = id};
}

static inline unsigned trial_leader(const struct trial *trial)
{
    raft_term term = 0;
    unsigned leader = 0;
    for (unsigned i = 1; i <= TRIAL_MACHINES; i++)
        if (trial->nodes[i] != NULL && node_view(trial->nodes[i])->role == RAFT_ROLE_LEADER &&
            node_view(trial->nodes[i])->term > term) {
            term = node_view(trial->nodes[i])->term;
            leader = i;
        }
    return leader;
}

static inline const struct member *trial_member(const struct trial *trial, unsigned at, unsigned id)
{
    return config_find(kv_config(node_kv(trial->nodes[at])), id);
}

static inline bool trial_votes(const struct trial *trial, unsigned at, unsigned id)
{
    const struct member *member = trial_member(trial, at, id);
    return member != NULL && member->is_voter;
}

/* Runs until the condition holds; `what` says what did not come. */
#define TRIAL_UNTIL(trial, condition, what)                                                        \
    for (unsigned trial_ms_ = 0; !(condition); trial_ms_ += TRIAL_SLICE_MS) {                      \
        if (trial_ms_ > TRIAL_PATIENCE_MS)                                                         \
            fail_msg("in vain: %s", what);                                                         \
        trial_run(trial, TRIAL_SLICE_MS);                                                          \
    }

/* ---- life ---- */

static inline void trial_open_sized(struct trial *trial, unsigned count, uint64_t seed,
                                    uint64_t snapshot_bytes)
{
    struct world_options options = {
        .seed = seed, .delay_min = 100, .delay_max = 300, .sync_min = 50, .sync_max = 400};
    *trial = (struct trial){
        .world = world_new(&options),
        .founders_count = count,
        .boots_again = true,
        .snapshot_bytes = snapshot_bytes,
        .value_bytes = 6 * KIB,
    };
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++) {
        trial->clients[i] = (struct trial_client){.trial = trial, .id = i, .sequence = 1};
        buf_init(&trial->clients[i].command, LIMIT_COMMAND_BYTES);
    }
    world_on_stop(trial->world, trial_on_stop, trial);
    for (unsigned i = 1; i <= count; i++)
        trial_boot(trial, i);
    trial->joined_hint = *kv_config(node_kv(trial->nodes[1]));
}

static inline void trial_open(struct trial *trial, unsigned count, uint64_t seed)
{
    trial_open_sized(trial, count, seed, 48 * KIB);
}

static inline void trial_close(struct trial *trial)
{
    trial->boots_again = false;
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++)
        trial->clients[i].last = 0;
    for (unsigned i = 1; i <= TRIAL_MACHINES; i++)
        if (trial->nodes[i] != NULL)
            trial_stop(trial, i, WORLD_STOP_KILL);
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++) {
        assert_false(trial->clients[i].is_open);
        buf_release(&trial->clients[i].command);
    }
    world_free(trial->world);
}

/* ---- figures ---- */

static inline uint64_t trial_installs(const struct trial *trial, unsigned id)
{
    struct node_stats stats;
    node_stats(trial->nodes[id], &stats);
    return stats.installs_count;
}

static inline struct snapshot_info trial_newest(const struct trial *trial, unsigned id)
{
    struct node_progress progress;
    node_progress(trial->nodes[id], &progress);
    return progress.newest;
}

static inline raft_index trial_log_first(const struct trial *trial, unsigned id)
{
    struct node_stats stats;
    node_stats(trial->nodes[id], &stats);
    return stats.wal.first;
}

#endif
