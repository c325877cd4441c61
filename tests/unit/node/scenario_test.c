/* Plays the files of tests/scenario/node: whole nodes on a simulated world, commands above `----`,
 * the expected trace below it. REWRITE=1 in the environment writes what was traced into the files.
 *
 *      seed N                   of the world, before start (default 1)
 *      ttl MS                   how long clients are remembered, before start (default 24 h)
 *      clock N PERCENT AHEAD    of machine N: its speed, and how many seconds its wall
 *                               clock is ahead
 *      snapshots BYTES          of log, after which one is taken, before start
 *      start COUNT [silent]     boots nodes 1 … COUNT; silent: they announce nothing
 *      run MS                   lets time pass
 *      until leader [N]         runs until a node (node N) leads and has heard so from all it can
 *      put N KEY VALUE [FLAG…]  submits at node N; flags: redirect, hop, timeout=MS,
 *                               as=CLIENT:SEQUENCE, acked=SEQUENCE, once=IDEMPOTENCY-KEY
 *      incr N KEY [FLAG…]       the same for COMMAND_INCR by 1
 *      seal N FLAG…             settles the write that as= or once= names
 *      open N NONCE             allots a client id
 *      close N CLIENT           forgets an allotted one
 *      outcome N FLAG           what node N knows of the write that as= or once= names
 *      sessions N               how many clients and results node N remembers
 *      transfer N ID [FLAG…]    asks at node N that node ID lead
 *      get N KEY                a linearizable read at node N
 *      cut A B / heal A B       one direction, from A to B; bytes stay on the way
 *      partition SHAPE N…       only the links of this shape between these machines, in this order:
 *                               whole, alone, halves, bridge, star, chain, ring
 *      reset A B                ends the links between two nodes; what was on the way is lost
 *      crash N / boot N / pause N / resume N
 *      fill N COUNT BYTES       COUNT puts of values of that size at once, counted, not traced
 *      crowd N COUNT            the same with an increment each of COUNT clients
 *      filled                   what became of them
 *      announce N ID HOST       at node N, for member ID; HOST - removes it
 *      directory N ID           what node N knows of member ID's client address
 *      wipe N                   an empty disk for machine N, which is off
 *      slow N MS                each sync of machine N takes so much longer
 *      fresh N                  boots node N with an empty directory, to join
 *      join N ID                asks at node N that node ID be taken in at its address
 *      remove N ID / promote N ID
 *      members N                who belongs to the cluster, as node N has applied it
 *      snapshot N               whether node N has one, and how many it has installed
 *      stop N                   an orderly stop; traced when it is done
 *      ready                    which nodes say that they are ready
 *      stats N                  the forwarder's figures of node N
 *      compare                  digests of all nodes that run, and of what each encodes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dirent.h>

#include "base/mem.h"
#include "node/node.h"
#include "sim/world.h"
#include "support/world_node.h"

enum { NODES_MAX = 7, TRACE_BYTES_MAX = 1 << 20, UNTIL_MS_MAX = 20000 };

struct replica {
    struct scene *scene;
    unsigned id;
    struct node *node; /* NULL: off */
    struct env *env;
    node_id leader_traced;
};

struct scene {
    unsigned seed;
    struct world *world; /* made by start */
    struct replica replicas[NODES_MAX + 1];
    unsigned count;
    bool is_silent;
    time_us session_ttl;
    uint64_t snapshot_bytes;
    uint64_t cluster_id;
    bool has_joined[NODES_MAX + 1]; /* these do not count as founders */
    struct buf trace;
    unsigned calls_count;
    unsigned filled_ok_count, filled_none_count, filled_maybe_count;
};

/* A request under way; frees itself when it is answered. */
struct call {
    struct node_request request;
    struct scene *scene;
    struct replica *at;
    struct buf command;
    char text[96];
    char key[64];
};

static void trace_view(struct replica *replica)
{
    const struct node_view *view = node_view(replica->node);
    if (view->leader == replica->leader_traced)
        return;
    replica->leader_traced = view->leader;
    struct buf *trace = &replica->scene->trace;
    if (view->leader == replica->id)
        buf_printf(trace, "n%u leads in term %llu\n", replica->id, (unsigned long long)view->term);
    else if (view->leader != NODE_NONE)
        buf_printf(trace, "n%u follows n%u\n", replica->id, view->leader);
    else
        buf_printf(trace, "n%u knows no leader\n", replica->id);
}

