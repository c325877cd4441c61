"""The command line on the data model: past revisions, transactions, watches, leases, locks."""
import base64
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

from cluster import Cluster, eventually, program, scaled
from test_cli import (AS_CLIENT, CONDITION, FAILURE, NOT_FOUND, OK, UNAVAILABLE, UNKNOWN, USAGE,
                      Front, closed_address, minikv, until_unknown)
from testing import in_time, limit

LOST = 7
EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")


class Running:
    """minikv in the background, in a process group of its own. It is ended with the test."""

    def __init__(self, *arguments, at, cwd=None, to=None):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MINIKV_")}
        environment["MINIKV_ENDPOINTS"] = ",".join(
            n if isinstance(n, str) else n.http_text for n in at)
        environment["PATH"] = os.path.dirname(program("minikv")) + ":" + environment["PATH"]
        self.out, self.err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        words = [program("minikv"), *arguments]
        if to:  # a pipe, which is opened when there is a reader
            words = ["sh", "-c", 'exec "$@" >"$0"', to, *words]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.out,
                                        stderr=self.err, env=environment, cwd=cwd,
                                        start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def signal(self, number, group=False):
        (os.killpg if group else os.kill)(self.process.pid, number)

    def wait(self, timeout=20):
        return self.process.wait(scaled(timeout))

    @staticmethod
    def _read(file):
        return os.pread(file.fileno(), 1 << 24, 0).decode()

    @property
    def text(self):
        return self._read(self.out)

    @property
    def lines(self):
        return self.text.splitlines()

    @property
    def error(self):
        return self._read(self.err)

    def __repr__(self):
        return f"<running {self.process.args[1:]} out={self.text[-2000:]!r} err={self.error!r}>"


def keys_of(at, prefix):
    return minikv("ls", prefix, "--keys-only", "-o", "plain", at=at).text.splitlines()


# ---- ls and get ----

def test_a_past_revision_is_listed_and_read():
    with Cluster(3).start() as cluster:
        at = cluster.nodes
        first = int(minikv("put", "a", "1", at=at).text.split()[-1])
        minikv("put", "a", "2", at=at)
        minikv("put", "b", "3", at=at)
        minikv("del", "a", at=at)

        for node in at:
            assert minikv("get", "a", at=[node]).code == NOT_FOUND
            assert minikv("get", "a", "--rev", str(first), at=[node]).text == "1\n"
            assert minikv("get", "--prefix", "", "--rev", str(first + 1), at=[node]).text == "a\t2\n"
            past = minikv("ls", "--rev", str(first + 2), "-o", "json", at=[node]).json
            assert [i["key"] for i in past["items"]] == ["a", "b"], past
            assert past["revision"] == first + 2, past
            assert minikv("ls", "--count", at=[node]).text == "1\n"
            assert minikv("ls", "--count", "--rev", str(first + 2), at=[node]).text == "2\n"
        future = minikv("get", "b", "--rev", "1000", at=at)
        assert future.code == USAGE and "revision not reached yet" in future.err, future

        assert minikv("compact", str(first + 2), at=at).code == OK
        gone = minikv("get", "a", "--rev", str(first), at=at)
        assert gone.code == FAILURE and "has been compacted" in gone.err, gone
        assert minikv("ls", "--rev", str(first + 2), "--count", at=at).text == "2\n"


def test_a_listing_is_long_or_backward_or_both():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        for key in "abc":
            minikv("put", key, "v" + key, at=at)
        minikv("put", "a", "w", at=at)
        table = minikv("ls", "--long", at=at).text.splitlines()
        assert table[0].split() == ["KEY", "REVISION", "CREATED", "VERSION", "LEASE", "VALUE"]
        assert table[1].split() == ["a", "5", "2", "2", "0", "w"], table
        back = minikv("ls", "--desc", "--limit", "2", "-o", "plain", at=at).text
        assert back == "c\tvc\nb\tvb\n", back
        plain = minikv("ls", "--long", "--keys-only", "-o", "plain", at=at).text
        assert plain == "a\t5\t2\t2\t0\nb\t3\t3\t1\t0\nc\t4\t4\t1\t0\n", plain


def test_all_pages_of_a_listing_are_of_one_revision():
    with Cluster(3).start() as cluster:
        at, stop = cluster.nodes, threading.Event()
        for i in range(2300):
            assert at[0].put(f"p/{i:05}", "0").status == 204

        def write():
            for serial in range(1, 1 << 30):
                if stop.is_set():
                    return
                at[1].put(f"p/{serial * 37 % 2300:05}", str(serial))
                at[1].put(f"p/{serial % 2300:05}x", "new")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for arguments in ((), ("--desc",)):
                page = minikv("ls", "p/", "-o", "json", *arguments, at=at).json
                count = minikv("ls", "p/", "--count", "--rev", str(page["revision"]), at=at)
                assert len(page["items"]) == int(count.text) >= 2300, (len(page["items"]), count)
                assert max(i["mod_revision"] for i in page["items"]) == page["revision"]
        finally:
            stop.set()
            writer.join()


# ---- transactions ----

