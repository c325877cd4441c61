"""The systems that are measured, on loopback, on the same disk, every write synced.

MiniKV and etcd as three nodes each, Redis as one, and any server of MiniKV's interface that runs
already (Reference). All offer the same few methods, so that the scripts treat them alike. Processes
are started with a parent-death signal and ended by pid.
"""
import base64
import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "system"))

import cluster as minikv_cluster  # noqa: E402
from cluster import HOST, PortClaim, eventually  # noqa: E402
from processes import cpu_seconds, resident_kib  # noqa: E402,F401

READY_SECONDS_MAX = 30
FILL_KEYS_PER_TXN, FILL_BYTES_PER_TXN, FILL_THREADS = 100, 512 * 1024, 8
ETCD_SPACE_BYTES = 8 * 2**30  # its default of 2 GiB would end a run with long values
# Before the 16 bytes that the generator's %k is: keys of 24 bytes, as in the goals. In base64 only
# a multiple of three bytes can be put in front, so etcd's keys are one byte longer.
KEY_PREFIX, ETCD_KEY_PREFIX = "measure-", "measured-"
ETCD_PREFIX_BASE64 = base64.b64encode(ETCD_KEY_PREFIX.encode()).decode()


def start_process(arguments, log_path):
    with open(log_path, "ab") as log:
        return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *arguments],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)


class MiniKVInterface:
    """How to ask for things through MiniKV's HTTP interface, in the words of the generator."""

    ways = ("http",)
    put = ["-m", "PUT", "-p", "/v1/kv/%k", "-b", '{"value":"%v"}']
    get = ["-m", "GET", "-p", "/v1/kv/%k"]
    path = f"/v1/kv/{KEY_PREFIX}"

    def request(self, operation, value_bytes):
        """What the generator is told for this operation on 24-byte keys."""
        target = self.path + "%k" + ("?consistency=stale" if operation == "stale" else "")
        put = ["-m", "PUT", "-p", target, "-b", '{"value":"%v"}']
        identity = ["-H", "X-MiniKV-Client-Id: load-%c", "-H", "X-MiniKV-Sequence: %s",
                    "-H", "X-MiniKV-Acked: %a"]
        get = ["-m", "GET", "-p", target]
        return {"put": put, "mix": put, "identified": [*put, *identity], "get": get,
                "stale": get}[operation]

    def probe_request(self, serial):
        body = b'{"value":"%d"}' % serial
        return (b"PUT /v1/kv/probe HTTP/1.1\r\nHost: probe\r\nContent-Length: %d\r\n\r\n"
                % len(body) + body)


class MiniKV(MiniKVInterface):
    name = "MiniKV"

    def __init__(self, flags=(), nodes=3):
        self.cluster = minikv_cluster.Cluster(nodes, flags)

    def spawn(self):
        """Starts the processes; returns the endpoints without waiting for anything."""
        for node in self.cluster.nodes:
            node.start()
        return [n.http_text for n in self.cluster.nodes]

    def start(self):
        self.cluster.start()

    def stop(self):
        self.cluster.__exit__(None)

    def version(self):
        return self.cluster.nodes[0].request("GET", "/version").json

    def pids(self):
        return [n.process.pid for n in self.cluster.nodes if n.is_running]

    def endpoints(self):
        """(leader, the others) as host:port."""
        leader = self.cluster.leader()
        return leader.http_text, [n.http_text for n in self.cluster.up() if n is not leader]

    def kill(self, endpoint):
        self._node(endpoint).kill()

    def restart(self, endpoint):
        node = self._node(endpoint)
        node.start()
        self.cluster.wait_ready()

    def freeze(self, endpoint):
        node = self._node(endpoint)
        node.process.send_signal(signal.SIGSTOP)
        node.is_paused = True

    def thaw(self, endpoint):
        self._node(endpoint).resume()
        self.cluster.wait_ready()

    def _node(self, endpoint):
        return next(n for n in self.cluster.nodes if n.http_text == endpoint)


