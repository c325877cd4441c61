"""Cells of the matrix of test_effect.py: a request, a place, something that happens there.

A cell sends one write to one node, has its failpoint crash, stop or drop at the nodes that it
names, and notes what the client was told. When a Matrix ends, the nodes are whole again, a last
write is everywhere, and the final log says whether the client was told the truth.
"""
import os
import signal
import time
from dataclasses import dataclass, field

import cluster as clusters
from cluster import EXIT_STORAGE, Cluster, eventually
from final_log import FinalLog
from http_client import Closed, Connection, encode, identity
from testing import OutOfTime

CRASH, STOP, DROP = "crash", "stop", "drop"
ENTRY, LEADER, FOLLOWER, FOLLOWERS = "entry", "leader", "follower", "followers"
LOST = "lost"  # the connection ended without a reply: the client knows nothing
APPLIED, NONE, MAYBE = "204 applied", "503 none", "504 maybe"
LATE = "504 none"  # its time had passed before anything was tried
YES, NO, EITHER = "yes", "no", "either"
REFUSED = "refused"  # in the log, and its condition made it change nothing
SHORT_MS, LONG_MS, ELECTION_MS = 300, 5000, 500


@dataclass
class Cell:
    """`via`: the role of the node asked. `at`: the nodes where `point` is armed, by role; a
    FOLLOWER is one that was not asked. `answers`: what the client may see. `there`: whether the
    command is in the final log; what was answered must be true in any case."""
    point: str
    at: str
    action: str
    via: str
    answers: object
    there: str
    timeout_ms: int = LONG_MS
    until: str = ""  # STOP: "deadline": goes on when it has passed; "deposed": and others lead
    incr: int = 0    # POST /v1/incr with this number instead of PUT; its reply is matched
    is_repeated: bool = False  # has an identity, and is sent again, to every node
    is_late: bool = field(default=False, init=False)  # its time was over before it came to the point
    answer: str = field(default="", init=False)
    key: str = field(default="", init=False)

    def __str__(self):
        return f"{self.point}={self.action} at {self.at}, asked {self.via} ({self.key})"

    def all_answers(self):
        return {self.answers} if isinstance(self.answers, str) else set(self.answers)

    def text(self, serial, node_id):
        return '{"value":%d}' % self.incr if self.incr else f"c{serial}x{node_id}."


def use_build_with_failpoints():
    """From here on nodes come from a build that has failpoints: the one given, or `dev` beside."""
    given = os.path.abspath(clusters.build_directory())
    for directory in (given, os.path.join(os.path.dirname(given), "dev")):
        if has_failpoints(directory):
            os.environ["MINIKV_BUILD"] = directory
            return
    raise AssertionError(f"neither {given} nor its sibling dev is a build with failpoints; "
                         "make one with script/build dev")


def has_failpoints(directory):
    cache = os.path.join(directory, "CMakeCache.txt")
    if not os.path.exists(cache) or not os.access(os.path.join(directory, "minikvd"), os.X_OK):
        return False
    with open(cache) as lines:
        return any(line.startswith("MINIKV_FAILPOINTS:BOOL=ON") for line in lines)


def start(node, setting):
    """Starts a node with failpoints armed."""
    node.start(["env", f"MINIKV_FAILPOINTS={setting}", *node.arguments()])


def ask(node, key, timeout_ms, incr=0, headers=None):
    """Sends a write; the connection on which answer_of finds what came of it. (Above the default a
    time changes nothing.)"""
    connection = Connection(node.http, clusters.scaled(20))
    method, target, body = "PUT", f"/v1/kv/{key}", {"value": "v"}
    if incr:
        method, target, body = "POST", f"/v1/incr/{key}", {"by": incr}
    headers = {"X-MiniKV-Timeout-Ms": str(timeout_ms), **(headers or {})}
    connection.send(encode(method, target, body, headers, node.http))
    return connection


def answer_of(connection):
    """What a client sees: status and effect, or LOST."""
    with connection:
        try:
            reply = connection.read_final()
        except Closed:
            return LOST
    if reply.status >= 300:
        assert reply.json["effect"] == reply.header("X-MiniKV-Effect") == reply.effect, reply
    return f"{reply.status} {reply.effect}"


def key_for(name, *nodes):
    """A key at which the failpoint called `name` acts on these nodes."""
    return "".join(f"{name}x{node.id}." for node in nodes)


