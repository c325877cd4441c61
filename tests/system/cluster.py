"""Real minikvd processes on loopback, and the means to hurt them.

A Cluster is a context manager: whatever happens inside, its processes are ended (by pid; the
kernel ends them too when this process dies) and its directories are removed, unless the test
failed: then they stay, and the tail of each log is printed.

Nodes must be started from a thread that lives as long as they shall: the kernel ties the
parent-death signal to the thread that forked.
"""
import fcntl
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from urllib.parse import quote

from http_client import Client, Closed, exchange
from testing import BrokenPromise, OutOfTime

HOST = "127.0.0.1"
PORTS = range(18000, 32000)  # below the ephemeral range, so that no client takes a node's port
EXIT_LOCKED, EXIT_STORAGE, EXIT_CORRUPT, EXIT_FORMAT = 10, 11, 12, 13
LOG_TAIL_LINES = 25
REIGNS_MAX = 6  # that a test bears while it wants one
READ_SECONDS_MAX = 5


def build_directory():
    return os.environ.get("MINIKV_BUILD") or os.path.join(
        os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "release")


def program(name):
    return os.path.abspath(os.path.join(build_directory(), name))


def clean_environment():
    """Ours without what minikvd would take for its options."""
    return {k: v for k, v in os.environ.items() if not k.startswith("MINIKV_")}


def scaled(seconds):
    """A deadline, longer in slow (sanitized) builds: MINIKV_TEST_SLOWDOWN."""
    return seconds * float(os.environ.get("MINIKV_TEST_SLOWDOWN", "1"))


def eventually(condition, what, timeout=10.0, every=0.005):
    """Polls until `condition()` is true and returns its value; fails after `timeout`."""
    end = time.monotonic() + scaled(timeout)
    last_error = None
    while True:
        try:
            value = condition()
            last_error = None
            if value:
                return value
        except (OSError, Closed, ValueError, KeyError) as error:
            last_error = error
        if time.monotonic() > end:
            note = f" ({last_error!r})" if last_error else ""
            raise OutOfTime(f"not within {scaled(timeout):g} s: {what}{note}")
        time.sleep(every)


