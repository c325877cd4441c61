/* leader: of all that run with the same NAME one leads, and does what only one may do.
 *
 *      cc leader.c -o leader $(pkg-config --cflags --libs minikv)
 *      ./leader 127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083 job me        in some terminals
 *
 * A poll loop of the program's own, in which nothing waits: it stands for election, leads while
 * that is certain, and says so every second in a write that is guarded by its token. Ctrl-C
 * resigns, and the next one leads at once; kill -9, and it does after TTL_MS. */
#include <inttypes.h>
#include <minikv/minikv.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TTL_MS = 5000, REPORT_MS = 1000 };

struct program {
    struct minikv *kv;
    struct minikv_hold *office;
    char key[256]; /* where who leads says so */
    const char *me;
    unsigned count;
    time_t reported_at;
    bool is_writing, has_told;
};

static volatile sig_atomic_t is_to_end;

static void on_signal(int number)
{
    (void)number;
    is_to_end = 1;
}

static void on_reported(void *ctx, struct minikv_result *result)
{
    struct program *program = ctx;

    program->is_writing = false;
    if (result->code != MINIKV_OK) /* MINIKV_LOST: somebody else leads, and this changed nothing */
        fprintf(stderr, "leader: %s: %s\n", minikv_code_name(result->code), result->detail);
    minikv_result_release(result);
}

/* What only one may do. */
static void report(struct program *program, const struct minikv_holding *holding)
{
    char text[128];
    program->reported_at = time(NULL);
    snprintf(text, sizeof text, "%.80s leads, report %u", program->me, ++program->count);
    struct minikv_request request = {.op = MINIKV_PUT,
                                     .key = minikv_text(program->key),
                                     .value = minikv_text(text),
                                     .fence = holding->fence};
    program->is_writing =
        minikv_start(program->kv, &request, on_reported, program, NULL) == MINIKV_OK;
}

/* Returns false when there is nothing more to hope for. */
static bool act(struct program *program)
{
    struct minikv_holding holding;

    minikv_hold_look(program->office, &holding);
    if (is_to_end && holding.state != MINIKV_HOLD_LEAVING)
        minikv_hold_leave(program->office);
    bool leads = holding.state == MINIKV_HOLD_HELD && holding.certain_ms > 0;
    if (leads && !program->has_told)
        printf("%s leads, token %" PRIu64 "\n", program->me, holding.fence.token);
    if (!leads && program->has_told)
        printf("%s does not lead\n", program->me);
    fflush(stdout);
    program->has_told = leads;
    if (leads && !program->is_writing && time(NULL) != program->reported_at)
        report(program, &holding);
    return holding.state != MINIKV_HOLD_LEFT && holding.state != MINIKV_HOLD_LOST &&
           holding.state != MINIKV_HOLD_FAILED;
}

static void turn(struct program *program)
{
    struct pollfd fds[MINIKV_POLLFDS_MAX];
    size_t count = minikv_pollfds(program->kv, fds, MINIKV_POLLFDS_MAX);
    int wait_ms = minikv_timeout(program->kv);

    if (wait_ms < 0 || wait_ms > REPORT_MS)
        wait_ms = REPORT_MS;
    int ready = poll(fds, count, wait_ms);
    minikv_process(program->kv, fds, ready < 0 ? 0 : count);
}

int main(int argc, char **argv)
{
    struct program program = {.count = 0};
    struct minikv_holding holding;

    if (argc != 4) {
        fprintf(stderr, "usage: leader ENDPOINTS NAME ME\n");
        return 2;
    }
    if (minikv_open(argv[1], NULL, &program.kv) != MINIKV_OK) {
        fprintf(stderr, "leader: %s: want host:port[,host:port...]\n", argv[1]);
        return 2;
    }
    struct minikv_hold_request request = {
        .name = minikv_text(argv[2]), .value = minikv_text(argv[3]), .ttl_ms = TTL_MS};
    program.me = argv[3];
    snprintf(program.key, sizeof program.key, "%.200s-report", argv[2]);
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    if (minikv_hold_start(program.kv, &request, &program.office) != MINIKV_OK) {
        fprintf(stderr, "leader: %s: not a name\n", argv[2]);
        minikv_close(program.kv);
        return 2;
    }
    while (act(&program))
        turn(&program);
    minikv_hold_look(program.office, &holding);
    bool has_resigned = holding.state == MINIKV_HOLD_LEFT && holding.code == MINIKV_OK;
    if (!has_resigned)
        fprintf(stderr, "leader: %s\n", holding.detail);
    minikv_close(program.kv);
    return has_resigned ? 0 : 1;
}
