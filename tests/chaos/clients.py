"""Clients that go on whatever happens, through any node, and keep books about what they were told.

Three kinds: registers, whose whole history the checker judges; counters with an identity, whose every
increment counts once; and puts, each of a key of its own, sent once, of which nothing is lost.
"""
import random
import time

from cluster import eventually, scaled
from http_client import APPLIED, MAYBE, NONE, Client, Malformed, identity
from watching import Watcher, place_of
from workload import Recorder, Workload, _RecorderClient

ANSWER_SECONDS = 2.5            # then the client turns to another node
DEADLINE_MS = 2000              # what the node is told
REFUSALS = (502, 503, 504, 507)
PAUSE_SECONDS = 0.004           # after an answer
RETRY_PAUSE_SECONDS = 0.02
STALL_SECONDS = 3.0             # a watcher that hears nothing for so long goes to another node
TOLD_SECONDS = 60               # from the end of a round on
REPEAT_SHARE, LEAVE_SHARE = 0.05, 0.03
ACKNOWLEDGED, REFUSED, UNKNOWN = "acknowledged", "refused", "unknown"


class Tally:
    """How operations ended, and when: (end, seconds, outcome, is it a write)."""

    def __init__(self):
        self.samples = []

    def note(self, begin, outcome, is_write):
        end = time.monotonic()
        self.samples.append((end, end - begin, outcome, is_write))  # appending is atomic

    def note_attempt(self, begin, attempt, is_write):
        if attempt.reply is not None and attempt.reply.status not in REFUSALS:
            self.note(begin, ACKNOWLEDGED, is_write)
        elif attempt.effect == NONE or not is_write:
            self.note(begin, REFUSED, is_write)
        else:
            self.note(begin, UNKNOWN, is_write)


class Caller:
    """A connection to one of the doors; after trouble, to another one."""

    def __init__(self, doors, number, source):
        self.doors, self.turn, self.source = doors, number, source
        self.client = None

    def attempt(self, method, target, body, headers=None):
        if self.client is None:
            door = self.doors[self.turn % len(self.doors)]
            self.client = Client(door.http, scaled(ANSWER_SECONDS))
            self.turn += 1
        attempt = self.client.attempt(method, target, body,
                                      {"X-MiniKV-Timeout-Ms": str(DEADLINE_MS), **(headers or {})})
        if attempt.reply is None or attempt.reply.status in REFUSALS \
                or self.source.random() < LEAVE_SHARE:
            self.leave()
        return attempt

    def leave(self):
        if self.client:
            self.client.close()
        self.client = None


class Registers(Recorder):
    def __init__(self, doors, tally, seed, clients_count, keys_count):
        super().__init__(doors, clients_count, keys_count, epoch_seconds=2.0, seed=seed,
                         pause_seconds=PAUSE_SECONDS)
        self.tally = tally
        self.TOLD_SECONDS_MAX = scaled(TOLD_SECONDS)

    def key(self, source):
        return f"{super().key(source)}-{self.seed}"

    def run_client(self, number):
        _Register(self, number).run()


class _Register(_RecorderClient):
    """As the recorder's, with refusals of full disks, and impatient."""

    def __init__(self, recorder, number):
        super().__init__(recorder, number)
        self.caller = Caller(recorder.nodes, number, self.source)

    def leave(self):
        self.caller.leave()

    def deliver(self, method, target, body, headers, is_write):
        recorder = self.recorder
        begin = time.monotonic()
        if self.repeats and is_write:
            self.sequence += 1
            headers = {**headers, **identity(f"lin-{recorder.seed}-{self.number}", self.sequence,
                                             self.sequence - 1)}
        give_up_at = None
        while True:
            attempt = self.caller.attempt(method, target, body, headers)
            reply = attempt.reply
            if reply is not None and reply.status in (200, 204, 404, 412):
                break
            if reply is not None and reply.status not in REFUSALS:
                raise Malformed(f"{method} {target}: {reply}")
            if not (self.repeats and is_write):
                break
            if recorder.stopping.is_set():
                give_up_at = give_up_at or time.monotonic() + recorder.TOLD_SECONDS_MAX
                assert time.monotonic() < give_up_at, f"no answer any more: {reply or attempt.error}"
            time.sleep(RETRY_PAUSE_SECONDS)
        recorder.tally.note_attempt(begin, attempt, is_write)
        if attempt.reply is None or attempt.reply.status in REFUSALS:
            recorder.stopping.wait(RETRY_PAUSE_SECONDS)
        return attempt


