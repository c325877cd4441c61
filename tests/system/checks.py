"""Assertions that many tests share."""
from cluster import eventually
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
    """`with Unchanged(cluster)`: no entry is applied and no revision is made inside, but for the
    first entry of a leader that was elected meanwhile."""

    def __init__(self, cluster):
        self.cluster = cluster

    def __enter__(self):
        self.before = eventually(self.at_rest, "all that is in the log is applied")
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.check()

    def state(self):
        """{node: (term, applied index, last index, revision)}"""
        status = {n.id: (n.status(), n.revision()) for n in self.cluster.up()}
        return {i: (s["term"], s["applied_index"], s["last_index"], revision)
                for i, (s, revision) in status.items()}

    def at_rest(self):
        """The state, if no entry is on its way, such as the first one of a new leader."""
        self.cluster.wait_caught_up()
        state = self.state()
        return state if len({i for _, *indexes, _ in state.values() for i in indexes}) == 1 else None

    def check(self, what="the block"):
        after = self.state()
        if any(after[i][0] != self.before[i][0] for i in after):
            after = eventually(self.at_rest, "all that is in the log is applied")
            terms = max(s[0] for s in after.values()) - min(s[0] for s in self.before.values())
            for i, (_, applied, last, revision) in after.items():
                _, applied_before, last_before, revision_before = self.before[i]
                assert revision == revision_before and applied - applied_before <= terms \
                    and last - last_before <= terms, f"{what}: {self.before} -> {after}"
            self.before = after
        assert after == self.before, f"{what} changed the state: {self.before} -> {after}"
