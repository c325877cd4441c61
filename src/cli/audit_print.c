#include "cli/audit_print.h"

#include <inttypes.h>

#include "cli/ask.h"
#include "cli/table.h"

/* The log's own first entry. What stands before it is the initial configuration, or a snapshot. */
static raft_index first_of(const struct audit_replay *replay)
{
    return replay->log.first;
}

/* The snapshot behind which the replay begins; 0: it begins at the beginning. */
static raft_index base_of(const struct audit_replay *replay)
{
    return replay->is_behind_snapshot ? replay->first : 0;
}

static raft_term term_of(const struct audit_replay *replay)
{
    return replay->steps[replay->steps_count - 1].term;
}

/* ---- for people ---- */

static void print_table(const struct audit_result *result)
{
    static const char *const heading[] = {"NODE", "ENTRIES", "FIRST",    "LAST",   "COMMITTED",
                                          "TERM", "WRITES",  "REPEATED", "REFUSED"};
    struct table table;
    table_init(&table, ARRAY_COUNT(heading));
    for (size_t i = 0; i < ARRAY_COUNT(heading); i++)
        table_add(&table, heading[i]);
    for (size_t i = 0; i < result->count; i++) {
        const struct audit_replay *replay = &result->replays[i];
        table_add_number(&table, replay->meta.node);
        table_add_number(&table, replay->log.entries_count);
        table_add_number(&table, first_of(replay));
        table_add_number(&table, audit_replay_last(replay));
        table_add_number(&table, replay->log.commit);
        table_add_number(&table, term_of(replay));
        table_add_number(&table, replay->counts.writes_count);
        table_add_number(&table, replay->counts.replayed_count);
        table_add_number(&table, replay->counts.refused_count);
    }
    table_print(&table);
    table_release(&table);
}

static void print_finding(const struct audit_finding *finding)
{
    printf("%s: node %u, index %" PRIu64, audit_kind_is_note(finding->kind) ? "note" : "VIOLATION",
           finding->node, finding->index);
    if (*finding->client != '\0') {
        struct buf client;
        buf_init(&client, 8 * sizeof finding->client);
        table_put_escaped(&client, bytes_of_text(finding->client), false);
        printf(", %s %s", finding->is_key ? "idempotency key" : "client", buf_text(&client));
        if (!finding->is_key)
            printf(", sequence %" PRIu64, finding->sequence);
        buf_release(&client);
    }
    printf(": %s\n", finding->text);
}

static void print_proof(const struct audit_result *result)
{
    uint64_t writes_max = 0;
    for (size_t i = 0; i < result->count; i++)
        writes_max = MAX(writes_max, result->replays[i].counts.writes_count);
    printf("proven: of %" PRIu64 " writes with identity none was carried out twice", writes_max);
    if (result->count > 1 && result->common != 0)
        printf("; the logs agree, and so do the states they make (up to index %" PRIu64
               " in all of them)",
               result->common);
    putchar('\n');
    for (size_t i = 0; i < result->count; i++)
        if (base_of(&result->replays[i]) != 0)
            printf("at node %u for what is behind its snapshot at index %" PRIu64
                   ": of what was before, the snapshot tells which writes had been carried out, "
                   "and not that none was twice\n",
                   result->replays[i].meta.node, base_of(&result->replays[i]));
    if (result->count > 1 && result->common == 0)
        puts("no entry is in all of the logs, so they cannot be held against each other");
}

void audit_print_text(const struct audit_result *result)
{
    const struct audit_report *report = result->report;
    print_table(result);
    for (size_t i = 0; i < report->findings_count; i++)
        print_finding(&report->findings[i]);
    uint64_t all = report->violations_count + report->notes_count;
    if (all > report->findings_count)
        printf("and %" PRIu64 " more\n", all - report->findings_count);
    if (report->violations_count == 0)
        print_proof(result);
    else
        printf("violated: %" PRIu64 " violation%s\n", report->violations_count,
               report->violations_count == 1 ? "" : "s");
}

/* ---- JSON ---- */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *json_of_node(const char *path, const struct audit_replay *replay)
{
    char digest[17];
    const struct audit_step *last = &replay->steps[replay->steps_count - 1];
    (void)snprintf(digest, sizeof digest, "%016" PRIx64, last->digest);
    json_t *node = json_object();
    ask_set_bytes(node, "directory", bytes_of_text(path));
    (void)json_object_set_new(node, "node", number(replay->meta.node));
    (void)json_object_set_new(node, "entries", number(replay->log.entries_count));
    (void)json_object_set_new(node, "first_index", number(first_of(replay)));
    (void)json_object_set_new(node, "last_index", number(audit_replay_last(replay)));
    (void)json_object_set_new(node, "snapshot_index", number(base_of(replay)));
    (void)json_object_set_new(node, "commit_index", number(replay->log.commit));
    (void)json_object_set_new(node, "term", number(term_of(replay)));
    (void)json_object_set_new(node, "clients", number(replay->counts.clients_count));
    (void)json_object_set_new(node, "writes", number(replay->counts.writes_count));
    (void)json_object_set_new(node, "repeated", number(replay->counts.replayed_count));
    (void)json_object_set_new(node, "refused", number(replay->counts.refused_count));
    (void)json_object_set_new(node, "replaced_entries", number(replay->log.replaced_count));
    (void)json_object_set_new(node, "torn_bytes", number(replay->log.torn_bytes));
    (void)json_object_set_new(node, "digest", json_string(digest));
    return node;
}

static json_t *json_of_finding(const struct audit_finding *finding)
{
    json_t *item = json_object();
    (void)json_object_set_new(item, "kind", json_string(audit_kind_name(finding->kind)));
    (void)json_object_set_new(item, "node", number(finding->node));
    (void)json_object_set_new(item, "index", number(finding->index));
    if (*finding->client != '\0') {
        ask_set_bytes(item, finding->is_key ? "idempotency_key" : "client",
                      bytes_of_text(finding->client));
        (void)json_object_set_new(item, "sequence", number(finding->sequence));
    }
    (void)json_object_set_new(item, "text", json_string(finding->text));
    return item;
}

void audit_print_json(const struct audit_result *result)
{
    const struct audit_report *report = result->report;
    json_t *nodes = json_array(), *violations = json_array(), *notes = json_array();
    for (size_t i = 0; i < result->count; i++)
        (void)json_array_append_new(nodes, json_of_node(result->paths[i], &result->replays[i]));
    for (size_t i = 0; i < report->findings_count; i++)
        (void)json_array_append_new(audit_kind_is_note(report->findings[i].kind) ? notes
                                                                                 : violations,
                                    json_of_finding(&report->findings[i]));
    ask_print_json(
        json_pack("{s:b, s:o, s:I, s:I, s:o, s:o}", "proven", report->violations_count == 0,
                  "nodes", nodes, "common_index", (json_int_t)result->common, "violations_count",
                  (json_int_t)report->violations_count, "violations", violations, "notes", notes));
}
