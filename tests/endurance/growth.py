"""Files and memory of nodes that are written to at full speed, held against bounds.

What a node may need follows from its options, as docs/operations.md says under "Disk space".
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

import cluster as minikv  # noqa: E402

MIB = 2**20
SNAPSHOT_BYTES_DEFAULT = SEGMENT_BYTES_MAX = LARGE_BYTES = 64 * MIB
SEGMENT_BYTES_MIN = MIB
SPARES = 5  # files kept ready for the log
SEGMENTS_PARTLY_USED = 2  # the oldest, and the one that is written to
SNAPSHOTS = 3  # the last, the one before, and one that is being written
MEMORY_SLACK_BYTES = 16 * MIB
WARM_ENTRIES, WARM_SAMPLES_MIN = 500_000, 20  # the log's cache is full, and all keys are there
SAMPLE_SECONDS = 0.25
PART_SAMPLES = 100  # between two lines about how it stands
DEADLINE_SECONDS = 60  # beside the time that was asked for


class Flood:
    """minikv-flood as a child of this process."""

    def __init__(self, cluster, count, seconds, *options):
        self.log_path = os.path.join(cluster.directory, "flood.log")
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", minikv.program("minikv-flood"),
                 "--endpoints", ",".join(n.http_text for n in cluster.nodes),
                 "--count", str(count), "--seconds", str(seconds), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def lines(self):
        with open(self.log_path) as log:
            return [line.split() for line in log.read().splitlines() if line.startswith("written ")]

    def written(self):
        lines = self.lines()
        return int(lines[-1][1]) if lines else 0

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def check(self):
        """(entries written, seconds); fails when it did, with its words."""
        with open(self.log_path) as log:
            text = log.read()
        assert self.process.returncode == 0, \
            f"minikv-flood ended with {self.process.returncode}:\n{text[-2000:]}"
        _, written, _, _, _, seconds = self.lines()[-1]
        return int(written), float(seconds)


class Sample:
    """Of one node at one moment."""

    def __init__(self, node, begin, written):
        self.at = time.monotonic() - begin
        self.written = written
        self.wal = directory_sizes(node, "wal")
        self.snap = directory_sizes(node, "snap")
        self.memory = node.memory_kib() * 1024

    @property
    def wal_bytes(self):
        return sum(self.wal.values())

    @property
    def snap_bytes(self):
        return sum(self.snap.values())


def directory_sizes(node, name):
    """{file: bytes}; what goes while this looks counts for nothing."""
    path, sizes = os.path.join(node.data, name), {}
    for file in os.listdir(path) if os.path.isdir(path) else ():
        try:
            sizes[file] = os.path.getsize(os.path.join(path, file))
        except FileNotFoundError:
            pass
    return sizes


class Bounds:
    """Of one node, in bytes. `snapshot` is the largest snapshot file there was."""

    def __init__(self, snapshot_bytes, snapshot):
        whole = snapshot_bytes // MIB * MIB
        self.segment = min(max(whole, SEGMENT_BYTES_MIN), SEGMENT_BYTES_MAX)
        between = max(snapshot_bytes, snapshot, min(4 * min(snapshot, LARGE_BYTES), 4 * snapshot_bytes))
        if snapshot >= LARGE_BYTES:
            between = max(between, 2 * snapshot)
        self.wal = 2 * between + snapshot + (SEGMENTS_PARTLY_USED + SPARES) * self.segment
        self.snap = SNAPSHOTS * snapshot


def memory_growth(samples):
    """(the most in the first half, the most in the second), from when caches have filled up on;
    None when the run was too short for that."""
    warm = [s.memory for s in samples if s.written >= WARM_ENTRIES]
    if len(warm) < WARM_SAMPLES_MIN:
        return None
    half = len(warm) // 2
    return max(warm[:half]), max(warm[half:])


def judge(samples, snapshot_bytes):
    """Of one node: (bounds, what is wrong with it)."""
    bounds = Bounds(snapshot_bytes, max(max(s.snap.values(), default=0) for s in samples))
    wrong = []
    for what, most, bound in (("wal", max(s.wal_bytes for s in samples), bounds.wal),
                              ("snap", max(s.snap_bytes for s in samples), bounds.snap)):
        if most > bound:
            wrong.append(f"{what}/ had {most / MIB:.0f} MiB, more than {bound / MIB:.0f}")
    grown = memory_growth(samples)
    if grown and grown[1] > grown[0] + MEMORY_SLACK_BYTES:
        wrong.append(f"memory went from {grown[0] / MIB:.0f} to {grown[1] / MIB:.0f} MiB")
    return bounds, wrong


def table(samples, rows=10):
    """{node: [Sample]} as lines, `rows` moments of the run: the most up to each since the last."""
    nodes, lines = list(samples), []
    lines.append("  seconds     entries  " + "  ".join(f"node {n}: wal snap memory" for n in nodes)
                 + "   MiB, the most in each part")
    count = min(len(s) for s in samples.values())
    for row in range(min(rows, count)):
        part = slice(row * count // rows, max((row + 1) * count // rows, row * count // rows + 1))
        last = samples[nodes[0]][part][-1]
        cells = ["{:11.0f} {:4.0f} {:6.0f}".format(*(
            max(of(s) for s in samples[n][part]) / MIB
            for of in (lambda s: s.wal_bytes, lambda s: s.snap_bytes, lambda s: s.memory)))
            for n in nodes]
        lines.append(f"  {last.at:7.0f}  {last.written:10,}  " + "  ".join(cells))
    return "\n".join(lines)


def so_far(samples):
    last = max((s[-1] for s in samples.values()), key=lambda s: s.at)
    most = [max(of(s) for of_node in samples.values() for s in of_node) / MIB
            for of in (lambda s: s.wal_bytes, lambda s: s.snap_bytes, lambda s: s.memory)]
    return (f"{last.at:5.0f} s, {last.written:,} entries; at most so far: wal/ {most[0]:.0f} MiB, "
            f"snap/ {most[1]:.0f} MiB, memory {most[2]:.0f} MiB")


def run(count, seconds, snapshot_bytes=0, flood_options=(), on_part=None):
    """Writes until so many entries are there, or the time is up. Returns figures, with what was
    wrong as text in "wrong". Now and then on_part(text) is called with how it stands."""
    flags = ["--snapshot-bytes", str(snapshot_bytes)] if snapshot_bytes else []
    begin = time.monotonic()
    with minikv.Cluster(3, flags) as cluster:
        cluster.start()
        samples = {n.id: [] for n in cluster.nodes}
        flood = Flood(cluster, count, seconds, *flood_options)
        try:
            while flood.process.poll() is None:
                assert time.monotonic() < begin + seconds + DEADLINE_SECONDS, "it does not end"
                written = flood.written()
                for node in cluster.up():
                    samples[node.id].append(Sample(node, begin, written))
                if on_part and len(samples[node.id]) % PART_SAMPLES == 0:
                    on_part(so_far(samples))
                time.sleep(SAMPLE_SECONDS)
        finally:
            flood.end()
        written, taken = flood.check()
        cluster.wait_ready(announced=False)
        snapshots = {n.id: n.metrics()["minikv_snapshots_taken_total"] for n in cluster.nodes}
        cluster.assert_same_state()
    found = {"written": written, "seconds": taken, "snapshots": snapshots, "table": table(samples),
             "samples": samples, "nodes": {}, "wrong": []}
    for node_id, of_node in samples.items():
        bounds, wrong = judge(of_node, snapshot_bytes or SNAPSHOT_BYTES_DEFAULT)
        found["nodes"][node_id] = bounds
        found["wrong"] += [f"node {node_id}: {w}" for w in wrong]
    return found


def describe(found):
    lines = [found["table"]]
    for node_id, samples in found["samples"].items():
        bounds = found["nodes"][node_id]
        grown = memory_growth(samples)
        memory = "not judged, the run was too short"
        if grown:
            memory = (f"{grown[0] / MIB:.0f} MiB in the first half and "
                      f"{grown[1] / MIB:.0f} in the second")
        lines.append(
            f"  node {node_id}: wal/ at most {max(s.wal_bytes for s in samples) / MIB:.0f} MiB of "
            f"{bounds.wal / MIB:.0f}, snap/ {max(s.snap_bytes for s in samples) / MIB:.0f} of "
            f"{bounds.snap / MIB:.0f}, memory {memory}, "
            f"{found['snapshots'][node_id]:.0f} snapshots")
    lines.append(f"{found['written']:,} entries in {found['seconds']:.0f} s, "
                 f"{found['written'] / found['seconds']:,.0f}/s")
    return "\n".join(lines)
