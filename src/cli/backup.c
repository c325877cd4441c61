/* minikv backup: the whole state of the cluster, in a file that says by itself whether it is whole.
 *
 * Every byte is checked on its way to the file; the file has its name only once it is durable. */
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/ask.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/download.h"
#include "cli/outfile.h"
#include "storage/snapfile_format.h"

enum {
    PIECE_BYTES = 256 * KIB,
    TAKING_MS = 15 * 60 * 1000, /* until a large state has been written at the node */
    STALL_MS = 30 * 1000        /* between two bytes */
};

struct backup {
    struct cli *cli;
    struct outfile file; /* owned */
    struct snapfile_stream stream;
    struct buf begun; /* owned: a part of the file that is not whole yet */
    uint8_t *piece;   /* owned */
    char from[LIMIT_ADDRESS_BYTES];
};

enum fetch_result {
    FETCH_OK,
    FETCH_AGAIN, /* from another node */
    FETCH_FAILED /* here, or for good */
};

/* From the beginning, after a node that broke off. What standard output has been given stays. */
static bool start_over(struct backup *backup)
{
    if (!outfile_start_over(&backup->file))
        return false;
    backup->stream = (struct snapfile_stream){.cluster_id = 0};
    buf_reset(&backup->begun);
    return true;
}

/* ---- its bytes ---- */

/* Each part that is whole is checked; what is left waits for the rest. */
static bool check(struct backup *backup, struct bytes bytes, struct errtext *error)
{
    struct buf *begun = &backup->begun;
    enum status status = ST_OK;
    size_t used = 0;
    buf_put(begun, bytes);
    while (status == ST_OK && used < begun->count) {
        struct bytes content;
        size_t taken = 0;
        status =
            snapfile_format_take(&backup->stream, bytes_of(begun->data + used, begun->count - used),
                                 &taken, &content, error);
        used += taken;
    }
    buf_consume(begun, used);
    if (status == ST_NOT_FOUND)
        errtext_set(error, "there are bytes behind the end");
    if (status == ST_OK || status == ST_SHORT)
        return true;
    errtext_wrap(error, "damaged at offset %llu", (unsigned long long)backup->stream.file_bytes);
    return false;
}

static enum fetch_result take_body(struct backup *backup, struct download *download,
                                   struct errtext *error)
{
    struct bar bar;
    enum fetch_result result = FETCH_OK;
    bar_init(&bar, download->bytes);
    while (result == FETCH_OK && download->left > 0) {
        size_t count;
        if (!download_read(download, STALL_MS, backup->piece, PIECE_BYTES, &count, error) ||
            !check(backup, bytes_of(backup->piece, count), error))
            result = FETCH_AGAIN;
        else if (!outfile_write(&backup->file, bytes_of(backup->piece, count), error))
            result = FETCH_FAILED;
        else
            bar_show(&bar, backup->file.written, download_now_ms());
    }
    bar_release(&bar);
    if (result == FETCH_OK && backup->stream.next != SNAPFILE_END) {
        errtext_set(error, "it ends before the backup does");
        result = FETCH_AGAIN;
    }
    return result;
}

static enum fetch_result fetch(struct backup *backup, const struct address *address,
                               struct errtext *error)
{
    struct cli *cli = backup->cli;
    struct download download;
    struct bar bar;
    const char *target = cli->is_stale ? "/v1/snapshot?consistency=stale" : "/v1/snapshot";
    bar_init(&bar, 0);
    bar_say(&bar, "waiting for the node to write its state …");
    enum download_result opened = download_open(
        address, target, "", cli->connect.timeout / TIME_US_PER_MS, TAKING_MS, &download, error);
    bar_release(&bar);
    if (opened != DOWNLOAD_OK)
        return opened == DOWNLOAD_REFUSED ? FETCH_FAILED : FETCH_AGAIN;
    enum fetch_result result = take_body(backup, &download, error);
    download_close(&download);
    return result;
}

static enum fetch_result fetch_from_any(struct backup *backup, struct errtext *error)
{
    const struct cli_connect *connect = &backup->cli->connect;
    enum fetch_result result = FETCH_AGAIN;
    for (size_t i = 0; i < connect->endpoints_count && result == FETCH_AGAIN; i++) {
        if (!start_over(backup))
            return FETCH_FAILED; /* what broke off is told */
        (void)address_format(&connect->endpoints[i], backup->from);
        result = fetch(backup, &connect->endpoints[i], error);
        if (result == FETCH_OK)
            break;
        errtext_wrap(error, "%s", backup->from);
        if (result == FETCH_AGAIN && i + 1 < connect->endpoints_count)
            fprintf(stderr, "minikv: backup: %s; asking the next node\n", error->text);
    }
    return result;
}

/* ---- all together ---- */

static void tell(const struct backup *backup)
{
    const struct snapfile_stream *stream = &backup->stream;
    if (backup->cli->output == CLI_OUTPUT_JSON && backup->file.path != NULL) {
        char cluster_id[24];
        (void)snprintf(cluster_id, sizeof cluster_id, "%016llx",
                       (unsigned long long)stream->cluster_id);
        ask_print_json(json_pack("{s:s, s:s, s:I, s:I, s:I, s:s}", "file", backup->file.path,
                                 "from", backup->from, "bytes", (json_int_t)backup->file.written,
                                 "index", (json_int_t)stream->last.index, "term",
                                 (json_int_t)stream->last.term, "cluster_id", cluster_id));
        return;
    }
    struct buf size;
    buf_init(&size, 64);
    bar_put_bytes(&size, backup->file.written);
    fprintf(backup->file.path == NULL ? stderr : stdout,
            "ok, %s: the state after entry %llu (term %llu) of cluster %016llx, from %s\n",
            buf_text(&size), (unsigned long long)stream->last.index,
            (unsigned long long)stream->last.term, (unsigned long long)stream->cluster_id,
            backup->from);
    buf_release(&size);
}

enum exit_code backup_run(struct cli *cli)
{
    bool is_stream = strcmp(cli->arguments[0], "-") == 0;
    struct backup backup = {.cli = cli};
    struct errtext error = {""};
    enum exit_code code = EXIT_CODE_FAILURE;
    if (is_stream && isatty(STDOUT_FILENO) == 1) {
        fputs("minikv: backup: standard output is a terminal\n", stderr);
        return EXIT_CODE_USAGE;
    }
    buf_init(&backup.begun, 2 * (size_t)SNAPFILE_UNIT_BYTES_MAX + PIECE_BYTES);
    backup.piece = mem_alloc_raw(PIECE_BYTES);
    if (outfile_open(&backup.file, cli->arguments[0], &error)) {
        enum fetch_result result = fetch_from_any(&backup, &error);
        if (result == FETCH_OK && outfile_settle(&backup.file, &error))
            code = EXIT_CODE_OK;
        else if (result == FETCH_AGAIN)
            code = EXIT_CODE_UNAVAILABLE;
    }
    if (code == EXIT_CODE_OK)
        tell(&backup);
    else
        fprintf(stderr, "minikv: backup: %s\n", error.text);
    outfile_release(&backup.file);
    mem_free(backup.piece);
    buf_release(&backup.begun);
    return code;
}
