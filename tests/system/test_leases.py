"""Leases: they end soon after their time and never before it; what hangs on them goes everywhere at once.

A client counts from the moment before it sent what was acknowledged: from there the time to live is
promised. Whatever says that a lease is gone says so after its reply has come.
"""
import random
import threading
import time

from checks import assert_problem
from cluster import Cluster, eventually, scaled
from http_client import Closed, Connection, encode
from testing import count_from_environment, in_time, limit, report

KILLS = count_from_environment("MINIKV_TEST_LEASE_KILLS", 4)
SEED = count_from_environment("MINIKV_TEST_SEED", random.SystemRandom().randrange(2**32))


class Lease:
    def __init__(self, node, ttl_ms, keys=()):
        self.ttl = ttl_ms / 1000
        self.kept_at = time.monotonic()
        reply = node.request("POST", "/v1/leases", {"ttl_ms": ttl_ms})
        assert reply.status == 200, reply
        assert reply.json["ttl_ms"] == ttl_ms, reply
        self.id = reply.json["lease"]
        self.keys = list(keys)
        for key in self.keys:
            reply = node.request("PUT", f"/v1/kv/{key}?lease={self.id}", {"value": "v"})
            if reply.status == 404:
                self.is_over()
            assert reply.status == 204, reply

    def is_over(self):
        """On a machine that stands still its time may be over before a test has begun with it."""
        in_time(time.monotonic() < self.kept_at + self.ttl, f"the time of lease {self.id} is over")

    def keep_alive(self, node, timeout=10.0):
        """Whether it was acknowledged; then its time counts from before it was sent."""
        sent_at = time.monotonic()
        try:
            reply = node.request("POST", f"/v1/leases/{self.id}/keepalive", timeout=timeout)
        except (OSError, Closed):
            return False
        if reply.status == 200:
            assert reply.json == {"lease": self.id, "ttl_ms": round(self.ttl * 1000)}, reply
            self.kept_at = sent_at
        return reply.status == 200

    def is_gone(self, node):
        """As this node sees it; what it says early fails the test."""
        reply = node.request("GET", f"/v1/leases/{self.id}?keys&consistency=stale")
        now = time.monotonic()
        if reply.status == 200:
            names = [key["key"] for key in reply.json["keys"]]
            assert set(names) <= set(self.keys), reply
            return False
        assert_problem(reply, 404, "none", "lease-not-found")
        early = self.kept_at + self.ttl - now
        assert early <= 0, f"lease {self.id} was gone {early:.3f} s before its time at {node.id}"
        return True


def key_exists(node, key, revision=None):
    query = "?consistency=stale" + (f"&rev={revision}" if revision else "")
    reply = node.get(key, query)
    assert reply.status in (200, 404), reply
    return reply.status == 200


def gone_at(node, key, since):
    """The revision at which this node has deleted the key."""
    last = node.request("GET", "/v1/kv?limit=1&consistency=stale").json["revision"]
    while since + 1 < last:
        middle = (since + last) // 2
        if key_exists(node, key, middle):
            since = middle
        else:
            last = middle
    assert key_exists(node, key, since) and not key_exists(node, key, last), (key, since, last)
    return last


def assert_gone_everywhere(cluster, leases, timeout=20.0):
    """Of each lease all keys go, at all nodes at one revision."""
    for lease in leases:
        for node in cluster.up():
            eventually(lambda: lease.is_gone(node), f"lease {lease.id} ends at node {node.id}",
                       timeout)
        revisions = {gone_at(node, key, lease.revision)
                     for key in lease.keys for node in cluster.up()}
        assert len(revisions) <= 1, f"the keys of lease {lease.id} went at {revisions}"
    cluster.assert_same_state()


def make_leases(cluster, count, ttl_ms, keys_each=2):
    nodes = cluster.nodes
    leases = [Lease(nodes[i % len(nodes)], ttl_ms, [f"{i}/{k}" for k in range(keys_each)])
              for i in range(count)]
    cluster.wait_caught_up()
    revision = nodes[0].revision()
    for lease in leases:
        lease.revision = revision
        lease.is_over()
    return leases


