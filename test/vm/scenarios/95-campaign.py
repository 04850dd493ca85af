# SPDX-License-Identifier: LGPL-2.1-or-later
"""Power cuts at random instants of random steps: a sample of what test/vm/campaign does at length."""

from __future__ import annotations

import random
import subprocess

from lpvm import campaign
from lpvm.check import Check, scenario
from lpvm.disk import BLOCK, VolatileDisk
from lpvm.machine import Machine


def cuts(vm: Machine, check: Check, numbers: range) -> None:
    for number in numbers:
        plan = campaign.plan(check.seed, number)
        outcome = campaign.cut(vm.image, vm.directory / f"cut-{number}", vm.hardware, plan)
        repeat = f"again: test/vm/campaign --suite {vm.suite} --seed {check.seed} --only {number} --verbose"
        check(str(plan), outcome.passed, f"{outcome}\n{repeat}")


@scenario("five power cuts", boot=False, long=True)
def five_cuts(vm: Machine, check: Check) -> None:
    cuts(vm, check, range(1, 6))


@scenario("and five more", boot=False, long=True)
def more_cuts(vm: Machine, check: Check) -> None:
    cuts(vm, check, range(6, 11))


@scenario("the campaign's disk loses what was not flushed, and nothing else", boot=False, needs_install=False)
def fragile_disk(vm: Machine, check: Check) -> None:
    blank = vm.directory / "blank.raw"
    blank.write_bytes(bytes(64 * BLOCK))
    disk = VolatileDisk(blank, "raw", vm.directory)
    try:
        # -t writeback: qemu-io itself flushes when it is told to, and when it ends.
        io(disk, f"write -q -P 1 0 {32 * BLOCK}", "flush")
        check.equal("what was flushed", cut(disk, 0.0, f"write -q -P 2 0 {BLOCK}"), (0, 1))
        check.equal("stands when nothing else survives", contents(disk), b"\1" * 32 + b"\0" * 32)
        check.equal("what was not", cut(disk, 1.0, f"write -q -P 2 0 {BLOCK}"), (1, 1))
        check.equal("may survive", contents(disk), b"\2" + b"\1" * 31 + b"\0" * 32)
        kept, total = cut(disk, 0.5, f"write -q -P 3 0 {32 * BLOCK}", f"write -q -z {32 * BLOCK} {32 * BLOCK}")
        check("some of it, that is", 0 < kept < total == 64, (kept, total))
        check("and be torn", {1, 3} <= set(contents(disk)[:32]), contents(disk))
        disk.arm(2)
        check.equal("an armed disk", cut(disk, 1.0, *(f"write -q -P {n} 0 {BLOCK}" for n in (4, 5, 6))), (2, 2))
        check.equal("takes so many writes and no more", contents(disk)[:1], b"\5")
        check.equal("the base is as it was", blank.read_bytes(), bytes(64 * BLOCK))
    finally:
        disk.close()


def io(disk: VolatileDisk, *commands: str) -> None:
    subprocess.run(argv(disk, *commands), check=True, timeout=60)


def argv(disk: VolatileDisk, *commands: str) -> list[str]:
    words = ["qemu-io", "-t", "writeback", "--image-opts", disk.drive]
    for command in commands:
        words += ["-c", command]
    return words


def cut(disk: VolatileDisk, survival: float, *commands: str) -> tuple[int, int]:
    """Does COMMANDS and loses power before anything is flushed; what survived, of how much."""
    done = disk.writes + len(commands)
    with subprocess.Popen([*argv(disk, *commands, "sleep 60000")]) as process:
        while disk.writes < done and not disk.tripped.wait(0.01):
            pass
        disk.freeze()
        process.kill()
    return disk.thaw(random.Random(1), survival)


def contents(disk: VolatileDisk) -> bytes:
    """The first byte of every block."""
    return bytes(disk.read(n * BLOCK, BLOCK)[0] for n in range(disk.size // BLOCK))
