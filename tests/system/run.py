#!/usr/bin/env python3
"""Runs the system tests: every function test_* of every test_*.py here, each in its own process.

  run.py [--build DIR] [-j N] [--again] [--list] [FILTER ...]

A FILTER is a part of `file.function`. A test that outlives its limit is ended, with the servers it
started. One for which something did not come in time is run again in the end, alone and with twice
the time: a busy machine is no error, and what does not come then will not come. Whatever else fails
has failed; with --again it is run again too, and what passes then is listed as unsteady. A broken
promise (testing.py) has failed in any case. The last line is `N passed, N failed`; the exit status is
1 when one failed.
"""
import argparse
import glob
import importlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import testing  # noqa: E402

LIMIT_SECONDS = 60
OUT_OF_TIME = 3     # exit status of a test
BROKEN_PROMISE = 4  # another
AGAIN_SLOWDOWN = 2
GRACE_SECONDS = 5  # between the polite and the final end of a test that is over its limit


def discover(filters):
    tests = []
    for path in sorted(glob.glob(os.path.join(HERE, "test_*.py"))):
        name = os.path.basename(path)[:-3]
        module = importlib.import_module(name)
        for function_name, function in vars(module).items():
            full_name = f"{name}.{function_name}"
            if (function_name.startswith("test_") and callable(function)
                    and function.__module__ == name
                    and (not filters or any(f in full_name for f in filters))):
                tests.append((full_name, function))
    return tests


class Run:
    """One test in a forked child; its output goes to a file, its figures to a pipe."""

    def __init__(self, name, function, is_again=False):
        self.name = name
        self.function = function
        self.is_again = is_again
        self.begin = time.monotonic()
        slowdown = float(os.environ.get("MINIKV_TEST_SLOWDOWN", "1"))
        slowdown *= AGAIN_SLOWDOWN if is_again else 1
        self.end = self.begin + getattr(function, "limit", LIMIT_SECONDS) * slowdown
        self.output = tempfile.TemporaryFile("w+")
        self.notes, notes_in = os.pipe()
        self.is_over_limit = False
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.notes)
            os.environ["MINIKV_TEST_SLOWDOWN"] = str(slowdown)
            self._child(function, notes_in)
        os.close(notes_in)

    def _child(self, function, notes_in):
        status = 1
        try:
            os.setpgid(0, 0)
            os.dup2(self.output.fileno(), 1)
            os.dup2(self.output.fileno(), 2)
            os.environ[testing.NOTES_DESCRIPTOR] = str(notes_in)
            signal.signal(signal.SIGTERM, _raise_over_limit)
            function()
            status = 0
        except (testing.OutOfTime, TimeoutError, subprocess.TimeoutExpired):
            status = OUT_OF_TIME
            traceback.print_exc()
        except testing.BrokenPromise:
            status = BROKEN_PROMISE
            traceback.print_exc()
        except BaseException:  # the process ends here in any case
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def poll(self):
        """None while it runs, then "passed", "failed", "slow" or "broken": a promise."""
        now = time.monotonic()
        if now > self.end + GRACE_SECONDS:
            os.kill(self.pid, signal.SIGKILL)
        elif now > self.end and not self.is_over_limit:
            self.is_over_limit = True
            os.kill(self.pid, signal.SIGTERM)
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        if status == 0:
            return "passed"
        code = os.waitstatus_to_exitcode(status)
        if code == BROKEN_PROMISE:
            return "broken"
        return "slow" if self.is_over_limit or code == OUT_OF_TIME else "failed"

    def finish(self, outcome):
        seconds = time.monotonic() - self.begin
        notes = os.read(self.notes, 65536).decode().splitlines() if self._has_notes() else []
        os.close(self.notes)
        mark = {"passed": "ok  ", "slow": "slow"}.get(outcome, "FAIL")
        note = f"  ({'; '.join(notes)})" if notes else ""
        late = "  (over its time limit)" if self.is_over_limit else ""
        again = "  (run again)" if self.is_again else ""
        print(f"{mark} {seconds:6.2f} s  {self.name}{note}{late}{again}", flush=True)
        if outcome != "passed":
            self.output.seek(0)
            print("".join(f"    {line}" for line in self.output.readlines()[-120:]), flush=True)
        self.output.close()

    def _has_notes(self):
        return bool(select.select([self.notes], [], [], 0)[0])


def _raise_over_limit(*_):
    raise TimeoutError("the test is over its time limit")


def run_all(tests, jobs, again_outcomes):
    """(passed, failed). Tests marked `alone` come last, one at a time, then those run again."""
    passed = failed = 0
    together = [t for t in tests if not getattr(t[1], "alone", False)]
    apart = [t for t in tests if getattr(t[1], "alone", False)]
    again = []
    for queue, width in ((together, jobs), (apart, 1), (again, 1)):
        running = []
        while queue or running:
            while queue and len(running) < width:
                running.append(Run(*queue.pop(0), is_again=queue is again))
            for run in list(running):
                outcome = run.poll()
                if outcome is None:
                    continue
                running.remove(run)
                run.finish(outcome)
                if outcome == "passed":
                    passed += 1
                elif outcome in again_outcomes and not run.is_again:
                    again.append((run.name, run.function))
                else:
                    failed += 1
            time.sleep(0.005)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", help="directory with minikvd (default: build/release)")
    parser.add_argument("-j", "--jobs", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="run what failed again, alone")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("filters", nargs="*", metavar="FILTER")
    options = parser.parse_args()
    if options.build:
        os.environ["MINIKV_BUILD"] = os.path.abspath(options.build)
    tests = discover(options.filters)
    if options.list:
        print(*(name for name, _ in tests), sep="\n")
        return 0
    import cluster
    if not os.access(cluster.program("minikvd"), os.X_OK):
        print(f"no minikvd in {cluster.build_directory()}: build it, or name it with --build")
        return 1
    begin = time.monotonic()
    passed, failed = run_all(tests, options.jobs, {"slow", "failed"} if options.again else {"slow"})
    print(f"{time.monotonic() - begin:.0f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
