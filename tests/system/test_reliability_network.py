"""Silent links, clocks of different days, and too little processor time (FAULTS N7, N11, N14)."""
import contextlib
import os
import re
import subprocess
import sys

from cluster import HOST, Cluster, eventually, scaled
from http_client import Client, identity
from link_proxy import LinkProxy
from testing import alone, in_time, limit, promise, report

DAY = 24 * 3600
BUSY_LOOPS = 8
TERMS_MAX = 20  # one in a second or so would be a cluster that does nothing else


class Counter:
    """Increments of one counter, each sent again under its identity until it is answered."""

    def __init__(self, key):
        self.key = key
        self.sequence = 0

    def add(self, node, timeout=30):
        self.sequence += 1

        def is_done():
            client = Client(node.http, scaled(5))
            attempt = client.attempt("POST", f"/v1/incr/{self.key}", {"by": 1},
                                     identity("counter", self.sequence))
            client.close()
            return attempt.reply if attempt.ok else None
        reply = eventually(is_done, f"node {node.id} takes increment {self.sequence}", timeout)
        promise(reply.json["value"] == self.sequence, f"want {self.sequence}: {reply}")

    def check(self, cluster):
        cluster.assert_same_state()
        for node in cluster.up():
            value = node.value(self.key)
            promise(value == str(self.sequence), f"want {self.sequence} at node {node.id}: {value}")


@limit(120)
def test_links_that_fall_silent_are_replaced():
    """FAULTS N7: nobody resets them and nothing comes through; each side notices by itself."""
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(Cluster(3))
        proxies = []
        for node in cluster.nodes:
            proxies.append(LinkProxy((HOST, node.peer_port)))
            stack.callback(proxies[-1].close)
            node.advertised_peer_port = proxies[-1].port
        cluster.start()
        counter = Counter("n")
        for node in cluster.nodes:
            counter.add(node)
            for proxy in proxies:
                proxy.silence()
            counter.add(node)
        cluster.wait_ready()
        counter.check(cluster)


def start_on_another_day(node, days):
    """As node.start(), with monotonic clocks that stand so many days further on."""
    offset = str(days * DAY)
    node.start(["unshare", "--time", "--monotonic", offset, "--boottime", offset, "--fork",
                "--kill-child", *node.arguments()])


def may_set_monotonic_clocks():
    return subprocess.run(["unshare", "--time", "--monotonic", "1", "--fork", "true"],
                          stderr=subprocess.DEVNULL).returncode == 0


def kill_and_wait(node):
    """As node.kill(), where the process that was started has minikvd as a child."""
    with open(os.path.join(node.data, "lock")) as lock:
        pid = int(re.search(r"\d+", lock.read()).group())
    node.kill()
    eventually(lambda: not os.path.exists(f"/proc/{pid}"), f"the process of node {node.id} is gone")


@limit(120)
def test_monotonic_clocks_of_different_days_make_no_difference():
    """FAULTS N11: what one node measures never reaches another; a reboot begins anew."""
    if not may_set_monotonic_clocks():
        report("not possible here: it takes the right to make time namespaces")
        return
    with Cluster(3) as cluster:
        for node, days in zip(cluster.nodes, (0, 3, 4000)):
            start_on_another_day(node, days)
        cluster.wait_ready()
        counter = Counter("n")
        for days in (1000, 0, 1):
            for node in cluster.nodes:
                counter.add(node)
            leader = cluster.leader()
            kill_and_wait(leader)
            counter.add(next(n for n in cluster.nodes if n is not leader))
            start_on_another_day(leader, days)
            cluster.wait_ready()
        counter.check(cluster)


@contextlib.contextmanager
def busy_loops(count):
    """Processes that do nothing as fast as they can, on the same footing as the nodes."""
    loops = [subprocess.Popen(["setpriv", "--pdeathsig", "KILL", sys.executable, "-c",
                               "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.terminate()
        for loop in loops:
            loop.wait()


@alone
@limit(180)
def test_a_cluster_with_too_little_processor_time_goes_on():
    """FAULTS N14: leaders need not change because everybody is slow."""
    with Cluster(3).start() as cluster:
        before = cluster.leader().status()["term"]
        counter = Counter("n")
        with busy_loops(BUSY_LOOPS):
            for _ in range(20):
                for node in cluster.nodes:
                    counter.add(node, 60)
        after = cluster.leader().status()["term"]
        in_time(after - before <= TERMS_MAX, f"{after - before} terms")
        counter.check(cluster)
        report(f"{counter.sequence} increments, {after - before} terms")
