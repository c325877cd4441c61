/* Wal map: where on disk the newest record of each index is, sparsely.
 *
 * A list of points with rising index. From a point on, the records of the following indexes lie
 * one after the other in file order, up to the next point. A record that supersedes earlier ones
 * is always a point of its own, and removes the points it supersedes. */
#ifndef MINIKV_STORAGE_WAL_MAP_H
#define MINIKV_STORAGE_WAL_MAP_H

#include "base/check.h"
#include "types/ids.h"

#include <stdbool.h>
#include <stddef.h>

enum { WAL_MAP_STEP_BYTES = 256 * 1024 }; /* a read scans at most this and a frame in vain */

struct wal_place {
    uint64_t segment;
    uint64_t frame_offset;  /* in the file */
    uint32_t record_offset; /* behind the frame's header */
};

struct wal_point {
    raft_index index;
    struct wal_place place;
};

struct wal_map {
    struct wal_point *points; /* owned */
    size_t points_count;
    size_t capacity;
    raft_index last; /* 0: empty */
};

void wal_map_init(struct wal_map *map);
void wal_map_release(struct wal_map *map);
/* The oldest index; 0 when empty. */
raft_index wal_map_first(const struct wal_map *map);
/* Everything from `from` on is superseded. */
void wal_map_cut(struct wal_map *map, raft_index from);
/* What lies in segments before this one is gone. */
void wal_map_drop(struct wal_map *map, uint64_t segment);
/* `count` records from `first` on begin at `place`. Requires first == last + 1, or an empty map.
 *
 * is_break  the record before it in the file is not the one before it in the log */
void wal_map_add(struct wal_map *map, raft_index first, uint64_t count, struct wal_place place,
                 bool is_break);
/* The last point at or before `index`, which must be in the map; and the one after it, or NULL. */
void wal_map_find(const struct wal_map *map, raft_index index, const struct wal_point **out_point,
                  const struct wal_point **out_next);

#endif
