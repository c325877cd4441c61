#!/usr/bin/env python3
"""Random operations against real nodes, every reply held against a plain model of the data.

  model_run.py [--operations N] [--seed S] [--nodes 1|3] [--kills K] [--without KIND ...]
               [--build DIR]

One node: it is killed and started again now and then, and every reply is compared. Three nodes:
operations go to all of them in turn while leaders are killed or stopped; each write has an identity,
and what was not answered is settled with /v1/outcome, by sealing it or by sending it again. A failing
sequence on one node is made smaller by leaving operations out, as long as it still fails.
"""
import argparse
import collections
import json
import os
import random
import re
import sys
import time

import model_requests as requests
from cluster import Cluster, eventually, scaled
from http_client import NONE, Client, Closed, Connection, encode, identity
from model import Model, Range, json_of_next, place_behind
from model_operations import Operations
from model_requests import WRITES, Differs, Request
from testing import BrokenPromise, OutOfTime, in_time
from watching import Stream, Watcher, revision_of

OPERATIONS, KILLS = 20000, 20
FLAGS = ["--snapshot-bytes", "262144"]  # so that those who are started again begin with one
TAIL = 20            # operations shown when something differs
LINE_CHARS = 700     # of each line of that
ACKED_BEHIND = 200   # so many answered writes are not acknowledged, to be repeated
RESTARTS = 4         # of the one node
SETTLE_SECONDS = 60
SHRINK_SECONDS = 60
POLL_MS = 1
STOPPED_SECONDS = 2  # an answer from a node that may be stopped is waited for
WAITS = [0, 0, 0.0002, 0.0005, 0.001]  # seconds from a request to the end of a node
LOGGED = {200, 204, 404, 409, 410, 412}  # answers that a write gets when it is carried out


class Settled(Exception):
    """A write was sealed: it has not happened, and never will."""


class Session:
    """One client: its writes are numbered, and the last of them can be repeated."""

    def __init__(self, name):
        self.name = name
        self.sequence = 0
        self.done = collections.deque(maxlen=ACKED_BEHIND)  # (sequence, Request, what was told)

    def headers(self, sequence=None):
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        return identity(self.name, sequence, max(0, sequence - ACKED_BEHIND))


