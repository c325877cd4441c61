"""Bounds of a running node, at the bound and beyond: at the leader and through a follower alike. The
bounds inside of a node are tests/unit; script/checks/limits says which test has which."""
import os
import re
import subprocess
import threading
import time

from checks import assert_problem
from cluster import Cluster, eventually, program, scaled
from http_client import NONE, Client, Connection, encode
from testing import count_from_environment, limit, report

KIB, MIB = 1 << 10, 1 << 20
RAW = {"Content-Type": "application/octet-stream"}
DEADLINE = {"X-MiniKV-Timeout-Ms": "300"}
MEMORY_KIB = 8 * 1024
SECONDS = count_from_environment("MINIKV_TEST_SECONDS", 4)
PATIENT = ["--election-ms", "4000"]


def limits():
    """Name -> value, as the product says."""
    text = subprocess.run([program("minikv-inspect"), "limits"], check=True, capture_output=True,
                          text=True, timeout=scaled(20)).stdout
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def places(cluster):
    leader, (follower, *_) = cluster.roles()
    return leader, follower


def test_keys_values_and_bodies_go_up_to_their_bound_and_no_further():
    """LIMIT_KEY_BYTES, LIMIT_VALUE_BYTES, LIMIT_BODY_BYTES, LIMIT_TARGET_BYTES."""
    bound = limits()
    with Cluster(3, PATIENT).start() as cluster:
        for node in places(cluster):
            key = "k" * bound["LIMIT_KEY_BYTES"]
            value = os.urandom(bound["LIMIT_VALUE_BYTES"])
            assert node.request("PUT", f"/v1/kv/{key}", value, RAW).status == 204
            assert node.request("GET", f"/v1/kv/{key}?raw").body == value
            revision = node.revision()
            assert_problem(node.request("PUT", f"/v1/kv/{key}k", b"", RAW), (400, 413, 414), NONE)
            assert_problem(node.request("PUT", "/v1/kv/k", value + b"x", RAW), 413, NONE)
            with Connection(node.http) as connection:
                size = bound["LIMIT_BODY_BYTES"] + 1
                connection.send(f"PUT /v1/kv/k HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n"
                                .encode())
                assert_problem(connection.read_final(), 413, NONE)
            target = "/v1/kv/" + "%6b" * ((bound["LIMIT_TARGET_BYTES"] - 7) // 3)
            assert_problem(node.request("GET", target + "?rev=1234567890"), (400, 414), NONE)
            assert node.revision() == revision, "a refusal changed something"


def test_headers_go_up_to_their_bound_and_no_further():
    """LIMIT_HEADERS, LIMIT_HEADERS_BYTES."""
    bound = limits()
    with Cluster(3, PATIENT).start() as cluster:
        for node in places(cluster):
            def ask(count, filler=0):
                lines = ["GET /livez HTTP/1.1", "Host: h"]
                lines += [f"X-{i}: y" for i in range(count - 1)]
                if filler:
                    lines.append("X-Fill: " + "z" * filler)
                with Connection(node.http) as connection:
                    connection.send("\r\n".join(lines + ["", ""]).encode())
                    return connection.read_final()

            assert ask(bound["LIMIT_HEADERS"]).status == 200
            assert_problem(ask(bound["LIMIT_HEADERS"] + 1), 431, NONE)
            assert ask(1, bound["LIMIT_HEADERS_BYTES"] - 200).status == 200
            assert_problem(ask(1, bound["LIMIT_HEADERS_BYTES"]), 431, NONE)


def test_requests_behind_each_other_up_to_any_number_are_answered_in_order():
    """LIMIT_PIPELINE: beyond it nothing is refused; reading waits."""
    count = 3 * limits()["LIMIT_PIPELINE"]
    with Cluster(3, PATIENT).start() as cluster:
        for node in places(cluster):
            with Connection(node.http, scaled(20)) as connection:
                connection.send(b"".join(encode("PUT", f"/v1/kv/p-{node.id}", {"value": str(i)})
                                         for i in range(count)))
                tags = [connection.read_final() for _ in range(count)]
                assert {t.status for t in tags} == {204}
                revisions = [int(re.sub(r"\D", "", t.header("ETag"))) for t in tags]
                assert revisions == sorted(revisions)
            assert node.value(f"p-{node.id}") == str(count - 1)


def test_transactions_have_as_many_parts_as_their_bound_and_no_more():
    """LIMIT_TXN_OPERATIONS, LIMIT_TXN_COMPARES."""
    bound = limits()
    with Cluster(3, PATIENT).start() as cluster:
        for node in places(cluster):
            def txn(operations, compares):
                holds = {"key": "t", "target": "mod_revision", "op": "<", "value": 1 << 40}
                body = {"compare": [holds] * compares,
                        "success": [{"put": {"key": f"t{i}", "value": "v"}}
                                    for i in range(operations)]}
                return node.request("POST", "/v1/txn", body)

            revision = node.revision()
            assert_problem(txn(bound["LIMIT_TXN_OPERATIONS"] + 1, 0), 413, NONE)
            assert_problem(txn(1, bound["LIMIT_TXN_COMPARES"] + 1), 413, NONE)
            assert node.revision() == revision, "a refusal changed something"
            assert txn(bound["LIMIT_TXN_OPERATIONS"], bound["LIMIT_TXN_COMPARES"]).status == 200
            assert node.revision() == revision + 1


class Askers:
    """Clients that ask again as soon as they have been answered, whatever they were told."""

    def __init__(self, node, count):
        self.is_over, self.effects, self.statuses, self.lock = False, {}, {}, threading.Lock()
        self.threads = [threading.Thread(target=self._ask, args=(node.http, i), daemon=True)
                        for i in range(count)]

    def _ask(self, address, number):
        client = Client(address, scaled(20))
        while not self.is_over:
            attempt = client.attempt("PUT", f"/v1/kv/k{number}", {"value": "x" * 1000}, DEADLINE)
            status = attempt.reply.status if attempt.reply else repr(attempt.error)
            with self.lock:
                self.effects[attempt.effect] = self.effects.get(attempt.effect, 0) + 1
                self.statuses[status] = self.statuses.get(status, 0) + 1
        client.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.is_over = True
        for thread in self.threads:
            thread.join(scaled(30))


@limit(90 + 2 * SECONDS)
def test_without_a_majority_requests_are_refused_and_memory_stays():
    """MINIKV_TEST_SECONDS=600: the ten minutes. On virtual time tests/unit/node/limits_test.c has them."""
    with Cluster(3).start() as cluster:
        node, others = cluster.roles()
        assert node.put("before", "v").status == 204
        for other in others:
            other.kill()
        eventually(lambda: not node.status()["leader"], "it knows no leader", 20)
        last = node.status()["last_index"]
        term = node.status()["term"]
        with Askers(node, 20) as askers:
            time.sleep(max(SECONDS / 4, 2))  # what is allocated once
            half = node.memory_kib()
            time.sleep(SECONDS)
            whole = node.memory_kib()
        assert whole - half < MEMORY_KIB, f"{half} KiB, then {whole}"
        assert node.status()["last_index"] == last, "what nobody could order is in the log"
        assert node.status()["term"] == term, "it stands for election with nobody to vote for it"
        assert set(askers.effects) == {NONE}, (askers.effects, askers.statuses)
        assert node.get("before", "?consistency=stale").status == 200
        for other in cluster.nodes:
            if not other.is_running:
                other.start()
        cluster.wait_ready()
        assert node.put("after", "v").status == 204
        cluster.assert_same_state()
        report(f"{sum(askers.effects.values())} refused, {whole - half} KiB")
