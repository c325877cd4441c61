/* Failpoint: a named place where a test can make this process die, stop, or leave out what it was
 * about to do.
 *
 * Compiled into test builds only (cmake -DMINIKV_FAILPOINTS=ON); elsewhere a FAILPOINT is the
 * constant false. Armed by the environment variable MINIKV_FAILPOINTS, read once, at start:
 *
 *      name=action[@hit][:text][,name=…]
 *
 *      node.appended=crash:boom       dies at the first entry whose bytes contain "boom"
 *      http.replying=drop@2:boom      the second reply to such a request is lost
 *
 * action  crash   as kill -9 would
 *         stop    SIGSTOP: goes on when the test says so
 *         drop    FAILPOINT is true: the place leaves out what it was about to do
 *         abort   as a broken assertion would
 * hit     the how-manieth match acts, from 1, and no other; without it every match does
 * text    only where the bytes at hand contain it; no comma
 *
 * Names are listed in failpoint.c, with what `drop` means there, if it means anything. An unknown
 * name or a malformed setting ends the process at start with a word on standard error and exit
 * code 2. */
#ifndef MINIKV_BASE_FAILPOINT_H
#define MINIKV_BASE_FAILPOINT_H

#include <stdbool.h>

#include "base/bytes.h"

#ifdef MINIKV_FAILPOINTS

#include "base/diag.h"
#include "base/status.h"

/* `bytes` is looked at only when something is armed. For the loop's thread. */
#define FAILPOINT(name, bytes) (failpoint_is_armed && failpoint_hit(name, bytes))

extern bool failpoint_is_armed;
bool failpoint_hit(const char *name, struct bytes bytes);
/* Arms what `setting` says instead of what was armed before; "": nothing. ST_OK; ST_BAD_REQUEST
 * with `error`, and nothing is armed. */
enum status failpoint_arm(const char *setting, struct errtext *error);

#else
#define FAILPOINT(name, bytes) false
#endif

#endif
