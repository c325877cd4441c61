/* Any bytes as the body of POST /v1/txn: a transaction that txn_check takes, or a problem that says
 * something. */
#include <stdint.h>

#include "base/check.h"
#include "base/limits.h"
#include "http/txn_body.h"
#include "kv/txn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct problem problem;
    struct buf txn;
    if (count > LIMIT_BODY_BYTES)
        return 0;
    problem_clear(&problem);
    buf_init(&txn, LIMIT_REPLY_BYTES);
    bool is_taken = txn_body_parse(bytes_of(data, count), &txn, &problem);
    enum status status = is_taken ? txn_check(buf_bytes(&txn)) : ST_OK;
    INVARIANT(status == ST_OK);
    INVARIANT(is_taken == (problem.status == ST_OK));
    INVARIANT(is_taken || problem.detail.text[0] != '\0' || problem.status == ST_DUPLICATE_KEY);
    buf_release(&txn);
    return 0;
}
