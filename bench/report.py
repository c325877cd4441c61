"""The figures of a run as tables and as a plot."""
import statistics

from figures import spread
from plot import bars

HEAD = ("| work | system | by | ops/s (min..max) | MiniKV is | p50 ms | p90 | p99 | p99.9 |"
        " servers' CPU µs/op | generator's | resident MiB |")
RULE = "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"


def cell(value, form, scale=1.0):
    return "–" if value is None else form.format(value * scale)


def work_line(figures, work, system, way, own):
    def of(field):
        return figures.median(system, work, field, way)
    ratios = figures.ratios("ops_s", (own, work), (system, work)) if system != own else []
    ratio = f"{statistics.median(ratios):.2f} ×" if ratios else ""
    latencies = [cell(of(f), "{:.2f}", 1e-3) for f in ("p50_us", "p90_us", "p99_us", "p999_us")]
    return (f"| {work} | {system} | {way} | "
            + spread(figures.turns(system, work, "ops_s", way).values()) + f" | {ratio} | "
            + " | ".join(latencies) + f" | {cell(of('server_cpu_us'), '{:.1f}')} | "
            f"{cell(of('client_cpu_us'), '{:.1f}')} | {cell(of('resident_mib'), '{:.0f}')} |")


def load_table(figures, own="MiniKV"):
    """A line for each system and work; ratios are medians of the turns' own ratios."""
    lines = [HEAD, RULE]
    for work in figures.works():
        for system in figures.systems():
            way = figures.best_way(system, work)
            if way is not None:
                lines.append(work_line(figures, work, system, way, own))
    return "\n".join(lines)


def check_table(figures):
    """What wrk says beside the own generator; "" when it was not asked."""
    lines = ["| work | system | own generator /s | wrk /s | p99 ms | wrk's | generator's CPU µs/op"
             " | wrk's |", "|---|---|--:|--:|--:|--:|--:|--:|"]
    for work in figures.works():
        for system in figures.systems():
            if not figures.turns(system, work, "ops_s", "wrk"):
                continue
            turns = figures.turns(system, work, "ops_s", "wrk")
            cells = []
            for field, form, scale in (("ops_s", "{:,.0f}", 1), ("p99_us", "{:.2f}", 1e-3),
                                       ("client_cpu_us", "{:.1f}", 1)):
                for way in ("http", "wrk"):
                    values = [v for turn, v in figures.turns(system, work, field, way).items()
                              if turn in turns]
                    cells.append(cell(statistics.median(values) if values else None, form, scale))
            lines.append(f"| {work} | {system} | " + " | ".join(cells) + " |")
    return "\n".join(lines) if len(lines) > 2 else ""


def draw(figures, path):
    groups = {}
    for work in figures.works():
        groups[work] = {s: list(figures.turns(s, work, "ops_s").values())
                        for s in figures.systems()}
        groups[work] = {s: values for s, values in groups[work].items() if values}
    bars(path, "operations per second (median, smallest and largest turn)", groups)
