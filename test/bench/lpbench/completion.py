# SPDX-License-Identifier: LGPL-2.1-or-later
"""From the kernel's last word about a transition to everybody else's."""

from __future__ import annotations

import re
from collections.abc import Callable

from .guest import NAMES, Guest, files
from .measure import Sample, Side, show, table, take_turns

_COMPLETE = re.compile(r"^\[ *(\d+\.\d+)\] livepatch: '\w+': patching complete$", re.M)
_MARK = re.compile(r"^\[ *(\d+\.\d+)\] sysrq: HELP", re.M)
_REMOVED = re.compile(r"^sig\t(\d+\.\d+)\t.*\tJobRemoved$", re.M)

# Makes the kernel say something at a known time of day: its log has a clock of its own.
MARK = "import os, time; f = os.open('/proc/sysrq-trigger', os.O_WRONLY); t = time.time(); os.write(f, b'h'); print(t)"


def _complete_at(guest: Guest) -> float:
    """The time of day of "patching complete"."""
    now = float(guest.vm.ok(["python3", "-c", MARK]))
    log = guest.vm.kmsg()
    return now - float(_MARK.findall(log)[-1]) + float(_COMPLETE.findall(log)[-1])


def _forget(guest: Guest, name: str) -> None:
    guest.vm.ok(["livepatchctl", "revert", name], timeout=600)
    guest.vm.ok(["livepatchctl", "remove", name])


def _by_signal(guest: Guest, name: str) -> Sample:
    """JobRemoved on the bus, with the daemon's records on the disk."""
    rule = "type='signal',interface='org.livepatch.Manager',member='JobRemoved'"
    monitor = guest.vm.popen(["stdbuf", "-oL", "dbus-monitor", "--system", "--profile", rule])
    if not guest.vm.wait_until(lambda: "NameLost" in monitor.out, timeout=60):
        raise RuntimeError("dbus-monitor does not begin: " + monitor.err)
    guest.vm.ok(["dmesg", "--clear"])
    guest.vm.ok(["livepatchctl", "apply", *files([name])], timeout=600)
    guest.vm.wait_until(lambda: _REMOVED.search(monitor.out))
    monitor.kill()
    removed = float(_REMOVED.findall(monitor.out)[-1])
    sample = Sample(removed - _complete_at(guest))
    _forget(guest, name)
    return sample


def _by_command(guest: Guest, name: str, command: str, undo: Callable[[], None]) -> Sample:
    """What waits on the command line: its end, and the start of date(1)."""
    guest.vm.ok(["dmesg", "--clear"])
    end = guest.vm.ok(f"{command} >/dev/null && date +%s.%N", timeout=600)
    guest.expect_applied([name], command)
    sample = Sample(float(end.split()[-1]) - _complete_at(guest))
    undo()
    return sample


def completion(guest: Guest, repeat: int) -> None:
    name = NAMES[0]
    guest.stage([])
    guest.vm.ok(["livepatchctl", "list"])
    file = files([name])[0]
    sides = [
        Side("JobRemoved", lambda: _by_signal(guest, name)),
        Side("end of livepatchctl apply",
             lambda: _by_command(guest, name, f"livepatchctl apply {file}", lambda: _forget(guest, name))),
        Side("end of kpatch load",
             lambda: _by_command(guest, name, f"kpatch load {file}", lambda: guest.unload([name]))),
    ]  # fmt: skip
    take_turns(sides, repeat)
    show(table("from the kernel's \"patching complete\"", sides))
