# SPDX-License-Identifier: LGPL-2.1-or-later
"""Running commands on the host, with their output kept for the one case where it matters: failure."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

TREE = Path(__file__).resolve().parents[3]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(argv: list[str], *, log: Path | None = None, env: dict[str, str] | None = None, stdin: str | None = None) -> str:
    """Runs ARGV and returns its output; on failure shows the end of it and stops the harness."""
    done = subprocess.run(
        argv, input=stdin, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    )  # fmt: skip
    if log:
        log.write_text(f"$ {shlex.join(argv)}\n{done.stdout}")
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-40:])
        raise SystemExit(f"{tail}\n\nfailed with {done.returncode}: {shlex.join(argv)}")
    return done.stdout


def in_chroot(root: Path, script: str, *, binds: Iterable[tuple[Path, str]] = (), log: Path | None = None) -> str:
    """Runs a shell SCRIPT inside ROOT with /proc, /sys and /dev, in a mount namespace that vanishes with it."""
    mounts = [f"mount -t proc proc {root}/proc", f"mount --bind /dev {root}/dev", f"mount -t sysfs sys {root}/sys"]
    for source, target in binds:
        mounts += [f"mkdir -p {root}{target}", f"mount --rbind {source} {root}{target}"]
    chroot = f"exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 chroot {root} sh -euc \"$1\""
    outer = "set -e\n" + "\n".join(mounts) + "\n" + chroot
    return run(["unshare", "--mount", "--propagation=private", "sh", "-c", outer, "sh", script], log=log)


def digest(*parts: str | Path) -> str:
    """One key over texts and over the contents of files and directories."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            total.update(part.encode())
            continue
        files = sorted(p for p in part.rglob("*") if p.is_file() or p.is_symlink()) if part.is_dir() else [part]
        for file in files:
            if "__pycache__" in file.parts:
                continue
            status = file.lstat()
            total.update(f"\0{file.relative_to(part)}\0{status.st_mode:o}\0".encode())
            total.update(file.readlink().as_posix().encode() if file.is_symlink() else file.read_bytes())
    return total.hexdigest()


def once(stamp: Path, key: str, what: str, make: Callable[[], None]) -> bool:
    """Calls MAKE unless STAMP says that the same inputs were made already; returns whether it did."""
    if stamp.exists() and stamp.read_text() == key:
        return False
    stamp.unlink(missing_ok=True)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    say(f"-- {what}")
    start = time.monotonic()
    make()
    say(f"   done in {time.monotonic() - start:.1f} s")
    stamp.write_text(key)
    return True
