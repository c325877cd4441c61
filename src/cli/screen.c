/* minikv status --watch: all nodes on one screen, drawn anew once a second. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "cli/ask.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/download.h"
#include "cli/nodes.h"

enum { ROUND_MS = 1000, LAG_WIDTH = 16, SCREEN_BYTES = 64 * KIB };

/* How far a node was in fetching or taking a snapshot when it was last asked. */
struct pace {
    uint64_t id, of, bytes, at_ms;
    uint64_t rate; /* bytes per second, of some seconds */
};

struct screen {
    struct cli *cli;
    struct pace paces[LIMIT_MEMBERS];
    struct buf text; /* owned */
    bool is_terminal;
};

static volatile sig_atomic_t is_interrupted;

static void on_signal(int signum)
{
    (void)signum;
    is_interrupted = 1;
}

/* ---- one line ---- */

static struct pace *pace_of(struct screen *screen, uint64_t id)
{
    struct pace *unused = &screen->paces[0];
    for (size_t i = 0; i < LIMIT_MEMBERS; i++) {
        if (screen->paces[i].id == id)
            return &screen->paces[i];
        if (screen->paces[i].id == 0)
            unused = &screen->paces[i];
    }
    *unused = (struct pace){.id = id};
    return unused;
}

static uint64_t take_rate(struct pace *pace, uint64_t bytes, uint64_t of, uint64_t now_ms)
{
    bool is_same = pace->of == of && bytes >= pace->bytes && now_ms > pace->at_ms;
    uint64_t rate = is_same ? (bytes - pace->bytes) * 1000 / (now_ms - pace->at_ms) : 0;
    pace->rate = is_same && pace->rate != 0 ? (3 * pace->rate + rate) / 4 : rate;
    pace->of = of;
    pace->bytes = bytes;
    pace->at_ms = now_ms;
    return pace->rate;
}

/* What is going on with snapshots, on a line of its own. */
static void put_transfer(struct screen *screen, const json_t *node, uint64_t now_ms)
{
    const json_t *snapshot = json_object_get(node, "snapshot");
    const json_t *fetching = json_object_get(snapshot, "fetching");
    const json_t *taking = json_object_get(snapshot, "taking");
    const json_t *either = json_is_object(fetching) ? fetching : taking;
    struct pace *pace = pace_of(screen, nodes_number(node, "id"));
    if (!json_is_object(either)) {
        pace->of = 0;
        return;
    }
    uint64_t bytes = nodes_number(either, "bytes"), of = nodes_number(either, "of");
    if (either == fetching)
        buf_printf(&screen->text, "    fetches %llu from node %llu ",
                   (unsigned long long)nodes_number(fetching, "index"),
                   (unsigned long long)nodes_number(fetching, "from"));
    else
        buf_put_text(&screen->text, "    takes a snapshot ");
    bar_put_progress(&screen->text, bytes, of, take_rate(pace, bytes, of, now_ms));
    buf_put_u8(&screen->text, '\n');
}

/* A block for each doubling: one entry behind shows, and a million fit. */
static size_t lag_blocks(uint64_t lag)
{
    size_t blocks = 0;
    for (; lag != 0; lag >>= 1)
        blocks++;
    return MIN(blocks, (size_t)LAG_WIDTH);
}

