"""Crowds of clients that mean no good: the others are served, and memory stays below its bounds.

Small here, and in one cluster; hostile_crowd.py is the same at full size, with latencies
(docs/reliability.md). FAULTS X1, X2, X5, X6.
"""
import resource
import time

from cluster import Cluster, eventually, scaled
from hostile_crowd import (BigPuts, Idle, Memory, SlowBodies, SlowHeads, SlowReaders, others,
                           processor_seconds, raise_descriptors)
from http_client import Connection
from testing import OutOfTime, alone, limit, report

SECONDS, RATE = 1.5, 200
SLOW_SECONDS = 3.0  # p99 of the others: generous, as other tests run beside this one
MIB = 1024          # in KiB, as memory is counted
READER_MIB, OTHERWISE_MIB = 0.5, 64  # LIMIT_VALUE_PIECE_BYTES and more; what all else may take
PUT_COPIES = 8      # body, command, log, two links, cache, and what buffers grow ahead


def endure(cluster, crowd, memory_mib):
    """Others beside the crowd: all is answered, in time, and memory stays below the bound."""
    node = crowd.node
    before = node.memory_kib()
    with Memory(node) as memory, crowd:
        result = others(cluster, SECONDS, RATE)
    p99 = result["latency_us"]["p99"] / 1e6
    report(f"{crowd.count} {type(crowd).__name__}: p99 {p99 * 1000:.0f} ms, "
           f"{(memory.largest - before) / MIB:.0f} MiB")
    assert memory.largest - before < memory_mib * MIB, f"{before} -> {memory.largest} KiB"
    assert result["refused"] == 0, result
    if result["unanswered"] or p99 > scaled(SLOW_SECONDS):
        raise OutOfTime(f"others had to wait: {result}")


@alone
@limit(90)
def test_crowds_of_idle_and_slow_clients_hold_nobody_up():
    """At a node that is alone, so that nobody has another one to go to."""
    count = min(1000, raise_descriptors() // 2)
    with Cluster(1).start() as cluster:
        node = cluster.leader()
        idle = Idle(node, count)
        endure(cluster, idle, OTHERWISE_MIB)
        assert idle.told == {"200": count // 2} and idle.cut == 0, (idle.told, idle.cut)

        for crowd in (SlowHeads(node, 200), SlowBodies(node, 200)):
            endure(cluster, crowd, OTHERWISE_MIB)
            assert crowd.told.keys() <= {"408 none"}, crowd.told

        readers = SlowReaders(node, 200)
        endure(cluster, readers, OTHERWISE_MIB + readers.count * READER_MIB)


@alone
@limit(90)
def test_large_values_from_all_sides_are_stored_or_refused_without_effect():
    raise_descriptors()
    with Cluster(3).start() as cluster:
        leader, (follower, *_) = cluster.roles()
        for node in (leader, follower):
            puts = BigPuts(node, 50)
            before = node.memory_kib()
            with Memory(node) as memory, puts:
                eventually(lambda p=puts: p.is_answered or p.error, "each is answered", 30)
            report(f"{dict(puts.told)}, {(memory.largest - before) / MIB:.0f} MiB")
            assert memory.largest - before < (OTHERWISE_MIB + PUT_COPIES * puts.count) * MIB, \
                f"{before} -> {memory.largest} KiB"
            assert all(what == "204" or what.startswith("50") and what.endswith((" none", " maybe"))
                       for what in puts.told), puts.told
            stored = eventually(lambda p=puts: keys_under(cluster, f"big{p.node.id}/"), "they are listed", 30)
            assert puts.keys_told("204") <= stored, puts.keys_told("204") - stored
            assert not puts.keys_told("none") & stored, puts.keys_told("none") & stored


def keys_under(cluster, prefix):
    reply = cluster.nodes[0].request("GET", f"/v1/kv?keys_only&prefix={prefix}")
    return {item["key"] for item in reply.json["items"]} if reply.status == 200 else None


@limit(90)
def test_without_descriptors_a_node_serves_whom_it_has_and_does_not_spin():
    """The rest waits to be accepted; the log, and the links to other nodes, have what they need."""
    raise_descriptors()
    with Cluster(3, ["--election-ms", "4000"]).start() as cluster:
        leader, followers = cluster.roles()
        resource.prlimit(leader.process.pid, resource.RLIMIT_NOFILE, (300, 300))
        with Connection(leader.http) as early, Idle(leader, 600, answered=20) as crowd:
            begin, spent = time.monotonic(), processor_seconds(leader)
            for number in range(20):
                assert early.request("PUT", f"/v1/kv/early{number}", {"value": "v"}).status == 204
                for node in followers:
                    assert node.put(f"late{number}", "v").status == 204
                time.sleep(0.05)
            spent, took = processor_seconds(leader) - spent, time.monotonic() - begin
            report(f"{spent / took * 100:.0f} % of a processor, {crowd.told['200']} of 300 answered")
            assert spent < 0.6 * took, f"{spent} s in {took} s: it spins"
            assert crowd.told.keys() == {"200"} and crowd.told["200"] < 300, crowd.told
        eventually(lambda: leader.put("after", "v").status == 204, "everybody is taken again", 30)


@limit(90)
def test_connections_beyond_what_descriptors_allow_are_told_so():
    raise_descriptors()
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        node.start(["prlimit", "--nofile=400", *node.arguments()])
        cluster.wait_ready()
        with Connection(node.http) as early:
            assert early.request("GET", "/livez").status == 200
            with Idle(node, 500, answered=20) as crowd:
                for number in range(20):
                    assert early.request("PUT", f"/v1/kv/k{number}", {"value": "v"}).status == 204
            assert crowd.told.keys() <= {"200", "503 none"}, crowd.told
        eventually(lambda: node.put("after", "v").status == 204, "everybody is taken again", 30)
