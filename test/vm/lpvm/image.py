# SPDX-License-Identifier: LGPL-2.1-or-later
"""From the guest root to what QEMU boots: kernel, initrd, and a disk image with the tree installed in it."""

from __future__ import annotations

import lzma
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import cpio, kernel, roots
from .shell import TREE, digest, in_chroot, once, run
from .suites import Kind, Suite

HERE = Path(__file__).parent
GUEST = HERE / "guest"
# Units that only cost emulated time in each boot.
NEEDLESS_UNITS = [
    "dev-hugepages.mount", "dev-mqueue.mount", "modprobe@.service", "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "systemd-binfmt.service", "systemd-random-seed.service",
    "systemd-update-utmp-runlevel.service", "systemd-update-utmp.service", "systemd-user-sessions.service",
]  # fmt: skip
BOOT_MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "ext4", "crc32c_generic", "virtio_rng"]
DISK_SIZE = "3G"


@dataclass(frozen=True)
class Image:
    """What a machine boots from; the disk is never written to, only overlaid."""

    suite: str
    release: str
    kernel: Path
    initrd: Path
    disk: Path
    warm: Path | None = None  # directory of a machine saved after its boot: disk.qcow2 and state


def make_pki(vm_dir: Path) -> Path:
    script = TREE / "test/pki/make-pki"
    out = vm_dir / "pki"
    once(vm_dir / "pki.stamp", digest(script), "test keys and certificates", lambda: void(run([str(script), str(out)])))
    return out


def void(_: object) -> None:
    """For a lambda whose result nobody wants."""


def make_guest_tools(suite: Suite, vm_dir: Path, builder: Path) -> Path:
    out = vm_dir / suite.name / "guest-tools"

    def make() -> None:
        out.mkdir(parents=True, exist_ok=True)
        script = f"for p in agent init; do gcc -O2 -Wall -Wextra -static -o /src/{out.relative_to(TREE)}/$p " \
                 f"/src/{GUEST.relative_to(TREE)}/$p.c; done"  # fmt: skip
        in_chroot(builder, script, binds=[(TREE, "/src")])

    once(vm_dir / suite.name / "guest-tools.stamp", digest(GUEST), f"{suite.name}: agent and initrd program", make)
    return out


def make_modules(suite: Suite, vm_dir: Path, builder: Path, release: str, pki: Path) -> Path:
    out = vm_dir / suite.name / "modules"
    key = digest(TREE / "test/modules", release, pki)

    def make() -> None:
        inside, build = f"/src/{out.relative_to(TREE)}", f"/lib/modules/{release}/build"
        script = f"""/src/test/modules/make-modules {build} {inside}/plain
            /src/test/modules/make-variants --sign-file {build}/scripts/sign-file --pki /src/{pki.relative_to(TREE)} {inside}"""
        out.mkdir(parents=True, exist_ok=True)
        in_chroot(builder, script, binds=[(TREE, "/src")], log=out.parent / "modules.log")

    once(vm_dir / suite.name / "modules.stamp", key, f"{suite.name}: test modules for {release}", make)
    return out


def make_initrd(suite: Suite, vm_dir: Path, root: Path, tools: Path) -> Path:
    out = vm_dir / suite.name / "initrd"
    key = digest(tools / "init", HERE / "cpio.py", repr(BOOT_MODULES), roots.kernel_release(root), (vm_dir / suite.name / "root.stamp").read_text())

    def make() -> None:
        files = {"init": (0o755, (tools / "init").read_bytes())}
        order = ""
        for module in roots.modules_for_boot(root, BOOT_MODULES):
            data = module.read_bytes()
            if module.suffix == ".xz":
                data = lzma.decompress(data)
            name = "modules/" + module.name.removesuffix(".xz")
            files[name] = (0o644, data)
            order += f"/{name}\n"
        files["modules/order"] = (0o644, order.encode())
        out.write_bytes(cpio.archive(files))

    once(vm_dir / suite.name / "initrd.stamp", key, f"{suite.name}: initrd", make)
    return out


