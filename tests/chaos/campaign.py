"""A run: one cluster after the other, each for some rounds of blows and quiet.

A round is blows for ROUND_SECONDS while clients go on; then everything is healed, the clients stop when
they have been told what became of their last requests, and the judge compares. What is found wrong ends
the run, and the directories stay.
"""
import os
import random
import shutil
import time
import traceback

from http_client import Closed

from . import schedule
from .clients import Clients
from .faults import Hand
from .judge import audit, judge_round
from .watch import Watch
from .world import World

ROUND_SECONDS, ROUNDS_PER_CLUSTER = 20, 4
PAUSE_SECONDS = 0.62  # between blows, in the mean
TICK_SECONDS = 0.005
SYNC_DELAY_US_MAX = 8000  # of a disk that is well: so long a write is not safe yet
SETTLE_SECONDS = 1.0  # of work without blows, at either end of a round


class Options:
    """What script/chaos was asked for."""

    def __init__(self, seed, seconds, nodes=None, faults=None, network=None, directory=".",
                 round_seconds=ROUND_SECONDS, pause=PAUSE_SECONDS, plant=None):
        self.seed, self.seconds, self.nodes, self.faults = seed, seconds, nodes, faults
        self.networks = [network] if network else ["namespaces", "relays"]
        self.directory, self.round_seconds, self.pause = directory, round_seconds, pause
        self.plant = plant  # a lie, for tests: "lying-disk"

    def cluster_of(self, number):
        """(nodes, network) of the cluster with this number."""
        return (self.nodes or (3, 5)[number % 2],
                self.networks[number // (1 if self.nodes else 2) % len(self.networks)])

    def blows_of(self, cluster, number):
        """The blows of one of its rounds."""
        nodes, network = self.cluster_of(cluster)
        return schedule.draw(f"{self.seed} {cluster} {number} {nodes}", self.round_seconds,
                             self.pause, self.faults, network == "relays")


class Campaign:
    def __init__(self, options, say=print):
        self.options, self.say = options, say
        self.begin = time.monotonic()
        self.violations, self.counts, self.surgery = [], {}, {}
        self.lost = self.doubled = self.nodes_killed = self.undone_writes = self.unmodelled = 0
        self.samples, self.struck, self.quiet = [], [], []  # all in seconds since the beginning
        self.kinds = {}
        self.clusters = self.rounds = 0
        self.ended = []
        os.makedirs(options.directory, exist_ok=True)
        self.log_file = open(os.path.join(options.directory, "events.log"), "w", buffering=1)

    def log(self, text):
        self.log_file.write(f"{time.monotonic() - self.begin:9.3f}  {text}\n")

    def run(self):
        while not self._is_over():
            try:
                self._run_cluster(self.clusters)
            except (AssertionError, OSError, Closed) as error:
                self.log(traceback.format_exc())
                self._found([f"it does not answer in time: {error!r}"], f"cluster {self.clusters}")
            self.clusters += 1
        self.log_file.close()
        return not self.violations

    def _is_over(self):
        """Once something is wrong, or the time is up and there was one round."""
        is_late = time.monotonic() - self.begin >= self.options.seconds
        return bool(self.violations) or (is_late and self.rounds > 0)

    def _run_cluster(self, number):
        nodes, network = self.options.cluster_of(number)
        directory = os.path.join(self.options.directory, f"cluster-{number}")
        self.log(f"cluster {number}: {nodes} nodes, {network}")
        source = random.Random(f"{self.options.seed} {number} disks")
        with World(nodes, network, directory) as world:
            for node in world.nodes:
                node.disk.usual_delay_us = source.randrange(SYNC_DELAY_US_MAX)
                node.disk.heal()
            if self.options.plant == "lying-disk":
                for node in world.nodes:
                    node.disk.set(is_lying=1)
            world.start(announced=False)
            for i in range(ROUNDS_PER_CLUSTER):
                if self._is_over():
                    break
                self._run_round(world, number, i)
            self.unmodelled += sum(n.disk.get("unmodelled_count") for n in world.nodes)
            for node in world.nodes:
                node.end()
            if not self.violations:
                self._found(audit(world), "the logs at rest")
        if not self.violations:
            shutil.rmtree(directory)

    def _found(self, violations, where):
        for text in violations:
            self.log(f"VIOLATION {where}: {text}")
            self.violations.append(f"{where}: {text}")

    def _run_round(self, world, number, i):
        seed = random.Random(f"{self.options.seed} {number} {i}").randrange(2**31)
        where = f"cluster {number}, round {i}"
        watch, clients = Watch(world), Clients(world.doors, seed, world.leader().revision())
        hand = Hand(world, watch, self.log, seed)
        try:
            clients.start()
            begin = time.monotonic()
            self._strike(hand, self.options.blows_of(number, i), clients)
            self.quiet.append(time.monotonic() - self.begin)
            self._rest(world, hand, clients, where)
            self.quiet.append(time.monotonic() - self.begin)
        finally:
            for one in (clients.close, hand.surgeon.close, watch.close):
                one()
            self._take_books(hand, clients)
        self.rounds += 1
        self.say(f"{where}: {world.name}, {len(world.nodes)} nodes, {sum(hand.counts.values())} blows, "
                 f"{len(clients.tally.samples)} operations, {time.monotonic() - begin:.0f} s, "
                 f"{len(self.violations)} violations")

    def _strike(self, hand, blows, clients):
        begin = time.monotonic()
        for blow in blows:
            while time.monotonic() - begin < blow.at + SETTLE_SECONDS:
                hand.tick()
                time.sleep(TICK_SECONDS)
            if hand.violations or any(c.errors for c in clients.all):
                return
            if hand.strike(blow):
                self.struck.append((time.monotonic() - self.begin, blow.kind))

    def _rest(self, world, hand, clients, where):
        """Everything is healed and comes to rest; then the judge has the word."""
        hand.finish()
        while not hand.is_idle():
            hand.tick()
            time.sleep(TICK_SECONDS)
        if hand.surgeon.error:
            self._found([str(hand.surgeon.error)], f"{where}, members")
        self._found(hand.violations, where)
        if self.violations:
            return
        hand.finish()
        try:
            world.settle()
            time.sleep(SETTLE_SECONDS)
        except AssertionError as error:
            self._found([f"it does not recover: {error}"], where)
            return
        clients.ask_to_stop()
        self._found([f"a client: {e!r}" for e in clients.join()], where)
        if self.violations:
            return
        try:
            verdict = judge_round(world, clients)
        except (AssertionError, OSError, Closed) as error:
            self.log(traceback.format_exc())
            self._found([f"at rest a node does not answer in time: {error!r}"], where)
            return
        self.lost += verdict.lost
        self.doubled += verdict.doubled
        self._found(verdict.violations, where)

    def _take_books(self, hand, clients):
        for key, count in hand.counts.items():
            self.counts[key] = self.counts.get(key, 0) + count
        for key, count in hand.surgeon.counts.items():
            self.surgery[key] = self.surgery.get(key, 0) + count
        self.nodes_killed += hand.nodes_killed
        self.undone_writes += hand.undone_writes
        self.ended += hand.ended
        self.samples += [(end - self.begin, *rest) for end, *rest in clients.tally.samples]
