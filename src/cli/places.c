#include "cli/places.h"

#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"

enum {
    READ_TIMEOUT_MS = 5 * 1000,
    POLL_MS = 2000,
    POLL_TIMEOUT_MS = 10 * 1000 /* with an election in between */
};

bool places_is_compacted(const struct minikv_result *result)
{
    return result->code == MINIKV_REFUSED && strcmp(result->word, "compacted") == 0;
}

enum minikv_code places_read(const struct places *places, uint64_t *out_revision)
{
    struct buf after;
    enum minikv_code code;
    *out_revision = 0;
    buf_init(&after, LIMIT_KEY_BYTES);
    do {
        struct minikv_result page;
        struct minikv_request request = {
            .op = MINIKV_LIST,
            .timeout_ms = READ_TIMEOUT_MS,
            .range = {.prefix = {places->prefix.data, places->prefix.count},
                      .after = {after.data, after.count},
                      .revision = *out_revision,
                      .keys_only = places->keys_only}};
        code = places->perform(places->ctx, &request, &page);
        if (code == MINIKV_OK) {
            places->take(places->ctx, &page);
            *out_revision = page.revision;
            buf_reset(&after);
            buf_put(&after, ask_bytes(page.next));
        }
        minikv_result_release(&page);
    } while (code == MINIKV_OK && after.count != 0);
    buf_release(&after);
    return code;
}

struct minikv_request places_poll(enum places_poll what, struct bytes bytes, uint64_t revision,
                                  struct buf *target)
{
    buf_printf(target, "/v1/watch?%s=", what == PLACES_POLL_KEY ? "key" : "prefix");
    ask_put_encoded(target, bytes);
    buf_printf(target, "&from=%llu&poll_ms=%d&limit=1", (unsigned long long)revision + 1, POLL_MS);
    return (struct minikv_request){.op = MINIKV_CALL,
                                   .method = "GET",
                                   .target = buf_text(target),
                                   .is_repeatable = true,
                                   .timeout_ms = POLL_TIMEOUT_MS};
}

enum minikv_code places_await(const struct places *places, enum places_poll what,
                              struct bytes bytes, uint64_t revision)
{
    struct buf target;
    struct minikv_result result;
    buf_init(&target, PLACES_TARGET_BYTES);
    struct minikv_request request = places_poll(what, bytes, revision, &target);
    enum minikv_code code = places->perform(places->ctx, &request, &result);
    if (places_is_compacted(&result))
        code = MINIKV_OK;
    minikv_result_release(&result);
    buf_release(&target);
    return code;
}
