"""The checker itself, on histories whose verdict is known."""
import itertools
import random
import time

from lincheck import ABSENT, NEVER, UNKNOWN, Operation, is_linearizable, step
from testing import report


def op(kind, argument, result, called, returned):
    return Operation(kind, argument, result, called, NEVER if returned is None else returned)


def put(value, called, returned):
    return op("put", value, True if returned is not None else UNKNOWN, called, returned)


def get(result, called, returned):
    return op("get", None, result, called, returned)


GOOD = {
    "nothing": [],
    "one after another": [put("a", 0, 1), get("a", 2, 3), put("b", 4, 5), get("b", 6, 7)],
    "absent before the first put": [get(ABSENT, 0, 1), put("a", 2, 3)],
    "a read during a put sees either": [put("a", 0, 1), put("b", 2, 9), get("a", 3, 4),
                                        get("b", 5, 6)],
    "concurrent puts in the order reads tell": [put("a", 0, 9), put("b", 1, 8), get("b", 10, 11)],
    "an unknown put that happened": [put("a", 0, 1), put("b", 2, None), get("b", 5, 6)],
    "an unknown put that happened late": [put("a", 0, 1), put("b", 2, None), get("a", 5, 6),
                                          get("b", 7, 8)],
    "an unknown put that never happened": [put("a", 0, 1), put("b", 2, None), get("a", 5, 6),
                                           get("a", 7, 8)],
    "cas holds once": [put("a", 0, 1), op("cas", ("a", "b"), True, 2, 9),
                       op("cas", ("a", "c"), False, 3, 8), get("b", 10, 11)],
    "an unknown cas explains a failed one": [put("a", 0, 1), op("cas", ("a", "b"), UNKNOWN, 2, None),
                                             op("cas", ("a", "c"), False, 3, 4)],
    "counting": [op("incr", 1, 1, 0, 5), op("incr", 1, 2, 1, 4), get(2, 6, 7)],
    "counting with an unknown in between": [op("incr", 1, 1, 0, 1), op("incr", 1, UNKNOWN, 2, None),
                                            op("incr", 1, 3, 5, 6)],
    "delete": [put("a", 0, 1), op("delete", None, True, 2, 3), get(ABSENT, 4, 5)],
    "unknown ones one behind the other": [op("cas", ("b", "c"), UNKNOWN, 0, None), put("b", 1, None),
                                          get("c", 5, 6)],
    "unknown increments on top of an unknown put":
        [put(5, 0, None), op("incr", 2, UNKNOWN, 0, None), op("incr", 3, UNKNOWN, 0, None),
         get(10, 5, 6)],
    "two unknown increments of the same amount":
        [op("incr", 1, UNKNOWN, 0, None), op("incr", 1, UNKNOWN, 1, None), get(2, 5, 6)],
    "an unknown delete makes room": [put("a", 0, 1), op("delete", None, UNKNOWN, 2, None),
                                     op("cas", (ABSENT, "b"), True, 3, 4), get("b", 5, 6)],
    "a condition that failed because of an unknown put that nobody saw":
        [put("a", 0, 1), put("x", 2, None), op("cas", ("a", "b"), False, 3, 4), put("c", 5, 6)],
    "a conditional delete":
        [put("a", 0, 1), op("cas", ("a", ABSENT), True, 2, 3), get(ABSENT, 4, 5)],
}

BAD = {
    "a lost put": [put("a", 0, 1), get(ABSENT, 2, 3)],
    "a stale read": [put("a", 0, 1), put("b", 2, 3), get("a", 4, 5)],
    "a value from nowhere": [put("a", 0, 1), get("z", 2, 3)],
    "a read from the future": [get("a", 0, 1), put("a", 2, 3)],
    "back and forth": [put("a", 0, 1), put("b", 2, 9), get("b", 3, 4), get("a", 5, 6)],
    "two readers disagree about the order": [put("a", 0, 9), put("b", 0, 9), get("a", 10, 11),
                                             get("b", 12, 13)],
    "an unknown put that came and went": [put("a", 0, 1), put("b", 2, None), get("b", 5, 6),
                                          get("a", 7, 8)],
    "cas holds twice": [put("a", 0, 1), op("cas", ("a", "b"), True, 2, 3),
                        op("cas", ("a", "c"), True, 4, 5)],
    "cas fails without a reason": [put("a", 0, 1), op("cas", ("a", "b"), False, 2, 3)],
    "an increment applied twice": [op("incr", 1, 1, 0, 1), op("incr", 1, 3, 2, 3)],
    "an increment lost": [op("incr", 1, 1, 0, 1), op("incr", 1, 1, 2, 3)],
    "an unknown increment applied twice": [op("incr", 1, 1, 0, 1),
                                           op("incr", 1, UNKNOWN, 2, None),
                                           op("incr", 1, 4, 5, 6)],
    "a delete that was lost": [put("a", 0, 1), op("delete", None, True, 2, 3), get("a", 4, 5)],
    "an unknown put called after it was read": [get("b", 0, 1), put("b", 2, None)],
    "one unknown put for two reads with a certain one between":
        [put("b", 0, None), get("b", 1, 2), put("c", 3, 4), get("b", 5, 6)],
    "an unknown delete used twice":
        [op("delete", None, UNKNOWN, 0, None), put("a", 1, 2), op("cas", (ABSENT, "b"), True, 3, 4),
         op("cas", (ABSENT, "c"), True, 5, 6)],
    "created over what is there": [put("a", 0, 1), op("cas", (ABSENT, "b"), True, 2, 3)],
}


