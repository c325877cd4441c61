/* Complaint: a line for the operator about what came in over a link. The first of a cause is logged
 * at once; while more follow, lines grow rarer, from one per second to one per minute, and say how
 * many were left out. */
#ifndef MINIKV_PEER_COMPLAINT_H
#define MINIKV_PEER_COMPLAINT_H

#include "env/env.h"

enum complaint {
    COMPLAINT_MALFORMED,  /* no frame, or a body of the wrong shape */
    COMPLAINT_CUT,        /* ended within a frame */
    COMPLAINT_UNEXPECTED, /* a frame that has no place there */
    COMPLAINT_SENDER,     /* a message from or to somebody else */
    COMPLAINT_SILENT,     /* connected, but never said hello */
    COMPLAINT_CROWD,      /* too many links */
    COMPLAINT_REFUSED,    /* said hello and was refused */
    COMPLAINT_SLOW        /* does not read what is sent back */
};
enum { COMPLAINTS_COUNT = COMPLAINT_SLOW + 1 };

struct complaint_history {
    time_us logged_at, seen_at; /* 0: never */
    time_us interval;           /* until the next line may follow */
    uint64_t dropped_count;     /* since the last line */
};
struct complaints {
    struct complaint_history of[COMPLAINTS_COUNT];
};

/* "link with ADDRESS closed: <what>". */
void complain(struct complaints *complaints, time_us now, enum complaint cause,
              const struct address *peer, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

#endif
