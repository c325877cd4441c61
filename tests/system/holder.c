/* holder: takes locks, leases and offices by libminikv, as lines of its standard input say, and
 * answers each with one line. Between them it polls, so that what it holds is kept alive.
 *
 *      acquire NAME TTL-MS WAIT-MS            ok TOKEN | CODE
 *      campaign NAME VALUE TTL-MS WAIT-MS     ok TOKEN | CODE
 *      lease TTL-MS                           ok LEASE | CODE
 *      enter NAME TTL-MS                      ok | CODE: begins, and waits for nothing
 *      keep WAIT-MS                           CODE CERTAIN-MS
 *      look                                   STATE CERTAIN-MS TOKEN
 *      put KEY VALUE                          CODE EFFECT: guarded by what is held
 *      attach KEY VALUE                       CODE: under the lease
 *      proclaim VALUE                         CODE
 *      leader NAME                            TOKEN VALUE | CODE
 *      observe NAME KNOWN WAIT-MS             MOD-REVISION VALUE | CODE
 *      left LEASE                             REMAINING-MS KEYS | CODE
 *      release                                CODE
 *      free                                   ok */
#include <inttypes.h>
#include <minikv/minikv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_BYTES = 1024, WORDS = 6 };

struct holder {
    struct minikv *kv;
    struct minikv_hold *hold;
    const char *words[WORDS]; /* of the line; "" behind the last */
};

static uint64_t number(const struct holder *holder, int at)
{
    return strtoull(holder->words[at], NULL, 10);
}

static void say_code(struct minikv_result *result)
{
    printf("%s\n", minikv_code_name(result->code));
    minikv_result_release(result);
}

/* ---- taking ---- */

static void say_taken(struct holder *holder, struct minikv_result *result)
{
    if (result->code == MINIKV_OK)
        printf("ok %" PRIu64 "\n", result->revision);
    else
        printf("%s\n", minikv_code_name(result->code));
    minikv_result_release(result);
    (void)holder;
}

static void run_acquire(struct holder *holder)
{
    struct minikv_result result;
    minikv_lock_acquire(holder->kv, minikv_text(holder->words[1]), number(holder, 2),
                        atoi(holder->words[3]), &holder->hold, &result);
    say_taken(holder, &result);
}

static void run_campaign(struct holder *holder)
{
    struct minikv_result result;
    minikv_election_campaign(holder->kv, minikv_text(holder->words[1]),
                             minikv_text(holder->words[2]), number(holder, 3),
                             atoi(holder->words[4]), &holder->hold, &result);
    say_taken(holder, &result);
}

static void run_lease(struct holder *holder)
{
    struct minikv_result result;
    struct minikv_holding holding;
    if (minikv_lease_grant(holder->kv, number(holder, 1), &holder->hold, &result) == MINIKV_OK) {
        minikv_hold_look(holder->hold, &holding);
        result.revision = holding.lease;
    }
    say_taken(holder, &result);
}

static void run_enter(struct holder *holder)
{
    struct minikv_hold_request request = {.name = minikv_text(holder->words[1]),
                                          .ttl_ms = number(holder, 2)};
    puts(minikv_code_name(minikv_hold_start(holder->kv, &request, &holder->hold)));
}

/* ---- holding ---- */

static const char *name_of(enum minikv_hold_state state)
{
    static const char *const names[] = {
        [MINIKV_HOLD_ENTERING] = "entering", [MINIKV_HOLD_WAITING] = "waiting",
        [MINIKV_HOLD_HELD] = "held",         [MINIKV_HOLD_LEAVING] = "leaving",
        [MINIKV_HOLD_LEFT] = "left",         [MINIKV_HOLD_LOST] = "lost",
        [MINIKV_HOLD_FAILED] = "failed"};
    return names[state];
}

static void run_look(struct holder *holder)
{
    struct minikv_holding holding;
    minikv_hold_look(holder->hold, &holding);
    printf("%s %" PRIu64 " %" PRIu64 "\n", name_of(holding.state), holding.certain_ms,
           holding.fence.token);
}

static void run_keep(struct holder *holder)
{
    struct minikv_holding holding;
    enum minikv_code code = minikv_hold_keep(holder->hold, atoi(holder->words[1]));
    minikv_hold_look(holder->hold, &holding);
    printf("%s %" PRIu64 "\n", minikv_code_name(code), holding.certain_ms);
}

/* With the token of when it was held last, as a writer has it that does not look again. */
static void run_put(struct holder *holder)
{
    static uint64_t token;
    struct minikv_result result;
    struct minikv_holding holding;
    minikv_hold_look(holder->hold, &holding);
    if (holding.fence.token != 0)
        token = holding.fence.token;
    struct minikv_request request = {.op = MINIKV_PUT,
                                     .key = minikv_text(holder->words[1]),
                                     .value = minikv_text(holder->words[2]),
                                     .fence = {holding.fence.key, token}};
    minikv_perform(holder->kv, &request, &result);
    printf("%s %d\n", minikv_code_name(result.code), (int)result.effect);
    minikv_result_release(&result);
}

