#include "cli/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

const struct option_row option_rows[CLI_OPTIONS_COUNT] = {
    [CLI_OPTION_ENDPOINTS] = {"endpoints", 'e', "ADDRESS,…",
                              "Nodes to talk to, asked in turn until one takes the request. Any "
                              "node will do. Default: MINIKV_ENDPOINTS, else " DEFAULT_ENDPOINTS
                              "."},
    [CLI_OPTION_OUTPUT] = {"output", 'o', "plain|table|json",
                           "How to print the answer. Default: plain for values, table for lists."},
    [CLI_OPTION_TIMEOUT] = {"timeout", 't', "TIME",
                            "How long the whole command may take, as in 500ms, 5s or 1m. Default: "
                            "5s."},
    [CLI_OPTION_VERBOSE] = {"verbose", 'v', NULL,
                            "Show on standard error every attempt at the request, who answered it, "
                            "and what came of it."},
    [CLI_OPTION_STALE] = {"stale", 0, NULL,
                          "Take what the node has, without asking the leader whether it is the "
                          "newest."},
    [CLI_OPTION_RAW] = {"raw", 0, NULL, "Print exactly the bytes of the value, no newline."},
    [CLI_OPTION_IF_REV] = {"if-rev", 0, "N", "Only if the key was last changed at revision N."},
    [CLI_OPTION_IF_ABSENT] = {"if-absent", 0, NULL, "Only if the key does not exist."},
    [CLI_OPTION_BY] = {"by", 0, "N", "How much to add; may be negative. Default: 1."},
    [CLI_OPTION_LIMIT] = {"limit", 0, "N", "Stop after N of them. Default: all."},
    [CLI_OPTION_KEYS_ONLY] = {"keys-only", 0, NULL, "Keys without their values."},
    [CLI_OPTION_LONG] = {"long", 'l', NULL,
                         "Also the revision in which each was created, and its lease."},
    [CLI_OPTION_COUNT] = {"count", 0, NULL, "Only how many there are."},
    [CLI_OPTION_DESC] = {"desc", 0, NULL, "From the last key to the first."},
    [CLI_OPTION_REV] = {"rev", 0, "N",
                        "As it was at revision N; how far back that goes is bounded."},
    [CLI_OPTION_PREFIX] = {"prefix", 0, "PREFIX",
                           "All keys that begin with PREFIX; all there are if it is empty. Of "
                           "bench: what its keys begin with. Default there: bench/."},
    [CLI_OPTION_LEASE] = {"lease", 0, "ID", "The key goes when this lease does."},
    [CLI_OPTION_TTL] = {"ttl", 0, "TIME",
                        "How long a lease lives that is not kept alive, as in 10 or 10s, 5m; at "
                        "least 1s. Default of lock and elect: 10s."},
    [CLI_OPTION_FROM] = {"from", 0, "N", "Begin with the changes of revision N."},
    [CLI_OPTION_PREV] = {"prev", 0, NULL, "Also what was there before each change."},
    [CLI_OPTION_EXEC] = {"exec", 0, NULL,
                         "Run the command that follows, to the end of the line, for each event."},
    [CLI_OPTION_OBSERVE] = {"observe", 0, NULL,
                            "Take no part; print who leads, whenever that changes."},
    [CLI_OPTION_SKIP] = {"skip", 0, "N", "Begin behind the first N lines."},
    [CLI_OPTION_REMOVE] = {"remove", 0, NULL, "Take the announced address back."},
    [CLI_OPTION_CLIENT] = {"client", 0, "ID",
                           "Send the write as this client's, with --sequence: the same command run "
                           "again, after a failure or by mistake, is not carried out again. "
                           "Default: a session of its own."},
    [CLI_OPTION_SEQUENCE] =
        {"sequence", 0, "N",
         "Which of the client's writes it is, from 1. Exit code 5 then speaks of "
         "what this command sent; 6: an earlier one may have been applied."},
    [CLI_OPTION_KEY] = {"key", 0, "KEY", "The write that was sent with this Idempotency-Key."},
    [CLI_OPTION_SEAL] = {"seal", 0, NULL,
                         "Settle it first: a write that has not been carried out by now never will "
                         "be."},
    [CLI_OPTION_WATCH] = {"watch", 'w', NULL, "Once a second, on one screen, until Ctrl-C."},
    [CLI_OPTION_ID] = {"id", 0, "N", "Which node the directory will be of."},
    [CLI_OPTION_INITIAL_CLUSTER] = {"initial-cluster", 0, "ID=ADDRESS,…",
                                    "All nodes of the new cluster, with their peer addresses."},
    [CLI_OPTION_FROM_DATA_DIR] = {"from-data-dir", 0, "DIR",
                                  "Instead of a backup: the data directory of a node of a cluster "
                                  "that has lost its majority. All of its log counts."},
    [CLI_OPTION_NODES] = {"nodes", 0, "N", "How many nodes, 1 to 7. Default: 3."},
    [CLI_OPTION_DIR] = {"dir", 0, "DIR",
                        "Keep the data here. Default: a temporary directory, removed at the end."},
    [CLI_OPTION_BASE_PORT] = {"base-port", 0, "PORT",
                              "Clients connect to PORT, PORT+1, …; nodes to PORT+100, PORT+101, …. "
                              "Default: 8081."},
    [CLI_OPTION_CONNECTIONS] = {"connections", 'c', "N",
                                "How many connections, 1 to 1024. Default: 16."},
    [CLI_OPTION_PIPELINE] = {"pipeline", 'P', "N",
                             "How many requests are under way on each connection, 1 to 128. "
                             "Default: 1."},
    [CLI_OPTION_DURATION] = {"duration", 'd', "TIME",
                             "How long to measure, as in 10s or 1m; at most 60m. Default: 10s."},
    [CLI_OPTION_REQUESTS] = {"requests", 'n', "N",
                             "Stop after so many requests, if the time is not up before. Default: "
                             "as many as there is time for."},
    [CLI_OPTION_RATE] = {"rate", 0, "N",
                         "Send so many requests a second, when each is due, and count its latency "
                         "from then. Default: each connection sends when an answer has arrived."},
    [CLI_OPTION_AT] = {"at", 0, "leader|follower|all",
                       "Connect to the leader, to the followers in turn, or to all nodes in turn, "
                       "at their announced addresses. Default: the endpoints in turn."},
    [CLI_OPTION_KEYS] = {"keys", 0, "N", "How many keys, 1 to 1000000. Default: 10000."},
    [CLI_OPTION_VALUE_BYTES] = {"value-bytes", 0, "N",
                                "The length of each value, 1 to 1048576. Default: 100."},
    [CLI_OPTION_CLIENT_IDS] = {"client-ids", 0, NULL,
                               "Send each write with a client id and a sequence, as libminikv "
                               "does: exactly once. The cluster remembers one id for each "
                               "connection until it expires."},
    [CLI_OPTION_KEEP] = {"keep", 0, NULL, "Leave the keys there."},
    [CLI_OPTION_PLOT] = {"plot", 0, "FILE",
                         "Also write a picture (SVG): latency by percentile, and the rate and the "
                         "slowest request over time."},
    [CLI_OPTION_MAN] = {"man", 0, NULL, "Print the manual page, for man -l -."},
    [CLI_OPTION_HELP] = {"help", 'h', NULL, "Show how to use the command."},
    [CLI_OPTION_VERSION] = {"version", 'V', NULL, "Show the version."},
};

