"""The checker itself, on histories whose verdict is known."""
import itertools
import random

from lincheck import ABSENT, NEVER, UNKNOWN, Operation, is_linearizable, step


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


def random_history(random_source):
    """Small and half plausible, so that both verdicts are common."""
    history = []
    values = ["a", "b", "c"]
    for _ in range(random_source.randint(2, 6)):
        called = random_source.randint(0, 20)
        returned = called + random_source.randint(1, 10)
        kind = random_source.choice(["put", "get", "get", "cas", "delete"])
        unknown = kind != "get" and random_source.random() < 0.25
        if kind == "put":
            argument, result = random_source.choice(values), True
        elif kind == "get":
            argument, result = None, random_source.choice(values + [ABSENT])
        elif kind == "cas":
            argument = (random_source.choice(values), random_source.choice(values))
            result = random_source.random() < 0.5
        else:
            argument, result = None, True
        if unknown:
            result, returned = UNKNOWN, NEVER
        history.append(Operation(kind, argument, result, called, returned))
    return history


def test_the_search_agrees_with_the_definition_on_random_histories():
    verdicts = {True: 0, False: 0}
    for seed in range(1500):
        history = random_history(random.Random(seed))
        want = brute_force(history)
        assert is_linearizable(history) == want, f"seed {seed}: want {want}: {history}"
        verdicts[want] += 1
    assert min(verdicts.values()) > 200, f"one-sided: {verdicts}"


def test_a_long_history_of_a_true_register_is_accepted_quickly():
    source = random.Random(7)
    history, now, state = [], 0.0, ABSENT
    for i in range(3000):  # every operation takes effect at `now`, with room on both sides
        now += 1
        before, after = source.random() * 6, source.random() * 6
        if source.random() < 0.5:
            unknown = source.random() < 0.02
            if not unknown or source.random() < 0.5:
                state = i
            history.append(Operation("put", i, UNKNOWN if unknown else True, now - before,
                                     NEVER if unknown else now + after))
        else:
            history.append(Operation("get", None, state, now - before, now + after))
    assert is_linearizable(history)


def test_one_wrong_read_in_a_long_history_is_found():
    history = []
    for i in range(400):
        history.append(put(i, 10 * i, 10 * i + 12))
        history.append(get(i, 10 * i + 13, 10 * i + 14))
    assert is_linearizable(history)

    history[399].result = 150
    assert not is_linearizable(history)
