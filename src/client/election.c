/* Elections: who leads, and what they say. */
#include <stdio.h>
#include <string.h>

#include "client/blob.h"
#include "client/claim_door.h"
#include "client/claim_text.h"
#include "client/driver.h"
#include "minikv/minikv.h"

/* ---- who leads ---- */

/* The first of those whose key is a place, and not of a name below this one; NULL: none here. */
static const struct minikv_item *first_place(const struct minikv_result *page, size_t key_count)
{
    const struct minikv_item *first = NULL;
    for (size_t i = 0; i < page->items_count; i++) {
        const struct minikv_item *item = &page->items[i];
        bool is_place = item->key.count == key_count;
        if (is_place && (first == NULL || item->create_revision < first->create_revision))
            first = item;
    }
    return first;
}

/* Of two pages the one with the earlier place stays, cut down to that. */
static void keep_earlier(struct minikv_result *best, struct minikv_result *page, size_t key_count)
{
    const struct minikv_item *item = first_place(page, key_count);
    bool is_earlier = item != NULL && (best->items_count == 0 ||
                                       item->create_revision < best->items[0].create_revision);
    if (!is_earlier) {
        minikv_result_release(page);
        return;
    }
    minikv_result_release(best);
    *best = *page;
    best->items = item;
    best->items_count = 1;
    best->next = (struct minikv_bytes){NULL, 0};
}

/* All places, page by page, at one revision. `after` has room for a key. */
static enum minikv_code look(struct minikv *kv, struct minikv_bytes prefix, uint8_t *after,
                             struct minikv_result *out_result)
{
    struct minikv_result best = {.code = MINIKV_OK};
    struct minikv_range range = {.prefix = prefix};
    size_t key_count = prefix.count + CLAIM_PLACE_BYTES;
    do {
        struct minikv_result page;
        if (minikv_list(kv, &range, &page) != MINIKV_OK) {
            minikv_result_release(&best);
            *out_result = page;
            return page.code;
        }
        range.revision = page.revision;
        range.after = (struct minikv_bytes){after, MIN(page.next.count, (size_t)LIMIT_KEY_BYTES)};
        if (range.after.count != 0)
            memcpy(after, page.next.data, range.after.count);
        keep_earlier(&best, &page, key_count);
    } while (range.after.count != 0);
    best.revision = range.revision;
    best.code = best.items_count != 0 ? MINIKV_OK : MINIKV_NOT_FOUND;
    if (best.code != MINIKV_OK)
        (void)snprintf(best.detail, sizeof best.detail, "nobody leads");
    *out_result = best;
    return best.code;
}

/* "NAME/", and behind it room for a key. */
static enum minikv_code make_prefix(struct blob *out, struct minikv_bytes name,
                                    struct minikv_result *out_result)
{
    const struct minikv_hold_request request = {.name = name};
    static const uint8_t room[LIMIT_KEY_BYTES];
    blob_init(out);
    if (name.count == 0 || claim_check(&request) != MINIKV_OK) {
        *out_result = (struct minikv_result){.code = MINIKV_INVALID,
                                             .detail = "the name is out of its range"};
        return MINIKV_INVALID;
    }
    blob_put(out, name.data, name.count);
    blob_put(out, "/", 1);
    blob_put(out, room, sizeof room);
    if (!out->is_failed)
        return MINIKV_OK;
    blob_release(out);
    *out_result = (struct minikv_result){.code = MINIKV_NO_MEMORY, .detail = "out of memory"};
    return MINIKV_NO_MEMORY;
}

enum minikv_code minikv_election_leader(struct minikv *kv, struct minikv_bytes name,
                                        struct minikv_result *out_result)
{
    struct blob prefix;
    enum minikv_code code = make_prefix(&prefix, name, out_result);
    if (code != MINIKV_OK)
        return code;
    size_t count = name.count + 1;
    code = look(kv, (struct minikv_bytes){prefix.data, count}, prefix.data + count, out_result);
    blob_release(&prefix);
    return code;
}

/* ---- watching ---- */

/* Until a place changes behind `revision`, or that long; MINIKV_OK: look anew. */
static enum minikv_code await_change(struct minikv *kv, struct minikv_bytes prefix,
                                     uint64_t revision, unsigned poll_ms,
                                     struct minikv_result *out_result)
{
    struct blob target;
    struct minikv_request request = {
        .op = MINIKV_CALL, .method = "GET", .is_repeatable = true, .timeout_ms = 3 * CLAIM_POLL_MS};
    blob_init(&target);
    claim_put_poll(&target, "prefix", bytes_of(prefix.data, prefix.count), revision + 1, poll_ms);
    enum minikv_code code = MINIKV_NO_MEMORY;
    if (target.is_failed) {
        *out_result = (struct minikv_result){.code = code, .detail = "out of memory"};
    } else {
        request.target = (const char *)target.data;
        code = minikv_perform(kv, &request, out_result);
        if (code == MINIKV_REFUSED && strcmp(out_result->word, "compacted") == 0)
            code = MINIKV_OK; /* as good as a change */
    }
    blob_release(&target);
    return code;
}

static enum minikv_code observe(struct minikv *kv, struct minikv_bytes prefix, uint8_t *after,
                                uint64_t known, time_us until, struct minikv_result *out_result)
{
    for (;;) {
        enum minikv_code code = look(kv, prefix, after, out_result);
        time_us now = driver_now();
        uint64_t seen = code == MINIKV_OK ? out_result->items[0].mod_revision : 0;
        bool is_told = code == MINIKV_OK || code == MINIKV_NOT_FOUND;
        if (!is_told || seen != known || now >= until)
            return code;
        time_us left_ms = (until - now) / TIME_US_PER_MS + 1;
        uint64_t revision = out_result->revision;
        minikv_result_release(out_result);
        code = await_change(kv, prefix, revision, (unsigned)MIN(left_ms, (time_us)CLAIM_POLL_MS),
                            out_result);
        if (code != MINIKV_OK)
            return code;
        minikv_result_release(out_result);
    }
}

enum minikv_code minikv_election_observe(struct minikv *kv, struct minikv_bytes name,
                                         uint64_t known, int wait_ms,
                                         struct minikv_result *out_result)
{
    struct blob prefix;
    time_us until = wait_ms < 0 ? TIME_NEVER : driver_now() + (time_us)wait_ms * TIME_US_PER_MS;
    enum minikv_code code = make_prefix(&prefix, name, out_result);
    if (code != MINIKV_OK)
        return code;
    size_t count = name.count + 1;
    code = observe(kv, (struct minikv_bytes){prefix.data, count}, prefix.data + count, known, until,
                   out_result);
    blob_release(&prefix);
    return code;
}

/* ---- who leads, speaks ---- */

enum minikv_code minikv_election_proclaim(struct minikv_hold *hold, struct minikv_bytes value,
                                          struct minikv_result *out_result)
{
    struct minikv_holding holding;
    minikv_hold_look(hold, &holding);
    if (holding.fence.token == 0) {
        *out_result = (struct minikv_result){.code = MINIKV_LOST, .detail = "it is not held"};
        return MINIKV_LOST;
    }
    struct minikv_request request = {.op = MINIKV_PUT,
                                     .key = holding.fence.key,
                                     .value = value,
                                     .lease = holding.lease,
                                     .fence = holding.fence};
    return minikv_perform(hold->kv, &request, out_result);
}
