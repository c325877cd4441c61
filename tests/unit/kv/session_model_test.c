/* Long random play with the table of sessions, beside a model that is slow and obviously right: it
 * keeps every write there ever was, and asks after each question what is above the floor. */
#include "session_fixture.h"

#include <inttypes.h>

enum {
    OWNS = 5,
    KEYS = 4,
    ALLOTTED = 4,
    CLIENTS = OWNS + KEYS + ALLOTTED,
    WRITES_MAX = 8000,
    SESSIONS_MAX = 11,
    MOMENTS = 3
};

struct model_write {
    uint64_t sequence, fingerprint;
    bool is_sealed;
    uint64_t held_bytes; /* results of a transaction */
};

struct model_client {
    struct client_identity identity; /* kind and id */
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    bool is_allotted, is_present;
    uint64_t used_us, used_index, acked, highest;
    struct model_write *writes; /* all since the session was opened */
    size_t writes_count;
};

struct model {
    struct model_client clients[CLIENTS];
    uint64_t bytes_max;
};

static uint64_t model_floor(uint64_t highest, uint64_t acked)
{
    uint64_t moved = highest > LIMIT_SESSION_WINDOW ? highest - LIMIT_SESSION_WINDOW : 0;
    return moved > acked ? moved : acked;
}

static uint64_t remembered_above(const struct model_client *client, uint64_t floor)
{
    uint64_t count = 0;
    for (size_t i = 0; i < client->writes_count; i++)
        count += client->writes[i].sequence > floor;
    return count;
}

static uint64_t held_above(const struct model_client *client, uint64_t floor)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < client->writes_count; i++)
        if (client->writes[i].sequence > floor)
            bytes += client->writes[i].held_bytes;
    return bytes;
}

/* What is remembered above `floor`, and so many results more. */
static uint64_t cost_of(const struct model_client *client, uint64_t floor, uint64_t more_count)
{
    uint64_t bytes = SESSION_BYTES + client->identity.client.count +
                     SESSION_RESULT_BYTES * (remembered_above(client, floor) + more_count);
    for (size_t i = 0; i < client->writes_count; i++)
        if (client->writes[i].sequence > floor && client->writes[i].held_bytes != 0)
            bytes += SESSION_HELD_BYTES + client->writes[i].held_bytes;
    return bytes;
}

static struct sessions_stats model_stats(const struct model *model)
{
    struct sessions_stats stats = {0};
    for (size_t i = 0; i < CLIENTS; i++) {
        const struct model_client *client = &model->clients[i];
        if (!client->is_present)
            continue;
        uint64_t floor = model_floor(client->highest, client->acked);
        stats.sessions_count++;
        stats.results_count += remembered_above(client, floor);
        stats.bytes += cost_of(client, floor, 0);
        if (stats.oldest_use_us == 0 || client->used_us < stats.oldest_use_us)
            stats.oldest_use_us = client->used_us;
    }
    return stats;
}

/* What the table would hold with this write remembered, too. */
static bool model_has_room(const struct model *model, const struct model_client *client,
                           uint64_t sequence, uint64_t acked)
{
    struct sessions_stats stats = model_stats(model);
    if (!client->is_present)
        return stats.sessions_count < SESSIONS_MAX &&
               stats.bytes + cost_of(client, 0, 1) <= model->bytes_max;
    uint64_t now = model_floor(client->highest, client->acked);
    uint64_t then = model_floor(MAX(client->highest, sequence), MAX(client->acked, acked));
    return stats.bytes - cost_of(client, now, 0) + cost_of(client, then, 1) <= model->bytes_max;
}

static enum session_verdict model_judge(const struct model *model,
                                        const struct model_client *client, uint64_t sequence,
                                        uint64_t acked, uint64_t fingerprint)
{
    if (!client->is_present && client->is_allotted)
        return SESSION_EXPIRED;
    if (client->is_present) {
        if (sequence <= model_floor(client->highest, client->acked))
            return SESSION_TOO_OLD;
        for (size_t i = 0; i < client->writes_count; i++)
            if (client->writes[i].sequence == sequence)
                return client->writes[i].is_sealed                    ? SESSION_SEALED
                       : client->writes[i].fingerprint == fingerprint ? SESSION_DONE
                                                                      : SESSION_REUSED;
    }
    return model_has_room(model, client, sequence, acked) ? SESSION_FRESH : SESSION_FULL;
}

static void model_forget(struct model_client *client)
{
    client->is_present = false;
    client->acked = client->highest = client->used_us = client->used_index = 0;
    client->writes_count = 0;
}