class Run:
    """`nodes` asked in turn by one client that waits for each answer; `hurt` is called before each
    operation and may return what is to be done while it is under way."""

    def __init__(self, cluster, seed, hurt=None):
        self.cluster = cluster
        self.model = Model()
        self.slots = {}
        self.session = Session(f"model-{seed}")
        self.random = random.Random(f"{seed} run")
        self.hurt = hurt
        self.clients = {}
        self.shown = collections.deque(maxlen=TAIL)
        self.history = []  # every event there was
        self.meanwhile = None  # to be done once, while a request is under way
        self.asked = None      # by that request; None: any
        self.settled = collections.Counter()
        self.compactions = 0

    # ---- one request ----

    @property
    def is_alone(self):
        return len(self.cluster.nodes) == 1

    def attempt(self, request, headers=None):
        """One delivery: the reply, or None."""
        node, self.asked = self.asked or self.random.choice(self.cluster.up()), None
        client = self.clients.setdefault(node.id, Client(node.http, scaled(10)))
        headers = {**(request.headers or {}), **(headers or {})}
        if self.meanwhile is None:
            return client.attempt(request.method, request.target, request.body, headers).reply
        todo, self.meanwhile = self.meanwhile, None
        client.close()
        try:
            with Connection(node.http, scaled(STOPPED_SECONDS)) as connection:
                connection.send(encode(request.method, request.target, request.body, headers,
                                       node.http))
                todo()
                return connection.read_final(request.method)
        except (Closed, OSError):
            return None

    def read(self, request):
        """Repeated until a node answers: reads do nothing."""
        def answer():
            reply = self.attempt(request)
            return reply if reply and reply.status not in (502, 503, 504) else None
        return eventually(answer, f"an answer to {request}", SETTLE_SECONDS)

    def write(self, op, request):
        """The answer to a write, however often it takes; Settled when it was sealed instead."""
        if not (op.get("identity") or not self.is_alone):
            reply = self.attempt(request)
            in_time(reply is not None and reply.status not in (502, 503, 504),
                    f"no answer to {request}: {reply}")
            return reply
        headers = self.session.headers()
        sequence = self.session.sequence
        reply = self.settle(request, headers, sequence)
        if reply.status in LOGGED:
            self.session.done.append((sequence, request, told(reply)))
        return reply

    def settle(self, request, headers, sequence):
        end = time.monotonic() + scaled(SETTLE_SECONDS)
        known = None  # what /v1/outcome has said
        while time.monotonic() < end:
            reply = self.attempt(request, headers)
            if reply is not None and reply.status not in (502, 503, 504):
                if known:
                    self.compare_outcome(known, reply)
                return reply
            if reply is not None and reply.effect == NONE:
                self.settled["refused"] += 1
                time.sleep(0.01)
                continue
            way = self.random.choice(["again", "outcome", "seal"])
            self.settled[way] += 1
            if way == "outcome":
                known = self.outcome(sequence) or known
            elif way == "seal":
                known = self.seal(request, headers, sequence) or known
        raise OutOfTime(f"not settled: {request}")

    def outcome(self, sequence):
        """The answer that is remembered, if there is one already."""
        reply = self.read(Request("GET", f"/v1/outcome?client={self.session.name}"
                                         f"&sequence={sequence}"))
        if reply.status != 200 or reply.json["outcome"] not in ("applied", "unseen", "pending"):
            raise Differs(f"the outcome of {sequence} is {reply}")
        return reply.json.get("answer")

    def seal(self, request, headers, sequence):
        reply = self.read(Request("POST", "/v1/outcome/seal",
                                  {"client": self.session.name, "sequence": sequence}))
        if reply.status != 200:
            raise Differs(f"sealing {sequence} was answered {reply}")
        if reply.json["outcome"] == "never":
            again = self.settle(request, headers, sequence)
            if again.status != 409 or not again.json["type"].endswith(":sealed"):
                raise Differs(f"a sealed write was answered {again}")
            raise Settled
        return reply.json["answer"]

    @staticmethod
    def compare_outcome(known, reply):
        compare_answer(known, reply.status, reply.header("ETag"), reply.body)

    # ---- one operation ----

    def carry_out(self, op):
        self.shown.append([str(op)])
        if self.hurt:
            self.meanwhile = self.hurt(self, op)
        concrete = requests.resolved(op, self.model, self.slots)
        special = getattr(self, "do_" + op["do"], None)
        before = self.model.revision
        try:
            if special:
                special(concrete)
            else:
                self.compare(concrete)
        finally:
            self.asked = None
            if self.meanwhile:
                todo, self.meanwhile = self.meanwhile, None
                todo()
        self.note_events(before)

    def compare(self, op):
        request = requests.request_of(op)
        self.shown[-1].append(f"-> {request}")
        before = self.model.revision
        try:
            reply = self.write(op, request) if op["do"] in WRITES else self.read(request)
        except Settled:
            self.shown[-1].append("<- sealed")
            return
        self.shown[-1].append(f"<- {reply}")
        answer = requests.expected(self.model, op)
        self.shown[-1].append(f"model: {answer}, revision {before} to {self.model.revision}")
        requests.compare(answer, reply)
        if op["do"] == "grant" and reply.status == 200:
            self.slots[op["slot"]] = reply.json["lease"]
            self.model.learn_lease(reply.json["lease"], op["ttl_ms"])
        self.compactions += op["do"] == "compact" and reply.status == 200

    def note_events(self, before):
        if self.model.revision > before:
            self.history += self.model.events(Range(), (before + 1, 1), prev=True)

    def do_again(self, op):
        if len(self.session.done) < op["back"]:
            return
        sequence, request, first = self.session.done[-op["back"]]
        self.shown[-1].append(f"-> {request} under {sequence} again")
        reply = self.settle(request, self.session.headers(sequence), sequence)
        self.shown[-1].append(f"<- {reply}")
        if told(reply) != first or not reply.is_replayed:
            raise Differs(f"not what was told before, {first}")

    def do_ask(self, op):
        if len(self.session.done) < op["back"]:
            return
        sequence, request, (status, body, headers) = self.session.done[-op["back"]]
        self.shown[-1].append(f"what of {request} under {sequence}, answered {status} {body}?")
        known = self.outcome(sequence)
        if known is None:
            raise Differs("it is not known to be carried out")
        compare_answer(known, status, dict(headers).get("ETag"), body)

    def do_reuse(self, op):
        if len(self.session.done) < op["back"]:
            return
        sequence = self.session.done[-op["back"]][0]
        request = requests.request_of({**op, "do": "put"})
        self.shown[-1].append(f"-> {request} under {sequence}, which was another write")
        reply = self.settle(request, self.session.headers(sequence), sequence)
        self.shown[-1].append(f"<- {reply}")
        if reply.status != 422 or not reply.json["type"].endswith(":identity-reused"):
            raise Differs("want 422 identity-reused")

    def do_walk(self, op):
        """Page by page, by the links; all of the revision of the first."""
        wanted = requests.range_of(op)
        want, _, _ = self.model.page(self.model.now, wanted, None, op.get("keys_only", False))
        revision = self.model.revision
        found, target = [], "/v1/kv" + requests.query_of(op, requests.LIST_PARAMETERS)
        while target:
            self.shown[-1].append(f"-> GET {target}")
            reply = self.read(Request("GET", target))
            self.shown[-1].append(f"<- {reply}")
            if reply.status != 200 or reply.json["revision"] != revision:
                raise Differs(f"want a page of revision {revision}")
            page = reply.json
            found += page["items"]
            target = next_link(reply)
            is_last = page.get("next", "") is None
            if is_last == bool(target) or len(page["items"]) > op["limit"]:
                raise Differs(f"next and the link do not agree: {target}")
            if op.get("between"):
                self.compare(op.pop("between"))
        found_wrong = requests.difference(want, found, "all pages")
        if found_wrong:
            raise Differs(found_wrong)

    def do_stream(self, op):
        """A range as NDJSON: the same items, then a line about all of them."""
        request = requests.request_of({**op, "do": "list"})
        request.headers = {"Accept": "application/x-ndjson"}
        self.shown[-1].append(f"-> {request}")
        reply = self.read(request)
        self.shown[-1].append(f"<- {reply}")
        refused = self.model.refused_revision(op.get("rev"))
        if refused:
            requests.compare(refused, reply)
            return
        items, more, _ = self.model.page(self.model.state_at(op.get("rev")),
                                             requests.range_of(op), op.get("limit"),
                                             op.get("keys_only", False))
        want = items + [{**json_of_next(more), "revision": op.get("rev") or self.model.revision,
                         "count": len(items)}]
        found = requests.difference(want, [json.loads(x) for x in reply.body.splitlines()], "lines")
        if reply.status != 200 or found:
            raise Differs(found or f"status {reply.status}")

    def do_watch(self, op):
        """Long polls from a place until there is nothing more."""
        names = ("key", "prefix", "start", "end", "filter", "prev")
        query = requests.query_of(op, names) + f"&limit={op['limit']}&poll_ms={POLL_MS}"
        place, headers = self.place_of_watch(op)
        refused = self.model.refused_place(place)
        wanted = requests.plain.range_of({k: v for k, v in op.items() if k in names[:4]})
        want = [] if refused else self.model.events(wanted, place, op.get("filter"),
                                                    op.get("prev", False))
        target = "/v1/watch" + query + self.where_of_watch(op, headers)
        found = []
        while True:
            self.shown[-1].append(f"-> GET {target} {headers}")
            reply = self.read(Request("GET", target, None, headers))
            self.shown[-1].append(f"<- {reply}")
            if refused:
                requests.compare(refused, reply)
                return
            if reply.status != 200 or reply.json["revision"] != self.model.revision:
                raise Differs(f"want 200 and revision {self.model.revision}")
            events = reply.json["events"]
            if len(events) > op["limit"]:
                raise Differs(f"{len(events)} events, not {op['limit']}")
            found += events
            if not events or len(found) > len(want):
                break
            headers = {}
            target = "/v1/watch" + query + f"&from_id={reply.json['next']}"
        wrong = requests.difference(want, found, "events")
        if wrong:
            raise Differs(wrong)

    def place_of_watch(self, op):
        """Where it begins, and the header that says so. No event has the revision 1."""
        if "behind" in op:
            op["number"] = op["number"] if op["behind"] > 1 else 0
            event_id = str(op["behind"]) + (f".{op['number']}" if op["number"] else "")
            return place_behind(event_id), {"Last-Event-ID": event_id} if op.get("as_header") else {}
        return (op.get("from", self.model.revision + 1), 1), {}

    @staticmethod
    def where_of_watch(op, headers):
        if headers:
            return ""
        if "behind" in op:
            return f"&from_id={op['behind']}" + (f".{op['number']}" if op["number"] else "")
        return f"&from={op['from']}" if "from" in op else ""

    # ---- the end ----

    def check_at_rest(self):
        """Every node has the present, the past and the events that the model has."""
        model = self.model
        self.cluster.wait_ready()
        self.cluster.assert_same_state()
        kept = sorted(model.states)
        for node in self.cluster.nodes:
            for revision in self.random.sample(kept, min(5, len(kept))) + [kept[0], kept[-1]]:
                op = {"do": "list", "rev": revision}
                reply = node.request("GET", f"/v1/kv?rev={revision}")
                self.shown.append([f"node {node.id}, at rest: revision {revision}"])
                requests.compare(requests.expected(model, op), reply)
            self.check_stream(node)

    def check_stream(self, node):
        """All events that are kept, as NDJSON from one connection."""
        want = [e for e in self.history if revision_of(e["id"]) > self.model.compacted]
        stream = Stream(node.http, f"/v1/watch?prefix=&prev&from={self.model.compacted + 1}",
                        accept="application/x-ndjson")
        try:
            for event in want:
                line = json.loads(stream.line())
                while line["event"] == "progress":
                    line = json.loads(stream.line())
                found = requests.difference(event, line, f"event {event['id']} at node {node.id}")
                if found:
                    raise Differs(found)
        finally:
            stream.close()

    def close(self):
        for client in self.clients.values():
            client.close()

    def story(self):
        return "\n".join("\n   ".join(map(short, lines)) for lines in self.shown)


