/* Scene: what clients ask of nodes, and what they are told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "support/scene_internal.h"

/* A request under way; frees itself when it is answered. */
struct call {
    struct node_request request;
    struct scene *scene;
    struct replica *at;
    struct buf command;
    char text[96];
    char key[64];
};

static void free_call(struct call *call)
{
    call->scene->calls_count--;
    buf_release(&call->command);
    mem_free(call);
}

/* What the same write was told before must be told again: number and revisions. */
static void trace_result(struct buf *trace, const struct kv_result *result)
{
    buf_printf(trace, ", number %lld, revision %llu of %llu%s", (long long)result->number,
               (unsigned long long)result->mod_revision, (unsigned long long)result->revision,
               result->is_replayed ? ", replayed" : "");
}

static void trace_redirect(struct buf *trace, const struct redirect_msg *message)
{
    if (message->leader_known)
        buf_printf(trace, ", leader %s:%u in term %llu", message->leader_host, message->leader_port,
                   (unsigned long long)message->term);
    else
        buf_put_text(trace, ", leader_known 0");
}

static void trace_command(const struct call *call, const struct node_answer *answer)
{
    struct client_identity identity;
    struct buf *trace = &call->scene->trace;
    enum command_op op = command_peek(call->request.command);
    if (answer->redirect.redirect)
        trace_redirect(trace, &answer->redirect);
    else if (op == COMMAND_SEAL && answer->result.outcome != 0)
        scene_show_outcome(trace, &answer->result);
    else if (op == COMMAND_OPEN_SESSION && answer->status == ST_OK)
        buf_printf(trace, ", index %lld", (long long)answer->result.number);
    else if (answer->status == ST_OK && command_peek_identity(call->request.command, &identity))
        trace_result(trace, &answer->result);
}

static void on_done(void *ctx, const struct node_answer *answer)
{
    struct call *call = ctx;
    struct buf *trace = &call->scene->trace;
    if (call->at->node == NULL) {
        buf_printf(trace, "n%u: %s -> the client loses its connection\n", call->at->id, call->text);
        free_call(call);
        return;
    }
    enum status status = answer->status != ST_OK ? answer->status : answer->result.status;
    buf_printf(trace, "n%u: %s -> %s, effect %s", call->at->id, call->text,
               status_info(status)->code, effect_name(answer->effect));
    if (answer->hops_count > 0)
        buf_printf(trace, ", hops %u", answer->hops_count);
    struct kv_item item;
    if (call->request.kind == NODE_READ && status == ST_OK) {
        if (kv_get(node_kv(call->at->node), bytes_of_text(call->key), &item))
            buf_printf(trace, ", %.*s (version %llu)", (int)item.value.count,
                       (const char *)item.value.data, (unsigned long long)item.version);
        else
            buf_put_text(trace, ", absent");
    }
    if (call->request.kind == NODE_WRITE)
        trace_command(call, answer);
    buf_put_text(trace, "\n");
    free_call(call);
}

bool scene_read_identity(struct client_identity *identity, const char *flag)
{
    unsigned long long number = 0;
    const char *colon = strchr(flag, ':');
    if (strncmp(flag, "as=", 3) == 0 && colon != NULL) {
        identity->kind = CLIENT_ID;
        identity->client = bytes_of(flag + 3, (size_t)(colon - flag - 3));
        identity->sequence = strtoull(colon + 1, NULL, 10);
    } else if (strncmp(flag, "once=", 5) == 0) {
        identity->kind = CLIENT_KEY;
        identity->client = bytes_of_text(flag + 5);
        identity->sequence = 1;
    } else if (sscanf(flag, "acked=%llu", &number) == 1) {
        identity->acked = number;
    } else {
        return false;
    }
    return true;
}

static void apply_flag(struct call *call, struct command *command, const char *flag)
{
    unsigned long ms = 0;
    if (scene_read_identity(&command->identity, flag))
        return;
    if (strcmp(flag, "redirect") == 0)
        call->request.policy = ROUTE_REDIRECT;
    else if (strcmp(flag, "internal") == 0)
        call->request.is_internal = true;
    else if (strcmp(flag, "hop") == 0)
        call->request.is_forwarded = true;
    else if (sscanf(flag, "timeout=%lu", &ms) == 1)
        call->request.deadline =
            world_now_at(call->scene->world, call->at->id) + ms * TIME_US_PER_MS;
    else
        fail_msg("unknown flag: %s", flag);
}