/* ---- values ---- */

#define DAY_US     UINT64_C(86400000000)
#define NUMBER_MAX 999999999999999999 /* 18 digits */

/* What refuse_value says of them. */
#define TIME_RANGE     ", a number with the unit ms, s or m, at least 1ms and at most 1440m"
#define DURATION_RANGE ", a number with the unit ms, s or m, at least 1ms and at most 60m"
#define NUMBER_RANGE   ", a number from 1 to 999999999999999999"
#define TTL_RANGE      ", a number with the unit s or m, or none for s, from 1s to 525600m"
#define INTEGER_RANGE  ", an integer from -9223372036854775808 to 9223372036854775807"

bool option_read_number(const char *text, uint64_t value_min, uint64_t value_max,
                        uint64_t *out_value)
{
    uint64_t value = 0;
    if (*text == '\0' || strlen(text) > 18) /* NUMBER_MAX */
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *out_value = value;
    return value >= value_min && value <= value_max;
}

static bool read_time(const char *text, time_us time_max, time_us *out_time)
{
    static const struct {
        const char *unit;
        uint64_t us;
    } units[] = {{"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {"", 1000000}};
    char digits[20] = "";
    size_t count = strspn(text, "0123456789");
    uint64_t number;
    if (count >= sizeof digits)
        return false;
    memcpy(digits, text, count);
    for (size_t i = 0; i < ARRAY_COUNT(units); i++)
        if (strcmp(text + count, units[i].unit) == 0 &&
            option_read_number(digits, 1, time_max / units[i].us, &number)) {
            *out_time = number * units[i].us;
            return true;
        }
    return false;
}

bool option_read_endpoints(struct cli *cli, const char *text, struct errtext *error)
{
    cli->connect.endpoints_count = 0;
    for (;;) {
        size_t count = strcspn(text, ",");
        if (cli->connect.endpoints_count == MINIKV_ENDPOINTS_MAX) {
            errtext_set(error, "more than %d endpoints", MINIKV_ENDPOINTS_MAX);
            return false;
        }
        struct address *endpoint = &cli->connect.endpoints[cli->connect.endpoints_count++];
        if (address_parse(bytes_of(text, count), endpoint) != ST_OK) {
            errtext_set(error, "\"%.*s\" is no address of a node, such as 127.0.0.1:8081",
                        (int)MIN(count, 80), text);
            return false;
        }
        if (endpoint->host[0] == '\0') /* a bare ":port" is a node on this machine */
            (void)snprintf(endpoint->host, sizeof endpoint->host, "127.0.0.1");
        if (text[count] == '\0')
            return true;
        text += count + 1;
    }
}

static bool read_output(const char *text, enum cli_output *out_output)
{
    static const char *const names[] = {
        [CLI_OUTPUT_PLAIN] = "plain", [CLI_OUTPUT_TABLE] = "table", [CLI_OUTPUT_JSON] = "json"};
    for (size_t i = CLI_OUTPUT_PLAIN; i < ARRAY_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out_output = (enum cli_output)i;
            return true;
        }
    return false;
}

bool option_read_ttl(const char *text, uint64_t *out_ms)
{
    time_us ttl;
    if (!read_time(text, LIMIT_LEASE_TTL_SECONDS * (time_us)1000000, &ttl) || ttl < 1000000)
        return false;
    *out_ms = ttl / TIME_US_PER_MS;
    return true;
}

static bool is_integer(const char *text)
{
    size_t count = strlen(text) - (*text == '-');
    const char *digits = text + (*text == '-');
    errno = 0;
    (void)strtoll(text, NULL, 10);
    return count != 0 && strspn(digits, "0123456789") == count && errno != ERANGE;
}

/* ---- options ---- */

/* `range` says what would be taken; "" when the option's argument says it. */
static bool refuse_value(struct errtext *error, enum cli_option option, const char *text,
                         const char *range)
{
    errtext_set(error, "--%s: \"%.80s\" is not %s%s", option_rows[option].name, text,
                option_rows[option].argument, range);
    return false;
}

static bool take_number(enum cli_option option, const char *text, uint64_t value_min,
                        uint64_t value_max, unsigned *out_value, struct errtext *error)
{
    uint64_t value;
    if (!option_read_number(text, value_min, value_max, &value)) {
        errtext_set(error, "--%s: \"%.80s\" is not a number from %llu to %llu",
                    option_rows[option].name, text, (unsigned long long)value_min,
                    (unsigned long long)value_max);
        return false;
    }
    *out_value = (unsigned)value;
    return true;
}

/* Of an option that takes a number within bounds of its own; false: it takes something else. */
static bool bounds_of(struct cli *cli, enum cli_option option, unsigned *out_min, unsigned *out_max,
                      unsigned **out_number)
{
    const struct {
        enum cli_option option;
        unsigned min, max;
        unsigned *number;
    } rows[] = {
        {CLI_OPTION_ID, 1, NODE_ID_MAX, &cli->node},
        {CLI_OPTION_NODES, 1, 7, &cli->nodes_count},
        {CLI_OPTION_BASE_PORT, 1, 65000, &cli->base_port},
        {CLI_OPTION_CONNECTIONS, 1, LIMIT_BENCH_CONNECTIONS, &cli->bench.connections},
        {CLI_OPTION_PIPELINE, 1, LIMIT_PIPELINE, &cli->bench.pipeline},
        {CLI_OPTION_RATE, 1, LIMIT_BENCH_RATE, &cli->bench.rate},
        {CLI_OPTION_KEYS, 1, LIMIT_BENCH_KEYS, &cli->bench.keys},
        {CLI_OPTION_VALUE_BYTES, 1, LIMIT_VALUE_BYTES, &cli->bench.value_bytes},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        if (rows[i].option == option) {
            *out_min = rows[i].min;
            *out_max = rows[i].max;
            *out_number = rows[i].number;
            return true;
        }
    return false;
}

static bool read_place(const char *text, enum cli_place *out_place)
{
    static const char *const names[] = {
        [CLI_AT_LEADER] = "leader", [CLI_AT_FOLLOWER] = "follower", [CLI_AT_ALL] = "all"};
    for (size_t i = CLI_AT_LEADER; i < ARRAY_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out_place = (enum cli_place)i;
            return true;
        }
    return false;
}

static bool take_client(struct cli *cli, const char *text, struct errtext *error)
{
    size_t count = strlen(text);
    if (count == 0 || count > MINIKV_CLIENT_ID_MAX) {
        errtext_set(error, "--client: a client's id has 1 to %d bytes", MINIKV_CLIENT_ID_MAX);
        return false;
    }
    memcpy(cli->identity.client, text, count + 1);
    return true;
}

/* Of an option that takes no value; NULL: it takes one. */
static bool *flag_of(struct cli *cli, enum cli_option option)
{
    const struct {
        enum cli_option option;
        bool *flag;
    } flags[] = {{CLI_OPTION_VERBOSE, &cli->is_verbose},
                 {CLI_OPTION_STALE, &cli->is_stale},
                 {CLI_OPTION_RAW, &cli->is_raw},
                 {CLI_OPTION_IF_ABSENT, &cli->if_absent},
                 {CLI_OPTION_KEYS_ONLY, &cli->keys_only},
                 {CLI_OPTION_LONG, &cli->is_long},
                 {CLI_OPTION_COUNT, &cli->counts},
                 {CLI_OPTION_DESC, &cli->is_descending},
                 {CLI_OPTION_PREV, &cli->wants_prev},
                 {CLI_OPTION_EXEC, &cli->executes},
                 {CLI_OPTION_OBSERVE, &cli->observes},
                 {CLI_OPTION_REMOVE, &cli->removes},
                 {CLI_OPTION_SEAL, &cli->seals},
                 {CLI_OPTION_WATCH, &cli->watches},
                 {CLI_OPTION_CLIENT_IDS, &cli->bench.has_client_ids},
                 {CLI_OPTION_KEEP, &cli->bench.keeps},
                 {CLI_OPTION_MAN, &cli->is_man},
                 {CLI_OPTION_HELP, &cli->wants_help},
                 {CLI_OPTION_VERSION, &cli->wants_version}};
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++)
        if (flags[i].option == option)
            return flags[i].flag;
    return NULL;
}

/* Of an option that takes a number from 1; NULL: it takes something else. */
static uint64_t *positive_of(struct cli *cli, enum cli_option option)
{
    const struct {
        enum cli_option option;
        uint64_t *number;
    } numbers[] = {{CLI_OPTION_IF_REV, &cli->if_rev},
                   {CLI_OPTION_LIMIT, &cli->limit},
                   {CLI_OPTION_REV, &cli->rev},
                   {CLI_OPTION_LEASE, &cli->lease},
                   {CLI_OPTION_FROM, &cli->from},
                   {CLI_OPTION_SKIP, &cli->skip},
                   {CLI_OPTION_REQUESTS, &cli->bench.requests},
                   {CLI_OPTION_SEQUENCE, &cli->identity.sequence}};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        if (numbers[i].option == option)
            return numbers[i].number;
    return NULL;
}

/* Of an option that takes a text, which is not empty; NULL: it takes something else. */
static const char **text_of(struct cli *cli, enum cli_option option)
{
    const struct {
        enum cli_option option;
        const char **text;
    } texts[] = {{CLI_OPTION_KEY, &cli->key},
                 {CLI_OPTION_INITIAL_CLUSTER, &cli->initial},
                 {CLI_OPTION_FROM_DATA_DIR, &cli->from_data_dir},
                 {CLI_OPTION_DIR, &cli->dir},
                 {CLI_OPTION_PLOT, &cli->bench.plot}};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
        if (texts[i].option == option)
            return texts[i].text;
    return NULL;
}

static bool take_other(struct cli *cli, enum cli_option option, const char *text,
                       struct errtext *error)
{
    switch ((int)option) {
    case CLI_OPTION_ENDPOINTS:
        return option_read_endpoints(cli, text, error);
    case CLI_OPTION_OUTPUT:
        return read_output(text, &cli->output) || refuse_value(error, option, text, "");
    case CLI_OPTION_TIMEOUT:
        return read_time(text, DAY_US, &cli->connect.timeout) ||
               refuse_value(error, option, text, TIME_RANGE);
    case CLI_OPTION_TTL:
        return option_read_ttl(text, &cli->ttl_ms) || refuse_value(error, option, text, TTL_RANGE);
    case CLI_OPTION_BY:
        cli->by = text;
        return is_integer(text) || refuse_value(error, option, text, INTEGER_RANGE);
    case CLI_OPTION_CLIENT:
        return take_client(cli, text, error);
    case CLI_OPTION_PREFIX:
        cli->prefix = text;
        return true;
    case CLI_OPTION_DURATION:
        return read_time(text, LIMIT_BENCH_SECONDS * (time_us)1000000, &cli->bench.duration) ||
               refuse_value(error, option, text, DURATION_RANGE);
    case CLI_OPTION_AT:
        return read_place(text, &cli->bench.at) || refuse_value(error, option, text, "");
    }
    UNREACHABLE();
}

bool option_take(struct cli *cli, enum cli_option option, const char *text, struct errtext *error)
{
    bool *flag = flag_of(cli, option);
    uint64_t *positive = positive_of(cli, option);
    const char **text_at = text_of(cli, option);
    unsigned min, max, *bounded;
    if (flag != NULL) {
        *flag = true;
        return true;
    }
    if (positive != NULL)
        return option_read_number(text, 1, NUMBER_MAX, positive) ||
               refuse_value(error, option, text, NUMBER_RANGE);
    if (bounds_of(cli, option, &min, &max, &bounded))
        return take_number(option, text, min, max, bounded, error);
    if (text_at == NULL)
        return take_other(cli, option, text, error);
    *text_at = text;
    return *text != '\0' || refuse_value(error, option, text, "");
}
