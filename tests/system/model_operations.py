"""Draws operations for the model test: which ones, on which keys, with which parameters.

Keys are few, so that operations meet; some of them are prefixes of others, some are no text. What
depends on the state (a revision, a lease) is drawn as a reference, see model_requests.py.
"""
from model_requests import Kept, Lease, Number, Rev, Tag, Value

KEYS = ([b"a", b"b", b"n", b"a/", b"a/1", b"a/2", b"a/10", b"dir/x", b"dir/y", b"dir/x/y",
         b"k%2f", b"k k+", b"k?&=#", "schl\u00fcssel".encode(), "\U0001f511".encode(), b"\xff",
         b"\xff\xff", b"\xc3", b"\x00", b"\x00\x01", b"line\nbreak", b'"quote"\\', b"z" * 300]
        + [b"key-%02d" % i for i in range(12)])
PREFIXES = [b"", b"a", b"a/", b"dir/", b"k", b"key-", b"key-0", b"\xff", b"\x00", b"nothing", b"z"]
BOUNDS = KEYS + [b"a0", b"key-05x", b"l", b"\xfe", b"\xff\xff\xff", b"dir"]
NUMBERS = [b"0", b"7", b"-3", b"9223372036854775807", b"-9223372036854775808", b"01", b"1.5",
           b"99999999999999999999"]
TTL_MS_MIN, TTL_MS_MAX = 3_600_000, 86_400_000  # nothing expires while a test runs
TXN_DEPTH_MAX = 3
LEASE_IDS_MAX = 2**53 - 2


