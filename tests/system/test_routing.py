"""Forwarding: invisible to clients, told in headers, and never done twice."""
import itertools
import threading

from checks import assert_routing_headers
from cluster import HOST, Cluster, eventually
from http_client import APPLIED, MAYBE, NONE, Connection, encode
from link_proxy import LinkProxy
from testing import count_from_environment, limit, report
from workload import RETRY_PAUSE_SECONDS, Counters, Workload

COUNTER_KILLS = count_from_environment("MINIKV_TEST_COUNTER_KILLS", 12)
LINK_CUTS = count_from_environment("MINIKV_TEST_LINK_CUTS", 40)
CROWD = 64


def test_a_follower_forwards_once_and_says_so():
    with Cluster(3).start() as cluster:
        def write(leader, _):
            for node in cluster.nodes:
                replies = [node.put("k", "1"), node.incr("k"), node.request("DELETE", "/v1/kv/k")]

                assert [r.status for r in replies] == [204, 200, 204], replies
                for reply in replies:
                    assert_routing_headers(reply, node, leader)
                    assert reply.header("X-MiniKV-Hops") == ("0" if node is leader else "1"), reply

        cluster.under_one_leader(write)


def test_one_forwarded_write_is_one_entry():
    with Cluster(3).start() as cluster:
        keys = (f"n{i}" for i in itertools.count())

        def count(leader, followers):
            key = next(keys)
            for node in followers:
                cluster.wait_caught_up()
                before = leader.status()["last_index"]

                assert node.incr(key).status == 200

                assert leader.status()["last_index"] == before + 1
            assert leader.value(key) == "2"

        cluster.under_one_leader(count)


def test_a_client_reads_its_own_write_at_the_follower_that_took_it():
    with Cluster(3).start() as cluster:
        follower = cluster.followers()[0]
        with Connection(follower.http) as connection:
            for i in range(300):
                assert connection.request("PUT", "/v1/kv/own", {"value": str(i)}).status == 204
                reply = connection.request("GET", "/v1/kv/own?consistency=stale")

                assert reply.status == 200 and reply.json["value"] == str(i), (i, reply)
                assert int(reply.header("X-MiniKV-Applied")) > 0, reply
                assert reply.header("X-MiniKV-Staleness-Ms").isdigit(), reply


def test_a_linearizable_read_at_any_node_sees_the_last_write_at_any_other():
    with Cluster(3).start() as cluster:
        connections = {n.id: Connection(n.http) for n in cluster.nodes}
        for i in range(100):
            for writer in cluster.nodes:
                value = f"{i}-{writer.id}"
                reply = connections[writer.id].request("PUT", "/v1/kv/k", {"value": value})
                assert reply.status == 204, reply
                for reader in cluster.nodes:
                    assert connections[reader.id].request("GET", "/v1/kv/k").json["value"] == value
        for connection in connections.values():
            connection.close()


@limit(90)
def test_increments_through_followers_are_never_doubled_when_leaders_die():
    with Cluster(3).start() as cluster:
        with Counters(cluster.nodes, "n", clients_count=6) as counters:
            for _ in range(COUNTER_KILLS):
                goal = counters.total(APPLIED) + 60
                eventually(lambda: counters.total(APPLIED) >= goal or counters.errors, "progress")
                leader = cluster.leader()
                leader.kill()
                cluster.leader()
                leader.start()
                cluster.leader()
        cluster.wait_ready()

        for node in cluster.nodes:
            counters.assert_truth(node)
        cluster.assert_same_state()
        report(f"{counters.total(APPLIED)} acknowledged, {counters.total(MAYBE)} maybe, "
               f"{counters.total(NONE)} none")


@limit(90)
def test_increments_are_never_doubled_when_only_links_break():
    """The leader lives on: within one term only numbering can tell what arrived (docs/routing.md)."""
    cluster = Cluster(3)
    proxies = {n.id: LinkProxy((HOST, n.peer_port)) for n in cluster.nodes}
    for node in cluster.nodes:
        node.advertised_peer_port = proxies[node.id].port
    with cluster.start():
        with Counters(cluster.nodes, "n", clients_count=6) as counters:
            for cut in range(LINK_CUTS):
                goal = counters.total(APPLIED) + 20
                eventually(lambda: counters.total(APPLIED) >= goal or counters.errors, "progress")
                for proxy in proxies.values():
                    if cut % 3 == 0 or proxy is proxies[cut % 3 + 1]:
                        proxy.cut()
        cluster.wait_ready()

        for node in cluster.nodes:
            counters.assert_truth(node)
        cluster.assert_same_state()
        report(f"{LINK_CUTS} cuts: {counters.total(APPLIED)} acknowledged, "
               f"{counters.total(MAYBE)} maybe, {counters.total(NONE)} none")
    for proxy in proxies.values():
        proxy.close()