static void on_view(void *ctx)
{
    struct replica *replica = ctx;
    if (replica->node != NULL)
        trace_view(replica);
}

static void on_fatal(void *ctx, enum status status)
{
    struct replica *replica = ctx;
    buf_printf(&replica->scene->trace, "n%u stops: %s\n", replica->id, status_info(status)->code);
}

static void boot(struct scene *scene, unsigned id)
{
    struct replica *replica = &scene->replicas[id];
    unsigned founders = scene->has_joined[id] ? id : scene->count;
    struct node_options options = world_node_options(id, founders, !scene->is_silent);
    options.session_ttl = scene->session_ttl;
    options.snapshot_bytes = scene->snapshot_bytes;
    if (scene->has_joined[id]) {
        options.joins = true;
        options.cluster_id = scene->cluster_id;
        options.hint = world_node_options(1, scene->count, true).initial;
        options.initial = (struct config){0};
    }

    struct node_callbacks callbacks = {.ctx = replica, .on_fatal = on_fatal, .on_view = on_view};
    struct errtext error = {0};
    replica->scene = scene;
    replica->id = id;
    replica->leader_traced = NODE_NONE;
    replica->env = world_boot(scene->world, id);
    enum status status = node_open(replica->env, &options, &callbacks, &replica->node, &error);
    if (status != ST_OK)
        fail_msg("node %u: %s", id, error.text);
    scene->cluster_id = node_view(replica->node)->cluster_id;
}

static void run_ms(struct scene *scene, unsigned long ms)
{
    time_us until = world_now(scene->world) + ms * TIME_US_PER_MS;
    while (world_step(scene->world, until))
        ;
}

/* Node `wanted` (0: any) leads, and every node that runs and can hear it says so. */
static bool has_leader(const struct scene *scene, unsigned wanted)
{
    unsigned leader = 0;
    for (unsigned i = 1; i <= scene->count; i++)
        if (scene->replicas[i].node != NULL &&
            node_view(scene->replicas[i].node)->role == RAFT_ROLE_LEADER &&
            (wanted == 0 || wanted == i))
            leader = i;
    if (leader == 0)
        return false;
    unsigned followers_count = 0;
    for (unsigned i = 1; i <= scene->count; i++) {
        const struct node *node = scene->replicas[i].node;
        if (node == NULL || node_view(node)->leader != leader)
            continue;
        followers_count += scene->is_silent || address_is_set(&node_view(node)->leader_http);
    }
    return followers_count * 2 > scene->count;
}

static void until_leader(struct scene *scene, unsigned wanted)
{
    for (unsigned ms = 0; ms < UNTIL_MS_MAX; ms += 10) {
        if (has_leader(scene, wanted)) {
            run_ms(scene, 200); /* the others hear it too */
            return;
        }
        run_ms(scene, 10);
    }
    buf_printf(&scene->trace, "no leader within %d ms\n", UNTIL_MS_MAX);
}

static void free_call(struct call *call)
{
    call->scene->calls_count--;
    buf_release(&call->command);
    mem_free(call);
}

/* What the same write was told before must be told again: number and revisions. */
static void trace_result(struct buf *trace, const struct kv_result *result)
{
    buf_printf(trace, ", number %lld, revision %llu of %llu%s", (long long)result->number,
               (unsigned long long)result->mod_revision, (unsigned long long)result->revision,
               result->is_replayed ? ", replayed" : "");
}

static void trace_redirect(struct buf *trace, const struct redirect_msg *message)
{
    if (message->leader_known)
        buf_printf(trace, ", leader %s:%u in term %llu", message->leader_host, message->leader_port,
                   (unsigned long long)message->term);
    else
        buf_put_text(trace, ", leader_known 0");
}

