/* Entry: one record of the replicated log, reference-counted and never changed once sealed.
 *
 * The proposer makes it and fills `data`; the leader's raft seals it with term and index. The same
 * bytes and the same checksum go to its disk, to the peers and to theirs (end to end).
 *
 * Ownership    one reference belongs to whoever called entry_new or entry_ref */
#ifndef MINIKV_TYPES_ENTRY_H
#define MINIKV_TYPES_ENTRY_H

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/status.h"
#include "types/ids.h"

enum entry_type {
    ENTRY_NOOP = 1,    /* the first entry of a term; no data */
    ENTRY_COMMAND = 2, /* data: kv/command.h behind its origin and stamp (types/proposal.h) */
    ENTRY_CONFIG = 3   /* data: the whole configuration (entry_config, types/member.h), behind the
                          origin and stamp of the request that asked for it */
};

struct entry {
    uint32_t refs_count;
    uint32_t checksum; /* CRC32C over type, term, index and data; made by entry_seal */
    struct entry_id id;
    enum entry_type type;
    uint32_t data_bytes;
    uint8_t data[];
};

/* type u8, 3 zero bytes, checksum u32, term u64, index u64, data_bytes u32, data. */
enum { ENTRY_HEADER_BYTES = 28 };

/* Gives one reference; `data` is uninitialised. Requires data_bytes <= LIMIT_ENTRY_BYTES. */
struct entry *entry_new(enum entry_type type, size_t data_bytes);
struct entry *entry_ref(struct entry *entry);
void entry_unref(struct entry *entry); /* NULL is a no-op */
/* Sets id and checksum. Requires that nobody else holds a reference yet. */
void entry_seal(struct entry *entry, struct entry_id id);
struct bytes entry_data(const struct entry *entry);
/* What it costs in a log, a message or a cache. */
size_t entry_bytes(const struct entry *entry);

void entry_encode(const struct entry *entry, struct buf *out);
/* Gives one reference.
 * return   ST_OK; ST_SHORT; ST_LIMIT; ST_FORMAT for an unknown type or nonzero padding;
 *          ST_CORRUPT when the checksum does not hold */
MUST_CHECK enum status entry_decode(struct cursor *in, struct entry **out_entry);

#endif
