"""Runs the stages of script/test, one after the other, and adds up what passed and failed.

With TEST_AGAIN=1, as continuous integration has it, a unit or system test that failed is run again,
alone; if it passes then, it is named as unsteady in the end and the run passes. Oracles that found a
broken promise (an acknowledged write lost, say) and the simulator get no second chance.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml

import tree

CHECKS = sorted((tree.ROOT / 'script' / 'checks').iterdir())
IS_FORGIVING = os.environ.get('TEST_AGAIN') == '1'
CHECKS_OF_BUILDS = {'purity', 'manuals'}  # these look at what build/release made


class Totals:
    def __init__(self):
        self.passed = self.failed = 0
        self.unsteady = []

    def add(self, passed, failed):
        self.passed += passed
        self.failed += failed


def run(command, **options):
    """Returns the completed process, output as text."""
    return subprocess.run(command, cwd=tree.ROOT, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


def run_check(path):
    return path.name, run([str(path)])


def check(names, totals):
    """Checks side by side; each counts as one."""
    paths = [path for path in CHECKS if path.name in names]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, result in pool.map(run_check, paths):
            print(result.stdout, end='')
            if result.returncode and not result.stdout:
                print(f'{name}: failed without a word')
            totals.add(*((1, 0) if result.returncode == 0 else (0, 1)))


def build(preset, totals):
    """A build that fails counts as one failure; one that succeeds is no test. Returns success."""
    result = run(['script/build', preset])
    if result.returncode != 0:
        print(result.stdout)
        print(f'build {preset}: failed')
        totals.add(0, 1)
    return result.returncode == 0


def count_case(case):
    """Passed and failed of one ctest: what cmocka says inside, else the program as a whole."""
    output = case.findtext('system-out') or ''
    has_failed = case.find('failure') is not None or case.get('status') == 'fail'
    passed = sum(int(n) for n in re.findall(r'\[  PASSED  \] (\d+) test\(s\)', output))
    failed = sum(int(n) for n in re.findall(r'\[  FAILED  \] (\d+) test\(s\)', output))
    if has_failed:
        return passed, max(failed, 1)  # a crash leaves no count
    return max(passed, 1), 0


def unit(preset, name, totals):
    if not build(preset, totals):
        return
    names = ['-R', re.escape(name)] if name else []
    cases = ctest(preset, ['-j', str(os.cpu_count()), *names])
    failed = [case for case in cases if count_case(case)[1]]
    for case in failed:
        print(f'---- {case.get("name")} under {preset} failed:')
        print(case.findtext('system-out') or '')
    if failed and IS_FORGIVING:
        again = {case.get('name'): case for case in ctest(preset, ['--rerun-failed'])}
        totals.unsteady += [f'{n} under {preset}' for n in again if not count_case(again[n])[1]]
        cases = [again.get(case.get('name'), case) for case in cases]
    for case in cases:
        totals.add(*count_case(case))
    if not cases and not name:
        totals.add(0, 1)


def ctest(preset, arguments):
    """What each test program of the build said, as JUnit's test cases."""
    report = tree.ROOT / 'build' / preset / 'ctest.xml'
    report.unlink(missing_ok=True)
    result = run(['ctest', '--test-dir', f'build/{preset}', '--output-junit', str(report),
                  '--test-output-size-passed', '10000000',
                  '--test-output-size-failed', '10000000', '--no-tests=ignore', *arguments])
    if not report.exists():
        print(result.stdout)
        return []
    return list(xml.parse(report).getroot().iter('testcase'))


def system(name, totals):
    """The tests of whole processes, on the release build; each is shown as it ends."""
    command = [sys.executable, '-u', 'tests/system/run.py', '--build', 'build/release',
               '-j', str(os.cpu_count())] + (['--again'] if IS_FORGIVING else [])
    if name:
        command.append(name.removeprefix('system/'))
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE='1')
    process = subprocess.Popen(command, cwd=tree.ROOT, text=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    counts = None
    for line in process.stdout:
        match = re.match(r'(\d+) passed, (\d+) failed$', line)
        again = re.match(r'ok .* s  (\S+).*\(run again\)', line)
        if again:
            totals.unsteady.append(again.group(1))
        if match:
            counts = int(match.group(1)), int(match.group(2))
        else:
            print(f'   {line}', end='', flush=True)
    if process.wait() != 0 and counts == (0, 0) and name:
        return  # the name belongs to tests of another kind
    if counts is None or (process.returncode != 0 and counts[1] == 0):
        print('system tests: ended without a count')
        counts = (counts or (0, 0))[0], 1
    totals.add(*counts)


SEEDS_COUNT = 1000


def fresh_seeds():
    """New ones in each run, printed with their results; SIM_SEEDS=A-B repeats a run."""
    first = int(time.time()) * 1000
    return os.environ.get('SIM_SEEDS') or f'{first}-{first + SEEDS_COUNT - 1}'


def simulate(totals):
    """Seeds that once failed, then the first ones, then fresh ones."""
    seeds = fresh_seeds()
    print(f'   fresh seeds: {seeds}', flush=True)
    for arguments in (['--file', 'tests/seeds.txt'], ['--seeds', '1-300'],
                      ['--seeds', seeds]):
        result = run(['build/release/minikv-sim', '-j', str(os.cpu_count()), *arguments])
        print(''.join(f'   {line}\n' for line in result.stdout.splitlines()), end='')
        totals.add(*((1, 0) if result.returncode == 0 else (0, 1)))


def stages(arguments, totals):
    """(title, function) of each stage, in order."""
    static = {path.name for path in CHECKS} - CHECKS_OF_BUILDS
    name = arguments.name
    if not name:
        yield 'checks', lambda: check(static, totals)
    if not name or not name.startswith('system'):
        yield 'unit tests, dev', lambda: unit('dev', name, totals)
    if arguments.quick:
        return
    if not name or not name.startswith('system'):
        yield 'unit tests, asan-ubsan', lambda: unit('asan-ubsan', name, totals)
    if not name or not name.startswith('unit'):
        yield 'build release', lambda: build('release', totals)
        if name:
            yield 'build dev', lambda: build('dev', totals)  # it has the failpoints
        if not name:
            yield 'checks of the build', lambda: check(CHECKS_OF_BUILDS, totals)
        if not name or name.startswith('sim'):
            yield 'simulated clusters', lambda: simulate(totals)
        if name and name.startswith('sim'):
            return
        yield 'system tests', lambda: system(name, totals)


def main():
    parser = argparse.ArgumentParser(prog='script/test')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('name', nargs='?')
    arguments = parser.parse_args()

    totals = Totals()
    started = time.monotonic()
    for title, stage in stages(arguments, totals):
        print(f'== {title}', flush=True)
        before, stage_started = (totals.passed, totals.failed), time.monotonic()
        stage()
        print(f'   {totals.passed - before[0]} passed, {totals.failed - before[1]} failed, '
              f'{time.monotonic() - stage_started:.1f} s', flush=True)
    print(f'== all in {time.monotonic() - started:.0f} s')
    for unsteady in totals.unsteady:
        print(f'unsteady, passed only when it was run again: {unsteady}')
    print(f'{totals.passed} passed, {totals.failed} failed', flush=True)
    return 1 if totals.failed or not totals.passed else 0


if __name__ == '__main__':
    sys.exit(main())
