#include "http/identity.h"

#include <string.h>

#include "base/check.h"
#include "http/headers.h"

void identity_reset(struct identity *identity, enum identity_source source)
{
    identity->source = source;
    identity->given = 0;
    problem_clear(&identity->problem);
    identity->sequence = identity->acked = 0;
    identity->client_count = 0;
}

static const char *name_of(const struct identity *identity, enum identity_part part)
{
    bool is_header = identity->source == IDENTITY_OF_HEADERS;
    switch (part) {
    case IDENTITY_CLIENT:
        return is_header ? "X-MiniKV-Client-Id" : "client";
    case IDENTITY_SEQUENCE:
        return is_header ? "X-MiniKV-Sequence" : "sequence";
    case IDENTITY_ACKED:
        return is_header ? "X-MiniKV-Acked" : "acked";
    case IDENTITY_KEY:
        return is_header ? "Idempotency-Key" : "key";
    }
    UNREACHABLE();
}

/* ---- client id ---- */

/* No blanks: what an id is must not depend on who trims it on the way. */
static bool is_visible(uint8_t c)
{
    return c >= 0x21 && c <= 0x7e;
}

static void take_client(struct identity *identity, struct bytes value)
{
    if (value.count == 0 || value.count > LIMIT_CLIENT_ID_BYTES) {
        problem_set(&identity->problem, ST_BAD_IDENTITY, "%s has %zu bytes; send 1 to %d",
                    name_of(identity, IDENTITY_CLIENT), value.count, LIMIT_CLIENT_ID_BYTES);
        return;
    }
    for (size_t i = 0; i < value.count; i++) {
        if (is_visible(value.data[i]))
            continue;
        problem_set(&identity->problem, ST_BAD_IDENTITY,
                    "%s holds the byte 0x%02x; it is made of printable ASCII without blanks: 0x21 "
                    "to 0x7e",
                    name_of(identity, IDENTITY_CLIENT), value.data[i]);
        return;
    }
    memcpy(identity->client, value.data, value.count);
    identity->client_count = value.count;
}

/* ---- numbers ---- */

static void take_sequence(struct identity *identity, struct bytes value)
{
    if (!number_parse(value, &identity->sequence))
        problem_set(&identity->problem, ST_BAD_IDENTITY,
                    "%s is a number from 1 to 9223372036854775807, in plain digits",
                    name_of(identity, IDENTITY_SEQUENCE));
}

static void take_acked(struct identity *identity, struct bytes value)
{
    if (!bytes_equal_text(value, "0") && !number_parse(value, &identity->acked))
        problem_set(&identity->problem, ST_BAD_IDENTITY,
                    "%s is 0 or a number below the sequence, in plain digits",
                    name_of(identity, IDENTITY_ACKED));
}

/* ---- Idempotency-Key ---- */

/* Of a token (RFC 8941 §3.3.4), wherever in it: no quotes, blanks, commas or semicolons, so that a
 * bare key cannot be read in two ways. */
static bool is_bare(uint8_t c)
{
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool is_digit = c >= '0' && c <= '9';
    return is_letter || is_digit || (c != '\0' && strchr("!#$%&'*+-.^_`|~:/", c) != NULL);
}

static bool key_put(struct identity *identity, uint8_t c)
{
    if (identity->client_count == sizeof identity->client)
        return false;
    identity->client[identity->client_count++] = c;
    return true;
}

/* NULL, or what is wrong. */
static const char *take_quoted(struct identity *identity, struct bytes value)
{
    for (size_t i = 1; i < value.count; i++) {
        uint8_t c = value.data[i];
        if (c == '"')
            return i + 1 == value.count ? NULL : "something follows the closing quote";
        if (c == '\\') {
            c = ++i < value.count ? value.data[i] : 0;
            if (c != '"' && c != '\\')
                return "a backslash stands only before a quote or a backslash";
        }
        if (c < 0x20 || c > 0x7e)
            return "it is made of printable ASCII";
        if (!key_put(identity, c))
            return "it has more than 255 bytes";
    }
    return "the closing quote is missing";
}

