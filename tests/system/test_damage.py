"""A node whose files are damaged says so and stops, and is made good as docs/operations.md has it; one
whose files are whole but old is no danger to what clients read."""
import os
import shutil
import subprocess

from cluster import EXIT_CORRUPT, eventually, program
from living import LivingCluster, Steady
from test_cluster_ops import flip_byte, log_segments, middle_of_written, run_to_end, tree
from test_snapshots import write_until
from testing import limit

FLAGS = ["--snapshot-bytes", "65536"]


def damage_log(node):
    path = log_segments(node)[0]
    flip_byte(path, middle_of_written(path))
    return [path]


def damage_snapshots(node):
    folder = os.path.join(node.data, "snap")
    paths = [os.path.join(folder, n) for n in os.listdir(folder) if n.endswith(".snap")]
    for path in paths:
        flip_byte(path, os.path.getsize(path) // 2)
    return paths


def damage_meta(node):
    path = os.path.join(node.data, "meta")
    flip_byte(path, 30)
    return [path]


def minikv(cluster, *arguments):
    endpoints = ",".join(n.http_text for n in cluster.nodes if n.is_up)
    done = subprocess.run([program("minikv"), *arguments, "-e", endpoints], text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done


@limit(120)
def test_a_damaged_node_names_the_place_and_is_replaced_from_its_peers():
    with LivingCluster(3, FLAGS).start() as cluster:
        with Steady(cluster.nodes, value_bytes=2000) as load:
            for damage in (damage_log, damage_snapshots, damage_meta):
                write_until(cluster, load, 3)
                victim = cluster.followers()[0]
                victim.kill()
                paths = damage(victim)
                before = tree(victim.data)

                status, log = run_to_end(victim, 20)

                assert status == EXIT_CORRUPT, (damage.__name__, status, log[-2000:])
                for path in paths:
                    lines = [line for line in log.splitlines() if os.path.basename(path) in line]
                    assert any("offset" in line for line in lines), (path, log[-2000:])
                after = tree(victim.data)  # a snapshot that was being written when it died is no loss
                changed = {name for name, data in before.items()
                           if not name.endswith((".tmp", ".part")) and after.get(name) != data}
                assert not changed, f"damaged files are left as they are, but {changed} changed"

                # docs/operations.md, "A damaged node"
                minikv(cluster, "member", "remove", str(victim.id))
                cluster.nodes.remove(victim)
                os.rename(victim.data, victim.data + ".damaged")
                joined = cluster.joiner(victim.id)
                joined.start()
                cluster.nodes.append(joined)
                cluster.wait_voter(joined)
        cluster.wait_ready()
        for node in cluster.nodes:
            load.assert_truth(node)
        cluster.assert_same_state()


def put(node, value):
    eventually(lambda: node.put("old", value).status == 204, f"{value} is stored")


@limit(120)
def test_a_directory_put_back_from_an_older_copy_shows_nothing_old():
    with LivingCluster(3, FLAGS).start() as cluster:
        with Steady(cluster.nodes, value_bytes=2000) as load:
            victim, other = cluster.followers()
            put(other, "before")
            write_until(cluster, load, 1)
            victim.kill()
            copy = victim.data + ".copy"
            shutil.copytree(victim.data, copy)
            victim.start()
            cluster.wait_ready()
            put(other, "after")
            write_until(cluster, load, 2)

            victim.kill()
            shutil.rmtree(victim.data)
            os.rename(copy, victim.data)
            victim.start()

            shown = eventually(lambda: [victim.value("old")], "a read at the node of the older copy")
            assert shown == ["after"], shown
            assert all(node.is_running for node in cluster.nodes), "nobody falls over it"
            cluster.wait_ready()
            write_until(cluster, load, 1)
        cluster.wait_ready()
        for node in cluster.nodes:
            load.assert_truth(node)
        cluster.assert_same_state()
