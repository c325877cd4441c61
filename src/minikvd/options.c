#include "minikvd/options.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "minikvd/option_table.h"
#include "program/nearest.h"

/* Flags without a value. */
static const struct {
    const char *name;
    enum options_action action;
} action_flags[] = {
    {"--help", OPTIONS_HELP}, {"-h", OPTIONS_HELP},      {"--version", OPTIONS_VERSION},
    {"-V", OPTIONS_VERSION},  {"--man", OPTIONS_MANUAL}, {"--print-config", OPTIONS_PRINT_CONFIG},
};

/* Whose names are checked against the table, and how they are written there. */
enum name_form { NAME_FLAG, NAME_VARIABLE, NAME_KEY };

static void set_unknown(struct errtext *error, enum name_form form, const char *name)
{
    char texts[OPTIONS_MAX + ARRAY_COUNT(action_flags)][OPTION_VARIABLE_BYTES];
    const char *names[ARRAY_COUNT(texts)];
    size_t names_count = 0;
    for (size_t i = 0; i < option_table_count; i++) {
        names[names_count] = texts[names_count];
        if (form == NAME_VARIABLE)
            (void)option_variable(&option_table[i], texts[names_count]);
        else
            (void)snprintf(texts[names_count], sizeof texts[0], "%s%s",
                           form == NAME_FLAG ? "--" : "", option_table[i].name);
        names_count++;
    }
    for (size_t i = 0; form == NAME_FLAG && i < ARRAY_COUNT(action_flags); i++)
        names[names_count++] = action_flags[i].name;

    const char *nearest = nearest_name(name, names, names_count);
    if (nearest != NULL)
        errtext_set(error, "unknown option %.64s; did you mean %s?", name, nearest);
    else
        errtext_set(error, "unknown option %.64s; minikvd --help lists them", name);
}

/* ---- flags ---- */

static bool find_action(const char *argument, enum options_action *out_action)
{
    for (size_t i = 0; i < ARRAY_COUNT(action_flags); i++)
        if (strcmp(argument, action_flags[i].name) == 0) {
            *out_action = action_flags[i].action;
            return true;
        }
    return false;
}

static enum status read_flags(struct options *options, int argc, char *const *argv,
                              enum options_action *out_action, struct errtext *error)
{
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        if (find_action(argument, out_action))
            continue;
        if (strncmp(argument, "--", 2) != 0) {
            errtext_set(error, "\"%.64s\" is no option; minikvd --help lists them", argument);
            return ST_BAD_REQUEST;
        }
        size_t name_bytes = strcspn(argument + 2, "=");
        size_t row = option_find(argument + 2, name_bytes);
        if (row == option_table_count) {
            char name[72];
            (void)snprintf(name, sizeof name, "%.*s", (int)MIN(name_bytes + 2, 71), argument);
            set_unknown(error, NAME_FLAG, name);
            return ST_BAD_REQUEST;
        }
        const char *text = argument[2 + name_bytes] == '=' ? argument + 2 + name_bytes + 1 : NULL;
        if (text == NULL && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
            text = argv[++i];
        if (text == NULL) {
            errtext_set(error, "--%s wants a value: --%s %s", option_table[row].name,
                        option_table[row].name, option_table[row].argument);
            return ST_BAD_REQUEST;
        }
        options->values[row] = (struct option_value){text, OPTION_FLAG, 0};
    }
    return ST_OK;
}

/* ---- environment ---- */

/* Names after MINIKV_ that are not minikvd's: those of the other programs and scripts, and what
 * Kubernetes puts into every container when a service is called "minikv". */
