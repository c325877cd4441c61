#!/usr/bin/env python3
"""Crowds of clients that mean no good at one node, and how the others fare meanwhile.

  tests/system/hostile_crowd.py [--build DIR] [--count N] [--seconds S] [--rate R] [--turns N]
                                [--burst] [KIND ...]

Three nodes; others send puts and gets to all of them, alone and beside each crowd of the leader, in turns:
their latencies, what was refused to them, the largest memory of the leader, the processor time of the
leader and of the crowd, and what the crowd was told. Behind the turns come the medians.

Who trickles does so at a moment of his own, as strangers do; with --burst all of them do in the same one.
The crowd has the lowest priority on the processors, which it shares with the nodes and the others here.
"""
import argparse
import collections
import json
import os
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time

from cluster import Cluster, clean_environment, eventually, program, scaled
from http_client import Connection
from testing import OutOfTime

VALUE_BYTES = 1 << 20
TRICKLE_SECONDS = 0.25  # between two bytes of each slow client
RECEIVE_BYTES = 4096    # of the buffer of a reader that does not read


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Crowd(threading.Thread):
    """`count` connections to `node` that behave as a subclass says, until stop().

    told    statuses of replies, with their effect where they have one: {"503 none": 3}
    last    {number of a client: what it was told last}
    cut     connections that the node has ended, with or without a word
    spent   processor time of its own, in seconds
    """

    is_burst = False  # all of those that trickle do so at once
    niceness = 0

    def __init__(self, node, count):
        super().__init__(daemon=True)
        self.spent, self.due = 0.0, collections.deque()  # (when, client), in this order
        self.node, self.count = node, count
        self.told, self.last, self.cut = collections.Counter(), {}, 0
        self.is_formed, self.is_stopping = threading.Event(), False
        self.error = None

    def __enter__(self):
        self.start()
        eventually(lambda: self.is_formed.is_set() or self.error, "the crowd is there", 60)
        return self

    def __exit__(self, *_):
        self.is_stopping = True
        self.join(60)
        if self.error:
            raise self.error

    def run(self):
        self.sockets = {}
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self.niceness)
        with selectors.DefaultSelector() as self.selector:
            try:
                for number in range(self.count):
                    self.open(number)
                self.schedule()
                while not self.is_stopping:
                    self.turn()
                    self.spent = time.thread_time()
            except BaseException as error:  # told to whoever waits for the crowd
                self.error = error
            for client in list(self.sockets):
                client.close()

    def turn(self):
        for key, events in self.selector.select(0.002 if self.trickles and not self.is_burst else 0.02):
            client = key.fileobj
            if events & selectors.EVENT_WRITE and client in self.sockets:
                self.write(client)
            if events & selectors.EVENT_READ and client in self.sockets:
                self.read(client)
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            when, client = self.due.popleft()
            if client in self.sockets:
                self.tick(client)
                self.due.append((max(when, now - TRICKLE_SECONDS) + TRICKLE_SECONDS, client))
        if not self.is_formed.is_set() and self.has_formed():
            self.is_formed.set()

    def has_formed(self):
        return True

    def schedule(self):
        """When each trickles for the first time: spread over the interval, or all of them at once."""
        now, clients = time.monotonic(), list(self.sockets) if self.trickles else []
        for place, client in enumerate(clients):
            self.due.append((now + (0 if self.is_burst else TRICKLE_SECONDS * place / len(clients)), client))

    def open(self, number):
        client = socket.socket()
        client.settimeout(scaled(10))
        self.prepare(client)
        client.connect(self.node.http)
        client.setblocking(False)
        self.sockets[client] = {"number": number, "in": b"", "out": memoryview(self.first(number))}
        self.selector.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE)
        self.write(client)
        return client

    def prepare(self, client):
        pass

    def first(self, number):
        """What it sends at once."""
        return b""

    trickles = False

    def tick(self, client):
        """A byte more, past the selector: there is always room for one."""
        try:
            client.send(b"s")
        except OSError:
            pass  # its end is read in its turn

    def send(self, client, data):
        self.sockets[client]["out"] = memoryview(data)
        self.selector.modify(client, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def write(self, client):
        own = self.sockets[client]
        try:
            while own["out"]:
                own["out"] = own["out"][client.send(own["out"][:1 << 18]):]
        except BlockingIOError:
            return
        except OSError:
            own["out"] = memoryview(b"")
        self.selector.modify(client, selectors.EVENT_READ)

    def read(self, client):
        try:
            data = client.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        own = self.sockets[client]
        own["in"] += data
        while b"\r\n\r\n" in own["in"]:
            head, _, rest = own["in"].partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
            length = int(fields.get(b"content-length", 0))
            if len(rest) < length:
                break
            own["in"] = rest[length:]
            effect = fields.get(b"x-minikv-effect", b"").decode()
            what = f"{head[9:12].decode()} {effect}".strip()
            self.told[what] += 1
            self.last[own["number"]] = what
        if not data:
            self.cut += 1
            self.selector.unregister(client)
            del self.sockets[client]
            client.close()
            self.on_cut(own["number"])

    def on_cut(self, number):
        pass


class Idle(Crowd):
    """Half of them have sent a request; the other half says nothing at all."""

    def __init__(self, node, count, answered=None):
        super().__init__(node, count)
        self.answered = count // 2 if answered is None else answered  # before it counts as formed

    def first(self, number):
        return b"GET /livez HTTP/1.1\r\nHost: h\r\n\r\n" if number % 2 else b""

    def has_formed(self):
        return self.told["200"] >= self.answered


class ComesAgain(Crowd):
    """Whoever is cut comes back."""

    def on_cut(self, number):
        if not self.is_stopping:
            client = self.open(number)
            if self.trickles:
                self.due.append((time.monotonic() + TRICKLE_SECONDS, client))


class SlowHeads(ComesAgain):
    trickles = True

    def first(self, number):
        return b"GET /v1/kv/k HTTP/1.1\r\nHost: h\r\nX-Slow: "


class SlowBodies(ComesAgain):
    trickles = True

    def first(self, number):
        return (b"PUT /v1/kv/slow%d HTTP/1.1\r\nHost: h\r\nContent-Type: application/octet-stream\r\n"
                b"Content-Length: %d\r\n\r\n" % (number, VALUE_BYTES)) + b"s" * 1000


class SlowReaders(ComesAgain):
    """They ask for a large value again and again, and take nothing of it."""

    def start(self):
        reply = self.node.request("PUT", "/v1/kv/large", b"x" * VALUE_BYTES,
                                  {"Content-Type": "application/octet-stream"})
        assert reply.status == 204, reply
        super().start()

    def prepare(self, client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)

    def first(self, number):
        return b"GET /v1/kv/large?raw HTTP/1.1\r\nHost: h\r\n\r\n" * 16

    def read(self, client):
        pass

    def write(self, client):
        super().write(client)
        if not self.sockets[client]["out"]:
            self.selector.unregister(client)  # what comes is left where it is


class BigPuts(Crowd):
    """All of a value of 1 MiB but its last byte; when all have sent that, the last byte."""

    def first(self, number):
        self.is_last_sent = False
        return (b"PUT /v1/kv/big%d/%d HTTP/1.1\r\nHost: h\r\nContent-Type: application/octet-stream\r\n"
                b"Content-Length: %d\r\n\r\n" % (self.node.id, number, VALUE_BYTES)) \
            + b"p" * (VALUE_BYTES - 1)

    def keys_told(self, what):
        return {f"big{self.node.id}/{number}" for number, told in self.last.items() if what in told}

    def turn(self):
        super().turn()
        if not self.is_last_sent and not any(own["out"] for own in self.sockets.values()):
            self.is_last_sent = True
            for client in list(self.sockets):
                self.send(client, b"p")

    @property
    def is_answered(self):
        return sum(self.told.values()) >= self.count


KINDS = {"idle": Idle, "heads": SlowHeads, "bodies": SlowBodies, "readers": SlowReaders, "puts": BigPuts}


def processor_seconds(node):
    """What a node has had of the processors so far, to the nanosecond."""
    tasks, spent = f"/proc/{node.process.pid}/task", 0
    for task in os.listdir(tasks):
        with open(f"{tasks}/{task}/schedstat") as stat:
            spent += int(stat.read().split()[0])
    return spent / 1e9


class Memory(threading.Thread):
    """The largest resident memory of a node while it runs, in KiB."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.largest, self.is_stopping = node, node.memory_kib(), False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_stopping = True
        self.join(10)

    def run(self):
        while not self.is_stopping:
            self.largest = max(self.largest, self.node.memory_kib())
            time.sleep(0.01)


def others(cluster, seconds, rate, connections=8):
    """What clients that behave see at all nodes: the result of minikv bench."""
    run = subprocess.run(
        [program("minikv"), "bench", "50/50", "-o", "json", "--at", "all", "--rate", str(rate),
         "--connections", str(connections), "--duration", f"{int(seconds * 1000)}ms", "--keys", "200"],
        env={**clean_environment(), "MINIKV_ENDPOINTS": ",".join(n.http_text for n in cluster.up())},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=scaled(seconds * 3 + 60))
    if run.returncode != 0:
        raise OutOfTime(f"nobody has answered the others: {run}")
    return json.loads(run.stdout)


def line_of(name, result, memory, shares, crowd):
    latency = result["latency_us"]
    told = ", ".join(f"{count} × {what}" for what, count in sorted(crowd.told.items())) if crowd else ""
    return (f"{name:16} {result['answered']:>7} {result['refused']:>5} {result['unanswered']:>5} "
            f"{latency['p50'] / 1000:>8.2f} {latency['p99'] / 1000:>8.2f} {latency['max'] / 1000:>8.1f} "
            f"{memory.largest / 1024:>8.0f} {shares[0] * 100:>7.1f} {shares[1] * 100:>6.1f}   {told}"
            + (f"; {crowd.cut} cut" if crowd and crowd.cut else ""))


def one_turn(cluster, kind, options):
    """The others alone, if kind is None, or beside that crowd: their p99 in ms."""
    leader, crowd = cluster.leader(), None
    count = options.count or (10000 if kind == "idle" else 1000)
    with Memory(leader) as memory:
        spent, begin = processor_seconds(leader), time.monotonic()
        if kind is None:
            result = others(cluster, options.seconds, options.rate)
        else:
            with KINDS[kind](leader, count) as crowd:
                result = others(cluster, options.seconds, options.rate)
        took = time.monotonic() - begin
        shares = ((processor_seconds(leader) - spent) / took, crowd.spent / took if crowd else 0)
    print(line_of(f"{count} {kind}" if kind else "nobody else", result, memory, shares, crowd), flush=True)
    return result["latency_us"]["p99"] / 1000


def measure(kind, options):
    alone, beside = [], []
    with Cluster(3).start() as cluster:
        others(cluster, 1, options.rate)  # warm
        for _ in range(options.turns):
            alone.append(one_turn(cluster, None, options))
            beside.append(one_turn(cluster, kind, options))
        with Connection(cluster.leader().http) as connection:
            assert connection.request("GET", "/livez").status == 200
    if options.turns > 1:
        low, high = statistics.median(alone), statistics.median(beside)
        print(f"{'':16} medians of p99: {low:.2f} ms alone, {high:.2f} ms beside {kind}: {high / low:.2f} times",
              flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", help="directory with minikvd and minikv (default: build/release)")
    parser.add_argument("--count", type=int, help="of each crowd (default: 10000 idle, 1000 of others)")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=int, default=500, help="requests a second of the others")
    parser.add_argument("--turns", type=int, default=1, help="alone and beside the crowd, so often")
    parser.add_argument("--burst", action="store_true", help="all that trickle do so in the same moment")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    options = parser.parse_args()
    if options.build:
        os.environ["MINIKV_BUILD"] = os.path.abspath(options.build)
    Crowd.is_burst, Crowd.niceness = options.burst, 19
    raise_descriptors()
    print(f"{'crowd':16} answers refus. lost  p50 (ms) p99 (ms)      max  RSS MiB  leader  crowd   "
          "(% of a processor) and what it was told", flush=True)
    for kind in options.kinds or KINDS:
        measure(kind, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
