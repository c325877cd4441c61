"""Leadership handed over on request, through any node."""
from checks import Unchanged, assert_problem
from cluster import Cluster, eventually
from http_client import MAYBE, NONE


def transfer(node, to, headers=None):
    return node.request("POST", "/v1/raft/transfer", {"to": to}, headers)


def test_leadership_goes_where_it_is_sent_through_any_node():
    with Cluster(3).start() as cluster:
        for i in range(6):
            asked = cluster.nodes[i % 3]
            to = cluster.nodes[(i + i // 3 + 1) % 3]

            reply = transfer(asked, to.id)

            assert reply.status == 204, reply
            assert reply.header("X-Leader") == to.peer_text, reply
            assert cluster.leader() is to
            assert asked.put("k", str(i)).status == 204
            assert transfer(asked, to.id).status == 204  # it leads already
            assert cluster.leader() is to


def test_nobody_hands_over_to_a_stranger():
    with Cluster(3).start() as cluster:
        with Unchanged(cluster):
            for node in cluster.nodes:
                for body in ({}, {"to": 0}, {"to": -1}, {"to": "2"}, {"to": 2, "id": 2}, [2]):
                    reply = node.request("POST", "/v1/raft/transfer", body)
                    assert_problem(reply, 400, NONE)
        leader = cluster.leader()
        for node in cluster.nodes:
            assert_problem(transfer(node, 99), 404, NONE, "unknown-member")
        assert cluster.leader() is leader


def test_a_member_that_cannot_take_over_costs_no_leader():
    with Cluster(3).start() as cluster:
        leader, (deaf, other) = cluster.leader(), cluster.followers()
        deaf.pause()
        for node in (leader, other):
            reply = transfer(node, deaf.id, {"X-MiniKV-Timeout-Ms": "700"})
            assert_problem(reply, 504, MAYBE, "timeout")  # it may yet be elected
            reply = eventually(lambda: (r := node.put("k", str(node.id))).status == 204 and r,
                               "writes go on")
        assert cluster.leader() is not deaf
        deaf.resume()
        cluster.wait_caught_up()
        assert deaf.value("k") == str(other.id)
