"""The goals, row by row, and whether they are met.

A row has one figure of MiniKV and conditions on it: against another system in the same turns,
against MiniKV's own figure for other work, or against a fixed limit.
"""
import dataclasses
import statistics

from figures import spread
from measure import goal_work

CEILING = "the reference"  # stands for the first --reference, whatever its name
COLUMNS = ("etcd", "Redis", CEILING)


@dataclasses.dataclass(frozen=True)
class Condition:
    """`figure / of >= factor` (or <=, when less is better); `of` None: `figure <= factor`."""

    factor: float
    of: str = None         # a system, or a work of MiniKV itself, or a field of the same work

    def text(self, row):
        if self.of is None:
            return f"≤ {self.factor:g} {row.unit}"
        sign = "≥" if row.is_rate else "≤"
        name = {"p50_us": "own p50"}.get(self.of, self.of)
        return f"{sign} {self.factor:g} × {name}"


@dataclasses.dataclass(frozen=True)
class Row:
    title: str
    work: str = None       # in short, see goal_work
    fact: str = None       # or a fact
    field: str = "ops_s"
    unit: str = "/s"
    scale: float = 1.0     # of the field, to be in that unit
    form: str = "{:,.0f}"
    floor: tuple = ()
    goal: tuple = ()

    @property
    def is_rate(self):
        return self.unit == "/s" or self.unit == "×"


def times(factor, of):
    return Condition(factor, of)


def at_most(value):
    return Condition(value)


MS = {"unit": "ms", "scale": 1e-3, "form": "{:.2f}"}
ROWS = (
    Row("PUT, leader, 64 connections", "put/leader/64",
        floor=(times(6, "etcd"), times(0.6, CEILING)),
        goal=(times(8.5, "etcd"), times(0.9, CEILING), times(1.0, "Redis"))),
    Row("PUT, leader, 256 connections", "put/leader/256",
        floor=(times(7, "etcd"),), goal=(times(10, "etcd"), times(0.85, CEILING))),
    Row("PUT through a follower, 64 connections", "put/follower/64",
        floor=(times(0.9, "put/leader/64"),), goal=(times(1.1, "put/leader/64"),)),
    Row("PUT spread over all nodes, 256 connections", "put/all/256",
        floor=(times(0.95, "put/leader/256"),), goal=(times(1.2, "put/leader/256"),)),
    Row("PUT p50, 1 connection", "put/leader/1", field="p50_us", **MS,
        floor=(times(0.5, "etcd"),), goal=(times(0.32, "etcd"), times(1.15, CEILING))),
    Row("PUT p99, 64 connections", "put/leader/64", field="p99_us", **MS,
        floor=(times(0.2, "etcd"),), goal=(times(0.1, "etcd"), times(2, "p50_us"))),
    Row("PUT, 64 connections × 16 pipelined", "put/leader/64/x16",
        floor=(times(0.4, CEILING),), goal=(times(0.7, CEILING), times(1.7, "Redis"))),
    Row("linearizable GET, leader, 64 connections", "get/leader/64",
        floor=(times(14, "etcd"),),
        goal=(times(20, "etcd"), times(0.9, CEILING), times(1.0, "Redis"))),
    Row("linearizable GET, follower, 64 connections", "get/follower/64",
        floor=(times(14, "etcd"),),
        goal=(times(20, "etcd"), times(0.9, CEILING), times(1.0, "Redis"))),
    Row("stale GET, follower, 64 connections", "stale/follower/64",
        floor=(times(15, "etcd"),), goal=(times(22, "etcd"),)),
    Row("90 GET to 10 PUT, leader, 64 connections", "mix/leader/64",
        floor=(times(0.6, CEILING),), goal=(times(0.85, CEILING),)),
    Row("servers' CPU per PUT, 256 connections", "put/leader/256", field="server_cpu_us",
        unit="µs", form="{:.1f}",
        floor=(times(0.12, "etcd"),), goal=(times(0.07, "etcd"), times(1.4, CEILING))),
    Row("next write after kill -9 of the leader", fact="kill_ms", unit="ms", form="{:.1f}",
        floor=(times(0.1, "etcd"),), goal=(at_most(15),)),
    Row("the longest of these", fact="kill_ms_longest", unit="ms", form="{:.1f}",
        goal=(at_most(100),)),
    Row("next write after SIGSTOP of the leader", fact="stop_ms", unit="ms", form="{:.0f}",
        floor=(times(0.5, "etcd"),), goal=(times(0.25, "etcd"),)),
    Row("resident memory, idle", fact="idle_mib", unit="MiB", form="{:.1f}",
        floor=(at_most(12),), goal=(at_most(4),)),
    Row("resident memory, 100,000 keys", fact="filled_mib", unit="MiB", form="{:.1f}",
        floor=(at_most(48),), goal=(at_most(36),)),
    Row("server program, stripped", fact="binary_kb", unit="KB",
        floor=(at_most(2000),), goal=(at_most(400),)),
    Row("start of 3 fresh nodes to the first write", fact="start_ms", unit="ms",
        floor=(at_most(250),), goal=(at_most(60),)),
    Row("PUT with a client id against without", fact="session_ratio", unit="×", form="{:.3f}",
        floor=(Condition(0.95, "without"),), goal=(Condition(0.98, "without"),)),
)
# What is compared with each other comes one after the other, because the machine changes.
ORDER = ("put/leader/64", "put/follower/64", "put/leader/256", "put/all/256")
WORKS = tuple(dict.fromkeys([*ORDER, *(row.work for row in ROWS if row.work)]))


