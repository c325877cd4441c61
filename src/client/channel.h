/* Channel: one HTTP/1.1 connection to one node, with many requests under way on it.
 *
 *      assigned ─▶ out ─▶ (the driver sends) ─▶ slots ─▶ reply
 *
 * Replies come in the order of the requests. A slot whose call has gone on without it stays, and
 * its reply is dropped. What has not left with its last byte when the connection breaks was
 * certainly not carried out.
 *
 * No I/O here: the driver is told by `state` and `serial` which connection there should be.
 *
 * Limits       CHANNEL_SLOTS requests on the wire, below the server's LIMIT_PIPELINE;
 *              CHANNEL_OUT_BYTES not yet sent, and one more request
 * Calling      the engine only */
#ifndef MINIKV_CLIENT_CHANNEL_H
#define MINIKV_CLIENT_CHANNEL_H

#include "client/call.h"
#include "client/reply_parser.h"

enum {
    CHANNEL_SLOTS = 64,
    CHANNEL_OUT_BYTES = 1 * MIB,
    CHANNEL_IDLE_US = 30 * 1000 * 1000 /* then closed; the server does so after 75 s */
};
_Static_assert((int)CHANNEL_SLOTS < (int)LIMIT_PIPELINE, "the server goes on reading");

enum channel_state { CHANNEL_CLOSED, CHANNEL_DIALLING, CHANNEL_OPEN };

struct channel_slot {
    struct call *call; /* NULL: given up */
    uint64_t end;      /* position in the stream behind its last byte */
    bool is_head_only;
};

struct channel {
    struct address address; /* unset: a spare one that is free */
    enum channel_state state;
    unsigned serial; /* of the connection: another number for each dial */
    time_us dial_began;
    struct list assigned; /* calls, not yet in `out` */

    struct channel_slot slots[CHANNEL_SLOTS]; /* a ring */
    size_t slots_first, slots_count;
    struct blob out; /* encoded; the first out_sent bytes have left */
    size_t out_sent;
    uint64_t position; /* in the stream, of the first byte of `out` */

    struct http_reply reply;
    struct reply_parser parser;
    bool is_reading; /* the parser is set up for the reply to the first slot */

    /* how well it does */
    time_us bad_until; /* not to be asked before, while there are others */
    unsigned failures_count;
    time_us used_at;
};

void channel_init(struct channel *channel);
void channel_release(struct channel *channel);
bool channel_is_idle(const struct channel *channel); /* nothing assigned, nothing under way */

bool channel_has_calls(const struct channel *channel); /* that wait for something of it */

void channel_dial(struct channel *channel, time_us now);
/* Nothing is kept of the connection; slots must have been emptied. */
void channel_close(struct channel *channel);

/* Another request may go into `out`. */
bool channel_has_room(const struct channel *channel);
/* Behind call_encode: the call has the last slot. */
void channel_add(struct channel *channel, struct call *call);
struct bytes channel_output(const struct channel *channel);
void channel_sent(struct channel *channel, size_t count);
/* Its last byte has left. */
bool channel_has_sent(const struct channel *channel, const struct channel_slot *slot);
/* Takes the first slot out. Requires one. */
struct channel_slot channel_shift(struct channel *channel);
/* The call goes on without its slot. Its bytes leave all the same. */
void channel_give_up(struct channel *channel, const struct call *call);

#endif
