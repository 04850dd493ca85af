# SPDX-License-Identifier: LGPL-2.1-or-later
"""The benchmarks themselves; each shows one table or several."""

from __future__ import annotations

from collections.abc import Callable

from lpvm.livepatch import SIGNED

from .completion import completion
from .guest import DAEMON, NAMES, REAPPLY_UNIT, TOOLS, Guest, files, transitions
from .measure import Sample, Side, render, show, table, take_turns
from .stalls import blockers, stall

DROP_IN = f"{REAPPLY_UNIT}.d/bench.conf"


def _loading(guest: Guest, names: list[str], what: str, measure: Callable[[], Sample]) -> Callable[[], Sample]:
    """Begins with nothing loaded, and sees that it all was in the end."""

    def one() -> Sample:
        guest.fresh_runtime()
        sample = measure()
        guest.expect_applied(names, what)
        guest.unload(names)
        return sample

    return one


def reapply(guest: Guest, repeat: int) -> None:
    """The program that the unit runs, from exec to exit."""
    for n in (1, 2, 8):
        names = NAMES[:n]
        guest.stage(names)
        guest.install_for_kpatch(names)
        commands = {
            "livepatchd --reapply": [DAEMON, "--reapply"],
            "bare finit_module and wait": [f"{TOOLS}/bare-load", *files(names)],
            "kpatch load --all": ["kpatch", "load", "--all"],
        }
        sides = [
            Side(name, _loading(guest, names, name, lambda c=command: guest.time_loading(*c)))
            for name, command in commands.items()
        ]
        take_turns(sides, repeat)
        show(table(f"reapply {n}", sides))


def _unit_seconds(guest: Guest) -> float:
    stamps = guest.vm.ok(["systemctl", "show", REAPPLY_UNIT, "--property=ExecMainStartTimestampMonotonic",
                          "--property=ExecMainExitTimestampMonotonic", "--property=ExecMainStatus"])  # fmt: skip
    values = dict(line.split("=") for line in stamps.split())
    if values["ExecMainStatus"] != "0":
        raise RuntimeError(f"{REAPPLY_UNIT} failed:\n" + guest.vm.journal("-u", REAPPLY_UNIT))
    return (int(values["ExecMainExitTimestampMonotonic"]) - int(values["ExecMainStartTimestampMonotonic"])) / 1e6


def _set_command(guest: Guest, directory: str, command: list[str] | None) -> None:
    """The unit with all its sandbox runs COMMAND in place of its own."""
    path = f"{directory}/{DROP_IN}"
    if command is None:
        guest.vm.ok(f"rm -f {path} && systemctl daemon-reload && sync")
        return
    guest.vm.ok(f"mkdir -p {directory}/{REAPPLY_UNIT}.d")
    guest.vm.put(f"[Service]\nExecStart=\nExecStart={' '.join(command)}\n", path)
    guest.vm.ok("systemctl daemon-reload && sync")


def reapply_unit(guest: Guest, repeat: int) -> None:
    """The real unit in a machine that runs, from the start of its process (sandbox included) to its end."""
    names = NAMES
    guest.stage(names)

    def measure(command: list[str] | None) -> Sample:
        guest.vm.ok(["systemctl", "stop", REAPPLY_UNIT])
        guest.fresh_runtime()
        _set_command(guest, "/run/systemd/system", command)
        guest.vm.ok(["dmesg", "--clear"])
        guest.vm.ok(["systemctl", "start", REAPPLY_UNIT], timeout=600)
        seconds = _unit_seconds(guest)
        sample = Sample(seconds, seconds - transitions(guest.vm.kmsg()))
        guest.expect_applied(names, str(command))
        guest.unload(names)
        return sample

    bare = [f"{TOOLS}/bare-load", *files(names)]
    sides = [Side("livepatchd --reapply", lambda: measure(None)), Side("bare, in the same sandbox", lambda: measure(bare))]
    take_turns(sides, repeat)
    _set_command(guest, "/run/systemd/system", None)
    show(table("reapply 8, as a unit", sides))


