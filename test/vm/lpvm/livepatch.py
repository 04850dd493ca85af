# SPDX-License-Identifier: LGPL-2.1-or-later
"""What scenarios ask of livepatchd again and again."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .agent import Result
from .machine import Machine

SIGNED = "/opt/modules/signed"
PLAIN = "/opt/modules/plain"
VARIANTS = "/opt/modules/variants"
STATE = "/var/lib/livepatch"
ERROR = "org.livepatch.Error."


def trust(vm: Machine, *names: str) -> None:
    """Trusts the test PKI's signer, or those named."""
    for name in names or ("signer",):
        vm.ok(f"livepatchctl trust add /opt/pki/{name}.pem")


def ctl(vm: Machine, *words: str, user: str = "root", timeout: float = 120) -> Result:
    return vm.run(["livepatchctl", "--no-ask-password", *words], user=user, timeout=timeout)


def apply(vm: Machine, *names: str) -> None:
    for name in names:
        vm.ok(f"livepatchctl apply {SIGNED}/{name}.ko", timeout=120)


def patches(vm: Machine) -> dict[str, dict]:
    """What list says, by name (of the running kernel's patches; NAME@RELEASE for others)."""
    listed = json.loads(vm.ok("livepatchctl list --json=short"))["patches"]
    return {p["name"] if p["kernel_release"] == vm.release else f"{p['name']}@{p['kernel_release']}": p for p in listed}


def states(vm: Machine) -> dict[str, str]:
    return {name: p["state"] for name, p in patches(vm).items()}


def state(vm: Machine, name: str) -> str:
    return states(vm).get(name, "")


def files(vm: Machine) -> list[str]:
    """Every file that is there because of a patch, without the runtime part."""
    return vm.run(f"find {STATE} -type f ! -name clean-shutdown | sort").out.split()


def last_error(vm: Machine) -> str:
    """The name of the error that the daemon logged last, without its prefix."""
    entries = vm.journal("-b", "-u", "livepatchd.service", "-o", "json", "-n", "20").splitlines()
    names = [json.loads(e).get("LIVEPATCH_ERROR", "") for e in entries]
    return next((n.removeprefix(ERROR) for n in reversed(names) if n), "")


def busctl(vm: Machine, *words: str, user: str = "root") -> Result:
    return vm.run(["busctl", "--system", *words], user=user)


def call(vm: Machine, path: str, interface: str, method: str, *arguments: str, user: str = "root") -> Result:
    return busctl(vm, "call", "org.livepatch", path, f"org.livepatch.{interface}", method, *arguments, user=user)


def drop_in(vm: Machine, lines: Sequence[str]) -> None:
    """Configuration for the next start of the daemon."""
    vm.ok("mkdir -p /etc/livepatch/livepatch.conf.d")
    vm.put(("[Livepatch]\n" + "\n".join(lines) + "\n").encode(), "/etc/livepatch/livepatch.conf.d/50-test.conf")
    vm.ok("systemctl stop livepatchd.service")
