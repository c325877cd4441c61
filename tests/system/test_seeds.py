"""The scenes of the two texts MiniKV comes from, played on real nodes over real sockets."""
import itertools
import subprocess
import time

from checks import Unchanged, assert_problem, assert_routing_headers
from cluster import HOST, REIGNS_MAX, Cluster, eventually, scaled
from http_client import MAYBE, NONE, Connection, encode
from testing import OutOfTime

HOLD_MS = 400


def curl(*arguments):
    """(HTTP status of the last reply, redirects followed, body)."""
    run = subprocess.run(["curl", "-sS", "-m", "10", "-w", "\n%{http_code} %{num_redirects}",
                          *arguments], capture_output=True, text=True, timeout=20, check=True)
    body, _, tail = run.stdout.rpartition("\n")
    status, redirects = tail.split()
    return int(status), int(redirects), body


def pause_majority(cluster):
    """Pauses the leader and one follower; the other follower, which then has no quorum."""
    for _ in range(REIGNS_MAX):
        leader = cluster.leader()
        left, other = [n for n in cluster.up() if n is not leader]
        leader.pause()
        other.pause()
        if left.status()["role"] != "leader":  # another one may have been elected just before
            return leader, other, left
        leader.resume()
        other.resume()
    raise OutOfTime("leaders come and go")


def until_it_holds(cluster, act):
    """`act` is called until it returns true, each time with all nodes up and ready."""
    for _ in range(REIGNS_MAX):
        cluster.start()
        if act():
            return
        for node in cluster.nodes:
            if node.is_paused:
                node.resume()
    raise OutOfTime("this machine stands still too often")


def without_leader(node):
    eventually(lambda: node.status()["leader"] == 0, "the node forgets its silent leader")


# ---- leader-forwarding.txt ----

def test_a_put_at_each_node_is_answered_204_and_readable_on_all_three():
    with Cluster(3).start() as cluster:
        def put_at_each(leader, _):
            for node in cluster.nodes:
                reply = node.put(f"from-{node.id}", f"value-{node.id}")

                assert reply.status == 204, reply
                assert reply.header("ETag").strip('"').isdigit(), reply
                assert_routing_headers(reply, node, leader)
                assert reply.header("X-MiniKV-Hops") == ("0" if node is leader else "1"), reply
                for reader in cluster.nodes:
                    assert reader.value(f"from-{node.id}") == f"value-{node.id}"

        cluster.under_one_leader(put_at_each)


def test_without_announce_followers_refuse_with_the_leaders_peer_address():
    with Cluster(3, ["--announce", "off", "--hold-ms", str(HOLD_MS)]).start(False) as cluster:
        def refuse_at_once(leader, follower):
            begin = time.monotonic()
            for reply in (follower.put("k", "v"), follower.request("DELETE", "/v1/kv/k"),
                          follower.incr("k"),
                          follower.put("k", "v", {"X-MiniKV-Route": "redirect"})):
                assert_problem(reply, 503, NONE, "leader-not-announced")
                assert reply.header("X-Leader") == leader.peer_text, reply
                assert reply.header("X-Leader-HTTP") is None, reply
            return time.monotonic() - begin < scaled(HOLD_MS / 1000)

        def write(leader, followers):
            assert leader.put("at-the-leader", "taken").status == 204

            # a leader newer than --hold-ms is waited for; afterwards the answer comes at once
            for follower in followers:
                eventually(lambda f=follower: f.put("k", "v").status == 503, "the hold is over")
                eventually(lambda f=follower: refuse_at_once(leader, f), "nothing is held")

        cluster.under_one_leader(write)

        # announced by hand, through a follower, the same cluster takes writes everywhere
        for node in cluster.nodes:
            cluster.followers()[0].announce_true(node.id, node.http_text)
        for node in cluster.nodes:
            eventually(lambda n=node: n.put(f"now-{n.id}", "v").status == 204, "routed")


