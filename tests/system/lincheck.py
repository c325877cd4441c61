"""Is a recorded history linearizable? Wing & Gong's search with Lowe's memory of visited states.

A history is a list of operations on one key, each with the time it was called and the time it
returned. Operations that certainly did nothing are left out by the recorder; those whose outcome
is unknown return at infinity and may take effect at any time after their call, or never.

A node of the search is the set of operations taken so far and the state they lead to. Next comes
any operation that was called before the first return of those not taken, if the model allows it. A
node that failed once is never entered again. The set is kept as "the first n, and of those behind
them these", so that a step costs what runs side by side, not how long the history is: 20,000
operations of one key, 100 of them unknown, take a second or two.

Two things keep the search narrow, and lose nothing:

- What is allowed and changes nothing (a get, a condition that fails) is taken at once.
- Unknown operations are taken only directly in front of one that the state does not allow. Of all
  orders that explain a history consider one with the fewest unknown operations, these as late as
  possible. Let some of them stand in front of Y, which would have been allowed without. If Y
  changes nothing they could have come behind it; else the state behind Y is the same without them.

Limits: each key is judged alone, nothing is said of the order between keys. Every write should
leave a value of its own: where values come again there is more to try. A wrong history in which many
unknown operations could explain many conditions that failed may take more than `seconds_max`:
Undecided, which is no verdict and fails a test as well.
"""
import bisect
import time

from testing import BrokenPromise

NEVER = float("inf")
ABSENT = None
SHOWN_BEFORE, SHOWN_MAX = 12, 40  # operations around the place that nothing explains


class Operation:
    """kind, argument → result, within [called, returned].

    put v → True            delete → True           get → value or ABSENT
    cas (old, new) → bool   incr n → new value      unknown outcomes have result UNKNOWN

    A cas whose `new` is ABSENT is a conditional delete, one whose `old` is ABSENT a creation.
    """

    __slots__ = ("kind", "argument", "result", "called", "returned", "client")

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


class Undecided(AssertionError):
    """The search took longer than it may."""


class _Usable:
    """Unknown operations, [(bit, Operation)], in front of one that needs them."""

    def __init__(self, operations):
        distinct = {}  # of those that do the same, one is enough, but for increments
        groups = {}
        for bit, o in operations:
            if o.kind == "incr":
                groups.setdefault(o.argument, []).append(bit)
            else:
                distinct.setdefault((o.kind, o.argument), (bit, o))
        self.distinct = list(distinct.values())
        self.distinct += [(bit, o) for bit, o in operations if o.kind == "incr"]
        self.groups = sorted(groups.items(), key=lambda group: -abs(group[0]))
        self.most, self.least = [0], [0]  # what the groups from each on can add
        for by, bits in reversed(self.groups):
            self.most.append(self.most[-1] + max(by, 0) * len(bits))
            self.least.append(self.least[-1] + min(by, 0) * len(bits))
        self.most.reverse()
        self.least.reverse()
        setters = [(self._value_set(o), bit, o) for bit, o in distinct.values()]
        self.absent = [s for s in setters if s[0] is ABSENT]
        self.setters = sorted((s for s in setters if isinstance(s[0], int)), key=lambda s: s[0])
        self.others = [s for s in setters if s[0] is not ABSENT and not isinstance(s[0], int)]

    @staticmethod
    def _value_set(operation):
        if operation.kind == "put":
            return operation.argument
        return ABSENT if operation.kind == "delete" else operation.argument[1]

    def ways_to_allow(self, operation, state):
        """[(the bits taken, the state)] from `state` to one that allows `operation`."""
        if operation.kind == "cas" and not operation.result:  # any other state: one is enough
            changes = ((bit, step(state, o)[1]) for bit, o in self.distinct)
            return [(bit, after) for bit, after in changes if after != state]
        if operation.kind == "get":
            wanted = [operation.result]
        elif operation.kind == "cas":
            wanted = [operation.argument[0]]
        elif operation.result == operation.argument:
            wanted = [0, ABSENT]
        else:
            wanted = [operation.result - operation.argument]
        return [(taken, w) for w in wanted for taken in self._ways_to(w, state, 0)]

    def _ways_to(self, wanted, state, excluded):
        """The sets of bits that lead from `state` to `wanted`, found backward: increments on top of
        the state, or of what another operation has set."""
        yield from (added for added in self._sums(state, wanted, excluded) if added)
        for value, bit, o in self._setters_below(wanted):
            if bit & excluded:
                continue
            for added in self._sums(value, wanted, excluded):
                taken = bit | added
                if o.kind != "cas" or o.argument[0] == state:
                    yield taken
                else:
                    yield from (taken | before for before in
                                self._ways_to(o.argument[0], state, excluded | taken))

    def _setters_below(self, wanted):
        """Of what sets a value, that from which increments may lead to `wanted`."""
        if wanted is ABSENT:
            return self.absent
        if not isinstance(wanted, int):
            return [s for s in self.others if s[0] == wanted]
        first = bisect.bisect_left(self.setters, wanted - self.most[0], key=lambda s: s[0])
        end = bisect.bisect_right(self.setters, wanted - self.least[0], key=lambda s: s[0])
        return self.setters[first:end] + self.absent

    def _sums(self, value, wanted, excluded):
        """The sets of increments that lead from `value` to `wanted`; 0 for none of them."""
        if value == wanted:
            yield 0
        if not isinstance(wanted, int) or not (value is ABSENT or isinstance(value, int)):
            return
        pending = [(0, 0, wanted - (value or 0))]
        while pending:
            at, taken, missing = pending.pop()
            if not self.least[at] <= missing <= self.most[at]:
                continue
            if at == len(self.groups):
                if taken:
                    yield taken
                continue
            by, bits = self.groups[at]
            bits = [b for b in bits if not b & excluded]
            for count in range(len(bits) + 1):  # which ones of the same amount does not matter
                pending.append((at + 1, taken | sum(bits[:count]), missing - count * by))


