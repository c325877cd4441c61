/* Page: found by the environment of the process, which the harness has set. */
#include "page.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct chaos_page *chaos_page;
const char *chaos_data_dir;
const char *chaos_attic_dir;

bool chaos_take_one(_Atomic int32_t *left)
{
    int32_t count = atomic_load(left);
    while (count > 0) {
        if (atomic_compare_exchange_weak(left, &count, count - 1))
            return true;
    }
    return false;
}

static __attribute__((constructor)) void open_page(void)
{
    const char *path = getenv("CHAOS_PAGE");
    chaos_data_dir = getenv("CHAOS_DATA");
    chaos_attic_dir = getenv("CHAOS_ATTIC");
    if (path == NULL || chaos_data_dir == NULL || chaos_attic_dir == NULL)
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    size_t bytes = PAGE_BYTES + ARENAS_COUNT * ARENA_BYTES;
    struct chaos_page *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)syscall(SYS_close, fd); /* the mapping stays */
    if (page != MAP_FAILED && page->magic == PAGE_MAGIC)
        chaos_page = page;
}
