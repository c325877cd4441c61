"""The command line: what it prints, where it goes and how it exits, against real nodes."""
import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

from cluster import HOST, PORTS, Cluster, PortClaim, eventually, program, scaled
from testing import in_time

OK, FAILURE, USAGE, NOT_FOUND, CONDITION, UNAVAILABLE, UNKNOWN = range(7)


class Result:
    def __init__(self, completed):
        self.code = completed.returncode
        self.out = completed.stdout
        self.err = completed.stderr.decode()

    @property
    def text(self):
        return self.out.decode()

    @property
    def json(self):
        return json.loads(self.out)

    def __repr__(self):
        return f"<exit {self.code} out={self.out!r} err={self.err!r}>"


def minikv(*arguments, at=(), stdin=b"", timeout=None):
    """Runs minikv against the nodes `at`; without a timeout of its own, 5 s."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MINIKV_")}
    environment["MINIKV_ENDPOINTS"] = ",".join(n if isinstance(n, str) else n.http_text for n in at)
    if timeout:
        arguments += ("--timeout", timeout)
    return Result(subprocess.run([program("minikv"), *arguments], input=stdin, env=environment,
                                 capture_output=True, timeout=scaled(30)))


closed_claims = []  # so that no other test gives the ports to its nodes


def closed_address():
    closed_claims.append(PortClaim())
    return f"{HOST}:{closed_claims[-1].port}"


def until_unknown(*arguments, **options):
    """The result of a write whose answer is always lost. Where not even the session for it was opened
    in time the answer is another, and nothing has happened."""
    def run():
        result = minikv(*arguments, timeout="1s", **options)
        assert result.code in (UNKNOWN, UNAVAILABLE), result
        return result.code == UNKNOWN and result
    return eventually(run, "the write has been sent", 30)


class Front:
    """An endpoint before `node` that takes requests and, for those that begin with `start`, loses the
    request or the answer, `times` times, with all that came in one piece with it."""

    def __init__(self, node, start, times, loses_request=False):
        self.node, self.start, self.times = node, start.encode(), times
        self.loses_request = loses_request
        self.seen = 0
        self.claim = PortClaim()
        self.address = f"{HOST}:{self.claim.port}"
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((HOST, self.claim.port))
        self.listener.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, socket.create_connection(self.node.http) as upstream:
            while True:
                request = connection.recv(1 << 16)
                if not request:
                    return
                is_lost = False
                if self.start in request:  # perhaps behind a question of the library's own
                    self.seen += 1
                    is_lost = self.seen <= self.times
                if is_lost and self.loses_request:
                    return
                upstream.sendall(request)
                reply = upstream.recv(1 << 16)
                if is_lost:
                    return
                connection.sendall(reply)


# ---- data ----

def test_values_go_in_and_out_at_every_node():
    with Cluster(3).start() as cluster:
        for node in cluster.nodes:
            put = minikv("put", f"a key/{node.id}", "välue\n", at=[node])
            assert put.code == OK and re.fullmatch(r"ok, revision \d+\n", put.text), put
            for reader in cluster.nodes:
                assert minikv("get", f"a key/{node.id}", at=[reader]).out == "välue\n\n".encode()
                raw = minikv("get", "--raw", f"a key/{node.id}", at=[reader])
                assert raw.out == "välue\n".encode(), raw
            item = minikv("get", f"a key/{node.id}", "-o", "json", at=[node]).json
            assert item["value"] == "välue\n" and item["version"] == 1, item
            table = minikv("get", f"a key/{node.id}", "-o", "table", at=[node]).text
            assert table.splitlines()[0].split() == ["KEY", "REVISION", "VERSION", "VALUE"]
            assert table.splitlines()[1].endswith("välue\\n"), table
            assert minikv("del", f"a key/{node.id}", at=[node]).text == "ok\n"
            assert minikv("get", f"a key/{node.id}", at=[node]).code == NOT_FOUND


def test_values_come_from_standard_input_and_files():
    value = bytes(range(256)) * 1000
    with Cluster(1).start() as cluster, tempfile.NamedTemporaryFile() as file:
        file.write(value[::-1])
        file.flush()

        assert minikv("put", "in", "-", at=cluster.nodes, stdin=value).code == OK
        assert minikv("put", "file", "@" + file.name, at=cluster.nodes).code == OK
        assert minikv("put", "empty", "", at=cluster.nodes).code == OK

        assert minikv("get", "in", "--raw", at=cluster.nodes).out == value
        assert minikv("get", "file", "--raw", at=cluster.nodes).out == value[::-1]
        assert minikv("get", "empty", "--raw", at=cluster.nodes).out == b""
        assert minikv("get", "empty", at=cluster.nodes).out == b"\n"
        missing = minikv("put", "k", "@/nonexistent", at=cluster.nodes)
        assert missing.code == USAGE and "No such file" in missing.err, missing
        for size, code in ((1 << 20, OK), ((1 << 20) + 1, USAGE)):
            put = minikv("put", "large", "-", at=cluster.nodes, stdin=b"x" * size)
            assert put.code == code, (size, put)


def test_conditions_hold_or_exit_with_4():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        assert minikv("put", "k", "1", "--if-absent", at=at).code == OK
        refused = minikv("put", "k", "2", "--if-absent", at=at)
        revision = str(minikv("get", "k", "-o", "json", at=at).json["mod_revision"])
        assert refused.code == CONDITION, refused
        assert refused.err == ("minikv: put: condition not met: the key has revision "
                               f"{revision}\n"), refused
        absent = minikv("put", "none", "x", "--if-rev", "1", at=at)
        assert absent.err == "minikv: put: condition not met: there is no such key\n", absent
        assert minikv("put", "k", "3", "--if-rev", revision, at=at).code == OK
        assert minikv("put", "k", "4", "--if-rev", revision, at=at).code == CONDITION
        assert minikv("del", "k", "--if-rev", revision, at=at).code == CONDITION
        assert minikv("get", "k", at=at).text == "3\n"


def test_increments_print_the_sum():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        assert minikv("incr", "n", at=at).text == "1\n"
        assert minikv("incr", "n", "--by", "-43", at=at).text == "-42\n"
        assert minikv("incr", "n", "--by", "1", "-o", "json", at=at).json == {"value": -41}
        minikv("put", "word", "x", at=at)
        refused = minikv("incr", "word", at=at)
        assert refused.code == FAILURE and "not an integer" in refused.err, refused


def test_a_listing_goes_through_all_pages():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        keys = [f"p/{i:05}" for i in range(2300)] + ["q"]
        for key in keys:
            assert at[0].put(key, "v" + key).status == 204

        whole = minikv("ls", "-o", "json", at=at).json
        assert [item["key"] for item in whole["items"]] == keys
        assert whole["revision"] == at[0].revision()
        plain = minikv("ls", "p/", "-o", "plain", at=at).text.splitlines()
        assert plain == [f"{key}\tv{key}" for key in keys[:-1]]
        names = minikv("ls", "--keys-only", "--limit", "1500", "-o", "plain", at=at).text
        assert names.splitlines() == keys[:1500]
        table = minikv("ls", "q", at=at).text.splitlines()
        assert len(table) == 2 and table[1].split()[0] == "q", table
        assert minikv("ls", "nothing", "-o", "json", at=at).json["items"] == []


def test_keys_that_are_no_text_are_listed_across_pages():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        for i in range(1100):
            assert node.put(f"%FF%{i % 256:02X}{i}", "v").status == 204

        lines = minikv("ls", "-o", "plain", "--keys-only", at=[node]).text.splitlines()

        assert len(lines) == 1100 and all(line.startswith("\\xff") for line in lines), lines[:3]
        items = minikv("ls", "-o", "json", at=[node]).json["items"]
        assert len({item["key_base64"] for item in items}) == 1100


def test_zero_bytes_are_shown_escaped():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        assert node.put("a%00b", "x\0y").status == 204
        assert minikv("put", "nul", "-", at=[node], stdin=b"x\0y").code == OK

        plain = minikv("ls", "-o", "plain", at=[node])
        assert plain.text == "a\\x00b\tx\\x00y\nnul\tx\\x00y\n", plain
        table = minikv("ls", at=[node]).text.splitlines()
        assert [line.split()[0] for line in table] == ["KEY", "a\\x00b", "nul"], table
        assert all(line.endswith("x\\x00y") for line in table[1:]), table
        items = minikv("ls", "-o", "json", at=[node]).json["items"]
        assert [item["key"] for item in items] == ["a\0b", "nul"], items
        shown = minikv("get", "nul", "-o", "table", at=[node])
        assert shown.code == OK and shown.text.endswith("x\\x00y\n"), shown


def test_keys_that_are_no_text_are_shown_as_base64_or_escaped():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        put = minikv("put", b"\xff\xfe", "v", "-o", "json", at=at).json
        assert put == {"key_base64": "//4=", "mod_revision": at[0].revision()}, put
        table = minikv("get", b"\xff\xfe", "-o", "table", at=at)
        assert table.text.splitlines()[1].split()[0] == "\\xff\\xfe", table
        assert minikv("del", b"\xff\xfe", "-o", "json", at=at).json == {"key_base64": "//4="}
        assert minikv("del", "käse", "-o", "json", at=at).json == {"key": "käse"}


# ---- the way there ----

AS_CLIENT = ("--client", "me", "--sequence", "1")  # without a session of its own to be opened first


def test_a_redirect_is_followed_and_shown():
    with Cluster(3, ["--route", "redirect"]).start() as cluster:
        clients = (f"c{i}" for i in itertools.count())

        def put_at_follower(leader, followers):
            follower, term = followers[0], leader.status()["term"]

            put = minikv("put", "-v", "k", "v", "--client", next(clients), "--sequence", "1",
                         at=[follower])

            assert put.code == OK, put
            assert put.err == (f"> PUT /v1/kv/k to {follower.http_text}\n"
                               f"< 307 from node {follower.id}, term {term}, hops 0: "
                               "another node leads\n"
                               "* following the redirect\n"
                               f"> PUT /v1/kv/k to {leader.http_text}\n"
                               f"< 204 from node {leader.id}, term {term}, hops 0\n"
                               ), put
            assert put.out.startswith(b"ok"), put

        cluster.under_one_leader(put_at_follower)


def test_an_endpoint_that_refuses_is_passed_by():
    with Cluster(1).start() as cluster:
        closed = closed_address()
        put = minikv("put", "-v", "k", "v", *AS_CLIENT, at=[closed, cluster.nodes[0]])
        assert put.code == OK, put
        assert put.err.endswith(f"> PUT /v1/kv/k to {cluster.nodes[0].http_text}\n"
                                "< 204 from node 1, term 2, hops 0\n"), put
        alone = minikv("put", "-v", "k", "v", *AS_CLIENT, at=[closed], timeout="1s")
        assert "! Connection refused\n* trying again in " in alone.err, alone


def test_without_any_node_the_exit_code_is_5_when_the_time_is_up():
    begin = time.monotonic()
    put = minikv("put", "k", "v", at=[closed_address()], timeout="1s")
    assert put.code == UNAVAILABLE, put
    assert "no node answered" in put.err, put
    # The last pause, 320 ms at most, and a try worth making, 100 ms, would not fit any more.
    took = time.monotonic() - begin
    assert took > 0.5, put
    in_time(took < scaled(4), put)


def test_a_write_during_an_election_succeeds_by_itself():
    with Cluster(3).start() as cluster:
        leader, survivors = cluster.roles()
        leader.kill()
        put = minikv("put", "k", "v", at=[leader, *survivors], timeout="10s")
        assert put.code == OK, put


def test_a_write_whose_answer_is_lost_is_sent_again_and_happens_once():
    with Cluster(3).start() as cluster:
        for identity in ((), AS_CLIENT):
            front = Front(cluster.followers()[0], "POST /v1/incr/n", times=2)
            before = int(cluster.nodes[0].value("n") or 0)
            incr = minikv("incr", "-v", "n", *identity, at=[front.address])
            assert incr.code == OK and incr.text == f"{before + 1}\n", incr
            assert incr.err.count("> POST /v1/incr/n") >= 3, incr  # more, if a node was slow
            assert cluster.nodes[0].value("n") == str(before + 1)


def test_a_leader_that_stands_still_is_gone_around():
    with Cluster(3).start() as cluster:
        leader, others = cluster.roles()
        leader.pause()
        incr = minikv("incr", "n", at=[leader, *others], timeout="20s")
        leader.resume()
        assert incr.code == OK and incr.text == "1\n", incr
        eventually(lambda: all(node.value("n") == "1" for node in cluster.nodes), "it is there once")


def test_a_write_whose_fate_is_unknown_exits_with_6_and_can_be_asked_about():
    with Cluster(3).start() as cluster:
        front = Front(cluster.nodes[0], "POST /v1/incr/n", times=1000)

        incr = until_unknown("incr", "n", at=[front.address])

        assert incr.out == b"", incr
        assert "may or may not have happened" in incr.err, incr
        command = re.search(r"^    minikv (outcome \S+ \d+)$", incr.err, re.MULTILINE)
        assert command, incr
        outcome = minikv(*command.group(1).split(), at=cluster.nodes)
        assert outcome.code == OK and outcome.text.startswith("applied, value 1"), outcome
        assert cluster.nodes[1].value("n") == "1"


def test_verbose_says_why_a_node_refused():
    with Cluster(3).start() as cluster:
        leader, others = cluster.roles()
        leader.kill()
        others[0].kill()
        put = minikv("put", "-v", "k", "w", *AS_CLIENT, at=[others[1]], timeout="6s")
        assert re.search(r"< 503 from node \d+, term \d+, hops 0: [a-z ]+\n", put.err), put


def test_a_condition_names_the_revision_whichever_node_is_asked():
    with Cluster(3).start() as cluster:
        leader, (follower, *_) = cluster.roles()
        put = minikv("put", "k", "1", at=[leader])
        refused = minikv("put", "k", "2", "--if-absent", at=[follower])
        assert refused.code == CONDITION, refused
        assert "has " + put.text.strip().removeprefix("ok, ") in refused.err, (put, refused)


def is_told(result):
    """The result, if a node had the time to say anything."""
    return result if "no node answered" not in result.err else None


def test_a_cluster_without_quorum_exits_with_5_or_6_and_still_serves_stale_reads():
    with Cluster(3).start() as cluster:
        leader, others = cluster.roles()
        minikv("put", "k", "v", at=[leader])
        cluster.wait_caught_up()
        leader.kill()
        others[0].kill()

        put = minikv("put", "k", "w", at=[others[1]], timeout="500ms")
        read = eventually(lambda: is_told(minikv("get", "k", at=[others[1], leader, others[0]],
                                                 timeout="3s")), "the node that is left says so", 30)
        stale = minikv("get", "--stale", "k", at=[others[1]])
        status = minikv("status", at=[others[1]])

        assert put.code == UNAVAILABLE, put
        assert read.code == UNAVAILABLE, read
        assert "refused" not in read.err, read
        assert stale.code == OK and stale.text == "v\n", stale
        assert status.code == UNAVAILABLE and status.text.count("unreachable") == 2, status


# ---- exactly once ----

def test_a_script_may_give_its_writes_an_identity():
    with Cluster(3).start() as cluster:
        def incr(sequence, *arguments):
            return minikv("incr", "n", *arguments, "--client", "script", "--sequence", sequence,
                          at=[random.choice(cluster.nodes)])

        assert [incr("1").text for _ in range(5)] == ["1\n"] * 5
        assert incr("2").text == "2\n" and incr("1").text == "1\n"
        assert minikv("put", "k", "v", *AS_CLIENT, at=cluster.nodes).text == \
            minikv("put", "k", "v", *AS_CLIENT, at=cluster.nodes).text
        reused = incr("2", "--by", "3")
        assert reused.code == USAGE and "another request had this identity" in reused.err, reused
        first = minikv("put", "once", "x", "--if-absent", "--client", "c", "--sequence", "9",
                       at=cluster.nodes)
        again = minikv("put", "once", "x", "--if-absent", "--client", "c", "--sequence", "9",
                       at=cluster.nodes)
        assert first.code == OK and again.text == first.text, (first, again)


def test_what_became_of_a_write_is_told_and_settled():
    with Cluster(3).start() as cluster:
        at = cluster.nodes

        def outcome(*arguments):
            return minikv("outcome", *arguments, at=[random.choice(at)])

        put = minikv("put", "k", "v", *AS_CLIENT, at=at)
        told = outcome("me", "1")
        assert told.code == OK and told.text == "applied" + put.text.removeprefix("ok"), told
        json_told = outcome("me", "1", "-o", "json").json
        assert json_told["outcome"] == "applied" and json_told["answer"]["status"] == 204, json_told
        minikv("put", "k", "w", "--if-absent", "--client", "me", "--sequence", "2", at=at)
        refused = outcome("me", "2")
        assert refused.code == OK, refused
        assert refused.text.startswith("applied, and came to: condition-failed, revision "), refused

        unseen = outcome("me", "7")
        assert unseen.code == UNKNOWN and unseen.text == "unseen\n", unseen
        never = outcome("me", "7", "--seal")
        assert never.code == OK and never.text == "never\n", never
        assert outcome("me", "7").text == "never\n"
        late = minikv("incr", "n", "--client", "me", "--sequence", "7", at=at)
        assert late.code == FAILURE and "it never takes effect" in late.err, late
        assert at[0].value("n") is None
        assert outcome("me", "1", "--seal").text == told.text  # too late to keep it from happening

        expired = outcome("session-1-00000000000000ff", "1")
        assert expired.code == FAILURE and expired.text == "expired\n", expired
        sealed = outcome("session-1-00000000000000ff", "1", "--seal")
        assert sealed.code == FAILURE and "expired" in sealed.err, sealed


def test_the_outcome_of_an_idempotency_key_is_told():
    with Cluster(1).start() as cluster:
        at = cluster.nodes
        assert at[0].incr("n", headers={"Idempotency-Key": '"order 47/11"'}).status == 200
        told = minikv("outcome", "--key", "order 47/11", at=at)
        assert told.code == OK and told.text.startswith("applied, value 1"), told
        assert minikv("outcome", "--key", '"order 47/11"', at=at).text == told.text
        assert at[0].incr("n", headers={"Idempotency-Key": r'"a \"b\" \\"'}).status == 200
        assert minikv("outcome", "--key", 'a "b" \\', at=at).text.startswith("applied, value 2")
        assert minikv("outcome", "--key", "another", at=at).text == "unseen\n"
        assert minikv("outcome", "--key", "another", "--seal", at=at).text == "never\n"
        for arguments in (("me",), ("me", "0"), ("me", "x"), ("--key", "k", "me", "1"), ()):
            wrong = minikv("outcome", *arguments, at=at)
            assert wrong.code == USAGE and "usage: minikv outcome CLIENT" in wrong.err, wrong


# ---- cluster ----

def test_leadership_is_handed_to_the_node_named():
    with Cluster(3).start() as cluster:
        for _ in range(3):
            target = cluster.followers()[0]

            def is_handed_over():
                done = minikv("transfer", str(target.id), at=[random.choice(cluster.nodes)])
                assert done.code in (OK, UNKNOWN, UNAVAILABLE), done
                assert done.code != OK or done.text == f"ok, node {target.id} leads\n", done
                return done.code == OK and cluster.leader() is target

            eventually(is_handed_over, f"node {target.id} leads", 30)
        assert minikv("transfer", "9", at=cluster.nodes).code == NOT_FOUND
        assert minikv("transfer", "x", at=cluster.nodes).code == USAGE

def test_status_and_members_show_every_node():
    with Cluster(3).start() as cluster:
        def show(leader, _):
            status = minikv("status", at=cluster.nodes)
            assert status.code == OK, status
            lines = [line.split() for line in status.text.splitlines()]
            assert lines[0][:4] == ["ID", "CLIENTS", "ROLE", "TERM"], lines
            assert [line[2] for line in lines[1:]].count("leader") == 1, lines
            assert lines[leader.id][1:3] == [leader.http_text, "leader"], lines
            nodes = minikv("status", "-o", "json", at=cluster.nodes).json["nodes"]
            assert [n["leader"] for n in nodes] == [leader.id] * 3, nodes

        cluster.under_one_leader(show)
        members = minikv("members", at=cluster.nodes).text.splitlines()
        assert members[1].split() == ["1", "voter", cluster.nodes[0].http_text,
                                      cluster.nodes[0].peer_text], members
        assert minikv("members", "-o", "json", at=cluster.nodes).json["members"][2]["id"] == 3


def test_status_asks_nodes_that_are_not_announced_at_the_endpoints_given():
    with Cluster(3, ["--announce", "off"]).start(announced=False) as cluster:
        def rows(*nodes):
            status = minikv("status", at=nodes)
            assert status.code == OK, status
            text = status.text.replace("(not announced)", "off")
            return [line.split()[1:3] for line in text.splitlines()[1:]]

        def show(leader, followers):
            follower = followers[0]
            assert sorted(rows(*cluster.nodes)) == [["off", "follower"]] * 2 + [["off", "leader"]]
            some = rows(follower)  # it names a leader that cannot be asked
            assert some[follower.id - 1] == ["off", "follower"], some
            assert some.count(["off", "unknown"]) == 2, some
            nodes = minikv("status", "-o", "json", at=[leader]).json["nodes"]
            assert nodes[leader.id - 1]["role"] == "leader" and nodes[0]["http"] == "", nodes

        cluster.under_one_leader(show)


def test_status_asks_each_node_once():
    begin = time.monotonic()
    closed = [closed_address(), closed_address()]
    status = minikv("status", "-v", at=closed)
    assert status.code == UNAVAILABLE, status
    assert "no node answered" in status.err and closed[1] in status.err, status
    assert status.err.count("> GET") == 2, status
    in_time(time.monotonic() - begin < scaled(2), status)


def test_addresses_are_announced_and_removed():
    with Cluster(3, ["--announce", "off"]).start(announced=False) as cluster:
        node = cluster.nodes[1]
        assert "(not announced)" in minikv("members", at=cluster.nodes).text
        eventually(lambda: minikv("announce", "2", node.http_text, at=cluster.nodes).code == OK,
                   "it is dialled in time")
        eventually(lambda: all(n.members()[2]["http"] == node.http_text for n in cluster.nodes),
                   "the address is known everywhere")
        wrong = minikv("announce", "3", node.http_text, at=cluster.nodes)
        assert wrong.code == FAILURE and "does not answer as that node" in wrong.err, wrong
        assert minikv("announce", "9", node.http_text, at=cluster.nodes).code == NOT_FOUND
        assert minikv("announce", "2", "nonsense", at=cluster.nodes).code == USAGE
        assert minikv("announce", "2", at=cluster.nodes).code == USAGE
        assert minikv("announce", "2", "--remove", at=cluster.nodes).code == OK
        eventually(lambda: cluster.nodes[2].members()[2]["http"] == "", "it is removed")


# ---- about itself ----

def test_mistakes_exit_with_2_and_name_what_was_meant():
    for arguments, words in ((("gte", "k"), "did you mean get?"),
                             (("get", "k", "--tiemout", "1s"), "did you mean --timeout?"),
                             (("get",), "usage: minikv get KEY | --prefix PREFIX\n"),
                             (("status", "k"), "usage: minikv status\n"),
                             (("help", "putt"), "did you mean put?"),
                             (("incr", "k", "--by", "9" * 19), "to 9223372036854775807"),
                             (("get", "k", "-t", "1h"), "with the unit ms, s or m"),
                             (("get", "k", "--endpoints", "x"), "no address of a node")):
        result = minikv(*arguments)
        assert result.code == USAGE and words in result.err and result.out == b"", result


def test_help_and_version_are_there_without_a_cluster():
    assert "Commands" in minikv().text
    assert minikv("help", "put").text.startswith("minikv put KEY VALUE")
    assert minikv("help", "put").text == minikv("put", "--help").text
    assert minikv("version").text == minikv("--version").text
    assert minikv("help", "nothing").code == USAGE


def test_bash_completes_commands_and_options():
    script = minikv("completion", "bash").text + """
        complete_line() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _minikv; echo "${COMPREPLY[@]}"; }
        complete_line minikv st
        complete_line minikv get k --st
    """
    result = subprocess.run(["bash", "-eu", "-c", script], capture_output=True, text=True)
    assert result.stdout == "status\n--stale\n", result


def test_an_answer_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w") as full:
        code = subprocess.run([program("minikv"), "help"], stdout=full,
                              stderr=subprocess.DEVNULL).returncode
        assert code == FAILURE, code


# ---- minikvd ----

def minikvd(*arguments, **environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MINIKV_")}
    return Result(subprocess.run([program("minikvd"), *arguments], capture_output=True,
                                 env={**kept, **environment}, timeout=scaled(10)))


def test_minikvd_refuses_what_it_does_not_know():
    assert minikvd("--listn-http", ":1").err == \
        "minikvd: unknown option --listn-http; did you mean --listen-http?\n"
    assert minikvd("--join", ":8081").code == USAGE  # which host?
    assert "MINIKV_ROUTES; did you mean MINIKV_ROUTE?" in minikvd(MINIKV_ROUTES="forward").err
    assert minikvd("--version").text == minikv("version").text.replace("minikv", "minikvd", 1)


def test_minikvd_shows_where_each_value_came_from():
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("hold-ms = 1500\nroute = redirect # here\n")
        file.flush()
        printed = minikvd("--print-config", "--config", file.name, "--id=4", MINIKV_HOLD_MS="1600")
        assert printed.code == OK, printed
        lines = {line.split(" = ")[0]: re.split(r" = |\s+# ", line)[1:]
                 for line in printed.text.splitlines()}
        assert lines["id"] == ["4", "flag"], lines
        assert lines["hold-ms"] == ["1600", "environment MINIKV_HOLD_MS"], lines
        assert lines["route"] == ["redirect", f"{file.name}:2"], lines
        assert lines["election-ms"][1] == "default", lines


def test_minikvd_names_an_address_that_is_taken():
    with socket.socket() as taken, tempfile.TemporaryDirectory() as directory:
        taken.bind((HOST, 0))
        taken.listen()
        address = f"{HOST}:{taken.getsockname()[1]}"
        peer = closed_address()
        for arguments in (["--listen-http", address, "--listen-peer", peer],
                          ["--listen-http", peer, "--listen-peer", address]):
            result = minikvd("--data-dir", directory + "/data", *arguments)
            assert result.code == FAILURE and address in result.err, result


# ---- demo ----

class Demo:
    """A running `minikv demo`, on ports of its own."""

    def __init__(self, *arguments, temporary=None):
        self.port, self.claims = free_range()
        self.temporary = temporary or tempfile.mkdtemp(prefix="minikv-test-demo-")
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MINIKV_")}
        self.process = subprocess.Popen(
            [program("minikv"), "demo", "--base-port", str(self.port), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**environment, "TMPDIR": self.temporary})
        self.endpoints = [f"{HOST}:{self.port + i}" for i in range(3)]
        self.welcome = ""

    def wait_welcome(self):
        while "Ctrl-C stops" not in self.welcome:
            line = self.process.stdout.readline().decode()
            assert line, self.process.stderr.read()
            self.welcome += line
        self.pids = [int(pid) for pid in re.findall(r"pid (\d+)", self.welcome)]
        return self

    def is_gone(self):
        return not any(os.path.exists(f"/proc/{pid}") and not is_zombie(pid) for pid in self.pids)


def is_zombie(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def free_range():
    """A base port with room for three nodes' client and peer ports, and the claims that hold it."""
    for base in random.SystemRandom().sample(PORTS[:-200], 200):
        claims = PortClaim.claim_all([base + i for i in (0, 1, 2, 100, 101, 102)])
        if claims:
            return base, claims
    raise RuntimeError("no free ports")


