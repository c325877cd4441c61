"""Where nodes live and who reaches whom.

Namespaces: each node has a network namespace of its own, on one bridge, with the address 10.77.0.ID. A
direction is broken by a wrong hardware address at the sender: its packets go nowhere, nobody is told,
and what the kernel has under way is repeated until it gets through, as with a pulled cable. It takes root.

Relays: all nodes are on loopback, and each dials each other one through a relay of their own (relays.py),
which the preload puts in between. A broken direction is one in which the relay passes nothing on. Beyond
that relays delay, reset and deliver byte by byte.
"""
import os
import subprocess
import sys
import time

from cluster import HOST, PortClaim

BRIDGE, HUB_ADDRESS, PREFIX = "chaos0", "10.77.0.254", "10.77.0."
HTTP_PORT, PEER_PORT = 8081, 7001
INSIDE = "CHAOS_INSIDE"  # set when we are in a namespace of our own


def enter():
    """Starts this program again in a network namespace of its own, if that can be. Says what is
    missing when it cannot."""
    if os.environ.get(INSIDE):
        return None
    try:
        probe = subprocess.run(["unshare", "--net", "ip", "-batch", "-"], capture_output=True, text=True,
                               input=f"link add {BRIDGE} type bridge\n"
                                     f"link add v0 type veth peer name v1\n")
    except OSError as error:
        return str(error)
    if probe.returncode != 0:
        return (probe.stderr.strip() or "no network namespaces").splitlines()[-1]
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])


def run(*words, text=None):
    subprocess.run(words, check=True, input=text, text=True, stdout=subprocess.DEVNULL)


def hardware(node_id):
    return f"02:00:00:00:00:{node_id:02x}"


class Namespaces:
    name = "namespaces"
    NOWHERE = hardware(0xbb)
    has_bridge = False  # of this process, in its own namespace

    def __init__(self, ids):
        self.ids = list(ids)
        self.holders = {}
        if not Namespaces.has_bridge:
            Namespaces.has_bridge = True
            run("ip", "-batch", "-", text=(
                f"link set lo up\nlink add {BRIDGE} address {hardware(0xfe)} type bridge\n"
                f"addr add {HUB_ADDRESS}/24 dev {BRIDGE}\nlink set {BRIDGE} up\n"))
        for node_id in self.ids:
            self._make(node_id)

    def _make(self, node_id):
        holder = self.holders[node_id] = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{holder.pid}/ns/net") == own:
            time.sleep(0.002)
        run("ip", "-batch", "-", text=(
            f"link add v{node_id} type veth peer name eth0 address {hardware(node_id)} "
            f"netns {holder.pid}\nlink set v{node_id} master {BRIDGE} up\n"))
        lines = [f"link set lo up\naddr add {PREFIX}{node_id}/24 dev eth0\nlink set eth0 up"]
        lines += [self._neighbor(i, hardware(i)) for i in self.ids if i != node_id]
        self._inside(node_id, lines)

    def _inside(self, node_id, lines):
        run(*self.prefix(node_id), "ip", "-batch", "-", text="\n".join(lines) + "\n")

    @staticmethod
    def _neighbor(node_id, address):
        return f"neigh replace {PREFIX}{node_id} lladdr {address} dev eth0 nud permanent"

    def prefix(self, node_id):
        """Words in front of a command that is to run where the node is."""
        return ["nsenter", f"--net=/proc/{self.holders[node_id].pid}/ns/net"]

    def http(self, node_id):
        return PREFIX + str(node_id), HTTP_PORT

    def peer(self, node_id):
        return PREFIX + str(node_id), PEER_PORT

    def environment(self, node_id):
        return {}

    def set_broken(self, pairs):
        """Exactly these directions, (from, to), are broken from now on."""
        for node_id in self.ids:
            self._inside(node_id, [
                self._neighbor(i, self.NOWHERE if (node_id, i) in pairs else hardware(i))
                for i in self.ids if i != node_id])

    def close(self):
        subprocess.run(["ip", "-force", "-batch", "-"], text=True, stderr=subprocess.DEVNULL,
                       input="".join(f"link del v{i}\n" for i in self.ids))
        for holder in self.holders.values():
            holder.kill()
            holder.wait()


class Loopback:
    name = "relays"

    def __init__(self, ids):
        self.ids = list(ids)
        self.claims = {i: (PortClaim(), PortClaim()) for i in self.ids}
        self.relays = None  # whoever has made them

    def prefix(self, node_id):
        return []

    def http(self, node_id):
        return HOST, self.claims[node_id][0].port

    def peer(self, node_id):
        return HOST, self.claims[node_id][1].port

    def environment(self, node_id):
        def text(address):
            return f"{address[0]}:{address[1]}"
        return {"CHAOS_ROUTES": ",".join(
            f"{text(self.peer(i))}={text(self.relays.address(node_id, i))}"
            for i in self.ids if i != node_id)}

    def set_broken(self, pairs):
        self.relays.set_broken(pairs)

    def close(self):
        pass
