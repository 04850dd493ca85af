# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reapplying at boot: order, bad patches among good ones, kill switches, vendor patches, stalls."""

from __future__ import annotations

import time

from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, STATE, apply, ctl, patches, state, states, trust
from lpvm.machine import Machine


@scenario("of five patches one is corrupted and one fails: three are applied", tags=["core"])
def five(vm: Machine, check: Check) -> None:
    trust(vm)
    names = [f"lp_bench_{i}" for i in range(1, 5)]
    apply(vm, *names)
    # Staging judges the file; at boot the kernel is the judge.
    r = ctl(vm, "stage", "--reapply", f"{SIGNED}/lp_missing.ko")
    check.equal("the fifth, that the kernel will refuse, is staged", r.rc, 0, r)
    module = vm.ok(f"echo {STATE}/patches/{vm.release}/lp_bench_2/*.ko").strip()
    vm.ok(f"printf '\\252' | dd of={module} bs=1 seek=5000 conv=notrunc status=none && sync")
    vm.reboot()
    seen = states(vm)
    check.equal("three are applied", [n for n in names if seen[n] == "applied"], ["lp_bench_1", "lp_bench_3", "lp_bench_4"])
    check.equal("the corrupted one failed", seen.get("lp_bench_2"), "failed")
    check.equal("the refused one failed", seen.get("lp_missing"), "failed")
    check.contains("its reason is kept", vm.ok("livepatchctl show lp_missing"), "livepatch_test_no_such_function")
    check("the corrupted one's reason, too", len(patches(vm)["lp_bench_2"]["failure_reason"]) > 20, patches(vm)["lp_bench_2"])
    check.equal("the boot came to its end", vm.wait_for_boot(), "degraded")
    check.contains("the unit is marked", vm.ok("systemctl --failed --no-legend"), "livepatch-reapply.service")
    story = vm.journal("-b", "-u", "livepatch-reapply.service")
    check.contains("the journal names one", story, "lp_bench_2")
    check.contains("and the other", story, "lp_missing")
    check.contains("and counts", story, "3 of 5")
    check.contains("status shows what failed", vm.run("livepatchctl status").out, "lp_missing")
    order = [line.split("'")[1] for line in vm.kmsg().splitlines() if "enabling patch" in line]
    check.equal("in the order recorded", [n for n in order if n in names], ["lp_bench_1", "lp_bench_3", "lp_bench_4"])


@scenario("kill switches", cmdline="")
def kill_switches(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_cmdline")
    vm.reboot(cmdline_extra="livepatch=no-reapply")
    check.absent("livepatch=no-reapply: not reapplied", vm.read("/proc/cmdline"), "lp_patched_by")
    check.contains("status says so", vm.ok("livepatchctl status"), "no-reapply")
    check.equal("but it may be applied by hand", ctl(vm, "apply", "lp_cmdline").rc, 0)

    vm.reboot(cmdline_extra="livepatch=off")
    check.absent("livepatch=off: not reapplied", vm.read("/proc/cmdline"), "lp_patched_by")
    r = ctl(vm, "apply", "lp_cmdline")
    check.equal("and not applied by hand", r.rc, 5, r)
    check.contains("the switch is named", r.err, "livepatch=off")
    check.contains("status says so", vm.run("livepatchctl status").out, "off")

    vm.reboot(cmdline_extra="")
    check.contains("without a switch it is reapplied", vm.read("/proc/cmdline"), "lp_cmdline")
    vm.ok("touch /etc/livepatch/disabled")
    vm.reboot()
    check.absent("/etc/livepatch/disabled: not reapplied", vm.read("/proc/cmdline"), "lp_patched_by")
    check.equal("and not applied by hand", ctl(vm, "apply", "lp_cmdline").rc, 5)
    vm.ok("rm /etc/livepatch/disabled")
    check.equal("reapply applies it when the switch is gone", ctl(vm, "reapply").rc, 0)
    check.contains("it patches", vm.read("/proc/cmdline"), "lp_cmdline")


@scenario("a vendor's patches are applied unless the administrator says no", tags=["core"])
def vendor(vm: Machine, check: Check) -> None:
    directory = f"/usr/lib/livepatch/patches/{vm.release}"
    vm.ok("mkdir -p /usr/lib/livepatch/trusted.d && cp /opt/pki/signer.pem /usr/lib/livepatch/trusted.d/vendor.pem")
    vm.ok(f"mkdir -p {directory} && cp {SIGNED}/lp_cmdline.ko {SIGNED}/lp_uptime.ko /opt/modules/plain/lp_bench_3.ko {directory}/")
    vm.reboot()
    check.contains("reapplied", vm.read("/proc/cmdline"), "lp_cmdline")
    check.contains("both", vm.read("/proc/uptime"), "lp_uptime")
    check.absent("an unsigned one is not", vm.read("/proc/version"), "lp_bench_3")
    check.equal("shown as the vendor's", patches(vm)["lp_cmdline"]["origin"], "vendor")
    check.contains("status names the unsigned one", vm.run("livepatchctl status").out, "lp_bench_3")
    r = ctl(vm, "remove", "lp_cmdline")
    check("it cannot be removed", r.rc != 0 and "package" in r.err, r)
    check.equal("but reverted", ctl(vm, "revert", "lp_cmdline").rc, 0)
    vm.reboot()
    check.absent("which lasts", vm.read("/proc/cmdline"), "lp_patched_by")
    check.contains("for this one only", vm.read("/proc/uptime"), "lp_uptime")
    check.equal("enabled again", ctl(vm, "enable", "lp_cmdline").rc, 0)
    vm.reboot()
    check.contains("it is back", vm.read("/proc/cmdline"), "lp_cmdline")


@scenario("a transition that stalls does not hold the boot up")
def stalled_boot(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("mkdir -p /etc/livepatch/livepatch.conf.d")
    vm.put(b"[Livepatch]\nBootTimeoutSec=5s\n", "/etc/livepatch/livepatch.conf.d/boot.conf")
    apply(vm, "lp_cmdline")
    check.equal("the one that will stall is staged", ctl(vm, "stage", "--reapply", f"{SIGNED}/lp_stall.ko").rc, 0)
    # The blocker sleeps in the function before the patch comes.
    vm.put(
        b"[Unit]\nDefaultDependencies=no\nBefore=livepatch-reapply.service\nAfter=systemd-remount-fs.service\n"
        b"[Service]\nType=oneshot\nExecStart=insmod /opt/modules/plain/lp_busy.ko\n[Install]\nWantedBy=sysinit.target\n",
        "/etc/systemd/system/lp-busy.service",
    )
    vm.ok("systemctl enable lp-busy.service && sync")
    vm.shutdown()
    begin = time.monotonic()
    vm.start()
    check.below("the boot goes on", time.monotonic() - begin, 90)
    check.contains("the one before it is applied", vm.read("/proc/cmdline"), "lp_cmdline")
    check.equal("the stalled one goes on in the background", state(vm, "lp_stall"), "applying")
    check.contains("the journal tells", vm.journal("-b", "-u", "livepatch-reapply.service"), "lp_stall")
    vm.ok("echo Y > /sys/module/lp_busy/parameters/release")
    check("released, it is applied", vm.wait_until(lambda: state(vm, "lp_stall") == "applied", timeout=60), states(vm))