static const char *outcome_word(enum kv_outcome outcome)
{
    switch (outcome) {
    case KV_OUTCOME_APPLIED:
        return "applied";
    case KV_OUTCOME_UNSEEN:
        return "unseen";
    case KV_OUTCOME_NEVER:
        return "never";
    case KV_OUTCOME_EXPIRED:
        return "expired";
    }
    return "no outcome";
}

static void trace_outcome(struct buf *trace, const struct kv_result *result)
{
    buf_printf(trace, ", %s", outcome_word(result->outcome));
    if (result->outcome == KV_OUTCOME_APPLIED)
        buf_printf(trace, ": %s -> %s, number %lld, revision %llu",
                   command_op_name(result->applied_op), status_info(result->applied_status)->code,
                   (long long)result->number, (unsigned long long)result->mod_revision);
}

static void trace_command(const struct call *call, const struct node_answer *answer)
{
    struct client_identity identity;
    struct buf *trace = &call->scene->trace;
    enum command_op op = command_peek(call->request.command);
    if (answer->redirect.redirect)
        trace_redirect(trace, &answer->redirect);
    else if (op == COMMAND_SEAL && answer->result.outcome != 0)
        trace_outcome(trace, &answer->result);
    else if (op == COMMAND_OPEN_SESSION && answer->status == ST_OK)
        buf_printf(trace, ", index %lld", (long long)answer->result.number);
    else if (answer->status == ST_OK && command_peek_identity(call->request.command, &identity))
        trace_result(trace, &answer->result);
}

static void on_done(void *ctx, const struct node_answer *answer)
{
    struct call *call = ctx;
    struct buf *trace = &call->scene->trace;
    if (call->at->node == NULL) {
        buf_printf(trace, "n%u: %s -> the client loses its connection\n", call->at->id, call->text);
        free_call(call);
        return;
    }
    enum status status = answer->status != ST_OK ? answer->status : answer->result.status;
    buf_printf(trace, "n%u: %s -> %s, effect %s", call->at->id, call->text,
               status_info(status)->code, effect_name(answer->effect));
    if (answer->hops_count > 0)
        buf_printf(trace, ", hops %u", answer->hops_count);
    struct kv_item item;
    if (call->request.kind == NODE_READ && status == ST_OK) {
        if (kv_get(node_kv(call->at->node), bytes_of_text(call->key), &item))
            buf_printf(trace, ", %.*s (version %llu)", (int)item.value.count,
                       (const char *)item.value.data, (unsigned long long)item.version);
        else
            buf_put_text(trace, ", absent");
    }
    if (call->request.kind == NODE_WRITE)
        trace_command(call, answer);
    buf_put_text(trace, "\n");
    free_call(call);
}

/* "as=alice:7", "acked=5", "once=anything"; what it names borrows from `flag`. */
static bool apply_identity_flag(struct client_identity *identity, const char *flag)
{
    unsigned long long number = 0;
    const char *colon = strchr(flag, ':');
    if (strncmp(flag, "as=", 3) == 0 && colon != NULL) {
        identity->kind = CLIENT_ID;
        identity->client = bytes_of(flag + 3, (size_t)(colon - flag - 3));
        identity->sequence = strtoull(colon + 1, NULL, 10);
    } else if (strncmp(flag, "once=", 5) == 0) {
        identity->kind = CLIENT_KEY;
        identity->client = bytes_of_text(flag + 5);
        identity->sequence = 1;
    } else if (sscanf(flag, "acked=%llu", &number) == 1) {
        identity->acked = number;
    } else {
        return false;
    }
    return true;
}

static void apply_flag(struct call *call, struct command *command, const char *flag)
{
    unsigned long ms = 0;
    if (apply_identity_flag(&command->identity, flag))
        return;
    if (strcmp(flag, "redirect") == 0)
        call->request.policy = ROUTE_REDIRECT;
    else if (strcmp(flag, "internal") == 0)
        call->request.is_internal = true;
    else if (strcmp(flag, "hop") == 0)
        call->request.is_forwarded = true;
    else if (sscanf(flag, "timeout=%lu", &ms) == 1)
        call->request.deadline =
            world_now_at(call->scene->world, call->at->id) + ms * TIME_US_PER_MS;
    else
        fail_msg("unknown flag: %s", flag);
}

