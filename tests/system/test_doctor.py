"""What an operator sees of a cluster: doctor, status --watch, members."""
import json
import os
import signal
import subprocess

from cluster import Cluster, eventually, program, scaled
from test_cli import FAILURE, OK, UNAVAILABLE, closed_address, minikv


def found(result):
    """{(check, node or "all"): (is_ok, detail)} of a table."""
    rows = [line.split(None, 3) for line in result.text.splitlines()[1:]]
    return {(check, node): (ok == "ok", detail) for ok, check, node, detail in rows}


def test_a_healthy_cluster_has_nothing_to_be_looked_after():
    with Cluster(3).start() as cluster:
        def look(leader, _):
            for node in cluster.nodes:
                checks = found(doctor := minikv("doctor", at=[node]))
                assert doctor.code == OK, doctor
                assert checks["quorum", "all"] == (True,
                                                   "3 of 3 voters up; 1 more failure is survived")
                assert checks["leader", "all"][1].startswith(f"node {leader.id} leads")
                assert checks["links", "2"] == (True, "linked with 2 of 2")
                assert {check for check, _ in checks} == {
                    "quorum", "leader", "states", "clients", "links", "sync", "clock", "files",
                    "snapshot", "space"}
            answer = minikv("doctor", "-o", "json", at=cluster.nodes)
            assert answer.code == OK and answer.json["healthy"] is True
            assert all(check["ok"] for check in answer.json["checks"])

        cluster.under_one_leader(look)


def test_what_is_wrong_is_found_and_changes_the_exit_code():
    with Cluster(3).start() as cluster:
        node, dead = cluster.followers()
        dead.kill()
        eventually(lambda: node.metrics()[f'minikv_peer_up{{peer="{dead.id}"}}'] == 0,
                   "the link is known to be down")
        doctor = minikv("doctor", at=cluster.nodes)
        checks = found(doctor)
        assert doctor.code == FAILURE, doctor
        assert checks["quorum", "all"] == (False,
                                           "2 of 3 voters up; no further failure is survived")
        is_ok, detail = checks["clients", str(dead.id)]
        assert not is_ok and "does not answer at" in detail, doctor
        assert checks["links", str(node.id)][0], doctor  # the dead one is at fault, not the link

        cluster.leader().kill()
        doctor = minikv("doctor", at=[node])
        checks = found(doctor)
        assert doctor.code == FAILURE
        assert checks["quorum", "all"][1] == \
            "1 of 3 voters up; 2 are needed, so nothing can be written"
    assert minikv("doctor", at=[closed_address()]).code == UNAVAILABLE


def test_few_open_files_are_told():
    with Cluster(1) as cluster:
        node = cluster.node(1)
        node.start(["prlimit", "--nofile=900", *node.arguments()])
        cluster.wait_ready()
        checks = found(minikv("doctor", at=[node]))
        assert not checks["files", "1"][0] and "ulimit -n" in checks["files", "1"][1], checks


def test_a_learner_shows_as_one():
    with Cluster(3).start() as cluster:
        reply = cluster.node(2).request("POST", "/v1/raft/join",
                                        {"id": 9, "peer": closed_address()})
        assert reply.status == 204, reply
        eventually(lambda: 9 in cluster.node(1).members(), "it is a member")
        rows = [line.split()[:2] for line in minikv("members", at=cluster.nodes).text.splitlines()]
        assert rows[1:] == [["1", "voter"], ["2", "voter"], ["3", "voter"], ["9", "LEARNER"]]
        checks = found(minikv("doctor", at=cluster.nodes))
        assert checks["quorum", "all"][1].endswith("; 1 without a vote"), checks
        assert minikv("member", "remove", "9", at=cluster.nodes).code == OK


def test_watch_goes_on_until_it_is_told_to_stop():
    with Cluster(3).start() as cluster:
        environment = dict(os.environ, MINIKV_ENDPOINTS=cluster.node(1).http_text)

        def says(arguments):
            """Whether it shows a cluster at its best, as it does unless a node stands still."""
            with subprocess.Popen([program("minikv"), *arguments], stdout=subprocess.PIPE,
                                  env=environment, text=True) as watch:
                lines = [watch.stdout.readline() for _ in range(2 if "json" in arguments else 8)]
                watch.send_signal(signal.SIGINT)
                assert watch.wait(scaled(10)) == 0
            if "json" not in arguments:
                assert lines[2].split()[-1] == "BEHIND" and lines[3].split()[0] == "1", lines
                return f"node {cluster.leader().id} leads" in lines[0] and "leads" in lines[7]
            nodes = [json.loads(line)["nodes"] for line in lines]
            return all(sorted(n["role"] for n in of_one) == ["follower", "follower", "leader"]
                       and all(n["snapshot"]["fetching"] is None for n in of_one) for of_one in nodes)

        for arguments in (["status", "--watch", "-o", "json"], ["status", "-w"]):
            eventually(lambda a=arguments: says(a), f"{arguments} show all nodes", 20)