static bool is_foreign_variable(const char *name)
{
    static const char *const exact[] = {"BUILD", "ENDPOINTS", "PORT"};
    static const char *const prefixes[] = {"SERVICE_", "PORT_", "DEMO_", "TEST_", "BENCH_"};
    size_t count = strcspn(name, "=");
    for (size_t i = 0; i < ARRAY_COUNT(exact); i++)
        if (bytes_equal_text(bytes_of(name, count), exact[i]))
            return true;
    for (size_t i = 0; i < ARRAY_COUNT(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

static enum status read_environment(struct options *options, char *const *environment,
                                    struct errtext *error)
{
    static const char prefix[] = "MINIKV_";
    for (; *environment != NULL; environment++) {
        const char *equals = strchr(*environment, '=');
        if (equals == NULL || strncmp(*environment, prefix, sizeof prefix - 1) != 0 ||
            is_foreign_variable(*environment + sizeof prefix - 1))
            continue;
        size_t name_bytes = (size_t)(equals - *environment);
        size_t row = 0;
        char variable[OPTION_VARIABLE_BYTES];
        while (row < option_table_count &&
               !bytes_equal_text(bytes_of(*environment, name_bytes),
                                 option_variable(&option_table[row], variable)))
            row++;
        if (row == option_table_count) {
            char name[72];
            (void)snprintf(name, sizeof name, "%.*s", (int)MIN(name_bytes, 71), *environment);
            set_unknown(error, NAME_VARIABLE, name);
            errtext_wrap(error, "environment");
            return ST_BAD_REQUEST;
        }
        if (options->values[row].origin < OPTION_ENVIRONMENT)
            options->values[row] = (struct option_value){equals + 1, OPTION_ENVIRONMENT, 0};
    }
    return ST_OK;
}

/* ---- file ---- */

static enum status read_text(const char *path, char **out_text, struct errtext *error)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        errtext_set(error, "%.160s: %s", path, strerror(errno));
        return ST_BAD_REQUEST;
    }
    char *text = mem_alloc(OPTION_FILE_BYTES + 1);
    size_t count = fread(text, 1, OPTION_FILE_BYTES + 1, file);
    enum status status = ST_BAD_REQUEST;
    if (ferror(file))
        errtext_set(error, "%.160s: %s", path, strerror(errno));
    else if (count > OPTION_FILE_BYTES)
        errtext_set(error, "%.160s: more than %d bytes", path, OPTION_FILE_BYTES);
    else if (memchr(text, '\0', count) != NULL)
        errtext_set(error, "%.160s: no text file; it has a zero byte", path);
    else
        status = ST_OK;
    (void)fclose(file); /* only read */
    if (status != ST_OK) {
        mem_free(text);
        return status;
    }
    text[count] = '\0';
    *out_text = text;
    return ST_OK;
}

/* Cuts white space from both ends, in place. */
static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    char *end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1]))
        end--;
    *end = '\0';
    return text;
}

/* A # at the start of a line or after white space begins a comment. */
static void cut_comment(char *line)
{
    for (char *c = line; *c != '\0'; c++)
        if (*c == '#' && (c == line || isspace((unsigned char)c[-1]))) {
            *c = '\0';
            return;
        }
}

static enum status read_line(struct options *options, char *line, unsigned number,
                             struct errtext *error)
{
    cut_comment(line);
    char *name = trim(line);
    if (*name == '\0')
        return ST_OK;
    char *equals = strchr(name, '=');
    if (equals == NULL) {
        errtext_set(error, "\"%.64s\" is not name = value", name);
        return ST_BAD_REQUEST;
    }
    *equals = '\0';
    name = trim(name);
    size_t row = option_find(name, strlen(name));
    if (row == option_table_count) {
        set_unknown(error, NAME_KEY, name);
        return ST_BAD_REQUEST;
    }
    if (strcmp(name, "config") == 0) {
        errtext_set(error, "a configuration file cannot name another one");
        return ST_BAD_REQUEST;
    }
    struct option_value *value = &options->values[row];
    if (value->origin == OPTION_FILE) {
        errtext_set(error, "%s stands in line %u already", name, value->line);
        return ST_BAD_REQUEST;
    }
    if (value->origin < OPTION_FILE)
        *value = (struct option_value){trim(equals + 1), OPTION_FILE, number};
    return ST_OK;
}

static const char *config_path(const struct options *options)
{
    return options->values[option_find("config", strlen("config"))].text;
}

static enum status read_file(struct options *options, struct errtext *error)
{
    const char *path = config_path(options);
    if (*path == '\0')
        return ST_OK;
    enum status status = read_text(path, &options->file_text, error);
    char *rest = options->file_text;
    for (unsigned number = 1; status == ST_OK && rest != NULL; number++) {
        char *line = strsep(&rest, "\n");
        status = read_line(options, line, number, error);
        if (status != ST_OK)
            errtext_wrap(error, "%.100s:%u", path, number);
    }
    return status;
}

/* ---- all together ---- */

static enum status parse_values(struct options *options, struct errtext *error)
{
    char variable[OPTION_VARIABLE_BYTES];
    for (size_t i = 0; i < option_table_count; i++) {
        const struct option_value *value = &options->values[i];
        if (option_table[i].parse(options, value->text, error))
            continue;
        switch (value->origin) {
        case OPTION_FLAG:
            errtext_wrap(error, "--%s", option_table[i].name);
            break;
        case OPTION_ENVIRONMENT:
            errtext_wrap(error, "environment %s", option_variable(&option_table[i], variable));
            break;
        case OPTION_FILE:
            errtext_wrap(error, "%.100s:%u: %s", config_path(options), value->line,
                         option_table[i].name);
            break;
        case OPTION_DEFAULT:
            UNREACHABLE(); /* a default is good, which the tests see */
        }
        return ST_BAD_REQUEST;
    }
    return ST_OK;
}

