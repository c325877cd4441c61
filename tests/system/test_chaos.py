"""script/chaos in short, and lies planted to see that it notices."""
import os
import random
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))

from chaos import schedule  # noqa: E402
from chaos.campaign import Options  # noqa: E402
from chaos.clients import value_of  # noqa: E402
from chaos.disk import Disk  # noqa: E402
from chaos.faults import broken_by  # noqa: E402
from chaos.judge import judge_counter, judge_history, judge_puts, judge_watch  # noqa: E402
from chaos.world import World, library  # noqa: E402
from cluster import build_directory, eventually  # noqa: E402
from http_client import APPLIED, MAYBE, NONE  # noqa: E402
from lincheck import NEVER, UNKNOWN, Operation  # noqa: E402
from testing import OutOfTime, limit, promise, report  # noqa: E402

CHAOS = os.path.join(HERE, "..", "..", "script", "chaos")
SLOW_WORDS = ("not within", "not answer in time", "no answer any more", "does not come to an end",
              "not decided")


def run_chaos(*options):
    """Runs it for a moment. A broken promise is none that a second run excuses; being late may be."""
    with tempfile.TemporaryDirectory(prefix="minikv-chaos-") as directory:
        result = subprocess.run([sys.executable, CHAOS, "--out", directory, "--build",
                                 build_directory(), *options], capture_output=True, text=True)
        events = open(os.path.join(directory, "events.log")).read()
        has_picture = os.path.exists(os.path.join(directory, "chaos.svg"))
    wrong = re.findall(r"^VIOLATION .*$", result.stdout, re.MULTILINE)
    if result.returncode != 0:
        print(result.stdout[-6000:], result.stderr[-3000:], events[-6000:], sep="\n")
        if wrong and all(any(w in text for w in SLOW_WORDS) for text in wrong):
            raise OutOfTime("\n".join(wrong))
    promise(not wrong, "\n".join(wrong))
    assert result.returncode == 0 and has_picture, result
    operations = re.search(r"^operations +(.*)$", result.stdout, re.MULTILINE).group(1)
    report(f"{operations}; {re.search(r'clusters .*', result.stdout).group()}")


@limit(240)
def test_promises_hold_while_nodes_are_killed_stopped_cut_off_and_without_power():
    run_chaos("--seed", "8", "--minutes", "0.15", "--round", "8", "--nodes", "3",
              "--faults", "kill,stop,partition,power,clock,cpu")


@limit(240)
def test_promises_hold_while_disks_fail_and_links_stall():
    run_chaos("--seed", "9", "--minutes", "0.1", "--round", "6", "--nodes", "3", "--network", "relays",
              "--faults", "kill,power,disk,peers,clients")


@limit(120)
def test_a_disk_that_lies_about_syncs_loses_acknowledged_writes_in_a_power_cut_and_it_is_noticed():
    for is_lying in (0, 1):
        with tempfile.TemporaryDirectory(prefix="minikv-chaos-") as directory, \
                World(3, "relays", directory) as world:
            world.start(announced=False)
            keys = [f"put-{i}" for i in range(20)]
            for node in world.nodes:
                node.disk.set(is_lying=is_lying)
            for key in keys:
                eventually(lambda k=key: world.leader().put(k, value_of(k)).status == 204,
                           f"{key} is taken")

            world.kill_all()
            for node in world.nodes:
                node.disk.cut_power("all", random.Random(1))
                node.disk.set(is_lying=0)
                node.start()
            world.settle()

            book = {key: APPLIED for key in keys}
            for node in world.nodes:
                held = {k: node.value(k) for k in keys}
                held = {k: v for k, v in held.items() if v is not None}
                lost, wrong, count = judge_puts(book, held, f"node {node.id}")
                assert not wrong, wrong
                if is_lying:
                    assert lost and count == len(keys), (lost, count)
                else:
                    promise(not lost, f"{lost}")


def in_data_directory(disk, statements):
    """Runs some Python whose calls go through the preload, and which then is killed."""
    program = ("import os, signal\n"
               f"d = os.open({disk.data!r}, os.O_RDONLY)\n"
               "def create(name): return os.open(name, os.O_RDWR | os.O_CREAT, 0o600, dir_fd=d)\n"
               f"{statements}\nos.kill(os.getpid(), signal.SIGKILL)\n")
    subprocess.run([sys.executable, "-c", program], env={**os.environ, **disk.environment()})


def after_power_cut(statements, way="all", seed=1, before=""):
    """{name: contents} of a directory in which that was done when the power went."""
    with tempfile.TemporaryDirectory(prefix="minikv-chaos-") as directory:
        data = os.path.join(directory, "data")
        os.mkdir(data)
        disk = Disk(directory, data, library())
        try:
            in_data_directory(disk, (before + "\nos.fsync(d)\n" if before else "") + statements)
            disk.cut_power(way, random.Random(seed))
            assert disk.get("unmodelled_count") == 0
            assert os.listdir(disk.attic) == [] and not disk.unsynced()
        finally:
            disk.close()
        return {name: open(os.path.join(data, name), "rb").read() for name in os.listdir(data)}


SYNCED = "f = create('a')\nos.pwrite(f, b'old' * 1000, 0)\nos.fdatasync(f)"


