/* Backup: a snapshot on its way to a client: waited for, then sent as fast as the client takes it
 * and no faster than the pace, one piece of it in memory at a time.
 *
 * Ownership    its exchange owns it; it owns the open file, which stays readable when it is pruned
 * Limits       LIMIT_BACKUPS, LIMIT_BACKUP_PIECE_BYTES */
#ifndef MINIKV_HTTP_BACKUP_H
#define MINIKV_HTTP_BACKUP_H

#include "http/exchange.h"

struct backup;

enum backup_step {
    BACKUP_MORE,  /* a piece was put, more follow */
    BACKUP_LATER, /* nothing was put: the pace forbids it for now; connection_answer will be called
                   */
    BACKUP_DONE,  /* the last piece was put, if there was one */
    BACKUP_BROKEN /* the file cannot be read any further */
};

/* Puts the next piece of the body behind what is in `out`. */
enum backup_step backup_send(struct backup *backup, struct buf *out);
/* The server stops: what is still waiting is answered so. */
void backup_refuse(struct exchange *exchange);
void backup_free(struct backup *backup); /* NULL is a no-op */

#endif
