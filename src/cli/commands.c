/* The table of commands: help, completion and manual page are made from it. */
#include <stdint.h>
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
     "if that holds; otherwise nothing changes and the exit code is 4. With --lease, or with --ttl "
     "under a lease made for it, the key goes when the lease expires; without, it stays.",
     WRITING | CLI_BIT(IF_REV) | CLI_BIT(IF_ABSENT) | CLI_BIT(LEASE) | CLI_BIT(TTL), 2, 2, false,
     data_put},
    {"get", "KEY | --prefix PREFIX", "print a value, or all keys that begin alike",
     "The newest one, whichever node is asked; with --stale what that node has at once; with --rev "
     "that of then. Exit code 3 when there is no such key. With --prefix one line for each, with "
     "a tab between key and value, all of one revision.",
     ASKING | CLI_BIT(STALE) | CLI_BIT(RAW) | CLI_BIT(REV) | CLI_BIT(PREFIX), 1, 1, true, data_get},
    {"del", "KEY | --prefix PREFIX", "remove a key, or all that begin alike",
     "Also succeeds when there is none. All of a prefix go at one revision if one transaction can "
     "take them, up to 65536 keys; more go in order, 1000 in a transaction, and it is said how "
     "many "
     "transactions there were. Then keys that come meanwhile may stay; --timeout is that of each "
     "request; and when it ends early, by Ctrl-C or for want of a node, it says how many keys are "
     "gone, and goes on behind them when run again. --client is for a single transaction.",
     WRITING | CLI_BIT(IF_REV) | CLI_BIT(PREFIX), 1, 1, true, data_del},
    {"incr", "KEY", "add to an integer and print the result",
     "A key that does not exist counts as 0.", WRITING | CLI_BIT(BY), 1, 1, false, data_incr},
    {"ls", "[PREFIX]", "list keys in order",
     "Fetches as many pages as it takes, all of one revision.",
     ASKING | CLI_BIT(STALE) | CLI_BIT(LIMIT) | CLI_BIT(KEYS_ONLY) | CLI_BIT(LONG) |
         CLI_BIT(COUNT) | CLI_BIT(DESC) | CLI_BIT(REV),
     0, 1, false, keys_ls},
    {"txn", "FILE|-", "carry out several operations at one revision",
     "FILE holds the JSON of POST /v1/txn: {\"compare\":[…],\"success\":[…],\"failure\":[…]}. "
     "Prints the answer. Exit code 4 when the comparison did not hold, so that the operations of "
     "\"failure\" were carried out.",
     WRITING, 1, 1, false, txn_run},
    {"watch", "KEY | --prefix PREFIX [--exec COMMAND…]", "tell changes as they happen",
     "One line for each: revision, put or delete, key, value, and with --prev the value before, "
     "with tabs between them. Without --from all that is changed after the command was started. "
     "When a node is lost another one goes on where it was, so that nothing is missed and nothing "
     "is told twice; exit code 5 when none has answered for as long as --timeout says. With --exec "
     "COMMAND runs for each event, one at a time, with MINIKV_EVENT, MINIKV_REVISION, MINIKV_KEY, "
     "MINIKV_KEY_BASE64 and MINIKV_VALUE in its environment, and the value on standard input; key "
     "and value are left out of the environment where they hold a zero byte or are longer than "
     "100 KiB.",
     ASKING | CLI_BIT(PREFIX) | CLI_BIT(FROM) | CLI_BIT(PREV) | CLI_BIT(LIMIT) | CLI_BIT(EXEC), 1,
     1, true, watch_run},
    {"lease", "grant TTL | list | show ID | keep ID | revoke ID", "times to live for keys",
     "grant: prints the id of a new lease; TTL as in 10 or 10s, 5m. show: what is left of it, and "
     "up to 1000 of its keys. keep: renews it until Ctrl-C; exit code 7 when it is lost. revoke: "
     "it ends now, and its keys with it.",
     ASKING, 1, 2, false, lease_run},
    {"lock", "NAME -- COMMAND…", "run a command while holding a lock",
     "Waits until nobody who came before holds NAME, and runs COMMAND with the fencing token in "
     "MINIKV_FENCE, which is higher for every holder; MINIKV_LOCK_KEY is the key that stands for "
     "the lock, and the token its create_revision, so that a transaction can compare it. "
     "MINIKV_LEASE is its lease, renewed all the time. The exit code is COMMAND's. If the lease is "
     "lost, or that key deleted, COMMAND and all that it has started get SIGTERM, and the exit "
     "code "
     "is 7. A signal to minikv itself is passed on to all of them too. The lock is given back when "
     "COMMAND has ended, and after a signal when all of them have; else what it leaves running is "
     "not waited for. --timeout is that of each request; the waiting has none.",
     ASKING | CLI_BIT(TTL), 2, SIZE_MAX, false, lock_run},
    {"elect", "NAME VALUE [-- COMMAND…] | NAME --observe", "take part in an election, or look on",
     "Waits until it is elected, that is until nobody who came before takes part any more, and "
     "then leads until Ctrl-C, or until COMMAND ends, which is run as by lock. VALUE is what "
     "observers see. With --observe prints who leads, and who does next; exit code 5 when no node "
     "can be asked.",
     ASKING | CLI_BIT(TTL) | CLI_BIT(OBSERVE), 1, SIZE_MAX, false, elect_run},
    {"compact", "REVISION", "give up what was before a revision",
     "It can no longer be read, nor watched from; what is there now stays. Old revisions are also "
     "given up by themselves, by their number and age.",
     ASKING, 1, 1, false, txn_compact},
    {"export", "FILE|-", "write keys and values as lines of JSON",
     "All of one revision, in order of their keys. If a node is lost another one goes on. The last "
     "line says that it is whole; FILE has its name once it is, and on disk. Unlike a backup it "
     "can be read, changed and imported anywhere, and holds no sessions, leases or members.",
     ASKING | CLI_BIT(PREFIX) | CLI_BIT(REV), 1, 1, false, export_run},
    {"import", "FILE|-", "store keys and values from lines of JSON",
     "As written by export, a hundred in a transaction. To store a line again changes nothing but "
     "its revision, so that one that stopped can begin anew; it also says behind which line it can "
     "go on, with --skip. Keys that had a lease are left out, as theirs is not there. Exit code 1 "
     "if the last line of an export is missing; all others have then been stored.",
     ASKING | CLI_BIT(PREFIX) | CLI_BIT(SKIP), 1, 1, false, import_run},
    {"outcome", "CLIENT SEQUENCE | --key KEY", "tell what became of a write",
     "Of the write that this client sent with this sequence (a put, del or incr that ends with "
     "exit "
     "code 6 names both), or that was sent with this Idempotency-Key. applied: carried out, with "
     "what it came to; pending: on its way; unseen: not carried out by now, but a copy may be on "
     "its way; never: sealed, it never will be; expired: no longer remembered, and not carried out "
     "any more. With --seal, pending and unseen become applied or never, for good. Exit code 0 "
     "when "
     "it is settled (applied, never), 6 when it is not, 1 when it has expired.",
     ASKING | CLI_BIT(SEAL) | CLI_BIT(KEY), 0, 2, false, outcome_run},
    {"status", "", "ask every node for its role and progress",
     "Each is asked once; one without an announced address when it is among the endpoints. Exit "
     "code 5 when no node says that it leads, unless the one that others follow has no announced "
     "address. With --watch a screen of all nodes, with how far each is behind the leader, and how "
     "far a snapshot has come that one of them takes or fetches.",
     ASKING | CLI_BIT(WATCH), 0, 0, false, cluster_status},
    {"members", "", "list the nodes of the cluster and their addresses", "", ASKING, 0, 0, false,
     cluster_members},
    {"member", "add ID ADDRESS | remove ID | promote ID", "change who belongs to the cluster",
     "add: the node at this peer address becomes a learner, which gets the log and no vote; when "
     "it "
     "has caught up it gets a vote by itself. A node started with --join asks for this itself. "
     "remove: the node leaves, the leader too, and is to be stopped. promote: a "
     "learner gets its vote now, exit code 5 if it has not caught up. One change at a time: exit "
     "code 5 while another is under way.",
     ASKING, 2, 3, false, member_run},
    {"announce", "ID ADDRESS | ID --remove", "set the address that clients of a node are sent to",
     "The leader first asks that address whether it is that node. Nodes announce themselves when "
     "they start; this is for a node started with --announce off, or one that has moved.",
     ASKING | CLI_BIT(REMOVE), 1, 2, false, cluster_announce},
    {"transfer", "ID", "have a node lead the cluster",
     "Done once that node leads. Requests that come meanwhile are answered as during any election.",
     ASKING, 1, 1, false, cluster_transfer},
    {"doctor", "", "look for what is wrong, or soon will be",
     "Asks every node: who answers, who is linked with whom, who votes and how many failures are "
     "survived, how long syncs take, clocks, open files, snapshots, disk space, and whether equal "
     "states are equal. Exit code 1 when something needs looking after.",
     ASKING, 0, 0, false, doctor_run},
    {"backup", "FILE|-", "copy the whole state of the cluster into a file",
     "Everything acknowledged before it began is in it: keys, revisions, sessions. Any node will "
     "do; it goes on answering. Checked as it comes; FILE has its name once it is whole and on "
     "disk. With --stale what the first node that answers has, without asking for a majority: for "
     "the last node of a cluster that has lost it. --timeout is that of connecting.",
     ASKING | CLI_BIT(STALE), 1, 1, false, backup_run},
    {"restore", "FILE|- DIR | --from-data-dir OLD DIR",
     "make the data directory of a node of a new cluster from a backup",
     "The new cluster begins with the state in FILE, and the members that --initial-cluster names. "
     "Each of them is made in the same way from the same file, with its own --id; or one is, with "
     "itself as the only member, and the others join it. Clients that repeat a write of before "
     "the backup are answered, not served again. DIR must not hold anything yet. Needs memory for "
     "the state. With --from-data-dir from what the last node of a lost majority has on disk.",
     CLI_BIT(ID) | CLI_BIT(INITIAL_CLUSTER) | CLI_BIT(FROM_DATA_DIR) | CLI_BIT(OUTPUT), 1, 2, false,
     restore_run},
    {"audit", "DIR…", "prove from data directories that no write was carried out twice",
     "Reads the logs of nodes that do not run, also of killed ones, and changes nothing. Carries "
     "out "
     "all entries anew, and keeps its own books of what every client id and sequence did; holds "
     "the logs of several nodes against each other: the same entries up to an uncommitted end, the "
     "same states. Exit code 0: proven, 1: violated, 10: a node runs on a directory, 12: a log is "
     "damaged. Needs memory for the state of one node, 24 bytes for each entry of each log, and "
     "about 60 bytes for each write of a client.",
     CLI_BIT(OUTPUT), 1, LIMIT_MEMBERS, false, audit_run},
    {"bench", "[put | get | incr | READS/WRITES]", "measure how fast the cluster is",
     "Puts by default; 90/10 is a mix of 90 % gets and 10 % puts. Prints the rate, what was "
     "refused "
     "and what was lost, the latency by percentile and as a histogram; with --output json all of "
     "that and the nodes. Keys are drawn at random of --keys, under a prefix that no run had "
     "before; gets find them all, as they are put first. Afterwards they are removed, unless "
     "--keep says not to. Nothing is sent twice: a request that fails is counted by its word and "
     "by the effect it may have had, and a connection that is lost goes on, with --at at another "
     "node. Without --rate a connection that waits sends nothing, so a stall delays requests that "
     "nobody counts as late. --timeout is that of each request. After Ctrl-C there is what was "
     "measured so far. It takes all that the cluster has left: others who use it will notice.",
     ASKING | CLI_BIT(STALE) | CLI_BIT(PREFIX) | CLI_BIT(CONNECTIONS) | CLI_BIT(PIPELINE) |
         CLI_BIT(DURATION) | CLI_BIT(REQUESTS) | CLI_BIT(RATE) | CLI_BIT(AT) | CLI_BIT(KEYS) |
         CLI_BIT(VALUE_BYTES) | CLI_BIT(CLIENT_IDS) | CLI_BIT(KEEP) | CLI_BIT(PLOT),
     0, 1, false, bench_run},
    {"demo", "", "run a cluster on this machine until Ctrl-C",
     "Starts real nodes on 127.0.0.1 with the minikvd found beside this program or in PATH, and "
     "shows what to try.",
     CLI_BIT(NODES) | CLI_BIT(DIR) | CLI_BIT(BASE_PORT) | CLI_BIT(TIMEOUT), 0, 0, false, demo_run},
    {"completion", "bash", "print a script for the shell to complete with",
     "Use it as in: source <(minikv completion bash).", 0, 1, 1, false, about_completion},
    {"help", "[COMMAND]", "show how to use minikv", "", CLI_BIT(MAN), 0, 1, false, about_help},
    {"version", "", "show the version", "", CLI_BIT(VERSION), 0, 0, false, about_version},
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
