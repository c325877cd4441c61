/* JSON reader: the few shapes that replies have, read in place. Pure.
 *
 *      reader_init(&reader, body);
 *      reader_object(&reader);
 *      while (reader_member(&reader, &name))
 *              if (bytes_equal_text(name, "value"))
 *                      reader_i64(&reader, &value);
 *              else
 *                      reader_skip(&reader);
 *      if (!reader_end(&reader)) …                     anything was malformed
 *
 * The first mistake stops all reading; the caller looks once, at the end. Names are compared as
 * they are written: ours have no escapes.
 *
 * Limits       READER_DEPTH */
#ifndef MINIKV_CLIENT_JSON_READER_H
#define MINIKV_CLIENT_JSON_READER_H

#include "base/bytes.h"

enum { READER_DEPTH = 32 }; /* of what is skipped */

struct reader {
    const uint8_t *at, *end;
    bool is_first; /* in the object or array just begun */
    bool is_bad;
};

void reader_init(struct reader *reader, struct bytes text);
/* Begin an object or array. */
void reader_object(struct reader *reader);
void reader_array(struct reader *reader);
/* The next member's name or that there is another element; false behind the last, and when
 * anything is malformed. The value is to be read, or skipped, before the next call. */
bool reader_member(struct reader *reader, struct bytes *out_name);
bool reader_element(struct reader *reader);

/* Values. A string is decoded to `out`, which has room for what is left of the text; it never takes
 * more bytes than it is written with. `out` NULL: it is only measured. */
void reader_string(struct reader *reader, uint8_t *out, size_t *out_count);
/* A short string as NUL-terminated text; "" when it does not fit. */
void reader_text(struct reader *reader, char *out, size_t out_bytes);
/* A string of base64 with padding (RFC 4648 §4), decoded likewise. */
void reader_base64(struct reader *reader, uint8_t *out, size_t *out_count);
void reader_u64(struct reader *reader, uint64_t *out_value);
void reader_i64(struct reader *reader, int64_t *out_value);
bool reader_null(struct reader *reader); /* takes it if it is there */
bool reader_true(struct reader *reader); /* likewise */
void reader_skip(struct reader *reader);
/* All has been read, and well. */
bool reader_end(struct reader *reader);

#endif
