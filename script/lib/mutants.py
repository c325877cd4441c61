"""Mutants: patches with one mistake each, and what it takes to find it (script/mutants)."""

import contextlib
import difflib
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import tree

FOLDER = pathlib.Path('tests/mutants')
BUILD_SECONDS, TESTS_SECONDS, ONE_TEST_SECONDS = 900, 180, 30
CHUNK_SEEDS = 32  # at most, for each process: what failed is known when it ends
MEMORY_BYTES = 4 << 30  # a mutant may eat what it gets


class Mutant:
    """One patch: its head says which rule it breaks, and which modules' tests are about that."""

    def __init__(self, path):
        self.name = path.stem
        self.path = path
        self.text = tree.read(path)
        head = dict(re.findall(r'^# ([A-Z][a-z-]+): (.+)$', self.text, re.MULTILINE))
        missing = {'Breaks', 'Faults', 'Tests'} - set(head)
        if missing:
            raise ValueError(f'{path}: its head lacks {", ".join(sorted(missing))}')
        self.rule, self.faults, self.tests = head['Breaks'], head['Faults'], head['Tests'].split()


def load(names=()):
    """All mutants, or those named."""
    known = {path.stem: path for path in tree.files(f'{FOLDER}/*.patch')}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f'mutants: no patch {FOLDER}/{unknown[0]}.patch')
    return [Mutant(known[name]) for name in (names or sorted(known))]


def check(mutant, root):
    """What git says of a patch that does not apply; empty if it does."""
    result = subprocess.run(['git', 'apply', '--check', '-'], input=mutant.text, text=True,
                            cwd=root, capture_output=True)
    return '' if result.returncode == 0 else (result.stderr.strip() or 'it does not apply')


def apply(mutant, root, is_reversed=False):
    subprocess.run(['git', 'apply', *(['-R'] if is_reversed else []), '-'], input=mutant.text,
                   text=True, cwd=root, check=True)


def renew(mutant, root):
    """Writes the patch anew, for source that has moved on around it; False: it fits nowhere."""
    with tempfile.TemporaryDirectory(prefix='minikv-mutants-') as name:
        copy = pathlib.Path(name)
        touched = re.findall(r'^--- a/(\S+)$', mutant.text, re.MULTILINE)
        if not all((root / path).is_file() for path in touched):
            return False
        for path in touched:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / path, copy / path)
        words = ['patch', '-p1', '-s', '-f', '-F3', '-r', '-', '--no-backup-if-mismatch']
        result = subprocess.run(words, input=mutant.text, text=True, cwd=copy,
                                capture_output=True)
        if result.returncode != 0:
            return False
        lines = re.findall(r'^# .*\n', mutant.text, re.MULTILINE)
        for path in touched:
            old, new = ((folder / path).read_text(encoding='utf-8').splitlines(keepends=True)
                        for folder in (root, copy))
            lines += difflib.unified_diff(old, new, f'a/{path}', f'b/{path}')
    (root / mutant.path).write_text(''.join(lines), encoding='utf-8')
    return True


def renew_all(chosen):
    """Every patch that does not apply any more; 1: some do not fit at all."""
    failed = 0
    for mutant in chosen:
        if check(mutant, tree.ROOT):
            is_renewed = renew(mutant, tree.ROOT)
            failed += not is_renewed
            print(f'{"renewed" if is_renewed else "by hand":9}{mutant.name}')
    return 1 if failed else 0


def limit_resources():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def end_group(group):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def command(words, cwd, seconds):
    """Exit code (None: out of time) and output. Everything it started ends with it."""
    process = subprocess.Popen(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors='replace', start_new_session=True,
                               preexec_fn=limit_resources)
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        end_group(process.pid)
        output, _ = process.communicate()
        return None, output
    finally:
        end_group(process.pid)  # a test that died may leave children behind


