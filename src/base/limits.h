/* Limits: every bound of the process, by name. Reaching one gives a clear answer, never growth.
 *
 * Bytes and counts; times are in the options (src/minikvd/options.h) where users set them. */
#ifndef MINIKV_BASE_LIMITS_H
#define MINIKV_BASE_LIMITS_H

#include <assert.h>

#define KIB 1024u
#define MIB (1024u * 1024u)

enum {
    /* Cluster */
    LIMIT_MEMBERS = 9,        /* voters and learners together: seven, and two on their way */
    LIMIT_HOST_BYTES = 63,    /* of an advertised host; longer ones are refused, never cut */
    LIMIT_ADDRESS_BYTES = 72, /* host, brackets, colon, port, NUL */

    /* Data */
    LIMIT_KEY_BYTES = 4096,
    LIMIT_VALUE_BYTES = 1 * MIB,
    LIMIT_CLIENT_ID_BYTES = 64,           /* of an id that a client has chosen, or was allotted */
    LIMIT_IDEMPOTENCY_KEY_BYTES = 255,    /* of an Idempotency-Key */
    LIMIT_LIST_ITEMS = 1000,              /* of one page, default and maximum */
    LIMIT_LIST_BYTES = 4 * MIB,           /* of one page */
    LIMIT_STATE_BYTES_DEFAULT_MIB = 8192, /* keys and values; writes are refused beyond */

    /* The past of the data. What commands come to depends on these: the same on all nodes. */
    LIMIT_PAST_EVENTS = 256 * 1024, /* changes of keys whose revisions stay readable */
    LIMIT_PAST_MIB = 64,            /* of replaced versions and deleted keys */
    LIMIT_PAST_MINUTES = 60,        /* of log time */

    /* Transactions: the same on all nodes */
    LIMIT_TXN_COMPARES = 128,             /* in one list */
    LIMIT_TXN_OPERATIONS = 128,           /* in one list */
    LIMIT_TXN_DEPTH = 8,                  /* of transactions in each other; 1: none in it */
    LIMIT_TXN_IN_ALL = 1024,              /* compares, and operations, in all lists together */
    LIMIT_TXN_RESULTS_BYTES = 1280 * KIB, /* of what one comes to, as docs/formats/txn.md has it */
    LIMIT_TXN_DELETES = 65536,            /* keys that one deletes */
    LIMIT_TXN_STEPS = 512 * 1024,         /* keys that one looks at, so that none takes long */

    /* Leases: the same on all nodes */
    LIMIT_LEASES = 1024 * 1024,
    LIMIT_LEASE_KEYS = 65536,    /* of one lease */
    LIMIT_LEASE_RENEWALS = 1024, /* in one command */
    LIMIT_LEASES_EXPIRED =
        65536, /* leases and keys that one command takes away; one lease always */
    LIMIT_LEASE_TTL_SECONDS = 365 * 24 * 3600,

    /* Exactly once. What commands come to depends on these: the same on all nodes of a cluster. */
    LIMIT_SESSIONS = 4 * 1024 * 1024, /* clients and keys remembered; new ones are refused */
    LIMIT_SESSIONS_MIB = 2048,        /* of all of them, as src/kv/session.h counts it */
    LIMIT_SESSION_WINDOW = 1024,      /* sequences up to the highest seen that are remembered */
    LIMIT_SESSIONS_EXPIRED = 1024,    /* forgotten by one command, so that none takes long */
    LIMIT_REMEMBERED_RESULT_BYTES = 64 * KIB, /* results of one transaction with an identity */
    LIMIT_SESSION_RESULTS_BYTES = 512 * KIB,  /* remembered results of one client's transactions */

    /* Commands and entries */
    LIMIT_COMMAND_BYTES = LIMIT_KEY_BYTES + LIMIT_VALUE_BYTES + 1024,
    LIMIT_TXN_BYTES = LIMIT_COMMAND_BYTES - 512,  /* of a transaction, beside the head */
    LIMIT_ENTRY_BYTES = LIMIT_COMMAND_BYTES + 64, /* payload: origin, stamp and command */
    LIMIT_PROPOSALS = 4096,                       /* one PROPOSE event */

