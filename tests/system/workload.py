"""Clients that load a cluster and keep exact books about what they were told."""
import random
import threading
import time

from cluster import listing
from http_client import APPLIED, MAYBE, NONE, Client
from lincheck import ABSENT, NEVER, UNKNOWN, Operation

RETRY_PAUSE_SECONDS = 0.005


class Workload:
    """Threads that run until the `with` block ends; an exception in one fails the test."""

    def __init__(self, clients_count, nodes):
        self.nodes = list(nodes)
        self.stopping = threading.Event()
        self.errors = []
        self.threads = [threading.Thread(target=self._guarded, args=(i,), daemon=True)
                        for i in range(clients_count)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)
        if self.errors:
            raise self.errors[0]

    def _guarded(self, number):
        try:
            self.run_client(number)
        except Exception as error:  # reported by __exit__ in the main thread
            self.errors.append(error)

    def rotation(self, number):
        """An endless series of nodes, starting at another one for each client."""
        while True:
            yield self.nodes[number % len(self.nodes)]
            number += 1


class Writers(Workload):
    """Each client writes keys of its own, one after the other, and moves on when refused."""

    def __init__(self, nodes, clients_count=4, prefix="w", headers=None):
        super().__init__(clients_count, nodes)
        self.prefix = prefix
        self.headers = headers or {}
        self.books = [{} for _ in range(clients_count)]  # key → effect of its only delivery
        self.unknown = []  # "key: how it ended", of each delivery whose outcome is unknown

    def run_client(self, number):
        rotation = self.rotation(number)
        client = Client(next(rotation).http)
        serial = 0
        while not self.stopping.is_set():
            key = f"{self.prefix}-{number}-{serial:06d}"
            attempt = client.attempt("PUT", f"/v1/kv/{key}", {"value": f"v-{key}"}, self.headers)
            assert attempt.reply is None or attempt.reply.status in (204, 502, 503, 504), \
                attempt.reply
            self.books[number][key] = APPLIED if attempt.ok else attempt.effect
            if self.books[number][key] == MAYBE:
                self.unknown.append(f"{key}: {attempt.reply or attempt.error!r}")
            serial += 1
            if not attempt.ok:
                client.close()
                client = Client(next(rotation).http)
                self.stopping.wait(RETRY_PAUSE_SECONDS)
        client.close()

    def keys(self, effect):
        return {k for book in self.books for k, e in list(book.items()) if e == effect}

    def acknowledged_count(self):
        return sum(1 for book in self.books for e in list(book.values()) if e == APPLIED)

    def assert_truth(self, nodes):
        """At each node: what was acknowledged is there, and what had no effect is not."""
        acked, undone = self.keys(APPLIED), self.keys(NONE)
        for node in nodes:
            found = {i["key"]: i["value"] for i in listing(node, f"&prefix={self.prefix}-")}
            lost = sorted(acked - found.keys())
            assert not lost, f"node {node.id} lost {len(lost)} of {len(acked)}: {lost[:5]}"
            ghosts = sorted(undone & found.keys())
            assert not ghosts, f"node {node.id} has writes answered `effect: none`: {ghosts[:5]}"
            wrong = [k for k, v in found.items() if v != f"v-{k}"]
            assert not wrong, f"node {node.id} has wrong values: {wrong[:5]}"


