/* Commands on one key: put, get, del, incr. With --prefix, get and del are of many. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/delete.h"
#include "cli/input.h"
#include "cli/keys.h"
#include "cli/lease.h"
#include "cli/table.h"

/* ---- writes ---- */

/* A request for the key, with the condition and the identity that the options name. */
static struct minikv_request request_for(const struct cli *cli, enum minikv_op op)
{
    struct minikv_request request = {
        .op = op, .key = minikv_text(cli->arguments[0]), .identity = cli->identity};
    if (cli->if_rev != 0) {
        request.condition = MINIKV_IF_REVISION;
        request.revision = cli->if_rev;
    } else if (cli->if_absent) {
        request.condition = MINIKV_IF_ABSENT;
    }
    return request;
}

/* `revision` 0: the change has none to show; `lease` likewise. */
static void print_change(const struct cli *cli, uint64_t revision, uint64_t lease)
{
    if (cli->output == CLI_OUTPUT_JSON) {
        json_t *change = json_object();
        ask_set_bytes(change, "key", bytes_of_text(cli->arguments[0]));
        if (revision != 0)
            (void)json_object_set_new(change, "mod_revision", json_integer((json_int_t)revision));
        if (lease != 0)
            (void)json_object_set_new(change, "lease", json_integer((json_int_t)lease));
        ask_print_json(change);
        return;
    }
    fputs("ok", stdout);
    if (revision != 0)
        printf(", revision %llu", (unsigned long long)revision);
    if (lease != 0)
        printf(", lease %llu", (unsigned long long)lease);
    putchar('\n');
}

/* The value as the command line names it: itself, "-" or "@FILE". */
static bool read_value(const struct cli *cli, const char *text, struct buf *out)
{
    if (strcmp(text, "-") == 0 || *text == '@')
        return input_read(cli, *text == '@' ? text + 1 : text, LIMIT_VALUE_BYTES, "a value", out);
    buf_put_text(out, text);
    return true;
}

static enum exit_code put_value(struct cli *cli, struct bytes value, uint64_t lease)
{
    struct minikv_result result;
    struct minikv_request request = request_for(cli, MINIKV_PUT);
    request.value = (struct minikv_bytes){value.data, value.count};
    request.lease = lease;
    enum exit_code code = ask_perform(cli, &request, &result);
    if (code == EXIT_CODE_OK)
        print_change(cli, result.revision, lease);
    minikv_result_release(&result);
    return code;
}

/* Under a lease made for it, which goes again if the value has certainly not been stored. */
static enum exit_code put_for_a_time(struct cli *cli, struct bytes value)
{
    uint64_t lease;
    enum exit_code code = lease_grant(cli, cli->ttl_ms, &lease);
    if (code != EXIT_CODE_OK)
        return code;
    code = put_value(cli, value, lease);
    if (code != EXIT_CODE_OK && code != EXIT_CODE_UNKNOWN)
        (void)lease_revoke(cli, lease); /* if not: it expires */
    return code;
}

enum exit_code data_put(struct cli *cli)
{
    struct buf value;
    buf_init(&value, INPUT_BYTES(LIMIT_VALUE_BYTES));
    enum exit_code code = EXIT_CODE_USAGE;
    if (read_value(cli, cli->arguments[1], &value))
        code = cli->ttl_ms != 0 ? put_for_a_time(cli, buf_bytes(&value))
                                : put_value(cli, buf_bytes(&value), cli->lease);
    buf_release(&value);
    return code;
}

enum exit_code data_del(struct cli *cli)
{
    if (cli->prefix != NULL)
        return delete_prefix(cli);
    struct minikv_result result;
    struct minikv_request request = request_for(cli, MINIKV_DELETE);
    enum exit_code code = ask_perform(cli, &request, &result);
    if (code == EXIT_CODE_OK)
        print_change(cli, 0, 0);
    minikv_result_release(&result);
    return code;
}

enum exit_code data_incr(struct cli *cli)
{
    struct minikv_result result;
    struct minikv_request request = request_for(cli, MINIKV_INCR);
    request.by = cli->by != NULL ? strtoll(cli->by, NULL, 10) : 1;
    enum exit_code code = ask_perform(cli, &request, &result);
    if (code == EXIT_CODE_OK && cli->output == CLI_OUTPUT_JSON)
        ask_print_json(json_pack("{s:I}", "value", (json_int_t)result.number));
    else if (code == EXIT_CODE_OK)
        printf("%lld\n", (long long)result.number);
    minikv_result_release(&result);
    return code;
}

/* ---- get ---- */

static void print_table(const struct minikv_item *item)
{
    static const char *const heading[] = {"KEY", "REVISION", "VERSION", "VALUE"};
    struct table table;
    table_init(&table, ARRAY_COUNT(heading));
    for (size_t i = 0; i < ARRAY_COUNT(heading); i++)
        table_add(&table, heading[i]);
    table_add_bytes(&table, ask_bytes(item->key), ask_is_text(ask_bytes(item->key)));
    table_add_number(&table, item->mod_revision);
    table_add_number(&table, item->version);
    table_add_bytes(&table, ask_bytes(item->value), ask_is_text(ask_bytes(item->value)));
    table_print(&table);
    table_release(&table);
}

static void print_item(const struct cli *cli, const struct minikv_item *item)
{
    if (cli->output == CLI_OUTPUT_TABLE && !cli->is_raw) {
        print_table(item);
    } else if (cli->output == CLI_OUTPUT_JSON && !cli->is_raw) {
        ask_print_json(ask_json_of_item(item, false));
    } else {
        fwrite(item->value.data, 1, item->value.count, stdout);
        if (!cli->is_raw)
            fputc('\n', stdout);
    }
}

enum exit_code data_get(struct cli *cli)
{
    if (cli->prefix != NULL) {
        if (cli->output == CLI_OUTPUT_DEFAULT)
            cli->output = CLI_OUTPUT_PLAIN;
        return keys_list(cli, minikv_text(cli->prefix));
    }
    struct minikv_result result;
    struct minikv_request request = {.op = MINIKV_GET,
                                     .key = minikv_text(cli->arguments[0]),
                                     .revision = cli->rev,
                                     .is_stale = cli->is_stale};
    enum exit_code code = ask_perform(cli, &request, &result);
    if (code == EXIT_CODE_OK)
        print_item(cli, &result.items[0]);
    minikv_result_release(&result);
    return code;
}
