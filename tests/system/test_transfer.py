"""Leadership handed over on request, through any node."""
import random
import threading
import time

from checks import Unchanged, assert_problem
from cluster import Cluster, eventually, scaled
from http_client import MAYBE, NONE, Client, identity
from testing import alone, in_time, limit, report
from workload import RETRY_PAUSE_SECONDS, Workload

TRANSFERS = 30
PAUSE_SECONDS_MAX = 0.5  # an election would take as long; measured: around 10 ms


def transfer(node, to, headers=None):
    return node.request("POST", "/v1/raft/transfer", {"to": to}, headers)


def hand_over(cluster, asked, to):
    """Once more where one of them stood still."""
    def leads():
        reply = transfer(asked, to.id)
        assert reply.status in (204, 502, 503, 504), reply
        return reply.status == 204 and reply.header("X-Leader") == to.peer_text \
            and cluster.leader() is to
    eventually(leads, f"node {to.id} leads")


def test_leadership_goes_where_it_is_sent_through_any_node():
    with Cluster(3).start() as cluster:
        for i in range(6):
            asked = cluster.nodes[i % 3]
            to = cluster.nodes[(i + i // 3 + 1) % 3]

            hand_over(cluster, asked, to)

            assert asked.put("k", str(i)).status == 204
            hand_over(cluster, asked, to)  # it leads already


def test_nobody_hands_over_to_a_stranger():
    with Cluster(3).start() as cluster:
        with Unchanged(cluster):
            for node in cluster.nodes:
                for body in ({}, {"to": 0}, {"to": -1}, {"to": "2"}, {"to": 2, "id": 2}, [2]):
                    reply = node.request("POST", "/v1/raft/transfer", body)
                    assert_problem(reply, 400, NONE)

        def ask_all(*_):
            for node in cluster.nodes:
                assert_problem(transfer(node, 99), 404, NONE, "unknown-member")

        cluster.under_one_leader(ask_all)  # it would end each reign


def test_a_member_that_cannot_take_over_costs_no_leader():
    with Cluster(3).start() as cluster:
        leader, (deaf, other) = cluster.roles()
        deaf.pause()
        for node in (leader, other):
            reply = transfer(node, deaf.id, {"X-MiniKV-Timeout-Ms": "700"})
            assert_problem(reply, 504, MAYBE, "timeout")  # it may yet be elected
            reply = eventually(lambda: (r := node.put("k", str(node.id))).status == 204 and r,
                               "writes go on")
        assert cluster.leader() is not deaf
        deaf.resume()
        cluster.wait_caught_up()
        assert deaf.value("k") == str(other.id)


class Everything(Workload):
    """Each client sends requests of all kinds, and is refused none."""

    def __init__(self, nodes, clients_count):
        super().__init__(clients_count, nodes)
        self.lock = threading.Lock()
        self.answered_at = None
        self.pause = 0.0
        self.breaks = 0
        self.counts = {}

    def requests(self, number):
        """Endlessly (method, target, body, headers, the statuses it may get)."""
        source = random.Random(number)
        sequence = 0
        while True:
            sequence += 1
            key = f"/v1/kv/{number}-{sequence % 8}"
            member = source.choice(self.nodes)
            yield source.choice([
                ("PUT", key, {"value": "v"}, None, (204,)),
                ("PUT", key, {"value": "v"}, identity(f"client-{number}", sequence), (204,)),
                ("POST", f"/v1/incr/{number}", {"by": 1}, None, (200,)),
                ("DELETE", key, None, None, (204, 404)),
                ("GET", key, None, None, (200, 404)),
                ("GET", "/v1/kv?limit=3", None, None, (200,)),
                ("GET", f"/v1/outcome?client=client-{number}&sequence=1", None, None, (200,)),
                ("POST", "/v1/sessions", None, None, (200, 201)),
                ("POST", "/v1/raft/promote", {"id": member.id}, None, (204,)),
            ])

    def run_client(self, number):
        rotation = self.rotation(number)
        client = Client(next(rotation).http)
        for method, target, body, headers, allowed in self.requests(number):
            if self.stopping.is_set():
                break
            attempt = client.attempt(method, target, body, headers)
            if attempt.reply is not None:
                assert attempt.reply.status in allowed, (method, target, attempt.reply)
                self._note(method)
            else:  # the node listens no more, or has ended a connection between two requests
                self.breaks += attempt.effect != NONE
                client = Client(next(rotation).http)
                self.stopping.wait(RETRY_PAUSE_SECONDS)
        client.close()

    def _note(self, method):
        now = time.monotonic()
        with self.lock:
            self.counts[method] = self.counts.get(method, 0) + 1
            if self.answered_at is not None:
                self.pause = max(self.pause, now - self.answered_at)
            self.answered_at = now


@alone
@limit(90)
def test_nothing_is_refused_while_leadership_goes_round():
    with Cluster(3).start() as cluster:
        with Everything(cluster.nodes, 64) as load:
            eventually(lambda: sum(load.counts.values()) > 500 or load.errors, "progress")
            load.pause = 0.0
            for i in range(TRANSFERS):
                leader = cluster.nodes[i % 3].status()["leader"]
                to = cluster.node((leader + i // 3 % 2) % 3 + 1)
                hand_over(cluster, cluster.nodes[i // 2 % 3], to)
                goal = sum(load.counts.values()) + 64
                eventually(lambda: sum(load.counts.values()) > goal or load.errors, "progress")
                assert not load.errors, load.errors[0]
            pause = load.pause
        cluster.assert_same_state()
    assert load.breaks == 0, load.breaks
    report(f"{TRANSFERS} transfers, {sum(load.counts.values())} requests through 64 connections, "
           f"none refused; longest pause {pause * 1000:.0f} ms")
    in_time(pause < scaled(PAUSE_SECONDS_MAX), f"{pause:.3f} s without an answer")


@alone
@limit(90)
def test_nothing_is_refused_while_nodes_restart_in_turn():
    """Leaders and followers. Only who dials a node that listens no more has to go elsewhere."""
    with Cluster(3).start() as cluster:
        with Everything(cluster.nodes, 16) as load:
            for turn in range(8):
                goal = sum(load.counts.values()) + 200
                eventually(lambda: sum(load.counts.values()) > goal or load.errors, "progress")
                node = cluster.leader() if turn % 2 == 0 else cluster.followers()[0]
                node.terminate()
                assert node.wait_exit() == 0
                node.start()
                cluster.wait_ready()
                assert not load.errors, load.errors[0]
        cluster.assert_same_state()
    report(f"8 restarts, {sum(load.counts.values())} requests through 16 connections, none refused, "
           f"{load.breaks} sent too late to a connection between two requests; longest pause "
           f"{load.pause * 1000:.0f} ms")
