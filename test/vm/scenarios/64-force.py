# SPDX-License-Identifier: LGPL-2.1-or-later
"""Forcing a transition: asked for twice, and what the kernel keeps of it."""

from __future__ import annotations

from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, apply, call, ctl, patches, state, states, trust
from lpvm.machine import Machine

PATCH = "/org/livepatch/patch/lp_5fstall"
STALL = f"{SIGNED}/lp_stall.ko"
RELEASE = "/sys/module/lp_busy/parameters/release"
HOLD = "/sys/module/lp_stall/parameters/hold"


def who_may(vm: Machine, check: Check) -> None:
    check.equal("alice may not", ctl(vm, "force", "--yes", "lp_stall", user="alice").rc, 3)
    r = ctl(vm, "force", "lp_stall")
    check.equal("without a terminal nobody can be asked", r.rc, 2, r)
    check.contains("and --yes is named", r.err, "--yes")
    r = vm.run(["livepatchctl", "force", "lp_stall"], tty=True, stdin=b"y\n")
    check.equal("'y' is not enough", r.rc, 1, r)
    check.contains("it is explained", r.out, "until the next reboot")
    check.equal("so far nothing has happened", state(vm, "lp_stall"), "applying")


@scenario("a transition that is forced ends, and says what it costs", tags=["core"])
def force(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("insmod /opt/modules/plain/lp_busy.ko")
    check.equal("nothing is there to force", ctl(vm, "force", "--yes", "lp_stall").rc, 4)
    check.equal("an apply that will stall", ctl(vm, "apply", "--no-block", STALL).rc, 0)
    check.require("it is applying", vm.wait_until(lambda: state(vm, "lp_stall") == "applying"))
    who_may(vm, check)
    r = vm.run(["livepatchctl", "force", "lp_stall"], tty=True, stdin=b"lp_stall\n")
    check.equal("with its name it is forced", r.rc, 0, r)
    check("and applied", vm.wait_until(lambda: state(vm, "lp_stall") == "applied", timeout=20), states(vm))
    check.contains("the kernel says so", vm.kmsg(), "forcing remaining tasks")
    check.contains("the journal says who", vm.journal("-b", "-u", "livepatchd.service"), "Forced the patching transition of 'lp_stall'")
    check.equal("there is nothing more to force", ctl(vm, "force", "--yes", "lp_stall").rc, 1)
    check.equal("what was applied by force can be reverted", ctl(vm, "revert", "lp_stall").rc, 0)
    check("and is unloaded", not vm.exists("/sys/module/lp_stall"))

    vm.ok(f"echo Y > {RELEASE}")
    apply(vm, "lp_stall")
    vm.ok(f"echo Y > {HOLD}; echo N > {RELEASE}")
    check.require("the thread sleeps in the patch", vm.wait_until("grep -q patched_sleep /proc/$(pgrep -x lp_busy)/stack"))
    reverting = vm.popen(["livepatchctl", "revert", "lp_stall"])
    check.require("a revert that will stall", vm.wait_until(lambda: state(vm, "lp_stall") == "reverting"))
    check.equal("it is forced, too", call(vm, PATCH, "Patch", "Force", "a{sv}", "0").rc, 0)
    r = reverting.wait(timeout=60)
    check.equal("the revert is done", r.rc, 0, r)
    check.contains("but tells what is left", r.err, "keeps the module")
    left(vm, check)
    vm.ok("systemctl restart livepatchd.service")
    left(vm, check)
    check.equal("other patches can be applied", ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko").rc, 0)

    vm.reboot()
    check.equal("a reboot clears it", (state(vm, "lp_stall"), patches(vm)["lp_stall"]["failure_reason"] or ""), ("staged", ""))
    check.equal("and it can be applied again", ctl(vm, "apply", "lp_stall").rc, 0)


def left(vm: Machine, check: Check) -> None:
    check.equal("it is switched off", (state(vm, "lp_stall"), vm.exists("/sys/kernel/livepatch/lp_stall")), ("disabled", False))
    check.equal("the kernel keeps its module", vm.read("/sys/module/lp_stall/refcnt"), "1")
    check.contains("show says why", vm.ok("livepatchctl show lp_stall"), "forced")
    check.equal("the next boot does without it", patches(vm)["lp_stall"]["reapply"], False)
    r = ctl(vm, "apply", "lp_stall")
    check.equal("it cannot be applied again", r.rc, 5, r)
    check.contains("which is explained", r.err, "before the next reboot")
