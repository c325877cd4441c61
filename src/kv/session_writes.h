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
 * others before it changes them.
 *
 * Ownership    owns the slots
 * Limits       LIMIT_SESSION_WINDOW writes; slots for at most twice as many as there are, or one */
#ifndef MINIKV_KV_SESSION_WRITES_H
#define MINIKV_KV_SESSION_WRITES_H

#include "kv/session.h"
#include "kv/tree.h"

enum { SESSION_OP_SEALED = 0 }; /* in the place of an enum command_op */

struct session_write {
    uint64_t sequence;
    uint64_t fingerprint; /* of the command; 0 when sealed, like all below */
    uint64_t revision;
    uint64_t mod_revision;
    int64_t number;
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
    uint64_t hash; /* sum over the writes, modulo 2^64 */
};

/* Their session leaves the present; frees the slots, or keeps them for the pins that see them. */
void session_writes_retire(const struct session_writes *writes, struct tree *tree);
/* The write with this sequence; NULL: none, and `out_at` is where it would be. */
const struct session_write *session_writes_find(const struct session_writes *writes,
                                                uint64_t sequence, uint32_t *out_at);
/* Requires that session_writes_find has given `at`, and no write since. */
void session_writes_insert(struct session_writes *writes, struct tree *tree, uint32_t at,
                           const struct session_write *write);
/* Forgets all up to `floor`; returns how many. */
uint32_t session_writes_drop(struct session_writes *writes, struct tree *tree, uint64_t floor);
/* Of one write, as docs/formats/state.md has it. */
uint64_t session_write_hash(const struct session_write *write);
enum { SESSION_WRITE_BYTES = 43 }; /* encoded */
void session_write_encode(const struct session_write *write, struct buf *out);
/* The fields in their ranges, and nothing that no encoder writes. ST_OK; ST_SHORT; ST_FORMAT */
MUST_CHECK enum status session_write_decode(struct cursor *in, struct session_write *out_write);

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
