"""Assertions that many tests share."""
from http_client import NONE


def assert_problem(reply, status, effect=NONE, code=None):
    """A refusal as docs/http-api.md has it: the status, the truth about the effect, and what to do next."""
    statuses = status if isinstance(status, tuple) else (status,)
    assert reply.status in statuses, f"want {status}: {reply}"
    assert reply.header("Content-Type") == "application/problem+json", reply
    problem = reply.json
    for field in ("type", "title", "status", "detail", "effect"):
        assert problem.get(field), f"no {field}: {reply}"
    assert problem["status"] == reply.status, reply
    assert problem["effect"] == effect, f"want effect {effect}: {reply}"
    assert reply.header("X-MiniKV-Effect") == effect, reply
    if code:
        assert problem["type"].endswith(":" + code), f"want {code}: {reply}"
    return problem


def assert_routing_headers(reply, served_by, leader=None):
    """The headers every reply carries."""
    assert reply.header("X-MiniKV-Node") == str(served_by.id), reply
    assert reply.header("X-MiniKV-Term").isdigit(), reply
    assert reply.header("X-MiniKV-Hops") in ("0", "1"), reply
    if leader:
        assert reply.header("X-Leader") == leader.peer_text, reply
        assert reply.header("X-Leader-HTTP") == leader.http_text, reply


class Unchanged:
    """`with Unchanged(cluster)`: no entry is applied and no revision is made inside."""

    def __init__(self, cluster):
        self.cluster = cluster

    def __enter__(self):
        self.cluster.wait_caught_up()
        self.before = self.state()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.check()

    def state(self):
        return {n.id: (n.status()["applied_index"], n.status()["last_index"], n.revision())
                for n in self.cluster.up()}

    def check(self, what="the block"):
        after = self.state()
        assert after == self.before, f"{what} changed the state: {self.before} -> {after}"
