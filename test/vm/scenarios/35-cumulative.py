# SPDX-License-Identifier: LGPL-2.1-or-later
"""Cumulative patches: one level after the other, forth and back, and never an unpatched moment in between."""

from __future__ import annotations

from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, apply, ctl, drop_in, patches, state, states, trust
from lpvm.machine import Machine

WORD = "lp_patched_by="
# Reads again and again, until told to stop; prints how often it read, how often without a patch, and notes what it saw.
# It sleeps a little, since an emulated processor that is busy leaves little to what is being watched. A moment without
# any patch would be longer: a module has to be loaded in it.
WATCH = r"""
import os, time
reads = bare = 0
last = ""
with open("/run/seen", "w", buffering=1) as seen:
    while not os.path.exists("/run/stop"):
        with open("/proc/cmdline") as file:
            words = file.read().split("lp_patched_by=")
        reads += 1
        bare += len(words) == 1
        word = words[1].split()[0] if len(words) > 1 else "unpatched"
        if word != last:
            print(word, file=seen)
        last = word
        time.sleep(0.002)
print(reads, bare)
"""
# Kills the daemon as soon as what it does is on record, and waits for the client that began it. The name of the verb.
KILL_AMID = r"""
file=/run/livepatch/patches/lp_cumulative.json
livepatchctl %s lp_cumulative & client=$!
until word=$(grep -o '"pending": {' $file 2>/dev/null); do kill -0 $client 2>/dev/null || break; done
systemctl kill -s KILL --kill-whom=main livepatchd.service
systemctl reset-failed livepatchd.service
echo "$word"
wait $client
"""


class Watcher:
    """In the guest: nothing may ever see /proc/cmdline unpatched."""

    def __init__(self, vm: Machine) -> None:
        self.vm = vm
        vm.ok("rm -f /run/stop")
        self.process = vm.popen(["python3", "-c", WATCH])

    def end(self, check: Check, label: str, words: list[str]) -> None:
        self.vm.ok("touch /run/stop")
        r = self.process.wait(timeout=30)
        reads, bare = (int(n) for n in r.out.split())
        check.equal(f"{label}: not one read of {reads} was unpatched", bare, 0, r)
        check(f"{label}: it was watched", reads > 20, reads)
        check.equal(f"{label}: the levels came in order", self.vm.read("/run/seen").split(), words)


def loaded(vm: Machine) -> list[str]:
    return vm.run("cd /sys/module && ls -d lp_* 2>/dev/null").out.split()


def patched_by(vm: Machine) -> str:
    return vm.read("/proc/cmdline").partition(WORD)[2].strip()


def settled(vm: Machine, check: Check, *names: str) -> None:
    for name in names:
        path = f"/var/lib/livepatch/guard/{vm.release}/{name}.json"
        check(f"{name} settles", vm.wait_until(f"grep -q '\"phase\": \"proven\"' {path}", timeout=60))


