# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is no fault of the daemon's: floods of calls, disks that are full or read-only, kernels without livepatch."""

from __future__ import annotations

from pathlib import Path

from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, STATE, apply, ctl, drop_in, files, patches, state, states, trust
from lpvm.machine import Machine

CALLS = 10000
FLOOD = Path(__file__).resolve().parents[2] / "integration/flood.py"


def status_seconds(vm: Machine) -> float:
    r = ctl(vm, "status", timeout=60)
    assert r.rc == 0, r
    return r.seconds


def show(vm: Machine, name: str) -> str:
    return vm.ok(f"systemctl show -P {name} livepatchd.service").strip()


@scenario("ten thousand calls of an ordinary user leave the daemon up and others served")
def flood(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_cmdline")
    pid = show(vm, "MainPID")
    vm.put(FLOOD, "/opt/flood.py", mode=0o644)
    unloaded = max(status_seconds(vm) for _ in range(2))
    # Each caller that reads the replies gets a small part of its calls served, which takes more time.
    for kind, n in ("changes", CALLS), ("replies", CALLS // 10):
        client = vm.popen(["python3", "/opt/flood.py", "/run/dbus/system_bus_socket", str(n), kind], user="alice")
        check(f"the flood of {kind} comes", vm.wait_until(lambda: "sending" in client.out or not client.running))
        seconds = [status_seconds(vm) for _ in range(3)]
        check.below("meanwhile root waits no longer than for some other calls", max(seconds), 5 + 10 * unloaded)
        check.below("within few tasks", int(show(vm, "TasksCurrent")), 16)
        flooded = client.wait(timeout=120)
        check.equal("all are sent", (flooded.rc, flooded.out.split()[1:2]), (0, [str(n)]), flooded)
    check.equal("and behind them root is served", ctl(vm, "revert", "lp_cmdline").rc, 0)
    check.equal("by the same process", (show(vm, "MainPID"), show(vm, "NRestarts")), (pid, "0"))
    check.equal("nobody else did anything", states(vm), {"lp_cmdline": "staged"})
    peak = int(vm.ok(f"sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/{pid}/status"))
    check.below("it has not grown (kB)", peak, 32 * 1024)


def stored(vm: Machine) -> list[str]:
    return [f for f in files(vm) if f.startswith(f"{STATE}/patches/")]


def fill(vm: Machine) -> None:
    vm.run(f"dd if=/dev/zero of={STATE}/filler bs=4k")
    assert "No space" in vm.run(f"dd if=/dev/zero of={STATE}/more bs=1 count=1; rm -f {STATE}/more").err


@scenario("a full disk, a read-only one, and a kernel without livepatch are told, and lose nothing")
def disk_and_kernel(vm: Machine, check: Check) -> None:
    drop_in(vm, ["SettleTimeSec=1s"])
    vm.ok(f"mount -t tmpfs -o size=16M,mode=700 none {STATE}")
    trust(vm)
    apply(vm, "lp_cmdline")
    before = stored(vm)
    # Else reverting it makes room: the guard's record of what is not proven goes.
    guard = f"{STATE}/guard/{vm.release}/lp_cmdline.json"
    check("it settles", vm.wait_until(f"grep -q 'phase.*proven' {guard}", timeout=60))

    fill(vm)
    r = ctl(vm, "apply", f"{SIGNED}/lp_uptime.ko")
    check.equal("on a full disk an apply fails", r.rc, 1, r)
    check.contains("with the reason", r.err, "No space left on device")
    check.contains("and what to do", r.err, "Free some space there, then try again")
    check.absent("nothing was loaded", vm.read("/proc/uptime"), "lp_uptime")
    check.equal("what is there is listed", states(vm), {"lp_cmdline": "applied"})
    r = ctl(vm, "revert", "lp_cmdline")
    check.equal("a revert cannot last", r.rc, 1, r)
    check.contains("which is told", r.err, "the next boot will apply it again")
    check.absent("but it is done", vm.read("/proc/cmdline"), "lp_patched_by")
    vm.ok("systemctl kill -s KILL --kill-whom=main livepatchd.service")
    check.equal("a new daemon has lost nothing", patches(vm)["lp_cmdline"]["reapply"], True)
    vm.ok(f"rm {STATE}/filler")
    check.equal("nothing is left over", stored(vm), before)
    check.equal("with space again it goes on", ctl(vm, "apply", f"{SIGNED}/lp_uptime.ko", "lp_cmdline").rc, 0)
    check.equal("with all", states(vm), {"lp_cmdline": "applied", "lp_uptime": "applied"})

    # Else livepatch-settle.path starts it again, before the remount.
    check("all settles", vm.wait_until("! test -e /run/livepatch/settling"))
    vm.ok(f"systemctl stop livepatchd.service && mount -o remount,ro {STATE}")
    check.equal("a read-only disk can be read", states(vm), {"lp_cmdline": "applied", "lp_uptime": "applied"})
    r = ctl(vm, "stage", f"{SIGNED}/lp_target_fix.ko")
    check.equal("but not be written", r.rc, 1, r)
    check.contains("which is told", r.err, "Make the file system writable, wait a few seconds")
    check.equal("disable cannot, either", ctl(vm, "disable", "lp_uptime").rc, 1)
    vm.ok(f"mount -o remount,rw {STATE}")
    check("a few seconds later it goes on", vm.wait_until(lambda: ctl(vm, "remove", "lp_uptime").rc == 0, interval=4))
    check.equal("and nothing else has changed", (states(vm), stored(vm)), ({"lp_cmdline": "applied"}, before))

    vm.ok("mkdir -p /etc/systemd/system/livepatchd.service.d")
    vm.put(b"[Service]\nTemporaryFileSystem=/sys/kernel:ro\n", "/etc/systemd/system/livepatchd.service.d/kernel.conf")
    vm.ok("systemctl daemon-reload; systemctl stop livepatchd.service")
    r = ctl(vm, "status")
    check.equal("a kernel without livepatch", r.rc, 0, r)
    check.contains("is told", r.out, "cannot be live-patched")
    r = ctl(vm, "apply", f"{SIGNED}/lp_uptime.ko")
    check.equal("nothing can be applied to it", r.rc, 7, r)
    check.equal("and nothing was kept", stored(vm), before)
