"""Who leads at the moment: asked all the time, so that blows meant for the leader meet it."""
import subprocess
import threading

from http_client import Closed, exchange

PAUSE_SECONDS, ASK_SECONDS = 0.1, 0.3


class Watch:
    def __init__(self, world):
        self.world = world
        self.leader = None
        self.stopping = threading.Event()
        self.busy = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stopping.wait(PAUSE_SECONDS):
            for node in self.world.nodes:
                if not node.is_up:
                    continue
                try:
                    reply = exchange(node.http, "GET", "/v1/raft/status", timeout=ASK_SECONDS)
                    if reply.status == 200 and reply.json["role"] == "leader":
                        self.leader = node.id
                        break
                except (OSError, Closed, ValueError):
                    continue

    def be_busy(self, seconds):
        """Somebody else wants the processor."""
        self.busy = [p for p in self.busy if p.poll() is None]
        self.busy.append(subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "timeout", f"{seconds:.2f}", "sh", "-c",
             "while :; do :; done"]))

    def close(self):
        self.stopping.set()
        self.thread.join(10)
        for process in self.busy:
            process.wait()
