"""Watchers through failures: every event once and in order, resumed at whichever node answers.

Writers put and delete keys of their own, many in one transaction, each write under an identity and
repeated until it is answered. What they were answered makes the history: which revision changed what.
It has no gaps. Meanwhile nodes are killed, stopped and ended politely, and watchers lose their connections
also where nobody has hurt anything. Each must have been sent its part of the history, to the last field.
"""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import cluster as minikv  # noqa: E402
from http_client import Client, Closed, identity  # noqa: E402
from watching import Watcher, place_of, revision_of  # noqa: E402

WRITERS = 4
KEYS = 40             # of each writer
TXN_KEYS_MAX = 24     # changed by one transaction
PAUSE_SECONDS = 0.01  # before a write is sent again
STALL_SECONDS = 2.5   # a watcher goes elsewhere after so long a silence
CUT_EVENTS = 3000     # about so many events between two cuts of a watcher's own making
ALONE_SECONDS = 1.2   # a node is away for at most
ENOUGH_SECONDS = 60   # for all watchers to come to the end


class Writer(threading.Thread):
    """Changes keys of its own, and knows what became of them. `log`: [(revision, [(key, item or None,
    item before or None)])], with items as JSON has them."""

    def __init__(self, number, nodes, seed, goal):
        super().__init__(daemon=True)
        self.number, self.nodes, self.goal = number, nodes, goal
        self.random = random.Random(f"{seed} writer {number}")
        self.items, self.log, self.events_count = {}, [], 0
        self.sequence, self.serial = 0, 0
        self.client, self.error, self.repeats = None, None, 0
        self.stopping = threading.Event()

    def run(self):
        try:
            while self.events_count < self.goal and not self.stopping.is_set():
                self.write()
        except BaseException as error:
            self.error = error
        finally:
            if self.client:
                self.client.close()

    def key(self):
        return f"w{self.number}/{self.random.randrange(KEYS):02}"

    def write(self):
        if self.random.random() < 0.5:
            key = self.key()
            value = self.value()
            reply = self.send("PUT", f"/v1/kv/{key}", {"value": value})
            assert reply.status == 204, reply
            revision = int(reply.header("ETag").strip('"'))
            self.note(revision, {key: value})
        else:
            self.transact()

    def value(self):
        self.serial += 1
        return f"{self.number}-{self.serial}-" + "x" * self.random.randrange(60)

    def transact(self):
        keys = sorted({self.key() for _ in range(self.random.randrange(1, TXN_KEYS_MAX))})
        changes = {k: None if self.random.random() < 0.3 else self.value() for k in keys}
        operations = [{"delete": {"key": k}} if v is None else {"put": {"key": k, "value": v}}
                      for k, v in changes.items()]
        reply = self.send("POST", "/v1/txn", {"success": operations})
        assert reply.status == 200 and reply.json["succeeded"], reply
        deleted = [r["delete"]["deleted"] for r in reply.json["results"] if "delete" in r]
        assert deleted == [int(k in self.items) for k, v in changes.items() if v is None], reply
        self.note(reply.json["revision"], changes)

    def note(self, revision, changes):
        done = []
        for key, value in changes.items():
            before = self.items.get(key)
            if value is None:
                if before:
                    done.append((key, None, self.items.pop(key)))
                continue
            self.items[key] = {
                "key": key, "value": value, "mod_revision": revision, "lease": 0,
                "create_revision": before["create_revision"] if before else revision,
                "version": before["version"] + 1 if before else 1}
            done.append((key, self.items[key], before))
        if done:
            self.log.append((revision, done))
            self.events_count += len(done)

    def send(self, method, target, body):
        """Until it is answered, at one node after the other."""
        self.sequence += 1
        headers = identity(f"writer-{self.number}", self.sequence, self.sequence - 1)
        while True:
            if self.client is None:
                self.client = Client(self.random.choice(self.nodes).http, minikv.scaled(2))
            reply = self.client.attempt(method, target, body, headers).reply
            if reply is not None and reply.status not in (502, 503, 504):
                return reply
            self.client.close()
            self.client = None
            self.repeats += 1
            assert not self.stopping.wait(PAUSE_SECONDS), "ended before it was answered"


