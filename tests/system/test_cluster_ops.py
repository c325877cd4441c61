"""Starting, stopping, wrong disks and wrong neighbours."""
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

from checks import assert_problem
from cluster import (EXIT_CORRUPT, EXIT_FORMAT, EXIT_LOCKED, HOST, Cluster, Node, PortClaim,
                     clean_environment, eventually, listing, program, scaled)
from http_client import APPLIED, NONE, Closed, Connection, encode
from living import LivingCluster
from testing import alone, in_time, limit, report
from workload import Writers

STOP_SECONDS_MAX = 5.0
STILL_SECONDS = 0.4  # who takes so long to stop stood still when clients had to be told
BLOCK_BYTES = 4096


def run_to_end(node, timeout=10):
    """Starts the node, expecting it to give up by itself; (exit status, its log)."""
    node.start()
    return node.wait_exit(timeout), node.log()


def tree(directory):
    """{relative path: bytes} of the files below a directory; the lock names its holder."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in set(names) - {"lock"}:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, directory)] = file.read()
    return found


def log_segments(node):
    """The write-ahead log's segments in order, spares left out."""
    folder = os.path.join(node.data, "wal")
    return [os.path.join(folder, n) for n in sorted(os.listdir(folder)) if n.endswith(".log")]


# ---- the data directory ----

def test_a_second_process_on_one_data_directory_is_refused():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        claims = PortClaim(), PortClaim()
        arguments = [program("minikvd"), "--id", "1", "--data-dir", node.data,
                     "--listen-http", f"{HOST}:{claims[0].port}",
                     "--listen-peer", f"{HOST}:{claims[1].port}"]

        second = subprocess.run(arguments, capture_output=True, text=True, timeout=10,
                                env=clean_environment())

        assert second.returncode == EXIT_LOCKED, second
        assert str(node.process.pid) in second.stderr, second.stderr
        assert node.put("k", "v").status == 204


def test_a_node_without_arguments_is_a_working_single_node():
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        node.http_port, node.peer_port = 8081, 7001
        claims = PortClaim.claim_all([8081, 7001])  # so that no other run does the same now
        if not claims:
            report("not run: port 8081 or 7001 is taken on this machine")
            return
        node.start([program("minikvd")])

        eventually(lambda: node.put("k", "v").status == 204, "it takes a write")

        assert node.value("k") == "v"
        assert os.path.isdir(os.path.join(node.directory, "minikv-data"))
        assert node.status()["role"] == "leader"
        node.terminate()
        assert node.wait_exit(STOP_SECONDS_MAX) == 0


def test_a_node_whose_log_is_gone_refuses_to_start():
    with Cluster(3).start() as cluster:
        victim = cluster.followers()[0]
        assert cluster.leader().put("k", "v").status == 204
        victim.kill()
        shutil.rmtree(os.path.join(victim.data, "wal"))

        for _ in range(2):  # and refusing makes no empty log that the next start would take
            code, log = run_to_end(victim)
            assert code == EXIT_CORRUPT, code
            assert "the log is missing" in log, log
        assert cluster.leader().put("k", "w").status == 204


@limit(60)
def test_clients_that_linger_cannot_use_up_the_descriptors_of_the_log():
    """Each client asks for the connection to be closed and then does not close its side."""
    with Cluster(1).start() as cluster:
        node = cluster.leader()
        resource.prlimit(node.process.pid, resource.RLIMIT_NOFILE, (400, 400))
        held, made = [], 0
        for round_number in range(20):
            for _ in range(60):
                client = socket.socket()
                client.settimeout(0.2)
                try:
                    client.connect((HOST, node.http_port))
                    client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                except OSError:
                    client.close()
                    break
                held.append(client)
                made += 1
            while len(held) > 600:
                held.pop(0).close()
            # Large enough that the log must go on to its next file meanwhile.
            assert node.is_running, f"gave up after {made} connections"
            try:
                node.put(f"k{round_number}", "x" * 500_000, timeout=1.0)
            except (OSError, Closed):
                pass  # it waits in the backlog
        for client in held:
            client.close()

        assert made > 400
        eventually(lambda: node.put("after", "v").status == 204, "the node takes writes again")
        assert node.is_running


