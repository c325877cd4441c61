"""The OpenAPI document is true: every operation in it is carried out with its own examples, and what comes back
is what it says. (That it has every route and parameter, unit/http/openapi tests.)"""
import json
import re
from urllib.parse import quote

from cluster import Cluster
from http_client import encode, Connection

# In the order in which one leads to the next. Where there is a figure, it is the answer to expect.
SEQUENCE = [
    "version", "livez", "readyz", "openapi", "identity", "members", "status", "announce", "transfer",
    "putKey", "getKey", "listKeys", "incrementKey", "transact", "compact",
    ("watch", {"poll_ms": 50, "from": 3, "prefix": "", "prev": True}), "grantLease",
    ("putKey", {"lease": 77}), "listLeases", "getLease", "keepLeaseAlive", "revokeLease",
    "openSession", "outcome", "seal", "closeSession", "join", "members", ("promote", 409), "remove",
    "snapshot", "metrics", "deleteKey", ("getKey", 404), ("getLease", 404), ("compact", 200),
]
METHODS = {"get", "put", "post", "delete"}


class Document:
    def __init__(self, text):
        self.root = json.loads(text)
        self.operations = {operation["operationId"]: (method, path, operation)
                           for path, methods in self.root["paths"].items()
                           for method, operation in methods.items()}

    def resolve(self, value):
        while "$ref" in value:
            found = self.root
            for name in value["$ref"].split("/")[1:]:
                found = found[name]
            value = found
        return value

    # ---- a part of JSON Schema 2020-12: what the document uses of it ----

    def errors(self, schema, value, at="$"):
        """What is wrong with the value, as a list of texts."""
        schema = self.resolve(schema)
        known = {"type", "properties", "required", "additionalProperties", "items", "oneOf", "enum", "const",
                 "pattern", "minimum", "maximum", "minLength", "maxLength", "maxItems", "description",
                 "format", "contentEncoding", "default"}
        assert set(schema) <= known, f"this test does not know {set(schema) - known}"
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if types and not any(is_type(value, name) for name in types):
            return [f"{at}: {value!r} is no {types}"]
        found = []
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{at}: {value!r} is none of {schema['enum']}")
        if "const" in schema and value != schema["const"]:
            found.append(f"{at}: {value!r} is not {schema['const']!r}")
        if isinstance(value, str):
            found += self._string_errors(schema, value, at)
        if is_type(value, "integer"):
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                found.append(f"{at}: {value} is out of range")
        if isinstance(value, dict):
            found += self._object_errors(schema, value, at)
        if isinstance(value, list):
            if len(value) > schema.get("maxItems", len(value)):
                found.append(f"{at}: too many")
            for i, item in enumerate(value):
                found += self.errors(schema.get("items", {}), item, f"{at}[{i}]")
        if "oneOf" in schema:
            branches = [self.errors(branch, value, at) for branch in schema["oneOf"]]
            if [not errors for errors in branches].count(True) != 1:
                found.append(f"{at}: {value!r} fits not one of oneOf: {branches}")
        return found

    @staticmethod
    def _string_errors(schema, value, at):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return [f"{at}: {value!r} does not match {schema['pattern']}"]
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            return [f"{at}: {value!r} has {len(value)} characters"]
        return []

    def _object_errors(self, schema, value, at):
        properties = schema.get("properties", {})
        found = [f"{at}: no {name}" for name in schema.get("required", []) if name not in value]
        for name, member in value.items():
            if name in properties:
                found += self.errors(properties[name], member, f"{at}.{name}")
            elif schema.get("additionalProperties") is False:
                found.append(f"{at}: {name} is not said to be there")
        return found

    def check(self, schema, value, what):
        assert not (errors := self.errors(schema, value)), (what, errors)


def is_type(value, name):
    if name == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, {"object": dict, "array": list, "string": str, "boolean": bool,
                              "null": type(None)}[name])


