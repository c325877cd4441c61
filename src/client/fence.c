#include "client/fence.h"

#include <stdio.h>
#include <string.h>

#include "client/base64_text.h"
#include "client/txn_reply.h"

enum { WORDS_BYTES = 512 }; /* more than all that is not the caller's */

bool fence_is_wanted(const struct minikv_request *request)
{
    bool is_change = request->op == MINIKV_PUT || request->op == MINIKV_DELETE;
    return is_change && request->fence.token != 0;
}

enum status fence_check(const struct minikv_request *request)
{
    const struct minikv_bytes *key = &request->fence.key;
    if (!fence_is_wanted(request))
        return ST_OK;
    if (key->count == 0 || key->data == NULL)
        return ST_KEY_EMPTY;
    return key->count > LIMIT_KEY_BYTES ? ST_KEY_TOO_LONG : ST_OK;
}

/* ---- the body ---- */

size_t fence_body_bytes_max(const struct minikv_request *request)
{
    return WORDS_BYTES + 2 * base64_text_bytes(request->fence.key.count) +
           3 * base64_text_bytes(request->key.count) + base64_text_bytes(request->value.count);
}

static char *put_text(char *at, const char *text)
{
    size_t count = strlen(text);
    memcpy(at, text, count);
    return at + count;
}

static char *put_number(char *at, uint64_t number)
{
    return at + snprintf(at, 21, "%llu", (unsigned long long)number);
}

/* {"name_base64":"…" */
static char *put_bytes(char *at, const char *name, struct minikv_bytes bytes)
{
    at = put_text(at, name);
    base64_text_write(bytes_of(bytes.data, bytes.count), at);
    return put_text(at + base64_text_bytes(bytes.count), "\"");
}

static char *put_compare(char *at, struct minikv_bytes key, const char *what, uint64_t number)
{
    at = put_bytes(at, "{\"key_base64\":\"", key);
    at = put_text(at, what);
    return put_text(put_number(at, number), "}");
}

static char *put_condition(char *at, const struct minikv_request *request)
{
    switch (request->condition) {
    case MINIKV_ALWAYS:
        return at;
    case MINIKV_IF_REVISION:
        return put_compare(
            put_text(at, ","), request->key,
            ",\"target\":\"mod_revision\",\"op\":\"=\",\"value\":", request->revision);
    case MINIKV_IF_EXISTS:
        return put_compare(put_text(at, ","), request->key,
                           ",\"target\":\"version\",\"op\":\">\",\"value\":", 0);
    case MINIKV_IF_ABSENT:
        return put_compare(put_text(at, ","), request->key,
                           ",\"target\":\"version\",\"op\":\"=\",\"value\":", 0);
    }
    return at;
}

static char *put_change(char *at, const struct minikv_request *request)
{
    if (request->op == MINIKV_DELETE)
        return put_text(put_bytes(at, "{\"delete\":{\"key_base64\":\"", request->key), "}}");
    at = put_bytes(at, "{\"put\":{\"key_base64\":\"", request->key);
    at = put_bytes(at, ",\"value_base64\":\"", request->value);
    at = put_number(put_text(at, ",\"lease\":"), request->lease);
    return put_text(at, "}}");
}

char *fence_body_write(const struct minikv_request *request, char *out)
{
    char *at = put_text(out, "{\"compare\":[");
    at = put_compare(
        at, request->fence.key,
        ",\"target\":\"create_revision\",\"op\":\"=\",\"value\":", request->fence.token);
    at = put_text(put_condition(at, request), "],\"success\":[");
    at = put_text(put_change(at, request), "],\"failure\":[");
    at = put_bytes(at, "{\"get\":{\"key_base64\":\"", request->fence.key);
    at = put_bytes(put_text(at, ",\"keys_only\":true}},"), "{\"get\":{\"key_base64\":\"",
                   request->key);
    return put_text(at, ",\"keys_only\":true}}]}");
}

/* ---- the answer ---- */

static void refuse(struct answer *answer, uint64_t revision, const char *detail)
{
    answer->status = ST_CONDITION_FAILED;
    answer->effect = EFFECT_NONE;
    answer->revision = revision;
    (void)snprintf(answer->word, sizeof answer->word, "%s", status_word(ST_CONDITION_FAILED));
    (void)snprintf(answer->detail, sizeof answer->detail, "%s", detail);
}

bool fence_answer_read(const struct http_reply *reply, uint64_t token, struct answer *answer)
{
    struct txn_reply txn;
    if (!txn_reply_read(http_reply_body(reply), &txn))
        return false;
    if (txn.has_succeeded) {
        answer->revision = txn.revision;
        return true;
    }
    if (txn.found_count != TXN_FOUND_MAX)
        return false;
    answer->is_lost = txn.found[0].create_revision != token;
    if (answer->is_lost)
        refuse(answer, 0, "the key of the fence is gone, or another one: the hold is lost");
    else
        refuse(answer, txn.found[1].mod_revision, "read the key again");
    return true;
}
