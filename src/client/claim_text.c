#include "client/claim_text.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/percent.h"
#include "client/base64_text.h"
#include "client/json_reader.h"

/* ---- what is sent ---- */

void claim_put_grant(struct blob *out, uint64_t ttl_ms)
{
    blob_put_text(out, "{\"ttl_ms\":");
    blob_put_u64(out, ttl_ms);
    blob_put_text(out, "}");
}

static void put_base64(struct blob *out, struct bytes bytes)
{
    char text[256];
    enum { PIECE = 3 * sizeof text / 4 };
    while (bytes.count != 0) {
        struct bytes piece = bytes_of(bytes.data, MIN(bytes.count, (size_t)PIECE));
        base64_text_write(piece, text);
        blob_put(out, text, base64_text_bytes(piece.count));
        bytes = bytes_of(bytes.data + piece.count, bytes.count - piece.count);
    }
}

static void put_key(struct blob *out, const char *before, struct bytes key)
{
    blob_put_text(out, before);
    blob_put_text(out, "{\"key_base64\":\"");
    put_base64(out, key);
    blob_put_text(out, "\"");
}

void claim_put_enter(struct blob *out, struct bytes key, struct bytes value, uint64_t lease)
{
    put_key(out, "{\"compare\":[", key);
    blob_put_text(out, ",\"target\":\"version\",\"op\":\"=\",\"value\":0}]");
    put_key(out, ",\"success\":[{\"put\":", key);
    blob_put_text(out, ",\"value_base64\":\"");
    put_base64(out, value);
    blob_put_text(out, "\",\"lease\":");
    blob_put_u64(out, lease);
    put_key(out, "}}],\"failure\":[{\"get\":", key);
    blob_put_text(out, ",\"keys_only\":true}}]}");
}

static void put_encoded(struct blob *out, struct bytes bytes)
{
    char text[3 * PERCENT_ENCODED_BYTES_MAX];
    while (bytes.count != 0) {
        struct bytes piece = bytes_of(bytes.data, MIN(bytes.count, (size_t)3));
        blob_put(out, text, percent_encode(piece, text));
        bytes = bytes_of(bytes.data + piece.count, bytes.count - piece.count);
    }
}

void claim_put_poll(struct blob *out, const char *what, struct bytes key, uint64_t from,
                    unsigned poll_ms)
{
    blob_put_text(out, "/v1/watch?");
    blob_put_text(out, what);
    blob_put_text(out, "=");
    put_encoded(out, key);
    blob_put_text(out, "&from=");
    blob_put_u64(out, from);
    blob_put_text(out, "&limit=1&poll_ms=");
    blob_put_u64(out, poll_ms);
    blob_put(out, "", 1);
}

void claim_put_lease(char out[64], uint64_t lease, const char *verb)
{
    (void)snprintf(out, 64, "/v1/leases/%llu%s", (unsigned long long)lease, verb);
}

/* ---- what is told ---- */

bool lease_reply_read(struct bytes body, struct lease_reply *out_reply)
{
    struct reader reader;
    struct bytes name;
    struct lease_reply reply = {0};
    reader_init(&reader, body);
    reader_object(&reader);
    while (reader_member(&reader, &name))
        if (bytes_equal_text(name, "lease"))
            reader_u64(&reader, &reply.lease);
        else if (bytes_equal_text(name, "ttl_ms"))
            reader_u64(&reader, &reply.ttl_ms);
        else if (bytes_equal_text(name, "remaining_ms"))
            reader_u64(&reader, &reply.remaining_ms);
        else if (bytes_equal_text(name, "keys_count"))
            reader_u64(&reader, &reply.keys_count);
        else
            reader_skip(&reader);
    bool is_good = reader_end(&reader) && reply.lease != 0 && reply.ttl_ms != 0 &&
                   reply.ttl_ms <= UINT64_MAX / 1000000; /* it will be counted in microseconds */
    if (is_good)
        *out_reply = reply;
    return is_good;
}

bool poll_reply_read(struct bytes body, size_t *out_events_count, uint64_t *out_revision)
{
    struct reader reader;
    struct bytes name;
    bool has_events = false, has_revision = false;
    *out_events_count = 0;
    *out_revision = 0;
    reader_init(&reader, body);
    reader_object(&reader);
    while (reader_member(&reader, &name)) {
        if (bytes_equal_text(name, "events")) {
            has_events = true;
            reader_array(&reader);
            for (; reader_element(&reader); ++*out_events_count)
                reader_skip(&reader);
        } else if (bytes_equal_text(name, "revision")) {
            has_revision = true;
            reader_u64(&reader, out_revision);
        } else {
            reader_skip(&reader);
        }
    }
    return reader_end(&reader) && has_events && has_revision;
}
