/* Scene: the script, line by line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/scene_internal.h"
#include "support/world_node.h"

/* "partition chain 2 3 1 4 5": who stands next to whom. */
static void partition(struct scene *scene, const char *words)
{
    static const char *const shapes[WORLD_SHAPES_COUNT] = {
        [WORLD_SHAPE_WHOLE] = "whole",   [WORLD_SHAPE_ALONE] = "alone",
        [WORLD_SHAPE_HALVES] = "halves", [WORLD_SHAPE_BRIDGE] = "bridge",
        [WORLD_SHAPE_STAR] = "star",     [WORLD_SHAPE_CHAIN] = "chain",
        [WORLD_SHAPE_RING] = "ring"};
    char copy[256], *save = NULL;
    unsigned machines[SCENE_NODES_MAX], count = 0, shape = 0;
    (void)snprintf(copy, sizeof copy, "%s", words);
    const char *word = strtok_r(copy, " ", &save);
    while (shape < WORLD_SHAPES_COUNT && strcmp(word, shapes[shape]) != 0)
        shape++;
    while ((word = strtok_r(NULL, " ", &save)) != NULL && count < SCENE_NODES_MAX)
        machines[count++] = (unsigned)strtoul(word, NULL, 10);
    if (shape == WORLD_SHAPES_COUNT || count != scene->count)
        fail_msg("no shape of all machines: %s", words);
    world_partition(scene->world, (enum world_shape)shape, machines, count);
}

static bool play_fault(struct scene *scene, const char *line)
{
    unsigned a = 0, b = 0;
    if (sscanf(line, "cut %u %u", &a, &b) == 2)
        world_cut(scene->world, a, b, true);
    else if (sscanf(line, "heal %u %u", &a, &b) == 2)
        world_cut(scene->world, a, b, false);
    else if (sscanf(line, "reset %u %u", &a, &b) == 2)
        world_reset_links(scene->world, a, b);
    else if (strncmp(line, "partition ", strlen("partition ")) == 0)
        partition(scene, line + strlen("partition "));
    else if (sscanf(line, "crash %u", &a) == 1)
        scene_crash(scene, a);
    else if (sscanf(line, "boot %u", &a) == 1)
        scene_boot(scene, a);
    else if (sscanf(line, "pause %u", &a) == 1)
        world_pause(scene->world, a, true);
    else if (sscanf(line, "resume %u", &a) == 1)
        world_pause(scene->world, a, false);
    else
        return false;
    return true;
}

static bool play_request(struct scene *scene, const char *line)
{
    char key[64] = "", value[64] = "", flags[128] = "";
    unsigned at = 0;
    struct command command = {0};
    if (sscanf(line, "put %u %63s %63s %127[^\n]", &at, key, value, flags) >= 3) {
        command.op = COMMAND_PUT;
        command.value = bytes_of_text(value);
    } else if (sscanf(line, "incr %u %63s %127[^\n]", &at, key, flags) >= 2) {
        command.op = COMMAND_INCR;
        command.by = 1;
    } else if (sscanf(line, "get %u %63s %127[^\n]", &at, key, flags) < 2) {
        return false;
    }
    command.key = bytes_of_text(key);
    scene_submit(scene, line, &command, at, flags);
    return true;
}

static bool play_session(struct scene *scene, const char *line)
{
    unsigned at = 0, id = 0;
    unsigned long long nonce = 0;
    char word[128] = "", flags[128] = "";
    struct command command = {0};
    if (sscanf(line, "open %u %llu", &at, &nonce) == 2) {
        command.op = COMMAND_OPEN_SESSION;
        command.nonce = nonce;
    } else if (sscanf(line, "close %u %127s", &at, word) == 2) {
        command.op = COMMAND_CLOSE_SESSION;
        command.identity = (struct client_identity){CLIENT_ID, bytes_of_text(word), 0, 0};
    } else if (sscanf(line, "seal %u %127[^\n]", &at, flags) == 2) {
        command.op = COMMAND_SEAL;
    } else if (sscanf(line, "transfer %u %u %127[^\n]", &at, &id, flags) >= 2) {
        command.op = COMMAND_TRANSFER;
        command.member = id;
    } else if (sscanf(line, "outcome %u %127s", &at, word) == 2) {
        scene_show_known_outcome(scene, at, word);
        return true;
    } else if (sscanf(line, "sessions %u", &at) == 1) {
        scene_show_sessions(scene, at);
        return true;
    } else {
        return false;
    }
    scene_submit(scene, line, &command, at, flags);
    return true;
}

static bool play_member(struct scene *scene, const char *line)
{
    unsigned at = 0, id = 0;
    struct command command = {0};
    if (sscanf(line, "join %u %u", &at, &id) == 2) {
        command.op = COMMAND_JOIN;
        command.peer = world_node_options(id, id, true).listen_peer;
        if (scene->replicas[id].node != NULL)
            command.member_identity = node_identity(scene->replicas[id].node);
    } else if (sscanf(line, "remove %u %u", &at, &id) == 2) {
        command.op = COMMAND_REMOVE;
    } else if (sscanf(line, "promote %u %u", &at, &id) == 2) {
        command.op = COMMAND_PROMOTE;
    } else if (sscanf(line, "members %u", &at) == 1) {
        scene_show_members(scene, at);
        return true;
    } else if (sscanf(line, "snapshot %u", &at) == 1) {
        scene_show_snapshot(scene, at);
        return true;
    } else if (sscanf(line, "fresh %u", &id) == 1) {
        scene->has_joined[id] = true;
        scene_boot(scene, id);
        return true;
    } else {
        return false;
    }
    command.member = id;
    scene_submit(scene, line, &command, at, "");
    return true;
}