def first_failure(output):
    """Of a cmocka program: the test that failed, or in which it died; empty if it says nothing."""
    failed = re.search(r'^\[  FAILED  \] (\w+)$', output, re.MULTILINE)
    if failed:
        return failed.group(1)
    begun = re.findall(r'^\[ RUN      \] (\w+)$', output, re.MULTILINE)
    return begun[-1] if begun else ''


class Workshop:
    """A copy of the tree and one build of it; what a mutant changes is built anew, no more."""

    def __init__(self, folder):
        self.source = folder / 'tree'
        self.build = folder / 'build'
        names = set(tree.files())
        for name in sorted(names):
            target = self.source / name
            if target.is_file() and target.read_bytes() == (tree.ROOT / name).read_bytes():
                continue  # its time stays, and so does what was built of it
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tree.ROOT / name, target)
        for path in self.source.rglob('*'):
            if path.is_file() and path.relative_to(self.source) not in names:
                path.unlink()  # of a time before
        self.must(['cmake', '-S', str(self.source), '-B', str(self.build), '-G', 'Ninja',
                   '-DCMAKE_BUILD_TYPE=Debug',
                   '-DCMAKE_C_FLAGS=-O2 -g0 -w',  # a mistake may leave a variable unused
                   '-DMINIKV_FAILPOINTS=ON'])

    def must(self, words):
        code, output = command(words, self.source, BUILD_SECONDS)
        if code != 0:
            raise RuntimeError(f'{" ".join(words[:4])} failed:\n{output[-4000:]}')

    def make(self, modules):
        """The simulator and the unit tests of these modules."""
        targets = ['minikv-sim']
        for path in tree.files('tests/unit/*_test.c'):
            if '/'.join(path.parts[1:3]) in modules:
                targets.append(f'unit_{path.parts[2]}_{path.stem}')
        self.must(['ninja', '-j', str(os.cpu_count()), '-C', str(self.build), *targets])

    def run_tests(self, modules):
        """The programs that fail, each with the first test that does."""
        pattern = '|'.join(f'^{module}/' for module in modules)
        _, output = command(['ctest', '-R', pattern, '-j', str(os.cpu_count()), '--timeout',
                             str(ONE_TEST_SECONDS), '--output-on-failure'],
                            self.build, TESTS_SECONDS)
        blocks = re.split(r'^ *\d+/\d+ (?=Test +#\d+: )', output, flags=re.MULTILINE)
        failed = {}
        for block in blocks[1:]:
            match = re.match(r'Test +#\d+: (\S+) \.*(?:\*\*\*|Subprocess|Child)', block)
            if match:
                failed[match.group(1)] = first_failure(block)
        return failed

    def run_simulator(self, first, count, seconds):
        """What failed (`oracle`, None: nothing), after how many seeds and seconds."""
        started = time.monotonic()
        ran = 0
        while ran < count:
            left = seconds - (time.monotonic() - started)
            if left <= 0:
                break
            chunk = min(max(ran, 4), CHUNK_SEEDS, count - ran)
            code, output = command([str(self.build / 'minikv-sim'), '-j', str(os.cpu_count()),
                                    '--seeds', f'{first + ran}-{first + ran + chunk - 1}'],
                                   self.source, left + 20)
            failures = re.findall(r'^seed (\d+) fails: ([^:]+):', output, re.MULTILINE)
            took = time.monotonic() - started
            if failures:
                seed, oracle = min((int(number), oracle) for number, oracle in failures)
                return {'oracle': oracle, 'seeds': seed - first + 1, 'seconds': took}
            if code not in (0, None):
                return {'oracle': 'crash', 'seeds': ran + chunk, 'seconds': took}
            if code is None:
                break
            ran += chunk
        return {'oracle': None, 'seeds': ran, 'seconds': time.monotonic() - started}


