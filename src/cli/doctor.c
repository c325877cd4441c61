/* minikv doctor: what is wrong with a cluster, or soon will be. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/download.h"
#include "cli/nodes.h"
#include "cli/table.h"

enum {
    CLOCK_MS_MAX = 1000, /* apart; nothing depends on it but whoever reads logs side by side */
    SYNC_MS_MAX = 50,    /* on average: every write waits for one */
    FILES_PERCENT_MAX = 80,
    SPARE_BYTES = 5 * 64 * MIB /* of the log, kept ready (docs/operations.md) */
};

struct doctor {
    struct cli *cli;
    json_t *nodes;  /* owned: what nodes_ask_all gives */
    json_t *checks; /* owned: [{"check","node","ok","detail"}] */
    bool is_ill;
    struct buf text; /* owned: the detail being written */
};

/* What doctor->text says; node 0: of all together. */
static void conclude(struct doctor *doctor, const char *check, uint64_t node, bool is_ok)
{
    doctor->is_ill = doctor->is_ill || !is_ok;
    (void)json_array_append_new(
        doctor->checks, json_pack("{s:s, s:I, s:b, s:s}", "check", check, "node", (json_int_t)node,
                                  "ok", is_ok ? 1 : 0, "detail", buf_text(&doctor->text)));
    buf_reset(&doctor->text);
}

/* ---- the cluster ---- */

static void check_quorum(struct doctor *doctor)
{
    size_t voters = 0, up = 0, learners = 0;
    for (size_t i = 0; i < json_array_size(doctor->nodes); i++) {
        const json_t *node = json_array_get(doctor->nodes, i);
        bool is_voter = nodes_is_true(node, "voter");
        voters += is_voter;
        learners += !is_voter;
        up += is_voter && !nodes_is_silent(node);
    }
    size_t majority = voters / 2 + 1;
    buf_printf(&doctor->text, "%zu of %zu voters up; ", up, voters);
    if (up < majority)
        buf_printf(&doctor->text, "%zu are needed, so nothing can be written", majority);
    else if (up == majority)
        buf_put_text(&doctor->text, "no further failure is survived");
    else
        buf_printf(&doctor->text, "%zu more failure%s survived", up - majority,
                   up - majority == 1 ? " is" : "s are");
    if (learners > 0)
        buf_printf(&doctor->text, "; %zu without a vote", learners);
    conclude(doctor, "quorum", 0, up == voters && up >= majority);
}

static void check_leader(struct doctor *doctor)
{
    const json_t *leader = nodes_leader(doctor->nodes);
    uint64_t id = nodes_number(leader, "id");
    bool is_agreed = leader != NULL;
    if (leader == NULL)
        buf_put_text(&doctor->text, "no node says that it leads");
    else
        buf_printf(&doctor->text, "node %llu leads in term %llu", (unsigned long long)id,
                   (unsigned long long)nodes_number(leader, "term"));
    for (size_t i = 0; leader != NULL && i < json_array_size(doctor->nodes); i++) {
        const json_t *node = json_array_get(doctor->nodes, i);
        if (nodes_is_silent(node) || nodes_number(node, "leader") == id)
            continue;
        buf_printf(&doctor->text, "; node %llu follows %llu",
                   (unsigned long long)nodes_number(node, "id"),
                   (unsigned long long)nodes_number(node, "leader"));
        is_agreed = false;
    }
    conclude(doctor, "leader", 0, is_agreed);
}

/* Equal entries make equal states: nodes that stand at the same index can be compared. */
static void check_digests(struct doctor *doctor)
{
    size_t compared = 0;
    bool is_same = true;
    for (size_t i = 0; i < json_array_size(doctor->nodes); i++)
        for (size_t j = 0; j < i; j++) {
            const json_t *a = json_array_get(doctor->nodes, i);
            const json_t *b = json_array_get(doctor->nodes, j);
            if (nodes_is_silent(a) || nodes_is_silent(b) ||
                nodes_number(a, "applied_index") != nodes_number(b, "applied_index"))
                continue;
            compared++;
            if (strcmp(nodes_text(a, "digest"), nodes_text(b, "digest")) == 0)
                continue;
            buf_printf(&doctor->text, "nodes %llu and %llu differ at entry %llu; ",
                       (unsigned long long)nodes_number(a, "id"),
                       (unsigned long long)nodes_number(b, "id"),
                       (unsigned long long)nodes_number(a, "applied_index"));
            is_same = false;
        }
    buf_printf(&doctor->text, "%zu pair%s at the same entry compared", compared,
               compared == 1 ? "" : "s");
    conclude(doctor, "states", 0, is_same);
}

static void check_notes(struct doctor *doctor)
{
    for (size_t i = 0; i < json_array_size(doctor->nodes); i++) {
        const json_t *node = json_array_get(doctor->nodes, i);
        const char *note = nodes_text(node, "note");
        if (*note == '\0')
            continue;
        buf_put_text(&doctor->text, note);
        conclude(doctor, "state", nodes_number(node, "id"), false);
    }
}

