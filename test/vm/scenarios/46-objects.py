# SPDX-License-Identifier: LGPL-2.1-or-later
"""A patch for a module waits for it, and may keep it out."""

from __future__ import annotations

import json

from lpvm.check import Check, scenario
from lpvm.livepatch import PLAIN, apply, patches, trust
from lpvm.machine import Machine

SOON = 15
REFUSED = "LIVEPATCH_NAME=lp_target_wrong"


def told(monitor, name: str, loaded: bool, patched: bool) -> bool:
    """Whether a signal said that the object of the patch is so."""
    path = "/org/livepatch/patch/" + name.replace("_", "_5f")
    for line in monitor.out.rpartition("\n")[0].splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        objects = event.get("properties", {}).get("objects", []) if event.get("path") == path else []
        if any(o["loaded"] == loaded and all(f["patched"] == patched for f in o["functions"]) for o in objects):
            return True
    return False


def object_of(vm: Machine, name: str) -> tuple[bool, list[bool]]:
    (found,) = patches(vm)[name]["objects"]
    return found["loaded"], [f["patched"] for f in found["functions"]]


@scenario("a patch becomes active with its module, and inactive without", tags=["core"])
def objects(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_target_fix")
    vm.settle()
    check.equal("the module is not there", object_of(vm, "lp_target_fix"), (False, [False]))
    text = vm.ok("livepatchctl show lp_target_fix")
    check.contains("show says so of the object", text, "inactive: lp_target not loaded")
    check.matches("and of the function", text, r"inactive +lp_target_show")
    check.contains("status says so, too", vm.ok("livepatchctl status --full"), "inactive: lp_target not loaded")
    monitor = vm.popen("livepatchctl monitor --json=short")
    vm.wait_until(lambda: vm.run("systemctl is-active livepatchd.service").rc == 0, timeout=60)
    vm.ok(f"insmod {PLAIN}/lp_target.ko")
    check("it comes: told", vm.wait_until(lambda: told(monitor, "lp_target_fix", True, True), timeout=SOON), monitor.out)
    check.contains("it is patched", vm.read("/proc/lp_target"), "fixed")
    check.equal("as is shown", object_of(vm, "lp_target_fix"), (True, [True]))
    check.absent("nothing is inactive", vm.ok("livepatchctl show lp_target_fix"), "inactive")
    vm.ok("rmmod lp_target")
    check("it goes: told", vm.wait_until(lambda: told(monitor, "lp_target_fix", False, False), timeout=SOON), monitor.out)
    vm.ok("livepatchctl revert lp_target_fix", timeout=120)
    monitor.kill()

    # One that does not fit keeps the module out.
    apply(vm, "lp_target_wrong")
    vm.settle()
    check("the kernel refuses the module", vm.run(f"insmod {PLAIN}/lp_target.ko").rc != 0)

    def drift() -> str:
        return patches(vm).get("lp_target_wrong", {}).get("drift", "")

    check("the patch says so", vm.wait_until(lambda: "refuses to load module 'lp_target'" in drift(), timeout=SOON), drift())
    check.contains("and what to do", drift(), "livepatchctl revert lp_target_wrong")
    vm.ok("systemctl restart livepatchd.service")
    check.contains("so it does to a daemon that was not there", drift(), "refuses to load module 'lp_target'")
    status = json.loads(vm.ok("livepatchctl status --json=short"))
    problems = [p for p in status["manager"]["problems"] if "lp_target_wrong" in p]
    check.equal("it is a problem", len(problems), 1, status["manager"])
    entries = [json.loads(e) for e in vm.journal("-o", "json", REFUSED).splitlines() if e.startswith("{")]
    entries = [e for e in entries if "refuses to load module" in e["MESSAGE"]]
    check.equal("the journal has it once", len(entries), 1, entries)
    vm.ok("livepatchctl revert lp_target_wrong", timeout=120)
    check.equal("reverted, the module can be loaded", vm.run(f"insmod {PLAIN}/lp_target.ko").rc, 0)
    status = json.loads(vm.ok("livepatchctl status --json=short"))
    check.equal("and nothing is left to say", [p for p in status["manager"]["problems"] if "lp_target" in p], [])
