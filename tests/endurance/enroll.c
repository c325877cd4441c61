#include "endurance/enroll.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "endurance/answer.h"
#include "endurance/loop.h"

enum { REPLY_BYTES_MAX = 8192, TRIES_PER_SECOND = 50, REPLY_SECONDS_MAX = 6, KEYS_EVERY = 16 };

/* One POST /v1/sessions on a connection of its own; false: no answer. */
static bool ask(const struct sockaddr_in *address, struct answer *out_answer)
{
    static const char request[] = "POST /v1/sessions HTTP/1.1\r\nHost: minikv\r\n"
                                  "Content-Length: 0\r\n\r\n";
    uint8_t reply[REPLY_BYTES_MAX];
    size_t reply_count = 0;
    long whole = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    struct timeval patience = {.tv_sec = REPLY_SECONDS_MAX};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience); /* else for ever */
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 &&
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1) {
        ssize_t count = 1;
        while (whole == 0 && count > 0 && reply_count < sizeof reply) {
            count = recv(fd, reply + reply_count, sizeof reply - reply_count, 0);
            reply_count += count > 0 ? (size_t)count : 0;
            whole = answer_parse(bytes_of(reply, reply_count), out_answer);
        }
    }
    close(fd);
    return whole > 0;
}

/* Of {"client":"…"}. */
static bool take_name(const struct answer *answer, char out_name[IDENTITY_BYTES_MAX + 1])
{
    static const char before[] = "{\"client\":\"";
    size_t before_count = sizeof before - 1;
    if (answer->status != 200 || answer->body_count >= ANSWER_BODY_BYTES ||
        answer->body_count < before_count || memcmp(answer->body, before, before_count) != 0)
        return false;
    const char *name = answer->body + before_count;
    const char *end = memchr(name, '"', answer->body_count - before_count);
    if (end == NULL || end == name || end - name > IDENTITY_BYTES_MAX)
        return false;
    memcpy(out_name, name, (size_t)(end - name));
    out_name[end - name] = '\0';
    return true;
}

static void open_session(const struct options *options, uint32_t number, char *out_name)
{
    struct answer answer = {.status = 0};
    for (uint32_t i = 0; i < options->deadline_seconds * TRIES_PER_SECOND; i++) {
        const struct sockaddr_in *address =
            &options->endpoints[(number + i) % options->endpoints_count];
        if (ask(address, &answer) && take_name(&answer, out_name))
            return;
        if (answer.status != 0 && answer.status < 500) {
            char text[256];
            fprintf(stderr, "POST /v1/sessions: %s\n", answer_format(&answer, text));
            errno = 0;
            die("no session");
        }
        struct timespec pause = {.tv_nsec = 1000000000 / TRIES_PER_SECOND};
        (void)nanosleep(&pause, NULL); /* woken early: asked early */
    }
    errno = 0;
    die("no node opens a session");
}

enum identity_kind enroll(const struct options *options, uint32_t number,
                          char out_name[IDENTITY_BYTES_MAX + 1])
{
    snprintf(out_name, IDENTITY_BYTES_MAX + 1, "endure-%s-%u-%u", options->key, options->seed,
             number);
    if (number % KEYS_EVERY == KEYS_EVERY - 1)
        return IDENTITY_KEYS;
    if (number % 2 == 1)
        return IDENTITY_OWN;
    open_session(options, number, out_name);
    return IDENTITY_ALLOTTED;
}
