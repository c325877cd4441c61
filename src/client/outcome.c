#include "client/outcome.h"

#include <stdio.h>
#include <string.h>

#include "client/answer.h"

/* ---- asking ---- */

/* /v1/outcome?client=…&sequence=… */
static void put_query(const struct minikv_identity *identity, char out[OUTCOME_TEXT_BYTES])
{
    int at = snprintf(out, OUTCOME_TEXT_BYTES, "/v1/outcome?client=");
    at += (int)percent_encode(bytes_of_text(identity->client), out + at);
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

struct minikv_request outcome_request(const struct minikv_identity *identity, bool seal,
                                      char text[OUTCOME_TEXT_BYTES])
{
    if (!seal) {
        put_query(identity, text);
        return (struct minikv_request){.op = MINIKV_CALL, .method = "GET", .target = text};
    }
    put_json(identity, text);
    return (struct minikv_request){.op = MINIKV_CALL,
                                   .method = "POST",
                                   .target = "/v1/outcome/seal",
                                   .value = minikv_text(text),
                                   .is_repeatable = true};
}

/* ---- the reply ---- */

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

enum minikv_code outcome_read(const struct minikv_identity *asked, struct minikv_result *result,
                              enum minikv_fate *out_fate)
{
    enum minikv_code code = take_fate(result, out_fate);
    if (code == MINIKV_OK)
        result->identity = *asked;
    return code;
}

bool outcome_is_final(enum minikv_fate fate)
{
    return fate == MINIKV_FATE_APPLIED || fate == MINIKV_FATE_NEVER;
}
