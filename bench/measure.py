"""Runs works on systems in turns: each work on every system before the next work.

The order of the systems changes from turn to turn. A turn is as short as it can be, because the
machine is shared and changes: two systems are compared within it.
"""
import shutil
import sys
import time

from loads import WARM_UP_SECONDS, Work
from processes import cpu_seconds, resident_mib
from systems import Reference

IDLE_SECONDS = 2  # what idle means here: so long after the cluster became ready
GIVEN_UP_SHARE = 0.8  # a way so much slower than another in earlier turns is not tried again


class Deadline:
    """The end of the whole run; what has been measured by then counts."""

    def __init__(self, seconds):
        self.at = time.monotonic() + seconds

    def is_over(self):
        return time.monotonic() > self.at


def takes_part(system, work, smallest_value):
    """References get short values only: they may be prototypes."""
    return not isinstance(system, Reference) or work.value_bytes == smallest_value


def ways_of(generators, figures, system, work, with_wrk):
    """How this work is driven on this system, in this turn."""
    ways = [w for w in system.ways if generators.can(system, w, work)]
    if "grpc" in ways and not shutil.which("h2load"):
        ways.remove("grpc")
    rates = {w: figures.median(system.name, work.name, "ops_s", w) for w in ways}
    best = max((r for r in rates.values() if r is not None), default=0)
    ways = [w for w in ways if rates[w] is None or rates[w] >= GIVEN_UP_SHARE * best]
    if with_wrk and "http" in ways:
        ways.append("wrk")
    return ways


def measure(generators, system, way, work):
    """One run with the servers' CPU time and memory; None when it gave nothing."""
    pids = system.pids()
    before = sum(cpu_seconds(p) for p in pids)
    result = generators.run(system, way, work)
    if result is None:
        print(f"{system.name} gave no answer to {work.name}", file=sys.stderr)
        return None
    spent = sum(cpu_seconds(p) for p in pids) - before
    result["server_cpu_us"] = spent / result["all"] * 1e6 if pids and result["all"] else None
    result["resident_mib"] = resident_mib(pids) if pids else None
    return result


def planned_seconds(generators, figures, systems, works, checked_with_wrk):
    """What a turn takes, without filling the stores."""
    smallest = min((w.value_bytes for w in works), default=0)
    runs = sum(len(ways_of(generators, figures, s, w, w.name in checked_with_wrk))
               for w in works for s in systems if takes_part(s, w, smallest))
    return runs * (generators.seconds + WARM_UP_SECONDS)


def run_turn(turn, systems, works, generators, figures, deadline, checked_with_wrk):
    """All works once; `checked_with_wrk` are the names of those that wrk drives as well."""
    smallest = min(w.value_bytes for w in works)
    filled = None
    for number, work in enumerate(works):
        if deadline.is_over():
            print("out of time: the rest is not measured", file=sys.stderr)
            return False
        if work.value_bytes != filled:
            filled = work.value_bytes
            for system in systems:
                if takes_part(system, work, smallest):
                    generators.fill(system, filled)
        line = []
        order = systems if (turn + number) % 2 == 0 else systems[::-1]
        for system in order:
            if not takes_part(system, work, smallest):
                continue
            for way in ways_of(generators, figures, system, work, work.name in checked_with_wrk):
                result = measure(generators, system, way, work)
                if result is not None:
                    figures.add(turn, work.name, system.name, way, result)
                    line.append(f"{system.name} {way} {result['ops_s']:,.0f}/s")
        print(f"[{turn + 1}] {work.name:20s} " + "  ".join(line), file=sys.stderr, flush=True)
    return True


def memory_facts(systems, generators, figures, value_bytes):
    """Resident memory of the largest node, idle and with every key once."""
    time.sleep(IDLE_SECONDS)
    for system in systems:
        if system.pids():
            figures.add_fact("idle_mib", system.name, [resident_mib(system.pids())])
    for system in systems:
        generators.fill(system, value_bytes)
        if system.pids():
            figures.add_fact("filled_mib", system.name, [resident_mib(system.pids())])


def goal_work(name):
    """A Work of its name without what is as in the goals: put/leader/64 or put/leader/64/x16."""
    operation, place, connections, *rest = name.split("/")
    return Work(operation, place, int(connections), pipeline=int(rest[0][1:]) if rest else 1)
