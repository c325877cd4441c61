"""Bytes that are not quite HTTP, at a leader and at a follower alike (FAULTS I1 … I17).

A row is a name, the bytes of a request, the status, the type of the problem, and what becomes of the
connection. Each is played with another request right behind it: where the connection ENDS there is one
answer and that request is never carried out; where it STAYS that request, and nothing else, is answered.
Whole and cut in two the bytes mean the same.
"""
import random

from checks import Unchanged, assert_problem, assert_routing_headers
from cluster import Cluster
from http_client import NONE, Closed, Connection

PATIENT = ["--election-ms", "4000"]  # nobody else leads because a busy machine stood still
ENDS, STAYS = "ends", "stays"
BODY = b'{"value":"x"}'
LENGTH = f"Content-Length: {len(BODY)}"
SMUGGLED = (b"PUT /v1/kv/smuggled HTTP/1.1\r\nHost: h\r\n" + LENGTH.encode() + b"\r\n\r\n" + BODY)
NEXT = b"GET /version HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def head(*lines, target="/v1/kv/k", method="PUT", version="HTTP/1.1", host="h"):
    """A head with hand-made lines; only Host is added."""
    all_lines = [f"{method} {target} {version}"] + ([] if host is None else [f"Host: {host}"])
    return "\r\n".join([*all_lines, *lines]).encode("latin-1") + b"\r\n\r\n"


def put(*lines, **options):
    return head(LENGTH, *lines, **options) + BODY


def chunks(data, *lines, **options):
    return head("Transfer-Encoding: chunked", *lines, **options) + data


def get(*lines, **options):
    return head(*lines, **{"target": "/v1/kv/k", "method": "GET", **options})


GOOD_CHUNKS = b"d\r\n" + BODY + b"\r\n0\r\n\r\n"

