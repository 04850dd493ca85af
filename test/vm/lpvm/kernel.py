# SPDX-License-Identifier: LGPL-2.1-or-later
"""The stock kernel without its wrapping: an emulated processor takes seconds to decompress it, in each boot."""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

from .shell import digest, once

# Documentation/arch/x86/boot.rst: the header of a bzImage.
SETUP_SECTORS, MAGIC, PROTOCOL, PAYLOAD = 0x1F1, 0x202, 0x206, 0x248
WITH_PAYLOAD = 0x208  # the protocol that has the last of these
SECTOR = 512

PT_NOTE = 4
# include/xen/interface/elfnote.h: where a kernel that is no bzImage is entered (QEMU's direct boot: "PVH").
PHYS32_ENTRY = 18


def unpacked(bzimage: Path, out: Path) -> Path:
    """The ELF file in BZIMAGE, made as OUT, or BZIMAGE itself if QEMU could not boot from that."""
    key = digest(Path(__file__), bzimage)
    once(out.with_name(out.name + ".stamp"), key, f"{out.parent.name}: {out.name}", lambda: _make(bzimage, out))
    return out if out.exists() else bzimage


def _make(bzimage: Path, out: Path) -> None:
    out.unlink(missing_ok=True)
    elf = _decompress(_payload(bzimage.read_bytes()))
    if elf.startswith(b"\x7fELF") and _has_entry(elf):
        out.write_bytes(elf)


def _payload(image: bytes) -> bytes:
    (protocol,) = struct.unpack_from("<H", image, PROTOCOL)
    if image[MAGIC : MAGIC + 4] != b"HdrS" or protocol < WITH_PAYLOAD:
        return b""
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    start = (image[SETUP_SECTORS] + 1) * SECTOR + offset
    return image[start : start + length]


def _decompress(data: bytes) -> bytes:
    # All of them have the size appended by the kernel's build; decompressors take what is theirs.
    if data.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(data)
    if data.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd") and shutil.which("zstd"):
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    return b""


def _has_entry(elf: bytes) -> bool:
    (offset,) = struct.unpack_from("<Q", elf, 32)
    size, count = struct.unpack_from("<HH", elf, 54)
    for i in range(count):
        kind, _, start, _, _, length = struct.unpack_from("<IIQQQQ", elf, offset + i * size)
        if kind == PT_NOTE and _notes(elf[start : start + length]).get((b"Xen\0", PHYS32_ENTRY)):
            return True
    return False


def _notes(data: bytes) -> dict[tuple[bytes, int], bytes]:
    found, at = {}, 0
    while at + 12 <= len(data):
        name, value, kind = struct.unpack_from("<III", data, at)
        after_name = at + 12 + (name + 3) // 4 * 4
        found[data[at + 12 : at + 12 + name], kind] = data[after_name : after_name + value]
        at = after_name + (value + 3) // 4 * 4
    return found
