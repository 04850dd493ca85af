# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the running kernel would refuse is found out before it is asked; plans tell what would be done."""

from __future__ import annotations

import json

from lpvm.bpf import attach_fentry
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


def inspected(vm: Machine, *modules: str, user: str = "root") -> dict:
    """The report of the only module, or those of all by name."""
    r = ctl(vm, "inspect", "--json=short", *(f"{SIGNED}/{module}.ko" for module in modules), user=user)
    reports = json.loads(r.out)["modules"]
    return reports[0] if len(modules) == 1 else dict(zip(modules, reports, strict=True))


def codes(report: dict) -> dict[str, str]:
    return {f["code"]: f["severity"] for f in report["findings"]}


def text_of(report: dict, code: str) -> str:
    return next((f["text"] for f in report["findings"] if f["code"] == code), "")


def steps(vm: Machine, *names: str) -> list[dict]:
    return json.loads(vm.ok(["livepatchctl", "plan", "--json=short", *names]))["steps"]


def planned(vm: Machine, *names: str) -> list[tuple[str, str]]:
    return [(s["action"], s["patch"]) for s in steps(vm, *names)]


def found(vm: Machine, check: Check, wanted: dict[str, tuple[str, str, str]]) -> None:
    """By inspect and by plan, of modules that are staged: severity, code, and a word that names the culprit."""
    reports = inspected(vm, *wanted)
    reports = reports if len(wanted) > 1 else {next(iter(wanted)): reports}
    plan = {s["patch"]: s for s in steps(vm, *wanted) if s["action"] != "revert"}
    for name, (severity, code, word) in wanted.items():
        for how, report in (("inspect", reports[name]), ("plan", plan[name])):
            check.equal(f"{how} {name}: {code} is a {severity}", codes(report).get(code), severity, report)
            check.contains(f"{how} {name}: it is named", text_of(report, code), word)
        check.equal(f"inspect and plan agree about {name}", codes(reports[name]), codes(plan[name]))
        if severity == "blocker":
            check.equal(f"{name} would be skipped", plan[name]["action"], "skip")
            check("and refused", not reports[name]["would_apply"], reports[name])


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


@scenario("inspect and plan name what is in the way of a function", tags=["core"])
def in_the_way(vm: Machine, check: Check) -> None:
    trust(vm)
    names = ("lp_cmdline", "lp_missing", "lp_ambiguous", "lp_untraceable", "lp_target_fix")
    vm.ok(["livepatchctl", "stage", *(f"{SIGNED}/{name}.ko" for name in names)])
    vm.ok(f"insmod {PLAIN}/lp_divert.ko")
    found(vm, check, {
        "lp_cmdline": ("blocker", "function-diverted", "lp_divert_handler [lp_divert]"),
        "lp_missing": ("blocker", "function-missing", "livepatch_test_no_such_function"),
        "lp_ambiguous": ("blocker", "function-ambiguous", "name_show"),
        "lp_untraceable": ("blocker", "function-not-traceable", "do_syscall_64"),
        "lp_target_fix": ("info", "object-not-loaded", "lp_target"),
    })  # fmt: skip
    for name in ("lp_cmdline", "lp_ambiguous", "lp_untraceable"):
        check(f"the kernel does refuse {name}", vm.run(["insmod", f"{PLAIN}/{name}.ko"]).rc != 0)
    vm.ok("rmmod lp_divert")
    if vm.run("sysctl -q kernel.ftrace_enabled=0").rc == 0 and vm.read("/proc/sys/kernel/ftrace_enabled") == "0":
        found(vm, check, {"lp_cmdline": ("blocker", "ftrace-disabled", "kernel.ftrace_enabled=0")})
        vm.ok("sysctl -q kernel.ftrace_enabled=1")
    program = attach_fentry(vm, "cmdline_proc_show")
    found(vm, check, {"lp_cmdline": ("info", "function-traced-directly", "bpf_trampoline_")})
    check.equal("it does not stop the patch", ctl(vm, "apply", "lp_cmdline").rc, 0)
    check.contains("which patches", vm.read("/proc/cmdline"), "lp_patched_by=lp_cmdline")
    check("the BPF program is still attached", program.running)
    program.kill()


@scenario("inspect and plan name other patches", tags=["core"])
def other_patches(vm: Machine, check: Check) -> None:
    trust(vm)
    names = ("lp_cmdline", "lp_uptime", "lp_cumulative")
    vm.ok(["livepatchctl", "stage", *(f"{SIGNED}/{name}.ko" for name in names)])
    vm.ok(f"insmod {PLAIN}/lp_bench_1.ko")
    vm.settle()
    vm.ok("livepatchctl apply lp_uptime", timeout=120)
    found(vm, check, {
        "lp_cmdline": ("warning", "function-patched-by-other", "lp_bench_1"),
        "lp_cumulative": ("warning", "replaces-other", "lp_bench_1"),
    })  # fmt: skip
    report = inspected(vm, "lp_cumulative")
    check.absent("what is ours is told apart", text_of(report, "replaces-other"), "lp_uptime")
    check.contains("and told", text_of(report, "replaces"), "lp_uptime")
    wanted = [("replace", "lp_cumulative"), ("revert", "lp_bench_1"), ("revert", "lp_uptime")]
    check.equal("the steps say the same", planned(vm, "lp_cumulative"), wanted)
    check.equal("what is applied is told", codes(inspected(vm, "lp_uptime")).get("applied-already"), "info")
    vm.ok(f"insmod {PLAIN}/lp_busy.ko && insmod {PLAIN}/lp_stall.ko")
    found(vm, check, {"lp_cmdline": ("warning", "transition-in-progress", "'lp_stall'")})
    vm.ok("echo Y > /sys/module/lp_busy/parameters/release")
    vm.settle()
    vm.ok("echo 1 > /proc/sys/kernel/modules_disabled")
    found(vm, check, {"lp_cmdline": ("blocker", "modules-disabled", "kernel.modules_disabled=1")})


@scenario("a key that the kernel does not know", cmdline="module.sig_enforce=1")
def key(vm: Machine, check: Check) -> None:
    trust(vm)
    refused(vm, check, "an unknown key", "lp_cmdline", "KernelRefused", 1, ".builtin_trusted_keys")
    vm.ok(f"livepatchctl stage {SIGNED}/lp_cmdline.ko")
    found(vm, check, {"lp_cmdline": ("blocker", "key-unknown", ".builtin_trusted_keys")})
    vm.reboot("lockdown=integrity")
    found(vm, check, {"lp_cmdline": ("blocker", "key-unknown", "locked down (integrity)")})
    report = inspected(vm, "lp_cmdline")
    text = text_of(report, "key-unknown")
    check.contains("the keyrings are named", text, ".builtin_trusted_keys, .secondary_trusted_keys")
    check.contains("and the signer", text, report["signer"])
    check.contains("people are told, too", ctl(vm, "plan", "lp_cmdline").out, "locked down (integrity)")


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
