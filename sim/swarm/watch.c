/* After every step: what Raft promises (figure 3 of the paper), as far as it can be seen without
 * asking the code whether it keeps it.
 *
 *      election safety       one leader a term, for ever
 *      leader completeness   who leads has everything that was committed before
 *      log matching          what one commits at an index, all do
 *      state machine safety  equal digests at equal index
 *      durable commit        what is committed is on the disks of a majority; what a node counts as
 *                            durable is on its own
 *      durable start         what a node starts with is on its disk
 *      a failed sync is final
 *      hint                  a node knows no wrong address of a leader
 *      monotonic             term and commit of a process do not fall; after a start the term is
 *                            not below what it told others */
#include "sim/swarm/data.h"
#include "sim/swarm/members.h"

#include <stdio.h>

#include "base/mem.h"

enum { TERMS_MAX = 1 << 22 };

static unsigned *leader_of(struct swarm *swarm, raft_term term)
{
    REQUIRE(term < TERMS_MAX);
    if (term >= swarm->leaders_capacity) {
        size_t capacity = MAX(swarm->leaders_capacity * 2, (size_t)term + 64);
        unsigned *bigger = mem_alloc_array(capacity, sizeof bigger[0]);
        if (swarm->leaders_capacity > 0)
            memcpy(bigger, swarm->leaders, swarm->leaders_capacity * sizeof bigger[0]);
        mem_free(swarm->leaders);
        swarm->leaders = bigger;
        swarm->leaders_capacity = capacity;
    }
    return &swarm->leaders[term];
}

/* ---- commits ---- */

static bool has_had(const struct site *site, struct entry_id id)
{
    return truth_has(&site->truth, id) ||
           truth_has(&site->truth_wiped, id); /* it was there when it counted */
}

static bool is_on_majority(const struct swarm *swarm, const struct config *config,
                           struct entry_id id)
{
    unsigned count = 0;
    for (uint32_t i = 0; i < config->members_count; i++) {
        const struct member *member = &config->members[i];
        count += member->is_voter && has_had(&swarm->sites[member->id], id);
    }
    return count >= config_voters_count(config) / 2 + 1;
}

/* "n1 (n2) n3": the voters, and in brackets who does not have it. */
static const char *format_holders(const struct site *site, struct entry_id id, char out[64])
{
    struct config config = members_in_force(site, site->last_seen);
    size_t at = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < config.members_count && at < 56; i++) {
        const struct member *member = &config.members[i];
        bool has_it = has_had(&site->swarm->sites[member->id], id);
        if (member->is_voter)
            at += (size_t)snprintf(out + at, 64 - at, has_it ? " n%u" : " (n%u)", member->id);
    }
    return out;
}

/* In one turn a leader may commit, and append the next configuration. */
static bool may_be_committed_by(const struct site *leader, struct entry_id id)
{
    struct raft_view view;
    raft_view(node_raft(leader->node), &view);
    struct config before = members_in_force(leader, MIN(leader->last_seen, view.last_index));
    struct config after = members_in_force(leader, view.last_index);
    return is_on_majority(leader->swarm, &before, id) || is_on_majority(leader->swarm, &after, id);
}

/* By the configuration of the leader that has committed it. It may have stopped in the very step;
 * then whoever shows the commit first has heard it, and any configuration in force counts. */
static bool may_be_committed(const struct site *site, struct entry_id id)
{
    const struct swarm *swarm = site->swarm;
    if (may_be_committed_by(site, id))
        return true;
    for (unsigned i = 1; i <= swarm->plan.nodes_count && site->led_term == 0; i++)
        if (swarm->sites[i].node != NULL && may_be_committed_by(&swarm->sites[i], id))
            return true;
    return false;
}

