#include "base/mem.h"

#include <stdint.h>
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

/* An allocation of this size comes from the end of the heap and goes back there, once one like it
 * has shown the allocator that it is nothing special: glibc maps the first one apart. */
void mem_expect(size_t bytes_count)
{
    enum { PAGE_BYTES = 4096 };
    REQUIRE(bytes_count <= MEM_EXPECT_BYTES_MAX);
    char *room = mem_alloc_raw(bytes_count);
#if defined(MADV_HUGEPAGE)
    uintptr_t begin = (uintptr_t)room / PAGE_BYTES * PAGE_BYTES;
    uintptr_t end = ((uintptr_t)room + bytes_count) / PAGE_BYTES * PAGE_BYTES;
    int ignored = madvise((void *)begin, end - begin, MADV_HUGEPAGE);
    (void)ignored; /* then pages are small ones */
#endif
    mem_free(room);
}
