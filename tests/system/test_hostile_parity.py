"""What MiniKV takes, Node.js takes as well: the same requests, by method, target and body (FAULTS I19).

Mutated requests go to a leader, to a follower and to an HTTP server of Node.js. Refusing more is
allowed; reading something else is not: a proxy that reads as Node.js does and a MiniKV behind it
never disagree about where a request ends, or about what it asks for. What MiniKV has read is seen in
what it does: in the state at the revision of each write, in redirects, and in how many answers there
are; the last request of each connection asks for its end.
"""
import base64
import json
import queue
import random
import re
import selectors
import shutil
import socket
import subprocess
import threading
import time
from urllib.parse import unquote_to_bytes

from cluster import HOST, Cluster, clean_environment, scaled
from hostile_crowd import raise_descriptors
from http_client import Closed, Connection, Malformed
from testing import OutOfTime, count_from_environment, limit, report
from test_hostile_framing import BODY, LENGTHS, LINES, PATIENT, TARGETS, chunks, get, head, put

CASES = count_from_environment("PARITY_CASES", 2000)
SEED = count_from_environment("PARITY_SEED", 0)
BATCH = 1000
STALL_SECONDS = 5.0
QUIET_SECONDS = 0.4  # nothing comes any more: the rest of a request is waited for
LAST = b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"  # and then it waits
RAW = "Content-Type: application/octet-stream"

BASES = [
    put(target="/v1/kv/plain"),
    head("Content-Length: 5", RAW, target="/v1/kv/raw") + b"bytes",
    head(RAW, "Content-Length: 0", target="/v1/kv/empty"),
    chunks(b"5\r\nhello\r\n0\r\n\r\n", RAW, target="/v1/kv/chunked"),
    chunks(b"3;a=b\r\nabc\r\n00A\r\n0123456789\r\n0\r\nT: t\r\n\r\n", RAW, target="/v1/kv/pieces"),
    chunks(b"d\r\n" + BODY + b"\r\n0\r\nContent-Length: 3\r\n\r\n", target="/v1/kv/trailer"),
    put("Expect: 100-continue", target="/v1/kv/expects"),
    put("X-MiniKV-Route: redirect", target="/v1/kv/a%2Fb%20c?route=redirect"),
    put(target="http://h/v1/kv/absolute"),
    put("Connection: keep-alive", target="/v1/kv/old", version="HTTP/1.0"),
    head("Content-Length: 8", target="/v1/incr/n", method="POST") + b'{"by":1}',
    get(), get(method="HEAD"), get("Content-Length: 3") + b"GET",
    put(target="/v1/kv/first") + head("Content-Length: 6", RAW, target="/v1/kv/second") + b"behind",
    get("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"),
]
EVIL_LINES = [b"Transfer-Encoding: chunked", b"Transfer-Encoding: xchunked", b"Transfer-Encoding:\x0bchunked",
              b"Transfer-Encoding : chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: ,chunked",
              b"Content-Length: 5", b"Content-Length: 0", b"Content-Length: 005", b"Content-Length: +5",
              b"Content-Length: 5, 5", b"Content_Length: 3", b"Content-Length", b"Host: h", b"Host: other",
              b"Connection: close", b"Connection: keep-alive, close", b"Upgrade: websocket",
              b"X: a\r\n b", b"X: a\nContent-Length: 3", b"X: a\rb", b" X: a", b"X : a", b": a", b"X",
              b"X:", b"Expect: 100-continue", b"Expect: a-pony", b"Keep-Alive: max=1",
              b"Proxy-Connection: close"]
EVIL_BYTES = b"\r\n\0\t :;,0157afx%/?#+-_.\"\x0b\x1f\x7f\x80\xff"
EVIL_PIECES = [b"\r\n", b"\r\n\r\n", b"\n\n", b"\r", b"0\r\n\r\n", b"HTTP/1.1", b" HTTP/1.1\r\n", b"chunked",
               b"GET / HTTP/1.1\r\n", b"0x", b"ffffffffffffffff", b"18446744073709551616", b"; a=b", b"  "]


# ---- mutating ----

def change_byte(source, data):
    at = source.randrange(len(data))
    return data[:at] + bytes([source.choice(EVIL_BYTES)]) + data[at + 1:]


def flip_bit(source, data):
    at = source.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << source.randrange(8)]) + data[at + 1:]


def slip_in(source, data):
    at = source.randrange(len(data) + 1)
    piece = source.choice([bytes([source.choice(EVIL_BYTES)]), source.choice(EVIL_PIECES)])
    return data[:at] + piece + data[at:]


