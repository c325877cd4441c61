#include "endurance/client.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "endurance/enroll.h"
#include "endurance/wheel.h"

enum {
    RING_COUNT = 1024, /* sequences of a client that are kept: what the server keeps */
    UNSETTLED_MAX = 768,
    REPEAT_MS_MAX = 20,
    BACK_OFF_MS_MIN = 2,
    BACK_OFF_MS_MAX = 200,
    NO_ROOM_MS = 2,
    REQUEST_BYTES_MAX = 512,
    PRINTED_MAX = 10
};

/* Why a write shall be sent again. */
enum plan {
    PLAN_NOTHING, /* or it has been */
    PLAN_LOSE,    /* the first copy goes through a relay that loses the reply */
    PLAN_TWINS,   /* several copies at once, to different nodes */
    PLAN_REPEAT   /* once more when it has been answered, to another node */
};

struct increment {
    struct list due; /* in the wheel; a list of its own: not */
    uint32_t client;
    uint64_t sequence;
    uint64_t floor; /* the greatest value known when it was first sent */
    uint64_t sent_at_us;
    enum plan plan;
    bool is_known;    /* `answer` holds what it came to, though maybe only a relay was told */
    bool is_answered; /* its client was told */
    uint32_t under_way_count;
    uint32_t carried_out_count; /* answers without X-MiniKV-Replayed */
    uint32_t failures_count;    /* in a row */
    uint32_t last_endpoint;
    struct answer answer;
};

struct client {
    char name[IDENTITY_BYTES_MAX + 1];
    enum identity_kind kind;
    bool acknowledges;
    uint64_t next, answered, settled; /* all up to `answered` are, all up to `settled` are */
    struct increment ring[RING_COUNT];
};

struct clients {
    struct loop *loop;
    const struct options *options;
    struct prng *prng;
    struct ledger *ledger;
    struct links *links;
    struct clients_counts counts;
    struct wheel wheel;
    uint32_t turn; /* which client is asked first, which node is sent to next */
    struct client *clients;
};

static struct increment *find(struct clients *clients, uint32_t client, uint64_t sequence)
{
    struct increment *increment = &clients->clients[client].ring[sequence % RING_COUNT];
    INVARIANT(increment->sequence == sequence);
    INVARIANT(increment->client == client);
    return increment;
}

static const char *name_of(const struct clients *clients, const struct increment *increment)
{
    return clients->clients[increment->client].name;
}

/* ---- sending ---- */

static struct bytes render(const struct clients *clients, const struct increment *increment,
                           char out[REQUEST_BYTES_MAX])
{
    const struct client *client = &clients->clients[increment->client];
    char identity[REQUEST_BYTES_MAX / 2];
    if (client->kind == IDENTITY_KEYS)
        snprintf(identity, sizeof identity, "Idempotency-Key: \"%s-%" PRIu64 "\"\r\n", client->name,
                 increment->sequence);
    else if (client->acknowledges)
        snprintf(identity, sizeof identity,
                 "X-MiniKV-Client-Id: %s\r\nX-MiniKV-Sequence: %" PRIu64
                 "\r\nX-MiniKV-Acked: %" PRIu64 "\r\n",
                 client->name, increment->sequence, client->settled);
    else
        snprintf(identity, sizeof identity,
                 "X-MiniKV-Client-Id: %s\r\nX-MiniKV-Sequence: %" PRIu64 "\r\n", client->name,
                 increment->sequence);
    int count = snprintf(out, REQUEST_BYTES_MAX,
                         "POST /v1/incr/%s HTTP/1.1\r\nHost: minikv\r\n%sContent-Length: 8\r\n\r\n"
                         "{\"by\":1}",
                         clients->options->key, identity);
    INVARIANT(count > 0 && count < REQUEST_BYTES_MAX);
    return bytes_of(out, (size_t)count);
}

static bool send_copy(struct clients *clients, struct increment *increment, uint32_t endpoint,
                      enum link_way way)
{
    char text[REQUEST_BYTES_MAX];
    struct delivery delivery = {.client = increment->client,
                                .sequence = increment->sequence,
                                .is_again = increment->is_known,
                                .is_repeat = increment->is_answered};
    if (!links_send(clients->links, endpoint, way, &delivery, render(clients, increment, text)))
        return false;
    increment->under_way_count++;
    increment->last_endpoint = endpoint;
    clients->counts.deliveries++;
    return true;
}

