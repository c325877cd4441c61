"""The whole system as one register per key, while leaders are killed and paused."""
import random

from cluster import Cluster, eventually
from http_client import APPLIED, MAYBE, NONE
from lincheck import assert_linearizable
from testing import count_from_environment, limit, report
from workload import Recorder

ROUNDS = count_from_environment("MINIKV_TEST_LIN_ROUNDS", 8)
SEED = count_from_environment("MINIKV_TEST_SEED", 0) or random.SystemRandom().randrange(1 << 30)
OPERATIONS_PER_ROUND = 300


def run_history(hurt, rounds=ROUNDS):
    """Records a history while `hurt(cluster, round)` does its worst, and judges it."""
    print(f"MINIKV_TEST_SEED={SEED}")
    with Cluster(3).start() as cluster:
        with Recorder(cluster.nodes, seed=SEED) as recorder:
            for number in range(rounds):
                goal = sum(recorder.effects.values()) + OPERATIONS_PER_ROUND
                eventually(lambda: sum(recorder.effects.values()) >= goal or recorder.errors,
                           "progress", 20)
                hurt(cluster, number)
        cluster.wait_ready()
        assert_linearizable(recorder.history)
        cluster.assert_same_state()
    effects = recorder.effects
    report(f"{effects[APPLIED]} answered, {effects[MAYBE]} maybe, {effects[NONE]} none, "
           f"{len(recorder.history)} keys")
    assert effects[APPLIED] > rounds * OPERATIONS_PER_ROUND / 2, effects


def kill_leader(cluster, _):
    leader = cluster.leader()
    leader.kill()
    cluster.leader()
    leader.start()
    cluster.leader()


def pause_leader(cluster, _):
    """The others elect a leader meanwhile; then the old one wakes up with old ideas."""
    leader = cluster.leader()
    leader.pause()
    cluster.leader()
    leader.resume()
    cluster.leader()


def pause_everything_in_turn(cluster, number):
    first = number % 3
    order = cluster.nodes[first:] + cluster.nodes[:first]
    for node in order:
        node.pause()
    for node in order:
        node.resume()
    cluster.leader()


@limit(90)
def test_histories_stay_linearizable_while_leaders_are_killed():
    run_history(kill_leader)


@limit(90)
def test_histories_stay_linearizable_while_leaders_are_paused():
    run_history(pause_leader)


@limit(90)
def test_histories_stay_linearizable_when_everything_stops_and_goes_on():
    run_history(pause_everything_in_turn)


@limit(90)
def test_the_last_acknowledged_value_is_read_right_after_everything_restarts():
    """FAULTS C1: no read before the new leader has committed an entry of its own term."""
    with Cluster(3).start() as cluster:
        for serial in range(8):
            writer = cluster.nodes[serial % 3]
            assert writer.put("last", str(serial)).status == 204
            cluster.kill_all()
            for node in cluster.nodes:
                node.start()
            reader = cluster.nodes[(serial + 1) % 3]

            reply = eventually(lambda r=reader: _answer(r), "an answer to the first read")

            assert reply.json["value"] == str(serial), reply


def _answer(node):
    reply = node.get("last")
    assert reply.status in (200, 502, 503, 504), reply
    return reply if reply.status == 200 else None
