/* Answer: what a reply says, in the client's terms.
 *
 * A reply that does not name its node comes from something else, a proxy say: of a failure that may
 * have happened behind it nothing is known. */
#ifndef MINIKV_CLIENT_ANSWER_H
#define MINIKV_CLIENT_ANSWER_H

#include "base/status.h"
#include "client/http_reply.h"
#include "client/redirect.h"
#include "minikv/minikv.h"
#include "types/address.h"
#include "types/ids.h"

struct answer {
    int code;
    enum status status; /* ST_OK for 2xx; else what the problem says, or the nearest by its code */
    enum effect effect; /* of this delivery */
    bool is_from_node;
    bool is_replayed;
    bool knows_leader;
    bool is_lost; /* of a write with a fence: that is what did not hold */
    int node;
    unsigned forwards_count;
    uint64_t term;
    uint64_t revision;            /* of the ETag; 0: none */
    struct address leader;        /* for clients; unset: not said */
    struct redirect_msg redirect; /* of a 307 or 503 */
    char word[32];
    char detail[256];
};

void answer_read(const struct http_reply *reply, struct answer *out_answer);

/* What the body of a 2xx reply to `op` holds, into the result: number, items, next, revision, body.
 * return   ST_OK; ST_NO_MEMORY; ST_BAD_JSON: it is not what was asked for */
MUST_CHECK enum status answer_decode(enum minikv_op op, const struct http_reply *reply,
                                     struct minikv_result *result);
/* The answer to POST /v1/sessions: ST_OK; ST_BAD_JSON. */
MUST_CHECK enum status answer_decode_session(const struct http_reply *reply,
                                             char out_client[MINIKV_CLIENT_ID_MAX + 1]);
/* The body of a reply of /v1/outcome: the fate, and with APPLIED the code, effect, revision and
 * number that the write came to.
 * return   ST_OK; ST_BAD_JSON */
MUST_CHECK enum status answer_decode_fate(struct bytes body, enum minikv_fate *out_fate,
                                          struct minikv_result *result);

enum minikv_code answer_code(enum status status); /* that users see */
uint64_t answer_revision(const char *etag);       /* of "7" in quotes; 0: something else */
/* With an identity, this answer speaks of the write and not only of this delivery: it was carried
 * out, or refused by the state, once; or it can no longer be. */
bool answer_settles(enum status status);
/* The status whose problem type is this, "urn:minikv:…"; false when it is none of ours. */
#define STATUS_URN "urn:minikv:"
bool status_of_type(const char *type, enum status *out_status);
const char *status_word(enum status status); /* "no-leader" */
const char *status_title(enum status status);

#endif
