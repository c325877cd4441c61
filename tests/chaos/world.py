"""A cluster of real nodes that can be hurt: processes with the preload, a network, relays."""
import os
import re
import subprocess
import time

from cluster import EXIT_STORAGE, Cluster, Node, clean_environment, \
    eventually, program, scaled

from .disk import Disk
from .network import Loopback, Namespaces
from .relays import CLIENTS, Relays

FLAGS = ["--snapshot-bytes", "1048576"]
READY_SECONDS = 60
GRACE_SECONDS = 10
EXIT_START = 1


def library():
    return program("minikv-chaos.so")


class ChaosNode(Node):
    """At an address of its own, with a disk that forgets. Clients come through a relay."""

    def __init__(self, cluster, node_id, directory):
        self.cluster, self.id, self.directory = cluster, node_id, directory
        self.data = os.path.join(directory, "data")
        self.log_path = os.path.join(directory, "log")
        os.makedirs(directory, exist_ok=True)
        self.disk = Disk(directory, self.data, library())
        self.flags, self.process, self.is_paused = [], None, False
        self.life = 0              # how often it was started
        self.is_joining = False    # started with --join since it lost its disk
        self.is_held = False       # whoever holds it starts it again
        self.was_damaged = False   # its files, by us, since it had an empty disk
        self.excused = {}          # exit codes that are our doing: until when
        self.start_prefix = []     # words in front of the command

    @property
    def http(self):
        return self.cluster.network.http(self.id)

    @property
    def http_text(self):
        return "{}:{}".format(*self.http)

    @property
    def peer_text(self):
        return "{}:{}".format(*self.cluster.network.peer(self.id))

    def arguments(self):
        where = ["--initial-cluster", self.cluster.initial_cluster()]
        if self.is_joining:
            others = [n for n in self.cluster.nodes if n is not self]
            where = ["--join", ",".join(n.http_text for n in others)]
        return [program("minikvd"), "--id", str(self.id), "--data-dir", self.data,
                "--listen-http", self.http_text, "--listen-peer", self.peer_text,
                *where, *self.cluster.flags, *self.flags]

    def start(self, arguments=None):
        assert self.process is None, f"node {self.id} runs already"
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.cluster.network.prefix(self.id), "setpriv", "--pdeathsig", "KILL",
                 *self.start_prefix, *(arguments or self.arguments())],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env={**clean_environment(), **self.disk.environment(),
                     **self.cluster.network.environment(self.id)})
        self.is_paused = False
        self.life += 1

    def excuse(self, seconds, *statuses):
        """What is done to it explains these; on a busy machine it takes a while to end."""
        until = time.monotonic() + seconds + scaled(GRACE_SECONDS)
        self.excused.update((status, until) for status in statuses)

    def is_excused(self, status):
        return time.monotonic() < self.excused.get(status, 0.0)

    def exit_status(self):
        """None while it runs, or when it was ended by us; else why it ended, once."""
        if self.process is None or self.process.poll() is None:
            return None
        return self._reap(10)

    def last_words(self):
        return [line for line in self.log().splitlines()[-4:] if line.strip()]

    def named_damage(self):
        """The file and the place that its last words name."""
        return re.search(r"(\S+\.log|\S+\.snap|meta)\S* at offset \d+|(\S+\.(log|snap)|meta):",
                         "\n".join(self.last_words()))


class Door:
    """A node as clients see it: behind a relay."""

    def __init__(self, world, node):
        self.node, self.id = node, node.id
        self.http = world.relays.address(CLIENTS, node.id)


class World(Cluster):
    """`network` is "namespaces" or "relays"."""

    def __init__(self, count, network, directory, flags=()):
        self.directory, self.name = directory, network
        self.flags = [*FLAGS, *flags]
        ids = range(1, count + 1)
        self.network = Namespaces(ids) if network == "namespaces" else Loopback(ids)
        self.relays = Relays(self.network, has_peers=network == "relays")
        self.network.relays = self.relays
        self.nodes = [ChaosNode(self, i, os.path.join(directory, f"node-{i}")) for i in ids]
        self.doors = [Door(self, n) for n in self.nodes]
        self.broken = {}  # who broke it: directions

    def __exit__(self, kind, *_):
        for node in self.nodes:
            node.end()
            node.disk.close()
        self.relays.close()
        self.network.close()

    def set_broken(self, who, pairs):
        """The directions that `who` breaks; none: it does so no more."""
        self.broken.pop(who, None)
        if pairs:
            self.broken[who] = set(pairs)
        self.network.set_broken(set().union(*self.broken.values()))

    def heal(self):
        """Whatever was done to links and disks is over, and every node runs."""
        self.broken = {}
        self.network.set_broken(set())
        self.relays.heal()
        for node in self.nodes:
            node.disk.heal()
            if node.is_paused and node.is_running:
                node.resume()

    def settle(self):
        """All nodes are up and have applied the same; fails when that does not come about."""
        eventually(lambda: all(n.is_up for n in self.nodes), "all nodes run", READY_SECONDS)
        self.wait_ready(announced=False, timeout=READY_SECONDS)


__all__ = ["EXIT_START", "EXIT_STORAGE", "ChaosNode", "World", "library"]
