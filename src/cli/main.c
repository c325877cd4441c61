/* minikv: the command line of MiniKV. */
#include <stdlib.h>

#include "cli/arguments.h"
#include "cli/hops.h"

/* All endpoints, as minikv_open takes them. */
static void put_endpoints(const struct cli_connect *connect, struct buf *out)
{
    for (size_t i = 0; i < connect->endpoints_count; i++) {
        char address[LIMIT_ADDRESS_BYTES];
        buf_printf(out, "%s%s", i > 0 ? "," : "", address_format(&connect->endpoints[i], address));
    }
}

static enum minikv_code open_kv(struct cli *cli)
{
    struct minikv_options options = {.timeout_ms =
                                         (unsigned)(cli->connect.timeout / TIME_US_PER_MS),
                                     .on_hop = cli->is_verbose ? hops_show : NULL};
    struct buf endpoints;
    buf_init(&endpoints, (size_t)MINIKV_ENDPOINTS_MAX * LIMIT_ADDRESS_BYTES + 1);
    put_endpoints(&cli->connect, &endpoints);
    enum minikv_code code = minikv_open(buf_text(&endpoints), &options, &cli->kv);
    buf_release(&endpoints);
    return code;
}

static enum exit_code run(struct cli *cli)
{
    if (cli->wants_help)
        return about_help(cli);
    enum minikv_code opened = open_kv(cli);
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
    return (int)code;
}