@limit(120)
def test_a_power_cut_undoes_what_was_not_synced_and_nothing_else():
    assert after_power_cut(SYNCED + "\nos.fsync(d)") == {"a": b"old" * 1000}
    assert after_power_cut(SYNCED) == {}  # the file was synced, its name was not
    assert after_power_cut("f = os.open('a', os.O_RDWR, dir_fd=d)\nos.pwrite(f, b'new', 3)",
                           before=SYNCED) == {"a": b"old" * 1000}
    assert after_power_cut("f = os.open('a', os.O_RDWR, dir_fd=d)\nos.pwrite(f, b'new', 3)\n"
                           "os.fdatasync(f)", before=SYNCED)["a"][:9] == b"oldnewold"
    grown = after_power_cut("f = os.open('a', os.O_RDWR, dir_fd=d)\nos.pwrite(f, b'new', 3000)",
                            before=SYNCED)["a"]
    assert grown in (b"old" * 1000, b"old" * 1000 + b"\0\0\0"), grown[2990:]
    assert after_power_cut("os.unlink('a', dir_fd=d)", before=SYNCED) == {"a": b"old" * 1000}
    assert after_power_cut("os.unlink('a', dir_fd=d)\nos.fsync(d)", before=SYNCED) == {}
    assert after_power_cut("os.rename('a', 'b', src_dir_fd=d, dst_dir_fd=d)", before=SYNCED) \
        == {"a": b"old" * 1000}
    both = SYNCED + "\ng = create('b')\nos.pwrite(g, b'B', 0)\nos.fdatasync(g)"
    assert after_power_cut("os.rename('b', 'a', src_dir_fd=d, dst_dir_fd=d)", before=both) \
        == {"a": b"old" * 1000, "b": b"B"}
    assert after_power_cut("os.rename('b', 'a', src_dir_fd=d, dst_dir_fd=d)\nos.fsync(d)",
                           before=both) == {"a": b"B"}


@limit(120)
def test_a_power_cut_tears_what_was_not_synced_at_sectors():
    before = "f = create('a')\nos.pwrite(f, b'o' * 8192, 0)\nos.fdatasync(f)"
    write = "f = os.open('a', os.O_RDWR, dir_fd=d)\nos.pwrite(f, b'n' * 8192, 0)"
    for way in ("torn", "sectors"):
        kept = [after_power_cut(write, way, seed, before)["a"] for seed in range(4)]
        assert len(set(kept)) > 1, kept
        for data in kept:
            sectors = [data[at:at + 512] for at in range(0, 8192, 512)]
            assert set(sectors) <= {b"o" * 512, b"n" * 512}, data
            if way == "torn":
                assert sectors == sorted(sectors), data  # "n" comes before "o"
    assert after_power_cut(write, "none", 1, before) == {"a": b"n" * 8192}


def test_the_judge_notices_each_lie():
    book = {"a": APPLIED, "b": MAYBE, "c": NONE, "d": MAYBE}
    true = {"a": value_of("a"), "b": value_of("b")}
    assert judge_puts(book, true, "") == ([], [], 0)
    lost, wrong, count = judge_puts(book, {"b": value_of("b")}, "")
    assert lost and not wrong and count == 1
    for lie in ({"c": value_of("c")}, {"e": value_of("e")}, {"a": "another"}):
        lost, wrong, count = judge_puts(book, {**true, **lie}, "")
        assert not lost and len(wrong) == 1, (lie, wrong)

    assert judge_counter([1, 3, 2], 3, "") == ([], 0, 0)
    assert judge_counter([1, 3, 2], 4, "")[1:] == (0, 1)  # one was carried out twice
    assert judge_counter([1, 3, 2], 2, "")[1:] == (1, 0)
    assert judge_counter([1, 2, 2], 3, "")[0]

    assert judge_watch([("2", "a"), ("3.1", "b"), ("3", "c")]) == []
    assert judge_watch([("2", "a"), ("4", "b"), ("3", "c")])
    assert judge_watch([("2", "a"), ("3", "b"), ("4", "b")])

    put, late = Operation("put", 1, True, 0, 1), Operation("put", 2, UNKNOWN, 0, NEVER)
    assert judge_history({"k": [put, late, Operation("get", None, 2, 2, 3)]}) == []
    assert judge_history({"k": [put, late, Operation("get", None, None, 2, 3)]})
    assert judge_history({"k": [put, Operation("get", None, 7, 2, 3)]})


def test_a_seed_draws_one_schedule_and_partitions_break_what_they_say():
    one, same, other = ([str(b) for b in Options(seed, 60).blows_of(0, 0)] for seed in (1, 1, 2))
    assert one == same != other and len(one) > 10
    assert {b.kind for b in schedule.draw(3, 9999, 0.5, [], True)} == set(schedule.KINDS)
    assert not [b for b in schedule.draw(3, 9999, 0.5, [], False) if b.kind == "peers"]

    ids = [3, 1, 5, 2, 4]
    chance = random.Random(1)
    broken = {way: broken_by(way, ids, chance) for way in schedule.PARTITIONS}
    assert len(broken["one-way"]) == 4 and len(broken["isolated"]) == 8
    assert len(broken["halves"]) == 12 and len(broken["ring"]) == 15 and len(broken["chain"]) == 12
    assert not [p for p in broken["bridge"] if 3 in p] and len(broken["bridge"]) == 8
    for way in ("isolated", "halves", "bridge", "chain"):
        assert all((b, a) in broken[way] for a, b in broken[way]), way
