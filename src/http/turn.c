#include "http/turn.h"

#include "base/limits.h"

static_assert(LIMIT_CONNECTION_TURN_BYTES <= LIMIT_TURN_BYTES, "one share fits a turn");

/* Ends: each of those that come spends something, or does not come again. */
static void turns_on_timer(void *ctx)
{
    struct turns *turns = ctx;
    turns_begin(turns);
    turns->is_serving = true;
    while (!list_is_empty(&turns->waiting) && turns->left_bytes > 0) {
        struct turn *turn = CONTAINER_OF(turns->waiting.next, struct turn, link);
        list_remove(&turn->link);
        turn->number = turns->number;
        turn->spent_bytes = 0; /* also if it comes round again in the same turn */
        turns->on_turn(turn);
    }
    turns->is_serving = false;
    if (!list_is_empty(&turns->waiting))
        env_timer_set(turns->env, &turns->timer, env_now(turns->env));
}

void turns_init(struct turns *turns, struct env *env, void (*on_turn)(struct turn *turn))
{
    *turns = (struct turns){.env = env, .on_turn = on_turn};
    list_init(&turns->waiting);
    env_timer_init(&turns->timer, turns_on_timer, turns);
    turns_begin(turns);
}

void turns_close(struct turns *turns)
{
    REQUIRE(list_is_empty(&turns->waiting));
    env_timer_set(turns->env, &turns->timer, TIME_NEVER);
}

void turn_init(struct turn *turn, struct turns *turns)
{
    *turn = (struct turn){.turns = turns};
    list_init(&turn->link);
}

void turn_leave(struct turn *turn)
{
    list_remove(&turn->link);
}

void turn_yield(struct turn *turn)
{
    struct turns *turns = turn->turns;
    if (!list_is_empty(&turn->link))
        return;
    if (list_is_empty(&turns->waiting) && !turns->is_serving)
        env_timer_set(turns->env, &turns->timer, env_now(turns->env));
    list_push_back(&turns->waiting, &turn->link);
}

bool turn_may_go_on(struct turn *turn)
{
    bool may = list_is_empty(&turn->link) && turn->turns->left_bytes > 0;
    if (!may)
        turn_yield(turn);
    return may;
}

bool turn_may_reply(struct turn *turn)
{
    struct turns *turns = turn->turns;
    if (turn->number != turns->number) {
        turn->number = turns->number;
        turn->spent_bytes = 0;
    }
    bool may = list_is_empty(&turn->link) && turns->left_bytes > 0 &&
               turn->spent_bytes < LIMIT_CONNECTION_TURN_BYTES;
    if (!may)
        turn_yield(turn);
    return may;
}
