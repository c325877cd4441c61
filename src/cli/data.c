/* Commands on one key: put, get, del, incr. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/table.h"

/* ---- writes ---- */

/* A request for the key, with the condition and the identity that the options name. */
static struct minikv_request request_for(const struct cli *cli, enum minikv_op op)
{
    struct minikv_request request = {
        .op = op, .key = minikv_text(cli->arguments[0]), .identity = cli->identity};
    if (cli->if_rev != NULL) {
        request.condition = MINIKV_IF_REVISION;
        request.revision = strtoull(cli->if_rev, NULL, 10);
    } else if (cli->if_absent) {
        request.condition = MINIKV_IF_ABSENT;
    }
    return request;
}

/* `revision` 0: the change has none to show. */
static void print_change(const struct cli *cli, uint64_t revision)
{
    if (cli->output == CLI_OUTPUT_JSON) {
        json_t *change = json_object();
        ask_set_bytes(change, "key", bytes_of_text(cli->arguments[0]));
        if (revision != 0)
            (void)json_object_set_new(change, "mod_revision", json_integer((json_int_t)revision));
        ask_print_json(change);
    } else if (revision != 0)
        printf("ok, revision %llu\n", (unsigned long long)revision);
    else
        puts("ok");
}

static bool read_stream(FILE *file, const char *name, struct buf *out)
{
    size_t count = 1;
    while (count != 0 && buf_reserve(out, 64 * KIB)) {
        count = fread(out->data + out->count, 1, 64 * KIB, file);
        out->count += count;
    }
    if (ferror(file)) {
        fprintf(stderr, "minikv: put: %s: %s\n", name, strerror(errno));
        return false;
    }
    if (count != 0) {
        fprintf(stderr, "minikv: put: %s: a value has at most %u bytes\n", name, LIMIT_VALUE_BYTES);
        return false;
    }
    return true;
}

/* The value as the command line names it: itself, "-" or "@FILE". */
static bool read_value(const char *text, struct buf *out)
{
    if (strcmp(text, "-") == 0)
        return read_stream(stdin, "standard input", out);
    if (*text != '@') {
        buf_put_text(out, text);
        return true;
    }
    FILE *file = fopen(text + 1, "re");
    if (file == NULL) {
        fprintf(stderr, "minikv: put: %s: %s\n", text + 1, strerror(errno));
        return false;
    }
    bool is_read = read_stream(file, text + 1, out);
    (void)fclose(file); /* only read */
    return is_read;
}

static enum exit_code put_value(struct cli *cli, struct bytes value)
{
    struct minikv_result result;
    struct minikv_request request = request_for(cli, MINIKV_PUT);
    request.value = (struct minikv_bytes){value.data, value.count};
    enum exit_code code = ask_perform(cli, &request, &result);
    if (code == EXIT_CODE_OK)
        print_change(cli, result.revision);
    minikv_result_release(&result);
    return code;
}

enum exit_code data_put(struct cli *cli)
{
    struct buf value;
    buf_init(&value, LIMIT_VALUE_BYTES + 64 * KIB); /* room to notice that it is too long */
    enum exit_code code = EXIT_CODE_USAGE;
    if (read_value(cli->arguments[1], &value))
        code = put_value(cli, buf_bytes(&value));
    buf_release(&value);
    return code;
}

enum exit_code data_del(struct cli *cli)
{
    struct minikv_result result;
    struct minikv_request request = request_for(cli, MINIKV_DELETE);
    enum exit_code code = ask_perform(cli, &request, &result);
    if (code == EXIT_CODE_OK)
        print_change(cli, 0);
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
    struct minikv_result result;
    struct minikv_request request = {
        .op = MINIKV_GET, .key = minikv_text(cli->arguments[0]), .is_stale = cli->is_stale};
    enum exit_code code = ask_perform(cli, &request, &result);
    if (code == EXIT_CODE_OK)
        print_item(cli, &result.items[0]);
    minikv_result_release(&result);
    return code;
}