/* This node's own line of the initial cluster is its advertised address; a second, different one
 * would send the others to the wrong place. */
static enum status settle_own_address(struct options *options, struct errtext *error)
{
    bool has_advertised = address_is_set(&options->advertise_peer);
    const struct address *advertised =
        has_advertised ? &options->advertise_peer : &options->listen_peer;
    char ours[LIMIT_ADDRESS_BYTES], theirs[LIMIT_ADDRESS_BYTES];
    const struct member *self = config_find(&options->initial, options->id);
    if (options->seeds_count > 0) {
        if (options->initial.members_count > 0) {
            errtext_set(error, "--join and --initial-cluster contradict each other: a node joins a "
                               "cluster, or is one of those that make it");
            return ST_BAD_REQUEST;
        }
        if (!has_advertised)
            options->advertise_peer = options->listen_peer; /* a wildcard is for the cluster to
                                                               judge: it knows the other hosts */
        return ST_OK;
    }
    if (options->initial.members_count == 0) {
        if (address_is_wildcard(advertised)) {
            errtext_set(error,
                        "--advertise-peer: other nodes cannot dial %s; name this node's "
                        "host",
                        address_format(advertised, ours));
            return ST_BAD_REQUEST;
        }
        struct member alone = {options->id, true, *advertised};
        enum status status = config_add(&options->initial, &alone);
        INVARIANT(status == ST_OK); /* the first member always fits */
    } else if (self == NULL) {
        errtext_set(error, "--initial-cluster does not name this node, which has id %u",
                    options->id);
        return ST_BAD_REQUEST;
    } else if (!address_equal(&self->peer, advertised) &&
               (has_advertised || !address_is_wildcard(advertised))) {
        errtext_set(error, "--initial-cluster says that this node, %u, is at %s, but %s says %s",
                    options->id, address_format(&self->peer, theirs),
                    has_advertised ? "--advertise-peer" : "--listen-peer",
                    address_format(advertised, ours));
        return ST_BAD_REQUEST;
    }
    options->advertise_peer = config_find(&options->initial, options->id)->peer;
    return ST_OK;
}

/* Clients of other nodes are sent to the announced address: it must lead here from there. One that
 * names no host is at the host where the other nodes reach this one. */
static enum status settle_announced(struct options *options, struct errtext *error)
{
    struct address *http = &options->advertise_http;
    const struct member *self = config_find(&options->initial, options->id);
    if (!address_is_set(http))
        *http = options->listen_http;
    if (self == NULL)
        return ST_OK; /* joining: as for the peer address */
    if (address_is_wildcard(http))
        (void)snprintf(http->host, sizeof http->host, "%s", self->peer.host);
    if (!options->announces || !address_is_loopback(http))
        return ST_OK;
    for (uint32_t i = 0; i < options->initial.members_count; i++) {
        const struct member *member = &options->initial.members[i];
        if (member->id == options->id || address_is_loopback(&member->peer))
            continue;
        char text[LIMIT_ADDRESS_BYTES];
        errtext_set(error,
                    "--advertise-http: from %s, %s does not lead to this node; name its host, or "
                    "set --announce off",
                    member->peer.host, address_format(http, text));
        return ST_BAD_REQUEST;
    }
    return ST_OK;
}

static enum status settle(struct options *options, struct errtext *error)
{
    if (options->election < 4 * options->heartbeat) {
        errtext_set(error, "--election-ms must be at least four times --heartbeat-ms");
        return ST_BAD_REQUEST;
    }
    enum status status = settle_own_address(options, error);
    if (status == ST_OK)
        status = settle_announced(options, error);
    return status;
}

enum status options_load(struct options *options, int argc, char *const *argv,
                         char *const *environment, enum options_action *out_action,
                         struct errtext *error)
{
    *options = (struct options){0};
    for (size_t i = 0; i < option_table_count; i++)
        options->values[i] = (struct option_value){option_table[i].fallback, OPTION_DEFAULT, 0};

    enum options_action action = OPTIONS_RUN;
    enum status status = read_flags(options, argc, argv, &action, error);
    bool is_question =
        action == OPTIONS_HELP || action == OPTIONS_MANUAL || action == OPTIONS_VERSION;
    if (status == ST_OK && !is_question) {
        status = read_environment(options, environment, error);
        if (status == ST_OK)
            status = read_file(options, error);
        if (status == ST_OK)
            status = parse_values(options, error);
        if (status == ST_OK)
            status = settle(options, error);
    }
    if (status == ST_OK)
        *out_action = action;
    return status;
}

void options_release(struct options *options)
{
    mem_free(options->file_text);
    *options = (struct options){0};
}
