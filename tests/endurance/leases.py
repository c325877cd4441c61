"""Leases through failures: never expired early, always expired in the end, the same on all nodes.

Holders grant leases of a second or a few, hang keys on them, renew them for a while and then stop. What
counts is the holder's own monotonic clock: from the moment at which it *sent* the last keep-alive that was
acknowledged, the lease lives for its time to live at least. No tolerance is granted: log time
runs with the leader's monotonic clock, begins at the stamp of the renewal, and stands still between
leaders. It may live longer, by the time that nobody led, by what the last leader had not stamped
(LATE_SECONDS), and by the time in which its end is decided and committed.

Meanwhile nodes are killed and stopped, leaders more often than others, also for longer than leases live.
Watchers at all nodes note at which revision which keys went.
"""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import cluster as minikv  # noqa: E402
from http_client import Client, identity  # noqa: E402
from watching import Watcher, revision_of  # noqa: E402

HOLDERS = 12
TTL_MS = (1000, 3000)
KEYS_MAX = 6
RENEWALS_MAX = 6
LATE_SECONDS = 10 + 3  # a stamp every 10 s while there are leases; an election; a commit
PAUSE_SECONDS = 0.01
STALL_SECONDS = 2.5
AWAY_SECONDS = 4.0  # at most: longer than leases live
SERIAL_DIGITS = 6


class Holder(threading.Thread):
    """Has one lease after the other. Notes in `ended` the keys of each, and how it came to its end."""

    def __init__(self, number, nodes, seed, clock):
        super().__init__(daemon=True)
        self.number, self.nodes, self.clock = number, nodes, clock
        self.random = random.Random(f"{seed} holder {number}")
        self.sequence, self.serial = 0, 0
        self.client, self.error = None, None
        self.ended = []  # (lease, keys, "expired" | "revoked" | "lost")
        self.late = []   # seconds beyond the time to live until its end was seen
        self.renewed = 0
        self.stopping = threading.Event()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.hold()
        except BaseException as error:
            self.error = error
        finally:
            if self.client:
                self.client.close()

    # ---- requests ----

    def attempt(self, method, target, body=None, headers=None):
        """(the moment before it was sent, the reply or None)"""
        if self.client is None:
            self.client = Client(self.random.choice(self.nodes).http, minikv.scaled(1.5))
        begin = time.monotonic()
        reply = self.client.attempt(method, target, body, headers).reply
        if reply is None or reply.status in (502, 503, 504):
            self.client.close()
            self.client = None
            return begin, None
        return begin, reply

    def send(self, method, target, body=None):
        """A write, until it is answered: (the moment before it was first sent, the reply)."""
        self.sequence += 1
        headers = identity(f"holder-{self.number}", self.sequence, self.sequence - 1)
        first = None
        while True:
            begin, reply = self.attempt(method, target, body, headers)
            first = first or begin
            if reply is not None:
                return first, reply
            time.sleep(PAUSE_SECONDS)

    # ---- a lease ----

    def hold(self):
        ttl_ms = self.random.randrange(*TTL_MS)
        granted, reply = self.send("POST", "/v1/leases", {"ttl_ms": ttl_ms})
        assert reply.status == 200 and reply.json["ttl_ms"] == ttl_ms, reply
        self.serial += 1
        lease, self.ttl = reply.json["lease"], ttl_ms / 1000
        self.alive_until = granted + self.ttl
        keys = []
        for i in range(self.random.randrange(1, KEYS_MAX)):
            key = f"held/{self.number:02}/{self.serial:0{SERIAL_DIGITS}}/{i}"
            _, reply = self.send("PUT", f"/v1/kv/{key}?lease={lease}", {"value": str(lease)})
            if reply.status == 404:
                self.has_gone(f"a put with lease {lease}")
                self.end(lease, keys, "lost")
                return
            assert reply.status == 204, reply
            keys.append(key)
        for _ in range(self.random.randrange(RENEWALS_MAX)):
            time.sleep(self.ttl * self.random.uniform(0.1, 0.7))
            if not self.renew(lease):
                self.end(lease, keys, "lost")
                return
        if self.random.random() < 0.15:
            _, reply = self.send("DELETE", f"/v1/leases/{lease}")
            if reply.status != 204:
                assert reply.status == 404, reply
                self.has_gone(f"lease {lease} when it was revoked")
            self.end(lease, keys, "revoked")
            return
        self.wait_expired(lease, keys)

    def has_gone(self, what):
        early = self.alive_until - time.monotonic()
        assert early <= 0, f"{what}: it was gone {early:.3f} s early (of {self.ttl} s)"

    def renew(self, lease):
        """False when it had gone; repeated as long as it may be alive."""
        while True:
            sent, reply = self.attempt("POST", f"/v1/leases/{lease}/keepalive")
            if reply is None:
                time.sleep(PAUSE_SECONDS)
                continue
            if reply.status == 404:
                self.has_gone(f"lease {lease} when it was renewed")
                return False
            assert reply.status == 200 and reply.json["lease"] == lease, reply
            self.alive_until = sent + self.ttl
            self.renewed += 1
            return True

    def wait_expired(self, lease, keys):
        """Not before its time, and not much later than the cluster had somebody to lead it."""
        query = "?keys" if self.random.random() < 0.5 else ""
        while True:
            asked, reply = self.attempt("GET", f"/v1/leases/{lease}{query}")
            if reply is not None and reply.status == 404:
                break
            if reply is not None:
                assert reply.status == 200, reply
                assert reply.json["keys_count"] == len(keys), reply
                assert 0 <= reply.json["remaining_ms"] <= self.ttl * 1000, reply
            late = asked - self.alive_until
            assert late < minikv.scaled(LATE_SECONDS) + self.clock.without(self.alive_until, asked), \
                f"lease {lease} is still there {late:.1f} s after its time"
            time.sleep(0.02)
        self.has_gone(f"lease {lease}")
        self.late.append(time.monotonic() - self.alive_until)
        self.end(lease, keys, "expired")

    def end(self, lease, keys, how):
        for key in keys:
            while True:
                _, reply = self.attempt("GET", f"/v1/kv/{key}")
                if reply is not None:
                    break
            assert reply.status == 404, f"{key} is there without its lease {lease}: {reply}"
        self.ended.append((lease, keys, how))