static void put_node(struct screen *screen, const json_t *node, uint64_t last_index,
                     uint64_t now_ms)
{
    struct buf *text = &screen->text;
    uint64_t applied = nodes_number(node, "applied_index");
    uint64_t lag = last_index - MIN(last_index, applied);
    buf_printf(text, "%-4llu %-22s ", (unsigned long long)nodes_number(node, "id"),
               nodes_is_announced(node) ? nodes_text(node, "http") : NODES_NOT_ANNOUNCED);
    if (nodes_is_silent(node)) {
        buf_printf(text, "%-13s %s\n", "unreachable", nodes_text(node, "error"));
        return;
    }
    buf_printf(text, "%-13s %5llu %6llu %11llu %11llu %11llu  ", nodes_text(node, "role"),
               (unsigned long long)nodes_number(node, "term"),
               (unsigned long long)nodes_number(node, "leader"),
               (unsigned long long)nodes_number(node, "commit_index"), (unsigned long long)applied,
               (unsigned long long)nodes_number(json_object_get(node, "snapshot"), "index"));
    bar_put_blocks(text, lag_blocks(lag), LAG_WIDTH, LAG_WIDTH, ' ');
    buf_printf(text, " %llu\n", (unsigned long long)lag);
    put_transfer(screen, node, now_ms);
    if (*nodes_text(node, "note") != '\0')
        buf_printf(text, "    %s\n", nodes_text(node, "note"));
}

/* ---- one screen ---- */

static void put_title(struct screen *screen, const json_t *nodes)
{
    char clock[32];
    struct tm local;
    time_t now = time(NULL);
    const json_t *leader = nodes_leader(nodes);
    (void)localtime_r(&now, &local);
    (void)strftime(clock, sizeof clock, "%H:%M:%S", &local);
    buf_printf(&screen->text, "MiniKV  %s  %zu nodes  ", clock, json_array_size(nodes));
    if (leader != NULL)
        buf_printf(&screen->text, "node %llu leads in term %llu, revision %llu\n\n",
                   (unsigned long long)nodes_number(leader, "id"),
                   (unsigned long long)nodes_number(leader, "term"),
                   (unsigned long long)nodes_number(leader, "revision"));
    else
        buf_put_text(&screen->text, "no node says that it leads\n\n");
}

static void put_screen(struct screen *screen, const json_t *nodes)
{
    uint64_t last_index = 0, now_ms = download_now_ms();
    for (size_t i = 0; i < json_array_size(nodes); i++)
        last_index = MAX(last_index, nodes_number(json_array_get(nodes, i), "commit_index"));
    const json_t *leader = nodes_leader(nodes);
    if (leader != NULL)
        last_index = nodes_number(leader, "last_index");
    put_title(screen, nodes);
    buf_printf(&screen->text, "%-4s %-22s %-13s %5s %6s %11s %11s %11s  %s\n", "ID", "CLIENTS",
               "ROLE", "TERM", "LEADER", "COMMITTED", "APPLIED", "SNAPSHOT", "BEHIND");
    for (size_t i = 0; i < json_array_size(nodes); i++)
        put_node(screen, json_array_get(nodes, i), last_index, now_ms);
}

static bool show(struct screen *screen)
{
    json_t *nodes = nodes_ask_all(screen->cli, nodes_deadline_ms(screen->cli));
    if (screen->cli->output == CLI_OUTPUT_JSON) {
        if (nodes != NULL)
            ask_print_json(json_pack("{s:o}", "nodes", nodes));
        return fflush(stdout) == 0;
    }
    buf_reset(&screen->text);
    if (screen->is_terminal)
        buf_put_text(&screen->text, "\x1b[H\x1b[2J");
    if (nodes != NULL)
        put_screen(screen, nodes);
    if (!screen->is_terminal)
        buf_put_u8(&screen->text, '\n');
    (void)fwrite(screen->text.data, 1, screen->text.count, stdout);
    json_decref(nodes);
    return fflush(stdout) == 0;
}

enum exit_code screen_run(struct cli *cli)
{
    struct screen screen = {.cli = cli, .is_terminal = isatty(STDOUT_FILENO) == 1};
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL); /* cannot fail for these */
    (void)sigaction(SIGTERM, &action, NULL);
    buf_init(&screen.text, SCREEN_BYTES);
    while (!is_interrupted && show(&screen)) {
        struct timespec pause = {.tv_sec = ROUND_MS / 1000};
        if (!is_interrupted)
            (void)nanosleep(&pause, NULL); /* a signal ends it early */
    }
    buf_release(&screen.text);
    return EXIT_CODE_OK;
}
