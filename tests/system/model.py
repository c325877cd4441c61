"""A plain model of the data: what every request must be answered with. Slow, and meant to be obvious.

It keeps the whole state of every revision, each in a dictionary of its own. Nothing is shared with
how the servers do it: no chains of versions, no row of events, no trees. What happened at a revision is
the difference between the state before it and the state of it.

Requests are what methods of Model take, replies are Answers; bytes on sockets are elsewhere.
"""
import base64
import re
from dataclasses import dataclass, field

INT64_MIN, INT64_MAX = -2**63, 2**63 - 1
INTEGER = re.compile(rb"0|-?[1-9][0-9]*")
LIST_ITEMS_MAX, WATCH_EVENTS, WATCH_EVENTS_MAX = 1000, 100, 1000
LEASE_KEYS_SHOWN = 1000
EFFECT_NONE = "none"


@dataclass(frozen=True)
class Item:
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int
    lease: int


@dataclass
class Answer:
    """`body`: what the JSON must be; it may hold an Unknown where the model cannot know. `problem`:
    the last word of `type`. `headers`: beside those, and their values; None: must not be there."""
    status: int
    body: object = None
    etag: int = None
    problem: str = None
    headers: dict = field(default_factory=dict)
    raw: bytes = None


class Unknown:
    """A value that the model cannot know, but can judge."""

    def __init__(self, what, is_right):
        self.what = what
        self.is_right = is_right

    def __repr__(self):
        return f"<{self.what}>"


@dataclass(frozen=True)
class Range:
    """Keys from `start` up to `end`, with `prefix`; None: without that bound. `after` excludes what
    comes up to it, in the direction of reading."""
    prefix: bytes = None
    start: bytes = None
    end: bytes = None
    after: bytes = None
    descending: bool = False

    def has(self, key):
        return ((not self.prefix or key.startswith(self.prefix))
                and (not self.start or key >= self.start) and (not self.end or key < self.end))

    def keys(self, state):
        found = sorted((k for k in state if self.has(k)), reverse=self.descending)
        if self.after:
            found = [k for k in found if (k < self.after if self.descending else k > self.after)]
        return found


# ---- JSON ----

def text_of(name, data):
    """{name: text}, or {name_base64: …} of what is not UTF-8."""
    try:
        return {name: data.decode("utf-8")}
    except UnicodeDecodeError:
        return {name + "_base64": base64.b64encode(data).decode()}


def json_of_item(item, keys_only=False):
    numbers = {"create_revision": item.create_revision, "mod_revision": item.mod_revision,
               "version": item.version, "lease": item.lease}
    value = {} if keys_only else text_of("value", item.value)
    return {**text_of("key", item.key), **value, **numbers}


def json_of_next(key):
    return {"next": None} if key is None else text_of("next", key)


def refusal(status, problem, etag=None, headers=None):
    return Answer(status, problem=problem, etag=etag, headers=headers or {})


NOT_FOUND = refusal(404, "not-found")
NO_LEASE = refusal(404, "lease-not-found")


# ---- conditions ----

def condition_holds(condition, item):
    """`condition`: None, or ("match" | "none-match", revision | "*")."""
    if condition is None:
        return True
    kind, tag = condition
    is_it = item is not None and tag in ("*", item.mod_revision)
    return is_it if kind == "match" else not is_it