def test_an_already_forwarded_request_is_refused_at_a_follower_without_effect():
    with Cluster(3).start() as cluster:
        def put_forwarded(leader, followers):
            with Unchanged(cluster):
                for name in ("X-MiniKV-Forwarded", "x-minikv-forwarded"):
                    for headers in ({name: "1"}, {name: "1", "X-MiniKV-Route": "redirect"}):
                        reply = followers[0].put("forwarded", "twice", headers)

                        assert_problem(reply, 503, NONE, "already-forwarded")
                        assert_routing_headers(reply, followers[0], leader)
            assert leader.put("forwarded", "once", {"X-MiniKV-Forwarded": "1"}).status == 204

        cluster.under_one_leader(put_forwarded)


def test_a_map_of_bare_ports_cannot_make_a_request_loop():
    """The seed's own sketch: with ":8081" in its peer map a follower took itself for the leader,
    and one PUT became 2,043 handler calls in 10 s."""
    with Cluster(3).start() as cluster:
        for member in cluster.nodes:
            for owner in cluster.nodes:
                for asked in cluster.nodes:
                    if member is owner:
                        asked.announce_true(member.id, f":{owner.http_port}")
                    else:
                        reply = asked.announce(member.id, f":{owner.http_port}")
                        assert_problem(reply, 422, NONE, "address-mismatch")
        http = {i: m["http"] for i, m in cluster.nodes[0].members().items()}
        assert http == {n.id: n.http_text for n in cluster.nodes}, http

        def put_once(node, route):
            """Whether it was quick."""
            before = {n.id: put_handler_calls(n) for n in cluster.nodes}
            begin = time.monotonic()
            reply = node.put("loop", route, {"X-MiniKV-Route": route})
            elapsed = time.monotonic() - begin
            calls = {n.id: put_handler_calls(n) - before[n.id] for n in cluster.nodes}

            assert reply.status in (204, 307), reply
            assert calls == {n.id: 1 if n is node else 0 for n in cluster.nodes}, calls
            return elapsed < scaled(1)

        for route in ("forward", "redirect"):
            for node in cluster.nodes:
                cluster.under_one_leader(lambda *_: eventually(lambda: put_once(node, route),
                                                               "an answer within a second"))


def put_handler_calls(node):
    """How many PUT requests the HTTP front door of the node has been given."""
    samples = node.metrics()
    found = [v for name, v in samples.items()
             if name.startswith("minikv_http_requests_total") and ('"PUT"' in name or
                                                                    '"put"' in name)]
    assert found or any("minikv_http_requests_total" in n for n in samples), sorted(samples)
    return sum(found)


# ---- redirect-rules.txt ----

def test_a_redirect_keeps_path_query_and_percent_encoding():
    with Cluster(3).start() as cluster:
        def put_at(leader, follower, target):
            headers = {} if "?" in target else {"X-MiniKV-Route": "redirect"}
            with Unchanged(cluster):
                reply = follower.request("PUT", target, {"value": "v"}, headers)

            assert reply.status == 307, reply
            assert reply.header("Location") == f"http://{leader.http_text}{target}", reply
            assert reply.header("Cache-Control") == "no-store", reply
            assert_routing_headers(reply, follower, leader)

        for i in range(2):
            for target in ("/v1/kv/plain", "/v1/kv/a/b%20c", "/v1/kv/%E2%82%AC%2Fx%00y",
                           "/v1/kv/%0d%0aSet-Cookie:%20x", "/v1/kv/..%2f..%2fetc",
                           "/v1/kv/k?route=redirect", "/v1/kv/q%3Fmark?route=redirect"):
                cluster.under_one_leader(
                    lambda leader, followers: put_at(leader, followers[i], target))


def test_the_location_never_comes_from_the_host_header():
    with Cluster(3).start() as cluster:
        def put_at(leader, followers):
            for host in ("evil.example", "evil.example:80", followers[0].http_text):
                reply = followers[0].put("k", "v", {"Host": host, "X-MiniKV-Route": "redirect"})

                assert reply.status == 307, reply
                assert reply.header("Location") == f"http://{leader.http_text}/v1/kv/k", reply

        cluster.under_one_leader(put_at)


