#!/usr/bin/env python3
"""Crowds of clients that mean no good at one node, and how the others fare meanwhile.

  tests/system/hostile_crowd.py [--build DIR] [--count N] [--seconds S] [--rate R] [KIND ...]

Three nodes; others send puts and gets to all of them, first alone, then beside each crowd of the leader:
their latencies, what was refused to them, the largest memory of the leader, and what the crowd was told.
"""
import argparse
import collections
import json
import os
import resource
import selectors
import socket
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
    """

    def __init__(self, node, count):
        super().__init__(daemon=True)
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
        with selectors.DefaultSelector() as self.selector:
            try:
                for number in range(self.count):
                    self.open(number)
                self.last_tick = time.monotonic()
                while not self.is_stopping:
                    self.turn()
            except BaseException as error:  # told to whoever waits for the crowd
                self.error = error
            for client in list(self.sockets):
                client.close()

    def turn(self):
        for key, events in self.selector.select(0.02):
            client = key.fileobj
            if events & selectors.EVENT_WRITE and client in self.sockets:
                self.write(client)
            if events & selectors.EVENT_READ and client in self.sockets:
                self.read(client)
        if time.monotonic() - self.last_tick > TRICKLE_SECONDS:
            self.last_tick = time.monotonic()
            for client in list(self.sockets):
                self.tick(client)
        if not self.is_formed.is_set() and self.has_formed():
            self.is_formed.set()

    def has_formed(self):
        return True

    def open(self, number):
        client = socket.socket()
        client.settimeout(scaled(10))
        self.prepare(client)
        client.connect(self.node.http)
        client.setblocking(False)
        self.sockets[client] = {"number": number, "in": b"", "out": memoryview(self.first(number))}
        self.selector.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE)
        self.write(client)

    def prepare(self, client):
        pass

    def first(self, number):
        """What it sends at once."""
        return b""

    def tick(self, client):
        pass

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
            self.open(number)


class SlowHeads(ComesAgain):
    def first(self, number):
        return b"GET /v1/kv/k HTTP/1.1\r\nHost: h\r\nX-Slow: "

    def tick(self, client):
        self.send(client, b"s")


class SlowBodies(ComesAgain):
    def first(self, number):
        return (b"PUT /v1/kv/slow%d HTTP/1.1\r\nHost: h\r\nContent-Type: application/octet-stream\r\n"
                b"Content-Length: %d\r\n\r\n" % (number, VALUE_BYTES)) + b"s" * 1000

    def tick(self, client):
        self.send(client, b"s")


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


def line_of(name, result, memory, crowd):
    latency = result["latency_us"]
    told = ", ".join(f"{count} × {what}" for what, count in sorted(crowd.told.items())) if crowd else ""
    return (f"{name:16} {result['answered']:>7} {result['refused']:>5} {result['unanswered']:>5} "
            f"{latency['p50'] / 1000:>8.2f} {latency['p99'] / 1000:>8.2f} {latency['max'] / 1000:>8.1f} "
            f"{memory.largest / 1024:>8.0f}   {told}" + (f"; {crowd.cut} cut" if crowd and crowd.cut else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", help="directory with minikvd and minikv (default: build/release)")
    parser.add_argument("--count", type=int, help="of each crowd (default: 10000 idle, 1000 of others)")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rate", type=int, default=500, help="requests a second of the others")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    options = parser.parse_args()
    if options.build:
        os.environ["MINIKV_BUILD"] = os.path.abspath(options.build)
    raise_descriptors()
    print(f"{'crowd':16} answers refus. lost  p50 (ms) p99 (ms)      max  RSS MiB   the crowd was told",
          flush=True)
    for kind in options.kinds or KINDS:
        with Cluster(3).start() as cluster:
            leader = cluster.leader()
            others(cluster, 1, options.rate)  # warm
            for name in ("nobody else", kind):
                count = options.count or (10000 if kind == "idle" else 1000)
                with Memory(leader) as memory:
                    if name != kind:
                        print(line_of(name, others(cluster, options.seconds, options.rate), memory, None),
                              flush=True)
                        continue
                    with KINDS[kind](leader, count) as crowd:
                        result = others(cluster, options.seconds, options.rate)
                    print(line_of(f"{count} {kind}", result, memory, crowd), flush=True)
            with Connection(leader.http) as connection:
                assert connection.request("GET", "/livez").status == 200
    return 0


if __name__ == "__main__":
    sys.exit(main())
