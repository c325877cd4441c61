"""Members come and go, move and restart, while clients count."""
import time

from checks import assert_problem
from cluster import PortClaim, eventually, scaled
from http_client import NONE
from living import LivingCluster, Steady, change
from testing import alone, count_from_environment, limit, report

SECONDS = count_from_environment("MINIKV_TEST_SECONDS", 0)  # of the long walk; 0: one round
PAUSE_SECONDS_MAX = 1.0  # of a rolling restart; the goal is 0.1
FLAGS = ["--snapshot-bytes", "65536"]


def one_round(cluster, load):
    """3 → 5 → 3 → 1 → 3 members, with kills in between; every process in it is replaced."""
    cluster.join()
    load.wait_more(20)
    victim = cluster.leader()
    victim.kill()
    load.wait_more(20)
    victim.start()
    cluster.join()
    load.wait_more(20)
    for node in [cluster.leader(), cluster.nodes[0] if cluster.nodes[0] is not cluster.leader()
                 else cluster.nodes[1]]:
        cluster.leave(node)
        load.wait_more(20)
    victim = cluster.nodes[0]
    victim.kill()
    victim.start()
    load.wait_more(20)
    cluster.wait_ready()
    while len(cluster.nodes) > 1:
        cluster.leave(cluster.leader())
        load.wait_more(20)
    cluster.nodes[0].kill()
    cluster.nodes[0].start()
    load.wait_more(20)
    cluster.join()
    cluster.join()
    load.wait_more(20)


@limit(60 + 2 * SECONDS)
def test_members_come_and_go_under_load_and_nothing_is_lost():
    rounds = 0
    with LivingCluster(3, FLAGS).start() as cluster:
        begin = time.monotonic()
        with Steady(cluster.nodes, value_bytes=500) as load:
            while rounds == 0 or time.monotonic() < begin + SECONDS:
                one_round(cluster, load)
                rounds += 1
        cluster.wait_ready()
        for node in cluster.nodes:
            load.assert_truth(node)
        cluster.assert_same_state()
    report(f"{rounds} rounds of 3-5-3-1-3 members, {load.total()} increments exact, "
           f"longest pause {load.pause * 1000:.0f} ms")


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
    assert not load.breaks, load.breaks[:5]
    assert pause < scaled(PAUSE_SECONDS_MAX), f"{pause:.3f} s without an answer"


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
        leader, gone = cluster.leader(), cluster.followers()[0]
        term = leader.status()["term"]
        change(leader, "remove", {"id": gone.id})
        cluster.nodes.remove(gone)
        try:
            end = time.monotonic() + scaled(1.5)
            while time.monotonic() < end:
                assert leader.put("k", "v").status == 204
                time.sleep(0.01)
            assert cluster.leader() is leader and leader.status()["term"] == term
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
