/* Model: what a committed log comes to, as plainly as it can be written.
 *
 * It takes the entries of a log in order, and keeps all keys and, for each client, every sequence
 * that it has seen. It shares nothing with src/kv but the codec, knows no limits and forgets
 * nothing. What nodes came to and what clients were told is held against it.
 *
 *      model.c         commands and clients
 *      model_keys.c    keys, leases, and what each revision brought
 *      model_txn.c     transactions, and what they come to */
#ifndef MINIKV_SIM_SWARM_MODEL_H
#define MINIKV_SIM_SWARM_MODEL_H

#include "kv/command.h"
#include "sim/swarm/table.h"
#include "types/entry.h"

struct model_result {
    enum status status;
    bool changed;
    uint64_t mod_revision;
    int64_t number;
};

/* One write with an identity. */
struct model_write {
    bool is_done, is_sealed;
    struct model_result result;
    node_id accepted_by;    /* the node whose entry was carried out */
    unsigned entries_count; /* that carry its identity */
};

struct model_client {
    bool is_allotted, is_open;
    uint64_t highest, acked;
    uint64_t used_us;
};

struct model_key {
    bool is_there;
    struct bytes key;   /* owned */
    struct bytes value; /* owned */
    uint64_t create_revision, mod_revision, version;
    uint64_t lease; /* 0: none */
};

struct model_lease {
    uint64_t lease;
    uint64_t ttl_us, expires_us;
    bool is_there;
};

struct model_revision {
    uint64_t events, listing; /* as numbers: listing.h */
    struct bytes results;     /* owned: of the transaction that made it */
};

struct model {
    struct table client_names, write_names, key_names; /* into the arrays below */
    struct model_client *clients;                      /* owned, like the others */
    struct model_write *writes;
    struct model_key *keys;
    size_t *order; /* of the keys */
    struct model_lease *leases;
    struct model_revision *revisions; /* from 0 on */
    size_t clients_count, writes_count, keys_count, keys_there_count, leases_count;
    size_t revisions_count;
    size_t *touched; /* keys changed by the newest revision */
    size_t touched_count;
    uint64_t revision, compacted, stamp_us; /* of the state, of the log */
    size_t applied_count, repeated_count, refused_count, sealed_count, expired_count;
    size_t renewals_count, renewing_count; /* of leases; commands with them */
};

void model_init(struct model *model);
void model_release(struct model *model);
void model_apply(struct model *model, const struct entry *entry);
/* NULL: no entry carries this identity. */
const struct model_write *model_find_write(const struct model *model,
                                           const struct client_identity *identity);
/* NULL: never written, or deleted. */
const struct model_key *model_find_key(const struct model *model, struct bytes key);
/* What it brought; NULL: there has been none. */
const struct model_revision *model_find_revision(const struct model *model, uint64_t revision);

#endif
