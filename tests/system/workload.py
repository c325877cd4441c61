"""Clients that load a cluster and keep exact books about what they were told."""
import random
import threading
import time

from cluster import listing, scaled
from http_client import APPLIED, MAYBE, NONE, Client, identity
from lincheck import ABSENT, NEVER, UNKNOWN, Operation
from testing import OutOfTime, promise

RETRY_PAUSE_SECONDS = 0.005


class Workload:
    """Threads that run until the `with` block ends; an exception in one fails the test."""

    END_SECONDS_MAX = 40

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

    def __exit__(self, kind, *_):
        self.stopping.set()
        end = time.monotonic() + scaled(self.END_SECONDS_MAX)
        for thread in self.threads:
            thread.join(max(0, end - time.monotonic()))
        if self.errors:
            raise self.errors[0]
        if kind is None and any(thread.is_alive() for thread in self.threads):
            raise OutOfTime("clients do not come to an end, and what they know is not all yet")

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
            promise(not lost, f"node {node.id} lost {len(lost)} of {len(acked)}: {lost[:5]}")
            ghosts = sorted(undone & found.keys())
            promise(not ghosts, f"node {node.id} has writes answered `effect: none`: {ghosts[:5]}")
            wrong = [k for k, v in found.items() if v != f"v-{k}"]
            promise(not wrong, f"node {node.id} has wrong values: {wrong[:5]}")


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
                promise(attempt.reply.json["value"] > last, "a counter went backwards")
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
        promise(low <= value <= high, f"the counter is {value}, the clients know {low}..{high}")


class Recorder(Workload):
    """Clients that mix reads and writes on a few keys and record a history for the checker.

    Every write leaves a value that nothing else leaves, so that a condition on a revision is one on
    a value. Clients with an even number repeat each write under an identity until they are told
    what it came to; the others send it once, and what they are not told stays unknown for ever.

    With `epoch_seconds` the keys change that often; without, they stay the same all the time.
    `nodes` may be a list that changes. With `pause_seconds`, so long a rest after each operation.
    """

    KINDS = {"get": 45, "put": 15, "incr": 15, "cas": 12, "create": 4, "delete": 5, "delete_if": 4}
    TOLD_SECONDS_MAX = 30  # from the end of the run on, until a repeated write must be answered

    def __init__(self, nodes, clients_count=8, keys_count=4, epoch_seconds=1.0, seed=1,
                 pause_seconds=0.0):
        super().__init__(clients_count, nodes)
        self.nodes = nodes
        self.keys_count = keys_count
        self.epoch_seconds = epoch_seconds
        self.pause_seconds = pause_seconds
        self.seed = seed
        self.begin = time.monotonic()
        self.lock = threading.Lock()
        self.history = {}
        self.effects = {APPLIED: 0, MAYBE: 0, NONE: 0}

    def operations_count(self):
        return sum(len(operations) for operations in self.history.values())

    def unknown_count(self):
        return sum(1 for operations in self.history.values()
                   for o in operations if o.result is UNKNOWN)

    def run_client(self, number):
        _RecorderClient(self, number).run()

    def key(self, source):
        number = source.randrange(self.keys_count)
        if not self.epoch_seconds:
            return f"lin-{number}"
        return f"lin-{int((time.monotonic() - self.begin) / self.epoch_seconds)}-{number}"

    def note(self, key, effect, operation):
        """`operation` is None when it certainly did nothing, or only read and got no answer."""
        with self.lock:
            self.effects[effect] += 1
            if operation:
                self.history.setdefault(key, []).append(operation)

    def read_all(self, nodes):
        """At rest, every key at every node, as the end of the history."""
        for key in list(self.history):
            for node in nodes:
                called = time.monotonic()
                value = node.value(key)
                result = ABSENT if value is None else int(value)
                self.note(key, APPLIED, Operation("get", None, result, called, time.monotonic(),
                                                  f"at the end, node {node.id}"))


LEAVE_SHARE = 0.05  # of the operations, after which a client of the recorder goes to another node