static void submit(struct scene *scene, const char *line, struct command *command, unsigned at,
                   const char *flags)
{
    struct call *call = mem_alloc(sizeof *call);
    call->scene = scene;
    call->at = &scene->replicas[at];
    const char *what = strchr(line, ' ');
    int verb_bytes = (int)(what - line);
    const char *rest = strchr(what + 1, ' ');
    (void)snprintf(call->text, sizeof call->text, "%.*s%s", verb_bytes, line, rest);
    buf_init(&call->command, LIMIT_COMMAND_BYTES);
    (void)snprintf(call->key, sizeof call->key, "%.*s", (int)command->key.count,
                   (const char *)command->key.data);
    call->request = (struct node_request){
        .kind = command->op != 0 ? NODE_WRITE : NODE_READ,
        .deadline = world_now_at(scene->world, at) + 5000 * TIME_US_PER_MS,
        .on_done = on_done,
        .ctx = call,
    };
    char copy[128], *save = NULL;
    (void)snprintf(copy, sizeof copy, "%s", flags);
    for (char *flag = strtok_r(copy, " ", &save); flag; flag = strtok_r(NULL, " ", &save))
        apply_flag(call, command, flag);
    if (command->op != 0) {
        command_encode(command, &call->command);
        call->request.command = buf_bytes(&call->command);
    }
    scene->calls_count++;
    assert_non_null(call->at->node);
    handle_client_request(call->at->node, &call->request);
}

static void crash(struct scene *scene, unsigned id)
{
    struct replica *replica = &scene->replicas[id];
    assert_non_null(replica->node);
    struct node *node = replica->node;
    world_crash(scene->world, id);
    replica->node = NULL;
    node_close(node); /* frees memory; its clients hear nothing of what they are told now */
}

static void trace_stats(struct scene *scene, unsigned id)
{
    struct node_stats stats;
    node_stats(scene->replicas[id].node, &stats);
    buf_printf(&scene->trace, "n%u: forwarded %llu, taken %llu, resent %llu, proven %llu\n", id,
               (unsigned long long)stats.forwarded_count, (unsigned long long)stats.taken_count,
               (unsigned long long)stats.resent_count, (unsigned long long)stats.proven_count);
}

/* Whoever starts from the bytes of a state has the same state. */
static void check_encoding(const struct kv *kv)
{
    struct kv_options options = {0};
    struct kv *copy = NULL;
    struct buf encoded;
    buf_init(&encoded, SIZE_MAX / 2);
    kv_encode(kv, &encoded);
    assert_int_equal(kv_decode(buf_bytes(&encoded), &options, &copy), ST_OK);
    assert_true(kv_digest(copy) == kv_digest(kv));
    kv_check(copy);
    kv_free(copy);
    buf_release(&encoded);
}

static void compare(struct scene *scene)
{
    const struct node *first = NULL;
    for (unsigned i = 1; i <= NODES_MAX; i++) {
        const struct node *node = scene->replicas[i].node;
        if (node == NULL)
            continue;
        if (first == NULL)
            first = node;
        bool is_equal = node_applied(node) == node_applied(first) &&
                        kv_digest(node_kv(node)) == kv_digest(node_kv(first));
        if (!is_equal)
            buf_printf(&scene->trace, "n%u differs\n", i);
        check_encoding(node_kv(node));
    }
    buf_put_text(&scene->trace, "compared\n");
}

static bool play_request(struct scene *scene, const char *line)
{
    char key[64] = "", value[64] = "", flags[128] = "";
    unsigned at = 0;
    struct command command = {0};
    if (sscanf(line, "put %u %63s %63s %127[^\n]", &at, key, value, flags) >= 3) {
        command.op = COMMAND_PUT;
        command.value = bytes_of_text(value);
    } else if (sscanf(line, "incr %u %63s %127[^\n]", &at, key, flags) >= 2) {
        command.op = COMMAND_INCR;
        command.by = 1;
    } else if (sscanf(line, "get %u %63s %127[^\n]", &at, key, flags) < 2) {
        return false;
    }
    command.key = bytes_of_text(key);
    submit(scene, line, &command, at, flags);
    return true;
}

