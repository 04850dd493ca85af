# SPDX-License-Identifier: LGPL-2.1-or-later
"""The harness and the test modules themselves, without livepatchd: what every other scenario stands on."""

from __future__ import annotations

import re

from lpvm.check import Check, scenario
from lpvm.machine import Machine

PLAIN = "/opt/modules/plain"


def insmod(vm: Machine, name: str, *parameters: str, directory: str = PLAIN) -> int:
    return vm.run(["insmod", f"{directory}/{name}.ko", *parameters]).rc


def disable_and_remove(vm: Machine, name: str, module: str = "") -> bool:
    vm.ok(f"echo 0 > /sys/kernel/livepatch/{name}/enabled")
    gone = f"test ! -e /sys/kernel/livepatch/{name} && test $(cat /sys/module/{name}/refcnt) = 0"
    return vm.wait_until(gone) and vm.run(["rmmod", name]).rc == 0


@scenario("the machine boots a kernel that can be live-patched", tags=["core"], needs_install=False)
def boots(vm: Machine, check: Check) -> None:
    check.equal("boot is clean", vm.wait_for_boot(), "running", vm.run("systemctl --failed --no-legend"))
    check.equal("the kernel is the suite's own", vm.ok(["uname", "-r"]).strip(), vm.release)
    config = f"/boot/config-{vm.release} /usr/lib/modules/{vm.release}/config"
    check("the kernel has CONFIG_LIVEPATCH", vm.run(f"cat {config} | grep -qx CONFIG_LIVEPATCH=y").rc == 0)
    check("/sys/kernel/livepatch is there", vm.exists("/sys/kernel/livepatch"))
    check.equal("its kernel is not tainted", vm.read("/proc/sys/kernel/tainted"), "0")
    for directory in ("plain", "signed", "variants"):
        check(f"/opt/modules/{directory} is filled", vm.run(f"ls /opt/modules/{directory}/lp_cmdline.ko*").rc == 0)
    check("certificates are there", vm.exists("/opt/pki/signer.pem"))
    check("keys are not", not vm.run("ls /opt/pki/*.key").rc == 0)
    check("the journal is persistent", vm.run("ls /var/log/journal/*/system.journal").rc == 0)
    check("the system bus answers", vm.run("busctl --system list").rc == 0)
    check("polkit can be activated", vm.run("busctl --system call org.freedesktop.PolicyKit1 "
          "/org/freedesktop/PolicyKit1/Authority org.freedesktop.DBus.Peer Ping").rc == 0)  # fmt: skip
    check("python3-dbus and gdbus work", vm.run("python3 -c 'import dbus; dbus.SystemBus()' && gdbus help").rc == 0)


@scenario("the agent runs commands as told", needs_install=False)
def agent(vm: Machine, check: Check) -> None:
    r = vm.run("echo out; echo err >&2; exit 7")
    check.equal("exit code", r.rc, 7, r)
    check.equal("standard output", r.out, "out\n")
    check.equal("standard error", r.err, "err\n")
    check.equal("a signal is a negative exit code", vm.run("kill -9 $$").rc, -9)
    check.equal("an unknown program is 127", vm.run(["/no/such/program"]).rc, 127)
    check.equal("standard input arrives", vm.run("wc -c", stdin=b"x" * 3_000_000).out.strip(), "3000000")
    check.equal("standard input may be ignored", vm.run("exit 3", stdin=b"x" * 3_000_000).rc, 3)
    check.equal("a lot of output arrives", len(vm.run("head -c 5000000 /dev/zero").raw), 5_000_000)
    check.equal("environment", vm.run("echo $A", env={"A": "b c"}).out, "b c\n")
    check.contains("alice is alice", vm.user("id").out, "uid=1000(alice)")
    check.equal("alice cannot write to /", vm.user("touch /x").rc, 1)
    check.contains("a terminal on request", vm.run("tty", tty=True).out, "/dev/pts/")
    check.contains("none otherwise", vm.run("tty").out, "not a tty")

    waiting = vm.popen(["cat"], stdin=None)
    check.equal("commands run side by side", vm.run("echo yes").out, "yes\n")
    waiting.write(b"late")
    waiting.close_stdin()
    check.equal("input may come later", waiting.wait().out, "late")
    sleeper = vm.popen("sleep 1000")
    sleeper.kill(15)
    check.equal("a command can be killed", sleeper.wait().rc, -15)
    check.equal("a child left behind does not hold it up", vm.run("sleep 1000 & echo $?", timeout=20).out, "0\n")

    blob = bytes(range(256)) * 1000
    vm.put(blob, "/root/blob", mode=0o600)
    check("a file survives put and get", vm.get("/root/blob") == blob)
    check.equal("with its mode", vm.ok("stat -c %a /root/blob").strip(), "600")


