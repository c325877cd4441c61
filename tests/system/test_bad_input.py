"""Hostile and mistaken input: the exact status, `effect: none`, and nothing changed.

Each row is played on a leader and on a follower of one cluster. A row is
    name, bytes of the request, status (or several), whether the connection stays usable
"""
import base64
import os
import random
import socket
import struct
import time

from checks import Unchanged, assert_problem
from cluster import HOST, Cluster, eventually, scaled
from http_client import NONE, Closed, Connection, encode
from testing import in_time

KEEPS, CLOSES, EITHER = "keeps", "closes", "either"
KEY_BYTES_MAX, VALUE_BYTES_MAX, BODY_BYTES_MAX = 4096, 1 << 20, 2 << 20
TARGET_BYTES_MAX, HEADERS_BYTES_MAX, HEADERS_MAX = 16 << 10, 32 << 10, 100
JSON = {"Content-Type": "application/json"}
RAW = {"Content-Type": "application/octet-stream"}
BODY = b'{"value":"x"}'


def put(headers, body=BODY, target="/v1/kv/k", method="PUT", version="HTTP/1.1", host="h"):
    """A request with hand-made header lines; only Host is added."""
    lines = [f"{method} {target} {version}".encode("latin-1")]
    if host is not None:
        lines.append(f"Host: {host}".encode())
    lines += [h if isinstance(h, bytes) else h.encode("latin-1") for h in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def sized(*headers, body=BODY, **rest):
    return put([f"Content-Length: {len(body)}", *headers], body, **rest)


def chunked(body, *headers):
    return put(["Transfer-Encoding: chunked", *headers], body)


def json_body(text, target="/v1/kv/k", method="PUT"):
    body = text if isinstance(text, bytes) else text.encode()
    return sized(body=body, target=target, method=method)


GOOD_CHUNKS = b"d\r\n" + BODY + b"\r\n0\r\n\r\n"

FRAMING = [
    # FAULTS I1, I2: two ways to say where the request ends
    ("content-length and chunked", put(["Content-Length: 13", "Transfer-Encoding: chunked"],
                                       GOOD_CHUNKS), 400, CLOSES),
    ("chunked and content-length", put(["Transfer-Encoding: chunked", "Content-Length: 13"],
                                       GOOD_CHUNKS), 400, CLOSES),
    ("two lengths", put(["Content-Length: 13", "Content-Length: 5"], BODY), 400, CLOSES),
    ("the same length twice", put(["Content-Length: 13", "Content-Length: 13"], BODY), 400, CLOSES),
    ("a list of lengths", put(["Content-Length: 13, 13"], BODY), 400, CLOSES),
    # I3
    *[(f"content-length {v!r}", put([f"Content-Length: {v}"], BODY), 400, CLOSES)
      for v in ("+13", "-1", "0x5", "1_3", "1 3", "13.0", str(2**64 + 13), str(2**63), "",
                "13abc", "99999999999999999999999")],
    # I4
    *[(f"chunk size {s!r}", chunked(s + b"\r\n" + BODY + b"\r\n0\r\n\r\n"), 400, CLOSES)
      for s in (b"0xd", b"+d", b"0_d", b" d", b"", b"-d", b"g", b"1" * 17, b"fffffffffffffffff")],
    ("chunk without CRLF after it", chunked(b"d\r\n" + BODY + b"XX0\r\n\r\n"), 400, CLOSES),
    ("chunk longer than said", chunked(b"5\r\n" + BODY + b"\r\n0\r\n\r\n"), 400, CLOSES),
    ("bare LF after the chunk size", chunked(b"d\n" + BODY + b"\r\n0\r\n\r\n"), 400, CLOSES),
    # I8
    ("unknown coding", put(["Transfer-Encoding: gzip"], b""), (400, 501), CLOSES),
    ("coding after chunked", put(["Transfer-Encoding: chunked, gzip"], GOOD_CHUNKS), (400, 501),
     CLOSES),
    ("coding before chunked", put(["Transfer-Encoding: gzip, chunked"], GOOD_CHUNKS), (400, 501),
     CLOSES),
    ("xchunked", put(["Transfer-Encoding: xchunked"], GOOD_CHUNKS), (400, 501), CLOSES),
    ("chunked twice", put(["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
                          GOOD_CHUNKS), (400, 501), CLOSES),
    ("chunked, chunked", put(["Transfer-Encoding: chunked, chunked"], GOOD_CHUNKS), (400, 501),
     CLOSES),
    ("empty coding", put(["Transfer-Encoding:"], b""), (400, 501), CLOSES),
    ("chunked in HTTP/1.0", put(["Transfer-Encoding: chunked"], GOOD_CHUNKS, version="HTTP/1.0"),
     (400, 501, 505), CLOSES),
]

HEADERS = [
    # I5, I6, I7
    ("bare LF line ends", sized().replace(b"\r\n", b"\n"), 400, CLOSES),
    ("bare CR in a value", sized("X-A: b\rc"), 400, CLOSES),
    ("bare LF in a header", put([b"X-A: b\nX-B: c", "Content-Length: 13"], BODY), 400, CLOSES),
    ("NUL in a value", sized(b"X-A: b\0c"), 400, CLOSES),
    ("control byte in a value", sized(b"X-A: b\x01c"), 400, CLOSES),
    ("control byte in a name", sized(b"X\x01A: b"), 400, CLOSES),
    ("blank before the colon", sized("X-A : b"), 400, CLOSES),
    ("blank in a name", sized("X A: b"), 400, CLOSES),
    ("no colon", sized("XAb"), 400, CLOSES),
    ("empty name", sized(": b"), 400, CLOSES),
    ("folded header", sized("X-A: b\r\n c"), 400, CLOSES),
    ("blank before the first header", put([], BODY).replace(b"Host", b" Host"), 400, CLOSES),
    # I9, I10
    ("no Host", sized(host=None), 400, EITHER),
    ("two Hosts", sized("Host: other"), 400, EITHER),
    *[(f"Host {h!r}", sized(host=h), 400, EITHER)
      for h in ("a,b", "u@h", "h/path", "h:port", "a b", "h:99999", "[::1", "h?x", "h#x")],
    ("absolute target of another host", sized(target="http://other/v1/kv/k"), 400, EITHER),
    ("asterisk target", sized(target="*"), 400, EITHER),
    ("target without slash", sized(target="v1/kv/k"), 400, EITHER),
    # own headers
    *[(f"X-MiniKV-Timeout-Ms {v!r}", sized(f"X-MiniKV-Timeout-Ms: {v}"), 400, KEEPS)
      for v in ("", "abc", "-5", "0", "1.5", "99999999999999999999")],
    ("X-MiniKV-Timeout-Ms twice", sized("X-MiniKV-Timeout-Ms: 5", "X-MiniKV-Timeout-Ms: 6"), 400,
     KEEPS),
    *[(f"X-MiniKV-Route {v!r}", sized(f"X-MiniKV-Route: {v}"), 400, KEEPS)
      for v in ("", "proxy", "redirect,forward")],
    *[(f"If-Match {v!r}", sized(f"If-Match: {v}"), 400, KEEPS)
      for v in ("abc", '"', '"x"', 'W/"1"', "", '"-1"', '"99999999999999999999999"', '"1", "2"')],
    ("If-None-Match malformed", sized("If-None-Match: foo"), 400, KEEPS),
    ("both conditions", sized('If-Match: "1"', "If-None-Match: *"), 400, KEEPS),
    ("unknown expectation", sized("Expect: coffee"), 417, EITHER),
    ("too many headers", sized(*[f"X-{i}: v" for i in range(HEADERS_MAX + 1)]), 431, CLOSES),
    ("headers too long", sized("X-A: " + "v" * HEADERS_BYTES_MAX), 431, CLOSES),
    ("many long headers", sized(*[f"X-{i}: " + "v" * 1000 for i in range(40)]), 431, CLOSES),
]

REQUEST_LINES = [
    ("two blanks", sized().replace(b"PUT /", b"PUT  /"), 400, CLOSES),
    ("no version", b"PUT /v1/kv/k\r\nHost: h\r\n\r\n", 505, CLOSES),
    ("HTTP/2.0", sized(version="HTTP/2.0"), 505, CLOSES),
    ("HTTP/1.9", sized(version="HTTP/1.9"), (400, 505), CLOSES),
    ("HTTP/0.9", sized(version="HTTP/0.9"), (400, 505), CLOSES),
    ("lower-case version", sized(version="http/1.1"), 400, CLOSES),
    ("unknown method", sized(method="BREW"), (400, 405, 501), EITHER),
    ("lower-case method", sized(method="put"), (400, 405, 501), EITHER),
    ("raw bytes in the target", put(["Content-Length: 13"], BODY, target="/v1/kv/\xe4"), 400,
     CLOSES),
    ("blank in the target", put(["Content-Length: 13"], BODY, target="/v1/kv/a b"), 400, CLOSES),
    ("control byte in the target", put(["Content-Length: 13"], BODY, target="/v1/kv/\x01"), 400,
     CLOSES),
    ("target too long", sized(target="/v1/kv/" + "k" * TARGET_BYTES_MAX), 414, CLOSES),
    # I17
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505), CLOSES),
    ("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200, 400, CLOSES),
]

RESOURCES = [
    ("unknown route", sized(target="/v2/kv/k"), 404, KEEPS),
    ("root", sized(target="/", method="GET", body=b""), 404, KEEPS),
    ("prefix of a route", sized(target="/v1/kvx", method="GET", body=b""), 404, KEEPS),
    ("POST on a key", sized(method="POST"), 405, KEEPS),
    ("PATCH on a key", sized(method="PATCH"), 405, KEEPS),
    ("PUT on incr", sized(target="/v1/incr/k"), 405, KEEPS),
    ("GET on announce", sized(target="/v1/raft/peer_announce", method="GET", body=b""), 405, KEEPS),
    ("POST on status", sized(target="/v1/raft/status", method="POST"), 405, KEEPS),
    ("DELETE on metrics", sized(target="/metrics", method="DELETE", body=b""), 405, KEEPS),
    ("empty key", sized(target="/v1/kv/"), 400, KEEPS),
    ("empty key of incr", sized(target="/v1/incr/", method="POST", body=b'{"by":1}'), 400, KEEPS),
    ("bad escape", sized(target="/v1/kv/%zz"), 400, KEEPS),
    ("half an escape", sized(target="/v1/kv/a%2"), 400, KEEPS),
    ("a lone percent", sized(target="/v1/kv/%"), 400, KEEPS),
    ("key of one byte too many", sized(target="/v1/kv/" + "k" * (KEY_BYTES_MAX + 1)), 414, KEEPS),
    ("escaped key of one byte too many",
     sized(target="/v1/kv/" + "%6b" * (KEY_BYTES_MAX + 1)), 414, KEEPS),
    ("fragment", sized(target="/v1/kv/k#f"), 400, EITHER),
]

QUERIES = [
    *[(f"PUT with {q}", sized(target=f"/v1/kv/k?{q}"), 400, KEEPS)
      for q in ("bogus=1", "bogus", "route=teleport", "route=", "consistency=stale",
                "route=forward&route=redirect", "lease=-1", "%zz=1", "route=%zz", "=1")],
    *[(f"GET with {q}", put([], b"", target=f"/v1/kv/k?{q}", method="GET"), 400, KEEPS)
      for q in ("bogus=1", "consistency=eventual", "consistency=", "rev=abc", "rev=-1",
                "rev=99999999999999999999", "Consistency=stale")],
    *[(f"list with {q}", put([], b"", target=f"/v1/kv?{q}", method="GET"), 400, KEEPS)
      for q in ("bogus=1", "limit=abc", "limit=-1", "limit=0", "limit=1.5", "limit=",
                "limit=99999999999999999999", "prefix=%zz", "keys_only=maybe")],
    ("DELETE with bogus", put([], b"", target="/v1/kv/k?bogus=1", method="DELETE"), 400, KEEPS),
    ("status with bogus", put([], b"", target="/v1/raft/status?bogus=1", method="GET"), 400, KEEPS),
]

BODIES = [
    *[(f"put {text[:40]!r}", json_body(text), 400, KEEPS)
      for text in ("", "{", "{}", "[]", "null", '"x"', "1", '{"value":1}', '{"value":null}',
                   '{"value":["x"]}', '{"value":"x","bogus":1}', '{"value":"x","value":"y"}',
                   '{"value":"x"} trailing', '{"value":"x"}{"value":"y"}', "{'value':'x'}",
                   '{"value":"x",}', '{value:"x"}', '{"value":"\\ud800"}', '{"value":"\\x"}',
                   '{"value":"a\nb"}', b'{"value":"\xff"}', b'{"value":"\xc0\x80"}',
                   b'\xef\xbb\xbf{"value":"x"}', '{"value":"x","value_base64":"eA=="}',
                   '{"value_base64":"!!"}', '{"value_base64":"eA"}', '{"value_base64":1}',
                   '{"Value":"x"}', "[" * 5000, '{"a":' * 3000)],
    *[(f"incr {text!r}", json_body(text, "/v1/incr/n", "POST"), 400, KEEPS)
      for text in ("{", '{"by":"1"}', '{"by":1.5}', '{"by":null}', '{"by":1e3}',
                   '{"by":9223372036854775808}', '{"by":99999999999999999999999999}',
                   '{"by":1,"bogus":2}', "[1]", '{"by":1,"by":2}')],
    ("value of one byte too many", sized("Content-Type: application/octet-stream",
                                         body=b"x" * (VALUE_BYTES_MAX + 1)), 413, EITHER),
    ("JSON value of one byte too many",
     json_body('{"value":"' + "x" * (VALUE_BYTES_MAX + 1) + '"}'), 413, EITHER),
    ("base64 value of one byte too many",
     json_body('{"value_base64":"' + base64.b64encode(b"x" * (VALUE_BYTES_MAX + 1)).decode()
               + '"}'), 413, EITHER),
    ("body announced over the limit", put([f"Content-Length: {BODY_BYTES_MAX + 1}"], b""), 413,
     CLOSES),
    ("body announced far over the limit", put(["Content-Length: 999999999999"], b""), 413, CLOSES),
    ("chunked body over the limit",
     chunked(b"%x\r\n" % (BODY_BYTES_MAX + 1) + b"x" * (BODY_BYTES_MAX + 1) + b"\r\n0\r\n\r\n",
             "Content-Type: application/octet-stream"), 413, CLOSES),
    ("body on GET with bogus JSON", json_body("{", "/v1/kv/k?bogus=1", "GET"), 400, EITHER),
]


def play(cluster, rows):
    """Every row at the leader and at a follower: the answer, and that nothing came of it."""
    leader, (follower, *_) = cluster.roles()
    assert leader.put("k", "before").status == 204
    failures = []
    with Unchanged(cluster) as unchanged:
        for name, request, status, after in rows:
            for place, node in (("leader", leader), ("follower", follower)):
                try:
                    play_row(node, request, status, after)
                    unchanged.check(name)
                except TimeoutError:
                    raise
                except (AssertionError, Closed, OSError, ValueError) as error:
                    failures.append(f"{name} at the {place}: {type(error).__name__}: {error}")
                    unchanged.before = unchanged.state()
    assert leader.value("k") == "before" or failures
    assert not failures, f"{len(failures)} failures:\n" + "\n".join(failures)


def play_row(node, request, status, after):
    with Connection(node.http, scaled(10)) as connection:
        try:
            connection.send(request)
        except Closed:
            pass  # it may answer and close before it has read everything
        reply = connection.read_final()
        assert_problem(reply, status, NONE)
        if reply.status == 405:
            assert reply.header("Allow"), reply
        if after == CLOSES:
            assert reply.closes, f"no Connection: close: {reply}"
        if reply.closes:
            rest = connection.read_end()
            assert rest == b"", f"more than one answer: {rest!r}"
        else:
            assert after != CLOSES
            again = connection.request("GET", "/livez")
            assert again.status == 200, again
            assert after != CLOSES


def test_ambiguous_framing_is_refused_and_the_connection_closed():
    with Cluster(3).start() as cluster:
        play(cluster, FRAMING)


def test_malformed_headers_are_refused():
    with Cluster(3).start() as cluster:
        play(cluster, HEADERS)


def test_malformed_request_lines_are_refused():
    with Cluster(3).start() as cluster:
        play(cluster, REQUEST_LINES)


def test_unknown_resources_methods_and_bad_keys_are_refused():
    with Cluster(3).start() as cluster:
        play(cluster, RESOURCES)


def test_unknown_and_malformed_queries_are_refused():
    with Cluster(3).start() as cluster:
        play(cluster, QUERIES)


def test_malformed_bodies_are_refused():
    with Cluster(3).start() as cluster:
        play(cluster, BODIES)


def test_refusals_name_what_is_unknown():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        reply = node.request("PUT", "/v1/kv/k?flavour=mint", {"value": "x"})
        assert "flavour" in reply.json["detail"], reply
        reply = node.request("PUT", "/v1/kv/k", {"value": "x", "flavour": 1})
        assert "flavour" in reply.json["detail"], reply
        # what comes back is text: no header or markup can be smuggled through it
        reply = node.request("PUT", "/v1/kv/k?%0d%0aX-Evil:%201=1", {"value": "x"})
        assert_problem(reply, 400)
        assert reply.header("X-Evil") is None, reply


def test_the_largest_key_and_value_are_taken_at_every_node():
    with Cluster(3).start() as cluster:
        for node in cluster.nodes:
            key = f"{node.id}" + "k" * (KEY_BYTES_MAX - 1)
            value = os.urandom(VALUE_BYTES_MAX)
            assert node.request("PUT", f"/v1/kv/{key}", value, RAW).status == 204
            escaped = "".join(f"%{b:02X}" for b in key.encode())
            for reader in cluster.nodes:
                reply = reader.request("GET", f"/v1/kv/{escaped}?raw")
                assert reply.status == 200 and reply.body == value, reply.status
            assert node.request("PUT", "/v1/kv/empty", b"", RAW).status == 204
            assert node.request("GET", "/v1/kv/empty?raw").body == b""
            reply = node.request("GET", f"/v1/kv/{key}")
            assert base64.b64decode(reply.json["value_base64"]) == value
            text = "x" * VALUE_BYTES_MAX
            assert node.put("text", text).status == 204
            assert node.value("text") == text


def test_escaped_keys_mean_the_same_at_every_node_and_on_every_route():
    """FAULTS I11: one rule, at leader and follower, forwarded and redirected."""
    keys = {b"a/b c": "a/b%20c", b"a/b": "a%2fb", b"..": "%2e%2e", b"../x": "..%2Fx",
            b"\0": "%00", b"\xff\xfe": "%FF%fe", b"\xc0\xae": "%c0%ae", b"%41": "%2541",
            b"a+b": "a+b", b"a?b": "a%3Fb", b"a//b": "a//b", b"a/": "a/", b"\r\n": "%0d%0a",
            "€".encode(): "%E2%82%AC", b".": ".", b"a;b=c,d!e": "a;b=c,d!e"}
    with Cluster(3).start() as cluster:
        for number, (key, escaped) in enumerate(keys.items()):
            for node in cluster.nodes:
                value = f"{number}-{node.id}".encode()
                reply = node.request("PUT", f"/v1/kv/{escaped}", value, RAW)
                assert reply.status == 204, (escaped, reply)
                canonical = "".join(f"%{b:02x}" for b in key)
                for reader in cluster.nodes:
                    reply = reader.request("GET", f"/v1/kv/{canonical}")
                    assert reply.status == 200, (escaped, reply)
                    assert key_of(reply.json) == key, (escaped, reply)
                    assert reply.json["value"].encode() == value, (escaped, reply)


def key_of(item):
    return item["key"].encode() if "key" in item else base64.b64decode(item["key_base64"])


def test_a_request_cut_into_pieces_is_the_same_request():
    """FAULTS I14: split at every byte, and one byte at a time."""
    with Cluster(3).start() as cluster:
        follower = cluster.followers()[0]
        request = put(["Transfer-Encoding: chunked", 'If-None-Match: "0"', "X-A: b"],
                      b"4\r\n{\"va\r\n9\r\nlue\":\"x\"}\r\n0\r\n\r\n", target="/v1/kv/sp%20lit")
        with Connection(follower.http) as connection:
            for at in range(1, len(request)):
                connection.send(request[:at])
                connection.send(request[at:])
                reply = connection.read_final()
                assert reply.status == 204, (at, reply)
            for byte in request:
                connection.send(bytes([byte]))
            assert connection.read_final().status == 204
        assert follower.value("sp%20lit") == "x"


def test_pipelined_requests_before_a_bad_one_are_answered_and_none_after():
    """FAULTS I15."""
    with Cluster(3).start() as cluster:
        for node in (cluster.leader(), cluster.followers()[0]):
            good = [encode("PUT", f"/v1/kv/i15-{node.id}-{i}", {"value": str(i)})
                    for i in range(100)]
            bad = sized("X-A : b")
            with Connection(node.http) as connection:
                try:
                    connection.send(b"".join(good[:50]) + bad + b"".join(good[50:]))
                except Closed:
                    pass
                for i in range(50):
                    assert connection.read_final().status == 204, i
                assert_problem(connection.read_final(), 400, NONE)
                assert connection.read_end() == b""
            assert node.value(f"i15-{node.id}-49") == "49"
            assert node.value(f"i15-{node.id}-50") is None


def test_expect_100_continue_is_honoured_at_leader_and_follower():
    """FAULTS I13."""
    with Cluster(3).start() as cluster:
        for node in (cluster.leader(), cluster.followers()[0]):
            head = put(["Content-Length: 13", "Expect: 100-continue"], b"", target="/v1/kv/e")
            with Connection(node.http) as connection:
                connection.send(head)
                reply = connection.read_reply()
                assert reply.status == 100, reply
                connection.send(BODY)
                assert connection.read_reply().status == 204
                # a refusal that needs no body comes instead of the 100
                connection.send(put([f"Content-Length: {BODY_BYTES_MAX + 1}",
                                     "Expect: 100-continue"], b""))
                assert_problem(connection.read_reply(), 413, NONE)


def test_bodies_and_heads_keep_the_framing():
    """FAULTS I16: a body on GET, DELETE and HEAD; no body after HEAD."""
    with Cluster(3).start() as cluster:
        for node in (cluster.leader(), cluster.followers()[0]):
            assert node.put("k", "v").status == 204
            with Connection(node.http) as connection:
                connection.send(encode("HEAD", "/v1/kv/k") + encode("GET", "/v1/kv/k"))
                head = connection.read_final("HEAD")
                get = connection.read_final("GET")
                assert (head.status, get.status) == (200, 200), (head, get)
                assert head.header("Content-Length") == get.header("Content-Length"), (head, get)
                assert head.header("ETag") == get.header("ETag"), (head, get)
                head = connection.request("HEAD", "/v1/kv/absent")
                assert head.status == 404 and head.body == b"", head
                for method in ("GET", "DELETE"):
                    reply = connection.request(method, "/v1/kv/k", b"smuggled GET / HTTP/1.1")
                    assert reply.status in (200, 204, 400), reply
                    if reply.closes:
                        break
                    assert connection.request("GET", "/livez").status == 200


def test_a_slow_client_holds_nobody_up_and_is_let_go():
    with Cluster(3).start() as cluster:
        node = cluster.followers()[0]
        lazy = [Connection(node.http) for _ in range(50)]
        for i, connection in enumerate(lazy):
            connection.send(sized()[: 10 + i])
        begin = time.monotonic()
        for i in range(50):
            assert node.put(f"k{i}", "v").status == 204
        in_time(time.monotonic() - begin < scaled(5), "slow clients hold others up")
        for connection in lazy:
            connection.close()
        assert node.put("k", "v").status == 204


def test_peers_speaking_nonsense_change_nothing():
    """FAULTS I20, A3: random bytes, truncated and huge frames, HTTP on the peer port."""
    source = random.Random(20)
    with Cluster(3).start() as cluster:
        frames = [b"", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"\xff" * 64, b"\0" * 64,
                  struct.pack("<II", 2**31, 0) + b"\1\0\0\0", struct.pack("<II", 2**32 - 1, 0),
                  struct.pack("<II", 16, 0) + b"\1\0\0\0" + b"x" * 16,
                  struct.pack("<II", 0, 0) + b"\x63\0\0\0", b"\x0c"]
        frames += [source.randbytes(source.randrange(1, 400)) for _ in range(200)]
        def send_all(*_):
            with Unchanged(cluster):
                for number, frame in enumerate(frames):
                    node = cluster.nodes[number % 3]
                    with socket.create_connection((HOST, node.peer_port), scaled(5)) as peer:
                        try:
                            peer.sendall(frame)
                        except OSError:
                            pass

        cluster.under_one_leader(send_all)  # what would end its reign ends it each time
        assert cluster.leader().put("k", "v").status == 204


def test_many_peer_connections_that_say_nothing_leave_room_for_members():
    with Cluster(3).start() as cluster:
        leader = cluster.leader()
        idle = []
        for _ in range(100):
            try:
                idle.append(socket.create_connection((HOST, leader.peer_port), 2))
            except OSError:
                break
        follower = cluster.followers()[0]
        follower.kill()
        follower.start()
        cluster.wait_ready()
        assert follower.put("k", "v").status == 204
        for connection in idle:
            connection.close()


def test_many_client_connections_are_served_or_refused_in_words():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        before = node.memory_kib()
        crowd = [Connection(node.http) for _ in range(900)]
        for connection in crowd[::50]:
            assert connection.request("GET", "/livez").status == 200
        assert node.put("k", "v").status == 204
        assert node.memory_kib() - before < 64 * 1024
        for connection in crowd:
            connection.close()
        eventually(lambda: node.put("k", "w").status == 204, "it goes on")
