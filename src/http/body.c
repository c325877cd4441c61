#include "http/body.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/check.h"
#include "base/octets.h"
#include "http/json.h"
#include "kv/leases.h"

/* ---- the direct path ----
 * {"value":"plain text"}: nearly all writes look like this. Anything unusual (escapes, other
 * fields, malformed) is left to jansson, which then also has the better error text. */

static size_t skip_blanks(struct bytes body, size_t at)
{
    while (at < body.count && (body.data[at] == ' ' || body.data[at] == '\t' ||
                               body.data[at] == '\n' || body.data[at] == '\r'))
        at++;
    return at;
}

static bool skip_byte(struct bytes body, size_t *at, uint8_t wanted)
{
    size_t found = skip_blanks(body, *at);
    if (found == body.count || body.data[found] != wanted)
        return false;
    *at = found + 1;
    return true;
}

static bool is_plain_word(uint64_t word)
{
    return !octets_have_below(word, 0x20) && !octets_have(word, '\\');
}

static bool is_plain(struct bytes text)
{
    size_t at = 0;
    uint64_t all = 0;
    for (; text.count - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
        uint64_t word = octets_load(text.data + at);
        if (!is_plain_word(word))
            return false;
        all |= word;
    }
    for (; at < text.count; at++) {
        if (text.data[at] < 0x20 || text.data[at] == '\\')
            return false;
        all |= text.data[at];
    }
    return !octets_have_high(all) || utf8_is_valid(text);
}

static bool parse_direct(struct bytes body, struct bytes *out_value)
{
    static const char name[] = "value\"";
    size_t at = 0;
    if (!skip_byte(body, &at, '{') || !skip_byte(body, &at, '"') ||
        body.count - at < sizeof name - 1 || memcmp(body.data + at, name, sizeof name - 1) != 0)
        return false;
    at += sizeof name - 1;
    if (!skip_byte(body, &at, ':') || !skip_byte(body, &at, '"') || at == body.count)
        return false;
    const uint8_t *end = memchr(body.data + at, '"', body.count - at);
    if (end == NULL)
        return false;
    struct bytes value = bytes_of(body.data + at, (size_t)(end - body.data) - at);
    at += value.count + 1;
    if (!is_plain(value) || !skip_byte(body, &at, '}') || skip_blanks(body, at) != body.count)
        return false;
    *out_value = value;
    return true;
}

/* ---- through jansson ---- */

json_t *body_load_object(struct bytes body, const char *const *names, const char *example,
                         struct problem *problem)
{
    if (skip_blanks(body, 0) == body.count) {
        problem_set(problem, ST_BAD_JSON, "the body is empty; send %s", example);
        return NULL;
    }
    json_error_t error;
    json_t *root = json_loadb((const char *)body.data, body.count,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!json_is_object(root)) {
        problem_set(problem, ST_BAD_JSON, "%s%s; send %s",
                    root == NULL ? "the body is no JSON: " : "the body is no JSON object",
                    root == NULL ? error.text : "", example);
        json_decref(root);
        return NULL;
    }
    const char *field;
    json_t *value;
    json_object_foreach(root, field, value)
    {
        size_t i = 0;
        while (names[i] != NULL && strcmp(names[i], field) != 0)
            i++;
        if (names[i] == NULL) {
            problem_set(problem, ST_BAD_FIELD, "unknown field \"%.64s\"; send %s", field, example);
            json_decref(root);
            return NULL;
        }
    }
    return root;
}

static struct bytes string_of(const json_t *string)
{
    return bytes_of(json_string_value(string), json_string_length(string));
}

static bool take_value(const json_t *root, struct buf *store, struct bytes *out_value,
                       struct problem *problem)
{
    const json_t *text = json_object_get(root, "value");
    const json_t *base64 = json_object_get(root, "value_base64");
    if ((text == NULL) == (base64 == NULL)) {
        problem_set(problem, ST_BAD_FIELD,
                    text == NULL ? "\"value\" or \"value_base64\" is missing"
                                 : "send one of \"value\" and \"value_base64\"");
        return false;
    }
    if (!json_is_string(text != NULL ? text : base64)) {
        problem_set(problem, ST_BAD_FIELD, "\"%s\" must be a string",
                    text != NULL ? "value" : "value_base64");
        return false;
    }
    size_t start = store->count;
    if (text != NULL) {
        buf_put(store, string_of(text));
    } else if (base64_decode(string_of(base64), store) != ST_OK) {
        problem_set(problem, ST_BAD_ENCODING,
                    "\"value_base64\" is not base64 of the standard alphabet, with padding");
        return false;
    }
    INVARIANT(!store->is_full);
    *out_value = bytes_of(store->data + start, store->count - start);
    return true;
}

bool body_parse_value(struct bytes body, struct buf *store, struct bytes *out_value,
                      struct problem *problem)
{
    static const char *const names[] = {"value", "value_base64", NULL};
    if (parse_direct(body, out_value))
        return true;
    json_t *root = body_load_object(
        body, names,
        "{\"value\":\"...\"}, or raw bytes with Content-Type: application/octet-stream", problem);
    bool is_ok = root != NULL && take_value(root, store, out_value, problem);
    json_decref(root);
    return is_ok;
}