    /* Consensus */
    LIMIT_UNCOMMITTED_BYTES = 64 * MIB, /* at the leader; beyond it proposals are refused */
    LIMIT_LOG_CACHE_BYTES = 16 * MIB,   /* entries kept in memory behind the applied index */
    LIMIT_APPEND_BYTES = 2 * MIB,       /* entries of one append message */
    LIMIT_APPEND_ENTRIES = 2048,
    LIMIT_INFLIGHT_APPENDS = 64,     /* per peer, pipelined */
    LIMIT_INFLIGHT_BYTES = 16 * MIB, /* per peer, pipelined */
    LIMIT_READ_ROUNDS = 4,           /* read-index rounds under way at a leader */
    LIMIT_READS_WAITING = 65536,     /* reads of all nodes waiting for a round at a leader */
    LIMIT_READS_ASKED = 4096,        /* read batches a follower waits for its leader with */

    /* Log on disk */
    LIMIT_WAL_QUEUE_BYTES = 128 * MIB, /* queued and not yet written */
    LIMIT_WAL_FRAME_BYTES = 8 * MIB,   /* one group commit */
    LIMIT_WRITE_IN_LOOP_US = 10000,    /* one that takes longer sends the next to a thread … */
    LIMIT_WRITE_IN_LOOP_SHARE = 10000, /* … for so many times as long as it took */
    WAL_SEGMENT_BYTES_DEFAULT = 64 * MIB,
    WAL_SEGMENT_BYTES_MIN = 128 * KIB, /* tests use small ones */
    LIMIT_GATED_MESSAGES = 1024,       /* that wait until a new term is durable */
    LIMIT_WAL_SPARES = 4,              /* files of former segments kept for the next ones */

    /* Snapshots on disk */
    LIMIT_SNAPSHOT_BLOCK_BYTES = 256 * KIB, /* content under one checksum */
    LIMIT_SNAPSHOT_QUEUE_BYTES = 4 * MIB,   /* received and not yet written */
    LIMIT_SNAPSHOT_AHEAD = 16,              /* blocks read and checked ahead of who loads them */

    /* Event loop */
    LIMIT_TASK_ROUNDS = 8,          /* of tasks posted by tasks, before the loop polls again */
    LIMIT_READ_BYTES = 64 * KIB,    /* one read of a socket */
    LIMIT_UNSENT_BYTES = 128 * KIB, /* of a socket, in the kernel, beyond what is on its way */
    LIMIT_ACCEPTS = 64,             /* connections taken from a listener per turn of the loop */
    LIMIT_BACKLOG = 1024,           /* connections waiting to be accepted */

    /* Links between nodes */
    LIMIT_FRAME_BYTES = 4 * MIB,   /* one message between nodes, header included */
    LIMIT_OUTBOX_BYTES = 64 * MIB, /* queued to one peer */
    LIMIT_LINKS_INBOUND = 64,      /* accepted peer connections, greeted or not */
    LIMIT_GUESTS = 9,              /* nodes in no configuration known here that are dialled back */
    LIMIT_FORWARD_OPEN = 8192,     /* commands forwarded and not answered, per node */
    LIMIT_FORWARD_REFUSALS_BYTES = 64 * KIB, /* refusals remembered per peer for a new link */

    /* Snapshots between nodes */
    LIMIT_SNAPSHOT_CHUNK_BYTES = 128 * KIB, /* of the file, in one answer to a fetch */
    LIMIT_CHUNKS_BYTES = 1 * MIB,           /* chunks queued to one peer, beside all else */
    LIMIT_FETCH_WINDOW_BYTES = 512 * KIB,   /* asked of a source and not yet here */
    LIMIT_FETCHES = 64,                     /* asked for by all peers and not answered */

    /* Requests */
    LIMIT_REQUESTS = 65536,         /* submitted to the node and not answered */
    LIMIT_HELD = 16384,             /* of these, waiting for a leader */
    LIMIT_ANSWERS_BYTES = 64 * MIB, /* results of transactions, not yet told to a front door */
    LIMIT_RENEWALS = 16384,         /* keep-alives of leases, taken on and not answered */
    LIMIT_VERIFYING = 64,           /* announcements whose address is being asked who it is */
    LIMIT_READ_BATCHES = 64,        /* batches of reads waiting for an index or for its apply */

