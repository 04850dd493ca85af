# SPDX-License-Identifier: LGPL-2.1-or-later
"""The power-cut campaign: a story, a cut at a random instant of a random step, and what the next boot finds.

Everything random about a cut follows from the campaign's seed and the cut's number, so that one cut can be made again.
"""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from .agent import GuestGone, GuestTimeout, Process
from .disk import VolatileDisk
from .image import Image
from .inspection import Findings, inspect
from .machine import CommandFailed, Machine
from .qemu import Hardware
from .stories import POWER_CUT, STORIES, Step, Story

# Steps make 5 to 45 writes, boots about 75, and a step takes up to this long where the machine is not too busy.
STEP_WRITES = (5, 20, 45)
BOOT_WRITES = 100
SECONDS_MAX = 4.0
STEP_TIMEOUT = 120.0
CONSOLE_LINES = 30
# As much of the time to boot as its unit allows: a busy host is no reason to give patches up.
PREPARE = r"""
    install -D -m 644 /opt/pki/signer.pem /etc/livepatch/trusted.d/signer.pem
    mkdir -p /etc/livepatch/livepatch.conf.d
    printf '[Livepatch]\nSettleTimeSec=%s\nBootTimeoutSec=100s\n' > /etc/livepatch/livepatch.conf.d/50-campaign.conf
    systemctl stop livepatchd.service
    sync
"""


class FragileMachine(Machine):
    """A machine on a disk that loses what was not flushed."""

    storage: VolatileDisk | None = None

    def __init__(self, image: Image, directory: Path, hardware: Hardware, rng: random.Random) -> None:
        self._rng = rng
        super().__init__(image, directory, hardware)

    def _overlay(self, base: Path, base_format: str) -> None:
        self._discard()
        self.storage = VolatileDisk(base, base_format, self.directory)

    def _discard(self) -> None:
        if self.storage:
            self.storage.close()
            self.storage = None

    @property
    def drive(self) -> str:
        assert self.storage
        return self.storage.drive

    def power_cut(self) -> None:
        """Pulls the plug: each block written since the last flush survives, or does not."""
        assert self.storage
        self.storage.freeze()
        super().power_cut()
        self.lost = self.storage.thaw(self._rng, self._rng.choice((0.0, 0.5, 0.5, 1.0)))

    lost = (0, 0)  # by the last cut: blocks that survived, and how many there were

    def close(self, keep: bool = False) -> None:
        super().close(keep)
        self._discard()


@dataclass(frozen=True)
class Plan:
    """One cut: in which step, and when."""

    seed: int
    number: int
    story: Story
    at: int  # index of the step
    writes: int  # after so many writes of the step; 0: by the clock
    seconds: float  # after so long, or after the step's end if there are no more WRITES
    again: int  # writes of the boot after it, after which power is lost again; 0: it is not

    @property
    def step(self) -> Step:
        return self.story.steps[self.at]

    def __str__(self) -> str:
        when = f"after {self.writes} writes" if self.writes else f"after {self.seconds:.2f} s"
        boot = f", and again after {self.again} writes of the boot" if self.again else ""
        return f"cut {self.number} of seed {self.seed}: story {self.story.name}, step {self.at + 1}, {when}{boot}"


def stories_named(name: str | None) -> list[Story]:
    """One, or all."""
    return [s for s in STORIES if name in (None, s.name)]


def count_steps(story: str | None) -> int:
    return sum(len(s.steps) for s in stories_named(story))


def plan(seed: int, number: int, story: str | None = None) -> Plan:
    rng = random.Random(f"{seed}/{number}")
    stories = stories_named(story)
    first = random.Random(seed).randrange(len(stories))
    chosen = stories[(first + number) % len(stories)]  # each in turn, so that few cuts see many stories
    at = rng.randrange(len(chosen.steps))
    by_writes = rng.random() < 0.75
    return Plan(
        seed, number, chosen, at,
        writes=rng.randint(1, rng.choice(STEP_WRITES)) if by_writes else 0,
        seconds=rng.choice((0.0, 0.3)) if by_writes else rng.uniform(0.0, SECONDS_MAX),
        again=rng.randint(1, BOOT_WRITES) if rng.random() < 0.2 else 0,
    )  # fmt: skip


