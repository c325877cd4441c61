/* minikv-watchers: holds many watches open and counts what they are sent.
 *
 *   minikv-watchers -e HOST:PORT -c WATCHERS -n EVENTS [-p PATH] [-d SECONDS]
 *
 * Prints a line when all of them are open, and one of JSON when each has been sent so many events,
 * or the time is over: how many came, and how long it took from the first one to the last. An event
 * is known by its line "event: put" or "event: delete"; nothing else is looked at, so that what is
 * measured is the server. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WATCHERS_MAX = 20000, PATH_BYTES_MAX = 1024, RECEIVE_BYTES = 256 * 1024, READY_MAX = 256 };

static const char mark[] = "\nevent: ";
enum { MARK_BYTES = sizeof mark - 1 };

struct options {
    struct sockaddr_in endpoint;
    const char *path;
    uint32_t watchers_count;
    uint64_t events_count; /* of each */
    double seconds;
};

struct watcher {
    int fd;
    uint64_t events_count;
    size_t matched; /* bytes of the mark at the end of what was received */
    bool is_open;   /* the head of the reply has come */
};

static struct watcher watchers[WATCHERS_MAX];
static char received[RECEIVE_BYTES];

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "minikv-watchers: %s%s%s\n", what, errno ? ": " : "",
            errno ? strerror(errno) : "");
    exit(2);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void parse_endpoint(struct options *options, char *text)
{
    char *colon = strrchr(text, ':');
    if (colon == NULL)
        die("bad -e");
    *colon = '\0';
    options->endpoint.sin_family = AF_INET;
    options->endpoint.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, text, &options->endpoint.sin_addr) != 1)
        die("bad -e: an IPv4 address is needed");
}

static void parse(struct options *options, int argc, char **argv)
{
    *options = (struct options){
        .path = "/v1/watch?prefix=", .watchers_count = 1, .events_count = 1, .seconds = 60};
    int option;
    while ((option = getopt(argc, argv, "e:c:n:p:d:")) != -1) {
        if (option == 'e')
            parse_endpoint(options, optarg);
        else if (option == 'c')
            options->watchers_count = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 'n')
            options->events_count = strtoull(optarg, NULL, 10);
        else if (option == 'p')
            options->path = optarg;
        else if (option == 'd')
            options->seconds = atof(optarg);
        else
            die("usage: minikv-watchers -e HOST:PORT -c WATCHERS -n EVENTS [-p PATH] [-d SECONDS]");
    }
    if (options->endpoint.sin_port == 0 || options->watchers_count == 0 ||
        options->watchers_count > WATCHERS_MAX || options->events_count == 0 ||
        strlen(options->path) > PATH_BYTES_MAX)
        die("an option is missing or out of range");
}

static void open_watcher(const struct options *options, struct watcher *watcher, int epoll)
{
    char request[PATH_BYTES_MAX + 128];
    int one = 1;
    watcher->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (watcher->fd < 0 || connect(watcher->fd, (const struct sockaddr *)&options->endpoint,
                                   sizeof options->endpoint) != 0)
        die("cannot connect");
    (void)setsockopt(watcher->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int count = snprintf(request, sizeof request,
                         "GET %s HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n",
                         options->path);
    if (send(watcher->fd, request, (size_t)count, MSG_NOSIGNAL) != count)
        die("cannot send");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watcher};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, watcher->fd, &event) != 0)
        die("epoll");
}

/* The mark may be cut between two pieces. */
static uint64_t count_marks(struct watcher *watcher, const char *bytes, size_t count)
{
    uint64_t found = 0;
    size_t at = 0;
    while (watcher->matched > 0 && at < count) {
        if (bytes[at] != mark[watcher->matched]) {
            watcher->matched = 0; /* the mark begins with its only newline: no other start in it */
            break;
        }
        at++;
        if (++watcher->matched == MARK_BYTES) {
            found++;
            watcher->matched = 0;
        }
    }
    while (at < count) {
        const char *next = memmem(bytes + at, count - at, mark, MARK_BYTES);
        if (next == NULL)
            break;
        found++;
        at = (size_t)(next - bytes) + MARK_BYTES;
    }
    size_t rest = count - at < MARK_BYTES - 1 ? count - at : MARK_BYTES - 1;
    for (size_t length = rest; watcher->matched == 0 && length > 0; length--) {
        if (memcmp(bytes + count - length, mark, length) == 0)
            watcher->matched = length;
    }
    return found;
}

struct totals {
    uint32_t open_count, done_count;
    uint64_t events_count, bytes_count;
    double first, last;
};

static void on_ready(const struct options *options, struct watcher *watcher, struct totals *totals)
{
    ssize_t count = recv(watcher->fd, received, sizeof received, 0);
    if (count <= 0)
        die("a watch has ended");
    if (!watcher->is_open) {
        if (count < 12 || memcmp(received, "HTTP/1.1 200", 12) != 0)
            die("a watch was refused");
        watcher->is_open = true;
        totals->open_count++;
    }
    uint64_t found = count_marks(watcher, received, (size_t)count);
    if (found == 0)
        return;
    totals->last = now();
    if (totals->events_count == 0)
        totals->first = totals->last;
    totals->events_count += found;
    totals->bytes_count += (uint64_t)count;
    bool was_done = watcher->events_count >= options->events_count;
    watcher->events_count += found;
    if (!was_done && watcher->events_count >= options->events_count)
        totals->done_count++;
}

/* Until the condition holds, or the time is over. */
static void wait_for(const struct options *options, struct totals *totals, int epoll,
                     const uint32_t *count)
{
    struct epoll_event ready[READY_MAX];
    double end = now() + options->seconds;
    while (*count < options->watchers_count) {
        double left = end - now();
        if (left <= 0)
            return;
        int found = epoll_wait(epoll, ready, READY_MAX, (int)(left * 1000) + 1);
        for (int i = 0; i < found; i++)
            on_ready(options, ready[i].data.ptr, totals);
    }
}

int main(int argc, char **argv)
{
    struct options options;
    struct totals totals = {0};
    parse(&options, argc, argv);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        die("epoll");
    for (uint32_t i = 0; i < options.watchers_count; i++) {
        open_watcher(&options, &watchers[i], epoll);
        if (i % 64 == 63) { /* the queue of new connections is not endless */
            struct options part = options;
            part.watchers_count = i + 1;
            wait_for(&part, &totals, epoll, &totals.open_count);
        }
    }
    wait_for(&options, &totals, epoll, &totals.open_count);
    if (totals.open_count < options.watchers_count)
        die("not all watches opened in time");
    printf("open %" PRIu32 "\n", totals.open_count);
    (void)fflush(stdout);
    wait_for(&options, &totals, epoll, &totals.done_count);
    printf("{\"watchers\":%" PRIu32 ",\"done\":%" PRIu32 ",\"events\":%" PRIu64
           ",\"bytes\":%" PRIu64 ",\"seconds\":%.3f}\n",
           options.watchers_count, totals.done_count, totals.events_count, totals.bytes_count,
           totals.last - totals.first);
    return totals.done_count == options.watchers_count ? 0 : 1;
}