def short(text):
    """A run of one byte over and over says nothing but how long it is."""
    text = re.sub(r"(.)\1{30,}", lambda m: f"{m[1]}*{len(m[0])}", text)
    return text if len(text) <= LINE_CHARS else text[:LINE_CHARS] + "…"


def compare_answer(known, status, etag, body):
    """What /v1/outcome says against the answer that was given. It may know less than all of it: the
    time to live of a lease is not remembered."""
    told_body = json.loads(body) if status == 200 else {}
    known_body = known.get("body", {})
    is_part = known_body.items() <= told_body.items() if "results" not in known_body \
        else known_body == told_body
    if known["status"] != status or known.get("etag") != etag or not is_part \
            or bool(known_body) != bool(told_body):
        raise Differs(f"the outcome is {known}; the answer was {status} {etag} {body}")


def told(reply):
    """What must be the same whenever the write is repeated; how far the past reaches is of now."""
    status, body, headers = reply.told
    return status, body, [h for h in headers if h[0] != "X-MiniKV-Compacted"]


def next_link(reply):
    """The target of Link: <…>; rel="next"."""
    link = reply.header("Link")
    if link is None:
        return None
    target, _, rest = link.partition(">")
    if not target.startswith("<") or rest.strip() != '; rel="next"':
        raise Differs(f"Link: {link}")
    return target[1:]