def test_a_restart_keeps_data_revisions_and_term():
    with Cluster(3).start() as cluster:
        for i in range(50):
            assert cluster.nodes[i % 3].put(f"k{i}", str(i)).status == 204
        assert cluster.nodes[0].request("DELETE", "/v1/kv/k7").status == 204
        before, revision = listing(cluster.nodes[0]), cluster.nodes[0].revision()
        term = cluster.leader().status()["term"]
        for node in cluster.nodes:
            node.terminate()
        for node in cluster.nodes:
            assert node.wait_exit(STOP_SECONDS_MAX) == 0

        cluster.start()

        for node in cluster.nodes:
            assert listing(node) == before
            assert node.revision() == revision
            assert node.status()["term"] > term
        cluster.assert_same_state()


def test_damage_in_synced_data_stops_the_node_with_file_and_offset():
    with Cluster(3).start() as cluster:
        victim = cluster.followers()[0]
        segment = log_segments(victim)[0]

        def write_some():
            """A node that stands still for a moment has many entries in one record."""
            for i in range(60):
                assert cluster.leader().put(f"k{i}", "x" * 100).status == 204
            cluster.wait_caught_up()
            return used_blocks(segment) > 20

        eventually(write_some, "many records")
        victim.kill()
        offset = middle_of_written(segment)
        flip_byte(segment, offset)
        before = tree(victim.data)

        status, log = run_to_end(victim)

        assert status == EXIT_CORRUPT, (status, log[-2000:])
        assert os.path.basename(segment) in log, log[-2000:]
        assert str(offset // BLOCK_BYTES * BLOCK_BYTES) in log or str(offset) in log, log[-2000:]
        after = tree(victim.data)
        changed = {path for path, data in before.items() if after.get(path) != data}
        assert not changed, f"a damaged log is left as it is, but {changed} changed"
        # the others go on; healed, the node is as before
        assert cluster.leader().put("after", "v").status == 204
        flip_byte(segment, offset)
        victim.start()
        cluster.wait_ready()
        cluster.assert_same_state()


def middle_of_written(path):
    """An offset inside a record, about half-way through what has been written."""
    with open(path, "rb") as file:
        data = file.read()
    used = len(data.rstrip(b"\0"))
    assert used > 10 * BLOCK_BYTES, used
    block = used // 2 // BLOCK_BYTES * BLOCK_BYTES
    return block + 64


def flip_byte(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


def test_a_torn_tail_is_cut_and_the_node_catches_up():
    """A write that a power cut interrupted: part of a frame behind the last one."""
    with Cluster(3).start() as cluster:
        for i in range(40):
            assert cluster.leader().put(f"k{i}", "x" * 100).status == 204
        victim = cluster.followers()[0]
        for torn in (lambda frame: frame[:100], lambda frame: frame[:512] + b"\0" * 700,
                     lambda frame: os.urandom(3000), lambda frame: b"\0" * 64 + b"\x01"):
            cluster.wait_durable()
            victim.kill()
            path, used = log_segments(victim)[-1], used_blocks(log_segments(victim)[-1])
            with open(path, "r+b") as file:
                file.seek((used - 1) * BLOCK_BYTES)
                frame = file.read(BLOCK_BYTES)
                file.write(torn(frame))
            assert cluster.leader().put("meanwhile", "v").status == 204

            victim.start()

            cluster.wait_ready()
            cluster.assert_same_state()


def used_blocks(path):
    with open(path, "rb") as file:
        return -(-len(file.read().rstrip(b"\0")) // BLOCK_BYTES)


def test_a_follower_whose_disk_lost_its_last_frames_catches_up():
    """FAULTS S8: nothing on this disk proves that they were there, so only the leader can help."""
    with Cluster(3).start() as cluster:
        for lost_blocks in (1, 2, 4):
            for i in range(10):
                assert cluster.leader().put(f"k{i}", f"{lost_blocks}").status == 204
            cluster.wait_durable()
            victim = cluster.followers()[0]
            victim.kill()
            path = log_segments(victim)[-1]
            with open(path, "r+b") as file:
                file.seek((used_blocks(path) - lost_blocks) * BLOCK_BYTES)
                file.write(b"\0" * lost_blocks * BLOCK_BYTES)

            victim.start()

            cluster.wait_ready()
            cluster.assert_same_state()


def test_a_log_of_another_format_is_refused():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        assert node.put("k", "v").status == 204
        node.kill()
        # the directory of one node in the hands of another
        other = cluster.nodes[0]
        arguments = other.arguments()
        arguments[arguments.index("--id") + 1] = "2"
        arguments[arguments.index("--initial-cluster") + 1] = f"2={node.peer_text}"
        node.start(arguments)

        status = node.wait_exit()

        assert status == EXIT_FORMAT, (status, node.log())
        node.start()
        cluster.wait_ready()
        assert node.value("k") == "v"


# ---- neighbours ----

def test_a_node_of_another_cluster_is_not_let_in():
    with Cluster(3).start() as cluster:
        victim = cluster.followers()[0]
        victim.kill()
        term = cluster.leader().status()["term"]
        ghost_claim = PortClaim()
        arguments = victim.arguments()
        # the same id and port, but founded with other members: another cluster id
        members = cluster.initial_cluster() + f",4={HOST}:{ghost_claim.port}"
        arguments[arguments.index("--initial-cluster") + 1] = members
        arguments[arguments.index("--data-dir") + 1] = victim.data + "-foreign"
        victim.start(arguments)
        eventually(victim.is_answering, "it answers")
        others = [n for n in cluster.nodes if n is not victim]
        for i in range(20):
            assert others[i % 2].put(f"k{i}", "v").status == 204
        status = victim.status()
        assert status["applied_index"] == 0 or not _has_key(victim, "k1"), status
        assert status["leader"] == 0, status
        in_time(all(n.status()["term"] == term for n in others), "its campaigning changes nothing")
        eventually(lambda: any("cluster" in n.log() for n in cluster.nodes), "said in a log")
        victim.kill()
        victim.start()
        cluster.wait_ready()
        cluster.assert_same_state()


def _has_key(node, key):
    return node.get(key, "?consistency=stale").status == 200


def test_swapped_peer_addresses_are_noticed():
    """FAULTS N8: each node is reached where the other is said to be."""
    with Cluster(3).start() as cluster:
        leader, (a, b) = cluster.roles()
        for i in range(10):
            assert leader.put(f"k{i}", str(i)).status == 204
        a.kill()
        b.kill()
        a.peer_port, b.peer_port = b.peer_port, a.peer_port  # listening; advertised stays
        a.start()
        b.start()
        for node in (a, b):
            eventually(node.is_answering, "it answers")

        # nobody answers for another: without its real peers the leader cannot commit
        eventually(lambda: leader.status()["leader"] == 0 or leader.status()["role"] != "leader",
                   "the leader notices that it is alone")
        reply = leader.put("k", "v", {"X-MiniKV-Timeout-Ms": "500"})
        assert reply.status in (502, 503, 504), reply
        a.kill()
        b.kill()
        a.peer_port, b.peer_port = b.peer_port, a.peer_port
        a.start()
        b.start()
        cluster.wait_ready()
        for node in cluster.nodes:
            assert node.value("k9") == "9"
        cluster.assert_same_state()


def test_a_wiped_disk_with_an_old_id_neither_votes_nor_acknowledges():
    """FAULTS M10. One node is wiped, another is away: the third must not get a majority by it."""
    with Cluster(3).start() as cluster:
        leader, (away, wiped) = cluster.roles()
        away.kill()
        assert leader.put("precious", "v").status == 204  # on the disks of leader and wiped
        cluster.wait_caught_up()
        wiped.kill()
        leader.kill()
        shutil.rmtree(wiped.data)

        # away and wiped alone would be a majority that has never seen "precious"
        away.start()
        wiped.start()
        for node in (away, wiped):
            if node.is_running:
                eventually(lambda n=node: not n.is_running or n.is_answering(), "it is up")
        deadline = time.monotonic() + scaled(2.0)
        while time.monotonic() < deadline:
            for node in (away, wiped):
                if node.is_running:
                    try:
                        state = node.status()
                    except (OSError, Closed):
                        continue
                    assert state["role"] != "leader", f"node {node.id} leads: {state}"
            time.sleep(0.05)
        reply = away.put("usurped", "v", {"X-MiniKV-Timeout-Ms": "300"})
        assert reply.status in (502, 503, 504), reply

        # with the leader back there is an honest majority
        leader.start()
        eventually(lambda: leader.put("again", "v").status == 204, "the honest majority works")
        assert away.value("precious") == "v"


# ---- SIGTERM ----

@alone
@limit(90)
def test_sigterm_hands_over_and_every_client_gets_a_true_answer():
    """A rolling restart under load: leaders and followers in turn."""
    seconds = []
    with Cluster(3).start() as cluster:
        with Writers(cluster.nodes, 4) as writers:
            for turn in range(6):
                goal = len(writers.keys(APPLIED)) + 80
                eventually(lambda: len(writers.keys(APPLIED)) >= goal or writers.errors, "progress")
                node = cluster.leader() if turn % 2 == 0 else cluster.followers()[0]
                was_leader = turn % 2 == 0
                others = [n for n in cluster.nodes if n is not node]
                begin = time.monotonic()
                node.terminate()
                status = node.wait_exit(STOP_SECONDS_MAX)
                seconds.append(time.monotonic() - begin)
                assert status == 0, (status, node.log()[-2000:])
                if was_leader:
                    new_leader = cluster.leader()
                    assert new_leader in others
                node.start()
                cluster.leader()
        cluster.wait_ready()
        writers.assert_truth(cluster.nodes)
        cluster.assert_same_state()
    report(f"exit after {max(seconds) * 1000:.0f} ms at most; {len(writers.keys(APPLIED))} "
           f"acknowledged, {len(writers.keys(NONE))} refused, {len(writers.unknown)} unknown")
    unknown = f"{len(writers.unknown)} with an unknown outcome: {writers.unknown}"
    in_time(not writers.unknown or max(seconds) < STILL_SECONDS, unknown)
    assert not writers.unknown, unknown


class Pipeline:
    """One client that sends all its writes at once, and reads what is answered."""

    COUNT = 4000

    def __init__(self, node, name):
        self.keys = [f"{name}-{i:05d}" for i in range(self.COUNT)]
        self.bytes = b"".join(encode("PUT", f"/v1/kv/{key}", {"value": "v"}) for key in self.keys)
        self.connection = Connection(node.http)
        self.answered = 0
        self.was_told = False  # that a reply was the last one
        self.errors = []
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self._send, self._read)]
        for thread in self.threads:
            thread.start()

    def _send(self):
        try:
            self.connection.send(self.bytes)
        except (Closed, OSError):
            pass  # the node does not take all of it

    def _read(self):
        try:
            while self.answered < self.COUNT and not self.was_told:
                reply = self.connection.read_final("PUT")
                assert reply.status == 204, reply
                self.answered += 1
                self.was_told = reply.closes
        except Exception as error:  # reported by join
            self.errors.append(error)

    def join(self):
        self.threads[1].join(20)
        self.connection.close()
        self.threads[0].join(20)
        assert not self.errors, self.errors[0]


@limit(60)
def test_sigterm_answers_what_came_at_once_up_to_the_reply_that_is_the_last():
    """What stands behind a reply with `Connection: close` was not taken, and does nothing."""
    told = 0
    with Cluster(3).start() as cluster:
        for turn in range(4):
            node = cluster.leader() if turn % 2 == 0 else cluster.followers()[0]
            clients = [Pipeline(node, f"t{turn}-c{i}") for i in range(4)]
            eventually(lambda: all(c.answered > 100 or c.errors for c in clients), "progress")

            node.terminate()
            assert node.wait_exit(STOP_SECONDS_MAX) == 0

            for client in clients:
                client.join()
                told += client.was_told
                assert client.was_told or client.answered == client.COUNT
            other = next(n for n in cluster.nodes if n is not node)
            found = {i["key"] for i in listing(other, f"&prefix=t{turn}-")}
            for client in clients:
                taken = set(client.keys[:client.answered])
                assert found & set(client.keys) == taken, \
                    f"{client.answered} answered, {len(found & set(client.keys))} applied"
            node.start()
            cluster.wait_ready()
    report(f"{told} of 16 clients were cut short, and told so")
    assert told > 0


@alone
@limit(60)
def test_sigterm_of_all_nodes_at_once_changes_no_leader():
    seconds = []
    with Cluster(3).start() as cluster:
        for turn in range(3):
            term = cluster.leader().status()["term"]
            with Writers(cluster.nodes, 8, prefix=f"w{turn}") as writers:
                eventually(lambda: writers.acknowledged_count() > 100 or writers.errors, "progress")
                begin = time.monotonic()
                for node in cluster.nodes:
                    node.terminate()
                for node in cluster.nodes:
                    assert node.wait_exit(STOP_SECONDS_MAX) == 0
                seconds.append(time.monotonic() - begin)
            in_time(not writers.unknown or seconds[-1] < STILL_SECONDS, writers.unknown[:5])
            assert not writers.unknown, writers.unknown[:5]
            cluster.start()
            writers.assert_truth(cluster.nodes)
            # One hand-over that was under way before the notice came, and the election at the start;
            # in vain it takes another term or two.
            in_time(cluster.leader().status()["term"] <= term + 4, "others were elected")
    report(f"all have stopped after {max(seconds) * 1000:.0f} ms at most")


def test_sigterm_of_the_leader_is_a_transfer_not_an_election_timeout():
    with Cluster(3, ["--election-ms", "5000"]).start() as cluster:
        leader, others = cluster.roles()
        begin = time.monotonic()
        leader.terminate()

        elapsed = cluster.probe_write(others, "after")

        in_time(elapsed < scaled(1.0), f"{elapsed:.3f} s until the next write")
        assert leader.wait_exit(STOP_SECONDS_MAX) == 0
        report(f"next write {(time.monotonic() - begin) * 1000:.0f} ms after SIGTERM")


def test_sigterm_without_a_quorum_still_ends_in_time():
    with Cluster(3).start() as cluster:
        leader = cluster.leader()
        for follower in cluster.followers():
            follower.kill()
        begin = time.monotonic()
        leader.terminate()
        assert leader.wait_exit(STOP_SECONDS_MAX + 1) == 0
        in_time(time.monotonic() - begin < scaled(STOP_SECONDS_MAX), "a slow stop")


def test_a_second_sigterm_or_sigint_is_not_a_crash():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        node.terminate()
        if node.is_running:
            node.process.send_signal(signal.SIGTERM)
        assert node.wait_exit(STOP_SECONDS_MAX) in (0, -signal.SIGTERM)
        node.start()
        cluster.wait_ready()
        node.process.send_signal(signal.SIGINT)
        assert node.wait_exit(STOP_SECONDS_MAX) == 0


# ---- joining ----

def test_a_node_that_began_to_join_and_is_not_told_whom_to_ask_says_so():
    with LivingCluster(3).start() as cluster:
        asked = cluster.nodes[0]
        for node in cluster.nodes[1:]:
            node.kill()
        # Nobody can let it in, and nobody who still leads can feed it.
        eventually(lambda: asked.status()["leader"] == 0, "nobody leads", every=0.02)
        joiner = cluster.joiner()
        joiner.start()
        eventually(joiner.is_answering, "it has found the cluster")
        joiner.kill()

        founder = Node.arguments(joiner)
        at = founder.index("--initial-cluster")
        joiner.start(founder[:at] + founder[at + 2:])
        eventually(joiner.is_answering, "it answers")

        reply = joiner.request("GET", "/readyz")
        assert_problem(reply, 503, NONE, "not-ready")
        assert "--join" in reply.json["detail"], reply
        assert "--join" in joiner.status()["note"]
        assert any("--join" in line for line in joiner.log().splitlines()), joiner.log()
        shown = subprocess.run([program("minikv"), "status", "-e", joiner.http_text],
                               capture_output=True, text=True, timeout=10,
                               env=clean_environment())
        assert f"node {joiner.id}: " in shown.stdout and "--join" in shown.stdout, shown
        joiner.kill()
        cluster.start()
        joiner.start()
        cluster.nodes.append(joiner)
        cluster.wait_voter(joiner)
        eventually(lambda: "note" not in joiner.status(), "it knows that all is well")
        assert asked.put("k", "v").status == 204
        assert joiner.value("k") == "v"


# ---- elections ----

def test_a_node_back_from_isolation_disturbs_nobody():
    """FAULTS C20: pre-vote keeps the term and the leader."""
    with Cluster(3).start() as cluster:
        def comes_back():
            """Whether nobody was elected: where others stand still as well, somebody may be."""
            leader, (follower, *_) = cluster.roles()
            term = leader.status()["term"]
            follower.pause()
            for i in range(100):
                assert leader.put(f"k{i}", "v").status == 204
            time.sleep(scaled(1.5))  # several election timeouts
            follower.resume()
            cluster.wait_ready()
            assert _has_key(follower, "k99")
            return cluster.leader() is leader and leader.status()["term"] == term

        eventually(comes_back, "its return changes neither term nor leader")


def test_an_idle_cluster_is_quiet_small_and_keeps_its_term():
    with Cluster(3).start() as cluster:
        def idle(*_):
            before = {n.id: n.status() for n in cluster.nodes}
            time.sleep(2)
            for node in cluster.nodes:
                after = node.status()
                assert after["term"] == before[node.id]["term"], after
                assert after["last_index"] == before[node.id]["last_index"], after

        cluster.under_one_leader(idle)  # elections for no reason would end each reign
        memory = max(n.memory_kib() for n in cluster.nodes)
        report(f"idle resident memory {memory / 1024:.1f} MiB")
        assert memory < 16 * 1024 or "asan" in program("minikvd"), f"{memory} KiB"


def test_probes_tell_alive_from_ready():
    with Cluster(3).start() as cluster:
        for node in cluster.nodes:
            assert node.request("GET", "/livez").status == 200
            eventually(lambda n=node: n.request("GET", "/readyz").status == 200, "it is ready")
            assert node.request("GET", "/version").status == 200
        leader = cluster.leader()
        left = cluster.followers()[0]
        for node in cluster.nodes:
            if node is not left:
                node.kill()
        eventually(lambda: left.request("GET", "/readyz").status == 503, "it is not ready")
        assert_problem(left.request("GET", "/readyz"), 503)
        assert left.request("GET", "/livez").status == 200
        assert left.status()["leader"] == 0
        assert leader is not left


def test_metrics_are_prometheus_text_that_promtool_accepts():
    with Cluster(3).start() as cluster:
        for node in cluster.nodes:
            assert node.put("k", "v").status == 204
            body = node.request("GET", "/metrics").body
            if shutil.which("promtool"):
                check = subprocess.run(["promtool", "check", "metrics"], input=body,
                                       capture_output=True, timeout=10)
                assert check.returncode == 0, check
            assert body.endswith(b"\n")
