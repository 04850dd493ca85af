# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who holds up a transition, and what can be done about it."""

from __future__ import annotations

import json

from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, call, ctl, state, trust
from lpvm.machine import Machine

DROP_IN = "/etc/systemd/system/livepatchd.service.d"
PATCH = "/org/livepatch/patch/lp_5fstall"
RELEASE = "echo Y > /sys/module/lp_busy/parameters/release"


def blockers(vm: Machine, *words: str) -> dict[str, dict]:
    """By the name of the thread."""
    document = json.loads(vm.ok(["livepatchctl", "blockers", "--json=short", *words]))
    return {b["comm"]: b for b in document["blockers"]}


def stall(vm: Machine, check: Check, wanted: set[str]) -> None:
    """Begins to apply lp_stall, and waits until nobody but those that are WANTED is left."""
    r = ctl(vm, "apply", "--no-block", f"{SIGNED}/lp_stall.ko")
    check.require("an apply that will stall", r.rc == 0, r)
    check.require("it is applying", vm.wait_until(lambda: state(vm, "lp_stall") == "applying"))
    # Whoever missed the first pass has been tried again by then.
    check("nobody else is left", vm.wait_until(lambda: set(blockers(vm)) == wanted), blockers(vm))


@scenario("a kernel thread that holds up a transition is named", tags=["core"])
def kernel_thread(vm: Machine, check: Check) -> None:
    trust(vm)
    check.contains("nothing is in transition", vm.ok("livepatchctl blockers"), "No patch is being applied")
    vm.ok("insmod /opt/modules/plain/lp_busy.ko")
    stall(vm, check, {"lp_busy"})
    found = blockers(vm, "lp_stall")["lp_busy"]
    tid = vm.ok("pgrep -x lp_busy").strip()
    check.equal("its number", str(found["tid"]), tid)
    check.equal("it is a kernel thread", (found["kernel_thread"], found["command_line"], found["uid"]), (True, "", 0))
    check.equal("for which nothing can be done", found["advice"], "none")
    check.equal("root reads its stack", found["stack_status"], "read", found)
    check.equal("and knows the function", (found["function"], found["object"]), ("lp_busy_sleep", "lp_busy"), found)
    text = vm.ok("livepatchctl blockers")
    check.matches("as text", text, rf"^{tid} +root +- +lp_busy_sleep \[lp_busy\] +none +\[lp_busy\]$")
    check.contains("with advice", text, "A kernel thread cannot be restarted")
    check.equal("alice is not told", ctl(vm, "blockers", "lp_stall", user="alice").rc, 3)
    answer = call(vm, PATCH, "Patch", "ListBlockers").out
    check.contains("the daemon may not read it", answer, '"not-permitted"')

    vm.ok(f"mkdir -p {DROP_IN}")
    vm.put("[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN CAP_SYS_PTRACE\n".encode(), f"{DROP_IN}/stack.conf", mode=0o644)
    vm.ok("systemctl daemon-reload && systemctl stop livepatchd.service")
    answer = call(vm, PATCH, "Patch", "ListBlockers").out
    check.absent("with the capabilities it may", answer, '"not-permitted"')
    check.contains("and knows the function", answer, '"function" s "lp_busy_sleep"')
    check.contains("as livepatchctl does", vm.ok("livepatchctl blockers --full"), "Function: lp_busy_sleep [lp_busy]")

    vm.ok(RELEASE)
    check("released, it is applied", vm.wait_until(lambda: state(vm, "lp_stall") == "applied"))
    check.contains("and nobody holds it up", vm.ok("livepatchctl blockers lp_stall"), "no task holds it up")


@scenario("a service that holds up a transition can be restarted", tags=["core"])
def service(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("insmod /opt/modules/plain/lp_busy.ko")
    vm.ok("systemd-run --unit=lp-reader --property=User=alice cat /proc/lp_busy")
    reader = vm.popen(["cat", "/proc/lp_busy"])
    check.require("two readers sleep", vm.wait_until("test $(pgrep -xc cat) = 2"))
    r = ctl(vm, "apply", "--no-block", f"{SIGNED}/lp_stall.ko")
    check.require("an apply that will stall", r.rc == 0, r)

    def units() -> dict[str, dict]:
        listed = json.loads(vm.ok("livepatchctl blockers --json=short"))["blockers"]
        return {b["unit"] or b["comm"]: b for b in listed}

    wanted = {"lp_busy", "lp-reader.service", "livepatch-test-agent.service"}
    check("all three are named", vm.wait_until(lambda: set(units()) == wanted), units())
    found = units()["lp-reader.service"]
    check.equal("the service is to be restarted", found["advice"], "restart-unit", found)
    check.equal("its command", found["command_line"], "/usr/bin/cat /proc/lp_busy")
    check.equal("its user", found["uid"], 1000)
    check.equal("its group", found["cgroup"], "/system.slice/lp-reader.service")
    check.contains("as text", vm.ok("livepatchctl blockers"), "systemctl restart lp-reader.service")
    vm.ok("systemctl stop lp-reader.service")
    check("then it holds up nothing", vm.wait_until(lambda: "lp-reader.service" not in units()), units())
    vm.ok(RELEASE)
    check("released, the patch is applied", vm.wait_until(lambda: state(vm, "lp_stall") == "applied"))
    check.contains("the other reader has ended", reader.wait(timeout=30).out, "released")