def test_histories_with_a_known_verdict_are_judged_right():
    for name, history in GOOD.items():
        assert is_linearizable(history), f"good history refused: {name}"
    for name, history in BAD.items():
        assert not is_linearizable(history), f"bad history accepted: {name}"


def brute_force(operations):
    """Tries every subset of the unknown operations in every order: the definition itself."""
    certain = [o for o in operations if o.returned != NEVER]
    unknown = [o for o in operations if o.returned == NEVER]
    for count in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, count):
            if any(explains(order) for order in itertools.permutations(certain + list(chosen))):
                return True
    return False


def explains(order):
    for i, later in enumerate(order):
        if any(later.returned < earlier.called for earlier in order[:i]):
            return False
    state = ABSENT
    for operation in order:
        allowed, state = step(state, operation)
        if not allowed:
            return False
    return True


def random_operation(source, values):
    """(kind, argument, result) that may well be wrong."""
    kind = source.choice(["put", "get", "get", "cas", "delete", "incr"])
    if kind == "put":
        return kind, source.choice(values), True
    if kind == "get":
        return kind, None, source.choice(values + [ABSENT])
    if kind == "cas":
        return kind, (source.choice(values + [ABSENT]), source.choice(values + [ABSENT])), \
            source.random() < 0.5
    if kind == "incr":
        by = source.choice(values)
        return kind, by, source.choice(values) + by
    return kind, None, True


def random_history(source):
    """Small and half plausible, so that both verdicts are common. Values and sums meet often."""
    history = []
    values = [1, 2, 3]
    share_unknown = source.choice([0.0, 0.25, 0.6])
    for _ in range(source.randint(2, 6)):
        called = source.randint(0, 20)
        returned = called + source.randint(1, 10)
        kind, argument, result = random_operation(source, values)
        if kind != "get" and source.random() < share_unknown:
            result, returned = UNKNOWN, NEVER
        history.append(Operation(kind, argument, result, called, returned))
    return history


def test_the_search_agrees_with_the_definition_on_random_histories():
    verdicts = {True: 0, False: 0}
    first = random.SystemRandom().randrange(2**31)
    for seed in range(first, first + 1500):
        history = random_history(random.Random(seed))
        want = brute_force(history)
        assert is_linearizable(history) == want, f"seed {seed}: want {want}: {history}"
        verdicts[want] += 1
    assert min(verdicts.values()) > 200, f"one-sided: {verdicts}"


def long_history(source, count, unknown_share):
    """Of a true register; every operation takes effect at `now`, with room on both sides."""
    history, now, state = [], 0.0, ABSENT
    for i in range(count):
        now += 1
        before, after = source.random() * 6, source.random() * 6
        kind = source.choice(["put", "get", "get", "cas", "incr", "delete"])
        value = (i + 1) * 2**40
        argument, result = None, True
        if kind == "put":
            argument = value
        elif kind == "get":
            result = state
        elif kind == "incr":
            argument = source.randrange(2**29, 2**30)
        elif kind == "cas":
            argument = (state if source.random() < 0.7 else value - 1, value)
            result = state == argument[0]
        unknown = kind != "get" and source.random() < unknown_share
        operation = Operation(kind, argument, UNKNOWN if unknown else result, now - before,
                              NEVER if unknown else now + after, i % 7)
        if not unknown or source.random() < 0.5:
            state = step(state, operation)[1]
        if kind == "incr" and not unknown:
            operation.result = state
        history.append(operation)
    return history


def test_a_long_history_of_a_true_register_is_accepted_quickly():
    begin = time.monotonic()
    assert is_linearizable(long_history(random.Random(7), 20000, 0.005))
    report(f"20,000 operations in {time.monotonic() - begin:.1f} s")


def test_one_lost_write_in_a_long_history_with_unknown_ones_is_found():
    source = random.Random(11)
    history = long_history(source, 3000, 0.005)
    reads = [o for o in history if o.kind == "get" and o.result is not ABSENT][-1000:]
    read = reads[source.randrange(len(reads))]
    read.result += 2**31 + 1  # what nobody wrote
    assert not is_linearizable(history)


def test_one_wrong_read_in_a_long_history_is_found():
    history = []
    for i in range(400):
        history.append(put(i, 10 * i, 10 * i + 12))
        history.append(get(i, 10 * i + 13, 10 * i + 14))
    assert is_linearizable(history)

    history[399].result = 150
    assert not is_linearizable(history)
