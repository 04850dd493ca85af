# SPDX-License-Identifier: LGPL-2.1-or-later
"""The two Debian roots of a suite: the guest's, and the builder's with compiler and kernel headers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from . import sources
from .shell import digest, in_chroot, once, run
from .suites import KINDS, Kind, Suite

HERE = Path(__file__).parent
HOOKS = HERE.parent / "hooks"

_LEAN = [
    "--mode=root", "--variant=minbase",
    # forky's Release file is past its Valid-Until; what apt fetches is signed all the same
    '--aptopt=Acquire::Check-Valid-Until "false"',
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
]  # fmt: skip


def _debootstrap(suite: Suite, target: Path, packages: list[str], hooks: list[str], archives: str) -> None:
    if target.exists():
        # one file system only: whatever is mounted below is not ours to delete
        run(["rm", "-rf", "--one-file-system", str(target)])
    target.parent.mkdir(parents=True, exist_ok=True)
    argv = ["mmdebstrap", *_LEAN, "--include=" + ",".join(packages), *hooks]
    run([*argv, suite.name, str(target), "-"], stdin=archives, log=target.parent / f"{target.name}.log")


def _foreign(suite: Suite, kind: Kind) -> tuple[str, list[str]]:
    """Further archives, and the preferences that let in nothing from them but the packages named."""
    if not kind.foreign or suite.name == kind.foreign_suite:
        return "", []
    never = f"Package: *\\nPin: release n={kind.foreign_suite}*\\nPin-Priority: -1\\n"
    wanted = f"Package: {' '.join(kind.foreign)}\\nPin: release n={kind.foreign_suite}\\nPin-Priority: 990\\n"
    hook = f'--setup-hook=printf "{wanted}\\n{never}" > "$1/etc/apt/preferences.d/foreign"'
    return sources.for_suite(kind.foreign_suite), [hook]


def guest_root(suite: Suite, vm_dir: Path, kind: Kind = KINDS["base"]) -> Path:
    """A minimal Debian with the suite's stock kernel: what every test machine starts from."""
    name = "root" if kind.name == "base" else f"root-{kind.name}"
    target = vm_dir / suite.name / name
    more_archives, preferences = _foreign(suite, kind)
    archives = sources.for_suite(suite.name) + more_archives
    packages = [*suite.guest_packages, *kind.packages, *kind.foreign]
    key = digest(archives, repr(_LEAN), repr(packages), repr(preferences), HOOKS)

    def make() -> None:
        hooks = [f'--customize-hook={HOOKS}/kernel "$1"', f'--customize-hook={HOOKS}/settings "$1"']
        _debootstrap(suite, target, packages, [*preferences, *hooks], archives)

    once(vm_dir / suite.name / f"{name}.stamp", key, f"{suite.name}: guest {name}", make)
    return target


def kernel_release(root: Path) -> str:
    return (root / "usr/lib/kernel-release").read_text().strip()


def builder_root(suite: Suite, vm_dir: Path, release: str) -> Path:
    """The same suite with a compiler and the headers of exactly the guest's kernel."""
    target = vm_dir / suite.name / "builder"
    packages = [*suite.builder_packages, f"linux-headers-{release}"]
    key = digest(sources.for_suite(suite.name), repr(_LEAN), repr(packages))

    def make() -> None:
        _debootstrap(suite, target, packages, [], sources.for_suite(suite.name))

    once(vm_dir / suite.name / "builder.stamp", key, f"{suite.name}: builder root", make)
    return target


def kernel_image(root: Path) -> Path:
    """The bootable kernel: /boot up to trixie, below /usr/lib/modules afterwards."""
    release = kernel_release(root)
    for path in (root / f"boot/vmlinuz-{release}", root / f"usr/lib/modules/{release}/vmlinuz"):
        if path.is_file():
            return path
    raise SystemExit(f"no kernel image of {release} in {root}")


def modules_for_boot(root: Path, wanted: list[str]) -> list[Path]:
    """The files of the modules WANTED and of all they need, in loading order."""
    release = kernel_release(root)
    script = f"for m in {' '.join(wanted)}; do modprobe -S {release} --show-depends $m 2>/dev/null || :; done"
    files: dict[Path, None] = {}
    for line in in_chroot(root, script).splitlines():
        words = line.split()
        if words and words[0] == "insmod":
            files[root / words[1].lstrip("/")] = None
    return list(files)


def missing_tools() -> list[str]:
    tools = ["mmdebstrap", "qemu-system-x86_64", "qemu-img", "mke2fs", "openssl", "unshare"]
    return [tool for tool in tools if not shutil.which(tool, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")]


def copy_root(source: Path, target: Path) -> None:
    if target.exists():
        run(["rm", "-rf", "--one-file-system", str(target)])
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)
