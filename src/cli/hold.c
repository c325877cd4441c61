#include "cli/hold.h"

#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/lease.h"

enum {
    POLL_TIMEOUT_MS = 10 * 1000,
    LOOK_TIMEOUT_MS = 5 * 1000,
    AGAIN_MS = 200 /* after a question that failed */
};

/* ---- taking a place ---- */

/* {"compare":[{"key":K,"target":"version","op":"=","value":0}],
 *  "success":[{"put":{"key":K,"value":V,"lease":L}}]} */
static json_t *make_transaction(const struct hold *hold, const char *value)
{
    json_t *compare = json_pack("{s:s, s:s, s:i}", "target", "version", "op", "=", "value", 0);
    json_t *put = json_pack("{s:I}", "lease", (json_int_t)hold->keeper.lease);
    ask_set_bytes(compare, "key", buf_bytes(&hold->key));
    ask_set_bytes(put, "key", buf_bytes(&hold->key));
    ask_set_bytes(put, "value", bytes_of_text(value));
    return json_pack("{s:[o], s:[{s:o}]}", "compare", compare, "success", "put", put);
}

static enum exit_code create_key(struct hold *hold, const char *value)
{
    struct minikv_result result;
    enum exit_code code =
        ask_once(hold->cli, "POST", "/v1/txn", make_transaction(hold, value), &result);
    if (code == EXIT_CODE_OK) {
        json_t *answer = ask_json(hold->cli, &result);
        if (json_is_true(json_object_get(answer, "succeeded")))
            hold->fence = (uint64_t)json_integer_value(json_object_get(answer, "revision"));
        if (hold->fence == 0) {
            fprintf(stderr,
                    "minikv: %s: the key %s is there already; somebody else writes below "
                    "this name\n",
                    hold->cli->command->name, buf_text(&hold->key));
            code = EXIT_CODE_FAILURE;
        }
        json_decref(answer);
    }
    minikv_result_release(&result);
    return code;
}

static void set_names(struct hold *hold, const char *name, uint64_t lease)
{
    buf_init(&hold->prefix, HOLD_TARGET_BYTES);
    buf_init(&hold->key, HOLD_TARGET_BYTES);
    buf_put_text(&hold->prefix, name);
    buf_put_u8(&hold->prefix, '/');
    buf_put(&hold->key, buf_bytes(&hold->prefix));
    buf_printf(&hold->key, "%016llx", (unsigned long long)lease);
}

enum exit_code hold_enter(struct hold *hold, struct cli *cli, const char *name, const char *value)
{
    uint64_t lease;
    *hold = (struct hold){.cli = cli};
    enum exit_code code = lease_grant(cli, cli->ttl_ms != 0 ? cli->ttl_ms : HOLD_TTL_MS, &lease);
    if (code != EXIT_CODE_OK)
        return code;
    set_names(hold, name, lease);
    code = keeper_init(&hold->keeper, cli, lease);
    if (code == EXIT_CODE_OK) {
        code = create_key(hold, value);
        if (code != EXIT_CODE_OK)
            keeper_release(&hold->keeper);
    }
    if (code != EXIT_CODE_OK) {
        (void)lease_revoke(cli, lease); /* if not: it expires */
        buf_release(&hold->prefix);
        buf_release(&hold->key);
    }
    return code;
}

/* ---- waiting ---- */

void hold_look(struct hold_before *before, const struct minikv_result *page, uint64_t fence,
               struct bytes own)
{
    for (size_t i = 0; i < page->items_count; i++) {
        const struct minikv_item *item = &page->items[i];
        struct bytes key = ask_bytes(item->key);
        uint64_t place = item->create_revision;
        if (place == fence && bytes_equal(key, own))
            before->is_there = true;
        bool is_place = key.count == own.count; /* not of a name below this one */
        if (!is_place || place >= fence || place <= before->fence)
            continue;
        before->fence = place;
        buf_reset(&before->key);
        buf_put(&before->key, key);
    }
}