/* ---- one node ---- */

/* The value of a line of /metrics, "name value" or "name{labels} value"; -1: there is none. */
static double metric(const char *metrics, const char *name)
{
    size_t count = strlen(name);
    for (const char *line = metrics; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, count) == 0 && line[count] == ' ')
            return strtod(line + count, NULL);
    }
    return -1;
}

static void check_links(struct doctor *doctor, const json_t *node, const char *metrics)
{
    uint64_t id = nodes_number(node, "id");
    size_t up = 0, all = 0;
    bool is_ok = true;
    for (size_t i = 0; i < json_array_size(doctor->nodes); i++) {
        const json_t *peer = json_array_get(doctor->nodes, i);
        char name[64];
        uint64_t peer_id = nodes_number(peer, "id");
        if (peer_id == id)
            continue;
        (void)snprintf(name, sizeof name, "minikv_peer_up{peer=\"%llu\"}",
                       (unsigned long long)peer_id);
        bool is_up = metric(metrics, name) > 0;
        all++;
        up += is_up;
        if (is_up)
            continue;
        buf_printf(&doctor->text, "not to node %llu%s; ", (unsigned long long)peer_id,
                   nodes_is_silent(peer) ? ", which does not answer" : "");
        is_ok = is_ok && nodes_is_silent(peer); /* else that is what is wrong */
    }
    buf_printf(&doctor->text, "linked with %zu of %zu", up, all);
    conclude(doctor, "links", id, is_ok);
}

static void check_sync(struct doctor *doctor, uint64_t id, const char *metrics)
{
    double syncs = metric(metrics, "minikv_wal_syncs_total");
    double seconds = metric(metrics, "minikv_wal_sync_seconds_total");
    double mean_ms = syncs > 0 ? seconds * 1000 / syncs : 0;
    buf_printf(&doctor->text, "a write to the log takes %.1f ms, at most %.1f", mean_ms,
               MAX(metric(metrics, "minikv_wal_sync_seconds_max"), 0.0) * 1000);
    conclude(doctor, "sync", id, mean_ms <= SYNC_MS_MAX);
}

static void check_clock(struct doctor *doctor, const json_t *node)
{
    double apart_ms = json_number_value(json_object_get(node, "clock_apart_ms"));
    buf_printf(&doctor->text, "%.0f ms %s this machine's", apart_ms < 0 ? -apart_ms : apart_ms,
               apart_ms < 0 ? "behind" : "ahead of");
    conclude(doctor, "clock", nodes_number(node, "id"),
             apart_ms < CLOCK_MS_MAX && apart_ms > -CLOCK_MS_MAX);
}

static void check_files(struct doctor *doctor, uint64_t id, const char *metrics)
{
    double open = metric(metrics, "process_open_fds"), max = metric(metrics, "process_max_fds");
    if (open < 0 || max < 0)
        return;
    buf_printf(&doctor->text, "%.0f of %.0f open", open, max);
    bool has_room = open * 100 < max * FILES_PERCENT_MAX;
    if (max < LIMIT_CONNECTIONS)
        buf_printf(&doctor->text, "; the limit (ulimit -n) should be above %d", LIMIT_CONNECTIONS);
    conclude(doctor, "files", id, has_room && max >= LIMIT_CONNECTIONS);
}

static void check_snapshot(struct doctor *doctor, const json_t *node, const char *metrics)
{
    const json_t *snapshot = json_object_get(node, "snapshot");
    uint64_t index = nodes_number(snapshot, "index");
    double failed = metric(metrics, "minikv_snapshots_failed_total");
    if (index == 0) {
        buf_put_text(&doctor->text, "none yet; ");
    } else {
        buf_printf(&doctor->text, "at entry %llu, ", (unsigned long long)index);
        bar_put_bytes(&doctor->text, nodes_number(snapshot, "bytes"));
        buf_printf(&doctor->text, ", %.0f entries ago; ",
                   MAX(metric(metrics, "minikv_snapshot_behind"), 0.0));
    }
    buf_put_text(&doctor->text, "the log has ");
    bar_put_bytes(&doctor->text, (uint64_t)MAX(metric(metrics, "minikv_wal_bytes"), 0.0));
    if (failed > 0)
        buf_printf(&doctor->text, "; %.0f could not be made", failed);
    conclude(doctor, "snapshot", nodes_number(node, "id"), failed <= 0);
}

static void check_space(struct doctor *doctor, const json_t *node, const char *metrics)
{
    double free_bytes = metric(metrics, "minikv_disk_free_bytes");
    uint64_t wanted =
        3 * nodes_number(json_object_get(node, "snapshot"), "bytes") + (uint64_t)SPARE_BYTES;
    if (free_bytes < 0)
        return;
    bar_put_bytes(&doctor->text, (uint64_t)free_bytes);
    buf_put_text(&doctor->text, " free");
    bool is_out = metric(metrics, "minikv_wal_out_of_space") > 0;
    bool is_short = free_bytes < (double)wanted;
    if (is_out)
        buf_put_text(&doctor->text, ": too little for the next file of the log");
    else if (is_short) {
        buf_put_text(&doctor->text, "; three snapshots and the log may need ");
        bar_put_bytes(&doctor->text, wanted);
    }
    conclude(doctor, "space", nodes_number(node, "id"), !is_out && !is_short);
}

