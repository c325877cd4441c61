/* Node double: the functions of node/node.h that a front door calls, over a real struct kv and
 * without raft: a test tells it when and how to answer.
 *
 * Include it once per program: it defines those functions. */
#ifndef MINIKV_TESTS_SUPPORT_NODE_DOUBLE_H
#define MINIKV_TESTS_SUPPORT_NODE_DOUBLE_H

#include "base/mem.h"
#include "node/node.h"

struct node {
    struct env *env;
    struct kv *kv;
    uint64_t kv_epoch;
    raft_index applied;
    struct node_view view;
    struct env_task answer_task;
    struct list requests; /* submitted, not answered, in order */
    size_t requests_count;
    bool holds;                /* answers only when told to */
    struct node_answer forced; /* status not ST_OK: answers this and applies nothing */
    unsigned hops_count;
    enum route_policy policy;
    time_us staleness;
    uint64_t log_time_us; /* what node_log_time says, and commands are stamped with */
    bool is_ready;
    const char *note;
    bool is_pending; /* what node_is_pending says */
    enum status resolve_status;
    size_t submitted_count, cancelled_count;
    struct node_request last; /* copy of the newest one submitted; its command is in last_command */
    struct buf last_command;
    struct list waits;             /* for snapshots, not answered */
    enum status snapshot_status;   /* what they are told */
    struct snapshot_info snapshot; /* the one there is */
    struct buf snapshot_file;      /* its bytes */
    size_t snapshot_readable;      /* of these; the disk fails behind them */
    bool is_snapshot_cut;          /* … or is found to end there */
    size_t files_open_count;
    struct node_progress progress;
    size_t verified_count;
    enum status verified_status;
};

static inline void node_double_apply(struct node *node, struct bytes command,
                                     struct kv_result *out_result)
{
    struct proposal proposal = {.origin = {.node = 1, .incarnation = 1, .number = 1},
                                .stamp_us = MAX(node->log_time_us, UINT64_C(1)),
                                .command = command};
    node->applied++;
    kv_apply(node->kv, (struct entry_id){node->view.term, node->applied}, &proposal, out_result);
}

/* Answers one submitted request, in whatever order the test likes. */
static inline void node_double_answer(struct node *node, struct node_request *request)
{
    struct node_answer answer = node->forced;
    answer.hops_count = node->hops_count;
    if (answer.status == ST_OK && request->kind == NODE_WRITE) {
        node_double_apply(node, request->command, &answer.result);
        answer.status = answer.result.status;
        answer.effect = answer.status == ST_OK ? EFFECT_APPLIED : EFFECT_NONE;
    }
    list_remove(&request->link);
    node->requests_count--;
    request->on_done(request->ctx, &answer);
}

static inline struct node_request *node_double_at(struct node *node, size_t index)
{
    struct list *item = node->requests.next;
    while (index-- > 0)
        item = item->next;
    REQUIRE(item != &node->requests);
    return CONTAINER_OF(item, struct node_request, link);
}

static inline void node_double_take_snapshot(struct node *node)
{
    while (!list_is_empty(&node->waits)) {
        struct node_snapshot_wait *wait =
            CONTAINER_OF(node->waits.next, struct node_snapshot_wait, link);
        list_remove(&wait->link);
        wait->on_done(wait->ctx, node->snapshot_status, &node->snapshot);
    }
}

static inline void node_double_on_task(void *ctx)
{
    struct node *node = ctx;
    while (!node->holds && node->requests_count != 0)
        node_double_answer(node, node_double_at(node, 0));
    if (!node->holds)
        node_double_take_snapshot(node);
}

static struct node *node_double_newest; /* whose files snapfile_open opens */