static void on_filled(void *ctx, const struct node_answer *answer)
{
    struct call *call = ctx;
    call->scene->filled_ok_count += answer->status == ST_OK;
    call->scene->filled_none_count += answer->effect == EFFECT_NONE;
    call->scene->filled_maybe_count += answer->effect == EFFECT_MAYBE;
    free_call(call);
}

static void submit_counted(struct scene *scene, unsigned at, const struct command *command)
{
    struct call *call = mem_alloc(sizeof *call);
    call->scene = scene;
    call->at = &scene->replicas[at];
    buf_init(&call->command, LIMIT_COMMAND_BYTES);
    command_encode(command, &call->command);
    call->request = (struct node_request){
        .kind = NODE_WRITE,
        .deadline = world_now_at(scene->world, at) + 5000 * TIME_US_PER_MS,
        .command = buf_bytes(&call->command),
        .on_done = on_filled,
        .ctx = call,
    };
    scene->calls_count++;
    handle_client_request(call->at->node, &call->request);
}

static void fill(struct scene *scene, unsigned at, unsigned count, unsigned bytes_count)
{
    uint8_t *value = mem_alloc(bytes_count + 1);
    scene->filled_ok_count = scene->filled_none_count = scene->filled_maybe_count = 0;
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "fill-%u", i);
        struct command command = {
            .op = COMMAND_PUT, .key = bytes_of_text(key), .value = bytes_of(value, bytes_count)};
        submit_counted(scene, at, &command);
    }
    mem_free(value);
}

static void crowd(struct scene *scene, unsigned at, unsigned count)
{
    scene->filled_ok_count = scene->filled_none_count = scene->filled_maybe_count = 0;
    for (unsigned i = 0; i < count; i++) {
        char client[32];
        (void)snprintf(client, sizeof client, "crowd-%u", i);
        struct command command = {.op = COMMAND_INCR,
                                  .by = 1,
                                  .key = BYTES_LITERAL("crowd"),
                                  .identity = {CLIENT_ID, bytes_of_text(client), 1, 0}};
        submit_counted(scene, at, &command);
    }
}

static void on_stopped(void *ctx)
{
    struct replica *replica = ctx;
    buf_printf(&replica->scene->trace, "n%u has stopped\n", replica->id);
}

static void trace_directory(struct scene *scene, unsigned at, unsigned id)
{
    char text[LIMIT_ADDRESS_BYTES];
    const struct kv_member *member = kv_member(node_kv(scene->replicas[at].node), id);
    bool is_known = member != NULL && address_is_set(&member->http);
    buf_printf(&scene->trace, "n%u knows n%u at %s\n", at, id,
               is_known ? address_format(&member->http, text) : "no address");
}

static void trace_ready(struct scene *scene)
{
    for (unsigned i = 1; i <= scene->count; i++)
        if (scene->replicas[i].node != NULL)
            buf_printf(&scene->trace, "n%u is %s\n", i,
                       node_is_ready(scene->replicas[i].node) ? "ready" : "not ready");
}

static void submit_announce(struct scene *scene, const char *line, unsigned at, unsigned id,
                            const char *host)
{
    struct command command = {.op = COMMAND_ANNOUNCE, .member = id};
    if (strcmp(host, "-") != 0) {
        (void)snprintf(command.http.host, sizeof command.http.host, "%s", host);
        command.http.port = 80;
    }
    submit(scene, line, &command, at, "internal");
}

static void trace_known_outcome(struct scene *scene, unsigned at, const char *flag)
{
    struct client_identity identity = {0};
    struct kv_result result;
    const struct node *node = scene->replicas[at].node;
    if (!apply_identity_flag(&identity, flag))
        fail_msg("no identity: %s", flag);
    kv_outcome(node_kv(node), &identity, &result);
    buf_printf(&scene->trace, "n%u: %s", at, flag);
    if (result.outcome == KV_OUTCOME_UNSEEN && node_is_pending(node, &identity))
        buf_put_text(&scene->trace, ", pending");
    else
        trace_outcome(&scene->trace, &result);
    buf_put_text(&scene->trace, "\n");
}

