"""What a node writes once and hardly ever reads leaves the machine's memory to others."""
import os

from cluster import Cluster, eventually
from page_cache import cached_bytes, can_bypass
from test_snapshots import fill
from testing import report

SNAPSHOT_BYTES = 2**20
STRAY_BYTES_MAX = 2**18  # a page at the end of a piece, a block read back


def paths(node, folder, suffix):
    directory = os.path.join(node.data, folder)
    return sorted(os.path.join(directory, n) for n in os.listdir(directory) if n.endswith(suffix))


def test_log_and_snapshots_stay_out_of_the_page_cache():
    with Cluster(1, ["--snapshot-bytes", str(SNAPSHOT_BYTES)]).start() as cluster:
        node = cluster.nodes[0]
        fill(node)
        taken = node.metrics()["minikv_snapshots_taken_total"]

        def snapshot_is_done():
            assert node.put("more", "x" * 100_000).status == 204
            metrics = node.metrics()
            return (metrics["minikv_snapshots_taken_total"] > taken
                    and metrics["minikv_snapshot_taking_bytes"] == 0)
        eventually(snapshot_is_done, "a snapshot", 30, every=0.02)

        log, snapshot = paths(node, "wal", ".log")[-1], paths(node, "snap", ".snap")[-1]
        if not can_bypass(log):
            report("no file here can bypass the page cache: nothing to see")
            return
        cached = {path: cached_bytes(path) for path in (log, snapshot)}
        sizes = {path: os.path.getsize(path) for path in (log, snapshot)}
        assert all(count > 2 * STRAY_BYTES_MAX for count in sizes.values()), sizes
        assert all(count <= STRAY_BYTES_MAX for count in cached.values()), (cached, sizes)
        assert not log.endswith(f"{1:016x}.log"), log  # that one is made whole, at the start
        node.kill()
        node.start()
        cluster.wait_ready()
        assert node.value("fill-3-3") == "x" * 100_000
    report(f"of {sum(sizes.values()) / 2**20:.1f} MiB, {sum(cached.values()) // 1024} KiB in memory")
