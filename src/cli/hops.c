#include "cli/hops.h"

#include <stdio.h>

#include "cli/ask.h"

static void show_reply(const struct minikv_hop *hop)
{
    fprintf(stderr, "< %d", hop->http_code);
    if (hop->node != 0)
        fprintf(stderr, " from node %d, term %llu, hops %u", hop->node,
                (unsigned long long)hop->term, hop->forwards);
    if (*hop->word != '\0')
        fprintf(stderr, ": %s", ask_title(hop->word) != NULL ? ask_title(hop->word) : hop->word);
    fputc('\n', stderr);
}

void hops_show(void *ctx, const struct minikv_hop *hop)
{
    (void)ctx;
    fprintf(stderr, "> %s %s to %s\n", hop->method, hop->target, hop->address);
    if (hop->http_code != 0)
        show_reply(hop);
    else
        fprintf(stderr, "! %s\n", hop->error);
    switch (hop->next) {
    case MINIKV_HOP_FINISH:
        break;
    case MINIKV_HOP_REDIRECT:
        fputs("* following the redirect\n", stderr);
        break;
    case MINIKV_HOP_ELSEWHERE:
        if (hop->pause_ms != 0)
            fprintf(stderr, "* trying again in %u ms\n", hop->pause_ms);
        else
            fputs("* trying the next endpoint\n", stderr);
        break;
    }
}
