/* Watchers come and go, and take turns. */
#include "http/watch_hub_internal.h"

#include "base/mem.h"
#include "http/watch_text.h"

enum {
    BEAT_GRAIN_US = 100 * 1000, /* beats that are due so soon are sent together */
    TEXT_BYTES_MAX = 24 * MIB   /* a slice, and an event with two of the largest values */
};

/* ---- places ---- */

static void hub_wake(struct watch_hub *hub)
{
    env_task_post(hub->env, &hub->task);
}

void watcher_fall_behind(struct watcher *watcher, struct watch_place place, uint64_t number)
{
    struct watch_hub *hub = watcher->hub;
    REQUIRE(watcher->state == WATCHER_LEVEL);
    watcher->state = WATCHER_BEHIND;
    watcher->place = place;
    watcher->number = number;
    watcher->epoch = hub->epoch;
    hub->stats.behind_count++;
    list_remove(&watcher->link);
}

void watcher_become_level(struct watcher *watcher)
{
    struct watch_hub *hub = watcher->hub;
    REQUIRE(watcher->state == WATCHER_BEHIND);
    watcher->state = WATCHER_LEVEL;
    hub->stats.behind_count--;
    list_remove(&watcher->link);
    list_push_back(&watcher->group->level, &watcher->link);
}

void watcher_line_up(struct watcher *watcher)
{
    REQUIRE(watcher->state == WATCHER_BEHIND);
    if (!list_is_empty(&watcher->link))
        return;
    list_push_back(&watcher->hub->catching, &watcher->link);
    hub_wake(watcher->hub);
}

/* ---- a run ---- */

static void lead_next(struct watch_hub *hub)
{
    struct watcher *watcher = CONTAINER_OF(hub->catching.next, struct watcher, link);
    list_remove(&watcher->link);
    watcher->run = hub->runs_count;
    hub->looked_count++;
    if (watcher->group->filter.format != WATCH_POLL) {
        hub->led = watcher;
        watcher->on_due(watcher->ctx); /* may remove it */
        hub->led = NULL;
        return;
    }
    behind_lead(watcher, NULL);
    if (watcher->state == WATCHER_FOUND || watcher->ended != ST_OK)
        watcher->on_due(watcher->ctx);
}

/* Each at most once: those that line up again come in the next run. */
static void lead_some(struct watch_hub *hub)
{
    hub->runs_count++;
    hub->looked_count = 0;
    while (!list_is_empty(&hub->catching) && hub->looked_count < WATCH_RUN_EVENTS) {
        const struct watcher *next = CONTAINER_OF(hub->catching.next, struct watcher, link);
        if (next->run == hub->runs_count)
            return;
        lead_next(hub);
    }
}

static void hub_on_run(void *ctx)
{
    struct watch_hub *hub = ctx;
    if (hub->stats.watchers_count == 0)
        return;
    level_follow_state(hub);
    level_run(hub);
    lead_some(hub);
    bool has_more = !list_is_empty(&hub->catching) || level_has_more(hub);
    if (has_more && hub->stats.watchers_count != 0)
        hub_wake(hub);
}

void watch_hub_on_applied(struct watch_hub *hub)
{
    if (hub->stats.watchers_count != 0)
        hub_wake(hub);
}

/* ---- beats ---- */

static void arm_beats(struct watch_hub *hub)
{
    if (list_is_empty(&hub->beats)) {
        env_timer_set(hub->env, &hub->beat_timer, TIME_NEVER);
        return;
    }
    const struct watcher *first = CONTAINER_OF(hub->beats.next, struct watcher, beat_link);
    time_us soonest = env_now(hub->env) + BEAT_GRAIN_US;
    env_timer_set(hub->env, &hub->beat_timer, MAX(first->beat_at, soonest));
}

/* Cut off from the majority, it would say for ever that nothing has happened. */
static bool has_lost_the_cluster(const struct watch_hub *hub)
{
    return node_view(hub->node)->leader == NODE_NONE && node_staleness(hub->node) >= WATCH_LOST_US;
}