@scenario("a cumulative patch supersedes two others, for good", tags=["core"])
def supersede(vm: Machine, check: Check) -> None:
    trust(vm)
    drop_in(vm, ["SettleTimeSec=3s"])
    apply(vm, "lp_cmdline", "lp_uptime")
    watcher = Watcher(vm)
    check("the watcher reads", vm.wait_until("test -s /run/seen"))
    apply(vm, "lp_cumulative")
    watcher.end(check, "upgrade", ["lp_cmdline", "lp_cumulative"])
    found = patches(vm)
    check.equal("both are superseded", [found[n]["state"] for n in ("lp_cmdline", "lp_uptime")], ["superseded"] * 2, found)
    check.equal("by this one", [found[n]["superseded_by"] for n in ("lp_cmdline", "lp_uptime")], ["lp_cumulative"] * 2)
    check.equal("which lists them", found["lp_cumulative"]["supersedes"], ["lp_cmdline", "lp_uptime"])
    check.equal("their modules are unloaded", loaded(vm), ["lp_cumulative"])
    check("they are not reapplied", not found["lp_cmdline"]["reapply"] and not found["lp_uptime"]["reapply"], found)
    check.equal("nothing drifts", [p["drift"] for p in found.values()], [""] * 3)
    check.contains("show tells", vm.ok("livepatchctl show lp_uptime"), "lp_cumulative")
    check.absent("what only the others patched is the kernel's own", vm.read("/proc/uptime"), "lp_uptime")
    settled(vm, check, "lp_cumulative")
    vm.reboot()
    check.equal("after a reboot only this one is loaded", loaded(vm), ["lp_cumulative"])
    check.equal("as the only one that was tried", vm.kmsg().count("enabling patch"), 1)
    check.equal("the states are the same", states(vm), {n: found[n]["state"] for n in found})

    watcher = Watcher(vm)
    check("the watcher reads again", vm.wait_until("test -s /run/seen"))
    r = ctl(vm, "rollback")
    check.equal("rolled back", r.rc, 0, r)
    watcher.end(check, "rollback", ["lp_cumulative", "lp_cmdline"])
    check.equal("both are back", loaded(vm), ["lp_cmdline", "lp_uptime"])
    check.contains("and in effect", vm.read("/proc/uptime"), "lp_uptime")
    former = {"lp_cmdline": "applied", "lp_uptime": "applied", "lp_cumulative": "staged"}
    check.equal("the states say so", states(vm), former)
    check.equal("and who is reapplied", {n: p["reapply"] for n, p in patches(vm).items()},
                {"lp_cmdline": True, "lp_uptime": True, "lp_cumulative": False})
    again = ctl(vm, "rollback")
    check.equal("there is nothing before that", again.rc, 5, again)
    check.contains("and revert is named", again.err, "livepatchctl revert")
    check.equal("an ordinary user must not", vm.user(["livepatchctl", "--no-ask-password", "rollback", "lp_cmdline"]).rc, 3)

    settled(vm, check, "lp_cmdline", "lp_uptime")
    watcher = Watcher(vm)
    check("the watcher reads once more", vm.wait_until("test -s /run/seen"))
    r = ctl(vm, "apply", "--confirm-within=4s", "lp_cumulative")
    check.equal("applied on condition", r.rc, 0, r)
    vm.ok("systemctl kill -s KILL --kill-whom=main livepatchd.service")
    check("not confirmed, the former level is back", vm.wait_until(lambda: loaded(vm) == ["lp_cmdline", "lp_uptime"], timeout=60), states(vm))
    watcher.end(check, "not confirmed", ["lp_cmdline", "lp_cumulative", "lp_cmdline"])
    check("the reason is told", vm.wait_until(lambda: "not confirmed" in patches(vm)["lp_cumulative"]["failure_reason"]), patches(vm))
    check.equal("what is reapplied is as before", {n: p["reapply"] for n, p in patches(vm).items()},
                {"lp_cmdline": True, "lp_uptime": True, "lp_cumulative": False})
    r = ctl(vm, "apply", "--confirm-within=1h", "lp_cumulative")
    check.equal("applied on condition again", (r.rc, loaded(vm)), (0, ["lp_cumulative"]), r)
    check("what it supersedes is still wanted at boot", patches(vm)["lp_cmdline"]["reapply"])
    refused = ctl(vm, "apply", "lp_uptime")
    check.contains("nothing is applied upon it", refused.err, "livepatchctl confirm lp_cumulative")
    vm.reboot()
    check.equal("after another reboot, which confirms nothing, they are there", states(vm), former)
    check.equal("and only they", loaded(vm), ["lp_cmdline", "lp_uptime"])

    check.equal("once more on condition", ctl(vm, "apply", "--confirm-within=1h", "lp_cumulative").rc, 0)
    check.equal("now it is confirmed", ctl(vm, "confirm", "lp_cumulative").rc, 0)
    check("it supersedes for good", vm.wait_until(lambda: not patches(vm)["lp_cmdline"]["reapply"]), patches(vm))
    check.equal("and lasts", (patches(vm)["lp_cumulative"]["reapply"], loaded(vm)), (True, ["lp_cumulative"]))


