/* minikv-endure: increments one counter N times under client identities, sends many of them more
 * than once, and proves from the answers that each took effect exactly once.
 *
 * What is sent again, and why:
 *   reply lost       a relay in this process delivers the request and loses the reply
 *   several at once  the same request goes to two or three nodes in the same moment
 *   repeated         an answered request goes to another node some milliseconds later
 *   by failures      whatever broke under way: nodes are killed by whoever runs this
 *
 * Every answer is held against the first one to the same write, also those the relay kept. Ends
 * with 0 when all is proven, 1 when not, 2 when it could not be tried. */
#include <errno.h>
#include <stdio.h>

#include "endurance/client.h"
#include "endurance/report.h"

enum { PROGRESS_US = 20 * 1000 };

struct run {
    struct options options;
    struct loop loop;
    struct prng prng;
    struct ledger ledger;
    struct relays *relays;
    struct clients *clients;
    struct links *links;
    uint64_t begin_us;
};

static void run_open(struct run *run)
{
    struct links_events events;
    loop_init(&run->loop);
    run->begin_us = run->loop.now_us;
    prng_init(&run->prng, run->options.seed);
    ledger_init(&run->ledger, run->options.increments_count);
    run->relays = relays_new(&run->loop, &run->options, &run->prng);
    run->clients = clients_new(&run->loop, &run->options, &run->prng, &run->ledger);
    clients_events(run->clients, &events);
    run->links = links_new(&run->loop, &run->options, run->relays, &events);
    clients_connect(run->clients, run->links);
}

static void run_close(struct run *run)
{
    links_free(run->links);
    relays_free(run->relays);
    clients_free(run->clients);
    ledger_release(&run->ledger);
    loop_close(&run->loop);
}

/* A line on standard error, for whoever kills nodes at certain points of the run. */
static void print_progress(const struct run *run, uint64_t *next_at_us)
{
    if (run->loop.now_us < *next_at_us)
        return;
    *next_at_us = run->loop.now_us + PROGRESS_US;
    fprintf(stderr, "settled %llu\n", (unsigned long long)clients_counts(run->clients)->settled);
}

/* False: not everything was answered within the deadline. */
static bool run_turns(struct run *run)
{
    uint64_t end_us = run->begin_us + run->options.deadline_seconds * 1000000ull, progress_us = 0;
    while (!clients_are_done(run->clients)) {
        links_tick(run->links);
        relays_tick(run->relays);
        clients_turn(run->clients);
        links_flush(run->links);
        loop_turn(&run->loop);
        print_progress(run, &progress_us);
        if (run->loop.now_us > end_us) {
            clients_print_open(run->clients);
            return false;
        }
    }
    ledger_close(&run->ledger);
    return true;
}

int main(int argc, char **argv)
{
    static struct run run;
    options_parse(&run.options, argc, argv);
    run_open(&run);
    bool is_finished = run_turns(&run);
    struct report report = {.options = &run.options,
                            .counts = clients_counts(run.clients),
                            .ledger = &run.ledger,
                            .relay_resets_count = relays_resets_count(run.relays),
                            .connections_broken_count = links_broken_count(run.links),
                            .connections_stuck_count = links_stuck_count(run.links),
                            .seconds = (double)(run.loop.now_us - run.begin_us) / 1e6,
                            .is_finished = is_finished};
    report_print(&report);
    if (run.options.json_path != NULL)
        report_write_json(&report, run.options.json_path);
    int status = report_passed(&report) ? 0 : 1;
    run_close(&run);
    return status;
}
