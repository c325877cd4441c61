"""What takes several steps: a node loses its disk and joins anew, as docs/operations.md has it.

The steps are taken by a thread of their own, while blows go on. Processes are started and ended by the
hand, because the kernel ends a node with the thread that started it.
"""
import queue
import threading
import time

from cluster import EXIT_CORRUPT, EXIT_FORMAT, scaled
from http_client import Closed, Malformed

STEP_SECONDS = 90      # blows go on meanwhile
NOTICE_SECONDS = 1.0   # a damaged node that still runs then has noticed nothing that matters
ASK_SECONDS = 1.0
PAUSE_SECONDS = 0.03


class Surgeon:
    def __init__(self, world, hand):
        self.world, self.hand = world, hand
        self.jobs = queue.Queue()
        self.left = 0
        self.counts = {"damage named": 0, "damage without effect": 0, "joined anew": 0}
        self.error = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def is_idle(self):
        return self.left == 0

    def close(self):
        self.stopping.set()
        self.thread.join(5)

    # ---- called by the hand ----

    def after_damage(self, node):
        self.left += 1
        self.hand.start(node)
        self.jobs.put((self._watch_damaged, node))

    def damage_was_found(self, node, status):
        node.is_held = True
        if status not in (EXIT_CORRUPT, EXIT_FORMAT):
            self.hand.violations.append(
                f"node {node.id} was damaged and ended with {status}: {node.last_words()}")
        elif not node.named_damage():
            self.hand.violations.append(
                f"node {node.id} found damage and names no place: {node.last_words()}")
        else:
            self.counts["damage named"] += 1

    def replace(self, node):
        self.left += 1
        node.is_held = True
        self.jobs.put((self._replace, node))

    # ---- on the thread ----

    def _run(self):
        while not self.stopping.is_set():
            try:
                step, node = self.jobs.get(timeout=0.1)
            except queue.Empty:
                continue
            try:
                step(node)
            except Exception as error:  # told by whoever looks after us
                self.error = self.error or error
            self.left -= 1

    def _by_hand(self, action):
        is_done = threading.Event()
        self.hand.wanted.put((action, is_done))
        while not is_done.wait(0.1):
            if self.stopping.is_set():
                raise RuntimeError("the run is over")

    def _until(self, condition, what):
        end = time.monotonic() + scaled(STEP_SECONDS)
        last = None
        while time.monotonic() < end and not self.stopping.is_set():
            try:
                last = condition()
                if last is True:
                    return
            except (OSError, Closed, Malformed, ValueError, KeyError) as error:
                last = error
            time.sleep(PAUSE_SECONDS)
        raise AssertionError(f"not within {scaled(STEP_SECONDS):g} s: {what} ({last!r})")

    def _watch_damaged(self, node):
        end = time.monotonic() + scaled(NOTICE_SECONDS)
        while time.monotonic() < end and not node.is_held:
            time.sleep(PAUSE_SECONDS)
        if not node.is_held:
            self.counts["damage without effect"] += 1
        node.is_held = True
        self._replace(node)

    def _others(self, node):
        return [n for n in self.world.nodes if n is not node and n.is_up]

    def _ask(self, node, ask):
        """The answer of the first of the others that gives one."""
        last = None
        for other in self._others(node):
            try:
                return ask(other)
            except (OSError, Closed) as error:
                last = error
        raise last or Closed("nobody to ask")

    def _is_removed(self, node):
        reply = self._ask(node, lambda o: o.request(
            "POST", "/v1/raft/remove", {"id": node.id}, timeout=ASK_SECONDS))
        return reply.status == 204 or reply

    def _is_voter(self, node):
        def members(other):
            reply = other.request("GET", "/v1/raft/members", timeout=ASK_SECONDS)
            return {m["id"]: m for m in reply.json["members"]} if reply.status == 200 else {}
        found = self._ask(node, members).get(node.id)
        return bool(found and found.get("voter")) or found

    def _replace(self, node):
        """Removed by the others, an empty disk, and in again by --join."""
        self._by_hand(lambda: self.hand.kill(node))
        self._until(lambda: self._is_removed(node), f"node {node.id} is removed")
        node.disk.wipe()
        node.disk.heal()
        node.is_joining, node.was_damaged = True, False

        def release():
            node.is_held = False
            self.hand.start(node)
        self._by_hand(release)
        self._until(lambda: self._is_voter(node), f"node {node.id} has a vote again")
        self.counts["joined anew"] += 1