LENGTHS = [
    ("I1 length and chunked", head(LENGTH, "Transfer-Encoding: chunked") + GOOD_CHUNKS,
     400, "bad-length", ENDS),
    ("I1 chunked and length", head("Transfer-Encoding: chunked", LENGTH) + GOOD_CHUNKS,
     400, "bad-length", ENDS),
    ("I1 length zero and chunked", head("Content-Length: 0", "Transfer-Encoding: chunked")
     + GOOD_CHUNKS, 400, "bad-length", ENDS),
    ("I1 chunked on GET with a length", get(LENGTH, "Transfer-Encoding: chunked") + GOOD_CHUNKS,
     400, "bad-length", ENDS),
    ("I2 the same length twice", put(LENGTH), 400, "bad-length", ENDS),
    ("I2 two lengths", put("Content-Length: 5"), 400, "bad-length", ENDS),
    ("I2 a list", head("Content-Length: 13, 13") + BODY, 400, "bad-length", ENDS),
    *[(f"I3 {value!r}", head(f"Content-Length: {value}") + BODY, 400, "bad-length", ENDS)
      for value in ("+13", "-1", "0xd", "1_3", "013", "1 3", "13.0", "13a", "", "1e1",
                    str(2**64 + 13), str(2**64 - 1), "9" * 40)],
    *[(f"I4 size {size!r}", chunks(size + b"\r\n" + BODY + b"\r\n0\r\n\r\n"), 400, "bad-length", ENDS)
      for size in (b"0xd", b"+d", b"0_d", b" d", b"\td", b"", b"-d", b"g", b"d ;", b"10000000000000000d")],
    ("I4 no CR LF behind a chunk", chunks(b"d\r\n" + BODY + b"0\r\n\r\n"), 400, "bad-length", ENDS),
    ("I4 more than was said", chunks(b"5\r\n" + BODY + b"\r\n0\r\n\r\n"), 400, "bad-length", ENDS),
    ("I4 an empty line as the end", chunks(b"d\r\n" + BODY + b"\r\n\r\n\r\n"), 400, "bad-length", ENDS),
    ("I4 bare LF behind a size", chunks(b"d\n" + BODY + b"\r\n0\r\n\r\n"), 400, "bad-length", ENDS),
    ("I4 bare LF behind a chunk", chunks(b"d\r\n" + BODY + b"\n0\r\n\r\n"), 400, "bad-length", ENDS),
    ("I4 bare LF in an extension", chunks(b"d;a\n" + BODY + b"\r\n0\r\n\r\n"), 400, "bad-length", ENDS),
    ("I4 bare CR in an extension", chunks(b"d;a\rb\r\n" + BODY + b"\r\n0\r\n\r\n"),
     400, "bad-length", ENDS),
    ("I4 bare LF in trailers", chunks(b"d\r\n" + BODY + b"\r\n0\r\nA: b\n\r\n"), 400, "bad-length", ENDS),
    ("I4 a length in trailers", chunks(b"d\r\n" + BODY + b"\r\n0\r\nContent-Length: 3\r\n\r\n"),
     400, "bad-length", ENDS),
    ("I4 a folded trailer", chunks(b"d\r\n" + BODY + b"\r\n0\r\nA: b\r\n c\r\n\r\n"),
     400, "bad-length", ENDS),
    ("I4 a trailer without a name", chunks(b"d\r\n" + BODY + b"\r\n0\r\n: b\r\n\r\n"),
     400, "bad-length", ENDS),
    ("I4 a coding in trailers", chunks(b"d\r\n" + BODY + b"\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
     400, "bad-length", ENDS),
    *[(f"I8 {coding!r}", head(f"Transfer-Encoding: {coding}") + GOOD_CHUNKS, status, code, ENDS)
      for coding, status, code in (("xchunked", 501, "unsupported-coding"),
                                   ("gzip", 501, "unsupported-coding"),
                                   ("identity", 501, "unsupported-coding"),
                                   ("gzip, chunked", 501, "unsupported-coding"),
                                   ("chunked, gzip", 400, "bad-length"),
                                   ("", 400, "bad-length"))],
    ("I8 chunked twice", chunks(GOOD_CHUNKS, "Transfer-Encoding: chunked"), 400, "bad-length", ENDS),
    ("I8 chunked in HTTP/1.0", chunks(GOOD_CHUNKS, version="HTTP/1.0"), 400, "bad-length", ENDS),
]

LINES = [
    ("I5 bare LF everywhere", put().replace(b"\r\n", b"\n"), 400, "bad-header", ENDS),
    ("I5 bare LF behind the request line", put().replace(b"\r\n", b"\n", 1), 400, "bad-header", ENDS),
    ("I5 bare LF between headers", put("A: b\nC: d"), 400, "bad-header", ENDS),
    ("I5 bare CR in a value", put("A: b\rC: d"), 400, "bad-request", ENDS),
    ("I5 bare CR before the request", b"\r" + put(), 400, "bad-request", ENDS),
    *[(f"I5 {byte:#04x} in a value", put(f"A: b{chr(byte)}c"), 400, "bad-header", ENDS)
      for byte in (0x00, 0x01, 0x08, 0x0b, 0x0c, 0x1f, 0x7f)],
    *[(f"I5 {byte:#04x} in a name", put(f"A{chr(byte)}: b"), 400, "bad-header", ENDS)
      for byte in (0x00, 0x01, 0x7f, 0x80, ord("("), ord('"'), ord("/"))],
    ("I6 blank before the colon", put("A : b"), 400, "bad-header", ENDS),
    ("I6 tab before the colon", put("A\t: b"), 400, "bad-header", ENDS),
    ("I6 blank before the colon of a length", head(f"Content-Length : {len(BODY)}") + BODY,
     400, "bad-header", ENDS),
    ("I6 no colon", put("Colonless"), 400, "bad-header", ENDS),
    ("I6 no name", put(": nameless"), 400, "bad-header", ENDS),
    ("I7 folded with a blank", put("A: b\r\n c"), 400, "bad-header", ENDS),
    ("I7 folded with a tab", put("A: b\r\n\tc"), 400, "bad-header", ENDS),
    ("I7 a folded coding", head("Transfer-Encoding:\r\n chunked") + GOOD_CHUNKS, 400, None, ENDS),
    ("I7 a blank before the first header", put().replace(b"Host", b" Host"), 400, "bad-header", ENDS),
    ("I9 no Host", put(host=None), 400, "bad-host", ENDS),
    ("I9 two Hosts", put("Host: h"), 400, "bad-host", ENDS),
    *[(f"I9 Host {host!r}", put(host=host), 400, "bad-host", ENDS)
      for host in ("", "a,b", "a b", "user@h", "h/path", "h?x", "h#x", "h:port", "h:99999", "[::1",
                   "[]", "::1", "http://h")],
]

TARGETS = [
    ("I10 another host in the target", put(target="http://other/v1/kv/k"), 400, "bad-host", STAYS),
    ("I10 a user in the target", put(target="http://u@h/v1/kv/k"), 400, "bad-host", STAYS),
    ("I10 another scheme", put(target="https://h/v1/kv/k"), 400, "bad-target", STAYS),
    ("I10 asterisk", get(target="*"), 400, "bad-target", STAYS),
    ("I10 asterisk of OPTIONS", get(target="*", method="OPTIONS"), 400, "bad-target", STAYS),
    ("I10 CONNECT", get(target="h:80", method="CONNECT"), 405, "method-not-allowed", ENDS),
    ("I11 half an escape", put(target="/v1/kv/a%2"), 400, "bad-encoding", STAYS),
    ("I11 no digits", put(target="/v1/kv/%zz"), 400, "bad-encoding", STAYS),
    ("I11 a fragment", put(target="/v1/kv/k#f"), 400, "bad-target", STAYS),
    ("I11 a raw byte", put(target="/v1/kv/\x80"), 400, "bad-target", ENDS),
    ("I11 overlong UTF-8, raw", put(target="/v1/kv/\xc0\xae"), 400, "bad-target", ENDS),
    ("I11 NUL", put(target="/v1/kv/\0"), 400, "bad-target", ENDS),
    ("I11 no slash", put(target="v1/kv/k"), 400, "bad-target", ENDS),
    ("I17 HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "unsupported-version", ENDS),
    ("I17 HTTP/2.0", put(version="HTTP/2.0"), 505, "unsupported-version", ENDS),
    ("I17 HTTP/1.2", put(version="HTTP/1.2"), 505, "unsupported-version", ENDS),
    ("I17 HTTP/0.9", b"GET /v1/kv/k\r\n\r\n", 505, "unsupported-version", ENDS),
    ("I17 another name", put(version="HTTX/1.1"), 400, "bad-request", ENDS),
    ("I17 two blanks", put().replace(b"PUT ", b"PUT  ", 1), 400, "bad-request", ENDS),
    ("I17 a blank behind the version", put(version="HTTP/1.1 "), 400, "bad-request", ENDS),
    ("I17 no method", b" " + put(), 400, "bad-request", ENDS),
    ("I17 TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad-request", ENDS),
    ("I17 a line of another protocol", b"EHLO h\r\n", 400, "bad-request", ENDS),
    ("I13 another expectation", put("Expect: a-pony"), 417, "expectation-failed", STAYS),
]


def play(cluster, rows):
    """Every row at both places, whole and in two pieces."""
    source = random.Random(17)
    failures = []
    leader, (follower, *_) = cluster.roles()
    assert leader.put("k", "before").status == 204
    with Unchanged(cluster) as unchanged:
        for name, request, *answer in rows:
            for place, node in (("leader", leader), ("follower", follower)):
                for at in (None, source.randrange(1, len(request))):
                    try:
                        play_row(cluster, node, request, at, *answer)
                    except (AssertionError, Closed, OSError, ValueError) as error:
                        failures.append(f"{name} at the {place}, cut at {at}: "
                                        f"{type(error).__name__}: {error}")
            try:
                unchanged.check(name)
            except AssertionError as error:
                failures.append(str(error))
                unchanged.before = unchanged.state()
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures)
    assert leader.value("k") == "before" and leader.value("smuggled") is None


def play_row(cluster, node, request, at, status, code, after):
    with Connection(node.http, timeout=10) as connection:
        behind = SMUGGLED if after == ENDS else NEXT
        try:
            if at is not None:
                connection.send(request[:at])
                request = request[at:]
            connection.send(request + behind)
        except Closed:
            pass  # it may answer and close before it has read everything
        reply = connection.read_final()
        assert_problem(reply, status, NONE, code)
        assert_routing_headers(reply, node, cluster.leader())
        assert reply.closes == (after == ENDS), reply
        if after == STAYS:
            version = connection.read_final()
            assert version.status == 200 and version.json["api"] == "v1", version
        rest = connection.read_end()
        assert rest == b"", f"more than one answer: {rest!r}"


def test_each_way_to_leave_the_end_of_a_request_in_doubt_has_its_answer():
    with Cluster(3, PATIENT).start() as cluster:
        play(cluster, LENGTHS)


def test_each_malformed_line_of_a_head_has_its_answer():
    with Cluster(3, PATIENT).start() as cluster:
        play(cluster, LINES)


def test_each_target_and_protocol_that_is_none_has_its_answer():
    with Cluster(3, PATIENT).start() as cluster:
        play(cluster, TARGETS)


def test_what_looks_odd_and_is_legal_is_one_request():
    """The other side: refusing everything would pass the tests above."""
    rows = [b"\r\n" + put(), put(target="http://h/v1/kv/k"), put("A:", "B: \xe9\t", "c:d"),
            put(host="h:"), put("Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings",
                                "HTTP2-Settings: AAMAAABkAAQAAP__"),
            chunks(b"00d;n=\"v\"\r\n" + BODY + b"\r\n000\r\nIf-Match: x\r\nHost: y\r\n\r\n"),
            chunks(b"1\r\n{\r\nC\r\n" + BODY[1:] + b"\r\n0\r\n\r\n"),
            put("Connection: keep-alive", version="HTTP/1.0"), put(target="/v1/kv/%6b")]
    with Cluster(3, PATIENT).start() as cluster:
        leader, (follower, *_) = cluster.roles()
        for node in (leader, follower):
            for number, request in enumerate(rows):
                for at in range(0, len(request), max(1, len(request) // 7)):
                    before = node.revision()
                    with Connection(node.http) as connection:
                        connection.send(request[:at])
                        connection.send(request[at:] + NEXT)
                        reply = connection.read_final()
                        assert reply.status == 204 and not reply.closes, (number, at, reply)
                        assert connection.read_final().json["api"] == "v1"
                        assert connection.read_end() == b""
                    assert node.revision() == before + 1, (number, at)
            assert node.value("k") == "x"