class CutWatcher(Watcher):
    """One that now and then loses its connection for no reason, in the middle of a revision too."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.cuts, self.next_cut = 0, self.random.randrange(1, CUT_EVENTS)
        self.cut_within = 0  # in the middle of a revision

    def _progress(self, text):
        super()._progress(text)
        if self.events:
            sent = revision_of(self.events[-1][0])
            assert self.seen_revision >= sent or "." in self.events[-1][0], \
                f"{self.seen_revision} is announced after events of {sent}"

    def _follow(self):
        self.events_before = len(self.events)
        super()._follow()

    def took(self):
        if len(self.events) - self.events_before < self.next_cut:
            return
        self.next_cut = self.random.randrange(1, CUT_EVENTS)
        self.cuts += 1
        self.cut_within += "." in self.last_id
        raise Closed("cut on purpose")


def watchers_of(nodes, seed):
    """[(Watcher, what it wants of the history)]"""
    def all_(key, kind):
        return True

    wanted = [("prefix=&prev", all_, True), ("prefix=&prev", all_, True), ("prefix=", all_, False),
              ("prefix=w1/&prev", lambda key, kind: key.startswith("w1/"), True),
              ("prefix=w2/&filter=delete&prev",
               lambda key, kind: key.startswith("w2/") and kind == "delete", True),
              ("start=w0/3&end=w2/1&filter=put",
               lambda key, kind: "w0/3" <= key < "w2/1" and kind == "put", False),
              ("key=w3/07", lambda key, kind: key == "w3/07", False)]
    return [(CutWatcher(nodes, f"{query}&from=2", f"{seed} {i}", STALL_SECONDS), wants, prev)
            for i, (query, wants, prev) in enumerate(wanted)]


# ---- what is done to nodes ----

class Harm:
    """One node at a time is away: killed, ended politely or stopped; leaders more often."""

    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.random = random.Random(f"{seed} harm")
        self.counts = {"kill -9": 0, "SIGTERM": 0, "SIGSTOP": 0}
        self.leaders = 0

    def once(self):
        cluster, rng = self.cluster, self.random
        leader = cluster.leader(30)
        node = leader if rng.random() < 0.6 else rng.choice(cluster.nodes)
        self.leaders += node is leader
        way = rng.choice(["kill -9", "kill -9", "SIGTERM", "SIGSTOP"])
        self.counts[way] += 1
        if way == "kill -9":
            node.kill()
        elif way == "SIGTERM":
            node.terminate()
            status = node.wait_exit(20)
            assert status == 0, f"node {node.id} ended with {status}"
        else:
            node.pause()
        time.sleep(rng.uniform(0, ALONE_SECONDS))
        if way == "SIGSTOP":
            node.resume()
        else:
            node.start()
        cluster.wait_ready(announced=False, timeout=60)


# ---- the judgement ----

def history_of(writers):
    """[(id, "put" or "delete", item, item before)]; fails when revisions are missing or doubled."""
    found = sorted((entry for w in writers for entry in w.log), key=lambda e: e[0])
    revisions = [revision for revision, _ in found]
    assert revisions == list(range(2, 2 + len(revisions))), \
        f"revisions are missing or doubled: {len(revisions)} of {revisions[-1]}"
    events = []
    for revision, changes in found:
        for number, (key, item, before) in enumerate(sorted(changes, key=lambda c: c[0]), 1):
            event_id = str(revision) if number == len(changes) else f"{revision}.{number}"
            data = item or {"key": key, "mod_revision": revision}
            events.append((event_id, "put" if item else "delete", data, before))
    return events


def judge(name, history, wants, prev, events):
    """Fails when a watcher was sent anything else than its part of the history, in its order."""
    want = [(i, kind, {**data, "prev": before} if prev else data)
            for i, kind, data, before in history if wants(data["key"], kind)]
    for number, (wanted, got) in enumerate(zip(want, events)):
        assert wanted == got, f"{name}: event {number} is {got}, want {wanted}; " \
            f"before it came {events[max(0, number - 2):number]}"
    assert len(want) == len(events), f"{name}: {len(events)} events, want {len(want)}"
    places = [place_of(i) for i, _, _ in events]
    assert places == sorted(set(places)), f"{name}: ids are not in order"
    return len(want)


def wait_written(writers, harm, pause, on_part):
    """Hurts nodes until the writers have done."""
    last = time.monotonic()
    while any(w.is_alive() for w in writers):
        errors = [w.error for w in writers if w.error]
        if errors:
            raise errors[0]
        time.sleep(harm.random.uniform(pause / 2, pause))
        harm.once()
        if on_part and time.monotonic() > last + 5:
            last = time.monotonic()
            on_part(f"{sum(w.events_count for w in writers):,} events, {harm.counts}")


def run(count, seed, flags=(), pause=1.0, on_part=None):
    """At least `count` events. Returns what was counted; fails when a watcher has missed anything."""
    begin = time.monotonic()
    with minikv.Cluster(3, flags) as cluster:
        cluster.start()
        harm = Harm(cluster, seed)
        writers = [Writer(i, cluster.nodes, seed, count // WRITERS) for i in range(WRITERS)]
        watchers = watchers_of(cluster.nodes, seed)
        threads = writers + [w for w, _, _ in watchers]
        try:
            for thread in threads:
                thread.start()
            wait_written(writers, harm, pause, on_part)
            for error in (w.error for w in writers if w.error):
                raise error
            written = time.monotonic() - begin
            history = history_of(writers)
            for watcher, wants, _ in watchers:
                last = [i for i, kind, d, _ in history if wants(d["key"], kind)][-1:]
                if last:
                    watcher.wait_revision(revision_of(last[0]), ENOUGH_SECONDS)
            cluster.wait_ready(announced=False, timeout=60)
            cluster.assert_same_state()
        finally:
            for writer in writers:
                writer.stopping.set()
            for watcher, _, _ in watchers:
                watcher.stop()
    sent = [judge(f"watcher {i} of {w.query}", history, wants, prev, w.events)
            for i, (w, wants, prev) in enumerate(watchers)]
    revisions = len({revision_of(e[0]) for e in history})
    return {"events": len(history), "revisions": revisions, "sent": sum(sent),
            "watchers": len(watchers), "resumes": sum(w.resumes for w, _, _ in watchers),
            "cuts": sum(w.cuts for w, _, _ in watchers),
            "within": sum(w.cut_within for w, _, _ in watchers),
            "told": sum(len(w.told) for w, _, _ in watchers), "harm": harm.counts,
            "leaders": harm.leaders, "repeats": sum(w.repeats for w in writers),
            "seconds": time.monotonic() - begin, "written_seconds": written}


def describe(found):
    harm = ", ".join(f"{n} {way}" for way, n in found["harm"].items())
    return (f"{found['events']:,} events of {found['revisions']:,} revisions in "
            f"{found['written_seconds']:.0f} s, through {harm} ({found['leaders']} of leaders); "
            f"{found['watchers']} watchers were sent {found['sent']:,}, each once and in order, "
            f"resumed {found['resumes']} times, {found['within']} times in the middle of a revision "
            f"and {found['told']} times because a node said it was leaving")