def test_curl_follows_the_redirect_and_keeps_the_put():
    with Cluster(3, ["--route", "redirect"]).start() as cluster:
        serials = itertools.count()

        def write(leader, follower):
            url = f"http://{follower.http_text}/v1/kv/by%20curl/{follower.id}"

            status, redirects, _ = curl("-L", "-X", "PUT", "-d", '{"value":"kept"}', url)

            assert (status, redirects) == (204, 1)
            for node in cluster.nodes:
                assert node.value(f"by%20curl/{follower.id}") == "kept"
            counter = f"n{next(serials)}"
            status, redirects, body = curl("-L", "-d", '{"by":2}', "-X", "POST",
                                           f"http://{follower.http_text}/v1/incr/{counter}")
            assert (status, redirects) == (200, 1), body
            assert leader.value(counter) == "2"
            status, redirects, _ = curl("-L", "-T", "/etc/hostname", "-H",
                                        "Content-Type: application/octet-stream",
                                        f"http://{follower.http_text}/v1/kv/uploaded")
            assert (status, redirects) == (204, 1)

        for i in range(2):
            cluster.under_one_leader(lambda leader, followers: write(leader, followers[i]))


def test_the_default_route_can_be_overridden_per_request():
    with Cluster(3, ["--route", "redirect"]).start() as cluster:
        def write(_, followers):
            follower = followers[0]
            assert follower.put("k", "v").status == 307
            assert follower.put("k", "v", {"X-MiniKV-Route": "forward"}).status == 204
            assert follower.request("PUT", "/v1/kv/k?route=forward", {"value": "w"}).status == 204
            # reads are answered locally at any node; nothing to redirect
            assert follower.value("k") == "w"

        cluster.under_one_leader(write)


def test_a_redirect_routed_request_is_not_held_while_no_leader_is_known():
    with Cluster(3).start() as cluster:
        leader, other, left = pause_majority(cluster)
        without_leader(left)

        def is_quick():
            begin = time.monotonic()
            reply = left.put("k", "v", {"X-MiniKV-Route": "redirect"})
            elapsed = time.monotonic() - begin

            assert_problem(reply, 503, NONE, "no-leader")
            assert int(reply.header("Retry-After")) >= 1, reply
            assert reply.header("X-Leader") is None, reply
            assert reply.header("X-Leader-HTTP") is None, reply
            return elapsed < scaled(0.1)

        eventually(is_quick, "an answer at once")
        leader.resume()
        other.resume()
        cluster.leader()
        eventually(lambda: left.put("k", "later").status == 204, "it goes on")
        assert left.value("k") == "later"


def test_a_held_request_succeeds_once_there_is_a_leader():
    with Cluster(3, ["--hold-ms", "4500"]).start() as cluster:
        leader, other, left = pause_majority(cluster)
        without_leader(left)

        with Connection(left.http) as connection:
            connection.send(encode("PUT", "/v1/kv/held", {"value": "patient"}, None, left.http))
            eventually(lambda: left.metrics().get("minikv_requests_held", 0) == 1
                       or _is_silent(connection), "the request is held")
            other.resume()
            reply = connection.read_final()

        assert reply.status == 204, reply
        leader.resume()
        cluster.leader()
        for node in cluster.nodes:
            assert node.value("held") == "patient"


def _is_silent(connection):
    """Nothing has come back within a moment."""
    import select
    return not select.select([connection.socket], [], [], 0.1)[0]


def test_a_hold_ends_with_503_and_retry_after():
    with Cluster(3, ["--hold-ms", str(HOLD_MS)]).start() as cluster:
        leader, other, left = pause_majority(cluster)
        without_leader(left)

        def is_held():
            """For as long as was said, or longer and shorter where somebody stood still."""
            begin = time.monotonic()
            reply = left.put("k", "v")
            elapsed = time.monotonic() - begin

            assert_problem(reply, 503, NONE, "no-leader")
            assert int(reply.header("Retry-After")) >= 1, reply
            return HOLD_MS / 1000 * 0.9 <= elapsed <= scaled(HOLD_MS / 1000 + 0.5)

        eventually(is_held, "it is held for its time")
        leader.resume()
        other.resume()
        cluster.leader()
        assert left.value("k") is None


# ---- the leader dies, or falls silent, in the middle of a request ----

