/* Timers: all env timers on one uv_timer.
 *
 * libuv counts in milliseconds; a deadline is rounded up, so a timer is late by up to a
 * millisecond or so and never early. The heap has four children per node: half as deep as a binary
 * one, and the children share a cache line. A timer that is due soon after the last of a queue is
 * put behind that instead, which costs the same however many there are. */
#include "uv/uv_internal.h"

#include "base/mem.h"

enum { TIMER_CHILDREN = 4, TIMERS_CAPACITY_MIN = 64 };

#define TIMER_QUEUED SIZE_MAX /* the heap_index of a timer in a queue */
/* Later than the last of a queue by more than this, a timer would keep others out of it. */
#define TIMER_QUEUE_STEP_US (1000 * TIME_US_PER_MS)

static size_t parent_of(size_t index)
{
    return (index - 2) / TIMER_CHILDREN + 1;
}

static size_t first_child_of(size_t index)
{
    return (index - 1) * TIMER_CHILDREN + 2;
}

static bool is_before(const struct env_timer *a, const struct env_timer *b)
{
    return a->deadline != b->deadline ? a->deadline < b->deadline : a->sequence < b->sequence;
}

static void put_at(struct env_timers *timers, size_t index, struct env_timer *timer)
{
    timers->items[index] = timer;
    timer->heap_index = index;
}

static void sift_up(struct env_timers *timers, struct env_timer *timer)
{
    size_t index = timer->heap_index;
    while (index > 1 && is_before(timer, timers->items[parent_of(index)])) {
        put_at(timers, index, timers->items[parent_of(index)]);
        index = parent_of(index);
    }
    put_at(timers, index, timer);
}

static void sift_down(struct env_timers *timers, struct env_timer *timer)
{
    size_t index = timer->heap_index;
    for (;;) {
        size_t first = first_child_of(index);
        size_t end = MIN(first + TIMER_CHILDREN, timers->count + 1);
        size_t least = first;
        for (size_t child = first + 1; child < end; child++)
            if (is_before(timers->items[child], timers->items[least]))
                least = child;
        if (first >= end || !is_before(timers->items[least], timer))
            break;
        put_at(timers, index, timers->items[least]);
        index = least;
    }
    put_at(timers, index, timer);
}

static void heap_remove(struct env_timers *timers, struct env_timer *timer)
{
    REQUIRE(timer->heap_index >= 1 && timer->heap_index <= timers->count);
    REQUIRE(timers->items[timer->heap_index] == timer);

    struct env_timer *last = timers->items[timers->count--];
    if (last != timer) {
        last->heap_index = timer->heap_index;
        sift_up(timers, last);
        sift_down(timers, last);
    }
    timer->heap_index = 0;
}

static void heap_add(struct env_timers *timers, struct env_timer *timer)
{
    REQUIRE(timer->heap_index == 0);

    if (timers->count + 1 >= timers->capacity) {
        timers->capacity = MAX(timers->capacity * 2, (size_t)TIMERS_CAPACITY_MIN);
        timers->items = mem_realloc(timers->items, timers->capacity * sizeof(timers->items[0]));
    }
    timer->heap_index = ++timers->count;
    sift_up(timers, timer);
}

static struct env_timer *timer_of(struct list *link)
{
    return CONTAINER_OF(link, struct env_timer, link);
}

/* The one whose last is the nearest, or an empty one; NULL: the timer belongs in the heap. */
static struct list *queue_for(struct env_timers *timers, time_us deadline)
{
    struct list *nearest = NULL;
    struct list *empty = NULL;
    time_us step = TIMER_QUEUE_STEP_US;
    for (size_t i = 0; i < TIMER_QUEUES; i++) {
        struct list *queue = &timers->queues[i];
        if (list_is_empty(queue)) {
            empty = queue;
            continue;
        }
        time_us last = timer_of(queue->prev)->deadline;
        if (deadline >= last && deadline - last <= step) {
            nearest = queue;
            step = deadline - last;
        }
    }
    return nearest != NULL ? nearest : empty;
}

