/* Forwarding at the level of the command, over the link between nodes (docs/routing.md).
 *
 * 1. The accepting node gives the attempt a number, fences it to the leader's term, and sends an
 *    envelope.
 * 2. The leader takes it if it still leads in that term and the number is above all it has taken
 *    from that process in that term; else it refuses. Either way it never takes that number again.
 * 3. The entry carries the number; the accepting node finds it when it applies the entry, and
 *    answers.
 *
 * What can go wrong: the link breaks (the next welcome says which numbers were taken, only unseen
 * ones are sent again), the leader dies or is deposed (the log of a later term is the proof,
 * apply.c), nothing is heard (the deadline: LINK_LOST or TIMEOUT, effect maybe). */
#include "base/failpoint.h"
#include "node/node_internal.h"

static struct envelope envelope_of(const struct node *node, const struct node_request *request)
{
    time_us now = env_now(node->env);
    time_us left = request->deadline > now ? request->deadline - now : 0;
    return (struct envelope){
        .cluster_id = node->meta.cluster_id,
        .to = request->sent_to,
        .term = request->fence,
        .number = request->number,
        .deadline_ms = (uint32_t)MIN(left / TIME_US_PER_MS + 1, (time_us)UINT32_MAX),
        .hops = 1,
        .command = request->command,
    };
}

enum status forward_send(struct node *node, struct node_request *request)
{
    if (node->stats.requests_forwarded_open >= LIMIT_FORWARD_OPEN)
        return ST_BUSY;
    request_open(node, request, node->view.term, node->view.leader);
    struct envelope envelope = envelope_of(node, request);
    bool is_dropped = FAILPOINT("node.forward", request->command);
    enum status status = is_dropped ? ST_OK : peers_forward(node->peers, &envelope);
    if (status != ST_OK) {
        request_detach(node, request); /* nothing was sent; the number is left unused */
        return status;
    }
    request->hops_count = 1;
    node->stats.forwarded_count++;
    return ST_OK;
}

/* Whether the book may be closed: of nobody, or of a node that has left. */
static bool is_spare(const struct node *node, const struct taken *taken)
{
    return taken->node == NODE_NONE || config_find(raft_config(node->raft), taken->node) == NULL;
}

/* NULL: there is none. */
static struct taken *taken_find(struct node *node, node_id from)
{
    for (size_t i = 0; i < NODE_TAKEN; i++)
        if (node->taken[i].node == from)
            return &node->taken[i];
    return NULL;
}

/* The books of those that have left are kept as long as there is room: who comes back in the same
 * term must not be taken twice. */
static struct taken *taken_of(struct node *node, node_id from)
{
    struct taken *spare = taken_find(node, from);
    if (spare != NULL)
        return spare;
    for (size_t i = 0; i < NODE_TAKEN; i++) {
        struct taken *taken = &node->taken[i];
        if (is_spare(node, taken) && (spare == NULL || taken->term < spare->term))
            spare = taken;
    }
    INVARIANT(spare != NULL); /* only members have one, and there are more slots than those */
    buf_reset(&spare->refused);
    *spare = (struct taken){.node = from, .refused = spare->refused};
    return spare;
}

/* The book of what this process of the sender has sent in this term; opened by its first envelope.
 */
static struct taken *taken_in(struct node *node, node_id from, uint64_t incarnation, raft_term term)
{
    struct taken *taken = taken_of(node, from);
    if (taken->incarnation != incarnation || taken->term != term) {
        taken->incarnation = incarnation;
        taken->term = term;
        taken->number = 0;
        taken->must_repeat_refused = false;
        buf_reset(&taken->refused);
    }
    return taken;
}

void forward_on_envelope(void *ctx, const struct hello *sender, const struct envelope *envelope)
{
    struct node *node = ctx;
    struct origin origin = {sender->from, sender->incarnation, envelope->number};
    bool is_leading = node->view.role == RAFT_ROLE_LEADER && node->view.term == envelope->term;
    enum status status;
    node_note_arrival(node);
    if (envelope->cluster_id != node->meta.cluster_id || envelope->to != node->options.self ||
        envelope->hops != 1) {
        status = ST_ALREADY_FORWARDED; /* meant for somebody else, or one hop too many */
    } else if (!is_leading) {
        status = ST_FENCED;
    } else if (!identity_knows(node, sender)) {
        return; /* its link is about to be closed: only members' numbers are kept account of */
    } else {
        struct taken *taken = taken_in(node, sender->from, sender->incarnation, envelope->term);
        if (envelope->number <= taken->number)
            return; /* taken before, on this link or an older one */
        taken->number = envelope->number;
        node->stats.taken_count++;
        if (FAILPOINT("node.taken", envelope->command))
            return;
        status = propose_command(node, &origin, envelope->command, envelope->term);
    }
    if (status != ST_OK)
        forward_refuse(node, &origin, envelope->term, status);
}