def test_a_silent_leader_costs_504_maybe_when_nobody_can_take_over():
    with Cluster(3, ["--election-ms", "2000"]).start() as cluster:
        def is_told_in_time():
            leader, other, left = pause_majority(cluster)

            begin = time.monotonic()
            reply = left.put("k", "v", {"X-MiniKV-Timeout-Ms": "300"})
            elapsed = time.monotonic() - begin

            if left.status()["leader"] != leader.id:
                return False  # it did not hear of it for too long, and may not have sent it
            assert_problem(reply, 504, MAYBE if reply.effect == MAYBE else NONE, "timeout")
            leader.resume()
            other.resume()
            cluster.leader()
            assert left.value("k") in (None, "v")
            return reply.effect == MAYBE and 0.27 <= elapsed <= scaled(0.8)

        until_it_holds(cluster, is_told_in_time)


def test_a_lost_link_without_proof_is_502_maybe():
    with Cluster(3, ["--election-ms", "2000"]).start() as cluster:
        def is_lost():
            leader, other, left = pause_majority(cluster)
            with Connection(left.http) as connection:
                connection.send(encode("PUT", "/v1/kv/k", {"value": "v"},
                                       {"X-MiniKV-Timeout-Ms": "1000"}, left.http))
                eventually(lambda: _is_silent(connection), "the request is under way")
                if left.status()["leader"] != leader.id:
                    return False  # it did not hear of it for too long, and may not have sent it
                leader.kill()

                reply = connection.read_final()

            if reply.status == 504:  # the time was over before the link
                assert_problem(reply, 504, reply.effect, "timeout")
                return False
            assert_problem(reply, 502, MAYBE, "link-lost")
            other.resume()
            leader.start()
            cluster.wait_ready()
            assert left.value("k") in (None, "v")
            return True

        until_it_holds(cluster, is_lost)


def test_proof_of_non_application_lets_the_forwarder_send_again_exactly_once():
    with Cluster(3).start() as cluster:
        leader, other, left = pause_majority(cluster)
        with Connection(left.http) as connection:
            connection.send(encode("POST", "/v1/incr/once", {"by": 1}, None, left.http))
            eventually(lambda: _is_silent(connection), "the request is under way")
            leader.kill()  # with the command unread in its socket
            other.resume()

            reply = connection.read_final()

        assert reply.status == 200, reply
        assert reply.json == {"value": 1}, reply
        leader.start()
        cluster.wait_ready()
        for node in cluster.nodes:
            assert node.value("once") == "1"


def test_a_deposed_leader_that_wakes_up_does_not_double_what_it_was_sent():
    with Cluster(3).start() as cluster:
        leader, followers = cluster.roles()
        leader.pause()
        connections = [Connection(f.http) for f in followers]
        for connection, follower in zip(connections, followers):
            connection.send(encode("POST", "/v1/incr/once", {"by": 1}, None, follower.http))

        replies = [c.read_final() for c in connections]  # through the leader that follows

        assert [r.status for r in replies] == [200, 200], replies
        leader.resume()
        cluster.wait_ready()
        for node in cluster.nodes:
            assert node.value("once") == "2"
        for connection in connections:
            connection.close()


def test_a_leader_without_quorum_answers_504_maybe_and_no_read():
    with Cluster(3).start() as cluster:
        leader = cluster.leader()
        for follower in cluster.followers():
            follower.pause()

        reply = leader.put("k", "v", {"X-MiniKV-Timeout-Ms": "250"})

        assert_problem(reply, (502, 503, 504), reply.effect)
        read = leader.get("k", timeout=8)
        assert_problem(read, (503, 504), read.effect)
        for node in cluster.nodes:
            if node.is_paused:
                node.resume()
        cluster.wait_ready()
        values = {n.value("k") for n in cluster.nodes}
        # It says that nothing has happened where it had found out that it leads no more.
        assert values in (({None},) if reply.effect == NONE else ({None}, {"v"})), (values, reply)


def test_addresses_are_printed_with_host_and_port():
    with Cluster(3).start() as cluster:
        members = cluster.nodes[1].members()

        assert {i: m["http"] for i, m in members.items()} == \
            {n.id: f"{HOST}:{n.http_port}" for n in cluster.nodes}
        assert {i: m["peer"] for i, m in members.items()} == \
            {n.id: f"{HOST}:{n.peer_port}" for n in cluster.nodes}
        assert all(m["voter"] is True for m in members.values())
