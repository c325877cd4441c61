/* A snapshot in words: header, blocks, totals, the state in it and whether it is whole. Checks all
 * that loading checks (docs/formats/snapshot.md), down to the digest of the state; behind damage
 * nothing is looked at. */
#include "inspect/inspect.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/mem.h"
#include "kv/kv.h"
#include "storage/snapfile_format.h"

enum { PATH_BYTES_MAX = 4096, WINDOW_BYTES = 1024 * 1024, PREVIEW_BYTES = 100 };

struct reading {
    FILE *out;
    const char *path;
    bool is_brief;
    FILE *file;
    uint8_t *window; /* its first byte is at stream.file_bytes */
    size_t window_count;
    struct snapfile_stream stream;
    struct kv_loader *loader;
    struct kv *kv; /* NULL: not read to the end */
};

static void print_header(const struct reading *reading)
{
    const struct snapfile_stream *stream = &reading->stream;
    (void)fprintf(reading->out,
                  "           0  snapshot of entry %" PRIu64 ":%" PRIu64 ", cluster %016" PRIx64
                  ", blocks of %u bytes\n",
                  stream->last.term, stream->last.index, stream->cluster_id, stream->block_bytes);
}

static enum exit_code damaged(const struct reading *reading, enum status status, const char *what)
{
    (void)fprintf(reading->out, "%s: %s at offset %" PRIu64 ": %s\n", reading->path,
                  status == ST_FORMAT ? "REFUSED" : "DAMAGED", reading->stream.file_bytes, what);
    return status == ST_FORMAT ? EXIT_CODE_FORMAT : EXIT_CODE_CORRUPT;
}

/* The parts that are whole in the window; ST_SHORT: more is needed, ST_NOT_FOUND: that was all. */
static enum status read_parts(struct reading *reading, struct errtext *error)
{
    size_t used = 0;
    enum status status = ST_OK;
    while (status == ST_OK) {
        struct bytes content;
        size_t taken = 0;
        uint64_t offset = reading->stream.file_bytes;
        bool is_header = reading->stream.next == SNAPFILE_HEADER;
        struct bytes rest = bytes_of(reading->window + used, reading->window_count - used);
        status = snapfile_format_take(&reading->stream, rest, &taken, &content, error);
        used += taken;
        if (status != ST_OK)
            break;
        if (is_header)
            print_header(reading);
        else if (content.data != NULL && !reading->is_brief)
            (void)fprintf(reading->out, "  %10" PRIu64 "  block %" PRIu64 ": %zu bytes\n", offset,
                          reading->stream.blocks_count - 1, content.count);
        if (content.count > 0 && kv_loader_feed(reading->loader, content) != ST_OK) {
            errtext_set(error, "the blocks are whole, but the state in them is malformed");
            status = ST_CORRUPT;
        }
    }
    reading->window_count -= used;
    memmove(reading->window, reading->window + used, reading->window_count);
    return status;
}

static enum exit_code read_file(struct reading *reading)
{
    struct errtext error = {.text = ""};
    enum status status = ST_SHORT;
    size_t count = 1;
    while (count > 0 && (status == ST_SHORT || status == ST_NOT_FOUND)) {
        count = fread(reading->window + reading->window_count, 1,
                      WINDOW_BYTES - reading->window_count, reading->file);
        reading->window_count += count;
        status = read_parts(reading, &error);
    }
    if (ferror(reading->file) != 0) {
        (void)fprintf(stderr, "minikv-inspect: %s: cannot read all of it\n", reading->path);
        return EXIT_CODE_FAILURE;
    }
    if (status == ST_SHORT)
        return damaged(reading, ST_CORRUPT, "the file is cut short");
    if (status != ST_NOT_FOUND)
        return damaged(reading, status, error.text);
    status = kv_loader_finish(reading->loader, &reading->kv);
    reading->loader = NULL;
    if (status == ST_OK)
        return EXIT_CODE_OK;
    reading->kv = NULL;
    return damaged(reading, status, "the blocks are whole, but the state in them is not");
}

