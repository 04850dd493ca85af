# SPDX-License-Identifier: LGPL-2.1-or-later
"""From nothing to bootable images: root, builder, modules, the freshly built tree, disks."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterable, Iterator
from pathlib import Path

from . import image, roots, tree, warm
from .qemu import Hardware
from .suites import KINDS, Suite


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Images are made by one run at a time; scenarios of several may run side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def images(
    suite: Suite, build_dir: Path, kinds: Iterable[str], hardware: Hardware, *, install: bool = True, save: bool = True
) -> tuple[dict[str, image.Image], bool]:
    """The images by kind, and whether livepatchd is in them. SAVE: with a machine saved right after its boot."""
    vm_dir = build_dir / "vm"
    with locked(vm_dir / suite.name / "lock"):
        root = roots.guest_root(suite, vm_dir)
        builder = roots.builder_root(suite, vm_dir, roots.kernel_release(root))
        installed = tree.install(suite, vm_dir, build_dir, builder) if install else None
        foundation = image.foundation(suite, vm_dir, root, builder)
        made = {}
        for kind in sorted(kinds):
            made[kind] = image.prepare(foundation, KINDS[kind], installed)
            if save:
                made[kind] = warm.keep_warm(made[kind], hardware)
    return made, installed is not None
