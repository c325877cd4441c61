/* minikv restore: the data directory of a node of a new cluster, out of a backup. */
#include "restore/restore.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "cli/ask.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/download.h"
#include "uv/uv_env.h"

enum { READ_BYTES = 1024 * 1024, LOOK_US = 100 * 1000 };

struct restoring {
    const char *path; /* of the directory to be made */
    struct restore_options options;
    struct kv *kv;           /* owned */
    struct env *env;         /* owned */
    struct restore *restore; /* owned */
    struct env_timer timer;  /* for the bar */
    struct bar bar;
    enum status status;
    uint64_t cluster_id;
};

/* ---- what there is to restore ---- */

static enum status read_all(FILE *file, struct restore_reader *reader, uint64_t file_bytes,
                            struct errtext *error)
{
    uint8_t *piece = mem_alloc_raw(READ_BYTES);
    enum status status = ST_OK;
    struct bar bar;
    uint64_t done = 0;
    bar_init(&bar, file_bytes);
    for (size_t count = 1; count > 0 && status == ST_OK;) {
        count = fread(piece, 1, READ_BYTES, file);
        done += count;
        status = restore_reader_feed(reader, bytes_of(piece, count), error);
        if (file_bytes > 0)
            bar_show(&bar, done, download_now_ms());
    }
    bar_release(&bar);
    mem_free(piece);
    if (status == ST_OK && ferror(file) != 0) {
        errtext_set(error, "cannot be read");
        status = ST_IO;
    }
    return status;
}

static enum status read_backup(struct restoring *restoring, const char *path, struct errtext *error)
{
    struct stat info;
    bool is_stream = strcmp(path, "-") == 0;
    FILE *file = is_stream ? stdin : fopen(path, "rb");
    if (file == NULL) {
        errtext_set(error, "%.100s: %s", path, strerror(errno));
        return ST_IO;
    }
    bool is_file = fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode);
    struct restore_reader *reader = restore_reader_new();
    enum status status = read_all(file, reader, is_file ? (uint64_t)info.st_size : 0, error);
    if (status == ST_OK)
        status = restore_reader_finish(reader, &restoring->kv, &restoring->options.from_cluster_id,
                                       error);
    if (status != ST_OK)
        errtext_wrap(error, "%.100s", path);
    restore_reader_free(reader);
    if (!is_stream)
        (void)fclose(file); /* only read */
    return status;
}

static enum status read_survivor(struct restoring *restoring, const char *path,
                                 struct errtext *error)
{
    struct stat info;
    struct env *env = NULL;
    struct uv_env_options options = {.data_dir = path};
    enum status status = ST_NOT_FOUND;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) /* the env would make it */
        status = uv_env_new(&options, &env, error);
    else
        errtext_set(error, "no such directory");
    if (status == ST_OK)
        status =
            restore_read_directory(env, &restoring->kv, &restoring->options.from_cluster_id, error);
    if (status != ST_OK)
        errtext_wrap(error, "%.100s", path);
    uv_env_free(env);
    return status;
}

/* ---- where to ---- */

/* Nothing is ever overwritten: what a node has voted for, or acknowledged, may be there. */
static bool is_empty(const char *path, struct errtext *error)
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        if (errno == ENOENT)
            return true;
        errtext_set(error, "%.100s: %s", path, strerror(errno));
        return false;
    }
    size_t count = 0;
    for (const struct dirent *item; (item = readdir(directory)) != NULL;)
        count += strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0;
    (void)closedir(directory);
    if (count > 0)
        errtext_set(error, "%.100s is not empty; a restore makes a directory of its own", path);
    return count == 0;
}

static void on_done(void *ctx, enum status status, uint64_t cluster_id)
{
    struct restoring *restoring = ctx;
    restoring->status = status;
    restoring->cluster_id = cluster_id;
    uv_env_stop(restoring->env);
}

static void on_look(void *ctx)
{
    struct restoring *restoring = ctx;
    uint64_t bytes;
    restore_progress(restoring->restore, &bytes, &restoring->bar.of);
    bar_show(&restoring->bar, bytes, download_now_ms());
    env_timer_set(restoring->env, &restoring->timer, env_now(restoring->env) + LOOK_US);
}

