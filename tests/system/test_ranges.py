"""Ranges and the past with real processes: pages of one listing, listings as lines, reads at past revisions
at every node, after restarts and behind snapshots, and what compaction leaves."""
import json
import random
import threading

from checks import assert_problem
from cluster import Cluster, eventually, scaled
from http_client import Connection, encode
from living import LivingCluster
from testing import count_from_environment, limit, report

SEED = count_from_environment("MINIKV_TEST_SEED", random.SystemRandom().randrange(2**32))
LINES = {"Accept": "application/x-ndjson"}
PIPELINE = 64


class History:
    """The only writer of a cluster: it knows what every revision looked like."""

    def __init__(self, node, seed, keys_count=40):
        self.node = node
        self.random = random.Random(seed)
        self.keys = [f"h/{i:03}" for i in range(keys_count)]
        self.first = self.revision = node.revision()
        self.states = [{}]  # of first, first + 1 …

    def write(self, value_bytes=20):
        """One change of one key."""
        state = dict(self.states[-1])
        key = self.random.choice(self.keys)
        is_delete = key in state and self.random.random() < 0.25
        self.revision += 1
        if is_delete:
            del state[key]
            reply = self.node.request("DELETE", f"/v1/kv/{key}")
        else:
            value = f"{self.revision}." + "x" * self.random.randrange(value_bytes)
            old = state.get(key)
            state[key] = {"key": key, "value": value, "mod_revision": self.revision, "lease": 0,
                          "create_revision": old["create_revision"] if old else self.revision,
                          "version": old["version"] + 1 if old else 1}
            reply = self.node.put(key, value)
            assert reply.header("ETag") == f'"{self.revision}"', reply
        assert reply.status == 204, reply
        self.states.append(state)

    def write_some(self, count, value_bytes=20):
        for _ in range(count):
            self.write(value_bytes)

    def at(self, revision):
        return self.states[revision - self.first]

    def items(self, revision):
        state = self.at(revision)
        return [state[key] for key in sorted(state)]

    def some_revisions(self, count, oldest=None):
        oldest = max(oldest or self.first, self.first)
        found = {oldest, self.revision, *(self.random.randint(oldest, self.revision)
                                          for _ in range(count))}
        return sorted(found)

    def check_at(self, node, revision):
        """Listing, lines, count, and each key."""
        items = self.items(revision)
        assert pages(node, f"/v1/kv?prefix=h/&limit=7&rev={revision}") == (items, revision), revision
        assert lines(node, f"/v1/kv?prefix=h/&rev={revision}") == (items, revision), revision
        backwards = pages(node, f"/v1/kv?prefix=h/&limit=9&order=desc&rev={revision}")
        assert backwards == (items[::-1], revision), revision
        count = node.request("GET", f"/v1/kv?prefix=h/&count_only&rev={revision}").json
        assert count["count"] == len(items) and count["revision"] == revision, count
        key = self.random.choice(self.keys)
        reply = node.get(key, f"?rev={revision}")
        if key in self.at(revision):
            assert reply.json == self.at(revision)[key], (revision, reply)
        else:
            assert_problem(reply, 404, code="not-found")

    def check(self, nodes, oldest=None, count=5):
        for node in nodes:
            for revision in self.some_revisions(count, oldest):
                self.check_at(node, revision)

    def check_compacted(self, nodes, compacted):
        for node in nodes:
            for revision in {self.first, compacted - 1}:
                for target in (f"/v1/kv/{self.keys[0]}?rev={revision}",
                               f"/v1/kv?rev={revision}", f"/v1/kv?count_only&rev={revision}"):
                    assert_compacted(node.request("GET", target), compacted)
                assert_compacted(node.request("GET", f"/v1/kv?rev={revision}", headers=LINES),
                                 compacted)


def assert_compacted(reply, compacted):
    problem = assert_problem(reply, 410, code="compacted")
    assert reply.header("X-MiniKV-Compacted") == str(compacted), reply
    assert str(compacted) in problem["detail"] or "X-MiniKV-Compacted" in problem["detail"], reply


def next_target(reply):
    link = reply.header("Link")
    if link is None:
        assert reply.json["next"] is None, reply
        return None
    assert link.startswith("</v1/kv?") and link.endswith('>; rel="next"'), link
    return link[1:].partition(">")[0]


