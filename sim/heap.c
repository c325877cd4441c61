/* What is due next: one heap for all machines, by time and then by the order of asking.
 *
 * Each item has four children: the heap is half as deep as with two, and moving an item, which
 * writes to its owner, costs more than comparing. */
#include "sim/world_internal.h"

enum { HEAP_CAPACITY_MIN = 256, CHILDREN = 4 };

static size_t parent_of(size_t index)
{
    return (index - 2) / CHILDREN + 1;
}

static size_t first_child_of(size_t index)
{
    return (index - 1) * CHILDREN + 2;
}

static bool is_before(const struct heap_item *a, const struct heap_item *b)
{
    return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

static void place(struct world *world, size_t index, const struct heap_item *item)
{
    world->heap[index] = *item;
    if (item->timer != NULL)
        item->timer->heap_index = index;
    else
        item->event->heap_index = index;
}

static void sift_up(struct world *world, size_t index, struct heap_item item)
{
    while (index > 1 && is_before(&item, &world->heap[parent_of(index)])) {
        place(world, index, &world->heap[parent_of(index)]);
        index = parent_of(index);
    }
    place(world, index, &item);
}

static void sift_down(struct world *world, size_t index, struct heap_item item)
{
    for (size_t child; (child = first_child_of(index)) <= world->heap_count; index = child) {
        size_t last = MIN(child + CHILDREN - 1, world->heap_count);
        for (size_t other = child + 1; other <= last; other++)
            if (is_before(&world->heap[other], &world->heap[child]))
                child = other;
        if (!is_before(&world->heap[child], &item))
            break;
        place(world, index, &world->heap[child]);
    }
    place(world, index, &item);
}

static void sift(struct world *world, size_t index, struct heap_item item)
{
    if (index > 1 && is_before(&item, &world->heap[parent_of(index)]))
        sift_up(world, index, item);
    else
        sift_down(world, index, item);
}

/* `index` is where the item is now, 0 when it is not in the heap. */
static void set_item(struct world *world, size_t index, struct heap_item item)
{
    item.at = MAX(item.at, world->now);
    item.sequence = ++world->sequence_last;
    if (index != 0) {
        sift(world, index, item);
        return;
    }
    if (world->heap_count + 2 > world->heap_capacity) {
        world->heap_capacity = MAX(world->heap_capacity * 2, (size_t)HEAP_CAPACITY_MIN);
        world->heap = mem_realloc(world->heap, world->heap_capacity * sizeof world->heap[0]);
    }
    sift_up(world, ++world->heap_count, item);
}

void event_init(struct event *event, struct env *env, void (*run)(void *ctx), void *ctx)
{
    *event = (struct event){.env = env, .run = run, .ctx = ctx};
}

void event_set(struct world *world, struct event *event, time_us at)
{
    struct heap_item item = {.at = at, .env = event->env, .event = event};
    set_item(world, event->heap_index, item);
}

void event_cancel(struct world *world, struct event *event)
{
    if (event->heap_index != 0)
        heap_remove(world, event->heap_index);
}

void heap_set_timer(struct world *world, struct env *env, struct env_timer *timer, time_us at)
{
    INVARIANT(timer->heap_index == 0 || world->heap[timer->heap_index].timer == timer);
    struct heap_item item = {.at = at, .env = env, .timer = timer};
    set_item(world, timer->heap_index, item);
}

static void mark_removed(const struct heap_item *item)
{
    if (item->timer != NULL)
        item->timer->heap_index = 0;
    else
        item->event->heap_index = 0;
}

void heap_remove(struct world *world, size_t index)
{
    REQUIRE(index >= 1 && index <= world->heap_count);
    mark_removed(&world->heap[index]);
    struct heap_item last = world->heap[world->heap_count--];
    if (index <= world->heap_count)
        sift(world, index, last);
}

void heap_put_off_first(struct world *world, time_us at)
{
    REQUIRE(at >= world->heap[1].at);
    struct heap_item item = world->heap[1];
    item.at = at;
    set_item(world, 1, item);
}

/* Order among all items is total, so the shape of the heap does not show in what runs when. */
static void rebuild(struct world *world)
{
    for (size_t index = world->heap_count; index >= 1; index--)
        sift_down(world, index, world->heap[index]);
}

void heap_forget(struct world *world, const struct env *env)
{
    size_t kept = 0;
    for (size_t index = 1; index <= world->heap_count; index++) {
        if (world->heap[index].env == env)
            mark_removed(&world->heap[index]);
        else
            place(world, ++kept, &world->heap[index]);
    }
    world->heap_count = kept;
    rebuild(world);
}

void heap_retime(struct world *world, const struct env *env,
                 time_us (*time_of)(const struct world *world, const struct heap_item *item))
{
    for (size_t index = 1; index <= world->heap_count; index++)
        if (world->heap[index].env == env)
            world->heap[index].at = time_of(world, &world->heap[index]);
    rebuild(world);
}
