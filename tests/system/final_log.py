"""What the nodes of a stopped cluster have agreed on, read from their disks by minikv-inspect.

The oracle for what clients were told: it knows nothing of requests, nodes or time, only logs.
"""
import re
import subprocess

from cluster import program

RECORD = re.compile(r"^\s+entry (\d+):(\d+) (.*)$")
COMMAND = re.compile(r'command of \d+ bytes: (\w+) "([^"]*)"')
SUM = re.compile(r"commit at least (\d+)$")


def read(node):
    """({index: (term, text)}, commit) of one node's log. A record supersedes those from its index
    on that stand before it."""
    run = subprocess.run([program("minikv-inspect"), "wal", node.data], capture_output=True,
                         text=True, timeout=60)
    assert run.returncode == 0, f"node {node.id}: {run.stdout[-2000:]}{run.stderr}"
    entries, last, commit = {}, 0, None
    for line in run.stdout.splitlines():
        record = RECORD.match(line)
        if record:
            term, index, text = int(record[1]), int(record[2]), record[3]
            for superseded in range(index, last + 1):
                del entries[superseded]
            assert last == 0 or index <= last + 1, f"node {node.id}: a gap before {line}"
            entries[index], last = (term, text), index
        elif SUM.search(line):
            commit = int(SUM.search(line)[1])
    assert commit is not None, run.stdout[-2000:]
    return entries, commit


def has(node, key):
    """Whether a command with this key is in the log of a node, running or not, committed or not."""
    return any(key_of(text) == key for _, text in read(node)[0].values())


class FinalLog:
    """The entries that a cluster has committed. Its nodes must have been stopped, after all of
    them had applied a last write, to `last_key`: everything up to there is committed."""

    def __init__(self, nodes, last_key):
        logs = {node.id: read(node) for node in nodes}
        assert len(logs) * 2 > len(nodes)
        agreed = None
        for node_id, (entries, _) in logs.items():
            end = max(i for i, (_, text) in entries.items() if key_of(text) == last_key)
            prefix = {i: e for i, e in entries.items() if i <= end}
            assert agreed is None or prefix == agreed, f"the log of node {node_id} differs"
            agreed = prefix
        self.keys = [key_of(agreed[index][1]) for index in sorted(agreed)]

    def count(self, key):
        """How often a command with this key was committed."""
        return self.keys.count(key)


def key_of(text):
    command = COMMAND.match(text)
    return command[2] if command else None
