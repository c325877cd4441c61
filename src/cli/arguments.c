#include "cli/arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "program/nearest.h"

#define DEFAULT_ENDPOINTS "127.0.0.1:8081"

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
    [CLI_OPTION_LIMIT] = {"limit", 0, "N", "Stop after N keys. Default: all."},
    [CLI_OPTION_KEYS_ONLY] = {"keys-only", 0, NULL, "Keys without their values."},
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
    [CLI_OPTION_MAN] = {"man", 0, NULL, "Print the manual page, for man -l -."},
    [CLI_OPTION_HELP] = {"help", 'h', NULL, "Show how to use the command."},
    [CLI_OPTION_VERSION] = {"version", 'V', NULL, "Show the version."},
};

/* ---- values ---- */

#define TIME_US_MAX UINT64_C(86400000000) /* a day */
#define NUMBER_MAX  999999999999999999    /* 18 digits */

/* What refuse_value says of them. */
#define TIME_RANGE    ", a number with the unit ms, s or m, at least 1ms and at most 1440m"
#define NUMBER_RANGE  ", a number from 1 to 999999999999999999"
#define INTEGER_RANGE ", an integer from -9223372036854775808 to 9223372036854775807"

static bool read_number(const char *text, uint64_t value_min, uint64_t value_max,
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

static bool read_time(const char *text, time_us *out_time)
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
            read_number(digits, 1, TIME_US_MAX / units[i].us, &number)) {
            *out_time = number * units[i].us;
            return true;
        }
    return false;
}

static bool read_endpoints(struct cli *cli, const char *text, struct errtext *error)
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
    if (!read_number(text, value_min, value_max, &value)) {
        errtext_set(error, "--%s: \"%.80s\" is not a number from %llu to %llu",
                    option_rows[option].name, text, (unsigned long long)value_min,
                    (unsigned long long)value_max);
        return false;
    }
    *out_value = (unsigned)value;
    return true;
}

bool arguments_read_identity(const char *client, const char *sequence,
                             struct minikv_identity *out_identity)
{
    size_t count = strlen(client);
    if (count == 0 || count > MINIKV_CLIENT_ID_MAX ||
        !read_number(sequence, 1, NUMBER_MAX, &out_identity->sequence))
        return false;
    memcpy(out_identity->client, client, count + 1);
    return true;
}

