#include "base/mem.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/check.h"

void *mem_alloc(size_t bytes_count)
{
    void *pointer = calloc(1, bytes_count ? bytes_count : 1);
    INVARIANT(pointer != NULL);
    return pointer;
}

void *mem_alloc_array(size_t items_count, size_t item_bytes)
{
    REQUIRE(item_bytes == 0 || items_count <= SIZE_MAX / item_bytes);
    return mem_alloc(items_count * item_bytes);
}

void *mem_alloc_raw(size_t bytes_count)
{
    void *pointer = malloc(bytes_count ? bytes_count : 1);
    INVARIANT(pointer != NULL);
    return pointer;
}

void *mem_alloc_aligned(size_t bytes_count, size_t alignment)
{
    REQUIRE(alignment != 0);
    REQUIRE((alignment & (alignment - 1)) == 0);
    REQUIRE(bytes_count % alignment == 0);
    void *pointer = aligned_alloc(alignment, bytes_count);
    INVARIANT(pointer != NULL);
    return pointer;
}

void *mem_realloc(void *pointer, size_t bytes_count)
{
    void *moved = realloc(pointer, bytes_count ? bytes_count : 1);
    INVARIANT(moved != NULL);
    return moved;
}

void mem_free(void *pointer)
{
    free(pointer);
}

/* Whole pages. That the kernel knows no such advice, or has nothing there any more, changes nothing
 * but how long things take. */
static void advise(struct mem_room room, int advice)
{
    enum { PAGE_BYTES = 4096 };
    uintptr_t begin = room.begin / PAGE_BYTES * PAGE_BYTES;
    uintptr_t end = (room.begin + room.bytes_count) / PAGE_BYTES * PAGE_BYTES;
    int ignored = madvise((void *)begin, end - begin, advice);
    (void)ignored;
}

/* An allocation of this size comes from the end of the heap and goes back there, once one like it
 * has shown the allocator that it is nothing special: glibc maps the first one apart. */
struct mem_room mem_expect(size_t bytes_count)
{
    REQUIRE(bytes_count <= MEM_EXPECT_BYTES_MAX);
    void *sample = mem_alloc_raw(bytes_count);
    struct mem_room room = {(uintptr_t)sample, bytes_count};
#if defined(MADV_HUGEPAGE)
    advise(room, MADV_HUGEPAGE); /* else pages are small ones */
#endif
    mem_free(sample);
    return room;
}

void mem_make_ready(struct mem_room room)
{
#if defined(MADV_POPULATE_WRITE)
    advise(room, MADV_POPULATE_WRITE); /* else they are made when they are used */
#else
    (void)room;
#endif
}