class Counters(Workload):
    """Each client increments one key and counts what it was told."""

    def __init__(self, nodes, key, clients_count=4):
        super().__init__(clients_count, nodes)
        self.key = key
        self.counts = [{APPLIED: 0, MAYBE: 0, NONE: 0} for _ in range(clients_count)]

    def run_client(self, number):
        rotation = self.rotation(number)
        client = Client(next(rotation).http)
        last = 0
        while not self.stopping.is_set():
            attempt = client.attempt("POST", f"/v1/incr/{self.key}", {"by": 1})
            effect = APPLIED if attempt.ok else attempt.effect
            self.counts[number][effect] += 1
            if attempt.ok:
                assert attempt.reply.json["value"] > last, "a counter went backwards"
                last = attempt.reply.json["value"]
            else:
                client.close()
                client = Client(next(rotation).http)
                self.stopping.wait(RETRY_PAUSE_SECONDS)
        client.close()

    def total(self, effect):
        return sum(c[effect] for c in self.counts)

    def assert_truth(self, node):
        value = int(node.value(self.key) or 0)
        low = self.total(APPLIED)
        high = low + self.total(MAYBE)
        assert low <= value <= high, f"the counter is {value}, the clients know {low}..{high}"


class Recorder(Workload):
    """Clients that mix reads and writes on a few keys and record a history for the checker.

    The keys change every `epoch_seconds`, which keeps each history short enough to search.
    """

    def __init__(self, nodes, clients_count=8, keys_count=4, epoch_seconds=1.0, seed=1):
        super().__init__(clients_count, nodes)
        self.keys_count = keys_count
        self.epoch_seconds = epoch_seconds
        self.seed = seed
        self.begin = time.monotonic()
        self.lock = threading.Lock()
        self.history = {}
        self.effects = {APPLIED: 0, MAYBE: 0, NONE: 0}

    def run_client(self, number):
        source = random.Random(self.seed * 1000 + number)
        rotation = self.rotation(number)
        client = Client(next(rotation).http)
        seen = {}  # key → (value, mod_revision) of the last read
        serial = 0
        while not self.stopping.is_set():
            epoch = int((time.monotonic() - self.begin) / self.epoch_seconds)
            key = f"lin-{epoch}-{source.randrange(self.keys_count)}"
            serial += 1
            healthy = self._one(client, source, key, f"{number}.{serial}", seen, number)
            if not healthy or source.random() < 0.02:
                client.close()
                client = Client(next(rotation).http)
                if not healthy:
                    self.stopping.wait(RETRY_PAUSE_SECONDS)
        client.close()

    def _one(self, client, source, key, value, seen, number):
        """One operation; whether the node took it."""
        path = f"/v1/kv/{key}"
        kind = source.choices(["get", "put", "cas", "delete"], [50, 30, 15, 5])[0]
        if kind == "cas" and key not in seen:
            kind = "get"
        called = time.monotonic()
        if kind == "get":
            attempt, argument = client.attempt("GET", path), None
        elif kind == "put":
            attempt, argument = client.attempt("PUT", path, {"value": value}), value
        elif kind == "delete":
            attempt, argument = client.attempt("DELETE", path), None
        else:
            old, revision = seen.pop(key)
            attempt = client.attempt("PUT", path, {"value": value},
                                     {"If-Match": f'"{revision}"'})
            argument = (old, value)
        returned = time.monotonic()
        self._record(key, kind, argument, attempt, called, returned, seen, number)
        return attempt.reply is not None and attempt.reply.status < 500

    def _record(self, key, kind, argument, attempt, called, returned, seen, number):
        result, effect = UNKNOWN, attempt.effect
        reply = attempt.reply
        if reply is not None and reply.status < 300:
            effect, result = APPLIED, True
            if kind == "get":
                result = reply.json["value"]
                seen[key] = (result, reply.json["mod_revision"])
        elif reply is not None and kind == "get" and reply.status == 404:
            effect, result = APPLIED, ABSENT
        elif reply is not None and kind == "cas" and reply.status == 412:
            effect, result = APPLIED, False
        elif reply is not None:
            assert reply.status in (502, 503, 504), reply
        with self.lock:
            self.effects[effect] += 1
            if result is UNKNOWN and (effect == NONE or kind == "get"):
                return  # it certainly did nothing
            end = NEVER if result is UNKNOWN else returned
            self.history.setdefault(key, []).append(
                Operation(kind, argument, result, called, end, number))


