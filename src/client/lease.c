#include "client/lease.h"

#include "base/check.h"

static time_us ttl_of(const struct lease *lease)
{
    return lease->ttl_ms * TIME_US_PER_MS;
}

/* An answer may come after a later one: what is certain only grows. */
static void extend(struct lease *lease, time_us sent_at)
{
    time_us ttl = ttl_of(lease);
    lease->certain_until = MAX(lease->certain_until, sent_at + ttl - ttl / LEASE_CLOCKS);
    lease->keep_at = sent_at + ttl / LEASE_KEEPS_PER_TTL;
}

void lease_begin(struct lease *lease, uint64_t id, uint64_t ttl_ms, time_us sent_at)
{
    *lease = (struct lease){.id = id, .ttl_ms = ttl_ms};
    extend(lease, sent_at);
}

time_us lease_keep_at(const struct lease *lease)
{
    bool wants = lease->id != 0 && !lease->is_asking && !lease->is_gone;
    return wants ? lease->keep_at : TIME_NEVER;
}

void lease_asked(struct lease *lease, time_us now)
{
    lease->is_asking = true;
    lease->sent_at = now;
}

void lease_answered(struct lease *lease, time_us now, enum lease_answer answer)
{
    lease->is_asking = false;
    switch (answer) {
    case LEASE_KEPT:
        if (!lease->is_gone) /* something else was told so meanwhile */
            extend(lease, lease->sent_at);
        break;
    case LEASE_GONE:
        lease->is_gone = true;
        lease->certain_until = 0;
        break;
    case LEASE_NO_ANSWER:
        lease->keep_at = now + MAX(ttl_of(lease) / LEASE_AGAIN_PARTS,
                                   (time_us)LEASE_AGAIN_MS_MIN * TIME_US_PER_MS);
        break;
    }
}

time_us lease_certain_for(const struct lease *lease, time_us now)
{
    return lease->certain_until > now ? lease->certain_until - now : 0;
}

time_us lease_patience(const struct lease *lease, time_us now)
{
    return MAX(lease_certain_for(lease, now), ttl_of(lease) / LEASE_KEEPS_PER_TTL);
}
