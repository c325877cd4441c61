#include <getopt.h>
#include <string.h>

#include "base/check.h"
#include "inspect/inspect.h"
#include "program/manual.h"

static const struct {
    enum exit_code code;
    const char *meaning;
} exit_codes[] = {
    {EXIT_CODE_OK, "whole; a torn tail, a write that was never acknowledged, is no damage"},
    {EXIT_CODE_FAILURE, "a file cannot be read"},
    {EXIT_CODE_USAGE, "the command line is malformed"},
    {EXIT_CODE_CORRUPT, "synced data is damaged; a node would refuse it"},
    {EXIT_CODE_FORMAT, "another format version"},
};

static void describe(bool is_roff)
{
    struct manual manual = {stdout, is_roff};
    manual_begin(&manual, "minikv-inspect", "what is in the files of a node");
    manual_section(&manual, "Synopsis");
    manual_line(&manual, "minikv-inspect wal [--brief] PATH…");
    manual_line(&manual, "minikv-inspect snapshot [--brief] [--keys] PATH…");
    manual_line(&manual, "minikv-inspect meta PATH…");
    manual_line(&manual, "minikv-inspect limits");
    manual_paragraph(&manual, "Reads the files of a data directory and says in words what they "
                              "hold. Of a damaged file it shows as much as can be read, and where "
                              "and what the damage is. It never writes.");
    manual_section(&manual, "Commands");
    manual_item(&manual, "wal PATH…",
                "Every frame and record of the log with its offset, then the sum. PATH is a "
                "segment (0000000000000001.log), a directory of segments, or a data directory.");
    manual_item(
        &manual, "snapshot PATH…",
        "Whose snapshot it is and of which moment, its blocks, what the state in it comes to, "
        "and whether all of it is whole. PATH is such a file (also one that minikv backup "
        "has made), a directory of them, or a data directory.");
    manual_item(&manual, "meta PATH…",
                "Whose data this is. PATH is the file meta or a data directory.");
    manual_item(&manual, "limits", "Every bound of the program, by name.");
    manual_section(&manual, "Options");
    manual_item(&manual, "-b, --brief",
                "Of a log only the damage and the sum, of a snapshot only the totals.");
    manual_item(&manual, "-k, --keys", "Of a snapshot each key, in order.");
    manual_item(&manual, "-h, --help", "Show this text.");
    manual_item(&manual, "--man", "Show this text as a manual page, for man -l -.");
    manual_item(&manual, "-V, --version", "Show the version.");
    manual_section(&manual, "Exit codes");
    for (size_t i = 0; i < ARRAY_COUNT(exit_codes); i++) {
        char term[16];
        (void)snprintf(term, sizeof term, "%d", exit_codes[i].code);
        manual_item(&manual, term, exit_codes[i].meaning);
    }
}

static enum exit_code usage(const char *problem)
{
    (void)fprintf(stderr, "minikv-inspect: %s; see minikv-inspect --help\n", problem);
    return EXIT_CODE_USAGE;
}

struct detail {
    bool is_brief, with_keys;
};

static enum exit_code inspect_log(const char *path, struct detail detail)
{
    return inspect_wal(stdout, path, detail.is_brief);
}

static enum exit_code inspect_state(const char *path, struct detail detail)
{
    return inspect_snapshot(stdout, path, detail.is_brief, detail.with_keys);
}

static enum exit_code inspect_owner(const char *path, struct detail detail)
{
    return inspect_meta(stdout, path);
}

static const struct {
    const char *name;
    enum exit_code (*inspect)(const char *path, struct detail detail);
} kinds[] = {{"wal", inspect_log}, {"snapshot", inspect_state}, {"meta", inspect_owner}};

static enum exit_code run(const char *what, char *const *paths, int paths_count,
                          struct detail detail)
{
    if (strcmp(what, "limits") == 0)
        return paths_count == 0 ? inspect_limits(stdout) : usage("limits takes no path");
    size_t kind = 0;
    while (kind < ARRAY_COUNT(kinds) && strcmp(what, kinds[kind].name) != 0)
        kind++;
    if (kind == ARRAY_COUNT(kinds))
        return usage("expected wal, snapshot, meta or limits");
    if (paths_count == 0)
        return usage("no path given");
    enum exit_code worst = EXIT_CODE_OK;
    for (int i = 0; i < paths_count; i++)
        worst = inspect_worse(worst, kinds[kind].inspect(paths[i], detail));
    return worst;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"brief", no_argument, NULL, 'b'},   {"keys", no_argument, NULL, 'k'},
        {"help", no_argument, NULL, 'h'},    {"man", no_argument, NULL, 'm'},
        {"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
    struct detail detail = {.is_brief = false};
    int option;
    while ((option = getopt_long(argc, argv, "bkhV", options, NULL)) != -1) {
        if (option == 'h' || option == 'm') {
            describe(option == 'm');
            return EXIT_CODE_OK;
        }
        if (option == 'V') {
            (void)puts("minikv-inspect " MINIKV_VERSION);
            return EXIT_CODE_OK;
        }
        if (option != 'b' && option != 'k')
            return EXIT_CODE_USAGE; /* getopt has said why */
        detail.is_brief = detail.is_brief || option == 'b';
        detail.with_keys = detail.with_keys || option == 'k';
    }
    if (optind == argc)
        return usage("nothing to inspect");
    enum exit_code code = run(argv[optind], argv + optind + 1, argc - optind - 1, detail);
    if (fflush(stdout) != 0)
        code = inspect_worse(code, EXIT_CODE_FAILURE);
    return code;
}
