"""Exactly once at length, in short: what script/endurance does with a million, for every day."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "endurance"))

import drill  # noqa: E402
from cluster import Cluster, scaled  # noqa: E402
from testing import alone, count_from_environment, limit, promise, report  # noqa: E402

INCREMENTS = count_from_environment("MINIKV_TEST_ENDURANCE", 30000)
RESTARTED_INCREMENTS = INCREMENTS // 3
LEADER_KILLS, CLUSTER_KILLS = 4, 3
RETRY_PERCENT_MIN = 20
DEADLINE_SECONDS = 90
SEED = count_from_environment("MINIKV_TEST_SEED", random.SystemRandom().randrange(2**31))


def endure(killer, count, kills, flags=()):
    print(f"MINIKV_TEST_SEED={SEED}")
    with Cluster(3, flags).start() as cluster:
        result = drill.run_part(cluster, killer, "endurance", count, kills, SEED,
                                scaled(DEADLINE_SECONDS))

        drill.check_nodes(cluster, {"endurance": count})
        drill.stop(cluster)
        drill.audit(cluster)
    forced = result["forced"]
    promise(result["answered"] == count and result["violations"] == 0, result)
    assert forced["increments"] >= count * RETRY_PERCENT_MIN / 100, result
    assert min(forced["reply_lost"], forced["several_at_once"], forced["repeated"]) > 0, result
    assert result["kills"] > 0, result
    report(f"{count} increments exact through {result['kills']} kills; {forced['percent']:.0f} % sent "
           f"again on purpose, {result['cut_off']} cut off; {count / result['seconds']:.0f}/s")


@alone
@limit(120)
def test_each_increment_counts_once_while_leaders_are_killed():
    endure(drill.kill_leaders, INCREMENTS, LEADER_KILLS)


@alone
@limit(120)
def test_each_increment_counts_once_while_all_nodes_are_killed_at_once():
    endure(drill.kill_everything, RESTARTED_INCREMENTS, CLUSTER_KILLS)


@alone
@limit(120)
def test_each_increment_counts_once_while_logs_are_cut_behind_snapshots():
    endure(drill.kill_leaders, INCREMENTS, LEADER_KILLS, ["--snapshot-bytes", "65536"])
