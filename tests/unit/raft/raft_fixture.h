/* One raft core on a bench: events go in, the ready that comes out is looked at. */
#ifndef MINIKV_TESTS_UNIT_RAFT_RAFT_FIXTURE_H
#define MINIKV_TESTS_UNIT_RAFT_RAFT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "raft/raft.h"
#include "types/proposal.h"

#define MS(count) ((time_us)(count)*TIME_US_PER_MS)

enum { BENCH_HEARTBEAT = 20000, BENCH_ELECTION = 100000, BENCH_ENTRIES_MAX = 4096 };

struct bench {
    struct raft *raft;
    struct raft_ready ready; /* of the last step */
    struct raft_view view;   /* after it */
    enum status status;
    time_us now;
    struct entry_id handed;                /* the last entry given to the disk */
    struct entry *made[BENCH_ENTRIES_MAX]; /* by the test; freed at the end */
    size_t made_count;
};

/* ---- making things ---- */

static inline struct entry *bench_entry(struct bench *bench, enum entry_type type,
                                        size_t data_bytes)
{
    assert_true(bench->made_count < BENCH_ENTRIES_MAX);
    struct entry *entry = entry_new(type, data_bytes);
    memset(entry->data, 7, data_bytes);
    bench->made[bench->made_count++] = entry;
    return entry;
}

static inline struct entry *bench_sealed(struct bench *bench, raft_term term, raft_index index)
{
    struct entry *entry = bench_entry(bench, ENTRY_COMMAND, 8);
    entry_seal(entry, (struct entry_id){term, index});
    return entry;
}

/* Members 1 … voters_count vote, the next learners_count only listen. */
static inline struct config bench_config(node_id voters_count, node_id learners_count)
{
    struct config config = {0};
    for (node_id id = 1; id <= voters_count + learners_count; id++) {
        struct member member = {.id = id, .is_voter = id <= voters_count, .peer.port = 7000};
        snprintf(member.peer.host, sizeof member.peer.host, "10.0.0.%u", id);
        assert_int_equal(config_add(&config, &member), ST_OK);
    }
    return config;
}

static inline struct entry *bench_config_entry(struct bench *bench, const struct config *config)
{
    struct buf text;
    buf_init(&text, 4096);
    config_encode(config, &text);
    struct entry *entry = bench_entry(bench, ENTRY_CONFIG, PROPOSAL_HEADER_BYTES + text.count);
    memset(entry->data, 0, PROPOSAL_HEADER_BYTES); /* nobody has asked */
    memcpy(entry->data + PROPOSAL_HEADER_BYTES, text.data, text.count);
    buf_release(&text);
    return entry;
}

/* ---- stepping ---- */

static inline void bench_step(struct bench *bench, struct raft_event event)
{
    event.now = bench->now;
    bench->status = raft_step(bench->raft, &event, &bench->ready);
    raft_check(bench->raft);
    raft_view(bench->raft, &bench->view);
    if (bench->ready.entries_count > 0)
        bench->handed = bench->ready.entries[bench->ready.entries_count - 1]->id;
}

static inline void bench_tick_at(struct bench *bench, time_us now)
{
    bench->now = now;
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_TICK});
}

/* Lets time go by until the core asked for it. */
static inline void bench_tick(struct bench *bench)
{
    assert_true(bench->ready.deadline != TIME_NEVER);
    bench_tick_at(bench, bench->ready.deadline);
}

static inline void bench_receive(struct bench *bench, struct message message)
{
    message.to = message.to == NODE_NONE ? 1 : message.to;
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &message});
}

static inline void bench_durable(struct bench *bench, struct entry_id id)
{
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_DURABLE, .durable = id});
}

/* The disk finishes everything it has been given. */
static inline void bench_sync(struct bench *bench)
{
    bench_durable(bench, bench->handed);
}

static inline void bench_applied(struct bench *bench, raft_index index)
{
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_APPLIED, .applied = index});
}

