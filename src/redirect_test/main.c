/* redirect_test: the lesson of the redirect, played by real nodes over real sockets.
 *
 *      redirect_test           the lesson's scene and transcript
 *      redirect_test drill     the leader is killed after it has been named in a redirect
 *
 * The last line is "redirect_test: PASS" and the exit code 0, or 1 with the reason. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "redirect_test/redirect_test.h"

static int usage(FILE *out, int code)
{
    fputs("usage: redirect_test [drill]\n"
          "Plays a follower's redirect to its leader with three real nodes on 127.0.0.1, ports\n"
          "7000 to 7002 and 7100 to 7102; \"drill\" kills the leader that a redirect has named.\n",
          out);
    return code;
}

int main(int argc, char **argv)
{
    struct scene scene;
    bool is_drill = argc == 2 && strcmp(argv[1], "drill") == 0;
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout, 0);
    if (argc > 2 || (argc == 2 && !is_drill))
        return usage(stderr, 2);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    bool passed = scene_open(&scene) && (is_drill ? drill_play : lesson_play)(&scene);
    scene_close(&scene);
    if (passed)
        printf("redirect_test: PASS\n");
    return passed && fflush(stdout) == 0 ? 0 : 1;
}
