/* Elect: who leads an election, watched from outside. */
#ifndef MINIKV_CLI_ELECT_H
#define MINIKV_CLI_ELECT_H

#include "cli/cli.h"

/* Prints it now and whenever it changes, until that fails. */
enum exit_code elect_observe(struct cli *cli);

/* Who has the oldest place. */
struct elect_leader {
    uint64_t fence, mod_revision; /* 0: nobody leads */
    struct buf key, value;        /* owned */
};
/* Of what is noted and what is on the page; keys of other lengths are none of this election's. */
void elect_look(struct elect_leader *leader, const struct minikv_result *page, size_t key_bytes);

#endif
