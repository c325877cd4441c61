/* minikv backup: the whole state of the cluster, in a file that says by itself whether it is whole.
 *
 * Every byte is checked on its way to the file; the file has its name only once it is durable. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/ask.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/download.h"
#include "storage/snapfile_format.h"

enum {
    PIECE_BYTES = 256 * KIB,
    PATH_BYTES = 4096,
    TAKING_MS = 15 * 60 * 1000, /* until a large state has been written at the node */
    STALL_MS = 30 * 1000        /* between two bytes */
};

struct backup {
    struct cli *cli;
    const char *path; /* NULL: standard output */
    char unfinished[PATH_BYTES];
    int fd;
    uint64_t written;
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

/* ---- the file ---- */

static bool open_file(struct backup *backup, struct errtext *error)
{
    if (backup->path == NULL) {
        backup->fd = STDOUT_FILENO;
        return true;
    }
    int count = snprintf(backup->unfinished, sizeof backup->unfinished, "%s.tmp", backup->path);
    if (count < 0 || (size_t)count >= sizeof backup->unfinished) {
        errtext_set(error, "the path is too long");
        return false;
    }
    backup->fd = open(backup->unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (backup->fd < 0)
        errtext_set(error, "%.200s: %s", backup->unfinished, strerror(errno));
    return backup->fd >= 0;
}

static bool write_all(struct backup *backup, struct bytes bytes, struct errtext *error)
{
    while (bytes.count > 0) {
        ssize_t count = write(backup->fd, bytes.data, bytes.count);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            errtext_set(error, "cannot write: %s", strerror(errno));
            return false;
        }
        bytes = bytes_of(bytes.data + count, bytes.count - (size_t)count);
        backup->written += (uint64_t)count;
    }
    return true;
}

/* From the beginning, after a node that broke off. What standard output has been given stays. */
static bool start_over(struct backup *backup)
{
    if (backup->written > 0 && (backup->path == NULL || ftruncate(backup->fd, 0) != 0 ||
                                lseek(backup->fd, 0, SEEK_SET) != 0))
        return false;
    backup->written = 0;
    backup->stream = (struct snapfile_stream){.cluster_id = 0};
    buf_reset(&backup->begun);
    return true;
}

static bool sync_directory(const char *path)
{
    char directory[PATH_BYTES];
    (void)snprintf(directory, sizeof directory, "%s", path); /* its length has been looked at */
    char *slash = strrchr(directory, '/');
    if (slash == NULL)
        (void)snprintf(directory, sizeof directory, ".");
    else
        slash[slash == directory ? 1 : 0] = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        (void)close(fd); /* only read */
    return is_synced;
}

static bool settle(struct backup *backup, struct errtext *error)
{
    if (backup->path == NULL)
        return true;
    bool is_done = fsync(backup->fd) == 0;
    is_done = close(backup->fd) == 0 && is_done;
    backup->fd = -1;
    is_done =
        is_done && rename(backup->unfinished, backup->path) == 0 && sync_directory(backup->path);
    if (!is_done)
        errtext_set(error, "%.200s: %s", backup->path, strerror(errno));
    return is_done;
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
        else if (!write_all(backup, bytes_of(backup->piece, count), error))
            result = FETCH_FAILED;
        else
            bar_show(&bar, backup->written, download_now_ms());
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
        address, target, cli->connect.timeout / TIME_US_PER_MS, TAKING_MS, &download, error);
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
    if (backup->cli->output == CLI_OUTPUT_JSON && backup->path != NULL) {
        char cluster_id[24];
        (void)snprintf(cluster_id, sizeof cluster_id, "%016llx",
                       (unsigned long long)stream->cluster_id);
        ask_print_json(json_pack("{s:s, s:s, s:I, s:I, s:I, s:s}", "file", backup->path, "from",
                                 backup->from, "bytes", (json_int_t)backup->written, "index",
                                 (json_int_t)stream->last.index, "term",
                                 (json_int_t)stream->last.term, "cluster_id", cluster_id));
        return;
    }
    struct buf size;
    buf_init(&size, 64);
    bar_put_bytes(&size, backup->written);
    fprintf(backup->path == NULL ? stderr : stdout,
            "ok, %s: the state after entry %llu (term %llu) of cluster %016llx, from %s\n",
            buf_text(&size), (unsigned long long)stream->last.index,
            (unsigned long long)stream->last.term, (unsigned long long)stream->cluster_id,
            backup->from);
    buf_release(&size);
}

enum exit_code backup_run(struct cli *cli)
{
    bool is_stream = strcmp(cli->arguments[0], "-") == 0;
    struct backup backup = {.cli = cli, .path = is_stream ? NULL : cli->arguments[0], .fd = -1};
    struct errtext error = {""};
    enum exit_code code = EXIT_CODE_FAILURE;
    if (is_stream && isatty(STDOUT_FILENO) == 1) {
        fputs("minikv: backup: standard output is a terminal\n", stderr);
        return EXIT_CODE_USAGE;
    }
    buf_init(&backup.begun, 2 * (size_t)SNAPFILE_UNIT_BYTES_MAX + PIECE_BYTES);
    backup.piece = mem_alloc_raw(PIECE_BYTES);
    if (open_file(&backup, &error)) {
        enum fetch_result result = fetch_from_any(&backup, &error);
        if (result == FETCH_OK && settle(&backup, &error))
            code = EXIT_CODE_OK;
        else if (result == FETCH_AGAIN)
            code = EXIT_CODE_UNAVAILABLE;
    }
    if (code == EXIT_CODE_OK)
        tell(&backup);
    else
        fprintf(stderr, "minikv: backup: %s\n", error.text);
    if (code != EXIT_CODE_OK && backup.unfinished[0] != '\0')
        (void)unlink(backup.unfinished);
    if (backup.fd >= 0 && !is_stream)
        (void)close(backup.fd); /* what failed has been told */
    mem_free(backup.piece);
    buf_release(&backup.begun);
    return code;
}
