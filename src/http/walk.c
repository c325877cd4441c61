#include "http/walk.h"

#include "base/limits.h"

/* A slice that is not taken is lost: whoever has no use for it now asks again. */
static void give_slice(struct walks *walks)
{
    struct walk *walk = CONTAINER_OF(walks->asking.next, struct walk, link);
    list_remove(&walk->link);
    walks->going = walk;
    walk->on_slice(walk->ctx); /* may close it, and others */
    walks->going = NULL;
}

static void walks_on_timer(void *ctx)
{
    struct walks *walks = ctx;
    for (int i = 0; i < LIMIT_WALK_SLICES && !list_is_empty(&walks->asking); i++)
        give_slice(walks);
    if (!list_is_empty(&walks->asking))
        env_timer_set(walks->env, &walks->timer, env_now(walks->env));
}

void walks_init(struct walks *walks, struct env *env)
{
    walks->env = env;
    walks->going = NULL;
    walks->count = 0;
    walks->slices_count = 0;
    list_init(&walks->asking);
    env_timer_init(&walks->timer, walks_on_timer, walks);
}

void walks_close(struct walks *walks)
{
    REQUIRE(walks->count == 0);
    env_timer_set(walks->env, &walks->timer, TIME_NEVER);
}

bool walk_open(struct walk *walk, struct walks *walks, void (*on_slice)(void *ctx), void *ctx)
{
    if (walks->count >= LIMIT_WALKS)
        return false;
    walks->count++;
    *walk = (struct walk){.walks = walks, .on_slice = on_slice, .ctx = ctx};
    list_init(&walk->link);
    return true;
}

void walk_close(struct walk *walk)
{
    REQUIRE(walk->walks->count > 0);
    walk->walks->count--;
    list_remove(&walk->link);
    if (walk->walks->going == walk)
        walk->walks->going = NULL;
}

void walk_ask(struct walk *walk)
{
    struct walks *walks = walk->walks;
    if (!list_is_empty(&walk->link))
        return;
    if (list_is_empty(&walks->asking))
        env_timer_set(walks->env, &walks->timer, env_now(walks->env));
    list_push_back(&walks->asking, &walk->link);
}

bool walk_take(struct walk *walk)
{
    bool may_go = walk->walks->going == walk;
    if (may_go) {
        walk->walks->going = NULL;
        walk->walks->slices_count++;
    }
    return may_go;
}