static void model_use(struct model_client *client, const struct table *table, uint64_t acked)
{
    client->is_present = true;
    client->used_us = table->stamp_us;
    client->used_index = table->at.index;
    client->acked = MAX(client->acked, acked);
    client->highest = MAX(client->highest, acked);
}

/* The first one that is remembered. */
static uint64_t model_lowest(const struct model_client *client)
{
    uint64_t lowest = UINT64_MAX;
    for (size_t i = 0; i < client->writes_count; i++)
        if (client->writes[i].sequence > model_floor(client->highest, client->acked))
            lowest = MIN(lowest, client->writes[i].sequence);
    return lowest;
}

/* Returns how many were given up for the size of what is held. */
static unsigned model_remember(struct model_client *client, struct model_write write)
{
    unsigned given_up = 0;
    assert_true(client->writes_count < WRITES_MAX);
    client->writes[client->writes_count++] = write;
    client->highest = MAX(client->highest, write.sequence);
    while (held_above(client, model_floor(client->highest, client->acked)) >
           LIMIT_SESSION_RESULTS_BYTES) {
        client->acked = model_lowest(client);
        given_up++;
    }
    return given_up;
}

static size_t model_expire(struct model *model, uint64_t cutoff_us)
{
    size_t count = 0;
    for (size_t i = 0; i < CLIENTS; i++) {
        struct model_client *client = &model->clients[i];
        if (client->is_present && client->used_us < cutoff_us) {
            model_forget(client);
            count++;
        }
    }
    return count;
}

/* ---- play ---- */

/* What was kept of the table, and what it was then. */
struct moment {
    struct tree_pin *pin; /* NULL: none */
    struct buf bytes;
};

struct play {
    struct table table;
    struct model model;
    struct prng prng;
    unsigned seen[SESSION_FULL + 1];
    unsigned expired_count, reopened_count, given_up_count, roomless_count;
    struct moment moments[MOMENTS];
};

static void take_moment(struct play *play, struct moment *moment)
{
    moment->pin = sessions_pin(play->table.sessions);
    buf_init(&moment->bytes, 16 * MIB);
    sessions_encode_all(sessions_view(play->table.sessions), &moment->bytes);
}

/* Nothing that came after it can be seen in it. */
static void drop_moment(struct play *play, struct moment *moment)
{
    struct buf again;
    buf_init(&again, 16 * MIB);
    sessions_encode_all(tree_pin_view(moment->pin), &again);
    assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&moment->bytes)));
    sessions_unpin(play->table.sessions, moment->pin);
    moment->pin = NULL;
    buf_release(&again);
    buf_release(&moment->bytes);
}

static void play_moment(struct play *play, struct moment *moment)
{
    if (moment->pin == NULL)
        take_moment(play, moment);
    else
        drop_moment(play, moment);
}

static void play_unpin(struct play *play)
{
    for (size_t i = 0; i < MOMENTS; i++)
        if (play->moments[i].pin != NULL)
            drop_moment(play, &play->moments[i]);
}

static void start(struct play *play, uint64_t seed)
{
    *play = (struct play){.table = {.at = {1, 0}, .stamp_us = 1}};
    prng_init(&play->prng, seed);
    /* Tight for some seeds, so that results are refused; sessions are by their number. */
    play->model.bytes_max = seed % 2 == 0 ? 40000 : 2000000;
    play->table.sessions = sessions_new_limited(SESSIONS_MAX, play->model.bytes_max);
    for (size_t i = 0; i < CLIENTS; i++) {
        struct model_client *client = &play->model.clients[i];
        client->writes = mem_alloc_array(WRITES_MAX, sizeof *client->writes);
        client->is_allotted = i >= OWNS + KEYS;
        client->identity.kind = i >= OWNS && i < OWNS + KEYS ? CLIENT_KEY : CLIENT_ID;
        (void)snprintf(client->id, sizeof client->id, "c%zu", i);
        if (client->is_allotted)
            (void)session_format_id(1000000 + i, seed, client->id); /* not opened yet */
        client->identity.client = bytes_of_text(client->id);
    }
}

static void finish(struct play *play)
{
    play_unpin(play);
    table_free(&play->table);
    for (size_t i = 0; i < CLIENTS; i++)
        mem_free(play->model.clients[i].writes);
}

/* Mostly near the highest, before and behind it; now and then at the edge of the window, or so far
 * ahead that it moves by all of itself. */
