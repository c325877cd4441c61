"""Carries out blows on a world. One thread does it all, because it is also the parent of the nodes.

`strike` does a blow and remembers how to take it back; `tick`, called all the time, takes back what is
over, starts what may be started again and notices nodes that end by themselves. What takes several steps
(a node that leaves and joins anew) is in surgery.py, on a thread of its own, and asks for processes here.
"""
import heapq
import itertools
import os
import queue
import random
import resource
import signal
import time

from cluster import EXIT_STORAGE
from http_client import Closed, exchange

from .damage import damage
from .relays import CLIENTS
from .surgery import Surgeon
from .world import EXIT_START

ANSWER_SECONDS = 0.3
RESTART_SECONDS = 0.3  # after a disk failed: somebody has looked at it
FLICKER_SECONDS = (0.005, 0.06)
DELAY_SECONDS = (0.005, 0.15)
JUMP_SECONDS = 10 * 24 * 3600
SYNC_DELAY_US = (5_000, 300_000)
DESCRIPTORS_SPARE = 2
MEMORY_SPARE_BYTES = 1 << 20
EXIT_ABORTED = -signal.SIGABRT


class Hand:
    def __init__(self, world, watch, log, seed):
        self.world, self.watch, self.log = world, watch, log
        self.pending, self.tie = [], itertools.count()
        self.counts = {}       # (kind, way) -> how often
        self.nodes_killed = 0  # processes that were sent SIGKILL, by kill-* alone
        self.undone_writes = 0
        self.ended = []        # what ended by itself, as text
        self.violations = []
        self.bad_disk_until = 0.0
        self.wanted = queue.Queue()
        self.chance = random.Random(seed)
        self.surgeon = Surgeon(world, self)

    # ---- time ----

    def after(self, seconds, action, *arguments):
        heapq.heappush(self.pending,
                       (time.monotonic() + seconds, next(self.tie), action, arguments))

    def tick(self):
        while not self.wanted.empty():
            action, is_done = self.wanted.get()
            action()
            is_done.set()
        while self.pending and self.pending[0][0] <= time.monotonic():
            _, _, action, arguments = heapq.heappop(self.pending)
            action(*arguments)
        for node in self.world.nodes:
            self._notice_end(node)

    def finish(self):
        """All that is under way is over at once."""
        while self.pending:
            _, _, action, arguments = heapq.heappop(self.pending)
            action(*arguments)
            self.tick()
        self.world.heal()
        for node in self.world.nodes:
            self.start(node)

    def is_idle(self):
        return not self.pending and self.surgeon.is_idle()

    # ---- nodes ----

    def start(self, node):
        if node.process is None and not node.is_held:
            node.start()

    def kill(self, node):
        """kill -9; whatever state it is in. False when there is no process."""
        self._notice_end(node)
        if node.process is None:
            return False
        node.kill()
        node.is_paused = False
        return True

    def _notice_end(self, node):
        status = node.exit_status()
        if status is None:
            return
        words = " / ".join(node.last_words())
        self.ended.append(f"node {node.id} ended with {status}: {words}")
        self.log(f"node {node.id} ended with {status}: {words[-240:]}")
        if node.is_excused(status):
            self.after(RESTART_SECONDS, self._repair, node)
        elif node.was_damaged:
            self.surgeon.damage_was_found(node, status)
        else:
            self.violations.append(f"node {node.id} ended with status {status}, and nothing was done "
                                   f"to it that explains it: {words}")

    def _repair(self, node):
        """What a failed sync was about may be on the disk or not: the kernel says so once."""
        if node.process is None and not node.is_held:
            way = self.chance.choice(("none", "sectors", "all"))
            self.undone_writes += node.disk.cut_power(way, self.chance)[0]
        node.disk.heal()
        self.start(node)

    def _victims(self, blow):
        """All nodes that nobody holds, the one meant first."""
        nodes = [n for n in self.world.nodes if not n.is_held]
        if blow.victim == "leader":
            nodes.sort(key=lambda n: n.id != self.watch.leader)
        elif nodes:
            first = int(blow.victim * len(nodes))
            nodes = nodes[first:] + nodes[:first]
        return nodes

    # ---- blows ----

    def strike(self, blow):
        name = "_" + blow.kind.replace("-", "_")
        try:
            did = getattr(self, name)(blow, self._victims(blow), blow.random())
        except (ProcessLookupError, FileNotFoundError):
            did = None  # it has ended by itself in this moment
        if did:
            self.counts[blow.kind, blow.way] = self.counts.get((blow.kind, blow.way), 0) + 1
        self.log(f"{blow.kind} {blow.way}: {did or 'nobody to do it to'}")
        return did

    def _kill(self, blow, nodes):
        killed = [n.id for n in nodes if self.kill(n)]
        self.nodes_killed += len(killed)
        chance = blow.random()
        for node in nodes:
            if node.id in killed:
                self.after(chance.random() * blow.seconds, self.start, node)
        return f"nodes {killed}" if killed else None

    def _kill_one(self, blow, nodes, chance):
        return self._kill(blow, [n for n in nodes if n.is_running][:1])

    def _kill_majority(self, blow, nodes, chance):
        return self._kill(blow, nodes[:len(self.world.nodes) // 2 + 1])

    def _kill_all(self, blow, nodes, chance):
        return self._kill(blow, nodes)

    def _stop(self, blow, nodes, chance):
        node = next((n for n in nodes if n.is_up), None)
        if node is None:
            return None
        node.pause()
        self.after(blow.seconds, self._resume, node, node.life)
        return f"node {node.id}"

    def _resume(self, node, life):
        if node.life == life and node.is_paused and node.is_running:
            node.resume()

    def _power(self, blow, nodes, chance):
        """All of them at one moment: first they are dead, then the disks lose what they had not."""
        nodes = [n for n in nodes if n.is_running]
        for node in nodes:
            node.process.kill()
        told = []
        for node in nodes:
            node.end()
            node.is_paused = False
            writes, names = node.disk.cut_power(blow.way, chance)
            self.undone_writes += writes
            told.append(f"node {node.id} loses {writes} writes, {names} names")
            self.after(chance.random() * blow.seconds, self.start, node)
        return ", ".join(told)

    def _power_one(self, blow, nodes, chance):
        return self._power(blow, [n for n in nodes if n.is_running][:1], chance)

    def _power_all(self, blow, nodes, chance):
        return self._power(blow, nodes, chance)

    def _partition(self, blow, nodes, chance):
        ids = [n.id for n in nodes]  # the one meant first
        everyone = [n.id for n in self.world.nodes]
        ids += [i for i in everyone if i not in ids]
        pairs = broken_by(blow.way, ids, chance)
        self.world.set_broken(blow, pairs)
        self.after(blow.seconds, self.world.set_broken, blow, None)
        if blow.way == "flapping":
            for i in range(1, int(blow.seconds / 0.1)):
                self.after(i * 0.1, self.world.set_broken, blow, pairs if i % 2 == 0 else None)
        return f"{len(pairs)} directions, node {ids[0]} first"

    def _peers(self, blow, nodes, chance):
        ids = [n.id for n in self.world.nodes]
        first = nodes[0].id if nodes else ids[0]
        return self._links(blow, [(first, i) for i in ids if i != first]
                           + [(i, first) for i in ids if i != first], chance)

    def _clients(self, blow, nodes, chance):
        return self._links(blow, [(CLIENTS, n.id) for n in nodes[:2]], chance)

    def _links(self, blow, pairs, chance):
        relays = self.world.relays
        if blow.way == "reset":
            relays.reset(pairs)
            for i in range(1, int(blow.seconds / 0.2)):
                self.after(i * 0.2, relays.reset, pairs)
            return f"{len(pairs)} links"
        policy = {"delay": {"delay": chance.uniform(*DELAY_SECONDS)}, "stall": {"stalled": True},
                  "trickle": {"trickle": True}}[blow.way]
        if blow.way == "stall":  # half open: one direction of each pair
            pairs = pairs[:len(pairs) // 2] or pairs
        relays.set_policy(pairs, policy)
        self.after(blow.seconds, relays.set_policy, pairs, None)
        return f"{len(pairs)} links"

    def _disk(self, blow, nodes, chance):
        node = next((n for n in nodes if n.is_running), None)
        if node is None or time.monotonic() < self.bad_disk_until:
            return None  # one bad disk at a time
        disk = node.disk
        self.bad_disk_until = time.monotonic() + blow.seconds
        node.excuse(blow.seconds, EXIT_STORAGE, EXIT_START)
        if blow.way == "sync-error":
            disk.fail_syncs(1)
        elif blow.way == "write-error":
            disk.fail_writes(chance.randrange(1, 3))
        elif blow.way == "short-writes":
            disk.set(short_writes_left=chance.randrange(1, 20))
        elif blow.way == "slow-sync":
            disk.set(sync_delay_us=chance.randrange(*SYNC_DELAY_US))
        else:
            disk.set(is_full=1)
        self.after(blow.seconds, disk.heal)
        return f"node {node.id}"

    def _clock(self, blow, nodes, chance):
        offset = chance.randrange(JUMP_SECONDS) * 1_000_000 * (-1 if blow.way == "back" else 1)
        for node in nodes[:1]:
            node.disk.set(clock_offset_us=offset)
            self.after(blow.seconds, lambda: node.disk.set(clock_offset_us=0))
            return f"node {node.id} by {offset // 1_000_000} s"

    def _limit(self, blow, node, kind, limit):
        pid, life = node.process.pid, node.life
        old = resource.prlimit(pid, kind)
        resource.prlimit(pid, kind, (min(limit, old[1]) if old[1] >= 0 else limit, old[1]))

        def lift():
            if node.life == life and node.is_running:
                resource.prlimit(pid, kind, old)
        self.after(blow.seconds, lift)

    def _descriptors(self, blow, nodes, chance):
        node = next((n for n in nodes if n.is_up and answers(n)), None)
        if node is None:
            return None
        used = max(int(fd) for fd in os.listdir(f"/proc/{node.process.pid}/fd"))
        node.excuse(blow.seconds, EXIT_STORAGE)  # it cannot open a file that it must write
        self._limit(blow, node, resource.RLIMIT_NOFILE, used + DESCRIPTORS_SPARE)
        return f"node {node.id}"

    def _memory(self, blow, nodes, chance):
        node = next((n for n in nodes if n.is_up and answers(n)), None)
        if node is None:
            return None
        with open(f"/proc/{node.process.pid}/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        node.excuse(blow.seconds, EXIT_ABORTED, EXIT_STORAGE)
        self._limit(blow, node, resource.RLIMIT_AS, used + MEMORY_SPARE_BYTES)
        return f"node {node.id}"

    def _cpu(self, blow, nodes, chance):
        node = next((n for n in nodes if n.is_up), None)
        if node is None:
            return None
        if blow.way == "busy":
            life, pid = node.life, node.process.pid
            for task in os.listdir(f"/proc/{pid}/task"):
                os.setpriority(os.PRIO_PROCESS, int(task), 19)
            self.watch.be_busy(blow.seconds)
            return f"node {node.id}, nice 19 in its life {life}"
        at, stopped = 0.0, True
        while at < blow.seconds:
            self.after(at, self._flicker, node, node.life, stopped)
            at += chance.uniform(*FLICKER_SECONDS)
            stopped = not stopped
        self.after(blow.seconds, self._flicker, node, node.life, False)
        return f"node {node.id}"

    @staticmethod
    def _flicker(node, life, stopped):
        if node.life == life and node.is_running and not node.is_paused:
            node.process.send_signal(signal.SIGSTOP if stopped else signal.SIGCONT)

    # ---- with surgery afterwards ----

    def _damage(self, blow, nodes, chance):
        if not self.surgeon.is_idle() or not nodes:
            return None
        node = nodes[0]
        self.kill(node)
        told = damage(node, blow.way, chance)
        if told:
            node.was_damaged = True
            self.surgeon.after_damage(node)
        else:
            self.start(node)
        return told and f"node {node.id}: {told}"

    def _members(self, blow, nodes, chance):
        if not self.surgeon.is_idle() or not nodes:
            return None
        self.surgeon.replace(nodes[0])
        return f"node {nodes[0].id} leaves and joins anew"


def answers(node):
    """It has started: what it needs for that, it has."""
    try:
        return exchange(node.http, "GET", "/livez", timeout=ANSWER_SECONDS).status == 200
    except (OSError, Closed):
        return False


def broken_by(way, ids, chance):
    """The directions, (from, to), that a partition breaks. The first of `ids` suffers most."""
    everything = {(a, b) for a in ids for b in ids if a != b}
    first, rest = ids[0], ids[1:]
    if way == "one-way":
        return {(first, i) for i in rest} if chance.random() < 0.5 else {(i, first) for i in rest}
    if way in ("isolated", "flapping"):
        return {p for p in everything if first in p}
    if way == "halves":
        side = set(ids[:len(ids) // 2])
        return {(a, b) for a, b in everything if (a in side) != (b in side)}
    if way == "bridge":  # two sides, and the first one sees both
        side = set(rest[:len(rest) // 2])
        return {(a, b) for a, b in everything
                if first not in (a, b) and (a in side) != (b in side)}
    near = set(zip(ids, ids[1:]))
    if way == "ring":  # each reaches only the next one
        return everything - near - {(ids[-1], first)}
    assert way == "chain", way  # each has its neighbors
    return everything - near - {(b, a) for a, b in near}
