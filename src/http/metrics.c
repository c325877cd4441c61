#include "http/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "http/server.h"

static const struct {
    time_us bound;
    const char *text; /* in seconds */
} buckets[METRICS_BUCKETS] = {
    {250, "0.00025"}, {500, "0.0005"},  {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},
    {10000, "0.01"},  {25000, "0.025"}, {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"},
    {500000, "0.5"},  {1000000, "1"},   {2500000, "2.5"}, {5000000, "5"},
};

void metrics_count(struct metrics *metrics, const struct api_route *route, size_t code_index,
                   time_us latency)
{
    size_t index = route == NULL ? api_routes_count() : api_route_index(route);
    struct metrics_latency *histogram = &metrics->latency[index];
    size_t bucket = 0;
    while (bucket < METRICS_BUCKETS && latency > buckets[bucket].bound)
        bucket++;
    histogram->buckets[bucket]++;
    histogram->sum += latency;
    metrics->replies[index][code_index]++;
}

/* ---- text (Prometheus exposition format 0.0.4) ---- */

static void put_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_one(struct buf *out, const char *name, const char *type, const char *help,
                    uint64_t value)
{
    put_head(out, name, type, help);
    buf_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void put_labels(struct buf *out, size_t route_index)
{
    if (route_index == api_routes_count()) {
        buf_put_text(out, "route=\"\",method=\"\"");
        return;
    }
    const struct api_route *route = api_route_at(route_index);
    buf_printf(out, "route=\"%s\",method=\"%s\"", route->pattern, route->method_name);
}

static void put_replies(struct buf *out, const struct metrics *metrics)
{
    put_head(out, "minikv_http_requests_total", "counter",
             "Requests answered, by route (empty: none matched), method and status code.");
    for (size_t i = 0; i <= api_routes_count(); i++) {
        for (size_t j = 0; j < reply_codes_count(); j++) {
            if (metrics->replies[i][j] == 0)
                continue;
            buf_put_text(out, "minikv_http_requests_total{");
            put_labels(out, i);
            buf_printf(out, ",code=\"%d\"} %llu\n", reply_code_at(j),
                       (unsigned long long)metrics->replies[i][j]);
        }
    }
}

static void put_histogram(struct buf *out, size_t route_index,
                          const struct metrics_latency *latency)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= METRICS_BUCKETS; i++) {
        count += latency->buckets[i];
        buf_put_text(out, "minikv_http_request_duration_seconds_bucket{");
        put_labels(out, route_index);
        buf_printf(out, ",le=\"%s\"} %llu\n", i < METRICS_BUCKETS ? buckets[i].text : "+Inf",
                   (unsigned long long)count);
    }
    buf_put_text(out, "minikv_http_request_duration_seconds_sum{");
    put_labels(out, route_index);
    buf_printf(out, "} %.6f\n", (double)latency->sum / 1e6);
    buf_put_text(out, "minikv_http_request_duration_seconds_count{");
    put_labels(out, route_index);
    buf_printf(out, "} %llu\n", (unsigned long long)count);
}

static void put_latency(struct buf *out, const struct metrics *metrics)
{
    put_head(out, "minikv_http_request_duration_seconds", "histogram",
             "Time from the head of a request to its reply, by route and method.");
    for (size_t i = 0; i <= api_routes_count(); i++) {
        uint64_t count = 0;
        for (size_t j = 0; j <= METRICS_BUCKETS; j++)
            count += metrics->latency[i].buckets[j];
        if (count != 0)
            put_histogram(out, i, &metrics->latency[i]);
    }
}

