"""The lesson of the redirect, as a program plays it with real nodes. Its ports are fixed, so these
tests run alone."""
import socket
import subprocess

from cluster import HOST, program, scaled
from testing import alone, limit

TRANSCRIPT = """\
client: connected to node-1 (follower)
node-1: REDIRECT → leader at 127.0.0.1:7000
client: reconnecting to 127.0.0.1:7000
node-0: processing SET x=hello → OK
client: connected to node-2 (follower, no leader known)
node-2: REDIRECT leader_known=0 → retry later
client: retrying after 200ms...
redirect_test: PASS
"""


def play(*arguments):
    return subprocess.run([program("redirect_test"), *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=scaled(90))


@alone
@limit(120)
def test_the_transcript_is_the_lessons_line_for_line():
    run = play()
    assert (run.returncode, run.stdout) == (0, TRANSCRIPT), run


@alone
@limit(120)
def test_a_leader_killed_after_it_was_named_in_a_redirect_is_replaced_and_counted_once():
    run = play("drill")
    assert run.returncode == 0 and run.stdout.endswith("redirect_test: PASS\n"), run
    assert run.stdout.count("killed\n") == 10, run
    assert run.stdout.count(", replayed\n") == 5, run


@alone
def test_a_taken_port_is_a_reason_and_not_a_hang():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((HOST, 7001))
        taken.listen()
        run = play()
    assert run.returncode == 1 and run.stdout == "", run
    assert run.stderr == "redirect_test: 127.0.0.1:7001: Address already in use\n", run


def test_unknown_arguments_are_refused():
    run = play("lesson")
    assert run.returncode == 2 and run.stderr.startswith("usage: redirect_test"), run
