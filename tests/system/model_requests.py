"""What the model is asked and what a node is asked: the same operation as a call and as bytes.

An operation is a dictionary: {"do": "put", "key": b"a", …}, drawn by model_operations.py. It may hold
references (Rev, Mod, …) that are looked up at the moment when it is carried out, so that an operation
still makes sense when others before it are left out.
"""
import base64
from dataclasses import dataclass
from urllib.parse import quote

import model as plain
from model import Range, Unknown


# ---- references ----

@dataclass(frozen=True)
class Rev:
    """The revision so many before the present one; below 0: a future one."""
    back: int

    def of(self, model, slots):
        return max(1, model.revision - self.back)


@dataclass(frozen=True)
class Kept:
    """A revision between the oldest that is kept (0) and the present one (1)."""
    share: float

    def of(self, model, slots):
        return model.compacted + round(self.share * (model.revision - model.compacted))


@dataclass(frozen=True)
class Number:
    """A number of a key: mod_revision, version, … plus `off`; 0 when there is none."""
    key: bytes
    name: str
    off: int = 0

    def of(self, model, slots):
        return max(0, plain.number_of(model.now.get(self.key), self.name) + self.off)


@dataclass(frozen=True)
class Tag:
    """The revision that a key has, for a condition: never 0."""
    key: bytes
    off: int = 0

    def of(self, model, slots):
        return max(1, Number(self.key, "mod_revision", self.off).of(model, slots))


@dataclass(frozen=True)
class Value:
    """The value that a key has."""
    key: bytes

    def of(self, model, slots):
        item = model.now.get(self.key)
        return item.value if item else b""


@dataclass(frozen=True)
class Lease:
    """What became of the grant with this number; one that never was, when it has been left out."""
    slot: int

    def of(self, model, slots):
        return slots.get(self.slot, 2**53 - 1)


def resolved(what, model, slots):
    """The same with every reference looked up."""
    if isinstance(what, (Rev, Kept, Number, Tag, Value, Lease)):
        return what.of(model, slots)
    if isinstance(what, dict):
        return {k: resolved(v, model, slots) for k, v in what.items()}
    if isinstance(what, (list, tuple)):
        return type(what)(resolved(v, model, slots) for v in what)
    return what


# ---- as a call ----

def expected(model, op):
    """What the model answers; it has carried it out."""
    do = op["do"]
    if do in ("get", "get_at"):
        return model.get(op["key"], op.get("rev"), op.get("raw", False), op.get("condition"))
    if do == "put":
        return model.put(op["key"], op["value"], op.get("lease", 0), op.get("condition"))
    if do == "delete":
        return model.delete(op["key"], op.get("condition"))
    if do == "incr":
        return model.incr(op["key"], op["by"])
    if do == "list":
        return model.list(range_of(op), op.get("limit"), op.get("rev"), op.get("keys_only", False),
                          op.get("count_only", False))
    if do == "txn":
        return model.txn(op["txn"])
    if do == "compact":
        return model.compact(op["revision"])
    if do == "grant":
        return model.grant(op["ttl_ms"], op.get("lease"))
    if do == "keep_alive":
        return model.keep_alive(op["lease"])
    if do == "revoke":
        return model.revoke(op["lease"])
    if do == "lease":
        return model.lease(op["lease"], op.get("keys", False))
    assert do == "leases", do
    return model.list_leases(op.get("limit"), op.get("after", 0))


def range_of(op):
    return Range(op.get("prefix"), op.get("start"), op.get("end"), op.get("after"),
                 op.get("order") == "desc")


# ---- as bytes ----

@dataclass
class Request:
    method: str
    target: str
    body: object = None  # of what JSON travels as; bytes: raw
    headers: dict = None

    def __str__(self):
        return f"{self.method} {self.target} {self.headers or ''} {self.body or ''}"


WRITES = {"put", "delete", "incr", "txn", "compact", "grant", "revoke"}


def percent(data):
    return quote(data, safe="")


def condition_headers(condition):
    if condition is None:
        return {}
    kind, tag = condition
    return {"If-Match" if kind == "match" else "If-None-Match":
            "*" if tag == "*" else f'"{tag}"'}


def query_of(op, names):
    """?prefix=…&limit=…: what is there, in this order. Flags stand alone."""
    parts = []
    for name in names:
        value = op.get(name)
        if value is True:
            parts.append(name)
        elif value not in (None, False):
            parts.append(f"{name}={percent(value) if isinstance(value, bytes) else value}")
    return "?" + "&".join(parts) if parts else ""


def bytes_field(name, data, as_base64=False):
    """A field for bytes; base64 is taken for text, too."""
    if as_base64:
        return {name + "_base64": base64.b64encode(data).decode()}
    return plain.text_of(name, data)


