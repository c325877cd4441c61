/* minikv watch: changes as they happen, from whichever node is there to tell them.
 *
 * The place behind the last event is kept; when a node is lost the next one goes on from there. So
 * nothing is missed, and nothing is told twice. */
#include <string.h>
#include <time.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/event.h"
#include "cli/stream.h"

enum {
    SILENCE_MS = 25 * 1000, /* a node says something every 15 s */
    ELSEWHERE_MS = 20,      /* before another node is asked */
    TARGET_BYTES = 64 * KIB,
    LINE_BYTES = 16 * MIB
};

struct watch {
    struct cli *cli;
    const char *const *words; /* of --exec; NULL: it is printed */
    struct stream stream;     /* owned */
    struct event_place place; /* behind it the watch goes on */
    uint64_t from;            /* while there is no place */
    uint64_t left;            /* events still wanted */
    struct event event;       /* owned */
    struct buf line;          /* owned */
};

enum watch_next {
    WATCH_ON,
    WATCH_ELSEWHERE, /* this node tells no more */
    WATCH_DONE,
    WATCH_FAILED
};

/* ---- asking ---- */

/* Everything behind the present moment: what is written after this is told, whichever node tells
 * it, and however often one has to be asked. */
static enum exit_code find_present(struct watch *watch)
{
    json_t *page;
    enum exit_code code = ask_for_json(watch->cli, "/v1/kv?limit=1&keys_only", &page);
    watch->from = (uint64_t)json_integer_value(json_object_get(page, "revision")) + 1;
    json_decref(page);
    return code;
}

static void put_target(const struct watch *watch, struct buf *out)
{
    const struct cli *cli = watch->cli;
    const char *what = cli->prefix != NULL ? cli->prefix : cli->arguments[0];
    buf_put_text(out, cli->prefix != NULL ? "/v1/watch?prefix=" : "/v1/watch?key=");
    ask_put_encoded(out, bytes_of_text(what));
    if (cli->wants_prev)
        buf_put_text(out, "&prev=true");
    if (watch->place.revision == 0)
        buf_printf(out, "&from=%llu", (unsigned long long)watch->from);
}

static void put_headers(const struct watch *watch, struct buf *out)
{
    char id[EVENT_ID_BYTES];
    buf_put_text(out, "Accept: application/x-ndjson\r\n");
    if (watch->place.revision == 0)
        return;
    event_put_place(&watch->place, id);
    buf_printf(out, "Last-Event-ID: %s\r\n", id);
}

static enum stream_result ask(struct watch *watch)
{
    struct buf target, headers;
    buf_init(&target, TARGET_BYTES);
    buf_init(&headers, 256);
    put_target(watch, &target);
    put_headers(watch, &headers);
    enum stream_result result = stream_open(&watch->stream, buf_text(&target), buf_text(&headers));
    buf_release(&target);
    buf_release(&headers);
    return result;
}

/* ---- what is told ---- */

static enum watch_next show(struct watch *watch, struct bytes line)
{
    struct buf *out = &watch->line;
    if (watch->words != NULL)
        return event_execute(watch->cli, &watch->event, watch->words) ? WATCH_ON : WATCH_FAILED;
    buf_reset(out);
    if (watch->cli->output == CLI_OUTPUT_JSON) {
        buf_put(out, line);
        buf_put_u8(out, '\n');
    } else {
        event_put_line(&watch->event, watch->cli->wants_prev, out);
    }
    (void)fwrite(out->data, 1, out->count, stdout);
    bool has_more = stream_has_line(&watch->stream);
    return ferror(stdout) != 0 || (!has_more && fflush(stdout) != 0) ? WATCH_FAILED : WATCH_ON;
}

/* One that has been told before, by another node, is passed over. */
static enum watch_next take_event(struct watch *watch, const json_t *root, struct bytes line)
{
    struct event_place place;
    if (!event_read(&watch->event, root) || !event_read_place(watch->event.id, &place)) {
        fputs("minikv: watch: the reply is not what this version understands\n", stderr);
        return WATCH_FAILED;
    }
    if (!event_is_behind(&place, &watch->place))
        return WATCH_ON;
    enum watch_next next = show(watch, line);
    watch->place = place;
    if (next == WATCH_ON && --watch->left == 0)
        return WATCH_DONE;
    return next;
}

/* All events up to there have been told: a place like any other. */
static void take_progress(struct watch *watch, const json_t *root)
{
    struct event_place place = {.revision =
                                    (uint64_t)json_integer_value(json_object_get(root, "revision")),
                                .at = UINT64_MAX};
    if (event_is_behind(&place, &watch->place))
        watch->place = place;
}

