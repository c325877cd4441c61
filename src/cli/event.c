#include "cli/event.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/limits.h"
#include "cli/ask.h"
#include "cli/child.h"
#include "cli/table.h"

enum { VARIABLE_BYTES_MAX = 100 * KIB }; /* the system takes no more than 128 KiB of one */

/* ---- places ---- */

static bool read_digits(const char **text, uint64_t *out_value)
{
    uint64_t value = 0;
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0 || digits > 18)
        return false;
    for (size_t i = 0; i < digits; i++)
        value = value * 10 + (uint64_t)((*text)[i] - '0');
    *text += digits;
    *out_value = value;
    return true;
}

bool event_read_place(const char *text, struct event_place *out_place)
{
    struct event_place place = {.at = UINT64_MAX};
    if (text == NULL || !read_digits(&text, &place.revision))
        return false;
    if (*text == '.') {
        text++;
        if (!read_digits(&text, &place.at))
            return false;
    }
    *out_place = place;
    return *text == '\0';
}

void event_put_place(const struct event_place *place, char out[EVENT_ID_BYTES])
{
    if (place->at == UINT64_MAX)
        (void)snprintf(out, EVENT_ID_BYTES, "%llu", (unsigned long long)place->revision);
    else
        (void)snprintf(out, EVENT_ID_BYTES, "%llu.%llu", (unsigned long long)place->revision,
                       (unsigned long long)place->at);
}

bool event_is_behind(const struct event_place *place, const struct event_place *other)
{
    return place->revision != other->revision ? place->revision > other->revision
                                              : place->at > other->at;
}

/* ---- reading ---- */

void event_init(struct event *event)
{
    *event = (struct event){.id = NULL};
    buf_init(&event->key, LIMIT_KEY_BYTES + 1); /* a NUL fits behind all of them */
    buf_init(&event->value, LIMIT_VALUE_BYTES + 1);
    buf_init(&event->prev, LIMIT_VALUE_BYTES + 1);
}

void event_release(struct event *event)
{
    buf_release(&event->key);
    buf_release(&event->value);
    buf_release(&event->prev);
}

bool event_read(struct event *event, const json_t *root)
{
    const json_t *data = json_object_get(root, "data"), *prev = json_object_get(data, "prev");
    event->id = json_string_value(json_object_get(root, "id"));
    event->word = json_string_value(json_object_get(root, "event"));
    event->revision = (uint64_t)json_integer_value(json_object_get(data, "mod_revision"));
    buf_reset(&event->key);
    buf_reset(&event->value);
    buf_reset(&event->prev);
    if (event->id == NULL || event->word == NULL || !ask_take_bytes(data, "key", &event->key))
        return false;
    event->has_prev = json_is_object(prev) && ask_take_bytes(prev, "value", &event->prev);
    bool is_delete = strcmp(event->word, "delete") == 0;
    return is_delete ||
           (strcmp(event->word, "put") == 0 && ask_take_bytes(data, "value", &event->value));
}

/* ---- showing ---- */

static void put_field(struct buf *out, const struct buf *field)
{
    buf_put_u8(out, '\t');
    table_put_escaped(out, buf_bytes(field), ask_is_text(buf_bytes(field)));
}

void event_put_line(const struct event *event, bool wants_prev, struct buf *out)
{
    buf_printf(out, "%llu\t%s", (unsigned long long)event->revision, event->word);
    put_field(out, &event->key);
    if (strcmp(event->word, "put") == 0 || wants_prev)
        put_field(out, &event->value); /* empty where the key is gone */
    if (wants_prev)
        put_field(out, &event->prev);
    buf_put_u8(out, '\n');
}

/* ---- running ---- */

/* NULL: it does not fit into a variable. */
static const char *variable_of(struct buf *bytes)
{
    bool fits = bytes->count <= VARIABLE_BYTES_MAX &&
                (bytes->count == 0 || memchr(bytes->data, 0, bytes->count) == NULL);
    return fits ? buf_text(bytes) : NULL;
}

/* A file in memory that holds the value; below 0: there is none. */
static int open_value(const struct event *event)
{
    int fd = memfd_create("minikv-value", MFD_CLOEXEC);
    struct bytes left = buf_bytes(&event->value);
    while (fd >= 0 && left.count != 0) {
        ssize_t part = write(fd, left.data, left.count);
        if (part < 0) {
            (void)close(fd); /* only memory */
            return -1;
        }
        left = bytes_of(left.data + part, left.count - (size_t)part);
    }
    if (fd >= 0)
        (void)lseek(fd, 0, SEEK_SET); /* cannot fail in memory */
    return fd;
}

static bool run(const struct cli *cli, struct event *event, const char *const *words, int input)
{
    char revision[24];
    struct buf base64;
    int status;
    (void)snprintf(revision, sizeof revision, "%llu", (unsigned long long)event->revision);
    buf_init(&base64, 2 * LIMIT_KEY_BYTES);
    base64_put(&base64, buf_bytes(&event->key));
    struct child child = {.words = words,
                          .variables = {{"MINIKV_EVENT", event->word},
                                        {"MINIKV_REVISION", revision},
                                        {"MINIKV_KEY", variable_of(&event->key)},
                                        {"MINIKV_KEY_BASE64", buf_text(&base64)},
                                        {"MINIKV_VALUE", variable_of(&event->value)}},
                          .input = input};
    pid_t pid = child_start(cli, &child);
    buf_release(&base64);
    if (pid < 0)
        return false;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    if (child_code(status) != 0)
        fprintf(stderr, "minikv: watch: %s: exit code %d for the event %s\n", words[0],
                child_code(status), event->id);
    return true;
}

bool event_execute(const struct cli *cli, struct event *event, const char *const *words)
{
    int input = open_value(event);
    if (input < 0) {
        fprintf(stderr, "minikv: watch: no room for the value: %s\n", strerror(errno));
        return false;
    }
    bool is_run = run(cli, event, words, input);
    (void)close(input); /* only memory */
    return is_run;
}