class Clock:
    """Notes when the cluster was without the node that led it."""

    def __init__(self):
        self.times = []

    def without(self, begin, end):
        """Seconds of that time, at most."""
        return sum(max(0.0, min(end, e) - max(begin, b)) for b, e in list(self.times))


class Harm:
    """One node at a time is away, killed or stopped; sometimes all are killed at once."""

    def __init__(self, cluster, seed, clock):
        self.cluster, self.clock = cluster, clock
        self.random = random.Random(f"{seed} harm")
        self.counts = {"kill -9": 0, "SIGSTOP": 0, "all killed": 0}

    def once(self):
        rng, cluster = self.random, self.cluster
        begin = time.monotonic()
        self.clock.times.append((begin, float("inf")))
        leader = cluster.leader(30)
        node = leader if rng.random() < 0.7 else rng.choice(cluster.nodes)
        way = rng.choice(["kill -9", "kill -9", "SIGSTOP", "SIGSTOP", "all killed"])
        self.counts[way] += 1
        if way == "all killed":
            cluster.kill_all()
        else:
            node.kill() if way == "kill -9" else node.pause()
        time.sleep(rng.uniform(0, AWAY_SECONDS))
        for node in cluster.nodes:
            if node.is_paused:
                node.resume()
            elif not node.is_running:
                node.start()
        cluster.wait_ready(announced=False, timeout=60)
        self.clock.times[-1] = (begin, time.monotonic())


# ---- the judgement ----

def check_ends(holders, watchers):
    """The keys of each lease went at one revision, at the same one on all nodes."""
    places = []
    for watcher in watchers:
        ids = [i for i, _, _ in watcher.events]
        assert len(ids) == len(set(ids)), "an event came twice"
        places.append({d["key"]: revision_of(i) for i, e, d in watcher.events if e == "delete"})
    assert all(p == places[0] for p in places), "keys went at different revisions"
    for holder in holders:
        for lease, keys, how in holder.ended:
            revisions = {places[0].get(k) for k in keys}
            assert len(revisions) <= 1 and None not in revisions, \
                f"the keys of lease {lease} ({how}) went at {revisions}"


def run(seconds, seed, flags=(), on_part=None):
    """Returns figures; fails when a lease ended early, or not at all, or not everywhere alike."""
    with minikv.Cluster(3, flags) as cluster:
        cluster.start()
        clock = Clock()
        harm = Harm(cluster, seed, clock)
        holders = [Holder(i, cluster.nodes, seed, clock) for i in range(HOLDERS)]
        watchers = [Watcher([n], "prefix=held/&from=2", seed, STALL_SECONDS) for n in cluster.nodes]
        try:
            for thread in holders + watchers:
                thread.start()
            end = last = time.monotonic() + seconds
            while time.monotonic() < end and not any(h.error for h in holders):
                harm.once()
                time.sleep(harm.random.uniform(0, 2))
                if on_part and time.monotonic() > last - seconds + 5:
                    last = time.monotonic() + seconds
                    on_part(f"{sum(len(h.ended) for h in holders)} leases ended, {harm.counts}")
            for holder in holders:
                holder.stopping.set()
            for holder in holders:
                holder.join(minikv.scaled(60))
            for error in (h.error for h in holders if h.error):
                raise error
            assert not any(h.is_alive() for h in holders), "holders do not come to an end"
            cluster.wait_ready(announced=False, timeout=60)
            revision = cluster.leader().put("last", "held/").header("ETag").strip('"')
            cluster.wait_caught_up()
            cluster.assert_same_state()
            for watcher in watchers:
                wait_all_sent(watcher, holders, int(revision))
        finally:
            for watcher in watchers:
                watcher.stop()
        left = cluster.leader().request("GET", "/v1/leases").json["leases"]
        assert not left, f"leases that nobody has: {left}"
    check_ends(holders, watchers)
    ends = [how for h in holders for _, _, how in h.ended]
    late = sorted(s for h in holders for s in h.late)
    return {"leases": len(ends), "ends": {how: ends.count(how) for how in sorted(set(ends))},
            "renewed": sum(h.renewed for h in holders), "harm": harm.counts,
            "late": (late[len(late) // 2], late[-1]) if late else (0, 0)}


def wait_all_sent(watcher, holders, revision):
    """Every key that was held has been seen to go, or the stream has passed `revision`."""
    keys = {k for h in holders for _, ks, _ in h.ended for k in ks}
    minikv.eventually(lambda: watcher.error or watcher.seen_revision >= revision
                      or keys <= {d["key"] for _, e, d in list(watcher.events) if e == "delete"},
                      "all ends are watched", 40, every=0.2)


def describe(found):
    ends = ", ".join(f"{n} {how}" for how, n in found["ends"].items())
    harm = ", ".join(f"{n} {way}" for way, n in found["harm"].items())
    return (f"{found['leases']} leases ({ends}), {found['renewed']} keep-alives, through {harm}: none "
            f"ended early; seen to end {found['late'][0]:.2f} s after its time in the median, "
            f"{found['late'][1]:.2f} s at most")
