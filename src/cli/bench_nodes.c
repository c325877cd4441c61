/* minikv bench: who is there, and where connections go. */
#include <string.h>

#include "cli/ask.h"
#include "cli/bench.h"
#include "cli/nodes.h"

/* Each node is asked what version it is. */
static void add_versions(const struct bench *bench)
{
    uint64_t deadline_ms = nodes_deadline_ms(bench->cli);
    for (size_t i = 0; i < json_array_size(bench->nodes); i++) {
        json_t *node = json_array_get(bench->nodes, i);
        struct minikv_result result;
        struct errtext error;
        if (nodes_is_silent(node) || !nodes_is_announced(node))
            continue;
        if (nodes_get(bench->cli, nodes_text(node, "http"), "/version", deadline_ms, &result,
                      &error)) {
            json_t *answer = json_loadb(result.body.data, result.body.count, 0, NULL);
            (void)json_object_set_new(node, "version", json_string(nodes_text(answer, "version")));
            json_decref(answer);
        }
        minikv_result_release(&result);
    }
}

/* False, with a word on standard error, when its name means nothing here. */
static bool add_target(struct bench *bench, const struct address *address, const json_t *node)
{
    struct bench_target *target = &bench->targets[bench->targets_count];
    struct errtext error;
    INVARIANT(bench->targets_count < LOAD_TARGETS_MAX);
    *target =
        (struct bench_target){.node = nodes_number(node, "id"), .role = nodes_text(node, "role")};
    (void)address_format(address, target->address);
    if (!load_resolve(address, &bench->addresses[bench->targets_count], &error)) {
        fprintf(stderr, "minikv: bench: %s\n", error.text);
        return false;
    }
    bench->targets_count++;
    return true;
}

static const json_t *node_at(const struct bench *bench, const char *address)
{
    for (size_t i = 0; i < json_array_size(bench->nodes); i++)
        if (strcmp(nodes_text(json_array_get(bench->nodes, i), "http"), address) == 0)
            return json_array_get(bench->nodes, i);
    return NULL;
}

static bool add_endpoints(struct bench *bench)
{
    const struct cli_connect *connect = &bench->cli->connect;
    for (size_t i = 0; i < connect->endpoints_count; i++) {
        char text[LIMIT_ADDRESS_BYTES];
        const char *address = address_format(&connect->endpoints[i], text);
        if (!add_target(bench, &connect->endpoints[i], node_at(bench, address)))
            return false;
    }
    bench->primaries_count = bench->targets_count;
    return true;
}

static bool is_wanted(const struct bench *bench, const json_t *node)
{
    bool is_leader = nodes_number(node, "id") == bench->leader;
    switch (bench->cli->bench.at) {
    case CLI_AT_LEADER:
        return is_leader;
    case CLI_AT_FOLLOWER:
        return !is_leader && strcmp(nodes_text(node, "role"), "follower") == 0;
    case CLI_AT_ENDPOINTS:
    case CLI_AT_ALL:
        return true;
    }
    UNREACHABLE();
}

/* Of the nodes that answer, those that are wanted, or the others. */
static bool add_nodes(struct bench *bench, bool wanted)
{
    for (size_t i = 0; i < json_array_size(bench->nodes); i++) {
        const json_t *node = json_array_get(bench->nodes, i);
        struct address address;
        bool is_usable = !nodes_is_silent(node) && nodes_is_announced(node) &&
                         address_parse(bytes_of_text(nodes_text(node, "http")), &address) == ST_OK;
        if (is_usable && is_wanted(bench, node) == wanted && !add_target(bench, &address, node))
            return false;
    }
    return true;
}

static bool add_members(struct bench *bench)
{
    if (!add_nodes(bench, true))
        return false;
    bench->primaries_count = bench->targets_count;
    if (bench->primaries_count == 0) {
        fputs("minikv: bench: --at: no such node answers at an announced address\n", stderr);
        return false;
    }
    return add_nodes(bench, false);
}

enum exit_code bench_find_nodes(struct bench *bench)
{
    struct cli *cli = bench->cli;
    bench->nodes = nodes_ask_all(cli, nodes_deadline_ms(cli));
    if (bench->nodes == NULL)
        return EXIT_CODE_UNAVAILABLE;
    bench->leader = nodes_number(nodes_leader(bench->nodes), "id");
    add_versions(bench);
    bool is_found = cli->bench.at == CLI_AT_ENDPOINTS ? add_endpoints(bench) : add_members(bench);
    return is_found ? EXIT_CODE_OK : EXIT_CODE_UNAVAILABLE;
}

void bench_note_leader_after(struct bench *bench)
{
    json_t *nodes = nodes_ask_all(bench->cli, nodes_deadline_ms(bench->cli));
    if (nodes != NULL)
        bench->leader_after = nodes_number(nodes_leader(nodes), "id");
    json_decref(nodes);
}
