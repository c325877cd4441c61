#include "cli/download.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

enum { REFUSAL_BYTES_MAX = 16 * KIB, REQUEST_BYTES_MAX = 512 };

uint64_t download_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* False with errno: not within the time, or it has failed. */
static bool wait_for(int fd, short events, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now = download_now_ms();
        struct pollfd item = {.fd = fd, .events = events};
        int wait_ms = deadline_ms > now ? (int)MIN(deadline_ms - now, (uint64_t)60000) : 0;
        int count = poll(&item, 1, wait_ms);
        if (count > 0)
            return true;
        if (count < 0 && errno != EINTR)
            return false;
        if (count == 0 && download_now_ms() >= deadline_ms) {
            errno = ETIMEDOUT;
            return false;
        }
    }
}

/* ---- connecting ---- */

static bool finish_connect(int fd, uint64_t deadline_ms)
{
    int failure = 0;
    socklen_t count = sizeof failure;
    if (!wait_for(fd, POLLOUT, deadline_ms))
        return false;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &count) != 0)
        return false;
    errno = failure;
    return failure == 0;
}

static int connect_one(const struct addrinfo *info, uint64_t deadline_ms)
{
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool is_open = connect(fd, info->ai_addr, info->ai_addrlen) == 0 ||
                   (errno == EINPROGRESS && finish_connect(fd, deadline_ms));
    if (is_open)
        return fd;
    int failure = errno;
    (void)close(fd); /* never used */
    errno = failure;
    return -1;
}

static int dial(const struct address *address, uint64_t deadline_ms, struct errtext *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found;
    char port[8];
    (void)snprintf(port, sizeof port, "%u", address->port);
    int failure = getaddrinfo(address->host, port, &hints, &found);
    if (failure != 0) {
        errtext_set(error, "%s", gai_strerror(failure));
        return -1;
    }
    int fd = -1;
    for (const struct addrinfo *info = found; info != NULL && fd < 0; info = info->ai_next)
        fd = connect_one(info, deadline_ms);
    if (fd < 0)
        errtext_set(error, "%s", strerror(errno));
    freeaddrinfo(found);
    return fd;
}

/* ---- asking ---- */

static bool send_request(const struct download *download, const struct address *address,
                         const char *target, uint64_t deadline_ms)
{
    char request[REQUEST_BYTES_MAX], host[LIMIT_ADDRESS_BYTES];
    int count = snprintf(request, sizeof request,
                         "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", target,
                         address_format(address, host));
    REQUIRE(count > 0 && (size_t)count < sizeof request);
    for (int sent = 0; sent < count;) {
        ssize_t part = send(download->fd, request + sent, (size_t)(count - sent), MSG_NOSIGNAL);
        if (part > 0)
            sent += (int)part;
        else if (errno == EAGAIN && !wait_for(download->fd, POLLOUT, deadline_ms))
            return false;
        else if (errno != EAGAIN && errno != EINTR)
            return false;
    }
    return true;
}

/* Appends what comes; 0: the other side has closed; below: errno says why not. */
static ssize_t receive(const struct download *download, void *out, size_t count,
                       uint64_t deadline_ms)
{
    for (;;) {
        if (!wait_for(download->fd, POLLIN, deadline_ms))
            return -1;
        ssize_t part = recv(download->fd, out, count, 0);
        if (part >= 0 || (errno != EAGAIN && errno != EINTR))
            return part;
    }
}

static const char *receive_head(struct download *download, uint64_t deadline_ms,
                                struct errtext *error)
{
    struct buf *head = &download->head;
    const char *end = NULL;
    while (end == NULL) {
        if (head->count >= LIMIT_HEADERS_BYTES || !buf_reserve(head, 4 * KIB)) {
            errtext_set(error, "the head of the reply is too long");
            return NULL;
        }
        ssize_t part = receive(download, head->data + head->count, 4 * KIB, deadline_ms);
        if (part <= 0) {
            errtext_set(error, "%s", part == 0 ? "the connection ended" : strerror(errno));
            return NULL;
        }
        head->count += (size_t)part;
        end = strstr(buf_text(head), "\r\n\r\n");
    }
    return end;
}

