/* minikv: the command line of MiniKV. */
#include <stdlib.h>

#include "cli/arguments.h"
#include "cli/connect.h"

static enum exit_code run(struct cli *cli)
{
    if (cli->wants_help)
        return about_help(cli);
    enum minikv_code opened = connect_open(cli, &cli->kv);
    if (opened != MINIKV_OK) {
        fprintf(stderr, "minikv: cannot begin: %s\n", minikv_code_name(opened));
        return EXIT_CODE_FAILURE;
    }
    enum exit_code code = cli->command->run(cli);
    minikv_close(cli->kv);
    return code;
}

int main(int argc, char **argv)
{
    static struct cli cli;
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
    return code == EXIT_CODE_OK && cli.passed_on >= 0 ? cli.passed_on : (int)code;
}
