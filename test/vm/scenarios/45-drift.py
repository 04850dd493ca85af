# SPDX-License-Identifier: LGPL-2.1-or-later
"""What others do to the kernel's patches is seen, told, and mended."""

from __future__ import annotations

import json

from lpvm.check import Check, scenario
from lpvm.livepatch import PLAIN, SIGNED, apply, ctl, patches, state, trust
from lpvm.machine import Machine

DRIFT = "LIVEPATCH_OPERATION=watch"
# A second or two on a machine; an emulated one under load is slower.
SOON = 15


class Monitor:
    """livepatchctl monitor in the guest, which also keeps the daemon."""

    def __init__(self, vm: Machine) -> None:
        self.vm = vm
        self.process = vm.popen("livepatchctl monitor --json=short")
        vm.wait_until(lambda: vm.run("systemctl is-active livepatchd.service").rc == 0, timeout=60)

    def events(self) -> list[dict]:
        whole_lines = self.process.out.rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in whole_lines if line.startswith("{")]

    def seen(self, name: str, **wanted: str) -> bool:
        """Whether one signal said so of the patch: each property contains the text, or is empty where that is."""
        path = "/org/livepatch/patch/" + name.replace("_", "_5f")
        for event in self.events():
            if event["path"] != path or "properties" not in event:
                continue
            told = event["properties"]
            if all(k in told and (v in str(told[k]) if v else not told[k]) for k, v in wanted.items()):
                return True
        return False

    def wait(self, name: str, **wanted: str) -> bool:
        return self.vm.wait_until(lambda: self.seen(name, **wanted), timeout=SOON)


def drift(vm: Machine, name: str) -> str:
    return patches(vm)[name]["drift"]


def logged(vm: Machine) -> list[str]:
    return [json.loads(line)["MESSAGE"] for line in vm.journal("-o", "json", DRIFT).splitlines() if line.startswith("{")]