@scenario("each good test module patches what it says", tags=["core"], needs_install=False)
def modules_patch(vm: Machine, check: Check) -> None:
    original = vm.read("/proc/cmdline")
    check.absent("the command line names no patch yet", original, "lp_patched_by")

    check.equal("lp_cmdline loads", insmod(vm, "lp_cmdline"), 0)
    check("its transition ends", vm.settle())
    check.equal("/proc/cmdline names it", vm.read("/proc/cmdline"), f"{original} lp_patched_by=lp_cmdline")
    check.equal("a second build of it is refused", insmod(vm, "lp_second_build"), 1)

    check.equal("lp_uptime stacks", insmod(vm, "lp_uptime"), 0)
    vm.settle()
    check.contains("/proc/uptime names it", vm.read("/proc/uptime"), "lp_uptime")
    check.contains("lp_cmdline is still there", vm.read("/proc/cmdline"), "lp_cmdline")

    check.equal("lp_cumulative loads", insmod(vm, "lp_cumulative"), 0)
    vm.settle()
    check.equal("/proc/cmdline names it alone", vm.read("/proc/cmdline"), f"{original} lp_patched_by=lp_cumulative")
    check.absent("lp_uptime is replaced", vm.read("/proc/uptime"), "lp_uptime")
    check.equal("it is the only patch", vm.ok("ls /sys/kernel/livepatch").split(), ["lp_cumulative"])

    check("lp_cumulative can be removed", disable_and_remove(vm, "lp_cumulative"))
    check.equal("/proc/cmdline is the original", vm.read("/proc/cmdline"), original)
    for replaced in ("lp_cmdline", "lp_uptime"):
        check.equal(f"{replaced} can be removed", vm.run(["rmmod", replaced]).rc, 0)
    check.equal("the second build loads now", insmod(vm, "lp_second_build"), 0)
    vm.settle()
    check.contains("and is another one", vm.read("/proc/cmdline"), "lp_cmdline.second_build")
    check("it can be removed", disable_and_remove(vm, "lp_cmdline"))
    check.equal("not_livepatch loads and unloads", vm.run(f"insmod {PLAIN}/not_livepatch.ko && rmmod not_livepatch").rc, 0)
    check.equal("the kernel did not warn", _complaints(vm), "")


@scenario("a module's function is patched, whichever is loaded first", tags=["core"], needs_install=False)
def module_function(vm: Machine, check: Check) -> None:
    check.equal("lp_target loads", insmod(vm, "lp_target"), 0)
    check.equal("unpatched", vm.read("/proc/lp_target"), "lp_target: original")
    check.equal("lp_target_fix loads after it", insmod(vm, "lp_target_fix"), 0)
    vm.settle()
    check.contains("patched", vm.read("/proc/lp_target"), "fixed by lp_target_fix")
    check.equal("lp_target unloads under it", vm.run(["rmmod", "lp_target"]).rc, 0)
    check.equal("lp_target loads again", insmod(vm, "lp_target"), 0)
    check.contains("patched from the start", vm.read("/proc/lp_target"), "fixed by lp_target_fix")
    check("lp_target_fix can be removed", disable_and_remove(vm, "lp_target_fix"))
    check.equal("unpatched again", vm.read("/proc/lp_target"), "lp_target: original")