def test_a_demo_runs_until_interrupted_and_leaves_nothing():
    demo = Demo("--timeout", "20s").wait_welcome()
    assert len(demo.pids) == 3 and demo.welcome.count("leader") >= 1, demo.welcome
    for endpoint in demo.endpoints:
        assert minikv("put", "k", "v", at=[endpoint]).code == OK

    demo.process.send_signal(signal.SIGINT)

    assert demo.process.wait(scaled(20)) == 0, demo.process.stderr.read()
    assert demo.is_gone()
    assert os.listdir(demo.temporary) == []
    os.rmdir(demo.temporary)


def test_a_demo_that_is_killed_takes_its_nodes_with_it():
    demo = Demo("--timeout", "20s").wait_welcome()
    demo.process.kill()
    demo.process.wait()
    eventually(demo.is_gone, "the nodes are gone")
    subprocess.run(["rm", "-rf", demo.temporary], check=True)


def test_a_demo_reports_a_node_that_dies_and_goes_on():
    demo = Demo("--timeout", "20s").wait_welcome()
    os.kill(demo.pids[1], signal.SIGKILL)
    line = demo.process.stderr.readline().decode()
    assert "node 2 was ended by signal 9" in line, line
    assert minikv("put", "k", "v", at=demo.endpoints, timeout="10s").code == OK
    demo.process.terminate()
    assert demo.process.wait(scaled(20)) == 0
    assert demo.is_gone()
    subprocess.run(["rm", "-rf", demo.temporary], check=True)


