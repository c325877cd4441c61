/* minikv export: all keys of one revision as lines of JSON, from whichever node gives them.
 *
 *      {"key":"a","value":"1","create_revision":2,"mod_revision":2,"version":1,"lease":0}
 *      {"revision":7,"count":1}          the last line: only a file that ends with it is whole */
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/bar.h"
#include "cli/keys.h"
#include "cli/outfile.h"
#include "cli/stream.h"

enum { SILENCE_MS = 25 * 1000, TARGET_BYTES = 256 * KIB };

struct export
{
    struct cli *cli;
    struct outfile file;
    struct stream stream;
    struct bar bar;
    struct buf after;  /* the last key that has been written */
    uint64_t revision; /* of all of it */
    uint64_t count;
    struct errtext error;
};

enum export_next {
    EXPORT_ON,
    EXPORT_ELSEWHERE, /* this node gives no more */
    EXPORT_DONE,
    EXPORT_FAILED
};

/* ---- asking ---- */

static void put_prefix(const struct cli *cli, struct buf *out)
{
    if (cli->prefix == NULL || *cli->prefix == '\0')
        return;
    buf_put_text(out, "&prefix=");
    ask_put_encoded(out, bytes_of_text(cli->prefix));
}

/* The revision, and how many keys that will be. */
static enum exit_code begin(struct export *export)
{
    struct cli *cli = export->cli;
    const char *prefix = cli->prefix != NULL ? cli->prefix : "";
    enum exit_code code = keys_count(cli, minikv_text(prefix), &export->bar.of, &export->revision);
    if (cli->rev != 0)
        export->revision = cli->rev;
    return code;
}

static enum stream_result ask(struct export *export)
{
    struct buf target;
    buf_init(&target, TARGET_BYTES);
    buf_printf(&target, "/v1/kv?rev=%llu", (unsigned long long)export->revision);
    put_prefix(export->cli, &target);
    if (export->after.count != 0) {
        buf_put_text(&target, "&after=");
        ask_put_encoded(&target, buf_bytes(&export->after));
    }
    enum stream_result result =
        stream_open(&export->stream, buf_text(&target), "Accept: application/x-ndjson\r\n");
    buf_release(&target);
    return result;
}

/* ---- lines ---- */

static enum export_next take_item(struct export *export, const json_t *root, struct bytes line)
{
    static const uint8_t end = '\n';
    buf_reset(&export->after);
    if (!ask_take_bytes(root, "key", &export->after)) {
        errtext_set(&export->error, "the reply is not what this version understands");
        return EXPORT_FAILED;
    }
    if (!outfile_write(&export->file, line, &export->error) ||
        !outfile_write(&export->file, bytes_of(&end, 1), &export->error))
        return EXPORT_FAILED;
    export->count++;
    bar_show(&export->bar, export->count, download_now_ms());
    return EXPORT_ON;
}

/* The last line: that there is no more, or why there is not. */
static enum export_next take_end(struct export *export, const json_t *root)
{
    const char *type = json_string_value(json_object_get(root, "type"));
    const char *title = json_string_value(json_object_get(root, "title"));
    if (type == NULL)
        return json_is_null(json_object_get(root, "next")) ? EXPORT_DONE : EXPORT_ELSEWHERE;
    errtext_set(&export->error, "%s", title != NULL ? title : type);
    return strcmp(type, "urn:minikv:compacted") == 0 ? EXPORT_FAILED : EXPORT_ELSEWHERE;
}

static enum export_next take_line(struct export *export, struct bytes line)
{
    json_t *root = json_loadb((const char *)line.data, line.count, JSON_ALLOW_NUL, NULL);
    bool is_item = json_object_get(root, "mod_revision") != NULL;
    enum export_next next = EXPORT_ELSEWHERE; /* not JSON: it broke off */
    if (is_item)
        next = take_item(export, root, line);
    else if (root != NULL)
        next = take_end(export, root);
    json_decref(root);
    return next;
}

static enum export_next follow(struct export *export)
{
    enum export_next next = EXPORT_ON;
    struct bytes line;
    while (next == EXPORT_ON) {
        enum stream_result result = stream_next(&export->stream, SILENCE_MS, &line);
        next = result == STREAM_LINE ? take_line(export, line) : EXPORT_ELSEWHERE;
    }
    stream_leave(&export->stream);
    return next;
}

/* ---- all together ---- */

static bool write_end(struct export *export)
{
    char line[96];
    int count = snprintf(line, sizeof line, "{\"revision\":%llu,\"count\":%llu}\n",
                         (unsigned long long)export->revision, (unsigned long long)export->count);
    return outfile_write(&export->file, bytes_of(line, (size_t)count), &export->error) &&
           outfile_settle(&export->file, &export->error);
}

static enum exit_code fetch(struct export *export)
{
    enum export_next next = EXPORT_ELSEWHERE;
    while (next == EXPORT_ELSEWHERE) {
        uint64_t before = export->count;
        enum stream_result result = ask(export);
        if (result != STREAM_LINE) {
            export->error = export->stream.error;
            return result == STREAM_LOST ? EXIT_CODE_UNAVAILABLE : EXIT_CODE_FAILURE;
        }
        next = follow(export);
        if (export->count == before && next == EXPORT_ELSEWHERE) {
            errtext_set(&export->error, "the nodes break off");
            return EXIT_CODE_UNAVAILABLE;
        }
    }
    return next == EXPORT_DONE && write_end(export) ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
}

static void tell(const struct export *export)
{
    FILE *out = export->file.path == NULL ? stderr : stdout;
    if (export->cli->output == CLI_OUTPUT_JSON && export->file.path != NULL)
        ask_print_json(json_pack("{s:s, s:I, s:I}", "file", export->file.path, "revision",
                                 (json_int_t) export->revision, "count",
                                 (json_int_t) export->count));
    else
        fprintf(out, "ok, %llu keys as of revision %llu\n", (unsigned long long)export->count,
                (unsigned long long)export->revision);
}

static enum exit_code run(struct export *export)
{
    enum exit_code code = begin(export);
    if (code != EXIT_CODE_OK)
        return code;
    code = EXIT_CODE_FAILURE;
    if (outfile_open(&export->file, export->cli->arguments[0], &export->error))
        code = fetch(export);
    bar_release(&export->bar);
    if (code == EXIT_CODE_OK)
        tell(export);
    else
        fprintf(stderr, "minikv: export: %s\n", export->error.text);
    outfile_release(&export->file);
    return code;
}

enum exit_code export_run(struct cli *cli)
{
    struct export export = {.cli = cli, .file.fd = -1};
    buf_init(&export.after, LIMIT_KEY_BYTES);
    bar_init(&export.bar, 0);
    export.bar.unit = "keys";
    stream_init(&export.stream, cli);
    enum exit_code code = run(&export);
    stream_release(&export.stream);
    buf_release(&export.after);
    return code;
}