class Caller:
    """Carries out operations of the document at one node."""

    def __init__(self, document, node):
        self.document = document
        self.node = node
        self.path = {}  # values of path parameters that only the server knows

    def target(self, path, operation, given):
        query = dict(given)
        for value in operation.get("parameters", []):
            parameter = self.document.resolve(value)
            name, example = parameter["name"], parameter.get("example")
            if example is not None:
                self.document.check(parameter["schema"], example, (path, name))
            if parameter["in"] == "path":
                value = self.path.get(name, example)
                path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
            elif parameter["in"] == "query" and example is not None:
                query.setdefault(name, example)
        pairs = [f"{name}={quote(text(value), safe='')}" for name, value in query.items()]
        return path + ("?" + "&".join(pairs) if pairs else "")

    def body(self, name, operation):
        if "requestBody" not in operation:
            return None
        content = operation["requestBody"]["content"]["application/json"]
        self.document.check(content["schema"], content["example"], name)
        example = content["example"]
        if name == "announce":
            return {**example, "http": self.node.http_text}
        if name == "compact":
            return {"revision": self.node.status()["compacted"]}  # so that what comes next is there
        return example

    def call(self, name, given=None, status=None, headers=None, body=None):
        """With the examples, but for what is given."""
        method, path, operation = self.document.operations[name]
        assert method in METHODS, method
        target = self.target(path, operation, given or {})
        if body is not None:
            content = operation["requestBody"]["content"]["application/json"]
            self.document.check(content["schema"], body, name)
        else:
            body = self.body(name, operation)
        with Connection(self.node.http) as connection:
            connection.send(encode(method.upper(), target, body, headers, self.node.http))
            reply = connection.read_final(method.upper())
        self.check(name, operation, reply, status)
        return reply

    def check(self, name, operation, reply, status):
        responses = operation["responses"]
        wanted = status or int(min(code for code in responses if code != "default"))
        assert reply.status == wanted, (name, reply)
        assert str(reply.status) in responses, (name, reply)
        response = self.document.resolve(responses[str(reply.status)])
        for header in response.get("headers", {}):
            if header != "Link":  # only where there is a next page
                assert reply.header(header) is not None, (name, header, reply)
        content = response.get("content", {})
        if not content:
            assert reply.body == b"", (name, reply)
            return
        kind = reply.header("Content-Type").partition(";")[0]
        assert kind in content, (name, kind, list(content))
        schema = content[kind].get("schema", {})
        if kind in ("application/json", "application/problem+json"):
            self.document.check(schema, reply.json, name)
        elif kind == "application/x-ndjson":
            for line in reply.body.splitlines():
                self.document.check(schema, json.loads(line), name)


def text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_operation_of_the_document_does_what_it_says_with_its_examples():
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        document = Document(node.request("GET", "/openapi.json").body)
        caller = Caller(document, node)
        called = set()
        for step in SEQUENCE:
            name, more = step if isinstance(step, tuple) else (step, None)
            given = more if isinstance(more, dict) else {}
            reply = caller.call(name, given, more if isinstance(more, int) else None)
            if name == "openSession":
                caller.path["client"] = reply.json["client"]
            called.add(name)
        assert called == set(document.operations), called ^ set(document.operations)


def test_the_examples_of_answers_are_possible_ones():
    with Cluster(1).start() as cluster:
        document = Document(cluster.nodes[0].request("GET", "/openapi.json").body)
        count = 0
        for name, (_, _, operation) in document.operations.items():
            for response in operation["responses"].values():
                for content in document.resolve(response).get("content", {}).values():
                    if "example" in content:
                        document.check(content["schema"], content["example"], name)
                        count += 1
        assert count >= 10, count


def test_other_forms_of_answers_are_as_the_document_says():
    lines = {"Accept": "application/x-ndjson"}
    with Cluster(1).start() as cluster:
        node = cluster.nodes[0]
        document = Document(node.request("GET", "/openapi.json").body)
        caller = Caller(document, node)
        caller.call("putKey")
        caller.call("listKeys", headers=lines)
        caller.call("listKeys", {"limit": 1, "count_only": True})
        caller.call("listKeys", {"rev": 99}, 400)
        caller.call("getKey", {"raw": True})
        caller.call("getKey", {"rev": 99}, 400)
        caller.call("getKey", {"consistency": "stale"})
        caller.call("putKey", body={"value_base64": "/w=="})
        caller.call("getKey")
        caller.call("transact", body={
            "compare": [{"prefix": "no", "target": "value", "op": "!=", "value": "x"}],
            "failure": [{"put": {"key_base64": "/w==", "value": "v", "prev": True}},
                        {"get": {"prefix": "", "limit": 1}},
                        {"get": {"start": "a", "count_only": True, "order": "desc"}},
                        {"delete": {"key": "greeting", "prev": True}},
                        {"txn": {"success": [{"get": {"key_base64": "/w==", "keys_only": True}}]}}]})
        caller.call("transact", status=404, body={"success": [
            {"put": {"key": "k", "value": "v", "lease": 9}}]})
        with Connection(node.http) as watch:
            watch.send(encode("GET", "/v1/watch?prefix=&from=2", None, lines, node.http))
            while b"\n" not in watch.received.partition(b"\r\n\r\n")[2].partition(b"\r\n")[2]:
                watch._receive()
            first = watch.received.partition(b"\r\n\r\n")[2].split(b"\r\n")[1]
            document.check({"$ref": "#/components/schemas/LineOfWatch"}, json.loads(first), "watch")
