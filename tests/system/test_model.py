"""Random operations, every reply compared with a plain model (model.py, model_run.py).

model_run.py does the same at length: --operations 50000, and with a seed that failed here.
"""
import random

import model_run
from testing import alone, count_from_environment, limit, report

OPERATIONS = count_from_environment("MINIKV_TEST_MODEL", 2000)
CLUSTER_KILLS = 6
SHRINK_SECONDS = 30
SEED = count_from_environment("MINIKV_TEST_SEED", random.SystemRandom().randrange(2**31))


@limit(120)
def test_one_node_answers_as_the_model_does():
    print(f"MINIKV_TEST_SEED={SEED}")
    run = model_run.check_one(SEED, OPERATIONS, SHRINK_SECONDS)
    report(f"{OPERATIONS} operations, {run.model.revision} revisions, {run.compactions} compactions "
           f"(seed {SEED})")


@alone
@limit(180)
def test_a_cluster_answers_as_the_model_does_while_leaders_are_killed():
    print(f"MINIKV_TEST_SEED={SEED}")
    run, kills, watcher = model_run.run_cluster(SEED, OPERATIONS, CLUSTER_KILLS)
    assert kills.killed + kills.stopped > 0
    report(f"{OPERATIONS} operations, {run.model.revision} revisions, {kills.killed} kills, "
           f"{kills.stopped} stops, a watcher that resumed {watcher.resumes} times (seed {SEED})")