    /* HTTP */
    LIMIT_CONNECTIONS = 12000,
    LIMIT_TARGET_BYTES = 16 * KIB,  /* a key of 4 KiB, percent-encoded, fits */
    LIMIT_HEADERS_BYTES = 32 * KIB, /* request line and headers */
    LIMIT_HEADERS = 100,
    LIMIT_BODY_BYTES = 2 * MIB,          /* a value of 1 MiB in base64 and JSON fits */
    LIMIT_PIPELINE = 128,                /* requests of one connection not yet answered */
    LIMIT_PIPELINE_TXNS = 16,            /* of these, transactions, each with what it came to */
    LIMIT_REPLY_QUEUE_BYTES = 256 * KIB, /* of one connection; no reply is begun beyond */
    LIMIT_VALUE_PIECE_BYTES = 48 * KIB,  /* of a long value; the next one when that is taken */
    LIMIT_BODIES_BYTES = 512 * MIB,      /* request bodies of all connections together */
    LIMIT_REPLIES_BYTES = 512 * MIB,     /* replies that connections have not yet taken, together */
    LIMIT_SOURCE_QUEUE_BYTES = 128 * KIB, /* of a long body; more of it is made below that */
    LIMIT_SOURCES_BYTES = 256 * MIB,      /* of LIMIT_REPLIES_BYTES; long bodies wait beyond */
    LIMIT_WATCHERS = 11000,               /* of one node; the other connections are for requests */
    LIMIT_EXCHANGES = 131072,             /* requests of all connections, being read or answered */
    LIMIT_REPLY_BYTES = 8 * MIB,          /* one reply: a value of control characters, escaped */
    LIMIT_SPARE_EXCHANGES = 1024,         /* kept for the next request, each with its buffers */
    LIMIT_SPARE_BYTES = 16 * KIB,         /* a buffer larger than this is not kept */
    LIMIT_VERIFICATIONS = 16,             /* announced addresses being asked who they are */
    LIMIT_ASK_BYTES = 4 * KIB,            /* read from an address that this node asks */
    LIMIT_RESULTS_BYTES = 256 * MIB,      /* that transactions under way may come to, together */
    LIMIT_TURN_BYTES = 1 * MIB,           /* of replies made in one turn of the loop, about */
    LIMIT_CONNECTION_TURN_BYTES = 128 * KIB, /* of these, for one connection while others wait */
    LIMIT_LOOKS = 4096,                      /* at keys and versions, in one slice of a listing */
    LIMIT_PAGE_SLICE_BYTES = 256 * KIB,      /* of a page, in one slice of it; or one item */
    LIMIT_WALKS = 64,                        /* listings as lines under way */
    LIMIT_WALK_SLICES = 4,                   /* of all of them, in one turn of the loop */
    LIMIT_LINES = 1000,                      /* in one slice of a listing, and … */
    LIMIT_LINES_BYTES = 64 * KIB,            /* … bytes, or one line */
    LIMIT_BACKUPS = 4,                    /* being sent to clients, or waiting for their snapshot */
    LIMIT_BACKUP_PIECE_BYTES = 128 * KIB, /* of the file in memory, for each of these */

    /* minikv bench, which may be pointed at a cluster that others use */
    LIMIT_BENCH_CONNECTIONS = 1024,
    LIMIT_BENCH_SECONDS = 3600,
    LIMIT_BENCH_RATE = 1000000,      /* requests a second */
    LIMIT_BENCH_KEYS = 1000000,      /* made, and removed afterwards */
    LIMIT_BENCH_DATA_MIB = 1024,     /* of these, with their values */
    LIMIT_BENCH_CLEAN_SECONDS = 120, /* for removing them; what is left then is told */
};

static_assert(LIMIT_ENTRY_BYTES + 256 <= LIMIT_APPEND_BYTES, "the largest entry fits a message");
static_assert(LIMIT_APPEND_BYTES + LIMIT_ENTRY_BYTES + 4096 <= LIMIT_FRAME_BYTES,
              "an append message fits a frame");
static_assert(LIMIT_FRAME_BYTES <= LIMIT_OUTBOX_BYTES, "a frame fits an empty outbox");
static_assert(LIMIT_VALUE_BYTES * 6 + LIMIT_KEY_BYTES * 6 + 1024 <= LIMIT_REPLY_BYTES &&
                  LIMIT_LIST_BYTES <= LIMIT_REPLY_BYTES,
              "any value, and any page, fits a reply");
static_assert(LIMIT_VALUE_BYTES / 3 * 4 + 8192 <= LIMIT_BODY_BYTES, "a value fits a body");
static_assert(LIMIT_TXN_RESULTS_BYTES * 6 + 128 * KIB <= LIMIT_REPLY_BYTES,
              "what a transaction comes to fits a reply, all of it escaped");

#endif
