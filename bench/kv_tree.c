/* What the tree and the state on top of it cost per operation, in nanoseconds.
 *
 *      minikv-kv-tree [keys] [key shape: 0 counted, 1 random]
 *
 * Keys of 24 bytes, values of 100, in random order over all keys; one by one, and in batches of
 * which all keys are known before the first is looked up. CPU time, so that other work on the
 * machine disturbs less. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "base/prng.h"
#include "kv/kv.h"
#include "kv/tree.h"

enum { KEY_BYTES = 24, VALUE_BYTES = 100 };

struct record {
    struct tree_item item;
    uint8_t data[KEY_BYTES + VALUE_BYTES];
};

struct bench {
    uint32_t keys_count;
    int shape;
    uint32_t *order; /* a permutation of all keys */
    struct prng prng;
};

static double now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void report(const char *what, double since_ns, uint64_t count)
{
    printf("%-44s %8.1f ns\n", what, (now_ns() - since_ns) / (double)count);
    (void)fflush(stdout);
}

static struct bytes make_key(const struct bench *bench, uint32_t number, uint8_t out[KEY_BYTES])
{
    static const char prefix[] = "bench/key/0000";
    memcpy(out, prefix, sizeof prefix - 1);
    if (bench->shape == 1) { /* all of it, and differing from the first byte on */
        uint64_t mixed = number * 0x9e3779b97f4a7c15u;
        for (int i = 0; i < KEY_BYTES; i++)
            out[i] = (uint8_t)(mixed >> (8 * (i % 8)));
        return bytes_of(out, KEY_BYTES);
    }
    for (int i = KEY_BYTES - 1; i >= (int)sizeof prefix - 1; i--, number /= 10)
        out[i] = (uint8_t)('0' + number % 10);
    return bytes_of(out, KEY_BYTES);
}

static void shuffle(struct bench *bench)
{
    for (uint32_t i = bench->keys_count; i > 1; i--) {
        uint32_t at = (uint32_t)prng_below(&bench->prng, i);
        uint32_t swap = bench->order[i - 1];
        bench->order[i - 1] = bench->order[at];
        bench->order[at] = swap;
    }
}

/* ---- the tree alone ---- */

static void put(const struct bench *bench, struct tree *tree, uint32_t number)
{
    struct record *record = mem_alloc_raw(sizeof *record);
    struct bytes key = make_key(bench, number, record->data);
    record->item.key_offset = offsetof(struct record, data);
    record->item.key_bytes = KEY_BYTES;
    memset(record->data + KEY_BYTES, 'v', VALUE_BYTES);
    struct tree_cursor cursor;
    (void)tree_find(tree_view(tree), key, &cursor);
    tree_put_at(tree, &cursor, &record->item);
}

static void put_all(struct bench *bench, struct tree *tree, const char *what)
{
    double since_ns = now_ns();
    for (uint32_t i = 0; i < bench->keys_count; i++)
        put(bench, tree, bench->order[i]);
    report(what, since_ns, bench->keys_count);
}

static void get_all(struct bench *bench, struct tree *tree)
{
    uint64_t found_count = 0;
    double since_ns = now_ns();
    for (uint32_t i = 0; i < bench->keys_count; i++) {
        uint8_t raw[KEY_BYTES];
        struct tree_cursor cursor;
        struct bytes key = make_key(bench, bench->order[i], raw);
        found_count += tree_find(tree_view(tree), key, &cursor) != NULL;
    }
    report("tree: get", since_ns, bench->keys_count);
    INVARIANT(found_count == bench->keys_count);
}

static void get_all_in_batches(struct bench *bench, struct tree *tree)
{
    uint64_t found_count = 0;
    double since_ns = now_ns();
    for (uint32_t i = 0; i < bench->keys_count; i += TREE_PREFETCH_KEYS) {
        uint8_t raw[TREE_PREFETCH_KEYS][KEY_BYTES];
        struct bytes keys[TREE_PREFETCH_KEYS];
        uint32_t count = MIN((uint32_t)TREE_PREFETCH_KEYS, bench->keys_count - i);
        for (uint32_t k = 0; k < count; k++)
            keys[k] = make_key(bench, bench->order[i + k], raw[k]);
        tree_prefetch(tree_view(tree), keys, count);
        for (uint32_t k = 0; k < count; k++) {
            struct tree_cursor cursor;
            found_count += tree_find(tree_view(tree), keys[k], &cursor) != NULL;
        }
    }
    report("tree: get, in batches", since_ns, bench->keys_count);
    INVARIANT(found_count == bench->keys_count);
}

static void put_all_in_batches(struct bench *bench, struct tree *tree, const char *what)
{
    double since_ns = now_ns();
    for (uint32_t i = 0; i < bench->keys_count; i += TREE_PREFETCH_KEYS) {
        uint8_t raw[TREE_PREFETCH_KEYS][KEY_BYTES];
        struct bytes keys[TREE_PREFETCH_KEYS];
        uint32_t count = MIN((uint32_t)TREE_PREFETCH_KEYS, bench->keys_count - i);
        for (uint32_t k = 0; k < count; k++)
            keys[k] = make_key(bench, bench->order[i + k], raw[k]);
        tree_prefetch(tree_view(tree), keys, count);
        for (uint32_t k = 0; k < count; k++)
            put(bench, tree, bench->order[i + k]);
    }
    report(what, since_ns, bench->keys_count);
}

static void scan_all(struct tree_view view, const char *what)
{
    uint64_t bytes = 0;
    double since_ns = now_ns();
    struct tree_cursor cursor;
    const struct tree_item *item;
    (void)tree_find(view, bytes_of(NULL, 0), &cursor);
    while ((item = tree_next(&cursor)) != NULL)
        bytes += item->key_bytes;
    report(what, since_ns, view.items_count);
    INVARIANT(bytes == view.items_count * KEY_BYTES);
}

