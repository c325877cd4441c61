#include "endurance/flood/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum { EXIT_USAGE = 2 };

void die(const char *what)
{
    fprintf(stderr, "minikv-flood: %s%s%s\n", what, errno ? ": " : "",
            errno ? strerror(errno) : "");
    exit(EXIT_USAGE);
}

static _Noreturn void usage(void)
{
    fputs("usage: minikv-flood --endpoints HOST:PORT[,…] [--count N] [--seconds S] [--keys K]\n"
          "  [--value-bytes B] [--connections C] [--depth D]\n"
          "Puts N values, D at a time on each of C connections to each node, as fast as they are\n"
          "taken. Ends with 0 when all were, or the time is up; 1 when anything was refused.\n",
          stderr);
    exit(EXIT_USAGE);
}

static uint32_t parse_number(const char *name, const char *text, uint32_t min, uint32_t max)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value < min || value > max) {
        fprintf(stderr, "minikv-flood: --%s is %u to %u\n", name, min, max);
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

void options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){.count = 1000000,
                                .seconds = SECONDS_MAX,
                                .keys_count = 100000,
                                .value_bytes = 100,
                                .connections_count = 8,
                                .depth = 32};
    const struct {
        const char *name;
        uint32_t *value;
        uint32_t min, max;
    } numbers[] = {
        {"count", &options->count, 1, COUNT_MAX},
        {"seconds", &options->seconds, 1, SECONDS_MAX},
        {"keys", &options->keys_count, 1, KEYS_MAX},
        {"value-bytes", &options->value_bytes, VALUE_BYTES_MIN, VALUE_BYTES_MAX},
        {"connections", &options->connections_count, 1, CONNECTIONS_MAX},
        {"depth", &options->depth, 1, DEPTH_MAX},
    };
    for (int i = 1; i < argc; i += 2) {
        if (strncmp(argv[i], "--", 2) != 0 || i + 1 == argc)
            usage();
        const char *name = argv[i] + 2;
        size_t found = 0;
        while (found < ARRAY_COUNT(numbers) && strcmp(numbers[found].name, name) != 0)
            found++;
        if (strcmp(name, "endpoints") == 0)
            parse_endpoints(options, argv[i + 1]);
        else if (found < ARRAY_COUNT(numbers))
            *numbers[found].value =
                parse_number(name, argv[i + 1], numbers[found].min, numbers[found].max);
        else
            usage();
    }
    if (options->endpoints_count == 0)
        usage();
}