# ---- what is done to nodes ----

class Restarts:
    """kill -9 and SIGTERM of the one node, at operations drawn beforehand."""

    def __init__(self, seed, operations, count=RESTARTS):
        rng = random.Random(f"{seed} restarts")
        self.at = set(rng.sample(range(operations), min(count, operations)))
        self.number = -1
        self.done = 0

    def __call__(self, run, op):
        self.number += 1
        if self.number in self.at:
            node = run.cluster.nodes[0]
            if self.done % 2:
                node.terminate()
                status = node.wait_exit()
                assert status == 0, f"the node ended with {status}"
            else:
                node.kill()
            run.close()
            node.start()
            run.cluster.wait_ready()
            self.done += 1
        return None


class Kills:
    """Leaders are killed or stopped while a request is under way; they come back some operations
    later. Only one node is away at a time."""

    def __init__(self, seed, operations, count):
        rng = random.Random(f"{seed} kills")
        self.at = set(rng.sample(range(operations), min(count, operations)))
        self.rng = rng
        self.number = -1
        self.away = None
        self.back_at = 0
        self.killed = self.stopped = 0

    def __call__(self, run, op):
        self.number += 1
        if self.away and self.number >= self.back_at:
            self.bring_back(run)
        if self.away or self.number not in self.at:
            return None
        if op["do"] not in WRITES and self.rng.random() < 0.8:
            self.at.add(self.number + 1)  # amid writes there is more to go wrong
            return None
        self.back_at = self.number + self.rng.randrange(1, 30)
        leader = run.cluster.leader()  # looked for now: what comes then is as quick as can be
        node = leader if self.rng.random() < 0.8 else self.rng.choice(run.cluster.nodes)
        way, pause = self.rng.choice(["kill", "kill", "kill", "stop"]), self.rng.choice(WAITS)
        if self.rng.random() < 0.5:
            run.asked = node
        return lambda: self.hurt(run, node, way, pause)

    def hurt(self, run, node, way, pause):
        time.sleep(pause)
        if way == "kill":
            node.kill()
            self.killed += 1
        else:
            node.pause()
            self.stopped += 1
        run.clients.pop(node.id, Client(node.http)).close()
        self.away = node

    def bring_back(self, run):
        if self.away.is_running:
            self.away.resume()
        else:
            self.away.start()
            eventually(self.away.is_answering, f"node {self.away.id} answers", 20)
        self.away = None


