"""A write with an identity takes effect once, wherever, however often and through whatever it is sent."""
import itertools
import random
import threading
from urllib.parse import quote

from checks import assert_problem
from cluster import Cluster, eventually, scaled
from http_client import NONE, Client, Connection, encode, exchange, identity
from testing import count_from_environment, limit, report
from workload import RETRY_PAUSE_SECONDS, Workload

KILLS = count_from_environment("MINIKV_TEST_RETRY_KILLS", 6)
SEED = count_from_environment("MINIKV_TEST_SEED", random.SystemRandom().randrange(2**32))
WINDOW = 1024  # LIMIT_SESSION_WINDOW
ABANDONED_SHARE = 0.3  # of all deliveries: the reply is never read


def outcome(node, client=None, sequence=None, key=None):
    query = f"key={quote(key, safe='')}" if key else f"client={client}&sequence={sequence}"
    reply = node.request("GET", f"/v1/outcome?{query}")
    assert reply.status == 200, reply
    return reply.json


def seal(node, **write):
    return node.request("POST", "/v1/outcome/seal", write)


def open_session(node):
    reply = node.request("POST", "/v1/sessions", {})
    assert reply.status == 200, reply
    return reply.json["client"]


def digests(cluster):
    """At rest: what each node has come to."""
    cluster.wait_caught_up()
    return {n.status()["digest"] for n in cluster.up()}


def test_an_increment_sent_to_all_nodes_at_once_counts_once():
    rounds = 60
    with Cluster(3).start() as cluster:
        connections = [Connection(n.http, scaled(10)) for n in cluster.nodes]
        for i in range(1, rounds + 1):
            data = [encode("POST", "/v1/incr/n", {"by": 1}, identity("crowd", i, i - 1), n.http)
                    for n in cluster.nodes]
            for connection, one in zip(connections, data):
                connection.send(one * 2)  # twice to each: also a duplicate right behind the first
            replies = [c.read_final() for c in connections for _ in range(2)]

            assert [r.status for r in replies] == [200] * 6, replies
            assert replies[0].json == {"value": i}, replies
            assert len({str(r.told) for r in replies}) == 1, replies
            assert sum(not r.is_replayed for r in replies) == 1, replies
        for connection in connections:
            connection.close()
        for node in cluster.nodes:
            assert node.value("n") == str(rounds)
        assert len(digests(cluster)) == 1


def test_every_kind_of_answer_is_repeated_byte_for_byte_at_every_node():
    with Cluster(3).start() as cluster:
        first = cluster.nodes[0]
        assert first.put("word", "w").status == 204
        assert first.put("most", str(2**63 - 1)).status == 204
        writes = [("PUT", "/v1/kv/a", {"value": "1"}, {}, 204),
                  ("PUT", "/v1/kv/a", {"value": "2"}, {"If-None-Match": "*"}, 412),
                  ("PUT", "/v1/kv/b", {"value": "2"}, {"If-Match": "*"}, 412),
                  ("POST", "/v1/incr/c", {"by": 7}, {}, 200),
                  ("POST", "/v1/incr/word", {"by": 1}, {}, 409),
                  ("POST", "/v1/incr/most", {"by": 1}, {}, 409),
                  ("DELETE", "/v1/kv/a", None, {}, 204),
                  ("DELETE", "/v1/kv/a", None, {}, 204)]
        originals = []
        for i, (method, target, body, headers, status) in enumerate(writes, 1):
            node = cluster.nodes[i % 3]
            original = node.request(method, target, body, {**headers, **identity("kinds", i)})
            assert original.status == status and not original.is_replayed, original
            originals.append(original)
        for key in ("a", "b", "word", "most", "c"):  # the state has moved on
            assert first.put(key, "5").status == 204
        revision = first.revision()
        cluster.wait_caught_up()
        for node in cluster.nodes:
            for i, (method, target, body, headers, _) in enumerate(writes, 1):
                replay = node.request(method, target, body, {**headers, **identity("kinds", i)})
                assert replay.is_replayed, replay
                assert replay.told == originals[i - 1].told, (replay, originals[i - 1])
        assert first.revision() == revision