def test_a_transaction_is_sent_and_its_answer_printed():
    transaction = {"compare": [{"key": "k", "target": "version", "op": "=", "value": 0}],
                   "success": [{"put": {"key": "k", "value": "1"}}, {"put": {"key": "l", "value": "2"}}],
                   "failure": [{"get": {"prefix": ""}}]}
    with Cluster(3).start() as cluster, tempfile.NamedTemporaryFile("w") as file:
        at = cluster.nodes
        json.dump(transaction, file)
        file.flush()

        first = minikv("txn", file.name, at=at)
        second = minikv("txn", "-", at=at, stdin=json.dumps(transaction).encode())

        assert first.code == OK and first.json["succeeded"] is True, first
        assert second.code == CONDITION and second.json["succeeded"] is False, second
        items = second.json["results"][0]["get"]["items"]
        assert {i["key"]: i["mod_revision"] for i in items} == {
            "k": first.json["revision"], "l": first.json["revision"]}, second
        for text, words in (("{", "line 1"), ("[]", "no JSON object"), ('{"a":1}', "field")):
            wrong = minikv("txn", "-", at=at, stdin=text.encode())
            assert wrong.code == USAGE and words in wrong.err, wrong
        assert minikv("txn", "/nonexistent", at=at).code == USAGE


def test_a_transaction_whose_answer_is_lost_happens_once():
    transaction = json.dumps({"success": [
        {"put": {"key": "k", "value": "v", "prev": True}}]}).encode()
    with Cluster(3).start() as cluster:
        for identity in ((), AS_CLIENT):
            before = cluster.nodes[0].revision()
            front = Front(cluster.followers()[0], "POST /v1/txn", times=2)
            txn = minikv("txn", "-", *identity, at=[front.address], stdin=transaction)
            assert txn.code == OK and front.seen >= 3, (txn, front.seen)
            assert cluster.nodes[0].revision() == before + 1 == txn.json["revision"], txn


def test_what_became_of_a_transaction_can_be_asked():
    transaction = json.dumps({"success": [{"put": {"key": "k", "value": "v"}}]}).encode()
    with Cluster(3).start() as cluster:
        front = Front(cluster.nodes[0], "POST /v1/txn", times=1000)
        txn = until_unknown("txn", "-", at=[front.address], stdin=transaction)
        assert txn.out == b"", txn
        command = re.search(r"^    minikv (outcome \S+ \d+)$", txn.err, re.MULTILINE)
        outcome = minikv(*command.group(1).split(), at=cluster.nodes)
        assert outcome.code == OK and outcome.text.startswith("applied"), outcome
        assert minikv("get", "k", at=cluster.nodes).text == "v\n"


def test_a_prefix_is_deleted_at_one_revision():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        for i in range(30):
            at[0].put(f"p/{i}", "v")
        minikv("put", "q", "v", at=at)
        before = at[0].revision()
        assert minikv("del", "--prefix", "p/", at=at).text == "ok, 30 deleted\n"
        assert at[0].revision() == before + 1
        assert keys_of(at, "") == ["q"]
        assert minikv("del", "--prefix", "p/", "-o", "json", at=at).json["deleted"] == 0


MANY = 65536 + 1000  # more than one transaction deletes


def import_many(at, count=MANY, prefix="p/"):
    lines = [json.dumps({"key": f"{prefix}{i:06}", "value": ""}) for i in range(count)]
    taken = minikv("import", "-", at=at, stdin="\n".join(
        lines + [json.dumps({"revision": 1, "count": count})]).encode())
    assert taken.code == OK, taken


@limit(120)
def test_more_than_a_transaction_deletes_goes_page_by_page():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        import_many(at)
        minikv("put", "q", "v", at=at)

        whole = minikv("del", "--prefix", "p/", *AS_CLIENT, at=at)
        assert whole.code == USAGE and "same --client" in whole.err, whole
        assert minikv("ls", "p/", "--count", at=at).text == f"{MANY}\n"

        before = at[0].revision()
        done = minikv("del", "--prefix", "p/", "-o", "json", at=at)
        assert done.code == OK and done.json["deleted"] == MANY, done
        assert done.json["transactions"] == done.json["revision"] - before > 1, (before, done)
        assert keys_of(at, "") == ["q"]


TOO_LARGE = json.dumps({"type": "urn:minikv:txn-too-large", "title": "too large", "status": 413,
                        "effect": "none"}).encode()


def requests_of(connection):
    """Each request that comes, whole."""
    received = b""
    while more := connection.recv(1 << 16):
        received += more
        while b"\r\n\r\n" in received:
            head, _, body = received.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\nContent-Length: *(\d+)", head)
            count = len(head) + 4 + (int(length.group(1)) if length else 0)
            if len(received) < count:
                break
            yield received[:count]
            received = received[count:]


