"""Is a recorded history linearizable? Wing & Gong's search with Lowe's memory of visited states.

A history is a list of operations on one key, each with the time it was called and the time it
returned. Operations that certainly did nothing are left out by the recorder; those whose outcome
is unknown return at infinity and may take effect at any time after their call, or never.

The search keeps a doubly linked list of call and return events. It takes a pending operation that
the model allows next, removes its two events, and goes on from the front; when it meets the return
of an operation that it has not taken, it undoes its last choice. A pair (operations taken, state)
that failed once is never entered again.
"""
import time

NEVER = float("inf")
ABSENT = None


class Operation:
    """kind, argument → result, within [called, returned].

    put v → True            delete → True           get → value or ABSENT
    cas (old, new) → bool   incr n → new value      unknown outcomes have result UNKNOWN
    """

    def __init__(self, kind, argument, result, called, returned, client=0):
        self.kind = kind
        self.argument = argument
        self.result = result
        self.called = called
        self.returned = returned
        self.client = client

    def __repr__(self):
        end = "?" if self.returned == NEVER else f"{self.returned:.6f}"
        return (f"[{self.called:.6f}..{end}] client {self.client}: "
                f"{self.kind}({self.argument!r}) -> {self.result!r}")


class _Unknown:
    def __repr__(self):
        return "?"


UNKNOWN = _Unknown()


def step(state, operation):
    """(is it allowed in `state`, the state after it)."""
    kind, result = operation.kind, operation.result
    if kind == "get":
        return result is UNKNOWN or result == state, state
    if kind == "put":
        return True, operation.argument
    if kind == "delete":
        return True, ABSENT
    if kind == "cas":
        old, new = operation.argument
        holds = state == old
        if result is UNKNOWN:
            return True, new if holds else state
        return holds == result, new if holds else state
    if kind == "incr":
        after = (0 if state is ABSENT else int(state)) + operation.argument
        return result is UNKNOWN or after == result, after
    raise ValueError(f"unknown operation {kind}")


class _Event:
    __slots__ = ("operation", "number", "match", "previous", "next")

    def __init__(self, operation, number, match):
        self.operation = operation
        self.number = number
        self.match = match  # of a call: its return; of a return: None
        self.previous = self.next = None


def _linked_events(operations):
    """The events in order of time behind a sentinel; a call comes before a return of that time."""
    timed = []
    for number, operation in enumerate(operations):
        returned = _Event(operation, number, None)
        timed.append((operation.called, 0, number, _Event(operation, number, returned)))
        timed.append((operation.returned, 1, number, returned))
    timed.sort(key=lambda item: item[:3])
    head = last = _Event(None, -1, None)
    for *_, event in timed:
        last.next, event.previous = event, last
        last = event
    return head


def _unlink(event):
    event.previous.next = event.next
    if event.next:
        event.next.previous = event.previous


def _relink(event):
    event.previous.next = event
    if event.next:
        event.next.previous = event


def _take(call):
    _unlink(call)
    _unlink(call.match)


def _give_back(call):
    _relink(call.match)
    _relink(call)


class Undecided(Exception):
    """The search took longer than it may."""


def is_linearizable(operations, initial=ABSENT, seconds_max=20.0):
    """Whether some order of the operations, true to their times, explains every result."""
    operations = [o for o in operations if not (o.kind == "get" and o.result is UNKNOWN)]
    certain = sum(1 for o in operations if o.returned != NEVER)
    head = _linked_events(operations)
    end = time.monotonic() + seconds_max
    state, taken, certain_taken = initial, 0, 0
    visited = set()
    choices = []  # (call, state before it)
    event, steps = head.next, 0
    while certain_taken < certain:
        steps += 1
        if steps % 4096 == 0 and time.monotonic() > end:
            raise Undecided(f"{len(operations)} operations, {steps} steps")
        if event is not None and event.match is not None:
            allowed, after = step(state, event.operation)
            entered = (taken | 1 << event.number, after)
            if allowed and entered not in visited:
                visited.add(entered)
                choices.append((event, state))
                _take(event)
                taken, state = entered
                certain_taken += event.operation.returned != NEVER
                event = head.next
            else:
                event = event.next
            continue
        if not choices:  # a return that no choice before it can explain
            return False
        call, state = choices.pop()
        taken &= ~(1 << call.number)
        certain_taken -= call.operation.returned != NEVER
        _give_back(call)
        event = call.next
    return True


def assert_linearizable(history, initial=ABSENT, seconds_max=20.0):
    """`history` is {key: [Operation]}; each key is a register of its own."""
    for key, operations in history.items():
        if not is_linearizable(operations, initial, seconds_max):
            lines = sorted(operations, key=lambda o: o.called)
            raise AssertionError(f"the history of key {key} is not linearizable:\n"
                                 + "\n".join(f"  {o!r}" for o in lines))
