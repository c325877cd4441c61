/* Identity: which write of which client a request is, as its headers or its fields say. Pure.
 *
 * Either a client id with a sequence (and, if it likes, what it has had answers to), or an
 * Idempotency-Key. What is wrong with them is remembered and told by identity_finish: whoever has
 * no use for an identity need not look.
 *
 * Ownership    bytes are copied; slices given out are borrowed until the next identity_reset */
#ifndef MINIKV_HTTP_IDENTITY_H
#define MINIKV_HTTP_IDENTITY_H

#include "base/limits.h"
#include "http/problem.h"
#include "kv/command.h"

enum identity_part {
    IDENTITY_CLIENT = 1,   /* 1 to LIMIT_CLIENT_ID_BYTES bytes from 0x21 to 0x7e */
    IDENTITY_SEQUENCE = 2, /* 1 to 2^63-1 */
    IDENTITY_ACKED = 4,    /* 0, or a number below the sequence */
    IDENTITY_KEY = 8       /* "a string" of RFC 8941, or a token that means the same string */
};

/* Where the parts come from, for the words in which mistakes are told. */
enum identity_source {
    IDENTITY_OF_HEADERS, /* X-MiniKV-Client-Id … */
    IDENTITY_OF_FIELDS   /* client … : a query, or a body */
};

struct identity {
    enum identity_source source;
    unsigned given;         /* IDENTITY_… */
    struct problem problem; /* the first mistake */
    uint64_t sequence;
    uint64_t acked;
    size_t client_count;
    uint8_t client[LIMIT_IDEMPOTENCY_KEY_BYTES]; /* the id, or what the key says */
};

void identity_reset(struct identity *identity, enum identity_source source);
void identity_take(struct identity *identity, enum identity_part part, struct bytes value);
/* All parts have been taken. Requires that there was one.
 * return   false: `problem` is set to ST_BAD_IDENTITY */
bool identity_finish(const struct identity *identity, struct client_identity *out_identity,
                     struct problem *problem);

#endif
