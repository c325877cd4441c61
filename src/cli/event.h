/* Event: one change of a key, as a watch tells it. */
#ifndef MINIKV_CLI_EVENT_H
#define MINIKV_CLI_EVENT_H

#include "cli/cli.h"

enum { EVENT_ID_BYTES = 48 };

/* A place in the row of all events: behind the event `at` of a revision, counted from 1, or behind
 * all of it. As text "7.2", or "7". */
struct event_place {
    uint64_t revision; /* 0: none yet */
    uint64_t at;       /* UINT64_MAX: behind all */
};

bool event_read_place(const char *text, struct event_place *out_place);
void event_put_place(const struct event_place *place, char out[EVENT_ID_BYTES]);
bool event_is_behind(const struct event_place *place, const struct event_place *other);

struct event {
    const char *id;   /* borrowed from the line, as `word` */
    const char *word; /* "put" or "delete" */
    uint64_t revision;
    bool has_prev;               /* that there was something before, as asked for */
    struct buf key, value, prev; /* owned */
};

void event_init(struct event *event);
void event_release(struct event *event);
/* From {"id","event","data"}; borrows from `root`. False: it is none. */
bool event_read(struct event *event, const json_t *root);
/* "7  put  key  value" with tabs; with `prev` also what was there before. */
void event_put_line(const struct event *event, bool wants_prev, struct buf *out);
/* Runs the command for it, waits, and says so if that fails; false: it could not be started. */
bool event_execute(const struct cli *cli, struct event *event, const char *const *words);

#endif
