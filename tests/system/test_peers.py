"""Clients that know nothing of MiniKV, sent to nodes that do not lead: redirected and forwarded.

curl, libcurl, requests and wget each write through a follower, by the node's default (`--route
redirect`) and with `?route=forward`, with an identity that has to survive the way.
"""
import itertools
import json
import os
import subprocess

from cluster import HOST, Cluster, scaled
from http_client import identity

SYSTEM_PYTHON = "/usr/bin/python3"  # the one that Debian's packages are for
BODY = json.dumps({"value": "through a redirect"})

# Each reads a question per line and prints an answer per line.
REQUESTS = """
import json, sys, requests
session = requests.Session()
session.trust_env = False
for line in sys.stdin:
    method, url, body, headers = json.loads(line)
    reply = session.request(method, url, data=body, headers=headers, timeout=30)
    print(json.dumps([reply.status_code, dict(reply.headers), reply.text,
                      [r.status_code for r in reply.history]]), flush=True)
"""

# The body is given as fields that libcurl keeps, or as an upload that it reads: its way is argv[1].
PYCURL = """
import io, json, sys, pycurl

def ask(curl, method, url, body, headers):
    out, lines, data = io.BytesIO(), [], io.BytesIO(body.encode())
    curl.reset()
    for option, value in ((pycurl.URL, url), (pycurl.PROXY, ""), (pycurl.TIMEOUT, 30),
                          (pycurl.FOLLOWLOCATION, True), (pycurl.MAXREDIRS, 4),
                          (pycurl.HTTPHEADER, [f"{n}: {v}" for n, v in headers.items()]),
                          (pycurl.CUSTOMREQUEST, method), (pycurl.WRITEFUNCTION, out.write),
                          (pycurl.HEADERFUNCTION, lambda line: lines.append(line.decode().strip()))):
        curl.setopt(option, value)
    if sys.argv[1] == "upload":
        curl.setopt(pycurl.UPLOAD, True)
        curl.setopt(pycurl.INFILESIZE, len(body))
        curl.setopt(pycurl.READFUNCTION, data.read)
        curl.setopt(pycurl.SEEKFUNCTION, lambda offset, origin: data.seek(offset, origin) and 0)
    else:
        curl.setopt(pycurl.POSTFIELDS, body)
    curl.perform()
    last = max(i for i, line in enumerate(lines) if line.startswith("HTTP/1.1 "))
    fields = dict(line.split(": ", 1) for line in lines[last + 1:] if line)
    return [curl.getinfo(pycurl.RESPONSE_CODE), fields, out.getvalue().decode(),
            [307] * curl.getinfo(pycurl.REDIRECT_COUNT)]

curl = pycurl.Curl()
for line in sys.stdin:
    print(json.dumps(ask(curl, *json.loads(line))), flush=True)
"""


class Told:
    """What a client of another make says that it was told in the end."""

    def __init__(self, status, headers, body, redirects):
        assert all(r == 307 for r in redirects), redirects
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body
        self.hops_count = len(redirects)  # redirects followed

    def __repr__(self):
        return f"<{self.status} after {self.hops_count} redirects {self.headers} {self.body!r}>"


def without_proxies():
    return {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


def run(command, text=""):
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=scaled(40),
                          env=without_proxies(), check=False)
    assert done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
    return done


def heads_of(text):
    """[(status, headers)] of each head in what curl and wget print."""
    heads = []
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("HTTP/1.1 "):
            heads.append((int(line.split()[1]), {}))
        elif heads and ": " in line:
            name, value = line.split(": ", 1)
            heads[-1][1].setdefault(name, value)
    return heads


def curl(method, url, body, headers):
    fields = [f for name, value in headers.items() for f in ("-H", f"{name}: {value}")]
    done = run(["curl", "-q", "-sS", "--max-time", "30", "--location", "--max-redirs", "4", "-X",
                method, "--data-binary", "@-", *fields, "-D", "/dev/stderr", url], body)
    *before, last = [h for h in heads_of(done.stderr) if h[0] != 100]
    return Told(*last, done.stdout, [status for status, _ in before])


