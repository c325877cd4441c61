"""Full disks, disks that fail, and processes that die within any call that changes the disk."""
import errno
import os
import random
import shutil
import time

from checks import assert_problem
from cluster import EXIT_STORAGE, Cluster, eventually, listing
from disk import SYNC, WRITE, Faults, Filled, small_disks
from http_client import APPLIED, NONE, Client
from living import LivingCluster
from testing import count_from_environment, in_time, limit, promise, report
from workload import Writers

SEED = count_from_environment("MINIKV_TEST_SEED", random.SystemRandom().randrange(2**32))
KILLS = count_from_environment("DISK_KILLS", 16)  # at most: one at each call that there is
FLAGS = ["--snapshot-bytes", "65536"]  # files of the log have 1 MiB
DISK_MIB = 40  # more than the log and the snapshots of all that is written here
VALUE_BYTES = 30_000
PUTS_OF_MORE_THAN_A_FILE = 80


def value_of(key):
    return (key + ".") * (VALUE_BYTES // (len(key) + 1))


class Book:
    """What was acknowledged, and what was answered `effect: none`; the rest may have happened."""

    def __init__(self):
        self.acknowledged, self.undone, self.serial = set(), set(), 0

    def put(self, node):
        key = f"key-{self.serial:05d}"
        self.serial += 1
        reply = node.put(key, value_of(key), timeout=20)
        assert reply.status in (204, 502, 503, 504, 507), reply
        if reply.status == 204:
            self.acknowledged.add(key)
        elif reply.status == 507:
            assert_problem(reply, 507, NONE, "no-space")
        if reply.header("X-MiniKV-Effect") == NONE:
            self.undone.add(key)
        return reply.status

    def assert_truth(self, node):
        found = {i["key"]: i["value"] for i in listing(node, "&prefix=key-")}
        lost = sorted(self.acknowledged - found.keys())
        promise(not lost, f"node {node.id} lost {len(lost)} acknowledged writes: {lost[:5]}")
        ghosts = sorted(self.undone & found.keys())
        promise(not ghosts, f"node {node.id} has writes answered `effect: none`: {ghosts[:5]}")
        wrong = [k for k, v in found.items() if v != value_of(k)]
        promise(not wrong, f"node {node.id} has wrong values: {wrong[:5]}")


def is_out_of_space(node):
    return node.metrics()["minikv_wal_out_of_space"] == 1


# ---- full ----

def test_a_leader_whose_disk_is_full_hands_over_and_clients_go_on():
    cluster, book = Cluster(3, FLAGS), Book()
    with cluster, small_disks(cluster, DISK_MIB) as disks:
        cluster.start()
        full = cluster.leader()
        disks[full].fill()

        def has_moved():
            disks[full].fill()
            book.put(cluster.nodes[book.serial % 3])
            return cluster.find_leader() not in (None, full)
        eventually(has_moved, "another one leads", 30)

        leader = cluster.leader()
        for node in cluster.nodes:
            eventually(lambda n=node: book.put(n) == 204, f"node {node.id} takes a write", 20)
        assert not is_out_of_space(leader)
        in_time("asks others to lead" in full.log(), "others were elected before it asked them")
        disks[full].free()
        eventually(lambda: not is_out_of_space(full), "it notices that there is room", 20)
        cluster.wait_ready()
        eventually(lambda: book.put(full) == 204, "it takes a write", 20)
        cluster.assert_same_state()
        for node in cluster.nodes:
            book.assert_truth(node)


@limit(120)
def test_where_all_disks_are_full_writes_are_refused_and_reads_go_on():
    cluster, book = Cluster(3, FLAGS), Book()
    with cluster, small_disks(cluster, DISK_MIB) as disks:
        cluster.start()
        assert book.put(cluster.nodes[0]) == 204

        def are_full():
            for disk in disks.values():
                disk.fill()
            if not all(is_out_of_space(n) for n in cluster.nodes):
                book.put(cluster.nodes[book.serial % 3])
                return False
            return [book.put(n) for n in cluster.nodes] == [507] * 3
        eventually(are_full, "writes are refused at every node", 60, every=0.02)
        # Where the disks are not real, not even an empty file can be made, which a start needs.
        is_real = all(isinstance(disk, Filled) for disk in disks.values())
        for node in cluster.nodes:
            assert node.value("key-00000", "?consistency=stale") == value_of("key-00000")
            # What is of now is refused by a node that has no room to note a new term.
            reply = node.request("GET", "/v1/kv/key-00000", timeout=30.0)
            assert not is_real or reply.status in (200, 503, 504, 507), reply

        if is_real:  # one that is killed starts again on its full disk
            killed = cluster.followers()[0]
            killed.kill()
            killed.start()
            eventually(killed.is_answering, "it answers", 20)
            eventually(lambda: killed.value("key-00000", "?consistency=stale") is not None,
                       "it has its state", 20)

        for disk in disks.values():
            disk.free()
        eventually(lambda: [book.put(n) for n in cluster.nodes] == [204] * 3,
                   "writes are taken again", 30, every=0.1)
        cluster.wait_ready()
        cluster.assert_same_state()
        for node in cluster.nodes:
            book.assert_truth(node)


@limit(90)
def test_a_follower_without_any_room_waits_and_catches_up():
    cluster, book = Cluster(3, FLAGS), Book()
    with cluster, small_disks(cluster, DISK_MIB) as disks:
        cluster.start()
        leader, (full, *_) = cluster.roles()
        disks[full].fill()

        for _ in range(PUTS_OF_MORE_THAN_A_FILE):
            disks[full].fill()
            book.put(leader)
        assert len(book.acknowledged) > PUTS_OF_MORE_THAN_A_FILE // 2
        assert full.is_running and full.status()["applied_index"] > 0
        eventually(lambda: full.metrics()["minikv_snapshots_failed_total"] > 0,
                   "a snapshot found no room", 20)
        assert full.value("key-00000", "?consistency=stale") == value_of("key-00000")

        disks[full].free()
        taken = full.metrics()["minikv_snapshots_taken_total"]
        cluster.wait_caught_up()
        eventually(lambda: book.put(leader) == 204 and
                   full.metrics()["minikv_snapshots_taken_total"] > taken, "a snapshot is made", 40,
                   every=0.5)
        cluster.wait_ready()
        cluster.assert_same_state()
        book.assert_truth(full)


# ---- failing ----

@limit(90)
def test_a_disk_that_fails_stops_its_node_and_loses_nothing():
    with LivingCluster(3, FLAGS) as cluster:
        faults = {node: Faults(node) for node in cluster.nodes}
        cluster.start()
        with Writers(cluster.nodes, 4) as writers:
            # a write fails: repaired, the node starts again with what it has
            goal = writers.acknowledged_count() + 50
            eventually(lambda: writers.acknowledged_count() > goal, "writes")
            first = cluster.leader()
            faults[first].set(kinds=WRITE, error=errno.EIO, times=2**40)  # a snapshot may be the first
            assert first.wait_exit(20) == EXIT_STORAGE
            faults[first].set(times=0)
            first.start()
            cluster.wait_ready()

            # a sync fails: the node is replaced, its disk with it
            goal = writers.acknowledged_count() + 50
            eventually(lambda: writers.acknowledged_count() > goal, "writes go on")
            second = cluster.leader()
            faults[second].set(kinds=SYNC, error=errno.EIO, times=2**40)
            assert second.wait_exit(20) == EXIT_STORAGE
            cluster.leave(second)
            writers.nodes = list(cluster.nodes)
            joined = cluster.join(second.id)
            goal = writers.acknowledged_count() + 50
            eventually(lambda: writers.acknowledged_count() > goal, "writes go on")
        for node in (first, second):
            assert "a write or sync of the log failed" in node.log(), node.log()[-2000:]
        cluster.wait_ready()
        cluster.assert_same_state()
        writers.assert_truth(cluster.nodes)
        assert writers.keys(APPLIED) and joined in cluster.nodes


def test_writes_that_take_a_part_of_the_bytes_are_carried_on():
    with Cluster(1, FLAGS) as cluster:
        node, book = cluster.nodes[0], Book()
        faults = Faults(node)
        cluster.start()
        faults.set(kinds=WRITE, error=0, times=2**40)
        for _ in range(20):
            assert book.put(node) == 204
        faults.set(times=0)
        node.kill()
        cluster.start()
        book.assert_truth(node)


# ---- dying ----

def live(node, faults, die_at, is_half, book):
    """One life, from the start through writes, files of the log and snapshots, that ends within the
    call `die_at`, or by a kill. How many calls there were."""
    faults.set(calls=0, is_half=int(is_half), die_at=die_at)
    node.start()
    client = Client(node.http)
    end = book.serial + PUTS_OF_MORE_THAN_A_FILE // 2
    while node.is_running and book.serial < end:
        key = f"key-{book.serial:05d}"
        attempt = client.attempt("PUT", f"/v1/kv/{key}", {"value": value_of(key)})
        if attempt.ok:
            book.acknowledged.add(key)
        if attempt.ok or attempt.effect != NONE:
            book.serial += 1
        else:
            time.sleep(0.002)
    client.close()
    calls = faults["calls"]
    if node.is_running:
        node.process.kill()
    assert node.wait_exit() == -9, node.log()[-2000:]
    faults.set(die_at=0)
    return calls


def points(calls, source):
    """Each of the first calls, which are those of the start, and others from everywhere behind."""
    first = list(range(1, KILLS // 2 + 1))
    step = max((calls - len(first)) / (KILLS - len(first)), 1)
    found, at = first, float(len(first))
    while len(found) < KILLS and at + step <= calls:
        found.append(int(at + 1 + source.random() * (step - 1)))
        at += step
    return found


@limit(150 + 3 * KILLS)
def test_a_process_that_dies_within_any_call_loses_nothing():
    source = random.Random(SEED)
    print(f"seed {SEED}")
    with Cluster(1, FLAGS) as cluster:
        node = cluster.nodes[0]
        faults = Faults(node)
        calls = live(node, faults, 0, False, Book())
        deaths = 0
        for at in points(calls, source):
            shutil.rmtree(node.data)
            book = Book()
            live(node, faults, at, source.random() < 0.5, book)
            # and three times in a row while it starts and goes on
            for _ in range(3):
                live(node, faults, source.randrange(1, 25), source.random() < 0.5, book)
                deaths += 1
            deaths += 1
            node.start()
            cluster.wait_ready()
            book.assert_truth(node)
            node.kill()
    report(f"{deaths} deaths within {calls} calls, nothing lost (seed {SEED})")


def test_a_first_start_that_never_gets_far_is_made_good():
    """Dies within one call after the other of its first start; each start goes on from what is there."""
    with Cluster(1, FLAGS) as cluster:
        node, book = cluster.nodes[0], Book()
        faults = Faults(node)
        for at in range(1, 21):
            live(node, faults, at, at % 2 == 0, book)
        cluster.start()
        assert book.put(node) == 204
        book.assert_truth(node)
        assert os.path.exists(os.path.join(node.data, "meta"))
