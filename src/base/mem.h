/* Memory for the server: running out of it stops the process.
 *
 * A crashed replica is a case that Raft handles; an untested out-of-memory branch is not. Sizes
 * that come from the network are checked against their limit before they get here. The client
 * library does not use this module. */
#ifndef MINIKV_BASE_MEM_H
#define MINIKV_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

/* Zeroed memory, never NULL. Gives ownership; release with mem_free. */
void *mem_alloc(size_t bytes_count);
void *mem_alloc_array(size_t items_count, size_t item_bytes);
/* Uninitialised memory, never NULL. */
void *mem_alloc_raw(size_t bytes_count);
/* Uninitialised, at a multiple of `alignment`, a power of two that divides bytes_count. */
void *mem_alloc_aligned(size_t bytes_count, size_t alignment);
void *mem_realloc(void *pointer, size_t bytes_count);
void mem_free(void *pointer); /* NULL is a no-op */

/* A stretch of addresses that nobody owns: where small pieces will most likely be taken from. */
struct mem_room {
    uintptr_t begin;
    size_t bytes_count;
};

enum { MEM_EXPECT_BYTES_MAX = 24 * 1024 * 1024 };
/* A hint, and of no effect but on time: so many bytes, at most MEM_EXPECT_BYTES_MAX, will be asked
 * for in small pieces. The heap gets large pages for them where the system has any, since taking
 * gigabytes page by page costs as much as filling them. */
struct mem_room mem_expect(size_t bytes_count);
/* A hint as well, on any thread: has the kernel make the pages of it now, so that whoever uses them
 * first does not wait. No byte changes, also where the heap has other plans for it by now. */
void mem_make_ready(struct mem_room room);

#endif
