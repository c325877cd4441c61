/* Places: the keys of those who want the same name, "NAME/" and sixteen digits each.
 *
 * They are read page by page, all of one revision, and behind that revision a change of them is
 * waited for. Who reads says how a request is carried out, as something else may go on meanwhile.
 *
 * Ownership    borrows all it is given */
#ifndef MINIKV_CLI_PLACES_H
#define MINIKV_CLI_PLACES_H

#include "cli/cli.h"

/* The bytes of a key behind "NAME/". */
enum { PLACES_DIGITS = 16 };

struct places {
    struct bytes prefix; /* "NAME/" */
    bool keys_only;
    /* As minikv_perform. */
    enum minikv_code (*perform)(void *ctx, const struct minikv_request *request,
                                struct minikv_result *out_result);
    void (*take)(void *ctx, const struct minikv_result *page);
    void *ctx;
};

/* Gives every page to `take`. MINIKV_OK; or what `perform` says, and part of them has been taken.
 */
enum minikv_code places_read(const struct places *places, uint64_t *out_revision);

/* What a long poll is for: a key, or all that begin alike. */
enum places_poll { PLACES_POLL_KEY, PLACES_POLL_PREFIX };

/* A long poll, of some seconds, for a change behind `revision`. `target` is filled, and borrowed by
 * what is returned. */
enum { PLACES_TARGET_BYTES = 1024 * 1024 };
struct minikv_request places_poll(enum places_poll what, struct bytes bytes, uint64_t revision,
                                  struct buf *target);
/* Carries it out. MINIKV_OK: there may have been a change. */
enum minikv_code places_await(const struct places *places, enum places_poll what,
                              struct bytes bytes, uint64_t revision);
/* It failed since what was asked for is no longer kept: then all is to be looked at anew. */
bool places_is_compacted(const struct minikv_result *result);

#endif
