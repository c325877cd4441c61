/* Redirects by hand (Raft §8), and what became of a write. */
#include <stdio.h>
#include <string.h>

#include "client/minikv_internal.h"

/* ---- redirects ---- */

enum minikv_code client_send_request(struct minikv *kv, const char *endpoint,
                                     const struct minikv_request *request,
                                     struct redirect_msg *out_message,
                                     struct minikv_result *out_result)
{
    struct engine_way way = {.is_single = true, .wants_redirect = true};
    *out_message = (struct redirect_msg){0};
    if (endpoint == NULL || address_parse(bytes_of_text(endpoint), &way.pinned) != ST_OK ||
        way.pinned.host[0] == '\0') {
        *out_result =
            (struct minikv_result){.code = MINIKV_INVALID, .detail = "malformed endpoint"};
        return MINIKV_INVALID;
    }
    enum minikv_code code = perform(kv, request, &way, out_result, out_message);
    /* Refused, or without a session to send it in: not taken either, and nobody knows by whom. */
    out_message->redirect = code == MINIKV_UNAVAILABLE;
    return code;
}

enum minikv_code client_follow_redirect(struct minikv *kv, const struct redirect_msg *response,
                                        const struct minikv_request *request,
                                        struct minikv_result *result)
{
    if (!response->redirect)
        return result->code;
    struct engine_way way = {
        .wants_redirect = true, .redirect = *response, .retake = result->identity};
    if (result->effect == MINIKV_MAYBE_APPLIED)
        way.effect = MINIKV_MAYBE_APPLIED;
    minikv_result_release(result);
    return perform(kv, request, &way, result, NULL);
}

/* ---- outcome ---- */

enum { OUTCOME_TEXT_BYTES = MINIKV_CLIENT_ID_MAX * 3 + 80 };

/* /v1/outcome?client=…&sequence=… */
static void put_query(const struct minikv_identity *identity, char out[OUTCOME_TEXT_BYTES])
{
    int at = snprintf(out, OUTCOME_TEXT_BYTES, "/v1/outcome?client=");
    for (const char *c = identity->client; *c != '\0'; c++)
        at += snprintf(out + at, (size_t)(OUTCOME_TEXT_BYTES - at), "%%%02X", (unsigned char)*c);
    (void)snprintf(out + at, (size_t)(OUTCOME_TEXT_BYTES - at), "&sequence=%llu",
                   (unsigned long long)identity->sequence);
}

/* {"client":"…","sequence":…}; what an id is made of is printable. */
static void put_json(const struct minikv_identity *identity, char out[OUTCOME_TEXT_BYTES])
{
    int at = snprintf(out, OUTCOME_TEXT_BYTES, "{\"client\":\"");
    for (const char *c = identity->client; *c != '\0'; c++)
        at += snprintf(out + at, (size_t)(OUTCOME_TEXT_BYTES - at),
                       *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    (void)snprintf(out + at, (size_t)(OUTCOME_TEXT_BYTES - at), "\",\"sequence\":%llu}",
                   (unsigned long long)identity->sequence);
}

static enum minikv_effect effect_of_fate(enum minikv_fate fate, enum minikv_effect applied)
{
    switch (fate) {
    case MINIKV_FATE_APPLIED:
        return applied;
    case MINIKV_FATE_NEVER:
        return MINIKV_NOT_APPLIED;
    case MINIKV_FATE_PENDING:
    case MINIKV_FATE_UNSEEN:
    case MINIKV_FATE_EXPIRED:
        break;
    }
    return MINIKV_MAYBE_APPLIED;
}

/* The reply to the question becomes the result of the write. */
static enum minikv_code take_fate(struct minikv_result *result, enum minikv_fate *out_fate)
{
    struct bytes body = bytes_of(result->body.data, result->body.count);
    if (result->code == MINIKV_REFUSED && strcmp(result->word, "session-expired") == 0) {
        *out_fate = MINIKV_FATE_EXPIRED;
        result->code = MINIKV_OK;
        result->effect = MINIKV_MAYBE_APPLIED;
        return MINIKV_OK;
    }
    if (result->code != MINIKV_OK)
        return result->code;
    struct minikv_result fresh = {.node = result->node,
                                  .term = result->term,
                                  .attempts_count = result->attempts_count,
                                  .redirects_count = result->redirects_count};
    enum status status = answer_decode_fate(body, out_fate, &fresh);
    minikv_result_release(result);
    *result = fresh;
    if (status != ST_OK) {
        result->code = MINIKV_UNAVAILABLE;
        (void)snprintf(result->detail, sizeof result->detail,
                       "the reply is not what was asked for");
        return MINIKV_UNAVAILABLE;
    }
    result->effect = effect_of_fate(*out_fate, fresh.effect);
    return MINIKV_OK;
}

enum minikv_code minikv_outcome(struct minikv *kv, const struct minikv_identity *identity,
                                bool seal, enum minikv_fate *out_fate,
                                struct minikv_result *out_result)
{
    char text[OUTCOME_TEXT_BYTES];
    const struct minikv_identity asked = *identity; /* which may be out_result's */
    struct minikv_request check = {.op = MINIKV_DELETE, .key = minikv_text("k"), .identity = asked};
    if (asked.client[0] == '\0' || call_check(&check) != ST_OK) {
        *out_result =
            (struct minikv_result){.code = MINIKV_INVALID, .detail = "malformed identity"};
        return MINIKV_INVALID;
    }
    struct minikv_request request = {.op = MINIKV_CALL, .method = "GET", .target = text};
    if (seal) {
        put_json(&asked, text);
        request = (struct minikv_request){.op = MINIKV_CALL,
                                          .method = "POST",
                                          .target = "/v1/outcome/seal",
                                          .value = minikv_text(text),
                                          .is_repeatable = true};
    } else {
        put_query(&asked, text);
    }
    (void)perform(kv, &request, NULL, out_result, NULL);
    enum minikv_code code = take_fate(out_result, out_fate);
    if (code != MINIKV_OK)
        return code;
    out_result->identity = asked;
    if (*out_fate == MINIKV_FATE_APPLIED || *out_fate == MINIKV_FATE_NEVER) {
        (void)pthread_mutex_lock(&kv->mutex);
        engine_settled(kv->engine, &asked);
        (void)pthread_mutex_unlock(&kv->mutex);
    }
    return MINIKV_OK;
}