def cut_out(source, data):
    at = source.randrange(len(data))
    return data[:at] + data[at + source.randrange(1, 4):]


def add_line(source, data):
    lines = data.split(b"\r\n")
    lines.insert(source.randrange(1, len(lines)), source.choice(EVIL_LINES))
    return b"\r\n".join(lines)


def move_line(source, data):
    lines = data.split(b"\r\n")
    line = lines[source.randrange(len(lines))]
    if source.random() < 0.5:
        lines.remove(line)
    lines.insert(source.randrange(len(lines) + 1), line)
    return b"\r\n".join(lines)


def change_case(source, data):
    at = source.randrange(len(data))
    end = at + source.randrange(1, 12)
    return data[:at] + data[at:end].swapcase() + data[end:]


def change_number(source, data):
    places = [at for at, byte in enumerate(data) if 48 <= byte <= 57]
    if not places:
        return data
    at = source.choice(places)
    number = source.choice([b"0", b"1", b"2", b"9", b"00", b"10", b"-1", b"0x1", b"1 ", b" 1", b"a"])
    return data[:at] + number + data[at + 1:]


MUTATIONS = [change_byte, flip_bit, slip_in, cut_out, add_line, add_line, move_line, change_case,
             change_number]


def mutants(seed, count):
    """As they are, then what the tables of refusals have, then mutated once to three times."""
    source = random.Random(seed)
    cases = BASES + [request for _, request, *_ in LENGTHS + LINES + TARGETS]
    while len(cases) < count:
        data = source.choice(BASES)
        for _ in range(source.choice([1, 1, 1, 2, 3])):
            data = source.choice(MUTATIONS)(source, data) or data
        cases.append(data)
    return cases


# ---- asking ----

class NodeJs:
    def __init__(self):
        program = shutil.which("node") or shutil.which("nodejs")
        assert program, "there is no Node.js: script/bootstrap --test installs it"
        self.process = subprocess.Popen([program, __file__.replace("test_hostile_parity.py",
                                                                   "hostile_peer.js")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env=clean_environment())
        self.address = (HOST, int(self.process.stdout.readline()))
        self.lines = queue.Queue()
        threading.Thread(target=self._read_lines, daemon=True).start()

    def _read_lines(self):
        for line in self.process.stdout:
            self.lines.put(line)

    def _line(self):
        """The next one. Where none comes, Node.js reads some connection no further, and is told to end it."""
        while True:
            try:
                return self.lines.get(timeout=scaled(STALL_SECONDS))
            except queue.Empty:
                self.process.stdin.write(b"\n")
                self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)

    def read(self, cases):
        """[(requests, error)] of the cases, each on a connection of its own."""
        ports, clients = [], []
        for case in cases:
            client = socket.create_connection(self.address, 10)
            clients.append(client)
            ports.append(client.getsockname()[1])
            try:
                client.sendall(case + LAST)
                client.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has closed already, with bytes unread
        told = {}
        while len(told) < len(ports):  # each is told when it has ended
            port, requests, error = json.loads(self._line())
            told[port] = requests, error
        for client in clients:
            client.close()
        return [told[port] for port in ports]


def answers(address, cases):
    """What came back for each, on connections that are open at the same time."""
    received = [b""] * len(cases)
    with selectors.DefaultSelector() as selector:
        for number, case in enumerate(cases):
            client = socket.create_connection(address, 10)
            client.sendall(case + LAST)
            selector.register(client, selectors.EVENT_READ, number)
        last = time.monotonic()
        while selector.get_map() and time.monotonic() < last + scaled(QUIET_SECONDS):
            for key, _ in selector.select(0.05):
                last = time.monotonic()
                try:
                    data = key.fileobj.recv(65536)
                except ConnectionResetError:
                    data = b""
                received[key.data] += data
                if not data:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
        for key in list(selector.get_map().values()):
            key.fileobj.close()
    return received


class Ended:
    def recv(self, _):
        return b""


def replies_in(data, methods):
    """The replies in what was received. `methods`: of the requests, as Node.js has them."""
    connection = Connection.__new__(Connection)
    connection.socket, connection.received = Ended(), data
    replies = []
    while connection.received not in (b"", CONTINUE):
        method = methods[len(replies)] if len(replies) < len(methods) else "GET"
        is_head_alone = connection.received.endswith(b"\r\n\r\n") and \
            connection.received.count(b"\r\n\r\n") == 1  # a refused HEAD, which Node.js has not
        replies.append(connection.read_final("HEAD" if is_head_alone else method))
    return replies


