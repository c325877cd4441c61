"""What was measured: records of load runs, and facts (single numbers), of one run or several.

A record is one Work on one system in one way in one turn. Systems are compared within a turn, where
the machine was the same for both, and the median of the turns' ratios is what counts.
"""
import json
import statistics


class Figures:
    def __init__(self):
        self.records = []
        self.facts = []
        self.about = {}

    def add(self, turn, work, system, way, result):
        self.records.append({"turn": turn, "work": work, "system": system, "way": way, **result})

    def add_fact(self, name, system, values):
        self.facts.append({"fact": name, "system": system, "values": list(values)})

    # ---- files ----

    def write(self, path):
        with open(path, "w") as file:
            json.dump({"about": self.about, "facts": self.facts, "records": self.records}, file,
                      indent=1)

    def join(self, path):
        """Takes the turns and facts of an earlier run as turns of this one."""
        with open(path) as file:
            other = json.load(file)
        offset = 1 + max((r["turn"] for r in self.records), default=-1)
        self.records += [{**r, "turn": r["turn"] + offset} for r in other["records"]]
        self.facts += other["facts"]
        self.about.setdefault("joined", []).append(other["about"])

    # ---- questions ----

    def systems(self):
        return list(dict.fromkeys(r["system"] for r in self.records))

    def works(self):
        return list(dict.fromkeys(r["work"] for r in self.records))

    def best_way(self, system, work):
        """The way with the highest median rate; wrk only checks. None: never measured."""
        rates = {}
        for r in self.records:
            if r["system"] == system and r["work"] == work and r["way"] != "wrk":
                rates.setdefault(r["way"], []).append(r["ops_s"])
        return max(rates, key=lambda way: statistics.median(rates[way])) if rates else None

    def turns(self, system, work, field, way=None):
        """{turn: value} of the best way, or of `way`."""
        way = way or self.best_way(system, work)
        return {r["turn"]: r[field] for r in self.records
                if (r["system"], r["work"], r["way"]) == (system, work, way)
                and r.get(field) is not None}

    def median(self, system, work, field, way=None):
        values = self.turns(system, work, field, way).values()
        return statistics.median(values) if values else None

    def ratios(self, field, above, below):
        """[above / below] of the turns that have both; each is (system, work)."""
        over, under = self.turns(*above, field), self.turns(*below, field)
        return [over[t] / under[t] for t in over if under.get(t)]

    def fact(self, name, system):
        """All values of that name."""
        return [v for f in self.facts if f["fact"] == name and f["system"] == system
                for v in f["values"]]


def spread(values, form="{:,.0f}"):
    """median (min..max)"""
    values = list(values)
    text = form.format(statistics.median(values))
    smallest, largest = form.format(min(values)), form.format(max(values))
    if smallest != largest:
        text += f" ({smallest}..{largest})"
    return text
