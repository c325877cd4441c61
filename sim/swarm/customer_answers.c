/* What the library tells its caller, and what must hold of it at once: it keeps to the deadline,
 * its effect fits its code, counters count, and what is settled stays so. */
#include <string.h>

#include "client/outcome.h"
#include "sim/swarm/customer.h"

enum { LATE_US = 5 * 1000 }; /* waiting is in whole milliseconds, and clocks run at 125 percent */

static void violate(const struct customer_call *call, enum verdict verdict, const char *oracle,
                    const char *what)
{
    char text[96];
    swarm_violate(call->customer->swarm, verdict, oracle, "%s: %s", call_format(call, text), what);
}

static void lie(const struct customer_call *call, const char *oracle, const char *what)
{
    violate(call, VERDICT_SAFETY, oracle, what);
}

static bool is_write(const struct customer_call *call)
{
    return call->errand == ERRAND_OWN || call->errand == ERRAND_SHARED ||
           call->errand == ERRAND_CHANGE || call->errand == ERRAND_LAST;
}

bool call_is_carried_out(const struct customer_call *call)
{
    return call->fate == FATE_APPLIED ||
           (call->fate == FATE_NONE && call->code == MINIKV_CONDITION_FAILED);
}

/* ---- writes ---- */

static enum fate fate_of(const struct customer_call *call, enum minikv_effect effect)
{
    switch (effect) {
    case MINIKV_APPLIED:
        return FATE_APPLIED;
    case MINIKV_NOT_APPLIED:
        return FATE_NONE;
    case MINIKV_MAYBE_APPLIED:
        return is_write(call) ? FATE_MAYBE : FATE_NONE;
    }
    UNREACHABLE();
}

static void check_number(const struct customer_call *call)
{
    const struct swarm *swarm = call->customer->swarm;
    uint64_t number = (uint64_t)call->value;
    if (call->errand == ERRAND_SHARED &&
        (number <= call->acked_before || number > swarm->shared_sent))
        lie(call, "reads", "the sum misses an increment, or has one that nobody sent");
    if ((call->errand == ERRAND_OWN || call->errand == ERRAND_LAST) && number != 1)
        lie(call, "exactly once", "the first increment of a key is not 1");
}

/* The fate of a write is known, by its own answer or by one to a question. */
static void learn(struct customer_call *call, enum fate fate, enum minikv_code code)
{
    struct swarm *swarm = call->customer->swarm;
    call->fate = fate;
    call->code = code;
    if (fate == FATE_APPLIED) {
        swarm->totals.applied++;
        swarm->shared_acked += call->errand == ERRAND_SHARED;
        check_number(call);
    }
    if (call->errand != ERRAND_CHANGE)
        return;
    if (code == MINIKV_OK || code == MINIKV_CONDITION_FAILED)
        history_end_change(swarm, call->key, call->history,
                           code == MINIKV_OK ? ST_OK : ST_CONDITION_FAILED, call->revision);
    if (fate == FATE_NONE)
        history_forget_change(swarm, call->key, call->history);
}

/* These are all refusals that a customer may meet: its requests are well formed. */
static bool is_fair(const char *word)
{
    return strcmp(word, "session-expired") == 0 || strcmp(word, "sequence-too-old") == 0 ||
           strcmp(word, "sealed") == 0;
}

static void check_code(const struct customer_call *call, const struct minikv_result *result)
{
    bool is_applied = result->effect == MINIKV_APPLIED;
    if (is_applied != (result->code == MINIKV_OK))
        lie(call, "truth", "the code of the answer does not fit its effect");
    if (strcmp(result->word, "identity-reused") == 0)
        lie(call, "exactly once", "the identity of another write is used again");
    else if (result->code == MINIKV_REFUSED && !is_fair(result->word))
        lie(call, "truth", "a well-formed request is refused");
    else if (result->code == MINIKV_NOT_INTEGER || result->code == MINIKV_OVERFLOW)
        lie(call, "truth", "a counter is said to be none");
}

static void on_write(struct customer_call *call, const struct minikv_result *result)
{
    call->asked = result->identity;
    call->value = result->number;
    call->revision = result->revision;
    check_code(call, result);
    learn(call, fate_of(call, result->effect), result->code);
}

/* ---- reads ---- */

static uint64_t number_of(const struct minikv_result *result)
{
    const struct minikv_item *item = result->items_count == 1 ? &result->items[0] : NULL;
    return item != NULL ? history_number(bytes_of(item->value.data, item->value.count)) : 0;
}

static void on_count(struct customer_call *call, const struct minikv_result *result)
{
    struct swarm *swarm = call->customer->swarm;
    uint64_t shown = number_of(result);
    if (!call->is_stale && shown < call->acked_before)
        lie(call, "reads", "misses an acknowledged increment");
    if (shown > swarm->shared_sent)
        lie(call, "reads", "shows an increment that nobody sent");
    swarm->shared_seen = MAX(swarm->shared_seen, shown);
}

