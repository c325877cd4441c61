#include "cli/ask.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/percent.h"

/* ---- why it failed ---- */

/* The status that the server calls this; NULL: it is none of ours. */
static const struct status_info *find_status(const char *word)
{
    for (int i = 0; i < STATUS_COUNT; i++)
        if (strcmp(status_info((enum status)i)->code, word) == 0)
            return status_info((enum status)i);
    return NULL;
}

const char *ask_title(const char *word)
{
    const struct status_info *info = find_status(word);
    return info != NULL ? info->title : NULL;
}

static const char *title_of(const struct minikv_result *result)
{
    const char *title = ask_title(result->word);
    if (result->http_code == 0 && result->effect != MINIKV_MAYBE_APPLIED &&
        result->code == MINIKV_UNAVAILABLE)
        return "no node answered";
    return title != NULL ? title : minikv_code_name(result->code);
}

/* Which condition would have held; the server's own words speak of headers. */
static void report_condition(const struct minikv_result *result)
{
    if (result->revision != 0)
        fprintf(stderr, ": the key has revision %llu\n", (unsigned long long)result->revision);
    else
        fputs(": there is no such key\n", stderr);
}

static void report_unknown(const struct minikv_result *result)
{
    fputs("minikv: the write may or may not have happened, or may still happen", stderr);
    if (*result->identity.client != '\0')
        fprintf(stderr,
                ". What became of it:\n"
                "    minikv outcome %s %llu\n"
                "and with --seal: that it does not happen any more, if it has not by then.\n",
                result->identity.client, (unsigned long long)result->identity.sequence);
    else
        fputs("; read before you write again.\n", stderr);
}

static enum exit_code exit_code_of(const struct minikv_result *result)
{
    const struct status_info *info = find_status(result->word);
    if (result->effect == MINIKV_MAYBE_APPLIED)
        return EXIT_CODE_UNKNOWN;
    switch (result->code) {
    case MINIKV_OK:
        return EXIT_CODE_OK;
    case MINIKV_NOT_FOUND:
        return EXIT_CODE_NOT_FOUND;
    case MINIKV_CONDITION_FAILED:
        return EXIT_CODE_CONDITION;
    case MINIKV_REFUSED:
        return info != NULL ? info->exit : EXIT_CODE_FAILURE;
    case MINIKV_FULL:
    case MINIKV_UNAVAILABLE:
    case MINIKV_UNKNOWN: /* of what changes nothing: only the answer is missing */
        return EXIT_CODE_UNAVAILABLE;
    case MINIKV_INVALID:
        return EXIT_CODE_USAGE;
    case MINIKV_NOT_INTEGER:
    case MINIKV_OVERFLOW:
    case MINIKV_NO_MEMORY:
    case MINIKV_CANCELLED:
        return EXIT_CODE_FAILURE;
    case MINIKV_LOST:
    case MINIKV_HELD:
        return EXIT_CODE_LOST;
    }
    return EXIT_CODE_FAILURE; /* of a newer library */
}

enum exit_code ask_report(const struct cli *cli, const struct minikv_result *result)
{
    const char *title = title_of(result);
    bool has_more = *result->detail != '\0' && strcmp(result->detail, title) != 0;
    fprintf(stderr, "minikv: %s: %s", cli->command->name, title);
    if (result->code == MINIKV_CONDITION_FAILED)
        report_condition(result);
    else
        fprintf(stderr, "%s%s\n", has_more ? ": " : "", has_more ? result->detail : "");
    if (result->effect == MINIKV_MAYBE_APPLIED)
        report_unknown(result);
    return exit_code_of(result);
}

/* ---- requests ---- */

enum exit_code ask_perform(struct cli *cli, const struct minikv_request *request,
                           struct minikv_result *result)
{
    enum minikv_code code = minikv_perform(cli->kv, request, result);
    return code == MINIKV_OK ? EXIT_CODE_OK : ask_report(cli, result);
}

/* Gives `body` back. */
static enum minikv_code call(struct cli *cli, struct minikv_request *request, json_t *body,
                             struct minikv_result *result)
{
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    request->op = MINIKV_CALL;
    if (text != NULL)
        request->value = minikv_text(text);
    enum minikv_code code = minikv_perform(cli->kv, request, result);
    json_decref(body);
    free(text);
    return code;
}

