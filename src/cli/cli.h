/* CLI: what one run of minikv works with, and the table of what it can do.
 *
 * Calling      one thread; a command returns the exit code of the process */
#ifndef MINIKV_CLI_CLI_H
#define MINIKV_CLI_CLI_H

#include <jansson.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/diag.h"
#include "minikv/minikv.h"
#include "types/address.h"
#include "types/ids.h"

enum cli_output { CLI_OUTPUT_DEFAULT, CLI_OUTPUT_PLAIN, CLI_OUTPUT_TABLE, CLI_OUTPUT_JSON };

/* Options, in the order of the table in options.c. */
enum cli_option {
    CLI_OPTION_ENDPOINTS,
    CLI_OPTION_OUTPUT,
    CLI_OPTION_TIMEOUT,
    CLI_OPTION_VERBOSE,
    CLI_OPTION_STALE,
    CLI_OPTION_RAW,
    CLI_OPTION_IF_REV,
    CLI_OPTION_IF_ABSENT,
    CLI_OPTION_BY,
    CLI_OPTION_LIMIT,
    CLI_OPTION_KEYS_ONLY,
    CLI_OPTION_LONG,
    CLI_OPTION_COUNT,
    CLI_OPTION_DESC,
    CLI_OPTION_REV,
    CLI_OPTION_PREFIX,
    CLI_OPTION_LEASE,
    CLI_OPTION_TTL,
    CLI_OPTION_FROM,
    CLI_OPTION_PREV,
    CLI_OPTION_EXEC,
    CLI_OPTION_OBSERVE,
    CLI_OPTION_SKIP,
    CLI_OPTION_REMOVE,
    CLI_OPTION_CLIENT,
    CLI_OPTION_SEQUENCE,
    CLI_OPTION_KEY,
    CLI_OPTION_SEAL,
    CLI_OPTION_WATCH,
    CLI_OPTION_ID,
    CLI_OPTION_INITIAL_CLUSTER,
    CLI_OPTION_FROM_DATA_DIR,
    CLI_OPTION_NODES,
    CLI_OPTION_DIR,
    CLI_OPTION_BASE_PORT,
    CLI_OPTION_CONNECTIONS,
    CLI_OPTION_PIPELINE,
    CLI_OPTION_DURATION,
    CLI_OPTION_REQUESTS,
    CLI_OPTION_RATE,
    CLI_OPTION_AT,
    CLI_OPTION_KEYS,
    CLI_OPTION_VALUE_BYTES,
    CLI_OPTION_CLIENT_IDS,
    CLI_OPTION_KEEP,
    CLI_OPTION_PLOT,
    CLI_OPTION_MAN,
    CLI_OPTION_HELP,
    CLI_OPTION_VERSION,
    CLI_OPTIONS_COUNT
};
#define CLI_OPTION_BIT(option) (UINT64_C(1) << (option))
#define CLI_BIT(name)          CLI_OPTION_BIT(CLI_OPTION_##name)

struct cli_connect {
    struct address endpoints[MINIKV_ENDPOINTS_MAX];
    size_t endpoints_count;
    time_us timeout; /* of a whole command */
};

/* Where the connections of bench go. */
enum cli_place { CLI_AT_ENDPOINTS, CLI_AT_LEADER, CLI_AT_FOLLOWER, CLI_AT_ALL };

struct cli_bench {
    unsigned connections, pipeline, rate, keys, value_bytes;
    uint64_t requests; /* 0: not given */
    time_us duration;
    enum cli_place at;
    bool has_client_ids, keeps;
    const char *plot; /* NULL: not given */
};

struct cli {
    const struct cli_command *command;
    const char *const *arguments; /* borrowed from argv, NULL-terminated */
    size_t arguments_count;

    struct cli_connect connect;
    enum cli_output output;
    bool is_verbose, is_stale, is_raw, if_absent, keys_only, is_long, counts, is_descending;
    bool wants_prev, executes, observes, removes, seals, watches, is_man;
    bool wants_help, wants_version;
    uint64_t if_rev, limit, rev, lease, from, skip, ttl_ms; /* 0: not given */
    const char *by;                                         /* an integer; NULL: not given */
    const char *prefix;                                     /* NULL: not given */
    const char *dir;                                        /* NULL: not given */
    const char *key;                 /* an Idempotency-Key; NULL: not given */
    struct minikv_identity identity; /* --client and --sequence; client "": not given */
    unsigned node;                   /* --id; 0: not given */
    const char *initial;             /* members of a cluster to be; NULL: not given */
    const char *from_data_dir;       /* NULL: not given */
    unsigned nodes_count;
    unsigned base_port;
    struct cli_bench bench;

    struct minikv *kv; /* open when a command runs */
    int passed_on;     /* exit code of a command run for the user, which is ours then; -1: none */
};

struct cli_command {
    const char *name;
    const char *arguments; /* as the help shows them */
    const char *summary;
    const char *details; /* sentences for the manual; "" when the summary says all */
    uint64_t options;    /* bits of enum cli_option, beside those that go with every command */
    size_t arguments_min, arguments_max;
    bool prefix_is_key; /* --prefix stands for the first argument */
    enum exit_code (*run)(struct cli *cli);
};

/* Every command, and the options that go with all of them. */
extern const struct cli_command command_table[];
extern const size_t command_table_count;
enum { CLI_OPTIONS_ALWAYS = CLI_BIT(HELP) };

const struct cli_command *command_find(const char *name); /* NULL: there is none */
/* That there is no command `name`, and which one was probably meant. */
void command_set_unknown(struct errtext *error, const char *name);

/* The commands, each in the file named after what it is about. */
enum exit_code data_put(struct cli *cli);
enum exit_code data_get(struct cli *cli);
enum exit_code data_del(struct cli *cli);
enum exit_code data_incr(struct cli *cli);
enum exit_code keys_ls(struct cli *cli);
enum exit_code txn_run(struct cli *cli);
enum exit_code txn_compact(struct cli *cli);
enum exit_code watch_run(struct cli *cli);
enum exit_code lease_run(struct cli *cli);
enum exit_code lock_run(struct cli *cli);
enum exit_code elect_run(struct cli *cli);
enum exit_code export_run(struct cli *cli);
enum exit_code import_run(struct cli *cli);
enum exit_code cluster_status(struct cli *cli);
enum exit_code cluster_members(struct cli *cli);
enum exit_code cluster_announce(struct cli *cli);
enum exit_code cluster_transfer(struct cli *cli);
enum exit_code member_run(struct cli *cli);
enum exit_code screen_run(struct cli *cli); /* of cluster_status, with --watch */
enum exit_code doctor_run(struct cli *cli);
enum exit_code backup_run(struct cli *cli);
enum exit_code restore_run(struct cli *cli);
enum exit_code outcome_run(struct cli *cli);
enum exit_code audit_run(struct cli *cli);
enum exit_code bench_run(struct cli *cli);
enum exit_code demo_run(struct cli *cli);
enum exit_code about_help(struct cli *cli);
enum exit_code about_version(struct cli *cli);
enum exit_code about_completion(struct cli *cli);

#endif