class Gate(Front):
    """A front that refuses transactions with one of these words, and lets so many others pass; the
    next one waits until it is opened, or is lost if it says so."""

    def __init__(self, node, passes, refuses=(b'"prefix"',), loses=False):
        self.passes, self.refuses, self.loses = passes, refuses, loses
        self.opened = threading.Event()
        super().__init__(node, "POST /v1/txn", 0)

    def _serve(self, connection):
        with connection, socket.create_connection(self.node.http) as upstream:
            back = threading.Thread(target=self._pump, args=(upstream, connection), daemon=True)
            back.start()
            for request in requests_of(connection):
                is_transaction = request.startswith(self.start)
                if is_transaction and any(word in request for word in self.refuses):
                    connection.sendall(b"HTTP/1.1 413 Content Too Large\r\n"
                                       b"Content-Type: application/problem+json\r\n"
                                       b"Content-Length: %d\r\n\r\n" % len(TOO_LARGE) + TOO_LARGE)
                    continue
                self.seen += is_transaction
                if is_transaction and self.seen > self.passes:
                    if self.loses:
                        break
                    self.opened.wait(scaled(60))
                upstream.sendall(request)
            upstream.shutdown(socket.SHUT_RDWR)
            back.join()

    @staticmethod
    def _pump(upstream, connection):
        try:
            while reply := upstream.recv(1 << 16):
                connection.sendall(reply)
        except OSError:
            pass  # one of them is gone


def test_a_deletion_that_ends_early_says_how_far_it_came():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        import_many(at, 7000)
        gate = Gate(at[0], 3)
        with Running("del", "--prefix", "p/", at=[gate.address]) as run:
            eventually(lambda: gate.seen == 4, "the fourth page is on its way")
            run.signal(signal.SIGINT)
            gate.opened.set()
            assert run.wait() == 128 + signal.SIGINT, run
            assert run.text == "", run
            assert "interrupted: 4000 keys were deleted, in 4 transactions" in run.error, run
        assert keys_of(at, "")[0] == "p/004000"

        lost = minikv("del", "--prefix", "p/", at=[Gate(at[0], 1, loses=True).address],
                      timeout="3s")

        assert lost.code == UNKNOWN, lost  # of what the last one did
        assert "before that, 1000 keys were deleted, in 1 transaction;" in lost.err, lost
        assert keys_of(at, "")[0] == "p/005000"


def test_a_deletion_goes_on_where_its_revision_is_compacted():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        import_many(at, 2500)
        gate = Gate(at[0], 1)
        with Running("del", "--prefix", "p/", "-o", "json", at=[gate.address]) as run:
            eventually(lambda: gate.seen == 2, "the second page is on its way")
            at[0].put("p/new", "v")
            assert minikv("compact", str(at[0].revision()), at=at).code == OK
            gate.opened.set()
            assert run.wait() == OK, run
            assert json.loads(run.text)["deleted"] == 2501, run
        assert keys_of(at, "") == []


def test_a_page_that_is_too_large_goes_key_by_key():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        import_many(at, 5)
        minikv("put", b"p/\xff", "v", at=at)
        done = minikv("del", "--prefix", "p/",
                      at=[Gate(at[0], 1000, (b'"prefix"', b'"start"')).address])
        assert done.code == OK and done.text == "ok, 6 deleted in 6 transactions\n", done
        assert keys_of(at, "") == []


# ---- leases ----

def test_a_key_goes_with_its_lease():
    with Cluster(3).start() as cluster:
        at = cluster.nodes
        put = minikv("put", "k", "v", "--ttl", "1", at=at)
        assert re.fullmatch(r"ok, revision \d+, lease \d+\n", put.text), put
        eventually(lambda: minikv("get", "k", at=at).code == NOT_FOUND, "it expires", 20)

        lease = minikv("lease", "grant", "1m", at=at).text.strip()
        assert minikv("put", "a", "v", "--lease", lease, at=at).code == OK
        assert minikv("put", b"\xff\t", "v", "--lease", lease, "-o", "json", at=at).json["lease"] \
            == int(lease)
        shown = minikv("lease", "show", lease, at=at).text.splitlines()
        assert shown[1].split()[0] == lease and shown[1].split()[3] == "2", shown
        assert [line.strip() for line in shown[2:]] == ["a", "\\xff\\t"], shown
        listed = minikv("lease", "list", "-o", "json", at=at).json["leases"]
        assert [entry["lease"] for entry in listed] == [int(lease)], listed
        assert minikv("lease", "revoke", lease, at=at).text == "ok\n"
        assert keys_of(at, "") == []
        gone = minikv("lease", "revoke", lease, at=at)
        assert gone.code == NOT_FOUND and "no such lease" in gone.err, gone
        assert minikv("lease", "show", lease, at=at).code == NOT_FOUND
        assert minikv("put", "k", "v", "--lease", lease, at=at).code == NOT_FOUND
        for wrong in (["grant"], ["grant", "0"], ["show"], ["show", "x"], ["renew", "1"]):
            assert minikv("lease", *wrong, at=at).code == USAGE, wrong


def test_a_put_that_does_not_happen_leaves_no_lease():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        minikv("put", "k", "v", at=at)
        assert minikv("put", "k", "w", "--ttl", "100", "--if-absent", at=at).code == CONDITION
        assert minikv("lease", "list", "-o", "json", at=at).json["leases"] == []