def test_a_follower_that_has_applied_it_answers_a_duplicate_alone():
    with Cluster(3, ["--hold-ms", "200"]).start() as cluster:
        leader, (follower, other) = cluster.roles()
        original = leader.incr("n", 3, identity("me", 1))
        assert original.status == 200, original
        assert seal(leader, client="me", sequence=2).json == {"outcome": "never"}
        cluster.wait_caught_up()
        leader.pause()
        other.pause()

        for _ in range(3):
            replay = follower.incr("n", 3, identity("me", 1))
            assert replay.is_replayed and replay.told == original.told, (replay, original)
            assert replay.header("X-MiniKV-Hops") == "0", replay
        assert_problem(follower.incr("n", 4, identity("me", 1)), 422, NONE, "identity-reused")
        assert_problem(follower.incr("n", 4, identity("me", 2)), 409, NONE, "sealed")
        soon = {"X-MiniKV-Timeout-Ms": "500"}
        reply = follower.incr("n", 1, {**identity("me", 3), **soon})  # new: a leader must order it
        assert reply.status in (502, 503, 504), reply
        reply = follower.request("GET", "/v1/outcome?client=me&sequence=1", None, soon)
        assert reply.status in (502, 503, 504), reply  # linearizable: it cannot know

        leader.resume()
        other.resume()
        reply = eventually(lambda: (r := follower.incr("n", 1, identity("me", 3))).status == 200
                           and r, "the same write is taken when there is a leader again")
        assert reply.json == {"value": 4}, reply


def test_another_write_under_the_same_identity_is_422_everywhere():
    with Cluster(3).start() as cluster:
        headers = identity("c", 1)
        assert cluster.nodes[0].put("k", "v", headers).status == 204
        for node in cluster.nodes:
            for reply in (node.put("k", "w", headers), node.put("l", "v", headers),
                          node.put("k", "v", {**headers, "If-Match": "*"}),
                          node.incr("k", 1, headers),
                          node.request("DELETE", "/v1/kv/k", None, headers)):
                assert_problem(reply, 422, NONE, "identity-reused")
            reply = node.request("PUT", "/v1/kv/%6b", b"v", {  # the same one in other words
                **headers, "Content-Type": "application/octet-stream"})
            assert reply.status == 204 and reply.is_replayed, reply
            assert node.value("k") == "v" and node.value("l") is None


def test_sequences_come_in_any_order_and_the_window_leaves_them_behind():
    with Cluster(3).start() as cluster:
        order = list(range(1, 61))
        random.Random(SEED).shuffle(order)
        values = {}
        for i in order:
            reply = cluster.nodes[i % 3].incr("n", 1, identity("c", i))
            assert reply.status == 200, (SEED, i, reply)
            values[i] = reply.json["value"]
        assert [values[i] for i in order] == list(range(1, 61)), SEED
        for i in order:
            assert cluster.nodes[(i + 1) % 3].incr("n", 1, identity("c", i)).json["value"] == values[i]

        node = cluster.nodes[1]
        high = 60 + WINDOW  # all up to 60 fall out
        assert node.incr("n", 1, identity("c", high)).json == {"value": 61}
        cluster.wait_caught_up()
        for node in cluster.nodes:
            assert_problem(node.incr("n", 1, identity("c", 60)), 409, NONE, "sequence-too-old")
            assert outcome(node, "c", 60) == {"outcome": "expired"}
        assert node.incr("n", 1, identity("c", 61)).json == {"value": 62}  # a gap may be filled
        assert node.incr("n", 1, identity("c", high + 1, acked=high)).json == {"value": 63}
        assert_problem(node.incr("n", 1, identity("c", high)), 409, NONE, "sequence-too-old")
        assert cluster.nodes[0].value("n") == "63"


