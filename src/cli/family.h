/* Family: what a command has started, and what that has, as /proc shows it.
 *
 * A signal to a shell is none to the commands that it runs. What must not go on without the lock is
 * told as a whole, wherever the terminal's process groups lie.
 *
 *      family_adopt            before the command is started
 *      family_tell             a signal to everything below this process
 *      family_reap             what of it has ended
 *
 * Not found is what has been started with other rights and hides from /proc. */
#ifndef MINIKV_CLI_FAMILY_H
#define MINIKV_CLI_FAMILY_H

#include <stdbool.h>
#include <sys/types.h>

/* From now on what loses its parent below this process becomes its child, instead of init's. */
void family_adopt(void);
/* Sends it to every process below this one; those that cannot be told are passed over. */
void family_tell(int number);
/* Takes those children that have ended. `out_status` is written when `pid` was among them, which is
 * what is returned. */
bool family_reap(pid_t pid, int *out_status);
/* No child is left. */
bool family_is_gone(void);

#endif