def pages(nodes, target):
    """All items, by following the links, at each of `nodes` in turn; and their one revision."""
    nodes = nodes if isinstance(nodes, list) else [nodes]
    items, revisions, turn = [], set(), 0
    while target:
        reply = nodes[turn % len(nodes)].request("GET", target)
        assert reply.status == 200, reply
        items += reply.json["items"]
        revisions.add(reply.json["revision"])
        target = next_target(reply)
        turn += 1
    assert len(revisions) == 1, revisions
    return items, revisions.pop()


def lines(node, target):
    """The same as lines, of one request."""
    reply = node.request("GET", target, headers=LINES)
    assert reply.status == 200 and reply.header("Content-Type") == LINES["Accept"], reply
    found = [json.loads(line) for line in reply.body.splitlines()]
    end = found.pop()
    assert end["next"] is None and end["count"] == len(found), end
    return found, end["revision"]


def fill(node, prefix, count, value):
    """That many keys, over one connection."""
    with Connection(node.http, timeout=60) as connection:
        for start in range(0, count, PIPELINE):
            some = range(start, min(start + PIPELINE, count))
            connection.send(b"".join(
                encode("PUT", f"/v1/kv/{prefix}{i:06}", {"value": value}, None, node.http)
                for i in some))
            for _ in some:
                reply = connection.read_final("PUT")
                assert reply.status == 204, reply


class Background:
    """Runs a function again and again until the block ends; its errors are the block's."""

    def __init__(self, function):
        self.function, self.error, self.count = function, None, 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            while not self.stop.is_set():
                self.function()
                self.count += 1
        except BaseException as error:  # pylint: disable=broad-except
            self.error = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        if self.error:
            raise self.error


def test_pages_of_one_listing_are_of_one_revision_while_writes_go_on():
    with Cluster(3).start() as cluster:
        history = History(cluster.nodes[0], SEED, keys_count=150)
        history.write_some(200)
        seen = []
        with Background(history.write) as writes:
            for i in range(12):
                order = "desc" if i % 3 == 2 else "asc"
                target = f"/v1/kv?prefix=h/&limit=11&order={order}"
                begun = writes.count
                seen.append((order, *pages(cluster.nodes[i % 3:] + cluster.nodes[:i % 3], target)))
                seen.append(("asc", *lines(cluster.nodes[i % 3], "/v1/kv?prefix=h/")))
                eventually(lambda n=begun: writes.count > n or writes.error, "a write meanwhile")
        for order, items, revision in seen:
            wanted = history.items(revision)
            assert items == (wanted[::-1] if order == "desc" else wanted), revision
        assert len({revision for _, _, revision in seen}) > 5
        report(f"{len(seen)} listings over {writes.count} writes (seed {SEED})")


def test_the_past_is_the_same_at_all_nodes_after_a_restart_and_behind_a_snapshot():
    with LivingCluster(3, ["--snapshot-bytes", "65536"]).start() as cluster:
        history = History(cluster.nodes[1], SEED)
        history.write_some(400, value_bytes=1000)
        history.check(cluster.nodes)

        cluster.kill_all()
        cluster.start()
        history.check(cluster.nodes)

        away = cluster.followers()[0]
        away.kill()
        history.node = next(n for n in cluster.nodes if n is not away)
        history.write_some(300, value_bytes=1000)
        away.start()
        cluster.wait_ready()
        history.check([away], count=10)
        joined = cluster.join()
        assert joined.metrics()["minikv_snapshots_installed_total"] >= 1
        history.check([joined], count=10)
        assert joined.status()["compacted"] == 1
        cluster.assert_same_state()

        cluster.kill_all()
        cluster.start()
        history.check(cluster.nodes, count=3)


