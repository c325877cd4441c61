#include "storage/wal_map.h"

#include <string.h>

#include "base/mem.h"

enum { POINTS_MIN = 64 };

void wal_map_init(struct wal_map *map)
{
    *map = (struct wal_map){0};
}

void wal_map_release(struct wal_map *map)
{
    mem_free(map->points);
    *map = (struct wal_map){0};
}

raft_index wal_map_first(const struct wal_map *map)
{
    return map->points_count > 0 ? map->points[0].index : 0;
}

void wal_map_cut(struct wal_map *map, raft_index from)
{
    REQUIRE(from > 0);
    if (from > map->last)
        return;
    while (map->points_count > 0 && map->points[map->points_count - 1].index >= from)
        map->points_count--;
    map->last = map->points_count > 0 ? from - 1 : 0;
}

void wal_map_drop(struct wal_map *map, uint64_t segment)
{
    size_t gone = 0;
    while (gone < map->points_count && map->points[gone].place.segment < segment)
        gone++;
    map->points_count -= gone;
    if (gone > 0)
        memmove(map->points, map->points + gone, map->points_count * sizeof *map->points);
    if (map->points_count == 0)
        map->last = 0;
}

static bool is_far(const struct wal_point *point, struct wal_place place)
{
    return point->place.segment != place.segment ||
           place.frame_offset - point->place.frame_offset >= WAL_MAP_STEP_BYTES;
}

void wal_map_add(struct wal_map *map, raft_index first, uint64_t count, struct wal_place place,
                 bool is_break)
{
    REQUIRE(count > 0);
    REQUIRE(map->points_count == 0 || first == map->last + 1);
    if (map->points_count == 0 || is_break || is_far(&map->points[map->points_count - 1], place)) {
        if (map->points_count == map->capacity) {
            map->capacity = MAX(map->capacity * 2, (size_t)POINTS_MIN);
            map->points = mem_realloc(map->points, map->capacity * sizeof *map->points);
        }
        map->points[map->points_count++] = (struct wal_point){.index = first, .place = place};
    }
    map->last = first + count - 1;
}

void wal_map_find(const struct wal_map *map, raft_index index, const struct wal_point **out_point,
                  const struct wal_point **out_next)
{
    REQUIRE(map->points_count > 0);
    REQUIRE(index >= map->points[0].index);
    REQUIRE(index <= map->last);
    size_t low = 0, high = map->points_count; /* points[low].index <= index < points[high].index */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (map->points[middle].index <= index)
            low = middle;
        else
            high = middle;
    }
    *out_point = &map->points[low];
    *out_next = high < map->points_count ? &map->points[high] : NULL;
}
