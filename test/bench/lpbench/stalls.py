# SPDX-License-Identifier: LGPL-2.1-or-later
"""Transitions that do not end: finding the one thread among many that is in the way, and waiting for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lpvm.livepatch import PLAIN, SIGNED

from .guest import TOOLS, Guest
from .measure import Side, duration, render, show, table, take_turns

UNIT = "bench-threads.service"
KLP = "/sys/kernel/livepatch/lp_stall"
CPU_STAT = "/sys/fs/cgroup/system.slice/livepatchd.service/cpu.stat"
# kpatch's script starts processes for each thread: with MANY it would take most of an hour in an emulated machine.
FEW, MANY = 1000, 20000
STALL_SECONDS = 600

# Every thread's state by one process, and the number of those that have not switched.
BARE_PASS = "cd /proc && echo [0-9]*/task/*/patch_state | xargs -n 5000 cat 2>/dev/null | grep -c ^0"


@contextmanager
def _threads(guest: Guest, number: int) -> Iterator[None]:
    guest.vm.ok("echo 60000 > /proc/sys/kernel/threads-max")
    guest.vm.ok(["systemd-run", f"--unit={UNIT}", "--property=TasksMax=infinity", f"{TOOLS}/many-threads", str(number)])
    there = f'test "$(ls /proc/$(systemctl show --property=MainPID --value {UNIT})/task | wc -l)" -gt {number}'
    try:
        if not guest.vm.wait_until(there, timeout=300):
            raise RuntimeError(f"not {number} threads:\n" + guest.vm.journal("-u", UNIT))
        yield
    finally:
        guest.vm.ok(["systemctl", "kill", "--signal=KILL", UNIT])
        guest.vm.wait_until(f"! systemctl is-active --quiet {UNIT}", timeout=300)
        guest.vm.run(["systemctl", "reset-failed", UNIT])


def _wait_for_last(guest: Guest) -> None:
    if not guest.vm.wait_until(f'test "$({BARE_PASS})" = 1', timeout=600):
        raise RuntimeError("the other threads do not switch")


def _release(guest: Guest) -> None:
    guest.vm.ok("echo Y > /sys/module/lp_busy/parameters/release")
    guest.vm.wait_until(f'test "$(cat {KLP}/transition)" = 0', timeout=600)


@contextmanager
def _stalled(guest: Guest) -> Iterator[None]:
    """A transition of which one kernel thread is left, and which livepatchd does not follow."""
    vm = guest.vm
    vm.ok(["insmod", f"{PLAIN}/lp_busy.ko"])
    vm.ok(["insmod", f"{SIGNED}/lp_stall.ko"], timeout=600)
    try:
        _wait_for_last(guest)
        yield
    finally:
        _release(guest)
        vm.ok(f"echo 0 > {KLP}/enabled", timeout=600)
        vm.wait_until("rmmod lp_stall", timeout=600)
        vm.ok(["rmmod", "lp_busy"])


def _side(guest: Guest, what: str, *command: str, finds: str) -> Side:
    """Makes sure first that it finds what it is there to find."""
    if finds not in guest.vm.ok([*command], timeout=600):
        raise RuntimeError(f"{command} does not find {finds}")
    return Side(what, lambda: guest.time(*command))


def blockers(guest: Guest, repeat: int) -> None:
    """The daemon runs already. kpatch's list has the threads at its end."""
    patch = "/org/livepatch/patch/lp_5fstall"
    for number in (FEW, MANY):
        with _threads(guest, number), _stalled(guest):
            call = ("busctl", "call", "org.livepatch", patch, "org.livepatch.Patch", "ListBlockers")
            sides = [
                _side(guest, "livepatchctl blockers", "livepatchctl", "blockers", finds="lp_busy"),
                _side(guest, "ListBlockers(), with busctl", *call, finds="lp_busy"),
                _side(guest, "the states alone, with cat and grep", "sh", "-c", BARE_PASS, finds="1"),
            ]
            if number == FEW:
                sides.append(_side(guest, "kpatch list", "kpatch", "list", finds="lp_busy"))
            take_turns(sides, repeat)
            show(table(f"blockers, {number} threads", sides))


def _processor_seconds(guest: Guest) -> float:
    """Of all the daemon's threads since it was started."""
    values = dict(line.split() for line in guest.vm.read(CPU_STAT).splitlines())
    return int(values["usage_usec"]) / 1e6


def _pass_seconds(guest: Guest, repeat: int) -> float:
    """Processor time of one look at every thread."""
    out = guest.vm.ok(f"for i in $(seq {repeat}); do {BARE_PASS} >/dev/null; done; times", timeout=600)
    # The last two are its children's: "0m1.230000s".
    user_and_system = [word.rstrip("s").split("m") for word in out.split()[-2:]]
    return sum(int(minutes) * 60 + float(seconds) for minutes, seconds in user_and_system) / repeat


def stall(guest: Guest, repeat: int) -> None:
    """A job that waits for a thread in a system with a thousand of them, and nobody who asks."""
    guest.vm.ok(["insmod", f"{PLAIN}/lp_busy.ko"])
    with _threads(guest, FEW):
        guest.vm.ok(["livepatchctl", "apply", "--no-block", "--runtime", f"{SIGNED}/lp_stall.ko"])
        guest.vm.wait_until(f"test -e {KLP}", timeout=60)
        _wait_for_last(guest)
        pid = guest.vm.ok(["systemctl", "show", "--property=MainPID", "--value", "livepatchd.service"])
        begin, used = time.monotonic(), _processor_seconds(guest)
        time.sleep(STALL_SECONDS)
        used, seconds = _processor_seconds(guest) - used, time.monotonic() - begin
        one_pass = _pass_seconds(guest, repeat)
        if pid != guest.vm.ok(["systemctl", "show", "--property=MainPID", "--value", "livepatchd.service"]):
            raise RuntimeError("the daemon was not there all the time")
        _release(guest)
    guest.vm.ok(["livepatchctl", "remove", "lp_stall"], timeout=600)
    guest.vm.ok(["rmmod", "lp_busy"])
    rows = [
        ("", "processor time", "of the time", "livepatchd takes"),
        ("livepatchd", duration(used), f"{used / seconds:.3%}", ""),
        ("one look at every thread, with cat and grep", duration(one_pass), "", f"{used / one_pass:.3f} x"),
        ("such a look each second", duration(one_pass * seconds), f"{one_pass:.3%}", f"{used / one_pass / seconds:.4f} x"),
    ]
    show(render(f"a stall of {seconds:.0f} s, {FEW} threads", rows))