/* Member 1 of three, leading in term 7. */
static inline struct node *node_double_new(struct env *env)
{
    struct kv_options options = {.state_bytes_max = 0};
    struct node *node = mem_alloc(sizeof *node);
    struct config config = {.members_count = 3};
    node->env = env;
    node->kv = kv_new(&options);
    node->view = (struct node_view){.version = 1,
                                    .self = 1,
                                    .cluster_id = 0x0123456789abcdef,
                                    .role = RAFT_ROLE_LEADER,
                                    .term = 7,
                                    .leader = 1,
                                    .leader_peer = {"127.0.0.1", 7001},
                                    .leader_http = {"127.0.0.1", 8081}};
    for (uint32_t i = 0; i < config.members_count; i++)
        config.members[i] = (struct member){
            .id = i + 1, .is_voter = true, .peer = {"127.0.0.1", (uint16_t)(7001 + i)}};
    kv_apply_config(node->kv, (struct entry_id){7, ++node->applied}, &config);
    list_init(&node->requests);
    env_task_init(&node->answer_task, node_double_on_task, node);
    buf_init(&node->last_command, SIZE_MAX);
    buf_init(&node->snapshot_file, SIZE_MAX);
    list_init(&node->waits);
    node->is_ready = true;
    node_double_newest = node;
    return node;
}

static inline void node_double_free(struct node *node)
{
    env_task_cancel(node->env, &node->answer_task);
    kv_free(node->kv);
    buf_release(&node->last_command);
    buf_release(&node->snapshot_file);
    REQUIRE(list_is_empty(&node->waits) && node->files_open_count == 0);
    mem_free(node);
}

/* Changes the state behind the back of clients, as another node's clients do. */
static inline void node_double_do(struct node *node, const struct command *command)
{
    struct kv_result result;
    struct buf buf;
    buf_init(&buf, LIMIT_COMMAND_BYTES);
    command_encode(command, &buf);
    node_double_apply(node, buf_bytes(&buf), &result);
    REQUIRE(result.status == ST_OK);
    buf_release(&buf);
}

static inline void node_double_put(struct node *node, struct bytes key, struct bytes value)
{
    node_double_do(node, &(struct command){.op = COMMAND_PUT, .key = key, .value = value});
}

static inline void node_double_compact(struct node *node, uint64_t revision)
{
    node_double_do(node, &(struct command){.op = COMMAND_COMPACT, .revision = revision});
}

/* ---- node.h ---- */

void node_submit(struct node *node, struct node_request *request)
{
    node->submitted_count++;
    node->last = *request;
    buf_reset(&node->last_command);
    buf_put(&node->last_command, request->command);
    list_push_back(&node->requests, &request->link);
    node->requests_count++;
    env_task_post(node->env, &node->answer_task);
}

/* Nothing is answered from the table alone: what the state does with a duplicate is looked at. */
void handle_client_request(struct node *node, struct node_request *request)
{
    node_submit(node, request);
}

bool node_is_pending(const struct node *node, const struct client_identity *identity)
{
    return node->is_pending;
}

void node_cancel(struct node *node, struct node_request *request)
{
    list_remove(&request->link);
    node->requests_count--;
    node->cancelled_count++;
}

void node_verified(struct node *node, const struct node_verify *verify, enum status status)
{
    node->verified_count++;
    node->verified_status = status;
}

const struct node_view *node_view(const struct node *node)
{
    return &node->view;
}

const struct kv *node_kv(const struct node *node)
{
    return node->kv;
}

uint64_t node_kv_epoch(const struct node *node)
{
    return node->kv_epoch;
}

const struct raft *node_raft(const struct node *node)
{
    return (const struct raft *)node;
}

enum route_policy node_policy(const struct node *node)
{
    return node->policy;
}

raft_index node_applied(const struct node *node)
{
    return node->applied;
}

uint64_t node_log_time(struct node *node)
{
    return node->log_time_us;
}

void node_note_arrival(struct node *node)
{
    (void)node;
}

time_us node_staleness(const struct node *node)
{
    return node->staleness;
}

bool node_is_ready(const struct node *node)
{
    return node->is_ready;
}