static inline void bench_link(struct bench *bench, node_id peer, bool is_up, bool is_dead)
{
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_LINK, .link = {peer, is_up, is_dead}});
}

static inline void bench_read(struct bench *bench, uint64_t number)
{
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_READ, .read = {77, number}});
}

static inline void bench_campaign(struct bench *bench)
{
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_CAMPAIGN});
}

static inline void bench_transfer(struct bench *bench, node_id to)
{
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_TRANSFER, .transfer.to = to});
}

static inline void bench_propose_entry(struct bench *bench, struct entry *entry)
{
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_PROPOSE, .propose = {&entry, 1}});
}

static inline void bench_propose(struct bench *bench, size_t data_bytes)
{
    bench_propose_entry(bench, bench_entry(bench, ENTRY_COMMAND, data_bytes));
}

static inline void bench_propose_config(struct bench *bench, const struct config *config)
{
    bench_propose_entry(bench, bench_config_entry(bench, config));
}

/* ---- messages that arrive ---- */

static inline struct message vote_request(enum message_type type, node_id from, raft_term term,
                                          struct entry_id last)
{
    return (struct message){.type = type, .from = from, .term = term, .vote.last = last};
}

static inline struct message vote_reply(enum message_type type, node_id from, raft_term term,
                                        bool is_granted)
{
    return (struct message){
        .type = type, .from = from, .term = term, .vote_reply.is_granted = is_granted};
}

static inline struct message append_empty(node_id from, raft_term term, struct entry_id prev,
                                          raft_index commit)
{
    return (struct message){.type = MESSAGE_APPEND,
                            .from = from,
                            .term = term,
                            .append = {.prev = prev, .commit = commit}};
}

/* `entries` must outlive the step. */
static inline struct message append_entries(node_id from, raft_term term, struct entry_id prev,
                                            raft_index commit, struct entry **entries,
                                            uint32_t entries_count)
{
    struct message message = append_empty(from, term, prev, commit);
    message.append.entries = entries;
    message.append.entries_count = entries_count;
    return message;
}

static inline struct message append_accept(node_id from, raft_term term, raft_index match,
                                           uint64_t round)
{
    return (struct message){.type = MESSAGE_APPEND_REPLY,
                            .from = from,
                            .term = term,
                            .append_reply = {.match = match, .read_round = round}};
}

static inline struct message append_reject(node_id from, raft_term term, raft_index prev,
                                           struct entry_id conflict)
{
    return (struct message){
        .type = MESSAGE_APPEND_REPLY,
        .from = from,
        .term = term,
        .append_reply = {.is_rejected = true, .prev = prev, .conflict = conflict}};
}

/* ---- what came out ---- */

/* NULL when nothing of the kind was sent. */
static inline const struct message *sent(const struct bench *bench, enum message_type type,
                                         node_id to)
{
    for (size_t i = 0; i < bench->ready.messages_count; i++)
        if (bench->ready.messages[i].type == type && bench->ready.messages[i].to == to)
            return &bench->ready.messages[i];
    return NULL;
}

static inline size_t sent_count(const struct bench *bench, enum message_type type, node_id to)
{
    size_t count = 0;
    for (size_t i = 0; i < bench->ready.messages_count; i++)
        count += bench->ready.messages[i].type == type && bench->ready.messages[i].to == to;
    return count;
}

static inline const char *peer_state(const struct bench *bench, node_id id,
                                     struct raft_peer_view *out_peer)
{
    struct raft_peer_view peers[LIMIT_MEMBERS];
    size_t count = raft_peers(bench->raft, peers, LIMIT_MEMBERS);
    for (size_t i = 0; i < count; i++) {
        if (peers[i].id != id)
            continue;
        if (out_peer != NULL)
            *out_peer = peers[i];
        return peers[i].state;
    }
    return "none";
}

/* ---- lifecycle ---- */

