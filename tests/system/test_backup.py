"""Backups under load, and clusters that begin with one."""
import hashlib
import os
import random
import socket
import threading
import time

from checks import assert_problem
from cluster import EXIT_CORRUPT, EXIT_LOCKED, Cluster, eventually, listing
from http_client import NONE, Client, Closed, Malformed
from test_cli import FAILURE, OK, UNAVAILABLE, USAGE, minikv
from testing import in_time, limit, report

KEYS = 40  # of each writer


class Writer(threading.Thread):
    """Counts up in keys of its own, each write under an identity, until told to stop. Knows for
    each key what has been acknowledged and what has been tried."""

    def __init__(self, cluster, name):
        super().__init__(daemon=True)
        self.cluster, self.name = cluster, name
        self.acked, self.tried = {}, {}
        self.sequence = 0
        self.is_stopping = False
        self.trouble = None

    def run(self):
        try:
            while not self.is_stopping:
                self.write()
        except BaseException as trouble:  # told by stop()
            self.trouble = trouble

    def write(self):
        self.sequence += 1
        key = f"{self.name}-{self.sequence % KEYS}"
        self.tried[key] = self.sequence
        headers = {"X-MiniKV-Client-Id": self.name, "X-MiniKV-Sequence": str(self.sequence)}
        while not self.is_stopping:
            node = random.choice(self.cluster.nodes)
            try:
                reply = node.put(key, str(self.sequence), headers, timeout=3.0)
            except (OSError, Closed, Malformed):
                time.sleep(0.01)
                continue
            if reply.status == 204:
                self.acked[key] = self.sequence
                return
            assert reply.status in (502, 503, 504), reply

    def stop(self):
        self.is_stopping = True
        self.join(30)
        assert self.trouble is None, self.trouble


def backup(cluster, path, *arguments, at=None):
    return minikv("backup", path, *arguments, at=cluster.nodes if at is None else at)


def restore(path, cluster, nodes=None):
    """Each node of a cluster that has not been started gets the backup."""
    for node in nodes or cluster.nodes:
        os.makedirs(node.directory, exist_ok=True)
        result = minikv("restore", path, node.data, "--id", str(node.id), "--initial-cluster",
                        cluster.initial_cluster())
        assert result.code == OK, result


def state(node):
    """All keys with their revisions."""
    return listing(node)


