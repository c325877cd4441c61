"""What a client says about itself gains it nothing: forged headers, line ends in keys, other hosts.

At a leader and at a follower, whatever the route (FAULTS I12, A1, A2, R16).
"""
import json
import re

from checks import Unchanged, assert_problem, assert_routing_headers
from cluster import Cluster
from http_client import NONE, Connection, identity
from testing import limit

PATIENT = ["--election-ms", "4000"]  # nobody else leads because a busy machine stood still
BODY = b'{"value":"x"}'
ROUTES = ("forward", "redirect")
REPLY_HEADERS = {"x-minikv-node", "x-minikv-term", "x-leader", "x-leader-http", "x-minikv-hops",
                 "x-minikv-effect", "etag", "location", "cache-control", "content-type",
                 "content-length", "connection", "retry-after", "allow", "transfer-encoding",
                 "x-minikv-revision", "x-minikv-applied", "x-minikv-staleness-ms",
                 "x-minikv-replayed", "link"}
EVIL = b"%0d%0aX-Evil:%201%0d%0a%0d%0aHTTP/1.1%20200%20OK%0D%0ASet-Cookie:%20a"

# Header lines that claim what only nodes may say of themselves, and mean nothing here.
CLAIMS = [b"X_MiniKV_Forwarded: 1", b"X-MiniKV_Forwarded: 1", b"X-MiniKV-Forwarded-For: 1",
          b"XMiniKV-Forwarded: 1", b"X-MiniKV-Forward: 1", b"Forwarded: for=127.0.0.1;host=evil;proto=https",
          b"X-Forwarded-Host: evil", b"X-Forwarded-For: 127.0.0.1", b"X-Original-URL: /v1/raft/transfer",
          b"X-Rewrite-URL: /v1/raft/members", b"X-HTTP-Method-Override: DELETE", b"X-MiniKV-Node: 9",
          b"X-MiniKV-Term: 99", b"X-MiniKV-Hops: 0", b"X-MiniKV-Hops: 7", b"X-MiniKV-Origin: 1",
          b"X-MiniKV-Effect: applied", b"X-MiniKV-Applied: 999999", b"X-MiniKV-Replayed: true",
          b"X-MiniKV-Revision: 1", b"X-Leader: evil:1", b"X-Leader-HTTP: evil:1",
          b"X-MiniKV-Cluster-Id: 0", b"X-MiniKV-Internal: 1", b"X-MiniKV-: 1",
          b"Connection: X-MiniKV-Route, X-MiniKV-Timeout-Ms, X-MiniKV-Forwarded, Host"]
# The mark itself, in each spelling that HTTP allows: refused where the request would go on.
MARKS = [b"X-MiniKV-Forwarded: 1", b"x-minikv-forwarded: 1", b"X-MINIKV-FORWARDED: 0",
         b"X-MiniKV-Forwarded:", b"X-MiniKV-Forwarded:\t \t", b"X-MiniKV-Forwarded: \xe9",
         b"X-MiniKV-Forwarded: 1\r\nX-MiniKV-Forwarded: 1",
         b"X-MiniKV-Forwarded: no\r\nx-minikv-forwarded: false",
         b"X-MiniKV-Forwarded: 1\r\nConnection: X-MiniKV-Forwarded"]
# No header at all.
BROKEN = [b"X-MiniKV-Forwarded : 1", b"X-MiniKV-Forwarded\t: 1", b" X-MiniKV-Forwarded: 1",
          b"X-MiniKV-\r\n Forwarded: 1", b"X-MiniKV-Forwarded:\r\n 1", b"X-MiniKV-Forwarded: 1\r\n\t2",
          b"X-MiniKV-Forwarded\0: 1", b"X-MiniKV-Forwarded: \x001", b"X-MiniKV-Forwarded",
          b"A: b\nX-MiniKV-Forwarded: 1",
          b"A: b\rX-MiniKV-Forwarded: 1", b"X-MiniKV-Forwarded\x0b: 1"]


