/* What holds send, and what they are told, as texts. Pure. */
#ifndef MINIKV_CLIENT_CLAIM_TEXT_H
#define MINIKV_CLIENT_CLAIM_TEXT_H

#include "client/blob.h"
#include "minikv/minikv.h"

/* {"ttl_ms":…} */
void claim_put_grant(struct blob *out, uint64_t ttl_ms);
/* A transaction that puts the key if it is not there, and else reads it. */
void claim_put_enter(struct blob *out, struct bytes key, struct bytes value, uint64_t lease);
/* /v1/watch?…: a long poll for changes from that revision on, of "key" or "prefix". */
void claim_put_poll(struct blob *out, const char *what, struct bytes key, uint64_t from,
                    unsigned poll_ms);
/* /v1/leases/<id> and what follows. */
void claim_put_lease(char out[64], uint64_t lease, const char *verb);

/* {"lease":…,"ttl_ms":…, …}; what it does not say is 0. */
struct lease_reply {
    uint64_t lease, ttl_ms, remaining_ms, keys_count;
};
/* False: it is not what was asked for. */
bool lease_reply_read(struct bytes body, struct lease_reply *out_reply);
/* {"events":[…],…,"revision":…} */
bool poll_reply_read(struct bytes body, size_t *out_events_count, uint64_t *out_revision);

#endif
