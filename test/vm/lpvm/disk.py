# SPDX-License-Identifier: LGPL-2.1-or-later
"""A disk with a write cache that a power cut empties.

Killing QEMU alone is a mild power cut: what the guest has written, flushed or not, is with the host already. This disk
knows what has been flushed. At a cut every block written since is there, or as it was before, by the throw of a die; so
a large write may be torn, and a later one may have got there without an earlier one.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import threading
from pathlib import Path

from .nbd import PowerOff, Server

# The guest's file system and page cache write in units of this.
BLOCK = 4096


class VolatileDisk:
    """An overlay on BASE (its format: raw or qcow2), thrown away with the machine."""

    block = BLOCK

    def __init__(self, base: Path, base_format: str, directory: Path) -> None:
        self._lock = threading.Lock()
        self._before: dict[int, bytes] = {}  # since the last flush: the blocks as that flush left them
        self._pending: list[tuple[int, bytes]] = []  # and what was written to them, in order
        self._dead = False
        self._countdown = 0
        self.writes = 0
        self.flushes = 0
        self.tripped = threading.Event()
        raw, extents = _extents(base, base_format)
        self._base = os.open(raw, os.O_RDONLY | os.O_CLOEXEC)
        self.size = os.fstat(self._base).st_size
        self._own = bytearray(self.size // BLOCK)
        self.path = directory / "disk.overlay"
        self.path.unlink(missing_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, self.size)
        self._take_over(base, extents)
        self._server = Server(self)

    def _take_over(self, base: Path, extents: list[dict]) -> None:
        """What an overlay in QEMU's format has above the raw disk."""
        if not extents:
            return
        with base.open("rb") as file:
            for e in extents:
                file.seek(e.get("offset", 0))
                data = file.read(e["length"]) if e["data"] else bytes(e["length"])
                self._put(e["start"], data)

    @property
    def drive(self) -> str:
        """Words for QEMU's -drive."""
        return f"driver=nbd,server.type=unix,server.path={self._server.path},cache.direct=off,cache.no-flush=off"

    def close(self) -> None:
        self._server.close()
        with self._lock:
            self._dead = True
            os.close(self._file)
            os.close(self._base)
        self.path.unlink(missing_ok=True)

    # -- the power --------------------------------------------------------------------------------------------

    def arm(self, writes: int) -> None:
        """After so many more writes the disk takes and answers nothing any more, and sets `tripped`; 0: never."""
        with self._lock:
            self._countdown = writes
            self.tripped.clear()

    def freeze(self) -> None:
        """The power is off: what QEMU has sent and still sends is lost."""
        with self._lock:
            self._dead = True

    def thaw(self, rng: random.Random, survival: float) -> tuple[int, int]:
        """The power is back. Each unflushed block has survived with this likelihood; returns how many did, of how many."""
        with self._lock:
            for block, data in self._before.items():
                self._put(block * BLOCK, data)
            kept = [(block, data) for block, data in self._pending if rng.random() < survival]
            for block, data in kept:
                self._put(block * BLOCK, data)
            total = len(self._pending)
            self._before.clear()
            self._pending.clear()
            self._dead = False
            self._countdown = 0
            self.tripped.clear()
        return len(kept), total

    # -- what the server asks for -------------------------------------------------------------------------------

    def read(self, offset: int, length: int) -> bytes:
        with self._lock:
            self._need_power()
            return self._get(offset, length)

    def write(self, offset: int, data: bytes) -> None:
        with self._lock:
            self._need_power()
            self.writes += 1
            for at in range(0, len(data), BLOCK):
                block, part = (offset + at) // BLOCK, data[at : at + BLOCK]
                if block not in self._before:
                    self._before[block] = self._get(block * BLOCK, BLOCK)
                self._pending.append((block, part))
            self._put(offset, data)
            if self._countdown:
                self._countdown -= 1
                if self._countdown == 0:
                    self._dead = True
                    self.tripped.set()
                    raise PowerOff

    def flush(self) -> None:
        with self._lock:
            self._need_power()
            self.flushes += 1
            self._before.clear()
            self._pending.clear()

    def _need_power(self) -> None:
        if self._dead:
            raise PowerOff

    # -- blocks -----------------------------------------------------------------------------------------------

    def _put(self, offset: int, data: bytes) -> None:
        os.pwrite(self._file, data, offset)
        first, n = offset // BLOCK, len(data) // BLOCK
        self._own[first : first + n] = b"\1" * n

    def _get(self, offset: int, length: int) -> bytes:
        first, end = offset // BLOCK, (offset + length) // BLOCK
        parts = []
        while first < end:
            own = self._own[first]
            stop = self._own.find(0 if own else 1, first, end)
            stop = end if stop < 0 else stop
            parts.append(os.pread(self._file if own else self._base, (stop - first) * BLOCK, first * BLOCK))
            first = stop
        return b"".join(parts)


def _extents(base: Path, base_format: str) -> tuple[Path, list[dict]]:
    """The raw image at the bottom, and what the overlay BASE has of its own."""
    if base_format == "raw":
        return base, []
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", str(base)]))
    raw = Path(info["full-backing-filename"])
    found = json.loads(subprocess.check_output(["qemu-img", "map", "--output=json", str(base)]))
    return raw, [e for e in found if e["depth"] == 0]
