#include "http/watch_text.h"

#include "base/check.h"
#include "http/api.h"
#include "http/json.h"

static const char *op_name(const struct kv_event *event)
{
    return event->item.version == 0 ? "delete" : "put";
}

/* The members of an item, without its braces. */
static void put_item(struct buf *out, const struct kv_item *item)
{
    json_put_bytes(out, "key", item->key);
    if (item->version == 0) {
        buf_put(out, BYTES_LITERAL(",\"mod_revision\":"));
        buf_put_decimal(out, item->mod_revision);
        return;
    }
    buf_put(out, BYTES_LITERAL(","));
    json_put_bytes(out, "value", item->value);
    kv_put_revisions(out, item);
}

static void put_data(struct buf *out, const struct kv_event *event, bool has_previous)
{
    buf_put(out, BYTES_LITERAL("{"));
    put_item(out, &event->item);
    if (has_previous && event->has_previous) {
        buf_put(out, BYTES_LITERAL(",\"prev\":{"));
        put_item(out, &event->previous);
        buf_put(out, BYTES_LITERAL("}"));
    } else if (has_previous) {
        buf_put(out, BYTES_LITERAL(",\"prev\":null"));
    }
    buf_put(out, BYTES_LITERAL("}"));
}

void watch_put_event(struct buf *out, const struct kv_event *event, enum watch_format format,
                     bool has_previous)
{
    bool is_sse = format == WATCH_SSE;
    buf_put_text(out, is_sse ? "id: " : "{\"id\":\"");
    watch_id_put(out, event);
    buf_put_text(out, is_sse ? "\nevent: " : "\",\"event\":\"");
    buf_put_text(out, op_name(event));
    buf_put_text(out, is_sse ? "\ndata: " : "\",\"data\":");
    put_data(out, event, has_previous);
    switch (format) {
    case WATCH_SSE:
        buf_put(out, BYTES_LITERAL("\n\n"));
        return;
    case WATCH_NDJSON:
        buf_put(out, BYTES_LITERAL("}\n"));
        return;
    case WATCH_POLL:
        buf_put(out, BYTES_LITERAL("}"));
        return;
    }
    UNREACHABLE();
}

/* No event, since it has no data; but the id counts (HTML, "Server-sent events", dispatch). */
static void put_id(struct buf *out, struct watch_place place)
{
    buf_put(out, BYTES_LITERAL("id: "));
    watch_id_put_place(out, place);
    buf_put(out, BYTES_LITERAL("\n\n"));
}

void watch_put_greeting(struct buf *out, enum watch_format format, uint64_t revision,
                        struct watch_place place)
{
    if (format != WATCH_SSE) {
        watch_put_beat(out, format, place);
        return;
    }
    buf_printf(out, ": minikv revision %llu\n", (unsigned long long)revision);
    put_id(out, place);
}

void watch_put_beat(struct buf *out, enum watch_format format, struct watch_place place)
{
    unsigned long long revision = place.revision - 1;
    if (format != WATCH_SSE) {
        buf_printf(out, "{\"event\":\"progress\",\"revision\":%llu}\n", revision);
        return;
    }
    buf_printf(out, ": revision %llu\n", revision);
    put_id(out, place);
}

void watch_put_error(struct buf *out, enum watch_format format, struct bytes problem)
{
    bool is_sse = format == WATCH_SSE;
    buf_put_text(out, is_sse ? "event: error\ndata: " : "{\"event\":\"error\",\"data\":");
    buf_put(out, problem);
    buf_put_text(out, is_sse ? "\n\n" : "}\n");
}
