/* Hints about memory: they change how long things take, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>

#include "base/limits.h"
#include "base/mem.h"

enum { AREA_BYTES = 4 * MIB, PAGE_BYTES = 4096 };

static uint8_t *map(void)
{
    void *area = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(area != MAP_FAILED);
    return area;
}

static size_t resident_pages(uint8_t *area)
{
    unsigned char pages[AREA_BYTES / PAGE_BYTES];
    size_t count = 0;
    assert_int_equal(mincore(area, AREA_BYTES, pages), 0);
    for (size_t i = 0; i < sizeof pages; i++)
        count += pages[i] & 1;
    return count;
}

static void what_is_made_ready_is_resident_and_unchanged(void **state)
{
    (void)state;
    uint8_t *area = map();
    memset(area + 100, 7, 10000);
    struct mem_room room = {(uintptr_t)area, AREA_BYTES};

    mem_make_ready(room);

#if defined(MADV_POPULATE_WRITE)
    if (madvise(area, PAGE_BYTES, MADV_POPULATE_WRITE) == 0) /* older kernels do not know it */
        assert_int_equal(resident_pages(area), AREA_BYTES / PAGE_BYTES);
#endif
    for (size_t i = 0; i < AREA_BYTES; i++)
        assert_int_equal(area[i], i >= 100 && i < 10100 ? 7 : 0);
    assert_int_equal(munmap(area, AREA_BYTES), 0);
}

/* The heap may have given it back, or somebody else may have got it. */
static void a_hint_about_memory_that_is_none_does_nothing(void **state)
{
    (void)state;
    uint8_t *area = map();
    memset(area, 9, AREA_BYTES);
    assert_int_equal(mprotect(area, AREA_BYTES / 2, PROT_READ), 0);
    mem_make_ready((struct mem_room){(uintptr_t)area, AREA_BYTES});
    for (size_t i = 0; i < AREA_BYTES; i++)
        assert_int_equal(area[i], 9);
    assert_int_equal(munmap(area, AREA_BYTES), 0);

    mem_make_ready((struct mem_room){(uintptr_t)area, AREA_BYTES});
    mem_make_ready((struct mem_room){0, 0});
    mem_make_ready((struct mem_room){0, PAGE_BYTES});
    mem_make_ready((struct mem_room){UINTPTR_MAX - PAGE_BYTES, PAGE_BYTES});
}

static void what_is_expected_can_be_asked_for(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        struct mem_room room = mem_expect(MEM_EXPECT_BYTES_MAX);
        assert_int_equal(room.bytes_count, MEM_EXPECT_BYTES_MAX);
        mem_make_ready(room);
        uint8_t *piece = mem_alloc(100000);
        assert_int_equal(piece[99999], 0);
        mem_free(piece);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_made_ready_is_resident_and_unchanged),
        cmocka_unit_test(a_hint_about_memory_that_is_none_does_nothing),
        cmocka_unit_test(what_is_expected_can_be_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