class PortClaim:
    """A port nobody else in this test run uses, held by a lock on a file named after it."""

    directory = os.path.join(tempfile.gettempdir(), f"minikv-test-ports-{os.getuid()}")

    def __init__(self, ports=None):
        os.makedirs(self.directory, exist_ok=True)
        for port in ports or random.SystemRandom().sample(PORTS, 200):
            lock = open(os.path.join(self.directory, str(port)), "w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind((HOST, port))
            except OSError:
                lock.close()
                continue
            self.port, self.lock = port, lock
            return
        raise RuntimeError("no free port")

    @classmethod
    def claim_all(cls, ports):
        """A claim on each of `ports`, or None."""
        try:
            return [cls([port]) for port in ports]
        except RuntimeError:
            return None


class Node:
    def __init__(self, cluster, node_id, directory):
        self.cluster = cluster
        self.id = node_id
        self.directory = directory
        self.data = os.path.join(directory, "data")
        self.log_path = os.path.join(directory, "log")
        self.http_claim, self.peer_claim = PortClaim(), PortClaim()
        self.http_port, self.peer_port = self.http_claim.port, self.peer_claim.port
        self.advertised_peer_port = self.peer_port  # a test may put a proxy in between
        self.flags = []
        self.environment = {}  # on top of ours
        self.process = None
        self.is_paused = False

    # ---- process ----

    def arguments(self):
        return [program("minikvd"), "--id", str(self.id), "--data-dir", self.data,
                "--listen-http", f"{HOST}:{self.http_port}",
                "--listen-peer", f"{HOST}:{self.peer_port}",
                "--advertise-peer", f"{HOST}:{self.advertised_peer_port}",
                "--initial-cluster", self.cluster.initial_cluster()] + self.cluster.flags + self.flags

    def start(self, arguments=None):
        assert self.process is None, f"node {self.id} runs already"
        os.makedirs(self.directory, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *(arguments or self.arguments())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**clean_environment(), **self.environment}, cwd=self.directory)
        self.is_paused = False

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def is_up(self):
        return self.is_running and not self.is_paused

    def _signal(self, number):
        assert self.is_running, f"node {self.id} is not running"
        self.process.send_signal(number)

    def kill(self):
        """kill -9; returns when the process is gone."""
        self._signal(signal.SIGKILL)
        return self.wait_exit()

    def pause(self):
        """SIGSTOP; returns when every thread has stopped."""
        self._signal(signal.SIGSTOP)
        self.is_paused = True
        tasks = f"/proc/{self.process.pid}/task"
        eventually(lambda: all(_task_state(f"{tasks}/{t}") in "Tt" for t in os.listdir(tasks)),
                   f"node {self.id} stops")

    def resume(self):
        self._signal(signal.SIGCONT)
        self.is_paused = False

    def terminate(self):
        self._signal(signal.SIGTERM)

    def wait_exit(self, timeout=10.0):
        """The exit status, once the process has ended by itself."""
        try:
            return self._reap(scaled(timeout))
        except subprocess.TimeoutExpired:
            raise OutOfTime(f"node {self.id} still runs after {scaled(timeout):g} s") from None

    def _reap(self, timeout):
        status = self.process.wait(timeout)
        self.process = None
        return status

    def end(self):
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.wait_exit()

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))

    # ---- requests ----

    @property
    def http(self):
        return (HOST, self.http_port)

    @property
    def http_text(self):
        return f"{HOST}:{self.http_port}"

    @property
    def peer_text(self):
        return f"{HOST}:{self.advertised_peer_port}"

    def request(self, method, target, body=None, headers=None, timeout=10.0):
        return exchange(self.http, method, target, body, headers, scaled(timeout))

    def put(self, key, value, headers=None, timeout=10.0):
        return self.request("PUT", f"/v1/kv/{key}", {"value": value}, headers, timeout)

    def get(self, key, query="", timeout=10.0):
        return self.request("GET", f"/v1/kv/{key}{query}", timeout=timeout)

    def read(self, target):
        """A GET that is sent again where nobody led for a moment: it does nothing."""
        end = time.monotonic() + scaled(READ_SECONDS_MAX)
        while (reply := self.request("GET", target)).status in (502, 503, 504) \
                and time.monotonic() < end:
            time.sleep(0.01)
        return reply

    def value(self, key, query=""):
        """The value as text, None when absent; any other answer is a failure."""
        reply = self.read(f"/v1/kv/{key}{query}")
        if reply.status == 404:
            return None
        assert reply.status == 200, reply
        return reply.json["value"]

    def incr(self, key, by=1, headers=None, timeout=10.0):
        return self.request("POST", f"/v1/incr/{key}", {"by": by}, headers, timeout)

    def announce(self, node_id, http):
        return self.request("POST", "/v1/raft/peer_announce", {"id": node_id, "http": http})

    def announce_true(self, node_id, http):
        """An address that is that node's. It is dialled within a second, and a node that stands still
        for so long does not answer."""
        def is_taken():
            reply = self.announce(node_id, http)
            assert reply.status in (204, 422, 502, 503, 504), reply
            return reply.status == 204
        eventually(is_taken, f"{http} is taken for node {node_id}", every=0.05)

    def status(self, timeout=2.0):
        reply = self.request("GET", "/v1/raft/status", timeout=timeout)
        assert reply.status == 200, reply
        return reply.json

    def members(self):
        return {m["id"]: m for m in self.read("/v1/raft/members").json["members"]}

    def revision(self):
        return self.read("/v1/kv?limit=1").json["revision"]

    def metrics(self):
        """{'name{labels}': value} of /metrics."""
        reply = self.request("GET", "/metrics")
        assert reply.status == 200, reply
        samples = {}
        for line in reply.body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name] = float(value)
        return samples

    def is_answering(self):
        return self.request("GET", "/livez", timeout=1.0).status == 200


