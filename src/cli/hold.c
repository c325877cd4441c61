#include "cli/hold.h"

#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/lease.h"
#include "cli/places.h"

enum { AGAIN_MS = 200 }; /* after a question that failed */

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

bool hold_check_name(const struct cli *cli, const char *name)
{
    size_t count = strlen(name), count_max = LIMIT_KEY_BYTES - 1 - PLACES_DIGITS;
    if (count != 0 && count <= count_max)
        return true;
    fprintf(stderr, "minikv: %s: a name has 1 to %zu bytes\n", cli->command->name, count_max);
    return false;
}

static void set_names(struct hold *hold, const char *name, uint64_t lease)
{
    buf_init(&hold->prefix, LIMIT_KEY_BYTES);
    buf_init(&hold->key, LIMIT_KEY_BYTES + 1);
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

struct waiter {
    struct hold *hold;
    struct hold_before before; /* its key: owned */
};

static enum minikv_code perform(void *ctx, const struct minikv_request *request,
                                struct minikv_result *out_result)
{
    struct waiter *waiter = ctx;
    return keeper_perform(&waiter->hold->keeper, request, out_result);
}

static void take(void *ctx, const struct minikv_result *page)
{
    struct waiter *waiter = ctx;
    hold_look(&waiter->before, page, waiter->hold->fence, buf_bytes(&waiter->hold->key));
}

static void lost(struct hold *hold)
{
    const char *why = hold->keeper.is_lost ? hold->keeper.why : "the key of this place is gone";
    fprintf(stderr, "minikv: %s: %s\n", hold->cli->command->name, why);
    hold->is_told = true;
}

static enum exit_code wait_with(struct waiter *waiter)
{
    struct hold *hold = waiter->hold;
    struct hold_before *before = &waiter->before;
    const struct places places = {.prefix = buf_bytes(&hold->prefix),
                                  .keys_only = true,
                                  .perform = perform,
                                  .take = take,
                                  .ctx = waiter};
    while (keeper_goes_on(&hold->keeper)) {
        uint64_t revision;
        before->fence = 0;
        before->is_there = false;
        enum minikv_code code = places_read(&places, &revision);
        if (code == MINIKV_OK && !before->is_there)
            break;
        if (code == MINIKV_OK && before->fence == 0)
            return EXIT_CODE_OK;
        if (code == MINIKV_OK)
            code = places_await(&places, PLACES_POLL_KEY, buf_bytes(&before->key), revision);
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
    struct waiter waiter = {.hold = hold};
    buf_init(&waiter.before.key, LIMIT_KEY_BYTES);
    enum exit_code code = wait_with(&waiter);
    buf_release(&waiter.before.key);
    return code;
}

/* ---- holding ---- */

/* Whether the key is there. */
static void take_listing(struct hold *hold, const struct minikv_result *page)
{
    struct hold_before before = {.fence = 0};
    buf_init(&before.key, LIMIT_KEY_BYTES);
    hold_look(&before, page, hold->fence, buf_bytes(&hold->key));
    if (before.is_there) {
        hold->looked = page->revision;
    } else {
        hold->is_key_gone = hold->is_told = true; /* whoever looks at the keeper tells it */
        keeper_lose(&hold->keeper, "its key is gone: deleted, or with its lease");
    }
    buf_release(&before.key);
}

/* Nothing has happened up to then; or what, is to be looked at. */
static void take_events(struct hold *hold, const struct minikv_result *result)
{
    json_t *answer = json_loadb(result->body.data, result->body.count, JSON_ALLOW_NUL, NULL);
    const json_t *events = json_object_get(answer, "events");
    hold->looked = 0;
    if (json_is_array(events) && json_array_size(events) == 0)
        hold->looked = (uint64_t)json_integer_value(json_object_get(answer, "revision"));
    json_decref(answer);
}

static void on_looked(void *ctx, struct minikv_result *result)
{
    struct hold *hold = ctx;
    hold->asked = 0;
    if (result->code == MINIKV_OK && hold->looked == 0)
        take_listing(hold, result);
    else if (result->code == MINIKV_OK)
        take_events(hold, result);
    else if (places_is_compacted(result))
        hold->looked = 0;
    else
        hold->look_again_ms = keeper_now_ms() + AGAIN_MS;
    minikv_result_release(result);
}

/* The key, and then what becomes of it. */
static void look_after_key(struct hold *hold)
{
    struct buf target;
    struct bytes key = buf_bytes(&hold->key);
    struct minikv_request request = {
        .op = MINIKV_LIST,
        .range = {.prefix = {key.data, key.count}, .limit = 1, .keys_only = true}};
    buf_init(&target, PLACES_TARGET_BYTES);
    if (hold->looked != 0)
        request = places_poll(PLACES_POLL_KEY, key, hold->looked, &target);
    if (minikv_start(hold->cli->kv, &request, on_looked, hold, &hold->asked) != MINIKV_OK)
        hold->look_again_ms = keeper_now_ms() + AGAIN_MS;
    buf_release(&target);
}

void hold_keep(struct hold *hold)
{
    bool is_idle = hold->asked == 0 && !hold->keeper.is_lost;
    if (is_idle && keeper_now_ms() >= hold->look_again_ms)
        look_after_key(hold);
    keeper_wait(&hold->keeper, is_idle && hold->asked == 0 ? hold->look_again_ms : 0);
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
    bool has_lease = !hold->keeper.is_lost || hold->is_key_gone;
    if (hold->asked != 0)
        (void)minikv_cancel(hold->cli->kv, hold->asked); /* calls on_looked */
    enum exit_code code = has_lease ? give_back(hold) : EXIT_CODE_LOST;
    if (hold->is_key_gone)
        code = EXIT_CODE_LOST;
    keeper_release(&hold->keeper);
    buf_release(&hold->prefix);
    buf_release(&hold->key);
    return code;
}
