# SPDX-License-Identifier: LGPL-2.1-or-later
"""Scenarios, their checks and their results."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .machine import Machine


class Stop(Exception):
    """A required check failed: the rest of the scenario makes no sense."""


class Skip(Exception):
    """The scenario does not apply here."""


@dataclass
class Outcome:
    label: str
    passed: bool
    detail: str = ""
    where: str = ""


@dataclass
class Check:
    """Records checks; a failed one does not end the scenario unless it is `require`d."""

    report: Callable[[Outcome], None]
    seed: int = 0  # for scenarios that throw dice; told where they fail
    outcomes: list[Outcome] = field(default_factory=list)

    def _record(self, label: str, passed: bool, detail: str) -> bool:
        frame = sys._getframe(2)
        where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        outcome = Outcome(label, passed, "" if passed else detail, where)
        self.outcomes.append(outcome)
        self.report(outcome)
        return passed

    def __call__(self, label: str, passed: object, detail: object = "") -> bool:
        """PASSED is true. DETAIL (a command's Result, for one) is shown when it is not."""
        return self._record(label, bool(passed), str(detail))

    def require(self, label: str, passed: object, detail: object = "") -> None:
        if not self._record(label, bool(passed), str(detail)):
            raise Stop(label)

    def equal(self, label: str, got: object, wanted: object, detail: object = "") -> bool:
        return self._record(label, got == wanted, f"got    {got!r}\nwanted {wanted!r}\n{detail}")

    def contains(self, label: str, text: str, wanted: str) -> bool:
        return self._record(label, wanted in text, f"wanted {wanted!r} in:\n{text}")

    def absent(self, label: str, text: str, unwanted: str) -> bool:
        return self._record(label, unwanted not in text, f"did not want {unwanted!r} in:\n{text}")

    def matches(self, label: str, text: str, pattern: str) -> bool:
        return self._record(label, re.search(pattern, text, re.M) is not None, f"wanted /{pattern}/ in:\n{text}")

    def below(self, label: str, got: float, limit: float) -> bool:
        return self._record(label, got < limit, f"got {got:g}, limit {limit:g}")

    def skip(self, reason: str) -> None:
        raise Skip(reason)


Body = Callable[["Machine", Check], None]


@dataclass(frozen=True)
class Scenario:
    name: str  # FILE/FUNCTION
    title: str
    tags: frozenset[str]
    body: Body
    boot: bool
    cmdline: str
    hardware: dict[str, object]
    needs_install: bool
    image: str
    cold: bool
    long: bool


REGISTRY: list[Scenario] = []


def scenario(
    title: str,
    *,
    tags: Iterable[str] = ("default",),
    boot: bool = True,
    cmdline: str = "",
    needs_install: bool = True,
    image: str = "base",
    cold: bool = False,
    long: bool = False,
    **hardware: object,
) -> Callable[[Body], Body]:
    """
    Registers a scenario: a function of a machine and a check.

    The machine is booted already unless BOOT is false. CMDLINE adds kernel command line words; HARDWARE are fields of
    qemu.Hardware. NEEDS_INSTALL false: runs without livepatchd in the image. IMAGE is one of suites.KINDS.

    A booted machine is one that was saved after its boot, which is the same for every scenario; COLD true, a CMDLINE or
    HARDWARE make it boot for this scenario. What comes after - reboot(), start() - is always a real boot.

    LONG: takes minutes. It is begun before others, so that in the end no processor waits for it.

    Tags: `core` (every suite), `default` (CI), `slow` (only by name or --tag). `core` implies `default`.
    """

    def register(body: Body) -> Body:
        wanted = frozenset(tags) | ({"default"} if "core" in tags else set())
        name = f"{Path(body.__code__.co_filename).stem}/{body.__name__}"
        REGISTRY.append(Scenario(name, title, wanted, body, boot, cmdline, dict(hardware), needs_install, image, cold, long))
        return body

    return register