@scenario("a transition stalls until its blocker is released", tags=["core"], needs_install=False)
def stalls(vm: Machine, check: Check) -> None:
    check.equal("lp_busy loads", insmod(vm, "lp_busy"), 0)
    check.equal("lp_stall loads", insmod(vm, "lp_stall"), 0)
    check("the transition does not end", not vm.settle(5))
    pid = vm.ok("pgrep -x lp_busy").strip()
    check.equal("lp_busy is the blocker", vm.read(f"/proc/{pid}/patch_state"), "0")
    check.contains("its stack says where", vm.read(f"/proc/{pid}/stack"), "lp_busy_sleep")
    check.equal("another patch is refused meanwhile", insmod(vm, "lp_cmdline"), 1)
    vm.ok("echo Y > /sys/module/lp_busy/parameters/release")
    check("released, it ends", vm.settle())
    check.equal("applied", vm.read("/sys/kernel/livepatch/lp_stall/enabled"), "1")

    vm.ok("echo Y > /sys/module/lp_stall/parameters/hold; echo N > /sys/module/lp_busy/parameters/release; sleep 1")
    vm.ok("echo 0 > /sys/kernel/livepatch/lp_stall/enabled")
    check("reverting stalls too when asked to", not vm.settle(3))
    vm.ok("echo N > /sys/module/lp_stall/parameters/hold")
    check("and ends when released", vm.wait_until("test ! -e /sys/kernel/livepatch/lp_stall"))
    check("a stalled patch can be reversed", insmod(vm, "lp_target") == 0)
    check("both unload", vm.wait_until("rmmod lp_stall") and vm.wait_until("rmmod lp_busy"))


@scenario("patches that the kernel refuses are refused", tags=["core"], needs_install=False)
def refused(vm: Machine, check: Check) -> None:
    for name, message in (("lp_missing", "livepatch_test_no_such_function"), ("lp_refuse", "pre-patch callback failed")):
        check.equal(f"{name} does not load", insmod(vm, name), 1)
        check.contains(f"the kernel says why {name} did not", vm.kmsg(), message)
        check(f"{name} left nothing behind", not vm.exists(f"/sys/module/{name}") and not vm.exists(f"/sys/kernel/livepatch/{name}"))
    check.equal("insmod says EINVAL", vm.run(f"insmod {PLAIN}/lp_missing.ko").err.count("Invalid parameters"), 1)
    check.equal("insmod says ENODEV", vm.run(f"insmod {PLAIN}/lp_refuse.ko").err.count("No such device"), 1)


@scenario("eight patches apply side by side", tags=["core"], needs_install=False)
def eight(vm: Machine, check: Check) -> None:
    shown = ["cmdline", "uptime", "version", "loadavg", "devices", "softirqs", "misc", "execdomains"]
    for number, name in enumerate(shown, 1):
        r = vm.run(f"insmod {PLAIN}/lp_bench_{number}.ko")
        check.equal(f"lp_bench_{number} loads", r.rc, 0, r)
        vm.settle()
        # some are called once for each line
        check.equal(f"/proc/{name} names it", set(vm.read(f"/proc/{name}").split()), {f"lp_bench_{number}"})


@scenario("what the kernel makes of the variants", needs_install=False)
def variants(vm: Machine, check: Check) -> None:
    def outcome(path: str) -> str:
        r = vm.run(f"insmod {path}")
        if r.rc == 0:
            name = "not_livepatch" if "not_livepatch" in path else "lp_cmdline"
            vm.settle()
            if name == "lp_cmdline":
                disable_and_remove(vm, name)
            else:
                vm.ok(["rmmod", name])
            return "loads"
        return re.sub(r".*: ", "", r.err.strip())

    directory = "/opt/modules/variants"
    # A kernel that does not insist on signatures takes whatever is signed by a key it does not know.
    for name in ("other", "stranger", "expired", "skid", "ec", "two_signers", "double_signed", "not_livepatch"):
        check.equal(f"{name} loads", outcome(f"{directory}/{name}.ko"), "loads")
    # With CONFIG_MODVERSIONS (Debian up to 6.12) the kernel ignores the release in vermagic.
    versions = "modversions" in vm.ok(f"modinfo -F vermagic {PLAIN}/lp_cmdline.ko")
    expected = "loads" if versions else "Invalid module format"
    check.equal(f"other_kernel: {expected}", outcome(f"{directory}/other_kernel.ko"), expected)
    check.equal("the big one loads", outcome("/opt/modules/signed/lp_big.ko"), "loads")
    for name in ("other_architecture", "truncated", "truncated_then_signed", "text", "text_signed"):
        check.equal(f"{name} has the wrong format", outcome(f"{directory}/{name}.ko"), "Invalid module format")
    for name in ("garbage_pkcs7", "empty_pkcs7", "sig_len_too_big", "sig_len_over_file", "trailer_only"):
        check(f"{name} does not load", outcome(f"{directory}/{name}.ko") != "loads")


