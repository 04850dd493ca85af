# SPDX-License-Identifier: LGPL-2.1-or-later
"""The crash guard: patches that take the machine down, power cuts, and reboots that look like neither."""

from __future__ import annotations

from lpvm.agent import GuestGone, GuestTimeout
from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, apply, ctl, drop_in, patches, state, states, trust
from lpvm.machine import Machine

GUARD = "/var/lib/livepatch/guard"
LONG = "SettleTimeSec=20min"


def crash_by(vm: Machine, command: str) -> None:
    """Runs what panics the kernel, and boots again."""
    try:
        vm.run(command, timeout=60)
    except (GuestGone, GuestTimeout):
        pass
    vm.wait_for_reset()
    vm.start()


def with_crash_memory(vm: Machine) -> dict[str, tuple[str, ...]]:
    """Hardware that keeps what a panicking kernel puts into pstore (ACPI's Error Record Serialization Table)."""
    memory = f"memory-backend-file,id=erst,mem-path={vm.directory / 'erst'},size=65536,share=on"
    return {"extra": ("-object", memory, "-device", "acpi-erst,memdev=erst")}


def phase(vm: Machine, name: str) -> str:
    return vm.run(f"sed -n 's/.*\"phase\": \"\\([a-z]*\\)\".*/\\1/p' {GUARD}/{vm.release}/{name}.json").out.strip()


def proven(vm: Machine, check: Check, *names: str) -> None:
    for name in names:
        check(f"{name} settles", vm.wait_until(lambda n=name: phase(vm, n) == "proven", timeout=60), phase(vm, name))


