"""`effect` never lies: a failpoint at every stage of a request, and the final log as the judge.

Each row is a cell: where something happens, at which node, what, who was asked, what the client
may be told, and whether the command is in the final log. docs/effects.md explains the rows.
"""
import glob
import os
import re
import time

import final_log
from cluster import eventually, program
from effect import (APPLIED, CRASH, DROP, EITHER, ENTRY, FOLLOWER, FOLLOWERS, LATE, LEADER, LONG_MS,
                    LOST, MAYBE, NO, NONE, REFUSED, SHORT_MS, STOP, YES, Cell, Matrix, answer_of,
                    ask, has_failpoints, key_for, use_build_with_failpoints, wait_stopped)
from http_client import Connection, encode
from testing import limit

MATRIX_LIMIT_SECONDS = 120


def run(rows):
    with Matrix([Cell(*row) if isinstance(row, tuple) else row for row in rows]) as matrix:
        matrix.run()


# ---- the node that was asked dies ----

@limit(MATRIX_LIMIT_SECONDS)
def test_a_leader_that_dies_with_a_request_leaves_it_undone_until_it_has_left_the_node():
    run([
        ("http.parsed", ENTRY, CRASH, LEADER, LOST, NO),
        ("http.submitted", ENTRY, CRASH, LEADER, LOST, NO),
        ("node.appended", ENTRY, CRASH, LEADER, LOST, NO),
        ("peer.sent", ENTRY, CRASH, LEADER, LOST, EITHER),
        ("wal.synced", ENTRY, CRASH, LEADER, (LOST, APPLIED), EITHER),
        ("node.committed", ENTRY, CRASH, LEADER, LOST, YES),
        ("node.applied", ENTRY, CRASH, LEADER, LOST, YES),
        ("http.replying", ENTRY, CRASH, LEADER, LOST, YES),
        Cell("http.replied", ENTRY, CRASH, LEADER, "200 applied", YES, incr=7310046),
    ])


@limit(MATRIX_LIMIT_SECONDS)
def test_a_follower_that_dies_with_a_request_leaves_it_undone_until_it_has_left_the_node():
    run([
        ("http.parsed", ENTRY, CRASH, FOLLOWER, LOST, NO),
        ("http.submitted", ENTRY, CRASH, FOLLOWER, LOST, NO),
        ("node.forward", ENTRY, CRASH, FOLLOWER, LOST, NO),
        ("peer.sent", ENTRY, CRASH, FOLLOWER, LOST, EITHER),
        ("peer.received", ENTRY, CRASH, FOLLOWER, LOST, YES),
        ("node.appended", ENTRY, CRASH, FOLLOWER, LOST, YES),
        ("wal.synced", ENTRY, CRASH, FOLLOWER, (LOST, APPLIED), YES),
        ("node.committed", ENTRY, CRASH, FOLLOWER, LOST, YES),
        ("node.applied", ENTRY, CRASH, FOLLOWER, LOST, YES),
        ("http.replying", ENTRY, CRASH, FOLLOWER, LOST, YES),
        Cell("http.replied", ENTRY, CRASH, FOLLOWER, "200 applied", YES, incr=7310047),
    ])


# ---- another node dies, fails or stands still, and the client need not notice ----

@limit(MATRIX_LIMIT_SECONDS)
def test_a_leader_that_dies_under_a_forwarded_request_costs_its_client_nothing():
    run([
        ("node.taken", LEADER, CRASH, FOLLOWER, APPLIED, YES),
        ("node.appended", LEADER, CRASH, FOLLOWER, APPLIED, YES),
        ("peer.sent", LEADER, CRASH, FOLLOWER, APPLIED, YES),
        ("wal.synced", LEADER, CRASH, FOLLOWER, APPLIED, YES),
        ("wal.synced", LEADER, DROP, FOLLOWER, APPLIED, YES),
        ("node.committed", LEADER, CRASH, FOLLOWER, APPLIED, YES),
        ("node.applied", LEADER, CRASH, FOLLOWER, APPLIED, YES),
    ])


