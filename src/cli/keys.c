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

static void put_target(const struct listing *listing, struct buf *target)
{
    const struct cli *cli = listing->cli;
    buf_printf(target, "/v1/kv?limit=%llu",
               (unsigned long long)MIN(listing->left, LIMIT_LIST_ITEMS));
    if (cli->arguments_count != 0) {
        buf_put_text(target, "&prefix=");
        ask_put_encoded(target, bytes_of_text(cli->arguments[0]), false);
    }
    if (listing->after.count != 0) {
        buf_put_text(target, "&after=");
        ask_put_encoded(target, buf_bytes(&listing->after), false);
    }
    if (cli->keys_only)
        buf_put_text(target, "&keys_only=true");
    if (cli->is_stale)
        buf_put_text(target, "&consistency=stale");
}

static void print_plain(struct bytes key, bool key_is_text, struct bytes value, bool value_is_text,
                        bool keys_only)
{
    struct buf line;
    buf_init(&line, 4 * HTTP_REPLY_BODY_BYTES);
    table_put_escaped(&line, key, key_is_text);
    if (!keys_only) {
        buf_put_u8(&line, '\t');
        table_put_escaped(&line, value, value_is_text);
    }
    buf_put_u8(&line, '\n');
    fwrite(line.data, 1, line.count, stdout);
    buf_release(&line);
}

static void add_row(struct listing *listing, const json_t *item, struct bytes key, bool key_is_text,
                    struct bytes value, bool value_is_text)
{
    struct table *table = &listing->table;
    table_add_bytes(table, key, key_is_text);
    table_add_number(table, (uint64_t)json_integer_value(json_object_get(item, "mod_revision")));
    table_add_number(table, (uint64_t)json_integer_value(json_object_get(item, "version")));
    if (!listing->cli->keys_only)
        table_add_bytes(table, value, value_is_text);
}

static bool take_item(struct listing *listing, json_t *item)
{
    if (listing->cli->output == CLI_OUTPUT_JSON)
        return json_array_append(listing->items, item) == 0;
    struct buf key, value;
    bool key_is_text, value_is_text = true;
    buf_init(&key, HTTP_REPLY_BODY_BYTES);
    buf_init(&value, HTTP_REPLY_BODY_BYTES);
    bool is_whole = ask_bytes(item, "key", &key, &key_is_text) &&
                    (listing->cli->keys_only || ask_bytes(item, "value", &value, &value_is_text));
    if (is_whole && listing->cli->output == CLI_OUTPUT_PLAIN)
        print_plain(buf_bytes(&key), key_is_text, buf_bytes(&value), value_is_text,
                    listing->cli->keys_only);
    else if (is_whole)
        add_row(listing, item, buf_bytes(&key), key_is_text, buf_bytes(&value), value_is_text);
    buf_release(&key);
    buf_release(&value);
    return is_whole;
}

/* One page into the listing; false when the reply is not understood. */
static bool take_page(struct listing *listing, const json_t *page)
{
    const json_t *items = json_object_get(page, "items");
    size_t count = json_array_size(items);
    if (!json_is_array(items))
        return false;
    for (size_t i = 0; i < count && listing->left > 0; i++, listing->left--)
        if (!take_item(listing, json_array_get(items, i)))
            return false;
    bool is_text;
    buf_reset(&listing->after);
    listing->has_more =
        ask_bytes(page, "next", &listing->after, &is_text) && listing->left > 0 && count > 0;
    listing->revision = (uint64_t)json_integer_value(json_object_get(page, "revision"));
    return true;
}

static enum exit_code fetch_page(struct listing *listing)
{
    struct buf target;
    json_t *page;
    buf_init(&target, LIMIT_TARGET_BYTES * 8);
    put_target(listing, &target);
    enum exit_code code = ask_for_json(listing->cli, buf_text(&target), &page);
    if (code == EXIT_CODE_OK && !take_page(listing, page)) {
        fputs("minikv: ls: the reply is not what this version understands\n", stderr);
        code = EXIT_CODE_FAILURE;
    }
    json_decref(page);
    buf_release(&target);
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