@dataclass
class Outcome:
    plan: Plan
    told: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        return "\n".join([str(self.plan), *(f"    {line}" for line in self.told), *(f"  ! {line}" for line in self.problems)])


def cut(image: Image, directory: Path, hardware: Hardware, what: Plan) -> Outcome:
    """Makes one cut on a machine of its own and looks at what it left."""
    outcome = Outcome(what)
    start = time.monotonic()
    rng = random.Random(f"{what.seed}/{what.number}/disk")
    vm = FragileMachine(image, directory, hardware, rng)
    try:
        _Cut(vm, what, outcome).run()
    except (GuestGone, GuestTimeout, CommandFailed, RuntimeError) as error:
        outcome.problems.append(f"{type(error).__name__}: {error}")
    finally:
        if outcome.problems:
            outcome.told += _evidence(vm)
        vm.close()
    outcome.seconds = time.monotonic() - start
    return outcome


def _evidence(vm: FragileMachine) -> list[str]:
    lines = [f"console of boot {vm.boots} ({vm.directory}):", *vm.console.splitlines()[-CONSOLE_LINES:]]
    try:
        lines += ["journal:", *vm.journal("--boot=all", "-u", "livepatch*", "-n", "60").splitlines()]
        lines += vm.run("head -n 40 /var/lib/livepatch/guard/*/*.json").out.splitlines()
    except (GuestGone, GuestTimeout, CommandFailed) as error:
        lines.append(f"no journal: {error}")
    return lines


