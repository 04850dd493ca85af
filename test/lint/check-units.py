#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The units as built: understood by systemd, confined, ordered. Also the catalog and every XML file."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lint import Report, read  # noqa: E402

POLKIT_DTD = Path("/usr/share/polkit-1/policyconfig-1.dtd")

EXPOSURE_MAX = 20  # times ten, as systemd-analyze(1) counts

# What the first two units have to have in common, since they do the same things; only the daemon needs netlink.
CONFINEMENT = re.compile(r"^(?:CapabilityBoundingSet|NoNewPrivileges|Protect\w+|Private(?!Tmp)\w+|Restrict(?!Addr)\w+|"
                         r"SystemCall\w+|MemoryDenyWriteExecute|LockPersonality|DeviceAllow|BindReadOnlyPaths|"
                         r"KeyringMode|StateDirectory\w*|RuntimeDirectory\w*|UMask|IPAddressDeny)=.*$", re.M)

# Directives that break what the daemon is for (each tried on a real kernel).
HARMFUL = ("ProtectKernelModules=yes", "ProtectKernelLogs=yes", "PrivateUsers=yes", "ProcSubset=pid", "User=")

BOOT_ORDER = {
    "Before": {"network-pre.target", "sysinit.target", "shutdown.target", "kpatch.service"},
    "Wants": {"network-pre.target", "livepatch-guard.service"},
    "Conflicts": {"shutdown.target"},
    "WantedBy": {"sysinit.target"},
    "DefaultDependencies": {"no"},
    "RequiresMountsFor": {"/var/lib/livepatch", "/usr/lib/livepatch", "/etc/livepatch"},
}

# Started before, and stopped after, everything that may load a patch; and stopped by a shutdown alone.
GUARD_ORDER = {
    "Before": {"livepatch-reapply.service", "livepatchd.service", "sysinit.target", "shutdown.target"},
    "Conflicts": {"shutdown.target"},
    "WantedBy": {"sysinit.target"},
    "DefaultDependencies": {"no"},
    "RequiresMountsFor": {"/var/lib/livepatch"},
    "RemainAfterExit": {"yes"},
}


def run(*command: str | Path) -> list[str]:
    """Lines of standard error (and the command itself) if the command fails, none otherwise."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return [f"{command[0]}: exit status {done.returncode}", *done.stdout.splitlines()] if done.returncode else []


def check_exposure(unit: Path) -> list[str]:
    return run("systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE_MAX}", unit)


def check_verify(units: list[Path]) -> list[str]:
    """systemd's own opinion. The program is not installed here, so another one stands in for it."""
    with tempfile.TemporaryDirectory() as directory:
        for unit in units:
            text = re.sub(r"^(Exec\w+)=\S+", r"\1=/bin/true", unit.read_text(), flags=re.M)
            (Path(directory) / unit.name).write_text(text)
        command = ["systemd-analyze", "verify", "--man=no", *(Path(directory) / unit.name for unit in units)]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ours = [line for line in done.stdout.splitlines() if "livepatch" in line]
    return ours if ours or not done.returncode else done.stdout.splitlines()


def settings(unit: Path, name: str) -> set[str]:
    return {word for value in re.findall(rf"^{name}=(.*)$", unit.read_text(), re.M) for word in value.split()}


def check_order(unit: Path, order: dict[str, set[str]]) -> list[str]:
    return [f"{name}= is {settings(unit, name)}, not {wanted}" for name, wanted in order.items()
            if settings(unit, name) != wanted]


def check_guard_order(unit: Path) -> list[str]:
    stop = "--mark-clean-shutdown" in settings(unit, "ExecStop")
    return check_order(unit, GUARD_ORDER) + ([] if stop else ["its stop does not note that the boot ends cleanly"])


