/* minikv import: what minikv export has written, or lines like it.
 *
 * Lines are stored many in a transaction, each of them exactly once. What a line says is the same
 * however often it is stored, so an import that stopped can be begun again: from the start, or
 * behind the last line that it says is stored (--skip). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/limits.h"
#include "cli/ask.h"
#include "cli/bar.h"
#include "cli/download.h"

enum {
    BATCH_LINES = 100, /* at most LIMIT_TXN_OPERATIONS */
    BATCH_BYTES = 512 * KIB
};
_Static_assert((int)BATCH_LINES <= (int)LIMIT_TXN_OPERATIONS, "one transaction holds a batch");

struct import {
    struct cli *cli;
    FILE *file;
    struct bar bar;
    char *line; /* owned: of getline */
    size_t line_capacity;
    uint64_t lines;  /* read */
    uint64_t stored; /* lines up to which everything is stored */
    uint64_t bytes;  /* read */
    uint64_t keys, leased;
    json_t *operations; /* owned: of the transaction to be sent */
    json_t *begun;      /* owned: its keys in base64, each of which may be there once */
    size_t batch_bytes;
    bool has_end; /* the last line has come */
};

/* ---- storing ---- */

static enum exit_code send(struct import *import)
{
    struct minikv_result result;
    size_t count = json_array_size(import->operations);
    enum exit_code code = EXIT_CODE_OK;
    if (count != 0) {
        code = ask_once(import->cli, "POST", "/v1/txn",
                        json_pack("{s:O}", "success", import->operations), &result);
        minikv_result_release(&result);
    }
    if (code != EXIT_CODE_OK)
        return code;
    import->keys += count;
    import->stored = import->lines;
    import->batch_bytes = 0;
    (void)json_array_clear(import->operations);
    (void)json_object_clear(import->begun);
    return EXIT_CODE_OK;
}

static void move_member(json_t *to, const json_t *from, const char *name)
{
    json_t *member = json_object_get(from, name);
    if (member != NULL)
        (void)json_object_set(to, name, member);
}

/* ---- lines ---- */

static enum exit_code refuse_line(const struct import *import, const char *why)
{
    fprintf(stderr, "minikv: import: line %llu: %s\n", (unsigned long long)import->lines, why);
    return EXIT_CODE_USAGE;
}

/* Escaped, a value may be six times as long, and no body may be: such a one travels as base64. */
static void move_value(json_t *to, const json_t *from, size_t line_bytes)
{
    struct buf value, base64;
    buf_init(&value, LIMIT_VALUE_BYTES);
    buf_init(&base64, 2 * LIMIT_VALUE_BYTES);
    if (line_bytes > BATCH_BYTES && ask_take_bytes(from, "value", &value)) {
        base64_put(&base64, buf_bytes(&value));
        (void)json_object_set_new(to, "value_base64", json_string(buf_text(&base64)));
    } else {
        move_member(to, from, "value");
        move_member(to, from, "value_base64");
    }
    buf_release(&value);
    buf_release(&base64);
}

/* Appends the key's bytes, however it is spelled; NULL, or what is wrong with it. */
static const char *take_key(const json_t *item, struct buf *out)
{
    bool is_text = json_object_get(item, "key") != NULL;
    bool is_base64 = json_object_get(item, "key_base64") != NULL;
    if (!is_text && !is_base64)
        return "it has no key";
    if (is_text && is_base64)
        return "it has both key and key_base64";
    if (!ask_take_bytes(item, "key", out) || out->count == 0)
        return "its key is not 1 to 4096 bytes of text, or base64";
    return NULL;
}

static bool is_wanted(const struct import *import, struct bytes key)
{
    struct bytes prefix = bytes_of_text(import->cli->prefix != NULL ? import->cli->prefix : "");
    return key.count >= prefix.count && bytes_equal(bytes_of(key.data, prefix.count), prefix);
}

/* What is collected is stored up to the line before this one. */
static enum exit_code send_before(struct import *import)
{
    import->lines--;
    enum exit_code code = send(import);
    import->lines++;
    return code;
}

/* `name` is that of the key among those begun. */
static enum exit_code add(struct import *import, const json_t *item, const char *name, size_t bytes)
{
    bool is_full = json_array_size(import->operations) == BATCH_LINES ||
                   import->batch_bytes + bytes > BATCH_BYTES ||
                   json_object_get(import->begun, name) != NULL;
    enum exit_code code = is_full ? send_before(import) : EXIT_CODE_OK;
    if (code != EXIT_CODE_OK)
        return code;
    json_t *put = json_object();
    move_member(put, item, "key");
    move_member(put, item, "key_base64");
    move_value(put, item, bytes);
    (void)json_array_append_new(import->operations, json_pack("{s:o}", "put", put));
    (void)json_object_set_new(import->begun, name, json_true());
    import->batch_bytes += bytes;
    return EXIT_CODE_OK;
}

