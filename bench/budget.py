"""What bench/profile found out, as tables: each work by itself, and all beside each other."""
import stages
from counts import CALLS, METRICS, OTHERS

SIDES = ("leader", "followers", "all")
SMALLEST_SHOWN = 0.005
HEAD = ["leader", "followers", "all"]
FEW = {"wal_written_bytes": "bytes written to the log", "wal_entries": "entries written to the log",
       "wal_syncs": "syncs of the log", "snapshots_taken": "snapshots",
       "read_rounds": "rounds of reads", "forwarded": "commands forwarded"}


def number(value):
    if value is None or value < SMALLEST_SHOWN:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def sides_of(by_side, name):
    return [by_side[side].get(name, 0) for side in SIDES]


def rows_of(by_side, names, words=None):
    """A line for each name that has something to show."""
    rows = []
    for name in names:
        values = sides_of(by_side, name)
        if max(values) >= SMALLEST_SHOWN:
            rows.append([(words or {}).get(name, name), *map(number, values)])
    return rows


def stage_names(by_side):
    return [name for name in stages.ORDER if any(by_side[side].get(name) for side in SIDES)]


def stage_table(record):
    rows = rows_of(record["stages"], stage_names(record["stages"]))
    rows.append(["**all**", *(number(record["cpu_us"][side]) for side in SIDES)])
    rows += rows_of(record["across"], ["kernel"] + [what for what, _ in stages.ACROSS],
                    {"kernel": "*of these:* in the kernel"})
    return table(["CPU µs", *HEAD], rows)


def count_table(record):
    rows = []
    calls = record["system_calls"]
    names = sorted(set(calls["all"]) - {"system calls", *OTHERS},
                   key=lambda name: -calls["all"][name])
    rows += rows_of(calls, ["system calls"], {"system calls": "**system calls**"})
    rows += rows_of(calls, names)
    rows += rows_of(calls, OTHERS)
    if "library_calls" in record:
        rows += rows_of(record["library_calls"], CALLS)
    rows += rows_of(record["metrics"], METRICS, FEW)
    return table(["of each operation", *HEAD], rows)


def grouping(record):
    """How much goes together: into a sync, into a message to a peer."""
    words = []
    for side in SIDES[:2]:
        metrics = record["metrics"][side]
        if metrics["wal_syncs"]:
            words.append(f"{metrics['wal_entries'] / metrics['wal_syncs']:.1f} entries in a sync "
                         f"of {'the leader' if side == 'leader' else 'a follower'}")
    sent = record["system_calls"]["leader"].get("sendto (peers)", 0)
    entries = record["metrics"]["followers"]["wal_entries"]
    if sent and entries:
        words.append(f"{entries / sent:.1f} in a send to a peer")
    return ", ".join(words)


def work_text(name, record):
    load = record["load"]
    text = [f"## {name}: {load['ops_s']:,.0f}/s, p50 {load['p50_us'] / 1e3:.2f} ms, "
            f"p99 {load['p99_us'] / 1e3:.2f} ms, generator {load['client_cpu_us']:.1f} µs", "",
            stage_table(record), "",
            f"{record['samples']:,} samples, {record['unresolved']:.1%} of them of no known function"
            + (" (too many: is this a build without -g?)"
               if record["unresolved"] > stages.UNRESOLVED_SHARE_MAX else ""), "",
            count_table(record), ""]
    if grouping(record):
        text += [grouping(record), ""]
    if record.get("functions"):
        rows = [[stage, place, number(us)] for stage, place, us in record["functions"]]
        text += [table(["stage", "function", "CPU µs"], rows), ""]
    return "\n".join(text)


def summary(records):
    """All works in one table: CPU µs of all three nodes by stage, and what was counted most."""
    rows = [[name, *(number(r["stages"]["all"].get(name)) for r in records.values())]
            for name in stages.ORDER]
    rows.append(["**all**", *(number(r["cpu_us"]["all"]) for r in records.values())])
    for kind, names in (("across", ["kernel", *(what for what, _ in stages.ACROSS)]),
                        ("system_calls", ["system calls", *OTHERS]), ("library_calls", CALLS)):
        for name in names:
            rows.append([name, *(number(r.get(kind, {"all": {}})["all"].get(name))
                                 for r in records.values())])
    return table(["all three nodes, of each operation", *records], rows)


def text(records):
    parts = [work_text(name, record) for name, record in records.items()]
    return "\n".join(parts) + "\n" + summary(records)