class Model:
    def __init__(self):
        self.states = {1: {}}  # {revision: {key: Item}}
        self.revision = 1
        self.compacted = 1  # the oldest revision that can be read
        self.leases = {}    # {id: ttl_ms}

    @property
    def now(self):
        return self.states[self.revision]

    def commit(self, state):
        self.revision += 1
        self.states[self.revision] = state

    # ---- single keys ----

    @staticmethod
    def put_into(state, key, value, lease, revision):
        old = state.get(key)
        state[key] = Item(key, value, old.create_revision if old else revision, revision,
                          old.version + 1 if old else 1, lease)

    def put(self, key, value, lease=0, condition=None):
        old = self.now.get(key)
        if not condition_holds(condition, old):
            return self.condition_failed(old)
        if lease and lease not in self.leases:
            return NO_LEASE
        state = dict(self.now)
        self.put_into(state, key, value, lease, self.revision + 1)
        self.commit(state)
        return Answer(204, etag=self.revision)

    def condition_failed(self, old):
        return refusal(412, "condition-failed", etag=old.mod_revision if old else None)

    def delete(self, key, condition=None):
        old = self.now.get(key)
        if not condition_holds(condition, old):
            return self.condition_failed(old)
        if old:
            self.commit({k: v for k, v in self.now.items() if k != key})
        return Answer(204)

    def incr(self, key, by):
        old = self.now.get(key)
        if old and not (INTEGER.fullmatch(old.value)
                        and INT64_MIN <= int(old.value) <= INT64_MAX):
            return refusal(409, "not-integer")
        number = (int(old.value) if old else 0) + by
        if not INT64_MIN <= number <= INT64_MAX:
            return refusal(409, "overflow")
        state = dict(self.now)
        self.put_into(state, key, str(number).encode(), old.lease if old else 0, self.revision + 1)
        self.commit(state)
        return Answer(200, {"value": number}, etag=self.revision)

    # ---- reads ----

    def refused_revision(self, revision):
        """What speaks against reading at that revision; None: nothing."""
        if revision is None:
            return None
        if revision > self.revision:
            return refusal(400, "revision-future")
        return self.compacted_answer() if revision < self.compacted else None

    def compacted_answer(self):
        return refusal(410, "compacted", headers={"X-MiniKV-Compacted": str(self.compacted)})

    def state_at(self, revision):
        return self.now if revision is None else self.states[revision]

    def get(self, key, revision=None, raw=False, condition=None):
        refused = self.refused_revision(revision)
        if refused:
            return refused
        item = self.state_at(revision).get(key)
        if not condition_holds(condition, item):
            if condition[0] == "none-match":
                return Answer(304, etag=item.mod_revision)
            return self.condition_failed(item)
        if item is None:
            return NOT_FOUND
        if raw:
            return Answer(200, raw=item.value, etag=item.mod_revision)
        return Answer(200, json_of_item(item), etag=item.mod_revision)

    def page(self, state, wanted, limit=None, keys_only=False):
        """(items as JSON, the last key if there are more, how many there are in all)"""
        keys = wanted.keys(state)
        shown = keys if limit is None else keys[:limit]
        more = shown[-1] if len(shown) < len(keys) else None
        return [json_of_item(state[k], keys_only) for k in shown], more, len(keys)

    def list(self, wanted, limit=None, revision=None, keys_only=False, count_only=False):
        refused = self.refused_revision(revision)
        if refused:
            return refused
        items, more, count = self.page(self.state_at(revision), wanted, limit or LIST_ITEMS_MAX,
                                       keys_only)
        present = {"revision": revision or self.revision}
        if count_only:
            return Answer(200, {"items": [], "next": None, "count": count, **present})
        return Answer(200, {"items": items, **json_of_next(more), **present})

    def compact(self, revision):
        if revision > self.revision:
            return refusal(400, "revision-future")
        if revision < self.compacted:
            return self.compacted_answer()
        self.compacted = revision
        self.states = {r: s for r, s in self.states.items() if r >= revision}
        return Answer(200, {"compacted": revision})

    # ---- transactions ----

    def txn(self, txn):
        """`txn`: {"compare": [...], "success": [...], "failure": [...]}, with bytes and Ranges."""
        if not footprint_of(txn):
            return refusal(400, "duplicate-key")
        path = choose(txn, self.now)
        if not all(lease in self.leases for lease in leases_of(path)):
            return NO_LEASE
        state = dict(self.now)
        succeeded, results = self.carry_out(path, state)
        if state != self.now:
            self.commit(state)
        return Answer(200, {"succeeded": succeeded, "revision": self.revision, "results": results})

    def carry_out(self, path, state):
        succeeded, operations = path
        results = []
        for operation in operations:
            if isinstance(operation, tuple):
                inner, inner_results = self.carry_out(operation, state)
                results.append({"txn": {"succeeded": inner, "results": inner_results}})
            else:
                kind, what = next(iter(operation.items()))
                results.append({kind: getattr(self, "txn_" + kind)(what, state)})
        return succeeded, results

    def txn_put(self, put, state):
        old = state.get(put["key"])
        self.put_into(state, put["key"], put["value"], put.get("lease", 0), self.revision + 1)
        return {"prev": json_of_item(old) if old else None} if put.get("prev") else {}

    def txn_get(self, get, state):
        keys_only, count_only = get.get("keys_only", False), get.get("count_only", False)
        items, more, count = self.page(state, range_of(get), get.get("limit"), keys_only)
        if count_only:
            items, more = [], None
        return {"items": items, "count": count, **json_of_next(more)}

    def txn_delete(self, delete, state):
        keys = range_of(delete).keys(state)
        previous = {"prev": [json_of_item(state[k]) for k in keys]} if delete.get("prev") else {}
        for key in keys:
            del state[key]
        return {"deleted": len(keys), **previous}

    # ---- leases ----

    def grant(self, ttl_ms, lease=None):
        """Without an id of the client's choosing, `learn_lease` says what it has become."""
        if lease in self.leases:
            return refusal(409, "lease-exists")
        if lease is not None:
            self.leases[lease] = ttl_ms
            return Answer(200, {"lease": lease, "ttl_ms": ttl_ms})
        fresh = Unknown("a lease that is not taken",
                        lambda v: isinstance(v, int) and 1 <= v < 2**53 and v not in self.leases)
        return Answer(200, {"lease": fresh, "ttl_ms": ttl_ms})

    def learn_lease(self, lease, ttl_ms):
        self.leases[lease] = ttl_ms

    def keep_alive(self, lease):
        if lease not in self.leases:
            return NO_LEASE
        return Answer(200, {"lease": lease, "ttl_ms": self.leases[lease]})

    def keys_of_lease(self, lease):
        return sorted(k for k, item in self.now.items() if item.lease == lease)

    def revoke(self, lease):
        if lease not in self.leases:
            return NO_LEASE
        del self.leases[lease]
        if self.keys_of_lease(lease):
            self.commit({k: v for k, v in self.now.items() if v.lease != lease})
        return Answer(204)

    def remaining(self, lease):
        ttl_ms = self.leases[lease]
        return Unknown(f"0 to {ttl_ms}", lambda v: isinstance(v, int) and 0 <= v <= ttl_ms)

    def lease(self, lease, keys=False):
        if lease not in self.leases:
            return NO_LEASE
        attached = self.keys_of_lease(lease)
        body = {"lease": lease, "ttl_ms": self.leases[lease], "remaining_ms": self.remaining(lease),
                "keys_count": len(attached), "revision": self.revision}
        if keys:
            body["keys"] = [text_of("key", k) for k in attached[:LEASE_KEYS_SHOWN]]
        return Answer(200, body)

    def list_leases(self, limit=None, after=0):
        found = sorted(i for i in self.leases if i > after)
        shown = found[:limit or LIST_ITEMS_MAX]
        rows = [{"lease": i, "ttl_ms": self.leases[i], "remaining_ms": self.remaining(i),
                 "keys": len(self.keys_of_lease(i))} for i in shown]
        return Answer(200, {"leases": rows, "next": shown[-1] if len(shown) < len(found) else None,
                            "revision": self.revision})

    # ---- what happened ----

    def changes(self, revision):
        """All of one revision, by key: [(key, item or None, item before or None)]."""
        before, after = self.states[revision - 1], self.states[revision]
        changed = sorted(k for k in before.keys() | after.keys()
                         if before.get(k) is not after.get(k))
        return [(k, after.get(k), before.get(k)) for k in changed]

    def events(self, wanted, since, filter_=None, prev=False):
        """As JSON, of all kept revisions from `since` on: a place (revision, number in it from 1), of
        which the first event is the first to be given."""
        first_revision, first_number = since
        found = []
        for revision in range(max(first_revision, self.compacted + 1), self.revision + 1):
            changes = self.changes(revision)
            for number, (key, item, before) in enumerate(changes, 1):
                kind = "put" if item else "delete"
                if not wanted.has(key) or (filter_ and filter_ != kind) \
                        or (revision == first_revision and number < first_number):
                    continue
                data = json_of_item(item) if item else {**text_of("key", key),
                                                        "mod_revision": revision}
                if prev:
                    data["prev"] = json_of_item(before) if before else None
                event_id = str(revision) if number == len(changes) else f"{revision}.{number}"
                found.append({"id": event_id, "event": kind, "data": data})
        return found

    def refused_place(self, place):
        """What speaks against events from there on; None: nothing. Nothing happened at revision 1."""
        revision, number = place
        if revision > self.revision + 1 or (revision == self.revision + 1 and number > 1):
            return refusal(400, "revision-future")
        if revision <= self.compacted != 1:
            return self.compacted_answer()
        if number > 1 and (revision == 1 or number - 1 > len(self.changes(revision))):
            return refusal(400, "bad-query")  # no event has that id
        return None


