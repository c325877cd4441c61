"""Members that come and go, 3 → 5 → 3 → 1 → 3, while nodes are killed and clients go on.

Two loads run all the time: counters with an identity, which must be exact at the end at every node,
and clients whose whole history of reads and writes is recorded and must be linearizable. Nodes are
killed at random moments, a minority or now and then all at once, in the middle of changes too, and
come back with their disks; some are only stopped for a while. A disk goes only with a member that
has been removed.
"""
import concurrent.futures
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import lincheck  # noqa: E402
from cluster import clean_environment, eventually, program  # noqa: E402
from http_client import APPLIED, MAYBE, NONE, Closed  # noqa: E402
from living import LivingCluster, Steady  # noqa: E402
from workload import Recorder  # noqa: E402

KEYS, COUNTING_CLIENTS, RECORDING_CLIENTS = 16, 4, 12
RECORDING_PAUSE_SECONDS = 0.02  # in the mean, of each client: a moderate rate, for the checker
KILL_PAUSE_SECONDS, KILL_OUTAGE_SECONDS = (0.2, 2.0), (0, 0.5)
PAUSE_SHARE, PAUSE_SECONDS = 0.25, (0.5, 2.0)  # stopped instead of killed: it wakes with old ideas
ALL_AT_ONCE_SHARE = 0.1
LEADER_SHARE = 0.5  # of the kills and pauses concern the leader in any case
STRIKE_SHARE = 0.3  # come at the moment when one that was away is back, and behind
OLD_ID_SHARE, CLI_SHARE, TRANSFER_SHARE, DEAD_LEAVER_SHARE = 0.3, 0.3, 0.3, 0.3
ASK_SECONDS = 2  # who has been removed and does not know it answers only after its deadline
LINGER_SECONDS = 0.3  # a removed node runs on for up to so long, with clients at it
STEP_SECONDS_MAX = 60
JUDGE_SECONDS_MAX = 120  # of one key's history
PROGRESS_COUNT = 20  # increments between two steps


