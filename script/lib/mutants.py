"""Mutants: patches with one mistake each, and what it takes to find it (script/mutants)."""

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


def limit_resources():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def command(words, cwd, seconds):
    """Exit code (None: out of time) and output. Everything it started ends with it."""
    process = subprocess.Popen(words, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True, errors='replace', start_new_session=True,
                               preexec_fn=limit_resources)
    try:
        output, _ = process.communicate(timeout=seconds)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGKILL)
        raise


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
                   '-DCMAKE_BUILD_TYPE=Debug', '-DCMAKE_C_FLAGS=-O2 -g0',
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
        """The names of those that fail."""
        pattern = '|'.join(f'^{module}/' for module in modules)
        _, output = command(['ctest', '-R', pattern, '-j', str(os.cpu_count()), '--timeout',
                             str(ONE_TEST_SECONDS)], self.build, TESTS_SECONDS)
        return re.findall(r'Test +#\d+: (\S+) \.*(?:\*\*\*|Subprocess|Child)', output)

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
        failed = [name for name in workshop.run_tests(mutant.tests) if name not in ignored]
        simulated = workshop.run_simulator(first, options.seeds, options.seconds)
    finally:
        apply(mutant, workshop.source, is_reversed=True)
    return {'mutant': mutant, 'tests': failed, 'simulated': simulated,
            'is_caught': bool(failed) or simulated['oracle'] is not None}


def words_of(result):
    """(what the tests say, what the simulator says)"""
    tests, simulated = result['tests'], result['simulated']
    more = f' and {len(tests) - 1} more' if len(tests) > 1 else ''
    by_test = tests[0] + more if tests else '–'
    if simulated['oracle'] is None:
        return by_test, f'not in {simulated["seeds"]} seeds'
    return by_test, (f'seed {simulated["seeds"]}, {simulated["seconds"]:.0f} s: '
                     f'{simulated["oracle"]}')


def write_table(path, results):
    lines = ['| mutant | faults | named test | simulator: after seeds |',
             '| --- | --- | --- | --- |']
    for result in results:
        mutant = result['mutant']
        by_test, by_seed = words_of(result)
        lines.append(f'| `{mutant.name}` | {mutant.faults} | {by_test} | {by_seed} |')
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
    for mutant in chosen:
        problem = check(mutant, tree.ROOT)
        if problem:
            print(f'mutants: {mutant.path}: {problem}')
            return 1
    if options.scratch:
        return run_all(options.scratch.resolve(), chosen, options)
    with tempfile.TemporaryDirectory(prefix='minikv-mutants-') as name:
        return run_all(pathlib.Path(name), chosen, options)
