"""Client addresses: announced through the log, verified by dialling, never believed blindly."""
import socket
import threading

from checks import Unchanged, assert_problem
from cluster import HOST, Cluster, PortClaim, eventually
from http_client import NONE

MALFORMED = ["localhost", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:80x",
             "host name:80", "127.0.0.1:8081/path", "http://u@127.0.0.1:8081", "https://h:1",
             "http://", "a" * 64 + ":80", ":", "[::1:80", "h\r\nX: y:80", "ftp://h:80", "h:80?x=1"]


def http_of(node):
    return {i: m["http"] for i, m in node.members().items()}


def test_each_node_announces_itself():
    with Cluster(3).start() as cluster:
        wanted = {n.id: n.http_text for n in cluster.nodes}
        for node in cluster.nodes:
            assert http_of(node) == wanted


def test_malformed_addresses_and_unknown_ids_are_refused_at_every_node():
    with Cluster(3).start() as cluster:
        with Unchanged(cluster):
            for node in cluster.nodes:
                for address in MALFORMED:
                    assert_problem(node.announce(2, address), 400, NONE)
                for node_id in (4, 99, 2**31 - 1):
                    assert_problem(node.announce(node_id, node.http_text), 404, NONE)
                for body in ({"id": 0, "http": node.http_text}, {"id": -1, "http": node.http_text},
                             {"id": 2**31, "http": node.http_text}, {"id": "2", "http": "h:1"},
                             {"id": 1.5, "http": "h:1"}, {"id": 2}, {"http": "h:1"}, {},
                             {"id": 2, "http": 8081}, {"id": 2, "http": None},
                             {"id": 2, "http": node.http_text, "extra": 1}, [2, "h:1"]):
                    reply = node.request("POST", "/v1/raft/peer_announce", body)
                    assert_problem(reply, (400, 404) if body and "http" in body and
                                   isinstance(body, dict) and body.get("id") in (0, -1, 2**31)
                                   else 400, NONE)


def test_an_address_that_does_not_answer_as_that_node_is_422():
    with Cluster(3).start() as cluster, Cluster(1).start() as stranger:
        nobody = PortClaim()
        with Unchanged(cluster):
            for asked in cluster.nodes:
                for member, owner in ((1, 2), (2, 3), (3, 1)):
                    reply = asked.announce(member, cluster.node(owner).http_text)
                    assert_problem(reply, 422, NONE, "address-mismatch")
                assert_problem(asked.announce(1, stranger.nodes[0].http_text), 422, NONE)
                assert_problem(asked.announce(1, f"{HOST}:{nobody.port}"), 422, NONE)
                assert_problem(asked.announce(1, cluster.nodes[0].peer_text), 422, NONE)


class Impostor:
    """Accepts one connection, answers with `answer` (or not at all), and keeps it open."""

    def __init__(self, answer):
        self.answer = answer
        self.claim = PortClaim()
        self.text = f"{HOST}:{self.claim.port}"
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((HOST, self.claim.port))
        self.listener.listen(4)
        self.connections = []
        self.received = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            try:
                self.received.append(connection.recv(4096))
                connection.sendall(self.answer)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        for connection in self.connections:
            connection.close()


def reply_bytes(body, status="200 OK", extra=""):
    return (f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{extra}"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


def test_the_verifying_dial_is_bounded_and_believes_only_the_right_answer():
    with Cluster(3).start() as cluster:
        own = cluster.nodes[0].request("GET", "/v1/raft/identity").json
        right = f'{{"node_id":1,"cluster_id":"{own["cluster_id"]}"}}'
        wrong_cluster = '{"node_id":1,"cluster_id":"0000000000000001"}'
        refused = [b"", b"garbage\r\n\r\n", reply_bytes("{}"), reply_bytes(wrong_cluster),
                   reply_bytes(right.replace(":1,", ":2,")), reply_bytes(right, "500 Oops"),
                   reply_bytes("", "302 Found",
                               f"Location: http://{cluster.nodes[0].http_text}/v1/raft/identity\r\n"),
                   b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000,
                   b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b" " * 100_000]
        with Unchanged(cluster):
            for answer in refused:
                impostor = Impostor(answer)
                reply = cluster.nodes[1].announce(1, impostor.text)
                assert_problem(reply, 422, NONE, "address-mismatch")
                assert len(impostor.connections) <= 1, "one connection"
                impostor.close()
        # what decides is the answer alone: a front end that passes on to the node is all right
        relay = Impostor(reply_bytes(right))
        cluster.nodes[1].announce_true(1, relay.text)
        assert relay.received[0].startswith(b"GET /v1/raft/identity HTTP/1.1\r\n"), relay.received
        relay.close()


def test_an_empty_address_removes_it_and_announcing_again_brings_it_back():
    with Cluster(3, ["--hold-ms", "300", "--announce", "off"]).start(False) as cluster:
        def remove_and_announce(leader, followers):
            for node in cluster.nodes:
                cluster.nodes[0].announce_true(node.id, node.http_text)
            follower = followers[0]
            eventually(lambda: follower.put("k", "1").status == 204, "all are announced")

            assert follower.announce(leader.id, "").status == 204

            eventually(lambda: follower.put("k", "2").status == 503, "the hold is over")
            reply = follower.put("k", "2")
            assert_problem(reply, 503, NONE, "leader-not-announced")
            assert reply.header("X-Leader") == leader.peer_text
            assert reply.header("X-Leader-HTTP") is None
            assert all(not http_of(n)[leader.id] for n in cluster.nodes)
            follower.announce_true(leader.id, leader.http_text)
            reply = follower.put("k", "3")  # no heartbeat in between: its own apply told it
            assert reply.status == 204, reply
            assert leader.value("k") == "3"

        cluster.under_one_leader(remove_and_announce)


def test_addresses_are_normalised_once():
    with Cluster(3).start() as cluster:
        node = cluster.nodes[1]
        for text in (f"http://{node.http_text}", f"http://{node.http_text}/", node.http_text,
                     f":{node.http_port}", f"0.0.0.0:{node.http_port}"):
            cluster.nodes[2].announce_true(2, text)
            for reader in cluster.nodes:
                cluster.wait_caught_up()
                assert http_of(reader)[2] == node.http_text, text


def test_a_restart_on_another_port_is_announced_again():
    with Cluster(3).start() as cluster:
        for node in (cluster.followers()[0], cluster.leader()):
            node.kill()
            cluster.leader()
            claim = PortClaim()
            node.http_claim, node.http_port = claim, claim.port
            node.start()

            cluster.wait_ready()  # waits for the new address everywhere

            assert all(http_of(n)[node.id] == node.http_text for n in cluster.nodes)
            reply = cluster.under_one_leader(
                lambda *_: node.put("k", "v", {"X-MiniKV-Route": "redirect"}))
            assert reply.status in (204, 307), reply


def test_an_own_address_without_a_host_becomes_one_that_others_can_dial():
    with Cluster(3) as cluster:
        cluster.nodes[0].flags = ["--advertise-http", f":{cluster.nodes[0].http_port}"]
        cluster.nodes[1].flags = ["--advertise-http", f"0.0.0.0:{cluster.nodes[1].http_port}"]

        cluster.start()  # waits until 127.0.0.1:port is known for each, everywhere

        for node in cluster.nodes:
            assert node.put("k", "v").status == 204


def test_announced_addresses_survive_restarts():
    with Cluster(3).start() as cluster:
        for node in cluster.nodes:
            node.flags = ["--announce", "off"]
            node.kill()
        cluster.start(announced=True)  # from the log, not from new announcements
