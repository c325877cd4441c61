/* Text: one line for a message, for traces and scenario files. */
#ifndef MINIKV_RAFT_TEXT_H
#define MINIKV_RAFT_TEXT_H

#include "base/buf.h"
#include "types/message.h"

/* "vote" | "append-reply" | … */
const char *message_type_name(enum message_type type);
/* "1>2 t3 append prev 2/5 commit 4 round 0 entries 3/6..3/8"; an entry is named term/index. */
void message_format(const struct message *message, struct buf *out);

#endif