static void trace_sessions(struct scene *scene, unsigned at)
{
    struct sessions_stats stats;
    kv_sessions_stats(node_kv(scene->replicas[at].node), &stats);
    buf_printf(&scene->trace, "n%u remembers %llu clients, %llu results\n", at,
               (unsigned long long)stats.sessions_count, (unsigned long long)stats.results_count);
}

static bool play_session(struct scene *scene, const char *line)
{
    unsigned at = 0, id = 0;
    unsigned long long nonce = 0;
    char word[128] = "", flags[128] = "";
    struct command command = {0};
    if (sscanf(line, "open %u %llu", &at, &nonce) == 2) {
        command.op = COMMAND_OPEN_SESSION;
        command.nonce = nonce;
    } else if (sscanf(line, "close %u %127s", &at, word) == 2) {
        command.op = COMMAND_CLOSE_SESSION;
        command.identity = (struct client_identity){CLIENT_ID, bytes_of_text(word), 0, 0};
    } else if (sscanf(line, "seal %u %127[^\n]", &at, flags) == 2) {
        command.op = COMMAND_SEAL;
    } else if (sscanf(line, "transfer %u %u %127[^\n]", &at, &id, flags) >= 2) {
        command.op = COMMAND_TRANSFER;
        command.member = id;
    } else if (sscanf(line, "outcome %u %127s", &at, word) == 2) {
        trace_known_outcome(scene, at, word);
        return true;
    } else if (sscanf(line, "sessions %u", &at) == 1) {
        trace_sessions(scene, at);
        return true;
    } else {
        return false;
    }
    submit(scene, line, &command, at, flags);
    return true;
}

static void trace_members(struct scene *scene, unsigned at)
{
    const struct config *config = kv_config(node_kv(scene->replicas[at].node));
    buf_printf(&scene->trace, "n%u knows as members", at);
    for (uint32_t i = 0; i < config->members_count; i++)
        buf_printf(&scene->trace, "%s n%u%s", i == 0 ? "" : ",", config->members[i].id,
                   config->members[i].is_voter ? "" : " (learner)");
    buf_put_text(&scene->trace, "\n");
}

static void trace_snapshot(struct scene *scene, unsigned at)
{
    struct node_progress progress;
    struct node_stats stats;
    node_progress(scene->replicas[at].node, &progress);
    node_stats(scene->replicas[at].node, &stats);
    buf_printf(&scene->trace, "n%u has %s snapshot and has installed %llu\n", at,
               progress.newest.last.index != 0 ? "a" : "no",
               (unsigned long long)stats.installs_count);
}

static bool play_member(struct scene *scene, const char *line)
{
    unsigned at = 0, id = 0;
    struct command command = {0};
    if (sscanf(line, "join %u %u", &at, &id) == 2) {
        command.op = COMMAND_JOIN;
        command.peer = world_node_options(id, id, true).listen_peer;
        if (scene->replicas[id].node != NULL)
            command.member_identity = node_identity(scene->replicas[id].node);
    } else if (sscanf(line, "remove %u %u", &at, &id) == 2) {
        command.op = COMMAND_REMOVE;
    } else if (sscanf(line, "promote %u %u", &at, &id) == 2) {
        command.op = COMMAND_PROMOTE;
    } else if (sscanf(line, "members %u", &at) == 1) {
        trace_members(scene, at);
        return true;
    } else if (sscanf(line, "snapshot %u", &at) == 1) {
        trace_snapshot(scene, at);
        return true;
    } else if (sscanf(line, "fresh %u", &id) == 1) {
        scene->has_joined[id] = true;
        boot(scene, id);
        return true;
    } else {
        return false;
    }
    command.member = id;
    submit(scene, line, &command, at, "");
    return true;
}

