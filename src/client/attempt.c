#include "client/attempt.h"

static enum attempt_next decide_replied(const struct attempt *attempt)
{
    bool is_harmless = attempt->is_repeatable || attempt->effect == EFFECT_NONE;
    if (attempt->code == 307) {
        if (attempt->points && attempt->follows_count < MINIKV_REDIRECTS_MAX)
            return ATTEMPT_NEXT_FOLLOW;
        return ATTEMPT_NEXT_ELSEWHERE; /* a redirect never did anything */
    }
    switch (attempt->code) {
    case 408: /* the request did not arrive in time */
    case 500: /* this node is not well; another may be */
    case 502:
    case 503:
    case 504:
        return is_harmless ? ATTEMPT_NEXT_ELSEWHERE : ATTEMPT_NEXT_FINISH;
    default:
        return ATTEMPT_NEXT_FINISH;
    }
}

enum attempt_next attempt_decide(const struct attempt *attempt)
{
    switch (attempt->end) {
    case ATTEMPT_REPLIED:
        return decide_replied(attempt);
    case ATTEMPT_UNSENT:
        return ATTEMPT_NEXT_ELSEWHERE;
    case ATTEMPT_LOST:
        return attempt->is_repeatable ? ATTEMPT_NEXT_ELSEWHERE : ATTEMPT_NEXT_FINISH;
    }
    return ATTEMPT_NEXT_FINISH;
}

static enum effect effect_of(const struct attempt *attempt)
{
    switch (attempt->end) {
    case ATTEMPT_REPLIED:
        return attempt->effect;
    case ATTEMPT_UNSENT:
        return EFFECT_NONE;
    case ATTEMPT_LOST:
        return EFFECT_MAYBE;
    }
    return EFFECT_MAYBE;
}

/* "none" of one delivery says nothing of those before it. */
enum effect attempt_combine(enum effect before, const struct attempt *attempt, bool settles)
{
    enum effect effect = effect_of(attempt);
    if (settles || effect == EFFECT_APPLIED)
        return effect;
    return before == EFFECT_NONE ? effect : before;
}
