#include "endurance/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { EXIT_USAGE = 2, KEY_BYTES_MAX = 24 };

void die(const char *what)
{
    fprintf(stderr, "minikv-endure: %s%s%s\n", what, errno ? ": " : "",
            errno ? strerror(errno) : "");
    exit(EXIT_USAGE);
}

static _Noreturn void usage(void)
{
    fputs(
        "usage: minikv-endure --endpoints HOST:PORT[,…] [--count N] [--clients K] [--window W]\n"
        "  [--retry-percent P] [--links L] [--relayed R] [--depth D] [--deadline SECONDS]\n"
        "  [--key KEY] [--seed S] [--json FILE]\n"
        "Sends N increments of one counter with identities, P percent of them several times, and\n"
        "checks every answer. Ends with 0 when each took effect exactly once, 1 when not.\n",
        stderr);
    exit(EXIT_USAGE);
}

static uint32_t parse_number(const char *name, const char *text, uint32_t min, uint32_t max)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < min || value > max) {
        fprintf(stderr, "minikv-endure: --%s is %u to %u\n", name, min, max);
        exit(EXIT_USAGE);
    }
    return (uint32_t)value;
}

static void parse_endpoints(struct options *options, char *text)
{
    char *save = NULL;
    for (char *one = strtok_r(text, ",", &save); one != NULL; one = strtok_r(NULL, ",", &save)) {
        char *colon = strrchr(one, ':');
        if (colon == NULL || options->endpoints_count == ENDPOINTS_MAX)
            usage();
        *colon = '\0';
        struct sockaddr_in *address = &options->endpoints[options->endpoints_count++];
        address->sin_family = AF_INET;
        address->sin_port = htons((uint16_t)parse_number("endpoints", colon + 1, 1, 65535));
        if (inet_pton(AF_INET, one, &address->sin_addr) != 1)
            usage();
    }
}

static const char *parse_key(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-'))
            usage();
    if (*text == '\0' || strlen(text) > KEY_BYTES_MAX)
        usage();
    return text;
}

struct number_option {
    const char *name;
    uint32_t *value;
    uint32_t min, max;
};

static bool take_number(const struct number_option *numbers, size_t count, const char *name,
                        const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(numbers[i].name, name) == 0) {
            *numbers[i].value = parse_number(name, text, numbers[i].min, numbers[i].max);
            return true;
        }
    }
    return false;
}

void options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){.key = "endurance",
                                .increments_count = 10000,
                                .clients_count = 32,
                                .window = 64,
                                .retry_percent = 24,
                                .links_count = 4,
                                .relayed_count = 16,
                                .depth = 32,
                                .deadline_seconds = 600,
                                .seed = 1};
    const struct number_option numbers[] = {
        {"count", &options->increments_count, 1, INCREMENTS_MAX},
        {"clients", &options->clients_count, 1, CLIENTS_MAX},
        {"window", &options->window, 1, WINDOW_MAX},
        {"retry-percent", &options->retry_percent, 0, 100},
        {"links", &options->links_count, 1, LINKS_MAX},
        {"relayed", &options->relayed_count, 0, LINKS_MAX},
        {"depth", &options->depth, 1, DEPTH_MAX},
        {"deadline", &options->deadline_seconds, 1, DEADLINE_SECONDS_MAX},
        {"seed", &options->seed, 0, UINT32_MAX},
    };
    for (int i = 1; i < argc; i += 2) {
        if (strncmp(argv[i], "--", 2) != 0 || i + 1 == argc)
            usage();
        const char *name = argv[i] + 2;
        if (strcmp(name, "endpoints") == 0)
            parse_endpoints(options, argv[i + 1]);
        else if (strcmp(name, "key") == 0)
            options->key = parse_key(argv[i + 1]);
        else if (strcmp(name, "json") == 0)
            options->json_path = argv[i + 1];
        else if (!take_number(numbers, ARRAY_COUNT(numbers), name, argv[i + 1]))
            usage();
    }
    if (options->endpoints_count == 0)
        usage();
}
