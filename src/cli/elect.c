/* minikv elect --observe. */
#include "cli/elect.h"

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/places.h"
#include "cli/table.h"

void elect_look(struct elect_leader *leader, const struct minikv_result *page, size_t key_bytes)
{
    for (size_t i = 0; i < page->items_count; i++) {
        const struct minikv_item *item = &page->items[i];
        bool is_later = leader->fence != 0 && item->create_revision >= leader->fence;
        if (is_later || item->key.count != key_bytes)
            continue;
        leader->fence = item->create_revision;
        leader->mod_revision = item->mod_revision;
        buf_reset(&leader->key);
        buf_put(&leader->key, ask_bytes(item->key));
        buf_reset(&leader->value);
        buf_put(&leader->value, ask_bytes(item->value));
    }
}

struct observer {
    struct cli *cli;
    struct buf prefix;          /* owned */
    struct elect_leader leader; /* its buffers: owned */
    enum exit_code code;        /* of what has failed */
};

static enum minikv_code perform(void *ctx, const struct minikv_request *request,
                                struct minikv_result *out_result)
{
    struct observer *observer = ctx;
    enum minikv_code code = minikv_perform(observer->cli->kv, request, out_result);
    if (code != MINIKV_OK && !places_is_compacted(out_result))
        observer->code = ask_report(observer->cli, out_result);
    return code;
}

static void take(void *ctx, const struct minikv_result *page)
{
    struct observer *observer = ctx;
    elect_look(&observer->leader, page, observer->prefix.count + PLACES_DIGITS);
}

static bool print(const struct cli *cli, const struct elect_leader *leader)
{
    if (cli->output == CLI_OUTPUT_JSON) {
        json_t *who = json_null();
        if (leader->fence != 0) {
            who = json_pack("{s:I}", "fence", (json_int_t)leader->fence);
            ask_set_bytes(who, "key", buf_bytes(&leader->key));
            ask_set_bytes(who, "value", buf_bytes(&leader->value));
        }
        ask_print_json(json_pack("{s:o}", "leader", who));
    } else if (leader->fence != 0) {
        struct buf text;
        buf_init(&text, 8 * MIB);
        table_put_escaped(&text, buf_bytes(&leader->value), ask_is_text(buf_bytes(&leader->value)));
        printf("token %llu: %s\n", (unsigned long long)leader->fence, buf_text(&text));
        buf_release(&text);
    } else {
        puts("nobody leads");
    }
    return fflush(stdout) == 0;
}

static enum exit_code observe(struct observer *observer)
{
    uint64_t revision, shown = UINT64_MAX; /* the revision of what was printed last */
    struct elect_leader *leader = &observer->leader;
    struct bytes prefix = buf_bytes(&observer->prefix);
    const struct places places = {
        .prefix = prefix, .perform = perform, .take = take, .ctx = observer};
    while (observer->code == EXIT_CODE_OK) {
        leader->fence = leader->mod_revision = 0;
        if (places_read(&places, &revision) != MINIKV_OK)
            continue; /* compacted meanwhile, or observer->code says why */
        if (leader->mod_revision != shown && !print(observer->cli, leader))
            return EXIT_CODE_FAILURE;
        shown = leader->mod_revision;
        (void)places_await(&places, PLACES_POLL_PREFIX, prefix, revision); /* as above */
    }
    return observer->code;
}

enum exit_code elect_observe(struct cli *cli)
{
    struct observer observer = {.cli = cli, .code = EXIT_CODE_OK};
    buf_init(&observer.prefix, PLACES_TARGET_BYTES);
    buf_init(&observer.leader.key, LIMIT_KEY_BYTES);
    buf_init(&observer.leader.value, LIMIT_VALUE_BYTES);
    buf_put_text(&observer.prefix, cli->arguments[0]);
    buf_put_u8(&observer.prefix, '/');
    enum exit_code code = observe(&observer);
    buf_release(&observer.prefix);
    buf_release(&observer.leader.key);
    buf_release(&observer.leader.value);
    return code;
}