class Matrix:
    """Runs cells, one after the other, on a cluster of three, and judges them in the end."""

    def __init__(self, cells=(), arms=None, flags=()):
        """`arms`: {name: "point=action"} for keys made with key_for."""
        use_build_with_failpoints()
        self.cells = list(cells)
        self.arms = dict(arms or {})
        self.done = 0
        election_ms = round(clusters.scaled(ELECTION_MS))  # longer than a short deadline
        self.cluster = Cluster(3, ["--election-ms", str(election_ms), *flags])
        self.told = []  # what note was given
        self.late = []  # cells that say nothing about the answers that they should get

    def __enter__(self):
        try:
            for node in self.cluster.nodes:
                self.start_node(node)
            self.cluster.wait_ready()
        except BaseException as error:
            self.cluster.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.judge()
        except BaseException as failure:
            self.cluster.__exit__(type(failure), failure, None)
            raise
        self.cluster.__exit__(kind, error, trace)

    def start_node(self, node):
        """With the failpoints of the cells that are still to come."""
        setting = []
        for serial, cell in list(enumerate(self.cells))[self.done:]:
            hit = "" if cell.action == DROP else "@1"
            setting.append(f"{cell.point}={cell.action}{hit}:{cell.text(serial, node.id)}")
        for name, what in self.arms.items():
            setting.append(f"{what}@1:{key_for(name, node)}")
        start(node, ",".join(setting))

    # ---- one cell ----

    def run(self):
        for serial, cell in enumerate(self.cells):
            self.done = serial + 1
            self.cluster.wait_ready()
            self.run_cell(serial, cell)
            if cell.is_late and cell.answer not in cell.all_answers():
                self.late.append(str(cell))
                self.note(cell, cell.key, cell.answer, cell.answer, EITHER, cell.is_repeated)
            else:
                self.note(cell, cell.key, cell.answer, cell.answers, cell.there, cell.is_repeated)

    def run_cell(self, serial, cell):
        leader = self.cluster.leader()
        followers = [n for n in self.cluster.nodes if n is not leader]
        asked = leader if cell.via == LEADER else followers[0]
        failing = {ENTRY: [asked], LEADER: [leader], FOLLOWERS: followers,
                   FOLLOWER: [f for f in followers if f is not asked][:1]}[cell.at]
        cell.key = key_for(f"c{serial}", *failing)
        begin = time.monotonic()
        headers = identity(cell.key, 1) if cell.is_repeated else None
        seconds = clusters.scaled(cell.timeout_ms / 1000)
        connection = ask(asked, cell.key, round(seconds * 1000), cell.incr, headers)
        if cell.action == STOP:
            self.stop_and_go(cell, begin + seconds, connection, asked, failing)
        else:
            cell.answer = answer_of(connection)
            self.mend(cell, failing)
        cell.is_late |= cell.answer == LATE
        if cell.is_repeated:
            self.repeat(cell, [n for n in self.cluster.nodes if n is not asked])

    def stop_and_go(self, cell, deadline, connection, asked, failing):
        """The nodes stop by themselves; they go on when the answer is known or cannot come."""
        if asked not in failing and not cell.until:
            cell.answer = answer_of(connection)
        for node in failing:
            wait_stopped(node)
        cell.is_late = asked in failing and time.monotonic() > deadline
        if cell.until:
            time.sleep(max(0, deadline + 0.05 - time.monotonic()))
        if cell.until == "deposed":
            self.cluster.leader()  # one that those who are up agree on
        for node in failing:
            node.resume()
        if not cell.answer:
            cell.answer = answer_of(connection)

    def mend(self, cell, failing):
        """What has ended, or would go on leaving things out, is started again."""
        for node in failing:
            if cell.action == CRASH:
                assert node.wait_exit() == -signal.SIGKILL, f"{cell}: node {node.id}"
            elif cell.point == "wal.synced":
                assert node.wait_exit() == EXIT_STORAGE, f"{cell}: node {node.id}"
            else:
                node.kill()
            self.start_node(node)

    def repeat(self, cell, others):
        """The same write again, while what is left of the first delivery may still be on its way:
        to the other nodes until one has an answer, then to every node; then its outcome."""
        def send(node):
            return node.put(cell.key, "v", identity(cell.key, 1))

        first = eventually(lambda: next((r for r in map(send, others) if r.status == 204), None),
                           f"{cell}: an answer to the same write, sent again")
        self.cluster.wait_ready()
        for node in self.cluster.nodes:
            reply = send(node)
            assert reply.is_replayed and reply.told == first.told, f"{cell}: {first} {reply}"
            target = f"/v1/outcome?client={cell.key}&sequence=1"
            outcome = node.request("GET", target).json
            assert outcome["outcome"] == "applied", f"{cell}: {outcome}"
            assert outcome["answer"] == {"status": 204, "etag": first.header("ETag")}, outcome

    # ---- the end ----

    def note(self, what, key, answer, answers, there, is_repeated=False):
        """What a client was told about the command with this key; judged in the end."""
        allowed = {answers} if isinstance(answers, str) else set(answers)
        self.told.append((str(what), key, answer, allowed, there, is_repeated))

    def judge(self):
        cluster = self.cluster
        cluster.wait_ready()
        cluster.probe_write(cluster.nodes, "last")
        eventually(lambda: len({(s["applied_index"], s["digest"]) for s in
                                (n.status() for n in cluster.nodes)}) == 1, "one state everywhere")
        cluster.wait_durable()
        items = {i["key"]: i for i in clusters.listing(cluster.nodes[0])}
        leader, followers = cluster.roles()
        for node in [*followers, leader]:
            node.terminate()
            assert node.wait_exit(20) == 0, f"node {node.id}"
        log = FinalLog(cluster.nodes, "last")
        problems = []
        for what, key, answer, answers, there, is_repeated in self.told:
            if answer not in answers:
                problems.append(f"{what}: answered {answer}, want {sorted(answers)}")
            count = log.count(key)
            version = items[key]["version"] if key in items else 0
            if count < 1 if is_repeated else count != version + (there == REFUSED):
                problems.append(f"{what}: {count} times in the log, applied {version} times")
            if not is_repeated and not is_true(answer, version):
                problems.append(f"{what}: answered {answer}, applied {version} times")
            if there != EITHER and (there == YES) != (version == 1):
                problems.append(f"{what}: applied {version} times, want {there}")
        assert not problems, "\n".join(problems)
        if self.late:
            raise OutOfTime(f"their time was over too early: {self.late}")


def is_true(answer, applied):
    """Whether what the client was told agrees with how often the command was applied."""
    effect = answer.rpartition(" ")[2]
    return applied in {"applied": {1}, "none": {0}, "maybe": {0, 1}, LOST: {0, 1}}[effect]


def wait_stopped(node):
    node.is_paused = True
    tasks = f"/proc/{node.process.pid}/task"
    eventually(lambda: all(clusters._task_state(f"{tasks}/{t}") in "Tt" for t in os.listdir(tasks)),
               f"node {node.id} stops at its failpoint")
