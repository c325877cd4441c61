"""bench/profile: its table of stages knows the sources, its counts are those of the work done."""
import glob
import json
import os
import shutil
import subprocess
import sys

from cluster import Cluster, build_directory, clean_environment, program, scaled

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")
BENCH = os.path.join(ROOT, "bench")
sys.path.insert(0, BENCH)

import counts  # noqa: E402
import stages  # noqa: E402

LIBRARY = "minikv-calls.so"  # no instrumented build has it
PUTS, VALUE_BYTES = 50, 10_000
RUN_SECONDS = 50


def test_each_pattern_of_a_stage_fits_a_source():
    patterns = {pattern.partition(":")[0] for _, patterns in stages.STAGES for pattern in patterns}
    ours = {p for p in patterns if "/" in p}
    assert len(ours) > 20, patterns
    for pattern in ours:
        assert (glob.glob(os.path.join(ROOT, "src", pattern))
                or "llhttp" in pattern), f"{pattern} of bench/stages.py is no source any more"


def test_places_belong_to_the_innermost_stage():
    stages_of = {"http/parse.c:parse_step": "parse", "http/kv.c:kv_put": "parse",
                 "http/kv.c:kv_put_answer": "reply", "http/connection.c:connection_flush": "reply",
                 "raft/replicate.c:raft_replicate": "propose", "storage/wal.c:wal_append": "log",
                 "wire/message.c:message_encode": "send to peers",
                 "wire/message.c:message_decode": "receive from peers",
                 "kv/kv_apply.c:kv_apply": "apply, look up", "kv/kv_image.c:put_item": "snapshot",
                 "libc.so.6:epoll_wait": "wake-up", "libc.so.6:read": "read",
                 "base/buf.c:buf_put": None, "libc.so.6:__memmove_evex": None,
                 "libc.so.6:malloc": None, "uv/uv_stream.c:env_stream_send": None}
    for place, stage in stages_of.items():
        assert stages.stage_of_place(place) == stage, (place, stages.stage_of_place(place))


def test_calls_of_the_library_are_counted():
    if not os.path.exists(program(LIBRARY)):
        return
    calls = counts.PreloadedCalls(program(LIBRARY))
    with Cluster(1) as cluster:
        with calls:
            cluster.start()
        cluster.wait_ready()
        pid = cluster.node(1).process.pid
        before = calls.read(pid)

        for i in range(PUTS):
            cluster.node(1).put(f"k{i}", "x" * VALUE_BYTES)

        counted = counts.difference(calls.read(pid), before)
    written = PUTS * VALUE_BYTES
    # Each value to the log at least, and an entry and an item made for it.
    assert written <= counted["bytes of these"] < 100 * written, counted
    assert counted["memcpy, memmove"] >= PUTS, counted
    assert counted["allocations"] >= PUTS and counted["bytes allocated"] >= written, counted
    assert 0 < counted["frees"] <= counted["allocations"] + 100, counted


def test_a_profile_adds_up():
    if not os.path.exists(program(LIBRARY)) or not shutil.which("addr2line") or counts.why_not():
        return  # no linux-perf, or not root

    run = subprocess.run([os.path.join(BENCH, "profile"), "--build", build_directory(), "-d", "0.3",
                          "--keys", "200", "--only", "put/leader/256", "--output", "json"],
                         env=clean_environment(), capture_output=True, text=True,
                         timeout=scaled(RUN_SECONDS))

    assert run.returncode == 0, run.stderr
    works = json.loads(run.stdout)["works"]
    for name, record in works.items():
        spent = record["cpu_us"]["all"]
        assert spent > 0 and record["samples"] > 0, (name, record)
        assert abs(sum(record["stages"]["all"].values()) - spent) < 0.01 * spent, (name, record)
        assert record["stages"]["all"]["parse"] > 0, (name, record["stages"])
        assert record["unresolved"] < stages.UNRESOLVED_SHARE_MAX, (name, record["unresolved"])
        # Two nodes at least have written what was answered; what was not is in no operation's share.
        assert record["metrics"]["all"]["wal_entries"] >= 2, (name, record["metrics"])
        calls = record["system_calls"]
        assert calls["all"]["fdatasync"] > 0, (name, calls)
        assert 0 < calls["all"]["sendto (peers)"] < calls["all"]["sendto"], (name, calls)
        assert record["library_calls"]["all"]["bytes of these"] > 0, (name, record)