class Operations:
    def __init__(self, rng, without=()):
        self.rng = rng
        self.serial = 0
        self.slots = 0  # grants drawn so far
        self.weights = {
            "put": 20, "delete": 6, "incr": 6, "get": 7, "get_at": 7, "list": 14, "walk": 2,
            "stream": 2, "txn": 18, "grant": 3, "keep_alive": 2, "revoke": 2, "lease": 2,
            "leases": 1, "compact": 1, "watch": 7, "again": 5, "reuse": 1,
            "ask": 2}
        for kind in without:
            del self.weights[kind]

    def draw(self):
        kinds = list(self.weights)
        do = self.rng.choices(kinds, [self.weights[k] for k in kinds])[0]
        self.serial += 1
        return {"do": do, "serial": self.serial, **getattr(self, do)()}

    # ---- parts ----

    def chance(self, share):
        return self.rng.random() < share

    def key(self):
        return self.rng.choice(KEYS)

    def value(self):
        kind = self.rng.random()
        if kind < 0.15:
            return self.rng.choice(NUMBERS)
        if kind < 0.25:
            return self.rng.randbytes(self.rng.randrange(40))
        if kind < 0.27:
            return b"x" * self.rng.randrange(20000)
        return b"v%d" % self.serial if kind < 0.9 else "wert \u00e4\n".encode() * 2

    def condition(self):
        if not self.chance(0.25):
            return {}
        kind = self.rng.choice(["match", "none-match"])
        return {"condition": (kind, "*")}

    def tagged(self, key):
        """A condition on the revision of this key, now and then not the one it has."""
        if not self.chance(0.2):
            return self.condition()
        off = self.rng.choice([0, 0, 0, -1, 1])
        return {"condition": (self.rng.choice(["match", "match", "none-match"]),
                              Tag(key, off))}

    def attached(self):
        return {"lease": self.lease_reference()} if self.slots and self.chance(0.25) else {}

    def lease_reference(self):
        return Lease(self.rng.randrange(max(1, self.slots - 20), self.slots + 2))

    def revision(self):
        kind = self.rng.random()
        if kind < 0.7:
            return Kept(self.rng.random())
        return Rev(self.rng.choice([0, 1, 2, 5, 30, 200, -1, -7]))

    def bounds(self):
        found = {}
        if self.chance(0.6):
            found["prefix"] = self.rng.choice(PREFIXES)
        if self.chance(0.3):
            found["start"] = self.rng.choice(BOUNDS)
        if self.chance(0.3):
            found["end"] = self.rng.choice(BOUNDS)
        return found

    def either(self):
        """As a watch and a transaction take it: a prefix, or bounds; without any it says so."""
        if self.chance(0.6):
            return {"prefix": self.rng.choice(PREFIXES)}
        found = {n: v for n, v in self.bounds().items() if n != "prefix"}
        return found or {"prefix": b""}

    def order(self):
        return {"order": self.rng.choice(["asc", "desc"])} if self.chance(0.4) else {}

    def flag(self, name, share=0.3):
        return {name: True} if self.chance(share) else {}

    # ---- keys ----

    def put(self):
        key = self.key()
        return {"key": key, "value": self.value(), **self.tagged(key), **self.attached(),
                **self.flag("raw", 0.2), **self.flag("base64", 0.1)}

    def delete(self):
        key = self.key()
        return {"key": key, **self.tagged(key)}

    def incr(self):
        return {"key": b"n" if self.chance(0.6) else self.key(),
                "by": self.rng.choice([1, 1, 1, -1, 5, 0, 2**63 - 1, -2**63])}

    def get(self):
        key = self.key()
        return {"key": key, **self.tagged(key), **self.flag("raw")}

    def get_at(self):
        return {"key": self.key(), "rev": self.revision(), **self.flag("raw", 0.1)}

    # ---- ranges ----

    def list(self):
        found = {**self.bounds(), **self.order(), **self.flag("keys_only"),
                 **self.flag("count_only", 0.15)}
        if self.chance(0.5):
            found["limit"] = self.rng.choice([1, 2, 3, 5, 10, 1000])
        if self.chance(0.2):
            found["after"] = self.rng.choice(BOUNDS)
        if self.chance(0.4):
            found["rev"] = self.revision()
        return found

    def walk(self):
        """Pages by their links, with a write between the first and the second."""
        return {**self.bounds(), **self.order(), **self.flag("keys_only"),
                "limit": self.rng.choice([1, 2, 3, 7]),
                "between": {"do": "put", "key": self.key(), "value": self.value()}}

    def stream(self):
        """The same as NDJSON."""
        found = self.list()
        found.pop("count_only", None)
        return found

    # ---- transactions ----

    def txn(self):
        return {"txn": self.one_txn(TXN_DEPTH_MAX), **self.flag("base64", 0.1)}

    def one_txn(self, depth):
        found = {}
        if self.chance(0.8):
            found["compare"] = [self.compare() for _ in range(self.rng.choice([0, 1, 1, 1, 2, 3]))]
        for name, share in (("success", 0.95), ("failure", 0.6)):
            if self.chance(share):
                found[name] = self.operations(depth)
        return found

    def operations(self, depth):
        """Mostly such that no key is changed twice; where one is, it is refused."""
        free = self.rng.sample(KEYS, len(KEYS))
        made = []
        for _ in range(self.rng.choice([0, 1, 1, 2, 2, 3, 4, 6])):
            kind = self.rng.choices(["put", "get", "delete", "txn"], [8, 6, 4, 2 if depth else 0])[0]
            key = self.key() if self.chance(0.03) else free.pop()
            if kind == "put":
                lease = {"lease": self.rng.choice([0, self.lease_reference()])} \
                    if self.chance(0.2) else {}
                made.append({"put": {"key": key, "value": self.value(), **lease,
                                     **self.flag("prev")}})
            elif kind == "get":
                made.append({"get": self.txn_get(key)})
            elif kind == "delete":
                made.append({"delete": {**self.txn_range(key, 0.15), **self.flag("prev")}})
            else:
                made.append({"txn": self.one_txn(depth - 1)})
        return made

    def txn_range(self, key, share):
        """One key, or a range; a range without bounds says so."""
        return self.either() if self.chance(share) else {"key": key}

    def txn_get(self, key):
        found = self.txn_range(key, 0.6)
        if "key" in found:
            return found
        if self.chance(0.4):
            found["limit"] = self.rng.choice([1, 2, 5, 1000])
        if self.chance(0.2):
            found["after"] = self.rng.choice(BOUNDS)
        return {**found, **self.order(), **self.flag("keys_only"), **self.flag("count_only", 0.1)}

    def compare(self):
        key = self.key()
        target = self.rng.choice(["value", "version", "create_revision", "mod_revision", "lease"])
        where = {"key": key} if self.chance(0.8) else self.either()
        if target == "value":
            wanted = self.rng.choice([Value(key), self.value()])
        elif target == "lease":
            wanted = self.rng.choice([0, self.lease_reference(), Number(key, "lease")])
        else:
            wanted = Number(key, target, self.rng.choice([0, 0, 0, -1, 1]))
        return {**where, "target": target, "op": self.rng.choice(["=", "=", "!=", "<", ">"]),
                "value": wanted}

    # ---- leases ----

    def grant(self):
        self.slots += 1
        chosen = {"lease": self.rng.randrange(1, LEASE_IDS_MAX)} if self.chance(0.5) else {}
        if self.slots > 1 and self.chance(0.1):
            chosen = {"lease": self.lease_reference()}
        return {"slot": self.slots, "ttl_ms": self.rng.randrange(TTL_MS_MIN, TTL_MS_MAX), **chosen}

    def keep_alive(self):
        return {"lease": self.lease_reference()}

    def revoke(self):
        return {"lease": self.lease_reference()}

    def lease(self):
        return {"lease": self.lease_reference(), **self.flag("keys", 0.6)}

    def leases(self):
        limited = {"limit": self.rng.choice([1, 2, 5])} if self.chance(0.5) else {}
        return {**limited, **({"after": self.lease_reference()} if self.chance(0.4) else {})}

    # ---- the past ----

    def compact(self):
        return {"revision": self.rng.choice([Kept(0.0), Kept(0.3 * self.rng.random()), Rev(200),
                                             Rev(50), Rev(-1), Rev(10000)])}

    def watch(self):
        """From a place to the present, by long polls."""
        found = {**self.flag("prev"), "limit": self.rng.choice([1, 2, 7, 100, 1000])}
        if self.chance(0.3):
            found["key"] = self.key()
        else:
            found.update(self.either())
        if self.chance(0.3):
            found["filter"] = self.rng.choice(["put", "delete"])
        where = self.rng.random()
        if where < 0.5:
            found["from"] = self.rng.choice([Kept(0.5 + self.rng.random() / 2), Rev(3), Rev(20)])
        elif where < 0.9:
            found["behind"] = self.rng.choice([Kept(0.5 + self.rng.random() / 2), Rev(2), Rev(10),
                                               Kept(0)])
            found["number"] = self.rng.choice([0, 0, 0, 1, 2])
        return {**found, **self.flag("as_header", 0.5)}

    # ---- exactly once ----

    def again(self):
        """One of the last writes under an identity, sent again."""
        return {"back": self.rng.randrange(1, 150)}

    def ask(self):
        """What has become of one of them."""
        return {"back": self.rng.randrange(1, 150)}

    def reuse(self):
        """Another write under the same identity."""
        return {"back": self.rng.randrange(1, 20), "key": self.key(), "value": b"reused"}

