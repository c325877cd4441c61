/* The ids that the cluster allots: "session-<log index>-<nonce>", in this one form only. */
#include <inttypes.h>
#include <stdio.h>

#include "base/limits.h"
#include "kv/session.h"

enum { NONCE_DIGITS = 16 };

static const char head[] = "session-";

const char *session_format_id(raft_index index, uint64_t nonce, char out[LIMIT_CLIENT_ID_BYTES + 1])
{
    REQUIRE(index != 0);
    int count = snprintf(out, LIMIT_CLIENT_ID_BYTES + 1, "%s%" PRIu64 "-%0*" PRIx64, head, index,
                         NONCE_DIGITS, nonce);
    ENSURE(count > 0 && count <= LIMIT_CLIENT_ID_BYTES);
    return out;
}

/* Digits up to 2^64 - 1, the first of them not 0. Takes them from `text`. */
static bool take_index(struct bytes *text, raft_index *out_index)
{
    raft_index index = 0;
    size_t count = 0;
    for (; count < text->count && text->data[count] >= '0' && text->data[count] <= '9'; count++)
        if (__builtin_mul_overflow(index, (raft_index)10, &index) ||
            __builtin_add_overflow(index, (raft_index)(text->data[count] - '0'), &index))
            return false;
    if (count == 0 || text->data[0] == '0')
        return false;
    *text = bytes_of(text->data + count, text->count - count);
    *out_index = index;
    return true;
}

static bool parse_nonce(struct bytes text, uint64_t *out_nonce)
{
    uint64_t nonce = 0;
    if (text.count != NONCE_DIGITS)
        return false;
    for (size_t i = 0; i < text.count; i++) {
        uint8_t digit = text.data[i];
        if (digit >= '0' && digit <= '9')
            nonce = nonce << 4 | (uint64_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            nonce = nonce << 4 | (uint64_t)(digit - 'a' + 10);
        else
            return false;
    }
    *out_nonce = nonce;
    return true;
}

bool session_parse_id(struct bytes client, raft_index *out_index, uint64_t *out_nonce)
{
    struct bytes rest = client;
    raft_index index;
    uint64_t nonce;
    if (!bytes_has_prefix(client, bytes_of_text(head)))
        return false;
    rest = bytes_of(client.data + sizeof head - 1, client.count - (sizeof head - 1));
    if (!take_index(&rest, &index) || rest.count == 0 || rest.data[0] != '-' ||
        !parse_nonce(bytes_of(rest.data + 1, rest.count - 1), &nonce))
        return false;
    *out_index = index;
    *out_nonce = nonce;
    return true;
}
