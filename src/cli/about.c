/* What minikv says about itself: help, manual page, completion, version. */
#include <string.h>

#include "cli/options.h"
#include "program/manual.h"

/* What the codes of base/status.h mean at this command line. */
static const struct {
    enum exit_code code;
    const char *meaning;
} exit_codes[] = {
    {EXIT_CODE_OK, "done"},
    {EXIT_CODE_FAILURE,
     "failed for a reason without a code of its own; audit: violated; doctor: something is wrong"},
    {EXIT_CODE_USAGE, "the command line, or the request made from it, is malformed"},
    {EXIT_CODE_NOT_FOUND, "no such key, lease or member"},
    {EXIT_CODE_CONDITION,
     "the condition (--if-rev, --if-absent) did not hold, and nothing changed; txn: the "
     "comparison did not"},
    {EXIT_CODE_UNAVAILABLE,
     "no node could take it in time; what was sent certainly changed nothing"},
    {EXIT_CODE_UNKNOWN,
     "the write may or may not have happened, or may still happen; minikv outcome tells"},
    {EXIT_CODE_LOST, "lock, elect, lease keep: the lease was lost, and the lock with it"},
    {EXIT_CODE_LOCKED, "audit, restore: a node runs on the directory"},
    {EXIT_CODE_STORAGE, "audit, restore: a file cannot be read or written"},
    {EXIT_CODE_CORRUPT, "audit: a log is damaged; restore: the backup is"},
    {EXIT_CODE_FORMAT, "audit, restore: data of another format version, or another node's"},
};

static void describe_option(struct manual *manual, enum cli_option option)
{
    const struct option_row *row = &option_rows[option];
    char term[96], letter[8] = "";
    if (row->letter != 0)
        (void)snprintf(letter, sizeof letter, "-%c, ", row->letter);
    (void)snprintf(term, sizeof term, "%s--%s%s%s", letter, row->name,
                   row->argument != NULL ? " " : "", row->argument != NULL ? row->argument : "");
    manual_item(manual, term, row->help);
}

static void describe_options(struct manual *manual, uint64_t options)
{
    for (int i = 0; i < CLI_OPTIONS_COUNT; i++)
        if ((options & CLI_OPTION_BIT(i)) != 0)
            describe_option(manual, (enum cli_option)i);
}

static void describe_commands(struct manual *manual)
{
    for (size_t i = 0; i < command_table_count; i++) {
        const struct cli_command *command = &command_table[i];
        char term[96], text[1536];
        (void)snprintf(term, sizeof term, "%s%s%s", command->name, *command->arguments ? " " : "",
                       command->arguments);
        (void)snprintf(text, sizeof text, "%c%s.%s%s", command->summary[0] - 'a' + 'A',
                       command->summary + 1, *command->details ? " " : "", command->details);
        manual_item(manual, term, text);
    }
}

static void describe_program(struct manual *manual)
{
    manual_begin(manual, "minikv", "data, cluster and demo, from the command line");
    manual_section(manual, "Synopsis");
    manual_line(manual, "minikv COMMAND [OPTION]… [ARGUMENT]…");
    manual_paragraph(manual, "Talks to any node of a MiniKV cluster. Write -- before an argument "
                             "that begins with a dash.");
    manual_section(manual, "Commands");
    describe_commands(manual);
    manual_section(manual, "Options");
    describe_options(manual, UINT64_MAX);
    manual_section(manual, "Environment");
    manual_item(manual, "MINIKV_ENDPOINTS", "Nodes to talk to when --endpoints is not given.");
    manual_section(manual, "How a request finds its way");
    manual_paragraph(
        manual, "An endpoint that refuses the connection or says that it did nothing (503) is "
                "passed by for the next one, with short pauses, until the timeout. A redirect "
                "(307) is followed at most 5 times in a row, and never to a leader of an older "
                "term than one already seen. A write whose answer is lost is sent again, with "
                "the same client id and sequence: the cluster carries it out once. If nothing "
                "is known when the time is up, the exit code is 6, and minikv outcome tells "
                "what became of it.");
    manual_section(manual, "Exit codes");
    for (size_t i = 0; i < ARRAY_COUNT(exit_codes); i++) {
        char term[16];
        (void)snprintf(term, sizeof term, "%d", exit_codes[i].code);
        manual_item(manual, term, exit_codes[i].meaning);
    }
}

static void describe_command(struct manual *manual, const struct cli_command *command)
{
    char usage[160];
    (void)snprintf(usage, sizeof usage, "minikv %s %s", command->name, command->arguments);
    manual_begin(manual, usage, command->summary);
    if (*command->details != '\0')
        manual_paragraph(manual, command->details);
    if (command->options != 0) {
        manual_section(manual, "Options");
        describe_options(manual, command->options);
    }
}

enum exit_code about_help(struct cli *cli)
{
    struct manual manual = {stdout, cli->is_man};
    if (cli->command->run != about_help || cli->arguments_count == 0) {
        if (cli->command->run != about_help)
            describe_command(&manual, cli->command);
        else
            describe_program(&manual);
        return EXIT_CODE_OK;
    }
    const struct cli_command *command = command_find(cli->arguments[0]);
    if (command == NULL) {
        struct errtext error;
        command_set_unknown(&error, cli->arguments[0]);
        fprintf(stderr, "minikv: help: %s\n", error.text);
        return EXIT_CODE_USAGE;
    }
    describe_command(&manual, command);
    return EXIT_CODE_OK;
}

enum exit_code about_version(struct cli *cli)
{
    (void)cli;
    puts("minikv " MINIKV_VERSION);
    return EXIT_CODE_OK;
}

static void print_option_words(uint64_t options)
{
    for (size_t i = 0; i < CLI_OPTIONS_COUNT; i++)
        if ((options & CLI_OPTION_BIT(i)) != 0)
            printf(" --%s", option_rows[i].name);
}

enum exit_code about_completion(struct cli *cli)
{
    if (strcmp(cli->arguments[0], "bash") != 0) {
        fprintf(stderr, "minikv: completion: only bash is known\n");
        return EXIT_CODE_USAGE;
    }
    printf("_minikv() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} words\n"
           "    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < command_table_count; i++) {
        printf("    %s) words='", command_table[i].name);
        print_option_words(command_table[i].options | CLI_OPTIONS_ALWAYS);
        printf("' ;;\n");
    }
    printf("    esac\n"
           "    [ \"$COMP_CWORD\" -eq 1 ] && words='");
    for (size_t i = 0; i < command_table_count; i++)
        printf(" %s", command_table[i].name);
    printf("'\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
           "}\n"
           "complete -o default -F _minikv minikv\n");
    return EXIT_CODE_OK;
}