/* To a node with room, the one it was last sent to only if there is no other. */
static bool send_anywhere(struct clients *clients, struct increment *increment)
{
    uint32_t count = clients->options->endpoints_count;
    uint32_t start = increment->last_endpoint + 1 + clients->turn++ % count;
    for (uint32_t i = 0; i < count; i++)
        if ((start + i) % count != increment->last_endpoint &&
            send_copy(clients, increment, (start + i) % count, LINK_DIRECT))
            return true;
    return increment->last_endpoint < count &&
           send_copy(clients, increment, increment->last_endpoint, LINK_DIRECT);
}

static bool send_to_be_lost(struct clients *clients, struct increment *increment)
{
    uint32_t count = clients->options->endpoints_count;
    uint32_t start = clients->turn++;
    for (uint32_t i = 0; i < count; i++)
        if (links_are_connected(clients->links, (start + i) % count) && /* the node lives */
            send_copy(clients, increment, (start + i) % count, LINK_RELAYED))
            return true;
    return false;
}

/* To two or three nodes at once. */
static bool send_twins(struct clients *clients, struct increment *increment)
{
    uint32_t count = clients->options->endpoints_count;
    uint32_t wanted = 2 + (uint32_t)prng_below(clients->prng, 2);
    uint32_t start = clients->turn++, with_room = 0, sent = 0;
    for (uint32_t i = 0; i < count; i++)
        with_room += links_has_room(clients->links, i, LINK_DIRECT);
    if (with_room < 2)
        return false;
    for (uint32_t i = 0; i < count && sent < wanted; i++)
        sent += send_copy(clients, increment, (start + i) % count, LINK_DIRECT);
    clients->counts.twins++;
    clients->counts.twin_copies += sent;
    increment->plan = PLAN_NOTHING;
    return true;
}

static void send_again_after(struct clients *clients, struct increment *increment, uint64_t ms)
{
    if (list_is_empty(&increment->due))
        wheel_add(&clients->wheel, &increment->due, ms);
}

static void send_again_later(struct clients *clients, struct increment *increment)
{
    uint64_t most = BACK_OFF_MS_MIN << MIN(increment->failures_count, 7u);
    increment->failures_count++;
    send_again_after(clients, increment,
                     1 + prng_below(clients->prng, MIN(most, (uint64_t)BACK_OFF_MS_MAX)));
}

/* ---- new writes ---- */

/* Spread evenly, so that the share is reached whatever the count. */
static enum plan draw_plan(struct clients *clients)
{
    uint64_t percent = clients->options->retry_percent, number = clients->counts.issued;
    if ((number + 1) * percent / 100 == number * percent / 100)
        return PLAN_NOTHING;
    return PLAN_LOSE + (enum plan)prng_below(clients->prng, 3);
}

static void send_first(struct clients *clients, struct increment *increment)
{
    if (increment->plan == PLAN_LOSE && send_to_be_lost(clients, increment))
        return;
    if (increment->plan == PLAN_TWINS && send_twins(clients, increment))
        return;
    if (increment->plan != PLAN_NOTHING)
        increment->plan = PLAN_REPEAT; /* there was no room for the other ways */
    if (!send_anywhere(clients, increment))
        send_again_after(clients, increment, NO_ROOM_MS);
}

static void issue(struct clients *clients, uint32_t number)
{
    struct client *client = &clients->clients[number];
    struct increment *increment = &client->ring[client->next % RING_COUNT];
    *increment = (struct increment){.client = number,
                                    .sequence = client->next++,
                                    .floor = clients->ledger->value_max,
                                    .sent_at_us = clients->loop->now_us,
                                    .plan = draw_plan(clients),
                                    .last_endpoint = UINT32_MAX};
    list_init(&increment->due);
    clients->counts.issued++;
    send_first(clients, increment);
}

static bool may_issue(const struct clients *clients, const struct client *client)
{
    return clients->counts.issued < clients->options->increments_count &&
           client->next - client->answered <= clients->options->window &&
           client->next - client->settled <= UNSETTLED_MAX;
}

