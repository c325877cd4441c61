/* txn and compact: what is sent as it is, and answered in a few words. */
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/input.h"
#include "cli/options.h"

/* ---- txn ---- */

/* The object in `text`; NULL, with a word on standard error, when there is none. */
static json_t *parse(const struct cli *cli, struct bytes text)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)text.data, text.count,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (json_is_object(root))
        return root;
    if (root != NULL)
        fprintf(stderr, "minikv: txn: %s: it is no JSON object\n", cli->arguments[0]);
    else
        fprintf(stderr, "minikv: txn: %s: line %d, column %d: %s\n", cli->arguments[0], error.line,
                error.column, error.text);
    json_decref(root);
    return NULL;
}

static enum exit_code send(struct cli *cli, json_t *transaction)
{
    struct minikv_result result;
    enum exit_code code = ask_once(cli, "POST", "/v1/txn", transaction, &result);
    if (code == EXIT_CODE_OK) {
        json_t *answer = ask_json(cli, &result);
        code = EXIT_CODE_FAILURE;
        if (answer != NULL) {
            code = json_is_true(json_object_get(answer, "succeeded")) ? EXIT_CODE_OK
                                                                      : EXIT_CODE_CONDITION;
            ask_print_json(answer);
        }
    }
    minikv_result_release(&result);
    return code;
}

enum exit_code txn_run(struct cli *cli)
{
    struct buf text;
    enum exit_code code = EXIT_CODE_USAGE;
    buf_init(&text, INPUT_BYTES(LIMIT_BODY_BYTES));
    if (input_read(cli, cli->arguments[0], LIMIT_BODY_BYTES, "a transaction", &text)) {
        json_t *transaction = parse(cli, buf_bytes(&text));
        if (transaction != NULL)
            code = send(cli, transaction);
    }
    buf_release(&text);
    return code;
}

/* ---- compact ---- */

enum exit_code txn_compact(struct cli *cli)
{
    uint64_t revision;
    if (!option_read_number(cli->arguments[0], 1, UINT64_MAX, &revision)) {
        fputs("minikv: usage: minikv compact REVISION\n", stderr);
        return EXIT_CODE_USAGE;
    }
    struct minikv_result result;
    enum exit_code code = ask_once(cli, "POST", "/v1/compact",
                                   json_pack("{s:I}", "revision", (json_int_t)revision), &result);
    if (code == EXIT_CODE_OK && cli->output == CLI_OUTPUT_JSON)
        ask_print_json(json_pack("{s:I}", "compacted", (json_int_t)revision));
    else if (code == EXIT_CODE_OK)
        printf("ok, what was before revision %llu can no longer be read\n",
               (unsigned long long)revision);
    minikv_result_release(&result);
    return code;
}
