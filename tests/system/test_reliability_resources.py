"""What a node does when there is no more of something (FAULTS X1 … X13)."""
import concurrent.futures
import os
import random
import signal
import subprocess
import tempfile
import time

from cluster import Cluster, eventually, scaled
from http_client import Client, Connection, encode, identity
from testing import alone, count_from_environment, limit, promise, report

FOLDER = os.path.dirname(os.path.abspath(__file__))
ALLOCATIONS = count_from_environment("TEST_ALLOCATIONS", 20)  # that fail, each in a life of its own
FLOOD_SECONDS = count_from_environment("TEST_FLOOD_SECONDS", 4)
WRITERS, AT_A_TIME = 16, 8
MAY_GROW_KIB = 16 * 1024
SAID = "failing_malloc: this one fails"


class Interposer:
    """failing_malloc.c, compiled for a test."""

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="minikv-test-interposer-")
        self.path = os.path.join(self.directory, "failing_malloc.so")
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1", "-Wall", "-Werror",
                        f"{FOLDER}/failing_malloc.c", "-o", self.path], check=True)
        return self.path

    def __exit__(self, *_):
        os.remove(self.path)
        os.rmdir(self.directory)


def wait_until_it_answers_or_ends(node):
    def is_settled():
        if not node.is_running:
            return True
        try:
            return node.request("GET", "/readyz", timeout=1).status == 200
        except OSError:
            return False
    eventually(is_settled, "the node is ready, or has ended")


@limit(120)
def test_whichever_allocation_fails_nothing_acknowledged_is_lost():
    """FAULTS X10: the node stops, or refuses, or does not notice; what it had said stays true."""
    seed = count_from_environment("MINIKV_TEST_SEED", random.SystemRandom().getrandbits(31))
    report(f"seed {seed}")
    chance = random.Random(seed)
    stopped = failed = sequence = 0
    with Interposer() as library, Cluster(1) as cluster:
        node = cluster.node(1)
        for _ in range(ALLOCATIONS):
            at = round(10 ** chance.uniform(0, 3.6))
            before = node.log().count(SAID) if os.path.exists(node.log_path) else 0
            node.start(["env", f"LD_PRELOAD={library}", f"FAIL_ALLOCATION={at}",
                        *node.arguments()])
            wait_until_it_answers_or_ends(node)
            client = Client(node.http)
            for _ in range(20):
                attempt = client.attempt("POST", "/v1/incr/n", {"by": 1},
                                         identity("c", sequence + 1))
                if not attempt.ok:
                    break
                sequence += 1
                promise(attempt.reply.json["value"] == sequence, f"want {sequence}: {attempt.reply}")
            client.close()
            has_failed = node.log().count(SAID) > before
            failed += has_failed
            if node.is_running and not attempt.ok and attempt.reply is None:
                try:  # it was about to end, or has lost no more than that connection
                    node.process.wait(scaled(1))
                except subprocess.TimeoutExpired:
                    pass
            if node.is_running:
                node.kill()
                continue
            status = node.wait_exit()
            stopped += 1
            assert has_failed, f"it ended with {status}, and no allocation had failed"
            assert status == -signal.SIGABRT or 0 < status < 128, f"allocation {at}: {status}"

        node.start()
        cluster.wait_ready()
        value = node.incr("n", 0).json["value"]
        promise(value in (sequence, sequence + 1), f"{sequence} acknowledged, the counter is {value}")
        report(f"{failed} failed, {stopped} of them the end")


def flood(node, end):
    """Writes of 16 KiB, eight at a time, that nobody can commit; the statuses of the answers."""
    statuses = []
    write = encode("PUT", "/v1/kv/k", {"value": "v" * 16384}, {"X-MiniKV-Timeout-Ms": "100"})
    with Connection(node.http, scaled(10)) as connection:
        while time.monotonic() < end:
            connection.send(write * AT_A_TIME)
            statuses += [connection.read_final().status for _ in range(AT_A_TIME)]
    return statuses


@alone
@limit(FLOOD_SECONDS * 2 + 60)
def test_without_a_majority_writes_are_refused_and_memory_stays_as_it_is():
    """FAULTS X7: and when the majority is back everything goes on."""
    # A sanitizer keeps for a while what was freed; not much of it here.
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"
    with Cluster(3).start() as cluster:
        leader = cluster.leader()
        others = [n for n in cluster.nodes if n is not leader]
        for node in others:
            node.pause()
        end = time.monotonic() + FLOOD_SECONDS
        with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
            writers = [pool.submit(flood, leader, end) for _ in range(WRITERS)]
            time.sleep(FLOOD_SECONDS / 2)
            eventually(lambda: leader.status()["role"] != "leader", "it leads no more")
            half = leader.memory_kib()
            statuses = [status for writer in writers for status in writer.result()]
            full = leader.memory_kib()

        assert set(statuses) <= {503, 504}, set(statuses)
        assert full - half <= MAY_GROW_KIB, f"{half} KiB at half time, {full} in the end"
        for node in others:
            node.resume()
        cluster.probe_write([leader], "again", 20)
        cluster.assert_same_state()
        report(f"{len(statuses)} writes in vain, {half >> 10} MiB then {full >> 10}")