bool arguments_read_node(const char *text, json_int_t *out_id)
{
    size_t count = strlen(text);
    if (count == 0 || count > 10 || strspn(text, "0123456789") != count)
        return false;
    *out_id = (json_int_t)strtoll(text, NULL, 10);
    return true;
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

static bool take_positive(enum cli_option option, const char *text, uint64_t *out_value,
                          struct errtext *error)
{
    return read_number(text, 1, NUMBER_MAX, out_value) ||
           refuse_value(error, option, text, NUMBER_RANGE);
}

/* Of an option that takes no value; NULL: it takes one. */
static bool *flag_of(struct cli *cli, enum cli_option option)
{
    const struct {
        enum cli_option option;
        bool *flag;
    } flags[] = {{CLI_OPTION_VERBOSE, &cli->is_verbose},   {CLI_OPTION_STALE, &cli->is_stale},
                 {CLI_OPTION_RAW, &cli->is_raw},           {CLI_OPTION_IF_ABSENT, &cli->if_absent},
                 {CLI_OPTION_KEYS_ONLY, &cli->keys_only},  {CLI_OPTION_REMOVE, &cli->removes},
                 {CLI_OPTION_SEAL, &cli->seals},           {CLI_OPTION_WATCH, &cli->watches},
                 {CLI_OPTION_MAN, &cli->is_man},           {CLI_OPTION_HELP, &cli->wants_help},
                 {CLI_OPTION_VERSION, &cli->wants_version}};
    for (size_t i = 0; i < ARRAY_COUNT(flags); i++)
        if (flags[i].option == option)
            return flags[i].flag;
    return NULL;
}

static bool take_option(struct cli *cli, enum cli_option option, const char *text,
                        struct errtext *error)
{
    uint64_t number;
    bool *flag = flag_of(cli, option);
    if (flag != NULL) {
        *flag = true;
        return true;
    }
    switch (option) {
    case CLI_OPTION_ENDPOINTS:
        return read_endpoints(cli, text, error);
    case CLI_OPTION_OUTPUT:
        return read_output(text, &cli->output) || refuse_value(error, option, text, "");
    case CLI_OPTION_TIMEOUT:
        return read_time(text, &cli->connect.timeout) ||
               refuse_value(error, option, text, TIME_RANGE);
    case CLI_OPTION_IF_REV:
        cli->if_rev = text;
        return take_positive(option, text, &number, error);
    case CLI_OPTION_BY:
        cli->by = text;
        return is_integer(text) || refuse_value(error, option, text, INTEGER_RANGE);
    case CLI_OPTION_LIMIT:
        cli->limit = text;
        return take_positive(option, text, &number, error);
    case CLI_OPTION_CLIENT:
        return take_client(cli, text, error);
    case CLI_OPTION_SEQUENCE:
        return take_positive(option, text, &cli->identity.sequence, error);
    case CLI_OPTION_KEY:
        cli->key = text;
        return *text != '\0' || refuse_value(error, option, text, "");
    case CLI_OPTION_ID:
        return take_number(option, text, 1, NODE_ID_MAX, &cli->node, error);
    case CLI_OPTION_INITIAL_CLUSTER:
        cli->initial = text;
        return *text != '\0' || refuse_value(error, option, text, "");
    case CLI_OPTION_FROM_DATA_DIR:
        cli->from_data_dir = text;
        return *text != '\0' || refuse_value(error, option, text, "");
    case CLI_OPTION_NODES:
        return take_number(option, text, 1, 7, &cli->nodes_count, error);
    case CLI_OPTION_DIR:
        cli->dir = text;
        return *text != '\0' || refuse_value(error, option, text, "");
    case CLI_OPTION_BASE_PORT:
        return take_number(option, text, 1, 65000, &cli->base_port, error);
    case CLI_OPTION_VERBOSE:
    case CLI_OPTION_STALE:
    case CLI_OPTION_RAW:
    case CLI_OPTION_IF_ABSENT:
    case CLI_OPTION_KEYS_ONLY:
    case CLI_OPTION_REMOVE:
    case CLI_OPTION_SEAL:
    case CLI_OPTION_WATCH:
    case CLI_OPTION_MAN:
    case CLI_OPTION_HELP:
    case CLI_OPTION_VERSION:
    case CLI_OPTIONS_COUNT:
        break;
    }
    UNREACHABLE();
}

/* getopt returns a row's letter, or this plus the row. */
enum { ROW_BASE = 1000 };

static void build_getopt(struct option *options, char *letters)
{
    *letters++ = ':'; /* tell a missing value from an unknown option */
    for (size_t i = 0; i < CLI_OPTIONS_COUNT; i++) {
        const struct option_row *row = &option_rows[i];
        options[i] = (struct option){
            .name = row->name,
            .has_arg = row->argument != NULL ? required_argument : no_argument,
            .val = ROW_BASE + (int)i,
        };
        if (row->letter == 0)
            continue;
        *letters++ = row->letter;
        if (row->argument != NULL)
            *letters++ = ':';
    }
    options[CLI_OPTIONS_COUNT] = (struct option){0};
    *letters = '\0';
}

static enum cli_option option_of(int found)
{
    for (int i = 0; i < CLI_OPTIONS_COUNT; i++)
        if (found == ROW_BASE + i || found == option_rows[i].letter)
            return (enum cli_option)i;
    UNREACHABLE();
}

static void set_unknown_option(struct errtext *error, const char *text)
{
    char names_text[CLI_OPTIONS_COUNT][32], word[64];
    const char *names[CLI_OPTIONS_COUNT];
    for (size_t i = 0; i < CLI_OPTIONS_COUNT; i++) {
        (void)snprintf(names_text[i], sizeof names_text[i], "--%s", option_rows[i].name);
        names[i] = names_text[i];
    }
    (void)snprintf(word, sizeof word, "%.*s", (int)MIN(strcspn(text, "="), 60), text);
    const char *nearest = nearest_name(word, names, CLI_OPTIONS_COUNT);
    if (nearest != NULL && strlen(word) > 2)
        errtext_set(error, "unknown option %s; did you mean %s?", word, nearest);
    else
        errtext_set(error, "unknown option %s; minikv help lists them", word);
}

/* Options may stand before, behind and among the words. */
static bool read_options(struct cli *cli, int argc, char **argv, uint32_t *out_given,
                         struct errtext *error)
{
    struct option options[CLI_OPTIONS_COUNT + 1];
    char letters[2 * CLI_OPTIONS_COUNT + 2];
    build_getopt(options, letters);
    opterr = 0;
    optind = 0; /* start anew, also when called again */
    *out_given = 0;
    for (;;) {
        int at = optind == 0 ? 1 : optind;
        int found = getopt_long(argc, argv, letters, options, NULL);
        if (found == -1)
            return true;
        if (found == ':') {
            errtext_set(error, "%s wants a value", argv[optind - 1]);
            return false;
        }
        if (found == '?') {
            char letter[3] = {'-', (char)optopt, '\0'};
            bool is_letter = optopt > 0 && optopt < ROW_BASE;
            if (optopt >= ROW_BASE)
                errtext_set(error, "--%s takes no value", option_rows[optopt - ROW_BASE].name);
            else
                set_unknown_option(error, is_letter ? letter : argv[MAX(optind - 1, at)]);
            return false;
        }
        enum cli_option option = option_of(found);
        *out_given |= 1u << option;
        if (!take_option(cli, option, optarg, error))
            return false;
    }
}

/* ---- command ---- */

static bool find_command(struct cli *cli, const char *name, struct errtext *error)
{
    cli->command = command_find(name);
    if (cli->command == NULL)
        command_set_unknown(error, name);
    return cli->command != NULL;
}

static bool check_usage(const struct cli *cli, uint32_t given, struct errtext *error)
{
    const struct cli_command *command = cli->command;
    uint32_t extra = given & ~(command->options | CLI_OPTIONS_ALWAYS);
    for (size_t i = 0; i < CLI_OPTIONS_COUNT; i++)
        if ((extra & 1u << i) != 0) {
            errtext_set(error, "--%s does not go with %s", option_rows[i].name, command->name);
            return false;
        }
    if (cli->wants_help)
        return true;
    if (cli->arguments_count < command->arguments_min ||
        cli->arguments_count > command->arguments_max) {
        errtext_set(error, "usage: minikv %s%s%s", command->name, *command->arguments ? " " : "",
                    command->arguments);
        return false;
    }
    if (cli->if_rev != NULL && cli->if_absent) {
        errtext_set(error, "--if-rev and --if-absent exclude each other");
        return false;
    }
    if ((*cli->identity.client != '\0') != (cli->identity.sequence != 0)) {
        errtext_set(error, "--client and --sequence go together");
        return false;
    }
    return true;
}

enum status arguments_read(struct cli *cli, int argc, char **argv, const char *endpoints,
                           struct errtext *error)
{
    *cli = (struct cli){.connect.timeout = 5000 * 1000, .nodes_count = 3, .base_port = 8081};
    uint32_t given;
    bool has_environment = endpoints != NULL && *endpoints != '\0';
    if (!read_options(cli, argc, argv, &given, error))
        return ST_BAD_REQUEST;
    if ((given & CLI_BIT(ENDPOINTS)) == 0 &&
        !read_endpoints(cli, has_environment ? endpoints : DEFAULT_ENDPOINTS, error)) {
        errtext_wrap(error, "environment MINIKV_ENDPOINTS");
        return ST_BAD_REQUEST;
    }
    const char *name = optind < argc ? argv[optind] : NULL;
    if (cli->wants_version)
        name = "version";
    else if (name == NULL)
        name = "help";
    if (!find_command(cli, name, error))
        return ST_BAD_REQUEST;
    if (cli->wants_version)
        return ST_OK;
    int first = MIN(optind + 1, argc);
    cli->arguments = (const char *const *)argv + first;
    cli->arguments_count = (size_t)(argc - first);
    return check_usage(cli, given, error) ? ST_OK : ST_BAD_REQUEST;
}
