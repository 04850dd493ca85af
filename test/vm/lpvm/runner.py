# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs scenarios, each on a machine of its own, and tells what happened."""

from __future__ import annotations

import fnmatch
import importlib.util
import shutil
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .agent import GuestGone, GuestTimeout
from .check import REGISTRY, Check, Outcome, Scenario, Skip, Stop
from .image import Image
from .machine import CommandFailed, Machine
from .qemu import Hardware

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"
CONSOLE_LINES = 40


@dataclass
class Totals:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def load(directory: Path = SCENARIOS) -> list[Scenario]:
    for file in sorted(directory.glob("*.py")):
        spec = importlib.util.spec_from_file_location(file.stem.replace("-", "_"), file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses and typing look there
        spec.loader.exec_module(module)
    return REGISTRY


def select(scenarios: list[Scenario], names: list[str], tag: str | None, installed: bool) -> list[Scenario]:
    """By name (FILE, FILE/FUNCTION, FUNCTION, or a glob of these), else by tag, else all of `default` that are not `slow`."""

    def named(s: Scenario, name: str) -> bool:
        parts = (s.name, *s.name.split("/"))
        return any(fnmatch.fnmatch(part, name.removesuffix(".py")) for part in parts)

    if names:
        for name in names:
            if not any(named(s, name) for s in scenarios):
                raise SystemExit(f"no scenario {name!r}; --list shows them")
        return [s for s in scenarios if any(named(s, name) for name in names)]
    if tag:
        chosen = [s for s in scenarios if tag in s.tags]
    else:
        chosen = [s for s in scenarios if "default" in s.tags and "slow" not in s.tags]
    return [s for s in chosen if installed or not s.needs_install]


class Runner:
    """IMAGES by kind; all of the same suite."""

    def __init__(
        self, images: dict[str, Image], run_dir: Path, hardware: Hardware, *, jobs: int, keep: bool, installed: bool, seed: int
    ) -> None:
        self.images = images
        self.run_dir = run_dir
        self.hardware = hardware
        self.jobs = jobs
        self.keep = keep
        self.installed = installed
        self.seed = seed
        self.totals = Totals()
        self._lock = threading.Lock()

    def run(self, scenarios: list[Scenario]) -> Totals:
        with ThreadPoolExecutor(self.jobs) as pool:
            for done in [pool.submit(self._one, s) for s in sorted(scenarios, key=lambda s: not s.long)]:
                done.result()
        if self.run_dir.exists() and not any(self.run_dir.iterdir()):
            self.run_dir.rmdir()
        return self.totals

    def _one(self, s: Scenario) -> None:
        lines: list[str] = []
        live = self.jobs == 1
        start = time.monotonic()

        def say(text: str) -> None:
            if live:
                print(text, flush=True)
            else:
                lines.append(text)

        def report(outcome: Outcome) -> None:
            say(f"  {'ok  ' if outcome.passed else 'FAIL'} {outcome.label}")
            if not outcome.passed:
                say(_indent(f"at {outcome.where}\n{_shortened(outcome.detail)}".rstrip()))

        say(f"[{self.images[s.image].suite}] {s.name}: {s.title}")
        check = Check(report, self.seed)
        skipped = ""
        if s.needs_install and not self.installed:
            skipped = "livepatchd is not in the image"
        else:
            skipped = self._run_body(s, check, say)
        failed = [o for o in check.outcomes if not o.passed]
        if skipped:
            say(f"  skip {skipped}")
        say(f"  {time.monotonic() - start:.1f} s")
        with self._lock:
            self.totals.passed += len(check.outcomes) - len(failed)
            self.totals.failed += len(failed)
            self.totals.skipped += bool(skipped)
            if lines:
                print("\n".join(lines), flush=True)

    def _run_body(self, s: Scenario, check: Check, say: object) -> str:
        """Returns why it was skipped, if it was."""
        assert callable(say)
        directory = self.run_dir / s.name.replace("/", ".")
        if directory.exists():
            shutil.rmtree(directory)
        vm = Machine(self.images[s.image], directory, self.hardware)
        try:
            self._power_on(vm, s)
            s.body(vm, check)
        except Skip as reason:
            return str(reason) or "not applicable"
        except Stop:
            pass
        except (GuestGone, GuestTimeout, CommandFailed) as error:
            check(f"{type(error).__name__} does not occur", False, f"{error}\n{_scenario_lines(s)}")
        except Exception:
            check("the scenario itself does not fail", False, traceback.format_exc())
        finally:
            failed = any(not o.passed for o in check.outcomes)
            if failed:
                say(_indent(_console(vm)))
            vm.close(keep=self.keep)
            if not failed and not self.keep:
                shutil.rmtree(directory, ignore_errors=True)
        return ""

    @staticmethod
    def _power_on(vm: Machine, s: Scenario) -> None:
        if s.boot and vm.image.warm and not (s.cold or s.cmdline or s.hardware):
            vm.start_warm()
        elif s.boot:
            vm.start(s.cmdline, **s.hardware)
        else:  # it powers on by itself, with what its declaration says
            vm.cmdline_extra = s.cmdline
            vm.hardware = Hardware(**{**vars(vm.hardware), **s.hardware})


def _scenario_lines(s: Scenario) -> str:
    """Where in the scenario the error being handled came from."""
    file = s.body.__code__.co_filename
    frames = [f for f in traceback.extract_tb(sys.exc_info()[2]) if f.filename == file]
    return "\n".join(f"at {Path(file).name}:{f.lineno}: {f.line}" for f in frames)


def _console(vm: Machine) -> str:
    tail = vm.console.splitlines()[-CONSOLE_LINES:]
    return "\n".join([f"console of boot {vm.boots} ({vm.directory}):", *tail])


def _shortened(text: str) -> str:
    lines = [line if len(line) <= 400 else f"{line[:400]}... ({len(line)} characters)" for line in text.splitlines()]
    return "\n".join([*lines[:60], "..."] if len(lines) > 60 else lines)


def _indent(text: str) -> str:
    return "\n".join("       " + line for line in text.splitlines())
