"""What processes do, counted without stopping them: system calls, switches, calls of the C library.

perf counts in the kernel, at its tracepoints; a library of ours (bench/preload) in the processes.
What each node writes to its log comes from its metrics.
"""
import glob
import os
import signal
import struct
import subprocess
import tempfile

from systems import eventually

ATTACH_SECONDS_MAX = 20
TRACEPOINTS = "/sys/kernel/tracing/events"
SYSTEM_CALLS = ("read", "readv", "recvfrom", "recvmsg", "sendto", "sendmsg", "write", "writev",
                "pwrite64", "pwritev", "pwritev2", "fdatasync", "fsync", "fallocate", "openat",
                "close", "unlink", "renameat2", "ftruncate", "epoll_wait", "epoll_pwait",
                "epoll_ctl", "futex", "io_uring_enter", "mmap", "munmap", "mprotect", "madvise",
                "brk", "accept4", "sched_yield", "clock_nanosleep")
ALL_SYSTEM_CALLS = "raw_syscalls:sys_enter"
OTHERS = {"context switches": "context-switches", "moved to another core": "cpu-migrations",
          "page faults": "page-faults"}
CALLS = ("allocations", "bytes allocated", "frees", "memcpy, memmove", "bytes of these", "memset",
         "bytes set")
METRICS = ("wal_syncs", "wal_entries", "wal_written_bytes", "snapshots_taken", "read_rounds",
           "forwarded")


class Perf:
    """perf on running processes; it looks between begin() and end() only."""

    def __init__(self, command, arguments, pids, directory):
        control, answers = (os.path.join(directory, name) for name in ("control", "answers"))
        for path in (control, answers):
            if os.path.exists(path):
                os.remove(path)
            os.mkfifo(path)
        # Open for reading and writing, so that opening waits for nobody.
        self.control, self.answers = (os.open(p, os.O_RDWR) for p in (control, answers))
        self.process = subprocess.Popen(
            ["perf", command, "-D", "-1", "--control", f"fifo:{control},{answers}", "-p",
             ",".join(map(str, pids)), *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def begin(self):
        self._say(b"enable\n")

    def end(self):
        """Returns what it printed."""
        try:
            if self.process.poll() is None:
                self._say(b"disable\n")
                self.process.send_signal(signal.SIGINT)
            output, errors = self.process.communicate(timeout=60)
        finally:
            self.close()
        return output + errors

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self.control)
        os.close(self.answers)

    def _say(self, word):
        os.write(self.control, word)
        os.set_blocking(self.answers, False)
        eventually(lambda: self._has_answered() or self.process.poll() is not None,
                   "perf looks at the processes", ATTACH_SECONDS_MAX)
        if self.process.poll() is not None:
            raise RuntimeError("perf has ended: " + self.process.stderr.read()[:500])

    def _has_answered(self):
        try:
            return b"ack" in os.read(self.answers, 64)
        except BlockingIOError:
            return False


# ---- system calls ----

def peer_descriptors(pid, ports):
    """The descriptors of a process that are connections of `ports`, at either end."""
    inodes = set()
    with open("/proc/net/tcp") as table:
        for line in list(table)[1:]:
            fields = line.split()
            if {int(fields[i].rpartition(":")[2], 16) for i in (1, 2)} & ports:
                inodes.add(f"socket:[{fields[9]}]")
    found = []
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        try:
            if os.readlink(path) in inodes:
                found.append(int(os.path.basename(path)))
        except OSError:  # closed meanwhile
            continue
    return found


def why_not():
    """What keeps perf from sampling and from counting system calls, None: nothing."""
    if os.geteuid() == 0 and not os.path.isdir(TRACEPOINTS):
        return "no tracefs: mount -t tracefs tracefs " + os.path.dirname(TRACEPOINTS)
    command = ["perf", "stat", "-e", f"{ALL_SYSTEM_CALLS},cpu-clock", "true"]
    try:
        is_allowed = subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    except FileNotFoundError:
        return "there is no perf"
    return None if is_allowed else "perf may not look at processes and system calls (root?)"


class SystemCalls:
    """Counts of one process; {"sendto": 12, "sendto to peers": 3, "system calls": 40, …}"""

    def __init__(self, pid, peer_ports, directory):
        self.names, arguments = [], []
        for name in SYSTEM_CALLS:
            if os.path.isdir(f"{TRACEPOINTS}/syscalls/sys_enter_{name}"):
                self._add(arguments, name, f"syscalls:sys_enter_{name}")
        descriptors = peer_descriptors(pid, peer_ports)
        if descriptors:
            which = "||".join(f"fd=={fd}" for fd in descriptors)
            for name in ("read", "sendto", "sendmsg", "writev"):
                self._add(arguments, f"{name} (peers)", f"syscalls:sys_enter_{name}", which)
        self._add(arguments, "system calls", ALL_SYSTEM_CALLS)
        for name, event in OTHERS.items():
            self._add(arguments, name, event)
        self.perf = Perf("stat", ["-x", ";", *arguments], [pid], directory)

    def _add(self, arguments, name, event, which=None):
        self.names.append(name)
        arguments += ["-e", event] + (["--filter", which] if which else [])

    def begin(self):
        self.perf.begin()

    def end(self):
        lines = [line for line in self.perf.end().splitlines() if line.count(";") > 4]
        values = [line.split(";")[0] for line in lines]
        if len(values) != len(self.names):
            raise RuntimeError(f"perf stat told {len(values)} of {len(self.names)} counts")
        counts = {name: int(v) if v.isdigit() else 0 for name, v in zip(self.names, values)}
        named = sum(counts.get(name, 0) for name in SYSTEM_CALLS)
        counts["other calls"] = max(0, counts["system calls"] - named)
        return counts


# ---- calls of the C library ----

class PreloadedCalls:
    """Programs started between enter and exit count their calls; read(pid) says how many so far."""

    def __init__(self, library):
        self.preloaded = library
        self.directory = tempfile.TemporaryDirectory(prefix="minikv-bench-")

    def __enter__(self):
        os.environ.update({"LD_PRELOAD": self.preloaded, "COUNT_CALLS_IN": self.directory.name})
        return self

    def __exit__(self, *exception):
        del os.environ["LD_PRELOAD"], os.environ["COUNT_CALLS_IN"]

    def read(self, pid):
        with open(os.path.join(self.directory.name, str(pid)), "rb") as file:
            return dict(zip(CALLS, struct.unpack(f"={len(CALLS)}Q", file.read())))


# ---- metrics ----

def node_metrics(node):
    """The counters of METRICS at a node, without the unit's and the program's name."""
    metrics = node.metrics()
    return {name: int(metrics.get(f"minikv_{name}_total", 0)) for name in METRICS}


def difference(after, before):
    return {name: after[name] - before[name] for name in after}