@scenario("what others do to a patch shows as drift, and reapply mends it", tags=["core"])
def drifts(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_cmdline", "lp_uptime")
    vm.settle()
    monitor = Monitor(vm)
    check.equal("nothing has drifted", [p["drift"] for p in patches(vm).values()], ["", ""])
    vm.ok("echo 0 > /sys/kernel/livepatch/lp_cmdline/enabled")
    check("switching it off is told", monitor.wait("lp_cmdline", state="disabled", drift="switched off"), monitor.events())
    vm.wait_until("! test -e /sys/kernel/livepatch/lp_cmdline", timeout=60)
    vm.ok("rmmod lp_cmdline")
    check("so is unloading it", monitor.wait("lp_cmdline", state="staged", drift="unloaded"), monitor.events())
    vm.ok("echo 0 > /sys/kernel/livepatch/lp_uptime/enabled")
    check("lp_uptime", monitor.wait("lp_uptime", state="disabled", drift="switched off"), monitor.events())
    text = vm.ok("livepatchctl status")
    check.contains("status says what to do", text, "livepatchctl reapply")
    vm.ok("livepatchctl reapply", timeout=120)
    check.contains("the unloaded one is back", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")
    check.contains("the disabled one is back", vm.read("/proc/uptime"), "lp_uptime")
    check("which is told", monitor.wait("lp_cmdline", state="applied") and monitor.wait("lp_uptime", state="applied"))
    check.equal("no drift is left", [p["drift"] for p in patches(vm).values()], ["", ""])
    wanted = [("lp_cmdline", "not as"), ("lp_cmdline", "again as"), ("lp_uptime", "not as"), ("lp_uptime", "again as")]
    entries = logged(vm)
    for name, words in wanted:
        check(f"the journal has: {name} is {words}", any(name in e and words in e for e in entries), entries)
    monitor.process.kill()


@scenario("drift is found by a daemon that was not there, and told once", tags=["core"])
def restart(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_cmdline")
    vm.settle()
    # The path unit first: it would start the daemon again, which would see the patch being switched off.
    vm.ok("systemctl stop livepatch-settle.path && systemctl stop livepatchd.service")
    vm.ok("echo 0 > /sys/kernel/livepatch/lp_cmdline/enabled")
    check("it is switched off", vm.wait_until("! test -e /sys/kernel/livepatch/lp_cmdline", timeout=60))
    check.equal("while nobody looks", vm.run("systemctl is-active livepatchd.service").out.strip(), "inactive")
    check.contains("a new daemon sees it", drift(vm, "lp_cmdline"), "switched off")
    vm.wait_until(lambda: len(logged(vm)) == 1, timeout=SOON)
    for _ in range(2):
        vm.ok("systemctl restart livepatchd.service")
        check.contains("so does the next", drift(vm, "lp_cmdline"), "switched off")
    check.equal("the journal has it once", len(logged(vm)), 1, logged(vm))
    # Another build of the name is never taken for the one on record.
    vm.ok("rmmod lp_cmdline")
    vm.ok(f"insmod {PLAIN}/lp_second_build.ko")
    vm.settle()
    check.contains("another build", drift(vm, "lp_cmdline"), "Another build")
    check.equal("is not ours", state(vm, "lp_cmdline"), "external")
    r = ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko")
    check.equal("the file is not applied already", r.rc, 5, r)
    check.contains("and the text says why", r.err, "Another build")
    r = ctl(vm, "reapply")
    check.equal("reapply fails", r.rc, 1, r)
    check.contains("the other one stays", vm.read("/proc/cmdline"), "second_build")
    vm.ok("livepatchctl revert lp_cmdline", timeout=120)
    vm.ok("livepatchctl apply lp_cmdline", timeout=120)
    check.equal("as the text says", state(vm, "lp_cmdline"), "applied")
    check.equal("without drift", drift(vm, "lp_cmdline"), "")
    # The same build, whoever loads it, is what is on record.
    vm.ok("echo 0 > /sys/kernel/livepatch/lp_cmdline/enabled")
    vm.wait_until("! test -e /sys/kernel/livepatch/lp_cmdline", timeout=60)
    vm.ok(f"rmmod lp_cmdline && insmod {SIGNED}/lp_cmdline.ko")
    vm.settle()
    check.equal("the same build counts", (state(vm, "lp_cmdline"), drift(vm, "lp_cmdline")), ("applied", ""))


@scenario("strangers' patches appear and go as they do", tags=["core"])
def strangers(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_cmdline")
    vm.settle()
    monitor = Monitor(vm)
    vm.ok(f"insmod {PLAIN}/lp_uptime.ko")
    check("one that insmod loaded appears", monitor.wait("lp_uptime", state="external"), monitor.events())
    check.equal("it has not drifted", drift(vm, "lp_uptime"), "")
    vm.settle()
    vm.ok("echo 0 > /sys/kernel/livepatch/lp_uptime/enabled")
    vm.wait_until("! test -e /sys/kernel/livepatch/lp_uptime", timeout=60)
    vm.ok("rmmod lp_uptime")
    gone = "/org/livepatch/patch/lp_5fuptime"
    check("and goes", vm.wait_until(lambda: any(e["event"] == "patch-removed" and e["path"] == gone
                                                for e in monitor.events()), timeout=SOON), monitor.events())
    vm.settle()
    vm.ok(f"insmod {PLAIN}/lp_cumulative.ko")
    vm.settle()
    check("a foreign replacement is told", monitor.wait("lp_cmdline", drift="lp_cumulative"), monitor.events())
    check("and is no state of ours", state(vm, "lp_cmdline") in ("disabled", "superseded"), patches(vm))
    vm.ok("livepatchctl reapply", timeout=120)
    check.equal("reapply mends it", (state(vm, "lp_cmdline"), drift(vm, "lp_cmdline")), ("applied", ""))
    check.contains("in the kernel", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")
    monitor.process.kill()


@scenario("what somebody else loaded is adopted, if its file is found and verifies", tags=["core"])
def adopt(vm: Machine, check: Check) -> None:
    trust(vm)
    for path in (f"{SIGNED}/lp_cmdline.ko", f"{PLAIN}/lp_uptime.ko"):
        vm.ok(f"insmod {path}")
        vm.settle()
    r = ctl(vm, "adopt", "lp_cmdline")
    check("without a file it is refused", r.rc != 0 and "no file" in r.err, r)
    where = f"/var/lib/kpatch/{vm.release}"
    vm.ok(f"mkdir -p {where} && cp {SIGNED}/lp_second_build.ko {where}/lp-cmdline.ko")
    r = ctl(vm, "adopt", "lp_cmdline")
    check.equal("another build of it is not it", r.rc, 5, r)
    check.contains("which is said", r.err, "another build")
    vm.ok(f"cp {PLAIN}/lp_uptime.ko {where}/ && cp {SIGNED}/lp_cmdline.ko {where}/lp-cmdline.ko && chmod 666 {where}/lp-cmdline.ko")
    r = ctl(vm, "adopt", "lp_cmdline")
    check("a file that others can change is not taken", r.rc != 0 and "root alone" in r.err, r)
    vm.ok(f"chmod 644 {where}/lp-cmdline.ko")
    check.equal("alice may not", ctl(vm, "adopt", "lp_cmdline", user="alice").rc, 3)
    r = ctl(vm, "adopt", "lp_uptime")
    check.equal("an unsigned one is refused", r.rc, 5, r)
    check.equal("so far nothing is kept", [p["reapply"] for p in patches(vm).values()], [False, False])
    vm.ok("livepatchctl adopt lp_cmdline")
    p = patches(vm)["lp_cmdline"]
    check.equal("lp_cmdline is ours", (p["state"], p["reapply"], p["signature_status"]), ("applied", True, "trusted"))
    r = ctl(vm, "adopt", "lp_cmdline")
    check("once", r.rc != 0 and "already" in r.err, r)
    r = ctl(vm, "adopt", "lp_uptime", f"{SIGNED}/lp_cmdline.ko")
    check("another module's file is not taken", r.rc == 5 and "not 'lp_uptime'" in r.err, r)
    vm.ok(f"livepatchctl adopt lp_uptime {SIGNED}/lp_uptime.ko")
    check.equal("the same build, signed: with its file", state(vm, "lp_uptime"), "applied")
    # What was adopted is missed when it goes.
    vm.ok("echo 0 > /sys/kernel/livepatch/lp_uptime/enabled")
    check("it drifts", vm.wait_until(lambda: "switched off" in drift(vm, "lp_uptime"), timeout=60))
    vm.reboot()
    check.contains("and it is applied at boot", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")
    check.contains("with the other", vm.read("/proc/uptime"), "lp_uptime")


@scenario("kpatch's patches are imported, and the two do not fight", image="bench")
def import_kpatch(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok(f"kpatch install {SIGNED}/lp_cmdline.ko && kpatch install {SIGNED}/lp_uptime.ko && kpatch install {PLAIN}/lp_bench_1.ko")
    vm.ok("kpatch load lp_cmdline.ko", timeout=120)
    vm.settle()
    check.equal("kpatch's patch is external", state(vm, "lp_cmdline"), "external")
    r = ctl(vm, "import-kpatch", "--disable-service")
    check.equal("one of them is refused", r.rc, 5, r)
    check.contains("the unsigned one, by its file", r.err, "lp_bench_1.ko")
    check("kpatch.service stays", vm.run("systemctl is-enabled kpatch.service").rc == 0)
    found = {n: (p["state"], p["reapply"]) for n, p in patches(vm).items()}
    check.equal("the others are ours", found, {"lp_cmdline": ("applied", True), "lp_uptime": ("staged", True)})
    vm.ok("kpatch uninstall lp_bench_1.ko")
    # Both at boot: who comes second leaves alone what is there.
    vm.reboot()
    check.equal("both are ours after a reboot", {n: p["state"] for n, p in patches(vm).items()},
                {"lp_cmdline": "applied", "lp_uptime": "applied"})
    r = vm.run("systemctl is-failed kpatch.service livepatch-reapply.service")
    check.absent("neither unit has failed", r.out.split(), "failed")
    check.equal("nothing has drifted", [p["drift"] for p in patches(vm).values()], ["", ""])
    r = ctl(vm, "import-kpatch", "--disable-service")
    check.equal("importing again does no harm", r.rc, 0, r)
    check("and kpatch.service is disabled", vm.run("systemctl is-enabled kpatch.service").rc != 0, r)
    check.equal("nothing has changed in the kernel", {n: p["state"] for n, p in patches(vm).items()},
                {"lp_cmdline": "applied", "lp_uptime": "applied"})
