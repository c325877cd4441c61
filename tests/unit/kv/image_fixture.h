/* What the tests of images and of the loader share: random commands of every kind that changes the
 * state, and the state as bytes. */
#ifndef MINIKV_TESTS_UNIT_KV_IMAGE_FIXTURE_H
#define MINIKV_TESTS_UNIT_KV_IMAGE_FIXTURE_H

#include <inttypes.h>

#include "kv/kv_internal.h"
#include "kv/txn.h"
#include "once_fixture.h"

enum { IMAGE_KEYS = 300, IMAGE_CLIENTS = 7, IMAGE_LEASES = 9, IMAGE_BYTES_MAX = 64 * MIB };

/* A past so short that it comes to its bounds, now of one kind, now of the other. */
static const struct kv_options image_options = {.past_events_max = 60, .past_bytes_max = 9000};

/* A state and the dice it is played with. */
struct image_play {
    struct kv *kv;
    struct prng prng;
    uint64_t stamp_us;
    uint64_t sequences[IMAGE_CLIENTS]; /* the last one of each client */
};

static inline struct buf image_bytes_of(const struct kv *kv)
{
    struct buf buf;
    buf_init(&buf, IMAGE_BYTES_MAX);
    kv_encode(kv, &buf);
    assert_false(buf.is_full);
    return buf;
}

/* Some are answered already, some not; now and then one comes again, or out of turn. */
static inline struct client_identity image_identity(struct image_play *play)
{
    static const char *const names[IMAGE_CLIENTS] = {"a", "b", "c", "dd", "eee", "f", "g"};
    size_t at = prng_below(&play->prng, IMAGE_CLIENTS);
    uint64_t *last = &play->sequences[at];
    uint64_t back = prng_below(&play->prng, 8) == 0 ? prng_below(&play->prng, 4) : 0;
    if (back == 0 || *last <= back)
        *last += 1 + prng_below(&play->prng, 3);
    uint64_t sequence = *last > back ? *last - back : *last;
    bool acks =
        prng_below(&play->prng, at + 1) == 0; /* the later the name, the longer its window */
    return (struct client_identity){
        .client = bytes_of_text(names[at]), .sequence = sequence, .acked = acks ? sequence - 1 : 0};
}

/* Of the past and of leases. */
static inline struct command image_other_command(struct image_play *play)
{
    struct prng *prng = &play->prng;
    struct kv_stats stats;
    kv_stats(play->kv, &stats);
    uint64_t lease = 1 + prng_below(prng, IMAGE_LEASES);
    switch (prng_below(prng, 5)) {
    case 0:
        return (struct command){.op = COMMAND_COMPACT,
                                .revision =
                                    stats.revision - MIN(stats.revision, prng_below(prng, 80))};
    case 1:
        return (struct command){.op = COMMAND_REVOKE_LEASE, .lease = lease};
    case 2:
        return (struct command){.op = COMMAND_EXPIRE_LEASES, .cutoff_us = play->stamp_us};
    default:
        return (struct command){.op = COMMAND_GRANT_LEASE, .lease = lease, .ttl_ms = 1000};
    }
}

static inline struct command image_random_command(struct image_play *play, char key[32],
                                                  uint8_t value[64])
{
    struct prng *prng = &play->prng;
    uint64_t dice = prng_below(prng, 1000);
    int count = snprintf(key, 32, "%s%" PRIu64, dice % 2 == 0 ? "k/" : "other/k/",
                         prng_below(prng, IMAGE_KEYS));
    memset(value, (int)prng_below(prng, 256), 64);
    struct command command = {.op = COMMAND_PUT,
                              .key = bytes_of(key, (size_t)count),
                              .value = bytes_of(value, prng_below(prng, 64))};
    if (dice % 5 == 4)
        command.lease = 1 + prng_below(prng, IMAGE_LEASES);
    if (dice < 250)
        command = (struct command){.op = COMMAND_DELETE, .key = command.key};
    else if (dice < 400) {
        command = (struct command){.op = COMMAND_INCR, .key = command.key, .by = 3};
    } else if (dice < 450)
        return (struct command){.op = COMMAND_SEAL, .identity = image_identity(play)};
    else if (dice < 460)
        return (struct command){.op = COMMAND_OPEN_SESSION, .nonce = dice};
    else if (dice < 465)
        return (struct command){.op = COMMAND_EXPIRE_SESSIONS,
                                .cutoff_us = play->stamp_us - MIN(play->stamp_us, 40u)};
    else if (dice < 475)
        return (struct command){
            .op = COMMAND_REGISTER, .member = 1 + dice % 3, .member_identity = 9};
    else if (dice < 530)
        return image_other_command(play);
    if (prng_below(prng, 4) != 0)
        command.identity = image_identity(play);
    return command;
}

/* Some keys are gone, another is there, at one revision; what it came to is remembered. */
static inline void image_play_txn(struct image_play *play)
{
    char prefix[16], key[16];
    struct buf txn;
    buf_init(&txn, LIMIT_TXN_BYTES);
    (void)snprintf(prefix, sizeof prefix, "k/%" PRIu64, 1 + prng_below(&play->prng, 29));
    (void)snprintf(key, sizeof key, "txn/%" PRIu64, prng_below(&play->prng, 5));
    txn_put_head(&txn, 0, 2, 0);
    txn_put_operation(&txn, &(struct txn_operation){.op = TXN_DELETE,
                                                    .range.prefix = bytes_of_text(prefix),
                                                    .wants_previous = true});
    txn_put_operation(&txn, &(struct txn_operation){.op = TXN_PUT,
                                                    .key = bytes_of_text(key),
                                                    .value = bytes_of_text(prefix)});
    struct command command = {.op = COMMAND_TXN, .value = buf_bytes(&txn)};
    if (prng_below(&play->prng, 4) == 0)
        command.identity = image_identity(play);
    (void)once_apply(play->kv, &command, play->stamp_us);
    buf_release(&txn);
}

static inline void image_play_config(struct image_play *play)
{
    static const node_id ids[] = {1, 2, 3};
    struct config config = fixture_config(ids, 1 + prng_below(&play->prng, 3));
    kv_apply_config(play->kv, fixture_next_id(play->kv), &config);
}

static inline void image_play_some(struct image_play *play, uint64_t commands_count)
{
    for (; commands_count > 0; commands_count--) {
        char key[32];
        uint8_t value[64];
        /* now and then for long enough that leases expire, and changes are given up for their age
         */
        play->stamp_us += prng_below(&play->prng, 50) == 0 ? prng_below(&play->prng, 400000000) : 3;
        if (prng_below(&play->prng, 100) == 0)
            image_play_config(play);
        if (prng_below(&play->prng, 150) == 0)
            image_play_txn(play);
        struct command command = image_random_command(play, key, value);
        (void)once_apply(play->kv, &command, play->stamp_us);
    }
}

static inline void image_play_start(struct image_play *play, uint64_t seed)
{
    *play = (struct image_play){.kv = kv_new(&image_options)};
    prng_init(&play->prng, seed);
    image_play_config(play);
}

#endif
