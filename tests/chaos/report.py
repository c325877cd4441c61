"""What a run came to: one table, and a picture of faults and of what clients felt."""
from xml.sax.saxutils import escape

from .clients import ACKNOWLEDGED, REFUSED, UNKNOWN
from .schedule import FAULTS, KINDS

UNKNOWN_PERCENT_MAX = 5.0
WIDTH, LEFT, RIGHT, ROW = 1400, 120, 20, 14
PLOT_HEIGHT, GAP = 150, 46
PERCENTILES = ((0.5, "#0b6e99"), (0.99, "#d9730d"))
FAULT_COLOUR, QUIET_COLOUR, TEXT = "#b03060", "#eef4ee", 'font-family="sans-serif"'


def by_fault(campaign):
    """{fault: {way: count}}, in the order of the schedule."""
    found = {fault: {} for fault in FAULTS}
    for (kind, way), count in campaign.counts.items():
        name = way or kind
        if way and kind != KINDS[kind][0]:
            name = f"{kind} {way}"
        found[KINDS[kind][0]][name] = count
    return {fault: ways for fault, ways in found.items() if ways}


def outcomes(samples):
    """{outcome: count}, writes' unknown percentage."""
    counts = {outcome: 0 for outcome in (ACKNOWLEDGED, REFUSED, UNKNOWN)}
    writes = 0
    for _, _, outcome, is_write in samples:
        counts[outcome] += 1
        writes += is_write
    return counts, 100.0 * counts[UNKNOWN] / max(writes, 1)


def longest_silence(campaign):
    """The longest time without an acknowledged operation."""
    ends = sorted(s[0] for s in campaign.samples if s[2] == ACKNOWLEDGED)
    spans = []
    for begin, end in zip([0.0] + campaign.quiet[1::2], campaign.quiet[0::2]):
        inside = [t for t in ends if begin <= t <= end]
        spans += [b - a for a, b in zip(inside, inside[1:])]
    return max(spans, default=0.0)


def is_unknown_ok(campaign):
    return outcomes(campaign.samples)[1] < UNKNOWN_PERCENT_MAX


def table(campaign, seconds):
    counts, percent = outcomes(campaign.samples)
    rows = [("fault", "times", "of which")]
    for fault, ways in by_fault(campaign).items():
        more = ", ".join(f"{count} {way}" for way, count in sorted(ways.items()))
        rows.append((fault, str(sum(ways.values())), more))
    lines = [f"{a:12} {b:>6}  {c}".rstrip() for a, b, c in rows]
    total = sum(counts.values())
    at_once = sum(count for (kind, _), count in campaign.counts.items() if kind == "power-all")
    surgery = ", ".join(f"{count} {what}" for what, count in campaign.surgery.items())
    lines += [
        "",
        f"processes    {campaign.nodes_killed} ended with kill -9 beside power cuts, "
        f"{len(campaign.ended)} by themselves",
        f"power        {at_once} cuts of all nodes at once; {campaign.undone_writes} writes that were not "
        "synced were undone",
        f"surgery      {surgery}",
        f"clusters     {campaign.clusters}, {campaign.rounds} rounds, {seconds:.0f} s",
        "",
        f"operations   {total}: {counts[ACKNOWLEDGED]} acknowledged, {counts[REFUSED]} refused, "
        f"{counts[UNKNOWN]} unknown ({percent:.2f} % of the writes)",
        f"lost         {campaign.lost}",
        f"doubled      {campaign.doubled}",
        f"unavailable  {longest_silence(campaign):.2f} s at most, between two acknowledged operations",
        f"violations   {len(campaign.violations)}",
    ]
    if campaign.unmodelled:
        lines.append(f"warning: {campaign.unmodelled} file operations that a power cut could not undo")
    return "\n".join(lines)


# ---- the picture ----

def _text(x, y, content, size=11, anchor="start"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" {TEXT} font-size="{size}" '
            f'text-anchor="{anchor}">{escape(str(content))}</text>')


def _steps(points, colour):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1"/>'


