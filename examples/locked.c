/* locked: adds one to KEY under the lock NAME, so that nobody else does at the same time.
 *
 *      cc locked.c -o locked $(pkg-config --cflags --libs minikv)
 *      ./locked 127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083 job sum
 *
 * It takes part with all who want that lock by `minikv lock NAME`. The lock comes with a token that
 * is higher for every holder, and the write is guarded with it: a holder that stood still until its
 * time was over, and does not know it yet, writes nothing. With a fourth argument it works for so
 * many milliseconds before it writes, and keeps the lock meanwhile. */
#include <inttypes.h>
#include <minikv/minikv.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { TTL_MS = 5000, WAIT_MS = 60000, PIECE_MS = 100 };

/* Work is done in pieces, and after each the lock is looked after; false: it cannot be kept. */
static bool work(struct minikv_hold *lock, long work_ms)
{
    for (; work_ms > 0; work_ms -= PIECE_MS) {
        poll(NULL, 0, PIECE_MS); /* what takes its time */
        if (minikv_hold_keep(lock, 1000) != MINIKV_OK)
            return false;
    }
    return true;
}

/* Reads, and writes if the lock is still ours. */
static enum minikv_code add_one(struct minikv *kv, struct minikv_hold *lock, const char *key,
                                struct minikv_result *result)
{
    char text[32] = "";
    struct minikv_holding holding;
    enum minikv_code code = minikv_get(kv, minikv_text(key), result);

    if (code != MINIKV_OK && code != MINIKV_NOT_FOUND)
        return code;
    if (code == MINIKV_OK)
        snprintf(text, sizeof text, "%.*s", (int)result->items[0].value.count,
                 (const char *)result->items[0].value.data);
    minikv_result_release(result);
    snprintf(text, sizeof text, "%lld", strtoll(text, NULL, 10) + 1);

    minikv_hold_look(lock, &holding);
    struct minikv_request request = {.op = MINIKV_PUT,
                                     .key = minikv_text(key),
                                     .value = minikv_text(text),
                                     .fence = holding.fence};
    return minikv_perform(kv, &request, result);
}

int main(int argc, char **argv)
{
    struct minikv *kv;
    struct minikv_hold *lock;
    struct minikv_result result, released;
    enum minikv_code code;

    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: locked ENDPOINTS NAME KEY [WORK-MS]\n");
        return 2;
    }
    if (minikv_open(argv[1], NULL, &kv) != MINIKV_OK) {
        fprintf(stderr, "locked: %s: want host:port[,host:port...]\n", argv[1]);
        return 2;
    }
    code = minikv_lock_acquire(kv, minikv_text(argv[2]), TTL_MS, WAIT_MS, &lock, &result);
    if (code == MINIKV_OK) {
        uint64_t token = result.revision;
        minikv_result_release(&result);
        if (work(lock, argc == 5 ? atol(argv[4]) : 0))
            code = add_one(kv, lock, argv[3], &result);
        else
            code = MINIKV_LOST;
        if (code == MINIKV_OK)
            printf("done with token %" PRIu64 "\n", token);
        minikv_hold_release(lock, &released); /* if no node answers: its time runs out */
        minikv_result_release(&released);
    }
    if (code != MINIKV_OK)
        fprintf(stderr, "locked: %s: %s\n", minikv_code_name(code), result.detail);
    minikv_result_release(&result);
    minikv_close(kv);
    return code == MINIKV_OK ? 0 : 1;
}
