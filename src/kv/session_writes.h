/* Session writes: what one session remembers: its writes by rising sequence, each with what it came
 * to.
 *
 * Most come at the end and go from the front, as the client acknowledges them or the window moves;
 * both cost what a queue's would. One that arrives late is moved into its place.
 *
 *      slots   │ dropped │ remembered … │ free │
 *              0         first          first + count
 *
 * The slots are an object of the tree of sessions: while a pin sees them, the present makes itself
 * others before it changes them. What a transaction came to is an object of its own, never changed,
 * and leaves the present with its write, whatever slots that stood in.
 *
 * Ownership    owns the slots, and what the writes hold
 * Limits       LIMIT_SESSION_WINDOW writes; slots for at most twice as many as there are, or one */
#ifndef MINIKV_KV_SESSION_WRITES_H
#define MINIKV_KV_SESSION_WRITES_H

#include "kv/session.h"
#include "kv/tree.h"

enum { SESSION_OP_SEALED = 0 }; /* in the place of an enum command_op */

/* What a transaction came to. */
struct session_held {
    struct tree_object object;
    uint64_t hash; /* XXH3-64 of the bytes */
    uint32_t bytes_count;
    uint8_t bytes[];
};

struct session_write {
    uint64_t sequence;
    uint64_t fingerprint; /* of the command; 0 when sealed, like all below */
    uint64_t revision;
    uint64_t mod_revision;
    union {
        int64_t number;
        struct session_held *held; /* TXN: owned; NULL unless it was OK */
    };
    uint8_t op;          /* enum command_op, or SESSION_OP_SEALED */
    uint8_t status_code; /* session_status_code */
    bool changed;
};

struct session_slots {
    struct tree_object object;
    struct session_write at[];
};

struct session_writes {
    struct session_slots *slots; /* owned; NULL: none yet */
    uint32_t first;
    uint32_t count;
    uint32_t capacity;
    uint32_t held_count; /* writes that hold results, */
    uint32_t held_bytes; /* so many */
    uint64_t hash;       /* sum over the writes, modulo 2^64 */
};

/* Results to be held by a write. */
struct session_held *session_held_new(const struct tree *tree, struct bytes results);
/* NULL: it holds none. */
static inline struct session_held *session_write_held(const struct session_write *write)
{
    return write->op == COMMAND_TXN ? write->held : NULL;
}
/* What they count against the limit. */
uint64_t session_writes_bytes(const struct session_writes *writes);
/* Their session leaves the present; frees all of it, or keeps it for the pins that see it. */
void session_writes_retire(const struct session_writes *writes, struct tree *tree);
/* The write with this sequence; NULL: none, and `out_at` is where it would be. */
const struct session_write *session_writes_find(const struct session_writes *writes,
                                                uint64_t sequence, uint32_t *out_at);
/* Requires that session_writes_find has given `at`, and no write since. Takes what the write holds.
 */
void session_writes_insert(struct session_writes *writes, struct tree *tree, uint32_t at,
                           const struct session_write *write);
/* Forgets all up to `floor`; returns how many. */
uint32_t session_writes_drop(struct session_writes *writes, struct tree *tree, uint64_t floor);
/* Of one write, as docs/formats/state.md has it. */
uint64_t session_write_hash(const struct session_write *write);
enum { SESSION_WRITE_BYTES = 43 }; /* encoded, without what it holds */
void session_write_encode(const struct session_write *write, struct buf *out);
/* How many bytes at the start of `in` are a write: at least, as long as it is more than there are.
 */
size_t session_write_encoded_bytes(struct bytes in);
/* The fields in their ranges, and nothing that no encoder writes. ST_OK; ST_SHORT; ST_FORMAT
 *
 * out_results   what it is to hold, borrowed from the input; empty: nothing */
MUST_CHECK enum status session_write_decode(struct cursor *in, struct session_write *out_write,
                                            struct bytes *out_results);

static inline const struct session_write *session_writes_at(const struct session_writes *writes,
                                                            uint32_t at)
{
    return &writes->slots->at[writes->first + at];
}

/* What a write carried out can have come to. Any other status changed nothing and may pass: a write
 * that ended in it is not remembered, so that the same one may come again. */
bool session_keeps(enum status status);
/* What statuses are called where they are kept: not by the numbers of the enum, which change when
 * another status comes. Requires one that is kept. */
uint8_t session_status_code(enum status status);
/* Requires a code that session_status_code gives. */
enum status session_status_of(uint8_t code);

#endif
