/* minikv bench: the keys of a run go when it is over. */
#include "cli/ask.h"
#include "cli/bench.h"
#include "cli/download.h"

enum { CLEAN_KEYS = 1000 }; /* in one transaction: the cluster goes on with other work between */

static void set_key(const struct bench *bench, json_t *range, const char *name, unsigned number)
{
    struct buf key;
    buf_init(&key, LIMIT_KEY_BYTES + 1);
    buf_put(&key, buf_bytes(&bench->prefix));
    buf_printf(&key, "key-%012u", number);
    ask_set_bytes(range, name, buf_bytes(&key));
    buf_release(&key);
}

/* Of one answer to a transaction with one delete. */
static uint64_t deleted_of(const json_t *answer)
{
    const json_t *first = json_array_get(json_object_get(answer, "results"), 0);
    const json_t *deleted = json_object_get(first, "delete");
    return (uint64_t)json_integer_value(json_object_get(deleted, "deleted"));
}

static enum exit_code remove_some(struct bench *bench, unsigned first, uint64_t *out_count)
{
    struct minikv_result result;
    json_t *range = json_object(), *answer = NULL;
    set_key(bench, range, "start", first);
    set_key(bench, range, "end", first + CLEAN_KEYS);
    enum exit_code code = ask_once(bench->cli, "POST", "/v1/txn",
                                   json_pack("{s:[{s:o}]}", "success", "delete", range), &result);
    if (code == EXIT_CODE_OK && (answer = ask_json(bench->cli, &result)) == NULL)
        code = EXIT_CODE_FAILURE;
    *out_count = deleted_of(answer);
    json_decref(answer);
    minikv_result_release(&result);
    return code;
}

/* How many of its keys there are. */
static bool count_left(struct bench *bench)
{
    struct buf target;
    json_t *answer;
    buf_init(&target, 4 * LIMIT_KEY_BYTES);
    buf_put_text(&target, "/v1/kv?count_only&prefix=");
    ask_put_encoded(&target, buf_bytes(&bench->prefix));
    enum exit_code code = ask_for_json(bench->cli, buf_text(&target), &answer);
    bench->left = (uint64_t)json_integer_value(json_object_get(answer, "count"));
    json_decref(answer);
    buf_release(&target);
    return code == EXIT_CODE_OK;
}

static bool remove_all(struct bench *bench, bool (*is_stopped)(void), uint64_t until_ms)
{
    unsigned keys = bench->cli->bench.keys;
    for (unsigned first = 0; first < keys; first += CLEAN_KEYS) {
        uint64_t count;
        if (is_stopped() || download_now_ms() >= until_ms ||
            remove_some(bench, first, &count) != EXIT_CODE_OK)
            return false;
        bench->removed += count;
        bar_show(&bench->bar, first, download_now_ms());
    }
    return true;
}

void bench_clean(struct bench *bench, bool (*is_stopped)(void))
{
    /* What got no answer may have been on its way when its turn to be removed came. */
    enum { ROUNDS = 2 };
    uint64_t until_ms = download_now_ms() + LIMIT_BENCH_CLEAN_SECONDS * UINT64_C(1000);
    bar_init(&bench->bar, bench->cli->bench.keys);
    bench->bar.unit = "keys removed";
    for (int i = 0; i < ROUNDS && !bench_is_clean(bench); i++) {
        bool is_whole = remove_all(bench, is_stopped, until_ms);
        bench->knows_left = count_left(bench);
        if (!is_whole)
            break;
    }
    bar_release(&bench->bar);
    if (bench_is_clean(bench))
        return;
    if (bench->knows_left)
        fprintf(stderr, "minikv: bench: %llu keys are left", (unsigned long long)bench->left);
    else
        fputs("minikv: bench: keys may be left", stderr);
    fprintf(stderr, "; minikv del --prefix '%s' removes them\n", buf_text(&bench->prefix));
}
