"""What the checks share: the files of the tree, C without its comments, and how a check ends."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def files(*patterns):
    """Files known to git or new, but not ignored; paths relative to the root, sorted."""
    listed = subprocess.run(
        ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', *patterns],
        cwd=ROOT, check=True, capture_output=True).stdout
    names = sorted(set(listed.decode().split('\0')) - {''})
    return [pathlib.Path(name) for name in names if (ROOT / name).is_file()]


def read(path):
    return (ROOT / path).read_text(encoding='utf-8')


def code_only(text, keep_strings=False):
    """C source with comments (and texts) blanked out; every line stays where it is."""
    def blank(match):
        token = match.group()
        if token[0] in '"\'':
            return token if keep_strings else token[0] + ' ' * (len(token) - 2) + token[0]
        return re.sub(r'[^\n]', ' ', token)
    return TOKEN.sub(blank, text)


def finish(name, problems, warnings=(), note=''):
    """Prints what is wrong, or ok, and ends the process."""
    for line in warnings:
        print(f'{name}: warning: {line}')
    for line in problems:
        print(f'{name}: {line}')
    if not problems:
        print(f'{name}: ok{note and " (" + note + ")"}')
    sys.exit(1 if problems else 0)