def _install_test_files(stage: Path, tools: Path, modules: Path, pki: Path) -> None:
    agent = stage / "usr/local/libexec/livepatch-test-agent"
    agent.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tools / "agent", agent)
    unit = GUEST / "livepatch-test-agent.service"
    shutil.copy(unit, stage / "etc/systemd/system" / unit.name)
    wants = stage / "etc/systemd/system/sysinit.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / unit.name).symlink_to(f"../{unit.name}")

    for kind in ("plain", "signed", "variants"):
        shutil.copytree(modules / kind, stage / "opt/modules" / kind, ignore=shutil.ignore_patterns("build"))
    (stage / "opt/pki").mkdir(parents=True)
    for pattern in ("*.pem", "*.der", "*.sha256"):
        for file in pki.glob(pattern):
            shutil.copy(file, stage / "opt/pki")


def _hasten_boot(stage: Path) -> None:
    """Half of what the guest's own boot does is for hardware and users that a test machine does not have."""
    units = stage / "etc/systemd/system"
    for unit in NEEDLESS_UNITS:
        (units / unit).symlink_to("/dev/null")
    shutil.copytree(GUEST / "systemd-udev-trigger.service.d", units / "systemd-udev-trigger.service.d")


def _install_tree(stage: Path, installed: Path) -> None:
    """The freshly built tree, and what its package's maintainer scripts would do."""
    subprocess.run(["cp", "-a", f"{installed}/.", str(stage)], check=True)
    in_chroot(stage, """
        systemd-sysusers
        ldconfig
        journalctl -q --update-catalog
        for unit in /usr/lib/systemd/system/livepatch*.* /lib/systemd/system/livepatch*.*; do
                ! grep -qs '^\\[Install\\]' "$unit" || systemctl preset -q "${unit##*/}"
        done
        """)  # fmt: skip


def make_disk(kind: Kind, where: Path, root: Path, inputs: list[Path], installed: Path | None) -> Path:
    """
    Named by what is in it, so that machines of another run may go on using an older one.

    INPUTS are guest tools, test modules and PKI.
    """
    stamps = [path.with_name(path.name + ".stamp").read_text() for path in (root, *inputs)]
    key = digest(Path(__file__), *stamps, inputs[-1], *([installed] if installed else []))
    out = where / f"disk-{kind.name}-{key[:12]}.ext4"

    def make() -> None:
        stage = where / "stage"
        roots.copy_root(root, stage)
        _install_test_files(stage, *inputs)
        _hasten_boot(stage)
        if installed:
            _install_tree(stage, installed)
        # Newer than /usr, or the first boot would rebuild every cache that depends on it.
        run(["touch", str(stage / "etc/.updated"), str(stage / "var/.updated")])
        features = ["-E", "lazy_itable_init=1,lazy_journal_init=1", "-O", "^metadata_csum,^64bit"]
        run(["mke2fs", "-q", "-t", "ext4", *features, "-d", str(stage), str(out), DISK_SIZE])
        run(["rm", "-rf", "--one-file-system", str(stage)])
        prune(where, f"disk-{kind.name}-*.ext4")

    once(out.with_name(out.name + ".stamp"), key, f"{where.name}: disk image {kind.name}", make)
    return out


def prune(where: Path, pattern: str, keep: int = 3) -> None:
    """Removes all but the newest few; a machine that still uses one would have to be that old."""
    for old in sorted(where.glob(pattern), key=lambda p: p.stat().st_mtime)[:-keep]:
        for stale in (old, *(old.with_name(old.name + suffix) for suffix in (".stamp", ".warm", ".warm.stamp"))):
            run(["rm", "-rf", str(stale)])


@dataclass(frozen=True)
class Foundation:
    """What every kind of image of a suite shares."""

    suite: Suite
    vm_dir: Path
    builder: Path
    initrd: Path
    inputs: list[Path]


def foundation(suite: Suite, vm_dir: Path, root: Path, builder: Path) -> Foundation:
    pki = make_pki(vm_dir)
    tools = make_guest_tools(suite, vm_dir, builder)
    modules = make_modules(suite, vm_dir, builder, roots.kernel_release(root), pki)
    initrd = make_initrd(suite, vm_dir, root, tools)
    return Foundation(suite, vm_dir, builder, initrd, [tools, modules, pki])


def prepare(base: Foundation, kind: Kind, installed: Path | None) -> Image:
    root = roots.guest_root(base.suite, base.vm_dir, kind)
    disk = make_disk(kind, base.vm_dir / base.suite.name, root, base.inputs, installed)
    unpacked = kernel.unpacked(roots.kernel_image(root), root.with_name(root.name + ".vmlinux"))
    return Image(base.suite.name, roots.kernel_release(root), unpacked, base.initrd, disk)
