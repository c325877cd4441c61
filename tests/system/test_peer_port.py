"""Anything at all on the peer port of running nodes (FAULTS I20, A3): the link is closed and told in
one line, nothing of the cluster's state changes, and clients are served on."""
import contextlib
import os
import random
import re
import resource
import struct
import threading
import time

from checks import Unchanged
from cluster import Cluster, eventually, scaled
from http_client import Client
from peer_wire import (APPEND, BYE, CHUNK, FETCH, FORWARD, FRAME_BYTES_MAX, HELLO, MESSAGE, PING,
                       PONG, REFUSE, REFUSED, VOTE, WELCOME, Identity, Link, append, frame, message)
from testing import limit, report

PATIENT = ["--election-ms", "10000"]  # what is asked here is not who leads on a busy machine
TOO_LARGE = 1 << 63                   # for a term or an index
MEMORY_KIB = 24 * 1024


def draw_seed():
    seed = int(os.environ.get("MINIKV_TEST_SEED") or random.SystemRandom().getrandbits(32))
    print(f"seed {seed}")  # shown when the test fails
    return random.Random(seed)


def standing(cluster):
    """What hostile bytes must not move."""
    return {n.id: (s["role"], s["term"], s["leader"], s["commit_index"], s["last_index"],
                   tuple(sorted(n.members())))
            for n in cluster.up() for s in [n.status()]}


def lines_about(node, port):
    return [line for line in node.log().splitlines() if f"link with 127.0.0.1:{port} closed" in line]


def closing_lines(node):
    return [line for line in node.log().splitlines() if " link with 127.0.0.1:" in line]


def play(node, data, greeting=None, ends=False):
    """Sends it, after a hello if there is one, and waits until the node has closed; the port."""
    with Link(node) as link:
        if greeting:
            assert link.send(greeting)
            assert link.read_frame()[0] == WELCOME
        link.send(data)
        if ends:
            link.end_output()
        link.wait_end()
        return link.port


def check_logs(node, ports):
    """No link is told of twice, and of each it says at most one thing."""
    told = [len(lines_about(node, port)) for port in ports]
    assert max(told) <= 1, f"a link was told of in {max(told)} lines:\n{node.log()[-4000:]}"
    return sum(told)


