/* The directory of members: this node's part in it, which is its data directory and where clients
 * reach it. A node registers and announces itself as soon as it knows a leader; the leader asks the
 * announced address who it is before it orders the announcement. */
#include "base/mem.h"
#include "node/node_internal.h"

/* After a refused registration or announcement; every change of the view tries at once. */
enum { OWN_RETRY_US = 200 * TIME_US_PER_MS, OWN_DEADLINE_US = 5000 * TIME_US_PER_MS };

/* What this node has to announce, if anything. */
static bool own_http(struct node *node, struct address *out_http)
{
    struct errtext error;
    if (!node->options.announces || !address_is_set(&node->options.advertise_http))
        return false;
    enum status status = node_resolve_http(node, node->options.self, &node->options.advertise_http,
                                           out_http, &error);
    if (status != ST_OK && !node->own_is_unusable)
        diag(DIAG_WARN, "announces no client address: %s (--advertise-http)", error.text);
    node->own_is_unusable = status != ST_OK;
    return status == ST_OK;
}

static void on_own_done(void *ctx, const struct node_answer *answer)
{
    struct node *node = ctx;
    enum status status = answer->status != ST_OK ? answer->status : answer->result.status;
    node->own_is_open = false;
    if (status == ST_ADDRESS_MISMATCH && node->own_status != status)
        diag(DIAG_WARN,
             "the leader refuses this node's announcement: nothing at its advertised client "
             "address answers as node %u of this cluster",
             node->options.self);
    node->own_status = status;
    if (status == ST_OK && command_peek(buf_bytes(&node->own_command)) == COMMAND_ANNOUNCE)
        (void)own_http(node, &node->own_announced);
    if (status != ST_OK)
        node->own_not_before = env_now(node->env) + OWN_RETRY_US;
    node_wake(node);
}

static void submit_own(struct node *node, const struct command *command)
{
    buf_reset(&node->own_command);
    command_encode(command, &node->own_command);
    node->own_request = (struct node_request){
        .kind = NODE_WRITE,
        .policy = ROUTE_FORWARD,
        .is_internal = true,
        .deadline = env_now(node->env) + OWN_DEADLINE_US,
        .command = buf_bytes(&node->own_command),
        .on_done = on_own_done,
        .ctx = node,
    };
    node->own_is_open = true;
    node_submit(node, &node->own_request);
}

void directory_refresh(struct node *node)
{
    const struct kv_member *self = kv_member(node->kv, node->options.self);
    bool is_member = self != NULL && config_find(raft_config(node->raft), self->member.id) != NULL;
    if (node->own_is_open || node->is_stopping || node->view.leader == NODE_NONE || !is_member ||
        !node->is_caught_up)
        return;
    struct address http;
    bool must_register = self->identity == 0;
    bool has_http = self->identity == node->meta.identity && own_http(node, &http);
    if (has_http && address_equal(&self->http, &http))
        node->own_announced = http;
    bool must_announce = has_http && !address_equal(&self->http, &http) &&
                         !address_equal(&node->own_announced, &http);
    if (!must_register && !must_announce)
        return;
    if (env_now(node->env) < node->own_not_before) {
        node_arm_retry(node);
        return;
    }
    struct command command = {.op = must_register ? COMMAND_REGISTER : COMMAND_ANNOUNCE,
                              .member = node->options.self,
                              .member_identity = must_register ? node->meta.identity : 0};
    if (!must_register)
        command.http = http;
    submit_own(node, &command);
}

bool directory_needs_verification(const struct node *node, struct bytes encoded)
{
    struct command command;
    return command_peek(encoded) == COMMAND_ANNOUNCE && node->callbacks.verify != NULL &&
           command_decode(encoded, &command) == ST_OK && address_is_set(&command.http);
}

enum status directory_verify(struct node *node, struct entry *entry, raft_term fence)
{
    struct proposal proposal;
    struct command command;
    if (node->verifying_count == LIMIT_VERIFYING) {
        entry_unref(entry);
        return ST_BUSY;
    }
    enum status status = proposal_decode(entry_data(entry), &proposal);
    INVARIANT(status == ST_OK);
    status = command_decode(proposal.command, &command);
    INVARIANT(status == ST_OK);