@scenario("a patch that panics while it is loaded is quarantined, and unquarantine lifts that", tags=["core"])
def panics_while_loading(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_cmdline")
    vm.ok("sync")
    crash_by(vm, f"livepatchctl apply {SIGNED}/lp_panic_init.ko")
    check.equal("it is quarantined", state(vm, "lp_panic_init"), "quarantined", states(vm))
    check("and not loaded", not vm.exists("/sys/module/lp_panic_init"))
    reason = patches(vm)["lp_panic_init"]["quarantine_reason"]
    check.contains("the reason is told", reason, "while the kernel was loading")
    check.contains("by status, too", vm.run("livepatchctl status").out, "quarantined")
    check.contains("and by the journal", vm.journal("-b", "-u", "livepatch-reapply.service"), "Quarantined 'lp_panic_init'")
    refused = ctl(vm, "apply", f"{SIGNED}/lp_panic_init.ko")
    check.equal("an apply by hand is refused", refused.rc, 5, refused)
    check.contains("with the way out", refused.err, "livepatchctl unquarantine lp_panic_init")
    staged = ctl(vm, "stage", "--reapply", f"{SIGNED}/lp_panic_init.ko")
    check.contains("it may be staged, and that is said", staged.out, "is quarantined")
    check.contains("and for the boot", ctl(vm, "enable", "lp_panic_init").out, "is quarantined")
    check.contains("plan leaves it out", ctl(vm, "plan").out, "lp_panic_init' is quarantined")
    check.equal("so does reapply", ctl(vm, "reapply").rc, 1)
    check.equal("an ordinary user must not lift it", ctl(vm, "unquarantine", "lp_panic_init", user="alice").rc, 3)
    check.equal("it is lifted", ctl(vm, "unquarantine", "lp_panic_init").rc, 0)
    check.equal("it is as any other one", state(vm, "lp_panic_init"), "staged")
    check.equal("once only", ctl(vm, "unquarantine", "lp_panic_init").rc, 5)


@scenario("a patch that panics when its function runs is quarantined, and the rest is reapplied", tags=["core"], boot=False)
def panics_when_called(vm: Machine, check: Check) -> None:
    vm.start(**with_crash_memory(vm))
    trust(vm)
    drop_in(vm, ["SettleTimeSec=5s"])
    apply(vm, "lp_cmdline")
    proven(vm, check, "lp_cmdline")
    drop_in(vm, [LONG])
    apply(vm, "lp_panic")
    check.equal("it is settling", phase(vm, "lp_panic"), "settling")
    vm.ok("sync")
    crash_by(vm, "cat /proc/version")
    found = states(vm)
    check.equal("it is quarantined", found.get("lp_panic"), "quarantined", found)
    check.equal("the other one is reapplied", found.get("lp_cmdline"), "applied", found)
    check.contains("really", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")
    kept = vm.run("find /var/lib/systemd/pstore /sys/fs/pstore -type f | xargs -r head -n 30")
    reason = patches(vm)["lp_panic"]["quarantine_reason"]
    check("what the crashed kernel logged is quoted", "panic_on_show+0x" in reason, f"{reason}\n{kept}")
    check.equal("the unit says that not all is well", vm.run("systemctl is-failed livepatch-reapply.service").out.strip(), "failed")
    vm.reboot()
    check.equal("so it stays", state(vm, "lp_panic"), "quarantined")
    vm.ok("cat /proc/version")


@scenario("an enabled patch that panics while it is loaded takes the machine down once")
def no_loop(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok(f"livepatchctl stage --reapply {SIGNED}/lp_panic_init.ko")
    vm.ok(f"livepatchctl stage --reapply {SIGNED}/lp_cmdline.ko")
    vm.ok("sync")
    vm.popen(["systemctl", "reboot"])
    vm.wait_for_reset()
    vm.start(wait=False)
    vm.wait_for_reset()
    vm.start()
    check.equal("it is quarantined", state(vm, "lp_panic_init"), "quarantined", states(vm))
    log = vm.journal("-b", "-u", "livepatch-reapply.service")
    check.equal("the one behind it is applied", state(vm, "lp_cmdline"), "applied", log)
    check("it is still to be reapplied", patches(vm)["lp_panic_init"]["reapply"])


@scenario("power cuts and reboots in the settle time")
def power_cuts(vm: Machine, check: Check) -> None:
    trust(vm)
    drop_in(vm, [LONG])
    apply(vm, "lp_cmdline")
    vm.reboot()
    check.equal("a clean reboot is no crash", state(vm, "lp_cmdline"), "applied")
    check.equal("of a patch that is still not proven", phase(vm, "lp_cmdline"), "settling")
    drop_in(vm, ["SettleTimeSec=5s"])
    check.equal("a call", state(vm, "lp_cmdline"), "applied")
    proven(vm, check, "lp_cmdline")

    drop_in(vm, [LONG])
    vm.reboot()
    check.equal("it settles again", phase(vm, "lp_cmdline"), "settling")
    vm.power_cut()
    vm.start()
    check.equal("a power cut costs a proven patch nothing", state(vm, "lp_cmdline"), "applied")
    vm.power_cut()
    vm.start()
    check.equal("but not twice in a row", state(vm, "lp_cmdline"), "quarantined", vm.read(f"{GUARD}/{vm.release}/lp_cmdline.json"))

    apply(vm, "lp_second_build")
    check.contains("another build of the name is applied", vm.read("/proc/cmdline"), "lp_cmdline.second_build")
    refused = ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko")
    check.contains("which lifts no quarantine", refused.err, "twice in a row")
    crash_by(vm, "echo c > /proc/sysrq-trigger")
    check.equal("a panic quarantines that build, too", state(vm, "lp_cmdline"), "quarantined")
    check.absent("neither is loaded", vm.read("/proc/cmdline"), "lp_patched_by")
    for build in ("lp_cmdline", "lp_second_build"):
        refused = ctl(vm, "apply", f"{SIGNED}/{build}.ko")
        check(f"{build} is refused", refused.rc == 5 and "is quarantined" in refused.err, refused)
    lifted = ctl(vm, "unquarantine", "lp_cmdline")
    check("both are lifted", lifted.rc == 0 and "2 were" in lifted.out, lifted)
    apply(vm, "lp_cmdline")


@scenario("what was reapplied settles although nobody calls", tags=["core"])
def settles_alone(vm: Machine, check: Check) -> None:
    trust(vm)
    drop_in(vm, ["SettleTimeSec=5s", "ExitIdleSec=2s"])
    apply(vm, "lp_cmdline")
    vm.reboot()
    proven(vm, check, "lp_cmdline")
    check("the daemon ends when it has", vm.wait_until("! systemctl is-active --quiet livepatchd.service", timeout=60))
    check("and is not started again", not vm.exists("/run/livepatch/settling"))


@scenario("a patch that hangs the boot is quarantined at the next one")
def hangs_the_boot(vm: Machine, check: Check) -> None:
    trust(vm)
    drop_in(vm, ["SettleTimeSec=2s"])
    apply(vm, "lp_uptime")
    proven(vm, check, "lp_uptime")
    vm.ok(f"livepatchctl stage --reapply {SIGNED}/lp_hang.ko")
    vm.ok("sync")
    vm.popen(["systemctl", "reboot"])
    vm.wait_for_reset()
    vm.start(wait=False)
    check.require("the boot hangs", vm.wait_until(lambda: "lp_hang: " in vm.console, timeout=180))
    vm.power_cut()
    vm.start()
    check.equal("it is quarantined", state(vm, "lp_hang"), "quarantined", states(vm))
    check.contains("and the boot is complete", vm.read("/proc/cmdline"), "root=")
    check.equal("a proven patch is reapplied", state(vm, "lp_uptime"), "applied", states(vm))