class Counting(Workload):
    """Increments of one key under identities, each repeated until it is answered, some after that."""

    def __init__(self, doors, tally, seed, clients_count):
        super().__init__(clients_count, doors)
        self.tally, self.seed = tally, seed
        self.key = f"count-{seed}"
        self.values = [[] for _ in range(clients_count)]  # what each increment came to
        self.differing = []                               # repetitions that were told something else

    def run_client(self, number):
        source = random.Random(f"{self.seed} counting {number}")
        caller = Caller(self.nodes, number, source)
        sequence = 0
        while not self.stopping.is_set():
            sequence += 1
            headers = identity(f"count-{self.seed}-{number}", sequence, sequence - 1)
            begin = time.monotonic()
            value = self._until_told(caller, headers)
            self.tally.note(begin, ACKNOWLEDGED, True)
            self.values[number].append(value)
            if source.random() < REPEAT_SHARE:
                caller.leave()
                again = self._until_told(caller, headers)
                if again != value:
                    self.differing.append((headers, value, again))
            self.stopping.wait(PAUSE_SECONDS)
        caller.leave()

    def _until_told(self, caller, headers):
        give_up_at = None
        while True:
            attempt = caller.attempt("POST", f"/v1/incr/{self.key}", {"by": 1}, headers)
            if attempt.ok:
                return attempt.reply.json["value"]
            if attempt.reply is not None and attempt.reply.status not in REFUSALS:
                raise Malformed(f"increment: {attempt.reply}")
            if self.stopping.is_set():
                give_up_at = give_up_at or time.monotonic() + scaled(TOLD_SECONDS)
                assert time.monotonic() < give_up_at, \
                    f"no answer any more: {attempt.reply or attempt.error}"
            time.sleep(RETRY_PAUSE_SECONDS)


class Puts(Workload):
    def __init__(self, doors, tally, seed, clients_count):
        super().__init__(clients_count, doors)
        self.tally, self.seed = tally, seed
        self.prefix = f"put-{seed}-"
        self.books = [{} for _ in range(clients_count)]  # key -> effect of its only delivery

    def run_client(self, number):
        source = random.Random(f"{self.seed} puts {number}")
        caller = Caller(self.nodes, number, source)
        serial = 0
        while not self.stopping.is_set():
            serial += 1
            key = f"{self.prefix}{number}-{serial:06}"
            begin = time.monotonic()
            attempt = caller.attempt("PUT", f"/v1/kv/{key}", {"value": value_of(key)})
            if attempt.reply is not None and attempt.reply.status not in (204, *REFUSALS):
                raise Malformed(f"put: {attempt.reply}")
            self.books[number][key] = APPLIED if attempt.ok else attempt.effect
            self.tally.note_attempt(begin, attempt, True)
            self.stopping.wait(PAUSE_SECONDS if attempt.ok else RETRY_PAUSE_SECONDS)
        caller.leave()

    def book(self):
        return {k: e for book in self.books for k, e in book.items()}


def value_of(key):
    return f"value of {key} " + "." * (len(key) * 7 % 200)


class Clients:
    """All of one round. Each stops when it has been told what its last request came to."""

    def __init__(self, doors, seed, revision, scale=1):
        self.tally = Tally()
        self.registers = Registers(doors, self.tally, seed, 4 * scale, 5)
        self.counting = Counting(doors, self.tally, seed, 2 * scale)
        self.puts = Puts(doors, self.tally, seed, 3 * scale)
        self.all = (self.registers, self.counting, self.puts)
        self.watcher = Watcher(doors, f"prefix={self.puts.prefix}&from={revision + 1}", seed,
                               STALL_SECONDS)

    def start(self):
        self.watcher.start()
        for clients in self.all:
            clients.__enter__()

    def ask_to_stop(self):
        for clients in self.all:
            clients.stopping.set()

    def watched(self):
        """What the watcher was sent, once everything has come: [(id, key)]. Fails if it does not."""
        wanted = {k for k, effect in self.puts.book().items() if effect == APPLIED}

        def has_come():
            return self.watcher.error or \
                wanted <= {data["key"] for _, _, data in list(self.watcher.events)}
        eventually(has_come, "all events of the watch have come", TOLD_SECONDS, every=0.05)
        self.watcher.stop()
        return [(i, data["key"]) for i, _, data in self.watcher.events]

    def close(self):
        self.ask_to_stop()
        self.watcher.stopping.set()
        if self.watcher.stream:
            self.watcher.stream.close()

    def join(self):
        """The first error of each kind of clients."""
        errors = []
        for clients in self.all:
            for thread in clients.threads:
                thread.join(scaled(TOLD_SECONDS) + 30)
                if thread.is_alive():
                    errors.append(AssertionError("a client does not come to an end"))
            errors += clients.errors[:1]
        return errors


__all__ = ["ACKNOWLEDGED", "APPLIED", "MAYBE", "NONE", "REFUSED", "UNKNOWN", "Clients", "Tally",
           "place_of", "value_of"]
