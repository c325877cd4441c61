/* Scene: whole nodes on a simulated world, moved by a script, and the trace of what they do.
 *
 *      seed N                   of the world, before start (default 1)
 *      ttl MS                   how long clients are remembered, before start (default 24 h)
 *      clock N PERCENT AHEAD    of machine N: its speed, and how many seconds its wall
 *                               clock is ahead
 *      snapshots BYTES          of log, after which one is taken, before start
 *      start COUNT [silent]     boots nodes 1 … COUNT; silent: they announce nothing
 *      run MS                   lets time pass
 *      until leader [N]         runs until a node (node N) leads and has heard so from all it can
 *      put N KEY VALUE [FLAG…]  submits at node N; flags: redirect, hop, timeout=MS,
 *                               as=CLIENT:SEQUENCE, acked=SEQUENCE, once=IDEMPOTENCY-KEY
 *      incr N KEY [FLAG…]       the same for COMMAND_INCR by 1
 *      seal N FLAG…             settles the write that as= or once= names
 *      open N NONCE             allots a client id
 *      close N CLIENT           forgets an allotted one
 *      outcome N FLAG           what node N knows of the write that as= or once= names
 *      sessions N               how many clients and results node N remembers
 *      transfer N ID [FLAG…]    asks at node N that node ID lead
 *      get N KEY                a linearizable read at node N
 *      cut A B / heal A B       one direction, from A to B; bytes stay on the way
 *      partition SHAPE N…       only the links of this shape between these machines, in this order:
 *                               whole, alone, halves, bridge, star, chain, ring
 *      reset A B                ends the links between two nodes; what was on the way is lost
 *      crash N / boot N / pause N / resume N
 *      fill N COUNT BYTES       COUNT puts of values of that size at once, counted, not traced
 *      crowd N COUNT            the same with an increment each of COUNT clients
 *      filled                   what became of them
 *      announce N ID HOST       at node N, for member ID; HOST - removes it
 *      directory N ID           what node N knows of member ID's client address
 *      wipe N                   an empty disk for machine N, which is off
 *      slow N MS                each sync of machine N takes so much longer
 *      fresh N                  boots node N with an empty directory, to join
 *      join N ID                asks at node N that node ID be taken in at its address
 *      remove N ID / promote N ID
 *      members N                who belongs to the cluster, as node N has applied it
 *      snapshot N               whether node N has one, and how many it has installed
 *      stop N                   an orderly stop; traced when it is done
 *      ready                    which nodes say that they are ready
 *      stats N                  the forwarder's figures of node N
 *      compare                  digests of all nodes that run, and of what each encodes */
#ifndef MINIKV_TESTS_SUPPORT_SCENE_H
#define MINIKV_TESTS_SUPPORT_SCENE_H

#include "base/buf.h"

enum { SCENE_TRACE_BYTES_MAX = 1 << 20 };

/* Plays the commands of `text`, and gives it back with what was traced in the places of what was
 * expected: below `----`, up to an empty line. A command that is none fails the test. */
void scene_play(const char *text, struct buf *out);

#endif
