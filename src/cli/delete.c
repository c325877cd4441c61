/* minikv del --prefix.
 *
 * All of a prefix are asked for in one transaction. One that would be too large is refused whole;
 * then the keys there are at that moment are gone through in order, and each page of them is a
 * transaction of its own. So what is deleted is always what stands before some key, and the same
 * command again goes on behind it. Keys that are made meanwhile go with the page that they come to
 * lie in, or stay: otherwise a busy writer would keep this going for ever. */
#include "cli/delete.h"

#include <signal.h>
#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/bar.h"
#include "cli/download.h"
#include "cli/keys.h"

enum { PAGE_KEYS = LIMIT_LIST_ITEMS };
_Static_assert((int)PAGE_KEYS <= (int)LIMIT_TXN_DELETES, "one transaction deletes a page");

struct deletion {
    struct cli *cli;
    struct bar bar;
    struct buf after;      /* owned: the last key that is done with; empty: none is */
    uint64_t revision;     /* whose keys are gone through; 0: those there are now */
    uint64_t changed;      /* the revision after the last transaction */
    size_t page_keys;      /* at most, of the next page */
    uint64_t deleted;      /* keys */
    uint64_t transactions; /* carried out */
    bool is_over;          /* no key is left */
};

/* ---- transactions ---- */

/* How many it deleted, by its answer. */
static enum exit_code take_answer(struct deletion *deletion, const struct minikv_result *result)
{
    json_t *answer = ask_json(deletion->cli, result);
    if (answer == NULL)
        return EXIT_CODE_FAILURE;
    size_t at;
    const json_t *each;
    json_array_foreach(json_object_get(answer, "results"), at, each)
    {
        const json_t *deleted = json_object_get(json_object_get(each, "delete"), "deleted");
        deletion->deleted += (uint64_t)json_integer_value(deleted);
    }
    deletion->changed = (uint64_t)json_integer_value(json_object_get(answer, "revision"));
    deletion->transactions++;
    json_decref(answer);
    return EXIT_CODE_OK;
}

/* Carries out these operations, which are given back; `out_is_refused`, with nothing said and OK:
 * together they are too large. */
static enum exit_code send(struct deletion *deletion, json_t *operations, bool *out_is_refused)
{
    struct minikv_result result;
    enum minikv_code sent = ask_try_once(deletion->cli, "POST", "/v1/txn",
                                         json_pack("{s:o}", "success", operations), &result);
    enum exit_code code = EXIT_CODE_OK;
    *out_is_refused = sent == MINIKV_REFUSED && strcmp(result.word, "txn-too-large") == 0;
    if (sent == MINIKV_OK)
        code = take_answer(deletion, &result);
    else if (!*out_is_refused)
        code = ask_report(deletion->cli, &result);
    minikv_result_release(&result);
    return code;
}

static json_t *make_delete(const char *name, struct minikv_bytes bytes)
{
    json_t *what = json_object();
    ask_set_bytes(what, name, ask_bytes(bytes));
    return what;
}

/* From the first to the last of the page. */
static json_t *make_operations(const struct minikv_item *items, size_t count)
{
    json_t *operations = json_array();
    const struct minikv_item *last = &items[count - 1];
    if (count > 1) {
        json_t *range = make_delete("start", items[0].key);
        ask_set_bytes(range, "end", ask_bytes(last->key));
        (void)json_array_append_new(operations, json_pack("{s:o}", "delete", range));
    }
    (void)json_array_append_new(operations,
                                json_pack("{s:o}", "delete", make_delete("key", last->key)));
    return operations;
}

/* ---- pages ---- */

/* Between two keys there may be many that were deleted lately, which a transaction has to look at:
 * such a page is tried again as two. A single key is never too much. */
static enum exit_code delete_page(struct deletion *deletion, const struct minikv_result *page)
{
    size_t count = page->items_count;
    bool is_refused;
    enum exit_code code = send(deletion, make_operations(page->items, count), &is_refused);
    if (code != EXIT_CODE_OK)
        return code;
    if (is_refused) {
        deletion->page_keys = MAX(count / 2, (size_t)1);
        return EXIT_CODE_OK;
    }
    deletion->page_keys = MIN(2 * count, (size_t)PAGE_KEYS);
    buf_reset(&deletion->after);
    buf_put(&deletion->after, ask_bytes(page->items[count - 1].key));
    bar_show(&deletion->bar, deletion->deleted, download_now_ms());
    return EXIT_CODE_OK;
}

