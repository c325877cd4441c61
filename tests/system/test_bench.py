"""minikv bench against real clusters: its counts are held against those of the nodes."""
import json
import os
import pty
import signal
import subprocess
import tempfile
import xml.etree.ElementTree

from cluster import Cluster, clean_environment, eventually, program, scaled

OK, USAGE, UNAVAILABLE = 0, 2, 5
RUN_SECONDS = 60


def start(cluster, *arguments, stderr=subprocess.PIPE):
    environment = clean_environment()
    environment["MINIKV_ENDPOINTS"] = ",".join(n.http_text for n in cluster.up())
    return subprocess.Popen([program("minikv"), "bench", *arguments], env=environment,
                            stdout=subprocess.PIPE, stderr=stderr, text=True)


def finish(process, code=OK):
    out, err = process.communicate(timeout=scaled(RUN_SECONDS))
    assert process.returncode == code, (process.returncode, out, err)
    return out


def bench(cluster, *arguments, code=OK):
    return finish(start(cluster, *arguments), code)


def bench_json(cluster, *arguments):
    return json.loads(bench(cluster, "-o", "json", *arguments))


def replies(nodes, method, route, code):
    """How many such replies these nodes have counted."""
    name = f'minikv_http_requests_total{{route="{route}",method="{method}",code="{code}"}}'
    return sum(int(node.metrics().get(name, 0)) for node in nodes)


def total(result):
    """All requests that have come to something."""
    return result["answered"] + result["refused"] + result["unanswered"]


def keys_under(cluster, prefix):
    reply = cluster.up()[0].request("GET", f"/v1/kv?count_only&prefix={prefix}")
    assert reply.status == 200, reply
    return reply.json["count"]


def test_counts_are_those_of_the_nodes_and_its_keys_go():
    with Cluster(3) as cluster:
        cluster.start()
        cluster.wait_ready()
        cluster.node(1).put("bench/mine", "stays")

        for requests, arguments in ((3000, ("put", "--at", "all")),
                                    (2000, ("put", "--at", "follower", "-P", "8"))):
            before = replies(cluster.up(), "PUT", "/v1/kv/{key}", 204)
            result = bench_json(cluster, *arguments, "-n", str(requests), "--keys", "500", "-d",
                                "50s")
            after = replies(cluster.up(), "PUT", "/v1/kv/{key}", 204)

            answered = result["answered"]
            assert result["sent"] == requests == total(result), result
            # What was not answered in time may have been, after that.
            assert answered <= after - before <= answered + result["unanswered"], result
            assert sum(t["answered"] for t in result["targets"]) == answered
            assert sum(count for _, count in result["histogram_us"]) == answered
            assert 0 < result["keys_removed"] <= 500 and result["keys_left"] == 0, result
        assert keys_under(cluster, "bench/") == 1
        assert cluster.node(2).value("bench/mine") == "stays"


def test_gets_find_every_key_and_a_mix_has_both():
    with Cluster(3) as cluster:
        cluster.start()
        cluster.wait_ready()

        gets = bench_json(cluster, "get", "-n", "2000", "--keys", "300", "-d", "50s")
        assert total(gets) == 2000 and gets["answered"] > 0, gets
        assert "not-found" not in {error["word"] for error in gets["errors"]}, gets
        assert gets["keys_removed"] == 300, gets

        mix = bench_json(cluster, "80/20", "--stale", "--at", "follower", "-n", "2000", "--keys",
                         "300", "-d", "50s", "--rate", "2000")
        assert [kind["work"] for kind in mix["kinds"]] == ["get", "put"], mix["kinds"]
        # Twenty per cent of 2000, five standard deviations either way.
        shares = [kind["answered"] for kind in mix["kinds"]]
        assert sum(shares) == mix["answered"] and total(mix) == 2000, mix
        assert 310 - total(mix) + sum(shares) < shares[1] < 490, mix
        assert not mix["coordinated_omission"] and gets["coordinated_omission"]
        leader = mix["cluster"]["leader"]
        assert leader in (1, 2, 3), mix["cluster"]
        assert all(t["id"] != leader for t in mix["targets"] if not t["spare"]), mix["targets"]


def test_increments_with_client_ids_count_once():
    with Cluster(3) as cluster:
        cluster.start()
        cluster.wait_ready()

        result = bench_json(cluster, "incr", "--client-ids", "-n", "1500", "-P", "16", "--keys",
                            "40", "--keep", "-d", "50s")

        assert total(result) == 1500 and result["answered"] > 0, result
        page = cluster.node(1).request("GET", "/v1/kv?prefix=bench/").json
        counted = sum(int(item["value"]) for item in page["items"])
        assert result["answered"] <= counted <= result["answered"] + result["maybe"], page
        assert all(i["key"].startswith(result["options"]["prefix"]) for i in page["items"]), page


