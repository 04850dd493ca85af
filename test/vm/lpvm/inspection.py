# SPDX-License-Identifier: LGPL-2.1-or-later
"""What must be true after every boot, whatever was cut short before it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from .livepatch import STATE
from .machine import Machine

# One call, since each costs time. The daemon is started by it, and has swept its store when it answers.
LOOK = f"""
    livepatchctl status --json=short || true
    echo =; cat /proc/cmdline /proc/uptime
    echo =; systemctl list-units --failed --plain --no-legend
    echo =; sha256sum /opt/modules/signed/lp_second_build.ko
    echo =; cd /sys/kernel/livepatch
    for p in *; do
        [ -d $p ] || continue
        echo $p $(cat $p/enabled) $(od -An -v -tx1 /sys/module/$p/notes/.note.gnu.build-id | tr -d ' \\n')
    done
    echo =; cd {STATE}; find . -mindepth 1 -printf '%y %P\\n'
    echo =; find . -name '*.ko' -exec sha256sum {{}} +
    echo =; for f in patches/*/*/manifest.json; do [ ! -e $f ] || {{ echo "$f"; cat $f; printf '\\0'; }}; done
"""
NOTE_HEADER = 16 * 2  # hex digits: three sizes and "GNU"
SHOWN_BY = {
    "lp_cmdline": "lp_patched_by=lp_cmdline",
    "lp_cumulative": "lp_patched_by=lp_cumulative",
    "lp_state_less": "lp_patched_by=lp_state_less",
    "lp_uptime": "lp_uptime",
}


@dataclass
class Findings:
    world: str = ""
    problems: list[str] = field(default_factory=list)

    def need(self, truth: object, text: str) -> None:
        if not truth:
            self.problems.append(text)


def inspect(vm: Machine) -> Findings:
    found = Findings()
    status, shown, failed, sums, loaded, files, kept, manifests = _look(vm)
    answer = json.loads(status)
    found.need(answer.get("reachable"), f"livepatchd does not answer: {answer.get('error')}")
    if not answer.get("reachable"):
        return found
    patches = {p["name"]: p for p in answer["patches"]}
    builds = {line.split()[0]: line.split("/")[-1].removesuffix(".ko") for line in sums.splitlines()}
    found.world = " ".join(_describe(patches[name], builds) for name in sorted(patches))
    # What was to be reapplied and is quarantined makes the boot's unit fail; nothing else does.
    for line in failed.splitlines():
        excused = line.startswith("livepatch-reapply.service") and ":quarantined+" in found.world
        found.need(excused or not line.startswith("livepatch"), f"a unit has failed: {line}")
    _check_kernel(found, patches, loaded, shown)
    _check_store(found, patches, files, kept, manifests)
    for problem in answer["manager"]["problems"]:
        found.need(False, f"a problem is reported: {problem}")
    found.need(not answer["jobs"], f"jobs are left: {answer['jobs']}")
    return found


def _look(vm: Machine) -> list[str]:
    parts = re.split(r"^=\n", vm.ok(LOOK, timeout=120), flags=re.M)
    assert len(parts) == 8, parts
    return parts


def _describe(patch: dict, builds: dict[str, str]) -> str:
    build = "/second" if "second" in builds.get(patch["sha256"], "") else ""
    return f"{patch['name']}:{patch['state']}{'+' if patch['reapply'] else ''}{build}"


def _check_kernel(found: Findings, patches: dict[str, dict], loaded: str, shown: str) -> None:
    """What is in the kernel is what is in the store, verified, and in force."""
    names = set()
    for line in loaded.splitlines():
        name, enabled, note = line.split()
        names.add(name)
        patch = patches.get(name, {})
        found.need(patch.get("state") == "applied", f"{name} is in the kernel, and {patch.get('state')} to livepatchd")
        found.need(patch.get("signature_status") == "trusted", f"{name} is in the kernel, its signature {patch.get('signature_status')}")
        found.need(patch.get("build_id") == note[NOTE_HEADER:], f"{name} in the kernel is another build than the one on record")
        found.need(enabled == "1", f"{name} is not enabled")
    for name, patch in patches.items():
        found.need(patch["state"] != "applied" or name in names, f"{name} is not in the kernel, but applied to livepatchd")
        found.need(patch["state"] in ("applied", "staged", "quarantined", "superseded"), f"{name} is {patch['state']}")
    for name, words in SHOWN_BY.items():
        found.need((words in shown) == (name in names), f"{name} is {'' if name in names else 'not '}in the kernel, but not in force as it")


def _check_store(found: Findings, patches: dict[str, dict], files: str, kept: str, manifests: str) -> None:
    """No file that no record asks for, no record without its file, every byte as it was verified."""
    wanted = {"d patches", "d guard"}
    for text in manifests.split("\0")[:-1]:
        path, _, body = text.partition("\n")
        directory = path.removesuffix("/manifest.json")
        manifest = json.loads(body)
        found.need(not manifest.get("transient_boot_id"), f"{path} is of an earlier boot only")
        found.need(manifest["name"] in patches, f"{path}: livepatchd does not know of it")
        wanted |= {f"d {directory}", f"d {directory.rpartition('/')[0]}", f"f {path}", f"f {directory}/{manifest['sha256']}.ko"}
    there = {line for line in files.splitlines() if not re.match(r"d guard/|f guard/[^/]+/\w+\.json$|f guard/clean-shutdown$", line)}
    there |= {"d patches", "d guard"}  # made when they are needed, and kept
    for line in sorted(there - wanted):
        found.need(False, f"left over in the store: {line}")
    for line in sorted(wanted - there):
        found.need(False, f"missing in the store: {line}")
    for line in kept.splitlines():
        digest, path = line.split()
        found.need(path.endswith(f"/{digest}.ko"), f"{path} does not hold what it is named after")
