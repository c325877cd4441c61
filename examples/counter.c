/* counter: adds one, many times, and says what came of it.
 *
 *      cc counter.c -o counter $(pkg-config --cflags --libs minikv)
 *      ./counter 127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083 visits 10000
 *
 * Kill the node that leads while it runs, and start it again: the program does not notice. There is
 * nothing in it about leaders, redirects or retries, and still every addition is made exactly once.
 * If it ever gives up, it says whether its last addition was made. */
#include <inttypes.h>
#include <minikv/minikv.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const effects[] = {
    [MINIKV_NOT_APPLIED] = "was not made, and never will be",
    [MINIKV_MAYBE_APPLIED] = "may have been made",
    [MINIKV_APPLIED] = "was made",
};

/* Returns how many additions were acknowledged: `goal`, unless one failed. */
static uint64_t count(struct minikv *kv, const char *key, uint64_t goal, int64_t *out_sum)
{
    uint64_t attempts_count = 0;
    uint64_t done = 0;

    while (done < goal) {
        struct minikv_result result;
        enum minikv_code code = minikv_incr(kv, minikv_text(key), 1, &result);

        attempts_count += result.attempts_count;
        if (code == MINIKV_OK) {
            *out_sum = result.number;
            done++;
        } else {
            fprintf(stderr, "counter: %s: %s; the addition %s\n", minikv_code_name(code),
                    result.detail, effects[result.effect]);
        }
        minikv_result_release(&result);
        if (code != MINIKV_OK)
            break;
        if (done % (goal / 20 + 1) == 0) {
            printf("%" PRIu64 " of %" PRIu64 "\n", done, goal);
            fflush(stdout);
        }
    }
    printf("counted %" PRIu64 " in %" PRIu64 " attempts\n", done, attempts_count);
    return done;
}

int main(int argc, char **argv)
{
    const struct minikv_options options = {.timeout_ms = 60000}; /* longer than any election */
    struct minikv *kv;

    if (argc != 4) {
        fprintf(stderr, "usage: counter ENDPOINTS KEY TIMES\n");
        return 2;
    }
    if (minikv_open(argv[1], &options, &kv) != MINIKV_OK) {
        fprintf(stderr, "counter: %s: want host:port[,host:port...]\n", argv[1]);
        return 2;
    }

    uint64_t goal = strtoull(argv[3], NULL, 10);
    int64_t sum = 0;
    uint64_t done = count(kv, argv[2], goal, &sum);
    if (done > 0)
        printf("%s is %" PRId64 "\n", argv[2], sum);
    minikv_close(kv);
    return done == goal ? 0 : 1;
}
