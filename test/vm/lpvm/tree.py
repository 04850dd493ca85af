# SPDX-License-Identifier: LGPL-2.1-or-later
"""Builds livepatchd for a suite and installs it into a directory, which becomes part of the disk image."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .shell import TREE, in_chroot, run, say
from .sources import host_codename
from .suites import Suite

SETUP = "--prefix=/usr --sysconfdir=/etc --localstatedir=/var"


def install(suite: Suite, vm_dir: Path, build_dir: Path, builder: Path) -> Path | None:
    """None while the tree has nothing to build."""
    if not (TREE / "meson.build").exists():
        say("-- no meson.build: an image without livepatchd")
        return None
    target = vm_dir / suite.name / "installed"
    run(["rm", "-rf", str(target)])
    say(f"-- {suite.name}: building and installing the tree")
    if suite.name == host_codename():
        _on_host(build_dir, target)
    else:
        _in_builder(suite, vm_dir, builder, target)
    return target


def _on_host(build_dir: Path, target: Path) -> None:
    if not (build_dir / "build.ninja").exists():
        run(["meson", "setup", *SETUP.split(), str(build_dir), str(TREE)])
    options = json.loads(subprocess.check_output(["meson", "introspect", "--buildoptions", str(build_dir)]))
    prefix = next(o["value"] for o in options if o["name"] == "prefix")
    if prefix != "/usr":
        raise SystemExit(f"{build_dir} is configured for {prefix}; the machine needs it in /usr: meson configure --prefix=/usr")
    run(["ninja", "-C", str(build_dir)])
    run(["meson", "install", "--quiet", "--no-rebuild", "-C", str(build_dir)], env={"DESTDIR": str(target.resolve())})


def _in_builder(suite: Suite, vm_dir: Path, builder: Path, target: Path) -> None:
    build = f"/src/{(vm_dir / suite.name / 'meson').relative_to(TREE)}"
    script = f"""
        [ -e {build}/build.ninja ] || meson setup {SETUP} {build} /src
        ninja -C {build}
        DESTDIR=/src/{target.relative_to(TREE)} meson install --quiet --no-rebuild -C {build}
        """
    in_chroot(builder, script, binds=[(TREE, "/src")], log=vm_dir / suite.name / "tree.log")
