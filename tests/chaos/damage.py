"""Damage to files at rest: a bit that flips, an end that is gone.

Left alone is what no program can tell from a write that was never finished: the last frame of the log, as
long as no seal follows it (docs/formats/wal.md, "Recovery").
"""
import glob
import os
import re
import subprocess

from cluster import clean_environment, program


def ends_of_log(segment):
    """(where the last frame begins, where the log ends, whether that frame is a seal); None: unknown."""
    told = subprocess.run([program("minikv-inspect"), "wal", segment], capture_output=True, text=True,
                          env=clean_environment()).stdout
    frames = re.findall(r"^ *(\d+)  frame .*?(\(seal\))?$", told, re.MULTILINE)
    end = re.search(r"^ *(\d+)  end", told, re.MULTILINE)
    if not frames or not end:
        return None
    return int(frames[-1][0]), int(end.group(1)), bool(frames[-1][1])


def ranges(node):
    """[(path, first, end, may be cut)]: where a change must be noticed, or do no harm."""
    found = [(os.path.join(node.data, "meta"), True)]
    found += [(p, True) for p in glob.glob(os.path.join(node.data, "snap", "*.snap"))]
    segments = sorted(glob.glob(os.path.join(node.data, "wal", "*.log")))
    found += [(p, True) for p in segments[:-1]]
    whole = [(p, 0, os.path.getsize(p), cut) for p, cut in found if os.path.exists(p)]
    if segments and (ends := ends_of_log(segments[-1])):
        last, end, is_seal = ends
        whole.append((segments[-1], 0, end if is_seal else last, False))
    return [r for r in whole if r[2] > r[1]]


def damage(node, way, random):
    """Returns what was done, None if there was nothing to do it to."""
    usable = [r for r in ranges(node) if r[3] or way == "flip"]
    if not usable:
        return None
    path, first, end, _ = random.choice(usable)
    at = random.randrange(first, end)
    with open(path, "r+b") as file:
        if way == "truncate":
            file.truncate(at)
        else:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 1 << random.randrange(8)]))
    return f"{way} at {at} of {os.path.relpath(path, node.data)}"