# ---- runs ----

def kind_of(error):
    """An answer that differs from the model's is a broken promise; one that does not come is not."""
    if isinstance(error, (OutOfTime, TimeoutError)):
        return OutOfTime
    return BrokenPromise if isinstance(error, Differs) else AssertionError


class Failed(AssertionError):
    """`operations`: all that were done, the last one went wrong."""

    def __init__(self, text, operations):
        super().__init__(text)
        self.operations = operations


def drawn(seed, count, without=()):
    """Operations, each with an identity or without."""
    rng = random.Random(f"{seed} operations")
    operations = Operations(rng, without)
    for _ in range(count):
        yield {**operations.draw(), "identity": rng.random() < 0.5}


def run_one(seed, operations, hurt=None, at_end=True):
    """On one node. Returns the Run; Failed when a reply was not the model's."""
    with Cluster(1, FLAGS) as cluster:
        cluster.start()
        run = Run(cluster, seed, hurt)
        done = []
        try:
            for op in operations:
                done.append(op)
                run.carry_out(op)
            if at_end:
                run.check_at_rest()
        except Exception as error:
            raise Failed(f"seed {seed}, operation {len(done)}: {error!r}\n{run.story()}",
                         done) from error
        finally:
            run.close()
        return run


def run_cluster(seed, count, kills, without=()):
    """On three nodes, while leaders are killed. Returns (Run, Kills)."""
    with Cluster(3, FLAGS) as cluster:
        cluster.start()
        hurt = Kills(seed, count, kills)
        run = Run(cluster, seed, hurt)
        watcher = Watcher(cluster.nodes, "prefix=&prev&from=2", seed, stall_seconds=2, may_lose=True)
        watcher.start()
        number = 0
        try:
            for number, op in enumerate(drawn(seed, count, without), 1):
                run.carry_out(op)
            if hurt.away:
                hurt.bring_back(run)
            run.check_at_rest()
            check_watcher(run, watcher)
        except Exception as error:
            raise kind_of(error)(f"seed {seed}, operation {number}: {error!r}\n{run.story()}") from error
        finally:
            run.close()
            watcher.stop()
        return run, hurt, watcher