class Judge:
    def __init__(self, figures, own="MiniKV", ceiling=None):
        self.figures, self.own, self.ceiling = figures, own, ceiling

    def values(self, row, system):
        """All values of a row's figure for a system, in the row's unit."""
        if row.fact is not None:
            longest = row.fact.removesuffix("_longest")
            values = self.figures.fact(longest, system)
            return [max(values)] if values and longest != row.fact else values
        name = self._work(system, row.work)
        return [v * row.scale for v in
                self.figures.turns(system, name, row.field).values()] if name else []

    def ratio(self, row, condition):
        """Median ratio of MiniKV to what the condition names; None: not measured."""
        if row.fact is not None:
            own, other = (self.values(row, s) for s in (self.own, self._system(condition.of)))
            if condition.of == "without":
                return statistics.median(own) if own else None
            return statistics.median(own) / statistics.median(other) if own and other else None
        own = self.own, goal_work(row.work).name
        if condition.of.endswith("_us"):
            below = self.figures.turns(*own, condition.of)
            above = self.figures.turns(*own, row.field)
            ratios = [above[t] / below[t] for t in above if t in below]
        elif "/" in condition.of:
            ratios = self.figures.ratios(row.field, own,
                                         (self.own, goal_work(condition.of).name))
        else:
            system = self._system(condition.of)
            work = self._work(system, row.work)
            ratios = self.figures.ratios(row.field, own, (system, work)) if work else []
        return statistics.median(ratios) if ratios else None

    def verdict(self, row, condition):
        """(words, whether it is met or None)"""
        words = condition.text(row).replace(CEILING, self.ceiling or CEILING)
        if condition.of is None:
            values = self.values(row, self.own)
            if not values:
                return f"{words}: not measured", None
            is_met = statistics.median(values) <= condition.factor
            return f"{words}: {'met' if is_met else '**not met**'}", is_met
        ratio = self.ratio(row, condition)
        if ratio is None:
            return f"{words}: not measured", None
        is_met = ratio >= condition.factor if row.is_rate else ratio <= condition.factor
        return f"{words}: {ratio:.3g}, {'met' if is_met else '**not met**'}", is_met

    def _system(self, name):
        return self.ceiling if name == CEILING else name

    def _work(self, system, work):
        """What was measured of it there; a single node has one place, and no stale reads."""
        wanted = goal_work(work)
        if self.figures.turns(system, wanted.name, "ops_s"):
            return wanted.name
        operation = "get" if wanted.operation == "stale" else wanted.operation
        if operation != "get" or system in (self.own, "etcd"):
            return None
        leaders = goal_work("/".join([operation, "leader", *work.split("/")[2:]])).name
        return leaders if self.figures.turns(system, leaders, "ops_s") else None


def goal_table(judge):
    """(markdown, how many floors and goals are met, of how many)"""
    names = [judge.own, "etcd", "Redis", *([judge.ceiling] if judge.ceiling else [])]
    lines = ["| work | unit | " + " | ".join(names) + " | floor | goal |",
             "|---|---|" + "--:|" * len(names) + "---|---|"]
    counts = {"floor": [0, 0], "goal": [0, 0]}
    for row in ROWS:
        cells = []
        for name in names:
            values = judge.values(row, name)
            cells.append(spread(values, row.form) if values else "–")
        for kind, conditions in (("floor", row.floor), ("goal", row.goal)):
            verdicts = [judge.verdict(row, c) for c in conditions]
            cells.append("; ".join(words for words, _ in verdicts) or "–")
            known = [is_met for _, is_met in verdicts if is_met is not None]
            if known:
                counts[kind][0] += all(known)
                counts[kind][1] += 1
        lines.append(f"| {row.title} | {row.unit} | " + " | ".join(cells) + " |")
    return "\n".join(lines), counts