def test_idempotency_keys_are_strings_in_quotes_or_bare():
    with Cluster(3).start() as cluster:
        first = cluster.nodes[0].incr("n", 1, {"Idempotency-Key": '"order-1"'})
        assert first.status == 200 and not first.is_replayed, first
        for node in cluster.nodes:
            for form in ('"order-1"', "order-1"):
                reply = node.incr("n", 1, {"Idempotency-Key": form})
                assert reply.is_replayed and reply.told == first.told, reply
            assert_problem(node.incr("n", 2, {"Idempotency-Key": "order-1"}), 422, NONE,
                           "identity-reused")
            assert outcome(node, key="order-1") == outcome(node, key='"order-1"') == {
                "outcome": "applied",
                "answer": {"status": 200, "etag": first.header("ETag"), "body": {"value": 1}}}
        odd = '"say \\"x\\", \\\\ or not"'
        assert cluster.nodes[1].incr("n", 1, {"Idempotency-Key": odd}).json == {"value": 2}
        reply = cluster.nodes[2].incr("n", 1, {"Idempotency-Key": odd})
        assert reply.is_replayed and reply.json == {"value": 2}, reply
        # an id and a key of the same letters are two clients
        assert cluster.nodes[0].incr("n", 1, identity("order-1", 1)).json == {"value": 3}


def test_malformed_identities_are_refused_on_a_connection_that_lives_on():
    good = identity("c", 1)
    bad = [{"X-MiniKV-Client-Id": "c"}, {"X-MiniKV-Sequence": "1"}, {"X-MiniKV-Acked": "0"},
           identity("a b", 1), identity("", 1), identity("a" * 65, 1), identity("c\xe4", 1),
           identity("c", 0), identity("c", 2**63), identity("c", "1.0"), identity("c", 1, 1),
           identity("c", 1, -1), {"Idempotency-Key": ""}, {"Idempotency-Key": '""'},
           {"Idempotency-Key": '"a'}, {"Idempotency-Key": "a b"}, {"Idempotency-Key": "k" * 256},
           {"Idempotency-Key": '"a";v=1'}, {"Idempotency-Key": '"k"', **good}]
    with Cluster(3).start() as cluster:
        for node in cluster.nodes:
            with Connection(node.http, scaled(10)) as connection:
                for headers in bad:
                    reply = connection.request("POST", "/v1/incr/n", {"by": 1}, headers)
                    assert_problem(reply, 400, NONE, "bad-identity")
                    # to a read it means nothing
                    assert connection.request("GET", "/v1/kv/n", None, headers).status == 404
                for method, target, body in (
                        ("POST", "/v1/sessions", {}), ("POST", "/v1/raft/transfer", {"to": 2}),
                        ("POST", "/v1/outcome/seal", {"key": "k"})):
                    reply = connection.request(method, target, body, good)
                    assert_problem(reply, 400, NONE, "bad-identity")


def test_sessions_are_opened_used_and_closed_at_any_node():
    with Cluster(3).start() as cluster:
        clients = [open_session(node) for node in cluster.nodes for _ in range(2)]
        assert len(set(clients)) == 6 and all(c.startswith("session-") for c in clients), clients
        for i, client in enumerate(clients):
            node = cluster.nodes[(i + 1) % 3]
            assert node.incr("n", 1, identity(client, 1)).json == {"value": i + 1}
        for i, client in enumerate(clients[:3]):
            for _ in range(2):
                reply = cluster.nodes[i].request("DELETE", f"/v1/sessions/{client}")
                assert reply.status == 204, reply
        cluster.wait_caught_up()
        for node in cluster.nodes:
            for client in clients[:3]:
                for sequence in (1, 2):
                    assert_problem(node.incr("n", 1, identity(client, sequence)), 410, NONE,
                                   "session-expired")
                assert outcome(node, client, 1) == {"outcome": "expired"}
                assert_problem(seal(node, client=client, sequence=1), 410, NONE, "session-expired")
            assert node.incr("n", 1, identity(clients[3], 1)).is_replayed
            assert_problem(node.incr("n", 1, identity("session-1-00000000000000aa", 1)), 410, NONE)
            assert_problem(node.request("DELETE", "/v1/sessions/me"), 400, NONE, "bad-identity")
            assert node.metrics()["minikv_sessions"] == 3
        assert cluster.nodes[0].value("n") == "6"


