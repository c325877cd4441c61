#include "cli/arguments.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "program/nearest.h"

/* ---- words ---- */

bool arguments_read_identity(const char *client, const char *sequence,
                             struct minikv_identity *out_identity)
{
    size_t count = strlen(client);
    if (count == 0 || count > MINIKV_CLIENT_ID_MAX ||
        !option_read_number(sequence, 1, UINT64_MAX, &out_identity->sequence))
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

/* ---- options ---- */

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

/* What follows --exec is a command with options of its own: for getopt the line's options end
 * there.
 */
static bool end_at_exec(int argc, char **argv)
{
    static char end[] = "--";
    for (int i = 1; i < argc && strcmp(argv[i], end) != 0; i++)
        if (strcmp(argv[i], "--exec") == 0) {
            argv[i] = end;
            return true;
        }
    return false;
}

/* Options may stand before, behind and among the words. */
static bool read_options(struct cli *cli, int argc, char **argv, uint64_t *out_given,
                         struct errtext *error)
{
    struct option options[CLI_OPTIONS_COUNT + 1];
    char letters[2 * CLI_OPTIONS_COUNT + 2];
    build_getopt(options, letters);
    cli->executes = end_at_exec(argc, argv);
    opterr = 0;
    optind = 0; /* start anew, also when called again */
    *out_given = cli->executes ? CLI_BIT(EXEC) : 0;
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
        *out_given |= CLI_OPTION_BIT(option);
        if (!option_take(cli, option, optarg, error))
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

/* --prefix may stand for the first word, and behind --exec there is a command. */
static bool check_count(const struct cli *cli)
{
    const struct cli_command *command = cli->command;
    size_t given = cli->arguments_count, taken = 0;
    if (command->prefix_is_key && cli->prefix != NULL)
        taken = 1;
    size_t words_min = command->arguments_min - taken, words_max = command->arguments_max - taken;
    return cli->executes ? given > words_min : given >= words_min && given <= words_max;
}

static bool check_pairs(uint64_t given, struct errtext *error)
{
    static const enum cli_option pairs[][2] = {
        {CLI_OPTION_IF_REV, CLI_OPTION_IF_ABSENT}, {CLI_OPTION_LEASE, CLI_OPTION_TTL},
        {CLI_OPTION_TTL, CLI_OPTION_CLIENT}, /* repeated, the lease would be another one */

        {CLI_OPTION_PREFIX, CLI_OPTION_RAW},       {CLI_OPTION_PREFIX, CLI_OPTION_IF_REV},
        {CLI_OPTION_COUNT, CLI_OPTION_LIMIT},      {CLI_OPTION_COUNT, CLI_OPTION_DESC},
        {CLI_OPTION_COUNT, CLI_OPTION_LONG},       {CLI_OPTION_COUNT, CLI_OPTION_KEYS_ONLY}};
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++)
        if ((given & CLI_OPTION_BIT(pairs[i][0])) != 0 &&
            (given & CLI_OPTION_BIT(pairs[i][1])) != 0) {
            errtext_set(error, "--%s and --%s exclude each other", option_rows[pairs[i][0]].name,
                        option_rows[pairs[i][1]].name);
            return false;
        }
    return true;
}

static bool check_usage(const struct cli *cli, uint64_t given, struct errtext *error)
{
    const struct cli_command *command = cli->command;
    uint64_t extra = given & ~(command->options | CLI_OPTIONS_ALWAYS);
    for (size_t i = 0; i < CLI_OPTIONS_COUNT; i++)
        if ((extra & CLI_OPTION_BIT(i)) != 0) {
            errtext_set(error, "--%s does not go with %s", option_rows[i].name, command->name);
            return false;
        }
    if (cli->wants_help)
        return true;
    if (!check_count(cli)) {
        errtext_set(error, "usage: minikv %s%s%s", command->name, *command->arguments ? " " : "",
                    command->arguments);
        return false;
    }
    if (!check_pairs(given, error))
        return false;
    if ((*cli->identity.client != '\0') != (cli->identity.sequence != 0)) {
        errtext_set(error, "--client and --sequence go together");
        return false;
    }
    return true;
}

enum status arguments_read(struct cli *cli, int argc, char **argv, const char *endpoints,
                           struct errtext *error)
{
    *cli = (struct cli){.connect.timeout = 5000 * 1000,
                        .nodes_count = 3,
                        .base_port = 8081,
                        .bench = {.connections = 16,
                                  .pipeline = 1,
                                  .keys = 10000,
                                  .value_bytes = 100,
                                  .duration = 10 * (time_us)1000000},
                        .passed_on = -1};
    uint64_t given;
    bool has_environment = endpoints != NULL && *endpoints != '\0';
    if (!read_options(cli, argc, argv, &given, error))
        return ST_BAD_REQUEST;
    if ((given & CLI_BIT(ENDPOINTS)) == 0 &&
        !option_read_endpoints(cli, has_environment ? endpoints : DEFAULT_ENDPOINTS, error)) {
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
