"""The load generators: MiniKV's own, wrk, and h2load for gRPC, with one answer.

Each is run for a Work and gives a dict: ops_s, p50_us, p90_us, p99_us, p999_us (None where the tool
does not say), bad (refused or lost), all (operations with those before and after the measuring, for
the CPU time of each) and client_cpu_us.
"""
import dataclasses
import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile

from systems import ETCD_KEY_PREFIX, minikv_cluster

WARM_UP_SECONDS = 0.3
OPERATIONS = ("put", "get", "stale", "mix")
PLACES = ("leader", "follower", "all")
MIX_GETS_PERCENT = 90
STORED_BYTES_MAX = 64 * 2**20
FILL_SECONDS_MAX = 60
PERCENTILES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p999_us": 0.999}


@dataclasses.dataclass(frozen=True)
class Work:
    """put/leader/64, and with it the value's bytes and how many requests wait on a connection."""

    operation: str
    place: str
    connections: int
    value_bytes: int = 128
    pipeline: int = 1

    @property
    def name(self):
        parts = [self.operation, self.place, str(self.connections), f"{self.value_bytes}B"]
        return "/".join(parts + ([f"x{self.pipeline}"] if self.pipeline > 1 else []))

    def endpoints(self, system):
        """Where it goes; a system of one node has one place."""
        leader, others = system.endpoints()
        if self.place == "all":
            return [leader, *others]
        return others[:1] if self.place == "follower" and others else [leader]


