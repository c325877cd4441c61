"""Leases, locks and elections of libminikv: programs that hold them, against real nodes.

The programs are of holder.c, which does what its standard input says; the command line takes part.
"""
import os
import signal
import subprocess
import tempfile
import threading
import time

from cluster import Cluster, build_directory, eventually, scaled
from test_cli_data import Running, lines_of, touch
from test_library import ROOT, WARNINGS, Installed, compiler, run
from testing import count_from_environment, limit, report

ROUNDS = count_from_environment("MINIKV_TEST_LOCK_ROUNDS", 6)
SHORT_MS = round(scaled(3) * 1000)  # a machine that stands still for two thirds of it loses a lock
HOLD = 'echo "$MINIKV_FENCE" >>log; until [ -e go ]; do sleep 0.02; done'


class Program:
    """holder.c, compiled once for a test."""

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="minikv-test-holder-")
        self.path = os.path.join(self.directory, "holder")
        build = os.path.abspath(build_directory())
        run([*compiler(), "-std=c11", "-D_GNU_SOURCE", *WARNINGS, f"-I{ROOT}/include",
             f"{ROOT}/tests/system/holder.c", "-o", self.path, f"-L{build}", "-lminikv",
             f"-Wl,-rpath,{build}"])
        return self

    def __exit__(self, *_):
        os.remove(self.path)
        os.rmdir(self.directory)


