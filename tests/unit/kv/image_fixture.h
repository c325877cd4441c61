/* What the tests of images and of the loader share: random commands of every kind that changes the
 * state, and the state as bytes. */
#ifndef MINIKV_TESTS_UNIT_KV_IMAGE_FIXTURE_H
#define MINIKV_TESTS_UNIT_KV_IMAGE_FIXTURE_H

#include <inttypes.h>

#include "kv/kv_internal.h"
#include "once_fixture.h"

enum { IMAGE_KEYS = 300, IMAGE_CLIENTS = 7, IMAGE_BYTES_MAX = 64 * MIB };

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
    if (dice < 250)
        command.op = COMMAND_DELETE;
    else if (dice < 400) {
        command.op = COMMAND_INCR;
        command.by = 3;
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
    if (prng_below(prng, 4) != 0)
        command.identity = image_identity(play);
    return command;
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
        play->stamp_us += prng_below(&play->prng, 3);
        if (prng_below(&play->prng, 100) == 0)
            image_play_config(play);
        struct command command = image_random_command(play, key, value);
        (void)once_apply(play->kv, &command, play->stamp_us);
    }
}

static inline void image_play_start(struct image_play *play, uint64_t seed)
{
    *play = (struct image_play){.kv = fixture_new()};
    prng_init(&play->prng, seed);
    image_play_config(play);
}

#endif