static void hub_on_beat(void *ctx)
{
    struct watch_hub *hub = ctx;
    time_us now = env_now(hub->env);
    bool is_lost = has_lost_the_cluster(hub);
    while (!list_is_empty(&hub->beats)) {
        struct watcher *watcher = CONTAINER_OF(hub->beats.next, struct watcher, beat_link);
        if (watcher->beat_at > now)
            break;
        watcher->beat_at = now + WATCH_BEAT_US;
        list_remove(&watcher->beat_link);
        list_push_back(&hub->beats, &watcher->beat_link);
        watcher->wants_beat = true;
        if (is_lost && !watcher->takes_stale && watcher->ended == ST_OK)
            watcher->ended = ST_NO_LEADER;
        if (watcher->state == WATCHER_LEVEL || watcher->ended != ST_OK)
            watcher->on_due(watcher->ctx); /* may remove it */
    }
    arm_beats(hub);
}

/* ---- one watcher ---- */

void watch_hub_add(struct watch_hub *hub, struct watcher *watcher,
                   const struct watch_filter *filter, struct watch_place place, uint64_t number)
{
    REQUIRE(watcher->hub == NULL && !watch_hub_is_full(hub));

    if (hub->stats.watchers_count == 0) {
        hub->index.seed = env_random(hub->env);
        hub->epoch = node_kv_epoch(hub->node);
        level_go_to_end(hub);
    }
    watcher->hub = hub;
    watcher->state = WATCHER_BEHIND;
    watcher->ended = ST_OK;
    watcher->place = place;
    watcher->number = number;
    watcher->epoch = node_kv_epoch(hub->node);
    watcher->offer = watcher->run = 0;
    watcher->wants_beat = false;
    watcher->group = watch_index_join(&hub->index, filter);
    list_init(&watcher->link);
    list_init(&watcher->beat_link);
    hub->stats.watchers_count++;
    hub->stats.behind_count++;
    watcher_line_up(watcher);
    if (filter->format == WATCH_POLL)
        return;
    watcher->beat_at = env_now(hub->env) + WATCH_BEAT_US;
    bool is_first = list_is_empty(&hub->beats);
    list_push_back(&hub->beats, &watcher->beat_link);
    if (is_first)
        arm_beats(hub);
}

void watcher_remove(struct watcher *watcher)
{
    struct watch_hub *hub = watcher->hub;
    if (hub == NULL)
        return;
    list_remove(&watcher->link);
    list_remove(&watcher->beat_link);
    watch_index_leave(&hub->index, watcher->group);
    if (watcher->state == WATCHER_BEHIND)
        hub->stats.behind_count--;
    hub->stats.watchers_count--;
    watcher->hub = NULL;
}

void watcher_send(struct watcher *watcher, struct buf *out)
{
    struct watch_hub *hub = watcher->hub;
    if (watcher->ended != ST_OK)
        return;
    if (watcher->state == WATCHER_BEHIND) {
        if (hub->led == watcher)
            behind_lead(watcher, out);
        else if (!level_take_offer(watcher, out))
            watcher_line_up(watcher);
    }
    if (watcher->wants_beat && watcher->state == WATCHER_LEVEL) {
        watcher->wants_beat = false;
        watch_put_beat(out, watcher->group->filter.format, hub->place);
    }
}

/* ---- life ---- */

struct watch_hub *watch_hub_new(struct env *env, struct node *node)
{
    struct watch_hub *hub = mem_alloc(sizeof *hub);
    hub->env = env;
    hub->node = node;
    watch_index_init(&hub->index, 0);
    env_task_init(&hub->task, hub_on_run, hub);
    env_timer_init(&hub->beat_timer, hub_on_beat, hub);
    list_init(&hub->catching);
    list_init(&hub->beats);
    list_init(&hub->touched);
    for (size_t i = 0; i < WATCH_FORMATS; i++)
        for (size_t j = 0; j < 2; j++)
            buf_init(&hub->texts[i][j], TEXT_BYTES_MAX);
    return hub;
}

void watch_hub_free(struct watch_hub *hub)
{
    if (hub == NULL)
        return;
    REQUIRE(hub->stats.watchers_count == 0);
    env_task_cancel(hub->env, &hub->task);
    env_timer_set(hub->env, &hub->beat_timer, TIME_NEVER);
    watch_index_release(&hub->index);
    for (size_t i = 0; i < WATCH_FORMATS; i++)
        for (size_t j = 0; j < 2; j++)
            buf_release(&hub->texts[i][j]);
    mem_free(hub);
}

bool watch_hub_is_full(const struct watch_hub *hub)
{
    return hub->stats.watchers_count >= LIMIT_WATCHERS;
}

void watch_hub_stats(const struct watch_hub *hub, struct watch_stats *out_stats)
{
    *out_stats = hub->stats;
    out_stats->groups_count = hub->index.groups_count;
}
