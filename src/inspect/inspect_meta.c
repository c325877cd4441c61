#include "inspect/inspect.h"

#include <inttypes.h>
#include <sys/stat.h>

#include "storage/meta.h"

enum { META_FILE_BYTES_MAX = 1024 * 1024 };

static void print_meta(FILE *out, const struct meta *meta)
{
    (void)fprintf(out, "  version   %d\n", META_FORMAT_VERSION);
    (void)fprintf(out, "  cluster   %016" PRIx64 "\n", meta->cluster_id);
    (void)fprintf(out, "  identity  %016" PRIx64 "\n", meta->identity);
    (void)fprintf(out, "  node      %u\n", meta->node);
    (void)fprintf(out, "  log       %s\n", meta->has_log ? "made" : "not made yet");
    if (meta->initial.members_count == 0)
        (void)fprintf(out, "  members   none: it joined an existing cluster\n");
    for (uint32_t i = 0; i < meta->initial.members_count; i++) {
        const struct member *member = &meta->initial.members[i];
        char peer[LIMIT_ADDRESS_BYTES];
        (void)fprintf(out, "  member    %u  %s  %s\n", member->id,
                      address_format(&member->peer, peer), member->is_voter ? "voter" : "learner");
    }
}

enum exit_code inspect_meta(FILE *out, const char *path)
{
    char inner[4096];
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        (void)snprintf(inner, sizeof inner, "%s/meta", path);
        path = inner;
    }
    struct buf bytes;
    struct meta meta;
    struct errtext error;
    enum exit_code code = EXIT_CODE_FAILURE;
    buf_init(&bytes, META_FILE_BYTES_MAX);
    if (inspect_read_file(path, &bytes)) {
        enum status status = meta_decode(buf_bytes(&bytes), &meta, &error);
        (void)fprintf(out, "%s: %zu bytes\n", path, bytes.count);
        if (status == ST_OK)
            print_meta(out, &meta);
        else
            (void)fprintf(out, "  DAMAGED   %s\n", error.text);
        code = status_info(status)->exit;
    }
    buf_release(&bytes);
    return code;
}