def boot(guest: Guest, repeat: int) -> None:
    """The same in a real boot, with everything else that a boot does at that moment."""
    names = NAMES
    guest.stage(names)

    def measure(command: list[str] | None) -> Sample:
        _set_command(guest, "/etc/systemd/system", command)
        guest.vm.reboot()
        guest.expect_applied(names, str(command))
        seconds = _unit_seconds(guest)
        return Sample(seconds, seconds - transitions(guest.vm.kmsg()))

    bare = [f"{TOOLS}/bare-load", *files(names)]
    sides = [Side("livepatchd --reapply", lambda: measure(None)), Side("bare, in the same sandbox", lambda: measure(bare))]
    take_turns(sides, max(2, repeat // 2))
    _set_command(guest, "/etc/systemd/system", None)
    guest.unload(names)
    show(table("reapply 8, in a real boot", sides))


def listing(guest: Guest, repeat: int) -> None:
    """Eight patches applied, through the daemon and by kpatch's script, which says less about each."""
    guest.stage(NAMES)
    guest.install_for_kpatch(NAMES)
    guest.vm.ok(["livepatchctl", "reapply"], timeout=600)

    def activated() -> Sample:
        guest.stop_daemon()
        return guest.time("livepatchctl", "list")

    def answered() -> Sample:
        guest.vm.ok(["livepatchctl", "list"])
        return guest.time("livepatchctl", "list")

    running = Side("livepatchctl list", answered)
    starting = Side("livepatchctl list", activated)
    kpatch = Side("kpatch list", lambda: guest.time("kpatch", "list"))
    take_turns([running, kpatch, starting], repeat * 2)
    show(table("list 8", [running, kpatch]))
    show(table("list 8, the daemon not running", [starting, kpatch]))
    guest.stop_daemon()
    guest.unload(NAMES)


def apply(guest: Guest, repeat: int) -> None:
    """From the command to the end of the transition. livepatchctl's side verifies, and syncs its records to disk."""
    name = NAMES[0]
    guest.stage([])
    file = files([name])[0]

    def over_the_bus(*options: str) -> Sample:
        guest.vm.ok(["livepatchctl", "list"])
        return guest.time_loading("livepatchctl", "apply", *options, file)

    def ours(*options: str) -> Callable[[], Sample]:
        return lambda: _forgotten(guest, name, over_the_bus(*options))

    def bare() -> Sample:
        return guest.time_loading(f"{TOOLS}/bare-load", file)

    def insmod() -> Sample:
        wait = f"while [ \"$(cat /sys/kernel/livepatch/{name}/transition)\" = 1 ]; do sleep 0.01; done"
        return guest.time_loading("sh", "-c", f"insmod {file} && {wait}")

    sides = [
        Side("livepatchctl apply", ours()),
        Side("bare finit_module and wait", _loading(guest, [name], "bare", bare)),
        Side("insmod and wait, in a shell", _loading(guest, [name], "insmod", insmod)),
        Side("(livepatchctl apply --runtime)", ours("--runtime")),
    ]
    take_turns(sides, repeat)
    show(table("apply 1", sides))


def _forgotten(guest: Guest, name: str, sample: Sample) -> Sample:
    guest.expect_applied([name], "livepatchctl apply")
    guest.vm.ok(["livepatchctl", "revert", name], timeout=600)
    guest.vm.ok(["livepatchctl", "remove", name])
    return sample


def _memory(guest: Guest, when: str) -> tuple[str, ...]:
    pid = guest.vm.ok(["systemctl", "show", "--property=MainPID", "--value", "livepatchd.service"]).strip()
    rollup = guest.vm.read(f"/proc/{pid}/smaps_rollup")
    values = {line.split()[0].rstrip(":"): int(line.split()[1]) for line in rollup.splitlines()[1:]}
    return (when, *(f"{values[key] / 1024:.1f} MiB" for key in ("Rss", "Pss", "Anonymous")))


def memory(guest: Guest, repeat: int) -> None:  # noqa: ARG001
    """One daemon through its day."""
    guest.stage([])
    guest.vm.ok(["livepatchctl", "list"])
    rows = [("livepatchd after", "Rss", "Pss", "anonymous"), _memory(guest, "activation and list")]
    for file in files(NAMES):
        guest.vm.ok(["livepatchctl", "apply", file], timeout=600)
    rows.append(_memory(guest, "8 applies"))
    for _ in range(3):
        guest.vm.ok(["livepatchctl", "stage", f"{SIGNED}/lp_big.ko"], timeout=600)
        guest.vm.ok(["livepatchctl", "remove", "lp_cmdline"])
    rows.append(_memory(guest, "50 MB, verified three times"))
    show(render("memory of the daemon", rows))
    guest.stop_daemon()
    guest.unload(NAMES)


def verify(guest: Guest, repeat: int) -> None:
    """The page cache is warm on both sides."""
    big = f"{SIGNED}/lp_big.ko"
    guest.stop_daemon()
    guest.vm.ok(f"cat {big} >/dev/null", timeout=120)
    sides = [
        Side("image, signature and verdict", lambda: guest.time(f"{TOOLS}/verify-module", big)),
        Side("openssl dgst -sha256", lambda: guest.time("openssl", "dgst", "-sha256", big)),
        Side("sha256sum", lambda: guest.time("sha256sum", big)),
        Side("(livepatchctl inspect)", lambda: guest.time("livepatchctl", "inspect", big)),
    ]
    take_turns(sides, repeat)
    show(table("verify 50 MB", sides))


BENCHMARKS = {
    "reapply": reapply,
    "unit": reapply_unit,
    "boot": boot,
    "list": listing,
    "apply": apply,
    "memory": memory,
    "verify": verify,
    "completion": completion,
    "blockers": blockers,
    "stall": stall,
}