static void delete_all(struct bench *bench, struct tree *tree)
{
    double since_ns = now_ns();
    for (uint32_t i = 0; i < bench->keys_count; i++) {
        uint8_t raw[KEY_BYTES];
        struct tree_cursor cursor;
        (void)tree_find(tree_view(tree), make_key(bench, bench->order[i], raw), &cursor);
        tree_delete_at(tree, &cursor);
    }
    report("tree: delete, random order", since_ns, bench->keys_count);
}

static void bench_pin(struct bench *bench, struct tree *tree)
{
    struct tree_pin *pin = tree_pin(tree);
    put_all(bench, tree, "tree: replace, first time after a pin");
    put_all(bench, tree, "tree: replace, second time");
    scan_all(tree_pin_view(pin), "tree: scan of the pin");
    tree_unpin(tree, pin);
    double since_ns = now_ns();
    double slowest_ns = 0;
    uint64_t slices_count = 0;
    for (bool is_more = true; is_more; slices_count++) {
        double slice_ns = now_ns();
        is_more = tree_collect(tree, 1000);
        slowest_ns = slowest_ns > now_ns() - slice_ns ? slowest_ns : now_ns() - slice_ns;
    }
    report("tree: collect, per 1000 objects", since_ns, slices_count);
    printf("%-44s %8.1f ns\n", "tree: collect, slowest slice", slowest_ns);
}

static void bench_tree(struct bench *bench)
{
    struct tree *tree = tree_new();
    shuffle(bench);
    put_all_in_batches(bench, tree, "tree: insert, random order, in batches");
    shuffle(bench);
    put_all(bench, tree, "tree: replace");
    put_all_in_batches(bench, tree, "tree: replace, in batches");
    get_all(bench, tree);
    get_all_in_batches(bench, tree);
    scan_all(tree_view(tree), "tree: scan");
    bench_pin(bench, tree);
    delete_all(bench, tree);
    tree_free(tree);
}

/* ---- commands through the state ---- */

enum { BATCH_COMMANDS = 64 };

struct commands {
    struct buf bufs[BATCH_COMMANDS];
    struct bytes bytes[BATCH_COMMANDS];
};

static void encode_batch(struct bench *bench, uint32_t from, uint32_t count,
                         struct commands *commands)
{
    static const uint8_t value[VALUE_BYTES];
    for (uint32_t i = 0; i < count; i++) {
        uint8_t raw[KEY_BYTES];
        struct command command = {.op = COMMAND_PUT,
                                  .key = make_key(bench, bench->order[from + i], raw),
                                  .value = bytes_of(value, sizeof value)};
        buf_reset(&commands->bufs[i]);
        command_encode(&command, &commands->bufs[i]);
        commands->bytes[i] = buf_bytes(&commands->bufs[i]);
    }
}

static void apply_puts(struct bench *bench, struct kv *kv, uint64_t *index, bool has_hints,
                       const char *what)
{
    struct commands *commands = mem_alloc(sizeof *commands);
    for (uint32_t i = 0; i < BATCH_COMMANDS; i++)
        buf_init(&commands->bufs[i], 4096);
    shuffle(bench);
    double since_ns = now_ns();
    for (uint32_t from = 0; from < bench->keys_count; from += BATCH_COMMANDS) {
        uint32_t count = MIN((uint32_t)BATCH_COMMANDS, bench->keys_count - from);
        encode_batch(bench, from, count, commands);
        if (has_hints)
            kv_prefetch_commands(kv, commands->bytes, count);
        for (uint32_t i = 0; i < count; i++) {
            struct kv_result result;
            struct proposal proposal = {.command = commands->bytes[i]};
            kv_apply(kv, (struct entry_id){1, ++*index}, &proposal, &result);
            INVARIANT(result.changed);
        }
    }
    report(what, since_ns, bench->keys_count);
    for (uint32_t i = 0; i < BATCH_COMMANDS; i++)
        buf_release(&commands->bufs[i]);
    mem_free(commands);
}

static void bench_kv(struct bench *bench)
{
    struct kv *kv = kv_new(&(struct kv_options){0});
    uint64_t index = 0;
    apply_puts(bench, kv, &index, true, "kv: encode, apply a new key, in batches");
    apply_puts(bench, kv, &index, false, "kv: encode, apply a new value");
    apply_puts(bench, kv, &index, true, "kv: encode, apply a new value, in batches");

    uint64_t bytes = 0;
    double since_ns = now_ns();
    for (uint32_t i = 0; i < bench->keys_count; i++) {
        uint8_t raw[KEY_BYTES];
        struct kv_item item;
        if (kv_get(kv, make_key(bench, bench->order[i], raw), &item))
            bytes += item.value.count;
    }
    report("kv: get", since_ns, bench->keys_count);
    INVARIANT(bytes == (uint64_t)bench->keys_count * VALUE_BYTES);
    kv_free(kv);
}

int main(int argc, char **argv)
{
    struct bench bench = {.keys_count = 1000000};
    if (argc > 1)
        bench.keys_count = (uint32_t)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        bench.shape = (int)strtol(argv[2], NULL, 10);
    prng_init(&bench.prng, 1);
    bench.order = mem_alloc_array(bench.keys_count, sizeof *bench.order);
    for (uint32_t i = 0; i < bench.keys_count; i++)
        bench.order[i] = i;
    bench_tree(&bench);
    bench_kv(&bench);
    mem_free(bench.order);
    return 0;
}