def _bins(samples, seconds):
    """[[seconds of each acknowledged operation]], one for each second, and how many were not."""
    answered = [[] for _ in range(int(seconds) + 1)]
    failed = [0] * (int(seconds) + 1)
    for end, took, outcome, _ in samples:
        at = min(int(end), len(failed) - 1)
        if outcome == ACKNOWLEDGED:
            answered[at].append(took)
        else:
            failed[at] += 1
    return answered, failed


class Picture:
    def __init__(self, campaign, seconds):
        self.campaign, self.seconds = campaign, max(seconds, 1.0)
        self.elements, self.y = [], 60

    def x(self, at):
        return LEFT + (WIDTH - LEFT - RIGHT) * at / self.seconds

    def faults(self):
        kinds = [k for k in KINDS if any(kind == k for _, kind in self.campaign.struck)]
        for kind in kinds:
            self.elements.append(_text(LEFT - 8, self.y + ROW - 3, kind, 10, "end"))
            for at, struck in self.campaign.struck:
                if struck == kind:
                    self.elements.append(
                        f'<rect x="{self.x(at):.1f}" y="{self.y + 2}" width="1.5" '
                        f'height="{ROW - 4}" fill="{FAULT_COLOUR}"/>')
            self.y += ROW
        self.y += GAP

    def frame(self, title, top_label):
        self.elements.append(_text(LEFT, self.y - 8, title, 12))
        self.elements.append(_text(LEFT - 8, self.y + 10, top_label, 10, "end"))
        self.elements.append(_text(LEFT - 8, self.y + PLOT_HEIGHT, "0", 10, "end"))
        self.elements.append(f'<line x1="{LEFT}" y1="{self.y + PLOT_HEIGHT}" x2="{WIDTH - RIGHT}" '
                             f'y2="{self.y + PLOT_HEIGHT}" stroke="black"/>')

    def curve(self, values, top, colour):
        self.elements.append(_steps(
            [(self.x(i + 0.5), self.y + PLOT_HEIGHT * (1 - min(v, top) / top))
             for i, v in enumerate(values) if i + 0.5 <= self.seconds], colour))

    def draw(self):
        answered, failed = _bins(self.campaign.samples, self.seconds)
        self.faults()
        top = max(max(map(len, answered)), 1)
        self.frame("acknowledged operations in each second; not acknowledged", top)
        self.curve([len(a) for a in answered], top, "#448361")
        self.curve(failed, top, FAULT_COLOUR)
        self.y += PLOT_HEIGHT + GAP
        self.frame("latency of what was acknowledged: median and 99th percentile", "1 s")
        for share, colour in PERCENTILES:
            self.curve([sorted(a)[int(share * (len(a) - 1))] if a else 0.0 for a in answered],
                       1.0, colour)
        self.y += PLOT_HEIGHT + GAP

    def axis(self):
        step = next(s for s in (1, 2, 5, 10, 30, 60, 120, 300, 600, 3600)
                    if self.seconds / s <= 30 or s == 3600)
        for at in range(0, int(self.seconds) + 1, step):
            self.elements.append(_text(self.x(at), self.y - GAP / 2, f"{at} s", 10, "middle"))
        rests = zip(self.campaign.quiet[0::2], self.campaign.quiet[1::2])
        return [f'<rect x="{self.x(a):.1f}" y="50" width="{self.x(b) - self.x(a):.1f}" '
                f'height="{self.y - 50 - GAP}" fill="{QUIET_COLOUR}"/>' for a, b in rests]


def draw(path, campaign, seconds):
    picture = Picture(campaign, seconds)
    picture.draw()
    behind = picture.axis()
    title = f"chaos, seed {campaign.options.seed}: faults and what clients felt (green: at rest)"
    with open(path, "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{picture.y}" '
                   f'viewBox="0 0 {WIDTH} {picture.y}">\n'
                   f'<rect width="100%" height="100%" fill="white"/>\n'
                   + "\n".join(behind + [_text(LEFT, 30, title, 15)] + picture.elements)
                   + "\n</svg>\n")
