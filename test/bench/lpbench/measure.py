# SPDX-License-Identifier: LGPL-2.1-or-later
"""Samples of several sides, taken in turns, and the table that compares them."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """One run. OUTSIDE: the part of it that was not spent in the kernel's transitions, where that can be told."""

    seconds: float
    outside: float | None = None


@dataclass
class Side:
    name: str
    measure: Callable[[], Sample]
    samples: list[Sample] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(s.seconds for s in self.samples)

    @property
    def outside(self) -> float | None:
        known = [s.outside for s in self.samples if s.outside is not None]
        return statistics.median(known) if known else None


def duration(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


def take_turns(sides: list[Side], repeat: int) -> None:
    """A B A B ..., so that what changes slowly on a shared machine is the same for all."""
    for _ in range(repeat):
        for side in sides:
            side.samples.append(side.measure())


def table(title: str, sides: list[Side]) -> str:
    """The first side is livepatchd; each other row says how many times its time livepatchd takes."""
    rows: list[tuple[str, ...]] = [("", "median", "spread", "livepatchd takes", "outside transitions")]
    first = sides[0]
    for side in sides:
        seconds = sorted(s.seconds for s in side.samples)
        ratio = "" if side is first else f"{first.median / side.median:.3f} x"
        outside = "" if side.outside is None else duration(side.outside)
        rows.append((side.name, duration(side.median), f"{duration(seconds[0])} .. {duration(seconds[-1])}", ratio, outside))
    if all(side.outside is None for side in sides):
        rows = [row[:4] for row in rows]
    return render(f"{title} ({len(first.samples)} runs each)", rows)


def render(title: str, rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [title]
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def show(text: str) -> None:
    print(f"{text}\n", flush=True)
