"""What a node says when it dies of a mistake of its own, and what it never says."""
import os
import re
import signal

import cluster as clusters
from cluster import Cluster
from effect import use_build_with_failpoints
from testing import limit

MARK_BEGIN = "------------[ cut here ]------------\n"
MARK_END = "------------[ end of report ]------------\n"
PATIENT = ["--election-ms", "4000"]  # so that the term stays on a busy machine
SECRETS = {"key": "quokka-account", "value": "wombat-password"}


def report_of(node):
    """What stands between the marks in the node's log; there is one report, and nothing after it."""
    log = node.log()
    assert log.count(MARK_BEGIN) == 1 and log.endswith(MARK_END), log[-4000:]
    return log[log.index(MARK_BEGIN) + len(MARK_BEGIN):-len(MARK_END)]


def check_report(node, report, term):
    version = clusters.subprocess.run([clusters.program("minikvd"), "--version"], check=True,
                                      capture_output=True, text=True).stdout.split()[1]
    assert report.startswith(f"MiniKV {version} has crashed."), report
    match = re.search(r"^node (\d+), (\S+) in term (\d+), leader (\d+)\nlog: last (\d+), durable (\d+), "
                      r"committed (\d+), applied (\d+)\ntrace, ", report, re.MULTILINE)
    assert match, report
    assert (int(match[1]), int(match[3])) == (node.id, term), report
    assert all(int(match[i]) > 0 for i in range(5, 9)), report
    assert re.search(r"^ -0\.000000  \w", report, re.MULTILINE), report
    assert f"in term {term}" in report.split("trace, ")[1], report
    assert re.search(r"^stack:\n\S+\[0x", report, re.MULTILINE), report
    for secret in SECRETS.values():
        assert secret not in report, report
    return match[2]


def put_secret(node):
    return node.put(SECRETS["key"], SECRETS["value"])


def check_signal(number):
    with Cluster(3, PATIENT).start() as cluster:
        leader, (follower, *_) = cluster.roles()
        for node, role in ((follower, "follower"), (leader, "leader")):
            assert put_secret(node).status == 204
            term = node.status()["term"]
            node.process.send_signal(number)
            code = node.wait_exit()
            if "ERROR: AddressSanitizer: SEGV" in node.log():
                return  # a sanitized build leaves that to the sanitizer, which says more
            assert code == -number
            report = report_of(node)
            assert check_report(node, report, term) == role, report
            assert f"\n{number.name} sent by process {os.getpid()}\n" in report, report
            assert "a bug in MiniKV" not in report, report
            os.truncate(node.log_path, 0)
            node.start()
            cluster.wait_ready()
            assert cluster.node(node.id).value(SECRETS["key"]) == SECRETS["value"]


def test_a_node_that_is_aborted_reports_role_term_and_indexes_and_no_secret():
    check_signal(signal.SIGABRT)


def test_a_node_with_a_bad_access_reports_the_same():
    check_signal(signal.SIGSEGV)


@limit(90)
def test_a_broken_invariant_is_named_and_the_others_go_on():
    use_build_with_failpoints()
    with Cluster(3, PATIENT).start() as cluster:
        node = cluster.followers()[0]
        node.kill()
        armed = f"MINIKV_FAILPOINTS=node.applied=abort:{SECRETS['value']}"
        node.start(["env", armed, *node.arguments()])
        cluster.wait_ready()
        term = node.status()["term"]

        assert put_secret(cluster.leader()).status == 204
        assert node.wait_exit() == -signal.SIGABRT
        report = report_of(node)
        assert check_report(node, report, term) == "follower", report
        assert "This is a bug in MiniKV; please report it.\n" in report, report
        assert re.search(r"\nINVARIANT failed: .* \(\S*src/base/failpoint\.c:\d+\)\n", report), report
        assert "append from" in report, report
        others = [n for n in cluster.nodes if n is not node]
        assert all(n.value(SECRETS["key"]) == SECRETS["value"] for n in others)

        node.start(["env", armed, *node.arguments()])
        assert node.wait_exit(30) == -signal.SIGABRT  # at the same entry, which is in its log
        assert node.log().count(MARK_BEGIN) == node.log().count(MARK_END) == 2
        assert put_secret(others[0]).status == 204
        node.start()
        cluster.wait_ready()
        cluster.assert_same_state()
