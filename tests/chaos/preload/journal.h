/* Journal: what the disk would not have if the power went now.
 *
 * Before a write the bytes that it replaces are noted, before a change of a directory the names. A
 * sync settles what was done to its file, or directory, before the sync began. What is not settled
 * is undone by the harness when it has killed the node: all of it, or some sectors.
 *
 * The records are in memory that a killed process leaves as it was. A file that is replaced or
 * unlinked keeps a second name in the attic until its directory has been synced. */
#ifndef MINIKV_CHAOS_JOURNAL_H
#define MINIKV_CHAOS_JOURNAL_H

#include <stdint.h>
#include <sys/stat.h>

enum record_kind { RECORD_WRITE = 1, RECORD_CREATE, RECORD_RENAME, RECORD_UNLINK, RECORD_MKDIR };
enum record_state { RECORD_PENDING = 1, RECORD_DONE, RECORD_SETTLED };

struct record {
    uint32_t bytes; /* of all of it, a multiple of 8 */
    uint32_t kind;
    uint32_t state;
    uint32_t
        tail_bytes; /* of what follows: the bytes that were there; or two names, with their zeros */
    uint64_t serial;
    uint64_t owner;         /* inode of the file, or of the directory, whose sync settles it */
    uint64_t subject;       /* inode of the file that is made, moved or unlinked */
    uint64_t attic;         /* number in the attic of the file that had the name; 0: none had */
    uint64_t offset, count; /* of a write */
    uint64_t old_bytes;     /* the file's size before */
};

/* Notes a write that is about to be done. Returns its serial number, for journal_done. */
uint64_t journal_note_write(int fd, uint64_t inode, const struct stat *stat, uint64_t offset,
                            uint64_t count);
/* The same of a change of a directory; `to` may be "", both paths are absolute. 0: nothing to do.
 */
uint64_t journal_note_name(enum record_kind kind, const char *path, const char *to);
/* The call has returned. One that failed leaves nothing to undo. */
void journal_done(uint64_t serial, int is_failed);
/* Called before a sync; what is done later is not part of it. */
uint64_t journal_mark(void);
void journal_settle(uint64_t owner, uint64_t mark);

#endif
