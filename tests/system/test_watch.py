"""Watches on real processes: through the death of a leader, at one node after the other, and in crowds."""
import random
import resource
import select
import signal
import socket
import threading
import time

from checks import assert_problem
from cluster import Cluster, eventually, scaled
from http_client import Client, Closed, identity
from testing import OutOfTime, in_time, limit, report
from watching import EventStream, Stream, Watcher, place_of

EVENTS = 3000
KEYS = 50
CROWD = 10000
DESCRIPTORS_SPARE = 300


class Source(threading.Thread):
    """Writes one after the other, each repeated until it is answered; `events` is what came of them:
    [(id, "put" or "delete", key)]."""

    def __init__(self, nodes, seed, count=EVENTS):
        super().__init__(daemon=True)
        self.nodes, self.random, self.count = nodes, random.Random(seed), count
        self.events, self.keys, self.sequence, self.error = [], set(), 0, None

    def run(self):
        try:
            while len(self.events) < self.count:
                self.write()
        except BaseException as error:
            self.error = error

    def write(self):
        keys = sorted(f"k{n:02}" for n in self.random.sample(range(KEYS), self.random.randint(1, 6)))
        kinds = {k: "delete" if k in self.keys and self.random.random() < 0.3 else "put"
                 for k in keys}
        body = {"success": [{"put": {"key": k, "value": f"{self.sequence}"}} if kind == "put"
                            else {"delete": {"key": k}} for k, kind in kinds.items()]}
        revision = self.send(body).json["revision"]
        for number, (key, kind) in enumerate(kinds.items(), 1):
            event_id = f"{revision}" if number == len(keys) else f"{revision}.{number}"
            self.events.append((event_id, kind, key))
            (self.keys.add if kind == "put" else self.keys.discard)(key)

    def send(self, body):
        self.sequence += 1
        headers = identity("source", self.sequence, self.sequence - 1)
        end = time.monotonic() + scaled(30)
        while time.monotonic() < end:
            client = Client(self.random.choice(self.nodes).http, scaled(0.5))
            reply = client.attempt("POST", "/v1/txn", body, headers).reply
            client.close()
            if reply is not None and reply.status not in (502, 503, 504):
                assert reply.status == 200, reply
                return reply
            time.sleep(0.01)
        raise OutOfTime("a write was not answered for too long")

    def wait(self, part=1.0):
        """Until so much of it is done."""
        eventually(lambda: self.error or len(self.events) >= part * self.count,
                   f"{part:.0%} of the writes are done", 120)
        if self.error:
            raise self.error


def assert_sent(source, events, prefix=""):
    """Each of the source's events once, in order."""
    wanted = [e for e in source.events if e[2].startswith(prefix)]
    found = [(i, kind, data["key"]) for i, kind, data in events]
    for number, (want, got) in enumerate(zip(wanted, found)):
        assert want == got, f"event {number} is {got}, want {want}"
    assert len(found) == len(wanted), f"{len(found)} events, want {len(wanted)}"
    places = [place_of(i) for i, _, _ in found]
    assert places == sorted(set(places))


def read(stream, count):
    events = []
    while len(events) < count:
        what = stream.next()
        if what[0] == "event":
            assert what[2] != "error", what
            events.append(what[1:])
    return events


@limit(180)
def test_a_watch_at_a_follower_outlives_the_leader():
    with Cluster() as cluster:
        cluster.start()
        leader, (follower, *_) = cluster.roles()
        stream = EventStream(follower.http, "/v1/watch?prefix=&from=2", timeout=scaled(30))
        source = Source(cluster.nodes, 1)
        source.start()
        source.wait(0.3)
        leader.kill()
        source.wait(0.6)
        leader.start()
        source.wait()
        assert_sent(source, read(stream, len(source.events)))
        stream.close()


@limit(240)
def test_a_watch_goes_on_at_another_node_behind_its_last_id():
    """Nodes die, are stopped and start again, the one that is watched too."""
    with Cluster() as cluster:
        cluster.start()
        source = Source(cluster.nodes, 2)
        watchers = [Watcher(cluster.nodes, f"prefix={prefix}&from=2", seed, stall_seconds=3)
                    for seed, prefix in enumerate(["", "", "k1", "k33"])]
        for thread in watchers + [source]:
            thread.start()
        for part, way in ((0.15, "kill"), (0.4, "pause"), (0.65, "kill"), (0.85, "terminate")):
            source.wait(part)
            node = watchers[0].node if way != "pause" else cluster.leader(30)
            if way == "pause":
                node.pause()
                source.wait(part + 0.02)
                node.resume()
            else:
                node.kill() if way == "kill" else (node.terminate(), node.wait_exit(20))
                source.wait(part + 0.05)
                node.start()
            cluster.wait_ready(announced=False, timeout=60)
        source.wait()
        for watcher in watchers:
            wanted = [e for e in source.events if e[2].startswith(watcher.query[7:].split("&")[0])]
            eventually(lambda: watcher.error or len(watcher.events) >= len(wanted),
                       f"{watcher.query} has come to its end", 60)
            watcher.stop()
            assert_sent(source, watcher.events, watcher.query[7:].split("&")[0])
        assert watchers[0].resumes >= 3
        report(f"{len(source.events)} events; resumed {sum(w.resumes for w in watchers)} times, "
               f"{sum(len(w.told) for w in watchers)} times told to")