def test_leases_end_in_time_with_their_keys_at_one_revision():
    with Cluster(3).start() as cluster:
        leases = make_leases(cluster, 6, 2000)
        late = 0.0
        for lease in leases:
            while not lease.is_gone(cluster.nodes[lease.id % 3]):
                time.sleep(0.01)
            late = max(late, time.monotonic() - lease.kept_at - lease.ttl)
        assert_gone_everywhere(cluster, leases)
        assert sum(n.metrics()["minikv_leases"] for n in cluster.nodes) == 0
        assert [n.metrics()["minikv_leases_expired_total"] for n in cluster.nodes] == [6] * 3
        report(f"ended at most {late * 1000:.0f} ms after their time")


def test_a_key_leaves_its_lease_in_every_way():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        lease = Lease(node, 60000, ["plain", "deleted", "other", "kept"])
        other = Lease(node, 60000)
        assert node.put("plain", "w").status == 204
        assert node.request("DELETE", "/v1/kv/deleted").status == 204
        assert node.request("PUT", f"/v1/kv/other?lease={other.id}", {"value": "1"}).status == 204
        assert node.incr("other").status == 200

        assert node.request("DELETE", f"/v1/leases/{lease.id}").status == 204

        assert [key_exists(node, k) for k in ("plain", "deleted", "other", "kept")] == \
            [True, False, True, False]
        reply = node.request("GET", f"/v1/leases/{other.id}?keys")
        assert reply.json["keys"] == [{"key": "other"}], reply
        assert_problem(node.request("DELETE", f"/v1/leases/{lease.id}"), 404, "none",
                       "lease-not-found")


def test_a_lease_outlives_the_whole_cluster():
    with Cluster(3, flags=["--snapshot-bytes", "65536"]).start() as cluster:
        leases = make_leases(cluster, 4, 5000)
        for i in range(40):  # so that some of it is in snapshots
            cluster.nodes[i % 3].put("fill", "x" * 8192)
        cluster.kill_all()
        cluster.start()
        for lease in leases:  # log time has stood still
            for node in cluster.nodes:
                lease.is_gone(node)
        assert_gone_everywhere(cluster, leases, timeout=30.0)