def request(lines=b"", target=b"/v1/kv/k", method=b"PUT", host=b"h", body=BODY):
    lines = b"" if not lines else lines + b"\r\n"
    return (method + b" " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + lines
            + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def chunked(trailers, target=b"/v1/kv/k"):
    return (b"PUT " + target + b" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"d\r\n" + BODY + b"\r\n0\r\n" + trailers + b"\r\n\r\n")


def ask(node, data, method="GET"):
    """The one answer to these bytes; every header of it is one that MiniKV has."""
    with Connection(node.http) as connection:
        connection.send(data)
        reply = connection.read_final(method)
        assert connection.received == b"", connection.received
    unknown = {n.lower() for n, _ in reply.headers} - REPLY_HEADERS
    assert not unknown, f"headers that nobody makes: {unknown}: {reply}"
    return reply


def places(cluster):
    """(node, whether it leads, route) for each way that a request can take."""
    leader, (follower, *_) = cluster.roles()
    for node in (leader, follower):
        for route in ROUTES:
            yield node, node is leader, route


def assert_as_if_unsaid(reply, node, leader, is_leader, route, target="/v1/kv/k"):
    """The answer that the same request has without any claim."""
    if is_leader or route == "forward":
        assert reply.status == 204, reply
        assert reply.header("X-MiniKV-Hops") == ("0" if is_leader else "1"), reply
        assert reply.header("X-MiniKV-Replayed") is None, reply
    else:
        assert_problem(reply, 307, NONE, "not-leader")
        assert reply.header("Location") == f"http://{leader.http_text}{target}", reply
    assert_routing_headers(reply, node, leader)


def test_claims_of_clients_mean_nothing():
    with Cluster(3, PATIENT).start() as cluster:
        leader = cluster.leader()
        for node, is_leader, route in places(cluster):
            own = b"X-MiniKV-Route: " + route.encode()
            for claim in CLAIMS + MARKS:
                if claim in CLAIMS:
                    reply = ask(node, request(claim + b"\r\n" + own))
                    assert_as_if_unsaid(reply, node, leader, is_leader, route)
                # in trailers they are no headers at all
                reply = ask(node, chunked(claim, b"/v1/kv/k?route=" + route.encode()))
                assert_as_if_unsaid(reply, node, leader, is_leader, route,
                                    f"/v1/kv/k?route={route}")


def test_the_mark_of_forwarding_only_ever_takes_something_away():
    with Cluster(3, PATIENT).start() as cluster:
        leader = cluster.leader()
        for node, is_leader, route in places(cluster):
            own = b"\r\nX-MiniKV-Route: " + route.encode()
            for mark in MARKS:
                if is_leader:
                    reply = ask(node, request(mark + own))
                    assert_as_if_unsaid(reply, node, leader, is_leader, route)
                    continue
                with Unchanged(cluster):
                    reply = ask(node, request(mark + own))
                    assert_problem(reply, 503, NONE, "already-forwarded")
                    assert_routing_headers(reply, node, leader)
            with Unchanged(cluster):
                for broken in BROKEN:
                    reply = ask(node, request(broken))
                    assert_problem(reply, 400, NONE)
                    assert reply.closes, (broken, reply)


def test_a_connection_header_takes_no_identity_away():
    """FAULTS A2: what it names is for a hop of HTTP, and forwarding is none."""
    with Cluster(3, PATIENT).start() as cluster:
        for node in cluster.nodes:
            named = {"Connection": "X-MiniKV-Client-Id, X-MiniKV-Sequence, keep-alive"}
            for _ in range(3):
                reply = node.incr(f"once-{node.id}", headers={**identity(f"c{node.id}", 1), **named})
                assert reply.status == 200 and reply.json["value"] == 1, reply
            key = {"Idempotency-Key": f'"{node.id}"', "Connection": "Idempotency-Key"}
            for _ in range(3):
                reply = node.incr(f"key-{node.id}", headers=key)
                assert reply.status == 200 and reply.json["value"] == 1, reply


def evil_requests():
    """Requests that carry line ends in everything that is decoded; (method, bytes)."""
    for method in (b"PUT", b"GET", b"HEAD", b"DELETE", b"PATCH"):
        yield method, request(target=b"/v1/kv/" + EVIL, method=method)
    yield b"POST", request(target=b"/v1/incr/" + EVIL, method=b"POST", body=b'{"by":1}')
    for query in (b"prefix=", b"after=", b"start=", b"end=", b"route=", b"consistency=", b"", b"limit="):
        yield b"GET", request(target=b"/v1/kv?" + query + EVIL, method=b"GET", body=b"")
    yield b"GET", request(target=b"/v1/kv?prefix=&limit=1", method=b"GET", body=b"")
    yield b"GET", request(target=b"/" + EVIL, method=b"GET", body=b"")
    yield b"GET", request(target=b"/v1/outcome?client=" + EVIL + b"&sequence=1", method=b"GET", body=b"")
    yield b"GET", request(target=b"/v1/watch?poll_ms=1&key=" + EVIL, method=b"GET", body=b"")
    yield b"GET", request(target=b"/v1/watch?from_id=" + EVIL, method=b"GET", body=b"")
    text = json.dumps("\r\nX-Evil: 1\r\n\r\n").encode()
    yield b"POST", request(target=b"/v1/txn", method=b"POST",
                           body=b'{"success":[{"put":{"key":' + text + b',"value":' + text + b'}}]}')
    yield b"PUT", request(body=b'{' + text + b':1}')
    yield b"POST", request(target=b"/v1/raft/peer_announce", method=b"POST",
                           body=b'{"id":1,"http":' + text + b'}')


def test_line_ends_in_keys_never_reach_a_head():
    """FAULTS I12: whatever is repeated in a reply is encoded, or stands in its body."""
    with Cluster(3, PATIENT).start() as cluster:
        for node, _, route in places(cluster):
            for method, data in evil_requests():
                data = data.replace(b"Host: h\r\n", b"Host: h\r\nX-MiniKV-Route: " + route.encode() + b"\r\n")
                reply = ask(node, data, method.decode())
                assert reply.status < 500, (data, reply)
                for name, value in reply.headers:
                    assert "evil" not in name.lower() and "\r" not in value, (name, value)
                    assert "evil" not in value.lower() or name in ("Location", "Link"), (name, value)
                    if name in ("Location", "Link"):
                        assert re.fullmatch(r"[\x21-\x7e]+( rel=\"next\")?", value), value
        # and the key is what was meant, byte for byte
        leader = cluster.leader()
        assert leader.put(EVIL.decode(), "v").status == 204
        keys = [i["key"] for i in leader.request("GET", "/v1/kv?prefix=%0d%0a").json["items"]]
        assert "\r\nX-Evil: 1\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: a" in keys, keys


HOSTS = (b"evil.example", b"evil.example:80", b"[::1]:1", b"127.0.0.1:1", b"LOCALHOST", b"a%0d%0ab")


@limit(90)
def test_a_redirect_names_the_address_in_the_map_whatever_the_client_writes():
    """FAULTS R16: by flag, header and query; also in the absolute form of a target."""
    for default in ROUTES:
        with Cluster(3, [*PATIENT, "--route", default]).start() as cluster:
            leader, followers = cluster.roles()
            for follower in followers:
                for host in HOSTS:
                    for target, lines in ((b"/v1/kv/k", b""), (b"/v1/kv/k?route=redirect", b""),
                                          (b"/v1/kv/k", b"X-MiniKV-Route: redirect")):
                        if default == "forward" and target == b"/v1/kv/k" and not lines:
                            continue
                        for absolute in (b"", b"http://" + host, b"HTTP://" + host.lower()):
                            for method in (b"PUT", b"DELETE"):
                                forged = b"X-Forwarded-Host: evil.example"
                                data = request(forged + (b"\r\n" + lines if lines else b""),
                                               absolute + target, method, host)
                                reply = ask(follower, data)
                                assert_problem(reply, 307, NONE, "not-leader")
                                wanted = f"http://{leader.http_text}{target.decode()}"
                                assert reply.header("Location") == wanted, reply
                                assert_routing_headers(reply, follower, leader)


def test_a_redirect_follows_the_map_when_an_address_changes_and_not_the_host():
    """What was announced is asked who it is first, so nobody can have himself put there."""
    with Cluster(3, [*PATIENT, "--route", "redirect"]).start() as cluster:
        leader, (follower, *_) = cluster.roles()
        for claimed in (follower.http_text, "127.0.0.1:1", "evil.example:80"):
            reply = follower.request("POST", "/v1/raft/peer_announce?route=forward",
                                     {"id": leader.id, "http": claimed}, {"Host": claimed})
            assert reply.status == 422 or reply.status == 400, reply
        reply = ask(follower, request(host=b"127.0.0.1:1"))
        assert reply.header("Location") == f"http://{leader.http_text}/v1/kv/k", reply


def test_identities_of_clients_are_not_repeated_in_a_head():
    """FAULTS R23: ids are visible bytes, and a reply to them says nothing of them."""
    with Cluster(3, PATIENT).start() as cluster:
        for node in cluster.nodes[:2]:
            for name in ("a:b", "Set-Cookie", "x" * 64, "%0d%0aX-Evil"):
                reply = node.put("k", "v", identity(name, 1))
                assert reply.status == 204, reply
                assert not any(name in v for _, v in reply.headers), reply