# ---- comparing ----

ENDED_BY_TRAILER = re.compile(rb"\r\n0+(?:;[^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*?"
                              rb"(?:proxy-)?connection:[^\r\n]*close", re.IGNORECASE)

def path_of(target):
    return "/" + target.split("/", 3)[3] if target.lower().startswith("http://") else target


def values_of(body):
    """What a PUT with this body may store: it says in a header whether that is JSON."""
    yield body
    try:
        fields = json.loads(body)
        yield fields["value"].encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        pass


def field_of(item, name):
    return item[name].encode() if name in item else base64.b64decode(item[f"{name}_base64"])


def compare(state, leader, reply, request):
    """`reply` is one to just this request, as far as it and the state, read by `state`, can tell."""
    method, target, body = request[0], path_of(request[1]), base64.b64decode(request[2])
    path = target.partition("?")[0]
    if reply.status == 204:
        assert method in ("PUT", "DELETE"), "something else was carried out"
        revision = reply.header("ETag").strip('"')
        stored = state.request("GET", f"{path}?rev={revision}")
        assert stored.status == 200 and stored.json["mod_revision"] == int(revision), stored
        key, value = field_of(stored.json, "key"), field_of(stored.json, "value")
        assert path.startswith("/v1/kv/") and key == unquote_to_bytes(path[len("/v1/kv/"):]), stored
        assert value in values_of(body), (stored, body)
    elif reply.status == 307:
        assert reply.header("Location") == f"http://{leader.http_text}{target}", target
    elif reply.status == 200 and b'"api"' in reply.body:
        assert (method, path) == ("GET", "/version"), "another one was answered"
    elif reply.status == 200 and b'"value"' in reply.body and b'"key"' not in reply.body:
        assert method == "POST" and path.startswith("/v1/incr/"), "something else was carried out"


def check_case(place, state, leader, case, received, told):
    """How many requests of it were taken, the last one included. None: it waits for more."""
    requests, error = told
    try:
        replies = replies_in(received, [method for method, *_ in requests])
    except (Closed, Malformed, ValueError) as trouble:
        raise AssertionError(f"{place}: {case!r}: Node.js has {requests} ({error}), and what came "
                             f"cannot be read: {trouble}: {received!r}") from None
    if replies and replies[-1].closes and replies[-1].status >= 400:
        replies.pop()  # refused, and the connection ended: nothing is said about it
    # Behind an offer to upgrade, and behind a trailer that says close, Node.js reads no further; not
    # every version has an error for what comes there.
    if (requests and requests[-1][3]) or error == "HPE_CLOSED_CONNECTION" or ENDED_BY_TRAILER.search(case):
        del replies[len(requests):]
    assert len(replies) <= len(requests), \
        f"{place}: {case!r}: taken {len(replies)}: {replies}; Node.js has {requests} ({error})"
    for reply, request in zip(replies, requests):
        try:
            compare(state, leader, reply, request)
        except (AssertionError, AttributeError) as trouble:
            raise AssertionError(f"{place}: {case!r}: {reply} to {request}: {trouble}") from None
    return len(replies)


@limit(180)
def test_what_is_taken_here_node_js_takes_as_the_same():
    raise_descriptors()  # for a batch
    seed = SEED or random.SystemRandom().randrange(1, 2**31)
    cases = mutants(seed, CASES)
    taken = refused = 0
    failures = []
    with Cluster(3, PATIENT).start() as cluster, NodeJs() as node_js:
        leader, (follower, *_) = cluster.roles()
        for first in range(0, len(cases), BATCH):
            batch = cases[first:first + BATCH]
            told = node_js.read(batch)
            for place, node in (("leader", leader), ("follower", follower)):
                received = answers(node.http, batch)
                with Connection(node.http) as state:
                    for case, data, one in zip(batch, received, told):
                        if one[1] == "LATE":
                            continue  # what it would have read is not known
                        try:
                            count = check_case(place, state, leader, case, data, one)
                        except AssertionError as error:
                            failures.append(str(error))
                            continue
                        taken += count >= 2  # its own and the last one
                        refused += count == 0
    report(f"seed {seed}: {len(cases)} requests at two nodes, {taken} taken, {refused} refused at once")
    assert not failures, f"PARITY_SEED={seed}: {len(failures)}:\n" + "\n".join(failures[:20])
    if min(taken, refused) < CASES // 4:
        raise OutOfTime(f"{taken} taken, {refused} refused: too few to say anything")