def check_watcher(run, watcher):
    """Everything but what compaction took while it was away, once and in order."""
    if run.history:
        watcher.wait_revision(revision_of(run.history[-1]["id"]))
    events = [{"id": i, "event": e, "data": d} for i, e, d in watcher.events]
    if not watcher.compacted:
        found = requests.difference(run.history, events, "watched")
        if found:
            raise Differs(found)
        return
    lost = [e for e in run.history if e not in events]
    rest = [e for e in run.history if e in events]
    if rest != events or any(revision_of(e["id"]) > max(watcher.compacted) for e in lost):
        raise Differs("a watcher was sent something else than what happened")


def shrink(seed, operations, seconds=SHRINK_SECONDS):
    """Fewer operations that still fail, by leaving out ever smaller parts."""
    end = time.monotonic() + seconds
    text = None

    def fails(part):
        nonlocal text
        try:
            with quiet():
                run_one(seed, part, at_end=False)
            return False
        except Failed as failure:
            text = str(failure)
            operations[:] = failure.operations
            return True

    if not fails(list(operations)):
        return operations, None  # it takes a restart, or what was looked at in the end
    size = max(1, len(operations) // 2)
    while time.monotonic() < end:
        at, is_smaller = 0, False
        while at < len(operations) - 1 and time.monotonic() < end:
            part = operations[:at] + operations[min(at + size, len(operations) - 1):]
            if len(part) < len(operations) and fails(part):
                is_smaller = True
            else:
                at += size
        if size == 1 and not is_smaller:
            break
        size = max(1, size // 2)
    return operations, text


class quiet:
    """What failing clusters say is not wanted here, nor their directories."""

    def __enter__(self):
        self.kept = os.environ.get("MINIKV_TEST_KEEP")
        os.environ["MINIKV_TEST_KEEP"] = "0"

    def __exit__(self, *_):
        if self.kept is None:
            del os.environ["MINIKV_TEST_KEEP"]
        else:
            os.environ["MINIKV_TEST_KEEP"] = self.kept


def check_one(seed, count, seconds=SHRINK_SECONDS, without=()):
    """On one node; a failure is told with the shortest sequence that was found."""
    restarts = Restarts(seed, count)
    try:
        return run_one(seed, drawn(seed, count, without), restarts)
    except Failed as failure:
        first, kind = str(failure), kind_of(failure.__cause__)
        if kind is OutOfTime:
            raise kind(first) from failure
        operations, text = shrink(seed, list(failure.operations), seconds)
        if text is None:
            raise kind(f"{first}\n(not without the restarts)") from failure
        listed = "\n".join(short(str(o)) for o in operations)
        raise kind(f"{first}\n\n{len(operations)} operations are enough:\n{listed}\n"
                   f"{text}") from failure


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=OPERATIONS, help=f"({OPERATIONS})")
    parser.add_argument("--seed", type=int, default=None, help="repeats a run (random)")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=1, help="(1)")
    parser.add_argument("--kills", type=int, default=KILLS, help=f"with three nodes ({KILLS})")
    parser.add_argument("--without", nargs="+", default=(), metavar="KIND",
                        help="operations to leave out, such as txn or watch")
    parser.add_argument("--build", help="directory with minikvd (default: build/release)")
    options = parser.parse_args()
    if options.build:
        os.environ["MINIKV_BUILD"] = os.path.abspath(options.build)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    print(f"seed {seed}", flush=True)
    begin = time.monotonic()
    try:
        if options.nodes == 1:
            run = check_one(seed, options.operations, without=options.without)
            hurt = f"{RESTARTS} restarts"
        else:
            run, kills, watcher = run_cluster(seed, options.operations, options.kills,
                                              options.without)
            hurt = (f"{kills.killed} kills, {kills.stopped} stops, settled {dict(run.settled)}, "
                    f"a watcher that resumed {watcher.resumes} times")
    except AssertionError as error:
        print(f"{error}\nseed {seed}: FAIL", file=sys.stderr)
        return 1
    seconds = time.monotonic() - begin
    print(f"{options.operations} operations, {run.model.revision} revisions, {hurt}; "
          f"{seconds:.0f} s: PASS")
    return 0


if __name__ == "__main__":
    sys.exit(main())
