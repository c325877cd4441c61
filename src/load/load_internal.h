/* What load.c (when to send, and what came of it) and load_connection.c (sockets) share. */
#ifndef MINIKV_LOAD_LOAD_INTERNAL_H
#define MINIKV_LOAD_LOAD_INTERNAL_H

#include "base/prng.h"
#include "load/load.h"
#include "load/load_reply.h"

enum load_state { LOAD_DOWN, LOAD_CONNECTING, LOAD_UP };

/* A request under way, in the ring of its connection. */
struct load_slot {
    uint64_t due;     /* ns: from when its latency counts */
    uint64_t sent_at; /* ns */
    uint8_t kind;
    uint8_t filled_for; /* 1 + the kind whose template its bytes are a copy of; 0: none */
};

struct load_connection {
    uint32_t number;
    int fd; /* -1: none */
    enum load_state state;
    size_t target, last_target; /* where it is to be; where it was up last */
    uint64_t retry_at;          /* ns: down: then it is dialled; connecting: then it is given up */
    uint64_t sequence;          /* of the last request */
    bool has_answered;          /* since it is up */
    bool waits_for_room;        /* in the socket */
    bool is_listed;             /* among those that have room for a request */
    struct load_slot *slots;
    uint8_t *requests;     /* a request's bytes for each slot */
    uint32_t first, count; /* of the ring: those under way */
    uint32_t sent_count;   /* of these, handed to the kernel whole */
    size_t sent_bytes;     /* of the next */
    uint8_t *reply;
    size_t reply_bytes, reply_capacity;
};

struct load {
    const struct load_plan *plan;
    struct load_result *result;
    struct load_connection *connections;
    size_t request_bytes_max; /* of a slot */
    int epoll;
    struct prng prng;
    uint64_t begin, measure_from, end; /* ns */
    uint64_t due_count;                /* with a rate: requests that have become due and left */
    uint64_t issued_count;             /* requests put into a ring */
    uint64_t open_count;               /* of these, not answered and not given up */
    uint64_t next_tick, next_look;     /* ns */
    struct load_connection **idle;     /* with a rate: a ring of those that have room */
    size_t idle_first, idle_count;
    bool is_stopped;
    bool has_failed; /* with `error` */
    struct errtext *error;
};

uint64_t load_now_ns(void);

/* ---- load_connection.c ---- */

void connection_open(struct load *load, struct load_connection *connection);
void connection_release(struct load_connection *connection);
/* Waits until it is up, at the first target in turn that takes it; false with load->error. */
MUST_CHECK bool connection_begin(struct load *load, struct load_connection *connection);
/* Does what is due without an event: dials again, or gives up waiting. */
void connection_look(struct load *load, struct load_connection *connection, uint64_t now);
/* Closes it and gives up what is under way on it, for the reason `word`. */
void connection_lose(struct load *load, struct load_connection *connection, const char *word);
/* Puts a request into the ring, which has room. */
void connection_put(struct load *load, struct load_connection *connection, uint64_t due,
                    uint64_t now);
/* Sends what is in the ring, as far as the socket takes it. */
void connection_send(struct load *load, struct load_connection *connection);
void connection_on_event(struct load *load, struct load_connection *connection, uint32_t events);

/* ---- load.c ---- */

/* Answered: to be counted. */
void load_on_reply(struct load *load, struct load_connection *connection,
                   const struct load_slot *slot, struct bytes bytes, const struct load_reply *reply,
                   uint64_t now);
/* Given up. `was_sent`: a node may have seen all of it. */
void load_on_failure(struct load *load, const struct load_slot *slot, bool was_sent,
                     const char *word);
/* It is up and has room: requests that can be sent now are. */
void load_on_room(struct load *load, struct load_connection *connection, uint64_t now);

#endif
