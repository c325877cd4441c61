"""Logs that are cut behind snapshots, and nodes that go on from those, with real processes."""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "endurance"))

import growth  # noqa: E402
from cluster import eventually, scaled  # noqa: E402
from http_client import APPLIED, Closed  # noqa: E402
from living import LivingCluster, Steady, directory_bytes  # noqa: E402
from testing import alone, count_from_environment, in_time, limit, report  # noqa: E402
from workload import Writers  # noqa: E402

KILLS = count_from_environment("MINIKV_TEST_SNAPSHOT_KILLS", 12)
SEED = count_from_environment("MINIKV_TEST_SEED", random.SystemRandom().randrange(2**32))
SNAPSHOT_BYTES = 65536
FLAGS = ["--snapshot-bytes", str(SNAPSHOT_BYTES)]
FLOOD_SECONDS, FLOOD_SNAPSHOT_BYTES = 8, 2**20
# Four spares, the next one and what is in use: of 1 MiB each, and up to some 4 MiB where no spare
# was ready in time; a former segment is used again at the length it has.
LOG_BYTES_MAX = 24 * 2**20


def newest(node):
    return node.status()["snapshot"]["index"]


def installs(node):
    return node.metrics()["minikv_snapshots_installed_total"]


def restart_all(cluster):
    """Everything that was in memory of the log is gone."""
    cluster.kill_all()
    cluster.start()


def write_until(cluster, load, count):
    """So many snapshots more at each node that runs."""
    goals = {n: n.metrics()["minikv_snapshots_taken_total"] + count for n in cluster.up()}
    eventually(lambda: load.errors or all(n.metrics()["minikv_snapshots_taken_total"] >= g
                                          for n, g in goals.items()),
               f"{count} snapshots", 30, every=0.02)