def stood_still(keeper):
    """A machine on which nobody could renew in time is no error, but what it is told is."""
    in_time("could not be renewed in time" not in keeper.error, keeper)


def test_a_lease_is_kept_through_the_death_of_a_leader_and_told_when_lost():
    with Cluster(3).start() as cluster:
        at = cluster.nodes
        ttl = round(scaled(2))
        lease = minikv("lease", "grant", str(ttl), at=at).text.strip()
        minikv("put", "k", "v", "--lease", lease, at=at)
        with Running("lease", "keep", lease, at=at) as keeper:
            eventually(lambda: keeper.text, "it says that it keeps it")
            cluster.leader().kill()
            end = time.monotonic() + 2 * ttl
            while time.monotonic() < end:
                get = minikv("get", "k", at=cluster.up())
                stood_still(keeper)
                assert get.code == OK, keeper
                time.sleep(0.2)

            minikv("lease", "revoke", lease, at=cluster.up())

            assert keeper.wait() == LOST, keeper
            stood_still(keeper)
            assert "has expired, or has been revoked" in keeper.error, keeper
        assert minikv("lease", "keep", lease, at=cluster.up()).code == NOT_FOUND


# ---- watch ----

def test_a_watch_tells_what_comes_and_what_was():
    with Cluster(3).start() as cluster:
        at = cluster.nodes
        first = int(minikv("put", "k", "0", at=at).text.split()[-1])
        with Running("watch", "k", "--prev", "--limit", "3", at=at) as watch:
            # It begins at no revision that is known here.
            eventually(lambda: sum(n.metrics()["minikv_watchers"] for n in at) == 1, "it watches")
            minikv("put", "k", "1", at=at)
            minikv("put", "other", "1", at=at)
            minikv("del", "k", at=at)
            minikv("put", "k", "2", at=at)
            assert watch.wait() == OK, watch
            assert [line.split("\t")[1:] for line in watch.lines] == [
                ["put", "k", "1", "0"], ["delete", "k", "", "1"], ["put", "k", "2", ""]], watch
        past = minikv("watch", "--prefix", "", "--from", str(first), "--limit", "5", at=at)
        assert [line.split("\t")[0] for line in past.text.splitlines()] == [
            str(first + i) for i in range(5)], past
        lines = minikv("watch", "k", "--from", str(first), "--limit", "2", "-o", "json", at=at)
        events = [json.loads(line) for line in lines.text.splitlines()]
        assert [e["data"]["value"] for e in events] == ["0", "1"], events
        minikv("compact", str(first + 3), at=at)
        gone = minikv("watch", "k", "--from", str(first), at=at)
        assert gone.code == FAILURE and "no longer kept" in gone.err, gone
        dead = minikv("watch", "k", "--from", "3", at=[closed_address()], timeout="500ms")
        assert dead.code == UNAVAILABLE and dead.out == b"", dead


