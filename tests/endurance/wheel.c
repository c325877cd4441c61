#include "endurance/wheel.h"

#include "base/check.h"

void wheel_init(struct wheel *wheel, uint64_t now_ms)
{
    wheel->turned_to_ms = now_ms;
    for (int i = 0; i <= WHEEL_MS_MAX; i++)
        list_init(&wheel->buckets[i]);
}

void wheel_add(struct wheel *wheel, struct list *item, uint64_t after_ms)
{
    REQUIRE(list_is_empty(item));
    REQUIRE(after_ms >= 1 && after_ms <= WHEEL_MS_MAX);
    list_push_back(&wheel->buckets[(wheel->turned_to_ms + after_ms) & WHEEL_MS_MAX], item);
}

void wheel_turn(struct wheel *wheel, uint64_t now_ms, struct list *out_due)
{
    while (wheel->turned_to_ms < now_ms) {
        wheel->turned_to_ms++;
        list_splice(out_due, &wheel->buckets[wheel->turned_to_ms & WHEEL_MS_MAX]);
    }
}
