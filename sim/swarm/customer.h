/* Customers: machines that are no members and use libminikv, as programs of users do. They run the
 * library's engine on the world's network; what it tells them is held against the log.
 *
 *      customer.c          a customer's life; what may befall it, and when it acts
 *      customer_link.c     the engine on streams of the world: what src/client/driver.c does on
 *                          sockets
 *      customer_work.c     what they ask of the library
 *      customer_answers.c  what they are told, and what must hold of it at once
 *      customer_strike.c   faults between customers and nodes, and of customers
 *      customer_judge.c    at the end: what they were told against the committed log
 *
 * Ownership    the swarm owns them
 * Calling      one thread */
#ifndef MINIKV_SIM_SWARM_CUSTOMER_H
#define MINIKV_SIM_SWARM_CUSTOMER_H

#include "client/engine.h"
#include "sim/swarm/model.h"
#include "sim/swarm/swarm.h"

enum {
    CUSTOMER_MACHINE_FIRST = WORLD_MACHINES_MAX - PLAN_CUSTOMERS_MAX,
    CUSTOMER_NOTE_FIRST = 1000000 /* numbers of calls in the trace begin here */
};
_Static_assert((int)CUSTOMER_MACHINE_FIRST > (int)PLAN_NODES_MAX, "no machine is both");

enum errand {
    ERRAND_OWN,     /* increments a key of its own */
    ERRAND_SHARED,  /* increments the shared counter */
    ERRAND_COUNT,   /* reads the shared counter */
    ERRAND_READ,    /* reads a register */
    ERRAND_CHANGE,  /* changes a register */
    ERRAND_OUTCOME, /* asks about, or settles, a write whose fate is open */
    ERRAND_LAST     /* a write after everything healed: must be taken */
};

/* One call of the library. */
struct customer_call {
    struct customer *customer;
    enum errand errand;
    enum fate fate;
    unsigned number;
    uint64_t id;                  /* the engine's */
    time_us deadline;             /* on the customer's clock */
    unsigned disturbances_before; /* of the customer */
    bool is_stale;                /* COUNT */
    unsigned key;                 /* READ, CHANGE */
    size_t history;               /* READ, CHANGE: in swarm->registers[key] */
    uint64_t acked_before;        /* SHARED, COUNT: acknowledged when it was asked */
    struct customer_call *about;  /* OUTCOME */
    bool seals;                   /* OUTCOME */
    bool was_applied;             /* OUTCOME: that was known when it was asked */
    enum minikv_code code;        /* once it is over, like the rest */
    struct minikv_identity asked; /* OUTCOME: of whom; else the write's own */
    int64_t value;                /* of the sum */
    uint64_t revision;            /* of the key */
};

struct customer_link {
    struct customer *customer;
    size_t at;                 /* the engine's channel */
    struct env_stream *stream; /* owned; NULL: none */
    unsigned serial;           /* of the engine's link that it is */
};

struct customer {
    struct swarm *swarm;
    unsigned number, machine;
    struct prng prng;
    struct engine_options options; /* the same in every life */
    unsigned timeout_ms;
    size_t send_bytes;  /* what its side of a connection holds before it is on the way */
    uint32_t endpoints; /* bits: the nodes it knows of */

    struct env *env;       /* NULL: off */
    struct engine *engine; /* owned */
    struct customer_link links[ENGINE_CHANNELS];
    struct env_timer act_timer, tick_timer, trouble_timer;
    time_us ticked_at;
    unsigned ticks_count;       /* without any time passing in between */
    bool is_paused, is_leaving; /* leaving: the engine closes its session, another follows it */
    unsigned disturbances;      /* pauses so far: deadlines are not kept then */
    time_us boot_at;            /* TIME_NEVER: it is on */
    unsigned calls_left;
    struct customer_call *last; /* the newest LAST */
};

struct customers {
    struct customer items[PLAN_CUSTOMERS_MAX];
    unsigned count;
    struct customer_call **calls; /* owned */
    size_t calls_count, open_count;
    struct prng faults;
    time_us strike_at;
    struct ending endings[16];
    size_t endings_count;
};

/* ---- customer.c ---- */

/* NULL where the plan has none. */
struct customers *customers_open(struct swarm *swarm);
void customers_free(struct customers *customers); /* before the world; NULL is a no-op */
/* NULL is fine for the next: then there is nothing to do. */
time_us customers_next(const struct customers *customers);
void customers_due(struct customers *customers);
/* Faults end, and everybody is on. */
void customers_heal(struct customers *customers);
/* In the second phase, again and again: everybody asks for a write until one has been taken. */
bool customers_write_last(struct customers *customers);
/* It has been. */
void customers_expect_last(const struct customers *customers);
/* Nobody waits for the library any more. */
bool customers_are_quiet(const struct customers *customers);
/* The process ends, or the machine. */
void customer_stop(struct customer *customer, enum world_stop how);
void customer_pause(struct customer *customer, bool is_paused);
/* Takes calls now. After a client that has left comes another one. */
bool customer_is_ready(struct customer *customer);
/* Who knows none of the nodes that are healed is not owed an answer. */
bool customer_is_owed(const struct customer *customer);

/* ---- customer_link.c ---- */

time_us customer_now(const struct customer *customer);
void customer_link_init(struct customer *customer);
/* After everything that was done with the engine: does what it asks for, hands over what has
 * ended, and comes back in time. */
void customer_run(struct customer *customer);
void customer_links_close(struct customer *customer);

/* ---- customer_work.c ---- */

void customer_act(struct customer *customer);
/* Asks for one more write unless one has been taken, or is under way; true: it has been taken. */
bool customer_write_last(struct customer *customer);
const char *call_format(const struct customer_call *call, char out[96]);

/* ---- customer_answers.c ---- */

void customer_on_done(void *ctx, struct minikv_result *result);
/* It has had its place in the log, if only to find that its condition did not hold. */
bool call_is_carried_out(const struct customer_call *call);
/* The customer is gone, and with it whoever waited. */
void customer_forget_call(struct customer_call *call);

/* ---- customer_strike.c ---- */

void customers_strike_begin(struct customers *customers);
void customers_strike_due(struct customers *customers);
void customer_trouble_init(struct customer *customer);
/* While what it has just asked for is under way, its connections break, if that is planned. */
void customer_trouble_soon(struct customer *customer);
time_us customers_strike_next(const struct customers *customers);
void customers_strike_heal(struct customers *customers);

/* ---- customer_judge.c ---- */

void customers_judge(struct customers *customers, const struct model *model);

#endif
