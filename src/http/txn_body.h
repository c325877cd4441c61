/* Txn body: the JSON of POST /v1/txn as an encoded transaction (kv/txn.h).
 *
 * What is wrong is named by its place, `success[2].put.key`: transactions are made by programs, and
 * read by people only when they fail. */
#ifndef MINIKV_HTTP_TXN_BODY_H
#define MINIKV_HTTP_TXN_BODY_H

#include "base/buf.h"
#include "http/problem.h"

/* Appends the transaction, which txn_check takes. False: `problem` is set. */
bool txn_body_parse(struct bytes body, struct buf *out_txn, struct problem *problem);

#endif