def test_what_is_compacted_is_gone_at_every_node_and_stays_so():
    with LivingCluster(3, ["--snapshot-bytes", "65536"]).start() as cluster:
        history = History(cluster.nodes[0], SEED)
        history.write_some(200, value_bytes=1000)
        middle = (history.first + history.revision) // 2

        reply = cluster.followers()[0].request("POST", "/v1/compact", {"revision": middle})
        assert reply.status == 200 and reply.json == {"compacted": middle}, reply
        history.check_compacted(cluster.nodes, middle)
        history.check(cluster.nodes, oldest=middle)
        for node in cluster.nodes:
            again = node.request("POST", "/v1/compact", {"revision": middle})
            assert again.status == 200 and again.json == {"compacted": middle}, again
            assert_compacted(node.request("POST", "/v1/compact", {"revision": middle - 1}), middle)
            assert_problem(node.request("POST", "/v1/compact", {"revision": history.revision + 1}),
                           400, code="revision-future")
            eventually(lambda n=node: n.metrics()["minikv_compacted_revision"] == middle,
                       "it has compacted, too")

        cluster.kill_all()
        cluster.start()
        history.check_compacted(cluster.nodes, middle)
        history.node = cluster.nodes[0]
        history.write_some(200, value_bytes=1000)
        joined = cluster.join()
        history.check_compacted([joined], middle)
        history.check(cluster.nodes, oldest=middle, count=3)

        now = history.revision
        assert joined.request("POST", "/v1/compact", {"revision": now}).status == 200
        history.check_compacted(cluster.nodes, now)
        history.check(cluster.nodes, oldest=now)
        for node in cluster.nodes:
            eventually(lambda n=node: n.metrics()["minikv_past_events"] == 0, "the past is gone")
        cluster.assert_same_state()


def test_the_limits_of_a_listing_are_where_they_are_said_to_be():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        fill(node, "k", 1001, "v")
        page = node.request("GET", "/v1/kv?limit=1000").json
        assert len(page["items"]) == 1000 and page["next"] == "k000999", page["next"]
        assert len(node.request("GET", "/v1/kv").json["items"]) == 1000
        for query in ("limit=1001", "limit=0", "limit=-1", "limit=01", "order=up", "rev=0",
                      "count_only=2", "limit=1&limit=2", "offset=1"):
            assert_problem(node.request("GET", f"/v1/kv?{query}"), 400, code="bad-query")
        reply = node.request("GET", "/v1/kv?limit=1001", headers=LINES)
        assert reply.body.count(b"\n") == 1002, len(reply.body)
        for name in ("prefix", "start", "end", "after"):
            assert node.request("GET", f"/v1/kv?{name}={'k' * 4096}").status == 200
            assert_problem(node.request("GET", f"/v1/kv?{name}={'k' * 4097}"), 414,
                           code="key-too-long")

        revision = node.revision()
        assert node.request("GET", f"/v1/kv?rev={revision}").status == 200
        assert_problem(node.request("GET", f"/v1/kv?rev={revision + 1}"), 400,
                       code="revision-future")
        streams = []
        for _ in range(64):  # each reads nothing
            streams.append(Connection(node.http))
            streams[-1].send(encode("GET", "/v1/kv", None, LINES, node.http))
        metrics = node.metrics()
        assert metrics["minikv_walks"] <= 64
        for stream in streams:
            assert stream.read_final().status == 200
            stream.close()


@limit(120)
def test_a_long_listing_takes_little_memory_and_holds_up_nobody():
    keys, value, readers = 20_000, "v" * 1000, 4
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        fill(node, "k", keys, value)
        before = node.memory_kib()
        streams = [Connection(node.http, timeout=60) for _ in range(readers)]
        for stream in streams:
            stream.send(encode("GET", "/v1/kv", None, LINES, node.http))
        eventually(lambda: node.metrics()["minikv_walks"] == readers, "all listings have begun")

        for i in range(200):  # the readers read nothing, and everybody else is served
            assert node.put("k000000", f"changed {i}").status == 204
            assert node.get("k000001").status == 200
        assert node.request("GET", "/v1/kv?count_only").json["count"] == keys
        grown = node.memory_kib() - before
        is_sanitized = scaled(1) > 1  # then what was freed is kept for a while
        assert grown < 16 * 1024 or is_sanitized, f"{grown} KiB more for {readers} listings"

        revisions = set()
        for stream in streams:
            reply = stream.read_final()
            *items, end = reply.body.splitlines()
            end = json.loads(end)
            assert end["count"] == len(items) == keys and end["next"] is None, end
            assert json.loads(items[0])["value"] == value  # as it was
            revisions.add(end["revision"])
            stream.close()
        assert len(revisions) == 1, revisions
        report(f"{readers} listings of {keys} keys: {grown} KiB more while nobody read")


