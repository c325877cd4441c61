#include "cli/ask.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/limits.h"

/* RFC 3986 §2.3. */
static bool is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void ask_put_encoded(struct buf *target, struct bytes bytes, bool keep_slashes)
{
    for (size_t i = 0; i < bytes.count; i++) {
        if (is_unreserved(bytes.data[i]) || (keep_slashes && bytes.data[i] == '/'))
            buf_put_u8(target, bytes.data[i]);
        else
            buf_printf(target, "%%%02X", bytes.data[i]);
    }
}

void ask_key_target(struct buf *target, const char *path, const char *key)
{
    buf_init(target, LIMIT_TARGET_BYTES * 8); /* too long a key is the server's to refuse */
    buf_put_text(target, path);
    ask_put_encoded(target, bytes_of_text(key), true);
}

uint64_t ask_revision(const struct http_reply *reply)
{
    const char *etag = http_reply_header(reply, "ETag");
    return etag != NULL && *etag == '"' ? strtoull(etag + 1, NULL, 10) : 0;
}

/* Which condition would have held; the server's own words speak of headers. */
static void report_condition(const struct http_reply *reply)
{
    uint64_t revision = ask_revision(reply);
    if (revision != 0)
        fprintf(stderr, ": the key has revision %llu\n", (unsigned long long)revision);
    else
        fputs(": there is no such key\n", stderr);
}

/* What went wrong, in the server's words where there are any. */
static void report(const struct cli *cli, const struct client_outcome *outcome,
                   const struct http_reply *reply)
{
    bool is_silence = reply->code == 0 && outcome->effect != EFFECT_MAYBE;
    const char *what = is_silence ? "no node answered" : status_info(outcome->status)->title;
    const char *detail = outcome->error.text;
    json_t *problem = NULL;
    if (reply->code != 0) {
        problem = json_loadb((const char *)reply->body, reply->body_bytes, JSON_ALLOW_NUL, NULL);
        detail = json_string_value(json_object_get(problem, "detail"));
    }
    fprintf(stderr, "minikv: %s: %s", cli->command->name, what);
    if (outcome->status == ST_CONDITION_FAILED)
        report_condition(reply);
    else if (detail != NULL && *detail != '\0')
        fprintf(stderr, ": %s\n", detail);
    else
        fputc('\n', stderr);
    if (outcome->effect == EFFECT_MAYBE)
        fputs("minikv: the write may or may not have happened, or may still happen. It was not "
              "sent again; read before you write again.\n",
              stderr);
    if (cli->output == CLI_OUTPUT_JSON && reply->code != 0)
        fprintf(stderr, "%.*s", (int)reply->body_bytes, (const char *)reply->body);
    json_decref(problem);
}

/* The code of the status, corrected by what is known about this call's effect. */
static enum exit_code exit_code_of(const struct client_outcome *outcome)
{
    if (outcome->effect == EFFECT_MAYBE)
        return EXIT_CODE_UNKNOWN;
    enum exit_code code = status_info(outcome->status)->exit;
    bool is_silence = outcome->status == ST_CLOSED || code == EXIT_CODE_UNKNOWN;
    return is_silence ? EXIT_CODE_UNAVAILABLE : code;
}

enum exit_code ask_call(struct cli *cli, const struct http_request *request, bool is_repeatable,
                        struct http_reply *reply)
{
    struct client_outcome outcome;
    http_reply_init(reply);
    if (client_call(&cli->client, request, is_repeatable, reply, &outcome) == ST_OK)
        return EXIT_CODE_OK;
    report(cli, &outcome, reply);
    return exit_code_of(&outcome);
}

json_t *ask_json(const struct cli *cli, const struct http_reply *reply)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)reply->body, reply->body_bytes,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (json_is_object(root))
        return root;
    json_decref(root);
    fprintf(stderr, "minikv: %s: the reply is not what this version understands\n",
            cli->command->name);
    return NULL;
}

enum exit_code ask_for_json(struct cli *cli, const char *target, json_t **out_json)
{
    struct http_request request = {.method = "GET", .target = target};
    struct http_reply reply;
    enum exit_code code = ask_call(cli, &request, true, &reply);
    *out_json = code == EXIT_CODE_OK ? ask_json(cli, &reply) : NULL;
    if (code == EXIT_CODE_OK && *out_json == NULL)
        code = EXIT_CODE_FAILURE;
    http_reply_release(&reply);
    return code;
}

void ask_print_json(json_t *root)
{
    (void)json_dumpf(root, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    json_decref(root);
}

void ask_set_bytes(json_t *item, const char *name, struct bytes bytes)
{
    json_t *text = json_stringn((const char *)bytes.data, bytes.count);
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

bool ask_bytes(const json_t *item, const char *name, struct buf *out, bool *out_is_text)
{
    char base64_name[40];
    (void)snprintf(base64_name, sizeof base64_name, "%s_base64", name);
    const json_t *text = json_object_get(item, name);
    const json_t *base64 = json_object_get(item, base64_name);
    *out_is_text = json_is_string(text);
    if (*out_is_text)
        buf_put(out, bytes_of(json_string_value(text), json_string_length(text)));
    else if (!json_is_string(base64) ||
             base64_decode(bytes_of(json_string_value(base64), json_string_length(base64)), out) !=
                 ST_OK)
        return false;
    return !out->is_full;
}
