"""Clusters that change while clients count: what the tests of members and snapshots share."""
import os
import threading
import time

from cluster import HOST, Cluster, Node, eventually
from http_client import NONE, Client, identity
from testing import promise
from workload import RETRY_PAUSE_SECONDS, Workload


class Joiner(Node):
    """A node that is started with --join, every time."""

    seeds = ()  # the nodes it is told of

    def arguments(self):
        found = super().arguments()
        at = found.index("--initial-cluster")
        return (found[:at] + ["--join", ",".join(n.http_text for n in self.seeds)]
                + found[at + 2:])


class LivingCluster(Cluster):
    """A cluster whose nodes may be fewer or more than those it began with."""

    def __init__(self, count=3, flags=()):
        super().__init__(count, flags)
        self.founders = list(self.nodes)
        self.serial = count

    def initial_cluster(self):
        return ",".join(f"{n.id}={n.peer_text}" for n in self.founders)

    def joiner(self, node_id=None, directory=None):
        """A node that is not started yet; with the id of an old one it takes its place."""
        self.serial += 1
        node = Joiner(self, node_id or self.serial,
                      directory or os.path.join(self.directory, f"joined-{self.serial}"))
        node.seeds = [n for n in self.nodes if n.is_up]
        return node

    def join(self, node_id=None):
        """One member more, with a vote."""
        node = self.joiner(node_id)
        node.start()
        self.nodes.append(node)
        self.wait_voter(node)
        return node

    def wait_voter(self, node, timeout=20):
        others = [n for n in self.nodes if n.is_up and n is not node]
        eventually(lambda: others[0].members().get(node.id, {}).get("voter"),
                   f"node {node.id} has a vote", timeout)

    def leave(self, node, through=None):
        """Removes a member, and ends its process."""
        through = through or next(n for n in self.nodes if n.is_up and n is not node)
        change(through, "remove", {"id": node.id})
        node.end()
        self.nodes.remove(node)


def change(node, verb, body, timeout=15):
    """A change of the members, repeated while another one is open or nobody leads."""
    last = []

    def is_done():
        reply = node.request("POST", f"/v1/raft/{verb}", body)
        last[:] = [reply]
        assert reply.status in (204, 502, 503, 504) or b"not-caught-up" in reply.body, reply
        return reply.status == 204
    eventually(is_done, f"{verb} {body}", timeout, every=0.05)
    return last[0]


class Steady(Workload):
    """Clients that count one key up, each write with an identity and repeated until it is answered.

    `nodes` may be a list that changes. Kept: the longest time without any answer, and every
    request that a node took and gave no true answer to, while `counts_breaks` is set.
    """

    def __init__(self, nodes, key="steady", clients_count=4, value_bytes=0, name="c"):
        super().__init__(clients_count, nodes)
        self.nodes = nodes
        self.key = key
        self.name = name
        self.value_bytes = value_bytes
        self.acknowledged = [0] * clients_count
        self.counts_breaks = False
        self.breaks = []
        self.lock = threading.Lock()
        self.answered_at = time.monotonic()
        self.pause = 0.0  # the longest
        self.pauses = []  # those of more than 50 ms

    def _note_answer(self):
        now = time.monotonic()
        with self.lock:
            self.pause = max(self.pause, now - self.answered_at)
            if now - self.answered_at > 0.05:
                self.pauses.append(now - self.answered_at)
            self.answered_at = now

    def run_client(self, number):
        sequence, turn, client = 0, number, None
        filler = "x" * self.value_bytes
        while not self.stopping.is_set():
            sequence += 1
            is_fill = self.value_bytes and sequence % 2 == 0
            may_have_happened = False  # by any attempt so far
            while True:
                if client is None:
                    nodes = list(self.nodes)
                    client = Client(nodes[turn % len(nodes)].http)
                    turn += 1
                headers = identity(f"{self.name}{number}", sequence, sequence - 1)
                if is_fill:
                    attempt = client.attempt("PUT", f"/v1/kv/{self.key}-{number}-{sequence % 40}",
                                             {"value": filler}, headers)
                else:
                    attempt = client.attempt("POST", f"/v1/incr/{self.key}", {"by": 1}, headers)
                if attempt.ok:
                    break
                assert attempt.reply is None or attempt.reply.status in (502, 503, 504), \
                    attempt.reply
                if self.counts_breaks and attempt.effect != NONE:
                    self.breaks.append(attempt.reply or attempt.error)
                client.close()
                client = None
                may_have_happened |= attempt.effect != NONE
                self.stopping.wait(RETRY_PAUSE_SECONDS)
                if self.stopping.is_set() and not may_have_happened and attempt.reply is None:
                    return
            self._note_answer()
            if not is_fill:
                self.acknowledged[number] += 1
        if client:
            client.close()

    def total(self):
        return sum(self.acknowledged)

    def wait_more(self, count, timeout=30):
        goal = self.total() + count
        eventually(lambda: self.total() >= goal or self.errors, f"{count} more increments",
                   timeout)
        if self.errors:
            raise self.errors[0]

    def assert_truth(self, node):
        value = int(node.value(self.key) or 0)
        promise(value == self.total(), f"the counter is {value}, {self.total()} were acknowledged")


def directory_bytes(node, name):
    path = os.path.join(node.data, name)
    return sum(os.path.getsize(os.path.join(path, f)) for f in os.listdir(path))


__all__ = ["HOST", "Joiner", "LivingCluster", "Steady", "change", "directory_bytes"]