@scenario("a reboot is a reboot", tags=["core"], needs_install=False)
def reboots(vm: Machine, check: Check) -> None:
    before = vm.boot_id
    insmod(vm, "lp_cmdline")
    vm.ok("echo kept > /root/kept")
    vm.reboot(cmdline_extra="livepatch_test_word=1")
    check("the boot id is another", vm.boot_id and vm.boot_id != before)
    check.contains("the command line got its word", vm.read("/proc/cmdline"), "livepatch_test_word=1")
    check.absent("the patch is gone", vm.read("/proc/cmdline"), "lp_patched_by")
    check.equal("the file is there, synced or not", vm.read("/root/kept"), "kept")
    check.equal("the journal has both boots", len(re.findall(r"^ *(?:-1|0) ", vm.journal("--list-boots"), re.M)), 2)


@scenario("a power cut keeps what was synced and loses what was not", tags=["core"], needs_install=False)
def power_cut(vm: Machine, check: Check) -> None:
    vm.ok("mkdir /root/d && sync && echo synced > /root/d/synced && sync /root/d/synced && sync /root/d")
    vm.ok("echo lost > /root/d/unsynced")
    vm.power_cut()
    check("the machine is off", not vm.running)
    vm.start()
    check.equal("the synced file is whole", vm.read("/root/d/synced"), "synced")
    left = vm.run("cat /root/d/unsynced").out
    check.equal("the other is lost", left, "")
    check.absent("the file system is sound", vm.kmsg(), "EXT4-fs error")


@scenario("a panic resets the machine, and it can go on", tags=["core"], needs_install=False)
def panics(vm: Machine, check: Check) -> None:
    vm.ok("echo 1 > /proc/sys/kernel/sysrq")
    check.equal("lp_panic loads", insmod(vm, "lp_panic"), 0)
    vm.settle()
    vm.popen("cat /proc/version")
    vm.wait_for_reset()
    check.contains("the console tells", vm.console, "lp_panic: the patched function was called")
    vm.start()
    check.equal("it boots again", vm.ok("echo up"), "up\n")
    vm.popen(f"insmod {PLAIN}/lp_panic_init.ko")
    vm.wait_for_reset()
    check.contains("lp_panic_init panics while loading", vm.console, "lp_panic_init: panic while loading")


@scenario("an oops kills the reader and not the machine", tags=["core"], needs_install=False)
def oopses(vm: Machine, check: Check) -> None:
    check.equal("lp_oops loads", insmod(vm, "lp_oops"), 0)
    vm.settle()
    check.equal("harmless at first", vm.read("/proc/version"), "lp_oops")
    vm.ok("echo Y > /sys/module/lp_oops/parameters/trigger")
    check.equal("the reader is killed", vm.run("exec cat /proc/version").rc, -9)
    check.matches("the kernel's log names it", vm.kmsg(), r"RIP: .*oops_on_show.*\[lp_oops\]")
    check.equal("the machine lives", vm.ok("echo up"), "up\n")


def _complaints(vm: Machine) -> str:
    return "\n".join(line for line in vm.kmsg().splitlines() if re.search(r"WARNING|BUG|Oops|Call Trace", line))
