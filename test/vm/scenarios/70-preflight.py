# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the running kernel would refuse is found out before it is asked; plans tell what would be done."""

from __future__ import annotations

import json

from lpvm.check import Check, scenario
from lpvm.livepatch import PLAIN, SIGNED, call, ctl, files, last_error, patches, trust
from lpvm.machine import Machine


def attempts(vm: Machine) -> list[str]:
    """What the kernel's log has of patches and of modules that were refused."""
    return [line for line in vm.kmsg().splitlines() if "livepatch" in line]


def refused(vm: Machine, check: Check, what: str, module: str, error: str, rc: int, word: str) -> None:
    before = attempts(vm)
    r = ctl(vm, "apply", f"{SIGNED}/{module}.ko")
    check.equal(f"{what}: refused with exit code {rc}", r.rc, rc, r)
    check.equal(f"{what}: the error is {error}", last_error(vm), error, r)
    check.contains(f"{what}: the text names it", r.err, word)
    check.absent(f"{what}: no addresses", r.err, "0xffff")
    check.equal(f"{what}: the kernel's log shows no attempt", attempts(vm), before)
    check.equal(f"{what}: nothing is left on disk", files(vm), [])


def inspected(vm: Machine, module: str, user: str = "root") -> dict:
    return json.loads(ctl(vm, "inspect", "--json=short", f"{SIGNED}/{module}.ko", user=user).out)["modules"][0]


def codes(report: dict) -> dict[str, str]:
    return {f["code"]: f["severity"] for f in report["findings"]}


def planned(vm: Machine, *names: str) -> list[tuple[str, str]]:
    steps = json.loads(vm.ok(["livepatchctl", "plan", "--json=short", *names]))["steps"]
    return [(s["action"], s["patch"]) for s in steps]


@scenario("what the kernel would refuse does not reach it", tags=["core"])
def preflight(vm: Machine, check: Check) -> None:
    trust(vm)
    refused(vm, check, "a missing function", "lp_missing", "KernelRefused", 1, "livepatch_test_no_such_function")
    vm.ok(f"insmod {PLAIN}/lp_kprobe.ko")
    refused(vm, check, "a kprobe with a post handler", "lp_cmdline", "Conflict", 5, "kprobe")
    vm.ok("rmmod lp_kprobe")
    vm.ok(f"insmod {PLAIN}/lp_kprobe.ko post=N")
    report = inspected(vm, "lp_cmdline")
    check.equal("a plain kprobe is warned of", codes(report).get("function-probed"), "warning")
    check.equal("and does not stop it", ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko").rc, 0)
    check.contains("it patches", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")
    vm.ok("rmmod lp_kprobe")
    vm.ok("livepatchctl remove lp_cmdline", timeout=120)
    if vm.run("sysctl -q kernel.ftrace_enabled=0").rc == 0 and vm.read("/proc/sys/kernel/ftrace_enabled") == "0":
        refused(vm, check, "ftrace switched off", "lp_cmdline", "Conflict", 5, "ftrace_enabled")
        vm.ok("sysctl -q kernel.ftrace_enabled=1")
    vm.ok("echo 1 > /proc/sys/kernel/modules_disabled")
    refused(vm, check, "modules switched off", "lp_cmdline", "NotSupported", 7, "modules_disabled")


@scenario("inspect tells root and others what stands in the way", tags=["core"])
def inspect_findings(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok(f"insmod {PLAIN}/lp_kprobe.ko")
    vm.ok("systemctl stop livepatchd.service")
    report = inspected(vm, "lp_cmdline")
    check.equal("root sees who diverts the function", codes(report).get("function-diverted"), "blocker", report)
    check.equal("and that it would be refused", report["refusal"], "org.livepatch.Error.Conflict")
    check.absent("without addresses", json.dumps(report), "0xffff")
    report = inspected(vm, "lp_cmdline", user="alice")
    check.equal("another user is told what is not known", codes(report), {"not-checked": "info"})
    check("which stops nothing", report["would_apply"], report)
    report = inspected(vm, "lp_missing", user="alice")
    check.equal("and sees a missing function", codes(report).get("function-missing"), "blocker", report)
    report = inspected(vm, "lp_target_fix")
    check.equal("a target that is not loaded", codes(report).get("object-not-loaded"), "info", report)
    check("the daemon was not started", vm.run("systemctl is-active livepatchd.service").rc != 0)
    r = call(vm, "/org/livepatch", "Manager", "Plan", "asa{sv}", "0", "0", user="alice")
    check("another user may not ask for plans", r.rc != 0 and "uthenti" in r.err + r.out or "denied" in r.err, r)


@scenario("a key that the kernel does not know", cmdline="module.sig_enforce=1")
def key(vm: Machine, check: Check) -> None:
    trust(vm)
    refused(vm, check, "an unknown key", "lp_cmdline", "KernelRefused", 1, ".builtin_trusted_keys")
    check.equal("inspect says so", codes(inspected(vm, "lp_cmdline")).get("key-unknown"), "blocker")


@scenario("plan tells what apply and reapply do", tags=["core"])
def plan(vm: Machine, check: Check) -> None:
    trust(vm)
    check.equal("nothing to do", planned(vm), [])
    for name in ("lp_cmdline", "lp_uptime"):
        vm.ok(f"livepatchctl stage --reapply {SIGNED}/{name}.ko")
    vm.ok(f"livepatchctl stage {SIGNED}/lp_cumulative.ko {SIGNED}/lp_missing.ko")
    before = attempts(vm)
    check.equal("before", planned(vm), [("apply", "lp_cmdline"), ("apply", "lp_uptime")])
    wanted = [
        ("apply", "lp_uptime"), ("replace", "lp_cumulative"), ("revert", "lp_uptime"), ("skip", "lp_missing"),
    ]
    check.equal("by name", planned(vm, "lp_uptime", "lp_cumulative", "lp_missing"), wanted)
    text = vm.ok("livepatchctl plan lp_missing")
    check.contains("a missing function is explained", text, "livepatch_test_no_such_function")
    check.equal("nothing was changed", attempts(vm), before)
    vm.ok("livepatchctl reapply", timeout=120)
    check.equal("after", planned(vm), [("skip", "lp_cmdline"), ("skip", "lp_uptime")])
    wanted = [("replace", "lp_cumulative"), ("revert", "lp_cmdline"), ("revert", "lp_uptime")]
    check.equal("what a cumulative patch replaces", planned(vm, "lp_cumulative"), wanted)
    text = vm.ok("livepatchctl plan lp_cumulative")
    check.contains("the function that others patch is told", text, "lp_cmdline")
    check.equal("a name that does not exist", ctl(vm, "plan", "lp_none").rc, 4)
    vm.ok("livepatchctl apply lp_cumulative", timeout=120)
    check.equal("it did", sorted(n for n, p in patches(vm).items() if p["state"] == "superseded"), ["lp_cmdline", "lp_uptime"])
