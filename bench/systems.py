"""The clusters that are measured: three nodes each, on loopback, on the same disk, synced writes.

Both offer the same few methods, so that the scripts treat them alike. Processes are started with a
parent-death signal and ended by pid.
"""
import base64
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "system"))

import cluster as minikv_cluster  # noqa: E402
from cluster import HOST, PortClaim, eventually  # noqa: E402

PROBE_EVERY_SECONDS = 0.005
PROBE_SECONDS_MAX = 20
READY_SECONDS_MAX = 30


def resident_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class MiniKV:
    name = "MiniKV"
    put = ["-m", "PUT", "-p", "/v1/kv/%k", "-b", '{"value":"%v"}']
    get = ["-m", "GET", "-p", "/v1/kv/%k"]

    def __init__(self, flags=()):
        self.cluster = minikv_cluster.Cluster(3, flags)

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

    def probe_request(self, serial):
        body = b'{"value":"%d"}' % serial
        return (b"PUT /v1/kv/probe HTTP/1.1\r\nHost: probe\r\nContent-Length: %d\r\n\r\n"
                % len(body) + body)

    def _node(self, endpoint):
        return next(n for n in self.cluster.nodes if n.http_text == endpoint)


class Etcd:
    name = "etcd"
    put = ["-m", "POST", "-p", "/v3/kv/put", "-b", '{"key":"%K","value":"%V"}']
    get = ["-m", "POST", "-p", "/v3/kv/range", "-b", '{"key":"%K"}']

    def __init__(self, flags=()):
        self.flags = list(flags)
        self.directory = tempfile.mkdtemp(prefix="minikv-bench-etcd-")
        self.claims = [(PortClaim(), PortClaim()) for _ in range(3)]
        self.processes = [None, None, None]

    def client(self, i):
        return f"{HOST}:{self.claims[i][0].port}"

    def peer(self, i):
        return f"http://{HOST}:{self.claims[i][1].port}"

    def start(self, state="new"):
        for i in range(3):
            self._start_one(i, state)
        eventually(self._is_ready, "etcd is ready", READY_SECONDS_MAX, every=0.05)

    def _start_one(self, i, state):
        url = f"http://{self.client(i)}"
        arguments = ["etcd", "--name", f"n{i}", "--data-dir", f"{self.directory}/n{i}",
                     "--listen-client-urls", url, "--advertise-client-urls", url,
                     "--listen-peer-urls", self.peer(i),
                     "--initial-advertise-peer-urls", self.peer(i),
                     "--initial-cluster", ",".join(f"n{j}={self.peer(j)}" for j in range(3)),
                     "--initial-cluster-state", state, "--log-level", "error", "--logger", "zap",
                     *self.flags]
        with open(f"{self.directory}/log{i}", "ab") as log:
            self.processes[i] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *arguments], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log)

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

    def probe_request(self, serial):
        value = base64.b64encode(b"%d" % serial)
        body = b'{"key":"cHJvYmU=","value":"%s"}' % value
        return (b"POST /v3/kv/put HTTP/1.1\r\nHost: probe\r\nContent-Length: %d\r\n\r\n"
                % len(body) + body)

    def _number(self, endpoint):
        return next(i for i in range(3) if self.client(i) == endpoint)

    def _status(self, i):
        request = urllib.request.Request(f"http://{self.client(i)}/v3/maintenance/status",
                                         data=b"{}", method="POST")
        with urllib.request.urlopen(request, timeout=2) as reply:
            return json.load(reply)

    def _find_leader(self):
        up = [i for i in range(3) if self.processes[i] is not None]
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


def seconds_until_write(system, endpoints):
    """Fresh connections, one every few ms, to the survivors in turn; until one write succeeds."""
    begin = time.monotonic()
    opened, serial, next_at = [], 0, begin
    try:
        while (now := time.monotonic()) - begin < PROBE_SECONDS_MAX:
            if now >= next_at:
                next_at = now + PROBE_EVERY_SECONDS
                host, _, port = endpoints[serial % len(endpoints)].rpartition(":")
                try:
                    probe = socket.create_connection((host, int(port)), 1)
                    probe.sendall(system.probe_request(serial))
                    opened.append(probe)
                except OSError:
                    pass
                serial += 1
            wait = max(0.0, next_at - time.monotonic())
            for probe in select.select(opened, [], [], wait)[0] if opened else ():
                if _succeeded(probe):
                    return time.monotonic() - begin
                opened.remove(probe)
                probe.close()
    finally:
        for probe in opened:
            probe.close()
    raise AssertionError(f"{system.name}: no write succeeded within {PROBE_SECONDS_MAX} s")


def _succeeded(probe):
    try:
        return probe.recv(65536)[9:10] == b"2"
    except OSError:
        return False