/* `since` is a place: behind it events were wanted. */
static enum watch_next say_compacted(const struct watch *watch, uint64_t compacted)
{
    uint64_t since = watch->place.revision != 0 ? watch->place.revision + 1 : watch->from;
    fprintf(stderr, "minikv: watch: the changes from revision %llu on are no longer kept",
            (unsigned long long)since);
    if (compacted != 0)
        fprintf(stderr, ", only those behind %llu", (unsigned long long)compacted);
    fputs("; read the keys anew, and watch from the revision of that\n", stderr);
    return WATCH_FAILED;
}

static enum watch_next take_error(const struct watch *watch, const json_t *root)
{
    const json_t *problem = json_object_get(root, "data");
    const char *type = json_string_value(json_object_get(problem, "type"));
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    if (type != NULL && strcmp(type, "urn:minikv:shutting-down") == 0)
        return WATCH_ELSEWHERE;
    if (type != NULL && strcmp(type, "urn:minikv:compacted") == 0)
        return say_compacted(watch, 0);
    if (watch->cli->is_verbose)
        fprintf(stderr, "! %s\n", detail != NULL ? detail : "the node ends the watch");
    return WATCH_ELSEWHERE;
}

static enum watch_next take_line(struct watch *watch, struct bytes line)
{
    json_t *root = json_loadb((const char *)line.data, line.count, JSON_ALLOW_NUL, NULL);
    const char *word = json_string_value(json_object_get(root, "event"));
    enum watch_next next = WATCH_ON;
    if (word != NULL && strcmp(word, "progress") == 0)
        take_progress(watch, root);
    else if (word != NULL && strcmp(word, "error") == 0)
        next = take_error(watch, root);
    else
        next = take_event(watch, root, line);
    json_decref(root);
    return next;
}

/* As long as this node tells. */
static enum watch_next follow(struct watch *watch)
{
    enum watch_next next = WATCH_ON;
    struct bytes line;
    while (next == WATCH_ON) {
        enum stream_result result = stream_next(&watch->stream, SILENCE_MS, &line);
        if (result == STREAM_LINE)
            next = take_line(watch, line);
        else
            next = WATCH_ELSEWHERE;
        if (result == STREAM_LOST && watch->cli->is_verbose)
            fprintf(stderr, "! %s\n", watch->stream.error.text);
    }
    return next;
}

/* ---- all together ---- */

static enum exit_code fail_to_ask(const struct watch *watch, enum stream_result result)
{
    char id[EVENT_ID_BYTES];
    const struct stream *stream = &watch->stream;
    if (result == STREAM_REFUSED && strcmp(stream->download.word, "compacted") == 0) {
        (void)say_compacted(watch, stream->download.compacted);
        return EXIT_CODE_FAILURE;
    }
    fprintf(stderr, "minikv: watch: %s\n", stream->error.text);
    if (result == STREAM_REFUSED)
        return EXIT_CODE_USAGE;
    event_put_place(&watch->place, id);
    if (watch->place.revision != 0)
        fprintf(stderr,
                "minikv: watch: everything up to %s has been told; go on with --from %llu\n", id,
                (unsigned long long)watch->place.revision + (watch->place.at == UINT64_MAX));
    return EXIT_CODE_UNAVAILABLE;
}

static enum exit_code run(struct watch *watch)
{
    enum watch_next next = WATCH_ON;
    while (next != WATCH_DONE && next != WATCH_FAILED) {
        enum stream_result result = ask(watch);
        if (result != STREAM_LINE)
            return fail_to_ask(watch, result);
        next = follow(watch);
        stream_leave(&watch->stream);
        struct timespec pause = {.tv_nsec = ELSEWHERE_MS * 1000000};
        if (next == WATCH_ELSEWHERE)
            (void)nanosleep(&pause, NULL); /* a signal ends it early */
    }
    return next == WATCH_DONE ? EXIT_CODE_OK : EXIT_CODE_FAILURE;
}

/* Behind --exec, and behind "--" if somebody writes that too. */
static const char *const *command_of(const struct cli *cli)
{
    const char *const *words = cli->arguments + (cli->prefix != NULL ? 0 : 1);
    return strcmp(*words, "--") == 0 ? words + 1 : words;
}

enum exit_code watch_run(struct cli *cli)
{
    struct watch watch = {
        .cli = cli, .from = cli->from, .left = cli->limit != 0 ? cli->limit : UINT64_MAX};
    if (cli->executes)
        watch.words = command_of(cli);
    if (watch.words != NULL && *watch.words == NULL) {
        fputs("minikv: usage: minikv watch KEY | --prefix PREFIX --exec COMMAND…\n", stderr);
        return EXIT_CODE_USAGE;
    }
    if (watch.from == 0) {
        enum exit_code code = find_present(&watch);
        if (code != EXIT_CODE_OK)
            return code;
    }
    event_init(&watch.event);
    buf_init(&watch.line, LINE_BYTES);
    stream_init(&watch.stream, cli);
    enum exit_code code = run(&watch);
    stream_release(&watch.stream);
    buf_release(&watch.line);
    event_release(&watch.event);
    return code;
}
