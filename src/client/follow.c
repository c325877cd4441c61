/* Redirects by hand (Raft §8), and what became of a write. */
#include <stdio.h>
#include <string.h>

#include "client/minikv_internal.h"
#include "client/outcome.h"

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
    struct minikv_request request = outcome_request(&asked, seal, text);
    (void)perform(kv, &request, NULL, out_result, NULL);
    enum minikv_code code = outcome_read(&asked, out_result, out_fate);
    if (code == MINIKV_OK && outcome_is_final(*out_fate)) {
        (void)pthread_mutex_lock(&kv->mutex);
        engine_settled(kv->engine, &asked);
        (void)pthread_mutex_unlock(&kv->mutex);
    }
    return code;
}