/* "increment write-9 of client-3/1" */
static void describe(const struct entry *entry, char out[64])
{
    struct proposal proposal;
    struct command command;
    if (entry->type != ENTRY_COMMAND || proposal_decode(entry_data(entry), &proposal) != ST_OK ||
        command_decode(proposal.command, &command) != ST_OK) {
        (void)snprintf(out, 64, "%s", entry->type == ENTRY_NOOP ? "no-op" : "configuration");
        return;
    }
    const struct client_identity *identity = &command.identity;
    int count =
        snprintf(out, 64, "%s%s%.*s", command_op_name(command.op), command.key.count > 0 ? " " : "",
                 (int)MIN(command.key.count, (size_t)16), (const char *)command.key.data);
    if (identity->client.count > 0)
        (void)snprintf(out + count, 64 - (size_t)count, " of %.*s/%llu",
                       (int)MIN(identity->client.count, (size_t)16),
                       (const char *)identity->client.data, (unsigned long long)identity->sequence);
}

static void write_down(struct site *site, struct entry *entry)
{
    struct swarm *swarm = site->swarm;
    char text[64] = "", holders[64];
    if (trace_wants_text(&swarm->trace))
        describe(entry, text);
    chronicle_add(&swarm->chronicle, entry, site->id, site->term_seen, world_now(swarm->world));
    swarm->term_committed = MAX(swarm->term_committed, entry->id.term);
    members_on_committed(site, entry->id.index, entry);
    swarm->totals.commits++;
    swarm_note(swarm, TRACE_COMMIT, site->id, 0, entry->id.index, entry->id.term,
               "index %llu, term %llu: %s", (unsigned long long)entry->id.index,
               (unsigned long long)entry->id.term, text);
    if (!may_be_committed(site, entry->id))
        swarm_violate(swarm, VERDICT_SAFETY, "durable commit",
                      "n%u commits index %llu of term %llu, which is not on the disks of a "
                      "majority:%s",
                      site->id, (unsigned long long)entry->id.index,
                      (unsigned long long)entry->id.term, format_holders(site, entry->id, holders));
}

static void compare_entry(struct site *site, const struct entry *entry, const char *oracle)
{
    const struct chronicle_line *line = chronicle_at(&site->swarm->chronicle, entry->id.index);
    if (line == NULL || line->entry == NULL)
        return;
    if (!entry_id_equal(line->entry->id, entry->id) || line->entry->checksum != entry->checksum)
        swarm_violate(site->swarm, VERDICT_SAFETY, oracle,
                      "n%u has index %llu of term %llu; n%u committed it with term %llu", site->id,
                      (unsigned long long)entry->id.index, (unsigned long long)entry->id.term,
                      line->seen_by, (unsigned long long)line->entry->id.term);
}

static void watch_commit(struct site *site, raft_index commit)
{
    struct swarm *swarm = site->swarm;
    const struct raft *raft = node_raft(site->node);
    if (commit < site->commit_seen)
        swarm_violate(swarm, VERDICT_SAFETY, "monotonic", "the commit index of n%u falls to %llu",
                      site->id, (unsigned long long)commit);
    raft_index first = MAX(site->commit_seen + 1, swarm->chronicle.first);
    for (raft_index i = first; i <= commit; i++) {
        struct entry *entry = raft_entry(raft, i);
        struct chronicle_line *line = chronicle_at(&swarm->chronicle, i);
        if (line != NULL && line->entry == NULL && entry != NULL)
            line->entry = entry_ref(entry);
        if (line == NULL && entry == NULL) {
            chronicle_add_unseen(&swarm->chronicle, site->id, site->term_seen,
                                 world_now(swarm->world));
            members_on_committed(site, i, NULL);
        } else if (line == NULL) {
            write_down(site, entry);
        } else if (entry != NULL) {
            compare_entry(site, entry, "log matching");
        }
    }
    site->commit_seen = commit;
}

void watch_last_commit(struct site *site)
{
    struct raft_view view;
    raft_view(node_raft(site->node), &view);
    site->term_seen = MAX(site->term_seen, view.term);
    if (view.commit > site->commit_seen)
        watch_commit(site, view.commit);
}

/* ---- leaders ---- */

/* Who wakes up and is elected in a term that is over has what was committed before that term. */
static void watch_completeness(struct site *site, const struct raft_view *view)
{
    struct swarm *swarm = site->swarm;
    const struct raft *raft = node_raft(site->node);
    for (raft_index i = swarm->chronicle.first; i <= chronicle_last(&swarm->chronicle); i++) {
        if (chronicle_at(&swarm->chronicle, i)->term >= view->term)
            return;
        const struct entry *entry = raft_entry(raft, i);
        if (entry != NULL)
            compare_entry(site, entry, "leader completeness");
        if (i <= view->last_index)
            continue;
        swarm_violate(swarm, VERDICT_SAFETY, "leader completeness",
                      "n%u leads in term %llu and has nothing behind index %llu; %llu was "
                      "committed before",
                      site->id, (unsigned long long)view->term,
                      (unsigned long long)view->last_index, (unsigned long long)i);
        return;
    }
}

