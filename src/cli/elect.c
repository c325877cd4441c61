/* minikv elect --observe. */
#include "cli/elect.h"

#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/hold.h"
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

/* All places of the election. */
static enum exit_code look(struct cli *cli, struct bytes prefix, struct elect_leader *leader,
                           uint64_t *out_revision)
{
    struct buf after;
    enum exit_code code;
    leader->fence = leader->mod_revision = *out_revision = 0;
    buf_init(&after, LIMIT_KEY_BYTES);
    do {
        struct minikv_result page;
        struct minikv_request request = {.op = MINIKV_LIST,
                                         .range = {.prefix = {prefix.data, prefix.count},
                                                   .after = {after.data, after.count},
                                                   .revision = *out_revision}};
        code = ask_perform(cli, &request, &page);
        if (code == EXIT_CODE_OK) {
            elect_look(leader, &page, prefix.count + HOLD_PLACE_BYTES);
            *out_revision = page.revision;
            buf_reset(&after);
            buf_put(&after, ask_bytes(page.next));
        }
        minikv_result_release(&page);
    } while (code == EXIT_CODE_OK && after.count != 0);
    buf_release(&after);
    return code;
}

/* Until a place changes behind `revision`, or for a while. */
static enum exit_code await_change(struct cli *cli, struct bytes prefix, uint64_t revision)
{
    struct buf target;
    struct minikv_result result;
    buf_init(&target, HOLD_TARGET_BYTES);
    struct minikv_request request = hold_poll("prefix", prefix, revision, &target);
    enum exit_code code = EXIT_CODE_OK;
    bool has_failed = minikv_perform(cli->kv, &request, &result) != MINIKV_OK;
    if (has_failed && strcmp(result.word, "compacted") != 0) {
        fprintf(stderr, "minikv: %s: no node can be asked any more: %s\n", cli->command->name,
                result.detail);
        code = EXIT_CODE_UNAVAILABLE;
    }
    minikv_result_release(&result);
    buf_release(&target);
    return code;
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

static enum exit_code observe(struct cli *cli, struct bytes prefix, struct elect_leader *leader)
{
    uint64_t shown = UINT64_MAX; /* the revision of what was printed last */
    for (;;) {
        uint64_t revision;
        enum exit_code code = look(cli, prefix, leader, &revision);
        if (code != EXIT_CODE_OK)
            return code;
        if (leader->mod_revision != shown && !print(cli, leader))
            return EXIT_CODE_FAILURE;
        shown = leader->mod_revision;
        code = await_change(cli, prefix, revision);
        if (code != EXIT_CODE_OK)
            return code;
    }
}

enum exit_code elect_observe(struct cli *cli)
{
    struct buf prefix;
    struct elect_leader leader = {.fence = 0};
    buf_init(&prefix, LIMIT_TARGET_BYTES);
    buf_init(&leader.key, LIMIT_KEY_BYTES);
    buf_init(&leader.value, LIMIT_VALUE_BYTES);
    buf_put_text(&prefix, cli->arguments[0]);
    buf_put_u8(&prefix, '/');
    enum exit_code code = observe(cli, buf_bytes(&prefix), &leader);
    buf_release(&prefix);
    buf_release(&leader.key);
    buf_release(&leader.value);
    return code;
}