class Etcd:
    ways = ("grpc", "json")
    put = ["-m", "POST", "-p", "/v3/kv/put", "-b", '{"key":"%K","value":"%V"}']
    get = ["-m", "POST", "-p", "/v3/kv/range", "-b", '{"key":"%K"}']

    def __init__(self, flags=(), name="etcd"):
        self.name = name
        self.flags = list(flags)
        self.directory = tempfile.mkdtemp(prefix="minikv-bench-etcd-")
        self.claims = [(PortClaim(), PortClaim()) for _ in range(3)]
        self.processes = [None, None, None]
        self.frozen = set()

    def request(self, operation, value_bytes):
        key = f'"key":"{ETCD_PREFIX_BASE64}%K"'
        ask = ["-m", "POST", "-p", "/v3/kv/range", "-b"]
        return {"put": ["-m", "POST", "-p", "/v3/kv/put", "-b", "{" + key + ',"value":"%V"}'],
                "get": [*ask, "{" + key + "}"],
                "stale": [*ask, "{" + key + ',"serializable":true}']}[operation]

    def client(self, i):
        return f"{HOST}:{self.claims[i][0].port}"

    def peer(self, i):
        return f"http://{HOST}:{self.claims[i][1].port}"

    def spawn(self, state="new"):
        for i in range(3):
            self._start_one(i, state)
        return [self.client(i) for i in range(3)]

    def start(self):
        self.spawn()
        eventually(self._is_ready, "etcd is ready", READY_SECONDS_MAX, every=0.05)

    def _start_one(self, i, state):
        url = f"http://{self.client(i)}"
        arguments = ["etcd", "--name", f"n{i}", "--data-dir", f"{self.directory}/n{i}",
                     "--listen-client-urls", url, "--advertise-client-urls", url,
                     "--listen-peer-urls", self.peer(i),
                     "--initial-advertise-peer-urls", self.peer(i),
                     "--initial-cluster", ",".join(f"n{j}={self.peer(j)}" for j in range(3)),
                     "--initial-cluster-state", state, "--log-level", "error", "--logger", "zap",
                     "--quota-backend-bytes", str(ETCD_SPACE_BYTES), *self.flags]
        self.processes[i] = start_process(arguments, f"{self.directory}/log{i}")

    def stop(self):
        for process in self.processes:
            if process is not None:
                process.kill()
                process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def version(self):
        with urllib.request.urlopen(f"http://{self.client(0)}/version", timeout=2) as reply:
            return json.load(reply)

    def pids(self):
        return [p.pid for p in self.processes if p is not None and p.poll() is None]

    def endpoints(self):
        """(leader, the others) as host:port."""
        return eventually(self._find_leader, "etcd has a leader", READY_SECONDS_MAX, every=0.02)

    def kill(self, endpoint):
        i = self._number(endpoint)
        self.processes[i].kill()
        self.processes[i].wait(10)
        self.processes[i] = None

    def restart(self, endpoint):
        self._start_one(self._number(endpoint), "existing")
        eventually(self._is_ready, "etcd is ready", READY_SECONDS_MAX, every=0.05)

    def freeze(self, endpoint):
        i = self._number(endpoint)
        self.processes[i].send_signal(signal.SIGSTOP)
        self.frozen.add(i)

    def thaw(self, endpoint):
        i = self._number(endpoint)
        self.processes[i].send_signal(signal.SIGCONT)
        self.frozen.discard(i)
        eventually(self._is_ready, "etcd is ready", READY_SECONDS_MAX, every=0.05)

    def fill(self, keys, value_bytes):
        """Keys as the generator names them: many in a transaction, for its gateway is slow."""
        value = base64.b64encode(b"x" * value_bytes).decode()
        step = max(1, min(FILL_KEYS_PER_TXN, FILL_BYTES_PER_TXN // value_bytes))

        def put_some(first):
            puts = [{"requestPut": {"key": base64.b64encode(
                b"%skey-%012d" % (ETCD_KEY_PREFIX.encode(), k)).decode(), "value": value}}
                for k in range(first, min(first + step, keys))]
            self.post(0, "/v3/kv/txn", {"success": puts})

        with concurrent.futures.ThreadPoolExecutor(FILL_THREADS) as pool:
            list(pool.map(put_some, range(0, keys, step)))

    def probe_request(self, serial):
        value = base64.b64encode(b"%d" % serial)
        body = b'{"key":"cHJvYmU=","value":"%s"}' % value
        return (b"POST /v3/kv/put HTTP/1.1\r\nHost: probe\r\nContent-Length: %d\r\n\r\n"
                % len(body) + body)

    def post(self, i, path, body):
        request = urllib.request.Request(f"http://{self.client(i)}{path}", method="POST",
                                         data=json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)

    def _number(self, endpoint):
        return next(i for i in range(3) if self.client(i) == endpoint)

    def _status(self, i):
        return self.post(i, "/v3/maintenance/status", {})

    def _find_leader(self):
        up = [i for i in range(3) if self.processes[i] is not None and i not in self.frozen]
        states = {i: self._status(i) for i in up}
        leaders = {s.get("leader") for s in states.values()}
        if len(leaders) != 1:
            return None
        mine = [i for i in up if states[i]["header"]["member_id"] in leaders]
        if len(mine) != 1:
            return None
        return self.client(mine[0]), [self.client(i) for i in up if i != mine[0]]

    def _is_ready(self):
        """All three up, one leader, and nobody far behind."""
        states = [self._status(i) for i in range(3)]
        applied = [int(s["raftAppliedIndex"]) for s in states]
        return max(applied) - min(applied) < 100 and self._find_leader() is not None


class Redis:
    """One node that syncs its append-only file before it answers. Nothing is replicated."""

    name = "Redis"
    ways = ("resp",)

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="minikv-bench-redis-")
        self.claim = PortClaim()
        self.process = None

    def start(self):
        self.process = start_process(
            ["redis-server", "--bind", HOST, "--port", str(self.claim.port), "--dir",
             self.directory, "--appendonly", "yes", "--appendfsync", "always", "--save", ""],
            f"{self.directory}/log")
        eventually(lambda: self.exchange(b"PING\r\n", 1), "redis answers", READY_SECONDS_MAX)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def version(self):
        text = subprocess.run(["redis-server", "--version"], capture_output=True, text=True,
                              timeout=10).stdout
        return re.search(r"v=(\S+)", text).group(1)

    def request(self, operation, value_bytes):
        """The bytes of its protocol, which the generator sends as they are."""
        key = f"$24\r\n{KEY_PREFIX}%k\r\n"
        body = (f"*3\r\n$3\r\nSET\r\n{key}${value_bytes}\r\n%v\r\n" if operation == "put"
                else f"*2\r\n$3\r\nGET\r\n{key}")
        return ["-R", "-b", body]

    def pids(self):
        return [self.process.pid]

    def endpoints(self):
        return f"{HOST}:{self.claim.port}", []

    def fill(self, keys, value_bytes):
        value = b"$%d\r\n%s\r\n" % (value_bytes, b"x" * value_bytes)
        names = [b"%skey-%012d" % (KEY_PREFIX.encode(), k) for k in range(keys)]
        step = max(1, FILL_BYTES_PER_TXN // value_bytes)
        for first in range(0, keys, step):
            some = names[first:first + step]
            self.exchange(b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n%s" % (len(n), n, value)
                                   for n in some), len(some))

    def exchange(self, request, replies):
        """Sends `request` and reads so many one-line answers."""
        with socket.create_connection((HOST, self.claim.port), 10) as connection:
            connection.sendall(request)
            got = b""
            while got.count(b"\r\n") < replies:
                piece = connection.recv(65536)
                if not piece:
                    raise OSError("redis closed the connection")
                got += piece
            return got


class Reference(MiniKVInterface):
    """A server of MiniKV's interface that is listening already: NAME=HOST:PORT[,…][@PID[,…]].

    The first endpoint takes writes. The processes are only looked at, for their CPU time.
    """

    def __init__(self, text):
        match = re.fullmatch(r"([\w .-]+)=([\w.:,-]+)(?:@([\d,]+))?", text)
        if match is None:
            raise ValueError(f"not NAME=HOST:PORT[,HOST:PORT][@PID[,PID]]: {text}")
        self.name = match.group(1)
        self.addresses = match.group(2).split(",")
        self.processes = [int(pid) for pid in (match.group(3) or "").split(",") if pid]

    def start(self):
        host, _, port = self.addresses[0].rpartition(":")
        socket.create_connection((host, int(port)), 2).close()

    def stop(self):
        pass

    def version(self):
        return "as it was found"

    def pids(self):
        return self.processes

    def endpoints(self):
        return self.addresses[0], self.addresses[1:]


def installed(*programs):
    """Whether all of these are here; says so when not."""
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        print(f"not installed, so not measured: {', '.join(missing)} (script/bootstrap --bench)",
              file=sys.stderr)
    return not missing