def check_private_devices(unit: Path) -> list[str]:
    """It is put together in /tmp, which is emptied and mounted over early in the boot."""
    # PrivateTmp= waits by itself.
    waits = "systemd-tmpfiles-setup.service" in settings(unit, "After") or settings(unit, "PrivateTmp") == {"yes"}
    needs = settings(unit, "PrivateDevices") == {"yes"}
    return [f"{unit.name} has PrivateDevices= and does not wait for /tmp"] if needs and not waits else []


def check_confinement(one: Path, other: Path) -> list[str]:
    left, right = (CONFINEMENT.findall(unit.read_text()) for unit in (one, other))
    return [] if left == right and left else [f"in one of them only: {s}" for s in sorted(set(left) ^ set(right))] or [
        "not in the same order, or empty"]


def check_harmful(unit: Path) -> list[str]:
    return [f"{unit.name}: {line}" for line in unit.read_text().splitlines() if line.startswith(HARMFUL)]


def check_time_limit(source: Path, unit: Path) -> list[str]:
    budget = re.search(r"^#BootTimeoutSec=(\d+)s$", read(source, "units/livepatch.conf"), re.M)
    limit = re.search(r"^TimeoutStartSec=(\d+)s$", unit.read_text(), re.M)
    if not budget or not limit:
        return ["BootTimeoutSec= or TimeoutStartSec= not found"]
    return [] if int(limit[1]) >= 2 * int(budget[1]) else [f"{limit[0]} is too near to {budget[0][1:]}"]


def check_xml(source: Path) -> list[str]:
    files = [*source.glob("dbus/*.xml"), source / "dbus/org.livepatch.conf", source / "polkit/org.livepatch.policy"]
    problems = run("xmllint", "--noout", "--nonet", *files)
    if POLKIT_DTD.exists():
        problems += run("xmllint", "--noout", "--nonet", "--dtdvalid", POLKIT_DTD, files[-1])
    return problems


def check_catalog(source: Path) -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "usr/lib/systemd/catalog").mkdir(parents=True)
        (root / "var/lib/systemd/catalog").mkdir(parents=True)
        shutil.copy(source / "units/livepatchd.catalog", root / "usr/lib/systemd/catalog")
        problems = run("journalctl", f"--root={root}", "--update-catalog")
        listed = subprocess.run(["journalctl", f"--root={root}", "--list-catalog", "--no-pager"], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    entries = re.findall(r"^-- \w{32}$", read(source, "units/livepatchd.catalog"), re.M)
    if listed.count(" livepatchd: ") != len(entries):
        problems += [f"{len(entries)} entries written, and listed:", *listed.splitlines()]
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="root of the source tree")
    parser.add_argument("units", type=Path, nargs=3,
                        help="livepatchd.service, livepatch-reapply.service and livepatch-guard.service, as built")
    args = parser.parse_args()
    missing = [tool for tool in ("systemd-analyze", "journalctl", "xmllint") if not shutil.which(tool)]
    if "systemd-analyze" in missing:
        print("1..0 # SKIP systemd-analyze is not there")
        return 0  # in TAP, the plan says that it was skipped

    report = Report()
    report.check("tools", [f"{tool} is not there" for tool in missing])
    daemon, reapply, guard = args.units
    for unit in args.units:
        report.check(f"exposure of {unit.name}", check_exposure(unit))
    for unit in (daemon, reapply):
        report.check(f"nothing harmful in {unit.name}", check_harmful(unit))
    report.check("systemd-analyze verify", check_verify(args.units))
    report.check("same confinement", check_confinement(daemon, reapply))
    report.check("order at boot", check_order(reapply, BOOT_ORDER))
    report.check("order of the crash guard", check_guard_order(guard))
    report.check("PrivateDevices=", [line for unit in args.units for line in check_private_devices(unit)])
    report.check("time limit at boot", check_time_limit(args.source, reapply))
    if not missing:
        report.check("XML", check_xml(args.source))
        report.check("catalog", check_catalog(args.source))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