def fill(node, count=100, clients_count=4, value_bytes=100_000):
    """Values that move the log on by some megabytes."""
    value = "x" * value_bytes

    def write(number):
        for i in range(count):
            reply = node.put(f"fill-{number}-{i % 4}", value)
            assert reply.status == 204, reply
    threads = [threading.Thread(target=write, args=(i,)) for i in range(clients_count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_node_that_was_down_while_the_log_was_cut_catches_up_under_load():
    with LivingCluster(3, FLAGS).start() as cluster:
        away = cluster.followers()[0]
        others = [n for n in cluster.nodes if n is not away]
        with Steady(cluster.nodes, value_bytes=2000) as load:
            load.wait_more(20)
            away.kill()
            fill(others[0])
            write_until(cluster, load, 3)
            for node in others:  # what is in memory of the log could feed it, too
                node.kill()
                node.start()
                load.wait_more(5)
            away.start()
            cluster.wait_ready()
            load.wait_more(50)
        assert installs(away) >= 1
        for node in cluster.nodes:
            load.assert_truth(node)
        cluster.assert_same_state()


def test_a_fresh_node_gets_a_snapshot_while_writes_go_on_and_reads_see_whole_states():
    """What a GET at the new node sees is absent or whole, never a part that goes back."""
    with LivingCluster(3, FLAGS).start() as cluster:
        with Steady(cluster.nodes, value_bytes=2000) as load:
            write_until(cluster, load, 2)
            joined = cluster.joiner()
            joined.start()
            seen = []
            stop = threading.Event()

            def look():
                while not stop.is_set():
                    try:
                        reply = joined.get("steady", "?consistency=stale")
                        if reply.status == 200:
                            seen.append(int(reply.json["value"]))
                    except (OSError, Closed):
                        pass
            looker = threading.Thread(target=look)
            looker.start()
            try:
                cluster.wait_voter(joined)
                load.wait_more(50)
            finally:
                stop.set()
                looker.join()
            assert installs(joined) >= 1
            cluster.nodes.append(joined)
        cluster.wait_ready()
        assert seen == sorted(seen) and seen, "the counter went back"
        load.assert_truth(joined)
        cluster.assert_same_state()


def test_processes_killed_again_and_again_amid_snapshots_agree():
    source = random.Random(SEED)
    with LivingCluster(3, FLAGS).start() as cluster:
        with Steady(cluster.nodes, value_bytes=4000) as load:
            for kill in range(KILLS):
                time.sleep(source.random() * 0.15)
                if kill % 4 == 3:
                    cluster.kill_all()
                else:
                    source.choice(cluster.nodes).kill()
                time.sleep(source.random() * 0.05)
                for node in cluster.nodes:
                    if not node.is_running:
                        node.start()
                load.wait_more(20)
        cluster.wait_ready()
        for node in cluster.nodes:
            load.assert_truth(node)
        cluster.assert_same_state()
        taken = newest(cluster.nodes[0])
        restart_all(cluster)
        load.assert_truth(cluster.nodes[0])
        cluster.assert_same_state()
    assert taken > 0
    report(f"{KILLS} kills, {load.total()} increments exact, newest snapshot at {taken} "
           f"(seed {SEED})")


def test_what_was_answered_before_a_snapshot_is_remembered_behind_it():
    with LivingCluster(1, FLAGS).start() as cluster:
        node = cluster.nodes[0]
        headers = {"X-MiniKV-Client-Id": "once", "X-MiniKV-Sequence": "1"}
        first = node.incr("n", 1, headers)
        assert first.status == 200
        with Steady(cluster.nodes, value_bytes=2000) as load:
            write_until(cluster, load, 3)
        node.kill()
        node.start()
        cluster.wait_ready()
        again = node.incr("n", 1, headers)
        assert again.told == first.told and again.is_replayed
        assert node.value("n") == "1"


def test_the_log_stays_within_bounds_over_many_snapshots():
    with LivingCluster(1, FLAGS).start() as cluster:
        node = cluster.nodes[0]
        sizes, files = [], []

        def is_bounded():
            """What was written beside a snapshot goes with the one after the next, and there is
            a next one only if something is written."""
            more = node.put("more", "x" * 2 * SNAPSHOT_BYTES)
            assert more.status == 204
            # A past of its own would make each snapshot long, and the log grow meanwhile.
            revision = int(more.header("ETag").strip('"'))
            assert node.request("POST", "/v1/compact", {"revision": revision}).status == 200
            print(node.status()["snapshot"], sorted(os.listdir(os.path.join(node.data, "wal"))))
            return directory_bytes(node, "wal") <= LOG_BYTES_MAX
        for _ in range(4):
            fill(node)
            eventually(is_bounded, "what is given up goes", 30, every=0.1)
            sizes.append(directory_bytes(node, "wal"))
            files.append(len(os.listdir(os.path.join(node.data, "snap"))))
        assert max(files) <= 4, files
        taken = node.metrics()["minikv_snapshots_taken_total"]
        node.kill()
        node.start()
        cluster.wait_ready()
        assert node.value("fill-3-3") == "x" * 100_000
    report(f"160 MB written, {taken:.0f} snapshots; the log at most {max(sizes) / 2**20:.0f} MiB")


@alone
@limit(60)
def test_files_and_memory_stay_within_bounds_at_full_speed():
    """What script/endurance --growth does with the entries of an hour."""
    found = growth.run(10**9, FLOOD_SECONDS, FLOOD_SNAPSHOT_BYTES, ["--keys", "20000"])
    report(growth.describe(found).splitlines()[-1])
    assert not found["wrong"], growth.describe(found) + "\n" + "\n".join(found["wrong"])
    assert min(found["snapshots"].values()) > 0, found["snapshots"]


def test_a_damaged_snapshot_is_passed_over_or_refused_but_never_believed():
    with LivingCluster(3, FLAGS).start() as cluster:
        with Steady(cluster.nodes, value_bytes=2000) as load:
            write_until(cluster, load, 3)
        cluster.wait_ready()
        hurt = cluster.followers()[0]
        hurt.kill()
        directory = os.path.join(hurt.data, "snap")
        names = sorted(f for f in os.listdir(directory) if f.endswith(".snap"))
        path = os.path.join(directory, names[-1])
        with open(path, "r+b") as file:
            file.seek(5000)
            byte = file.read(1)
            file.seek(5000)
            file.write(bytes([byte[0] ^ 4]))
        hurt.start()
        cluster.wait_ready()  # the one before and the log are enough
        assert "damaged" in hurt.log()
        load.assert_truth(hurt)
        cluster.assert_same_state()


@limit(60)
def test_stopping_takes_no_longer_amid_snapshots():
    with LivingCluster(3, FLAGS).start() as cluster:
        slowest = 0.0
        with Writers(cluster.nodes, 4, "stop") as writers:
            for i in range(6):
                eventually(lambda n=40 * (i + 1): writers.acknowledged_count() > n, "writes")
                node = cluster.leader() if i % 2 else cluster.nodes[i // 2]
                begin = time.monotonic()
                node.terminate()
                assert node.wait_exit(12) == 0
                slowest = max(slowest, time.monotonic() - begin)
                node.start()
                cluster.wait_ready()
        writers.assert_truth(cluster.nodes)
        assert writers.keys(APPLIED)
    in_time(slowest < scaled(3), f"{slowest:.1f} s")
    report(f"slowest stop {slowest * 1000:.0f} ms")