void scene_submit(struct scene *scene, const char *line, struct command *command, unsigned at,
                  const char *flags)
{
    struct call *call = mem_alloc(sizeof *call);
    call->scene = scene;
    call->at = &scene->replicas[at];
    const char *what = strchr(line, ' ');
    int verb_bytes = (int)(what - line);
    const char *rest = strchr(what + 1, ' ');
    (void)snprintf(call->text, sizeof call->text, "%.*s%s", verb_bytes, line, rest);
    buf_init(&call->command, LIMIT_COMMAND_BYTES);
    (void)snprintf(call->key, sizeof call->key, "%.*s", (int)command->key.count,
                   (const char *)command->key.data);
    call->request = (struct node_request){
        .kind = command->op != 0 ? NODE_WRITE : NODE_READ,
        .deadline = world_now_at(scene->world, at) + 5000 * TIME_US_PER_MS,
        .on_done = on_done,
        .ctx = call,
    };
    char copy[128], *save = NULL;
    (void)snprintf(copy, sizeof copy, "%s", flags);
    for (char *flag = strtok_r(copy, " ", &save); flag; flag = strtok_r(NULL, " ", &save))
        apply_flag(call, command, flag);
    if (command->op != 0) {
        command_encode(command, &call->command);
        call->request.command = buf_bytes(&call->command);
    }
    scene->calls_count++;
    assert_non_null(call->at->node);
    handle_client_request(call->at->node, &call->request);
}

void scene_announce(struct scene *scene, const char *line, unsigned at, unsigned id,
                    const char *host)
{
    struct command command = {.op = COMMAND_ANNOUNCE, .member = id};
    if (strcmp(host, "-") != 0) {
        (void)snprintf(command.http.host, sizeof command.http.host, "%s", host);
        command.http.port = 80;
    }
    scene_submit(scene, line, &command, at, "internal");
}

static void on_filled(void *ctx, const struct node_answer *answer)
{
    struct call *call = ctx;
    call->scene->filled_ok_count += answer->status == ST_OK;
    call->scene->filled_none_count += answer->effect == EFFECT_NONE;
    call->scene->filled_maybe_count += answer->effect == EFFECT_MAYBE;
    free_call(call);
}

static void submit_counted(struct scene *scene, unsigned at, const struct command *command)
{
    struct call *call = mem_alloc(sizeof *call);
    call->scene = scene;
    call->at = &scene->replicas[at];
    buf_init(&call->command, LIMIT_COMMAND_BYTES);
    command_encode(command, &call->command);
    call->request = (struct node_request){
        .kind = NODE_WRITE,
        .deadline = world_now_at(scene->world, at) + 5000 * TIME_US_PER_MS,
        .command = buf_bytes(&call->command),
        .on_done = on_filled,
        .ctx = call,
    };
    scene->calls_count++;
    handle_client_request(call->at->node, &call->request);
}

void scene_fill(struct scene *scene, unsigned at, unsigned count, unsigned bytes_count)
{
    uint8_t *value = mem_alloc(bytes_count + 1);
    scene->filled_ok_count = scene->filled_none_count = scene->filled_maybe_count = 0;
    for (unsigned i = 0; i < count; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "fill-%u", i);
        struct command command = {
            .op = COMMAND_PUT, .key = bytes_of_text(key), .value = bytes_of(value, bytes_count)};
        submit_counted(scene, at, &command);
    }
    mem_free(value);
}

void scene_crowd(struct scene *scene, unsigned at, unsigned count)
{
    scene->filled_ok_count = scene->filled_none_count = scene->filled_maybe_count = 0;
    for (unsigned i = 0; i < count; i++) {
        char client[32];
        (void)snprintf(client, sizeof client, "crowd-%u", i);
        struct command command = {.op = COMMAND_INCR,
                                  .by = 1,
                                  .key = BYTES_LITERAL("crowd"),
                                  .identity = {CLIENT_ID, bytes_of_text(client), 1, 0}};
        submit_counted(scene, at, &command);
    }
}