class Walk:
    """The members, step by step. Everything that starts or kills a node happens in the thread that
    calls this: the kernel ends a node with the thread that started it."""

    def __init__(self, cluster, load, recorder, source):
        self.cluster = cluster
        self.load = load
        self.recorder = recorder
        self.source = source
        self.kills = self.pauses = self.rounds = self.changes = 0
        self.leaving = None
        self.gone_ids = []
        self.helper = concurrent.futures.ThreadPoolExecutor(1)
        self.back_at = {}  # node → when it is started again
        self.kill_at = time.monotonic()

    # ---- kills ----

    def tick(self):
        """Kills and starts what is due."""
        for load in (self.load, self.recorder):
            if load.errors:
                raise load.errors[0]
        self.cluster.up()  # fails when a node has ended by itself
        now = time.monotonic()
        for node in [n for n, at in self.back_at.items() if at <= now]:
            self.bring_back(node)
            self.kill_at = now
            if self.source.random() > STRIKE_SHARE:
                self.kill_at += self.source.uniform(*KILL_PAUSE_SECONDS)
        if now >= self.kill_at and not self.back_at:
            self.kill_some()

    def kill_some(self):
        nodes = [n for n in self.cluster.nodes if n is not self.leaving]
        count = self.source.randint(1, max((len(nodes) - 1) // 2, 1))
        if self.source.random() < ALL_AT_ONCE_SHARE:
            count = len(nodes)
        is_pause = self.source.random() < PAUSE_SHARE
        outage = PAUSE_SECONDS if is_pause else KILL_OUTAGE_SECONDS
        victims = self.source.sample(nodes, count)
        if self.source.random() < LEADER_SHARE:
            victims[0] = self.leader_of(nodes) or victims[0]
        for node in victims:
            if node.is_up:
                self.back_at[node] = time.monotonic() + self.source.uniform(*outage)
                if is_pause:
                    node.pause()
                    self.pauses += 1
                else:
                    self.kill(node)

    @staticmethod
    def leader_of(nodes):
        for node in nodes:
            try:
                if node.is_up and node.status(timeout=ASK_SECONDS)["role"] == "leader":
                    return node
            except (OSError, Closed):
                pass
        return None

    def kill(self, node):
        node.kill()
        self.kills += 1

    def bring_back(self, node):
        self.back_at.pop(node, None)
        if not node.is_running:
            node.start()
        elif node.is_paused:
            node.resume()

    def all_back(self):
        for node in list(self.back_at):
            self.bring_back(node)

    # ---- steps ----

    def until(self, condition, what):
        def check():
            self.tick()
            return condition()
        return eventually(check, what, STEP_SECONDS_MAX, every=0.02)

    def progress(self):
        goal = self.load.total() + PROGRESS_COUNT
        self.until(lambda: self.load.total() >= goal, f"{PROGRESS_COUNT} more increments")

    def any_up(self):
        return self.until(lambda: [n for n in self.cluster.nodes if n.is_up], "a node is up")

    def join(self):
        self.any_up()
        old_id = None
        if self.gone_ids and self.source.random() < OLD_ID_SHARE:
            old_id = self.gone_ids.pop(self.source.randrange(len(self.gone_ids)))
        node = self.cluster.joiner(old_id)
        node.start()
        self.cluster.nodes.append(node)

        def has_vote():
            other = self.source.choice(self.any_other(node))
            return other.members().get(node.id, {}).get("voter")
        self.until(has_vote, f"node {node.id} has a vote")
        self.changes += 1

    def any_other(self, node):
        others = [n for n in self.cluster.nodes if n is not node and n.is_up]
        if not others:
            raise Closed("nobody else is up")
        return others

    def leave(self):
        """One member less; it may be the leader, and it may be dead already."""
        nodes = self.cluster.nodes
        self.leaving = node = self.source.choice(nodes)
        if len(nodes) > 2 and self.source.random() < DEAD_LEAVER_SHARE:
            if node.is_running:
                self.kill(node)
            self.back_at.pop(node, None)
        else:
            self.bring_back(node)
        remove = self.remove_by_cli if self.source.random() < CLI_SHARE else self.remove_by_http
        asked = []  # by a thread: the answer takes its time, and kills go on meanwhile

        def is_removed():
            if not asked:
                asked.append(self.helper.submit(remove, node))
            return asked[0].done() and asked.pop().result()
        self.until(is_removed, f"node {node.id} is removed")
        self.changes += 1
        if node.is_running:
            self.cluster.nodes.append(nodes.pop(nodes.index(node)))  # asked last, but still asked
            end = time.monotonic() + self.source.uniform(0, LINGER_SECONDS)
            self.until(lambda: time.monotonic() >= end, "a moment")
        nodes.remove(node)
        node.end()
        self.leaving = None
        self.gone_ids.append(node.id)

    def remove_by_http(self, node):
        through = self.source.choice([n for n in self.cluster.nodes if n.is_up] or [node])
        reply = through.request("POST", "/v1/raft/remove", {"id": node.id}, timeout=ASK_SECONDS)
        assert reply.status in (204, 502, 503, 504), reply
        return reply.status == 204

    def remove_by_cli(self, node):
        result = subprocess.run(
            [program("minikv"), "member", "remove", str(node.id),
             "-e", ",".join(n.http_text for n in self.cluster.nodes)],
            env=clean_environment(), capture_output=True, text=True, timeout=STEP_SECONDS_MAX / 2)
        assert result.returncode in (0, 5, 6), result
        return result.returncode == 0

    def maybe_transfer(self):
        if self.source.random() < TRANSFER_SHARE:
            up = self.any_up()
            try:
                self.source.choice(up).request(
                    "POST", "/v1/raft/transfer", {"id": self.source.choice(up).id})
            except (OSError, Closed):
                pass

    def run_round(self):
        for goal in (5, 3, 1, 3):
            while len(self.cluster.nodes) != goal:
                (self.join if len(self.cluster.nodes) < goal else self.leave)()
                self.maybe_transfer()
                self.progress()
        self.rounds += 1


def check_end(cluster, load, recorder):
    """Nothing that was acknowledged is lost, and every node has the same state. Returns how long
    the judgement of the history took."""
    cluster.wait_ready(timeout=STEP_SECONDS_MAX)
    recorder.read_all(cluster.nodes)
    begin = time.monotonic()
    lincheck.assert_linearizable(recorder.history, seconds_max=JUDGE_SECONDS_MAX)
    judged_seconds = time.monotonic() - begin
    for node in cluster.nodes:
        load.assert_truth(node)
    cluster.assert_same_state()
    return judged_seconds


def run(seconds, seed, flags=(), on_round=None):
    """Rounds until `seconds` are over, at least one. Returns figures; fails with AssertionError."""
    begin, source = time.monotonic(), random.Random(seed)
    with LivingCluster(3, flags).start() as cluster:
        recorder = Recorder(cluster.nodes, RECORDING_CLIENTS, KEYS, None, seed,
                            RECORDING_PAUSE_SECONDS)
        load = Steady(cluster.nodes, clients_count=COUNTING_CLIENTS, value_bytes=500)
        with load, recorder:
            walk = Walk(cluster, load, recorder, source)
            while walk.rounds == 0 or time.monotonic() < begin + seconds:
                walk.run_round()
                if on_round:
                    on_round(walk)
            walk.all_back()
        judged = check_end(cluster, load, recorder)
        digest = cluster.nodes[0].status()["digest"]
    return {
        "seconds": time.monotonic() - begin, "rounds": walk.rounds, "changes": walk.changes,
        "kills": walk.kills, "pauses": walk.pauses, "increments": load.total(),
        "pause_ms": load.pause * 1000, "digest": digest, "operations": recorder.operations_count(),
        "unknown": recorder.unknown_count(), "keys": len(recorder.history),
        "longest": max(len(o) for o in recorder.history.values()), "judged_seconds": judged,
        "applied": recorder.effects[APPLIED], "maybe": recorder.effects[MAYBE],
        "none": recorder.effects[NONE]}


def describe(found):
    f = found
    return (f"{f['rounds']} rounds of 3-5-3-1-3 members, {f['changes']} changes, {f['kills']} kills, "
            f"{f['pauses']} pauses; {f['increments']} increments exact at every node, digest "
            f"{f['digest']}; linearizable: {f['operations']} operations on {f['keys']} keys (at most "
            f"{f['longest']} on one), {f['unknown']} of them unknown, judged in "
            f"{f['judged_seconds']:.1f} s; longest time without an answer to any counting client "
            f"{f['pause_ms']:.0f} ms")