static bool play_more(struct scene *scene, const char *line)
{
    unsigned a = 0, b = 0, c = 0;
    char word[64] = "";
    if (sscanf(line, "fill %u %u %u", &a, &b, &c) == 3)
        scene_fill(scene, a, b, c);
    else if (sscanf(line, "crowd %u %u", &a, &b) == 2)
        scene_crowd(scene, a, b);
    else if (strcmp(line, "filled") == 0)
        buf_printf(&scene->trace, "filled: %u ok, %u none, %u maybe\n", scene->filled_ok_count,
                   scene->filled_none_count, scene->filled_maybe_count);
    else if (sscanf(line, "announce %u %u %63s", &a, &b, word) == 3)
        scene_announce(scene, line, a, b, word);
    else if (sscanf(line, "directory %u %u", &a, &b) == 2)
        scene_show_directory(scene, a, b);
    else if (sscanf(line, "wipe %u", &a) == 1)
        world_wipe(scene->world, a);
    else if (sscanf(line, "slow %u %u", &a, &b) == 2)
        world_slow_disk(scene->world, a, b * TIME_US_PER_MS);
    else if (sscanf(line, "stop %u", &a) == 1)
        scene_stop(scene, a);
    else if (strcmp(line, "ready") == 0)
        scene_show_ready(scene);
    else
        return false;
    return true;
}

static void make_world(struct scene *scene)
{
    struct world_options options = {
        .seed = scene->seed, .delay_min = 100, .delay_max = 300, .sync_min = 50, .sync_max = 400};
    if (scene->world == NULL)
        scene->world = world_new(&options);
}

static void play(struct scene *scene, const char *line)
{
    unsigned a = 0, b = 0;
    unsigned long ms = 0, ahead = 0;
    char word[16] = "";
    if (sscanf(line, "seed %u", &a) == 1) {
        assert_null(scene->world);
        scene->seed = a;
    } else if (sscanf(line, "ttl %lu", &ms) == 1) {
        scene->session_ttl = ms * TIME_US_PER_MS;
    } else if (sscanf(line, "clock %u %u %lu", &a, &b, &ahead) == 3) {
        make_world(scene);
        world_clock(scene->world, a, b, ahead * 1000 * TIME_US_PER_MS);
    } else if (sscanf(line, "snapshots %u", &a) == 1) {
        scene->snapshot_bytes = a;
    } else if (sscanf(line, "start %u %15s", &a, word) >= 1) {
        make_world(scene);
        scene->count = a;
        scene->is_silent = strcmp(word, "silent") == 0;
        for (unsigned i = 1; i <= a; i++)
            scene_boot(scene, i);
    } else if (sscanf(line, "run %lu", &ms) == 1) {
        scene_run_ms(scene, ms);
    } else if (strncmp(line, "until leader", 12) == 0) {
        (void)sscanf(line, "until leader %u", &a);
        scene_until_leader(scene, a);
    } else if (sscanf(line, "stats %u", &a) == 1) {
        scene_show_stats(scene, a);
    } else if (strcmp(line, "compare") == 0) {
        scene_compare(scene);
    } else if (!play_request(scene, line) && !play_fault(scene, line) &&
               !play_session(scene, line) && !play_member(scene, line) && !play_more(scene, line)) {
        fail_msg("unknown command: %s", line);
    }
}

static void close_scene(struct scene *scene)
{
    for (unsigned i = 1; i <= SCENE_NODES_MAX; i++)
        if (scene->replicas[i].node != NULL)
            scene_crash(scene, i);
    assert_int_equal(scene->calls_count, 0); /* every request was answered exactly once */
    world_free(scene->world);
    buf_release(&scene->trace);
}

void scene_play(const char *text, struct buf *out)
{
    struct scene scene = {.seed = 1};
    buf_init(&scene.trace, SCENE_TRACE_BYTES_MAX);
    bool in_expectation = false;
    while (*text != '\0') {
        const char *end = strchr(text, '\n');
        size_t count = end != NULL ? (size_t)(end - text) : strlen(text);
        char line[256];
        (void)snprintf(line, sizeof line, "%.*s", (int)count, text);
        text += count + (end != NULL);
        if (in_expectation) {
            in_expectation = line[0] != '\0';
            if (!in_expectation)
                buf_put_text(out, "\n");
            continue;
        }
        buf_printf(out, "%s\n", line);
        if (strcmp(line, "----") == 0) {
            buf_put(out, buf_bytes(&scene.trace));
            buf_reset(&scene.trace);
            in_expectation = true;
        } else if (line[0] != '#' && line[0] != '\0') {
            play(&scene, line);
        }
    }
    close_scene(&scene);
}