static void run_attach(struct holder *holder)
{
    struct minikv_result result;
    struct minikv_holding holding;
    minikv_hold_look(holder->hold, &holding);
    struct minikv_request request = {.op = MINIKV_PUT,
                                     .key = minikv_text(holder->words[1]),
                                     .value = minikv_text(holder->words[2]),
                                     .lease = holding.lease};
    minikv_perform(holder->kv, &request, &result);
    say_code(&result);
}

static void run_proclaim(struct holder *holder)
{
    struct minikv_result result;
    minikv_election_proclaim(holder->hold, minikv_text(holder->words[1]), &result);
    say_code(&result);
}

static void run_release(struct holder *holder)
{
    struct minikv_result result;
    minikv_hold_release(holder->hold, &result);
    holder->hold = NULL;
    say_code(&result);
}

static void run_free(struct holder *holder)
{
    minikv_hold_free(holder->hold);
    holder->hold = NULL;
    puts("ok");
}

/* ---- looking at others ---- */

static void say_leader(struct minikv_result *result, bool wants_token)
{
    if (result->code != MINIKV_OK) {
        say_code(result);
        return;
    }
    const struct minikv_item *item = &result->items[0];
    printf("%" PRIu64 " %.*s\n", wants_token ? item->create_revision : item->mod_revision,
           (int)item->value.count, (const char *)item->value.data);
    minikv_result_release(result);
}

static void run_leader(struct holder *holder)
{
    struct minikv_result result;
    minikv_election_leader(holder->kv, minikv_text(holder->words[1]), &result);
    say_leader(&result, true);
}

static void run_observe(struct holder *holder)
{
    struct minikv_result result;
    minikv_election_observe(holder->kv, minikv_text(holder->words[1]), number(holder, 2),
                            atoi(holder->words[3]), &result);
    say_leader(&result, false);
}

static void run_left(struct holder *holder)
{
    struct minikv_result result;
    struct minikv_lease lease;
    if (minikv_lease_look(holder->kv, number(holder, 1), &lease, &result) != MINIKV_OK) {
        say_code(&result);
        return;
    }
    printf("%" PRIu64 " %" PRIu64 "\n", lease.remaining_ms, lease.keys_count);
    minikv_result_release(&result);
}

/* ---- lines ---- */

static void run_line(struct holder *holder, char *line)
{
    static const struct {
        const char *verb;
        void (*run)(struct holder *holder);
    } verbs[] = {{"acquire", run_acquire}, {"campaign", run_campaign}, {"lease", run_lease},
                 {"enter", run_enter},     {"keep", run_keep},         {"look", run_look},
                 {"put", run_put},         {"attach", run_attach},     {"proclaim", run_proclaim},
                 {"leader", run_leader},   {"observe", run_observe},   {"left", run_left},
                 {"release", run_release}, {"free", run_free}};
    int count = 0;
    for (char *word = strtok(line, " "); word != NULL && count < WORDS; word = strtok(NULL, " "))
        holder->words[count++] = word;
    while (count < WORDS)
        holder->words[count++] = "";
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(holder->words[0], verbs[i].verb) == 0)
            verbs[i].run(holder);
    fflush(stdout);
}

/* Polls until a line is there; false at the end of the input. Lines come one at a time. */
static bool read_line(struct holder *holder, char line[LINE_BYTES])
{
    for (;;) {
        struct pollfd fds[1 + MINIKV_POLLFDS_MAX];
        fds[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        size_t count = minikv_pollfds(holder->kv, fds + 1, MINIKV_POLLFDS_MAX);
        int ready = poll(fds, 1 + count, minikv_timeout(holder->kv));
        minikv_process(holder->kv, fds + 1, ready < 0 ? 0 : count);
        if (ready > 0 && fds[0].revents != 0) {
            ssize_t bytes = read(STDIN_FILENO, line, LINE_BYTES - 1);
            if (bytes <= 0)
                return false;
            line[bytes] = '\0';
            line[strcspn(line, "\n")] = '\0';
            return true;
        }
    }
}

int main(int argc, char **argv)
{
    char line[LINE_BYTES];
    struct holder holder = {.hold = NULL};
    const struct minikv_options options = {.timeout_ms = argc > 2 ? (unsigned)atoi(argv[2]) : 0};
    if (argc < 2 || minikv_open(argv[1], &options, &holder.kv) != MINIKV_OK)
        return 2;
    while (read_line(&holder, line))
        run_line(&holder, line);
    minikv_close(holder.kv);
    return 0;
}