static enum exit_code take_item(struct import *import, const json_t *item, size_t bytes)
{
    struct buf key, name;
    enum exit_code code = EXIT_CODE_OK;
    buf_init(&key, LIMIT_KEY_BYTES);
    buf_init(&name, 2 * LIMIT_KEY_BYTES);
    const char *wrong = take_key(item, &key);
    if (wrong != NULL) {
        code = refuse_line(import, wrong);
    } else if (json_integer_value(json_object_get(item, "lease")) != 0) {
        import->leased++;
    } else if (is_wanted(import, buf_bytes(&key))) {
        base64_put(&name, buf_bytes(&key)); /* one text for both spellings */
        code = add(import, item, buf_text(&name), bytes);
    }
    buf_release(&key);
    buf_release(&name);
    return code;
}

/* The line that says that an export is whole. */
static bool is_end(const json_t *root)
{
    return json_object_get(root, "count") != NULL && json_object_get(root, "key") == NULL &&
           json_object_get(root, "key_base64") == NULL;
}

static enum exit_code take_line(struct import *import, size_t bytes)
{
    if (strspn(import->line, " \t\r\n") == bytes)
        return EXIT_CODE_OK;
    json_t *root = json_loadb(import->line, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (!json_is_object(root)) {
        json_decref(root);
        return refuse_line(import, "it is no JSON object");
    }
    enum exit_code code = EXIT_CODE_OK;
    if (is_end(root))
        import->has_end = true;
    else
        code = take_item(import, root, bytes);
    json_decref(root);
    return code;
}

static enum exit_code read_lines(struct import *import)
{
    ssize_t count;
    enum exit_code code = EXIT_CODE_OK;
    while (code == EXIT_CODE_OK &&
           (count = getline(&import->line, &import->line_capacity, import->file)) > 0) {
        import->lines++;
        import->bytes += (uint64_t)count;
        if (import->lines > import->cli->skip)
            code = take_line(import, (size_t)count);
        bar_show(&import->bar, import->bytes, download_now_ms());
    }
    if (code == EXIT_CODE_OK && ferror(import->file)) {
        fprintf(stderr, "minikv: import: %s: %s\n", import->cli->arguments[0], strerror(errno));
        code = EXIT_CODE_FAILURE;
    }
    return code == EXIT_CODE_OK ? send(import) : code;
}

/* ---- all together ---- */

static enum exit_code tell(const struct import *import)
{
    if (import->cli->output == CLI_OUTPUT_JSON) {
        ask_print_json(json_pack("{s:I, s:I, s:b}", "keys", (json_int_t)import->keys, "leased",
                                 (json_int_t)import->leased, "whole", (int)import->has_end));
    } else {
        printf("ok, %llu keys", (unsigned long long)import->keys);
        if (import->leased != 0)
            printf("; %llu with a lease left out", (unsigned long long)import->leased);
        putchar('\n');
    }
    if (import->has_end)
        return EXIT_CODE_OK;
    fputs("minikv: import: the last line that export writes is missing: the file may have been cut "
          "off\n",
          stderr);
    return EXIT_CODE_FAILURE;
}

static enum exit_code run(struct import *import)
{
    struct stat about;
    bool has_size = fstat(fileno(import->file), &about) == 0 && S_ISREG(about.st_mode);
    bar_init(&import->bar, has_size ? (uint64_t)about.st_size : 0);
    import->bar.is_on = import->bar.is_on && has_size;
    import->operations = json_array();
    import->begun = json_object();
    enum exit_code code = read_lines(import);
    bar_release(&import->bar);
    if (code == EXIT_CODE_OK)
        code = tell(import);
    else if (import->stored > import->cli->skip)
        fprintf(stderr,
                "minikv: import: the first %llu lines are stored; to go on behind them: --skip "
                "%llu\n",
                (unsigned long long)import->stored, (unsigned long long)import->stored);
    json_decref(import->operations);
    json_decref(import->begun);
    free(import->line);
    return code;
}

enum exit_code import_run(struct cli *cli)
{
    bool is_stream = strcmp(cli->arguments[0], "-") == 0;
    struct import import = {.cli = cli, .stored = cli->skip};
    import.file = is_stream ? stdin : fopen(cli->arguments[0], "re");
    if (import.file == NULL) {
        fprintf(stderr, "minikv: import: %s: %s\n", cli->arguments[0], strerror(errno));
        return EXIT_CODE_USAGE;
    }
    enum exit_code code = run(&import);
    if (!is_stream)
        (void)fclose(import.file); /* only read */
    return code;
}