static bool play_more(struct scene *scene, const char *line)
{
    unsigned a = 0, b = 0, c = 0;
    char word[64] = "";
    if (sscanf(line, "fill %u %u %u", &a, &b, &c) == 3)
        fill(scene, a, b, c);
    else if (sscanf(line, "crowd %u %u", &a, &b) == 2)
        crowd(scene, a, b);
    else if (strcmp(line, "filled") == 0)
        buf_printf(&scene->trace, "filled: %u ok, %u none, %u maybe\n", scene->filled_ok_count,
                   scene->filled_none_count, scene->filled_maybe_count);
    else if (sscanf(line, "announce %u %u %63s", &a, &b, word) == 3)
        submit_announce(scene, line, a, b, word);
    else if (sscanf(line, "directory %u %u", &a, &b) == 2)
        trace_directory(scene, a, b);
    else if (sscanf(line, "wipe %u", &a) == 1)
        world_wipe(scene->world, a);
    else if (sscanf(line, "slow %u %u", &a, &b) == 2)
        world_slow_disk(scene->world, a, b * TIME_US_PER_MS);
    else if (sscanf(line, "stop %u", &a) == 1)
        node_stop(scene->replicas[a].node, world_now_at(scene->world, a) + 60000 * TIME_US_PER_MS,
                  on_stopped, &scene->replicas[a]);
    else if (strcmp(line, "ready") == 0)
        trace_ready(scene);
    else
        return false;
    return true;
}

/* "partition chain 2 3 1 4 5": who stands next to whom. */
static void partition(struct scene *scene, const char *words)
{
    static const char *const shapes[WORLD_SHAPES_COUNT] = {
        [WORLD_SHAPE_WHOLE] = "whole",   [WORLD_SHAPE_ALONE] = "alone",
        [WORLD_SHAPE_HALVES] = "halves", [WORLD_SHAPE_BRIDGE] = "bridge",
        [WORLD_SHAPE_STAR] = "star",     [WORLD_SHAPE_CHAIN] = "chain",
        [WORLD_SHAPE_RING] = "ring"};
    char copy[256], *save = NULL;
    unsigned machines[NODES_MAX], count = 0, shape = 0;
    (void)snprintf(copy, sizeof copy, "%s", words);
    const char *word = strtok_r(copy, " ", &save);
    while (shape < WORLD_SHAPES_COUNT && strcmp(word, shapes[shape]) != 0)
        shape++;
    while ((word = strtok_r(NULL, " ", &save)) != NULL && count < NODES_MAX)
        machines[count++] = (unsigned)strtoul(word, NULL, 10);
    if (shape == WORLD_SHAPES_COUNT || count != scene->count)
        fail_msg("no shape of all machines: %s", words);
    world_partition(scene->world, (enum world_shape)shape, machines, count);
}

static bool play_fault(struct scene *scene, const char *line)
{
    unsigned a = 0, b = 0;
    if (sscanf(line, "cut %u %u", &a, &b) == 2)
        world_cut(scene->world, a, b, true);
    else if (sscanf(line, "heal %u %u", &a, &b) == 2)
        world_cut(scene->world, a, b, false);
    else if (sscanf(line, "reset %u %u", &a, &b) == 2)
        world_reset_links(scene->world, a, b);
    else if (strncmp(line, "partition ", strlen("partition ")) == 0)
        partition(scene, line + strlen("partition "));
    else if (sscanf(line, "crash %u", &a) == 1)
        crash(scene, a);
    else if (sscanf(line, "boot %u", &a) == 1)
        boot(scene, a);
    else if (sscanf(line, "pause %u", &a) == 1)
        world_pause(scene->world, a, true);
    else if (sscanf(line, "resume %u", &a) == 1)
        world_pause(scene->world, a, false);
    else
        return false;
    return true;
}

static void make_world(struct scene *scene)
{
    struct world_options options = {
        .seed = scene->seed, .delay_min = 100, .delay_max = 300, .sync_min = 50, .sync_max = 400};
    if (scene->world == NULL)
        scene->world = world_new(&options);
}