static enum status write_directory(struct restoring *restoring, const char *path,
                                   struct errtext *error)
{
    struct uv_env_options options = {.data_dir = path, .write_on_thread = true};
    enum status status = uv_env_new(&options, &restoring->env, error);
    if (status == ST_OK)
        status = restore_start(restoring->env, &restoring->options, restoring->kv, on_done,
                               restoring, &restoring->restore, error);
    if (status == ST_OK) {
        bar_init(&restoring->bar, 0);
        env_timer_init(&restoring->timer, on_look, restoring);
        on_look(restoring);
        uv_env_run(restoring->env);
        env_timer_set(restoring->env, &restoring->timer, TIME_NEVER);
        bar_release(&restoring->bar);
        status = restoring->status;
        errtext_set(error, "%s", status_info(status)->title);
    }
    if (status != ST_OK)
        errtext_wrap(error, "%.100s", path);
    return status;
}

/* ---- all together ---- */

static bool take_members(const struct cli *cli, struct restore_options *options,
                         struct errtext *error)
{
    if (cli->node == 0 || cli->initial == NULL) {
        errtext_set(error,
                    "--id and --initial-cluster are needed: which node of which new cluster");
        return false;
    }
    if (config_parse(cli->initial, &options->members, error) != ST_OK) {
        errtext_wrap(error, "--initial-cluster");
        return false;
    }
    options->self = cli->node;
    if (config_find(&options->members, options->self) != NULL)
        return true;
    errtext_set(error, "--initial-cluster does not name node %u", options->self);
    return false;
}

static void tell(const struct restoring *restoring, const struct cli *cli)
{
    struct kv_stats stats;
    kv_stats(restoring->kv, &stats);
    if (cli->output == CLI_OUTPUT_JSON) {
        char cluster_id[24];
        (void)snprintf(cluster_id, sizeof cluster_id, "%016llx",
                       (unsigned long long)restoring->cluster_id);
        ask_print_json(json_pack("{s:s, s:I, s:s, s:I, s:I, s:I}", "directory", restoring->path,
                                 "id", (json_int_t)cli->node, "cluster_id", cluster_id, "index",
                                 (json_int_t)stats.applied.index, "revision",
                                 (json_int_t)stats.revision, "keys", (json_int_t)stats.keys_count));
        return;
    }
    printf("ok, %llu keys at revision %llu, after entry %llu of cluster %016llx\n"
           "%s is the directory of node %u of the new cluster %016llx. Each of its other nodes is "
           "made from the same file with the same --initial-cluster, or joins.\n",
           (unsigned long long)stats.keys_count, (unsigned long long)stats.revision,
           (unsigned long long)stats.applied.index,
           (unsigned long long)restoring->options.from_cluster_id, restoring->path, cli->node,
           (unsigned long long)restoring->cluster_id);
}

static enum exit_code exit_code_of(enum status status)
{
    enum exit_code code = status_info(status)->exit;
    return code >= EXIT_CODE_LOCKED ? code : EXIT_CODE_FAILURE;
}

static enum status restore_into(struct restoring *restoring, const struct cli *cli,
                                struct errtext *error)
{
    if (!is_empty(restoring->path, error))
        return ST_BUSY;
    enum status status = cli->from_data_dir != NULL
                             ? read_survivor(restoring, cli->from_data_dir, error)
                             : read_backup(restoring, cli->arguments[0], error);
    return status == ST_OK ? write_directory(restoring, restoring->path, error) : status;
}

enum exit_code restore_run(struct cli *cli)
{
    struct restoring restoring = {.path = cli->arguments[cli->arguments_count - 1]};
    struct errtext error = {""};
    enum exit_code code = EXIT_CODE_USAGE;
    if ((cli->arguments_count == 2) != (cli->from_data_dir == NULL)) {
        errtext_set(&error, "usage: minikv restore %s", cli->command->arguments);
    } else if (take_members(cli, &restoring.options, &error)) {
        enum status status = restore_into(&restoring, cli, &error);
        code = status == ST_OK ? EXIT_CODE_OK : exit_code_of(status);
    }
    if (code == EXIT_CODE_OK)
        tell(&restoring, cli);
    else
        fprintf(stderr, "minikv: restore: %s\n", error.text);
    restore_free(restoring.restore);
    uv_env_free(restoring.env);
    kv_free(restoring.kv);
    return code;
}
