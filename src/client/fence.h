/* Fence: a put or delete that is carried out only while a certain key is the one that was created
 * at a certain revision: a transaction that compares that. What the write may depend on besides
 * (MINIKV_IF_REVISION …) is compared too; where a compare does not hold, both keys are read, so
 * that the answer tells which one it was. Pure. */
#ifndef MINIKV_CLIENT_FENCE_H
#define MINIKV_CLIENT_FENCE_H

#include "client/answer.h"

/* A put or delete with one. */
bool fence_is_wanted(const struct minikv_request *request);
/* What is wrong with it: ST_OK, ST_KEY_EMPTY, … */
enum status fence_check(const struct minikv_request *request);
/* Of the body, at most. */
size_t fence_body_bytes_max(const struct minikv_request *request);
/* Writes the body of POST /v1/txn; returns its end. */
char *fence_body_write(const struct minikv_request *request, char *out);

/* A 2xx reply becomes what that write came to. False: it is not what was asked for. */
bool fence_answer_read(const struct http_reply *reply, uint64_t token, struct answer *answer);

#endif
