/* What files hold: in the cache, which reads see, and on disk, which outlives the power.
 *
 *      write    changes the cache and makes sectors dirty
 *      sync     takes dirty sectors to the disk
 *      failure  decides about each dirty sector, and then the cache is what the disk is
 *
 * Cache and disk share the pages in which they do not differ, so that syncing a page that is
 * written once, as the pages of a log are, copies nothing. Zeros take no memory, and those at the
 * end of a page no time. */
#include "sim/world_internal.h"

enum { ALL_SECTORS = 0xff };

static const uint8_t zeros[WORLD_SECTOR_BYTES];

/* ---- chunks ---- */

/* Not initialised. */
static struct disk_chunk *chunk_new(struct world *world)
{
    struct disk_chunk *chunk = world->free_chunks;
    if (chunk != NULL)
        world->free_chunks = chunk->next_free;
    else
        chunk = mem_alloc_raw(sizeof *chunk);
    chunk->refs = 1;
    return chunk;
}

static struct disk_chunk *chunk_ref(struct disk_chunk *chunk)
{
    if (chunk != NULL)
        chunk->refs++;
    return chunk;
}

static void chunk_unref(struct world *world, struct disk_chunk *chunk)
{
    if (chunk == NULL || --chunk->refs > 0)
        return;
    chunk->next_free = world->free_chunks;
    world->free_chunks = chunk;
}

void chunks_free(struct world *world)
{
    while (world->free_chunks != NULL) {
        struct disk_chunk *chunk = world->free_chunks;
        world->free_chunks = chunk->next_free;
        mem_free(chunk);
    }
}

static void chunk_read(const struct disk_chunk *chunk, size_t within, uint8_t *out, size_t count)
{
    size_t stored = chunk != NULL ? chunk->stored : 0;
    stored = within < stored ? MIN(count, stored - within) : 0;
    if (stored > 0)
        memcpy(out, chunk->data + within, stored);
    memset(out + stored, 0, count - stored);
}

/* Nobody else's, with the same bytes, all of them stored: to change some. */
static uint8_t *chunk_own(struct world *world, struct disk_chunk **at)
{
    struct disk_chunk *old = *at;
    if (old == NULL || old->refs > 1) {
        *at = chunk_new(world);
        chunk_read(old, 0, (*at)->data, DISK_PAGE_BYTES);
        chunk_unref(world, old);
    } else {
        memset(old->data + old->stored, 0, DISK_PAGE_BYTES - old->stored);
    }
    (*at)->stored = DISK_PAGE_BYTES;
    return (*at)->data;
}

/* A whole page, of which the first `stored` bytes are not zeros. */
static void chunk_replace(struct world *world, struct disk_chunk **at, const uint8_t *data,
                          size_t stored)
{
    if (*at == NULL || (*at)->refs > 1) {
        chunk_unref(world, *at);
        *at = stored > 0 ? chunk_new(world) : NULL;
    }
    if (*at == NULL)
        return;
    memcpy((*at)->data, data, stored);
    (*at)->stored = stored;
}

static void chunk_share(struct world *world, struct disk_chunk **to, struct disk_chunk *from)
{
    if (*to == from)
        return;
    chunk_unref(world, *to);
    *to = chunk_ref(from);
}

/* ---- inodes ---- */

struct disk_inode *inode_new(struct world *world, struct list *list, bool is_directory)
{
    struct disk_inode *inode = mem_alloc(sizeof *inode);
    inode->is_directory = is_directory;
    list_push_back(list, &inode->link);
    return inode;
}

void inode_free(struct world *world, struct disk_inode *inode)
{
    for (size_t i = 0; i < inode->pages_count; i++) {
        chunk_unref(world, inode->pages[i].cached);
        chunk_unref(world, inode->pages[i].durable);
    }
    list_remove(&inode->link);
    mem_free(inode->pages);
    mem_free(inode);
}

static void need_pages(struct disk_inode *inode, size_t count)
{
    if (count > inode->pages_capacity) {
        inode->pages_capacity = MAX(count, inode->pages_capacity * 2);
        inode->pages = mem_realloc(inode->pages, inode->pages_capacity * sizeof inode->pages[0]);
    }
    for (; inode->pages_count < count; inode->pages_count++)
        inode->pages[inode->pages_count] = (struct disk_page){0};
}

