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

enum { REFUSAL_BYTES_MAX = 16 * KIB, REQUEST_BYTES_MAX = LIMIT_TARGET_BYTES + 4 * KIB };

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

static bool send_all(const struct download *download, struct bytes bytes, uint64_t deadline_ms)
{
    while (bytes.count != 0) {
        ssize_t part = send(download->fd, bytes.data, bytes.count, MSG_NOSIGNAL);
        if (part > 0)
            bytes = bytes_of(bytes.data + part, bytes.count - (size_t)part);
        else if (errno == EAGAIN && !wait_for(download->fd, POLLOUT, deadline_ms))
            return false;
        else if (errno != EAGAIN && errno != EINTR)
            return false;
    }
    return true;
}

static bool send_request(const struct download *download, const struct address *address,
                         const char *target, const char *headers, uint64_t deadline_ms)
{
    struct buf request;
    char host[LIMIT_ADDRESS_BYTES];
    buf_init(&request, REQUEST_BYTES_MAX);
    buf_printf(&request, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n", target,
               address_format(address, host), headers);
    errno = ENAMETOOLONG;
    bool is_sent = !request.is_full && send_all(download, buf_bytes(&request), deadline_ms);
    int failure = errno;
    buf_release(&request);
    errno = failure;
    return is_sent;
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
    uint64_t end = download->head_at + MIN(download->bytes, (uint64_t)REFUSAL_BYTES_MAX);
    ssize_t part = 1;
    while (head->count < end && part > 0 && buf_reserve(head, 4 * KIB)) {
        part = receive(download, head->data + head->count, 4 * KIB, deadline_ms);
        head->count += part > 0 ? (size_t)part : 0;
    }
    json_t *root = json_loadb((const char *)head->data + download->head_at,
                              head->count - download->head_at, JSON_DISABLE_EOF_CHECK, NULL);
    const char *type = json_string_value(json_object_get(root, "type"));
    const char *title = json_string_value(json_object_get(root, "title"));
    const char *detail = json_string_value(json_object_get(root, "detail"));
    if (type != NULL && strrchr(type, ':') != NULL)
        (void)snprintf(download->word, sizeof download->word, "%s", strrchr(type, ':') + 1);
    if (title != NULL)
        errtext_set(error, "%s%s%s", title, detail != NULL ? ": " : "",
                    detail != NULL ? detail : "");
    else
        errtext_set(error, "it answers %u", code);
    json_decref(root);
}

/* How long the body is. False: it cannot be told, so this is no node. */
static bool take_length(struct download *download, const char *head, const char *end)
{
    const char *length = find_header(head, end, "Content-Length:");
    const char *coding = find_header(head, end, "Transfer-Encoding:");
    if (coding != NULL) {
        download->is_chunked = true;
        download->bytes = download->left = UINT64_MAX;
        return strncasecmp(coding, "chunked\r\n", 9) == 0;
    }
    if (length == NULL || length[0] < '0' || length[0] > '9')
        return false;
    download->bytes = download->left = strtoull(length, NULL, 10);
    return true;
}

static enum download_result take_head(struct download *download, uint64_t deadline_ms,
                                      struct errtext *error)
{
    const char *end = receive_head(download, deadline_ms, error);
    if (end == NULL)
        return DOWNLOAD_UNAVAILABLE;
    const char *head = buf_text(&download->head);
    if (strncmp(head, "HTTP/1.", 7) != 0 || !take_length(download, head, end)) {
        errtext_set(error, "it does not answer as a node of MiniKV does");
        return DOWNLOAD_UNAVAILABLE;
    }
    unsigned code = (unsigned)strtoul(head + 9, NULL, 10);
    const char *compacted = find_header(head, end, "X-MiniKV-Compacted:");
    download->compacted = compacted != NULL ? strtoull(compacted, NULL, 10) : 0;
    download->head_at = (size_t)(end + 4 - head);
    if (code == 200)
        return DOWNLOAD_OK;
    take_refusal(download, code, deadline_ms, error);
    return code >= 500 ? DOWNLOAD_UNAVAILABLE : DOWNLOAD_REFUSED;
}

enum download_result download_open(const struct address *address, const char *target,
                                   const char *headers, uint64_t connect_ms, uint64_t head_ms,
                                   struct download *out_download, struct errtext *error)
{
    struct download download = {.fd = dial(address, download_now_ms() + connect_ms, error)};
    *out_download = download;
    if (download.fd < 0)
        return DOWNLOAD_UNAVAILABLE;
    buf_init(&download.head, LIMIT_HEADERS_BYTES + REFUSAL_BYTES_MAX + 16 * KIB);
    uint64_t deadline_ms = download_now_ms() + head_ms;
    enum download_result result = DOWNLOAD_UNAVAILABLE;
    if (send_request(&download, address, target, headers, deadline_ms))
        result = take_head(&download, deadline_ms, error);
    else
        errtext_set(error, "%s", strerror(errno));
    if (result != DOWNLOAD_OK)
        download_close(&download);
    *out_download = download;
    return result;
}

/* ---- the body ---- */

/* Bytes as they come, at least one; false with `error` when they do not. */
static bool read_some(struct download *download, uint64_t deadline_ms, uint8_t *out, size_t wanted,
                      size_t *out_count, struct errtext *error)
{
    size_t kept = download->head.count - download->head_at;
    if (kept > 0) {
        *out_count = MIN(kept, wanted);
        memcpy(out, download->head.data + download->head_at, *out_count);
        download->head_at += *out_count;
        return true;
    }
    ssize_t part = receive(download, out, wanted, deadline_ms);
    if (part <= 0) {
        errtext_set(error, "%s", part == 0 ? "it broke off" : strerror(errno));
        return false;
    }
    *out_count = (size_t)part;
    return true;
}

static bool read_chunked(struct download *download, uint64_t deadline_ms, uint8_t *out,
                         size_t bytes_max, size_t *out_count, struct errtext *error)
{
    *out_count = 0;
    while (*out_count == 0 && download->left != 0) {
        if (!read_some(download, deadline_ms, out, bytes_max, out_count, error))
            return false;
        if (!chunks_decode(&download->chunks, out, out_count)) {
            errtext_set(error, "its reply is malformed");
            return false;
        }
        if (download->chunks.state == CHUNKS_DONE)
            download->left = 0;
    }
    return true;
}

bool download_read(struct download *download, uint64_t wait_ms, uint8_t *out, size_t bytes_max,
                   size_t *out_count, struct errtext *error)
{
    uint64_t deadline_ms = download_now_ms() + wait_ms;
    *out_count = 0;
    if (download->is_chunked)
        return read_chunked(download, deadline_ms, out, bytes_max, out_count, error);
    size_t wanted = (size_t)MIN(download->left, (uint64_t)bytes_max);
    if (wanted == 0)
        return true;
    if (!read_some(download, deadline_ms, out, wanted, out_count, error))
        return false;
    download->left -= *out_count;
    return true;
}

void download_close(struct download *download)
{
    if (download->fd >= 0)
        (void)close(download->fd); /* all has been read, or counts for nothing */
    buf_release(&download->head);
}
