/* Hold: a place among those who want the same name, first come, first served: etcd's recipe.
 *
 * Who wants NAME makes a lease and, under it, the key NAME/<lease>. The revision that created the
 * key is its owner's place, and its fencing token: it grows with every owner. The one with the
 * lowest holds the name; the others each wait for the one before them to go, by a watch, so that
 * one that leaves wakes only one.
 *
 *      hold_enter, hold_wait      until it is held
 *      hold_keep …                as long as keeper_goes_on(&hold->keeper)
 *      hold_leave                 in every case
 *
 * Nobody can be sure to hold a lock *now*: this process may be stopped between looking and acting.
 * What is protected must refuse a token lower than one it has seen, or compare
 * (docs/operations.md).
 *
 * Calling      see keeper.h */
#ifndef MINIKV_CLI_HOLD_H
#define MINIKV_CLI_HOLD_H

#include "cli/keeper.h"

enum { HOLD_TTL_MS = 10 * 1000 };

struct hold {
    struct cli *cli;
    struct keeper keeper;
    struct buf prefix, key; /* owned: "NAME/", "NAME/5e1f…" */
    uint64_t fence;         /* 0: it has no place */
    bool is_told;           /* that it is lost */
    bool is_key_gone;       /* but perhaps not the lease */

    /* of hold_keep */
    uint64_t asked;         /* the request under way; 0: none */
    uint64_t looked;        /* the key was there at this revision; 0: it is to be looked at */
    uint64_t look_again_ms; /* not before */
};

/* That a name is one: not empty, and with room for a place behind it in a key. Else says so. */
bool hold_check_name(const struct cli *cli, const char *name);
/* Takes a place, with `value` in its key. EXIT_CODE_OK; or another one, with a word on standard
 * error, and nothing is left to be released. */
enum exit_code hold_enter(struct hold *hold, struct cli *cli, const char *name, const char *value);
/* Until it is held: EXIT_CODE_OK. EXIT_CODE_LOST: the place is no more; also, with nothing said,
 * when a signal has come: hold->keeper.stop. */
enum exit_code hold_wait(struct hold *hold);
/* While it is held: as keeper_wait, and the key is looked after. With the key gone, as with the
 * lease, keeper.is_lost. */
void hold_keep(struct hold *hold);
/* Gives the place back, and looks at the answer. EXIT_CODE_LOST: it had been lost before, so that
 * somebody else may have held the name meanwhile. With another one it is given back when the lease
 * expires. */
enum exit_code hold_leave(struct hold *hold);

/* What a page of places says: the one that is before `fence` and nearest to it. */
struct hold_before {
    uint64_t fence; /* 0: there is none */
    struct buf key; /* owned */
    bool is_there;  /* the own place */
};
void hold_look(struct hold_before *before, const struct minikv_result *page, uint64_t fence,
               struct bytes own);

#endif
