/* Crash: the last words of a process that dies of a mistake of its own: a broken assertion, or a
 * signal like SIGSEGV. On standard error, in one piece:
 *
 *      ------------[ cut here ]------------
 *      MiniKV 0.1.0 has crashed. This is a bug in MiniKV; please report it.
 *      INVARIANT failed: a < b (src/raft/log.c:12)
 *      node 2, follower in term 5, leader 1
 *      log: last 12, durable 12, committed 12, applied 11
 *      trace, with seconds before the newest line:
 *       -1.250013  in term 5, leader 1, log up to 9, committed up to 9
 *       -0.000000  append from 1 in term 5: 1 entries behind 11
 *      stack:
 *      minikvd(+0x1a2b3)[0x55d0c0a1a2b3]
 *      ------------[ end of report ]------------
 *
 * Then the process ends as it would have without it, by the signal. Only texts of the program and
 * numbers of its own: no key, no value, nothing that a client has sent. Everything is
 * async-signal-safe but the stack, which comes last, so that a stack beyond repair costs no more
 * than itself. It ends within seconds also if nobody reads what it says. Where a thread other than
 * the one that called crash_install has run out of stack there is no report. */
#ifndef MINIKV_BASE_CRASH_H
#define MINIKV_BASE_CRASH_H

#include "base/trace.h"

/* For programs, once, at the start. From then on failed checks and signals are reported with what
 * `trace` says then. A build with AddressSanitizer leaves signals to that, but SIGABRT. */
void crash_install(const char *version, const struct trace *trace);

#endif