bool body_parse_by(struct bytes body, int64_t *out_by, struct problem *problem)
{
    static const char *const names[] = {"by", NULL};
    if (body.count == 0) {
        *out_by = 1;
        return true;
    }
    json_t *root = body_load_object(body, names, "{\"by\":1}", problem);
    if (root == NULL)
        return false;
    const json_t *by = json_object_get(root, "by");
    bool is_ok = by == NULL || json_is_integer(by);
    if (is_ok)
        *out_by = by == NULL ? 1 : (int64_t)json_integer_value(by);
    else
        problem_set(problem, ST_BAD_FIELD, "\"by\" must be an integer of 64 bits");
    json_decref(root);
    return is_ok;
}

static bool take_member(const json_t *root, const char *name, node_id *out_id,
                        struct problem *problem)
{
    const json_t *id = json_object_get(root, name);
    if (!json_is_integer(id) || json_integer_value(id) < 1 ||
        json_integer_value(id) > (json_int_t)NODE_ID_MAX) {
        problem_set(problem, ST_BAD_FIELD, "\"%s\" must be a node id from 1 to 2147483647", name);
        return false;
    }
    *out_id = (node_id)json_integer_value(id);
    return true;
}

static bool take_announce(const json_t *root, struct buf *store, struct body_announce *out_announce,
                          struct problem *problem)
{
    const json_t *http = json_object_get(root, "http");
    if (!take_member(root, "id", &out_announce->id, problem))
        return false;
    if (!json_is_string(http)) {
        problem_set(problem, ST_BAD_FIELD,
                    "\"http\" must be a string: host:port, or empty to remove the address");
        return false;
    }
    size_t start = store->count;
    buf_put(store, string_of(http));
    out_announce->http = bytes_of(store->data + start, store->count - start);
    return true;
}

bool body_parse_announce(struct bytes body, struct buf *store, struct body_announce *out_announce,
                         struct problem *problem)
{
    static const char *const names[] = {"id", "http", NULL};
    json_t *root = body_load_object(body, names, "{\"id\":2,\"http\":\"127.0.0.1:8082\"}", problem);
    bool is_ok = root != NULL && take_announce(root, store, out_announce, problem);
    json_decref(root);
    return is_ok;
}

bool body_parse_empty(struct bytes body, struct problem *problem)
{
    static const char *const names[] = {NULL};
    if (skip_blanks(body, 0) == body.count)
        return true;
    json_t *root = body_load_object(body, names, "{}, or no body", problem);
    json_decref(root);
    return root != NULL;
}

static bool take_text(const json_t *root, const char *name, enum identity_part part,
                      struct identity *identity, struct problem *problem)
{
    const json_t *text = json_object_get(root, name);
    if (text == NULL)
        return true;
    if (!json_is_string(text)) {
        problem_set(problem, ST_BAD_FIELD, "\"%s\" must be a string", name);
        return false;
    }
    identity_take(identity, part, string_of(text));
    return true;
}

static bool take_sequence(const json_t *root, struct identity *identity, struct problem *problem)
{
    char text[24];
    const json_t *sequence = json_object_get(root, "sequence");
    if (sequence == NULL)
        return true;
    if (!json_is_integer(sequence)) {
        problem_set(problem, ST_BAD_FIELD, "\"sequence\" must be an integer");
        return false;
    }
    (void)snprintf(text, sizeof text, "%lld", (long long)json_integer_value(sequence));
    identity_take(identity, IDENTITY_SEQUENCE, bytes_of_text(text));
    return true;
}

bool body_parse_write(struct bytes body, struct identity *identity, struct problem *problem)
{
    static const char *const names[] = {"client", "sequence", "key", NULL};
    static const char example[] = "{\"client\":\"...\",\"sequence\":1} or {\"key\":\"...\"}";
    json_t *root = body_load_object(body, names, example, problem);
    bool is_ok = root != NULL && take_text(root, "client", IDENTITY_CLIENT, identity, problem) &&
                 take_sequence(root, identity, problem) &&
                 take_text(root, "key", IDENTITY_KEY, identity, problem);
    if (is_ok && identity->given == 0) {
        problem_set(problem, ST_BAD_FIELD, "the object names no write; send %s", example);
        is_ok = false;
    }
    json_decref(root);
    return is_ok;
}

bool body_parse_transfer(struct bytes body, node_id *out_to, struct problem *problem)
{
    static const char *const names[] = {"to", NULL};
    json_t *root = body_load_object(body, names, "{\"to\":2}", problem);
    bool is_ok = root != NULL && take_member(root, "to", out_to, problem);
    json_decref(root);
    return is_ok;
}

bool body_parse_member(struct bytes body, node_id *out_id, struct problem *problem)
{
    static const char *const names[] = {"id", NULL};
    json_t *root = body_load_object(body, names, "{\"id\":4}", problem);
    bool is_ok = root != NULL && take_member(root, "id", out_id, problem);
    json_decref(root);
    return is_ok;
}

