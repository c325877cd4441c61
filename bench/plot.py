"""Plots as SVG, without a library: bars of systems side by side, and curves."""
import math
from xml.sax.saxutils import escape

COLOURS = ("#0b6e99", "#d9730d", "#8f3f97", "#6b6b6b", "#448361", "#b03060")
FONT = 'font-family="sans-serif"'
BAR_HEIGHT, GROUP_GAP, LABEL_WIDTH, BARS_WIDTH = 13, 12, 190, 520
PANEL_WIDTH, PANEL_HEIGHT, MARGIN = 420, 230, 76


def colour(number):
    return COLOURS[number % len(COLOURS)]


def human(value):
    """1234567 as 1.2M: three characters are enough beside a bar."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"


def text(x, y, content, size=11, anchor="start", more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" {FONT} font-size="{size}" text-anchor="{anchor}"'
            f'{more}>{escape(str(content))}</text>')


def document(width, height, elements):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(elements)
            + "\n</svg>\n")


def legend(names, x, y, size=11):
    elements = []
    for number, name in enumerate(names):
        elements.append(f'<rect x="{x}" y="{y - size + 2}" width="{size - 1}" '
                        f'height="{size - 1}" fill="{colour(number)}"/>')
        elements.append(text(x + size + 2, y, name, size))
        x += 2 * size + 6 + 0.55 * size * len(name)
    return elements


def log_range(values):
    """The powers of ten around all positive values."""
    return (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9))


def bars(path, title, groups):
    """groups: {label: {name: [value]}}; a bar is the median, its whisker the smallest and largest.

    The axis is logarithmic: systems differ by more than a factor of ten.
    """
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    every = [v for group in groups.values() for values in group.values() for v in values if v > 0]
    if not every:
        return
    low, high = log_range(every)

    def place(value):
        return LABEL_WIDTH + BARS_WIDTH * (math.log10(value) - low) / max(1, high - low)

    elements = [text(10, 20, title, 14)] + legend(names, 10, 42)
    y = 64
    for power in range(low, high + 1):
        x = place(10 ** power)
        elements.append(text(x, y - 4, human(10 ** power), 9, "middle"))
    top = y
    for label, group in groups.items():
        elements.append(text(LABEL_WIDTH - 8, y + BAR_HEIGHT * (len(group) + 1) / 2, label, 11,
                             "end"))
        for name, values in group.items():
            values = sorted(v for v in values if v > 0)
            if not values:
                continue
            middle = values[len(values) // 2]
            end, centre = place(middle), y + BAR_HEIGHT / 2
            elements.append(f'<rect x="{LABEL_WIDTH}" y="{y + 1:.1f}" width="'
                            f'{max(1.0, end - LABEL_WIDTH):.1f}" height="{BAR_HEIGHT - 2}" '
                            f'fill="{colour(names.index(name))}"/>')
            elements.append(f'<line x1="{place(values[0]):.1f}" y1="{centre:.1f}" '
                            f'x2="{place(values[-1]):.1f}" y2="{centre:.1f}" stroke="black"/>')
            elements.append(text(max(end, place(values[-1])) + 5, y + BAR_HEIGHT - 3,
                                 human(middle), 10))
            y += BAR_HEIGHT
        y += GROUP_GAP
    for power in range(low, high + 1):
        x = place(10 ** power)
        elements.insert(0, f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{y}" '
                           'stroke="#dddddd"/>')
    with open(path, "w") as file:
        file.write(document(LABEL_WIDTH + BARS_WIDTH + 70, y + 10, elements))


def curves(path, title, panels):
    """panels: [{title, x, y, lines: {name: [(x, y)]}}], both axes logarithmic, two in a row."""
    rows = (len(panels) + 1) // 2
    elements = [text(10, 20, title, 14)]
    for number, panel in enumerate(panels):
        left = MARGIN + (number % 2) * (PANEL_WIDTH + MARGIN)
        top = 50 + (number // 2) * (PANEL_HEIGHT + MARGIN)
        elements += _panel(panel, left, top)
    with open(path, "w") as file:
        file.write(document(2 * (PANEL_WIDTH + MARGIN) + 20,
                            50 + rows * (PANEL_HEIGHT + MARGIN), elements))


def _panel(panel, left, top):
    points = [p for line in panel["lines"].values() for p in line if p[0] > 0 and p[1] > 0]
    elements = [text(left, top - 6, panel["title"], 12)]
    if not points:
        return elements
    xs, ys = sorted({p[0] for p in points}), [p[1] for p in points]
    x_low, x_high = math.log10(xs[0]), math.log10(xs[-1])
    y_low, y_high = log_range(ys)

    def at(x, y):
        return (left + PANEL_WIDTH * (math.log10(x) - x_low) / max(1e-9, x_high - x_low),
                top + PANEL_HEIGHT * (1 - (math.log10(y) - y_low) / max(1, y_high - y_low)))

    elements.append(f'<rect x="{left}" y="{top}" width="{PANEL_WIDTH}" height="{PANEL_HEIGHT}" '
                    'fill="none" stroke="#999999"/>')
    for power in range(y_low, y_high + 1):
        y = at(xs[0], 10 ** power)[1]
        elements.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + PANEL_WIDTH}" y2="{y:.1f}" '
                        'stroke="#e5e5e5"/>')
        elements.append(text(left - 4, y + 4, human(10 ** power), 9, "end"))
    for x in xs:
        elements.append(text(at(x, 10 ** y_low)[0], top + PANEL_HEIGHT + 13, human(x), 9,
                             "middle"))
    elements.append(text(left + PANEL_WIDTH / 2, top + PANEL_HEIGHT + 28, panel["x"], 10,
                         "middle"))
    for number, (name, line) in enumerate(panel["lines"].items()):
        line = sorted(p for p in line if p[0] > 0 and p[1] > 0)
        path = " ".join("{:.1f},{:.1f}".format(*at(*p)) for p in line)
        elements.append(f'<polyline points="{path}" fill="none" stroke="{colour(number)}" '
                        'stroke-width="2"/>')
        for p in line:
            x, y = at(*p)
            elements.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour(number)}"/>')
            elements.append(text(x, y - 6, human(p[1]), 9, "middle"))
    return elements + legend(list(panel["lines"]), left, top + PANEL_HEIGHT + 42, 10)
