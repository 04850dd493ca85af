# SPDX-License-Identifier: LGPL-2.1-or-later
"""Patches that the kernel or a health check speaks against before they have settled are reverted and quarantined."""

from __future__ import annotations

from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, apply, ctl, drop_in, patches, state, states, trust
from lpvm.machine import Machine

GUARD = "/var/lib/livepatch/guard"
UNHEALTHY = "MESSAGE_ID=8c0d2296f52213253be7a9cb713b3146"
UNKNOWN = "MESSAGE_ID=dc9f66aca37e4ef899603f1312da0a9a"


def phase(vm: Machine, name: str) -> str:
    return vm.run(f"sed -n 's/.*\"phase\": \"\\([a-z]*\\)\".*/\\1/p' {GUARD}/{vm.release}/{name}.json").out.strip()


def becomes(vm: Machine, check: Check, name: str, wanted: str, timeout: float = 60) -> None:
    check(f"{name} is {wanted}", vm.wait_until(lambda: state(vm, name) == wanted, timeout=timeout), states(vm))


def pull(vm: Machine, name: str) -> None:
    """Lets the next read of /proc/version run into the fault, and reads."""
    vm.ok(f"echo Y > /sys/module/{name}/parameters/trigger")
    vm.run("cat /proc/version")


@scenario("an Oops or a warning in a patch that settles reverts it", tags=["core"])
def faults(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("sysctl -w kernel.panic_on_oops=0")
    original = vm.read("/proc/version")
    apply(vm, "lp_cmdline", "lp_oops")
    pull(vm, "lp_oops")
    becomes(vm, check, "lp_oops", "quarantined")
    check.equal("the function is as it was", vm.read("/proc/version"), original)
    check("the module is unloaded", not vm.exists("/sys/module/lp_oops"))
    check.contains("the reason is the kernel's", patches(vm)["lp_oops"]["quarantine_reason"], "oops_on_show")
    check.contains("the journal has it", vm.journal("-b", UNHEALTHY), "The kernel reported a fault in 'lp_oops'")
    check.contains("and the revert", vm.journal("-b", "-u", "livepatchd.service"), "Reverted 'lp_oops'")
    check.equal("it is not applied again", ctl(vm, "apply", f"{SIGNED}/lp_oops.ko").rc, 5)
    check.equal("the other patch stays", state(vm, "lp_cmdline"), "applied")

    apply(vm, "lp_warn")
    pull(vm, "lp_warn")
    becomes(vm, check, "lp_warn", "quarantined")
    check.contains("a warning is one, too", patches(vm)["lp_warn"]["quarantine_reason"], "warn_on_show")

    vm.reboot()
    found = states(vm)
    check.equal("neither is loaded at boot", (found.get("lp_oops"), found.get("lp_warn")), ("quarantined", "quarantined"), found)
    check("really", not vm.exists("/sys/module/lp_oops") and not vm.exists("/sys/module/lp_warn"))
    check.equal("unlike the other patch", found.get("lp_cmdline"), "applied", found)
    check.equal("the quarantine can be lifted", ctl(vm, "unquarantine", "lp_warn").rc, 0)
    check.equal("and it is applied again", ctl(vm, "apply", "lp_warn").rc, 0)


@scenario("a health check decides whether a patch stays", tags=["core"])
def check_unit(vm: Machine, check: Check) -> None:
    trust(vm)
    unit = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo checking %%i; test ! -e /etc/broken-%%i'\n".replace("%%", "%")
    vm.put(unit, "/etc/systemd/system/app-check@.service")
    vm.ok("systemctl daemon-reload")
    drop_in(vm, ["SettleTimeSec=4s", "HealthCheckUnit=app-check@.service", "ExitIdleSec=2s"])
    vm.ok("touch /etc/broken-lp_uptime")
    apply(vm, "lp_cmdline", "lp_uptime")
    becomes(vm, check, "lp_uptime", "quarantined")
    check.absent("it is reverted", vm.read("/proc/uptime"), "lp_uptime")
    check.contains("the reason names the unit", patches(vm)["lp_uptime"]["quarantine_reason"], "app-check@lp_uptime.service")
    check.contains("and its result", patches(vm)["lp_uptime"]["quarantine_reason"], "exit-code")
    check.contains("show tells it", vm.run("livepatchctl show lp_uptime").out, "app-check@lp_uptime.service")
    check("what passes is proven", vm.wait_until(lambda: phase(vm, "lp_cmdline") == "proven"), phase(vm, "lp_cmdline"))
    check.contains("the check has run", vm.journal("-b", "-u", "app-check@lp_cmdline.service"), "checking lp_cmdline")

    vm.ok("touch /etc/broken-lp_cmdline; sync")
    vm.reboot()
    # Nobody calls: livepatch-settle.path starts the daemon, and that the check.
    reverted = "! grep -q lp_patched_by /proc/cmdline && test ! -e /sys/module/lp_cmdline"
    check("what was reapplied is checked, too", vm.wait_until(reverted), vm.run("systemctl status livepatchd.service"))
    becomes(vm, check, "lp_cmdline", "quarantined")

    drop_in(vm, ["SettleTimeSec=2s", "HealthCheckUnit=no-such.service"])
    vm.ok("livepatchctl unquarantine lp_cmdline && livepatchctl apply lp_cmdline")
    check("a check that is missing is reported", vm.wait_until(lambda: "no-such.service" in vm.journal("-b", UNKNOWN)))
    check("and nothing is proven", vm.wait_until("! test -e /run/livepatch/settling") and phase(vm, "lp_cmdline") == "")
    check.equal("nor reverted", state(vm, "lp_cmdline"), "applied")
    check.contains("status says so", vm.run("livepatchctl status").out, "no-such.service")

    drop_in(vm, ["HealthCheckUnit=app-check@.service"])
    vm.ok("rm /etc/broken-lp_cmdline && touch /etc/broken-lp_cumulative")
    apply(vm, "lp_cumulative")
    becomes(vm, check, "lp_cumulative", "quarantined")
    check.equal("what it had superseded is back", state(vm, "lp_cmdline"), "applied", states(vm))
    check.matches("and in effect", vm.read("/proc/cmdline"), r"lp_patched_by=lp_cmdline$")
    check.contains("by a rollback", vm.journal("-b", "-u", "livepatchd.service"), "Rolled back 'lp_cumulative'")
    check("the module is unloaded", not vm.exists("/sys/module/lp_cumulative"))
