/* Transaction reply: what the answer to POST /v1/txn says, as far as this library asks for it:
 * whether the compares held, at which revision, and of the first keys that were read, which they
 * are. Pure. */
#ifndef MINIKV_CLIENT_TXN_REPLY_H
#define MINIKV_CLIENT_TXN_REPLY_H

#include "client/json_reader.h"

enum { TXN_FOUND_MAX = 2 };

struct txn_found {
    uint64_t create_revision, mod_revision, lease; /* 0, 0: there is no such key */
};

struct txn_reply {
    bool is_one; /* it says whether it succeeded */
    bool has_succeeded;
    bool has_changes; /* something else than reading was done */
    uint64_t revision;
    struct txn_found found[TXN_FOUND_MAX]; /* the first of each get, in order */
    size_t found_count;
};

/* Takes one member of it; false, with nothing taken, when it is none of these. */
bool txn_reply_member(struct txn_reply *reply, struct reader *reader, struct bytes name);
/* The whole body; false when it is malformed, or something else. */
bool txn_reply_read(struct bytes body, struct txn_reply *out_reply);

#endif
