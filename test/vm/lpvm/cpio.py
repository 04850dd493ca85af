# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes an initrd: the "newc" cpio format that the kernel unpacks."""

from __future__ import annotations

import stat

# The fields after the magic: ino mode uid gid nlink mtime size devmajor devminor rdevmajor rdevminor namesize check.



def _entry(name: str, mode: int, data: bytes, number: int, device: tuple[int, int] = (0, 0)) -> bytes:
    raw_name = name.encode() + b"\0"
    values = [number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw_name), 0]
    head = b"070701" + b"".join(b"%08x" % v for v in values) + raw_name
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def archive(files: dict[str, tuple[int, bytes]]) -> bytes:
    """FILES maps a path to permission bits and contents; directories are made as needed."""
    made: dict[str, bytes] = {}
    # without a console node, what init prints is lost
    made["dev"] = _entry("dev", stat.S_IFDIR | 0o755, b"", 1)
    made["dev/console"] = _entry("dev/console", stat.S_IFCHR | 0o600, b"", 2, (5, 1))
    for path, (mode, data) in files.items():
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            made.setdefault(parent, _entry(parent, stat.S_IFDIR | 0o755, b"", len(made) + 1))
        name = "/".join(parts)
        made[name] = _entry(name, stat.S_IFREG | mode, data, len(made) + 1)
    return b"".join(made.values()) + _entry("TRAILER!!!", 0, b"", 0)
