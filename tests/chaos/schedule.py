"""What happens when: a row of blows, drawn from a seed before anything runs.

The same seed, options and number of nodes give the same schedule. A blow names its victim by a number
between 0 and 1, or as the leader: which node that is shows when its time has come.
"""
import random

PARTITIONS = ("one-way", "isolated", "halves", "ring", "bridge", "chain", "flapping")
LINKS = ("delay", "reset", "stall", "trickle")
DISK = ("sync-error", "write-error", "short-writes", "slow-sync", "full")
DAMAGE = ("flip", "truncate")

# kind: (faults, as --faults names them and the summary counts; weight; seconds; ways)
KINDS = {
    "kill-one": ("kill", 26, (0.0, 0.5), ("",)),
    "kill-majority": ("kill", 5, (0.0, 0.4), ("",)),
    "kill-all": ("kill", 4, (0.0, 0.2), ("",)),
    "stop": ("stop", 17, (0.1, 1.5), ("",)),
    "partition": ("partition", 17, (0.2, 1.5), PARTITIONS),
    "power-one": ("power", 8, (0.0, 0.5), ("all", "sectors", "torn")),
    "power-all": ("power", 5, (0.0, 0.2), ("all", "sectors", "torn")),
    "disk": ("disk", 9, (0.2, 1.0), DISK),
    "peers": ("peers", 4, (0.3, 1.5), LINKS),
    "clients": ("clients", 4, (0.3, 1.0), LINKS),
    "clock": ("clock", 2, (0.5, 3.0), ("forward", "back")),
    "descriptors": ("descriptors", 2, (0.3, 1.0), ("",)),
    "memory": ("memory", 1, (0.2, 0.6), ("",)),
    "cpu": ("cpu", 2, (0.5, 1.5), ("flicker", "busy")),
    "damage": ("damage", 2, (0.0, 0.2), DAMAGE),
    "members": ("members", 1.5, (0.0, 0.2), ("",)),
}
FAULTS = tuple(dict.fromkeys(k[0] for k in KINDS.values()))
LEADER_SHARE = 0.4
RELAYED = ("peers",)  # faults that take relays between nodes


class Blow:
    def __init__(self, at, kind, way, seconds, victim, salt):
        self.at, self.kind, self.way, self.seconds = at, kind, way, seconds
        self.victim = victim  # a number, or "leader"
        self.salt = salt      # seed of what is chosen beyond that
        self.faults = KINDS[kind][0]

    def random(self):
        return random.Random(self.salt)

    def __str__(self):
        victim = self.victim if self.victim == "leader" else f"{self.victim:.3f}"
        return (f"{self.at:7.2f} s  {self.kind:13} {self.way:11} for {self.seconds:.2f} s  "
                f"victim {victim}  salt {self.salt}")


def draw(seed, seconds, pause, faults, is_relayed):
    """The blows of `seconds`, one every `pause` seconds in the mean; `faults` None: of all kinds."""
    source = random.Random(f"chaos {seed}")
    kinds = [k for k, (fault, *_) in KINDS.items() if (not faults or fault in faults)
             and (is_relayed or fault not in RELAYED)]
    weights = [KINDS[k][1] for k in kinds]
    blows, at = [], 0.0
    while kinds:
        at += source.uniform(0, 2 * pause)
        if at >= seconds:
            break
        kind = source.choices(kinds, weights)[0]
        _, _, lasts, ways = KINDS[kind]
        is_leader = source.random() < LEADER_SHARE
        victim = source.random()
        blows.append(Blow(at, kind, source.choice(ways), source.uniform(*lasts),
                          "leader" if is_leader else victim, source.randrange(2**31)))
    return blows
