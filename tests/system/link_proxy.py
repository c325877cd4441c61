"""A TCP relay in front of a node's peer port: what lets a test break a link and nothing else."""
import selectors
import socket
import struct
import threading

from cluster import HOST, PortClaim

CHUNK_BYTES = 256 * 1024


class LinkProxy:
    """Relays connections to `target` until they are cut; runs in a thread of its own."""

    def __init__(self, target):
        self.target = target
        self.claim = PortClaim()
        self.port = self.claim.port
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((HOST, self.port))
        self.listener.listen(16)
        self.wake_reader, self.wake_writer = socket.socketpair()
        self.commands = []
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.selector.register(self.wake_reader, selectors.EVENT_READ)
        self.partner = {}
        self.silent = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def cut(self):
        """Resets every connection, with whatever is on its way."""
        self._command("cut")

    def silence(self):
        """From now on every connection carries nothing, and nobody is told; new ones are whole."""
        self._command("silence")

    def close(self):
        self._command("close")
        self.thread.join(10)

    def _command(self, name):
        self.commands.append(name)
        self.wake_writer.send(b"x")

    def _run(self):
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    self._accept()
                elif key.fileobj is self.wake_reader:
                    self.wake_reader.recv(64)
                elif key.fileobj in self.partner:
                    self._relay(key.fileobj)
            while self.commands:
                command = self.commands.pop(0)
                for one in list(self.partner):
                    if one in self.partner:
                        self._silence(one) if command == "silence" else self._reset(one)
                if command == "close":
                    self.listener.close()
                    for end in self.silent:
                        end.close()
                    return

    def _accept(self):
        near, _ = self.listener.accept()
        try:
            far = socket.create_connection(self.target, timeout=1)
        except OSError:
            near.close()
            return
        for one, other in ((near, far), (far, near)):
            one.settimeout(5)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.partner[one] = other
            self.selector.register(one, selectors.EVENT_READ)

    def _relay(self, one):
        try:
            data = one.recv(CHUNK_BYTES)
            if data:
                self.partner[one].sendall(data)
                return
        except OSError:
            pass
        self._reset(one)

    def _reset(self, one):
        for end in (one, self.partner.get(one)):
            if end is not None and self.partner.pop(end, None):
                self.selector.unregister(end)
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.close()

    def _silence(self, one):
        for end in (one, self.partner[one]):
            del self.partner[end]
            self.selector.unregister(end)
            self.silent.append(end)