@limit(120)
def test_a_watch_goes_on_at_other_nodes_and_tells_nothing_twice():
    with Cluster(3).start() as cluster:
        nodes, total = cluster.nodes, 400
        begin = nodes[0].revision() + 1
        with Running("watch", "--prefix", "n/", "--from", str(begin), "--limit", str(total),
                     at=nodes) as watch:
            written = 0
            while written < total:
                victim = nodes[written // 100 % 3]
                for _ in range(100):
                    put = minikv("put", f"n/{written % 7}", str(written), at=cluster.up(),
                                 timeout="20s")
                    assert put.code == OK, put
                    written += 1
                    if written % 100 == 50:
                        if written % 200 == 50:
                            victim.kill()
                        else:
                            victim.terminate()
                            victim.wait_exit()
                victim.start()
                cluster.wait_ready()
            assert watch.wait(60) == OK, watch
            values = [line.split("\t")[3] for line in watch.lines]
            assert values == [str(i) for i in range(total)], watch
            revisions = [int(line.split("\t")[0]) for line in watch.lines]
            assert revisions == sorted(set(revisions)), revisions


def test_a_revision_with_many_events_is_told_whole():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        puts = [{"put": {"key": f"k{i:03}", "value": "v"}} for i in range(100)]
        txn = minikv("txn", "-", at=at, stdin=json.dumps({"success": puts}).encode())
        revision = str(txn.json["revision"])
        for count in (1, 99, 100):
            watch = minikv("watch", "--prefix", "k", "--from", revision, "--limit", str(count),
                           at=at)
            assert [line.split("\t")[2] for line in watch.text.splitlines()] == [
                f"k{i:03}" for i in range(count)], watch


def test_a_command_runs_for_each_event():
    script = ('printf "%s|%s|%s|%s|%s|%s\\n" "$MINIKV_EVENT" "$MINIKV_REVISION" "$MINIKV_KEY" '
              '"$MINIKV_KEY_BASE64" "$MINIKV_VALUE" "$(wc -c)"; exit 3')
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        first = int(minikv("put", "a b", "one", at=at).text.split()[-1])
        minikv("put", b"\xff", "-", at=at, stdin=b"x\0y")
        minikv("put", "big", "-", at=at, stdin=b"z" * 200000)
        minikv("del", "a b", at=at)
        watch = minikv("watch", "--prefix", "", "--from", str(first), "--limit", "4", "--exec",
                       "sh", "-c", script, at=at)
        assert watch.code == OK, watch
        code = base64.b64encode
        assert watch.out.splitlines() == [
            b"put|%d|a b|%s|one|3" % (first, code(b"a b")),
            b"put|%d|\xff|%s||3" % (first + 1, code(b"\xff")),
            b"put|%d|big|%s||200000" % (first + 2, code(b"big")),
            b"delete|%d|a b|%s||0" % (first + 3, code(b"a b"))], watch
        assert watch.err.count("exit code 3 for the event") == 4, watch
        twice = minikv("watch", "a b", "--from", str(first), "--limit", "1", "--exec", "--", "echo",
                       "-n", at=at)
        assert twice.code == OK and twice.out == b"", twice
        assert minikv("watch", "a b", "--exec", "--", at=at).code == USAGE
        missing = minikv("watch", "--prefix", "", "--from", str(first), "--limit", "1", "--exec",
                         "/nonexistent", at=at)
        assert "cannot run /nonexistent" in missing.err, missing


# ---- locks ----

HOLD = 'echo "in $MINIKV_FENCE" >>log; until [ -e "$1" ]; do sleep 0.02; done; echo out >>log'


def lines_of(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def touch(path):
    with open(path, "w", encoding="utf-8"):
        pass


def test_a_lock_is_held_by_one_after_the_other_in_order():
    with Cluster(3).start() as cluster, tempfile.TemporaryDirectory() as there:
        at, log = cluster.nodes, os.path.join(there, "log")
        runs = []
        try:
            for i in range(4):
                runs.append(Running("lock", "job", "--", "sh", "-c", HOLD, "-", f"go{i}", at=at,
                                    cwd=there))
                eventually(lambda i=i: len(keys_of(at, "job/")) == i + 1, "it has its place")
            for i, run in enumerate(runs):
                eventually(lambda i=i: len(lines_of(log)) == 2 * i + 1, "the next one runs")
                touch(os.path.join(there, f"go{i}"))
                assert run.wait() == OK, run
        finally:
            for run in runs:
                run.__exit__()
        said = lines_of(log)
        assert [line.split()[0] for line in said] == ["in", "out"] * 4, said
        tokens = [int(line.split()[1]) for line in said[::2]]
        assert tokens == sorted(set(tokens)), tokens
        assert keys_of(at, "job/") == []
        assert minikv("lease", "list", "-o", "json", at=at).json["leases"] == []


def test_the_exit_code_and_signals_are_passed_on():
    with Cluster(1).start() as cluster, tempfile.TemporaryDirectory() as there:
        at = cluster.nodes
        for code in (0, 1, 42):
            assert minikv("lock", "job", "--", "sh", "-c", f"exit {code}", at=at).code == code
        assert minikv("lock", "job", "--", "/nonexistent", at=at).code == 127
        script = 'trap "echo told; exit 9" TERM; touch ready; while :; do sleep 0.02; done'
        with Running("lock", "job", "--", "sh", "-c", script, at=at, cwd=there) as run:
            eventually(lambda: os.path.exists(os.path.join(there, "ready")), "it runs")
            run.signal(signal.SIGTERM)
            assert run.wait() == 9 and run.text == "told\n", run
        assert keys_of(at, "job/") == []


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_signal_reaches_all_that_the_command_has_started():
    inner = 'trap "sleep 0.2; echo told >>log; exit" TERM; touch ready; while :; do sleep 0.02; done'
    outer = 'trap "exit 3" TERM'  # once the inner one has ended
    script = f"{outer}; (setsid sleep 1000 & echo $! >pid); ({inner}); echo never >>log"
    with Cluster(1).start() as cluster, tempfile.TemporaryDirectory() as there:
        at, log = cluster.nodes, os.path.join(there, "log")
        with Running("lock", "job", "--", "sh", "-c", script, at=at, cwd=there) as run:
            eventually(lambda: os.path.exists(os.path.join(there, "ready")), "it runs")
            orphan = int(lines_of(os.path.join(there, "pid"))[0])
            assert is_alive(orphan)
            run.signal(signal.SIGTERM)
            assert run.wait() == 3, run
        assert lines_of(log) == ["told"] and not is_alive(orphan), lines_of(log)
        assert keys_of(at, "job/") == []


def test_what_a_command_leaves_running_is_not_waited_for():
    with Cluster(1).start() as cluster:
        script = "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"
        run = minikv("lock", "job", "--", "sh", "-c", script, at=cluster.nodes)
        assert run.code == OK, run
        os.kill(int(run.text), signal.SIGKILL)  # it is there
        assert keys_of(cluster.nodes, "job/") == []


def test_a_name_has_room_for_a_place():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        for name in ("", "n" * 4080):
            for command in (["lock", name, "--", "true"], ["elect", name, "v", "--", "true"],
                            ["elect", name, "--observe"]):
                refused = minikv(*command, at=at)
                assert refused.code == USAGE and "a name has 1 to 4079 bytes" in refused.err, refused
        assert minikv("lock", "n" * 4079, "--", "true", at=at).code == OK


def test_who_gives_up_waiting_leaves_its_place():
    with Cluster(1).start() as cluster, tempfile.TemporaryDirectory() as there:
        at = cluster.nodes
        with Running("lock", "job", "--", "sh", "-c", HOLD, "-", "go", at=at, cwd=there) as holder:
            eventually(lambda: len(keys_of(at, "job/")) == 1, "it holds the lock")
            with Running("lock", "job", "--", "true", at=at) as waiter:
                eventually(lambda: len(keys_of(at, "job/")) == 2, "it waits")
                waiter.signal(signal.SIGTERM)
                assert waiter.wait() == 128 + signal.SIGTERM, waiter
            assert len(keys_of(at, "job/")) == 1
            touch(os.path.join(there, "go"))
            assert holder.wait() == OK, holder


def test_the_lock_passes_on_when_its_holder_is_killed():
    script = 'trap "echo told >>log; exit" TERM; echo first >>log; while :; do sleep 0.02; done'
    with Cluster(3).start() as cluster, tempfile.TemporaryDirectory() as there:
        at, log = cluster.nodes, os.path.join(there, "log")
        with Running("lock", "job", "--ttl", "1", "--", "sh", "-c", script, at=at,
                     cwd=there) as first:
            eventually(lambda: lines_of(log) == ["first"], "the first one holds it")
            with Running("lock", "job", "--", "sh", "-c", "echo second >>log", at=at,
                         cwd=there) as second:
                first.signal(signal.SIGKILL)
                eventually(lambda: "told" in lines_of(log), "its command ends with it")
                assert second.wait() == OK, second
        assert lines_of(log) == ["first", "told", "second"], lines_of(log)


def test_a_lock_is_kept_through_the_death_of_a_leader():
    with Cluster(3).start() as cluster, tempfile.TemporaryDirectory() as there:
        at, log = cluster.nodes, os.path.join(there, "log")
        ttl = round(scaled(2))
        with Running("lock", "job", "--ttl", str(ttl), "--", "sh", "-c", HOLD, "-", "go", at=at,
                     cwd=there) as holder:
            eventually(lambda: len(lines_of(log)) == 1, "it holds the lock")
            cluster.leader().kill()
            key = keys_of(cluster.up(), "job/")
            time.sleep(2 * ttl)
            left = keys_of(cluster.up(), "job/")
            stood_still(holder)
            assert left == key != [], holder
            touch(os.path.join(there, "go"))
            assert holder.wait() == OK, holder


def test_a_command_is_told_when_its_lock_is_lost():
    script = 'trap "echo told; exit 0" TERM; touch ready; while :; do sleep 0.02; done'
    with Cluster(1).start() as cluster, tempfile.TemporaryDirectory() as there:
        at = cluster.nodes
        with Running("lock", "job", "--ttl", "5", "--", "sh", "-c", script, at=at,
                     cwd=there) as run:
            eventually(lambda: os.path.exists(os.path.join(there, "ready")), "it runs")
            lease = minikv("lease", "list", "-o", "json", at=at).json["leases"][0]["lease"]
            minikv("lease", "revoke", str(lease), at=at)
            assert run.wait() == LOST and run.text == "told\n", run
            assert f"lease {lease} is lost" in run.error or "its key is gone" in run.error, run


def test_a_holder_is_told_when_its_key_is_deleted():
    script = 'trap "echo told; exit 0" TERM; touch ready; while :; do sleep 0.02; done'
    with Cluster(3).start() as cluster, tempfile.TemporaryDirectory() as there:
        at = cluster.nodes
        with Running("lock", "job", "--ttl", "60", "--", "sh", "-c", script, at=at,
                     cwd=there) as run:
            eventually(lambda: os.path.exists(os.path.join(there, "ready")), "it runs")
            key, = keys_of(at, "job/")
            time.sleep(scaled(0.5))  # it watches, or is about to: both must do
            assert minikv("txn", "-", at=at, stdin=json.dumps({"success": [
                {"delete": {"key": key}}]}).encode()).code == OK
            minikv("put", key, "another's", at=at)
            assert run.wait() == LOST and run.text == "told\n", run
            assert "its key is gone" in run.error, run
        minikv("del", key, at=at)
        with Running("elect", "job", "anna", "--ttl", "60", at=at) as anna:
            eventually(lambda: anna.text, "anna is elected")
            cluster.leader().kill()
            minikv("del", "--prefix", "job/", at=cluster.up())
            assert anna.wait() == LOST and "its key is gone" in anna.error, anna
        assert minikv("lease", "list", "-o", "json", at=cluster.up()).json["leases"] == []


def test_a_holder_whose_key_changes_goes_on():
    with Cluster(1).start() as cluster, tempfile.TemporaryDirectory() as there:
        at = cluster.nodes
        with Running("lock", "job", "--ttl", "60", "--", "sh", "-c", HOLD, "-", "go", at=at,
                     cwd=there) as run:
            eventually(lambda: len(keys_of(at, "job/")) == 1, "it holds the lock")
            key, = keys_of(at, "job/")
            lease = minikv("get", key, "-o", "json", at=at).json["lease"]
            for i in range(20):
                assert minikv("put", key, str(i), "--lease", str(lease), at=at).code == OK
                minikv("compact", str(at[0].revision()), at=at)
            touch(os.path.join(there, "go"))
            assert run.wait() == OK, run


def test_a_release_is_checked():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        script = f'trap "" TERM; {program("minikv")} lease revoke "$MINIKV_LEASE"'
        run = minikv("--endpoints", at[0].http_text, "lock", "job", "--ttl", "60", "--", "sh", "-c",
                     script)  # ENDPOINTS are handed on
        assert run.code == LOST and run.text == "ok\n", run
        assert "had been lost before" in run.err or "its key is gone" in run.err, run


def test_who_loses_its_place_while_waiting_says_so():
    with Cluster(1).start() as cluster, tempfile.TemporaryDirectory() as there:
        at = cluster.nodes
        with Running("lock", "job", "--", "sh", "-c", HOLD, "-", "go", at=at, cwd=there):
            eventually(lambda: len(keys_of(at, "job/")) == 1, "one holds the lock")
            with Running("lock", "job", "--ttl", "60", "--", "touch", "ran", at=at,
                         cwd=there) as waiter:
                eventually(lambda: len(keys_of(at, "job/")) == 2, "the other one waits")
                last = minikv("lease", "list", "-o", "json", at=at).json["leases"][-1]["lease"]
                minikv("lease", "revoke", str(last), at=at)
                assert waiter.wait() == LOST and waiter.error.count("\n") == 1, waiter
                assert "the key of this place is gone" in waiter.error, waiter
        assert not os.path.exists(os.path.join(there, "ran"))


def test_a_command_is_stopped_when_no_node_can_renew_its_lock():
    script = 'trap "echo told; exit 0" TERM; touch ready; while :; do sleep 0.02; done'
    with Cluster(1).start() as cluster, tempfile.TemporaryDirectory() as there:
        with Running("lock", "job", "--ttl", "1", "--timeout", "1s", "--", "sh", "-c", script,
                     at=cluster.nodes, cwd=there) as run:
            eventually(lambda: os.path.exists(os.path.join(there, "ready")), "it runs")
            cluster.nodes[0].pause()
            assert run.wait() == LOST and run.text == "told\n", run
            cluster.nodes[0].resume()
            assert "could not be renewed in time" in run.error, run


@limit(90)
def test_a_holder_that_stood_still_cannot_write_with_its_old_token():
    with Cluster(3).start() as cluster:
        environment = dict(os.environ, MINIKV_ENDPOINTS=",".join(n.http_text for n in cluster.nodes))
        environment["PATH"] = os.path.dirname(program("minikv")) + ":" + environment["PATH"]
        run = subprocess.run([os.path.join(EXAMPLES, "fencing.sh")], env=environment,
                             capture_output=True, timeout=scaled(60))
        said = run.stdout.decode()
        assert run.returncode == 0, (said, run.stderr.decode())
        tokens = [int(t) for t in re.findall(r"holds the lock, token (\d+)", said)]
        assert len(tokens) == 2 and tokens[0] < tokens[1], said
        assert "minikv txn ends with exit code 4" in said and "the file says: bob" in said, said


# ---- elections ----

def test_one_leads_and_the_next_one_follows():
    with Cluster(3).start() as cluster:
        at = cluster.nodes
        with Running("elect", "chair", "--observe", at=at) as observer:
            eventually(lambda: observer.lines == ["nobody leads"], "it looks on")
            with Running("elect", "chair", "anna", at=at) as anna:
                eventually(lambda: anna.text, "anna is elected")
                assert re.fullmatch(r"elected, token \d+, key chair/[0-9a-f]{16}\n", anna.text), anna
                with Running("elect", "chair", "bert", "-o", "json", at=at) as bert:
                    eventually(lambda: len(keys_of(at, "chair/")) == 2, "bert waits")
                    assert bert.text == "", bert
                    anna.signal(signal.SIGINT)
                    assert anna.wait() == OK, anna
                    eventually(lambda: bert.text, "bert is elected")
                    token = json.loads(bert.text)["fence"]
                    bert.signal(signal.SIGTERM)
                    assert bert.wait() == OK, bert
                eventually(lambda: len(observer.lines) == 4, f"all is seen: {observer}")
                first = int(anna.text.split(",")[1].split()[1])
                assert observer.lines == ["nobody leads", f"token {first}: anna",
                                          f"token {token}: bert", "nobody leads"], observer
        ran = minikv("elect", "chair", "carl", "--", "sh", "-c", 'echo "$MINIKV_FENCE"; exit 5',
                     at=at)
        assert ran.code == 5 and int(ran.text) > token, ran
        assert minikv("elect", "chair", at=at).code == USAGE


# ---- export and import ----

def test_an_export_is_imported_elsewhere_key_by_key():
    with Cluster(3).start() as cluster, Cluster(1).start() as other, \
            tempfile.TemporaryDirectory() as there:
        path = os.path.join(there, "dump")
        for i in range(2500):
            assert cluster.nodes[i % 3].put(f"p/{i:04}", f"v{i}").status == 204
        minikv("put", b"\xff\n", "-", at=cluster.nodes, stdin=bytes(range(256)))
        minikv("put", "session", "x", "--ttl", "100", at=cluster.nodes)
        export = minikv("export", path, at=cluster.nodes)
        assert re.fullmatch(r"ok, 2502 keys as of revision \d+\n", export.text), export
        assert os.listdir(there) == ["dump"]

        taken = minikv("import", path, at=other.nodes)

        assert taken.code == OK and taken.text == "ok, 2501 keys; 1 with a lease left out\n", taken
        theirs = minikv("get", "--prefix", "", at=other.nodes).text.splitlines()
        ours = minikv("get", "--prefix", "", at=cluster.nodes).text.splitlines()
        assert theirs == [line for line in ours if not line.startswith("session")]
        part = minikv("export", "-", "--prefix", "p/000", at=cluster.nodes)
        assert len(part.text.splitlines()) == 11, part
        assert json.loads(part.text.splitlines()[-1])["count"] == 10, part


def test_an_import_that_stopped_goes_on_behind_the_last_stored_line():
    lines = [json.dumps({"key": f"k{i:03}", "value": "v"}) for i in range(250)]
    end = json.dumps({"revision": 1, "count": 250})
    broken = lines[:230] + ["no JSON"] + lines[231:] + [end]
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        stopped = minikv("import", "-", at=at, stdin="\n".join(broken).encode())
        assert stopped.code == USAGE and "line 231" in stopped.err, stopped
        assert "the first 200 lines are stored; to go on behind them: --skip 200" in stopped.err
        assert len(keys_of(at, "k")) == 200
        before = at[0].revision()

        rest = minikv("import", "-", "--skip", "200", at=at,
                      stdin="\n".join(lines + [end]).encode())

        assert rest.code == OK and rest.text == "ok, 50 keys\n", rest
        assert at[0].revision() == before + 1
        assert keys_of(at, "k") == [f"k{i:03}" for i in range(250)]
        cut = minikv("import", "-", at=at, stdin="\n".join(lines).encode())
        assert cut.code == FAILURE and "may have been cut off" in cut.err, cut
        twice = minikv("import", "-", at=at, stdin=(lines[0] + "\n" + lines[0] + "\n" + end).encode())
        assert twice.code == OK and twice.text == "ok, 2 keys\n", twice


def test_an_import_knows_a_key_in_both_spellings():
    end = '{"revision":1,"count":3}'
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        lines = ['{"key":"a","value":"1"}', '{"key":"b","value":"2"}',
                 '{"key_base64":"YQ==","value_base64":"Mw=="}', end]
        taken = minikv("import", "-", at=at, stdin="\n".join(lines).encode())
        assert taken.code == OK and taken.text == "ok, 3 keys\n", taken
        assert minikv("get", "--prefix", "", at=at).text == "a\t3\nb\t2\n"
        part = minikv("import", "-", "--prefix", "a", at=at, stdin="\n".join(lines).encode())
        assert part.code == OK and part.text == "ok, 2 keys\n", part
        for wrong, words in (('{"key":"a","key_base64":"YQ==","value":"1"}', "it has both key and key_base64"),
                             ('{"key_base64":"Y?==","value":"1"}', "its key is not"),
                             ('{"key":"","value":"1"}', "its key is not"),
                             ('{"key":7,"value":"1"}', "its key is not"),
                             (json.dumps({"key": "k" * 4097, "value": "1"}), "its key is not"),
                             ('{"value":"1"}', "it has no key")):
            refused = minikv("import", "-", at=at, stdin=f"{lines[0]}\n{wrong}\n{end}".encode())
            assert refused.code == USAGE and f"line 2: {words}" in refused.err, refused
        longest = json.dumps({"key": "k" * 4096, "value": "1"})
        assert minikv("import", "-", at=at, stdin=f"{longest}\n{end}".encode()).code == OK


def test_an_export_goes_on_at_another_node():
    with Cluster(3).start() as cluster, tempfile.TemporaryDirectory() as there:
        value, path = "x" * 20000, os.path.join(there, "pipe")
        for i in range(1500):
            assert cluster.nodes[i % 3].put(f"p/{i:04}", value).status == 204
        os.mkfifo(path)
        with Running("export", "-", at=cluster.nodes, to=path) as export, open(path, "rb") as pipe:
            lines = [pipe.readline()]
            cluster.nodes[0].kill()  # the first endpoint: the rest is still on its way from there
            lines += pipe.readlines()
            assert export.wait() == OK, export
        items = [json.loads(line) for line in lines]
        assert [item["key"] for item in items[:-1]] == [f"p/{i:04}" for i in range(1500)]
        assert items[-1]["count"] == 1500, items[-1]
