/* How long things take, in virtual time: starting, failing over, being let alone. Real RTT and disk
 * times are drawn from the seed: at most half a millisecond and two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/raft/cluster.h"

enum { SECOND = 1000000, RUNS = 50 };

static const struct raft_options OPTIONS = {.heartbeat = SECOND / 10, .election = SECOND};

static struct cluster *open_cluster(uint64_t seed, size_t voters_count)
{
    struct cluster *cluster = cluster_new(seed);
    cluster->plan = (struct plan){.has_links = true, .delay_max = 250, .sync_max = 2000};
    cluster_open(cluster, voters_count, &OPTIONS);
    form_cluster(cluster, voters_count, 0);
    return cluster;
}

/* Until one leads and has committed an entry of its term; returns it. */
static struct replica *await_leader(struct cluster *cluster, time_us end)
{
    for (;;) {
        struct replica *leader = leader_of(cluster);
        struct raft_view view = {0};
        if (leader != NULL)
            raft_view(leader->raft, &view);
        if (leader != NULL && view.commit >= view.term_start)
            return leader;
        WORLD_CHECK(&cluster->world, cluster->world.now < end);
        run_until(cluster, cluster->world.now + 100);
    }
}

static int compare_times(const void *a, const void *b)
{
    time_us left = *(const time_us *)a;
    time_us right = *(const time_us *)b;
    return left < right ? -1 : left > right;
}

static time_us median(time_us *times, size_t count)
{
    qsort(times, count, sizeof *times, compare_times);
    return times[count / 2];
}

static void five_that_start_in_the_same_instant_soon_have_a_leader(void **state) /* FAULTS C21 */
{
    (void)state;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        struct cluster *cluster = open_cluster(seed, 5);
        (void)await_leader(cluster, 5 * SECOND);
        cluster_free(cluster);
    }
}

static void run_failovers(size_t voters_count)
{
    time_us times[RUNS];
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        struct cluster *cluster = open_cluster(seed, voters_count);
        struct replica *leader = await_leader(cluster, 5 * SECOND);
        run_until(cluster, cluster->world.now + SECOND);

        crash(cluster, leader);
        time_us died_at = cluster->world.now;
        (void)await_leader(cluster, died_at + SECOND / 5);

        times[seed - 1] = cluster->world.now - died_at;
        cluster_free(cluster);
    }
    time_us middle = median(times, RUNS);
    print_message("failover of %zu: median %" PRIu64 " us, slowest %" PRIu64 " us\n", voters_count,
                  middle, times[RUNS - 1]);
    assert_true(middle < 20 * TIME_US_PER_MS);
    assert_true(times[RUNS - 1] < 100 * TIME_US_PER_MS);
}

/* The election timeout is a second here. */
static void a_dead_leader_is_replaced_in_milliseconds(void **state)
{
    (void)state;
    run_failovers(3);
    run_failovers(5);
}

static void without_notice_it_is_replaced_after_the_election_timeout(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= RUNS; seed++) {
        struct cluster *cluster = open_cluster(seed, 3);
        struct replica *leader = await_leader(cluster, 5 * SECOND);
        run_until(cluster, cluster->world.now + SECOND);

        cluster->paused_until[leader->id - 1] = TIME_NEVER - SECOND;
        time_us silent_at = cluster->world.now;
        raft_term term = leader->hard_state.term;
        struct replica *other = leader;
        while (other == leader || other->hard_state.term == term) {
            run_until(cluster, cluster->world.now + 1000);
            other = leader_of(cluster);
        }

        WORLD_CHECK(&cluster->world, cluster->world.now - silent_at >= SECOND - SECOND / 10);
        WORLD_CHECK(&cluster->world, cluster->world.now - silent_at < 4 * SECOND);
        cluster->paused_until[leader->id - 1] = 0;
        cluster_free(cluster);
    }
}

/* Links 1-2, 1-3, 2-3, 2-4 and 3-5 only. */
static void cut_partially(struct cluster *cluster)
{
    static const char *const linked[] = {" xx  ", "x xx ", "xx  x", " x   ", "  x  "};
    for (size_t a = 0; a < 5; a++)
        for (size_t b = 0; b < 5; b++)
            cluster->is_cut[a][b] = a != b && linked[a][b] != 'x';
}

static void a_partial_partition_does_not_change_leaders_for_ever(void **state) /* FAULTS C19 */
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster *cluster = open_cluster(seed, 5);
        (void)await_leader(cluster, 5 * SECOND);
        cut_partially(cluster);
        size_t leaders_before = cluster->world.leaders_count;
        raft_index committed_before = 0;
        for (int i = 0; i < 100; i++) {
            run_until(cluster, cluster->world.now + SECOND);
            if (i == 90)
                committed_before = cluster->world.committed;
            struct entry *entry = world_command((uint64_t)i);
            struct replica *leader = leader_of(cluster);
            if (leader != NULL)
                (void)replica_propose(leader, &entry, 1);
            else
                entry_unref(entry);
        }

        WORLD_CHECK(&cluster->world, cluster->world.leaders_count <= leaders_before + 2);
        WORLD_CHECK(&cluster->world, cluster->world.committed >= committed_before + 8);
        cluster_free(cluster);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_that_start_in_the_same_instant_soon_have_a_leader),
        cmocka_unit_test(a_dead_leader_is_replaced_in_milliseconds),
        cmocka_unit_test(without_notice_it_is_replaced_after_the_election_timeout),
        cmocka_unit_test(a_partial_partition_does_not_change_leaders_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