def json_of(what, as_base64=False):
    """An operation or compare of a transaction; bytes under names that JSON can hold."""
    made = {}
    for name, value in what.items():
        made.update(bytes_field(name, value, as_base64) if isinstance(value, bytes)
                    else {name: value})
    return made


def json_of_txn(txn, as_base64=False):
    made = {}
    for name, entries in txn.items():
        if name == "compare":
            made[name] = [json_of(c, as_base64) for c in entries]
        else:
            made[name] = [{kind: json_of_txn(what, as_base64) if kind == "txn"
                           else json_of(what, as_base64)}
                          for entry in entries for kind, what in entry.items()]
    return made


LIST_PARAMETERS = ("prefix", "start", "end", "after", "limit", "rev", "keys_only", "count_only",
                   "order")


def request_of(op):
    do, base64_too = op["do"], op.get("base64", False)
    headers = condition_headers(op.get("condition"))
    if do == "put":
        target = f"/v1/kv/{percent(op['key'])}{query_of(op, ('lease',))}"
        if op.get("raw"):
            headers["Content-Type"] = "application/octet-stream"
            return Request("PUT", target, op["value"], headers)
        return Request("PUT", target, bytes_field("value", op["value"], base64_too), headers)
    if do in ("get", "get_at"):
        query = query_of(op, ("rev", "raw"))
        return Request("GET", f"/v1/kv/{percent(op['key'])}{query}", None, headers)
    if do == "delete":
        return Request("DELETE", f"/v1/kv/{percent(op['key'])}", None, headers)
    if do == "incr":
        return Request("POST", f"/v1/incr/{percent(op['key'])}", {"by": op["by"]})
    if do == "list":
        return Request("GET", "/v1/kv" + query_of(op, LIST_PARAMETERS))
    if do == "txn":
        return Request("POST", "/v1/txn", json_of_txn(op["txn"], base64_too))
    if do == "compact":
        return Request("POST", "/v1/compact", {"revision": op["revision"]})
    if do == "grant":
        chosen = {"lease": op["lease"]} if op.get("lease") else {}
        return Request("POST", "/v1/leases", {"ttl_ms": op["ttl_ms"], **chosen})
    if do == "keep_alive":
        return Request("POST", f"/v1/leases/{op['lease']}/keepalive")
    if do == "revoke":
        return Request("DELETE", f"/v1/leases/{op['lease']}")
    if do == "lease":
        return Request("GET", f"/v1/leases/{op['lease']}{query_of(op, ('keys',))}")
    assert do == "leases", do
    return Request("GET", "/v1/leases" + query_of(op, ("limit", "after")))


# ---- the comparison ----

class Differs(AssertionError):
    """A node has answered something else than the model."""


def difference(want, got, path="body"):
    """None, or where and how `got` is something else."""
    if isinstance(want, Unknown):
        return None if want.is_right(got) else f"{path} is {got!r}, want {want}"
    if isinstance(want, dict) and isinstance(got, dict):
        if want.keys() != got.keys():
            return f"{path} has {sorted(got)}, want {sorted(want)}"
        return next((d for d in (difference(want[k], got[k], f"{path}.{k}") for k in want) if d),
                    None)
    if isinstance(want, list) and isinstance(got, list):
        if len(want) != len(got):
            return f"{path} has {len(got)} entries, want {len(want)}: {got}, want {want}"
        return next((d for d in (difference(w, g, f"{path}[{i}]")
                                 for i, (w, g) in enumerate(zip(want, got))) if d), None)
    if type(want) is not type(got) or want != got:
        return f"{path} is {got!r}, want {want!r}"
    return None


def compare(answer, reply):
    """Fails when a reply is not what the model has answered."""
    if reply.status != answer.status:
        raise Differs(f"status {reply.status}, want {answer.status}")
    etag = f'"{answer.etag}"' if answer.etag else None
    if reply.header("ETag") != etag:
        raise Differs(f"ETag {reply.header('ETag')}, want {etag}")
    for name, value in answer.headers.items():
        if reply.header(name) != value:
            raise Differs(f"{name}: {reply.header(name)}, want {value}")
    if answer.problem:
        compare_problem(answer, reply)
    elif answer.raw is not None:
        if reply.body != answer.raw:
            raise Differs(f"value {reply.body[:80]!r}, want {answer.raw[:80]!r}")
    elif answer.body is None:
        if reply.body:
            raise Differs(f"a body where none belongs: {reply.body[:80]!r}")
    else:
        found = difference(answer.body, reply.json)
        if found:
            raise Differs(found)


def compare_problem(answer, reply):
    problem = reply.json
    kind = "urn:minikv:" + answer.problem
    if reply.header("Content-Type") != "application/problem+json" or problem["type"] != kind:
        raise Differs(f"{problem.get('type')}, want {kind}")
    if problem["effect"] != plain.EFFECT_NONE or reply.effect != plain.EFFECT_NONE:
        raise Differs(f"effect {problem['effect']} and {reply.effect}, want none")
