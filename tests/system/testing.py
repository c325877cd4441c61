"""What a test may tell the runner: marks on functions, and figures for the report line."""
import os

NOTES_DESCRIPTOR = "MINIKV_TEST_NOTES_FD"


class OutOfTime(AssertionError):
    """What was waited for has not come yet: wrong or only slow, which a busy machine is too."""


class BrokenPromise(AssertionError):
    """An acknowledged write is lost or doubled, or an answer untrue: no second run excuses it."""


def promise(is_kept, text):
    if not is_kept:
        raise BrokenPromise(text)


def in_time(is_kept, text):
    """Of a bound on time, or of what no other leader may come into: it is looked at once more, alone
    and with twice the time."""
    if not is_kept:
        raise OutOfTime(text)


def alone(function):
    """Timing matters: no other test runs at the same time."""
    function.alone = True
    return function


def limit(seconds):
    """The test may take this long instead of the default."""
    def mark(function):
        function.limit = seconds
        return function
    return mark


def report(text):
    """A measured figure, printed on the test's line."""
    descriptor = os.environ.get(NOTES_DESCRIPTOR)
    if descriptor:
        os.write(int(descriptor), (text + "\n").encode())
    else:
        print(text)


def count_from_environment(name, default):
    return int(os.environ.get(name, default))
