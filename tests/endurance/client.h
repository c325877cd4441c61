/* Clients: each numbers its writes, has a window of them under way, and sends again what got no
 * answer.
 *
 *       settled        answered          next
 *   ─────┴── repeats ────┴──── window ────┴──▶   sequences of one client
 *
 * A write is answered when its first answer has arrived, settled when no copy of it is under way
 * and none will be sent. What is settled is acknowledged (X-MiniKV-Acked), and not one more: the
 * write right behind it is often one that is yet to be repeated. Some clients acknowledge nothing:
 * for them the window moves.
 *
 * Of --retry-percent of the writes more than one copy is sent on purpose, in one of three ways. */
#ifndef MINIKV_TESTS_ENDURANCE_CLIENT_H
#define MINIKV_TESTS_ENDURANCE_CLIENT_H

#include "endurance/ledger.h"
#include "endurance/link.h"

struct clients;

struct clients_counts {
    uint64_t issued, settled;      /* increments */
    uint64_t deliveries;           /* copies sent */
    uint64_t lost, twins, repeats; /* increments of each forced kind */
    uint64_t twin_copies;          /* of all twins, first ones included */
    uint64_t compared, replayed;   /* answers held against an earlier one; flagged ones */
    uint64_t broken;               /* copies whose connection ended without an answer */
    uint64_t refused_503, refused_507, unknown_502, unknown_504; /* and sent again */
    uint64_t wait_us_max; /* from the first copy to the first answer */
};

struct clients *clients_new(struct loop *loop, const struct options *options, struct prng *prng,
                            struct ledger *ledger);
void clients_free(struct clients *clients);
/* What the links are to call, and where copies are sent; before anything else. */
void clients_events(struct clients *clients, struct links_events *out_events);
void clients_connect(struct clients *clients, struct links *links);
/* Sends what is due and what there is room for. Once per turn. */
void clients_turn(struct clients *clients);
bool clients_are_done(const struct clients *clients);
const struct clients_counts *clients_counts(const struct clients *clients);
/* What is not settled, a few of it, on standard error. */
void clients_print_open(const struct clients *clients);

#endif