@scenario("an upgrade for this boot only, and killed and cut off in the middle", tags=["core"])
def interrupted(vm: Machine, check: Check) -> None:
    trust(vm)
    drop_in(vm, ["SettleTimeSec=2s"])
    apply(vm, "lp_cmdline")
    settled(vm, check, "lp_cmdline")  # once superseded it is not loaded, and does not settle any more
    vm.ok(f"livepatchctl apply --runtime {SIGNED}/lp_cumulative.ko")
    check.equal("superseded for this boot only", loaded(vm), ["lp_cumulative"])
    check("it is still wanted at boot", patches(vm)["lp_cmdline"]["reapply"])
    vm.reboot()
    check.equal("the former level is back", patched_by(vm), "lp_cmdline")
    check.equal("and nothing else", loaded(vm), ["lp_cmdline"])

    # Killed again and again, forth and back.
    vm.ok(f"livepatchctl stage {SIGNED}/lp_cumulative.ko")
    watcher = Watcher(vm)
    for i in range(4):
        verb, goal = ("apply", "lp_cumulative") if i % 2 == 0 else ("rollback", "lp_cmdline")
        r = vm.run(KILL_AMID % verb, timeout=120)
        check(f"{verb} {i} was killed in its middle", "pending" in r.out, r)
        check(f"{verb} {i} comes to its end", vm.wait_until(lambda g=goal: states(vm).get(g) == "applied" and loaded(vm) == [g],
                                                            timeout=60), (states(vm), loaded(vm)))
    vm.ok("touch /run/stop")
    reads, bare = (int(n) for n in watcher.process.wait(timeout=30).out.split())
    check.equal(f"not one read of {reads} was unpatched", bare, 0)

    settled(vm, check, "lp_cmdline")
    for verb in (["apply", "lp_cumulative"], ["rollback", "lp_cumulative"]):
        client = vm.popen(["livepatchctl", *verb])
        vm.wait_until("cd /sys/kernel/livepatch && [ $(ls | wc -l) -gt 1 ]", timeout=20)
        vm.power_cut()
        vm.start()
        check(f"{verb[0]} was cut off: one level is there", patched_by(vm) in ("lp_cmdline", "lp_cumulative"), states(vm))
        vm.run("livepatchctl unquarantine lp_cumulative")
        if verb[0] == "apply" and patched_by(vm) != "lp_cumulative":
            apply(vm, "lp_cumulative")
            settled(vm, check, "lp_cumulative")


@scenario("a patch that cannot handle the state of the system is refused beforehand", tags=["core"])
def states_of_the_system(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_state1", "lp_state2")
    check.equal("a newer version supersedes an older", loaded(vm), ["lp_state2"])
    before, enabled = patches(vm), vm.kmsg().count("enabling patch")
    reason = "'lp_state2' has changed the system state 1 in its version 2"
    for label, *arguments in (
        ("the older version", "apply", "lp_state1"),
        ("the older version, as a file,", "apply", f"{SIGNED}/lp_state1.ko"),
        ("one without the state", "apply", f"{SIGNED}/lp_state_less.ko"),
        ("the level before", "rollback"),
    ):
        r = ctl(vm, *arguments)
        check.equal(f"{label} is refused", r.rc, 5, r)
        check.contains(f"{label}: the reason", r.err, reason)
        check.contains(f"{label}: the way out", r.err, "livepatchctl revert lp_state2")
    check.contains("plan tells", vm.run("livepatchctl plan lp_state1 --json=short").out, "state-incompatible")
    check.equal("nothing was touched", patches(vm), before)
    check.equal("and the kernel not asked", (vm.kmsg().count("enabling patch"), patched_by(vm)), (enabled, "lp_state2"))
    # The kernel's own word on it.
    vm.run(f"insmod {SIGNED}/lp_state1.ko")
    check.contains("the kernel agrees", vm.kmsg(), "(lp_state1) is not compatible with the already installed livepatches")
    vm.ok("livepatchctl revert lp_state2")
    apply(vm, "lp_state1")
    check.equal("after a revert nothing stands in its way", patched_by(vm), "lp_state1")
