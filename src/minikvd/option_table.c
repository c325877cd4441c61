#include "minikvd/option_table.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

static bool parse_number(const char *text, uint64_t value_min, uint64_t value_max,
                         uint64_t *out_value, struct errtext *error)
{
    uint64_t value = 0;
    bool is_number = *text != '\0' && strlen(text) <= 18;
    for (const char *c = text; is_number && *c != '\0'; c++) {
        is_number = *c >= '0' && *c <= '9';
        value = value * 10 + (uint64_t)(*c - '0');
    }
    if (!is_number || value < value_min || value > value_max) {
        errtext_set(error, "\"%s\" is not a whole number from %llu to %llu", text,
                    (unsigned long long)value_min, (unsigned long long)value_max);
        return false;
    }
    *out_value = value;
    return true;
}

static bool parse_ms(const char *text, uint64_t ms_min, uint64_t ms_max, time_us *out_time,
                     struct errtext *error)
{
    uint64_t ms;
    if (!parse_number(text, ms_min, ms_max, &ms, error))
        return false;
    *out_time = ms * TIME_US_PER_MS;
    return true;
}

static bool parse_address(struct bytes text, struct address *out_address, struct errtext *error)
{
    if (address_parse(text, out_address) == ST_OK)
        return true;
    errtext_set(error,
                "\"%.*s\" is no address: host:port, :port, [v6]:port or http://host:port, with a "
                "host of at most %d bytes and a port from 1 to 65535",
                (int)MIN(text.count, 80), (const char *)text.data, LIMIT_HOST_BYTES);
    return false;
}

static bool parse_choice(const char *text, const char *first, const char *second,
                         bool *out_is_first, struct errtext *error)
{
    *out_is_first = strcmp(text, first) == 0;
    if (*out_is_first || strcmp(text, second) == 0)
        return true;
    errtext_set(error, "\"%s\" is neither \"%s\" nor \"%s\"", text, first, second);
    return false;
}

/* ---- options ---- */

static bool parse_id(struct options *options, const char *text, struct errtext *error)
{
    uint64_t id;
    if (!parse_number(text, 1, NODE_ID_MAX, &id, error))
        return false;
    options->id = (node_id)id;
    return true;
}

static bool parse_data_dir(struct options *options, const char *text, struct errtext *error)
{
    if (*text == '\0') {
        errtext_set(error, "the name of the directory is empty");
        return false;
    }
    options->data_dir = text;
    return true;
}

static bool parse_listen_peer(struct options *options, const char *text, struct errtext *error)
{
    return parse_address(bytes_of_text(text), &options->listen_peer, error);
}

static bool parse_advertise_peer(struct options *options, const char *text, struct errtext *error)
{
    return *text == '\0' || parse_address(bytes_of_text(text), &options->advertise_peer, error);
}

static bool parse_listen_http(struct options *options, const char *text, struct errtext *error)
{
    return parse_address(bytes_of_text(text), &options->listen_http, error);
}

static bool parse_advertise_http(struct options *options, const char *text, struct errtext *error)
{
    return *text == '\0' || parse_address(bytes_of_text(text), &options->advertise_http, error);
}

static bool parse_initial_cluster(struct options *options, const char *text, struct errtext *error)
{
    return *text == '\0' || config_parse(text, &options->initial, error) == ST_OK;
}

static bool parse_join(struct options *options, const char *text, struct errtext *error)
{
    while (*text != '\0') {
        size_t count = strcspn(text, ",");
        if (options->seeds_count == LIMIT_MEMBERS) {
            errtext_set(error, "more than %d addresses", LIMIT_MEMBERS);
            return false;
        }
        struct address *seed = &options->seeds[options->seeds_count++];
        if (!parse_address(bytes_of(text, count), seed, error))
            return false;
        if (address_is_wildcard(seed)) {
            errtext_set(error, "\"%.*s\" names no host", (int)count, text);
            return false;
        }
        text += count + (text[count] == ',' ? 1 : 0);
    }
    return true;
}

static bool parse_route(struct options *options, const char *text, struct errtext *error)
{
    bool is_forward;
    if (!parse_choice(text, "forward", "redirect", &is_forward, error))
        return false;
    options->route = is_forward ? ROUTE_FORWARD : ROUTE_REDIRECT;
    return true;
}

static bool parse_announce(struct options *options, const char *text, struct errtext *error)
{
    return parse_choice(text, "on", "off", &options->announces, error);
}

static bool parse_heartbeat(struct options *options, const char *text, struct errtext *error)
{
    return parse_ms(text, 1, 10000, &options->heartbeat, error);
}

static bool parse_election(struct options *options, const char *text, struct errtext *error)
{
    return parse_ms(text, 10, 60000, &options->election, error);
}

static bool parse_hold(struct options *options, const char *text, struct errtext *error)
{
    return parse_ms(text, 0, 600000, &options->hold, error);
}

static bool parse_request_timeout(struct options *options, const char *text, struct errtext *error)
{
    return parse_ms(text, 1, 600000, &options->request_timeout, error);
}

enum { SESSION_TTL_DAYS_MAX = 3650 };

/* One is not taken more often than its own bookkeeping takes; at most a terabyte. */
#define SNAPSHOT_BYTES_MIN (64 * UINT64_C(1024))
#define SNAPSHOT_BYTES_MAX (UINT64_C(1) << 40)
#define SNAPSHOT_RATE_MIN  (1024 * UINT64_C(1024))

static bool parse_snapshot_bytes(struct options *options, const char *text, struct errtext *error)
{
    return parse_number(text, SNAPSHOT_BYTES_MIN, SNAPSHOT_BYTES_MAX, &options->snapshot_bytes,
                        error);
}

