/* Linearizable reads at any node (thesis §6.4): all reads that arrived before a round was sent
 * share its read index, and are answered here once this node has applied that far. */
#include "base/mem.h"
#include "kv/kv.h"
#include "node/node_internal.h"

enum { READ_AHEAD = 32 }; /* keys that the front door will look up, all at once */

void read_add(struct node *node, struct node_request *request)
{
    request->state = REQUEST_READING;
    list_push_back(&node->reads_waiting, &request->link);
    node_arm_retry(node);
}

void read_start_batch(struct node *node)
{
    if (list_is_empty(&node->reads_waiting) || node->view.leader == NODE_NONE ||
        node->read_batches_count == LIMIT_READ_BATCHES)
        return;

    struct read_batch *batch = mem_alloc(sizeof *batch);
    list_init(&batch->requests);
    list_splice(&batch->requests, &node->reads_waiting);
    batch->id = (struct read_id){node->incarnation, ++node->read_number_last};
    batch->sent_at = env_now(node->env);
    list_push_back(&node->read_batches, &batch->link);
    node->read_batches_count++;
    node->stats.read_rounds_count++;

    struct raft_event event = {.type = RAFT_EVENT_READ, .now = batch->sent_at, .read = batch->id};
    (void)ready_step(node, &event); /* a refusal comes as a raft_read */
}

static void free_batch(struct node *node, struct read_batch *batch)
{
    INVARIANT(list_is_empty(&batch->requests));
    list_remove(&batch->link);
    node->read_batches_count--;
    mem_free(batch);
}

static struct read_batch *find_batch(struct node *node, uint64_t number)
{
    for (struct list *at = node->read_batches.next; at != &node->read_batches; at = at->next) {
        struct read_batch *batch = CONTAINER_OF(at, struct read_batch, link);
        if (batch->id.number == number)
            return batch;
    }
    return NULL;
}

void read_on_ready(struct node *node, const struct raft_read *read)
{
    REQUIRE(read->id.incarnation == node->incarnation);
    struct read_batch *batch = find_batch(node, read->id.number);
    if (batch == NULL)
        return; /* given up, and asked again under another number */
    if (read->is_refused) {
        list_splice(&node->reads_waiting, &batch->requests);
        free_batch(node, batch);
    } else {
        batch->has_index = true;
        batch->index = read->index;
        node_wake(node);
    }
}

/* Their answers are made one after the other, each with a search: the memory that these will touch
 * is asked for at once. */
static void look_ahead(struct node *node, const struct read_batch *batch)
{
    struct bytes keys[READ_AHEAD];
    size_t count = 0;
    for (struct list *at = batch->requests.next; at != &batch->requests; at = at->next) {
        const struct node_request *request = CONTAINER_OF(at, struct node_request, link);
        if (request->key.count != 0)
            keys[count++] = request->key;
        if (count == READ_AHEAD || (at->next == &batch->requests && count > 1)) {
            kv_prefetch(node->kv, keys, count);
            count = 0;
        }
    }
}

void read_complete(struct node *node)
{
    struct list *next;
    for (struct list *at = node->read_batches.next; at != &node->read_batches; at = next) {
        next = at->next;
        struct read_batch *batch = CONTAINER_OF(at, struct read_batch, link);
        if (!batch->has_index || batch->index > node->applied)
            continue;
        look_ahead(node, batch);
        while (!list_is_empty(&batch->requests)) {
            node->stats.reads_count++;
            request_answer(node, CONTAINER_OF(batch->requests.next, struct node_request, link),
                           ST_OK, NULL);
        }
        free_batch(node, batch);
    }
}

void read_retry(struct node *node)
{
    time_us now = env_now(node->env);
    struct list *next;
    for (struct list *at = node->read_batches.next; at != &node->read_batches; at = next) {
        next = at->next;
        struct read_batch *batch = CONTAINER_OF(at, struct read_batch, link);
        if (!batch->has_index && now >= batch->sent_at + node->options.election) {
            list_splice(&node->reads_waiting, &batch->requests);
            free_batch(node, batch);
        }
    }
    if (node->view.leader != NODE_NONE) {
        node_wake(node);
        return;
    }
    bool is_hopeless = node->is_stopping && !stop_has_company(node);
    for (struct list *at = node->reads_waiting.next; at != &node->reads_waiting; at = next) {
        next = at->next;
        struct node_request *request = CONTAINER_OF(at, struct node_request, link);
        if (now >= request->hold_until || is_hopeless)
            request_answer(node, request, node->is_stopping ? ST_SHUTTING_DOWN : ST_NO_LEADER,
                           NULL);
    }
}

void read_release(struct node *node)
{
    while (!list_is_empty(&node->read_batches)) {
        struct read_batch *batch = CONTAINER_OF(node->read_batches.next, struct read_batch, link);
        list_splice(&node->reads_waiting, &batch->requests);
        free_batch(node, batch);
    }
}