@limit(MATRIX_LIMIT_SECONDS)
def test_a_leader_that_stands_still_under_a_forwarded_request_costs_its_client_time_only():
    run([
        ("node.taken", LEADER, STOP, FOLLOWER, APPLIED, YES),
        ("node.appended", LEADER, STOP, FOLLOWER, APPLIED, YES),
        ("peer.sent", LEADER, STOP, FOLLOWER, APPLIED, YES),
        ("wal.synced", LEADER, STOP, FOLLOWER, APPLIED, YES),
        ("node.committed", LEADER, STOP, FOLLOWER, APPLIED, YES),
        ("node.applied", LEADER, STOP, FOLLOWER, APPLIED, YES),
    ])


@limit(MATRIX_LIMIT_SECONDS)
def test_one_follower_less_costs_nothing():
    points = ("peer.received", "node.appended", "wal.synced", "node.committed", "node.applied")
    run([(point, FOLLOWER, CRASH, via, APPLIED, YES)
         for via in (LEADER, FOLLOWER) for point in points] +
        [(point, FOLLOWER, STOP, via, APPLIED, YES)
         for via in (LEADER, FOLLOWER) for point in points] +
        [(point, FOLLOWER, DROP, via, APPLIED, YES)
         for via in (LEADER, FOLLOWER) for point in ("peer.received", "wal.synced")])


# ---- the outcome is not known by the deadline ----

@limit(MATRIX_LIMIT_SECONDS)
def test_without_a_majority_the_answer_is_maybe_and_both_happen():
    run([
        Cell("peer.received", FOLLOWERS, DROP, LEADER, MAYBE, EITHER, SHORT_MS),
        Cell("peer.received", FOLLOWERS, STOP, LEADER, MAYBE, EITHER, SHORT_MS),
        Cell("peer.received", FOLLOWERS, CRASH, LEADER, MAYBE, EITHER, SHORT_MS),
        Cell("wal.synced", FOLLOWERS, CRASH, LEADER, MAYBE, YES, SHORT_MS),
        Cell("wal.synced", FOLLOWERS, STOP, LEADER, MAYBE, YES, SHORT_MS),
    ])


@limit(MATRIX_LIMIT_SECONDS)
def test_a_leader_that_stands_still_beyond_the_deadline_leaves_its_followers_with_maybe():
    run([
        Cell("node.taken", LEADER, DROP, FOLLOWER, MAYBE, NO, SHORT_MS),
        Cell("node.forward", ENTRY, DROP, FOLLOWER, MAYBE, NO, SHORT_MS),
        Cell("node.taken", LEADER, STOP, FOLLOWER, MAYBE, NO, SHORT_MS, "deposed"),
        Cell("node.appended", LEADER, STOP, FOLLOWER, MAYBE, NO, SHORT_MS, "deposed"),
        Cell("peer.sent", LEADER, STOP, FOLLOWER, MAYBE, EITHER, SHORT_MS, "deposed"),
    ])


@limit(MATRIX_LIMIT_SECONDS)
def test_a_leader_that_stands_still_with_a_request_never_denies_what_happened():
    run([
        Cell("http.parsed", ENTRY, STOP, LEADER, (NONE, LATE, MAYBE), NO, SHORT_MS, "deposed"),
        Cell("http.submitted", ENTRY, STOP, LEADER, (NONE, LATE, MAYBE), NO, SHORT_MS, "deposed"),
        Cell("node.appended", ENTRY, STOP, LEADER, MAYBE, NO, SHORT_MS, "deposed"),
        Cell("peer.sent", ENTRY, STOP, LEADER, MAYBE, YES, SHORT_MS, "deposed"),
        Cell("wal.synced", ENTRY, STOP, LEADER, (MAYBE, APPLIED), YES, SHORT_MS, "deposed"),
        Cell("node.committed", ENTRY, STOP, LEADER, APPLIED, YES, SHORT_MS, "deposed"),
        Cell("node.applied", ENTRY, STOP, LEADER, APPLIED, YES, SHORT_MS, "deadline"),
        Cell("http.replying", ENTRY, STOP, LEADER, APPLIED, YES, SHORT_MS, "deadline"),
    ])