def test_the_outcome_is_the_same_question_everywhere():
    with Cluster(3).start() as cluster:
        writer = cluster.nodes[2]
        put = writer.put("k", "v", identity("c", 1))
        refused = writer.put("k", "w", {"If-None-Match": "*", **identity("c", 2)})
        assert (put.status, refused.status) == (204, 412), (put, refused)
        assert writer.request("DELETE", "/v1/kv/k", None, identity("c", 3)).status == 204
        for node in cluster.nodes:  # at once: each is asked before it need have heard of it
            assert outcome(node, "c", 3) == {"outcome": "applied", "answer": {"status": 204}}
            assert outcome(node, "c", 1) == {
                "outcome": "applied", "answer": {"status": 204, "etag": put.header("ETag")}}
            assert outcome(node, "c", 2) == {
                "outcome": "applied", "answer": {"status": 412, "etag": put.header("ETag"),
                                                 "type": "urn:minikv:condition-failed"}}
            assert outcome(node, "c", 4) == {"outcome": "unseen"}
            assert outcome(node, "stranger", 1) == {"outcome": "unseen"}
            for query in ("", "?client=c", "?sequence=1", "?client=c&sequence=1&x=1"):
                assert_problem(node.request("GET", f"/v1/outcome{query}"), 400, NONE)


def test_what_is_sealed_never_happens_and_what_has_happened_stays():
    with Cluster(3).start() as cluster:
        for i, node in enumerate(cluster.nodes):
            other = cluster.nodes[(i + 1) % 3]
            client = f"c{i}"
            done = other.incr("n", 1, identity(client, 1))
            assert done.status == 200, done
            applied = {"outcome": "applied", "answer": {"status": 200, "etag": done.header("ETag"),
                                                        "body": done.json}}
            for _ in range(2):
                assert seal(node, client=client, sequence=1).json == applied
                assert seal(node, client=client, sequence=2).json == {"outcome": "never"}
                assert seal(node, key=f"k{i}").json == {"outcome": "never"}
            for late in cluster.nodes:
                assert_problem(late.incr("n", 1, identity(client, 2)), 409, NONE, "sealed")
                assert_problem(late.incr("n", 1, {"Idempotency-Key": f"k{i}"}), 409, NONE, "sealed")
                assert outcome(late, client, 2) == outcome(late, key=f"k{i}") == {"outcome": "never"}
                assert late.incr("n", 1, identity(client, 1)).is_replayed
        assert cluster.nodes[0].value("n") == "3"