    struct verifying *verifying = mem_alloc(sizeof *verifying);
    verifying->verify = (struct node_verify){.number = ++node->verify_number_last,
                                             .id = command.member,
                                             .cluster_id = node->meta.cluster_id,
                                             .http = command.http};
    verifying->entry = entry;
    verifying->fence = fence;
    list_push_back(&node->verifying, &verifying->link);
    node->verifying_count++;
    node->callbacks.verify(node->callbacks.ctx, &verifying->verify);
    return ST_OK;
}

static struct verifying *find_verifying(struct node *node, uint64_t number)
{
    for (struct list *at = node->verifying.next; at != &node->verifying; at = at->next) {
        struct verifying *verifying = CONTAINER_OF(at, struct verifying, link);
        if (verifying->verify.number == number)
            return verifying;
    }
    return NULL;
}

void node_verified(struct node *node, const struct node_verify *verify, enum status status)
{
    struct verifying *verifying = find_verifying(node, verify->number);
    if (verifying == NULL)
        return;
    struct proposal proposal;
    enum status decoded = proposal_decode(entry_data(verifying->entry), &proposal);
    INVARIANT(decoded == ST_OK);

    if (status == ST_OK) {
        propose_add(node, verifying->entry, verifying->fence); /* still fenced: propose_flush */
    } else {
        propose_refuse(node, &proposal.origin, verifying->fence, status);
        entry_unref(verifying->entry);
    }
    list_remove(&verifying->link);
    node->verifying_count--;
    mem_free(verifying);
}

static bool all_on_loopback(const struct config *config)
{
    for (uint32_t i = 0; i < config->members_count; i++)
        if (!address_is_loopback(&config->members[i].peer))
            return false;
    return true;
}

static bool all_on_one_host(const struct config *config)
{
    for (uint32_t i = 1; i < config->members_count; i++)
        if (strcmp(config->members[0].peer.host, config->members[i].peer.host) != 0)
            return false;
    return true;
}

enum status node_resolve_http(const struct node *node, node_id id, const struct address *typed,
                              struct address *out_address, struct errtext *error)
{
    const struct config *config = raft_config(node->raft);
    const struct member *member = config_find(config, id);
    if (member == NULL) {
        errtext_set(error, "no member has the id %u", id);
        return ST_UNKNOWN_MEMBER;
    }
    char text[LIMIT_ADDRESS_BYTES];
    struct address address = *typed;
    if (address_is_wildcard(typed)) {
        if (!all_on_one_host(config) || address_is_wildcard(&member->peer)) {
            errtext_set(error,
                        "\"%s\" names no host, and the members are on several hosts: announce "
                        "the host that clients shall use",
                        address_format(typed, text));
            return ST_BAD_ADDRESS;
        }
        memcpy(address.host, member->peer.host, sizeof address.host);
    }
    if (address_is_loopback(&address) && !all_on_loopback(config)) {
        errtext_set(error,
                    "\"%s\" is reached from its own host only, and members are on others: announce "
                    "the host that clients shall use",
                    address_format(&address, text));
        return ST_BAD_ADDRESS;
    }
    *out_address = address;
    return ST_OK;
}

enum status node_resolve_peer(const struct node *node, const struct address *typed,
                              struct address *out_address, struct errtext *error)
{
    const struct config *config = raft_config(node->raft);
    char text[LIMIT_ADDRESS_BYTES];
    *out_address = *typed;
    if (!address_is_wildcard(typed))
        return ST_OK;
    if (config->members_count == 0 || !all_on_one_host(config) ||
        address_is_wildcard(&config->members[0].peer)) {
        errtext_set(error,
                    "\"%s\" names no host, and the members are on several hosts: say at which "
                    "address the others reach the node",
                    address_format(typed, text));
        return ST_BAD_ADDRESS;
    }
    memcpy(out_address->host, config->members[0].peer.host, sizeof out_address->host);
    return ST_OK;
}

void directory_release(struct node *node)
{
    while (!list_is_empty(&node->verifying)) {
        struct verifying *verifying = CONTAINER_OF(node->verifying.next, struct verifying, link);
        list_remove(&verifying->link);
        entry_unref(verifying->entry);
        mem_free(verifying);
    }
    buf_release(&node->own_command);
}
