#include "load/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void die(const char *what)
{
    fprintf(stderr, "minikv-load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(2);
}

static void parse_endpoints(struct options *options, char *text)
{
    char *save = NULL;
    for (char *one = strtok_r(text, ",", &save); one != NULL; one = strtok_r(NULL, ",", &save)) {
        char *colon = strrchr(one, ':');
        if (colon == NULL || options->endpoints_count == ENDPOINTS_MAX)
            die("bad -e");
        *colon = '\0';
        struct sockaddr_in *address = &options->endpoints[options->endpoints_count++];
        address->sin_family = AF_INET;
        address->sin_port = htons((uint16_t)atoi(colon + 1));
        if (inet_pton(AF_INET, one, &address->sin_addr) != 1)
            die("bad -e: an IPv4 address is needed");
    }
}

static uint32_t parse_count(const char *text, uint32_t max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value == 0 || value > max)
        die("a count is out of range");
    return (uint32_t)value;
}

static double parse_seconds(const char *text)
{
    double value = atof(text);
    if (value < 0 || value > SECONDS_MAX)
        die("a time is out of range");
    return value;
}

static _Noreturn void usage(void)
{
    fputs("usage: minikv-load -e HOST:PORT[,HOST:PORT] [-c CONNECTIONS] [-d SECONDS]\n"
          "  [-w WARM_UP_SECONDS] [-m METHOD] [-p PATH] [-b BODY] [-H 'NAME: VALUE']\n"
          "  [-n KEYS] [-V VALUE_BYTES] [-l LABEL] [-s]   (-s: every key once, then stop)\n"
          "  [-r RATE]   (so many requests a second; latency counts from when each was due)\n"
          "in PATH, HEADER and BODY: %k key, %K key in base64, %v value, %V value in base64,\n"
          "%c number of the connection, %s its sequence, %a the sequence before\n",
          stderr);
    exit(2);
}

void options_parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){.method = "GET",
                                .path = "/v1/kv/%k",
                                .label = "",
                                .connections_count = 64,
                                .keys_count = 100000,
                                .value_bytes = 100,
                                .seconds = 4,
                                .warm_up_seconds = 0.5};
    int option;
    while ((option = getopt(argc, argv, "e:c:d:w:m:p:b:H:n:V:l:r:s")) != -1) {
        switch (option) {
        case 'e':
            parse_endpoints(options, optarg);
            break;
        case 'c':
            options->connections_count = parse_count(optarg, CONNECTIONS_MAX);
            break;
        case 'd':
            options->seconds = parse_seconds(optarg);
            break;
        case 'w':
            options->warm_up_seconds = parse_seconds(optarg);
            break;
        case 'm':
            options->method = optarg;
            break;
        case 'p':
            options->path = optarg;
            break;
        case 'b':
            options->body = optarg;
            break;
        case 'n':
            options->keys_count = parse_count(optarg, KEYS_MAX);
            break;
        case 'V':
            options->value_bytes = parse_count(optarg, VALUE_BYTES_MAX);
            break;
        case 'l':
            options->label = optarg;
            break;
        case 'r':
            options->rate = parse_count(optarg, RATE_MAX);
            break;
        case 's':
            options->is_sequential = true;
            break;
        case 'H':
            if (options->headers_count == HEADERS_MAX)
                die("too many -H");
            options->headers[options->headers_count++] = optarg;
            break;
        default:
            usage();
        }
    }
    if (options->endpoints_count == 0 || optind != argc)
        usage();
}