def place_behind(event_id):
    """Where to go on behind an id: (revision, number in it)."""
    revision, _, number = event_id.partition(".")
    return (int(revision), int(number) + 1) if number else (int(revision) + 1, 1)


# ---- transactions: what is done, before doing it ----

def range_of(what):
    """Of a get, a delete or a compare: one key is a range, too."""
    if "key" in what:
        return OneKey(what["key"])
    return Range(what.get("prefix"), what.get("start"), what.get("end"), what.get("after"),
                 what.get("order") == "desc")


@dataclass(frozen=True)
class OneKey:
    key: bytes

    def has(self, key):
        return key == self.key

    def keys(self, state):
        return [self.key] if self.key in state else []


def number_of(item, target):
    return getattr(item, target) if item else 0


def compare_holds(compare, state):
    """For every key in it; where there is none, numbers are 0 and no value compares."""
    keys = range_of(compare).keys(state)
    items = [state[k] for k in keys] or [None]
    return all(relation_holds(compare, item) for item in items)


def relation_holds(compare, item):
    target, wanted = compare["target"], compare["value"]
    if target == "value" and item is None:
        return False
    left = item.value if target == "value" else number_of(item, target)
    return {"=": left == wanted, "!=": left != wanted, "<": left < wanted,
            ">": left > wanted}[compare["op"]]


