#include "http/results.h"

#include "base/limits.h"

static_assert((unsigned)LIMIT_TXN_RESULTS_BYTES <= (unsigned)LIMIT_RESULTS_BYTES,
              "one is always possible");

static bool has_room(const struct results *results, size_t bytes)
{
    return bytes <= LIMIT_RESULTS_BYTES - results->held_bytes;
}

static void results_on_run(void *ctx)
{
    struct results *results = ctx;
    while (!list_is_empty(&results->waiting)) {
        struct results_room *room = CONTAINER_OF(results->waiting.next, struct results_room, link);
        if (!has_room(results, room->bytes))
            return;
        list_remove(&room->link);
        results->held_bytes += room->bytes;
        room->is_held = true;
        room->on_room(room);
    }
}

void results_init(struct results *results, struct env *env)
{
    *results = (struct results){.env = env};
    list_init(&results->waiting);
    env_task_init(&results->task, results_on_run, results);
}

void results_close(struct results *results)
{
    REQUIRE(results->held_bytes == 0);
    REQUIRE(list_is_empty(&results->waiting));
    env_task_cancel(results->env, &results->task);
}

bool results_reserve(struct results *results, struct results_room *room, size_t bytes_max)
{
    REQUIRE(room->bytes == 0);
    REQUIRE(bytes_max <= LIMIT_RESULTS_BYTES);

    room->bytes = bytes_max;
    room->is_held = list_is_empty(&results->waiting) && has_room(results, bytes_max);
    if (room->is_held)
        results->held_bytes += bytes_max;
    else
        list_push_back(&results->waiting, &room->link);
    return room->is_held;
}

static void wake(struct results *results)
{
    if (!list_is_empty(&results->waiting))
        env_task_post(results->env, &results->task);
}

void results_shrink(struct results *results, struct results_room *room, size_t bytes)
{
    REQUIRE(room->is_held);
    REQUIRE(bytes <= room->bytes);

    results->held_bytes -= room->bytes - bytes;
    room->bytes = bytes;
    wake(results);
}

void results_release(struct results *results, struct results_room *room)
{
    if (room->is_held)
        results_shrink(results, room, 0);
    list_remove(&room->link);
    room->is_held = false;
    room->bytes = 0;
    wake(results); /* it may have been the first of those that wait */
}