static void put_http(struct buf *out, const struct http *http)
{
    const struct metrics *metrics = &http->metrics;
    put_replies(out, metrics);
    put_latency(out, metrics);
    put_one(out, "minikv_http_connections", "gauge", "Open client connections.",
            http->connections_count);
    put_one(out, "minikv_http_connections_accepted_total", "counter",
            "Client connections taken on.", metrics->connections_accepted);
    put_one(out, "minikv_http_connections_refused_total", "counter",
            "Client connections turned away because there were too many.",
            metrics->connections_refused);
    put_one(out, "minikv_http_received_bytes_total", "counter", "Bytes received from clients.",
            metrics->received_bytes);
    put_one(out, "minikv_http_sent_bytes_total", "counter", "Bytes sent to clients.",
            metrics->sent_bytes);
    put_one(out, "minikv_http_bodies_bytes", "gauge", "Bytes of requests held in memory.",
            http->bodies_bytes);
}

static void put_raft(struct buf *out, const struct http *http)
{
    static const enum raft_role roles[] = {RAFT_ROLE_FOLLOWER, RAFT_ROLE_PRE_CANDIDATE,
                                           RAFT_ROLE_CANDIDATE, RAFT_ROLE_LEADER,
                                           RAFT_ROLE_LEARNER};
    struct raft_view view;
    raft_view(node_raft(http->node), &view);
    put_head(out, "minikv_raft_role", "gauge", "1 for the role this node has, 0 for the others.");
    for (size_t i = 0; i < ARRAY_COUNT(roles); i++)
        buf_printf(out, "minikv_raft_role{role=\"%s\"} %d\n", raft_role_name(roles[i]),
                   view.role == roles[i] ? 1 : 0);
    put_one(out, "minikv_raft_term", "gauge", "Current term.", view.term);
    put_one(out, "minikv_raft_leader_id", "gauge", "Id of the known leader, 0 when unknown.",
            view.leader);
    put_one(out, "minikv_raft_commit_index", "gauge", "Highest entry known committed.",
            view.commit);
    put_one(out, "minikv_raft_applied_index", "gauge", "Highest entry applied.",
            node_applied(http->node));
    put_one(out, "minikv_raft_last_index", "gauge", "Last entry of the log.", view.last_index);
    put_one(out, "minikv_raft_durable_index", "gauge", "Highest entry on this node's disk.",
            view.durable);
    put_one(out, "minikv_raft_uncommitted_bytes", "gauge",
            "Bytes of proposed entries that are not committed, at the leader.",
            view.uncommitted_bytes);
}

static void put_node(struct buf *out, const struct node_stats *stats)
{
    put_one(out, "minikv_requests_open", "gauge", "Requests submitted and not answered.",
            stats->requests_open);
    put_one(out, "minikv_requests_held", "gauge", "Requests waiting for a leader.",
            stats->requests_held);
    put_one(out, "minikv_forwards_open", "gauge", "Commands forwarded and not answered.",
            stats->requests_forwarded_open);
    put_one(out, "minikv_proposed_total", "counter", "Commands proposed here as leader.",
            stats->proposed_count);
    put_one(out, "minikv_forwarded_total", "counter", "Commands forwarded to a leader.",
            stats->forwarded_count);
    put_one(out, "minikv_taken_total", "counter", "Commands taken from other nodes.",
            stats->taken_count);
    put_one(out, "minikv_resent_total", "counter",
            "Commands sent again after proof that they had not taken effect.", stats->resent_count);
    put_one(out, "minikv_proven_total", "counter",
            "Proofs that a forwarded command had not taken effect.", stats->proven_count);
    put_one(out, "minikv_elections_total", "counter", "Elections this node has won.",
            stats->elections_count);
    put_one(out, "minikv_leader_changes_total", "counter", "Changes of the known leader.",
            stats->leader_changes_count);
    put_one(out, "minikv_reads_total", "counter", "Linearizable reads.", stats->reads_count);
    put_one(out, "minikv_read_rounds_total", "counter", "Batches that those reads shared.",
            stats->read_rounds_count);
}