class Holder:
    """One process of it. A line that is `begun` is answered when `answer` asks for that."""

    def __init__(self, program, nodes, timeout_ms=5000):
        self.process = subprocess.Popen(
            [program.path, ",".join(n.http_text for n in nodes),
             str(round(scaled(timeout_ms)))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def begin(self, line):
        self.process.stdin.write(line + "\n")

    def answer(self, timeout=60):
        """The next line, as words; the process is killed where none comes."""
        timer = threading.Timer(scaled(timeout), self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        assert line, "no answer"
        return line.split()

    def ask(self, line, timeout=60):
        self.begin(line)
        return self.answer(timeout)

    def token(self, line):
        """Of a lock, or an office, that is to be had."""
        words = self.ask(line)
        assert words[0] == "ok", (line, words)
        return int(words[1])

    def state(self):
        return self.ask("look")[0]

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        eventually(lambda: self._process_state() == "T", "it stands still")

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def _process_state(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0]


def leases(nodes):
    return nodes[0].request("GET", "/v1/leases").json["leases"]


def keys_of(nodes, prefix):
    reply = nodes[0].request("GET", f"/v1/kv?prefix={prefix}&keys_only")
    assert reply.status == 200, reply
    return [item["key"] for item in reply.json["items"]]


def wait_for_places(nodes, name, count):
    eventually(lambda: len(keys_of(nodes, name + "/")) == count, f"{count} places for {name}")


# ---- locks ----

@limit(120)
def test_holders_in_c_and_of_the_command_line_exclude_each_other_in_order():
    with Program() as program, Cluster(3).start() as cluster, \
            tempfile.TemporaryDirectory() as there, \
            Holder(program, cluster.nodes) as first, Holder(program, cluster.nodes) as last:
        at, log = cluster.nodes, os.path.join(there, "log")
        tokens = [first.token("acquire job 30000 -1")]
        with Running("lock", "job", "--ttl", "30", "--", "sh", "-c", HOLD, at=at,
                     cwd=there) as middle:
            wait_for_places(at, "job", 2)
            last.begin("acquire job 30000 -1")
            wait_for_places(at, "job", 3)
            assert lines_of(log) == [] and first.state() == "held"

            assert first.ask("release") == ["ok"]

            eventually(lambda: len(lines_of(log)) == 1, "the command line has it")
            tokens.append(int(lines_of(log)[0]))
            assert first.ask("acquire job 30000 0") == ["held"]
            touch(os.path.join(there, "go"))
            assert middle.wait() == 0, middle
        words = last.answer()
        assert words[0] == "ok", words
        tokens.append(int(words[1]))
        assert tokens == sorted(set(tokens)), tokens
        eventually(lambda: first.ask("acquire job 30000 300") == ["held"], "it is told in time")
        assert len(keys_of(at, "job/")) == 1, "who gives up takes its place with it"
        assert last.ask("release") == ["ok"]
        assert keys_of(at, "job/") == [] and leases(at) == []


@limit(120)
def test_a_holder_that_stood_still_past_its_time_writes_nothing_with_its_token():
    with Program() as program, Cluster(3).start() as cluster, \
            Holder(program, cluster.nodes) as alice, Holder(program, cluster.nodes) as bob:
        old = alice.token(f"acquire job {SHORT_MS} -1")
        assert alice.ask("put file alice") == ["ok", "2"]
        alice.pause()
        new = bob.token("acquire job 60000 -1")
        assert bob.ask("put file bob") == ["ok", "2"]

        alice.begin("put file alice-again")
        alice.resume()

        assert alice.answer() == ["lost", "0"] and new > old
        assert cluster.nodes[0].value("file") == "bob"
        assert alice.ask("keep 5000")[0] == "lost"
        assert alice.ask("look") == ["lost", "0", "0"]
        assert alice.ask("release") == ["lost"]
        assert bob.state() == "held" and bob.ask("release") == ["ok"]


@limit(120)
def test_the_lock_of_a_process_that_dies_is_anothers_after_its_time():
    with Program() as program, Cluster(3).start() as cluster, \
            Holder(program, cluster.nodes) as first, Holder(program, cluster.nodes) as second:
        old = first.token(f"acquire job {SHORT_MS} -1")
        second.begin("acquire job 60000 -1")
        wait_for_places(cluster.nodes, "job", 2)
        first.kill()

        words = second.answer()

        assert words[0] == "ok" and int(words[1]) > old, words
        assert len(keys_of(cluster.nodes, "job/")) == 1
        assert second.ask("release") == ["ok"]


@limit(180)
def test_a_leader_killed_under_a_holder_and_those_who_wait_loses_nothing():
    with Program() as program, Cluster(3).start() as cluster, \
            Holder(program, cluster.nodes, 20000) as holder, \
            Holder(program, cluster.nodes, 20000) as waiter:
        ttl_ms = round(scaled(20) * 1000)  # far above what an election takes
        token = holder.token(f"acquire job {ttl_ms} -1")
        waiter.begin(f"acquire job {ttl_ms} -1")
        wait_for_places(cluster.nodes, "job", 2)
        for i in range(2):
            cluster.leader().kill()

            assert holder.ask(f"put file {i}", 120) == ["ok", "2"]
            code, certain_ms = holder.ask("keep 60000", 120)
            assert code == "ok" and 0 < int(certain_ms) < ttl_ms, (code, certain_ms)
            state, _, now = holder.ask("look")
            assert state == "held" and int(now) == token
            cluster.start()
            cluster.wait_ready()
        wait_for_places(cluster.nodes, "job", 2)
        assert holder.ask("release", 120) == ["ok"]
        words = waiter.answer(120)
        assert words[0] == "ok" and int(words[1]) > token, words
        assert waiter.ask("release") == ["ok"]
        eventually(lambda: leases(cluster.nodes) == [], "no lease is left behind")


@limit(180)
def test_what_is_counted_under_a_lock_is_exact_though_leaders_die():
    """Each round reads, and writes one more with its token: two at once would lose one."""
    with Program() as program, Cluster(3).start() as cluster:
        holders = [Holder(program, cluster.nodes, 30000) for _ in range(4)]
        counted, errors = [], []

        def count(holder):
            try:
                for _ in range(ROUNDS):
                    token = holder.token("acquire sum 60000 -1")
                    value = eventually(lambda: (cluster.up()[0].value("sum") or "0",), "a read",
                                       timeout=30)[0]
                    assert holder.ask(f"put sum {int(value) + 1}") == ["ok", "2"]
                    counted.append(token)  # while nobody else holds it
                    assert holder.ask("release") == ["ok"]
            except BaseException as error:  # pylint: disable=broad-except
                errors.append(error)

        threads = [threading.Thread(target=count, args=(holder,), daemon=True)
                   for holder in holders]
        try:
            for thread in threads:
                thread.start()
            eventually(lambda: len(counted) > ROUNDS or errors, "they count", timeout=60)
            cluster.leader().kill()
            for thread in threads:
                thread.join(scaled(120))
        finally:
            for holder in holders:
                holder.kill()
        assert not errors, errors
        cluster.start()
        cluster.wait_ready()
        assert cluster.nodes[0].value("sum") == str(4 * ROUNDS)
        assert counted == sorted(counted), "tokens grow"
        assert leases(cluster.nodes) == []


@limit(90)
def test_nobody_who_answers_is_no_certainty_and_no_loss_until_it_is_known():
    with Program() as program, Cluster(3).start() as cluster, \
            Holder(program, cluster.nodes, 3000) as holder:
        holder.token(f"acquire job {SHORT_MS} -1")
        for node in cluster.nodes:
            node.pause()

        eventually(lambda: holder.ask("look")[:2] == ["held", "0"], "it is not certain any more")
        assert holder.ask("keep 200") == ["unavailable", "0"]
        assert holder.ask("put file x")[0] in ("unknown", "unavailable")
        for node in cluster.nodes:
            node.resume()

        # The cluster may find that the time was over, or not: a new leader adds to it.
        code, certain_ms = holder.ask("keep 60000", 90)
        assert (code == "ok") == (int(certain_ms) > 0) and code in ("ok", "lost"), code
        assert holder.ask("release")[0] in ("ok", "lost")


@limit(90)
def test_who_cannot_get_it_in_time_is_told_why():
    with Program() as program, Cluster(1).start() as cluster, \
            Holder(program, cluster.nodes, 3000) as holder, \
            Holder(program, cluster.nodes, 3000) as other:
        holder.token("acquire job 60000 -1")
        eventually(lambda: other.ask("acquire job 60000 100") == ["held"], "it is told in time")
        assert other.ask("acquire job 5 100") == ["invalid"]
        cluster.nodes[0].pause()
        assert other.ask("acquire job 60000 100") == ["unavailable"]
        assert holder.ask("release") == ["unavailable"]
        cluster.nodes[0].resume()


# ---- leases ----

@limit(90)
def test_a_lease_takes_its_keys_with_it_when_it_is_given_back_or_left_alone():
    with Program() as program, Cluster(3).start() as cluster, \
            Holder(program, cluster.nodes) as holder:
        node = cluster.nodes[0]
        lease = holder.token(f"lease {SHORT_MS}")
        assert holder.ask("attach a 1") == ["ok"] and holder.ask("attach b 1") == ["ok"]
        until = time.monotonic() + 1.5 * SHORT_MS / 1000
        while time.monotonic() < until:  # longer than its time, kept by a loop that only polls
            assert node.value("a") == "1"
            time.sleep(0.1)
        remaining_ms, keys = holder.ask(f"left {lease}")
        assert int(remaining_ms) <= SHORT_MS and keys == "2"
        assert holder.ask("release") == ["ok"]
        assert node.value("a") is None and node.value("b") is None
        assert holder.ask(f"left {lease}") == ["not-found"]

        lease = holder.token("lease 1000")
        assert holder.ask("attach c 1") == ["ok"]
        assert holder.ask("free") == ["ok"]
        eventually(lambda: node.value("c") is None, "it ends by itself")


# ---- elections ----

@limit(120)
def test_one_leads_speaks_and_is_followed_by_the_next():
    with Program() as program, Cluster(3).start() as cluster, \
            Holder(program, cluster.nodes) as anna, Holder(program, cluster.nodes) as bert, \
            Holder(program, cluster.nodes) as crowd:
        assert crowd.ask("leader chair") == ["not-found"]
        crowd.begin("observe chair 0 60000")
        token = anna.token("campaign chair anna 30000 -1")
        seen, value = crowd.answer()
        assert value == "anna"
        bert.begin("campaign chair bert 30000 -1")
        wait_for_places(cluster.nodes, "chair", 2)

        crowd.begin(f"observe chair {seen} 60000")
        assert anna.ask("proclaim anna-says") == ["ok"]
        seen, value = crowd.answer()
        assert value == "anna-says" and crowd.ask("leader chair") == [str(token), "anna-says"]
        eventually(lambda: crowd.ask(f"observe chair {seen} 50") == [seen, "anna-says"],
                   "it is told in time")
        with Running("elect", "chair", "--observe", at=cluster.nodes) as observer:
            eventually(lambda: observer.lines == [f"token {token}: anna-says"],
                       "the command line sees the same")

        assert anna.ask("release") == ["ok"]

        words = bert.answer()
        assert words[0] == "ok" and int(words[1]) > token, words
        assert crowd.ask("leader chair") == [words[1], "bert"]
        assert bert.ask("release") == ["ok"]
        assert bert.ask("leader chair") == ["not-found"]


@limit(120)
def test_of_the_example_programs_one_leads_and_the_next_one_follows():
    with Installed() as installed, Cluster(3).start() as cluster:
        program = installed.compile_example("leader")
        endpoints = ",".join(node.http_text for node in cluster.nodes)
        runs = []

        def begin(name):
            runs.append(subprocess.Popen(
                [program, endpoints, "job", name], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, text=True, env=installed.environment))
            wait_for_places(cluster.nodes, "job", len(runs))

        try:
            begin("anna")
            begin("bert")
            first = runs[0].stdout.readline()
            report_of = lambda: cluster.nodes[0].value("job-report") or ""
            eventually(lambda: report_of().startswith("anna leads"), "anna reports", timeout=30)
            runs[0].send_signal(signal.SIGTERM)
            assert runs[0].wait(scaled(30)) == 0
            second = runs[1].stdout.readline()
            eventually(lambda: report_of().startswith("bert leads"), "bert reports", timeout=30)
        finally:
            for process in runs:
                process.kill()
                process.stdout.close()
                process.wait()
        tokens = [int(line.split()[-1]) for line in (first, second)]
        assert first.startswith("anna leads, token") and second.startswith("bert leads, token")
        assert tokens[0] < tokens[1], tokens


@limit(90)
def test_how_long_a_lock_takes_from_hand_to_hand():
    rounds = 20
    with Program() as program, Cluster(3).start() as cluster, \
            Holder(program, cluster.nodes) as one, Holder(program, cluster.nodes) as two:
        one.token("acquire job 30000 -1")
        pauses = []
        for _ in range(rounds):
            two.begin("acquire job 30000 -1")
            wait_for_places(cluster.nodes, "job", 2)
            begun = time.monotonic()
            assert one.ask("release") == ["ok"]
            assert two.answer()[0] == "ok"
            pauses.append((time.monotonic() - begun) * 1000)
            one, two = two, one
        report(f"{sorted(pauses)[rounds // 2]:.1f} ms, half of the time")
