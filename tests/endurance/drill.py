"""The drill of exactly once: minikv-endure against real nodes that are killed while it runs.

minikv-endure proves from the answers that each increment took effect once; what is here kills the
nodes, and afterwards looks at what they hold: the counter, linearizable and stale, the digests and,
where the command exists, the logs themselves (minikv audit).
"""
import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import cluster as minikv  # noqa: E402

REJOIN_SECONDS = 60  # a restart reads the whole log
LEADER_OUTAGE_SECONDS, NODE_OUTAGE_SECONDS = 0.5, 0.15  # at most
PROGRESS_TAIL_BYTES, PROGRESS_PAUSE_SECONDS = 256, 0.01


class Endure:
    """minikv-endure as a child of this process; its counts when it has ended."""

    def __init__(self, cluster, key, count, seed, deadline, *options):
        self.json_path = os.path.join(cluster.directory, f"{key}.json")
        self.log_path = os.path.join(cluster.directory, f"{key}.log")
        self.key, self.count = key, count
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", minikv.program("minikv-endure"),
                 "--endpoints", ",".join(n.http_text for n in cluster.nodes),
                 "--key", key, "--count", str(count), "--seed", str(seed),
                 "--deadline", str(int(deadline)), "--json", self.json_path, *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def is_running(self):
        return self.process.poll() is None

    def settled(self):
        """How many increments were done with a moment ago."""
        with open(self.log_path, "rb") as log:
            log.seek(max(os.path.getsize(self.log_path) - PROGRESS_TAIL_BYTES, 0))
            numbers = [line.split()[1] for line in log.read().splitlines()[1:-1]
                       if line.startswith(b"settled ")]
        return int(numbers[-1]) if numbers else 0

    def wait_settled(self, goal):
        """False when it ended before so many increments were done with."""
        while self.settled() < goal:
            if not self.sleep(PROGRESS_PAUSE_SECONDS):
                return False
        return True

    def sleep(self, seconds):
        """True when it is still running after that time."""
        try:
            self.process.wait(seconds)
            return False
        except subprocess.TimeoutExpired:
            return True

    def result(self):
        """Its counts; fails with its words when it found anything wrong."""
        status = self.process.wait()
        with open(self.log_path, errors="replace") as log:
            text = "".join(line for line in log if not line.startswith("settled "))
        assert status == 0, f"minikv-endure ended with {status}:\n{text}"
        with open(self.json_path) as file:
            return dict(json.load(file), text=text)

    def end(self):
        if self.is_running:
            self.process.kill()
            self.process.wait()


def wait_rejoined(cluster, node):
    """The node has applied what was committed when it came back."""
    goal = max(n.status()["commit_index"] for n in cluster.up() if n is not node)
    minikv.eventually(lambda: node.status()["applied_index"] >= goal,
                      f"node {node.id} has caught up", REJOIN_SECONDS)


def kill_points(count, kills, rng):
    """After how many increments to kill: one point in each of `kills` equal parts of the run."""
    part = count / (kills + 1)
    return [int((i + rng.random()) * part) for i in range(kills)]


def kill_leaders(cluster, endure, kills, rng):
    """kill -9 of the leader, `kills` times spread over the run; it comes back a moment later."""
    done = 0
    for point in kill_points(endure.count, kills, rng):
        if not endure.wait_settled(point):
            break
        leader = cluster.leader(REJOIN_SECONDS)
        leader.kill()
        done += 1
        endure.sleep(rng.uniform(0, LEADER_OUTAGE_SECONDS))
        leader.start()
        wait_rejoined(cluster, leader)
    return done


def kill_everything(cluster, endure, kills, rng):
    """The same with all nodes at once, which come back one after the other."""
    done = 0
    for point in kill_points(endure.count, kills, rng):
        if not endure.wait_settled(point):
            break
        cluster.kill_all()
        done += 1
        for node in rng.sample(cluster.nodes, len(cluster.nodes)):
            endure.sleep(rng.uniform(0, NODE_OUTAGE_SECONDS))
            node.start()
        cluster.leader(REJOIN_SECONDS)
    return done


def run_part(cluster, killer, key, count, kills, seed, deadline, *options):
    """One counter, from 0 to `count`, while `killer` does its worst. Returns endure's counts and
    the number of kills."""
    endure = Endure(cluster, key, count, seed, deadline, *options)
    try:
        done = killer(cluster, endure, kills, random.Random(seed))
        return dict(endure.result(), kills=done)
    finally:
        endure.end()


def check_nodes(cluster, counters):
    """Every node has come to the same state, with each counter exact. Returns the digest."""
    cluster.wait_ready(announced=False, timeout=REJOIN_SECONDS)
    for node in cluster.nodes:
        for key, count in counters.items():
            for query in ("", "?consistency=stale"):
                value = node.value(key, query)
                assert value == str(count), f"node {node.id} has {key}{query} at {value}, not {count}"
    cluster.wait_caught_up(REJOIN_SECONDS)
    digests = {(s["applied_index"], s["revision"], s["digest"])
               for s in (n.status() for n in cluster.nodes)}
    assert len(digests) == 1, f"the nodes differ: {digests}"
    return digests.pop()[2]


def memory_mib(cluster):
    return [round(n.memory_kib() / 1024) for n in cluster.nodes]


def snapshots_text(cluster):
    """Since the last restart of each."""
    figures = [n.metrics() for n in cluster.nodes]
    return ", ".join(f"{f['minikv_snapshots_taken_total']:.0f} taken and "
                     f"{f['minikv_snapshots_installed_total']:.0f} installed" for f in figures) \
        + " since the last restart"


def stop(cluster):
    """SIGTERM for each; all end with 0."""
    for node in cluster.nodes:
        node.terminate()
    for node in cluster.nodes:
        status = node.wait_exit(REJOIN_SECONDS)
        assert status == 0, f"node {node.id} ended with {status}"


def audit(cluster):
    """What minikv audit says of the logs of the stopped nodes; None without that command."""
    program = minikv.program("minikv")
    if not os.access(program, os.X_OK):
        return None
    known = subprocess.run([program, "help"], text=True, capture_output=True).stdout
    if "audit" not in known:
        return None
    begin = time.monotonic()
    result = subprocess.run([program, "audit", *(n.data for n in cluster.nodes)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, f"minikv audit ended with {result.returncode}: {result.stdout}"
    return f"{result.stdout.rstrip()}\n({time.monotonic() - begin:.1f} s)"
