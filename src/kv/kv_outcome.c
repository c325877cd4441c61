/* What the table of sessions tells whoever asks: a duplicate, or somebody who wants to know what
 * has become of a write. */
#include "kv/kv_internal.h"

static enum status refusal_of(enum session_verdict verdict)
{
    switch (verdict) {
    case SESSION_SEALED:
        return ST_SEALED;
    case SESSION_REUSED:
        return ST_IDENTITY_REUSED;
    case SESSION_TOO_OLD:
        return ST_SEQUENCE_TOO_OLD;
    case SESSION_EXPIRED:
        return ST_SESSION_EXPIRED;
    case SESSION_FULL:
        return ST_SESSIONS_FULL;
    case SESSION_FRESH:
    case SESSION_DONE:
        break;
    }
    UNREACHABLE();
}

void kv_tell_verdict(const struct kv *kv, enum session_verdict verdict,
                     const struct session_result *earlier, struct kv_result *out_result)
{
    REQUIRE(verdict != SESSION_FRESH);
    if (verdict != SESSION_DONE) {
        *out_result = (struct kv_result){.status = refusal_of(verdict), .revision = kv->revision};
        return;
    }
    *out_result = (struct kv_result){.status = earlier->status,
                                     .is_replayed = true,
                                     .revision = earlier->revision,
                                     .mod_revision = earlier->mod_revision,
                                     .number = earlier->number,
                                     .results = earlier->results};
    if (earlier->op == COMMAND_GRANT_LEASE)
        out_result->lease = (uint64_t)earlier->number;
}

void kv_tell_outcome(const struct kv *kv, enum session_verdict verdict,
                     const struct session_result *earlier, struct kv_result *out_result)
{
    struct kv_result result = {.status = ST_OK, .revision = kv->revision};
    switch (verdict) {
    case SESSION_FRESH:
        result.outcome = KV_OUTCOME_UNSEEN;
        break;
    case SESSION_DONE:
        result.outcome = KV_OUTCOME_APPLIED;
        result.applied_op = earlier->op;
        result.applied_status = earlier->status;
        result.revision = earlier->revision;
        result.mod_revision = earlier->mod_revision;
        result.number = earlier->number;
        result.results = earlier->results;
        break;
    case SESSION_SEALED:
        result.outcome = KV_OUTCOME_NEVER;
        break;
    case SESSION_TOO_OLD:
    case SESSION_EXPIRED:
        result.outcome = KV_OUTCOME_EXPIRED;
        break;
    case SESSION_REUSED:
    case SESSION_FULL:
        result.status = refusal_of(verdict);
        result.outcome = KV_OUTCOME_UNSEEN;
        break;
    }
    *out_result = result;
}

/* An allotted id that this node has not come to yet may belong to a session that it will open. */
static bool is_yet_to_come(const struct kv *kv, const struct client_identity *identity)
{
    raft_index index;
    uint64_t nonce;
    return session_parse_id(identity->client, &index, &nonce) && index > kv->applied.index;
}

static bool is_final(const struct kv *kv, enum session_verdict verdict,
                     const struct client_identity *identity)
{
    switch (verdict) {
    case SESSION_FRESH:
    case SESSION_FULL:
        return false;
    case SESSION_EXPIRED:
        return !is_yet_to_come(kv, identity);
    case SESSION_DONE:
    case SESSION_SEALED:
    case SESSION_REUSED:
    case SESSION_TOO_OLD:
        return true;
    }
    UNREACHABLE();
}

bool kv_recall(const struct kv *kv, struct bytes command, uint64_t used_since_us,
               struct kv_result *out_result)
{
    struct client_identity identity;
    struct session_result earlier;
    uint64_t used_us;
    enum command_op op = command_peek(command);
    if (op == COMMAND_SEAL || op == COMMAND_CLOSE_SESSION ||
        !command_peek_identity(command, &identity))
        return false;
    enum session_verdict verdict = sessions_look_up(kv->sessions, &identity, &earlier, &used_us);
    if (used_us < used_since_us)
        return false;
    if (verdict == SESSION_DONE) /* what it asks for is looked at only now: it may be long */
        verdict = sessions_judge(kv->sessions, &identity, command_fingerprint(command), &earlier);
    if (!is_final(kv, verdict, &identity))
        return false;
    kv_tell_verdict(kv, verdict, &earlier, out_result);
    return true;
}

void kv_outcome(const struct kv *kv, const struct client_identity *identity,
                struct kv_result *out_result)
{
    struct session_result earlier;
    uint64_t used_us;
    enum session_verdict verdict = sessions_look_up(kv->sessions, identity, &earlier, &used_us);
    if (!is_final(kv, verdict, identity))
        verdict = SESSION_FRESH;
    kv_tell_outcome(kv, verdict, &earlier, out_result);
}

void kv_sessions_stats(const struct kv *kv, struct sessions_stats *out_stats)
{
    sessions_stats(kv->sessions, out_stats);
}