def wget(method, url, body, headers):
    fields = [f"--header={name}: {value}" for name, value in headers.items()]
    done = run(["wget", "--no-config", "--tries=1", "--timeout=30", "--max-redirect=4",
                "--server-response", "--output-document=-", f"--method={method}",
                f"--body-data={body}", *fields, url])
    *before, last = heads_of(done.stderr)
    return Told(*last, done.stdout, [status for status, _ in before])


class Interpreter:
    """A script that answers questions for as long as we hold its other end."""

    def __init__(self, script, *arguments):
        self.process = subprocess.Popen([SYSTEM_PYTHON, "-c", script, *arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=without_proxies())

    def __call__(self, *question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the client has ended with {self.process.wait(10)}"
        return Told(*json.loads(answer))


CLIENTS = {"curl": lambda: curl,
           "requests": lambda: Interpreter(REQUESTS),
           "libcurl": lambda: Interpreter(PYCURL, "fields"),
           "libcurl-upload": lambda: Interpreter(PYCURL, "upload"),
           "wget": lambda: wget}


def url_of(node, path):
    return f"http://{HOST}:{node.http_port}{path}"


def check_client(name):
    """Through each follower, redirected and forwarded; then sent again elsewhere."""
    ask = CLIENTS[name]()
    with Cluster(3, ["--route", "redirect"]).start() as cluster:
        numbers = itertools.count(1)

        def write_once(leader, follower, query, hops_count):
            number = next(numbers)
            headers = identity(f"peer-{name}", number)
            incr_url = url_of(follower, f"/v1/incr/n{number}{query}")

            put = ask("PUT", url_of(follower, f"/v1/kv/k%20{number}{query}"), BODY,
                      {"Idempotency-Key": f'"put {number}"'})
            incr = ask("POST", incr_url, '{"by":1}', headers)

            assert (put.status, put.hops_count) == (204, hops_count), put
            assert (incr.status, incr.hops_count) == (200, hops_count), incr
            served_by = leader if hops_count else follower
            assert put.headers["x-minikv-node"] == str(served_by.id), put
            assert "x-minikv-replayed" not in put.headers, put
            assert json.loads(incr.body) == {"value": 1}, incr
            assert leader.value(f"k%20{number}") == "through a redirect"
            # the identity came with it: whoever is asked, by whichever client, knows the write
            again = leader.incr(f"n{number}", 1, headers)
            assert again.is_replayed and again.json == {"value": 1}, again
            again = leader.put(f"k%20{number}", "through a redirect",
                               {"Idempotency-Key": f'"put {number}"'})
            assert again.is_replayed and again.header("ETag") == put.headers["etag"], again
            again = ask("POST", incr_url, '{"by":1}', headers)
            assert again.headers["x-minikv-replayed"] == "true", again
            assert json.loads(again.body) == {"value": 1}, again
            assert leader.value(f"n{number}") == "1"

        for i in range(2):
            for query, hops_count in (("", 1), ("?route=forward", 0)):
                cluster.under_one_leader(lambda leader, followers: write_once(
                    leader, followers[i], query, hops_count))


def test_curl_follows_redirects_and_is_forwarded():
    check_client("curl")


def test_requests_follows_redirects_and_is_forwarded():
    check_client("requests")


def test_libcurl_follows_redirects_and_is_forwarded():
    check_client("libcurl")


def test_libcurl_sends_an_upload_again_when_redirected():
    check_client("libcurl-upload")


def test_wget_follows_redirects_and_is_forwarded():
    check_client("wget")


def test_what_one_of_them_wrote_another_is_told():
    """One cluster, all clients, each at another node and by another way."""
    asks = {name: make() for name, make in CLIENTS.items()}
    with Cluster(3).start() as cluster:
        for i, (name, ask) in enumerate(asks.items(), 1):
            way = ("?route=redirect", "?route=forward")[i % 2]
            url = url_of(cluster.nodes[i % 3], f"/v1/incr/n{way}")
            told = ask("POST", url, "{}", identity("all", i))
            assert told.status == 200 and json.loads(told.body) == {"value": i}, (name, told)
        for i, (name, ask) in enumerate(reversed(asks.items()), 1):
            told = ask("POST", url_of(cluster.nodes[i % 3], "/v1/incr/n"), "{}", identity("all", i))
            assert told.headers["x-minikv-replayed"] == "true", (name, told)
            assert json.loads(told.body) == {"value": i}, (name, told)
        assert cluster.nodes[0].value("n") == str(len(asks))