static enum exit_code go_on(struct deletion *deletion)
{
    struct cli *cli = deletion->cli;
    struct bytes after = buf_bytes(&deletion->after);
    struct minikv_request request = {.op = MINIKV_LIST,
                                     .range = {.prefix = minikv_text(cli->prefix),
                                               .after = {after.data, after.count},
                                               .limit = (unsigned)deletion->page_keys,
                                               .revision = deletion->revision,
                                               .keys_only = true}};
    struct minikv_result page;
    enum minikv_code listed = minikv_perform(cli->kv, &request, &page);
    enum exit_code code = EXIT_CODE_OK;
    if (listed == MINIKV_REFUSED && strcmp(page.word, "compacted") == 0)
        deletion->revision = 0; /* it took long: from here on as it is now */
    else if (listed != MINIKV_OK)
        code = ask_report(cli, &page);
    else if (page.items_count == 0)
        deletion->is_over = true;
    else
        code = delete_page(deletion, &page);
    if (listed == MINIKV_OK)
        deletion->revision = page.revision;
    minikv_result_release(&page);
    return code;
}

/* ---- stopping ---- */

static volatile sig_atomic_t stop; /* the signal that has come */

static void on_signal(int number)
{
    stop = number;
}

/* The first one ends it behind a page, the second one at once. */
static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        (void)sigaction(numbers[i], &action, NULL); /* cannot fail for these */
}

static void tell_rest(const struct deletion *deletion, const char *why)
{
    fprintf(
        stderr,
        "minikv: del: %s%llu keys were deleted, in %llu transaction%s; the same command goes on "
        "behind them\n",
        why, (unsigned long long)deletion->deleted, (unsigned long long)deletion->transactions,
        deletion->transactions == 1 ? "" : "s");
}

static enum exit_code delete_pages(struct deletion *deletion)
{
    struct cli *cli = deletion->cli;
    uint64_t count;
    enum exit_code code = keys_count(cli, minikv_text(cli->prefix), &count, &deletion->revision);
    if (code != EXIT_CODE_OK)
        return code;
    bar_init(&deletion->bar, count);
    deletion->bar.unit = "keys";
    catch_signals();
    while (code == EXIT_CODE_OK && !deletion->is_over && stop == 0)
        code = go_on(deletion);
    bar_release(&deletion->bar);
    if (code != EXIT_CODE_OK)
        tell_rest(deletion, "before that, ");
    else if (!deletion->is_over) {
        tell_rest(deletion, "interrupted: ");
        cli->passed_on = 128 + stop;
    }
    return code;
}

/* ---- all together ---- */

static void tell(const struct deletion *deletion)
{
    if (deletion->cli->output == CLI_OUTPUT_JSON) {
        ask_print_json(json_pack("{s:I, s:I, s:I}", "deleted", (json_int_t)deletion->deleted,
                                 "revision", (json_int_t)deletion->changed, "transactions",
                                 (json_int_t)deletion->transactions));
        return;
    }
    printf("ok, %llu deleted", (unsigned long long)deletion->deleted);
    if (deletion->transactions != 1)
        printf(" in %llu transactions", (unsigned long long)deletion->transactions);
    putchar('\n');
}

static enum exit_code run(struct deletion *deletion)
{
    bool is_refused;
    struct cli *cli = deletion->cli;
    json_t *all = json_pack("[{s:o}]", "delete", make_delete("prefix", minikv_text(cli->prefix)));
    enum exit_code code = send(deletion, all, &is_refused);
    if (code == EXIT_CODE_OK && is_refused && *cli->identity.client != '\0') {
        fputs("minikv: del: it is too much for one transaction, and more than one cannot have the "
              "same --client and --sequence\n",
              stderr);
        return EXIT_CODE_USAGE;
    }
    if (code == EXIT_CODE_OK && is_refused)
        code = delete_pages(deletion);
    else
        deletion->is_over = true;
    if (code == EXIT_CODE_OK && deletion->is_over)
        tell(deletion);
    return code;
}

enum exit_code delete_prefix(struct cli *cli)
{
    struct deletion deletion = {.cli = cli, .page_keys = PAGE_KEYS};
    buf_init(&deletion.after, LIMIT_KEY_BYTES);
    enum exit_code code = run(&deletion);
    buf_release(&deletion.after);
    return code;
}
