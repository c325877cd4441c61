/* Base64 text: bytes as JSON carries them (RFC 4648 §4, with padding). Pure. */
#ifndef MINIKV_CLIENT_BASE64_TEXT_H
#define MINIKV_CLIENT_BASE64_TEXT_H

#include "base/bytes.h"

/* Of the text, for that many bytes. */
static inline size_t base64_text_bytes(size_t count)
{
    return (count + 2) / 3 * 4;
}

/* Writes base64_text_bytes(bytes.count) characters, without an end. */
void base64_text_write(struct bytes bytes, char *out);

#endif