/* At two nodes, if two can be reached: a write may have to go to both. */
static bool is_room(const struct clients *clients)
{
    uint32_t connected = 0, with_room = 0;
    for (uint32_t i = 0; i < clients->options->endpoints_count; i++) {
        connected += links_are_connected(clients->links, i);
        with_room += links_has_room(clients->links, i, LINK_DIRECT);
    }
    return with_room > 0 && with_room >= MIN(connected, 2u);
}

/* ---- answers ---- */

static bool is_settled(const struct increment *increment)
{
    return increment->is_answered && increment->under_way_count == 0 &&
           increment->plan == PLAN_NOTHING;
}

static void move_on(struct clients *clients, struct client *client)
{
    while (client->answered + 1 < client->next &&
           client->ring[(client->answered + 1) % RING_COUNT].is_answered)
        client->answered++;
    while (client->settled < client->answered &&
           is_settled(&client->ring[(client->settled + 1) % RING_COUNT])) {
        client->settled++;
        INVARIANT(list_is_empty(&client->ring[client->settled % RING_COUNT].due));
        clients->counts.settled++;
    }
}

/* An answer, whoever was told it: the first is noted, the others are held against it. */
static void compare(struct clients *clients, struct increment *increment, bool is_again,
                    const struct answer *answer)
{
    struct ledger *ledger = clients->ledger;
    const char *name = name_of(clients, increment);
    char text[256], first_text[256];
    if (!increment->is_known) {
        increment->answer = *answer;
        increment->is_known = true;
        ledger_record(ledger, name, increment->sequence, increment->floor, answer);
    } else {
        clients->counts.compared++;
        if (!answer_equal(answer, &increment->answer))
            ledger_violation(ledger, name, increment->sequence, "answered %s, then %s",
                             answer_format(&increment->answer, first_text),
                             answer_format(answer, text));
    }
    clients->counts.replayed += answer->is_replayed;
    if (is_again && answer->status == 200 && !answer->is_replayed)
        ledger_violation(ledger, name, increment->sequence, "sent again, and not a replay: %s",
                         answer_format(answer, text));
    increment->carried_out_count += answer->status == 200 && !answer->is_replayed;
    if (increment->carried_out_count == 2)
        ledger_violation(ledger, name, increment->sequence, "carried out twice: %s",
                         answer_format(answer, text));
}

/* Whether this is no answer to the write, but to one delivery of it. */
static bool count_if_refused(struct clients *clients, uint16_t status)
{
    struct clients_counts *counts = &clients->counts;
    counts->refused_503 += status == 503;
    counts->refused_507 += status == 507;
    counts->unknown_502 += status == 502;
    counts->unknown_504 += status == 504;
    return status == 503 || status == 507 || status == 502 || status == 504;
}

static void on_first_answer(struct clients *clients, struct increment *increment)
{
    increment->is_answered = true;
    increment->failures_count = 0;
    list_remove(&increment->due);
    clients->counts.wait_us_max =
        MAX(clients->counts.wait_us_max, clients->loop->now_us - increment->sent_at_us);
    if (increment->plan == PLAN_LOSE)
        increment->plan = PLAN_REPEAT; /* the relay let it pass, or was not asked */
    if (increment->plan == PLAN_REPEAT)
        send_again_after(clients, increment, 1 + prng_below(clients->prng, REPEAT_MS_MAX));
}

static void on_final_answer(struct clients *clients, struct increment *increment,
                            const struct delivery *delivery, const struct answer *answer)
{
    compare(clients, increment, delivery->is_again, answer);
    if (!increment->is_answered)
        on_first_answer(clients, increment);
    if (delivery->is_repeat && increment->plan == PLAN_REPEAT) {
        increment->plan = PLAN_NOTHING;
        clients->counts.repeats++;
    }
}

/* This delivery came to nothing: another copy is needed, unless one is still under way. */
static void on_failure(struct clients *clients, struct increment *increment,
                       const struct delivery *delivery)
{
    if (increment->is_answered ? delivery->is_repeat : increment->under_way_count == 0)
        send_again_later(clients, increment);
}