def test_many_keep_alives_are_few_entries():
    count = 600
    with Cluster(3).start() as cluster:
        node = cluster.followers()[0]
        leases = [Lease(node, 30000) for _ in range(count)]
        cluster.wait_caught_up()
        before, entries = node.metrics(), node.status()["applied_index"]
        connections = [Connection(node.http, scaled(10)) for _ in range(6)]
        for i, lease in enumerate(leases):
            connections[i % 6].send(encode("POST", f"/v1/leases/{lease.id}/keepalive", None, None,
                                           node.http))
        for connection in connections:
            for _ in range(count // 6):
                reply = connection.read_final()
                assert reply.status == 200, reply
            connection.close()
        after = node.metrics()
        batches = (after["minikv_lease_renewal_batches_total"]
                   - before["minikv_lease_renewal_batches_total"])
        entries = node.status()["applied_index"] - entries
        assert after["minikv_lease_renewals_total"] - before["minikv_lease_renewals_total"] == count
        assert batches <= count / 5, f"{batches} commands for {count} keep-alives"
        assert entries <= batches + 10, f"{entries} entries for {batches} commands"
        report(f"{count} keep-alives in {batches:.0f} entries")


class Keeper(threading.Thread):
    """Keeps leases alive at nodes that change, until it is told to stop."""

    def __init__(self, cluster, leases, pause, seed):
        super().__init__(daemon=True)
        self.cluster, self.leases, self.pause = cluster, leases, pause
        self.random = random.Random(seed)
        self.stops, self.count, self.error = threading.Event(), 0, None

    def run(self):
        try:
            while not self.stops.is_set():
                for lease in self.leases:
                    node = self.random.choice(self.cluster.nodes)
                    if node.is_up:
                        self.count += lease.keep_alive(node, timeout=2.0)
                self.stops.wait(self.pause)
        except BaseException as error:  # pylint: disable=broad-except
            self.error = error

    def end(self):
        self.stops.set()
        self.join(scaled(30))
        assert not self.is_alive()
        if self.error is not None:
            raise self.error


def look_at_all(cluster, leases):
    """How many are gone somewhere; none of them early."""
    return sum(any([lease.is_gone(node) for node in cluster.up()]) for lease in leases)


@limit(240)
def test_no_lease_ends_early_while_leaders_are_killed_and_stopped():
    ttl_ms = round(scaled(3) * 1000)
    choices = random.Random(SEED)
    print(f"seed {SEED}")
    with Cluster(3).start() as cluster:
        leases = make_leases(cluster, 12, ttl_ms)
        halves = leases[::2], leases[1::2]
        keepers = [Keeper(cluster, half, 0.3, choices.random()) for half in halves]
        for keeper in keepers:
            keeper.start()
        for i in range(KILLS):
            leader = cluster.leader()
            wakes_late = choices.random() < 0.5  # long after its leases' time, as it sees it
            if i % 2 == 0:
                leader.kill()
            else:
                leader.pause()
            until = time.monotonic() + (1.5 * ttl_ms / 1000 if wakes_late else 0.5)
            while time.monotonic() < until:
                look_at_all(cluster, leases)
                time.sleep(0.05)
            if i % 2 == 0:
                leader.start()
            else:
                leader.resume()
            cluster.wait_ready()
        held = len(leases) - look_at_all(cluster, leases)
        for keeper in keepers:
            keeper.end()
        assert_gone_everywhere(cluster, leases, timeout=60.0)
        kept = sum(keeper.count for keeper in keepers)
        assert kept > 0
        report(f"{KILLS} leaders lost, {kept} keep-alives acknowledged, {held} of 12 held throughout")


@limit(180)
def test_a_leader_stopped_for_longer_than_the_lease_ends_nothing():
    ttl_ms = round(scaled(2) * 1000)
    with Cluster(3).start() as cluster:
        leases = make_leases(cluster, 4, ttl_ms)
        old = cluster.leader()
        old.pause()
        others = [n for n in cluster.nodes if n is not old]
        until = time.monotonic() + 2 * ttl_ms / 1000
        while time.monotonic() < until:
            for i, lease in enumerate(leases):
                lease.keep_alive(others[i % 2], timeout=2.0)
            look_at_all(cluster, leases)
        old.resume()
        until = time.monotonic() + ttl_ms / 1000
        while time.monotonic() < until:
            for i, lease in enumerate(leases):
                lease.keep_alive(others[i % 2])
            look_at_all(cluster, leases)
        cluster.wait_ready()
        assert_gone_everywhere(cluster, leases, timeout=60.0)


def test_a_single_node_that_was_stopped_gives_its_holders_time():
    ttl_ms = round(scaled(3) * 1000)
    with Cluster(1).start() as cluster:
        node, = cluster.nodes
        lease = Lease(node, ttl_ms, ["k"])
        for stop in (0.4, 1.5):  # times the time to live
            node.pause()
            time.sleep(stop * lease.ttl)
            with Connection(node.http, scaled(10)) as connection:  # while it does not listen
                connection.send(encode("POST", f"/v1/leases/{lease.id}/keepalive", None, None,
                                       node.http))
                node.resume()
                reply = connection.read_final()
            assert reply.status == 200, (stop, reply)
            assert key_exists(node, "k"), stop

        node.pause()
        time.sleep(1.3 * lease.ttl)
        node.resume()
        assert lease.keep_alive(node)  # by one who did not ask before
        lease.revision = node.revision()
        assert_gone_everywhere(cluster, [lease])
