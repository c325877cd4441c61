/* Journal: records one behind the other in one of two arenas. When one is long, what is not settled
 * is copied to the other; a single store changes over, so that it does not matter when the process
 * dies. */
#include "journal.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "page.h"

#define COMPACT_BYTES (1ull << 20)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards all that follows */
static bool is_adopted;
static uint64_t last_serial;
static uint64_t pending_count; /* records that are not settled */
static uint64_t compact_at = COMPACT_BYTES;

static uint8_t *arena(uint64_t number)
{
    return (uint8_t *)chaos_page + PAGE_BYTES + number * ARENA_BYTES;
}

static struct record *first_record(void)
{
    return (struct record *)(void *)arena(chaos_page->active);
}

static struct record *end_record(void)
{
    uint64_t active = chaos_page->active;
    return (struct record *)(void *)(arena(active) + chaos_page->tails[active]);
}

static struct record *next_record(struct record *record)
{
    return (struct record *)(void *)((uint8_t *)record + record->bytes);
}

static void attic_path(uint64_t number, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "%s/%llu", chaos_attic_dir, (unsigned long long)number);
}

/* Makes room: copies what is not settled to the other arena. */
static void compact(void)
{
    uint64_t other = 1 - chaos_page->active;
    uint64_t tail = 0;
    for (struct record *r = first_record(); r < end_record(); r = next_record(r)) {
        if (r->state == RECORD_SETTLED)
            continue;
        memcpy(arena(other) + tail, r, r->bytes);
        tail += r->bytes;
    }
    atomic_store(&chaos_page->tails[other], tail);
    atomic_store(&chaos_page->active, other);
    compact_at = tail + COMPACT_BYTES;
}

/* A new process goes on behind what the one before has left: it was not synced, whoever wrote it.
 */
static void adopt(void)
{
    is_adopted = true;
    for (struct record *r = first_record(); r < end_record(); r = next_record(r)) {
        last_serial = r->serial;
        if (r->state == RECORD_PENDING)
            r->state = RECORD_DONE;
        if (r->state == RECORD_DONE)
            pending_count++;
    }
    compact();
}

/* Room for one more; it counts once `publish` has been called. */
static struct record *reserve(enum record_kind kind, size_t tail_bytes)
{
    if (!is_adopted)
        adopt();
    if (chaos_page->tails[chaos_page->active] > compact_at)
        compact();
    uint64_t bytes = (sizeof(struct record) + tail_bytes + 7) / 8 * 8;
    if (chaos_page->tails[chaos_page->active] + bytes > ARENA_BYTES) {
        (void)fprintf(stderr, "chaos: the journal of what is not synced is full\n");
        abort();
    }
    struct record *record = end_record();
    *record = (struct record){.bytes = (uint32_t)bytes,
                              .kind = kind,
                              .state = RECORD_PENDING,
                              .tail_bytes = (uint32_t)tail_bytes,
                              .serial = ++last_serial};
    return record;
}

static uint64_t publish(struct record *record)
{
    pending_count++;
    atomic_fetch_add(&chaos_page->tails[chaos_page->active], record->bytes);
    return record->serial;
}

/* What the file has from `offset` on; as far as it can be read. The descriptor itself may be one
 * that bypasses the page cache, and then reads whole blocks only. */
static uint64_t read_old(int fd, uint64_t offset, uint8_t *out, uint64_t count)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int read_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    uint64_t done = 0;
    while (done < count) {
        ssize_t got = pread(read_fd, out + done, count - done, (off_t)(offset + done));
        if (got <= 0)
            break;
        done += (uint64_t)got;
    }
    (void)syscall(SYS_close, read_fd);
    return done;
}

uint64_t journal_note_write(int fd, uint64_t inode, const struct stat *stat, uint64_t offset,
                            uint64_t count)
{
    uint64_t old_bytes = (uint64_t)stat->st_size;
    uint64_t replaced = offset >= old_bytes ? 0 : old_bytes - offset;
    if (replaced > count)
        replaced = count;
    pthread_mutex_lock(&mutex);
    struct record *record = reserve(RECORD_WRITE, replaced);
    record->owner = record->subject = inode;
    record->offset = offset;
    record->count = count;
    record->old_bytes = old_bytes;
    if (read_old(fd, offset, (uint8_t *)(record + 1), replaced) != replaced)
        atomic_fetch_add(&chaos_page->unmodelled_count, 1);
    uint64_t serial = publish(record);
    pthread_mutex_unlock(&mutex);
    return serial;
}

static uint64_t inode_of(const char *path)
{
    struct stat stat;
    return lstat(path, &stat) == 0 ? (uint64_t)stat.st_ino : 0;
}

static uint64_t inode_of_parent(const char *path)
{
    char parent[PATH_MAX];
    (void)snprintf(parent, sizeof parent, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash == NULL)
        return 0;
    *slash = '\0';
    return inode_of(parent);
}

uint64_t journal_note_name(enum record_kind kind, const char *path, const char *to)
{
    const char *lost = kind == RECORD_RENAME ? to : kind == RECORD_UNLINK ? path : NULL;
    size_t path_bytes = strlen(path) + 1, to_bytes = strlen(to) + 1;
    uint64_t owner = inode_of_parent(path);
    if (*to != '\0' && inode_of_parent(to) != owner) /* two directories: which of them is synced? */
        atomic_fetch_add(&chaos_page->unmodelled_count, 1);
    pthread_mutex_lock(&mutex);
    struct record *record = reserve(kind, path_bytes + to_bytes);
    record->owner = owner;
    record->subject = inode_of(path);
    if (lost != NULL && inode_of(lost) != 0) {
        char kept[PATH_MAX];
        attic_path(record->serial, kept);
        if (link(lost, kept) == 0)
            record->attic = record->serial;
        else
            atomic_fetch_add(&chaos_page->unmodelled_count, 1);
    }
    memcpy(record + 1, path, path_bytes);
    memcpy((char *)(record + 1) + path_bytes, to, to_bytes);
    uint64_t serial = publish(record);
    pthread_mutex_unlock(&mutex);
    return serial;
}

static void settle(struct record *record)
{
    record->state = RECORD_SETTLED;
    pending_count--;
    if (record->attic != 0) {
        char kept[PATH_MAX];
        attic_path(record->attic, kept);
        (void)syscall(SYS_unlinkat, AT_FDCWD, kept, 0); /* if not, it only takes space */
    }
}

void journal_done(uint64_t serial, int is_failed)
{
    pthread_mutex_lock(&mutex);
    for (struct record *r = first_record(); r < end_record(); r = next_record(r)) {
        if (r->serial != serial)
            continue;
        if (is_failed)
            settle(r);
        else
            r->state = RECORD_DONE;
        if (r->kind == RECORD_CREATE || r->kind == RECORD_MKDIR)
            r->subject = inode_of((const char *)(r + 1));
        break;
    }
    pthread_mutex_unlock(&mutex);
}

uint64_t journal_mark(void)
{
    pthread_mutex_lock(&mutex);
    if (!is_adopted)
        adopt();
    uint64_t mark = last_serial;
    pthread_mutex_unlock(&mutex);
    return mark;
}

void journal_settle(uint64_t owner, uint64_t mark)
{
    pthread_mutex_lock(&mutex);
    for (struct record *r = first_record(); r < end_record(); r = next_record(r)) {
        if (r->owner == owner && r->serial <= mark && r->state == RECORD_DONE)
            settle(r);
    }
    if (pending_count == 0)
        atomic_store(&chaos_page->tails[chaos_page->active], 0);
    pthread_mutex_unlock(&mutex);
}