static struct client_identity random_identity(struct play *play, const struct model_client *client)
{
    struct client_identity identity = client->identity;
    struct prng *prng = &play->prng;
    identity.sequence = 1;
    if (identity.kind == CLIENT_KEY)
        return identity;
    uint64_t ahead = prng_below(prng, 6);
    uint64_t back = prng_below(prng, 12);
    if (prng_below(prng, 100) == 0)
        ahead = LIMIT_SESSION_WINDOW - 3 + prng_below(prng, 6);
    if (prng_below(prng, 15) == 0)
        back = ahead + LIMIT_SESSION_WINDOW - 2 + prng_below(prng, 6);
    identity.sequence = client->highest + 1 + ahead;
    identity.sequence -= MIN(identity.sequence - 1, back);
    bool acknowledges = client != &play->model.clients[0] && prng_below(prng, 4) == 0;
    uint64_t behind = acknowledges ? prng_below(prng, 40) : UINT64_MAX;
    identity.acked = identity.sequence - 1 - MIN(identity.sequence - 1, behind);
    return identity;
}

/* The result that the one write of this sequence has. */
static struct session_result model_result(uint64_t sequence)
{
    if (sequence % 4 != 3)
        return result_of_write(sequence);
    struct session_result result = txn_result_of_write(
        sequence, sequence % 3 != 0 ? TXN_VALUE_BYTES_MAX - sequence % 7 : sequence % 500);
    if (sequence % 5 == 0)
        result = (struct session_result){.op = COMMAND_TXN, .status = ST_TXN_TOO_LARGE};
    return result;
}

static void play_record(struct play *play, struct model_client *client,
                        const struct client_identity *identity, uint64_t fingerprint)
{
    struct session_result result = model_result(identity->sequence);
    uint64_t held_max = SESSION_RESULT_BYTES + SESSION_HELD_BYTES + LIMIT_REMEMBERED_RESULT_BYTES;
    bool has_room = model_stats(&play->model).bytes + held_max <= play->model.bytes_max;
    assert_int_equal(sessions_may_hold_results(play->table.sessions), has_room);
    bool may_pass = prng_below(&play->prng, 10) == 0;
    if (result.op == COMMAND_TXN && !has_room) {
        play->roomless_count++;
        may_pass = true;
    }
    if (may_pass)
        result = (struct session_result){.op = result.op, .status = ST_STATE_FULL};
    sessions_record(play->table.sessions, identity, fingerprint, &result);
    if (!may_pass)
        play->given_up_count +=
            model_remember(client, (struct model_write){.sequence = identity->sequence,
                                                        .fingerprint = fingerprint,
                                                        .held_bytes = result.results.count});
}

static void play_write(struct play *play, struct model_client *client)
{
    struct client_identity identity = random_identity(play, client);
    uint64_t fingerprint = identity.sequence * 7 + (prng_below(&play->prng, 8) == 0);
    struct session_result result, judged = {0}, want;
    enum session_verdict expected =
        model_judge(&play->model, client, identity.sequence, identity.acked, fingerprint);
    assert_int_equal(sessions_judge(play->table.sessions, &identity, fingerprint, &judged),
                     expected);

    play->table.at.index++;
    enum session_verdict verdict = sessions_begin(play->table.sessions, &identity, fingerprint,
                                                  play->table.at, play->table.stamp_us, &result);

    assert_int_equal(verdict, expected);
    play->seen[verdict]++;
    if (client->is_present || verdict == SESSION_FRESH)
        model_use(client, &play->table, identity.acked);
    if (verdict == SESSION_DONE) {
        want = model_result(identity.sequence);
        assert_result_is(&result, &want);
        assert_result_is(&judged, &want);
    }
    if (verdict == SESSION_FRESH)
        play_record(play, client, &identity, fingerprint);
}

static void play_seal(struct play *play, struct model_client *client)
{
    struct client_identity identity = random_identity(play, client);
    struct session_result result, want;
    enum session_verdict expected =
        model_judge(&play->model, client, identity.sequence, identity.acked, 0);
    bool was_present = client->is_present;
    bool is_new = expected == SESSION_FRESH;
    if (expected == SESSION_REUSED) /* whatever its body was */
        expected = SESSION_DONE;
    if (is_new)
        expected = SESSION_SEALED;

    play->table.at.index++;
    assert_int_equal(sessions_seal(play->table.sessions, &identity, play->table.at,
                                   play->table.stamp_us, &result),
                     expected);

    if (was_present || is_new)
        model_use(client, &play->table, identity.acked);
    want = model_result(identity.sequence);
    if (expected == SESSION_DONE)
        assert_result_is(&result, &want);
    if (is_new)
        play->given_up_count += model_remember(
            client, (struct model_write){.sequence = identity.sequence, .is_sealed = true});
}