/* The value of a header; NULL when there is none. The name comes with its colon. */
static const char *find_header(const char *head, const char *end, const char *name)
{
    for (const char *line = strstr(head, "\r\n"); line != NULL && line < end;
         line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, strlen(name)) == 0)
            return line + 2 + strlen(name) + strspn(line + 2 + strlen(name), " \t");
    return NULL;
}

/* What a problem+json says. */
static void take_refusal(struct download *download, unsigned code, uint64_t deadline_ms,
                         struct errtext *error)
{
    struct buf *head = &download->head;
    uint64_t end = MIN(download->head_at + download->bytes, download->head_at + REFUSAL_BYTES_MAX);
    ssize_t part = 1;
    while (head->count < end && part > 0 && buf_reserve(head, 4 * KIB)) {
        part = receive(download, head->data + head->count, 4 * KIB, deadline_ms);
        head->count += part > 0 ? (size_t)part : 0;
    }
    json_t *root = json_loadb((const char *)head->data + download->head_at,
                              head->count - download->head_at, JSON_DISABLE_EOF_CHECK, NULL);
    const char *title = json_string_value(json_object_get(root, "title"));
    const char *detail = json_string_value(json_object_get(root, "detail"));
    if (title != NULL)
        errtext_set(error, "%s%s%s", title, detail != NULL ? ": " : "",
                    detail != NULL ? detail : "");
    else
        errtext_set(error, "it answers %u", code);
    json_decref(root);
}

static enum download_result take_head(struct download *download, uint64_t deadline_ms,
                                      struct errtext *error)
{
    const char *end = receive_head(download, deadline_ms, error);
    if (end == NULL)
        return DOWNLOAD_UNAVAILABLE;
    const char *head = buf_text(&download->head);
    const char *length = find_header(head, end, "Content-Length:");
    if (strncmp(head, "HTTP/1.", 7) != 0 || length == NULL || length[0] < '0' || length[0] > '9') {
        errtext_set(error, "it does not answer as a node of MiniKV does");
        return DOWNLOAD_UNAVAILABLE;
    }
    unsigned code = (unsigned)strtoul(head + 9, NULL, 10);
    download->bytes = download->left = strtoull(length, NULL, 10);
    download->head_at = (size_t)(end + 4 - head);
    if (code == 200)
        return DOWNLOAD_OK;
    take_refusal(download, code, deadline_ms, error);
    return code >= 500 ? DOWNLOAD_UNAVAILABLE : DOWNLOAD_REFUSED;
}

enum download_result download_open(const struct address *address, const char *target,
                                   uint64_t connect_ms, uint64_t head_ms,
                                   struct download *out_download, struct errtext *error)
{
    struct download download = {.fd = dial(address, download_now_ms() + connect_ms, error)};
    if (download.fd < 0)
        return DOWNLOAD_UNAVAILABLE;
    buf_init(&download.head, LIMIT_HEADERS_BYTES + REFUSAL_BYTES_MAX + 16 * KIB);
    uint64_t deadline_ms = download_now_ms() + head_ms;
    enum download_result result = DOWNLOAD_UNAVAILABLE;
    if (send_request(&download, address, target, deadline_ms))
        result = take_head(&download, deadline_ms, error);
    else
        errtext_set(error, "%s", strerror(errno));
    if (result == DOWNLOAD_OK)
        *out_download = download;
    else
        download_close(&download);
    return result;
}

/* ---- the body ---- */

bool download_read(struct download *download, uint64_t wait_ms, uint8_t *out, size_t bytes_max,
                   size_t *out_count, struct errtext *error)
{
    size_t wanted = (size_t)MIN(download->left, (uint64_t)bytes_max);
    size_t kept = download->head.count - download->head_at;
    *out_count = 0;
    if (wanted == 0)
        return true;
    if (kept > 0) {
        *out_count = MIN(kept, wanted);
        memcpy(out, download->head.data + download->head_at, *out_count);
        download->head_at += *out_count;
    } else {
        ssize_t part = receive(download, out, wanted, download_now_ms() + wait_ms);
        if (part <= 0) {
            errtext_set(error, "%s", part == 0 ? "it broke off" : strerror(errno));
            return false;
        }
        *out_count = (size_t)part;
    }
    download->left -= *out_count;
    return true;
}

void download_close(struct download *download)
{
    if (download->fd >= 0)
        (void)close(download->fd); /* all has been read, or counts for nothing */
    buf_release(&download->head);
}
