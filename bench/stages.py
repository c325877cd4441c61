"""Which stage of a request a sampled moment belongs to: from the innermost function that says so.

STAGES is the one place that knows: for each stage, patterns of places; the first that fits counts.
A place is FOLDER/FILE.c:FUNCTION of MiniKV's sources, or LIBRARY:FUNCTION. A place without a stage
(a buffer, the allocator, memmove, the socket) belongs to what called it, and so does the kernel.
"""
import collections
import fnmatch
import functools
import os
import re
import subprocess

STAGES = (
    (None, ("kv/command.c:*", "http/json.c:utf8*", "http/json.c:has_zero", "http/json.c:word_*")),
    ("snapshot", ("storage/snap*", "node/snapshot.c:*", "kv/kv_image.c:*", "kv/tree_pin.c:*",
                  "kv/*:*_collect")),
    ("wake-up", ("*:*epoll*", "*:*futex*", "*:*pthread_cond*", "*:*pthread_mutex*", "*:*lll_lock*",
                 "*:*uv_async*", "*:*uv_cond*", "*:*uv_mutex*", "*:*eventfd*", "*:sched_yield",
                 "uv/uv_write.c:writer_on_done")),
    ("reply", ("http/reply.c:*", "http/results.c:*", "http/json.c:json_put*", "http/etag.c:*",
               "http/outcome.c:*", "http/problem.c:*", "http/turn.c:*", "http/metrics.c:*",
               "http/kv.c:*_answer", "http/kv.c:answer_*", "http/kv.c:kv_put_item",
               "http/kv.c:kv_put_revisions", "http/connection.c:*flush*",
               "http/connection.c:*answer*", "http/connection.c:*repl*",
               "http/connection.c:send_some", "http/connection.c:has_room",
               "http/exchange.c:*write*", "http/exchange.c:*done*", "http/exchange.c:*free*",
               "http/server.c:http_on_flush", "node/request.c:request_deliver",
               "node/request.c:request_answer")),
    ("log", ("storage/*", "uv/uv_write.c:*", "uv/uv_disk.c:env_file_write",
             "uv/uv_disk.c:env_file_sync", "node/ready.c:persist", "node/ready.c:ready_on_durable",
             "node/ready.c:remember_append")),
    ("apply, look up", ("node/apply.c:*", "kv/*")),
    ("receive from peers", ("peer/inbox.c:*", "peer/link_*:*_on_data", "peer/link_*:*_on_frame",
                            "peer/link_*:on_*", "wire/*:*decode*", "wire/*:*take*", "wire/*:*next*",
                            "wire/*:*checksum*")),
    ("send to peers", ("peer/*", "wire/*", "node/ready.c:send_messages")),
    ("propose", ("raft/*", "node/*", "route/*")),
    ("parse", ("http/*", "llhttp*:*", "*:llhttp_*")),
    ("timers, turns", ("uv/uv_timer.c:*", "uv/uv_task.c:*", "uv/uv_env.c:*")),
    ("read", ("libc.so.6:*read", "libc.so.6:*recv*")),
    ("wake-up", ("libuv.so*",)),
)
ORDER = ("read", "parse", "propose", "log", "send to peers", "receive from peers", "apply, look up",
         "reply", "snapshot", "timers, turns", "wake-up", "other")
# What cuts across the stages, by the innermost function: memory, copies, and the kernel.
ACROSS = (("malloc, free", re.compile("malloc|calloc|realloc|free$|int_free|unlink_chunk")),
          ("memcpy, memset", re.compile("mem(move|cpy|set)_")))
WRITER_THREAD, WRITER_IN_LOOP = (f"uv/uv_write.c:{f}"
                                 for f in ("writer_run_thread", "env_writer_run"))
UNRESOLVED_SHARE_MAX = 0.05


@functools.cache
def stage_of_place(place):
    return next((stage for stage, patterns in STAGES
                 if any(fnmatch.fnmatchcase(place, p if ":" in p else p + ":*")
                        for p in patterns)), None)


