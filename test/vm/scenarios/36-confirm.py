# SPDX-License-Identifier: LGPL-2.1-or-later
"""Patches on condition: who is locked out by one gets the machine back."""

from __future__ import annotations

from lpvm.check import Check, scenario
from lpvm.livepatch import SIGNED, ctl, drop_in, patches, state, states, trust
from lpvm.machine import Machine

MESSAGES = "journalctl -b -o cat MESSAGE_ID=d00f7bb8ee4c41bd93f1d3bd4a7f8c62"
GUARD = "/var/lib/livepatch/guard"


def on_condition(vm: Machine, check: Check, within: str, what: str) -> None:
    r = ctl(vm, "apply", f"--confirm-within={within}", what)
    check.equal(f"applied on condition for {within}", r.rc, 0, r)
    check.contains("with the way to keep it", r.out, "unless it is confirmed: livepatchctl confirm lp_uptime")
    check.contains("it patches", vm.read("/proc/uptime"), "lp_uptime")


def proven(vm: Machine) -> bool:
    return '"phase": "proven"' in vm.read(f"{GUARD}/{vm.release}/lp_uptime.json")


def unpatched(vm: Machine) -> bool:
    """Without a call to livepatchd."""
    return "lp_uptime" not in vm.read("/proc/uptime")


@scenario("a patch on condition is reverted unless somebody confirms it", tags=["core"])
def confirm_or_revert(vm: Machine, check: Check) -> None:
    trust(vm)
    drop_in(vm, ["SettleTimeSec=2s"])
    on_condition(vm, check, "10min", f"{SIGNED}/lp_uptime.ko")
    check.equal("it is not to be reapplied", patches(vm)["lp_uptime"]["reapply"], False)
    check.contains("status counts down", vm.ok("livepatchctl status"), "not confirmed, reverted in ")
    check.equal("an ordinary user may not confirm it", ctl(vm, "confirm", "lp_uptime", user="alice").rc, 3)
    again = ctl(vm, "apply", f"{SIGNED}/lp_uptime.ko")
    check.contains("another apply does not, either", again.out, "waits for its confirmation")
    check("nor does enable", ctl(vm, "enable", "lp_uptime").rc != 0)
    check.equal("root may", ctl(vm, "confirm", "lp_uptime").rc, 0)
    check.equal("it lasts", (patches(vm)["lp_uptime"]["unconfirmed"], patches(vm)["lp_uptime"]["reapply"]), (False, True))
    check.equal("it is removed", ctl(vm, "remove", "lp_uptime").rc, 0)

    on_condition(vm, check, "9s", f"{SIGNED}/lp_uptime.ko")
    due = patches(vm)["lp_uptime"]["confirm_before"]
    vm.ok("systemctl kill -s KILL --kill-whom=main livepatchd.service")
    check("it is reverted although the daemon was killed", vm.wait_until(lambda: unpatched(vm), timeout=60))
    now = int(vm.ok("date +%s%6N"))
    check("and not before its time", now > due - 1000000, (now, due))
    check("it is unloaded", vm.wait_until("test ! -e /sys/module/lp_uptime"))
    check("it is forgotten", vm.wait_until(lambda: state(vm, "lp_uptime") == ""), states(vm))
    check.contains("the journal tells", vm.ok(MESSAGES), "Reverted 'lp_uptime'")
    check.equal("it is too late to confirm", ctl(vm, "confirm", "lp_uptime").rc, 4)

    # Staged before, and nobody calls a daemon that is not there: systemd brings it back in time.
    vm.ok(f"livepatchctl stage {SIGNED}/lp_uptime.ko")
    on_condition(vm, check, "12s", "lp_uptime")
    check("it settles", vm.wait_until(lambda: proven(vm), timeout=60))
    vm.ok("systemctl stop livepatchd.service")
    check("it is reverted although nobody calls", vm.wait_until(lambda: unpatched(vm), timeout=60))
    check("then there is nothing to watch", vm.wait_until("test ! -e /run/livepatch/settling"))
    check.equal("what was staged tells the reason", state(vm, "lp_uptime"), "failed")
    check.contains("in words", patches(vm)["lp_uptime"]["failure_reason"], "It was not confirmed within 12s")
    check.equal("it is too late", ctl(vm, "confirm", "lp_uptime").rc, 1)


@scenario("neither a reboot nor a power cut confirms a patch")
def unconfirmed_boots(vm: Machine, check: Check) -> None:
    trust(vm)
    drop_in(vm, ["SettleTimeSec=1s"])
    on_condition(vm, check, "1h", f"{SIGNED}/lp_uptime.ko")
    vm.reboot()
    check("after a reboot it is not there", unpatched(vm))
    check.equal("nor known", patches(vm), {})
    check.equal("nor to be confirmed", ctl(vm, "confirm", "lp_uptime").rc, 4)

    vm.ok(f"livepatchctl stage {SIGNED}/lp_uptime.ko")
    on_condition(vm, check, "1h", "lp_uptime")
    # Else the crash guard has something to say as well.
    check("it settles", vm.wait_until(lambda: proven(vm), timeout=60))
    vm.power_cut()
    vm.start()
    check("after a power cut it is not there", unpatched(vm))
    check.equal("what was staged before is", states(vm), {"lp_uptime": "staged"})
    check.equal("there is nothing to confirm", ctl(vm, "confirm", "lp_uptime").rc, 1)
