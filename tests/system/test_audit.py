"""minikv audit: proves from the directories of dead nodes what the living ones promised."""
import glob
import os
import random
import re
import shutil
import threading

from cluster import EXIT_CORRUPT, EXIT_LOCKED, Cluster, eventually
from http_client import Client, Connection, encode, identity
from living import LivingCluster, Steady
from test_cli import FAILURE, OK, USAGE, minikv
from testing import report


def audit(cluster, *arguments):
    return minikv("audit", *arguments, *(node.data for node in cluster.nodes))


def incr_at(node, client, sequence, key="n", timeout=2.0):
    return node.incr(key, headers=identity(client, sequence), timeout=timeout)


def incr_until_answered(nodes, client, sequence, chance):
    """The same write to one node after the other, until one has answered; and then once more."""
    while True:
        node = chance.choice(nodes)
        connection = Client(node.http, 2.0)
        attempt = connection.attempt("POST", "/v1/incr/n", {"by": 1}, identity(client, sequence))
        connection.close()
        if attempt.ok:
            return attempt


def segments(node):
    return sorted(glob.glob(node.data + "/wal/*.log"))


def test_a_cluster_that_was_killed_over_and_over_is_proven():
    clients, writes, rounds = 4, 60, 3
    with Cluster(3).start() as cluster:
        done = []

        def run(number):
            chance = random.Random(number)
            for sequence in range(1, writes + 1):
                for _ in range(chance.choice((1, 1, 2))):  # some are sent again, to any node
                    incr_until_answered(cluster.nodes, f"client-{number}", sequence, chance)
                done.append(number)

        threads = [threading.Thread(target=run, args=(i,)) for i in range(clients)]
        for thread in threads:
            thread.start()
        for i in range(rounds):
            eventually(lambda: len(done) > (i + 1) * clients * writes // (rounds + 1),
                       "the clients go on", timeout=60)
            victim = cluster.leader(30)
            victim.kill()
            victim.start()
        for thread in threads:
            thread.join()
        cluster.wait_ready()
        assert cluster.nodes[0].value("n") == str(clients * writes)
        cluster.wait_caught_up()
        cluster.kill_all()

        proof = audit(cluster, "-o", "json")

        assert proof.code == OK, proof
        answer = proof.json
        assert answer["proven"] is True and answer["violations"] == [], answer
        # A node may have applied what its own disk did not have yet when it was killed.
        whole = [node for node in answer["nodes"] if node["writes"] == clients * writes]
        assert len(whole) >= 2, answer
        states = {(node["last_index"], node["digest"]) for node in answer["nodes"]}
        assert len(states) == len({index for index, _ in states}), answer
        for node in answer["nodes"]:
            assert node["first_index"] == 2 and node["clients"] == clients, answer
        repeated = whole[0]["repeated"]
        text = audit(cluster)
        assert text.text.splitlines()[0].split()[:4] == ["NODE", "ENTRIES", "FIRST", "LAST"], text
        assert text.text.splitlines()[-1].startswith(
            f"proven: of {clients * writes} writes with identity none was carried out twice"), text
        report(f"{answer['common_index']} entries, {clients * writes} writes, {repeated} "
               "repetitions in the log")


def test_a_node_that_runs_keeps_its_directory_to_itself():
    with Cluster(3).start() as cluster:
        assert incr_at(cluster.nodes[0], "c", 1).status == 200
        cluster.nodes[0].kill()

        refused = audit(cluster)

        assert refused.code == EXIT_LOCKED and refused.out == b"", refused
        process = cluster.nodes[1].process.pid
        assert f"{cluster.nodes[1].data}: in use by process {process}" in refused.err, refused
        assert minikv("audit", cluster.nodes[0].data).code == OK
        cluster.nodes[0].start()  # the lock was given back
        cluster.wait_ready()


def test_an_audit_changes_nothing():
    def contents(directory):
        found = {}
        for root, _, names in os.walk(directory):
            for name in names:
                path = os.path.join(root, name)
                with open(path, "rb") as file:
                    found[path] = (file.read(), os.stat(path).st_mtime_ns)
        return found

    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        assert incr_at(node, "c", 1).status == 200
        node.kill()
        before = contents(node.data)
        assert audit(cluster).code == OK
        assert contents(node.data) == before
        copy = node.data + "-copy"
        shutil.copytree(node.data, copy)
        os.remove(copy + "/lock")  # a copy, of which nobody says that it is in use
        assert minikv("audit", copy).code == OK
        assert not os.path.exists(copy + "/lock")
        assert minikv("audit", copy, node.data).code == USAGE  # the same twice


