# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon is killed, the power goes: nothing is lost, nothing is half done."""

from __future__ import annotations

import random
import time

from lpvm.agent import GuestGone, GuestTimeout
from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, STATE, apply, call, ctl, patches, state, states, trust
from lpvm.machine import Machine


@scenario("kill -9 of the daemon, then a new call: same answers", tags=["core"])
def kill_daemon(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_cmdline")
    before = patches(vm)
    vm.ok("systemctl kill -s KILL --kill-whom=main livepatchd.service")
    check.equal("after it was idle", patches(vm), before)

    # In the middle of a transition that does not end by itself.
    vm.ok("insmod /opt/modules/plain/lp_busy.ko")
    check.equal("an apply that will stall", ctl(vm, "apply", "--no-block", f"{SIGNED}/lp_stall.ko").rc, 0)
    check("it is applying", vm.wait_until(lambda: state(vm, "lp_stall") == "applying"))
    vm.ok("systemctl kill -s KILL --kill-whom=main livepatchd.service")
    check.equal("a new daemon goes on", state(vm, "lp_stall"), "applying")
    check.matches("with a job", call(vm, "/org/livepatch", "Manager", "ListJobs").out, r"ao 1 ")
    vm.ok("systemctl kill -s KILL --kill-whom=main livepatchd.service")
    vm.ok("echo Y > /sys/module/lp_busy/parameters/release")
    check("and brings it to its end", vm.wait_until(lambda: state(vm, "lp_stall") == "applied"), states(vm))
    check("which lasts", vm.wait_until(lambda: patches(vm)["lp_stall"]["reapply"], timeout=20), patches(vm)["lp_stall"])

    vm.ok("echo Y > /sys/module/lp_stall/parameters/hold; echo N > /sys/module/lp_busy/parameters/release; sleep 1")
    check.equal("a revert that will stall", ctl(vm, "revert", "--no-block", "lp_stall").rc, 0)
    check("it is reverting", vm.wait_until(lambda: state(vm, "lp_stall") == "reverting"))
    vm.ok("systemctl kill -s KILL --kill-whom=main livepatchd.service")
    vm.ok("echo N > /sys/module/lp_stall/parameters/hold")
    check("a new daemon reverts it", vm.wait_until(lambda: state(vm, "lp_stall") == "staged", timeout=40), states(vm))
    check("and unloads it", vm.wait_until("test ! -e /sys/module/lp_stall"))


@scenario("killed at any moment of an apply and a revert, it converges")
def kill_anywhere(vm: Machine, check: Check) -> None:
    trust(vm)
    seed = 20261122
    rng = random.Random(seed)
    for i in range(12):
        verb = ["apply", f"{SIGNED}/lp_cmdline.ko"] if i % 2 == 0 else ["revert", "lp_cmdline"]
        client = vm.popen(["livepatchctl", *verb])
        time.sleep(rng.uniform(0.0, 2.0))
        vm.run("systemctl kill -s KILL --kill-whom=main livepatchd.service")
        # systemd counts these deaths as the start of a crash loop (StartLimitBurst=), which is not what is tried here.
        vm.run("systemctl reset-failed livepatchd.service")
        r = client.wait(timeout=60)
        settled = vm.wait_until(lambda: state(vm, "lp_cmdline") in ("", "applied", "staged", "failed"), timeout=60)
        now = state(vm, "lp_cmdline")
        patched = "lp_patched_by" in vm.read("/proc/cmdline")
        check(f"{verb[0]} {i}: it comes to rest", settled, (now, r))
        check.equal(f"{verb[0]} {i}: what is said is what is", now == "applied", patched, (now, r, seed))
        check.equal(f"{verb[0]} {i}: no module is left over", vm.exists("/sys/module/lp_cmdline"), patched)


@scenario("cancel reverses a transition, and takes a queued job off", tags=["core"])
def cancel(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("insmod /opt/modules/plain/lp_busy.ko")
    check.equal("an apply that will stall", ctl(vm, "apply", "--no-block", f"{SIGNED}/lp_stall.ko").rc, 0)
    check.equal("one behind it", ctl(vm, "apply", "--no-block", f"{SIGNED}/lp_cmdline.ko").rc, 0)
    check("the first runs", vm.wait_until(lambda: state(vm, "lp_stall") == "applying"))
    waited = vm.wait_until(lambda: job_property(vm, 1, "TasksPending") not in ("", "u 0"), timeout=20)
    check("it shows the task that has not switched", waited, job_property(vm, 1, "TasksPending"))
    check.equal("the second waits", job_property(vm, 2, "State"), 's "queued"')
    check.equal("the queued one is canceled", call(vm, "/org/livepatch/job/2", "Job", "Cancel").rc, 0)
    check.equal("its result says so", job_property(vm, 2, "Result"), 's "canceled"')
    check.equal("the running one is canceled", call(vm, "/org/livepatch/job/1", "Job", "Cancel").rc, 0)
    check("it is reversed", vm.wait_until(lambda: job_property(vm, 1, "Result") == 's "canceled"', timeout=60), states(vm))
    check("the module is unloaded", not vm.exists("/sys/module/lp_stall"))
    check.equal("nothing is left of either", patches(vm), {})
    check.equal("the kernel takes the next one", ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko").rc, 0)


def job_property(vm: Machine, job: int, name: str) -> str:
    return vm.run(["busctl", "--system", "get-property", "org.livepatch", f"/org/livepatch/job/{job}", "org.livepatch.Job", name]).out.strip()


def cut_during(vm: Machine, command: str, delay: float) -> None:
    try:
        process = vm.popen(command)
        time.sleep(delay)
        del process
    except (GuestGone, GuestTimeout):
        pass
    vm.power_cut()
    vm.start()


@scenario("a power cut in the middle leaves the store whole")
def power_cuts(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("sync")
    rng = random.Random(7)
    story = [
        (f"livepatchctl stage --reapply {SIGNED}/lp_uptime.ko", "lp_uptime"),
        (f"livepatchctl apply {SIGNED}/lp_cmdline.ko", "lp_cmdline"),
        ("livepatchctl remove lp_cmdline", "lp_cmdline"),
    ]
    for command, name in story:
        if "remove" in command and state(vm, name) != "applied":
            vm.ok(f"livepatchctl apply {SIGNED}/{name}.ko", timeout=120)
        cut_during(vm, command, rng.uniform(0.05, 1.5))
        listed = patches(vm)
        here = name in listed
        patched = name in vm.read("/proc/cmdline" if name == "lp_cmdline" else "/proc/uptime")
        # What has not settled yet is a suspect: this patch, and those that the boot before has reapplied.
        suspects = [n for n, p in listed.items() if p["state"] == "quarantined"]
        consistent = not here or name in suspects or listed[name]["reapply"] == patched
        check(f"{command.split()[1]}: either there or not", consistent, (listed.get(name), patched))
        check.equal(f"{command.split()[1]}: applied or nothing", listed[name]["state"] if here and patched else "", "applied" if patched else "")
        check.equal(f"{command.split()[1]}: nothing is damaged", vm.run(f"ls {STATE}/damaged").out.split(), [])
        check.equal(f"{command.split()[1]}: no failure at boot", vm.run("systemctl is-failed livepatch-reapply.service").out.strip() == "failed", any(listed[n]["reapply"] for n in suspects))
        problems = vm.ok("busctl --system get-property org.livepatch /org/livepatch org.livepatch.Manager Problems").strip()
        check.equal(f"{command.split()[1]}: no problem is reported", problems, "as 0")
        for suspect in suspects:
            vm.ok(f"livepatchctl unquarantine {suspect}")
