/* Assertions: what must be true, always on, in every build.
 *
 * A broken one is a programmer error: the process aborts with file, line and condition, because a
 * replica that has lost its mind must not go on voting. Never for bad input or failed I/O; those
 * are a status (base/status.h).
 *
 * REQUIRE    at the top of a function: what the caller owes
 * ENSURE     before returning: what the function promises
 * INVARIANT  in between: what the algorithm keeps true */
#ifndef MINIKV_BASE_CHECK_H
#define MINIKV_BASE_CHECK_H

__attribute__((noreturn, cold)) void check_failed(const char *kind, const char *condition,
                                                  const char *file, int line);
/* Who says so before the process ends (base/crash.h), in place of one line on standard error. */
typedef void (*check_reporter)(const char *kind, const char *condition, const char *file, int line);
void check_set_reporter(check_reporter reporter);

#define CHECK_(kind, condition, text)                                                              \
    ((condition) ? (void)0 : check_failed(kind, text, __FILE__, __LINE__))
#define REQUIRE(condition)   CHECK_("REQUIRE", (condition), #condition)
#define ENSURE(condition)    CHECK_("ENSURE", (condition), #condition)
#define INVARIANT(condition) CHECK_("INVARIANT", (condition), #condition)
#define IMPLIES(a, b)        (!(a) || (b))
#define UNREACHABLE()        check_failed("UNREACHABLE", "reached", __FILE__, __LINE__)

#define MUST_CHECK __attribute__((warn_unused_result))

/* The struct that holds `member` at `pointer`. */
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MIN(a, b)          ((a) < (b) ? (a) : (b))
#define MAX(a, b)          ((a) > (b) ? (a) : (b))

#endif