static const char *take_bare(struct identity *identity, struct bytes value)
{
    for (size_t i = 0; i < value.count; i++) {
        if (!is_bare(value.data[i]))
            return "with other characters than those of a token it must stand in quotes";
        if (!key_put(identity, value.data[i]))
            return "it has more than 255 bytes";
    }
    return NULL;
}

static void take_key(struct identity *identity, struct bytes value)
{
    bool is_quoted = value.count != 0 && value.data[0] == '"';
    const char *reason = is_quoted ? take_quoted(identity, value) : take_bare(identity, value);
    if (reason == NULL && identity->client_count == 0)
        reason = "it is empty";
    if (reason != NULL)
        problem_set(&identity->problem, ST_BAD_IDENTITY,
                    "%s: %s; send a string in quotes, \"...\", with 1 to 255 bytes in it",
                    name_of(identity, IDENTITY_KEY), reason);
}

/* ---- all together ---- */

void identity_take(struct identity *identity, enum identity_part part, struct bytes value)
{
    if ((identity->given & (unsigned)part) != 0)
        problem_set(&identity->problem, ST_BAD_IDENTITY, "%s is given twice",
                    name_of(identity, part));
    bool is_key_and_id = ((identity->given | (unsigned)part) & IDENTITY_KEY) != 0 &&
                         ((identity->given | (unsigned)part) & ~(unsigned)IDENTITY_KEY) != 0;
    identity->given |= (unsigned)part;
    if (is_key_and_id)
        problem_set(&identity->problem, ST_BAD_IDENTITY, "send either %s or %s with %s, not both",
                    name_of(identity, IDENTITY_KEY), name_of(identity, IDENTITY_CLIENT),
                    name_of(identity, IDENTITY_SEQUENCE));
    if (identity->problem.status != ST_OK)
        return; /* the first mistake is told */
    switch (part) {
    case IDENTITY_CLIENT:
        take_client(identity, value);
        return;
    case IDENTITY_SEQUENCE:
        take_sequence(identity, value);
        return;
    case IDENTITY_ACKED:
        take_acked(identity, value);
        return;
    case IDENTITY_KEY:
        take_key(identity, value);
        return;
    }
    UNREACHABLE();
}

static bool is_complete(const struct identity *identity, struct problem *problem)
{
    unsigned both = IDENTITY_CLIENT | IDENTITY_SEQUENCE;
    unsigned lacking = both & ~identity->given;
    if ((identity->given & IDENTITY_KEY) != 0)
        return true;
    if (lacking != 0) {
        enum identity_part part =
            (lacking & IDENTITY_CLIENT) != 0 ? IDENTITY_CLIENT : IDENTITY_SEQUENCE;
        problem_set(problem, ST_BAD_IDENTITY, "%s is missing: a write is named by %s and %s",
                    name_of(identity, part), name_of(identity, IDENTITY_CLIENT),
                    name_of(identity, IDENTITY_SEQUENCE));
        return false;
    }
    if (identity->acked >= identity->sequence) {
        problem_set(problem, ST_BAD_IDENTITY, "%s is below %s: this write is not answered yet",
                    name_of(identity, IDENTITY_ACKED), name_of(identity, IDENTITY_SEQUENCE));
        return false;
    }
    return true;
}

bool identity_finish(const struct identity *identity, struct client_identity *out_identity,
                     struct problem *problem)
{
    REQUIRE(identity->given != 0);

    if (identity->problem.status != ST_OK) {
        problem_set(problem, identity->problem.status, "%s", identity->problem.detail.text);
        return false;
    }
    if (!is_complete(identity, problem))
        return false;
    bool is_key = (identity->given & IDENTITY_KEY) != 0;
    *out_identity = (struct client_identity){
        .kind = is_key ? CLIENT_KEY : CLIENT_ID,
        .client = bytes_of(identity->client, identity->client_count),
        .sequence = is_key ? 1 : identity->sequence,
        .acked = identity->acked,
    };
    ENSURE(out_identity->client.count != 0);
    return true;
}