/* Another allotted session in the place of one that is gone, or none if the table is full. */
static void play_open(struct play *play, struct model_client *client)
{
    if (!client->is_allotted || client->is_present)
        return;
    play->table.at.index++;
    bool has_room = true;
    (void)session_format_id(play->table.at.index, 99, client->id);
    client->identity.client = bytes_of_text(client->id);
    has_room = model_has_room(&play->model, client, 1, 0);
    assert_int_equal(sessions_open(play->table.sessions, 99, play->table.at, play->table.stamp_us),
                     has_room ? ST_OK : ST_SESSIONS_FULL);
    if (has_room) {
        model_forget(client);
        model_use(client, &play->table, 0);
        play->reopened_count++;
    }
}

/* The table is written and read back; all further play is with what was read. */
static void play_reload(struct play *play)
{
    struct sessions *again = sessions_new_limited(SESSIONS_MAX, play->model.bytes_max);
    struct buf bytes, same;
    buf_init(&bytes, 16 * MIB);
    buf_init(&same, 16 * MIB);
    play_unpin(play);
    sessions_encode_all(sessions_view(play->table.sessions), &bytes);
    assert_int_equal(bytes.count, 8 + sessions_encoded_bytes(play->table.sessions));

    assert_int_equal(sessions_load_all(again, buf_bytes(&bytes)), ST_OK);

    sessions_check(again);
    assert_true(sessions_hash(again) == sessions_hash(play->table.sessions));
    sessions_encode_all(sessions_view(again), &same);
    assert_true(bytes_equal(buf_bytes(&bytes), buf_bytes(&same)));
    buf_release(&bytes);
    buf_release(&same);
    sessions_free(play->table.sessions);
    play->table.sessions = again;
}

static void play_step(struct play *play)
{
    size_t number = prng_below(&play->prng, 2 * CLIENTS); /* the first is the busiest */
    struct model_client *client = &play->model.clients[number < CLIENTS ? number : 0];
    uint64_t dice = prng_below(&play->prng, 1000);
    play->table.stamp_us += prng_below(&play->prng, 3);
    if (dice < 880) {
        play_write(play, client);
    } else if (dice < 940) {
        play_seal(play, client);
    } else if (dice < 985) {
        play_open(play, client);
    } else if (dice < 990 && client->is_allotted) {
        assert_int_equal(sessions_close(play->table.sessions, client->identity.client), ST_OK);
        model_forget(client);
    } else if (dice < 998) {
        uint64_t cutoff = play->table.stamp_us - MIN(play->table.stamp_us, (uint64_t)30);
        size_t expected = model_expire(&play->model, cutoff);
        assert_int_equal(sessions_expire(play->table.sessions, cutoff), expected);
        play->expired_count += (unsigned)expected;
    } else {
        play_reload(play);
    }
}

static void assert_stats_are(const struct table *table, const struct model *model)
{
    struct sessions_stats got = stats_of(table);
    struct sessions_stats want = model_stats(model);
    assert_int_equal(got.sessions_count, want.sessions_count);
    assert_int_equal(got.results_count, want.results_count);
    assert_int_equal(got.bytes, want.bytes);
    assert_int_equal(got.oldest_use_us, want.oldest_use_us);
}

static void a_random_history_is_judged_as_the_model_judges_it(void **state)
{
    (void)state;
    unsigned seen[SESSION_FULL + 1] = {0};
    unsigned expired_count = 0, reopened_count = 0, given_up_count = 0, roomless_count = 0;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct play play;
        print_message("seed %" PRIu64 "\n", seed);
        start(&play, seed);
        for (int i = 0; i < 5000; i++) {
            play_step(&play);
            if (i % 31 == 0) /* short ones and long ones, one within the other */
                play_moment(&play, &play.moments[i / 31 * 7 / 4 % MOMENTS]);
            if (i % 50 == 0) {
                assert_stats_are(&play.table, &play.model);
                sessions_check(play.table.sessions);
            }
        }
        for (size_t i = 0; i < ARRAY_COUNT(seen); i++)
            seen[i] += play.seen[i];
        expired_count += play.expired_count;
        reopened_count += play.reopened_count;
        given_up_count += play.given_up_count;
        roomless_count += play.roomless_count;
        finish(&play);
    }
    for (size_t i = SESSION_FRESH; i <= SESSION_FULL; i++) /* else the play is too tame */
        assert_in_range(seen[i], 20, 100000);
    assert_in_range(expired_count, 20, 100000);
    assert_in_range(reopened_count, 20, 100000);
    assert_in_range(given_up_count, 20, 100000);
    assert_in_range(roomless_count, 20, 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_random_history_is_judged_as_the_model_judges_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
