#include "sim/swarm/options.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "program/manual.h"
#include "program/nearest.h"
#include "sim/swarm/swarm.h"

enum { WORDS_MAX = 32, SECONDS_MAX = 100000 };

/* ---- values ---- */

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out_value,
                         struct errtext *error)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t value = digits > 0 && digits <= 19 ? strtoull(text, NULL, 10) : 0;
    if (digits == 0 || digits > 19 || text[digits] != '\0' || value < min || value > max) {
        errtext_set(error, "\"%s\" is not a whole number from %llu to %llu", text,
                    (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    *out_value = value;
    return true;
}

static bool parse_unsigned(const char *text, unsigned min, unsigned max, unsigned *out_value,
                           struct errtext *error)
{
    uint64_t value;
    if (!parse_number(text, min, max, &value, error))
        return false;
    *out_value = (unsigned)value;
    return true;
}

static bool parse_seed(struct options *options, const char *text, struct errtext *error)
{
    options->has_seeds = parse_number(text, 0, INT64_MAX, &options->seed_first, error);
    options->seed_last = options->seed_first;
    return options->has_seeds;
}

static bool parse_seeds(struct options *options, const char *text, struct errtext *error)
{
    char first[32];
    const char *dash = strchr(text, '-');
    if (dash == NULL || (size_t)(dash - text) >= sizeof first) {
        errtext_set(error, "\"%s\" is no range such as 1-1000", text);
        return false;
    }
    (void)snprintf(first, sizeof first, "%.*s", (int)(dash - text), text);
    if (!parse_number(first, 0, INT64_MAX, &options->seed_first, error))
        return false;
    options->has_seeds =
        parse_number(dash + 1, options->seed_first, INT64_MAX, &options->seed_last, error);
    return options->has_seeds;
}

static bool parse_jobs(struct options *options, const char *text, struct errtext *error)
{
    return parse_unsigned(text, 1, OPTIONS_JOBS_MAX, &options->jobs, error);
}

static bool parse_nodes(struct options *options, const char *text, struct errtext *error)
{
    return parse_unsigned(text, 1, PLAN_NODES_MAX, &options->pins.nodes_count, error);
}

static bool parse_clients(struct options *options, const char *text, struct errtext *error)
{
    return parse_unsigned(text, 1, PLAN_CLIENTS_MAX, &options->pins.clients_count, error);
}

static bool parse_customers(struct options *options, const char *text, struct errtext *error)
{
    options->pins.has_customers = true;
    return parse_unsigned(text, 0, PLAN_CUSTOMERS_MAX, &options->pins.customers_count, error);
}

static bool parse_operations(struct options *options, const char *text, struct errtext *error)
{
    return parse_unsigned(text, 1, PLAN_OPERATIONS_MAX, &options->pins.operations_max, error);
}

static bool parse_time(struct options *options, const char *text, struct errtext *error)
{
    char digits[16];
    uint64_t value;
    size_t count = strspn(text, "0123456789");
    bool is_ms = strcmp(text + count, "ms") == 0;
    if (count == 0 || count >= sizeof digits ||
        (!is_ms && strcmp(text + count, "s") != 0 && strcmp(text + count, "") != 0)) {
        errtext_set(error, "\"%s\" is no time such as 60s or 1500ms", text);
        return false;
    }
    (void)snprintf(digits, sizeof digits, "%.*s", (int)count, text);
    if (!parse_number(digits, 1, is_ms ? SECONDS_MAX * 1000 : SECONDS_MAX, &value, error))
        return false;
    options->pins.duration = value * (is_ms ? 1 : 1000) * TIME_US_PER_MS;
    return true;
}

static bool parse_kinds(const char *text, uint32_t *out_faults, struct errtext *error)
{
    const char *names[FAULT_COUNT];
    char word[32];
    struct bytes unknown;
    if (plan_parse_faults(text, out_faults, &unknown))
        return true;
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        names[i] = fault_info((enum fault)i)->word;
    (void)snprintf(word, sizeof word, "%.*s", (int)unknown.count, (const char *)unknown.data);
    const char *nearest = nearest_name(word, names, FAULT_COUNT);
    errtext_set(error, "\"%s\" is no fault%s%s%s", word, nearest ? "; did you mean " : "",
                nearest ? nearest : "", nearest ? "?" : "");
    return false;
}

static bool parse_faults(struct options *options, const char *text, struct errtext *error)
{
    options->pins.has_faults = true;
    return parse_kinds(text, &options->pins.faults, error);
}

static bool parse_without(struct options *options, const char *text, struct errtext *error)
{
    return parse_kinds(text, &options->pins.without, error);
}

static bool take_timeline(struct options *options, const char *text, struct errtext *error)
{
    options->timeline = text;
    return true;
}

static bool take_file(struct options *options, const char *text, struct errtext *error)
{
    options->file = text;
    return true;
}

#define FLAG(name, field)                                                                          \
    static bool name(struct options *options, const char *text, struct errtext *error)             \
    {                                                                                              \
        options->field = true;                                                                     \
        return true;                                                                               \
    }
FLAG(set_trace, trace)
FLAG(set_messages, messages)
FLAG(set_digest, digest)
FLAG(set_shrink, shrink)
FLAG(set_help, wants_help)
FLAG(set_man, wants_man)
FLAG(set_version, wants_version)
#undef FLAG

/* ---- the table ---- */

struct option_row {
    const char *name;
    char letter;          /* 0: none */
    const char *argument; /* NULL: a flag */
    bool (*take)(struct options *options, const char *text, struct errtext *error);
    const char *help;
};

static const struct option_row rows[] = {
    {"seed", 0, "N", parse_seed, "Run this one."},
    {"seeds", 0, "A-B", parse_seeds,
     "Run all from A to B, with a count of seeds per minute and of faults on the way."},
    {"file", 0, "FILE", take_file,
     "Run the seeds in FILE, one a line, each with options of its own behind it; # begins a "
     "comment."},
    {"jobs", 'j', "N", parse_jobs, "So many processes side by side; one unless given."},
    {"nodes", 0, "N", parse_nodes, "1 to 7 nodes instead of what the seed draws."},
    {"time", 0, "TIME", parse_time,
     "How long faults strike, in virtual time: 60s unless given, also 1500ms."},
    {"operations", 0, "N", parse_operations, "At most so many requests while faults strike."},
    {"clients", 0, "N", parse_clients, "So many clients with an identity."},
    {"customers", 0, "N", parse_customers,
     "0 to 3 machines that use libminikv, over HTTP, instead of what the seed draws."},
    {"faults", 0, "LIST", parse_faults,
     "Only these kinds, separated by commas; all; none. They are listed below."},
    {"without", 0, "LIST", parse_without, "What the seed draws, but for these kinds."},
    {"trace", 0, NULL, set_trace, "One line for each event, with a legend in front."},
    {"messages", 0, NULL, set_messages, "With --trace: also the messages between nodes."},
    {"digest", 0, NULL, set_digest,
     "Only each seed and the digest of everything that happened. The same seed has the same one "
     "with every compiler, every optimisation and every run."},
    {"shrink", 0, NULL, set_shrink,
     "Look for the smallest run that fails in the same way: fewer nodes, kinds of faults, "
     "requests, less time."},
    {"timeline", 0, "FILE", take_timeline,
     "Draw the run into FILE, an HTML page that needs nothing else."},
    {"help", 'h', NULL, set_help, "Show this text."},
    {"man", 0, NULL, set_man, "Show this text as a manual page, for man -l -."},
    {"version", 'V', NULL, set_version, "Show the version."},
};

/* "--jobs", "-j", and with the value in the same word: "--jobs=2", "-j2". NULL: none of them. */
static const struct option_row *find_row(const char *word, const char **out_value)
{
    *out_value = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct option_row *row = &rows[i];
        size_t name_bytes = strlen(row->name);
        const char *rest = NULL;
        if (row->letter != 0 && word[0] == '-' && word[1] == row->letter)
            rest = word + 2;
        else if (strncmp(word, "--", 2) == 0 && strncmp(word + 2, row->name, name_bytes) == 0 &&
                 (word[2 + name_bytes] == '\0' || word[2 + name_bytes] == '='))
            rest = word + 2 + name_bytes;
        if (rest == NULL || (*rest != '\0' && row->argument == NULL))
            continue;
        if (*rest != '\0')
            *out_value = rest + (*rest == '=');
        return row;
    }
    return NULL;
}

static enum status refuse_unknown(const char *word, struct errtext *error)
{
    const char *names[ARRAY_COUNT(rows)];
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        names[i] = rows[i].name;
    const char *nearest = nearest_name(word + strspn(word, "-"), names, ARRAY_COUNT(names));
    errtext_set(error, "unknown option %s%s%s", word, nearest ? "; did you mean --" : "",
                nearest ? nearest : "");
    return ST_BAD_REQUEST;
}

static enum status parse_words(struct options *options, int count, const char *const *words,
                               struct errtext *error)
{
    for (int i = 0; i < count; i++) {
        const char *value;
        const struct option_row *row = find_row(words[i], &value);
        if (row == NULL)
            return refuse_unknown(words[i], error);
        if (row->argument != NULL && value == NULL && i + 1 == count) {
            errtext_set(error, "--%s wants a value: --%s %s", row->name, row->name, row->argument);
            return ST_BAD_REQUEST;
        }
        if (row->argument != NULL && value == NULL)
            value = words[++i];
        if (!row->take(options, value, error)) {
            errtext_wrap(error, "--%s", row->name);
            return ST_BAD_REQUEST;
        }
    }
    return ST_OK;
}

enum status options_parse(struct options *out_options, int argc, const char *const *argv,
                          struct errtext *error)
{
    *out_options = (struct options){.jobs = 1};
    enum status status = parse_words(out_options, argc - 1, argv + 1, error);
    bool is_one = out_options->has_seeds && out_options->seed_first == out_options->seed_last;
    bool wants_one = out_options->trace || out_options->shrink || out_options->timeline != NULL;
    if (status == ST_OK && wants_one && !is_one) {
        errtext_set(error, "--trace, --shrink and --timeline want one seed: --seed N");
        return ST_BAD_REQUEST;
    }
    if (status == ST_OK && out_options->has_seeds && out_options->file != NULL) {
        errtext_set(error, "either seeds or a file of seeds");
        return ST_BAD_REQUEST;
    }
    return status;
}

enum status options_parse_line(struct options *out_options, char *line, struct errtext *error)
{
    const char *words[WORDS_MAX];
    char *save = NULL;
    int count = 0;
    line[strcspn(line, "#\n")] = '\0';
    for (char *word = strtok_r(line, " \t", &save); word != NULL && count < WORDS_MAX;
         word = strtok_r(NULL, " \t", &save))
        words[count++] = word;
    if (count == 0)
        return ST_NOT_FOUND;
    *out_options = (struct options){.jobs = 1};
    if (!parse_seed(out_options, words[0], error))
        return ST_BAD_REQUEST;
    return parse_words(out_options, count - 1, words + 1, error);
}

const char *options_format_pins(const struct plan_pins *pins, char out[OPTIONS_PINS_BYTES])
{
    char faults[256];
    size_t at = 0, room = OPTIONS_PINS_BYTES;
    out[0] = '\0';
    if (pins->nodes_count != 0)
        at += (size_t)snprintf(out + at, room - at, " --nodes %u", pins->nodes_count);
    if (pins->duration != 0)
        at += (size_t)snprintf(out + at, room - at, " --time %llums",
                               (unsigned long long)(pins->duration / TIME_US_PER_MS));
    if (pins->operations_max != 0)
        at += (size_t)snprintf(out + at, room - at, " --operations %u", pins->operations_max);
    if (pins->clients_count != 0)
        at += (size_t)snprintf(out + at, room - at, " --clients %u", pins->clients_count);
    if (pins->has_customers)
        at += (size_t)snprintf(out + at, room - at, " --customers %u", pins->customers_count);
    if (pins->has_faults)
        at += (size_t)snprintf(out + at, room - at, " --faults %s",
                               plan_format_faults(pins->faults, faults));
    if (pins->without != 0)
        at += (size_t)snprintf(out + at, room - at, " --without %s",
                               plan_format_faults(pins->without, faults));
    ENSURE(at < room);
    return out;
}

/* ---- help ---- */

static const struct {
    int code;
    const char *meaning;
} exit_codes[] = {
    {EXIT_CODE_OK, "every seed passed"},
    {EXIT_CODE_FAILURE, "a file cannot be read or written"},
    {EXIT_CODE_USAGE, "the command line is malformed"},
    {VERDICT_CRASH, "a run ended the program: a broken invariant, a sanitizer, no end at all"},
    {VERDICT_LIVENESS, "after everything healed something was not done in time"},
    {VERDICT_SAFETY, "something happened that must never; the worst code of all seeds counts"},
};

void options_describe(FILE *out, bool is_roff)
{
    struct manual manual = {out, is_roff};
    char term[64];
    manual_begin(&manual, "minikv-sim", "whole clusters in one process, under faults from a seed");
    manual_section(&manual, "Synopsis");
    manual_line(&manual, "minikv-sim [--seeds A-B] [-j N]");
    manual_line(&manual, "minikv-sim --seed N [--trace] [--timeline FILE] [--shrink]");
    manual_paragraph(&manual,
                     "Runs the code of minikvd on virtual time, disks and networks. Everything "
                     "that happens follows from the seed. For 60 virtual seconds faults strike "
                     "while clients work, in a third of the seeds also through libminikv and HTTP, "
                     "snapshots are taken and members come and go; "
                     "then a majority heals and must serve everybody. After "
                     "every step it is checked what Raft promises, and in the end that no client "
                     "was told a lie. Without a seed it runs twenty fresh ones.");
    manual_section(&manual, "Options");
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        const struct option_row *row = &rows[i];
        char letter[8] = "";
        if (row->letter != 0)
            (void)snprintf(letter, sizeof letter, "-%c, ", row->letter);
        (void)snprintf(term, sizeof term, "%s--%s%s%s", letter, row->name, row->argument ? " " : "",
                       row->argument ? row->argument : "");
        manual_item(&manual, term, row->help);
    }
    manual_section(&manual, "Faults");
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        manual_item(&manual, fault_info((enum fault)i)->word, fault_info((enum fault)i)->text);
    manual_section(&manual, "Exit codes");
    for (size_t i = 0; i < ARRAY_COUNT(exit_codes); i++) {
        (void)snprintf(term, sizeof term, "%d", exit_codes[i].code);
        manual_item(&manual, term, exit_codes[i].meaning);
    }
}