static bool take_lease(const json_t *root, uint64_t *out_lease, uint64_t *out_ttl_ms,
                       struct problem *problem)
{
    const json_t *ttl_ms = json_object_get(root, "ttl_ms");
    const json_t *lease = json_object_get(root, "lease");
    if (!json_is_integer(ttl_ms) || json_integer_value(ttl_ms) < (json_int_t)LEASE_TTL_MS_MIN ||
        json_integer_value(ttl_ms) > (json_int_t)LEASE_TTL_MS_MAX) {
        problem_set(problem, ST_BAD_FIELD, "\"ttl_ms\" must be a number from %llu to %llu",
                    (unsigned long long)LEASE_TTL_MS_MIN, (unsigned long long)LEASE_TTL_MS_MAX);
        return false;
    }
    if (lease != NULL && (!json_is_integer(lease) || json_integer_value(lease) < 1 ||
                          json_integer_value(lease) > (json_int_t)LEASE_ID_MAX)) {
        problem_set(problem, ST_BAD_FIELD, "\"lease\" must be a number from 1 to %llu",
                    (unsigned long long)LEASE_ID_MAX);
        return false;
    }
    *out_ttl_ms = (uint64_t)json_integer_value(ttl_ms);
    *out_lease = lease != NULL ? (uint64_t)json_integer_value(lease) : 0;
    return true;
}

bool body_parse_lease(struct bytes body, uint64_t *out_lease, uint64_t *out_ttl_ms,
                      struct problem *problem)
{
    static const char *const names[] = {"ttl_ms", "lease", NULL};
    json_t *root = body_load_object(body, names, "{\"ttl_ms\":10000}", problem);
    bool is_ok = root != NULL && take_lease(root, out_lease, out_ttl_ms, problem);
    json_decref(root);
    return is_ok;
}

bool body_parse_revision(struct bytes body, uint64_t *out_revision, struct problem *problem)
{
    static const char *const names[] = {"revision", NULL};
    json_t *root = body_load_object(body, names, "{\"revision\":100}", problem);
    const json_t *revision = json_object_get(root, "revision");
    bool is_ok = json_is_integer(revision) && json_integer_value(revision) >= 1;
    if (is_ok)
        *out_revision = (uint64_t)json_integer_value(revision);
    else if (root != NULL)
        problem_set(problem, ST_BAD_FIELD,
                    "\"revision\" must be a number from 1 to 9223372036854775807");
    json_decref(root);
    return is_ok;
}

bool body_parse_address(const char *name, struct bytes text, struct address *out_address,
                        struct problem *problem)
{
    if (address_parse(text, out_address) == ST_OK)
        return true;
    problem_set(problem, ST_BAD_ADDRESS,
                "\"%s\" is none of host:port, :port, [v6]:port, http://host:port; hosts have at "
                "most %d bytes",
                name, LIMIT_HOST_BYTES);
    return false;
}

/* Room for both addresses is made first: a slice of a buffer that grows would be lost. */
static bool take_address(const json_t *root, const char *name, bool is_required, struct buf *store,
                         struct bytes *out_address, struct problem *problem)
{
    const json_t *address = json_object_get(root, name);
    *out_address = bytes_of(NULL, 0);
    if (address == NULL && !is_required)
        return true;
    if (!json_is_string(address) || json_string_length(address) == 0 ||
        json_string_length(address) >= BODY_ADDRESS_BYTES) {
        problem_set(problem, ST_BAD_FIELD, "\"%s\" must be a string: host:port", name);
        return false;
    }
    size_t start = store->count;
    buf_put(store, string_of(address));
    *out_address = bytes_of(store->data + start, store->count - start);
    return true;
}

static bool take_identity(const json_t *root, uint64_t *out_identity, struct problem *problem)
{
    const json_t *identity = json_object_get(root, "identity");
    const char *text = json_string_value(identity);
    char *end = NULL;
    *out_identity = 0;
    if (identity == NULL)
        return true;
    if (text != NULL && strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16)
        *out_identity = strtoull(text, &end, 16);
    if (*out_identity == 0)
        problem_set(problem, ST_BAD_FIELD, "\"identity\" must be 16 hexadecimal digits");
    return *out_identity != 0;
}

bool body_parse_join(struct bytes body, struct buf *store, struct body_join *out_join,
                     struct problem *problem)
{
    static const char *const names[] = {"id", "peer", "http", "identity", NULL};
    static const char example[] = "{\"id\":4,\"peer\":\"10.0.0.4:7001\"}";
    json_t *root = body_load_object(body, names, example, problem);
    buf_reserve(store, 2 * BODY_ADDRESS_BYTES);
    bool is_ok = root != NULL && take_member(root, "id", &out_join->id, problem) &&
                 take_address(root, "peer", true, store, &out_join->peer, problem) &&
                 take_address(root, "http", false, store, &out_join->http, problem) &&
                 take_identity(root, &out_join->identity, problem);
    json_decref(root);
    return is_ok;
}