static void put_wal(struct buf *out, const struct wal_stats *wal)
{
    put_one(out, "minikv_wal_frames_total", "counter", "Group commits written.", wal->frames_count);
    put_one(out, "minikv_wal_syncs_total", "counter", "Syncs of the log to disk.",
            wal->syncs_count);
    put_one(out, "minikv_wal_written_bytes_total", "counter", "Bytes written to the log.",
            wal->bytes_written);
    put_one(out, "minikv_wal_entries_total", "counter", "Entries written to the log.",
            wal->entries_count);
    put_head(out, "minikv_wal_sync_seconds_total", "counter",
             "Time spent from the start of a log write to its being durable.");
    buf_printf(out, "minikv_wal_sync_seconds_total %.6f\n", (double)wal->sync_time_sum / 1e6);
    put_head(out, "minikv_wal_sync_seconds_max", "gauge", "The longest of these times.");
    buf_printf(out, "minikv_wal_sync_seconds_max %.6f\n", (double)wal->sync_time_max / 1e6);
    put_one(out, "minikv_wal_segments", "gauge", "Segment files of the log.", wal->segments_count);
    put_one(out, "minikv_wal_bytes", "gauge", "Bytes of the log on disk.", wal->log_bytes);
    put_one(out, "minikv_wal_queued_bytes", "gauge", "Bytes queued and not yet written.",
            wal->queued_bytes);
    put_one(out, "minikv_wal_out_of_space", "gauge", "1 when no further segment could be prepared.",
            wal->is_out_of_space ? 1 : 0);
}

static void put_snapshots(struct buf *out, const struct http *http, const struct node_stats *stats)
{
    struct node_progress progress;
    raft_index applied = node_applied(http->node);
    node_progress(http->node, &progress);
    put_one(out, "minikv_snapshot_index", "gauge",
            "Last entry in the newest snapshot on disk, 0 when there is none.",
            progress.newest.last.index);
    put_one(out, "minikv_snapshot_bytes", "gauge", "Bytes of the newest snapshot on disk.",
            progress.newest.bytes);
    put_one(out, "minikv_snapshot_behind", "gauge", "Entries applied since the newest snapshot.",
            applied - MIN(applied, progress.newest.last.index));
    put_one(out, "minikv_snapshots_taken_total", "counter", "Snapshots taken.",
            stats->snapshots_count);
    put_one(out, "minikv_snapshots_failed_total", "counter",
            "Snapshots given up because the disk had no room or failed.",
            stats->snapshot_failures_count);
    put_one(out, "minikv_snapshots_installed_total", "counter",
            "Snapshots fetched from another node and installed.", stats->installs_count);
    put_one(out, "minikv_snapshot_taking_bytes", "gauge",
            "Bytes of the snapshot being taken, 0 when none is.",
            progress.is_taking ? progress.taking_bytes : 0);
    put_one(out, "minikv_snapshot_taken_bytes", "gauge", "Of these, bytes written.",
            progress.is_taking ? progress.taken_bytes : 0);
    put_one(out, "minikv_snapshot_fetching_bytes", "gauge",
            "Bytes of the snapshot being fetched, 0 when none is.",
            progress.is_fetching ? progress.fetching_bytes : 0);
    put_one(out, "minikv_snapshot_fetched_bytes", "gauge", "Of these, bytes received.",
            progress.is_fetching ? progress.fetched_bytes : 0);
    put_one(out, "minikv_backups", "gauge", "Snapshots being sent to clients.",
            http->backups_count);
    put_one(out, "minikv_backup_bytes_total", "counter", "Bytes of snapshots sent to clients.",
            http->metrics.backup_bytes);
}

static void put_watches(struct buf *out, const struct http *http)
{
    struct watch_stats stats;
    watch_hub_stats(http->watches, &stats);
    put_one(out, "minikv_watchers", "gauge", "Watches and long polls that wait for events.",
            stats.watchers_count);
    put_one(out, "minikv_watchers_behind", "gauge",
            "Of these, those that have not been sent all events that are there.",
            stats.behind_count);
    put_one(out, "minikv_watch_filters", "gauge", "Different things that are watched.",
            stats.groups_count);
    put_one(out, "minikv_watch_events_total", "counter", "Events sent to all watchers together.",
            stats.events_sent);
    put_one(out, "minikv_watch_compacted_total", "counter",
            "Watches ended because what came next for them was compacted.", stats.compacted_count);
}

