"""What a node shows to others on its machine and to its clients (FAULTS A9, A11, A12)."""
import os
import stat
import subprocess

from cluster import Cluster, clean_environment, eventually, program
from http_client import Connection, encode


def listening_addresses(pid):
    """Of all sockets of a process that listen: the address as /proc/net/tcp has it."""
    sockets = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            sockets.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            pass  # closed meanwhile
    found = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}") as lines:
            for fields in (line.split() for line in list(lines)[1:]):
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                    found.append(fields[1].partition(":")[0])
    return found


def test_by_default_nobody_from_outside_can_connect():
    """FAULTS A9: only --listen-http and --listen-peer open a door to other machines."""
    shown = subprocess.run([program("minikvd"), "--print-config"], capture_output=True, text=True,
                           check=True, timeout=20, env=clean_environment()).stdout
    listeners = [line for line in shown.splitlines() if line.startswith("listen-")]
    assert len(listeners) == 2 and all("127.0.0.1:" in line for line in listeners), shown
    with Cluster(1).start() as cluster:
        addresses = listening_addresses(cluster.node(1).process.pid)
        assert addresses == ["0100007F"] * 2, addresses


def test_what_a_node_writes_is_for_its_user_only():
    """FAULTS A12: whatever the umask it was started with."""
    with Cluster(1, ["--snapshot-bytes", "65536"]) as cluster:
        node = cluster.node(1)
        node.start(["sh", "-c", 'umask 0; exec "$@"', "sh", *node.arguments()])
        cluster.wait_ready()
        for i in range(200):
            assert node.put(f"k{i}", "v" * 1000).status == 204
        snapshots = os.path.join(node.data, "snap")
        eventually(lambda: any(n.endswith(".snap") for n in os.listdir(snapshots)), "a snapshot")

        for folder, folders, files in os.walk(node.data):
            for name in [*folders, *files, "."]:
                try:
                    mode = os.lstat(os.path.join(folder, name)).st_mode
                except FileNotFoundError:
                    continue  # renamed or given up in this moment
                assert stat.S_IMODE(mode) & 0o077 == 0, (folder, name, oct(mode))


def test_refusals_show_nothing_of_the_process():
    """FAULTS A11: no path, no address in memory, no byte of another request."""
    secret = "the-value-of-somebody-else"
    with Cluster(3).start() as cluster:
        for node in cluster.nodes:
            with Connection(node.http) as connection:
                assert connection.request("PUT", "/v1/kv/k", {"value": secret}).status == 204
                for method, target, body in (
                        ("PUT", "/v1/kv/k?bogus=1", {"value": "x"}), ("PUT", "/v1/kv/k", {}),
                        ("GET", "/v1/kv/absent", None), ("POST", "/v1/incr/k", {"by": 1}),
                        ("GET", "/nowhere", None), ("PATCH", "/v1/kv/k", None),
                        ("GET", "/v1/kv/k?rev=999999999", None), ("POST", "/v1/txn", {"x": 1})):
                    connection.send(encode(method, target, body))
                    reply = connection.read_final(method)

                    assert reply.status >= 400, reply
                    shown = repr(reply) + reply.body.decode()
                    for what in (secret, cluster.directory, "/src/", ".c:", "0x", "(nil)"):
                        assert what not in shown, (what, reply)
