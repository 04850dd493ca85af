# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main job: a signed module is applied over the bus, survives a reboot, is reverted, removed."""

from __future__ import annotations

import json

from lpvm.check import Check, scenario
from lpvm.machine import Machine

SIGNED = "/opt/modules/signed"


def trust(vm: Machine) -> None:
    vm.ok("livepatchctl trust add /opt/pki/signer.pem")


def patches(vm: Machine) -> dict[str, dict]:
    return {p["name"]: p for p in json.loads(vm.ok("livepatchctl list --json=short"))["patches"]}


@scenario("an applied patch survives a reboot", tags=["core"])
def applied_survives_reboot(vm: Machine, check: Check) -> None:
    original = vm.read("/proc/cmdline")
    r = vm.run("livepatchctl trust add /opt/pki/signer.pem")
    check.equal("trust add succeeds", r.rc, 0, r)
    r = vm.run(f"livepatchctl apply {SIGNED}/lp_cmdline.ko")
    check.equal("apply succeeds", r.rc, 0, r)
    check.contains("/proc/cmdline is patched", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")

    shown = vm.ok("livepatchctl show lp_cmdline")
    check.contains("show names the function", shown, "cmdline_proc_show")
    check.contains("show names the signer", shown, "signer")
    check.contains("show names the state", shown, "applied")
    build_id = vm.get("/sys/module/lp_cmdline/notes/.note.gnu.build-id")[16:].hex()
    check.contains("show names the build-id", shown, build_id)

    vm.reboot()
    check.contains("patched again after the reboot", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")
    check.equal("nothing failed at boot", vm.wait_for_boot(), "running", vm.run("systemctl --failed --no-legend"))
    story = vm.journal("-b", "-u", "livepatch-reapply.service")
    check.contains("the journal tells the story", story, "lp_cmdline")
    times = vm.ok(
        "systemctl show -P ActiveEnterTimestampMonotonic network-pre.target; "
        "systemctl show -P ExecMainExitTimestampMonotonic livepatch-reapply.service"
    ).split()
    check("patched before network-pre.target", 0 < int(times[1]) <= int(times[0]), times)

    r = vm.run("livepatchctl revert lp_cmdline")
    check.equal("revert succeeds", r.rc, 0, r)
    check.equal("the function is as it was", vm.read("/proc/cmdline"), original)
    check("the module is unloaded", not vm.exists("/sys/module/lp_cmdline"))
    check.equal("it stays staged", patches(vm)["lp_cmdline"]["state"], "staged")
    check.equal("and is not reapplied", patches(vm)["lp_cmdline"]["reapply"], False)
