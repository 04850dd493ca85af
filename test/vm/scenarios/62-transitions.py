# SPDX-License-Identifier: LGPL-2.1-or-later
"""Transitions that do not end by themselves: what is shown, what is done about them, and what waiting costs."""

from __future__ import annotations

import json
import re
import time

from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, busctl, ctl, patches, state, states, trust
from lpvm.machine import Machine

STALL = f"{SIGNED}/lp_stall.ko"
RELEASE = "/sys/module/lp_busy/parameters/release"
HOLD = "/sys/module/lp_stall/parameters/hold"
SCANS = 20


def job_property(vm: Machine, job: int, name: str) -> str:
    path = f"/org/livepatch/job/{job}"
    return busctl(vm, "get-property", "org.livepatch", path, "org.livepatch.Job", name).out.strip().partition(" ")[2]


def cpu_seconds(vm: Machine) -> float:
    return int(vm.ok("systemctl show -P CPUUsageNSec livepatchd.service")) / 1e9


def scan_seconds(vm: Machine) -> float:
    """Processor time for reading every patch_state once, by a program that does nothing else."""
    files = "/proc/[0-9]*/task/[0-9]*/patch_state"
    r = vm.run(["bash", "-c", f'TIMEFORMAT="%U %S"; time cat $(for i in $(seq {SCANS}); do echo {files}; done) >/dev/null 2>&1'])
    user, system = re.findall(r"\d+\.\d+", r.err)[-2:]
    return (float(user) + float(system)) / SCANS


@scenario("a stalled transition is shown, and waiting costs next to nothing", tags=["core"])
def stall(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("insmod /opt/modules/plain/lp_busy.ko")
    begin = time.monotonic()
    r = ctl(vm, "apply", "--stall-timeout=3s", "--on-stall=wait", STALL)
    check.equal("whoever waits is let go, with status 6", r.rc, 6, r)
    check.matches("told who holds it up", r.err, r"\d+ of \d+ tasks have not switched: .*lp_busy \(\d+\)")
    check.contains("and what can be done", r.err, "livepatchctl cancel lp_stall")
    check.equal("the job goes on", (state(vm, "lp_stall"), job_property(vm, 1, "State")), ("applying", '"running"'))
    check.equal("marked as stalled", job_property(vm, 1, "Stalled"), "true")
    check("with one task to switch", vm.wait_until(lambda: job_property(vm, 1, "TasksPending") == "1"), job_property(vm, 1, "TasksPending"))
    total = int(job_property(vm, 1, "TasksTotal"))
    threads = len(vm.ok("ls -d /proc/[0-9]*/task/[0-9]*").split())
    check("out of all that there are", abs(total - threads) < threads / 2, (total, threads))
    check.matches("status shows it", vm.ok("livepatchctl status"), r"\d+ of \d+ tasks switched, stalled")
    check.contains("the journal, too", vm.journal("-b", "-u", "livepatchd.service"), "'lp_stall' has stalled: ")

    # By then the counts have become rare. Not a call meanwhile: it would be paid for by the daemon.
    time.sleep(max(0.0, begin + 18 - time.monotonic()))
    scan = scan_seconds(vm)
    before = cpu_seconds(vm)
    time.sleep(20)
    spent = cpu_seconds(vm) - before
    check("twenty seconds cost less than fifteen bare scans of /proc", spent < 15 * scan, (spent, scan))

    vm.ok(f"echo Y > {RELEASE}")
    check("released, it ends", vm.wait_until(lambda: job_property(vm, 1, "Result") == '"done"', timeout=20))
    check.equal("applied, for good", (state(vm, "lp_stall"), patches(vm)["lp_stall"]["reapply"]), ("applied", True))

    vm.ok(f"echo Y > {HOLD}; echo N > {RELEASE}")
    check.require("the thread sleeps in the patch", vm.wait_until("grep -q patched_sleep /proc/$(pgrep -x lp_busy)/stack"))
    r = ctl(vm, "revert", "--stall-timeout=2s", "--on-stall=revert", "lp_stall")
    check.equal("a revert that stalls is taken back", r.rc, 6, r)
    check.contains("it says so", r.err, "still applied")
    check.equal("and is so", (state(vm, "lp_stall"), vm.read("/sys/kernel/livepatch/lp_stall/enabled")), ("applied", "1"))
    check.equal("in the records, too", patches(vm)["lp_stall"]["reapply"], True)
    vm.ok(f"echo N > {HOLD}; echo Y > {RELEASE}")
    check.equal("later it can be reverted", ctl(vm, "revert", "lp_stall").rc, 0)


@scenario("what is done about a stall is the caller's choice", tags=["default"])
def policy(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("insmod /opt/modules/plain/lp_busy.ko")
    r = ctl(vm, "apply", "--no-block", "--stall-timeout=6s", "--on-stall=revert", STALL)
    check.require("an apply that will stall", r.rc == 0, r)
    check.require("it is applying", vm.wait_until(lambda: state(vm, "lp_stall") == "applying"))
    check.equal("another one waits", ctl(vm, "apply", "--no-block", f"{SIGNED}/lp_cmdline.ko").rc, 0)
    check.equal("and is taken off the queue", ctl(vm, "cancel", "lp_cmdline").rc, 0)
    vm.ok("systemctl kill -s KILL --kill-whom=main livepatchd.service")
    check.equal("a new daemon goes on", state(vm, "lp_stall"), "applying")
    check("and reverses it, as the caller had said", vm.wait_until(lambda: states(vm) == {}, timeout=40), states(vm))
    check("nothing is left", vm.wait_until("test ! -e /sys/module/lp_stall"))

    check.equal("again", ctl(vm, "apply", "--no-block", STALL).rc, 0)
    check.require("it is applying again", vm.wait_until(lambda: state(vm, "lp_stall") == "applying"))
    r = ctl(vm, "cancel", "lp_stall")
    check.equal("a running one is reversed", (r.rc, states(vm)), (0, {}), r)

    # As if an administrator had not known of livepatchd.
    vm.ok("insmod /opt/modules/plain/lp_stall.ko")
    check.equal("somebody else's is seen", state(vm, "lp_stall"), "applying")
    r = ctl(vm, "apply", "--stall-timeout=2s", "--on-stall=revert", f"{SIGNED}/lp_cmdline.ko")
    check.equal("it is waited for, not for ever", r.rc, 6, r)
    check.contains("and named", r.err, "'lp_stall'")
    check.absent("nothing was changed", vm.read("/proc/cmdline"), "lp_patched_by")
    listed = json.loads(vm.ok("livepatchctl blockers --json=short"))["blockers"]
    check.equal("its blockers are listed as well", [b["comm"] for b in listed], ["lp_busy"])
    vm.ok(f"echo Y > {RELEASE}")
    check("when it is over", vm.wait_until(lambda: state(vm, "lp_stall") == "external"), states(vm))
    check.equal("the other one is applied", ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko").rc, 0)
