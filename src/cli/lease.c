/* minikv lease: times to live, and the keys that go with them. */
#include "cli/lease.h"

#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/keeper.h"
#include "cli/options.h"
#include "cli/table.h"

void lease_put_target(char out[LEASE_TARGET_BYTES], uint64_t lease, const char *verb)
{
    (void)snprintf(out, LEASE_TARGET_BYTES, "/v1/leases/%llu%s", (unsigned long long)lease, verb);
}

static uint64_t number_of(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

/* ---- grant and revoke ---- */

enum exit_code lease_grant(struct cli *cli, uint64_t ttl_ms, uint64_t *out_lease)
{
    struct minikv_result result;
    enum exit_code code = ask_once(cli, "POST", "/v1/leases",
                                   json_pack("{s:I}", "ttl_ms", (json_int_t)ttl_ms), &result);
    if (code == EXIT_CODE_OK) {
        json_t *answer = ask_json(cli, &result);
        *out_lease = number_of(answer, "lease");
        code = answer != NULL && *out_lease != 0 ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
        json_decref(answer);
    }
    minikv_result_release(&result);
    return code;
}

enum exit_code lease_revoke(struct cli *cli, uint64_t lease)
{
    char target[LEASE_TARGET_BYTES];
    struct minikv_result result;
    lease_put_target(target, lease, "");
    enum exit_code code = ask_once(cli, "DELETE", target, NULL, &result);
    minikv_result_release(&result);
    return code;
}

enum minikv_code lease_end(struct minikv *kv, uint64_t lease)
{
    char target[LEASE_TARGET_BYTES];
    struct minikv_result result;
    struct minikv_request request = {
        .op = MINIKV_CALL, .method = "DELETE", .target = target, .is_once = true};
    lease_put_target(target, lease, "");
    enum minikv_code code = minikv_perform(kv, &request, &result);
    minikv_result_release(&result);
    return code;
}

static enum exit_code run_grant(struct cli *cli)
{
    uint64_t ttl_ms, lease;
    if (!option_read_ttl(cli->arguments[1], &ttl_ms)) {
        fputs("minikv: lease: grant: a time to live is a number of seconds, or as in 10s, 5m; at "
              "least 1s\n",
              stderr);
        return EXIT_CODE_USAGE;
    }
    enum exit_code code = lease_grant(cli, ttl_ms, &lease);
    if (code == EXIT_CODE_OK && cli->output == CLI_OUTPUT_JSON)
        ask_print_json(
            json_pack("{s:I, s:I}", "lease", (json_int_t)lease, "ttl_ms", (json_int_t)ttl_ms));
    else if (code == EXIT_CODE_OK)
        printf("%llu\n", (unsigned long long)lease); /* for $(minikv lease grant 10) */
    return code;
}

static enum exit_code run_revoke(struct cli *cli, uint64_t lease)
{
    enum exit_code code = lease_revoke(cli, lease);
    if (code == EXIT_CODE_OK && cli->output == CLI_OUTPUT_JSON)
        ask_print_json(json_pack("{s:I}", "lease", (json_int_t)lease));
    else if (code == EXIT_CODE_OK)
        puts("ok");
    return code;
}

/* ---- list and show ---- */

static void add_heading(struct table *table)
{
    static const char *const heading[] = {"LEASE", "TTL", "LEFT", "KEYS"};
    table_init(table, ARRAY_COUNT(heading));
    for (size_t i = 0; i < ARRAY_COUNT(heading); i++)
        table_add(table, heading[i]);
}

static void add_seconds(struct table *table, uint64_t ms)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%.1fs", (double)ms / 1000);
    table_add(table, text);
}

static void add_lease(struct table *table, const json_t *lease)
{
    table_add_number(table, number_of(lease, "lease"));
    add_seconds(table, number_of(lease, "ttl_ms"));
    add_seconds(table, number_of(lease, "remaining_ms"));
    const char *count = json_object_get(lease, "keys_count") != NULL ? "keys_count" : "keys";
    table_add_number(table, number_of(lease, count));
}

