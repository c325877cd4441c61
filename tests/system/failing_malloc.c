/* Preloaded into a process: the FAIL_ALLOCATION-th allocation of its life fails, and no other. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes_count);
void *__libc_calloc(size_t items_count, size_t item_bytes);
void *__libc_realloc(void *pointer, size_t bytes_count);

static atomic_long allocations_count;
static long failing; /* -1 until it is known */

__attribute__((constructor)) static void read_environment(void)
{
    const char *text = getenv("FAIL_ALLOCATION");
    failing = text ? atol(text) : 0;
}

static int fails(void)
{
    static const char said[] = "failing_malloc: this one fails\n";
    if (atomic_fetch_add(&allocations_count, 1) + 1 != failing)
        return 0;
    ssize_t ignored = write(STDERR_FILENO, said, sizeof said - 1);
    (void)ignored;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t bytes_count)
{
    return fails() ? NULL : __libc_malloc(bytes_count);
}

void *calloc(size_t items_count, size_t item_bytes)
{
    return fails() ? NULL : __libc_calloc(items_count, item_bytes);
}

void *realloc(void *pointer, size_t bytes_count)
{
    return fails() ? NULL : __libc_realloc(pointer, bytes_count);
}
