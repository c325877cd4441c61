/* Claim: what to ask the cluster next for a lease, and with a name for a place in its queue, until
 * it is held, and until it has been given back. Pure: answers and times in, the next request out.
 *
 *      GRANT ─▶ ENTER ─▶ PAGE ⟲ ─▶ held ─▶ CHANGE  state  ENTERING, WAITING, HELD
 *        │                │  ▲                            LEAVING, LEFT
 *        │ no name        ▼  │                            LOST, FAILED
 *        ▼              CHANGE: a long poll for the one before to go
 *      held                            from everywhere, told to leave: REVOKE ─▶ left
 *
 * GRANT makes the lease, ENTER the key NAME/<lease> under it; PAGE reads a page of all keys of the
 * name at one revision. Of the places created before the own one the nearest is waited for, so that
 * one that goes wakes one. Who holds it waits in the same way for the own key to go, which somebody
 * may delete; that such a question fails says nothing. The same rules, and the same keys, as
 * src/cli/hold.h.
 *
 * What may have been carried out without an answer is asked again under the same identity, which
 * gives the first answer again: no lease is left behind unknown. ENTER besides is a transaction
 * that does nothing the second time, and says what is there.
 *
 * Beside this go keep-alives: `lease`, from claim_keep_at to claim_kept.
 *
 * Ownership    one block of memory: claim_new, claim_free
 * Calling      one at a time; every call says what time it is, never less than before */
#ifndef MINIKV_CLIENT_CLAIM_H
#define MINIKV_CLIENT_CLAIM_H

#include "base/limits.h"
#include "client/blob.h"
#include "client/lease.h"
#include "minikv/minikv.h"

enum {
    CLAIM_TTL_MS = 10 * 1000,
    CLAIM_PLACE_BYTES = 16, /* of a key behind "NAME/" */
    CLAIM_POLL_MS = 2000,
    CLAIM_AGAIN_MS = 200 /* after a question that failed */
};

enum claim_step { CLAIM_REST, CLAIM_GRANT, CLAIM_ENTER, CLAIM_PAGE, CLAIM_CHANGE, CLAIM_REVOKE };

struct claim {
    enum minikv_hold_state state;
    enum claim_step step;            /* the next, or the one under way */
    bool is_asking;                  /* it is under way */
    time_us again_at;                /* not before */
    time_us first_sent_at;           /* of GRANT under this identity */
    struct minikv_identity identity; /* of a step that may have been carried out; client "": none */
    bool was_certain;                /* when it was told to leave */
    bool was_lost;                   /* likewise */

    uint64_t ttl_ms; /* wanted */
    struct lease lease;
    uint64_t adopted;                /* the lease that is kept here, and not granted; 0: none */
    struct bytes prefix, key, value; /* "NAME/", "NAME/5e1f…"; empty: no name */
    char *place;                     /* in `key`: to be written when the lease is known */
    uint64_t token;                  /* the revision that created the key; 0: not there yet */

    uint64_t revision; /* of the pages that are being read; 0: the first is to come */
    uint8_t after[LIMIT_KEY_BYTES];
    size_t after_count;
    bool sees_itself;
    uint64_t before_token; /* of the nearest place before the own one; 0: none */
    char *before_key;      /* as long as the own one */
    uint64_t changes_from; /* the first revision that has not been looked at */

    enum minikv_code code; /* what is in the way, or was */
    char word[32], detail[256];
};

/* What is wrong with the request: MINIKV_OK; MINIKV_INVALID. */
enum minikv_code claim_check(const struct minikv_hold_request *request);
/* NULL without memory. Requires that claim_check has said MINIKV_OK. */
struct claim *claim_new(const struct minikv_hold_request *request);
void claim_free(struct claim *claim); /* NULL is a no-op */

/* The step to take now; CLAIM_REST: none before *out_at, or, at TIME_NEVER, before something
 * happens. */
enum claim_step claim_next(const struct claim *claim, time_us now, time_us *out_at);
/* The request of that step; borrows the hold and `text`, which is empty before. False without
 * memory. */
bool claim_request(const struct claim *claim, struct blob *text,
                   struct minikv_request *out_request);
void claim_asked(struct claim *claim, time_us now);
/* It could not even be sent: later. */
void claim_put_off(struct claim *claim, time_us now);
void claim_answered(struct claim *claim, time_us now, const struct minikv_result *result);

/* The same for keep-alives: when the next one is due, what to send, what came of it. */
time_us claim_keep_at(const struct claim *claim);
struct minikv_request claim_keep_request(const struct claim *claim, char target[64], time_us now);
void claim_kept(struct claim *claim, time_us now, const struct minikv_result *result);

/* It is to be given back. Requires that it is neither LEAVING nor LEFT. True: the step that is
 * under way, if one is, is of no interest any more, and its answer is not to be told. */
bool claim_leave(struct claim *claim, time_us now);
/* Nothing will happen any more: LEFT, LOST, FAILED. */
bool claim_is_over(const struct claim *claim);

#endif
