/* Commands on one key: put, get, del, incr. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/table.h"

/* ---- conditions and revisions ---- */

enum { CONDITION_BYTES = 32 };

/* `text` is borrowed by the request. */
static void add_condition(const struct cli *cli, struct http_request *request,
                          char text[CONDITION_BYTES])
{
    (void)snprintf(text, CONDITION_BYTES, "\"%s\"", cli->if_rev != NULL ? cli->if_rev : "");
    bool has_room = true; /* a request starts with none */
    if (cli->if_rev != NULL)
        has_room = http_request_add_header(request, "If-Match", text);
    else if (cli->if_absent)
        has_room = http_request_add_header(request, "If-None-Match", "*");
    INVARIANT(has_room);
}

/* `revision` 0: the reply names none. */
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

/* ---- values ---- */

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
    struct buf target;
    char condition[CONDITION_BYTES];
    ask_key_target(&target, "/v1/kv/", cli->arguments[0]);
    struct http_request request = {
        .method = "PUT", .target = buf_text(&target), .body = value, .has_body = true};
    bool has_room = http_request_add_header(&request, "Content-Type", "application/octet-stream");
    INVARIANT(has_room);
    add_condition(cli, &request, condition);

    struct http_reply reply;
    enum exit_code code = ask_call(cli, &request, false, &reply);
    if (code == EXIT_CODE_OK)
        print_change(cli, ask_revision(&reply));
    http_reply_release(&reply);
    buf_release(&target);
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

static void print_row(const json_t *item, struct bytes key, bool key_is_text, struct bytes value,
                      bool value_is_text)
{
    static const char *const heading[] = {"KEY", "REVISION", "VERSION", "VALUE"};
    struct table table;
    table_init(&table, ARRAY_COUNT(heading));
    for (size_t i = 0; i < ARRAY_COUNT(heading); i++)
        table_add(&table, heading[i]);
    table_add_bytes(&table, key, key_is_text);
    table_add_number(&table, (uint64_t)json_integer_value(json_object_get(item, "mod_revision")));
    table_add_number(&table, (uint64_t)json_integer_value(json_object_get(item, "version")));
    table_add_bytes(&table, value, value_is_text);
    table_print(&table);
    table_release(&table);
}

static enum exit_code print_item(const struct cli *cli, const struct http_reply *reply)
{
    json_t *item = ask_json(cli, reply);
    if (item == NULL)
        return EXIT_CODE_FAILURE;
    struct buf key, value;
    bool key_is_text, value_is_text;
    buf_init(&key, HTTP_REPLY_BODY_BYTES);
    buf_init(&value, HTTP_REPLY_BODY_BYTES);
    bool is_whole = ask_bytes(item, "key", &key, &key_is_text) &&
                    ask_bytes(item, "value", &value, &value_is_text);
    if (is_whole)
        print_row(item, buf_bytes(&key), key_is_text, buf_bytes(&value), value_is_text);
    else
        fputs("minikv: get: the reply is not what this version understands\n", stderr);
    buf_release(&key);
    buf_release(&value);
    json_decref(item);
    return is_whole ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
}

enum exit_code data_get(struct cli *cli)
{
    struct buf target;
    ask_key_target(&target, "/v1/kv/", cli->arguments[0]);
    if (cli->is_stale)
        buf_put_text(&target, "?consistency=stale");
    bool wants_bytes = cli->is_raw || cli->output <= CLI_OUTPUT_PLAIN;
    struct http_request request = {.method = "GET", .target = buf_text(&target)};
    bool has_room = http_request_add_header(
        &request, "Accept", wants_bytes ? "application/octet-stream" : "application/json");
    INVARIANT(has_room);

    struct http_reply reply;
    enum exit_code code = ask_call(cli, &request, true, &reply);
    if (code == EXIT_CODE_OK && cli->output == CLI_OUTPUT_TABLE && !cli->is_raw)
        code = print_item(cli, &reply);
    else if (code == EXIT_CODE_OK) {
        fwrite(reply.body, 1, reply.body_bytes, stdout);
        if (wants_bytes && !cli->is_raw)
            fputc('\n', stdout);
    }
    http_reply_release(&reply);
    buf_release(&target);
    return code;
}

enum exit_code data_del(struct cli *cli)
{
    struct buf target;
    char condition[CONDITION_BYTES];
    ask_key_target(&target, "/v1/kv/", cli->arguments[0]);
    struct http_request request = {.method = "DELETE", .target = buf_text(&target)};
    add_condition(cli, &request, condition);

    struct http_reply reply;
    enum exit_code code = ask_call(cli, &request, false, &reply);
    if (code == EXIT_CODE_OK)
        print_change(cli, 0);
    http_reply_release(&reply);
    buf_release(&target);
    return code;
}

enum exit_code data_incr(struct cli *cli)
{
    struct buf target;
    char body[48];
    ask_key_target(&target, "/v1/incr/", cli->arguments[0]);
    (void)snprintf(body, sizeof body, "{\"by\":%s}", cli->by != NULL ? cli->by : "1");
    struct http_request request = {.method = "POST",
                                   .target = buf_text(&target),
                                   .body = bytes_of_text(body),
                                   .has_body = true};
    bool has_room = http_request_add_header(&request, "Content-Type", "application/json");
    INVARIANT(has_room);

    struct http_reply reply;
    enum exit_code code = ask_call(cli, &request, false, &reply);
    json_t *answer = code == EXIT_CODE_OK ? ask_json(cli, &reply) : NULL;
    if (code == EXIT_CODE_OK && answer == NULL)
        code = EXIT_CODE_FAILURE;
    else if (code == EXIT_CODE_OK && cli->output == CLI_OUTPUT_JSON)
        fwrite(reply.body, 1, reply.body_bytes, stdout);
    else if (code == EXIT_CODE_OK)
        printf("%lld\n", (long long)json_integer_value(json_object_get(answer, "value")));
    json_decref(answer);
    http_reply_release(&reply);
    buf_release(&target);
    return code;
}
