"""A small HTTP/1.1 client on plain sockets, strict about framing.

Tests need what libraries hide: the bytes as sent, every header as received, several requests in
one segment, and an exact account of how an exchange ended. Nothing is ever retried here.
"""
import json
import socket

NONE, MAYBE, APPLIED = "none", "maybe", "applied"
REPLY_HEAD_BYTES_MAX = 64 * 1024


class Closed(Exception):
    """The peer closed or reset the connection before a whole reply had arrived."""


class Malformed(Exception):
    """The reply breaks HTTP's framing rules."""


class Reply:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # [(name as sent, value)]
        self.body = body

    def header(self, name):
        """The value of a header, None when absent; a doubled one is an error."""
        values = [v for n, v in self.headers if n.lower() == name.lower()]
        if len(values) > 1:
            raise Malformed(f"header {name} came {len(values)} times")
        return values[0] if values else None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def effect(self):
        """What the reply says about this delivery: NONE, MAYBE or APPLIED."""
        if self.status < 300:
            return APPLIED
        effect = self.header("X-MiniKV-Effect")
        if effect is None:
            return NONE if self.status == 307 else MAYBE
        return effect

    @property
    def is_replayed(self):
        """The answer of an earlier delivery of the same write."""
        value = self.header("X-MiniKV-Replayed")
        if value not in (None, "true"):
            raise Malformed(f"X-MiniKV-Replayed: {value}")
        return value is not None

    @property
    def told(self):
        """What it says of the write, whoever says it and whenever: equal for all deliveries."""
        aside = {"x-minikv-node", "x-minikv-term", "x-minikv-hops", "x-minikv-replayed",
                 "x-leader", "x-leader-http", "connection"}
        return (self.status, self.body,
                sorted((n, v) for n, v in self.headers if n.lower() not in aside))

    @property
    def closes(self):
        return (self.header("Connection") or "").lower() == "close"

    def __repr__(self):
        headers = ", ".join(f"{n}: {v}" for n, v in self.headers)
        return f"<{self.status} [{headers}] {self.body[:300]!r}>"


class Connection:
    """One client connection; `with` closes it."""

    def __init__(self, address, timeout=10.0):
        self.address = address
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed(str(error)) from error

    def request(self, method, target, body=None, headers=None):
        self.send(encode(method, target, body, headers, self.address))
        return self.read_final(method)

    def read_final(self, method="GET"):
        """The next reply that is not an interim (1xx) one."""
        while True:
            reply = self.read_reply(method)
            if reply.status >= 200:
                return reply

    def read_reply(self, method="GET"):
        """The next reply, interim ones included. `method` is that of its request."""
        head = self._take_until(b"\r\n\r\n", REPLY_HEAD_BYTES_MAX)
        status, headers = parse_head(head)
        lengths = [v for n, v in headers if n.lower() == "content-length"]
        codings = [v for n, v in headers if n.lower() == "transfer-encoding"]
        if method == "HEAD" or status < 200 or status in (204, 304):
            if status < 200 or status == 204:
                if lengths or codings:
                    raise Malformed(f"{status} with a body length: {head!r}")
            return Reply(status, headers, b"")
        if codings:
            if lengths or codings != ["chunked"]:
                raise Malformed(f"bad framing: {head!r}")
            return Reply(status, headers, self._take_chunks())
        if len(lengths) != 1 or not lengths[0].isdigit():
            raise Malformed(f"bad framing: {head!r}")
        return Reply(status, headers, self._take(int(lengths[0])))

    def read_end(self):
        """Waits for the peer to close; returns the bytes that came before that."""
        rest = self.received
        self.received = b""
        try:
            while data := self.socket.recv(65536):
                rest += data
        except ConnectionResetError:
            pass
        return rest

    def _receive(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed(f"closed after {self.received[:100]!r}")
        self.received += data

    def _take(self, count):
        while len(self.received) < count:
            self._receive()
        taken, self.received = self.received[:count], self.received[count:]
        return taken

    def _take_until(self, mark, limit):
        while (at := self.received.find(mark)) < 0:
            if len(self.received) > limit:
                raise Malformed("the head of the reply does not end")
            self._receive()
        return self._take(at + len(mark))[: -len(mark)]

    def _take_chunks(self):
        chunks = []
        while True:
            size = int(self._take_until(b"\r\n", 32), 16)
            if size == 0:
                self._take_until(b"\r\n", REPLY_HEAD_BYTES_MAX)
                return b"".join(chunks)
            chunks.append(self._take(size))
            if self._take(2) != b"\r\n":
                raise Malformed("chunk without CRLF")


def parse_head(head):
    lines = head.split(b"\r\n")
    version, _, rest = lines[0].partition(b" ")
    if version != b"HTTP/1.1" or not rest[:3].isdigit():
        raise Malformed(f"status line {lines[0]!r}")
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.strip() != name or b"\n" in line or b"\r" in line:
            raise Malformed(f"header line {line!r}")
        headers.append((name.decode("latin-1"), value.strip().decode("latin-1")))
    return int(rest[:3]), headers


def encode(method, target, body=None, headers=None, address=("127.0.0.1", 80)):
    """The bytes of a request. A dict or list as body travels as JSON."""
    fields = {"Host": f"{address[0]}:{address[1]}"}
    if isinstance(body, (dict, list)):
        body = json.dumps(body).encode()
        fields["Content-Type"] = "application/json"
    elif isinstance(body, str):
        body = body.encode()
    if body is not None:
        fields["Content-Length"] = str(len(body))
    fields.update(headers or {})
    head = f"{method} {target} HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode("latin-1") + b"\r\n" + (body or b"")


def identity(client, sequence, acked=None):
    """The headers that make a write happen once, however often it is sent."""
    headers = {"X-MiniKV-Client-Id": client, "X-MiniKV-Sequence": str(sequence)}
    if acked is not None:
        headers["X-MiniKV-Acked"] = str(acked)
    return headers


def exchange(address, method, target, body=None, headers=None, timeout=10.0):
    """One request on a connection of its own."""
    with Connection(address, timeout) as connection:
        return connection.request(method, target, body, headers)


class Attempt:
    """How one delivery of a write ended: `reply` or None, and its effect."""

    def __init__(self, effect, reply=None, error=None):
        self.effect = effect
        self.reply = reply
        self.error = error

    @property
    def ok(self):
        return self.reply is not None and self.reply.status < 300


class Client:
    """A client that keeps its connection and says truthfully what became of each request."""

    def __init__(self, address, timeout=10.0):
        self.address = address
        self.timeout = timeout
        self.connection = None

    def close(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def attempt(self, method, target, body=None, headers=None):
        is_fresh = self.connection is None
        try:
            if is_fresh:
                self.connection = Connection(self.address, self.timeout)
        except OSError as error:
            return Attempt(NONE, error=error)  # nothing was sent
        try:
            reply = self.connection.request(method, target, body, headers)
        except (Closed, OSError) as error:
            self.close()
            return Attempt(MAYBE, error=error)
        if reply.closes:
            self.close()
        return Attempt(reply.effect, reply)
