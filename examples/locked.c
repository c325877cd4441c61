/* locked: adds one to a number under a lock, with a write that only the holder of the lock can do.
 *
 *      cc locked.c -o locked $(pkg-config --cflags --libs minikv)
 *      ./locked 127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083 NAME KEY
 *
 * minikv_incr does this better; it stands for work that takes several steps. The lock is that of
 * `minikv lock NAME`: a lease, a key NAME/<lease> under it, and whoever made the oldest key holds
 * it. The revision that created the key is the fencing token: the write compares it, so that a
 * holder that stood still until its lease was over writes nothing. NAME and KEY are letters,
 * digits, dots and dashes here, so that nothing has to be encoded. */
#include <inttypes.h>
#include <minikv/minikv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TTL_MS = 5000, POLL_MS = 1000, TEXT_BYTES = 1024 };

struct lock {
    struct minikv *kv;
    const char *name;
    uint64_t lease, token;
    char key[256];
};

/* A request of the HTTP interface; `once`: a write, carried out once however often it is sent. */
static enum minikv_code call(struct minikv *kv, const char *method, const char *target,
                             const char *body, bool once, struct minikv_result *result)
{
    struct minikv_request request = {.op = MINIKV_CALL,
                                     .method = method,
                                     .target = target,
                                     .value = minikv_text(body),
                                     .is_once = once,
                                     .is_repeatable = !once};
    return minikv_perform(kv, &request, result);
}

/* The number behind `name` in the body; 0: it is not there. */
static uint64_t number_in(const struct minikv_result *result, const char *name)
{
    char text[TEXT_BYTES];
    snprintf(text, sizeof text, "%.*s", (int)result->body.count, (const char *)result->body.data);
    const char *at = strstr(text, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* Takes a place among those who want the lock. */
static bool enter(struct lock *lock)
{
    char text[TEXT_BYTES];
    struct minikv_result result;
    snprintf(text, sizeof text, "{\"ttl_ms\":%d}", TTL_MS);
    call(lock->kv, "POST", "/v1/leases", text, true, &result);
    lock->lease = number_in(&result, "\"lease\":");
    minikv_result_release(&result);
    if (lock->lease == 0)
        return false;
    snprintf(lock->key, sizeof lock->key, "%.200s/%016" PRIx64, lock->name, lock->lease);
    snprintf(text, sizeof text,
             "{\"success\":[{\"put\":{\"key\":\"%s\",\"value\":\"\",\"lease\":%" PRIu64 "}}]}",
             lock->key, lock->lease);
    call(lock->kv, "POST", "/v1/txn", text, true, &result);
    lock->token = number_in(&result, "\"revision\":");
    minikv_result_release(&result);
    return lock->token != 0;
}

/* The place that is nearest before this one, 0 if there is none; false: this one is gone. */
static bool look(struct lock *lock, uint64_t *before, char *before_key, size_t key_bytes,
                 uint64_t *revision)
{
    char prefix[256];
    struct minikv_result page;
    bool is_there = false;
    snprintf(prefix, sizeof prefix, "%.200s/", lock->name);
    struct minikv_range range = {.prefix = minikv_text(prefix), .keys_only = true};
    *before = 0; /* one page: a thousand who wait for one lock are too many anyway */
    if (minikv_list(lock->kv, &range, &page) == MINIKV_OK)
        for (size_t i = 0; i < page.items_count; i++) {
            const struct minikv_item *item = &page.items[i];
            is_there = is_there || item->create_revision == lock->token;
            if (item->create_revision >= lock->token || item->create_revision <= *before)
                continue;
            *before = item->create_revision;
            snprintf(before_key, key_bytes, "%.*s", (int)item->key.count,
                     (const char *)item->key.data);
        }
    *revision = page.revision;
    minikv_result_release(&page);
    return is_there;
}

/* Until nobody is before; the lease is renewed with every round. */
static bool wait_for_it(struct lock *lock)
{
    uint64_t before, revision;
    char before_key[256], target[TEXT_BYTES];
    struct minikv_result result;
    while (look(lock, &before, before_key, sizeof before_key, &revision)) {
        if (before == 0)
            return true;
        snprintf(target, sizeof target, "/v1/watch?key=%s&from=%" PRIu64 "&poll_ms=%d", before_key,
                 revision + 1, POLL_MS);
        call(lock->kv, "GET", target, "", false, &result); /* whatever it says, all is looked at */
        minikv_result_release(&result);
        snprintf(target, sizeof target, "/v1/leases/%" PRIu64 "/keepalive", lock->lease);
        call(lock->kv, "POST", target, "", false, &result);
        minikv_result_release(&result);
    }
    return false;
}

/* Reads, and writes if the lock is still ours. */
static bool add_one(struct lock *lock, const char *key)
{
    char body[TEXT_BYTES];
    struct minikv_result result;
    unsigned long long number = 0;
    enum minikv_code code = minikv_get(lock->kv, minikv_text(key), &result);
    if (code == MINIKV_OK) {
        snprintf(body, sizeof body, "%.*s", (int)result.items[0].value.count,
                 (const char *)result.items[0].value.data);
        number = strtoull(body, NULL, 10);
    }
    minikv_result_release(&result);
    if (code != MINIKV_OK && code != MINIKV_NOT_FOUND)
        return false;
    snprintf(body, sizeof body,
             "{\"compare\":[{\"key\":\"%s\",\"target\":\"create_revision\",\"op\":\"=\","
             "\"value\":%" PRIu64 "}],\"success\":[{\"put\":{\"key\":\"%s\",\"value\":\"%llu\"}}]}",
             lock->key, lock->token, key, number + 1);
    code = call(lock->kv, "POST", "/v1/txn", body, true, &result);
    const char expected[] = "{\"succeeded\":true";
    bool is_done = code == MINIKV_OK && result.body.count >= sizeof expected &&
                   memcmp(result.body.data, expected, sizeof expected - 1) == 0;
    minikv_result_release(&result);
    return is_done;
}

static void leave(struct lock *lock)
{
    char target[64];
    struct minikv_result result;
    if (lock->lease == 0)
        return;
    snprintf(target, sizeof target, "/v1/leases/%" PRIu64, lock->lease);
    call(lock->kv, "DELETE", target, "", true, &result); /* if not: the lease expires */
    minikv_result_release(&result);
}

int main(int argc, char **argv)
{
    struct lock lock = {.lease = 0};
    if (argc != 4) {
        fprintf(stderr, "usage: locked ENDPOINTS NAME KEY\n");
        return 2;
    }
    if (minikv_open(argv[1], NULL, &lock.kv) != MINIKV_OK) {
        fprintf(stderr, "locked: %s: want host:port[,host:port...]\n", argv[1]);
        return 2;
    }
    lock.name = argv[2];
    bool is_done = enter(&lock) && wait_for_it(&lock) && add_one(&lock, argv[3]);
    if (is_done)
        printf("done with token %" PRIu64 "\n", lock.token);
    else
        fprintf(stderr, "locked: the lock was not had, or lost, or no node answered\n");
    leave(&lock);
    minikv_close(lock.kv);
    return is_done ? 0 : 1;
}
