#include "cli/hops.h"

#include <jansson.h>
#include <stdio.h>

static void show_header(const struct http_reply *reply, const char *name, const char *before)
{
    const char *value = http_reply_header(reply, name);
    if (value != NULL)
        fprintf(stderr, "%s%s", before, value);
}

/* Why a request failed, in the words of its problem document. */
static void show_problem(const struct http_reply *reply)
{
    if (reply->code < 400)
        return;
    struct bytes body = http_reply_body(reply);
    json_t *problem = json_loadb((const char *)body.data, body.count, JSON_ALLOW_NUL, NULL);
    const char *title = json_string_value(json_object_get(problem, "title"));
    if (title != NULL)
        fprintf(stderr, ": %s", title);
    json_decref(problem);
}

static void show_reply(const struct http_reply *reply)
{
    fprintf(stderr, "< %d", reply->code);
    show_header(reply, "X-MiniKV-Node", " from node ");
    show_header(reply, "X-MiniKV-Term", ", term ");
    show_header(reply, "X-MiniKV-Hops", ", hops ");
    show_header(reply, "X-MiniKV-Effect", ", effect ");
    show_header(reply, "ETag", ", ETag ");
    show_header(reply, "Location", ", Location ");
    show_problem(reply);
    fputc('\n', stderr);
}

void hops_show(void *ctx, const struct client_hop *hop)
{
    (void)ctx;
    char address[LIMIT_ADDRESS_BYTES];
    fprintf(stderr, "> %s %s to %s\n", hop->request->method, hop->request->target,
            address_format(hop->address, address));
    if (hop->reply != NULL)
        show_reply(hop->reply);
    else
        fprintf(stderr, "! %s\n", hop->error);
    switch (hop->next) {
    case ATTEMPT_NEXT_FINISH:
        break;
    case ATTEMPT_NEXT_FOLLOW:
        fputs("* following the redirect\n", stderr);
        break;
    case ATTEMPT_NEXT_ELSEWHERE:
        if (hop->out_of_time)
            fputs("* no time left for another try\n", stderr);
        else if (hop->pause_ms != 0)
            fprintf(stderr, "* trying again in %u ms\n", hop->pause_ms);
        else
            fputs("* trying the next endpoint\n", stderr);
        break;
    }
}
