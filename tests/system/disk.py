"""Disks that are full, that fail, and on which a process dies in the middle of a call."""
import contextlib
import ctypes
import errno
import mmap
import os
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
WRITE, SYNC, CREATE, RENAME, UNLINK, MKDIR = 1, 2, 4, 8, 16, 32
FIELDS = ("calls", "die_at", "is_half", "kinds", "error", "skip", "times", "is_full")


class Faults:
    """What disk_faults.c does to the calls of a node; from its next start on."""

    def __init__(self, node):
        os.makedirs(node.directory, exist_ok=True)
        path = os.path.join(node.directory, "faults")
        with open(path, "wb") as file:
            file.truncate(mmap.PAGESIZE)
        with open(path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        node.environment = {"LD_PRELOAD": _library(node.cluster.directory), "DISK_FAULTS": path,
                            "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def __getitem__(self, name):
        return struct.unpack_from("<Q", self.page, 8 * FIELDS.index(name))[0]

    def set(self, **values):
        """Sets these in the order given; `times` last."""
        for name, value in values.items():
            struct.pack_into("<Q", self.page, 8 * FIELDS.index(name), value)

    def fill(self):
        self.set(is_full=1)

    def free(self):
        self.set(is_full=0)


def _library(directory):
    path = os.path.join(directory, "disk_faults.so")
    if not os.path.exists(path):
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", path,
                        os.path.join(HERE, "disk_faults.c"), "-ldl"], check=True)
    return path


class Filled:
    """A file system of a few MiB for the data of one node. A file of ours takes what room there is."""

    def __init__(self, node, mib):
        os.makedirs(node.data)
        _mount("tmpfs", node.data, "tmpfs", f"size={mib}m")
        self.path = os.path.join(node.data, "filler")

    def fill(self):
        """To be called again and again: the node itself may give room back."""
        with open(self.path, "ab", buffering=0) as file:
            for piece in (b"\1" * 65536, b"\1" * 4096):
                try:
                    while True:
                        file.write(piece)
                except OSError as error:
                    assert error.errno == errno.ENOSPC, error

    def free(self):
        os.unlink(self.path)


def _mount(source, target, kind, data, flags=0):
    libc = ctypes.CDLL(None, use_errno=True)
    texts = [None if t is None else t.encode() for t in (source, target, kind)]
    if libc.mount(*texts, ctypes.c_ulong(flags), None if data is None else data.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def _unmount(target):
    """What still uses it goes on; nobody else sees it."""
    detach = 2
    ctypes.CDLL(None).umount2(target.encode(), ctypes.c_int(detach))


def _enter_mount_namespace(target):
    """Whether this process can mount, at `target` for one, what only it and its children see."""
    new_mounts, new_user = 0x00020000, 0x10000000
    recursive_private = 0x4000 | 0x40000
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(new_mounts) != 0:
        if libc.unshare(new_mounts | new_user) != 0:
            return False
        try:
            for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"),
                               ("gid_map", f"0 {group} 1")):
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
        except OSError:
            return False
    try:
        _mount("none", "/", None, None, recursive_private)
        _mount("tmpfs", target, "tmpfs", "size=1m")
        _unmount(target)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def small_disks(cluster, mib):
    """{node: its disk}, with fill and free, before the cluster starts: file systems of their own, or,
    where this process may not mount any, calls that fail as if they were."""
    if not _enter_mount_namespace(cluster.directory):
        print("no mount namespace: disks are full by an interposed library", file=sys.stderr)
        yield {node: Faults(node) for node in cluster.nodes}
        return
    try:
        yield {node: Filled(node, mib) for node in cluster.nodes}
    finally:
        for node in cluster.nodes:
            _unmount(node.data)  # or nobody could remove the directory