const char *node_note(const struct node *node)
{
    return node->note;
}

enum status node_resolve_peer(const struct node *node, const struct address *typed,
                              struct address *out_address, struct errtext *error)
{
    return node_resolve_http(node, 1, typed, out_address, error);
}

uint64_t node_identity(const struct node *node)
{
    (void)node;
    return 1;
}

enum status node_resolve_http(const struct node *node, node_id id, const struct address *typed,
                              struct address *out_address, struct errtext *error)
{
    if (node->resolve_status != ST_OK) {
        errtext_set(error, "the double was told to refuse");
        return node->resolve_status;
    }
    *out_address = *typed;
    if (address_is_wildcard(typed))
        memcpy(out_address->host, "127.0.0.1", sizeof "127.0.0.1");
    return ST_OK;
}

void node_stats(const struct node *node, struct node_stats *out_stats)
{
    *out_stats = (struct node_stats){.requests_open = node->requests_count,
                                     .proposed_count = node->submitted_count};
}

size_t node_peer_stats(const struct node *node, struct peer_stats *out_stats, size_t stats_max)
{
    out_stats[0] = (struct peer_stats){.id = 2, .is_up = true, .sent_bytes = 10};
    out_stats[1] = (struct peer_stats){.id = 3, .round_trip = 1500};
    return 2;
}

void node_snapshot_await(struct node *node, struct node_snapshot_wait *wait)
{
    REQUIRE(wait->index <= node->applied);
    list_push_back(&node->waits, &wait->link);
    env_task_post(node->env, &node->answer_task);
}

void node_snapshot_cancel(struct node_snapshot_wait *wait)
{
    list_remove(&wait->link);
}

void node_progress(const struct node *node, struct node_progress *out_progress)
{
    *out_progress = node->progress;
}

/* ---- storage/snapfile.h ---- */

enum status snapfile_open(struct env *env, struct entry_id last, struct snapfile **out_file,
                          struct errtext *error)
{
    struct node *node = node_double_newest;
    REQUIRE(node->env == env);
    if (!entry_id_equal(last, node->snapshot.last))
        return ST_NOT_FOUND;
    node->files_open_count++;
    *out_file = (struct snapfile *)node;
    return ST_OK;
}

uint64_t snapfile_bytes(const struct snapfile *file)
{
    return ((const struct node *)file)->snapshot_file.count;
}

enum status snapfile_read(struct snapfile *file, uint64_t offset, void *out, size_t count,
                          size_t *out_count)
{
    const struct node *node = (const struct node *)file;
    if (offset + count > node->snapshot_readable && !node->is_snapshot_cut)
        return ST_IO;
    count = MIN(count, (size_t)(node->snapshot_readable - offset));
    memcpy(out, node->snapshot_file.data + offset, count);
    *out_count = count;
    return ST_OK;
}

void snapfile_close(struct snapfile *file)
{
    if (file != NULL)
        ((struct node *)file)->files_open_count--;
}

/* ---- raft.h, of the raft that node_raft gives ---- */

void raft_view(const struct raft *raft, struct raft_view *out_view)
{
    const struct node *node = (const struct node *)raft;
    *out_view = (struct raft_view){.role = node->view.role,
                                   .term = node->view.term,
                                   .leader = node->view.leader,
                                   .last_index = node->applied + 2,
                                   .commit = node->applied + 1,
                                   .durable = node->applied + 2};
}

size_t raft_peers(const struct raft *raft, struct raft_peer_view *out_peers, size_t peers_max)
{
    const struct node *node = (const struct node *)raft;
    out_peers[0] = (struct raft_peer_view){
        .id = 2, .is_voter = true, .state = "stream", .match = node->applied, .next = 9};
    out_peers[1] =
        (struct raft_peer_view){.id = 3, .state = "probe", .next = 1, .snapshot_bytes = 5000};
    return 2;
}

#endif
