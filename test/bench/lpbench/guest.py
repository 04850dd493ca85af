# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the benchmarks do in the machine: time a command, load and unload, prepare each side."""

from __future__ import annotations

import re
from pathlib import Path

from lpvm.livepatch import SIGNED, trust
from lpvm.machine import Machine

from .measure import Sample

TOOLS = "/opt/bench"
PROGRAMS = ("bare-load", "many-threads", "stopwatch", "verify-module")
DAEMON = "/usr/lib/livepatch/livepatchd"
REAPPLY_UNIT = "livepatch-reapply.service"
NAMES = [f"lp_bench_{i}" for i in range(1, 9)]

_LINE = re.compile(r"^\[ *(\d+\.\d+)\] livepatch: (enabling patch '(?P<begin>\w+)'|'(?P<end>\w+)': patching complete)$", re.M)


def files(names: list[str]) -> list[str]:
    return [f"{SIGNED}/{name}.ko" for name in names]


def transitions(kernel_log: str) -> float:
    """Seconds between the begin and the end of each transition, summed."""
    begins: dict[str, float] = {}
    total = 0.0
    for match in _LINE.finditer(kernel_log):
        at = float(match[1])
        if match["begin"]:
            begins[match["begin"]] = at
        elif match["end"] in begins:
            total += at - begins.pop(match["end"])
    return total


class Guest:
    """A machine made ready for measuring."""

    def __init__(self, vm: Machine, programs: Path) -> None:
        self.vm = vm
        vm.ok(["mkdir", "-p", TOOLS])
        for name in PROGRAMS:
            vm.put(programs / name, f"{TOOLS}/{name}", mode=0o755)
        trust(vm)
        vm.ok(["systemctl", "disable", "kpatch.service"])  # in a real boot it would look at what is loaded

    def time(self, *command: str) -> Sample:
        """Wall-clock time of a command that has to succeed, taken in the machine."""
        return Sample(int(self.vm.ok([f"{TOOLS}/stopwatch", *command], timeout=600)) / 1e9)

    def time_loading(self, *command: str) -> Sample:
        """The same, and how much of it were the kernel's transitions."""
        self.vm.ok(["dmesg", "--clear"])
        sample = self.time(*command)
        return Sample(sample.seconds, sample.seconds - transitions(self.vm.kmsg()))

    def unload(self, names: list[str]) -> None:
        self.vm.ok([f"{TOOLS}/bare-load", "-u", *files(names)], timeout=600)

    def stop_daemon(self) -> None:
        """It holds the state's lock, which a reapply waits for."""
        self.vm.ok(["systemctl", "stop", "livepatchd.service"])

    def fresh_runtime(self) -> None:
        """/run/livepatch as it is at a boot."""
        self.vm.ok("mkdir -p -m 0700 /run/livepatch && rm -rf /run/livepatch/* && sync")

    def stage(self, names: list[str]) -> None:
        """Exactly these are reapplied, in this order."""
        for name in NAMES:
            self.vm.run(["livepatchctl", "remove", name])
        for file in files(names):
            self.vm.ok(["livepatchctl", "stage", "--reapply", file])
        self.stop_daemon()

    def install_for_kpatch(self, names: list[str]) -> None:
        directory = f"/var/lib/kpatch/{self.vm.release}"
        self.vm.ok(f"rm -rf {directory} && mkdir -p {directory} && cp {' '.join(files(names))} {directory}/ && sync")

    def applied(self) -> list[str]:
        return self.vm.ok("ls /sys/kernel/livepatch").split()

    def expect_applied(self, names: list[str], what: str) -> None:
        """A side that did not do its work would be a fast one."""
        if sorted(self.applied()) != sorted(names):
            raise RuntimeError(f"{what}: {self.applied()} are applied, not {names}")
