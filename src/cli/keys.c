/* ls, and get --prefix: keys in order, page by page, all as they were at one revision. */
#include "cli/keys.h"

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/table.h"

struct listing {
    struct cli *cli;
    struct minikv_bytes prefix;
    uint64_t left;      /* items still wanted */
    struct table table; /* OUTPUT_TABLE */
    json_t *items;      /* OUTPUT_JSON */
    uint64_t revision;  /* of all pages; 0: none has come */
    struct buf after;   /* the last key of the page before; empty: from the start */
    bool has_more;
};

/* Beside key and value. */
static size_t numbers_of(const struct cli *cli, const struct minikv_item *item, uint64_t out[4])
{
    size_t count = 0;
    out[count++] = item->mod_revision;
    if (cli->is_long)
        out[count++] = item->create_revision;
    out[count++] = item->version;
    if (cli->is_long)
        out[count++] = item->lease;
    return count;
}

static void print_plain(const struct cli *cli, const struct minikv_item *item)
{
    struct bytes key = ask_bytes(item->key), value = ask_bytes(item->value);
    struct buf line;
    uint64_t numbers[4];
    buf_init(&line, 4 * (key.count + value.count) + 128);
    table_put_escaped(&line, key, ask_is_text(key));
    size_t count = cli->is_long ? numbers_of(cli, item, numbers) : 0;
    for (size_t i = 0; i < count; i++)
        buf_printf(&line, "\t%llu", (unsigned long long)numbers[i]);
    if (!cli->keys_only) {
        buf_put_u8(&line, '\t');
        table_put_escaped(&line, value, ask_is_text(value));
    }
    buf_put_u8(&line, '\n');
    fwrite(line.data, 1, line.count, stdout);
    buf_release(&line);
}

static void add_row(struct listing *listing, const struct minikv_item *item)
{
    struct table *table = &listing->table;
    uint64_t numbers[4];
    size_t count = numbers_of(listing->cli, item, numbers);
    table_add_bytes(table, ask_bytes(item->key), ask_is_text(ask_bytes(item->key)));
    for (size_t i = 0; i < count; i++)
        table_add_number(table, numbers[i]);
    if (!listing->cli->keys_only)
        table_add_bytes(table, ask_bytes(item->value), ask_is_text(ask_bytes(item->value)));
}

static void take_item(struct listing *listing, const struct minikv_item *item)
{
    const struct cli *cli = listing->cli;
    if (cli->output == CLI_OUTPUT_JSON)
        (void)json_array_append_new(listing->items, ask_json_of_item(item, cli->keys_only));
    else if (cli->output == CLI_OUTPUT_PLAIN)
        print_plain(cli, item);
    else
        add_row(listing, item);
}

static void take_page(struct listing *listing, const struct minikv_result *page)
{
    size_t count = (size_t)MIN(listing->left, page->items_count);
    for (size_t i = 0; i < count; i++)
        take_item(listing, &page->items[i]);
    listing->left -= count;
    listing->revision = page->revision;
    listing->has_more = page->next.count != 0 && listing->left > 0 && count > 0;
    buf_reset(&listing->after);
    buf_put(&listing->after, ask_bytes(page->next));
}

static enum exit_code fetch_page(struct listing *listing)
{
    struct cli *cli = listing->cli;
    struct bytes after = buf_bytes(&listing->after);
    struct minikv_request request = {
        .op = MINIKV_LIST,
        .is_stale = cli->is_stale,
        .range = {.prefix = listing->prefix,
                  .after = {after.data, after.count},
                  .limit = (unsigned)MIN(listing->left, LIMIT_LIST_ITEMS),
                  .revision = listing->revision != 0 ? listing->revision : cli->rev,
                  .is_descending = cli->is_descending,
                  .keys_only = cli->keys_only}};
    struct minikv_result result;
    enum exit_code code = ask_perform(cli, &request, &result);
    if (code == EXIT_CODE_OK)
        take_page(listing, &result);
    minikv_result_release(&result);
    return code;
}

static void begin(struct listing *listing, struct cli *cli, struct minikv_bytes prefix)
{
    if (cli->output == CLI_OUTPUT_DEFAULT)
        cli->output = CLI_OUTPUT_TABLE;
    *listing = (struct listing){
        .cli = cli,
        .prefix = prefix,
        .left = cli->limit != 0 ? cli->limit : UINT64_MAX,
        .items = json_array(),
    };
    buf_init(&listing->after, LIMIT_KEY_BYTES + 4);
    table_init(&listing->table, 3 + 2 * (size_t)cli->is_long + !cli->keys_only);
    table_add(&listing->table, "KEY");
    table_add(&listing->table, "REVISION");
    if (cli->is_long)
        table_add(&listing->table, "CREATED");
    table_add(&listing->table, "VERSION");
    if (cli->is_long)
        table_add(&listing->table, "LEASE");
    if (!cli->keys_only)
        table_add(&listing->table, "VALUE");
}

static void print_all(struct listing *listing)
{
    if (listing->cli->output == CLI_OUTPUT_TABLE)
        table_print(&listing->table);
    if (listing->cli->output == CLI_OUTPUT_JSON)
        ask_print_json(json_pack("{s:O, s:I}", "items", listing->items, "revision",
                                 (json_int_t)listing->revision));
}

enum exit_code keys_list(struct cli *cli, struct minikv_bytes prefix)
{
    struct listing listing;
    begin(&listing, cli, prefix);
    enum exit_code code;
    do
        code = fetch_page(&listing);
    while (code == EXIT_CODE_OK && listing.has_more);
    if (code == EXIT_CODE_OK)
        print_all(&listing);
    table_release(&listing.table);
    buf_release(&listing.after);
    json_decref(listing.items);
    return code;
}

enum exit_code keys_count(struct cli *cli, struct minikv_bytes prefix, uint64_t *out_count,
                          uint64_t *out_revision)
{
    struct buf target;
    json_t *answer;
    buf_init(&target, 1 * MIB);
    buf_put_text(&target, "/v1/kv?count_only&prefix=");
    ask_put_encoded(&target, ask_bytes(prefix));
    if (cli->rev != 0)
        buf_printf(&target, "&rev=%llu", (unsigned long long)cli->rev);
    if (cli->is_stale)
        buf_put_text(&target, "&consistency=stale");
    enum exit_code code = ask_for_json(cli, buf_text(&target), &answer);
    *out_count = (uint64_t)json_integer_value(json_object_get(answer, "count"));
    *out_revision = (uint64_t)json_integer_value(json_object_get(answer, "revision"));
    json_decref(answer);
    buf_release(&target);
    return code;
}

static enum exit_code count(struct cli *cli, struct minikv_bytes prefix)
{
    uint64_t number, revision;
    enum exit_code code = keys_count(cli, prefix, &number, &revision);
    if (code == EXIT_CODE_OK && cli->output == CLI_OUTPUT_JSON)
        ask_print_json(
            json_pack("{s:I, s:I}", "count", (json_int_t)number, "revision", (json_int_t)revision));
    else if (code == EXIT_CODE_OK)
        printf("%llu\n", (unsigned long long)number);
    return code;
}

enum exit_code keys_ls(struct cli *cli)
{
    struct minikv_bytes prefix = {NULL, 0};
    if (cli->arguments_count != 0)
        prefix = minikv_text(cli->arguments[0]);
    return cli->counts ? count(cli, prefix) : keys_list(cli, prefix);
}
