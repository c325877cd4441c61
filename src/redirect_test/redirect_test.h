/* The two plays of redirect_test: the lesson's own, and what it leaves for later. */
#ifndef MINIKV_REDIRECT_TEST_REDIRECT_TEST_H
#define MINIKV_REDIRECT_TEST_REDIRECT_TEST_H

#include "redirect_test/scene.h"

/* A follower points to the leader, the client goes there; a node without a leader says so, and the
 * client comes back. Prints the lesson's transcript. */
bool lesson_play(struct scene *scene);
/* The leader is killed after a follower has pointed to it, and once more after it has taken a
 * request and before it answers; each time the client goes round again, and the counter has counted
 * each increment once. */
bool drill_play(struct scene *scene);

#endif
