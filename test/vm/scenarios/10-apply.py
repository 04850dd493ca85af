# SPDX-License-Identifier: LGPL-2.1-or-later
"""The main job: a signed module is applied over the bus, survives a reboot, is switched off and on, removed."""

from __future__ import annotations

import json

from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, VARIANTS, apply, ctl, drop_in, files, patches, state, trust
from lpvm.machine import Machine


@scenario("an applied patch survives a reboot", tags=["core"])
def applied_survives_reboot(vm: Machine, check: Check) -> None:
    original = vm.read("/proc/cmdline")
    r = ctl(vm, "trust", "add", "/opt/pki/signer.pem")
    check.equal("trust add succeeds", r.rc, 0, r)
    r = ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko")
    check.equal("apply succeeds", r.rc, 0, r)
    check.contains("/proc/cmdline is patched", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")

    shown = vm.ok("livepatchctl show lp_cmdline")
    check.contains("show names the function", shown, "cmdline_proc_show")
    check.contains("show names the signer", shown, "livepatch test signer")
    check.contains("show names the state", shown, "applied")
    build_id = vm.get("/sys/module/lp_cmdline/notes/.note.gnu.build-id")[16:].hex()
    check.contains("show names the build-id", shown, build_id)

    vm.reboot()
    check.contains("patched again after the reboot", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")
    check.equal("nothing failed at boot", vm.wait_for_boot(), "running", vm.run("systemctl --failed --no-legend"))
    story = vm.journal("-b", "-u", "livepatch-reapply.service")
    check.contains("the journal tells the story", story, "Applied 'lp_cmdline'")
    check.contains("and its end", story, "1 of 1 live patches")
    check.contains("livepatchctl log tells it, too", vm.ok("livepatchctl --no-pager log lp_cmdline"), "Applied 'lp_cmdline'")
    times = vm.ok(
        "systemctl show -P ExecMainExitTimestampMonotonic livepatch-reapply.service; "
        "systemctl show -P ActiveEnterTimestampMonotonic network-pre.target"
    ).split()
    check("patched before network-pre.target", 0 < int(times[0]) <= int(times[1]), times)
    check.equal("the state is applied", state(vm, "lp_cmdline"), "applied")

    r = ctl(vm, "revert", "lp_cmdline")
    check.equal("revert succeeds", r.rc, 0, r)
    check.equal("the function is as it was", vm.read("/proc/cmdline"), original)
    check("the module is unloaded", not vm.exists("/sys/module/lp_cmdline"))
    check.equal("it stays staged", state(vm, "lp_cmdline"), "staged")
    check.equal("and is not reapplied", patches(vm)["lp_cmdline"]["reapply"], False)


@scenario("disable and enable decide what the next boot does", tags=["core"])
def disable_enable(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_cmdline", "lp_uptime")
    check.equal("disable succeeds", ctl(vm, "disable", "lp_cmdline").rc, 0)
    check.contains("it is applied all the same", vm.read("/proc/cmdline"), "lp_cmdline")
    check.equal("revert --runtime succeeds", ctl(vm, "revert", "--runtime", "lp_uptime").rc, 0)
    check.absent("lp_uptime is reverted", vm.read("/proc/uptime"), "lp_uptime")
    vm.reboot()
    check.absent("the disabled one is not reapplied", vm.read("/proc/cmdline"), "lp_patched_by")
    check.contains("the one reverted for that boot only is", vm.read("/proc/uptime"), "lp_uptime")
    check.equal("the disabled one is staged", state(vm, "lp_cmdline"), "staged")

    check.equal("enable succeeds", ctl(vm, "enable", "lp_cmdline").rc, 0)
    check.absent("enable changes nothing now", vm.read("/proc/cmdline"), "lp_patched_by")
    vm.reboot()
    check.contains("but the next boot", vm.read("/proc/cmdline"), "lp_cmdline")

    check.equal("remove succeeds", ctl(vm, "remove", "lp_cmdline", "lp_uptime").rc, 0)
    check.absent("removed is reverted", vm.read("/proc/cmdline"), "lp_patched_by")
    check.equal("nothing is known of them", patches(vm), {})
    check.equal("nothing is left on disk", files(vm), [])
    check.equal("show says so", ctl(vm, "show", "lp_cmdline").rc, 4)
    vm.reboot()
    check.absent("and nothing comes back", vm.read("/proc/cmdline") + vm.read("/proc/uptime"), "lp_")


@scenario("a patch applied with --runtime lasts for this boot", tags=["core"])
def runtime(vm: Machine, check: Check) -> None:
    trust(vm)
    check.equal("apply --runtime succeeds", ctl(vm, "apply", "--runtime", f"{SIGNED}/lp_cmdline.ko").rc, 0)
    check.contains("it is applied", vm.read("/proc/cmdline"), "lp_cmdline")
    check.equal("and not reapplied", patches(vm)["lp_cmdline"]["reapply"], False)
    vm.ok("systemctl stop livepatchd.service")
    check.equal("a new daemon knows it", state(vm, "lp_cmdline"), "applied")
    vm.reboot()
    check.absent("after a reboot it is not applied", vm.read("/proc/cmdline"), "lp_patched_by")
    check.equal("and forgotten", patches(vm), {})
    check.equal("on disk, too", files(vm), [])


@scenario("two patches stack, and go in any order", tags=["core"])
def stack(vm: Machine, check: Check) -> None:
    trust(vm)
    r = ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko", f"{SIGNED}/lp_uptime.ko")
    check.equal("one call applies both", r.rc, 0, r)
    check.contains("the first", vm.read("/proc/cmdline"), "lp_cmdline")
    check.contains("the second", vm.read("/proc/uptime"), "lp_uptime")
    check.equal("the lower one is reverted first", ctl(vm, "revert", "lp_cmdline").rc, 0)
    check.absent("it is gone", vm.read("/proc/cmdline"), "lp_patched_by")
    check.contains("the upper one stays", vm.read("/proc/uptime"), "lp_uptime")
    check.equal("a staged patch is applied by its name", ctl(vm, "apply", "lp_cmdline").rc, 0)
    check.contains("it is back", vm.read("/proc/cmdline"), "lp_cmdline")
    check.equal("both are reapplied", [p["reapply"] for p in patches(vm).values()], [True, True])


@scenario("applying twice is no error, another build of the name is", tags=["core"])
def twice(vm: Machine, check: Check) -> None:
    trust(vm)
    check.equal("for this boot", ctl(vm, "apply", "--runtime", f"{SIGNED}/lp_cmdline.ko").rc, 0)
    r = ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko")
    check.equal("applied again, to last", r.rc, 0, r)
    check.contains("it says that it was applied already", r.out + r.err, "already")
    check.equal("now it is reapplied", patches(vm)["lp_cmdline"]["reapply"], True)
    r = ctl(vm, "apply", f"{SIGNED}/lp_second_build.ko")
    check.equal("another build is refused", r.rc, 5, r)
    check.contains("with the reason", r.err, "Another build")
    check.contains("the first build stays", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")
    check.equal("one job loaded it", vm.kmsg().count("enabling patch 'lp_cmdline'"), 1)
    check.equal("reverted", ctl(vm, "revert", "lp_cmdline").rc, 0)
    r = ctl(vm, "apply", f"{SIGNED}/lp_second_build.ko")
    check.equal("then the other build is applied", r.rc, 0, r)
    check.contains("it is the other one", vm.read("/proc/cmdline"), "lp_cmdline.second_build")
    check.equal("one module file is left", len([f for f in files(vm) if f.endswith(".ko")]), 1)
    vm.reboot()
    check.contains("and the boot applies the other one", vm.read("/proc/cmdline"), "lp_cmdline.second_build")


@scenario("a function of a module is patched when the module is there", tags=["core"])
def target_module(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("insmod /opt/modules/plain/lp_target.ko")
    apply(vm, "lp_target_fix")
    check.contains("loaded before: patched", vm.read("/proc/lp_target"), "fixed by lp_target_fix")
    shown = json.loads(vm.ok("livepatchctl show --json=short lp_target_fix"))
    text = vm.ok("livepatchctl show lp_target_fix")
    check.contains("show names the object", text, "lp_target")
    check.contains("and its function", text, "lp_target_show")
    check("as JSON, too", "lp_target_show" in json.dumps(shown), shown)
    vm.reboot()
    check.equal("applied at boot without the module", state(vm, "lp_target_fix"), "applied")
    vm.ok("insmod /opt/modules/plain/lp_target.ko")
    check.contains("loaded after: patched", vm.read("/proc/lp_target"), "fixed by lp_target_fix")
    check.equal("revert", ctl(vm, "revert", "lp_target_fix").rc, 0)
    check.contains("unpatched", vm.read("/proc/lp_target"), "original")


@scenario("standard input, compressed files, several digests and keys", tags=["core"])
def ways_in(vm: Machine, check: Check) -> None:
    trust(vm, "signer", "other", "codesign", "mok", "ec")
    with_input = vm.run("livepatchctl apply -", stdin=vm.get(f"{SIGNED}/lp_cmdline.ko"))
    check.equal("a module from standard input", with_input.rc, 0, with_input)
    check.contains("is applied", vm.read("/proc/cmdline"), "lp_cmdline")
    for name in ("lp_cmdline.ko.gz", "lp_cmdline.ko.xz", "lp_cmdline.ko.zst", "ec.ko", "skid.ko", "codesign.ko", "mok.ko",
                 "sha512.ko", "two_signers.ko", "other.ko"):  # fmt: skip
        check.equal("removed", ctl(vm, "remove", "lp_cmdline").rc, 0)
        r = ctl(vm, "apply", f"{VARIANTS}/{name}")
        check.equal(f"{name} is applied", r.rc, 0, r)
        check.contains(f"{name} patches", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")
        check.equal(f"{name} is trusted", patches(vm)["lp_cmdline"]["signature_status"], "trusted")


@scenario("patches for other kernels are staged ahead")
def stage_ahead(vm: Machine, check: Check) -> None:
    trust(vm)
    r = ctl(vm, "stage", f"{VARIANTS}/other_kernel.ko")
    check.equal("a kernel that is not installed is refused", r.rc, 5, r)
    release = json.loads(vm.ok(f"livepatchctl inspect --json=short {VARIANTS}/other_kernel.ko || true"))["modules"][0]["kernel_release"]
    vm.ok(f"mkdir -p /usr/lib/modules/{release}")
    r = ctl(vm, "stage", "--reapply", f"{VARIANTS}/other_kernel.ko")
    check.equal("one that is installed is fine", r.rc, 0, r)
    check.equal("it is listed", patches(vm)[f"lp_cmdline@{release}"]["state"], "staged")
    r = ctl(vm, "apply", "lp_cmdline")
    check.equal("it is not for this kernel", r.rc, 5, r)
    check.equal("this kernel's own may be staged beside it", ctl(vm, "stage", f"{SIGNED}/lp_cmdline.ko").rc, 0)
    check.equal("and is the one meant by the name", ctl(vm, "apply", "lp_cmdline").rc, 0)
    vm.reboot()
    check.contains("the boot applies this kernel's", vm.read("/proc/cmdline"), "lp_cmdline")
    check.equal("the other stays staged", patches(vm)[f"lp_cmdline@{release}"]["state"], "staged")
    check.equal("and can be removed", ctl(vm, "remove", f"lp_cmdline@{release}").rc, 0)


@scenario("the daemon uses little and leaves when idle")
def idle(vm: Machine, check: Check) -> None:
    trust(vm)
    drop_in(vm, ["SettleTimeSec=2s", "ExitIdleSec=5s"])  # it stays as long as something settles
    apply(vm, "lp_cmdline")
    check("it exits when idle", vm.wait_until("! systemctl is-active --quiet livepatchd.service", timeout=90))
    check.equal("cleanly", vm.ok("systemctl show -P Result livepatchd.service").strip(), "success")
    check.equal("and comes back when called", state(vm, "lp_cmdline"), "applied")
