/* Decimal: the one text form of a signed 64-bit number, as INCR reads and writes it. */
#ifndef MINIKV_KV_DECIMAL_H
#define MINIKV_KV_DECIMAL_H

#include "base/bytes.h"
#include "base/check.h"

enum { DECIMAL_BYTES_MAX = 20 }; /* "-9223372036854775808" */

/* Only what decimal_format writes: digits without leading zeros, behind '-' when below zero. */
MUST_CHECK bool decimal_parse(struct bytes text, int64_t *out_number);
/* Returns the text in `out`. */
struct bytes decimal_format(int64_t number, uint8_t out[DECIMAL_BYTES_MAX]);

#endif
