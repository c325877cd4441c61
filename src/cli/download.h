/* Download: GET of something too large for a struct minikv_result, taken piece by piece.
 *
 * Calling      blocks, for as long as the time limits given allow */
#ifndef MINIKV_CLI_DOWNLOAD_H
#define MINIKV_CLI_DOWNLOAD_H

#include "base/buf.h"
#include "base/diag.h"
#include "cli/chunks.h"
#include "types/address.h"
#include "types/ids.h"

struct download {
    int fd;          /* owned */
    uint64_t bytes;  /* of the body, as its head says; UINT64_MAX: it does not */
    uint64_t left;   /* of these, not yet given; 0: the body has ended */
    struct buf head; /* owned: the head, and what came with it of the body */
    size_t head_at;  /* what of it has been given */
    bool is_chunked;
    struct chunks chunks;

    /* of the reply, whatever it was */
    char word[32];      /* why it was refused: "compacted"; "" when it was not */
    uint64_t compacted; /* X-MiniKV-Compacted; 0: not said */
};

enum download_result {
    DOWNLOAD_OK,
    DOWNLOAD_UNAVAILABLE, /* nobody there, or one who cannot now: another node may */
    DOWNLOAD_REFUSED      /* no node will */
};

/* Asks, and waits for the head of the reply: at most `connect_ms` for the connection, and `head_ms`
 * for the rest. `target` begins with a slash; `headers` are lines, each with its CR LF. With
 * DOWNLOAD_OK, to be closed; else with `error`. */
enum download_result download_open(const struct address *address, const char *target,
                                   const char *headers, uint64_t connect_ms, uint64_t head_ms,
                                   struct download *out_download, struct errtext *error);
/* The next bytes, at least one unless none are left; false with `error` when they do not come. */
bool download_read(struct download *download, uint64_t wait_ms, uint8_t *out, size_t bytes_max,
                   size_t *out_count, struct errtext *error);
void download_close(struct download *download);

/* Milliseconds of a monotonic clock. */
uint64_t download_now_ms(void);

#endif