size_t inode_read(const struct disk_inode *inode, bool durable, uint64_t offset, void *out,
                  size_t count)
{
    uint64_t end = durable ? inode->durable_bytes : inode->cached_bytes;
    count = offset >= end ? 0 : (size_t)MIN((uint64_t)count, end - offset);
    for (size_t done = 0; done < count;) {
        const struct disk_page *page = &inode->pages[(offset + done) / DISK_PAGE_BYTES];
        size_t within = (size_t)((offset + done) % DISK_PAGE_BYTES);
        size_t piece = MIN(count - done, DISK_PAGE_BYTES - within);
        chunk_read(durable ? page->durable : page->cached, within, (uint8_t *)out + done, piece);
        done += piece;
    }
    return count;
}

/* The sectors that `count` bytes from `within` a page on touch. */
static uint8_t sectors_of(size_t within, size_t count)
{
    size_t first = within / WORLD_SECTOR_BYTES;
    size_t last = (within + count - 1) / WORLD_SECTOR_BYTES;
    return (uint8_t)((1u << (last + 1)) - (1u << first));
}

/* These sectors go from the cache to the disk. */
static void persist(struct world *world, struct disk_page *page, uint8_t sectors)
{
    page->dirty &= (uint8_t)~sectors;
    page->lost &= (uint8_t)~sectors;
    if ((page->dirty | page->lost) == 0) {
        chunk_share(world, &page->durable, page->cached);
        return;
    }
    uint8_t *durable = chunk_own(world, &page->durable);
    for (size_t i = 0; i < DISK_PAGE_SECTORS; i++)
        if ((sectors & 1u << i) != 0)
            chunk_read(page->cached, i * WORLD_SECTOR_BYTES, durable + i * WORLD_SECTOR_BYTES,
                       WORLD_SECTOR_BYTES);
}

/* How many of these there are without zeros at the end; whole sectors of them. */
static size_t without_zeros(struct bytes bytes)
{
    size_t count = bytes.count;
    while (count >= sizeof zeros &&
           memcmp(bytes.data + count - sizeof zeros, zeros, sizeof zeros) == 0)
        count -= sizeof zeros;
    return count;
}

static void write_page(struct world *world, struct disk_page *page, size_t within,
                       struct bytes bytes)
{
    size_t stored = without_zeros(bytes);
    if (bytes.count == DISK_PAGE_BYTES)
        chunk_replace(world, &page->cached, bytes.data, stored);
    else if (stored > 0 || page->cached != NULL)
        memcpy(chunk_own(world, &page->cached) + within, bytes.data, bytes.count);
}

static void mark_page(struct disk_inode *inode, size_t index, uint8_t sectors, bool is_lost)
{
    struct disk_page *page = &inode->pages[index];
    if (is_lost) {
        page->dirty &= (uint8_t)~sectors;
        page->lost |= sectors;
        inode->has_lost = true;
        return;
    }
    page->lost &= (uint8_t)~sectors;
    page->dirty |= sectors;
    bool is_clean = inode->dirty_begin == inode->dirty_end;
    inode->dirty_begin = is_clean ? index : MIN(inode->dirty_begin, index);
    inode->dirty_end = is_clean ? index + 1 : MAX(inode->dirty_end, index + 1);
}

void inode_write(struct world *world, unsigned machine, struct disk_inode *inode, uint64_t offset,
                 struct bytes bytes, bool is_lost)
{
    if (bytes.count == 0)
        return;
    uint64_t end = offset + bytes.count;
    need_pages(inode, (size_t)((end + DISK_PAGE_BYTES - 1) / DISK_PAGE_BYTES));
    inode->cached_bytes = MAX(inode->cached_bytes, end);
    bool is_written_back = world->machines[machine].disk.survival == WORLD_SURVIVES_SOME;
    for (size_t done = 0; done < bytes.count;) {
        size_t index = (size_t)((offset + done) / DISK_PAGE_BYTES);
        size_t within = (size_t)((offset + done) % DISK_PAGE_BYTES);
        size_t piece = MIN(bytes.count - done, DISK_PAGE_BYTES - within);
        struct disk_page *page = &inode->pages[index];
        /* The kernel writes back when it likes: what is now overwritten may be on disk already. */
        if (page->dirty != 0 && is_written_back &&
            chance_below(world, CHANCE_WRITE_BACK, machine, 4) == 0)
            persist(world, page, page->dirty);
        write_page(world, page, within, bytes_of(bytes.data + done, piece));
        mark_page(inode, index, sectors_of(within, piece), is_lost);
        done += piece;
    }
}

static void end_dirt(struct disk_inode *inode)
{
    inode->dirty_begin = inode->dirty_end = 0;
}

void inode_sync(struct world *world, struct disk_inode *inode)
{
    for (size_t i = inode->dirty_begin; i < inode->dirty_end; i++)
        if (inode->pages[i].dirty != 0)
            persist(world, &inode->pages[i], inode->pages[i].dirty);
    end_dirt(inode);
    inode->durable_bytes = inode->cached_bytes;
}

