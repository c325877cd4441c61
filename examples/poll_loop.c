/* poll_loop: stores each line "KEY VALUE" of standard input, many at once, in a loop of its own.
 *
 *      cc poll_loop.c -o poll_loop $(pkg-config --cflags --libs minikv)
 *      seq -f 'key-%g hello' 10000 | ./poll_loop 127.0.0.1:8081,127.0.0.1:8082
 *
 * One thread, and nobody waits for anybody: the loop polls standard input beside whatever the
 * library wants to hear of. It reads on only while there is room for another request, so input of
 * any length needs the same memory. Lines are stored in no particular order: two for one key should
 * not be in the same input. */
#include <errno.h>
#include <inttypes.h>
#include <minikv/minikv.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 65536, UNDER_WAY_MAX = 256 };

struct loader {
    struct minikv *kv;
    char input[LINE_BYTES_MAX]; /* read, and not yet sent */
    size_t input_count;
    bool has_ended;
    unsigned under_way, stored, failed;
};

/* Called by minikv_process, once for each request. */
static void on_done(void *ctx, struct minikv_result *result)
{
    struct loader *loader = ctx;

    loader->under_way--;
    if (result->code == MINIKV_OK) {
        loader->stored++;
    } else {
        loader->failed++;
        fprintf(stderr, "poll_loop: %s: %s%s\n", minikv_code_name(result->code), result->detail,
                result->effect == MINIKV_MAYBE_APPLIED ? " (may have been stored)" : "");
    }
    minikv_result_release(result);
}

static void start_put(struct loader *loader, const char *line, size_t count)
{
    const char *blank = memchr(line, ' ', count);
    size_t key_count = blank != NULL ? (size_t)(blank - line) : count;
    struct minikv_request request = {.op = MINIKV_PUT, .key = {line, key_count}};

    if (blank != NULL)
        request.value = (struct minikv_bytes){blank + 1, count - key_count - 1};
    /* The request is copied: the line may go as soon as this returns. */
    uint64_t id;
    enum minikv_code code = minikv_start(loader->kv, &request, on_done, loader, &id);
    if (code == MINIKV_OK) {
        loader->under_way++;
    } else {
        loader->failed++;
        fprintf(stderr, "poll_loop: key \"%.*s\" is not sent: %s\n", (int)key_count, line,
                minikv_code_name(code));
    }
}

/* Sends whole lines while there is room. */
static void take_lines(struct loader *loader)
{
    size_t taken = 0;

    while (loader->under_way < UNDER_WAY_MAX && taken < loader->input_count) {
        const char *line = loader->input + taken;
        size_t left = loader->input_count - taken;
        const char *end = memchr(line, '\n', left);
        if (end == NULL && !loader->has_ended)
            break;
        size_t count = end != NULL ? (size_t)(end - line) : left;
        start_put(loader, line, count);
        taken += count + (end != NULL);
    }
    loader->input_count -= taken;
    memmove(loader->input, loader->input + taken, loader->input_count);
    if (loader->input_count == LINE_BYTES_MAX && loader->under_way < UNDER_WAY_MAX) {
        fprintf(stderr, "poll_loop: a line is longer than %d bytes; stopping there\n",
                LINE_BYTES_MAX);
        loader->failed++;
        loader->has_ended = true;
        loader->input_count = 0;
    }
}

static void read_input(struct loader *loader)
{
    ssize_t count = read(STDIN_FILENO, loader->input + loader->input_count,
                         LINE_BYTES_MAX - loader->input_count);

    if (count > 0)
        loader->input_count += (size_t)count;
    else if (count == 0 || errno != EINTR)
        loader->has_ended = true;
}

/* Returns false when poll fails. */
static bool turn(struct loader *loader)
{
    struct pollfd fds[1 + MINIKV_POLLFDS_MAX];
    bool wants_input = !loader->has_ended && loader->under_way < UNDER_WAY_MAX &&
                       loader->input_count < LINE_BYTES_MAX;

    fds[0] = (struct pollfd){.fd = wants_input ? STDIN_FILENO : -1, .events = POLLIN};
    size_t count = minikv_pollfds(loader->kv, fds + 1, MINIKV_POLLFDS_MAX);
    int ready = poll(fds, 1 + count, minikv_timeout(loader->kv));
    if (ready < 0 && errno != EINTR)
        return false;
    if (ready > 0 && fds[0].revents != 0)
        read_input(loader);
    minikv_process(loader->kv, fds + 1, ready < 0 ? 0 : count);
    take_lines(loader);
    return true;
}

int main(int argc, char **argv)
{
    const struct minikv_options options = {.timeout_ms = 60000};
    struct loader loader = {.under_way = 0};

    if (argc != 2) {
        fprintf(stderr, "usage: poll_loop ENDPOINTS <LINES\n");
        return 2;
    }
    if (minikv_open(argv[1], &options, &loader.kv) != MINIKV_OK) {
        fprintf(stderr, "poll_loop: %s: want host:port[,host:port...]\n", argv[1]);
        return 2;
    }
    while (!loader.has_ended || loader.input_count > 0 || loader.under_way > 0) {
        if (!turn(&loader)) {
            perror("poll_loop: poll");
            break;
        }
    }
    minikv_close(loader.kv);
    printf("stored %u, failed %u\n", loader.stored, loader.failed);
    return loader.failed == 0 ? 0 : 1;
}