def _task_state(path):
    try:
        with open(f"{path}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "T"  # the thread has ended meanwhile


class Cluster:
    def __init__(self, count=3, flags=(), name=None):
        self.directory = tempfile.mkdtemp(prefix="minikv-test-")
        self.flags = list(flags)
        self.name = name
        self.nodes = [Node(self, i, os.path.join(self.directory, f"node-{i}"))
                      for i in range(1, count + 1)]

    def initial_cluster(self):
        return ",".join(f"{n.id}={n.peer_text}" for n in self.nodes)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        ends = {n.id: n.process.poll() for n in self.nodes if n.process and not n.is_running}
        for node in self.nodes:
            node.end()
        if kind is None or os.environ.get("MINIKV_TEST_KEEP") == "0":
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            self.print_logs(ends)

    def print_logs(self, ends):
        print(f"kept: {self.directory}", file=sys.stderr)
        for node_id, status in ends.items():
            print(f"node {node_id} had ended by itself with status {status}", file=sys.stderr)
        for node in self.nodes:
            if os.path.exists(node.log_path):
                lines = node.log().splitlines()[-LOG_TAIL_LINES:]
                print(f"--- node {node.id} (tail of its log)", *lines, sep="\n", file=sys.stderr)

    def node(self, node_id):
        return self.nodes[node_id - 1]

    def start(self, announced=True):
        """Starts every node that does not run; returns when the cluster takes requests."""
        try:
            for node in self.nodes:
                if not node.is_running:
                    node.start()
            self.wait_ready(announced)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def up(self):
        """The nodes that can answer. One that has ended by itself fails the test at once."""
        for node in self.nodes:
            assert node.process is None or node.process.poll() is None, \
                f"node {node.id} ended by itself with status {node.process.poll()}"
        return [n for n in self.nodes if n.is_up]

    def kill_all(self):
        """kill -9 of every node at once."""
        running = [n for n in self.nodes if n.is_running]
        for node in running:
            node.process.kill()
        for node in running:
            node.end()

    def find_leader(self):
        """The leader all running nodes agree on, or None."""
        views = [(n, n.status()) for n in self.up()]
        leaders = [n for n, s in views if s["role"] == "leader"]
        if len(leaders) != 1:
            return None
        term = next(s["term"] for n, s in views if n is leaders[0])
        agree = all(s["leader"] == leaders[0].id and s["term"] == term for _, s in views)
        return leaders[0] if agree else None

    def leader(self, timeout=10.0):
        return eventually(self.find_leader, "one leader, known to all nodes that run", timeout)

    def roles(self, timeout=10.0):
        """The leader, and the followers that run: of one moment, for another one may lead the next."""
        leader = self.leader(timeout)
        return leader, [n for n in self.up() if n is not leader]

    def followers(self, timeout=10.0):
        return self.roles(timeout)[1]

    def reign(self):
        """Another value means that a leader was elected, or not heard for a while by some node."""
        seen = {n.id: n.metrics() for n in self.up()}
        return {i: (m["minikv_raft_term"], m["minikv_raft_leader_id"],
                    m["minikv_leader_changes_total"]) for i, m in seen.items()}

    def under_one_leader(self, act):
        """What act(leader, followers) returns or fails with. On a machine that stands still another
        node may lead any time: then it is called again, and must bear that."""
        failure = None
        for _ in range(REIGNS_MAX):
            leader, followers = self.roles()
            before = self.reign()
            try:
                result, failure = act(leader, followers), None
            except BrokenPromise:
                raise
            except (AssertionError, Closed, OSError) as error:
                failure = error
            is_same = self.leader() is leader and self.reign() == before
            if is_same and failure:
                raise failure
            if is_same:
                return result
        raise OutOfTime("nobody leads for as long as this takes") from failure

    def wait_ready(self, announced=True, timeout=20.0):
        """A leader known to all, every running node caught up and (unless told) announced."""
        for node in self.up():
            eventually(node.is_answering, f"node {node.id} answers", timeout)
        self.leader(timeout)
        if announced:
            def all_announced():
                wanted = {n.id: n.http_text for n in self.up()}
                return all(wanted.items() <= {i: m["http"] for i, m in n.members().items()}.items()
                           for n in self.up())
            eventually(all_announced, "every node's client address is known everywhere", timeout)
        self.wait_caught_up(timeout)

    def wait_caught_up(self, timeout=20.0):
        """Every running node has applied what its leader had committed."""
        def caught_up():
            states = [n.status() for n in self.up()]
            indexes = {s["applied_index"] for s in states} | {s["commit_index"] for s in states}
            return len(indexes) == 1
        eventually(caught_up, "all nodes have applied the same index", timeout)

    def wait_durable(self):
        """Every running node has on its own disk what it has applied, which it need not have at once."""
        self.wait_caught_up()
        for node in self.up():
            eventually(lambda n=node: n.metrics()["minikv_raft_durable_index"]
                       >= n.status()["applied_index"], f"the disk of node {node.id} has it all", 20)

    def assert_same_state(self):
        """At rest, all running nodes have the same state, key by key."""
        def states():
            return {n.id: (s["applied_index"], s["digest"]) for n, s in
                    ((n, n.status()) for n in self.up())}

        def compared():
            """Whether nothing was applied meanwhile, such as the first entry of a new leader."""
            self.wait_caught_up()
            before = states()
            listings = {n.id: listing(n, "&consistency=stale") for n in self.up()}
            if states() != before or len({index for index, _ in before.values()}) != 1:
                return False
            first = next(iter(listings.values()))
            for node_id, items in listings.items():
                assert items == first, f"node {node_id} differs from its peers"
            assert len(set(before.values())) == 1, f"digests differ: {before}"
            return True
        eventually(compared, "all nodes are at rest", 30)

    def probe_write(self, nodes, key, timeout=10.0, every=0.005):
        """Seconds until one of `nodes` has taken a write that was sent after this call began."""
        begin = time.monotonic()
        serial = 0
        while time.monotonic() - begin < scaled(timeout):
            node = nodes[serial % len(nodes)]
            client = Client(node.http, timeout)
            attempt = client.attempt("PUT", f"/v1/kv/{key}", {"value": str(serial)})
            client.close()
            if attempt.ok:
                return time.monotonic() - begin
            serial += 1
            time.sleep(every)
        raise OutOfTime(f"no write succeeded within {scaled(timeout):g} s")


def listing(node, query=""):
    """Every item of the store, page by page."""
    items, after = [], ""
    while True:
        reply = node.read(f"/v1/kv?limit=1000{query}{after}")
        assert reply.status == 200, reply
        page = reply.json
        items += page["items"]
        if not page.get("next"):
            return items
        after = "&after=" + quote(page["next"], safe="")