def test_a_killed_leader_is_counted_and_the_load_goes_on_until_ctrl_c():
    with Cluster(3) as cluster:
        cluster.start()
        cluster.wait_ready()
        process = start(cluster, "put", "--at", "leader", "-o", "json", "--keys", "200", "-d", "50s")
        count = lambda nodes: replies(nodes, "PUT", "/v1/kv/{key}", 204)  # noqa: E731
        leader = eventually(lambda: next((n for n in cluster.up() if count([n]) > 300), None),
                            "the leader is under load", timeout=20)
        others = [node for node in cluster.up() if node is not leader]
        leader.kill()
        eventually(lambda: count(others) > 300, "the others are", timeout=20)
        process.send_signal(signal.SIGINT)
        result = json.loads(finish(process))

        assert result["interrupted"], result
        assert result["connections_lost"] >= 1 and result["connections_moved"] >= 1, result
        # At most one on each connection, and one on each that was taken while the node was dying.
        lost = {e["word"]: e for e in result["errors"]}
        assert 1 <= lost["connection-lost"]["count"] <= 32, result["errors"]
        assert lost["connection-lost"]["effect"] == "maybe"
        unsent = lost.get("not-sent", {"count": 0})["count"]
        assert total(result) - unsent == result["sent"], result
        answered = {t["id"]: t["answered"] for t in result["targets"]}
        assert answered[leader.id] > 200 and sum(answered.values()) == result["answered"], answered
        assert sum(answered[node.id] for node in others) > 200, answered
        assert result["cluster"]["leader"] == leader.id != result["cluster"]["leader_after"]
        assert result["keys_left"] == 0 and keys_under(cluster, "bench/") == 0, result


def test_a_table_a_histogram_and_a_plot_are_made():
    with Cluster(1) as cluster, tempfile.TemporaryDirectory() as directory:
        cluster.start()
        cluster.wait_ready()
        plot = os.path.join(directory, "plot.svg")

        out = bench(cluster, "-n", "500", "--keys", "50", "-d", "50s", "--plot", plot, "--prefix",
                    "a&b/%41/")

        for words in ("1 node of MiniKV", "50 keys under a&b/%41/", "P99.9", "LATENCY", "500",
                      "coordinated omission", "keys were removed again"):
            assert words in out, (words, out)
        root = xml.etree.ElementTree.parse(plot).getroot()
        texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        assert "Latency by percentile" in texts and any("a&b/%41/" in t for t in texts), texts
        assert cluster.node(1).request("GET", "/v1/kv?count_only").json["count"] == 0


def test_progress_shows_on_a_terminal():
    with Cluster(1) as cluster:
        cluster.start()
        cluster.wait_ready()

        def run():
            """What it said on the terminal, and what besides."""
            terminal, slave = pty.openpty()
            process = start(cluster, "-d", "1s", stderr=slave)
            os.close(slave)
            seen = b""
            try:
                while chunk := os.read(terminal, 65536):
                    seen += chunk
            except OSError:  # the other end is closed
                pass
            os.close(terminal)
            return seen, finish(process)

        seen, out = eventually(lambda: (r := run()) and b"/s  p99 " in r[0] and r,
                               "a second in which the load is not standing still")
        assert b" answered  " in seen, seen
        assert seen.endswith(b"\r\x1b[K"), seen[-80:]
        assert "\x1b" not in out, out


def test_what_makes_no_sense_is_refused_before_anything_is_sent():
    with Cluster(1) as cluster:
        cluster.start()
        cluster.wait_ready()
        before = cluster.node(1).revision()
        for arguments in (("nonsense",), ("90/20",), ("--stale",), ("get", "--client-ids"),
                          ("--connections", "5000"), ("--plot", "-"),
                          ("--keys", "1000000", "--value-bytes", "1048576"),
                          ("--prefix", "x" * 4090), ("--prefix", "x" * 20000)):
            bench(cluster, *arguments, code=USAGE)
        bench(cluster, "--at", "follower", code=UNAVAILABLE)
        assert cluster.node(1).revision() == before

        cluster.node(1).kill()
        environment = clean_environment()
        environment["MINIKV_ENDPOINTS"] = cluster.node(1).http_text
        result = subprocess.run([program("minikv"), "bench", "-t", "1s"], env=environment,
                                capture_output=True, timeout=scaled(30))
        assert result.returncode == UNAVAILABLE, result