void forward_refuse(struct node *node, const struct origin *origin, raft_term fence,
                    enum status status)
{
    struct envelope_refusal refusal = {.term = fence, .number = origin->number, .status = status};
    struct taken *taken = taken_find(node, origin->node);
    if (taken != NULL && taken->incarnation == origin->incarnation && taken->term == fence) {
        if (taken->refused.count >= LIMIT_FORWARD_REFUSALS_BYTES)
            buf_reset(&taken->refused); /* the oldest were delivered long ago */
        envelope_refusal_encode(&refusal, &taken->refused);
    }
    peers_refuse(node->peers, origin->node, origin->incarnation, &refusal);
}

void forward_on_refusal(void *ctx, node_id from, const struct envelope_refusal *refusal)
{
    struct node *node = ctx;
    if (refusal->number == NODE_NUMBER_ANY) {
        heir_on_notice(node, from, refusal->status);
        return;
    }
    struct node_request *request = request_find(node, refusal->number);
    if (request == NULL || request->sent_to != from || request->fence != refusal->term)
        return; /* answered already, or under way elsewhere */
    if (refusal->status == ST_FENCED) {
        /* The leader will never append this number, so another attempt is safe; but the view here
         * still says the same, so wait until it changes or a moment has passed. */
        request_detach(node, request);
        request_hold(node, request);
    } else {
        request_answer(node, request, refusal->status, NULL);
    }
}

void forward_welcome(struct node *node, const struct hello *hello, struct welcome *out_welcome)
{
    struct taken *taken = taken_find(node, hello->from);
    bool is_leading = node->view.role == RAFT_ROLE_LEADER;
    bool is_known = is_leading && taken != NULL && taken->incarnation == hello->incarnation &&
                    taken->term == node->view.term;
    *out_welcome = (struct welcome){.incarnation = node->incarnation,
                                    .term = is_leading ? node->view.term : 0,
                                    .taken = is_known ? taken->number : 0};
    if (is_known) {
        taken->must_repeat_refused = true; /* those on the old link may be lost */
        node_wake(node);
    }
}

void forward_repeat_refusals(struct node *node)
{
    for (size_t i = 0; i < NODE_TAKEN; i++) {
        struct taken *taken = &node->taken[i];
        if (!taken->must_repeat_refused)
            continue;
        taken->must_repeat_refused = false;
        struct cursor in = cursor_of(buf_bytes(&taken->refused));
        struct envelope_refusal refusal;
        while (in.rest.count > 0 && envelope_refusal_decode(&in, &refusal) == ST_OK)
            peers_refuse(node->peers, taken->node, taken->incarnation, &refusal);
    }
}

static void resend_unseen(struct node *node, node_id peer, const struct welcome *welcome)
{
    struct list *next;
    for (struct list *at = node->open.next; at != &node->open; at = next) {
        next = at->next;
        struct node_request *request = CONTAINER_OF(at, struct node_request, link);
        if (request->sent_to != peer || request->fence != welcome->term)
            continue;
        if (request->number > welcome->taken) {
            struct envelope envelope = envelope_of(node, request);
            enum status status = peers_forward(node->peers, &envelope);
            if (status == ST_BUSY) {
                /* A later number would overtake it; unseen and never sent again, it is nowhere. */
                request_answer(node, request, ST_BUSY, NULL);
                continue;
            }
            if (status != ST_OK)
                continue; /* down again: the next welcome decides */
            node->stats.resent_count++;
        }
        request->link_was_lost = false; /* the leader has it, or will */
    }
}

void forward_on_link(struct node *node, node_id peer, enum link_state state,
                     const struct welcome *welcome)
{
    if (state == LINK_UP) {
        if (welcome->term != 0)
            resend_unseen(node, peer, welcome);
        node->must_reroute = true;
        node_wake(node);
        return;
    }
    for (struct list *at = node->open.next; at != &node->open; at = at->next) {
        struct node_request *request = CONTAINER_OF(at, struct node_request, link);
        if (request->sent_to == peer)
            request->link_was_lost = true;
    }
}