@limit(MATRIX_LIMIT_SECONDS)
def test_a_follower_that_stands_still_with_a_request_never_denies_what_happened():
    run([
        Cell("http.parsed", ENTRY, STOP, FOLLOWER, (NONE, LATE, MAYBE), EITHER, SHORT_MS, "deadline"),
        Cell("http.submitted", ENTRY, STOP, FOLLOWER, (NONE, LATE, MAYBE), EITHER, SHORT_MS, "deadline"),
        Cell("node.forward", ENTRY, STOP, FOLLOWER, MAYBE, EITHER, SHORT_MS, "deadline"),
        Cell("peer.sent", ENTRY, STOP, FOLLOWER, MAYBE, YES, SHORT_MS, "deadline"),
        Cell("peer.received", ENTRY, STOP, FOLLOWER, (MAYBE, APPLIED), YES, SHORT_MS, "deadline"),
        Cell("node.appended", ENTRY, STOP, FOLLOWER, (MAYBE, APPLIED), YES, SHORT_MS, "deadline"),
        Cell("wal.synced", ENTRY, STOP, FOLLOWER, (MAYBE, APPLIED), YES, SHORT_MS, "deadline"),
        Cell("node.committed", ENTRY, STOP, FOLLOWER, APPLIED, YES, SHORT_MS, "deadline"),
        Cell("node.applied", ENTRY, STOP, FOLLOWER, APPLIED, YES, SHORT_MS, "deadline"),
        Cell("http.replying", ENTRY, STOP, FOLLOWER, APPLIED, YES, SHORT_MS, "deadline"),
    ])


@limit(MATRIX_LIMIT_SECONDS)
def test_a_disk_that_fails_under_a_request_or_a_reply_that_is_lost_makes_nobody_lie():
    run([
        ("wal.synced", ENTRY, DROP, LEADER, (MAYBE, APPLIED), YES),
        ("wal.synced", ENTRY, DROP, FOLLOWER, (MAYBE, APPLIED), YES),
        ("http.replying", ENTRY, DROP, LEADER, LOST, YES),
        ("http.replying", ENTRY, DROP, FOLLOWER, LOST, YES),
    ])


# ---- with an identity: sent again, and done once ----

def run_repeated(rows):
    run([Cell(*row, is_repeated=True) for row in rows])


@limit(MATRIX_LIMIT_SECONDS)
def test_a_write_with_an_identity_is_done_once_whatever_became_of_its_first_delivery():
    run_repeated([
        ("http.parsed", ENTRY, CRASH, LEADER, LOST, YES),
        ("node.appended", ENTRY, CRASH, LEADER, LOST, YES),
        ("peer.sent", ENTRY, CRASH, LEADER, LOST, YES),
        ("wal.synced", ENTRY, CRASH, LEADER, (LOST, APPLIED), YES),
        ("node.committed", ENTRY, CRASH, LEADER, LOST, YES),
        ("node.applied", ENTRY, CRASH, LEADER, LOST, YES),
        ("http.replying", ENTRY, DROP, LEADER, LOST, YES),
        ("node.forward", ENTRY, CRASH, FOLLOWER, LOST, YES),
        ("peer.sent", ENTRY, CRASH, FOLLOWER, LOST, YES),
        ("node.applied", ENTRY, CRASH, FOLLOWER, LOST, YES),
        ("http.replying", ENTRY, DROP, FOLLOWER, LOST, YES),
        ("node.taken", LEADER, CRASH, FOLLOWER, APPLIED, YES),
        ("peer.sent", LEADER, CRASH, FOLLOWER, APPLIED, YES),
        ("node.committed", LEADER, CRASH, FOLLOWER, APPLIED, YES),
    ])


@limit(MATRIX_LIMIT_SECONDS)
def test_a_write_with_an_identity_and_an_unknown_outcome_is_done_once_when_it_is_sent_again():
    run_repeated([
        ("node.forward", ENTRY, DROP, FOLLOWER, MAYBE, YES, SHORT_MS),
        ("node.taken", LEADER, DROP, FOLLOWER, MAYBE, YES, SHORT_MS),
        ("peer.received", FOLLOWERS, STOP, LEADER, MAYBE, YES, SHORT_MS),
        ("wal.synced", FOLLOWERS, STOP, LEADER, MAYBE, YES, SHORT_MS),
        ("wal.synced", FOLLOWERS, CRASH, LEADER, MAYBE, YES, SHORT_MS),
        ("wal.synced", ENTRY, DROP, LEADER, (MAYBE, APPLIED), YES),
        ("node.taken", LEADER, STOP, FOLLOWER, MAYBE, YES, SHORT_MS, "deposed"),
        ("node.appended", LEADER, STOP, FOLLOWER, MAYBE, YES, SHORT_MS, "deposed"),
        ("peer.sent", LEADER, STOP, FOLLOWER, (MAYBE, APPLIED), YES, SHORT_MS, "deposed"),
    ])