class Crowd(Workload):
    """Each connection reads and writes a key of its own; every body must belong to its key."""

    def __init__(self, nodes, clients_count):
        super().__init__(clients_count, nodes)
        self.checked = [0] * clients_count

    def run_client(self, number):
        rotation = self.rotation(number)
        node = next(rotation)
        serial, known = 0, {None}
        connection = None
        while not self.stopping.is_set():
            serial += 1
            value = f"{number}:{serial}"
            try:
                connection = connection or Connection(node.http)
                put = connection.request("PUT", f"/v1/kv/crowd-{number}", {"value": value})
                if put.status == 204:
                    known = {value}
                elif put.effect == MAYBE:
                    known.add(value)
                get = connection.request("GET", f"/v1/kv/crowd-{number}")
            except OSError:
                known.add(value)
                connection = self._drop(connection)
                node = next(rotation)
                continue
            except Exception as error:
                if type(error).__name__ != "Closed":
                    raise
                known.add(value)
                connection = self._drop(connection)
                node = next(rotation)
                continue
            if get.status in (200, 404):
                found = get.json["value"] if get.status == 200 else None
                assert found in known, f"client {number} found {found!r}, knows {known}"
                assert get.status == 404 or get.json["key"] == f"crowd-{number}", get
                self.checked[number] += 1
            else:
                assert get.status in (502, 503, 504), get
                self.stopping.wait(RETRY_PAUSE_SECONDS)
        self._drop(connection)

    @staticmethod
    def _drop(connection):
        if connection:
            connection.close()


@limit(90)
def test_replies_never_cross_between_64_connections_while_leaders_die():
    with Cluster(3).start() as cluster:
        with Crowd(cluster.nodes, CROWD) as crowd:
            for _ in range(5):
                goal = sum(crowd.checked) + 500
                eventually(lambda: sum(crowd.checked) >= goal or crowd.errors, "progress", 20)
                leader = cluster.leader()
                leader.kill()
                cluster.leader()
                leader.start()
                cluster.leader()
        cluster.wait_ready()
        report(f"{sum(crowd.checked)} bodies checked")
        cluster.assert_same_state()


def test_pipelined_requests_are_answered_in_order_through_a_follower():
    with Cluster(3).start() as cluster:
        for node in cluster.nodes:
            requests, wanted = [], []
            for i in range(25):
                key = f"p{node.id}-{i}"
                requests += [encode("PUT", f"/v1/kv/{key}", {"value": str(i)}),
                             encode("GET", f"/v1/kv/{key}"),
                             encode("GET", "/livez"),
                             encode("GET", f"/v1/kv/{key}-absent?consistency=stale")]
                wanted += [(204, None), (200, (key, str(i))), (200, None), (404, None)]
            with Connection(node.http) as connection:
                connection.send(b"".join(requests))
                for i, (status, item) in enumerate(wanted):
                    reply = connection.read_final()
                    assert reply.status == status, (i, reply)
                    if item:
                        assert (reply.json["key"], reply.json["value"]) == item, (i, reply)


def test_a_leader_that_restarts_is_reached_again_without_loss_or_double():
    with Cluster(3).start() as cluster:
        client_node = cluster.followers()[0]
        counted = 0
        for _ in range(4):
            leader = cluster.leader()
            if leader is client_node:
                leader.pause()
                cluster.leader()
                leader.resume()
                cluster.leader()
                leader = cluster.leader()
            assert client_node.incr("n").status == 200
            counted += 1
            leader.kill()
            leader.start()
            reply = client_node.incr("n")
            assert reply.status == 200, reply
            counted += 1
            cluster.wait_ready()
        for node in cluster.nodes:
            assert node.value("n") == str(counted)


def test_conditional_writes_hold_through_any_node():
    with Cluster(3).start() as cluster:
        winners = []

        def create(node):
            reply = node.put("lock", str(node.id), {"If-None-Match": "*"})
            assert reply.status in (204, 412), reply
            if reply.status == 204:
                winners.append(node)

        threads = [threading.Thread(target=create, args=(n,)) for n in cluster.nodes * 4]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

        assert len(winners) == 1, winners
        item = cluster.nodes[0].get("lock").json
        assert item["value"] == str(winners[0].id) and item["version"] == 1, item
        for node in cluster.nodes:
            revision = node.get("lock").json["mod_revision"]
            assert node.put("lock", "x", {"If-Match": f'"{revision + 1}"'}).status == 412
            reply = node.put("lock", "x", {"If-Match": f'"{revision}"'})
            assert reply.status == 204, reply
            assert int(reply.header("ETag").strip('"')) > revision, reply
