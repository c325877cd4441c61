#!/usr/bin/env python3
"""Three nodes under valgrind, through a life in short: memcheck.py [--build DIR]

Writes and reads of all kinds at every node, redirected ones too; a watch; snapshots; restarts; a
node that comes back so late that it gets a snapshot; another leader; the end of all. Ends with 0
when valgrind has nothing to report of any process: no error, nothing lost.
"""
import argparse
import glob
import os
import re
import sys

os.environ.setdefault("MINIKV_TEST_SLOWDOWN", "10")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from cluster import Cluster, eventually  # noqa: E402
from http_client import identity  # noqa: E402

VALGRIND = ["valgrind", "--leak-check=full", "--show-leak-kinds=definite,indirect,possible",
            "--errors-for-leak-kinds=definite,indirect,possible", "--track-origins=yes",
            "--error-exitcode=99", "--num-callers=30"]
FLAGS = ["--snapshot-bytes", "65536", "--election-ms", "5000"]


class Watched:
    """Starts and ends nodes under valgrind; each process has a report of its own."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.lives = 0

    def start(self, node):
        self.lives += 1
        report = os.path.join(self.cluster.directory, f"valgrind-{node.id}-{self.lives}.txt")
        node.start([*VALGRIND, f"--log-file={report}", *node.arguments()])

    def stop(self, node):
        node.terminate()
        status = node.wait_exit(60)
        assert status == 0, f"node {node.id} ended with {status}"

    def reports(self):
        for path in sorted(glob.glob(os.path.join(self.cluster.directory, "valgrind-*.txt"))):
            with open(path) as report:
                yield os.path.basename(path), report.read()


def use(node, tag):
    """A request of each kind; what they come to is for other tests to say."""
    def ask(method, target, body=None, headers=None, status=(200, 201, 204)):
        def reply_wanted():  # everything is slow here, elections and deadlines are not
            reply = node.request(method, target, body, headers, timeout=30)
            assert reply.status in (*status, 503, 504), reply
            return reply if reply.status in status else None
        return eventually(reply_wanted, f"{method} {target} has its answer", 60)
    for i in range(40):
        ask("PUT", f"/v1/kv/{tag}-{i}", {"value": "v" * 1000})
    ask("GET", f"/v1/kv/{tag}-1")
    ask("GET", f"/v1/kv/{tag}-1?consistency=stale")
    ask("GET", f"/v1/kv?prefix={tag}&limit=7")
    ask("PUT", f"/v1/kv/{tag}-1", {"value": "x"}, {"If-Match": '"999999"'}, status=(412,))
    for _ in range(2):
        ask("POST", "/v1/incr/n", {"by": 1}, identity(f"client-{tag}", 1))
    ask("POST", "/v1/txn", {
        "compare": [{"key": f"{tag}-1", "target": "version", "op": "=", "value": 1}],
        "success": [{"put": {"key": f"{tag}-t", "value": "1"}}, {"get": {"prefix": tag}}]})
    lease = ask("POST", "/v1/leases", {"ttl_ms": 60000}).json["lease"]
    ask("PUT", f"/v1/kv/{tag}-leased?lease={lease}", {"value": "1"})
    ask("DELETE", f"/v1/leases/{lease}")
    ask("DELETE", f"/v1/kv/{tag}-2")
    ask("GET", "/metrics")
    ask("GET", "/v1/kv/absent", status=(404,))
    ask("PUT", "/v1/kv/k", {"wrong": 1}, status=(400,))


def live(cluster):
    watched = Watched(cluster)
    for node in cluster.nodes:
        watched.start(node)
    cluster.wait_ready(timeout=60)
    for node in cluster.nodes:
        use(node, f"first-{node.id}")

    away = cluster.followers()[0]
    watched.stop(away)
    others = [n for n in cluster.nodes if n is not away]
    for number in range(4):
        use(others[number % 2], f"meanwhile-{number}")
    watched.start(away)
    cluster.wait_ready(timeout=60)
    use(away, "back")

    leader = cluster.leader()
    watched.stop(leader)  # hands over
    eventually(lambda: any(n.status()["role"] == "leader" for n in cluster.up()), "another leader", 30)
    watched.start(leader)
    cluster.wait_ready(timeout=60)
    use(leader, "again")
    cluster.assert_same_state()
    for node in cluster.nodes:
        assert node.status()["snapshot"]["index"] > 0, f"node {node.id} has no snapshot"
    for node in cluster.nodes:
        watched.stop(node)
    return watched


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/dev")
    os.environ["MINIKV_BUILD"] = os.path.abspath(parser.parse_args().build)
    errors = 0
    with Cluster(3, FLAGS) as cluster:
        watched = live(cluster)
        for name, report in watched.reports():
            summary = re.search(r"ERROR SUMMARY: (\d+) errors", report)
            count = int(summary.group(1)) if summary else 1
            errors += count
            print(f"{name}: {summary.group(0) if summary else 'it ends in the middle'}")
            if count:
                print(report)
    print(f"{watched.lives} processes, {errors} errors")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