def judge(workshop, mutant, options, first, ignored):
    """One mutant from patch to verdict."""
    apply(mutant, workshop.source)
    try:
        workshop.make(mutant.tests)
        failed = {program: test for program, test in workshop.run_tests(mutant.tests).items()
                  if program not in ignored}
        simulated = workshop.run_simulator(first, options.seeds, options.seconds)
    finally:
        apply(mutant, workshop.source, is_reversed=True)
    return {'mutant': mutant, 'tests': failed, 'simulated': simulated,
            'is_caught': bool(failed) or simulated['oracle'] is not None}


def most_telling(tests):
    """Of the programs that failed, one that is about single rules, if there is one."""
    return min(tests, key=lambda name: (name.endswith(('cluster_test', 'scenario_test')), name))


def words_of(result):
    """(what the tests say, what the simulator says)"""
    tests, simulated = result['tests'], result['simulated']
    more = f' and {len(tests) - 1} more' if len(tests) > 1 else ''
    by_test = most_telling(tests) + more if tests else '–'
    if simulated['oracle'] is None:
        return by_test, f'not in {simulated["seeds"]} seeds'
    return by_test, (f'seed {simulated["seeds"]}, {simulated["seconds"]:.0f} s: '
                     f'{simulated["oracle"]}')


def named_test(result):
    """What the tests say, with the test in the program: for the table."""
    tests, (by_test, _) = result['tests'], words_of(result)
    if not tests:
        return by_test
    program = most_telling(tests)
    test = f': `{tests[program]}`' if tests[program] else ''
    return by_test.replace(program, program + test, 1)


def write_table(path, results):
    lines = ['| mutant | faults | named test | simulator: after seeds |',
             '| --- | --- | --- | --- |']
    for result in results:
        mutant = result['mutant']
        _, by_seed = words_of(result)
        lines.append(f'| `{mutant.name}` | {mutant.faults} | {named_test(result)} | {by_seed} |')
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')


def examine_tree(workshop, modules, options, first):
    """What fails without a mistake shows nothing: the tests that do, and whether a seed does."""
    workshop.make(modules)
    failed = workshop.run_tests(modules)
    simulated = workshop.run_simulator(first, options.seeds, options.seconds)
    for name in failed:
        print(f'{"ignored":9}{name} fails in the tree as it is')
    if simulated['oracle'] is not None:
        print(f'mutants: seed {first + simulated["seeds"] - 1} fails in the tree as it is')
        sys.exit(1)
    print(f'{"sound":9}{"the tree as it is":34} {"":36} not in {simulated["seeds"]} seeds')
    return failed


def run_all(folder, chosen, options):
    first = options.first if options.first is not None else random.randrange(10**6, 10**12)
    print(f'mutants: seeds from {first}, at most {options.seeds} or {options.seconds:.0f} s each')
    workshop = Workshop(folder)
    ignored = examine_tree(workshop, sorted({name for mutant in chosen for name in mutant.tests}),
                           options, first)
    results = []
    for mutant in chosen:
        result = judge(workshop, mutant, options, first, ignored)
        results.append(result)
        by_test, by_seed = words_of(result)
        verdict = 'caught' if result['is_caught'] else 'SURVIVED'
        print(f'{verdict:9}{mutant.name:34} {by_test:36} {by_seed}', flush=True)
        if options.table:
            write_table(options.table, results)
    caught = sum(result['is_caught'] for result in results)
    by_seed = sum(result['simulated']['oracle'] is not None for result in results)
    print(f'{caught} of {len(results)} caught, {by_seed} of them by the simulator')
    return 0 if caught == len(results) else 1


def run(options):
    chosen = load(options.names)
    if options.renew:
        return renew_all(chosen)
    for mutant in chosen:
        problem = check(mutant, tree.ROOT)
        if problem:
            print(f'mutants: {mutant.path}: {problem}')
            return 1
    if options.scratch:
        return run_all(options.scratch.resolve(), chosen, options)
    with tempfile.TemporaryDirectory(prefix='minikv-mutants-') as name:
        return run_all(pathlib.Path(name), chosen, options)