class _Search:
    """One history. A node is (first, mask, used, state): of the certain operations, in the order
    of their calls, all before `first` are taken, and those of `mask` behind; `used` are the unknown.
    """

    def __init__(self, operations, initial, seconds_max):
        known = [o for o in operations if o.result is not UNKNOWN]
        assert all(o.returned != NEVER for o in known), "a result that never came"
        self.certain = sorted(known, key=lambda o: o.called)
        self.unknown = sorted((o for o in operations if o.result is UNKNOWN and o.kind != "get"),
                              key=lambda o: o.called)
        self.usable = {}
        self.start = (0, 0, 0, initial)
        self.seconds_max = seconds_max
        self.furthest, self.furthest_count = self.start, -1

    def run(self):
        """Whether some order explains everything."""
        end, steps = time.monotonic() + self.seconds_max, 0
        visited, pending = {self.start}, [iter([self.start])]
        while pending:
            node = next(pending[-1], None)
            if node is None:
                pending.pop()
                continue
            first, mask, _, _ = node
            if first == len(self.certain):
                return True
            steps += 1
            if steps % 1024 == 0 and time.monotonic() > end:
                raise Undecided(f"{len(self.certain)} operations and {len(self.unknown)} unknown "
                                f"ones, {steps} steps, none got further than\n{self.place()}")
            if first + mask.bit_count() > self.furthest_count:
                self.furthest, self.furthest_count = node, first + mask.bit_count()
            following = [n for n in self._following(node) if n not in visited]
            visited.update(following)
            pending.append(iter(following))
        return False

    def _candidates(self, first, mask):
        """The numbers of the certain operations that may come next, and when the first of those
        not taken returns."""
        found, return_min = [], NEVER
        for number in range(first, len(self.certain)):
            if mask >> (number - first) & 1:
                continue
            operation = self.certain[number]
            if operation.called > return_min:
                break
            return_min = min(return_min, operation.returned)
            found.append(number)
        return found, return_min

    def _following(self, node):
        first, mask, used, state = node
        candidates, return_min = self._candidates(first, mask)
        allowed, others = [], []
        for number in candidates:
            is_allowed, after = step(state, self.certain[number])
            if is_allowed and after == state and self.certain[number].kind in ("get", "cas"):
                return [self._taken(first, mask, number, used, after)]
            (allowed if is_allowed else others).append((number, after))
        nodes = [self._taken(first, mask, n, used, after) for n, after in allowed]
        if self.unknown and others:
            usable = self._usable(used, return_min)
            for number, _ in others:
                for taken, before in usable.ways_to_allow(self.certain[number], state):
                    after = step(before, self.certain[number])[1]
                    nodes.append(self._taken(first, mask, number, used | taken, after))
        return nodes

    @staticmethod
    def _taken(first, mask, number, used, state):
        mask |= 1 << (number - first)
        whole = (~mask & mask + 1).bit_length() - 1  # the ones it ends with
        return first + whole, mask >> whole, used, state

    def _usable(self, used, return_min):
        """The unknown operations that may be taken now."""
        called = bisect.bisect_right(self.unknown, return_min, key=lambda o: o.called)
        if (used, called) not in self.usable:
            self.usable[used, called] = _Usable(
                [(1 << n, o) for n, o in enumerate(self.unknown[:called]) if not used >> n & 1])
        return self.usable[used, called]

    def place(self):
        """The operations around the furthest node, for people."""
        first, mask, _, state = self.furthest
        candidates, _ = self._candidates(first, mask)
        lines = [f"  {o!r}" for o in self.certain[max(first - SHOWN_BEFORE, 0):first]]
        lines.append(f"  -- the state is {state!r}, and none of these may come next:")
        lines += [f"  {self.certain[n]!r}" for n in candidates[:SHOWN_MAX]]
        if self.unknown:
            lines.append("  -- unknown:")
            lines += [f"  {o!r}" for o in self.unknown[:SHOWN_MAX]]
        return "\n".join(lines)


def is_linearizable(operations, initial=ABSENT, seconds_max=20.0):
    """Whether some order of the operations, true to their times, explains every result."""
    return _Search(operations, initial, seconds_max).run()


def assert_linearizable(history, initial=ABSENT, seconds_max=20.0):
    """`history` is {key: [Operation]}; each key is a register of its own."""
    for key, operations in history.items():
        search = _Search(operations, initial, seconds_max)
        if not search.run():
            raise BrokenPromise(f"the history of key {key} is not linearizable: of "
                                f"{len(operations)} operations at most "
                                f"{search.furthest_count} are explained\n{search.place()}")