def test_a_tail_that_only_a_dead_leader_has_is_noted_and_no_violation():
    with Cluster(3).start() as cluster:
        leader, others = cluster.roles()
        assert incr_at(leader, "c", 1).status == 200
        cluster.wait_caught_up()
        for node in others:
            node.kill()
        connection = Connection(leader.http)
        connection.send(encode("POST", "/v1/incr/alone", {"by": 1}, identity("c", 2), leader.http))
        eventually(lambda: any(b"alone" in open(path, "rb").read() for path in segments(leader)),
                   "the leader has written it, alone")
        leader.kill()
        connection.close()
        for node in others:
            node.start()
        eventually(lambda: incr_at(others[0], "d", 1).status == 200, "the others go on")
        for node in others:
            node.kill()

        proof = audit(cluster)

        assert proof.code == OK, proof
        assert re.search(rf"note: node {leader.id}, index \d+: from here on not the entries of node",
                         proof.text), proof


def test_two_histories_of_one_cluster_are_a_violation():
    with Cluster(3).start() as cluster:
        for sequence in range(1, 6):
            assert incr_at(cluster.nodes[0], "c", sequence).status == 200
        cluster.wait_durable()
        cluster.kill_all()
        old = cluster.nodes[0].data + "-old"
        os.rename(cluster.nodes[0].data, old)
        for node in cluster.nodes[1:]:
            shutil.rmtree(node.data)
        cluster.start()  # the same members, so the same cluster id, and everything lost
        for sequence in range(1, 6):
            assert incr_at(cluster.nodes[0], "d", sequence).status == 200
        cluster.wait_durable()
        cluster.kill_all()

        violated = minikv("audit", old, cluster.nodes[1].data)
        details = minikv("audit", "-o", "json", old, cluster.nodes[1].data).json

        assert violated.code == FAILURE, violated
        assert "VIOLATION: node 1, index " in violated.text, violated
        assert re.search(r"^violated: \d+ violations?$", violated.text.splitlines()[-1]), violated
        assert details["proven"] is False, details
        assert {violation["kind"] for violation in details["violations"]} == {"logs"}, details


def test_damage_is_told_from_a_violation():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        for sequence in range(1, 30):
            assert incr_at(node, "c", sequence).status == 200
        node.kill()
        with open(segments(node)[0], "r+b") as file:
            file.seek(4 * 4096 + 100)
            file.write(b"\xff" * 8)

        damaged = audit(cluster)

        assert damaged.code == EXIT_CORRUPT, damaged
        assert "0000000000000001.log: at offset 16384" in damaged.err, damaged


def test_what_is_no_data_directory_is_refused():
    missing = minikv("audit", "/nonexistent")
    assert missing.code == USAGE and "no such directory" in missing.err, missing
    file = minikv("audit", __file__)
    assert file.code == USAGE and "no directory" in file.err, file
    other = minikv("audit", os.path.dirname(__file__))
    assert other.code == USAGE and "no file meta" in other.err, other
    assert minikv("audit").code == USAGE
    with Cluster(1).start() as one, Cluster(1).start() as another:
        one.kill_all()
        another.kill_all()
        mixed = minikv("audit", one.nodes[0].data, another.nodes[0].data)
        assert mixed.code == USAGE and "of another cluster" in mixed.err, mixed


def test_logs_that_begin_behind_a_snapshot_are_proven_from_there():
    with LivingCluster(3, ["--snapshot-bytes", "65536"]).start() as cluster:
        with Steady(cluster.nodes, value_bytes=20_000) as load:
            eventually(lambda: load.errors or all(
                segments(n)[0] > "%s/wal/%016x.log" % (n.data, 1) for n in cluster.nodes),
                "the logs have lost their fronts", 30, every=0.05)
            cluster.leader().kill()
            load.wait_more(20)
            for node in cluster.nodes:
                if not node.is_running:
                    node.start()
            joined = cluster.join()
            load.wait_more(20)
        cluster.wait_ready()
        load.assert_truth(joined)
        for node in cluster.nodes:
            node.kill()

        told = audit(cluster)
        assert told.code == OK and "proven" in told.text, told
        assert "behind its snapshot at index" in told.text, told
        nodes = audit(cluster, "-o", "json").json["nodes"]
        assert all(n["snapshot_index"] > 2 and n["writes"] > 0 for n in nodes), nodes

        for path in glob.glob(joined.data + "/snap/*.snap"):
            os.unlink(path)
        told = audit(cluster)
        assert told.code == EXIT_CORRUPT and "missing or damaged" in told.err, told