static void play(struct scene *scene, const char *line)
{
    unsigned a = 0, b = 0;
    unsigned long ms = 0, ahead = 0;
    char word[16] = "";
    if (sscanf(line, "seed %u", &a) == 1) {
        assert_null(scene->world);
        scene->seed = a;
    } else if (sscanf(line, "ttl %lu", &ms) == 1) {
        scene->session_ttl = ms * TIME_US_PER_MS;
    } else if (sscanf(line, "clock %u %u %lu", &a, &b, &ahead) == 3) {
        make_world(scene);
        world_clock(scene->world, a, b, ahead * 1000 * TIME_US_PER_MS);
    } else if (sscanf(line, "snapshots %u", &a) == 1) {
        scene->snapshot_bytes = a;
    } else if (sscanf(line, "start %u %15s", &a, word) >= 1) {
        make_world(scene);
        scene->count = a;
        scene->is_silent = strcmp(word, "silent") == 0;
        for (unsigned i = 1; i <= a; i++)
            boot(scene, i);
    } else if (sscanf(line, "run %lu", &ms) == 1) {
        run_ms(scene, ms);
    } else if (strncmp(line, "until leader", 12) == 0) {
        (void)sscanf(line, "until leader %u", &a);
        until_leader(scene, a);
    } else if (sscanf(line, "stats %u", &a) == 1) {
        trace_stats(scene, a);
    } else if (strcmp(line, "compare") == 0) {
        compare(scene);
    } else if (!play_request(scene, line) && !play_fault(scene, line) &&
               !play_session(scene, line) && !play_member(scene, line) && !play_more(scene, line)) {
        fail_msg("unknown command: %s", line);
    }
}

static void close_scene(struct scene *scene)
{
    for (unsigned i = 1; i <= NODES_MAX; i++)
        if (scene->replicas[i].node != NULL)
            crash(scene, i);
    assert_int_equal(scene->calls_count, 0); /* every request was answered exactly once */
    world_free(scene->world);
    buf_release(&scene->trace);
}

/* Plays the commands of `text`, and gives it back with what was traced in the places of what was
 * expected. */
static void play_file(const char *text, struct buf *out)
{
    struct scene scene = {.seed = 1};
    buf_init(&scene.trace, TRACE_BYTES_MAX);
    bool in_expectation = false;
    while (*text != '\0') {
        const char *end = strchr(text, '\n');
        size_t count = end != NULL ? (size_t)(end - text) : strlen(text);
        char line[256];
        (void)snprintf(line, sizeof line, "%.*s", (int)count, text);
        text += count + (end != NULL);
        if (in_expectation) {
            in_expectation = line[0] != '\0';
            if (!in_expectation)
                buf_put_text(out, "\n");
            continue;
        }
        buf_printf(out, "%s\n", line);
        if (strcmp(line, "----") == 0) {
            buf_put(out, buf_bytes(&scene.trace));
            buf_reset(&scene.trace);
            in_expectation = true;
        } else if (line[0] != '#' && line[0] != '\0') {
            play(&scene, line);
        }
    }
    close_scene(&scene);
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = mem_alloc(TRACE_BYTES_MAX);
    size_t count = fread(text, 1, TRACE_BYTES_MAX - 1, file);
    text[count] = '\0';
    fclose(file);
    return text;
}

static void check_file(const char *path)
{
    char *text = read_file(path);
    struct buf played;
    buf_init(&played, TRACE_BYTES_MAX);
    play_file(text, &played);
    const char *got = buf_text(&played);
    bool is_same = strcmp(text, got) == 0;
    if (!is_same && getenv("REWRITE") != NULL) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(got, file);
        fclose(file);
        printf("rewrote %s\n", path);
        is_same = true;
    }
    if (!is_same)
        print_error("%s: the trace differs. Got:\n%s\n", path, got);
    buf_release(&played);
    mem_free(text);
    assert_true(is_same);
}

static int is_scenario(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && strcmp(dot, ".txt") == 0;
}

static void every_scenario_gives_its_expected_trace(void **state)
{
    const char *only = getenv("SCENARIO");
    struct dirent **names;
    int count = scandir(TEST_SOURCE_DIR "/scenario/node", &names, is_scenario, alphasort);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        char path[512];
        (void)snprintf(path, sizeof path, TEST_SOURCE_DIR "/scenario/node/%s", names[i]->d_name);
        if (only == NULL || strstr(path, only) != NULL)
            check_file(path);
        free(names[i]);
    }
    free(names);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scenario_gives_its_expected_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
