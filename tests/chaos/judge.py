"""Were the promises kept? Everything that clients were told, against what the nodes hold at rest.

Each function returns what is wrong, as text; an empty list is a verdict, too. The first three are plain
comparisons, so that a test can hand them lies.
"""
import re
import subprocess
import time

import lincheck
from cluster import clean_environment, listing, program
from http_client import APPLIED, NONE
from lincheck import ABSENT, Operation

from .clients import place_of, value_of

SHOWN = 5


def judge_puts(book, held, who):
    """(lost, wrong). `book`: {key: effect as told}; `held`: {key: value} of one node."""
    lost = sorted(k for k, effect in book.items() if effect == APPLIED and k not in held)
    ghosts = sorted(k for k, effect in book.items() if effect == NONE and k in held)
    strangers = sorted(k for k in held if k not in book)
    changed = sorted(k for k, value in held.items() if value != value_of(k))
    wrong = []
    for keys, what in ((ghosts, "it was said of these that nothing had happened"),
                       (strangers, "nobody has written these"), (changed, "other values")):
        if keys:
            wrong.append(f"{who}: {what}: {len(keys)}, such as {keys[:SHOWN]}")
    acknowledged = sum(1 for effect in book.values() if effect == APPLIED)
    return ([f"{who}: {len(lost)} of {acknowledged} acknowledged puts are lost, such as "
             f"{lost[:SHOWN]}"] if lost else []), wrong, len(lost)


def judge_counter(values, held, who):
    """(text, lost, doubled). `values`: what each acknowledged increment came to; all by 1."""
    count = len(values)
    doubled = max(held - count, 0)
    lost = max(count - held, 0)
    wrong = []
    if held != count:
        wrong.append(f"{who}: the counter is {held}, {count} increments were acknowledged")
    if len(set(values)) != count:
        again = sorted(v for v in set(values) if values.count(v) > 1)
        wrong.append(f"{who}: several increments came to the same: {again[:SHOWN]}")
    elif wrong and set(values) - set(range(1, held + 1)):
        wrong.append(f"{who}: increments came to more than it is")
    return wrong, lost, doubled


def judge_watch(events):
    """`events`: [(id, key)] in the order in which they came; each key is put once."""
    wrong = []
    places = [place_of(i) for i, _ in events]
    if any(a >= b for a, b in zip(places, places[1:])):
        wrong.append("a watch was sent events out of order")
    keys = [key for _, key in events]
    if len(set(keys)) != len(keys):
        again = sorted({k for k in keys if keys.count(k) > 1})
        wrong.append(f"a watch was sent events twice: {again[:SHOWN]}")
    return wrong


def judge_history(history, seconds_max=60.0):
    try:
        lincheck.assert_linearizable(history, seconds_max=seconds_max)
    except lincheck.Undecided as undecided:
        return [f"not decided: {undecided}"]
    except AssertionError as error:
        return [str(error)]
    return []


class Verdict:
    def __init__(self):
        self.violations, self.lost, self.doubled = [], 0, 0


def read_registers(world, registers):
    """At rest, each key at each node, as the end of its history."""
    for node in world.nodes:
        called = time.monotonic()
        found = {i["key"]: i["value"] for i in listing(node, "&prefix=lin-")}
        returned = time.monotonic()
        for key in list(registers.history):
            result = int(found[key]) if key in found else ABSENT
            registers.note(key, APPLIED, Operation("get", None, result, called, returned,
                                                   f"at the end, node {node.id}"))


def judge_round(world, clients):
    """The clients have stopped, all nodes are up. Compares each node with the books."""
    verdict = Verdict()
    found = verdict.violations
    try:
        world.assert_same_state()
    except AssertionError as error:
        found.append(f"at rest: {error}")
    for node in world.nodes:
        held = {i["key"]: i["value"]
                for i in listing(node, f"&prefix={clients.puts.prefix}&consistency=stale")}
        lost, wrong, count = judge_puts(clients.puts.book(), held, f"node {node.id}")
        found += lost + wrong
        verdict.lost = max(verdict.lost, count)
        values = [v for row in clients.counting.values for v in row]
        text, lost, doubled = judge_counter(
            values, int(node.value(clients.counting.key, "?consistency=stale") or 0),
            f"node {node.id}")
        found += text
        verdict.lost, verdict.doubled = max(verdict.lost, lost), max(verdict.doubled, doubled)
    for headers, value, again in clients.counting.differing:
        found.append(f"{headers}: told {value} first, then {again}")
        verdict.doubled += 1
    found += judge_watch(clients.watched())
    read_registers(world, clients.registers)
    found += judge_history(clients.registers.history)
    return verdict


def audit(world):
    """What the logs at rest prove; the nodes have been ended."""
    told = subprocess.run([program("minikv"), "audit", *(n.data for n in world.nodes)],
                          capture_output=True, text=True, env=clean_environment())
    if told.returncode == 0:
        return []
    lines = [line for line in (told.stdout + told.stderr).splitlines()
             if re.search("VIOLATION|violat|damage|offset", line)]
    return [f"minikv audit ends with {told.returncode}: " + " / ".join(lines[:SHOWN])]
