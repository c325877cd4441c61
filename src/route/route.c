#include "route/route.h"

#include "base/check.h"

/* Without a leader to hand it to: wait if that is allowed, else say so. A redirect-routed client
 * wants to know now (the lesson's leader_known = 0), and so does whoever waited long enough. */
static enum route_decision wait_or_refuse(const struct route_input *input)
{
    if (!input->is_expired && !input->is_forwarded && input->policy == ROUTE_FORWARD)
        return ROUTE_HOLD;
    return input->is_stopping ? ROUTE_REFUSE_STOPPING : ROUTE_REFUSE_NO_LEADER;
}

/* Another node leads, and clients may be sent to it. */
static enum route_decision pass_on(const struct route_input *input)
{
    if (input->is_forwarded)
        return ROUTE_REFUSE_FORWARDED; /* one hop is all there is: loops cannot form */
    if (input->policy == ROUTE_REDIRECT)
        return ROUTE_POINT;
    return ROUTE_SEND;
}

/* Another node leads, but has not said where clients find it. */
static enum route_decision pass_on_unannounced(const struct route_input *input)
{
    if (input->is_forwarded)
        return ROUTE_REFUSE_FORWARDED;
    if (input->is_internal)
        return ROUTE_SEND;
    if (input->leader == ROUTE_LEADER_SILENT && !input->is_expired &&
        input->policy == ROUTE_FORWARD)
        return ROUTE_HOLD;
    return ROUTE_REFUSE_UNANNOUNCED;
}

enum route_decision route_decide(const struct route_input *input)
{
    switch (input->leader) {
    case ROUTE_LEADER_SELF:
        return ROUTE_LOCAL; /* a leader that is stopping hands over first; until then it serves */
    case ROUTE_LEADER_TRANSFERRING:
    case ROUTE_LEADER_UNKNOWN:
        return wait_or_refuse(input); /* while one hands over a successor is milliseconds away */
    case ROUTE_LEADER_ANNOUNCED:
        return pass_on(input);
    case ROUTE_LEADER_SILENT:
    case ROUTE_LEADER_UNANNOUNCED:
        return pass_on_unannounced(input);
    }
    UNREACHABLE();
}

const char *route_decision_name(enum route_decision decision)
{
    switch (decision) {
    case ROUTE_LOCAL:
        return "local";
    case ROUTE_SEND:
        return "send";
    case ROUTE_POINT:
        return "point";
    case ROUTE_HOLD:
        return "hold";
    case ROUTE_REFUSE_NO_LEADER:
        return "refuse-no-leader";
    case ROUTE_REFUSE_UNANNOUNCED:
        return "refuse-unannounced";
    case ROUTE_REFUSE_FORWARDED:
        return "refuse-forwarded";
    case ROUTE_REFUSE_STOPPING:
        return "refuse-stopping";
    }
    UNREACHABLE();
}