class _RecorderClient:
    VALUES = range(2**50)  # drawn from so many, so that sums with increments are unique as well
    INCREMENTS = range(2**29, 2**30)  # of about the same size: few sets of them have the same sum

    def __init__(self, recorder, number):
        self.recorder = recorder
        self.number = number
        self.source = random.Random(recorder.seed * 1000 + number)
        self.repeats = number % 2 == 0
        self.sequence = 0
        self.turn = number
        self.client = None
        self.seen = {}  # key → (value, mod_revision) of the last read

    def run(self):
        recorder, source = self.recorder, self.source
        kinds, weights = list(recorder.KINDS), list(recorder.KINDS.values())
        while not recorder.stopping.is_set():
            key = recorder.key(source)
            kind = source.choices(kinds, weights)[0]
            if kind in ("cas", "delete_if") and key not in self.seen:
                kind = "get"
            self.do(kind, key)
            if source.random() < LEAVE_SHARE:
                self.leave()
            if recorder.pause_seconds:
                recorder.stopping.wait(source.uniform(0, 2 * recorder.pause_seconds))
        self.leave()

    def leave(self):
        """The next request goes to another node."""
        if self.client:
            self.client.close()
        self.client = None

    def do(self, kind, key):
        name, argument, request = self.prepare(kind, key)
        called = time.monotonic()
        attempt = self.deliver(*request, is_write=kind != "get")
        returned = time.monotonic()
        result = self.result(kind, key, attempt)
        if result is not UNKNOWN:
            operation = Operation(name, argument, result, called, returned, self.number)
            self.recorder.note(key, APPLIED, operation)
            return
        operation = None
        if attempt.effect == MAYBE and kind != "get":
            operation = Operation(name, argument, UNKNOWN, called, NEVER, self.number)
        self.recorder.note(key, attempt.effect, operation)

    def prepare(self, kind, key):
        """(kind for the checker, its argument, (method, target, body, headers))."""
        path = f"/v1/kv/{key}"
        value = self.source.choice(self.VALUES)
        put = ("PUT", path, {"value": str(value)})
        if kind == "get":
            return "get", None, ("GET", path, None, {})
        if kind == "put":
            return "put", value, (*put, {})
        if kind == "create":
            return "cas", (ABSENT, value), (*put, {"If-None-Match": "*"})
        if kind == "delete":
            return "delete", None, ("DELETE", path, None, {})
        if kind == "incr":
            by = self.source.choice(self.INCREMENTS)
            return "incr", by, ("POST", f"/v1/incr/{key}", {"by": by}, {})
        old, revision = self.seen.pop(key)
        headers = {"If-Match": f'"{revision}"'}
        if kind == "cas":
            return "cas", (old, value), (*put, headers)
        return "cas", (old, ABSENT), ("DELETE", path, None, headers)

    def deliver(self, method, target, body, headers, is_write):
        """The answer, or the last word of a node when there is none."""
        if self.repeats and is_write:
            self.sequence += 1
            name = f"lin-{self.recorder.seed}-{self.number}"
            headers = {**headers, **identity(name, self.sequence, self.sequence - 1)}
        give_up_at = None
        while True:
            if self.client is None:
                nodes = list(self.recorder.nodes)
                self.client = Client(nodes[self.turn % len(nodes)].http)
                self.turn += 1
            attempt = self.client.attempt(method, target, body, headers)
            reply = attempt.reply
            if reply is not None and reply.status in (200, 204, 404, 412):
                return attempt
            assert reply is None or reply.status in (502, 503, 504), reply
            self.leave()
            if not self.repeats or not is_write:
                self.recorder.stopping.wait(RETRY_PAUSE_SECONDS)
                return attempt
            if self.recorder.stopping.is_set():
                give_up_at = give_up_at or time.monotonic() + self.recorder.TOLD_SECONDS_MAX
                if time.monotonic() > give_up_at:
                    raise OutOfTime(f"no answer any more: {reply or attempt.error}")
            time.sleep(RETRY_PAUSE_SECONDS)

    def result(self, kind, key, attempt):
        reply = attempt.reply
        if reply is None or reply.status >= 500:
            return UNKNOWN
        if kind == "get":
            assert reply.status in (200, 404), reply
            if reply.status == 404:
                return ABSENT
            value = int(reply.json["value"])
            self.seen[key] = (value, reply.json["mod_revision"])
            return value
        if reply.status == 412:
            assert kind in ("cas", "create", "delete_if"), reply
            return False
        assert reply.status < 300, reply
        return reply.json["value"] if kind == "incr" else True
