"""The protocol between nodes as bytes (docs/formats/peer.md), right or wrong on purpose."""
import random
import re
import socket
import struct
import subprocess

from cluster import HOST, program, scaled

HELLO, WELCOME, REFUSE, MESSAGE, FORWARD, REFUSED, PING, PONG, BYE, FETCH, CHUNK = range(1, 12)
VERSION = 1
FRAME_BYTES_MAX = 4 << 20
HEADER_BYTES = 12
APPEND, VOTE = 5, 3  # types of messages


def _crc_table():
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


CRC_TABLE = list(_crc_table())


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ CRC_TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def frame(kind, body=b"", length=None, checksum=None, padding=b"\0\0\0"):
    """A frame; what is given is put in place of what would be right."""
    rest = bytes([kind]) + padding + body
    length = len(body) if length is None else length
    return struct.pack("<II", length, crc32c(rest) if checksum is None else checksum) + rest


class Identity:
    """Who a node is, as its data directory says."""

    def __init__(self, node):
        self.id = node.id
        text = subprocess.run([program("minikv-inspect"), "meta", node.data], check=True,
                              capture_output=True, text=True, timeout=scaled(20)).stdout
        self.cluster = int(re.search(r"cluster\s+([0-9a-f]{16})", text).group(1), 16)
        self.directory = int(re.search(r"identity\s+([0-9a-f]{16})", text).group(1), 16)

    def hello(self, to, **changed):
        """The greeting, with some fields changed: version, sender, meant, cluster, identity, address."""
        fields = {"version": VERSION, "sender": self.id, "meant": to.id, "cluster": self.cluster,
                  "identity": self.directory, "address": b"", **changed}
        return frame(HELLO, struct.pack("<IIIQQQQB", fields["version"], fields["sender"],
                                        fields["meant"], fields["cluster"], fields["identity"],
                                        random.getrandbits(64), 0, len(fields["address"]))
                     + fields["address"])


def message(kind, sender, to, term, rest, flag=0):
    return frame(MESSAGE, struct.pack("<BBHIIQ", kind, flag, 0, sender, to, term) + rest)


def append(sender, to, term, prev=(0, 0), commit=0, count=0, entries=b""):
    return message(APPEND, sender, to, term,
                   struct.pack("<QQQQBI", *prev, commit, 0, 0, count) + entries)


class Link:
    """A bare connection to a node's peer port."""

    def __init__(self, node):
        self.socket = socket.create_connection((HOST, node.peer_port), scaled(10))
        self.port = self.socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """False: the node has closed before it had read everything."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def end_output(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has closed already

    def read_frame(self):
        """(type, body) of the next frame."""
        header = self._read(HEADER_BYTES)
        length, _, kind = struct.unpack("<IIB", header[:9])
        return kind, self._read(length)

    def _read(self, count):
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            assert more, f"the node closed after {len(data)} of {count} bytes"
            data += more
        return data

    def wait_end(self):
        """What the node still says before it closes; a TimeoutError if it does not."""
        data = b""
        while True:
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                return data
            if not more:
                return data
            data += more
