/* audit: proves, from the data directories of nodes that do not run, that no write with an identity
 * was carried out twice, and that the logs agree. Reads only. */
#include "audit/audit_match.h"
#include "base/mem.h"
#include "cli/audit_directory.h"
#include "cli/audit_print.h"
#include "cli/cli.h"

struct audit {
    struct audit_directory *directories; /* owned */
    struct audit_replay *replays;        /* owned */
    size_t count;                        /* of those opened */
    struct audit_report report;
};

static enum exit_code refuse(const char *path, enum status status, const struct errtext *error)
{
    fprintf(stderr, "minikv: audit: %s: %s\n", path, error->text);
    switch (status_info(status)->exit) {
    case EXIT_CODE_LOCKED:
    case EXIT_CODE_CORRUPT:
    case EXIT_CODE_FORMAT:
        return status_info(status)->exit;
    case EXIT_CODE_NOT_FOUND:
        return EXIT_CODE_USAGE;
    case EXIT_CODE_OK:
    case EXIT_CODE_FAILURE:
    case EXIT_CODE_USAGE:
    case EXIT_CODE_CONDITION:
    case EXIT_CODE_UNAVAILABLE:
    case EXIT_CODE_UNKNOWN:
    case EXIT_CODE_LOST:
    case EXIT_CODE_STORAGE:
        break;
    }
    return EXIT_CODE_STORAGE; /* it cannot be read: neither proven nor violated */
}

/* That the directories can be held against each other. */
static enum exit_code check_kin(const struct audit *audit, const char *path)
{
    const struct meta *meta = &audit->directories[audit->count - 1].meta;
    for (size_t i = 0; i + 1 < audit->count; i++) {
        const struct meta *other = &audit->directories[i].meta;
        if (other->cluster_id != meta->cluster_id) {
            fprintf(stderr, "minikv: audit: %s: of another cluster than the first directory\n",
                    path);
            return EXIT_CODE_USAGE;
        }
        if (other->identity == meta->identity) {
            fprintf(stderr, "minikv: audit: %s: the directory is there twice\n", path);
            return EXIT_CODE_USAGE;
        }
    }
    return EXIT_CODE_OK;
}

/* All are locked before the first is read. */
static enum exit_code open_all(struct audit *audit, const struct cli *cli)
{
    for (size_t i = 0; i < cli->arguments_count; i++) {
        struct errtext error = {""};
        const char *path = cli->arguments[i];
        enum status status = audit_directory_open(path, &audit->directories[i], &error);
        if (status != ST_OK)
            return refuse(path, status, &error);
        audit->count++;
        enum exit_code code = check_kin(audit, path);
        if (code != EXIT_CODE_OK)
            return code;
    }
    return EXIT_CODE_OK;
}

static enum exit_code replay_all(struct audit *audit, const struct cli *cli)
{
    for (size_t i = 0; i < audit->count; i++) {
        struct errtext error = {""};
        struct audit_directory *directory = &audit->directories[i];
        enum status status = audit_replay_run(&audit->replays[i], directory->env, &directory->meta,
                                              &audit->report, &error);
        if (status == ST_NOT_FOUND) /* a node that died before it made its log: nothing to judge */
            status = ST_OK;
        if (status != ST_OK)
            return refuse(cli->arguments[i], status, &error);
    }
    return EXIT_CODE_OK;
}

static enum exit_code conclude(struct audit *audit, const struct cli *cli)
{
    for (size_t i = 0; i < audit->count; i++)
        for (size_t j = i + 1; j < audit->count; j++)
            audit_match_pair(&audit->replays[i], &audit->replays[j], &audit->report);
    struct audit_result result = {.paths = cli->arguments,
                                  .replays = audit->replays,
                                  .count = audit->count,
                                  .common = audit_match_common(audit->replays, audit->count),
                                  .report = &audit->report};
    if (cli->output == CLI_OUTPUT_JSON)
        audit_print_json(&result);
    else
        audit_print_text(&result);
    return audit->report.violations_count == 0 ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
}

enum exit_code audit_run(struct cli *cli)
{
    struct audit audit = {0};
    audit.directories = mem_alloc_array(cli->arguments_count, sizeof *audit.directories);
    audit.replays = mem_alloc_array(cli->arguments_count, sizeof *audit.replays);
    audit_report_init(&audit.report);
    enum exit_code code = open_all(&audit, cli);
    if (code == EXIT_CODE_OK)
        code = replay_all(&audit, cli);
    if (code == EXIT_CODE_OK)
        code = conclude(&audit, cli);
    for (size_t i = 0; i < audit.count; i++) {
        audit_replay_release(&audit.replays[i]);
        audit_directory_close(&audit.directories[i]);
    }
    audit_report_release(&audit.report);
    mem_free(audit.directories);
    mem_free(audit.replays);
    return code;
}