static bool print_key(void *ctx, const struct kv_item *item)
{
    FILE *out = ctx;
    (void)fputs("  ", out);
    inspect_print_preview(out, item->key, PREVIEW_BYTES);
    (void)fprintf(out, "  %zu bytes, version %" PRIu64 ", revision %" PRIu64 "\n",
                  item->value.count, item->version, item->mod_revision);
    return true;
}

static void print_state(const struct reading *reading, bool with_keys)
{
    struct kv_stats stats;
    struct sessions_stats sessions;
    const struct config *config = kv_config(reading->kv);
    kv_stats(reading->kv, &stats);
    kv_sessions_stats(reading->kv, &sessions);
    (void)fprintf(reading->out,
                  "%" PRIu64 " blocks, %" PRIu64 " bytes of content, hash %016" PRIx64 "\n"
                  "revision %" PRIu64 ", %" PRIu64 " keys, %" PRIu64 " clients, digest %016" PRIx64
                  "\n"
                  "past from revision %" PRIu64 " on, %" PRIu64 " changes; %" PRIu64 " leases\n",
                  reading->stream.blocks_count, reading->stream.content_bytes, reading->stream.hash,
                  stats.revision, stats.keys_count, sessions.sessions_count, kv_digest(reading->kv),
                  stats.compacted, stats.past_events_count, stats.leases_count);
    for (uint32_t i = 0; i < config->members_count; i++) {
        char peer[LIMIT_ADDRESS_BYTES];
        (void)fprintf(reading->out, "member %u  %s  %s\n", config->members[i].id,
                      address_format(&config->members[i].peer, peer),
                      config->members[i].is_voter ? "voter" : "learner");
    }
    if (with_keys)
        kv_scan(reading->kv, &(struct kv_range){.prefix = bytes_of(NULL, 0)}, print_key,
                reading->out);
    (void)fputs("whole\n", reading->out);
}

static enum exit_code inspect_file(FILE *out, const char *path, bool is_brief, bool with_keys)
{
    struct reading reading = {.out = out, .path = path, .is_brief = is_brief};
    reading.file = fopen(path, "rb");
    if (reading.file == NULL) {
        (void)fprintf(stderr, "minikv-inspect: %s: %s\n", path, strerror(errno));
        return EXIT_CODE_FAILURE;
    }
    reading.window = mem_alloc_raw(WINDOW_BYTES);
    reading.loader = kv_loader_new(&(struct kv_options){.state_bytes_max = UINT64_MAX});
    (void)fprintf(out, "%s\n", path);
    enum exit_code code = read_file(&reading);
    if (reading.kv != NULL)
        print_state(&reading, with_keys);
    kv_loader_free(reading.loader);
    kv_free(reading.kv);
    mem_free(reading.window);
    (void)fclose(reading.file); /* only read */
    return code;
}

static int is_snapshot(const struct dirent *item)
{
    size_t count = strlen(item->d_name);
    return count > 5 && strcmp(item->d_name + count - 5, ".snap") == 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* How many there are in a directory, or -1; the worst of them in `code`. */
static int inspect_directory(FILE *out, const char *directory, bool is_brief, bool with_keys,
                             enum exit_code *code)
{
    struct dirent **items;
    int count = scandir(directory, &items, is_snapshot, compare_names);
    for (int i = 0; i < count; i++) {
        char path[PATH_BYTES_MAX];
        (void)snprintf(path, sizeof path, "%s/%s", directory, items[i]->d_name);
        *code = inspect_worse(*code, inspect_file(out, path, is_brief, with_keys));
        free(items[i]); /* scandir's */
    }
    if (count >= 0)
        free(items);
    return count;
}

enum exit_code inspect_snapshot(FILE *out, const char *path, bool is_brief, bool with_keys)
{
    struct stat info;
    enum exit_code code = EXIT_CODE_OK;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return inspect_file(out, path, is_brief, with_keys);
    if (inspect_directory(out, path, is_brief, with_keys, &code) > 0)
        return code;
    char inner[PATH_BYTES_MAX];
    (void)snprintf(inner, sizeof inner, "%s/snap", path);
    if (inspect_directory(out, inner, is_brief, with_keys, &code) > 0)
        return code;
    (void)fprintf(stderr, "minikv-inspect: %s: no snapshot here\n", path);
    return EXIT_CODE_FAILURE;
}