class Sources:
    """The places of a program's addresses; inlined functions come first."""

    def __init__(self, program, addresses):
        self.places = {}
        addresses = sorted(addresses)
        if not addresses:
            return
        text = subprocess.run(["addr2line", "-a", "-f", "-i", "-e", program],
                              input="\n".join(addresses), capture_output=True, text=True,
                              check=True, timeout=120).stdout
        for part in re.split(r"^0x", text, flags=re.M)[1:]:
            address, *lines = part.strip().split("\n")
            self.places[int(address, 16)] = [self._place(function, where)
                                             for function, where in zip(lines[::2], lines[1::2])]

    @staticmethod
    def _place(function, where):
        path = where.rpartition(":")[0]
        return "/".join(path.split("/")[-2:]) + ":" + function.partition(".")[0]

    def of(self, address):
        return self.places.get(int(address, 16), [])


class Sample:
    """A moment: process, thread, and the frames, innermost first: (address, function, file)."""

    def __init__(self, pid, tid, frames):
        self.pid, self.tid, self.frames = pid, tid, frames

    @property
    def is_in_kernel(self):
        return bool(self.frames) and self.frames[0][2].startswith("[")


FRAME = re.compile(r"\s*([0-9a-f]+) (.*) \((.*)\)$")
HEAD = re.compile(r"\s*(\d+)/(\d+)")


def read_samples(path):
    text = subprocess.run(["perf", "script", "-i", path, "--no-inline", "-F", "pid,tid,ip,sym,dso"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
                          timeout=300).stdout
    samples = []
    for part in text.split("\n\n"):
        lines = part.strip("\n").split("\n")
        head = HEAD.match(lines[0])
        if head is not None:
            frames = [m.groups() for m in map(FRAME.match, lines[1:]) if m is not None]
            samples.append(Sample(int(head[1]), int(head[2]), frames))
    return samples


class Profile:
    """Samples of some processes, divided among the stages."""

    def __init__(self, samples, program):
        self.samples = samples
        self.program = os.path.basename(program)
        self.sources = Sources(program,
                               {f[0] for s in samples for f in s.frames if self._is_own(f)})
        self.places = [self._places(s) for s in samples]
        self.log_threads = self._find_log_threads()

    def _is_own(self, frame):
        return os.path.basename(frame[2]) == self.program

    def _places(self, sample):
        places = []
        for frame in sample.frames:
            if self._is_own(frame):
                places += self.sources.of(frame[0]) or [f"{self.program}:{frame[1]}"]
            elif not frame[2].startswith("["):
                places.append(f"{os.path.basename(frame[2])}:{frame[1]}")
        return places

    def _find_log_threads(self):
        """The threads that write the log; others write snapshots with the same code. Where the loop
        writes the log, no thread does."""
        in_loop, counts = collections.Counter(), collections.Counter()
        for sample, places in zip(self.samples, self.places):
            in_loop[sample.pid] += WRITER_IN_LOOP in places
            if WRITER_THREAD in places:
                counts[sample.pid, sample.tid] += 1
        busiest = {}
        for (pid, tid), count in reversed(counts.most_common()):
            if count > in_loop[pid]:
                busiest[pid] = tid
        return set(busiest.values())

    def stage(self, sample, places):
        stage = next(filter(None, map(stage_of_place, places)), "other")
        if stage == "log" and WRITER_THREAD in places and sample.tid not in self.log_threads:
            return "snapshot"
        return stage

    def shares(self, is_wanted):
        """{stage: share of all samples}, of the processes for which is_wanted(pid)."""
        counts = collections.Counter(self.stage(s, places)
                                     for s, places in zip(self.samples, self.places)
                                     if is_wanted(s.pid))
        return self._of_all(counts)

    def across(self, is_wanted):
        """{what: share of all samples} for what is part of several stages."""
        counts = collections.Counter()
        for sample in self.samples:
            if is_wanted(sample.pid) and sample.frames:
                counts["kernel"] += sample.is_in_kernel
                function = next((f[1] for f in sample.frames if not f[2].startswith("[")), "")
                counts.update(what for what, pattern in ACROSS if pattern.search(function))
        return self._of_all(counts)

    def functions(self, is_wanted, count):
        """[(stage, innermost place with a stage, share)], the largest first."""
        counts = collections.Counter()
        for sample, places in zip(self.samples, self.places):
            if is_wanted(sample.pid):
                named = next((p for p in places if stage_of_place(p)), places[0] if places else "-")
                counts[self.stage(sample, places), named] += 1
        return [(*key, n / len(self.samples)) for key, n in counts.most_common(count)]

    def unresolved(self):
        """The share of samples that no function at all could be found for."""
        return sum(not p for p in self.places) / max(1, len(self.samples))

    def _of_all(self, counts):
        return {what: n / len(self.samples) for what, n in counts.items()}