def shares(endpoints, connections):
    """[(endpoint, connections)] for tools that take one host."""
    count = len(endpoints)
    dealt = [(e, connections // count + (i < connections % count))
             for i, e in enumerate(endpoints)]
    return [(e, share) for e, share in dealt if share]


def merge(parts):
    """One answer of several processes side by side; percentiles by their weight."""
    if len(parts) == 1:
        return parts[0]
    total = sum(p["ops_s"] for p in parts) or 1.0
    merged = {k: sum(p[k] for p in parts) for k in ("ops_s", "bad", "all")}
    for field in PERCENTILES:
        known = [p[field] * p["ops_s"] for p in parts if p[field] is not None]
        merged[field] = sum(known) / total if len(known) == len(parts) else None
    return merged


def children_cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Generators:
    """Runs a Work against a system; keeps bodies and scripts in a directory of its own."""

    def __init__(self, seconds, keys, executable=None):
        self.seconds = seconds
        self.keys = keys
        self.stored_bytes_max = STORED_BYTES_MAX
        self.executable = executable or minikv_cluster.program("minikv-load")
        self.scratch = tempfile.mkdtemp(prefix="minikv-bench-")

    def close(self):
        shutil.rmtree(self.scratch, ignore_errors=True)

    def can(self, system, way, work):
        """Whether there is such a thing to measure."""
        alone = not system.endpoints()[1]
        if alone and (work.operation == "stale" or work.place != "leader"):
            return False
        if way in ("grpc", "json"):
            return work.operation != "mix" and work.pipeline == 1
        return way != "resp" or work.operation != "mix"

    def run(self, system, way, work):
        """The answer of one run; None when no request succeeded."""
        before = children_cpu()
        run = {"http": self._own, "json": self._own, "resp": self._own, "grpc": self._h2load,
               "wrk": self._wrk}[way]
        result = run(system, work)
        if result is not None and result["all"] > 0:
            result["client_cpu_us"] = (children_cpu() - before) / result["all"] * 1e6
        return result

    def keys_of(self, work):
        """Fewer keys of long values, so that all of them stay in memory everywhere."""
        return max(1, min(self.keys, self.stored_bytes_max // work.value_bytes))

    def fill(self, system, value_bytes):
        """Every key once."""
        keys = self.keys_of(Work("put", "leader", 64, value_bytes))
        if hasattr(system, "fill"):
            system.fill(keys, value_bytes)
        else:
            self.sequential(system.endpoints()[0], system.request("put", value_bytes), keys,
                            value_bytes)

    def sequential(self, endpoint, request, keys, value_bytes, pipeline=4,
                   seconds=FILL_SECONDS_MAX):
        """That request once for each key."""
        self._wait([self._start([self.executable, "-e", endpoint, "-c", "64", "-n", str(keys), "-V",
                                 str(value_bytes), "-P", str(pipeline), "-s", "-w", "0", "-d",
                                 str(seconds), *request])], seconds + 60)

    # ---- MiniKV's own ----

    def _command(self, system, work):
        mix = ["-g", str(MIX_GETS_PERCENT)] if work.operation == "mix" else []
        deep = ["-P", str(work.pipeline)] if work.pipeline > 1 else []
        return [self.executable, "-e", ",".join(work.endpoints(system)), "-c",
                str(work.connections), "-d", str(self.seconds), "-w", str(WARM_UP_SECONDS), "-n",
                str(self.keys_of(work)), "-V", str(work.value_bytes),
                *system.request(work.operation, work.value_bytes), *mix, *deep]

    def _own(self, system, work):
        run = self._start(self._command(system, work))
        output = self._wait([run], self.seconds + 90)[0]
        result = json.loads(output) if output else {"ops": 0}
        if result["ops"] == 0:
            return None
        return {"ops_s": result["ops_s"], "bad": result["bad"] + result["lost"],
                "all": result["all"], **{f: result[f] for f in PERCENTILES}}

    # ---- wrk ----

    def _wrk(self, system, work):
        script = self._wrk_script(system, work)
        runs = [self._start(["wrk", "-t", "1", "-c", str(share), "-d", f"{whole(self.seconds)}s",
                             "-s", script, f"http://{endpoint}"])
                for endpoint, share in shares(work.endpoints(system), work.connections)]
        parts = []
        for output in self._wait(runs, self.seconds + 30):
            found = re.search(r"^measured (.*)$", output or "", re.M)
            if found is None:
                return None
            count, micros, bad, *latencies = [float(x) for x in found.group(1).split()]
            parts.append({"ops_s": count / micros * 1e6, "bad": int(bad), "all": count,
                          **dict(zip(PERCENTILES, latencies))})
            if work.pipeline > 1:  # it measures no latency then
                parts[-1].update({field: None for field in PERCENTILES})
        return merge(parts)

    def _wrk_script(self, system, work):
        """Requests like those of the own generator, of random keys."""
        target = f"{system.path}key-%012d" + (
            "?consistency=stale" if work.operation == "stale" else "")
        body = '{"value":"' + "v" * work.value_bytes + '"}'
        head = f" {target} HTTP/1.1\\r\\nHost: bench\\r\\n"
        put = f"PUT{head}Content-Length: {len(body)}\\r\\n\\r\\n{body}"
        get = f"GET{head}\\r\\n"
        first, gets = {"put": (put, 0), "mix": (put, MIX_GETS_PERCENT)}.get(
            work.operation, (get, 100))
        path = os.path.join(self.scratch, "wrk.lua")
        with open(path, "w") as file:
            file.write(f"""local put, get, keys = '{first}', '{get}', {self.keys_of(work)}
local random, format = math.random, string.format
local function one()
  return format(random(100) <= {gets} and get or put, random(0, keys - 1))
end
function request()
  if {work.pipeline} == 1 then return one() end
  local all = {{}}
  for i = 1, {work.pipeline} do all[i] = one() end
  return table.concat(all)
end
function done(summary, latency)
  local e = summary.errors
  io.write(format("measured %d %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50),
    latency:percentile(90), latency:percentile(99), latency:percentile(99.9)))
end
""")
        return path

    # ---- gRPC ----

    def _h2load(self, system, work):
        method = "Put" if work.operation == "put" else "Range"
        body = self._grpc_body(work)
        runs, logs = [], []
        for endpoint, share in shares(work.endpoints(system), work.connections):
            logs.append(os.path.join(self.scratch, f"h2load-{len(logs)}"))
            if os.path.exists(logs[-1]):
                os.remove(logs[-1])
            runs.append(self._start(
                ["h2load", "-c", str(share), "-m", "1", "-D", str(whole(self.seconds)),
                 "--warm-up-time", f"{round(WARM_UP_SECONDS * 1000)}ms", "-d", body,
                 "-H", "content-type: application/grpc", "-H", "te: trailers",
                 "--log-file", logs[-1], f"http://{endpoint}/etcdserverpb.KV/{method}"]))
        rate, bad, micros = 0.0, 0, []
        for log, output in zip(logs, self._wait(runs, self.seconds + 30)):
            rate += float(re.search(r"([\d.]+) req/s", output).group(1))
            bad += int(re.search(r"(\d+) failed", output).group(1))
            with open(log) as lines:
                micros += [int(line.split()[2]) for line in lines]
        if not micros:
            return None
        micros.sort()
        return {"ops_s": rate, "bad": bad,
                "all": rate * (whole(self.seconds) + WARM_UP_SECONDS),
                **{f: micros[int(s * (len(micros) - 1))] for f, s in PERCENTILES.items()}}

    def _grpc_body(self, work):
        """A PutRequest or RangeRequest in protocol buffers, with gRPC's five bytes before it."""
        key = ETCD_KEY_PREFIX + "key-%012d" % (self.keys_of(work) // 2)
        message = protobuf_bytes(1, key.encode())
        if work.operation == "put":
            message += protobuf_bytes(2, b"x" * work.value_bytes)
        if work.operation == "stale":
            message += bytes([7 << 3, 1])  # serializable
        path = os.path.join(self.scratch, "grpc-body")
        with open(path, "wb") as file:
            file.write(b"\0" + struct.pack(">I", len(message)) + message)
        return path

    # ---- processes ----

    def _start(self, command):
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _wait(self, runs, seconds):
        """Their outputs; all have ended when this returns or raises."""
        outputs = []
        try:
            for run in runs:
                output, errors = run.communicate(timeout=seconds)
                if errors and run.args[0] == self.executable:
                    print(errors.strip()[:700], file=sys.stderr)
                outputs.append(output)
        finally:
            for run in runs:
                if run.poll() is None:
                    run.kill()
                    run.wait(10)
        return outputs


def whole(seconds):
    """For tools that know whole seconds only."""
    return max(1, round(seconds))


def protobuf_bytes(number, content):
    count, length = len(content), b""
    while count > 127:
        length += bytes([count & 127 | 128])
        count >>= 7
    return bytes([number << 3 | 2]) + length + bytes([count]) + content