static void watch_role(struct site *site, const struct raft_view *view)
{
    struct swarm *swarm = site->swarm;
    raft_term led_term = view->role == RAFT_ROLE_LEADER ? view->term : 0;
    if (led_term == site->led_term)
        return;
    if (site->led_term != 0)
        swarm_note(swarm, TRACE_YIELD, site->id, 0, site->led_term, 0, "leads no more");
    site->led_term = led_term;
    if (led_term == 0)
        return;
    unsigned *leader = leader_of(swarm, led_term);
    swarm_note(swarm, TRACE_LEAD, site->id, 0, led_term, 0, "leads in term %llu",
               (unsigned long long)led_term);
    swarm->totals.elections++;
    bool was_told = *leader != site->id || led_term <= site->term_told;
    if (*leader != 0 && was_told) /* who stopped before anybody heard of it may lead again */
        swarm_violate(swarm, VERDICT_SAFETY, "election safety",
                      "n%u leads in term %llu, in which n%u led", site->id,
                      (unsigned long long)led_term, *leader);
    *leader = site->id;
    watch_completeness(site, view);
}

/* ---- disks and states ---- */

static void watch_disk(struct site *site, const struct raft_view *view)
{
    struct truth *truth = &site->truth;
    truth_look(truth, site->swarm->world, site->id);
    raft_index acked = site->acked;
    site->acked = 0;
    if (site->bad_write == BAD_WRITE_DONE || site->bad_write == BAD_WRITE_UNSEEN)
        return; /* nobody can know that its disk lies */

    raft_index end = MAX(truth_end(truth), (raft_index)1); /* the foundation is in no log */
    const struct entry *entry = raft_entry(node_raft(site->node), view->durable);
    if (entry != NULL ? !truth_has(truth, entry->id) : view->durable > end)
        swarm_violate(site->swarm, VERDICT_SAFETY, "durable commit",
                      "n%u counts index %llu as durable, which is not on its disk", site->id,
                      (unsigned long long)view->durable);
    if (acked > end)
        swarm_violate(site->swarm, VERDICT_SAFETY, "durable ack",
                      "n%u acknowledges index %llu; its disk ends with %llu", site->id,
                      (unsigned long long)acked, (unsigned long long)end);
    if (truth->has_gone_on)
        swarm_violate(site->swarm, VERDICT_SAFETY, "a failed sync is final",
                      "n%u goes on with its log after a sync of it has failed", site->id);
}

static void watch_state(struct site *site)
{
    struct swarm *swarm = site->swarm;
    raft_index applied = node_applied(site->node);
    if (applied == site->applied_seen)
        return;
    if (applied < site->applied_seen)
        swarm_violate(swarm, VERDICT_SAFETY, "monotonic", "the applied index of n%u falls",
                      site->id);
    site->applied_seen = applied;
    changes_watch(site);
    data_watch(site);
    struct chronicle_line *line = chronicle_at(&swarm->chronicle, applied);
    if (line == NULL)
        return;
    uint64_t digest = kv_digest(node_kv(site->node));
    if (line->digest == 0)
        line->digest = digest;
    if (line->digest != digest)
        swarm_violate(swarm, VERDICT_SAFETY, "state machine safety",
                      "n%u has another state at index %llu than another node had", site->id,
                      (unsigned long long)applied);
}

/* An announced address counts once it has answered, so a node knows no wrong one. */
static void watch_hint(struct site *site)
{
    const struct node_view *view = node_view(site->node);
    struct address right = site_http(view->leader);
    if (address_is_set(&view->leader_http) && !address_equal(&view->leader_http, &right))
        swarm_violate(site->swarm, VERDICT_SAFETY, "hint", "n%u takes %s:%u for the address of n%u",
                      site->id, view->leader_http.host, view->leader_http.port, view->leader);
}

