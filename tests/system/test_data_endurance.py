"""Watches and leases at length, in short: what script/endurance --watch and --leases do for longer."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "endurance"))

import leases  # noqa: E402
import watch  # noqa: E402
from testing import alone, count_from_environment, limit, report  # noqa: E402

EVENTS = count_from_environment("MINIKV_TEST_EVENTS", 8000)
LEASES_SECONDS = count_from_environment("MINIKV_TEST_LEASES_SECONDS", 12)
HARM_PAUSE_SECONDS = 0.2
SEED = count_from_environment("MINIKV_TEST_SEED", random.SystemRandom().randrange(2**31))


@alone
@limit(150)
def test_watchers_are_sent_each_event_once_while_nodes_come_and_go():
    print(f"MINIKV_TEST_SEED={SEED}")
    found = watch.run(EVENTS, SEED, ["--snapshot-bytes", "65536"], HARM_PAUSE_SECONDS)
    assert sum(found["harm"].values()) > 0 and found["cuts"] > 0, found
    report(f"{watch.describe(found)} (seed {SEED})")


@alone
@limit(200)
def test_leases_end_in_time_and_everywhere_alike_while_nodes_come_and_go():
    print(f"MINIKV_TEST_SEED={SEED}")
    found = leases.run(LEASES_SECONDS, SEED)
    assert found["leases"] > 0, found
    report(f"{leases.describe(found)} (seed {SEED})")
