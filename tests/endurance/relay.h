/* Relay: a TCP proxy that delivers requests and loses the replies.
 *
 * One listener before each node. Each connection through it passes a few replies, or none, then
 * maybe a part of one, then takes up to RELAY_LOST_MAX replies for itself and resets both ends:
 * those requests have been carried out and their client knows nothing. The relay does: whoever made
 * the connection may ask afterwards what was lost, and hold it against what the next node answers.
 *
 *   client ── request ──▶ relay ── request ──▶ node
 *          ◀─── RST ─────       ◀── answer ───        kept, for relay_claim
 *
 * Ownership    relays own sockets and memory; answers are copied out */
#ifndef MINIKV_TESTS_ENDURANCE_RELAY_H
#define MINIKV_TESTS_ENDURANCE_RELAY_H

#include "base/prng.h"
#include "endurance/answer.h"
#include "endurance/loop.h"
#include "endurance/options.h"

enum { RELAY_LOST_MAX = 16 };

struct relays;

struct relay_loss {
    uint32_t passed_count; /* replies that went through before */
    uint32_t lost_count;
    struct answer lost[RELAY_LOST_MAX]; /* in the order of the requests */
};

struct relays *relays_new(struct loop *loop, const struct options *options, struct prng *prng);
void relays_free(struct relays *relays);
/* Where to connect to, to reach the node `endpoint`. */
const struct sockaddr_in *relays_address(const struct relays *relays, uint32_t endpoint);
/* The connection from `local_port` to that node has ended, or shall: what it lost. Once for each.
 */
void relays_claim(struct relays *relays, uint32_t endpoint, uint16_t local_port,
                  struct relay_loss *out_loss);
/* Resets connections that have lost something and get no more. Once per turn. */
void relays_tick(struct relays *relays);
uint64_t relays_resets_count(const struct relays *relays);

#endif