/* All places, page by page; MINIKV_OK with what they say, and at which revision. */
static enum minikv_code look(struct hold *hold, struct hold_before *before, uint64_t *out_revision)
{
    struct buf after;
    struct bytes prefix = buf_bytes(&hold->prefix);
    enum minikv_code code;
    *out_revision = 0;
    buf_init(&after, LIMIT_KEY_BYTES);
    do {
        struct minikv_result page;
        struct minikv_request request = {.op = MINIKV_LIST,
                                         .timeout_ms = LOOK_TIMEOUT_MS,
                                         .range = {.prefix = {prefix.data, prefix.count},
                                                   .after = {after.data, after.count},
                                                   .revision = *out_revision,
                                                   .keys_only = true}};
        code = keeper_perform(&hold->keeper, &request, &page);
        if (code == MINIKV_OK) {
            hold_look(before, &page, hold->fence, buf_bytes(&hold->key));
            *out_revision = page.revision;
            buf_reset(&after);
            buf_put(&after, ask_bytes(page.next));
        }
        minikv_result_release(&page);
    } while (code == MINIKV_OK && after.count != 0);
    buf_release(&after);
    return code;
}

struct minikv_request hold_poll(const char *what, struct bytes bytes, uint64_t revision,
                                struct buf *target)
{
    buf_printf(target, "/v1/watch?%s=", what);
    ask_put_encoded(target, bytes);
    buf_printf(target, "&from=%llu&poll_ms=%d&limit=1", (unsigned long long)revision + 1,
               HOLD_POLL_MS);
    return (struct minikv_request){.op = MINIKV_CALL,
                                   .method = "GET",
                                   .target = buf_text(target),
                                   .is_repeatable = true,
                                   .timeout_ms = POLL_TIMEOUT_MS};
}

/* Until that key changes behind `revision`, or for a while. */
static enum minikv_code await_change(struct hold *hold, struct bytes key, uint64_t revision)
{
    struct buf target;
    struct minikv_result result;
    buf_init(&target, HOLD_TARGET_BYTES);
    struct minikv_request request = hold_poll("key", key, revision, &target);
    enum minikv_code code = keeper_perform(&hold->keeper, &request, &result);
    if (code == MINIKV_REFUSED && strcmp(result.word, "compacted") == 0)
        code = MINIKV_OK; /* as good as a change: all is looked at anew */
    minikv_result_release(&result);
    buf_release(&target);
    return code;
}

static void lost(struct hold *hold)
{
    const char *why = hold->keeper.is_lost ? hold->keeper.why : "the key of this place is gone";
    fprintf(stderr, "minikv: %s: %s\n", hold->cli->command->name, why);
    hold->is_told = true;
}

static enum exit_code wait_with(struct hold *hold, struct hold_before *before)
{
    while (keeper_goes_on(&hold->keeper)) {
        uint64_t revision;
        before->fence = 0;
        before->is_there = false;
        enum minikv_code code = look(hold, before, &revision);
        if (code == MINIKV_OK && !before->is_there)
            break;
        if (code == MINIKV_OK && before->fence == 0)
            return EXIT_CODE_OK;
        if (code == MINIKV_OK)
            code = await_change(hold, buf_bytes(&before->key), revision);
        if (code != MINIKV_OK) { /* as long as the lease lives there is time to ask again */
            uint64_t until_ms = keeper_now_ms() + AGAIN_MS;
            while (keeper_goes_on(&hold->keeper) && keeper_now_ms() < until_ms)
                keeper_wait(&hold->keeper, until_ms);
        }
    }
    if (hold->keeper.stop == 0)
        lost(hold);
    return EXIT_CODE_LOST;
}

enum exit_code hold_wait(struct hold *hold)
{
    struct hold_before before = {.fence = 0};
    buf_init(&before.key, LIMIT_KEY_BYTES);
    enum exit_code code = wait_with(hold, &before);
    buf_release(&before.key);
    return code;
}

/* ---- leaving ---- */

/* On cli->kv an answer may be awaited that nobody wants any more. */
static enum exit_code give_back(struct hold *hold)
{
    const char *command = hold->cli->command->name;
    unsigned long long lease = hold->keeper.lease;
    enum minikv_code code = lease_end(hold->keeper.kv, hold->keeper.lease);
    if (code == MINIKV_OK)
        return EXIT_CODE_OK;
    if (code != MINIKV_NOT_FOUND) {
        fprintf(stderr, "minikv: %s: no node answers; it is given back when lease %llu expires\n",
                command, lease);
        return EXIT_CODE_UNAVAILABLE;
    }
    if (!hold->is_told)
        fprintf(stderr, "minikv: %s: lease %llu had been lost before\n", command, lease);
    return EXIT_CODE_LOST;
}

enum exit_code hold_leave(struct hold *hold)
{
    enum exit_code code = hold->keeper.is_lost ? EXIT_CODE_LOST : give_back(hold);
    keeper_release(&hold->keeper);
    buf_release(&hold->prefix);
    buf_release(&hold->key);
    return code;
}
