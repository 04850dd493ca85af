# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may do what: the bus, polkit, other clients."""

from __future__ import annotations

import json
import time

from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, apply, busctl, call, ctl, drop_in, files, patches, trust
from lpvm.machine import Machine

RULE = b"""polkit.addRule(function(action, subject) {
    if (action.id == "org.livepatch.apply" && subject.user == "alice")
        return polkit.Result.YES;
});
"""


@scenario("an ordinary user reads everything and changes nothing", tags=["core"])
def ordinary_user(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_cmdline")
    for words in (["status"], ["list"], ["show", "lp_cmdline"], ["trust", "list"]):
        r = ctl(vm, *words, user="alice")
        check.equal(f"alice: {' '.join(words)}", r.rc, 0, r)
    for words in (["apply", f"{SIGNED}/lp_uptime.ko"], ["stage", f"{SIGNED}/lp_uptime.ko"], ["revert", "lp_cmdline"],
                  ["remove", "lp_cmdline"], ["disable", "lp_cmdline"], ["reapply"], ["trust", "add", "/opt/pki/other.pem"]):  # fmt: skip
        r = ctl(vm, *words, user="alice")
        check.equal(f"alice may not {' '.join(words)}", r.rc, 3, r)
    check.contains("all is as it was", vm.read("/proc/cmdline"), "lp_cmdline")
    check.equal("and lasts", patches(vm)["lp_cmdline"]["reapply"], True)

    vm.ok("mkdir -p /etc/polkit-1/rules.d")
    vm.put(RULE, "/etc/polkit-1/rules.d/50-livepatch.rules", mode=0o644)
    applied = vm.wait_until(lambda: ctl(vm, "apply", f"{SIGNED}/lp_uptime.ko", user="alice").rc == 0, timeout=30)
    check("with a rule that says so she may apply", applied)
    check.contains("it patches", vm.read("/proc/uptime"), "lp_uptime")
    check.equal("and still not revert", ctl(vm, "revert", "lp_uptime", user="alice").rc, 3)
    check.equal("who it was is recorded", patches(vm)["lp_uptime"]["applied_by"], 1000)


@scenario("without polkit only root may")
def no_polkit(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("systemctl mask --now polkit.service")
    r = ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko", user="alice")
    check.equal("alice is refused", r.rc, 3, r)
    check.equal("alice may read", ctl(vm, "list", user="alice").rc, 0)
    check.equal("root may", ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko").rc, 0)


# polkitd uses a fallback agent, as livepatchctl starts one, only for callers in a login session, and there is none here.
WITH_AGENT = f"pkttyagent --process $$ & sleep 2; exec livepatchctl apply {SIGNED}/lp_cmdline.ko"


@scenario("a password is asked for on the terminal")
def password(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("echo root:secret | chpasswd")
    client = vm.popen(WITH_AGENT, user="alice", tty=True, stdin=None)
    check("the agent asks", vm.wait_until(lambda: "Password" in client.out, timeout=30), client.out)
    check.contains("and says for what", client.out, "org.livepatch.apply")
    client.write(b"secret\n")
    r = client.wait(timeout=60)
    check.equal("with the password it is applied", r.rc, 0, r)
    check.contains("it patches", vm.read("/proc/cmdline"), "lp_cmdline")


@scenario("a caller that vanishes during authorisation leaves nothing behind")
def vanishing_caller(vm: Machine, check: Check) -> None:
    trust(vm)
    drop_in(vm, ["ExitIdleSec=3s"])
    vm.ok("echo root:secret | chpasswd")
    client = vm.popen(WITH_AGENT, user="alice", tty=True, stdin=None)
    check.require("the agent asks", vm.wait_until(lambda: "Password" in client.out, timeout=30), client.out)
    vm.ok("pkill -KILL -x livepatchctl")
    time.sleep(1)
    vm.run("pkill -KILL -x pkttyagent")
    client.wait()
    check("nothing was applied", "lp_patched_by" not in vm.read("/proc/cmdline"))
    check.equal("nothing is on disk", files(vm), [])
    check.equal("no job is left", call(vm, "/org/livepatch", "Manager", "ListJobs").out.strip(), "ao 0")
    check("the daemon leaves when idle", vm.wait_until("! systemctl is-active --quiet livepatchd.service", timeout=90))


@scenario("the bus shows what the installed XML says", tags=["core"])
def introspection(vm: Machine, check: Check) -> None:
    trust(vm)
    apply(vm, "lp_cmdline")
    vm.put(COMPARE.encode(), "/root/compare.py")
    for interface, path in (("Manager", "/org/livepatch"), ("Patch", "/org/livepatch/patch/lp_5fcmdline")):
        r = vm.run(["python3", "/root/compare.py", interface, path])
        check.equal(f"{interface} agrees", (r.rc, r.out), (0, "same\n"), r)
    r = busctl(vm, "introspect", "org.livepatch", "/org/livepatch")
    check.contains("busctl introspect works", r.out, "ListPatches")
    r = vm.run("gdbus call --system -d org.livepatch -o /org/livepatch -m org.livepatch.Manager.ListPatches")
    check.contains("gdbus works", r.out, "lp_cmdline")
    r = vm.run("gdbus introspect --system -d org.livepatch -o /org/livepatch -r")
    check.equal("gdbus walks the tree", r.rc, 0, r)
    check.contains("and finds the patch", r.out, "/org/livepatch/patch/")
    r = vm.run(["python3", "-c", CLIENT.replace("MODULE", f"{SIGNED}/lp_uptime.ko")], timeout=120)
    check.equal("a python-dbus client applies a module", (r.rc, r.out.strip()), (0, "done"), r)
    check.contains("it patches", vm.read("/proc/uptime"), "lp_uptime")


@scenario("a monitor sees what happens")
def monitor(vm: Machine, check: Check) -> None:
    trust(vm)
    watcher = vm.popen(["livepatchctl", "monitor", "--json=short"])
    time.sleep(2)
    apply(vm, "lp_cmdline")
    ctl(vm, "revert", "lp_cmdline")
    time.sleep(1)
    watcher.kill(15)
    events = [json.loads(line) for line in watcher.wait().out.splitlines()]
    text = json.dumps(events)
    check("jobs come and go", "apply" in text and "revert" in text and "done" in text, text)
    check.contains("states, too", text, "applied")


COMPARE = """
import re, subprocess, sys
import xml.etree.ElementTree as ET
import dbus

def members(root, name):
    interface = next(i for i in root.iter("interface") if i.get("name") == name)
    found = set()
    for m in interface:
        if m.tag == "annotation":
            continue
        args = tuple((a.get("name"), a.get("type"), a.get("direction", "out" if m.tag == "signal" else "in")) for a in m.iter("arg"))
        emits = next((a.get("value") for a in m.iter("annotation") if a.get("name").endswith("EmitsChangedSignal")), "true")
        found.add((m.tag, m.get("name"), m.get("type"), m.get("access"), args, emits if m.tag == "property" else ""))
    return found

name = "org.livepatch." + sys.argv[1]
live = dbus.SystemBus().get_object("org.livepatch", sys.argv[2]).Introspect(dbus_interface="org.freedesktop.DBus.Introspectable")
live = members(ET.fromstring(str(live)), name)
installed = members(ET.parse(f"/usr/share/dbus-1/interfaces/{name}.xml").getroot(), name)
print("same" if live == installed else f"live only: {live - installed}; installed only: {installed - live}")
sys.exit(live != installed)
"""

CLIENT = """
import dbus, time
bus = dbus.SystemBus()
manager = dbus.Interface(bus.get_object("org.livepatch", "/org/livepatch"), "org.livepatch.Manager")
path = manager.Apply(dbus.types.UnixFd(open("MODULE", "rb")), dbus.Dictionary({"runtime": True}, signature="sv"))
job = dbus.Interface(bus.get_object("org.livepatch", path), "org.freedesktop.DBus.Properties")
while not job.Get("org.livepatch.Job", "Result"):
    time.sleep(0.1)
print(job.Get("org.livepatch.Job", "Result"))
"""