# ---- states of the node that was asked ----

def leave_alone(cluster):
    """Kills the leader and a follower; the other follower, which knows that nobody leads."""
    leader, (left, other) = cluster.roles()
    for node in (leader, other):
        node.kill()
    eventually(lambda: left.status()["leader"] == 0, "it knows no leader")
    return left


@limit(MATRIX_LIMIT_SECONDS)
def test_a_request_that_met_no_leader_was_not_done_and_never_is():
    with Matrix(arms={"stop": "node.held=stop", "die": "node.held=crash"}) as matrix:
        left = leave_alone(matrix.cluster)

        for key, headers in (("held", {}), ("pointed", {"X-MiniKV-Route": "redirect"}),
                             ("forwarded", {"X-MiniKV-Forwarded": "1"})):
            answer = answer_of(ask(left, key, SHORT_MS, headers=headers))
            matrix.note(f"no leader, {key}", key, answer, (NONE, LATE), NO)

        begin, key = time.monotonic(), key_for("stop", left)
        connection = ask(left, key, SHORT_MS)
        wait_stopped(left)
        time.sleep(max(0, begin + SHORT_MS / 1000 + 0.05 - time.monotonic()))
        left.resume()
        matrix.note("held beyond its deadline", key, answer_of(connection), (NONE, LATE), NO)

        connection = ask(left, "stopped", LONG_MS)
        eventually(lambda: left.metrics()["minikv_requests_held"] == 1, "it is held")
        left.terminate()
        left.terminate()
        matrix.note("held, stopped at once", "stopped", answer_of(connection), NONE, NO)
        assert left.wait_exit() == 0
        matrix.start_node(left)
        eventually(left.is_answering, "it answers")

        key = key_for("die", left)
        matrix.note("dies with a held request", key, answer_of(ask(left, key, LONG_MS)), LOST, NO)
        left.wait_exit()
        matrix.start_node(left)
        eventually(left.is_answering, "it answers")

        connection = ask(left, "waited", LONG_MS)
        for node in matrix.cluster.nodes:
            if not node.is_running:
                matrix.start_node(node)
        matrix.note("held until a leader comes", "waited", answer_of(connection), APPLIED, YES)


def is_stopping(node):
    return "stopping: handing over" in node.log()


@limit(MATRIX_LIMIT_SECONDS)
def test_a_leader_that_hands_over_or_stops_tells_the_truth_to_whom_it_has_taken():
    with Matrix(arms={"unseen": "peer.received=stop", "synced": "wal.synced=stop"}) as matrix:
        cluster = matrix.cluster

        leader, followers = cluster.roles()
        for node in followers:
            node.pause()
        data = encode("PUT", "/v1/kv/handing-over", {"value": "v"},
                      {"X-MiniKV-Timeout-Ms": str(SHORT_MS)}, leader.http)
        connection = Connection(leader.http)
        connection.send(data[:-1])
        eventually(lambda: leader.metrics()["minikv_http_bodies_bytes"] > 0, "half of it is read")
        leader.terminate()
        eventually(lambda: is_stopping(leader), "it hands over")
        connection.send(data[-1:])
        matrix.note("handing over to nobody", "handing-over", answer_of(connection), (NONE, LATE), NO)
        assert leader.wait_exit() == 0
        for node in followers:
            node.resume()
        matrix.start_node(leader)
        cluster.wait_ready()

        for name, signals, answers in (("unseen", 1, APPLIED), ("synced", 2, MAYBE)):
            leader, followers = cluster.roles()
            key = key_for(name, *followers)
            connection = ask(leader, key, LONG_MS)
            for node in followers:
                wait_stopped(node)
            for _ in range(signals):
                leader.terminate()
            eventually(lambda: is_stopping(leader), "it stops")
            if signals == 1:
                for node in followers:
                    node.resume()
            matrix.note(f"stops with {name}", key, answer_of(connection), answers, YES)
            assert leader.wait_exit() == 0
            if signals != 1:
                for node in followers:
                    node.resume()
            matrix.start_node(leader)
            cluster.wait_ready()