static void timers_add(struct env_timers *timers, struct env_timer *timer)
{
    struct list *queue = queue_for(timers, timer->deadline);
    if (queue == NULL) {
        heap_add(timers, timer);
        return;
    }
    timer->heap_index = TIMER_QUEUED;
    list_push_back(queue, &timer->link);
}

static void timers_remove(struct env_timers *timers, struct env_timer *timer)
{
    if (timer->heap_index != TIMER_QUEUED) {
        heap_remove(timers, timer);
        return;
    }
    list_remove(&timer->link);
    timer->heap_index = 0;
}

/* NULL: none is armed. */
static struct env_timer *timers_first(struct env_timers *timers)
{
    struct env_timer *first = timers->count > 0 ? timers->items[1] : NULL;
    for (size_t i = 0; i < TIMER_QUEUES; i++) {
        struct list *queue = &timers->queues[i];
        if (!list_is_empty(queue) && (first == NULL || is_before(timer_of(queue->next), first)))
            first = timer_of(queue->next);
    }
    return first;
}

/* One round fires what was armed before it began. What its callbacks arm has to wait for the next
 * one, after sockets had their turn, even when it is due at once. */
static void timers_on_due(uv_timer_t *uv_timer)
{
    struct env *env = uv_timer->data;
    struct env_timers *timers = &env->timers;
    uint64_t sequence_end = timers->next_sequence;

    timers->armed_ms = 0;
    timers->is_firing = true;
    env_clock_expire(env);
    time_us now = env_now(env);
    for (struct env_timer *timer; (timer = timers_first(timers)) != NULL;) {
        if (timer->deadline > now || timer->sequence >= sequence_end)
            break;
        timers_remove(timers, timer);
        timer->on_fire(timer->ctx);
    }
    timers->is_firing = false;
    env_clock_expire(env);
}

void env_timers_init(struct env *env)
{
    int rc = uv_timer_init(&env->loop, &env->timers.uv_timer);
    INVARIANT(rc == 0);
    env->timers.uv_timer.data = env;
    env->timers.next_sequence = 1;
    for (size_t i = 0; i < TIMER_QUEUES; i++)
        list_init(&env->timers.queues[i]);
}

void env_timers_arm(struct env *env)
{
    struct env_timers *timers = &env->timers;
    const struct env_timer *first = timers_first(timers);
    if (first == NULL) {
        (void)uv_timer_stop(&timers->uv_timer); /* cannot fail */
        timers->armed_ms = 0;
        return;
    }

    /* libuv's idea of now is from the start of the turn; callbacks have taken time since, and the
     * wait is reckoned from it. */
    uv_update_time(&env->loop);
    uint64_t due_ms = first->deadline / TIME_US_PER_MS + (first->deadline % TIME_US_PER_MS != 0);
    due_ms = MAX(due_ms, (uint64_t)1);
    if (due_ms == timers->armed_ms)
        return;
    uint64_t now_ms = uv_now(&env->loop);
    int rc =
        uv_timer_start(&timers->uv_timer, timers_on_due, due_ms > now_ms ? due_ms - now_ms : 0, 0);
    INVARIANT(rc == 0);
    timers->armed_ms = due_ms;
}

void env_timers_release(struct env *env)
{
    mem_free(env->timers.items);
    env->timers.items = NULL;
    env->timers.count = 0;
}

void env_timer_init(struct env_timer *timer, void (*on_fire)(void *ctx), void *ctx)
{
    REQUIRE(on_fire != NULL);
    *timer = (struct env_timer){.on_fire = on_fire, .ctx = ctx, .deadline = TIME_NEVER};
}

void env_timer_set(struct env *env, struct env_timer *timer, time_us deadline)
{
    REQUIRE(timer->on_fire != NULL);

    struct env_timers *timers = &env->timers;
    if (timer->heap_index != 0)
        timers_remove(timers, timer);
    timer->deadline = deadline;
    if (deadline == TIME_NEVER)
        return;
    /* In a round, a deadline of the past would go to the top and hide those that are due. */
    if (timers->is_firing)
        timer->deadline = MAX(deadline, env_now(env));
    timer->sequence = timers->next_sequence++;
    timers_add(timers, timer);
}
