/* Wheel: what is due within the next second, to the millisecond. */
#ifndef MINIKV_TESTS_ENDURANCE_WHEEL_H
#define MINIKV_TESTS_ENDURANCE_WHEEL_H

#include <stdint.h>

#include "base/list.h"

enum { WHEEL_MS_MAX = 1023 };

struct wheel {
    uint64_t turned_to_ms;
    struct list buckets[WHEEL_MS_MAX + 1];
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);
/* `item` is not in a list. Due after 1 … WHEEL_MS_MAX milliseconds. */
void wheel_add(struct wheel *wheel, struct list *item, uint64_t after_ms);
/* Appends to `out_due` what has become due. */
void wheel_turn(struct wheel *wheel, uint64_t now_ms, struct list *out_due);

#endif