@limit(MATRIX_LIMIT_SECONDS)
def test_a_follower_that_stops_finishes_what_it_has_forwarded():
    with Matrix(arms={"taken": "node.taken=stop"}) as matrix:
        leader, (follower, *_) = matrix.cluster.roles()
        key = key_for("taken", leader)

        connection = ask(follower, key, LONG_MS)
        wait_stopped(leader)
        follower.terminate()
        eventually(lambda: is_stopping(follower), "it stops")
        leader.resume()

        matrix.note("stops while it forwards", key, answer_of(connection), APPLIED, YES)
        assert follower.wait_exit() == 0
        matrix.start_node(follower)


@limit(MATRIX_LIMIT_SECONDS)
def test_a_lost_link_and_nobody_to_ask_is_maybe():
    with Matrix(arms={"taken": "node.taken=stop", "synced": "wal.synced=stop"}) as matrix:
        cluster = matrix.cluster
        for name, there in (("taken", NO), ("synced", YES)):
            leader, (follower, other) = cluster.roles()
            other.pause()
            key = key_for(name, leader)
            connection = ask(follower, key, SHORT_MS * 4)
            wait_stopped(leader)
            if there == YES:
                eventually(lambda: final_log.has(follower, key), "it has the entry")
            leader.kill()
            matrix.note(f"leader lost at {name}", key, answer_of(connection), "502 maybe", there)
            other.resume()
            matrix.start_node(leader)
            cluster.wait_ready()


# ---- refusals that need no failpoint ----

@limit(MATRIX_LIMIT_SECONDS)
def test_what_is_refused_while_it_is_read_or_when_it_is_applied_did_nothing():
    with Matrix() as matrix:
        for node in matrix.cluster.nodes:
            for name, answers, there, body, headers in (
                    ("json", "400 none", NO, "{\"value\":", {}),
                    ("field", "400 none", NO, {"value": "v", "valve": 1}, {}),
                    ("condition", "412 none", REFUSED, {"value": "v"}, {"If-Match": '"1"'}),
                    ("number", "400 none", NO, {"value": "v"}, {"X-MiniKV-Timeout-Ms": "soon"})):
                key = f"{name}-{node.id}"
                connection = Connection(node.http)
                connection.send(encode("PUT", f"/v1/kv/{key}", body, headers, node.http))
                matrix.note(key, key, answer_of(connection), answers, there)
            key = f"half-{node.id}"
            connection = Connection(node.http)
            connection.send(encode("PUT", f"/v1/kv/{key}", {"value": "v"}, {}, node.http)[:-1])
            connection.close()
            matrix.note(key, key, LOST, LOST, NO)


# ---- the failpoints themselves ----

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def text_of(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


def failpoints_listed():
    table = text_of("src/base/failpoint.c").partition("failpoints[] = {")[2].partition("};")[0]
    return set(re.findall(r'\{"([a-z.]+)"', table))


def test_every_failpoint_has_a_place_in_the_source_a_cell_here_and_a_row_in_the_document():
    sources = "".join(text_of(path) for path in glob.glob(os.path.join(ROOT, "src/*/*.c")))
    listed = failpoints_listed()

    assert listed and listed == set(re.findall(r'FAILPOINT\("([^"]*)"', sources))
    for name in listed:
        assert re.search(rf'"{name}["=]', text_of("tests/system/test_effect.py")), name
        assert f"`{name}`" in text_of("docs/effects.md"), name


def test_a_release_has_no_failpoints_and_a_test_build_has_them_all():
    given = os.path.dirname(program("minikvd"))
    use_build_with_failpoints()
    names = failpoints_listed()

    for directory in {given, os.path.dirname(program("minikvd"))}:
        with open(os.path.join(directory, "minikvd"), "rb") as file:
            code = file.read()
        for name in ["MINIKV_FAILPOINTS", *names]:
            assert (name.encode() + b"\0" in code) == has_failpoints(directory), (directory, name)