class _Cut:
    def __init__(self, vm: FragileMachine, what: Plan, outcome: Outcome) -> None:
        self.vm = vm
        self.plan = what
        self.outcome = outcome
        self.panics = 0  # since the power was cut last

    def tell(self, line: str) -> None:
        self.outcome.told.append(line)

    def run(self) -> None:
        if self.vm.image.warm:
            self.vm.start_warm()
        else:
            self.vm.start()
        self._prepare()
        for step in self.plan.story.steps[: self.plan.at]:
            self._whole(step.command, step.down)
        returned = self._cut_short(self.plan.step)
        allowed = self._allowed(returned)
        self.panics = 0
        if self.plan.again:
            self._cut_boot()
            allowed = _after_another(allowed)
        self._boot()
        self._judge(inspect(self.vm), allowed)

    def _prepare(self) -> None:
        self.vm.ok(PREPARE % self.plan.story.settle)
        for command in self.plan.story.prepare:
            if command == POWER_CUT:
                self.vm.power_cut()
                self.vm.start()
            else:
                self._whole(command)

    def _boot(self) -> None:
        """Until the machine is up, with as many panics before that as the story has."""
        while True:
            self.vm.start(wait=False)
            try:
                self.vm.wait_for_boot()
                return
            except (GuestGone, GuestTimeout):
                if not self._has_panicked():
                    raise

    def _has_panicked(self) -> bool:
        """Whether the machine has gone down by itself; raises if the story has no such boot, or had it already."""
        try:
            self.vm.wait_for_off(5)
        except GuestTimeout:
            return False
        self.panics += 1
        self.tell(f"boot {self.vm.boots} panics")
        if self.panics > self.plan.story.panics:
            raise RuntimeError(f"boot {self.vm.boots} ended by itself, as number {self.panics} in a row")
        return True

    def _whole(self, command: str, down: bool = False) -> None:
        storage = self.vm.storage
        assert storage
        before = storage.writes, storage.flushes
        seconds = self._go_down(command) if down else self._run(command)
        self.tell(f"{command}: {storage.writes - before[0]} writes, {storage.flushes - before[1]} flushes, {seconds:.1f} s")

    def _go_down(self, command: str) -> float:
        process = self.vm.popen(command)
        self.vm.wait_for_reset(STEP_TIMEOUT)
        seconds = time.monotonic() - process.started
        self.panics = 0
        self._boot()
        return seconds

    def _run(self, command: str) -> float:
        r = self.vm.run(command, timeout=STEP_TIMEOUT)
        if r.rc != 0:
            raise CommandFailed(str(r))
        return r.seconds

    def _cut_short(self, step: Step) -> bool:
        """Whether the step had succeeded by then."""
        storage = self.vm.storage
        assert storage
        storage.arm(self.plan.writes)
        process = self.vm.popen(step.command)
        self._wait(process, step.down)
        status = process.status
        if step.down:
            status = None if self.vm.running else 0
        self.vm.power_cut()
        if status not in (None, 0):
            self.outcome.problems.append(f"{step.command} failed: {process.err}")
        kept, total = self.vm.lost
        how = "cut short" if status is None else "done, then cut"
        self.tell(f"{step.command}: {how}; of {total} blocks written since the last flush {kept} survived")
        return status == 0

    def _wait(self, process: Process, down: bool) -> None:
        storage = self.vm.storage
        assert storage
        end = time.monotonic() + (STEP_TIMEOUT if self.plan.writes else self.plan.seconds * (3 if down else 1))
        while not storage.tripped.is_set() and time.monotonic() < end:
            if not (self.vm.running if down else process.running):
                break
            time.sleep(0.002)
        if self.plan.writes and not process.running:
            storage.tripped.wait(self.plan.seconds)

    def _allowed(self, returned: bool) -> tuple[str, ...]:
        story, step = self.plan.story, self.plan.step
        if returned:
            return step.after
        before = story.steps[self.plan.at - 1].after if self.plan.at else story.before
        return (*before, *step.during, *step.after)

    def _cut_boot(self) -> None:
        """Power is lost again, in the boot that mends things; at its end if it writes less."""
        storage = self.vm.storage
        assert storage
        storage.arm(self.plan.again)
        before = storage.writes
        self.vm.start(wait=False)
        booted = _either(self.vm, storage)
        if not booted and not storage.tripped.is_set() and self._has_panicked():
            storage.arm(0)
            return
        self.vm.power_cut()
        when = f"{'after' if booted else 'in'} the boot, after {storage.writes - before} writes"
        self.tell(f"cut again {when}: {self.vm.lost[0]} of {self.vm.lost[1]} blocks survived")

    def _judge(self, found: Findings, allowed: tuple[str, ...]) -> None:
        self.tell(f"found: {found.world or 'nothing'}")
        self.outcome.problems += found.problems
        if found.world not in allowed:
            self.outcome.problems.append(f"found {found.world!r}, which is none of {sorted(set(allowed))}")


def _either(vm: FragileMachine, storage: VolatileDisk) -> bool:
    """Until the disk has stopped, or the boot is over, or the machine off: whether it is up."""
    end = time.monotonic() + STEP_TIMEOUT
    waiting: Process | None = None
    while vm.running and not storage.tripped.is_set():
        if time.monotonic() > end:
            raise GuestTimeout("the machine neither came up nor wrote enough to be cut")
        if waiting is None and vm.boot_id:
            waiting = vm.popen("until systemctl is-system-running --wait; do case $(systemctl is-system-running) in degraded) exit;; esac; done")
        if waiting and not waiting.running:
            return True
        time.sleep(0.01)
    return False


def _after_another(worlds: tuple[str, ...]) -> tuple[str, ...]:
    """What was loaded by the boot that was cut, too, may be suspected; then what it supersedes stands in for it."""
    found = set(worlds)
    for world in worlds:
        fates = [{word, word.replace(":applied", ":quarantined"), word.replace(":superseded", ":applied")} for word in world.split()]
        for words in itertools.product(*fates):
            variant = " ".join(words)
            if variant.count(":superseded") == world.count(":superseded") or ":quarantined+" in variant:
                found.add(variant)
    return tuple(sorted(found))