/* Of so many in a hundred dirty sectors the disk gets hold; the odds are the same for all of one
 * occasion, since there all, none and few are as interesting as half. */
static unsigned draw_odds(struct world *world, unsigned machine)
{
    static const unsigned odds[] = {0, 10, 50, 90, 97, 100};
    return odds[chance_below(world, CHANCE_SURVIVAL, machine, ARRAY_COUNT(odds))];
}

static uint8_t draw_sectors(struct world *world, unsigned machine, uint8_t among, unsigned odds)
{
    uint8_t drawn = 0;
    for (unsigned i = 0; i < DISK_PAGE_SECTORS; i++)
        if ((among & 1u << i) != 0 && chance_below(world, CHANCE_SURVIVAL, machine, 100) < odds)
            drawn |= (uint8_t)(1u << i);
    return drawn;
}

void inode_lose(struct world *world, unsigned machine, struct disk_inode *inode, bool gets_some)
{
    unsigned odds = gets_some ? draw_odds(world, machine) : 0;
    for (size_t i = inode->dirty_begin; i < inode->dirty_end; i++) {
        struct disk_page *page = &inode->pages[i];
        uint8_t kept = draw_sectors(world, machine, page->dirty, odds);
        if (kept != 0)
            persist(world, page, kept);
        mark_page(inode, i, page->dirty, true);
    }
    end_dirt(inode);
    inode->durable_bytes = inode->cached_bytes;
}

void inode_forget_lost(struct world *world, struct disk_inode *inode)
{
    for (size_t i = 0; inode->has_lost && i < inode->pages_count; i++) {
        struct disk_page *page = &inode->pages[i];
        if (page->lost == 0)
            continue;
        uint8_t *cached = chunk_own(world, &page->cached);
        for (size_t s = 0; s < DISK_PAGE_SECTORS; s++)
            if ((page->lost & 1u << s) != 0)
                chunk_read(page->durable, s * WORLD_SECTOR_BYTES, cached + s * WORLD_SECTOR_BYTES,
                           WORLD_SECTOR_BYTES);
        page->lost = 0;
    }
    inode->has_lost = false;
}

void inode_overwrite(struct world *world, struct disk_inode *inode, uint64_t offset,
                     struct bytes bytes)
{
    REQUIRE(offset + bytes.count <= inode->durable_bytes);
    for (size_t done = 0; done < bytes.count;) {
        struct disk_page *page = &inode->pages[(offset + done) / DISK_PAGE_BYTES];
        size_t within = (size_t)((offset + done) % DISK_PAGE_BYTES);
        size_t piece = MIN(bytes.count - done, DISK_PAGE_BYTES - within);
        bool is_clean = (page->dirty | page->lost) == 0;
        memcpy(chunk_own(world, &page->durable) + within, bytes.data + done, piece);
        if (is_clean) /* nothing holds a clean page in the cache for long */
            chunk_share(world, &page->cached, page->durable);
        else
            page->lost |= sectors_of(within, piece) & (uint8_t)~page->dirty;
        inode->has_lost = inode->has_lost || page->lost != 0;
        done += piece;
    }
}

struct disk_inode *inode_copy_durable(struct world *world, struct list *list,
                                      const struct disk_inode *inode)
{
    struct disk_inode *copy = inode_new(world, list, inode->is_directory);
    copy->cached_bytes = copy->durable_bytes = inode->durable_bytes;
    need_pages(copy, (size_t)((inode->durable_bytes + DISK_PAGE_BYTES - 1) / DISK_PAGE_BYTES));
    for (size_t i = 0; i < copy->pages_count; i++) {
        copy->pages[i].cached = chunk_ref(inode->pages[i].durable);
        copy->pages[i].durable = chunk_ref(inode->pages[i].durable);
    }
    return copy;
}

/* ---- the power goes ---- */

struct failure {
    struct world *world;
    unsigned machine;
    const char *path;
    unsigned odds;
    uint64_t end; /* of what survives */
    bool is_torn, is_garbage, is_lossy;
};

/* Half of it is new: what was to be written of the rest is still in the cache. */
static void tear(struct failure *failure, struct disk_page *page, unsigned sector)
{
    struct world *world = failure->world;
    size_t at = sector * WORLD_SECTOR_BYTES;
    size_t kept =
        1 + (size_t)chance_below(world, CHANCE_TEAR, failure->machine, WORLD_SECTOR_BYTES - 1);
    chunk_read(page->cached, at, chunk_own(world, &page->durable) + at, kept);
    failure->is_torn = true;
}