static bool parse_snapshot_rate(struct options *options, const char *text, struct errtext *error)
{
    return parse_number(text, SNAPSHOT_RATE_MIN, SNAPSHOT_BYTES_MAX, &options->snapshot_rate,
                        error);
}

/* A whole number and its unit: 90s, 15m, 24h, 7d. */
static bool parse_session_ttl(struct options *options, const char *text, struct errtext *error)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 60 * 60}, {'d', 24 * 60 * 60}};
    uint64_t count = 0, seconds = 0;
    char *end = NULL;
    bool is_number = text[0] >= '0' && text[0] <= '9' && strlen(text) <= 10;
    if (is_number)
        count = strtoull(text, &end, 10);
    for (size_t i = 0; is_number && i < ARRAY_COUNT(units); i++)
        if (end[0] == units[i].unit && end[1] == '\0')
            seconds = count * units[i].seconds;
    if (seconds < 1 || seconds > SESSION_TTL_DAYS_MAX * units[3].seconds) {
        errtext_set(error, "\"%.40s\" is no time from 1s to %dd: a number and s, m, h or d", text,
                    SESSION_TTL_DAYS_MAX);
        return false;
    }
    options->session_ttl = seconds * 1000 * TIME_US_PER_MS;
    return true;
}

/* The file was found before the values are parsed; options.c reads it. */
static bool parse_config(struct options *options, const char *text, struct errtext *error)
{
    (void)options, (void)text, (void)error;
    return true;
}

const struct option_spec option_table[] = {
    {"id", "N", "1", "This node's id in the cluster, 1 to 2147483647.", parse_id},
    {"data-dir", "DIR", "./minikv-data",
     "Where the node keeps its log. Made when missing; locked while in use.", parse_data_dir},
    {"listen-peer", "ADDRESS", "127.0.0.1:7001", "Where the other nodes connect to.",
     parse_listen_peer},
    {"advertise-peer", "ADDRESS", "",
     "What the other nodes dial, when it differs from --listen-peer.", parse_advertise_peer},
    {"listen-http", "ADDRESS", "127.0.0.1:8081", "Where clients connect to.", parse_listen_http},
    {"advertise-http", "ADDRESS", "",
     "Where clients of other nodes are sent to, when it differs from --listen-http.",
     parse_advertise_http},
    {"initial-cluster", "ID=ADDRESS,…", "",
     "The peer addresses of all members of a new cluster, this node among them, in the same way on "
     "each. Without it the node is a cluster of its own. Ignored, with a note, once the data "
     "directory has a cluster.",
     parse_initial_cluster},
    {"join", "ADDRESS,…", "",
     "Client addresses of some members of a cluster that this node is to belong to: all that a new "
     "node needs, and the same at every start. It becomes a learner, gets a snapshot and the log, "
     "and then a vote. With a data directory that has a cluster it only tells the cluster when "
     "--advertise-peer has changed.",
     parse_join},
    {"route", "forward|redirect", "forward",
     "What this node does with a request that only the leader can take: carry it there and bring "
     "the answer back, or send the client there with a 307.",
     parse_route},
    {"announce", "on|off", "on",
     "Whether this node tells the cluster its client address by itself. Until an address is "
     "announced, the node takes no clients' requests from other nodes when it leads.",
     parse_announce},
    {"heartbeat-ms", "MS", "50",
     "How often a leader shows that it is there. The default suits a LAN, where a round trip takes "
     "less than 5 ms; set it above the longest round trip between nodes.",
     parse_heartbeat},
    {"election-ms", "MS", "500",
     "After one to one and a half times this long without a word from the leader, a node stands "
     "for election. At least four heartbeats, so that one lost packet is no reason; the default "
     "also rides out a disk or a scheduler that stalls for some hundred milliseconds. A leader "
     "whose process dies is noticed at once, by its closed connections, whatever this says.",
     parse_election},
    {"hold-ms", "MS", "2000", "How long a request may wait for a leader during an election.",
     parse_hold},
    {"request-timeout-ms", "MS", "5000",
     "A request's whole deadline. A request lowers its own with X-MiniKV-Timeout-Ms.",
     parse_request_timeout},
    {"snapshot-bytes", "BYTES", "67108864",
     "Log bytes after which a snapshot of the whole state is taken, and the log in front of the "
     "snapshot before is given up. More when the last snapshot is long: four times its length, but "
     "at most 256 MiB and four times BYTES; at least twice its length where it has 64 MiB or more.",
     parse_snapshot_bytes},
    {"snapshot-rate", "BYTES", "67108864",
     "Bytes per second, at most, at which a snapshot is written, and pieces of it are sent to "
     "other nodes, so that neither is felt by clients.",
     parse_snapshot_rate},
    {"session-ttl", "TIME", "24h",
     "How long a client and what it was answered are remembered after its last write: a number and "
     "s, m, h or d, from 1s to 3650d. The leader's setting counts; use the same on all nodes.",
     parse_session_ttl},
    {"config", "FILE", "", "Read options from FILE: lines of \"name = value\", # for comments.",
     parse_config},
};
const size_t option_table_count = ARRAY_COUNT(option_table);
_Static_assert(ARRAY_COUNT(option_table) <= OPTIONS_MAX, "every option has a place for its value");

size_t option_find(const char *name, size_t name_bytes)
{
    size_t i = 0;
    while (i < option_table_count &&
           !bytes_equal_text(bytes_of(name, name_bytes), option_table[i].name))
        i++;
    return i;
}

const char *option_variable(const struct option_spec *spec, char out[OPTION_VARIABLE_BYTES])
{
    (void)snprintf(out, OPTION_VARIABLE_BYTES, "MINIKV_%s", spec->name);
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return out;
}
