/* What minikvd says about its options: --help, the manual page, --print-config. */
#include <string.h>

#include "base/status.h"
#include "minikvd/option_table.h"
#include "minikvd/options.h"
#include "program/manual.h"

/* The value in force; options that follow from others show what they came to. */
static const char *effective_text(const struct options *options, size_t row, char *buffer,
                                  size_t buffer_bytes, const char **out_derived)
{
    const char *name = option_table[row].name;
    const char *text = options->values[row].text;
    char address[LIMIT_ADDRESS_BYTES];
    *out_derived = NULL;
    if (strcmp(name, "advertise-http") == 0 && *text != '\0') {
        *out_derived = NULL; /* given, but perhaps without its host */
        (void)snprintf(buffer, buffer_bytes, "%s",
                       address_format(&options->advertise_http, address));
        return buffer;
    }
    if (*text != '\0')
        return text;
    if (strcmp(name, "advertise-peer") == 0) {
        *out_derived = options->values[option_find("initial-cluster", 15)].text[0] != '\0'
                           ? "from initial-cluster"
                           : "from listen-peer";
        (void)snprintf(buffer, buffer_bytes, "%s",
                       address_format(&options->advertise_peer, address));
        return buffer;
    }
    if (strcmp(name, "advertise-http") == 0) {
        *out_derived = "from listen-http";
        (void)snprintf(buffer, buffer_bytes, "%s",
                       address_format(&options->advertise_http, address));
        return buffer;
    }
    if (strcmp(name, "initial-cluster") == 0 && options->seeds_count == 0) {
        *out_derived = "this node alone";
        (void)snprintf(buffer, buffer_bytes, "%u=%s", options->id,
                       address_format(&options->advertise_peer, address));
        return buffer;
    }
    return text;
}

void options_print(const struct options *options, FILE *out)
{
    const char *path = options->values[option_find("config", 6)].text;
    for (size_t i = 0; i < option_table_count; i++) {
        if (strcmp(option_table[i].name, "config") == 0)
            continue; /* a file cannot name itself */
        const struct option_value *value = &options->values[i];
        char buffer[LIMIT_ADDRESS_BYTES + 16], variable[OPTION_VARIABLE_BYTES];
        const char *derived;
        const char *text = effective_text(options, i, buffer, sizeof buffer, &derived);
        int columns = fprintf(out, "%s = %s", option_table[i].name, text);
        fprintf(out, "%*s# ", columns < 40 ? 40 - columns : 1, "");
        switch (value->origin) {
        case OPTION_DEFAULT:
            fprintf(out, "default%s%s\n", derived ? ", " : "", derived ? derived : "");
            break;
        case OPTION_FILE:
            fprintf(out, "%s:%u\n", path, value->line);
            break;
        case OPTION_ENVIRONMENT:
            fprintf(out, "environment %s\n", option_variable(&option_table[i], variable));
            break;
        case OPTION_FLAG:
            fputs("flag\n", out);
            break;
        }
    }
}

static void describe_option(struct manual *manual, const struct option_spec *spec)
{
    char term[96], text[640];
    (void)snprintf(term, sizeof term, "--%s %s", spec->name, spec->argument);
    (void)snprintf(text, sizeof text, *spec->fallback ? "%s Default: %s." : "%s", spec->help,
                   spec->fallback);
    manual_item(manual, term, text);
}

static void describe_exit_codes(struct manual *manual)
{
    static const struct {
        enum exit_code code;
        const char *meaning;
    } rows[] = {
        {EXIT_CODE_OK, "stopped by SIGTERM or SIGINT, everything in flight answered"},
        {EXIT_CODE_FAILURE, "could not start: address in use, directory not writable, …"},
        {EXIT_CODE_USAGE, "a malformed option"},
        {EXIT_CODE_LOCKED, "the data directory is in use by another process"},
        {EXIT_CODE_STORAGE, "a write or sync failed; the node stopped rather than guess"},
        {EXIT_CODE_CORRUPT, "synced data is damaged; file and offset are on standard error"},
        {EXIT_CODE_FORMAT, "the data is of another format version or belongs to another node"},
    };
    manual_section(manual, "Exit codes");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char term[16];
        (void)snprintf(term, sizeof term, "%d", rows[i].code);
        manual_item(manual, term, rows[i].meaning);
    }
}

void options_describe(FILE *out, bool is_roff)
{
    struct manual manual = {out, is_roff};
    manual_begin(&manual, "minikvd", "one node of a MiniKV cluster");
    manual_section(&manual, "Synopsis");
    manual_line(&manual, "minikvd [--name value | --name=value]…");
    manual_paragraph(&manual,
                     "Without options it is a working cluster of one node: data in ./minikv-data, "
                     "clients at 127.0.0.1:8081. Any node takes any request.");
    manual_section(&manual, "Options");
    for (size_t i = 0; i < option_table_count; i++)
        describe_option(&manual, &option_table[i]);
    manual_item(&manual, "--print-config",
                "Show each value and where it came from, as a configuration file, and exit.");
    manual_item(&manual, "--help, -h", "Show this text.");
    manual_item(&manual, "--man", "Show this text as a manual page, for man -l -.");
    manual_item(&manual, "--version, -V", "Show the version.");
    manual_section(&manual, "Environment and file");
    manual_paragraph(&manual,
                     "Each option can also be an environment variable (--listen-http is "
                     "MINIKV_LISTEN_HTTP) or a line of the file that --config names (listen-http = "
                     "127.0.0.1:8081). Flags win over the environment, the environment over the "
                     "file, the file over the default. An unknown name is an error.");
    manual_paragraph(&manual, "An ADDRESS is host:port, :port, [v6]:port or http://host:port.");
    manual_section(&manual, "Signals");
    manual_paragraph(&manual,
                     "SIGTERM and SIGINT hand leadership over, finish what is in flight and exit.");
    describe_exit_codes(&manual);
}
