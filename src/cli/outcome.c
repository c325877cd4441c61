/* outcome: what became of a write, asked or settled. */
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/ask.h"
#include "cli/cli.h"

/* ---- asking ---- */

/* As in the header Idempotency-Key: a string in quotes (RFC 8941 §3.3.3), also where the command
 * line has none around it. */
static void put_key(struct buf *out, const char *key)
{
    size_t count = strlen(key);
    if (count >= 2 && key[0] == '"' && key[count - 1] == '"') {
        buf_put_text(out, key);
        return;
    }
    buf_put_u8(out, '"');
    for (; *key != '\0'; key++) {
        if (*key == '"' || *key == '\\')
            buf_put_u8(out, '\\');
        buf_put_u8(out, (uint8_t)*key);
    }
    buf_put_u8(out, '"');
}

/* `key` is quoted; NULL: the identity counts. */
static enum exit_code ask(struct cli *cli, const struct minikv_identity *identity, const char *key,
                          struct minikv_result *result)
{
    struct buf target;
    buf_init(&target, 1 * MIB);
    buf_put_text(&target, key != NULL ? "/v1/outcome?key=" : "/v1/outcome?client=");
    ask_put_encoded(&target, bytes_of_text(key != NULL ? key : identity->client));
    if (key == NULL)
        buf_printf(&target, "&sequence=%llu", (unsigned long long)identity->sequence);
    enum exit_code code = ask_call(cli, "GET", buf_text(&target), NULL, result);
    buf_release(&target);
    return code;
}

static enum exit_code seal(struct cli *cli, const struct minikv_identity *identity, const char *key,
                           struct minikv_result *result)
{
    json_t *body = key != NULL ? json_pack("{s:s}", "key", key)
                               : json_pack("{s:s, s:I}", "client", identity->client, "sequence",
                                           (json_int_t)identity->sequence);
    if (body == NULL) {
        fputs("minikv: outcome: the identity is no text\n", stderr);
        *result = (struct minikv_result){.code = MINIKV_INVALID};
        return EXIT_CODE_USAGE;
    }
    return ask_call(cli, "POST", "/v1/outcome/seal", body, result);
}

static enum exit_code ask_or_seal(struct cli *cli, const struct minikv_identity *identity,
                                  struct minikv_result *result)
{
    struct buf key;
    buf_init(&key, 256 * KIB);
    if (cli->key != NULL)
        put_key(&key, cli->key);
    const char *text = cli->key != NULL ? buf_text(&key) : NULL;
    enum exit_code code =
        cli->seals ? seal(cli, identity, text, result) : ask(cli, identity, text, result);
    buf_release(&key);
    return code;
}

/* ---- the answer ---- */

/* "applied", and what the write came to: ", value 3", ", revision 7", ", refused: …". */
static void print_applied(const json_t *answer)
{
    const char *type = json_string_value(json_object_get(answer, "type"));
    const char *etag = json_string_value(json_object_get(answer, "etag"));
    const json_t *value = json_object_get(json_object_get(answer, "body"), "value");
    fputs("applied", stdout);
    if (type != NULL)
        printf(", and came to: %s", strrchr(type, ':') != NULL ? strrchr(type, ':') + 1 : type);
    if (json_is_integer(value))
        printf(", value %lld", (long long)json_integer_value(value));
    if (etag != NULL && *etag == '"')
        printf(", revision %llu", strtoull(etag + 1, NULL, 10));
    putchar('\n');
}

static enum exit_code print_outcome(struct cli *cli, const json_t *root,
                                    const struct minikv_result *result)
{
    const char *outcome = json_string_value(json_object_get(root, "outcome"));
    if (outcome == NULL) {
        fputs("minikv: outcome: the reply is not what this version understands\n", stderr);
        return EXIT_CODE_FAILURE;
    }
    if (cli->output == CLI_OUTPUT_JSON)
        fwrite(result->body.data, 1, result->body.count, stdout);
    else if (strcmp(outcome, "applied") == 0)
        print_applied(json_object_get(root, "answer"));
    else
        puts(outcome);
    if (strcmp(outcome, "applied") == 0 || strcmp(outcome, "never") == 0)
        return EXIT_CODE_OK;
    return strcmp(outcome, "expired") == 0 ? EXIT_CODE_FAILURE : EXIT_CODE_UNKNOWN;
}

enum exit_code outcome_run(struct cli *cli)
{
    struct minikv_identity identity = {.sequence = 0};
    if (cli->arguments_count != (cli->key != NULL ? 0 : 2) ||
        (cli->key == NULL &&
         !arguments_read_identity(cli->arguments[0], cli->arguments[1], &identity))) {
        fputs("minikv: usage: minikv outcome CLIENT SEQUENCE, or minikv outcome --key KEY\n",
              stderr);
        return EXIT_CODE_USAGE;
    }
    struct minikv_result result;
    enum exit_code code = ask_or_seal(cli, &identity, &result);
    if (code == EXIT_CODE_OK) {
        json_t *root = ask_json(cli, &result);
        code = root != NULL ? print_outcome(cli, root, &result) : EXIT_CODE_FAILURE;
        json_decref(root);
    }
    minikv_result_release(&result);
    return code;
}