static void clients_on_answer(void *ctx, const struct delivery *delivery,
                              const struct answer *answer)
{
    struct clients *clients = ctx;
    struct increment *increment = find(clients, delivery->client, delivery->sequence);
    increment->under_way_count--;
    if (count_if_refused(clients, answer->status))
        on_failure(clients, increment, delivery);
    else
        on_final_answer(clients, increment, delivery, answer);
    move_on(clients, &clients->clients[delivery->client]);
}

static void on_reply_lost(struct clients *clients, struct increment *increment,
                          const struct delivery *delivery, const struct answer *lost)
{
    if (count_if_refused(clients, lost->status))
        return;
    compare(clients, increment, delivery->is_again, lost);
    if (increment->plan == PLAN_LOSE) {
        increment->plan = PLAN_NOTHING;
        clients->counts.lost++;
    }
}

static void clients_on_lost(void *ctx, const struct delivery *delivery, const struct answer *lost)
{
    struct clients *clients = ctx;
    struct increment *increment = find(clients, delivery->client, delivery->sequence);
    increment->under_way_count--;
    if (lost != NULL)
        on_reply_lost(clients, increment, delivery, lost);
    else
        clients->counts.broken++;
    on_failure(clients, increment, delivery);
    move_on(clients, &clients->clients[delivery->client]);
}

/* ---- all of them ---- */

struct clients *clients_new(struct loop *loop, const struct options *options, struct prng *prng,
                            struct ledger *ledger)
{
    struct clients *clients = mem_alloc(sizeof *clients);
    clients->loop = loop;
    clients->options = options;
    clients->prng = prng;
    clients->ledger = ledger;
    wheel_init(&clients->wheel, loop->now_us / 1000);
    clients->clients = mem_alloc_array(options->clients_count, sizeof *clients->clients);
    for (uint32_t i = 0; i < options->clients_count; i++) {
        struct client *client = &clients->clients[i];
        client->kind = enroll(options, i, client->name);
        client->acknowledges = i % 8 != 2 && i % 8 != 5; /* of either kind */
        client->next = 1;
    }
    return clients;
}

void clients_free(struct clients *clients)
{
    mem_free(clients->clients);
    mem_free(clients);
}

void clients_events(struct clients *clients, struct links_events *out_events)
{
    *out_events = (struct links_events){
        .on_answer = clients_on_answer, .on_lost = clients_on_lost, .ctx = clients};
}

void clients_connect(struct clients *clients, struct links *links)
{
    clients->links = links;
}

static void send_due(struct clients *clients)
{
    struct list due;
    list_init(&due);
    wheel_turn(&clients->wheel, clients->loop->now_us / 1000, &due);
    while (!list_is_empty(&due)) {
        struct increment *increment = CONTAINER_OF(due.next, struct increment, due);
        list_remove(&increment->due);
        if (increment->plan == PLAN_LOSE && send_to_be_lost(clients, increment))
            continue; /* cut off the first time, by the relay itself or a kill */
        if (!send_anywhere(clients, increment))
            send_again_after(clients, increment, NO_ROOM_MS);
    }
}

void clients_turn(struct clients *clients)
{
    send_due(clients);
    uint32_t count = clients->options->clients_count, idle = 0;
    while (idle < count && is_room(clients)) {
        uint32_t number = clients->turn++ % count;
        if (may_issue(clients, &clients->clients[number])) {
            issue(clients, number);
            idle = 0;
        } else {
            idle++;
        }
    }
}

bool clients_are_done(const struct clients *clients)
{
    return clients->counts.settled == clients->options->increments_count;
}

const struct clients_counts *clients_counts(const struct clients *clients)
{
    return &clients->counts;
}

void clients_print_open(const struct clients *clients)
{
    uint32_t printed = 0;
    for (uint32_t i = 0; i < clients->options->clients_count; i++) {
        const struct client *client = &clients->clients[i];
        if (client->settled + 1 == client->next || printed++ == PRINTED_MAX)
            continue;
        const struct increment *open = &client->ring[(client->settled + 1) % RING_COUNT];
        fprintf(stderr, "open: %s/%" PRIu64 ", %s, %" PRIu32 " copies under way\n", client->name,
                open->sequence, open->is_answered ? "answered" : "not answered",
                open->under_way_count);
    }
}
