"""Members come and go, move and restart, while clients count."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "endurance"))

import members  # noqa: E402
from checks import assert_problem  # noqa: E402
from cluster import PortClaim, eventually, scaled  # noqa: E402
from http_client import NONE  # noqa: E402
from living import LivingCluster, Steady, change  # noqa: E402
from testing import alone, count_from_environment, in_time, limit, report  # noqa: E402

SECONDS = count_from_environment("MINIKV_TEST_SECONDS", 8)  # of the walk; then it ends its round
SEED = count_from_environment("MINIKV_TEST_SEED", random.SystemRandom().randrange(2**31))
PAUSE_SECONDS_MAX = 1.0  # of a rolling restart; the goal is 0.1
STOP_SECONDS_MAX = 0.4  # mostly 0.1
FLAGS = ["--snapshot-bytes", "65536"]


@limit(90 + 2 * SECONDS)
def test_members_come_and_go_amid_kills_and_nothing_is_lost_nor_stale():
    """What script/endurance --members does for ten minutes."""
    print(f"MINIKV_TEST_SEED={SEED}")
    found = members.run(SECONDS, SEED, FLAGS)
    report(members.describe(found))
    assert found["kills"] > 0 and found["operations"] > 0, found


@alone
@limit(90)
def test_a_rolling_restart_twice_over_is_hardly_noticed():
    with LivingCluster(3, FLAGS).start() as cluster:
        with Steady(cluster.nodes, clients_count=64, value_bytes=100) as load:
            load.wait_more(1000)
            load.counts_breaks = True
            load.pause, load.pauses = 0.0, []
            stops = []
            for _ in range(2):
                for node in cluster.nodes:
                    begin = time.monotonic()
                    node.terminate()
                    assert node.wait_exit() == 0
                    stops.append(time.monotonic() - begin)
                    node.start()
                    cluster.wait_ready()
            load.wait_more(200)
            load.counts_breaks = False
            pause = load.pause
        cluster.wait_ready()
        load.assert_truth(cluster.nodes[0])
        cluster.assert_same_state()
    report(f"6 restarts, {load.total()} increments exact through 64 connections; longest pause "
           f"{pause * 1000:.0f} ms, slowest stop {max(stops) * 1000:.0f} ms, "
           f"{len(load.breaks)} requests without a true answer")
    # Who stops closes what is between two requests a moment later. If it stands still then, it finds
    # the moment over, and does not read what has come meanwhile.
    in_time(not load.breaks or max(stops) < STOP_SECONDS_MAX, f"a stop took {max(stops):.3f} s")
    assert not load.breaks, load.breaks[:5]
    in_time(pause < scaled(PAUSE_SECONDS_MAX), f"{pause:.3f} s without an answer")


def test_join_is_the_same_command_at_every_start():
    with LivingCluster(1, FLAGS).start() as cluster:
        first = cluster.nodes[0]
        joined = cluster.join()
        for i in range(3):
            joined.terminate() if i % 2 else joined.kill()
            if joined.process:
                assert joined.wait_exit() == 0
            assert joined.process is None
            joined.start()
            cluster.wait_ready()
            assert first.put(f"k{i}", "v").status == 204
        assert first.members()[joined.id]["voter"]
        cluster.assert_same_state()


def test_a_node_with_another_address_is_found_there_after_it_has_joined_again():
    with LivingCluster(3, FLAGS).start() as cluster:
        joined = cluster.join()
        joined.kill()
        joined.peer_claim, old = PortClaim(), joined.peer_claim
        joined.peer_port = joined.advertised_peer_port = joined.peer_claim.port
        joined.start()
        eventually(lambda: cluster.nodes[0].members()[joined.id]["peer"] == joined.peer_text,
                   "the new address is known")
        cluster.wait_ready()
        assert old.port != joined.peer_port
        assert cluster.nodes[1].put("k", "v").status == 204
        cluster.assert_same_state()


def test_a_wiped_member_comes_back_only_after_it_has_been_removed():
    with LivingCluster(3, FLAGS).start() as cluster:
        lost = cluster.followers()[0]
        lost.kill()
        cluster.nodes.remove(lost)
        fresh = cluster.joiner(lost.id)
        fresh.start()
        assert fresh.wait_exit() != 0
        assert "member" in fresh.log(), fresh.log()

        change(cluster.nodes[0], "remove", {"id": lost.id})
        fresh = cluster.joiner(lost.id)
        fresh.start()
        cluster.nodes.append(fresh)
        cluster.wait_voter(fresh)
        cluster.wait_ready()
        assert fresh.put("k", "v").status == 204
        cluster.assert_same_state()


def test_a_node_is_not_talked_into_another_cluster():
    with LivingCluster(1, FLAGS).start() as other, LivingCluster(1, FLAGS).start() as cluster:
        joined = cluster.join()
        joined.kill()
        joined.seeds = other.nodes  # by mistake; and it has to ask, for its address has changed
        joined.peer_claim = PortClaim()
        joined.peer_port = joined.advertised_peer_port = joined.peer_claim.port
        joined.start()
        assert joined.wait_exit() != 0
        assert "another cluster" in joined.log(), joined.log()
        assert list(other.nodes[0].members()) == [1]


def test_what_cannot_be_changed_says_why():
    with LivingCluster(1, FLAGS).start() as cluster:
        node = cluster.nodes[0]
        assert_problem(node.request("POST", "/v1/raft/remove", {"id": node.id}), 409, NONE,
                       "last-voter")
        assert_problem(node.request("POST", "/v1/raft/promote", {"id": 77}), 404, NONE,
                       "unknown-member")
        assert node.request("POST", "/v1/raft/remove", {"id": 77}).status == 204
        joining = {"id": 7, "peer": node.peer_text}
        assert_problem(node.request("POST", "/v1/raft/join", joining), 409, NONE, "member-exists")


def test_a_removed_node_that_runs_on_disturbs_nobody():
    with LivingCluster(3, FLAGS).start() as cluster:
        leader, (gone, *_) = cluster.roles()
        term = leader.status()["term"]
        change(leader, "remove", {"id": gone.id})
        cluster.nodes.remove(gone)
        try:
            end = time.monotonic() + scaled(1.5)
            while time.monotonic() < end:
                assert leader.put("k", "v").status == 204
                time.sleep(0.01)
            in_time(cluster.leader() is leader and leader.status()["term"] == term,
                    f"another leader, or term, than {leader.id} in {term}")
            assert gone.request("GET", "/readyz").status == 503
        finally:
            gone.end()


def test_the_leader_can_be_removed_through_any_node():
    with LivingCluster(3, FLAGS).start() as cluster:
        with Steady(cluster.nodes) as load:
            load.wait_more(20)
            leader = cluster.leader()
            cluster.leave(leader, through=leader)
            load.wait_more(20)
            cluster.join()
            leader = cluster.leader()
            cluster.leave(leader)
            load.wait_more(20)
        cluster.wait_ready()
        load.assert_truth(cluster.nodes[0])
