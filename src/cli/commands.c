/* The table of commands: help, completion and manual page are made from it. */
#include <string.h>

#include "base/limits.h"
#include "cli/cli.h"
#include "program/nearest.h"

/* Of every command that asks the cluster something. */
#define ASKING (CLI_BIT(ENDPOINTS) | CLI_BIT(OUTPUT) | CLI_BIT(TIMEOUT) | CLI_BIT(VERBOSE))
/* Of every command that changes a key. */
#define WRITING (ASKING | CLI_BIT(CLIENT) | CLI_BIT(SEQUENCE))

const struct cli_command command_table[] = {
    {"put", "KEY VALUE|-|@FILE", "store a value",
     "The value is the argument itself, what standard input gives (-), or what a file holds "
     "(@FILE). Prints the revision of the change. With --if-rev or --if-absent it is stored only "
     "if that holds; otherwise nothing changes and the exit code is 4.",
     WRITING | CLI_BIT(IF_REV) | CLI_BIT(IF_ABSENT), 2, 2, data_put},
    {"get", "KEY", "print a value",
     "The newest one, whichever node is asked; with --stale what that node has at once. Exit code "
     "3 when there is no such key.",
     ASKING | CLI_BIT(STALE) | CLI_BIT(RAW), 1, 1, data_get},
    {"del", "KEY", "remove a key", "Also succeeds when there is none.", WRITING | CLI_BIT(IF_REV),
     1, 1, data_del},
    {"incr", "KEY", "add to an integer and print the result",
     "A key that does not exist counts as 0.", WRITING | CLI_BIT(BY), 1, 1, data_incr},
    {"ls", "[PREFIX]", "list keys in order",
     "Fetches as many pages as it takes. Keys written meanwhile may or may not be seen.",
     ASKING | CLI_BIT(STALE) | CLI_BIT(LIMIT) | CLI_BIT(KEYS_ONLY), 0, 1, keys_ls},
    {"outcome", "CLIENT SEQUENCE | --key KEY", "tell what became of a write",
     "Of the write that this client sent with this sequence (a put, del or incr that ends with "
     "exit "
     "code 6 names both), or that was sent with this Idempotency-Key. applied: carried out, with "
     "what it came to; pending: on its way; unseen: not carried out by now, but a copy may be on "
     "its way; never: sealed, it never will be; expired: no longer remembered, and not carried out "
     "any more. With --seal, pending and unseen become applied or never, for good. Exit code 0 "
     "when "
     "it is settled (applied, never), 6 when it is not, 1 when it has expired.",
     ASKING | CLI_BIT(SEAL) | CLI_BIT(KEY), 0, 2, outcome_run},
    {"status", "", "ask every node for its role and progress",
     "Each is asked once; one without an announced address when it is among the endpoints. Exit "
     "code 5 when no node says that it leads, unless the one that others follow has no announced "
     "address. With --watch a screen of all nodes, with how far each is behind the leader, and how "
     "far a snapshot has come that one of them takes or fetches.",
     ASKING | CLI_BIT(WATCH), 0, 0, cluster_status},
    {"members", "", "list the nodes of the cluster and their addresses", "", ASKING, 0, 0,
     cluster_members},
    {"member", "add ID ADDRESS | remove ID | promote ID", "change who belongs to the cluster",
     "add: the node at this peer address becomes a learner, which gets the log and no vote; when "
     "it "
     "has caught up it gets a vote by itself. A node started with --join asks for this itself. "
     "remove: the node leaves, the leader too, and is to be stopped. promote: a "
     "learner gets its vote now, exit code 5 if it has not caught up. One change at a time: exit "
     "code 5 while another is under way.",
     ASKING, 2, 3, member_run},
    {"announce", "ID ADDRESS | ID --remove", "set the address that clients of a node are sent to",
     "The leader first asks that address whether it is that node. Nodes announce themselves when "
     "they start; this is for a node started with --announce off, or one that has moved.",
     ASKING | CLI_BIT(REMOVE), 1, 2, cluster_announce},
    {"transfer", "ID", "have a node lead the cluster",
     "Done once that node leads. Requests that come meanwhile are answered as during any election.",
     ASKING, 1, 1, cluster_transfer},
    {"doctor", "", "look for what is wrong, or soon will be",
     "Asks every node: who answers, who is linked with whom, who votes and how many failures are "
     "survived, how long syncs take, clocks, open files, snapshots, disk space, and whether equal "
     "states are equal. Exit code 1 when something needs looking after.",
     ASKING, 0, 0, doctor_run},
    {"backup", "FILE|-", "copy the whole state of the cluster into a file",
     "Everything acknowledged before it began is in it: keys, revisions, sessions. Any node will "
     "do; it goes on answering. Checked as it comes; FILE has its name once it is whole and on "
     "disk. With --stale what the first node that answers has, without asking for a majority: for "
     "the last node of a cluster that has lost it. --timeout is that of connecting.",
     ASKING | CLI_BIT(STALE), 1, 1, backup_run},
    {"restore", "FILE|- DIR | --from-data-dir OLD DIR",
     "make the data directory of a node of a new cluster from a backup",
     "The new cluster begins with the state in FILE, and the members that --initial-cluster names. "
     "Each of them is made in the same way from the same file, with its own --id; or one is, with "
     "itself as the only member, and the others join it. Clients that repeat a write of before "
     "the backup are answered, not served again. DIR must not hold anything yet. Needs memory for "
     "the state. With --from-data-dir from what the last node of a lost majority has on disk.",
     CLI_BIT(ID) | CLI_BIT(INITIAL_CLUSTER) | CLI_BIT(FROM_DATA_DIR) | CLI_BIT(OUTPUT), 1, 2,
     restore_run},
    {"audit", "DIR…", "prove from data directories that no write was carried out twice",
     "Reads the logs of nodes that do not run, also of killed ones, and changes nothing. Carries "
     "out "
     "all entries anew, and keeps its own books of what every client id and sequence did; holds "
     "the logs of several nodes against each other: the same entries up to an uncommitted end, the "
     "same states. Exit code 0: proven, 1: violated, 10: a node runs on a directory, 12: a log is "
     "damaged. Needs memory for the state of one node, 24 bytes for each entry of each log, and "
     "about 60 bytes for each write of a client.",
     CLI_BIT(OUTPUT), 1, LIMIT_MEMBERS, audit_run},
    {"demo", "", "run a cluster on this machine until Ctrl-C",
     "Starts real nodes on 127.0.0.1 with the minikvd found beside this program or in PATH, and "
     "shows what to try.",
     CLI_BIT(NODES) | CLI_BIT(DIR) | CLI_BIT(BASE_PORT) | CLI_BIT(TIMEOUT), 0, 0, demo_run},
    {"completion", "bash", "print a script for the shell to complete with",
     "Use it as in: source <(minikv completion bash).", 0, 1, 1, about_completion},
    {"help", "[COMMAND]", "show how to use minikv", "", CLI_BIT(MAN), 0, 1, about_help},
    {"version", "", "show the version", "", CLI_BIT(VERSION), 0, 0, about_version},
};
const size_t command_table_count = ARRAY_COUNT(command_table);

const struct cli_command *command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(command_table); i++)
        if (strcmp(command_table[i].name, name) == 0)
            return &command_table[i];
    return NULL;
}

void command_set_unknown(struct errtext *error, const char *name)
{
    const char *names[ARRAY_COUNT(command_table)];
    for (size_t i = 0; i < ARRAY_COUNT(command_table); i++)
        names[i] = command_table[i].name;
    const char *nearest = nearest_name(name, names, ARRAY_COUNT(names));
    if (nearest != NULL)
        errtext_set(error, "unknown command \"%.64s\"; did you mean %s?", name, nearest);
    else
        errtext_set(error, "unknown command \"%.64s\"; minikv help lists them", name);
}