static void fill_with_garbage(struct failure *failure, struct disk_page *page, unsigned sector)
{
    struct world *world = failure->world;
    uint8_t *data = chunk_own(world, &page->durable) + sector * WORLD_SECTOR_BYTES;
    for (size_t i = 0; i < WORLD_SECTOR_BYTES; i += sizeof(uint64_t))
        store_u64(data + i, chance_below(world, CHANCE_GARBAGE, failure->machine, UINT64_MAX));
    failure->is_garbage = true;
}

static void fail_page(struct failure *failure, struct disk_inode *inode, size_t index)
{
    struct world *world = failure->world;
    const struct world_disk *settings = &world->machines[failure->machine].disk;
    struct disk_page *page = &inode->pages[index];
    uint8_t dirty = page->dirty;
    uint8_t kept = draw_sectors(world, failure->machine, dirty, failure->odds), whole = kept;
    for (unsigned i = 0; i < DISK_PAGE_SECTORS; i++) {
        uint64_t offset = index * DISK_PAGE_BYTES + i * WORLD_SECTOR_BYTES;
        if ((kept & 1u << i) != 0) {
            failure->end = MAX(failure->end, MIN(offset + WORLD_SECTOR_BYTES, inode->cached_bytes));
            if (!chance_hits(world, CHANCE_TEAR, failure->machine, settings->tear_chance))
                continue;
            tear(failure, page, i);
            whole &= (uint8_t) ~(1u << i);
        } else if ((dirty & 1u << i) != 0 && offset >= inode->durable_bytes &&
                   chance_hits(world, CHANCE_GARBAGE, failure->machine, settings->garbage_chance)) {
            fill_with_garbage(failure, page, i);
        }
    }
    failure->is_lossy = failure->is_lossy || kept != dirty;
    if (whole != 0)
        persist(world, page, whole);
}

/* The cache is gone; behind the end there are zeros. */
static void reload(struct world *world, struct disk_inode *inode)
{
    size_t pages_count = (size_t)((inode->durable_bytes + DISK_PAGE_BYTES - 1) / DISK_PAGE_BYTES);
    for (size_t i = 0; i < inode->pages_count; i++) {
        struct disk_page *page = &inode->pages[i];
        if (i >= pages_count)
            chunk_share(world, &page->durable, NULL);
        page->dirty = page->lost = 0;
        chunk_share(world, &page->cached, page->durable);
    }
    size_t within = (size_t)(inode->durable_bytes % DISK_PAGE_BYTES);
    if (within != 0 && inode->pages[pages_count - 1].durable != NULL) {
        struct disk_page *last = &inode->pages[pages_count - 1];
        memset(chunk_own(world, &last->durable) + within, 0, DISK_PAGE_BYTES - within);
        chunk_share(world, &last->cached, last->durable);
    }
    inode->pages_count = MIN(inode->pages_count, pages_count);
    inode->cached_bytes = inode->durable_bytes;
    inode->has_lost = false;
    end_dirt(inode);
}

static void note_failure(const struct failure *failure)
{
    if (failure->is_lossy)
        note_fault(failure->world, WORLD_FAULT_SECTORS_LOST, failure->machine, 0, failure->path);
    if (failure->is_torn)
        note_fault(failure->world, WORLD_FAULT_TORN, failure->machine, 0, failure->path);
    if (failure->is_garbage)
        note_fault(failure->world, WORLD_FAULT_GARBAGE, failure->machine, 0, failure->path);
}

void inode_fail(struct world *world, unsigned machine, struct disk_inode *inode, const char *path)
{
    struct failure failure = {.world = world, .machine = machine, .path = path};
    bool is_dirty = inode->dirty_begin != inode->dirty_end;
    switch (world->machines[machine].disk.survival) {
    case WORLD_SURVIVES_NOTHING:
        failure.is_lossy = is_dirty;
        break;
    case WORLD_SURVIVES_ALL:
        inode_sync(world, inode);
        break;
    case WORLD_SURVIVES_SOME:
        if (!is_dirty)
            break;
        failure.odds = draw_odds(world, machine);
        for (size_t i = inode->dirty_begin; i < inode->dirty_end; i++)
            if (inode->pages[i].dirty != 0)
                fail_page(&failure, inode, i);
        /* How long the file is may have got to the disk before what is in it. */
        if (chance_below(world, CHANCE_SURVIVAL, machine, 4) == 0)
            failure.end = inode->cached_bytes;
        inode->durable_bytes = MAX(inode->durable_bytes, failure.end);
        break;
    }
    note_failure(&failure);
    reload(world, inode);
}