def before_the_hello(node, identity, source):
    """(what it is, bytes): of somebody who has not been greeted."""
    other = node.id % 3 + 1
    yield from [
        ("http", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("tls", bytes.fromhex("16030100f4010000f00303") + source.randbytes(64)),
        ("zeros", b"\0" * 64), ("ones", b"\xff" * 64),
        ("a frame of an unknown type", frame(12)), ("type 255", frame(255)), ("type 0", frame(0)),
        ("padding", frame(HELLO, b"x" * 45, padding=b"\0\1\0")),
        ("a bad checksum", frame(HELLO, b"x" * 45, checksum=1)),
        ("a length beyond a greeting's", frame(HELLO, b"", length=256 - 12 + 1)),
        ("the longest length", frame(HELLO, b"", length=2**32 - 1)),
        ("an empty hello", frame(HELLO)),
        ("a version to come", identity.hello(node, version=2)),
        ("version 0", identity.hello(node, version=0)),
        ("this node's own id", identity.hello(node, sender=node.id)),
        ("another cluster", identity.hello(node, cluster=identity.cluster ^ 1)),
        ("cluster 0", identity.hello(node, cluster=0)),
        ("meant for another", identity.hello(node, meant=other)),
        ("sender 0", identity.hello(node, sender=0)),
        ("a sender out of range", identity.hello(node, sender=2**31)),
        ("nobody's id", identity.hello(node, sender=77)),
        ("another disk", identity.hello(node, identity=identity.directory ^ 1)),
        ("identity 0", identity.hello(node, identity=0)),
        ("an address that is none", identity.hello(node, address=b"no address")),
        ("bytes behind a hello", frame(HELLO, identity.hello(node)[12:] + b"\0")),
    ]
    for kind in range(WELCOME, CHUNK + 1):
        yield f"type {kind} before the hello", frame(kind, b"12345678")
    for _ in range(100):  # as a length: beyond what any link takes
        data = bytearray(source.randbytes(source.randrange(12, 400)))
        data[3] |= 0x40
        yield "random bytes", bytes(data)


def behind_the_hello(node, sender, source):
    """The same of somebody who was let in as `sender`."""
    term = node.status()["term"]
    entry_id = (TOO_LARGE, 1)
    yield from [
        ("a second hello", Identity(sender).hello(node)),
        ("an unknown message", message(11, sender.id, node.id, term, b"")),
        ("message 0", message(0, sender.id, node.id, term, b"")),
        ("a message of others", append(77, node.id, 1)),
        ("a message of this node", append(node.id, node.id, 1)),
        ("a message for others", append(sender.id, sender.id, 1)),
        ("a flag out of range", message(VOTE, sender.id, node.id, term, b"\0" * 16, flag=2)),
        ("a term out of range", append(sender.id, node.id, TOO_LARGE)),
        ("the last term", append(sender.id, node.id, 2**64 - 1)),
        ("term 0", append(sender.id, node.id, 0)),
        ("a previous entry out of range", append(sender.id, node.id, term, entry_id)),
        ("a commit out of range", append(sender.id, node.id, term, commit=TOO_LARGE)),
        ("entries that are not there", append(sender.id, node.id, term, count=2)),
        ("more entries than fit", append(sender.id, node.id, term, count=2**32 - 1)),
        ("entries that are none", append(sender.id, node.id, term, count=1,
                                         entries=source.randbytes(60))),
        ("a message and more", frame(MESSAGE, append(sender.id, node.id, term)[12:] + b"\0")),
        ("a vote cut short", message(VOTE, sender.id, node.id, term, b"\0" * 15)),
        ("no envelope", frame(FORWARD)),
        ("envelopes of noise", frame(FORWARD, source.randbytes(200))),
        ("a short ping", frame(PING, b"1234567")), ("a long ping", frame(PING, b"123456789")),
        ("a short fetch", frame(FETCH, b"\0" * 35)), ("a fetch of noise", frame(FETCH, b"\xff" * 36)),
        ("an oversized frame", frame(MESSAGE, b"", length=FRAME_BYTES_MAX - 12 + 1)),
        ("the longest length", frame(MESSAGE, b"", length=2**32 - 1)),
    ]
    for kind in (WELCOME, REFUSE, REFUSED, PONG, CHUNK):
        yield f"type {kind} in the wrong direction", frame(kind, b"12345678")
    for _ in range(60):
        kind = source.choice([MESSAGE, FORWARD])
        body = bytearray(source.randbytes(source.randrange(0, 300)))
        if kind == MESSAGE and body:
            body[0] = source.choice([0, 11, 200])  # what it says is then up to nobody
        yield "a frame of random bytes", frame(kind, bytes(body))
    for _ in range(60):
        data = bytearray(source.randbytes(source.randrange(12, 400)))
        data[3] |= 0x40
        yield "random bytes", bytes(data)


@contextlib.contextmanager
def untouched(cluster):
    """Inside, no state moves and nobody dies (cluster.up sees to it); all serve on afterwards."""
    before = standing(cluster)
    with Unchanged(cluster):
        yield
    after = standing(cluster)
    assert after == before, f"{before} -> {after}"
    for number, other in enumerate(cluster.up()):
        assert other.put(f"after-{number}", "v").status == 204


@limit(120)
def test_strangers_are_closed_with_a_line_each_and_change_nothing():
    source = draw_seed()
    with Cluster(3, PATIENT).start() as cluster:
        leader, (follower, *_) = cluster.roles()
        for node in (leader, follower):
            identity = Identity(next(n for n in cluster.nodes if n is not node))
            with untouched(cluster):
                ports = []
                for what, data in before_the_hello(node, identity, source):
                    print(f"{what} at node {node.id}: {data[:40].hex()}")
                    ports.append(play(node, data))
                told = check_logs(node, ports)
            # one at once for each cause, then fewer and fewer: another test has them one by one
            assert 1 <= told < len(ports), told
            for what in ("refused as node", "no frame", "a frame out of place"):
                assert what in node.log(), what


@limit(120)
def test_a_member_that_has_gone_mad_is_closed_and_changes_nothing():
    """A follower is down; somebody says hello with all that it knows, and then nonsense."""
    source = draw_seed()
    with Cluster(3, PATIENT).start() as cluster:
        leader, (mad, other) = cluster.roles()
        identity = Identity(mad)
        mad.kill()
        for node in (leader, other):
            with untouched(cluster):
                ports = []
                for what, data in behind_the_hello(node, mad, source):
                    print(f"{what} at node {node.id}: {data[:60].hex()}")
                    ports.append(play(node, data, identity.hello(node)))
                assert check_logs(node, ports) >= 3
            assert f"from node {mad.id}: a malformed message" in node.log()
            # it may still behave: let in, heard, and let go without a word
            with Link(node) as link:
                link.send(identity.hello(node))
                assert link.read_frame()[0] == WELCOME
                link.send(frame(PING, b"12345678"))
                assert link.read_frame() == (PONG, b"12345678")
                link.send(frame(BYE))
                link.wait_end()
            assert not lines_about(node, link.port)
        mad.start()
        cluster.wait_ready()
        cluster.assert_same_state()


def test_frames_cut_off_at_any_byte_are_told_and_change_nothing():
    source = draw_seed()
    with Cluster(3, PATIENT).start() as cluster:
        leader, (mad, _) = cluster.roles()
        identity = Identity(mad)
        mad.kill()
        hello = identity.hello(leader)
        whole = append(mad.id, leader.id, leader.status()["term"])
        with untouched(cluster):
            ports = [play(leader, hello[:count], ends=True) for count in range(1, len(hello))]
            ports += [play(leader, whole[:source.randrange(1, len(whole))], identity.hello(leader),
                           ends=True) for _ in range(40)]
            check_logs(leader, ports)

            def is_told():  # not each: they grow rarer
                play(leader, hello[:7], ends=True)
                return "from an ungreeted node: the end within a frame" in leader.log()
            eventually(is_told, "it is told", every=0.1)


def test_slow_bytes_and_silence_hold_no_place_for_long():
    with Cluster(3, PATIENT).start() as cluster:
        leader, (mad, _) = cluster.roles()
        identity = Identity(mad)
        hello = identity.hello(leader)
        with untouched(cluster):
            with Link(leader) as slow, Link(leader) as silent:
                begin = time.monotonic()
                for byte in hello[:-1]:
                    if not slow.send(bytes([byte])) or time.monotonic() - begin > scaled(20):
                        break
                    time.sleep(0.1)
                slow.wait_end()
                silent.wait_end()
                told = lines_about(leader, slow.port) + lines_about(leader, silent.port)
                assert len(told) <= 2 and "no hello in time" in leader.log(), told


class Writers:
    """Clients that write all the time; no write may fail but for want of time."""

    def __init__(self, nodes):
        self.counts, self.failures, self.is_over, self.ok_count = [], [], False, 0
        self.threads = [threading.Thread(target=self._write, args=(n,), daemon=True)
                        for n in nodes]

    def _write(self, node):
        client = Client(node.http, scaled(30))
        count = 0
        while not self.is_over:
            count += 1
            attempt = client.attempt("PUT", f"/v1/kv/writer-{node.id}", {"value": str(count)})
            is_late = attempt.reply and attempt.reply.status in (503, 504)  # a busy machine
            self.ok_count += attempt.ok
            if not attempt.ok and not is_late:
                self.failures.append((node.id, count, attempt.reply or attempt.error))
        client.close()
        self.counts.append(count)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self.is_over = True
        for thread in self.threads:
            thread.join(scaled(40))
        if kind is None:
            assert not self.failures, self.failures[:3]
            assert len(self.counts) == len(self.threads), self.counts
            assert self.ok_count > sum(self.counts) / 2, (self.ok_count, self.counts)


def flood(node, source, count):
    """So many links, one after the other, each of which says something out of shape."""
    ports = []
    for number in range(count):
        data = bytearray(source.randbytes(source.choice([12, 64, 250, 20000])))
        data[3] |= 0x40
        if number % 4 == 0:
            data = frame(HELLO, bytes(data[:100]))
        ports.append(play(node, bytes(data)))
    return ports


@limit(180)
def test_a_flood_fills_neither_log_nor_memory_and_writes_go_on():
    source = draw_seed()
    with Cluster(3, PATIENT).start() as cluster:
        leader = cluster.leader()
        terms = {n.id: n.status()["term"] for n in cluster.nodes}
        with Writers(cluster.nodes):
            flood(leader, source, 400)  # what is allocated once
            memory = leader.memory_kib()
            ports = flood(leader, source, 1000)
            grown = leader.memory_kib() - memory
        assert grown < MEMORY_KIB, f"{grown} KiB more"
        told = check_logs(leader, ports)
        lines = closing_lines(leader)
        # of each of the causes one at first, then after 1, 2, 4 … seconds
        assert told <= len(lines) < 60, f"{len(lines)} lines"

        def is_counted():  # in the line after the next second
            flood(leader, source, 10)
            return re.search(r"\(and \d+ more like this\)", leader.log())
        eventually(is_counted, "what was left out is counted")
        assert {n.id: n.status()["term"] for n in cluster.nodes} == terms
        cluster.assert_same_state()
        report(f"{grown} KiB, {len(lines)} lines of 1,400")


def crowd_of(node, count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, count + 200)), hard))
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(Link(node)) for _ in range(min(count, hard - 200))]
        return stack.pop_all(), links