static void watch_site(struct site *site)
{
    struct raft_view view;
    raft_view(node_raft(site->node), &view);
    if (view.term < site->term_seen)
        swarm_violate(site->swarm, VERDICT_SAFETY, "monotonic", "the term of n%u falls to %llu",
                      site->id, (unsigned long long)view.term);
    site->term_seen = view.term;
    watch_role(site, &view);
    if (view.commit != site->commit_seen)
        watch_commit(site, view.commit);
    site->last_seen = view.last_index;
    watch_disk(site, &view);
    watch_state(site);
    watch_hint(site);
    contact_watch(site, &view);
}

/* A turn changes its own machine and no other; what a message changes at its receiver is a turn of
 * the receiver. */
void watch_step(struct swarm *swarm, bool is_first)
{
    unsigned turn = world_turn(swarm->world);
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++)
        if ((is_first || i == turn) && swarm->sites[i].node != NULL)
            watch_site(&swarm->sites[i]);
}

/* What a node starts with is on its disk before it says anything: also what a crash had left in
 * the page cache only. */
static void watch_start(struct site *site, const struct raft_view *view)
{
    struct truth *truth = &site->truth;
    raft_index end;
    truth->must_look = true;
    truth_look(truth, site->swarm->world, site->id);
    if (site->bad_write == BAD_WRITE_NONE && /* else it may be in the page cache only */
        truth_read_end(truth, site->swarm->world, site->id, &end) &&
        view->last_index > MAX(MAX(end, truth->snapshot.index), (raft_index)1))
        swarm_violate(site->swarm, VERDICT_SAFETY, "durable start",
                      "n%u starts with entries up to %llu; its disk ends with %llu", site->id,
                      (unsigned long long)view->last_index, (unsigned long long)end);
}

void watch_after_boot(struct site *site)
{
    struct raft_view view;
    raft_view(node_raft(site->node), &view);
    if (view.term < site->term_told)
        swarm_violate(site->swarm, VERDICT_SAFETY, "durable term",
                      "n%u starts in term %llu, and has told others of term %llu", site->id,
                      (unsigned long long)view.term, (unsigned long long)site->term_told);
    site->term_seen = view.term;
    site->commit_seen = MIN(view.commit, (raft_index)1); /* 0: a node that is about to join */
    site->applied_seen = 0;
    site->changes_kv = NULL;
    site->last_seen = view.last_index;
    site->led_term = 0;
    site->acked = 0;
    contact_begin(site);
    truth_adopt(&site->truth, site->swarm->world, site->id, node_raft(site->node));
    watch_start(site, &view);
    watch_site(site);
}

/* ---- now and then ---- */

/* Whoever starts from the bytes of a state has the same state. */
static void check_copy(struct site *site)
{
    struct kv_options options = {0};
    const struct kv *kv = node_kv(site->node);
    struct kv *copy = NULL;
    struct buf encoded, again;
    buf_init(&encoded, SIZE_MAX / 2);
    buf_init(&again, SIZE_MAX / 2);
    kv_encode(kv, &encoded);
    if (kv_decode(buf_bytes(&encoded), &options, &copy) != ST_OK) {
        swarm_violate(site->swarm, VERDICT_SAFETY, "state codec",
                      "an encoded state of n%u does not decode", site->id);
    } else {
        kv_check(copy);
        kv_encode(copy, &again);
        if (kv_digest(copy) != kv_digest(kv) ||
            !bytes_equal(buf_bytes(&encoded), buf_bytes(&again)))
            swarm_violate(site->swarm, VERDICT_SAFETY, "state codec",
                          "an encoded state of n%u decodes to another one", site->id);
    }
    kv_free(copy);
    buf_release(&encoded);
    buf_release(&again);
}

void watch_closely(struct swarm *swarm)
{
    unsigned id = 1 + (unsigned)prng_below(&swarm->checks, swarm->plan.nodes_count);
    struct site *site = &swarm->sites[id];
    if (site->node == NULL)
        return;
    kv_check(node_kv(site->node));
    raft_check(node_raft(site->node));
    if (swarm_one_in(&swarm->checks, 8))
        check_copy(site);
}