struct bench_setup {
    node_id voters_count, learners_count; /* default 3, 0 */
    node_id self;                         /* default 1 */
    const raft_term *terms;               /* of the entries after entry 1, the configuration */
    size_t terms_count;
    raft_term term; /* default: of the last entry */
    node_id vote;
    raft_index commit; /* default 1 */
    size_t log_cache_bytes;
    bool is_barred;
};

static inline void bench_open(struct bench *bench, struct bench_setup setup)
{
    memset(bench, 0, sizeof *bench);
    bench->now = MS(1000);
    node_id voters_count = setup.voters_count == 0 ? 3 : setup.voters_count;
    struct config config = bench_config(voters_count, setup.learners_count);
    struct entry *entries[256];
    entries[0] = bench_config_entry(bench, &config);
    entry_seal(entries[0], (struct entry_id){1, 1});
    for (size_t i = 0; i < setup.terms_count; i++)
        entries[i + 1] = bench_sealed(bench, setup.terms[i], i + 2);
    raft_term last_term = entries[setup.terms_count]->id.term;
    struct raft_options options = {.self = setup.self == 0 ? 1 : setup.self,
                                   .seed = 42,
                                   .heartbeat = BENCH_HEARTBEAT,
                                   .election = BENCH_ELECTION,
                                   .log_cache_bytes = setup.log_cache_bytes,
                                   .is_barred = setup.is_barred};
    struct raft_start start = {.hard_state = {setup.term == 0 ? last_term : setup.term, setup.vote},
                               .commit = setup.commit == 0 ? 1 : setup.commit,
                               .entries = entries,
                               .entries_count = setup.terms_count + 1,
                               .now = bench->now};
    bench->raft = raft_new(&options, &start);
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_TICK});
}

static inline void bench_close(struct bench *bench)
{
    raft_free(bench->raft);
    for (size_t i = 0; i < bench->made_count; i++)
        entry_unref(bench->made[i]);
}

/* Elects node 1 in the next term with the votes of all others. */
static inline void bench_elect(struct bench *bench)
{
    raft_term term = bench->view.term + 1;
    bench_campaign(bench);
    for (node_id id = 2; bench->view.role != RAFT_ROLE_LEADER && id <= LIMIT_MEMBERS; id++)
        bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, id, term, true));
    for (node_id id = 2; bench->view.role != RAFT_ROLE_LEADER && id <= LIMIT_MEMBERS; id++)
        bench_receive(bench, vote_reply(MESSAGE_VOTE_REPLY, id, term, true));
    assert_int_equal(bench->view.role, RAFT_ROLE_LEADER);
    assert_int_equal(bench->view.term, term);
}

/* The same, and its no-op committed by everyone, all peers streaming. */
static inline void bench_lead(struct bench *bench)
{
    bench_elect(bench);
    bench_sync(bench);
    struct raft_peer_view peers[LIMIT_MEMBERS];
    size_t count = raft_peers(bench->raft, peers, LIMIT_MEMBERS);
    for (size_t i = 0; i < count; i++)
        bench_receive(bench,
                      append_accept(peers[i].id, bench->view.term, bench->view.last_index, 0));
    assert_int_equal(bench->view.commit, bench->view.last_index);
}

/* A follower of node 2 in `term`, which has sent it nothing yet but a heartbeat. */
static inline void bench_follow(struct bench *bench, raft_term term)
{
    bench_receive(bench, append_empty(2, term, (struct entry_id){0}, 0));
    assert_int_equal(bench->view.leader, 2);
    assert_int_equal(bench->view.term, term);
}

#define TERMS(...)                                                                                 \
    .terms = (const raft_term[]){__VA_ARGS__},                                                     \
    .terms_count = sizeof((const raft_term[]){__VA_ARGS__}) / sizeof(raft_term)

/* A test gets a bench in *state. */
static inline int bench_setup(void **state)
{
    *state = mem_alloc(sizeof(struct bench));
    return 0;
}

static inline int bench_teardown(void **state)
{
    bench_close(*state);
    mem_free(*state);
    return 0;
}

#define BENCH_TEST(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)

#endif
