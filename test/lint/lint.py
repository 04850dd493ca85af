# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the checks share: a report in TAP, and comparing two sides of one thing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path


class Report:
    """Collects checks and prints them as TAP (testanything.org), which meson reads."""

    def __init__(self) -> None:
        self.count = 0
        self.failed = 0

    def check(self, name: str, problems: Iterable[str]) -> None:
        """One check, which passes if there are no problems."""
        problems = list(problems)
        self.count += 1
        self.failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {self.count} - {name}")
        for problem in problems:
            print(f"# {problem}")

    def finish(self) -> int:
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed or not self.count else 0


def compare(one: str, left: Iterable[str], other: str, right: Iterable[str]) -> list[str]:
    """What is on one side only. An empty side is a problem of its own: then nothing was compared."""
    left, right = set(left), set(right)
    problems = [f"nothing found in {name}" for name, side in ((one, left), (other, right)) if not side]
    problems += [f"{item}: in {one}, not in {other}" for item in sorted(left - right)]
    problems += [f"{item}: in {other}, not in {one}" for item in sorted(right - left)]
    return problems


def man_section(text: str, *path: str) -> str:
    """The text below a heading of a scdoc page, and below a heading of second level in it if there are two."""
    for level, title in enumerate(path, start=1):
        mark = "#" * level
        match = re.search(rf"^{mark} {re.escape(title)}\n(.*?)(?=^#{{1,{level}}} |\Z)", text, re.M | re.S)
        if not match:
            return ""
        text = match[1]
    return text


def man_terms(section: str) -> list[str]:
    """The lines that introduce an entry: not indented, followed by an indented one."""
    return re.findall(r"^(?=[*_])(.+)\n(?=\t)", section, re.M)


def read(root: Path, path: str) -> str:
    return (root / path).read_text(encoding="utf-8")
