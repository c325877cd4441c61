/* ls: keys in order, page by page. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/table.h"

struct listing {
    struct cli *cli;
    uint64_t left;      /* items still wanted */
    struct table table; /* OUTPUT_TABLE */
    json_t *items;      /* OUTPUT_JSON */
    uint64_t revision;  /* of the last page */
    struct buf after;   /* the last key of the page before; empty: from the start */
    bool has_more;
};

static void print_plain(const struct minikv_item *item, bool keys_only)
{
    struct bytes key = ask_bytes(item->key), value = ask_bytes(item->value);
    struct buf line;
    buf_init(&line, 4 * (key.count + value.count) + 2);
    table_put_escaped(&line, key, ask_is_text(key));
    if (!keys_only) {
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
    table_add_bytes(table, ask_bytes(item->key), ask_is_text(ask_bytes(item->key)));
    table_add_number(table, item->mod_revision);
    table_add_number(table, item->version);
    if (!listing->cli->keys_only)
        table_add_bytes(table, ask_bytes(item->value), ask_is_text(ask_bytes(item->value)));
}

static void take_item(struct listing *listing, const struct minikv_item *item)
{
    const struct cli *cli = listing->cli;
    if (cli->output == CLI_OUTPUT_JSON)
        (void)json_array_append_new(listing->items, ask_json_of_item(item, cli->keys_only));
    else if (cli->output == CLI_OUTPUT_PLAIN)
        print_plain(item, cli->keys_only);
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
        .range = {.after = {after.data, after.count},
                  .limit = (unsigned)MIN(listing->left, LIMIT_LIST_ITEMS),
                  .keys_only = cli->keys_only}};
    if (cli->arguments_count != 0)
        request.range.prefix = minikv_text(cli->arguments[0]);
    struct minikv_result result;
    enum exit_code code = ask_perform(cli, &request, &result);
    if (code == EXIT_CODE_OK)
        take_page(listing, &result);
    minikv_result_release(&result);
    return code;
}

static void begin(struct listing *listing, struct cli *cli)
{
    if (cli->output == CLI_OUTPUT_DEFAULT)
        cli->output = CLI_OUTPUT_TABLE;
    *listing = (struct listing){
        .cli = cli,
        .left = cli->limit != NULL ? strtoull(cli->limit, NULL, 10) : UINT64_MAX,
        .items = json_array(),
    };
    buf_init(&listing->after, LIMIT_KEY_BYTES + 4);
    table_init(&listing->table, cli->keys_only ? 3 : 4);
    table_add(&listing->table, "KEY");
    table_add(&listing->table, "REVISION");
    table_add(&listing->table, "VERSION");
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

enum exit_code keys_ls(struct cli *cli)
{
    struct listing listing;
    begin(&listing, cli);
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
