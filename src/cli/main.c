/* minikv: the command line of MiniKV. */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/hops.h"

static uint64_t seed(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* jitter of pauses, no secret */
    return (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 32;
}

static enum exit_code run(struct cli *cli)
{
    if (cli->wants_help)
        return about_help(cli);
    cli->connect.seed = seed();
    if (cli->is_verbose)
        cli->connect.on_hop = hops_show;
    client_init(&cli->client, &cli->connect);
    enum exit_code code = cli->command->run(cli);
    client_release(&cli->client);
    return code;
}

int main(int argc, char **argv)
{
    struct cli cli;
    struct errtext error = {""};
    if (arguments_read(&cli, argc, argv, getenv("MINIKV_ENDPOINTS"), &error) != ST_OK) {
        fprintf(stderr, "minikv: %s\n", error.text);
        return EXIT_CODE_USAGE;
    }
    enum exit_code code = run(&cli);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_CODE_OK) {
        fprintf(stderr, "minikv: standard output could not be written\n");
        code = EXIT_CODE_FAILURE;
    }
    return (int)code;
}