static void on_read(struct customer_call *call, const struct minikv_result *result)
{
    struct swarm *swarm = call->customer->swarm;
    bool is_known = result->code == MINIKV_OK || result->code == MINIKV_NOT_FOUND;
    if (call->errand == ERRAND_COUNT && is_known)
        on_count(call, result);
    else if (call->errand == ERRAND_READ && is_known)
        history_end_read(swarm, call->key, call->history,
                         result->code == MINIKV_OK ? result->revision : 0, number_of(result));
    if (result->effect != MINIKV_NOT_APPLIED)
        lie(call, "truth", "a read is said to have an effect");
    call->fate = is_known ? FATE_APPLIED : FATE_NONE;
}

/* ---- questions ---- */

static void on_fate(struct customer_call *call, enum minikv_fate fate,
                    const struct minikv_result *result)
{
    static const char *const names[] = {
        [MINIKV_FATE_APPLIED] = "applied", [MINIKV_FATE_PENDING] = "pending",
        [MINIKV_FATE_UNSEEN] = "unseen",   [MINIKV_FATE_NEVER] = "never",
        [MINIKV_FATE_EXPIRED] = "expired",
    };
    struct customer_call *about = call->about;
    swarm_note(call->customer->swarm, TRACE_ANSWER, 0, call->customer->machine,
               CUSTOMER_NOTE_FIRST + about->number, fate, "customer %u, call %u: %s: %s/%llu",
               call->customer->number, about->number, names[fate], call->asked.client,
               (unsigned long long)call->asked.sequence);
    bool is_applied = fate == MINIKV_FATE_APPLIED, is_never = fate == MINIKV_FATE_NEVER;
    bool was_carried_out = call_is_carried_out(about), was_none = about->fate == FATE_NONE;
    if ((was_carried_out && is_never) || (was_none && !was_carried_out && is_applied))
        lie(call, "exactly once", "what had been settled is settled in the other way");
    if (call->seals && (fate == MINIKV_FATE_UNSEEN || fate == MINIKV_FATE_PENDING))
        lie(call, "exactly once", "a seal left open what becomes of the write");
    if (call->was_applied && fate == MINIKV_FATE_UNSEEN)
        lie(call, "reads", "does not know of a write acknowledged before");
    if (about->fate != FATE_MAYBE)
        return;
    if (is_applied) {
        about->value = result->number;
        about->revision = result->revision;
        learn(about, fate_of(about, result->effect), result->code);
    } else if (is_never) {
        learn(about, FATE_NONE, MINIKV_REFUSED);
    }
}

static void on_outcome(struct customer_call *call, struct minikv_result *result)
{
    enum minikv_fate fate;
    call->fate = FATE_NONE;
    if (outcome_read(&call->asked, result, &fate) != MINIKV_OK)
        return;
    call->fate = FATE_APPLIED;
    on_fate(call, fate, result);
    if (outcome_is_final(fate))
        engine_settled(call->customer->engine, &call->asked);
}

/* ---- all of them ---- */

/* A machine that stands still keeps no time. */
static void check_time(const struct customer_call *call)
{
    bool is_fair_time = call->disturbances_before == call->customer->disturbances;
    if (is_fair_time && customer_now(call->customer) > call->deadline + LATE_US)
        violate(call, VERDICT_LIVENESS, "a call ends by its deadline", "it did not");
}

void customer_on_done(void *ctx, struct minikv_result *result)
{
    struct customer_call *call = ctx;
    struct swarm *swarm = call->customer->swarm;
    char text[96];
    REQUIRE(call->fate == FATE_OPEN);
    swarm->customers->open_count--;
    swarm->totals.answered++;
    swarm->totals.replayed += result->is_replayed;
    swarm_note(swarm, TRACE_ANSWER, 0, call->customer->machine, CUSTOMER_NOTE_FIRST + call->number,
               (uint64_t)result->code << 8 | (uint64_t)result->effect, "%s: %s%s%s, effect %d",
               call_format(call, text), minikv_code_name(result->code),
               result->word[0] != '\0' ? " " : "", result->word, (int)result->effect);
    check_time(call);
    call->code = result->code;
    if (call->errand == ERRAND_OUTCOME)
        on_outcome(call, result);
    else if (is_write(call))
        on_write(call, result);
    else
        on_read(call, result);
    minikv_result_release(result);
}

void customer_forget_call(struct customer_call *call)
{
    struct swarm *swarm = call->customer->swarm;
    swarm->customers->open_count--;
    call->fate = is_write(call) ? FATE_MAYBE : FATE_NONE;
    swarm_note(swarm, TRACE_ANSWER, 0, call->customer->machine, CUSTOMER_NOTE_FIRST + call->number,
               call->fate, "call %u: the customer is gone", call->number);
}
