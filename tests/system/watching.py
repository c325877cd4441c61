"""Watchers on plain sockets: server-sent events, read and resumed as a browser would do it.

A Watcher is a thread that keeps what it was sent. When its connection ends, or nothing comes for too
long, it goes on at another node behind the last id it has seen.
"""
import collections
import json
import random
import socket
import threading
import time

from cluster import scaled
from http_client import Closed, Connection, Malformed, encode, parse_head
from testing import OutOfTime

STALL_SECONDS = 40  # heartbeats come every 15
PAUSE_SECONDS = 0.02


class Stream:
    """The body of a reply that does not end, as lines."""

    def __init__(self, address, target, headers=None, timeout=10.0, accept="text/event-stream"):
        self.connection = Connection(address, timeout)
        self.lines, self.rest, self.is_whole = collections.deque(), b"", False
        try:
            self.connection.send(encode("GET", target, None, {"Accept": accept, **(headers or {})},
                                        address))
            self._read_head()
        except BaseException:
            self.close()
            raise

    def _read_head(self):
        connection = self.connection
        while b"\r\n\r\n" not in connection.received:
            connection._receive()
        self.status, self.headers = parse_head(connection.received.partition(b"\r\n\r\n")[0])
        self.is_chunked = ("transfer-encoding", "chunked") in \
            [(n.lower(), v) for n, v in self.headers]
        if self.status != 200:
            self.reply = connection.read_reply()
            return
        connection._take_until(b"\r\n\r\n", 65536)
        self.reply = None

    def header(self, name):
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    def _more(self):
        connection = self.connection
        if not self.is_chunked:
            if not connection.received:
                connection._receive()
            data, connection.received = connection.received, b""
            return data
        size = int(connection._take_until(b"\r\n", 32), 16)
        data = connection._take(size)
        if connection._take(2) != b"\r\n":
            raise Malformed("chunk without CRLF")
        if size == 0:
            self.is_whole = True
            raise Closed("the stream has ended")
        return data

    def line(self):
        """The next line without its end; Closed when there is none, TimeoutError when none comes."""
        while not self.lines:
            *lines, self.rest = (self.rest + self._more()).split(b"\n")
            self.lines.extend(lines)
        return self.lines.popleft()

    def close(self):
        self.connection.close()


class EventStream(Stream):
    """What server-sent events say: `last_id` is what a browser would resume behind."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.last_id = None

    def next(self):
        """("event", id, name, data), or ("comment", text). An id alone is remembered only."""
        event_id, name, data = None, "message", []
        while True:
            line = self.line().decode()
            if line.startswith(":"):
                return "comment", line[1:].strip()
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "id":
                event_id = value
            elif field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif not line:
                if event_id is not None:
                    self.last_id = event_id
                if data:
                    return "event", event_id, name, json.loads("\n".join(data))
                event_id, name = None, "message"
            else:
                raise Malformed(f"line {line!r}")


class Watcher(threading.Thread):
    """Follows `query` (as in "prefix=a&from=2") at one of `nodes`, until `stop`.

    events      [(id, "put" or "delete", data)] in the order of arrival
    resumes     how often it went on elsewhere
    told        the problems that ended streams, by type
    compacted   places that were lost: it went on behind them, if `may_lose`
    """

    def __init__(self, nodes, query, seed=0, stall_seconds=STALL_SECONDS, may_lose=False,
                 last_id=None):
        super().__init__(daemon=True)
        self.nodes, self.query = nodes, query
        self.random = random.Random(seed)
        self.stall_seconds, self.may_lose = stall_seconds, may_lose
        self.last_id = last_id
        self.events, self.told, self.compacted = [], [], []
        self.resumes, self.error = 0, None
        self.seen_revision = 0  # all up to here has been sent
        self.stream = None
        self.stopping = threading.Event()
        self.node = None

    def run(self):
        try:
            while not self.stopping.is_set():
                try:
                    self._follow()
                except (Closed, OSError):
                    pass
                self._close()
                self.resumes += 1
                self.stopping.wait(PAUSE_SECONDS)
        except BaseException as error:
            if not self.stopping.is_set():
                self.error = error

    def _follow(self):
        others = [n for n in self.nodes if n is not self.node] or self.nodes
        self.node = self.random.choice(others)
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        stream = self.stream = EventStream(self.node.http, f"/v1/watch?{self.query}", headers,
                                           scaled(self.stall_seconds))
        if stream.status != 200:
            self._refused(stream.reply)
            return
        while True:
            what = stream.next()
            if stream.last_id:
                self.last_id = stream.last_id
            if what[0] == "comment":
                self._progress(what[1])
            elif what[2] == "error":
                self.told.append(what[3]["type"])
                return
            else:
                self.events.append(what[1:])
                self.took()

    def took(self):
        """After each event."""

    def _progress(self, text):
        words = text.split()
        if "revision" in words:
            self.seen_revision = max(self.seen_revision, int(words[words.index("revision") + 1]))

    def _refused(self, reply):
        assert reply.status in (410, 502, 503, 504), reply
        if reply.status == 410:
            assert self.may_lose, f"the place behind {self.last_id} is lost: {reply}"
            self.last_id = reply.header("X-MiniKV-Compacted")
            self.compacted.append(int(self.last_id))

    def _close(self):
        stream, self.stream = self.stream, None
        if stream:
            stream.close()

    def stop(self):
        """It reads no more when this returns."""
        self.stopping.set()
        stream = self.stream
        if stream:
            try:
                stream.connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.join(scaled(10))
        if self.error:
            raise self.error

    def wait_revision(self, revision, timeout=20):
        """Events of that revision, or later, have come."""
        end = time.monotonic() + scaled(timeout)
        while time.monotonic() < end and not self.error:
            if self.events and revision_of(self.events[-1][0]) >= revision:
                return
            time.sleep(0.005)
        if self.error:
            raise self.error
        raise OutOfTime(f"nothing of revision {revision} has come; the last is "
                        f"{self.events[-1:]}, behind {self.last_id}")


def revision_of(event_id):
    return int(event_id.partition(".")[0])


def place_of(event_id):
    """Ids in their order: "7.2" comes before "7"."""
    revision, _, number = event_id.partition(".")
    return int(revision), int(number) if number else float("inf")
