/* Hex: bytes as a test writes them down, "01 02 ff". */
#ifndef MINIKV_TESTS_SUPPORT_HEX_H
#define MINIKV_TESTS_SUPPORT_HEX_H

#include <stdlib.h>

#include "base/buf.h"

/* The caller's to release. */
static inline struct buf hex_bytes(const char *hex)
{
    struct buf buf;
    buf_init(&buf, 4096);
    for (const char *at = hex; *at != '\0'; at++) {
        if (*at == ' ')
            continue;
        char digits[3] = {at[0], at[1], 0};
        buf_put_u8(&buf, (uint8_t)strtoul(digits, NULL, 16));
        at++;
    }
    return buf;
}

#endif