def test_a_demo_whose_port_is_taken_says_so():
    with tempfile.TemporaryDirectory() as directory:
        port, claims = free_range()
        for taken_port in (port + 2, port + 101):
            with socket.socket() as taken:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken.bind((HOST, taken_port))
                taken.listen()
                demo = minikv("demo", "--base-port", str(port), "--dir", directory + "/demo")
            assert demo.code == FAILURE and demo.out == b"", demo
            assert f"{HOST}:{taken_port}: Address already in use" in demo.err, demo
            assert "--base-port" in demo.err, demo
        assert os.listdir(directory) == []  # refused before anything was made
        assert claims


def test_a_demo_on_the_ports_of_another_says_so_and_leaves_it_alone():
    running = Demo("--timeout", "20s").wait_welcome()
    for arguments in ((), ("--nodes", "1")):
        demo = minikv("demo", "--base-port", str(running.port), *arguments)
        assert demo.code == FAILURE and demo.out == b"", demo
        assert f"{HOST}:{running.port}: Address already in use" in demo.err, demo
    assert minikv("put", "k", "v", at=running.endpoints).code == OK
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(scaled(20)) == 0
    os.rmdir(running.temporary)


def test_a_demo_whose_node_does_not_start_shows_its_log_and_keeps_the_directory():
    with tempfile.TemporaryDirectory() as directory:
        port, claims = free_range()
        with open(directory + "/node-2", "w") as in_the_way:
            in_the_way.write("no directory")
        demo = minikv("demo", "--base-port", str(port), "--dir", directory)
        assert demo.code == FAILURE, demo
        assert "node 2 ended with exit code" in demo.err and "the end of" in demo.err, demo
        assert os.path.exists(directory + "/node-2.log")
        assert claims


def test_a_demo_keeps_the_data_in_a_given_directory():
    with tempfile.TemporaryDirectory() as directory:
        for turn in range(2):
            demo = Demo("--dir", directory, "--nodes", "1", "--timeout", "20s").wait_welcome()
            demo.endpoints = demo.endpoints[:1]
            if turn == 0:
                assert minikv("put", "k", "v", at=demo.endpoints).code == OK
            else:
                assert minikv("get", "k", at=demo.endpoints).text == "v\n"
            demo.process.send_signal(signal.SIGINT)
            assert demo.process.wait(scaled(20)) == 0
            os.rmdir(demo.temporary)
