/* What this node is and has done last, as numbers, for the report of a crash (base/crash.h). Not
 * kept where nobody asks for it: node_options.trace is NULL in the simulator. */
#include "base/trace.h"

#include "node/node_internal.h"

struct note {
    enum trace_kind kind;
    const char *text; /* NULL: nothing is noted */
    uint64_t numbers[TRACE_NUMBERS];
};

static struct note note_of_message(const struct message *message)
{
    node_id from = message->from;
    raft_term term = message->term;
    switch (message->type) {
    case MESSAGE_PRE_VOTE:
        return (struct note){TRACE_RARE,
                             "asked before a vote by # in term #, whose log ends with # of term #",
                             {from, term, message->vote.last.index, message->vote.last.term}};
    case MESSAGE_VOTE:
        return (struct note){TRACE_RARE,
                             "asked for a vote by # in term #, whose log ends with # of term #",
                             {from, term, message->vote.last.index, message->vote.last.term}};
    case MESSAGE_PRE_VOTE_REPLY:
    case MESSAGE_VOTE_REPLY:
        return (struct note){TRACE_RARE,
                             "answer to a vote from # in term #: granted #",
                             {from, term, message->vote_reply.is_granted}};
    case MESSAGE_APPEND:
        return (struct note){
            TRACE_STEP,
            "append from # in term #: # entries behind #",
            {from, term, message->append.entries_count, message->append.prev.index}};
    case MESSAGE_APPEND_REPLY:
        return (struct note){
            TRACE_STEP,
            "answer to an append from # in term #: rejected #, match #",
            {from, term, message->append_reply.is_rejected, message->append_reply.match}};
    case MESSAGE_READ_INDEX:
        return (struct note){TRACE_STEP, "read index asked by # in term #", {from, term}};
    case MESSAGE_READ_INDEX_REPLY:
        return (struct note){
            TRACE_STEP,
            "read index from # in term #: refused #, index #",
            {from, term, message->read_index_reply.is_refused, message->read_index_reply.index}};
    case MESSAGE_TIMEOUT_NOW:
        return (struct note){TRACE_RARE, "told to stand by # in term #", {from, term}};
    case MESSAGE_SNAPSHOT:
        return (struct note){TRACE_STEP,
                             "snapshot offered by # in term #: at #, # bytes",
                             {from, term, message->snapshot.last.index, message->snapshot.bytes}};
    }
    UNREACHABLE();
}

static struct note note_of(const struct raft_event *event)
{
    switch (event->type) {
    case RAFT_EVENT_TICK: /* what comes of it shows in the view */
        return (struct note){0};
    case RAFT_EVENT_MESSAGE:
        return note_of_message(event->message);
    case RAFT_EVENT_PROPOSE:
        return (struct note){TRACE_STEP, "# entries proposed", {event->propose.entries_count}};
    case RAFT_EVENT_DURABLE:
        return (struct note){
            TRACE_STEP, "durable up to # of term #", {event->durable.index, event->durable.term}};
    case RAFT_EVENT_APPLIED:
        return (struct note){TRACE_STEP, "applied up to #", {event->applied}};
    case RAFT_EVENT_READ:
        return (struct note){TRACE_STEP, "read # asked", {event->read.number}};
    case RAFT_EVENT_LINK:
        return (struct note){TRACE_RARE,
                             "link with #: up #, dead #",
                             {event->link.peer, event->link.is_up, event->link.is_dead}};
    case RAFT_EVENT_LOADED:
        return (struct note){
            TRACE_STEP,
            "# entries behind # read back for #",
            {event->loaded.entries_count, event->loaded.prev.index, event->loaded.peer}};
    case RAFT_EVENT_TRANSFER:
        return (struct note){TRACE_RARE, "transfer to #", {event->transfer.to}};
    case RAFT_EVENT_CAMPAIGN:
        return (struct note){TRACE_RARE, "told to stand", {0}};
    case RAFT_EVENT_COMPACTED:
        return (struct note){TRACE_RARE,
                             "snapshot at # of term #, log from #",
                             {event->compacted.snapshot.index, event->compacted.snapshot.term,
                              event->compacted.log_first}};
    case RAFT_EVENT_INSTALLED:
        return (struct note){TRACE_RARE,
                             "snapshot at # of term # installed",
                             {event->installed.last.index, event->installed.last.term}};
    }
    UNREACHABLE();
}

void traces_on_event(struct node *node, const struct raft_event *event)
{
    if (node->options.trace == NULL)
        return;
    struct note note = note_of(event);
    if (note.text != NULL)
        trace_add(node->options.trace, note.kind, event->now, note.text, note.numbers);
}

void traces_on_step(struct node *node)
{
    struct trace *trace = node->options.trace;
    if (trace == NULL)
        return;
    struct raft_view view;
    raft_view(node->raft, &view);
    trace->last = view.last_index;
    trace->durable = view.durable;
    trace->commit = view.commit;
    trace->applied = node->applied;
}

void traces_on_view(struct node *node)
{
    struct trace *trace = node->options.trace;
    if (trace == NULL)
        return;
    const struct node_view *view = &node->view;
    trace->node = view->self;
    trace->role = raft_role_name(view->role);
    trace->term = view->term;
    trace->leader = view->leader;
    traces_on_step(node);
    uint64_t numbers[TRACE_NUMBERS] = {view->term, view->leader, trace->last, trace->commit};
    trace_add(trace, TRACE_RARE, env_now(node->env),
              view->role == RAFT_ROLE_LEADER
                  ? "leads in term # (leader #), log up to #, committed up to #"
                  : "in term #, leader #, log up to #, committed up to #",
              numbers);
}