@limit(120)
def test_a_node_that_stops_sends_its_watchers_elsewhere():
    with Cluster() as cluster:
        cluster.start()
        node, other = cluster.followers()
        node.put("a", "1")
        events = EventStream(node.http, "/v1/watch?key=a&from=2", timeout=scaled(10))
        lines = Stream(node.http, "/v1/watch?key=a&from=2", timeout=scaled(10),
                       accept="application/x-ndjson")
        first, = read(events, 1)
        node.terminate()
        while (what := events.next())[0] != "event":
            pass
        assert what[2] == "error" and what[3]["type"] == "urn:minikv:shutting-down", what
        try:
            while True:
                lines.line()
        except Closed:
            assert lines.is_whole  # the last chunk came
        assert node.wait_exit(20) == 0
        other.put("a", "2")
        stream = EventStream(other.http, "/v1/watch?key=a", {"Last-Event-ID": first[0]},
                             scaled(10))
        second, = read(stream, 1)
        assert second[2]["value"] == "2"
        for s in (events, lines, stream):
            s.close()


@limit(180)
def test_a_watch_goes_on_in_a_state_that_was_fetched():
    """The node was away for so long that it gets a snapshot, and its watcher notices nothing."""
    with Cluster(flags=["--snapshot-bytes", "65536"]) as cluster:
        cluster.start()
        node = cluster.followers()[0]
        others = [n for n in cluster.nodes if n is not node]
        stream = EventStream(node.http, "/v1/watch?prefix=k&from=2", timeout=scaled(60))
        source = Source(others, 3, 600)
        node.put("k00", "before")
        source.keys.add("k00")
        read(stream, 1)
        node.pause()
        source.start()
        client = Client(others[0].http)
        for i in range(100):
            attempt = client.attempt("PUT", f"/v1/kv/other{i % 8}", {"value": "x" * 100_000})
            assert attempt.ok, attempt
        source.wait()
        for other in others:  # what is in memory of the log could feed it, too
            other.kill()
            other.start()
            cluster.wait_ready(announced=False)
        node.resume()
        eventually(lambda: node.metrics()["minikv_snapshots_installed_total"] >= 1,
                   "a snapshot is installed", 60)
        events = read(stream, len(source.events))
        assert [(k, d["key"]) for _, k, d in events] == [e[1:] for e in source.events]
        places = [place_of(i) for i, _, _ in events]
        assert places == sorted(set(places))
        stream.close()


def test_a_place_that_is_compacted_is_told():
    with Cluster(count=1) as cluster:
        cluster.start()
        node, = cluster.nodes
        for i in range(10):
            node.put("a", str(i))
        slow = EventStream(node.http, "/v1/watch?key=a", timeout=scaled(10))
        assert node.request("POST", "/v1/compact", {"revision": 8}).status == 200
        reply = node.request("GET", "/v1/watch?key=a&from=8")
        assert_problem(reply, 410, code="compacted")
        assert reply.header("X-MiniKV-Compacted") == "8"
        stream = EventStream(node.http, "/v1/watch?key=a", {"Last-Event-ID": "8"}, scaled(10))
        assert [e[0] for e in read(stream, 3)] == ["9", "10", "11"]
        node.put("a", "more")
        assert [e[0] for e in read(slow, 1)] == ["12"]
        slow.close()
        stream.close()


def poll_in_vain(node):
    """The answer, if it took its time: what this node takes for now may be of before it stood still."""
    begin = time.monotonic()
    reply = node.request("GET", "/v1/watch?prefix=a&poll_ms=300").json
    assert reply["events"] == [], reply
    return reply if time.monotonic() - begin > 0.25 else None


def test_long_polls_follow_each_other():
    with Cluster(count=1) as cluster:
        cluster.start()
        node, = cluster.nodes
        reply = eventually(lambda: poll_in_vain(node), "a poll that waits")
        source = Source(cluster.nodes, 4, 400)
        source.start()
        events = []
        while source.is_alive() or len(events) < len(source.events):
            reply = node.request("GET", f"/v1/watch?prefix=k&poll_ms=2000&from_id={reply['next']}")
            assert reply.status == 200, reply
            reply = reply.json
            events += [(e["id"], e["event"], e["data"]) for e in reply["events"]]
        source.wait()
        assert_sent(source, events)


@limit(180)
def test_ten_thousand_watches_at_one_node():
    """As many as descriptors allow, here and there; each gets the event."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(CROWD, hard - DESCRIPTORS_SPARE)
    with Cluster(count=1) as cluster:
        cluster.start()
        node, = cluster.nodes
        before = node.memory_kib()
        watches, poll = {}, select.epoll()
        try:
            for i in range(count):
                watch = socket.create_connection(node.http, scaled(10))
                watch.sendall(b"GET /v1/watch?key=k%d HTTP/1.1\r\nHost: x\r\n\r\n" % (i % 2))
                watches[watch.fileno()] = watch
                poll.register(watch, select.EPOLLIN)

            def wait_for(mark, wanted):
                seen, end = {}, time.monotonic() + scaled(60)
                while sum(mark in s for s in seen.values()) < wanted:
                    in_time(time.monotonic() < end, f"{len(seen)} of {wanted} have {mark}")
                    for descriptor, _ in poll.poll(1):
                        data = watches[descriptor].recv(65536)
                        assert data, "a watch has ended"
                        seen[descriptor] = seen.get(descriptor, b"") + data

            wait_for(b"minikv revision", count)
            assert node.metrics()["minikv_watchers"] == count
            each = (node.memory_kib() - before) / count
            begin = time.monotonic()
            node.put("k0", "v")
            wait_for(b"event: put", (count + 1) // 2)
            took = time.monotonic() - begin
            report(f"{count} watches, {each:.1f} KiB each; an event was with {(count + 1) // 2} of "
                   f"them after {took * 1000:.0f} ms")
        finally:
            poll.close()
            for watch in watches.values():
                watch.close()
        eventually(lambda: node.metrics()["minikv_watchers"] == 0, "all are forgotten", 30)