static void put_members(struct buf *out, const struct http *http)
{
    const struct config *config = kv_config(node_kv(http->node));
    uint32_t voters_count = config_voters_count(config);
    put_head(out, "minikv_members", "gauge", "Members of the cluster, as applied, by role.");
    buf_printf(out, "minikv_members{role=\"voter\"} %u\nminikv_members{role=\"learner\"} %u\n",
               voters_count, config->members_count - voters_count);
}

static void put_state(struct buf *out, const struct http *http)
{
    struct kv_stats stats;
    kv_stats(node_kv(http->node), &stats);
    put_one(out, "minikv_revision", "gauge", "Revision of the state.", stats.revision);
    put_one(out, "minikv_keys", "gauge", "Keys stored.", stats.keys_count);
    put_one(out, "minikv_state_bytes", "gauge", "Memory of keys, values and their overhead.",
            stats.state_bytes);
    put_one(out, "minikv_compacted_revision", "gauge",
            "Oldest revision that can be read; 1: all of them.", stats.compacted);
    put_one(out, "minikv_past_events", "gauge", "Changes of keys whose revisions can be read.",
            stats.past_events_count);
    put_one(out, "minikv_past_bytes", "gauge",
            "Memory of replaced versions and deleted keys that can be read.", stats.past_bytes);
}

static void put_walks(struct buf *out, const struct walks *walks)
{
    put_one(out, "minikv_walks", "gauge", "Listings as lines under way.", walks->count);
    put_one(out, "minikv_walk_slices_total", "counter",
            "Slices of a turn each in which they have looked at keys.", walks->slices_count);
}

static void put_leases(struct buf *out, const struct http *http, const struct node_stats *node)
{
    struct kv_stats stats;
    kv_stats(node_kv(http->node), &stats);
    put_one(out, "minikv_leases", "gauge", "Leases that are held.", stats.leases_count);
    put_one(out, "minikv_leases_expired_total", "counter",
            "Leases whose time was over, by entries applied here.", node->leases_expired_count);
    put_one(out, "minikv_lease_renewals_total", "counter", "Keep-alives taken on here.",
            http->renewals.taken_count);
    put_one(out, "minikv_lease_renewal_batches_total", "counter",
            "Commands in which they travelled.", http->renewals.batches_count);
}

static void put_sessions(struct buf *out, const struct http *http)
{
    struct sessions_stats stats;
    struct node_stats node;
    kv_sessions_stats(node_kv(http->node), &stats);
    node_stats(http->node, &node);
    put_one(out, "minikv_sessions", "gauge", "Clients and Idempotency-Keys remembered.",
            stats.sessions_count);
    put_one(out, "minikv_session_results", "gauge", "Results of writes remembered for them.",
            stats.results_count);
    put_one(out, "minikv_session_bytes", "gauge", "Memory they count for against its limit.",
            stats.bytes);
    put_one(out, "minikv_writes_replayed_total", "counter",
            "Writes that had been carried out before, applied or answered here without effect.",
            stats.replayed_count + node.replayed_count);
    put_one(out, "minikv_writes_refused_total", "counter",
            "Writes not carried out because of their identity: reused, too old, sealed, expired.",
            stats.refused_count + node.refused_count);
    put_one(out, "minikv_sessions_expired_total", "counter", "Clients and keys forgotten.",
            stats.expired_count);
}

struct peer_field {
    const char *name, *type, *help;
    double (*value)(const struct peer_stats *stats);
};

static double peer_up(const struct peer_stats *stats)
{
    return stats->is_up ? 1 : 0;
}

static double peer_sent(const struct peer_stats *stats)
{
    return (double)stats->sent_bytes;
}

static double peer_received(const struct peer_stats *stats)
{
    return (double)stats->received_bytes;
}