def test_compaction_that_overtakes_a_listing_is_its_last_line():
    keys, value = 20_000, "v" * 1000
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        fill(node, "k", keys, value)
        with Connection(node.http, timeout=60) as stream:
            stream.send(encode("GET", "/v1/kv", None, LINES, node.http))
            eventually(lambda: node.metrics()["minikv_walks"] == 1, "the listing has begun")
            assert node.put("k000000", "changed").status == 204
            now = node.revision()
            assert node.request("POST", "/v1/compact", {"revision": now}).status == 200
            *items, end = stream.read_final().body.splitlines()
            problem = json.loads(end)
            assert problem["type"] == "urn:minikv:compacted" and problem["status"] == 410, problem
            assert 0 < len(items) < keys
            assert json.loads(items[0])["value"] == value
            assert stream.request("GET", "/livez").status == 200  # the body ended properly


def test_a_stopped_node_ends_its_listings_with_the_reason():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        fill(node, "k", 20_000, "v" * 1000)
        with Connection(node.http, timeout=60) as stream:
            stream.send(encode("GET", "/v1/kv", None, LINES, node.http))
            eventually(lambda: node.metrics()["minikv_walks"] == 1, "the listing has begun")
            node.terminate()
            end = json.loads(stream.read_final().body.splitlines()[-1])
            assert end["type"] == "urn:minikv:shutting-down", end
        assert node.wait_exit() == 0


def txn_target(node, operations):
    return encode("POST", "/v1/txn", {"success": operations}, None, node.http)


def delete_many(node, prefix, count):
    """That many keys are made and deleted: they are passed over until that is compacted."""
    with Connection(node.http, timeout=60) as connection:
        for start in range(0, count, 100):
            puts = [{"put": {"key": f"{prefix}{i:06}", "value": "v"}}
                    for i in range(start, start + 100)]
            connection.send(txn_target(node, puts))
            assert connection.read_final().status == 200
        connection.send(txn_target(node, [{"delete": {"prefix": prefix}}]))
        assert connection.read_final().json["results"][0]["delete"]["deleted"] == count


@limit(120)
def test_keys_and_versions_that_are_passed_over_hold_up_nobody():
    deleted, versions, pipeline = 20_000, 5_000, 60
    with Cluster(3).start() as cluster:
        node = cluster.leader()
        delete_many(node, "t/", deleted)
        assert node.put("a", "here").status == 204
        first = node.revision()
        fill(node, "k", 1, "first")
        with Connection(node.http, timeout=60) as connection:
            for start in range(0, versions, PIPELINE):
                some = range(start, min(start + PIPELINE, versions))
                connection.send(b"".join(encode("PUT", "/v1/kv/k000000", {"value": str(i)}, None,
                                                node.http) for i in some))
                for _ in some:
                    assert connection.read_final("PUT").status == 204
        targets = {"/v1/kv?prefix=t/&limit=1": '"items":[],"next":null',
                   "/v1/kv?prefix=t/&count_only": '"count":0',
                   f"/v1/kv/k000000?rev={first + 1}": '"value":"first"',
                   f"/v1/kv?start=k&end=l&rev={first + 1}": '"value":"first"'}

        def listings_answered():
            return sum(count for name, count in node.metrics().items()
                       if name.startswith("minikv_http_requests_total{") and '"/v1/kv"' in name)

        def comes_between():
            """A request that is sent behind all those is answered before some of them."""
            before = listings_answered()
            streams = []
            for target in targets:
                streams.append(Connection(node.http, timeout=60))
                streams[-1].send(encode("GET", target + "&consistency=stale", None, None,
                                        node.http) * pipeline)
            meanwhile = listings_answered() - before
            for stream, wanted in zip(streams, targets.values()):
                replies = [stream.read_final() for _ in range(pipeline)]
                assert all(r.status == 200 and wanted in r.body.decode() for r in replies), replies[0]
                stream.close()
            assert listings_answered() - before == 3 * pipeline
            return meanwhile < 3 * pipeline

        eventually(comes_between, "others are served in between", timeout=60)
        assert node.get("a").json["value"] == "here"
