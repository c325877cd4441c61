#!/usr/bin/env python3
"""libminikv exports what its headers declare and nothing else, and refers to nothing that ends the
process or prints: symbols.py SHARED STATIC HEADER…"""

import re
import subprocess
import sys

FATAL = re.compile(r'(abort|_?exit|quick_exit|check_failed|mem_\w+|buf_\w+|diag\w*|__assert_fail'
                   r'|v?f?printf|__v?f?printf_chk|puts|putchar|fputs|fputc|fwrite|perror'
                   r'|stdout|stderr)$')


def nm(*arguments):
    text = subprocess.run(['nm', *arguments], check=True, text=True, capture_output=True).stdout
    return {line.split()[-1].split('@')[0] for line in text.splitlines() if len(line.split()) > 1}


shared, static, *headers = sys.argv[1:]
declared = set()
for header in headers:
    with open(header, encoding='utf-8') as file:
        declared |= set(re.findall(r'^MINIKV_API [^(;]*?(\w+)\(', file.read(), re.MULTILINE))

problems = []
for name, exported, used in [
        (shared, nm('-D', '--defined-only', shared), nm('-D', '-u', shared)),
        (static, nm('-g', '--defined-only', static), nm('-u', static))]:
    problems += [f'{name} exports {symbol}' for symbol in sorted(exported - declared)]
    problems += [f'{name} lacks {symbol}' for symbol in sorted(declared - exported)]
    problems += [f'{name} refers to {symbol}' for symbol in sorted(used) if FATAL.match(symbol)]
if len(declared) < 15:
    problems.append(f'only {len(declared)} declarations were found')
for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)