static void check_node(struct doctor *doctor, const json_t *node, uint64_t deadline_ms)
{
    uint64_t id = nodes_number(node, "id");
    struct minikv_result result = {0};
    struct errtext error;
    bool is_here = !nodes_is_silent(node);
    buf_put_text(&doctor->text, is_here ? "answers at " : "does not answer at ");
    buf_put_text(&doctor->text,
                 nodes_is_announced(node) ? nodes_text(node, "http") : NODES_NOT_ANNOUNCED);
    if (!is_here)
        buf_printf(&doctor->text, ": %s", nodes_text(node, "error"));
    conclude(doctor, "clients", id, is_here);
    if (!is_here || !nodes_is_announced(node))
        return;
    if (nodes_get(doctor->cli, nodes_text(node, "http"), "/metrics", deadline_ms, &result,
                  &error)) {
        struct buf metrics;
        buf_init(&metrics, SIZE_MAX / 2);
        buf_put(&metrics, ask_bytes(result.body));
        const char *text = buf_text(&metrics);
        check_links(doctor, node, text);
        check_sync(doctor, id, text);
        check_clock(doctor, node);
        check_files(doctor, id, text);
        check_snapshot(doctor, node, text);
        check_space(doctor, node, text);
        buf_release(&metrics);
    }
    minikv_result_release(&result);
}

/* ---- all together ---- */

/* By how much the clock of a node is ahead, give or take half of what the question took: asked once
 * more for nothing else. */
static void add_clock(const struct doctor *doctor, json_t *node, uint64_t deadline_ms)
{
    struct minikv_result result;
    struct errtext error;
    struct timespec before, after;
    if (nodes_is_silent(node) || !nodes_is_announced(node))
        return;
    (void)clock_gettime(CLOCK_REALTIME, &before); /* cannot fail */
    bool is_here = nodes_get(doctor->cli, nodes_text(node, "http"), "/v1/raft/status", deadline_ms,
                             &result, &error);
    (void)clock_gettime(CLOCK_REALTIME, &after);
    double middle_ms = ((double)before.tv_sec + (double)after.tv_sec) * 500 +
                       ((double)before.tv_nsec + (double)after.tv_nsec) / 2e6;
    json_t *answer =
        is_here ? json_loadb(result.body.data, result.body.count, JSON_ALLOW_NUL, NULL) : NULL;
    if (answer != NULL)
        (void)json_object_set_new(node, "clock_apart_ms",
                                  json_real((double)nodes_number(answer, "clock_ms") - middle_ms));
    json_decref(answer);
    minikv_result_release(&result);
}

static void print_checks(const struct doctor *doctor)
{
    static const char *const heading[] = {"", "CHECK", "NODE", "FOUND"};
    struct table table;
    table_init(&table, ARRAY_COUNT(heading));
    for (size_t i = 0; i < ARRAY_COUNT(heading); i++)
        table_add(&table, heading[i]);
    for (size_t i = 0; i < json_array_size(doctor->checks); i++) {
        const json_t *check = json_array_get(doctor->checks, i);
        table_add(&table, nodes_is_true(check, "ok") ? "ok" : "BAD");
        table_add(&table, nodes_text(check, "check"));
        if (nodes_number(check, "node") != 0)
            table_add_number(&table, nodes_number(check, "node"));
        else
            table_add(&table, "all");
        table_add(&table, nodes_text(check, "detail"));
    }
    table_print(&table);
    table_release(&table);
}

enum exit_code doctor_run(struct cli *cli)
{
    struct doctor doctor = {.cli = cli};
    uint64_t deadline_ms = nodes_deadline_ms(cli);
    doctor.nodes = nodes_ask_all(cli, deadline_ms);
    if (doctor.nodes == NULL)
        return EXIT_CODE_UNAVAILABLE;
    doctor.checks = json_array();
    buf_init(&doctor.text, 64 * KIB);
    check_quorum(&doctor);
    check_leader(&doctor);
    check_digests(&doctor);
    check_notes(&doctor);
    for (size_t i = 0; i < json_array_size(doctor.nodes); i++) {
        json_t *node = json_array_get(doctor.nodes, i);
        add_clock(&doctor, node, deadline_ms);
        check_node(&doctor, node, deadline_ms);
    }
    if (cli->output == CLI_OUTPUT_JSON)
        ask_print_json(
            json_pack("{s:b, s:O}", "healthy", doctor.is_ill ? 0 : 1, "checks", doctor.checks));
    else
        print_checks(&doctor);
    json_decref(doctor.checks);
    json_decref(doctor.nodes);
    buf_release(&doctor.text);
    return doctor.is_ill ? EXIT_CODE_FAILURE : EXIT_CODE_OK;
}