@limit(180)
def test_a_thousand_links_at_once_push_out_each_other_and_no_member():
    source = draw_seed()
    with Cluster(3, PATIENT).start() as cluster:
        leader, (follower, *_) = cluster.roles()
        terms = {n.id: n.status()["term"] for n in cluster.nodes}
        with Writers([n for n in cluster.nodes if n is not follower]):
            memory = leader.memory_kib()
            stack, links = crowd_of(leader, 1000)
            with stack:
                for link in links:  # never a whole header
                    link.send(source.randbytes(source.randrange(4)))
                follower.kill()  # there is room for a member amid all of them
                follower.start()
                eventually(lambda: follower.status()["leader"] == leader.id, "it follows again", 30)
                for link in links:
                    link.wait_end()
            grown = leader.memory_kib() - memory
        assert grown < MEMORY_KIB, f"{grown} KiB more"
        check_logs(leader, [link.port for link in links])
        assert "its place is needed" in leader.log()
        assert {n.id: n.status()["term"] for n in cluster.nodes} == terms
        with Link(leader) as link:  # there is room again
            link.send(struct.pack("<II", 0, 0))
            link.end_output()
            link.wait_end()
        cluster.assert_same_state()
        eventually(lambda: follower.put("k", "v").status == 204, "the follower serves on")
        report(f"{grown} KiB")
