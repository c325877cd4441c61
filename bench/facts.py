"""What has a goal and is no load: starts, outages, sessions, the size of the program."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from outage import TRIALS, of_start
from systems import HERE, Etcd, MiniKV, installed, minikv_cluster

STARTS, ROUNDS = 5, 20
OUTAGES = {"kill": 20, "stop": 10}
SESSIONS_SECONDS_MAX = 300
OTHERS = {"etcd": "etcd", "Redis": "redis-server"}


def stripped_kb(program):
    with tempfile.TemporaryDirectory(prefix="minikv-bench-") as directory:
        copy = os.path.join(directory, "stripped")
        subprocess.run(["strip", "-o", copy, program], check=True, timeout=60)
        return os.path.getsize(copy) / 1000


def binary_facts(options, figures, deadline):
    figures.add_fact("binary_kb", "MiniKV", [stripped_kb(minikv_cluster.program("minikvd"))])
    for system, program in OTHERS.items():
        path = shutil.which(program)
        if path is not None:
            figures.add_fact("binary_kb", system, [os.path.getsize(os.path.realpath(path)) / 1000])


def makers(options):
    with_etcd = not options.no_etcd and installed("etcd")
    return [MiniKV, Etcd] if with_etcd else [MiniKV]


def start_facts(options, figures, deadline):
    for _ in range(STARTS):
        for make in makers(options):
            if not deadline.is_over():
                name, seconds = of_start(make)
                figures.add_fact("start_ms", name, [seconds * 1000])


def failover_facts(options, figures, deadline):
    systems = [make() for make in makers(options)]
    try:
        for system in systems:
            system.start()
        for kind, trials in OUTAGES.items():
            for number in range(trials):
                for system in systems:
                    if deadline.is_over():
                        return
                    figures.add_fact(f"{kind}_ms", system.name, [TRIALS[kind](system) * 1000])
                print(f"{kind} {number + 1} of {trials}", file=sys.stderr, flush=True)
    finally:
        for system in systems:
            system.stop()


def session_facts(options, figures, deadline):
    """bench/sessions compares in pairs of its own."""
    with tempfile.TemporaryDirectory(prefix="minikv-bench-") as directory:
        path = os.path.join(directory, "sessions.json")
        subprocess.run([os.path.join(HERE, "sessions"), "--build", options.build, "-r",
                        str(ROUNDS), "--json", path], check=True, stdout=subprocess.DEVNULL,
                       timeout=SESSIONS_SECONDS_MAX)
        with open(path) as file:
            figures.add_fact("session_ratio", "MiniKV", json.load(file)["ratios"])


PARTS = {"binary": binary_facts, "start": start_facts, "failover": failover_facts,
         "sessions": session_facts}


def goal_facts(options, figures, deadline):
    for name, part in PARTS.items():
        if (not options.only or name in options.only) and not deadline.is_over():
            print(f"{name} ...", file=sys.stderr, flush=True)
            part(options, figures, deadline)