/* Appends the leases of all pages to `leases`. */
static enum exit_code fetch_leases(struct cli *cli, json_t *leases)
{
    char target[LEASE_TARGET_BYTES] = "/v1/leases";
    enum exit_code code;
    uint64_t next;
    do {
        json_t *page;
        code = ask_for_json(cli, target, &page);
        (void)json_array_extend(leases, json_object_get(page, "leases"));
        next = number_of(page, "next");
        (void)snprintf(target, sizeof target, "/v1/leases?after=%llu", (unsigned long long)next);
        json_decref(page);
    } while (code == EXIT_CODE_OK && next != 0);
    return code;
}

static enum exit_code run_list(struct cli *cli)
{
    json_t *leases = json_array();
    enum exit_code code = fetch_leases(cli, leases);
    if (code != EXIT_CODE_OK || cli->output == CLI_OUTPUT_JSON) {
        if (code == EXIT_CODE_OK)
            ask_print_json(json_pack("{s:O}", "leases", leases));
        json_decref(leases);
        return code;
    }
    struct table table;
    add_heading(&table);
    for (size_t i = 0; i < json_array_size(leases); i++)
        add_lease(&table, json_array_get(leases, i));
    table_print(&table);
    table_release(&table);
    json_decref(leases);
    return code;
}

static void print_key(const json_t *item)
{
    struct buf key, text;
    buf_init(&key, LIMIT_KEY_BYTES);
    buf_init(&text, 4 * LIMIT_KEY_BYTES);
    if (ask_take_bytes(item, "key", &key))
        table_put_escaped(&text, buf_bytes(&key), ask_is_text(buf_bytes(&key)));
    printf("    %s\n", buf_text(&text));
    buf_release(&key);
    buf_release(&text);
}

static enum exit_code run_show(struct cli *cli, uint64_t id)
{
    char target[LEASE_TARGET_BYTES];
    json_t *lease;
    lease_put_target(target, id, "?keys");
    enum exit_code code = ask_for_json(cli, target, &lease);
    if (code != EXIT_CODE_OK)
        return code;
    if (cli->output == CLI_OUTPUT_JSON) {
        ask_print_json(lease);
        return code;
    }
    const json_t *keys = json_object_get(lease, "keys");
    struct table table;
    add_heading(&table);
    add_lease(&table, lease);
    table_print(&table);
    table_release(&table);
    for (size_t i = 0; i < json_array_size(keys); i++)
        print_key(json_array_get(keys, i));
    json_decref(lease);
    return code;
}

/* ---- keep ---- */

static enum exit_code run_keep(struct cli *cli, uint64_t lease)
{
    struct keeper keeper;
    enum exit_code code = keeper_init(&keeper, cli, lease);
    if (code != EXIT_CODE_OK)
        return code;
    if (cli->output != CLI_OUTPUT_JSON) {
        printf("keeping lease %llu until Ctrl-C\n", (unsigned long long)lease);
        (void)fflush(stdout); /* main looks at its state */
    }
    while (keeper_goes_on(&keeper))
        keeper_wait(&keeper, 0);
    if (keeper.is_lost) {
        fprintf(stderr, "minikv: lease: %s\n", keeper.why);
        code = EXIT_CODE_LOST;
    }
    keeper_release(&keeper);
    return code;
}

/* ---- which of them ---- */

static enum exit_code usage(void)
{
    fputs("minikv: usage: minikv lease grant TTL, lease list, lease show ID, lease keep ID, lease "
          "revoke ID\n",
          stderr);
    return EXIT_CODE_USAGE;
}

enum exit_code lease_run(struct cli *cli)
{
    static const struct {
        const char *verb;
        enum exit_code (*run)(struct cli *cli, uint64_t lease);
    } verbs[] = {{"show", run_show}, {"keep", run_keep}, {"revoke", run_revoke}};
    const char *verb = cli->arguments[0];
    uint64_t lease;
    if (strcmp(verb, "list") == 0 && cli->arguments_count == 1)
        return run_list(cli);
    if (cli->arguments_count != 2)
        return usage();
    if (strcmp(verb, "grant") == 0)
        return run_grant(cli);
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++)
        if (strcmp(verb, verbs[i].verb) == 0 &&
            option_read_number(cli->arguments[1], 1, UINT64_MAX, &lease))
            return verbs[i].run(cli, lease);
    return usage();
}
