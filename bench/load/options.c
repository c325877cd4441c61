#include "options.h"

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
        struct address address;
        struct errtext error;
        if (options->endpoints_count == LOAD_TARGETS_MAX ||
            address_parse(bytes_of_text(one), &address) != ST_OK)
            die("bad -e");
        if (!load_resolve(&address, &options->endpoints[options->endpoints_count++], &error))
            die(error.text);
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
    if (value < 0 || value > LOAD_SECONDS_MAX)
        die("a time is out of range");
    return value;
}

static void add_header(struct template_text *text, const char *header)
{
    if (text->headers_count == TEMPLATE_HEADERS_MAX)
        die("too many -H");
    text->headers[text->headers_count++] = header;
}

static _Noreturn void usage(void)
{
    fputs("usage: minikv-load -e HOST:PORT[,HOST:PORT] [-c CONNECTIONS] [-d SECONDS]\n"
          "  [-w WARM_UP_SECONDS] [-m METHOD] [-p PATH] [-b BODY] [-H 'NAME: VALUE']\n"
          "  [-n KEYS] [-V VALUE_BYTES] [-l LABEL] [-s]   (-s: every key once, then stop)\n"
          "  [-g PERCENT]   (so many of 100 requests are GETs of PATH instead)\n"
          "  [-R]   (BODY alone is the request, as for Redis)\n"
          "  [-P PIPELINE]   (so many requests under way on each connection)\n"
          "  [-r RATE]   (so many requests a second; latency counts from when each was due)\n"
          "in PATH, HEADER and BODY: %k key, %K key in base64, %v value, %V value in base64,\n"
          "%c number of the connection, %s its sequence, %a the sequence before\n",
          stderr);
    exit(2);
}

void options_parse(struct options *options, int argc, char **argv)
{
    struct template_text *text = &options->text;
    *options = (struct options){
        .text = {.host = "127.0.0.1", .method = "GET", .path = "/v1/kv/%k", .value_bytes = 100},
        .label = "",
        .connections_count = 64,
        .pipeline = 1,
        .keys_count = 100000,
        .seconds = 4,
        .warm_up_seconds = 0.5};
    int option;
    while ((option = getopt(argc, argv, "e:c:d:w:m:p:b:H:n:V:l:r:P:g:Rs")) != -1) {
        switch (option) {
        case 'e':
            parse_endpoints(options, optarg);
            break;
        case 'c':
            options->connections_count = parse_count(optarg, LOAD_CONNECTIONS_MAX);
            break;
        case 'd':
            options->seconds = parse_seconds(optarg);
            break;
        case 'w':
            options->warm_up_seconds = parse_seconds(optarg);
            break;
        case 'm':
            text->method = optarg;
            break;
        case 'p':
            text->path = optarg;
            break;
        case 'b':
            text->body = optarg;
            break;
        case 'n':
            options->keys_count = parse_count(optarg, LOAD_KEYS_MAX);
            break;
        case 'V':
            text->value_bytes = parse_count(optarg, VALUE_BYTES_MAX);
            break;
        case 'l':
            options->label = optarg;
            break;
        case 'r':
            options->rate = parse_count(optarg, LOAD_RATE_MAX);
            break;
        case 'P':
            options->pipeline = parse_count(optarg, LOAD_PIPELINE_MAX);
            break;
        case 'g':
            options->gets_percent = parse_count(optarg, 99);
            break;
        case 'R':
            text->method = NULL;
            break;
        case 's':
            options->is_sequential = true;
            break;
        case 'H':
            add_header(text, optarg);
            break;
        default:
            usage();
        }
    }
    if (options->endpoints_count == 0 || optind != argc ||
        (text->method == NULL && (text->body == NULL || options->gets_percent > 0)))
        usage();
}