enum exit_code ask_call(struct cli *cli, const char *method, const char *target, json_t *body,
                        struct minikv_result *result)
{
    struct minikv_request request = {.method = method, .target = target, .is_repeatable = true};
    enum minikv_code code = call(cli, &request, body, result);
    return code == MINIKV_OK ? EXIT_CODE_OK : ask_report(cli, result);
}

enum minikv_code ask_try_once(struct cli *cli, const char *method, const char *target, json_t *body,
                              struct minikv_result *result)
{
    struct minikv_request request = {
        .method = method, .target = target, .is_once = true, .identity = cli->identity};
    return call(cli, &request, body, result);
}

enum exit_code ask_once(struct cli *cli, const char *method, const char *target, json_t *body,
                        struct minikv_result *result)
{
    enum minikv_code code = ask_try_once(cli, method, target, body, result);
    return code == MINIKV_OK ? EXIT_CODE_OK : ask_report(cli, result);
}

json_t *ask_json(const struct cli *cli, const struct minikv_result *result)
{
    json_t *root = json_loadb(result->body.data, result->body.count,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (json_is_object(root))
        return root;
    json_decref(root);
    fprintf(stderr, "minikv: %s: the reply is not what this version understands\n",
            cli->command->name);
    return NULL;
}

enum exit_code ask_for_json(struct cli *cli, const char *target, json_t **out_json)
{
    struct minikv_result result;
    enum exit_code code = ask_call(cli, "GET", target, NULL, &result);
    *out_json = code == EXIT_CODE_OK ? ask_json(cli, &result) : NULL;
    if (code == EXIT_CODE_OK && *out_json == NULL)
        code = EXIT_CODE_FAILURE;
    minikv_result_release(&result);
    return code;
}

/* ---- bytes and JSON ---- */

void ask_put_encoded(struct buf *target, struct bytes bytes)
{
    if (buf_reserve(target, bytes.count * PERCENT_ENCODED_BYTES_MAX))
        target->count += percent_encode(bytes, (char *)target->data + target->count);
}

bool ask_is_text(struct bytes bytes)
{
    json_t *text = json_stringn(bytes.count != 0 ? (const char *)bytes.data : "", bytes.count);
    json_decref(text);
    return text != NULL;
}

void ask_set_bytes(json_t *item, const char *name, struct bytes bytes)
{
    json_t *text = json_stringn(bytes.count != 0 ? (const char *)bytes.data : "", bytes.count);
    if (text != NULL) {
        (void)json_object_set_new(item, name, text);
        return;
    }
    char base64_name[40];
    struct buf base64;
    (void)snprintf(base64_name, sizeof base64_name, "%s_base64", name);
    buf_init(&base64, 2 * bytes.count + 8);
    base64_put(&base64, bytes);
    (void)json_object_set_new(item, base64_name, json_string(buf_text(&base64)));
    buf_release(&base64);
}

bool ask_take_bytes(const json_t *object, const char *name, struct buf *out)
{
    char base64_name[40];
    const json_t *text = json_object_get(object, name);
    if (json_is_string(text)) {
        buf_put(out, bytes_of(json_string_value(text), json_string_length(text)));
        return !out->is_full;
    }
    (void)snprintf(base64_name, sizeof base64_name, "%s_base64", name);
    const json_t *base64 = json_object_get(object, base64_name);
    return json_is_string(base64) &&
           base64_decode(bytes_of(json_string_value(base64), json_string_length(base64)), out) ==
               ST_OK;
}

json_t *ask_json_of_item(const struct minikv_item *item, bool keys_only)
{
    json_t *root = json_object();
    ask_set_bytes(root, "key", ask_bytes(item->key));
    if (!keys_only)
        ask_set_bytes(root, "value", ask_bytes(item->value));
    const struct {
        const char *name;
        uint64_t number;
    } numbers[] = {{"create_revision", item->create_revision},
                   {"mod_revision", item->mod_revision},
                   {"version", item->version},
                   {"lease", item->lease}};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        (void)json_object_set_new(root, numbers[i].name,
                                  json_integer((json_int_t)numbers[i].number));
    return root;
}

void ask_print_json(json_t *root)
{
    (void)json_dumpf(root, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(root);
}
