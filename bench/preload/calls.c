/* Counts what a program asks of the C library: memory, and copies of it. To be preloaded
 * (LD_PRELOAD) by bench/profile; what the compiler made instructions of is no call and is not
 * counted.
 *
 * The counters lie in the file $COUNT_CALLS_IN/<pid>, which others read while the program runs:
 * nothing has to be said to it. bench/calls.py knows their order. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct counters {
    uint64_t allocations;
    uint64_t allocated_bytes;
    uint64_t frees;
    uint64_t copies; /* memcpy, memmove */
    uint64_t copied_bytes;
    uint64_t fills; /* memset */
    uint64_t filled_bytes;
};

static struct counters unread; /* until there is a file, and if there is none */
static struct counters *counters = &unread;

/* The functions behind ours; those of memory have second names, which work before dlsym does. */
void *__libc_malloc(size_t count);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t count);
void __libc_free(void *memory);
static void *(*move_bytes)(void *to, const void *from, size_t count);
static void *(*fill_bytes)(void *to, int byte, size_t count);

void *memcpy(void *to, const void *from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int byte, size_t count);
void *__memcpy_chk(void *to, const void *from, size_t count, size_t room);
void *__memmove_chk(void *to, const void *from, size_t count, size_t room);
void *__memset_chk(void *to, int byte, size_t count, size_t room);

static void count_call(uint64_t *calls, uint64_t *bytes, size_t count)
{
    (void)__atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(bytes, count, __ATOMIC_RELAXED);
}

__attribute__((constructor)) static void open_counters(void)
{
    char path[4096];
    const char *directory = getenv("COUNT_CALLS_IN");
    if (directory == NULL)
        return;
    (void)snprintf(path, sizeof path, "%s/%d", directory, (int)getpid());
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return;
    if (ftruncate(file, sizeof *counters) == 0) {
        void *shared = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (shared != MAP_FAILED)
            counters = shared;
    }
    (void)close(file);
}

/* ---- memory ---- */

void *malloc(size_t count)
{
    count_call(&counters->allocations, &counters->allocated_bytes, count);
    return __libc_malloc(count);
}

void *calloc(size_t count, size_t size)
{
    count_call(&counters->allocations, &counters->allocated_bytes, count * size);
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t count)
{
    count_call(&counters->allocations, &counters->allocated_bytes, count);
    return __libc_realloc(old, count);
}

void free(void *memory)
{
    if (memory != NULL)
        (void)__atomic_fetch_add(&counters->frees, 1, __ATOMIC_RELAXED);
    __libc_free(memory);
}

/* ---- copies ---- */

/* While dlsym looks for the real one it may copy something itself. */
static void *move_slowly(void *to, const void *from, size_t count)
{
    volatile char *target = to;
    const volatile char *source = from;
    bool is_behind = (uintptr_t)to > (uintptr_t)from;
    for (size_t i = 0; i < count; i++) {
        size_t at = is_behind ? count - 1 - i : i;
        target[at] = source[at];
    }
    return to;
}

static void *fill_slowly(void *to, int byte, size_t count)
{
    volatile char *target = to;
    for (size_t i = 0; i < count; i++)
        target[i] = (char)byte;
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    count_call(&counters->copies, &counters->copied_bytes, count);
    if (move_bytes == NULL) {
        move_bytes = move_slowly;
        void *found = dlsym(RTLD_NEXT, "memmove");
        if (found != NULL)
            move_bytes = (void *(*)(void *, const void *, size_t))found;
    }
    return move_bytes(to, from, count);
}

void *memcpy(void *to, const void *from, size_t count)
{
    return memmove(to, from, count);
}

void *memset(void *to, int byte, size_t count)
{
    count_call(&counters->fills, &counters->filled_bytes, count);
    if (fill_bytes == NULL) {
        fill_bytes = fill_slowly;
        void *found = dlsym(RTLD_NEXT, "memset");
        if (found != NULL)
            fill_bytes = (void *(*)(void *, int, size_t))found;
    }
    return fill_bytes(to, byte, count);
}

/* What -D_FORTIFY_SOURCE makes of the calls whose room it knows. */

void *__memmove_chk(void *to, const void *from, size_t count, size_t room)
{
    if (count > room)
        abort();
    return memmove(to, from, count);
}

void *__memcpy_chk(void *to, const void *from, size_t count, size_t room)
{
    return __memmove_chk(to, from, count, room);
}

void *__memset_chk(void *to, int byte, size_t count, size_t room)
{
    if (count > room)
        abort();
    return memset(to, byte, count);
}