def choose(txn, state):
    """(succeeded, operations), where nested transactions are such pairs, too: all compares look at
    the state before."""
    succeeded = all(compare_holds(c, state) for c in txn.get("compare", ()))
    operations = txn.get("success" if succeeded else "failure", ())
    return succeeded, [choose(o["txn"], state) if "txn" in o else o for o in operations]


def leases_of(path):
    for operation in path[1]:
        if isinstance(operation, tuple):
            yield from leases_of(operation)
        elif operation.get("put", {}).get("lease"):
            yield operation["put"]["lease"]


@dataclass(frozen=True)
class Footprint:
    """The keys that operations put, and the ranges that they delete."""
    puts: frozenset = frozenset()
    deletes: tuple = ()

    def meets(self, other):
        return (bool(self.puts & other.puts)
                or any(d.has(k) for d in other.deletes for k in self.puts)
                or any(d.has(k) for d in self.deletes for k in other.puts))

    def joined(self, other):
        return Footprint(self.puts | other.puts, self.deletes + other.deletes)


def footprint_of(txn):
    """Of both paths together; None when one of them may change a key twice. As in etcd this looks at
    what is asked for alone, not at the state; deleting a key twice is fine."""
    both = Footprint()
    for name in ("success", "failure"):
        path = Footprint()
        for operation in txn.get(name, ()):
            kind, what = next(iter(operation.items()))
            if kind == "get":
                continue
            if kind == "txn":
                one = footprint_of(what)
                if one is None:
                    return None
            else:
                one = Footprint(frozenset([what["key"]])) if kind == "put" \
                    else Footprint(deletes=(range_of(what),))
            if path.meets(one):
                return None
            path = path.joined(one)
        both = both.joined(path)
    return both
