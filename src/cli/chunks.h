/* Chunks: the body of a message in pieces (RFC 9112 §7.1), decoded where it lies. Pure. */
#ifndef MINIKV_CLI_CHUNKS_H
#define MINIKV_CLI_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum chunks_state {
    CHUNKS_SIZE, /* what begins with zeros */
    CHUNKS_EXTENSION,
    CHUNKS_DATA,
    CHUNKS_DATA_END,
    CHUNKS_TRAILER,
    CHUNKS_DONE
};

struct chunks {
    enum chunks_state state;
    uint64_t left;       /* of the chunk */
    unsigned digits;     /* of its size */
    unsigned line_bytes; /* of the trailer's line */
};

/* Takes all of `bytes`; what is content moves to their front, and `count` becomes how much that is.
 * False: malformed, or something stands behind the end. */
bool chunks_decode(struct chunks *chunks, uint8_t *bytes, size_t *count);

#endif