static double peer_dropped(const struct peer_stats *stats)
{
    return (double)stats->dropped_count;
}

static double peer_outbox(const struct peer_stats *stats)
{
    return (double)stats->outbox_bytes;
}

static double peer_round_trip(const struct peer_stats *stats)
{
    return (double)stats->round_trip / 1e6;
}

static void put_peers(struct buf *out, const struct http *http)
{
    static const struct peer_field fields[] = {
        {"minikv_peer_up", "gauge", "1 while the link to the peer is up.", peer_up},
        {"minikv_peer_sent_bytes_total", "counter", "Bytes sent to the peer.", peer_sent},
        {"minikv_peer_received_bytes_total", "counter", "Bytes received from the peer.",
         peer_received},
        {"minikv_peer_dropped_total", "counter",
         "Messages dropped because the link was down or "
         "its outbox full.",
         peer_dropped},
        {"minikv_peer_outbox_bytes", "gauge", "Bytes queued to the peer.", peer_outbox},
        {"minikv_peer_round_trip_seconds", "gauge", "Round trip of the last ping.",
         peer_round_trip},
    };
    struct peer_stats stats[LIMIT_MEMBERS];
    size_t count = node_peer_stats(http->node, stats, LIMIT_MEMBERS);
    for (size_t i = 0; i < ARRAY_COUNT(fields) && count != 0; i++) {
        put_head(out, fields[i].name, fields[i].type, fields[i].help);
        for (size_t j = 0; j < count; j++)
            buf_printf(out, "%s{peer=\"%u\"} %.10g\n", fields[i].name, stats[j].id,
                       fields[i].value(&stats[j]));
    }
}

/* Looks at the process and its disk that env does not offer; 0 when there is no /proc. */
static uint64_t resident_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t count = read(fd, text, sizeof text - 1);
    (void)close(fd); /* only read from */
    if (count <= 0)
        return 0;
    text[count] = '\0';
    const char *resident = strchr(text, ' '); /* pages: total, resident, … */
    return resident == NULL ? 0 : strtoull(resident, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t descriptors_count(void)
{
    uint64_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    (void)closedir(directory);
    return count - 1; /* the directory itself */
}

static void put_process(struct buf *out)
{
    struct rlimit limit;
    uint64_t resident = resident_bytes();
    uint64_t descriptors = descriptors_count();
    if (resident != 0)
        put_one(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
                resident);
    if (descriptors != 0)
        put_one(out, "process_open_fds", "gauge", "Open file descriptors.", descriptors);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        put_one(out, "process_max_fds", "gauge", "How many file descriptors there may be.",
                limit.rlim_cur);
}

static void put_disk(struct buf *out, const char *data_dir)
{
    struct statvfs disk;
    if (data_dir == NULL || statvfs(data_dir, &disk) != 0)
        return;
    put_one(out, "minikv_disk_free_bytes", "gauge",
            "Bytes that this process may still write to the disk of its data directory.",
            (uint64_t)disk.f_bavail * disk.f_frsize);
    put_one(out, "minikv_disk_bytes", "gauge", "Bytes of that disk.",
            (uint64_t)disk.f_blocks * disk.f_frsize);
}

void metrics_write(const struct http *http, struct buf *out)
{
    struct node_stats stats;
    node_stats(http->node, &stats);
    put_head(out, "minikv_build_info", "gauge", "1, labelled with what runs.");
    buf_printf(out, "minikv_build_info{version=\"%s\"} 1\n", MINIKV_VERSION);
    put_http(out, http);
    put_raft(out, http);
    put_node(out, &stats);
    put_wal(out, &stats.wal);
    put_snapshots(out, http, &stats);
    put_watches(out, http);
    put_members(out, http);
    put_state(out, http);
    put_walks(out, &http->walks);
    put_leases(out, http, &stats);
    put_sessions(out, http);
    put_peers(out, http);
    put_disk(out, http->options.data_dir);
    put_process(out);
}