def test_a_seal_and_its_write_at_the_same_moment_agree():
    """Whichever comes first in the log decides, and both are told the same."""
    with Cluster(3).start() as cluster:
        connections = {n.id: Connection(n.http, scaled(10)) for n in cluster.nodes}
        applied = 0
        for i in range(1, 61):
            writer, sealer = cluster.nodes[i % 3], cluster.nodes[(i + 1 + i // 3 % 2) % 3]
            requests = [(writer, encode("POST", "/v1/incr/n", {"by": 1}, identity("c", i))),
                        (sealer, encode("POST", "/v1/outcome/seal",
                                        {"client": "c", "sequence": i}))]
            for node, data in requests if i % 2 else reversed(requests):
                connections[node.id].send(data)
            written = connections[writer.id].read_final()
            sealed = connections[sealer.id].read_final()

            assert sealed.status == 200 and written.status in (200, 409), (written, sealed)
            if written.status == 200:
                applied += 1
                assert sealed.json["answer"]["body"] == written.json, (written, sealed)
            else:
                assert_problem(written, 409, NONE, "sealed")
                assert sealed.json == {"outcome": "never"}, (written, sealed)
        for connection in connections.values():
            connection.close()
        assert int(cluster.nodes[0].value("n") or 0) == applied
        report(f"{applied} of 60 were written before their seal")


def test_the_table_survives_kill_9_of_all_nodes():
    with Cluster(3).start() as cluster:
        session = open_session(cluster.nodes[0])
        closed = open_session(cluster.nodes[1])
        originals = [cluster.nodes[i % 3].incr("n", 1, identity(session, i)) for i in range(1, 21)]
        by_key = cluster.nodes[1].put("k", "v", {"Idempotency-Key": '"k 1"'})
        refused = cluster.nodes[2].put("k", "w", {"If-None-Match": "*", **identity("own", 7)})
        assert seal(cluster.nodes[2], client=session, sequence=30).json == {"outcome": "never"}
        assert cluster.nodes[2].request("DELETE", f"/v1/sessions/{closed}").status == 204
        before = digests(cluster)
        for _ in range(2):
            cluster.kill_all()
            cluster.start(announced=False)

            for node in cluster.nodes:
                for i, original in enumerate(originals, 1):
                    replay = node.incr("n", 1, identity(session, i))
                    assert replay.is_replayed and replay.told == original.told, (replay, original)
                replay = node.put("k", "v", {"Idempotency-Key": '"k 1"'})
                assert replay.is_replayed and replay.told == by_key.told, (replay, by_key)
                replay = node.put("k", "w", {"If-None-Match": "*", **identity("own", 7)})
                assert replay.is_replayed and replay.told == refused.told, (replay, refused)
                assert_problem(node.incr("n", 1, identity(session, 30)), 409, NONE, "sealed")
                assert_problem(node.incr("n", 1, identity(closed, 1)), 410, NONE, "session-expired")
        assert cluster.nodes[0].value("n") == "20"
        assert before and len(digests(cluster)) == 1


@limit(90)
def test_clients_that_are_gone_are_forgotten_by_log_time():
    """The leader sees to it: nobody writes, and still they go, on all nodes."""
    with Cluster(3, ["--session-ttl", "1s"]).start() as cluster:
        def used_in_time():
            session = open_session(cluster.nodes[0])
            reply = cluster.nodes[0].incr("n", 1, identity(session, 1))
            assert reply.status in (200, 410), reply
            return session if reply.status == 200 else None

        session = eventually(used_in_time, "a session is used before its time is over")
        assert cluster.nodes[1].incr("n", 1, identity("own", 1)).status == 200
        assert cluster.nodes[2].incr("n", 1, {"Idempotency-Key": "key"}).status == 200

        for node in cluster.nodes:
            eventually(lambda: node.metrics()["minikv_sessions"] == 0, "all are forgotten", 20)

        for node in cluster.nodes:
            assert outcome(node, session, 1) == {"outcome": "expired"}
            for sequence in (1, 2):
                assert_problem(node.incr("n", 1, identity(session, sequence)), 410, NONE,
                               "session-expired")
        # an id of the client's own choosing is new again: that is the promise, no more
        assert cluster.nodes[0].incr("n", 1, identity("own", 1)).json == {"value": 4}
        assert sum(n.metrics()["minikv_sessions_expired_total"] for n in cluster.nodes) >= 3
        assert len(digests(cluster)) == 1


def test_a_redirect_keeps_the_identity():
    with Cluster(3).start() as cluster:
        serials = itertools.count(1)

        def go_round(leader, followers):
            for i, follower in zip(serials, followers):
                headers = {"X-MiniKV-Route": "redirect", **identity("c", i)}
                redirected = follower.incr(f"n{i}", 1, headers)
                assert redirected.status == 307 and redirected.effect == NONE, redirected
                location = redirected.header("Location")
                assert location == f"http://{leader.http_text}/v1/incr/n{i}", redirected

                reply = exchange(leader.http, "POST", location.partition(leader.http_text)[2],
                                 {"by": 1}, headers, scaled(10))

                assert reply.status == 200 and reply.json == {"value": 1}, reply
                cluster.wait_caught_up()
                replay = follower.incr(f"n{i}", 1, headers)  # it knows: no need to go anywhere
                assert replay.is_replayed and replay.told == reply.told, (replay, reply)

        cluster.under_one_leader(go_round)


class Retriers(Workload):
    """Each client increments one key, sending each increment until it is answered, sometimes without
    waiting for the answer; all answers to one must be the same."""

    def __init__(self, nodes, key, clients_count=4):
        super().__init__(clients_count, nodes)
        self.key = key
        self.answered = [0] * clients_count
        self.deliveries = [0] * clients_count
        self.replays = [0] * clients_count

    def run_client(self, number):
        chance = random.Random(SEED * 31 + number)
        session = None
        while session is None:
            attempt = self.deliver(chance, "/v1/sessions", {}, {})
            session = attempt.reply.json["client"] if attempt.ok else None
        sequence = 0
        while not self.stopping.is_set():
            sequence += 1
            headers = identity(session, sequence, acked=sequence - 1)
            told = set()
            while len(told) == 0 or chance.random() < 0.2:  # some are sent again although answered
                reply = self.write(chance, number, headers)
                told.add(str(reply.told))
                self.replays[number] += reply.is_replayed
            assert len(told) == 1, (SEED, session, sequence, told)
            self.answered[number] += 1

    def write(self, chance, number, headers):
        """Until there is an answer, at whichever node."""
        end = threading.Event()
        while True:
            self.deliveries[number] += 1
            if chance.random() < ABANDONED_SHARE:
                self.abandon(chance, headers)
                continue
            attempt = self.deliver(chance, f"/v1/incr/{self.key}", {"by": 1}, headers)
            if attempt.ok:
                return attempt.reply
            assert attempt.reply is None or attempt.reply.status in (502, 503, 504), attempt.reply
            end.wait(RETRY_PAUSE_SECONDS)

    def deliver(self, chance, target, body, headers):
        client = Client(chance.choice(self.nodes).http, scaled(10))
        try:
            return client.attempt("POST", target, body, headers)
        finally:
            client.close()

    def abandon(self, chance, headers):
        node = chance.choice(self.nodes)
        try:
            with Connection(node.http, scaled(10)) as connection:
                connection.send(encode("POST", f"/v1/incr/{self.key}", {"by": 1}, headers))
        except Exception as error:
            if not isinstance(error, OSError) and type(error).__name__ != "Closed":
                raise


@limit(120)
def test_retried_increments_count_once_while_leaders_die():
    with Cluster(3).start() as cluster:
        with Retriers(cluster.nodes, "n") as retriers:
            for _ in range(KILLS):
                goal = sum(retriers.answered) + 60
                eventually(lambda: sum(retriers.answered) >= goal or retriers.errors, "progress", 30)
                leader = cluster.leader(20)
                leader.kill()
                cluster.leader(20)
                leader.start()
                cluster.leader(20)
        cluster.wait_ready()

        answered, deliveries = sum(retriers.answered), sum(retriers.deliveries)
        assert sum(retriers.replays) > 0, "nothing was ever repeated"
        for node in cluster.nodes:
            assert node.value("n") == str(answered), (SEED, node.id, node.value("n"), answered)
        cluster.assert_same_state()
        report(f"{answered} increments, {deliveries} deliveries, {KILLS} kills: exact")