def fill(node, keys, value_bytes=1000):
    client = Client(node.http)
    for i in range(keys):
        value = hashlib.sha256(str(i).encode()).hexdigest() * (value_bytes // 64 + 1)
        assert client.attempt("PUT", f"/v1/kv/filled-{i}", {"value": value[:value_bytes]}).ok
    client.close()


@limit(180)
def test_a_backup_taken_while_members_die_holds_all_that_was_acknowledged_before():
    with Cluster(3, ["--snapshot-bytes", "262144"]).start() as cluster:
        writers = [Writer(cluster, f"w{i}") for i in range(4)]
        for writer in writers:
            writer.start()
        assert cluster.node(1).incr("orders", 7, {"Idempotency-Key": '"order-1"'}).status == 200
        taken = []
        for turn in range(6):
            victim = cluster.node(turn % 3 + 1)
            enough = sum(w.sequence for w in writers) + 150
            eventually(lambda: sum(w.sequence for w in writers) > enough, "writes go on", 20)
            before = {k: v for w in writers for k, v in dict(w.acked).items()}
            path = os.path.join(cluster.directory, f"backup-{turn}")
            killer = threading.Timer(random.uniform(0, 0.05), victim.kill)
            killer.start()
            others = [n for n in cluster.nodes if n is not victim]
            result = eventually(
                lambda: (r := backup(cluster, path, at=[victim, *others])).code == OK and r,
                "a backup succeeds while a node dies", 30)
            assert not os.path.exists(path + ".tmp")
            killer.join()
            victim.start()
            cluster.wait_ready()
            taken.append((path, before, {k: v for w in writers for k, v in dict(w.tried).items()}))
        for writer in writers:
            writer.stop()
        cluster.assert_same_state()
        last = os.path.join(cluster.directory, "last")
        assert backup(cluster, last).code == OK
        wanted = state(cluster.node(1))
        revision = cluster.node(1).revision()

        with Cluster(3) as fresh:
            restore(last, fresh)
            fresh.start()
            assert state(fresh.node(2)) == wanted
            assert fresh.node(3).revision() == revision
            fresh.assert_same_state()

            # What was answered there is answered here, and not done again.
            again = fresh.node(2).incr("orders", 7, {"Idempotency-Key": '"order-1"'})
            assert again.status == 200 and again.json == {"value": 7} and again.is_replayed, again
            assert fresh.node(1).value("orders") == "7"
            assert fresh.node(1).put("after", "x").status == 204
            fresh.kill_all()
            fresh.start()
            assert fresh.node(3).value("after") == "x"
            fresh.assert_same_state()

        path, before, tried = random.choice(taken)
        with Cluster(1) as fresh:
            restore(path, fresh)
            fresh.start()
            there = {i["key"]: int(i["value"]) for i in state(fresh.node(1))}
            for key, sequence in before.items():
                assert sequence <= there.get(key, -1) <= tried[key], (path, key)
        report(f"{len(taken)} backups, {revision} revisions")


def test_nodes_restored_from_one_file_begin_with_the_same_bytes():
    with Cluster(3).start() as cluster, Cluster(3) as fresh:
        fill(cluster.node(1), 50)
        path = os.path.join(cluster.directory, "backup")
        result = backup(cluster, path, "-o", "json")
        assert result.code == OK, result
        restore(path, fresh)
        files = []
        for node in fresh.nodes:
            names = os.listdir(os.path.join(node.data, "snap"))
            assert len(names) == 1
            with open(os.path.join(node.data, "snap", names[0]), "rb") as file:
                files.append((names[0], file.read()))
        assert files[0] == files[1] == files[2]

        # The same addresses, but neither the old cluster nor one made anew from them.
        fresh.start()
        restored_id = fresh.node(1).request("GET", "/v1/raft/identity").json["cluster_id"]
        assert restored_id != result.json["cluster_id"]
        fresh.kill_all()
        stranger = fresh.node(3)
        os.rename(stranger.data, stranger.data + ".old")
        for node in fresh.nodes:
            node.start()
        leader = eventually(lambda: next((n for n in fresh.nodes[:2]
                                          if n.status()["role"] == "leader"), None),
                            "two restored nodes elect a leader")
        assert leader.put("k", "v").status == 204
        eventually(stranger.is_answering, "the stranger answers")
        assert stranger.request("GET", "/v1/raft/identity").json["cluster_id"] != restored_id
        assert stranger.status()["applied_index"] < leader.status()["applied_index"]
        assert stranger.get("k", "?consistency=stale").status == 404


def test_a_restored_cluster_of_one_grows_by_joining():
    with Cluster(3).start() as cluster, Cluster(3) as fresh:
        fill(cluster.node(2), 20)
        path = os.path.join(cluster.directory, "backup")
        assert backup(cluster, path).code == OK
        first = fresh.node(1)
        os.makedirs(first.directory)
        result = minikv("restore", path, first.data, "--id", "1", "--initial-cluster",
                        f"1={first.peer_text}")
        assert result.code == OK, result
        for node in fresh.nodes:
            arguments = node.arguments()
            at = arguments.index("--initial-cluster")
            arguments[at:at + 2] = [] if node is first else ["--join", first.http_text]
            node.start(arguments)
        eventually(lambda: [m["voter"] for m in first.members().values()] == [True] * 3,
                   "both have joined and vote", 20)
        eventually(lambda: fresh.find_leader(), "a leader")
        assert state(fresh.node(3)) == state(cluster.node(1))
        first.kill()
        eventually(lambda: fresh.node(2).put("k", "v").status == 204, "two of three go on")


def test_the_last_survivor_gives_what_it_has():
    with Cluster(3).start() as cluster:
        fill(cluster.node(1), 30)
        cluster.wait_caught_up()
        wanted = state(cluster.node(1))
        survivor = cluster.followers()[0]
        for node in cluster.nodes:
            if node is not survivor:
                node.kill()
        path = os.path.join(cluster.directory, "backup")

        refused = backup(cluster, path, at=[survivor])  # it may have missed something
        assert refused.code == UNAVAILABLE, refused
        assert not os.path.exists(path) and not os.path.exists(path + ".tmp")
        assert backup(cluster, path, "--stale", at=[survivor]).code == OK

        with Cluster(3) as fresh:
            restore(path, fresh)
            fresh.start()
            assert state(fresh.node(1)) == wanted


def broken_off(cluster, path, victim, others):
    """What a backup said whose node was killed while it sent. Where this process stands still the
    backup may come to its end before that, and another one is taken."""
    for _ in range(4):
        killed = []

        def kill_while_it_sends():
            eventually(lambda: victim.metrics()["minikv_backup_bytes_total"] > 500000,
                       "the backup is under way", 20)
            victim.kill()
            killed.append(victim)

        killer = threading.Thread(target=kill_while_it_sends)
        killer.start()
        result = backup(cluster, path, at=[victim, *others])
        killer.join()
        in_time(killed, "it was not killed")
        if result.code != OK or "asking the next node" in result.err:
            break
        victim.start()
        cluster.wait_ready()
        os.remove(path)
    return result


@limit(90)
def test_a_backup_that_breaks_off_leaves_nothing_or_goes_on_at_the_next_node():
    with Cluster(3, ["--snapshot-rate", "1048576"]).start() as cluster:
        fill(cluster.node(1), 300, 10000)  # three seconds at that pace, and three to take it
        path = os.path.join(cluster.directory, "backup")
        for others in ([], cluster.nodes[1:]):
            victim = cluster.node(1)
            result = broken_off(cluster, path, victim, others)
            assert not os.path.exists(path + ".tmp")
            if others:
                assert result.code == OK, result
                assert "asking the next node" in result.err, result
            else:
                assert result.code == UNAVAILABLE, result
                assert not os.path.exists(path)
            victim.start()
            cluster.wait_ready()

        # A stop does not wait for it either.
        stopping = threading.Thread(target=lambda: backup(cluster, path, at=[cluster.node(2)]))
        stopping.start()
        eventually(lambda: cluster.node(2).metrics()["minikv_backup_bytes_total"] > 200000,
                   "the backup is under way", 20)
        begin = time.monotonic()
        cluster.node(2).terminate()
        assert cluster.node(2).wait_exit() == 0
        in_time(time.monotonic() - begin < 4, "the stop took as long as a backup may take")
        stopping.join()


@limit(90)
def test_a_snapshot_that_is_pruned_meanwhile_is_sent_to_its_end():
    with Cluster(1, ["--snapshot-bytes", "1048576"]).start() as cluster, \
            Cluster(1) as fresh, socket.socket() as client:
        node = cluster.node(1)
        fill(node, 800, 20000)
        wanted = state(node)
        directory = os.path.join(node.data, "snap")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.settimeout(20)
        client.connect(node.http)
        client.sendall(b"GET /v1/snapshot HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = client.recv(65536)
        index = int(received.split(b"X-MiniKV-Snapshot-Index: ")[1].split()[0])

        def is_pruned():
            assert node.put("other", "x" * 200000).status == 204
            return not any(name.startswith(f"{index:016x}") for name in os.listdir(directory))

        eventually(is_pruned, "newer snapshots take its place", 30)
        assert node.metrics()["minikv_backup_bytes_total"] < 15000000  # it is still being sent
        while piece := client.recv(1 << 20):
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
        path = os.path.join(cluster.directory, "backup")
        with open(path, "wb") as file:
            file.write(body)
        restore(path, fresh)
        fresh.start()
        assert state(fresh.node(1)) == wanted


def test_what_cannot_be_restored_is_refused():
    with Cluster(1).start() as cluster:
        node = cluster.node(1)
        fill(node, 100)
        path = os.path.join(cluster.directory, "backup")
        assert backup(cluster, path).code == OK
        directory = os.path.join(cluster.directory, "restored")
        members = "1=127.0.0.1:7001"

        def restored(file, *arguments):
            return minikv("restore", file, directory, *arguments)

        for arguments in ([], ["--id", "1"], ["--initial-cluster", members],
                          ["--id", "2", "--initial-cluster", members],
                          ["--id", "1", "--initial-cluster", "1=:7001"],
                          ["--id", "1", "--initial-cluster", members + "," + members]):
            assert restored(path, *arguments).code == USAGE, arguments
        good = ["--id", "1", "--initial-cluster", members]
        with open(path, "rb") as file:
            whole = file.read()
        for name, content in (("short", whole[:-1]), ("long", whole + b"x"), ("empty", b""),
                              ("bad", whole[:5000] + b"\x00\xff\x00" + whole[5003:]),
                              ("other", b"not a backup" * 1000)):
            with open(path + name, "wb") as file:
                file.write(content)
            result = restored(path + name, *good)
            assert result.code == EXIT_CORRUPT, (name, result)
            assert not os.path.exists(directory)
        assert restored(path + "missing", *good).code in (FAILURE, 11)

        os.makedirs(directory)
        with open(os.path.join(directory, "something"), "w"):
            pass
        assert restored(path, *good).code == FAILURE
        assert os.listdir(directory) == ["something"]
        os.unlink(os.path.join(directory, "something"))
        assert restored(path, *good).code == OK
        assert restored(path, *good).code == FAILURE  # it holds a node's data now

        reply = node.request("POST", "/v1/snapshot")
        assert_problem(reply, 405, NONE, "method-not-allowed")


def test_backup_to_standard_output():
    with Cluster(1).start() as cluster:
        fill(cluster.node(1), 10)
        path = os.path.join(cluster.directory, "backup")
        assert backup(cluster, path).code == OK
        result = backup(cluster, "-")
        assert result.code == OK and "ok, " in result.err, result
        with open(path, "rb") as file:
            assert result.out == file.read()
        directory = os.path.join(cluster.directory, "restored")
        piped = minikv("restore", "-", directory, "--id", "3", "--initial-cluster",
                       "3=127.0.0.1:7003", stdin=result.out)
        assert piped.code == OK, piped


@limit(90)
def test_the_disk_of_the_last_survivor_becomes_a_cluster():
    """Whatever was acknowledged while it was a part of the majority is there."""
    flags = ["--snapshot-bytes", "65536"]
    with Cluster(3, flags).start() as cluster:
        fill(cluster.node(1), 300)
        survivor = cluster.followers()[0]
        absent = next(n for n in cluster.followers() if n is not survivor)
        absent.kill()  # from here on each acknowledged write is on the survivor's disk
        eventually(lambda: cluster.leader(), "two go on")
        cluster.nodes.remove(absent)
        writers = [Writer(cluster, f"w{i}") for i in range(4)]
        for writer in writers:
            writer.start()
        eventually(lambda: sum(w.sequence for w in writers) > 400, "writes go on", 30)
        cluster.kill_all()
        for writer in writers:
            writer.stop()
        path = os.path.join(cluster.directory, "new")
        arguments = ("restore", "--from-data-dir", survivor.data, path, "--id", "1",
                     "--initial-cluster")
        with Cluster(1, flags) as fresh:
            os.makedirs(fresh.node(1).directory)
            fresh.node(1).data = path
            result = minikv(*arguments, fresh.initial_cluster())
            assert result.code == OK, result
            fresh.start()
            there = {i["key"]: i["value"] for i in state(fresh.node(1))}
            assert sum(k.startswith("filled-") for k in there) == 300
            for writer in writers:
                for key, sequence in writer.acked.items():
                    assert sequence <= int(there[key]) <= writer.tried[key], key
                key = f"{writer.name}-{writer.sequence % KEYS}"
                assert fresh.node(1).put(key, str(writer.sequence), {
                    "X-MiniKV-Client-Id": writer.name,
                    "X-MiniKV-Sequence": str(writer.sequence)}).status == 204
                assert fresh.node(1).value(key) == str(writer.sequence)

        assert minikv(*arguments, "1=127.0.0.1:7001").code == FAILURE  # not empty any more
        survivor.start()
        eventually(survivor.is_answering, "the old node still starts")
        other = path + "-other"
        locked = minikv("restore", "--from-data-dir", survivor.data, other, "--id", "1",
                        "--initial-cluster", "1=127.0.0.1:7001")
        assert locked.code == EXIT_LOCKED, locked
        nothing = minikv("restore", "--from-data-dir", path + "-none", other, "--id", "1",
                         "--initial-cluster", "1=127.0.0.1:7001")
        assert nothing.code == FAILURE and not os.path.exists(path + "-none"), nothing
        cluster.nodes.append(absent)
