"""The relays of one cluster, as seen from here: their addresses, and what they are told to do."""
import json
import os
import subprocess
import sys

from cluster import HOST

CLIENTS = 0  # stands for them among the numbers of nodes
SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "relay_server.py")


def link_name(one, other):
    return f"{one}-{other}"


class Relays:
    """Between clients and each node; with `has_peers` between each two nodes as well."""

    def __init__(self, network, has_peers):
        self.ids = network.ids
        links = []
        for to in self.ids:
            links.append((link_name(CLIENTS, to), link_name(CLIENTS, to), *network.http(to)))
            links += [(link_name(one, to), link_name(to, one), *network.peer(to))
                      for one in self.ids if one != to and has_peers]
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, SERVER], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._send({"links": links})
        self.ports = json.loads(self.process.stdout.readline())
        self.policies, self.broken = {}, set()

    def _send(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def _apply(self):
        merged = {link_name(*pair): policy for pair, policy in self.policies.items()}
        for pair in self.broken:
            merged[link_name(*pair)] = {**merged.get(link_name(*pair), {}), "stalled": True}
        self._send({"set": merged})

    def address(self, one, to):
        return HOST, self.ports[link_name(one, to)]

    def set_broken(self, pairs):
        self.broken = set(pairs)
        self._apply()

    def set_policy(self, pairs, policy):
        """`policy` as relay_server.py has it; None: these links are well."""
        for pair in pairs:
            self.policies.pop(pair, None)
            if policy:
                self.policies[pair] = policy
        self._apply()

    def reset(self, pairs):
        self._send({"reset": [link_name(*pair) for pair in pairs]})

    def heal(self):
        self.policies, self.broken = {}, set()
        self._apply()

    def close(self):
        self.process.kill()
        self.process.communicate()
