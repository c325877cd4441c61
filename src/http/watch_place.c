#include "http/watch_place.h"

#include "base/check.h"
#include "http/headers.h"

struct watch_place watch_place_of(uint64_t revision)
{
    return (struct watch_place){.revision = revision, .nth = 1};
}

struct watch_place watch_place_behind(const struct kv_event *event)
{
    if (event->is_last)
        return watch_place_of(event->item.mod_revision + 1);
    return (struct watch_place){.revision = event->item.mod_revision, .nth = event->nth + 1};
}

static void put(struct buf *out, uint64_t revision, uint64_t nth)
{
    buf_put_decimal(out, revision);
    if (nth == 0)
        return;
    buf_put_u8(out, '.');
    buf_put_decimal(out, nth);
}

void watch_id_put(struct buf *out, const struct kv_event *event)
{
    put(out, event->item.mod_revision, event->is_last ? 0 : event->nth);
}

void watch_id_put_place(struct buf *out, struct watch_place place)
{
    REQUIRE(place.revision > 1 && place.nth >= 1);
    if (place.nth == 1)
        put(out, place.revision - 1, 0);
    else
        put(out, place.revision, place.nth - 1);
}

bool watch_id_parse(struct bytes text, struct watch_place *out_place)
{
    const uint8_t *dot = text.count == 0 ? NULL : memchr(text.data, '.', text.count);
    size_t count = dot == NULL ? text.count : (size_t)(dot - text.data);
    struct watch_place place;
    if (!number_parse(bytes_of(text.data, count), &place.revision))
        return false;
    place.nth = 0;
    if (dot == NULL)
        place.revision++;
    else if (place.revision < 2 || /* revision 1 has no events */
             !number_parse(bytes_of(dot + 1, text.count - count - 1), &place.nth))
        return false;
    place.nth++;
    *out_place = place;
    return true;
}

enum status watch_place_find(const struct kv *kv, struct watch_place place, uint64_t *out_number)
{
    REQUIRE(place.nth >= 1);

    struct kv_stats stats;
    struct kv_event before;
    uint64_t first;
    kv_stats(kv, &stats);
    if (place.revision > stats.revision + 1 ||
        (place.revision == stats.revision + 1 && place.nth > 1))
        return ST_REVISION_FUTURE;
    if (place.revision <= 1 && place.nth == 1)
        place.revision = 2; /* the first that has events */
    enum status status = kv_events_find(kv, place.revision, &first);
    if (status != ST_OK)
        return status;
    if (place.nth > 1) {
        uint64_t count = place.nth - 1;
        if (kv_events_end(kv) - first < count ||
            kv_event_at(kv, first + count - 1, &before) != ST_OK ||
            before.item.mod_revision != place.revision)
            return ST_NOT_FOUND;
        first += count;
    }
    *out_number = first;
    return ST_OK;
}
