# SPDX-License-Identifier: LGPL-2.1-or-later
"""What differs between the Debian suites that the harness knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Suite:
    name: str
    time64: bool  # library packages carry the t64 suffix

    def t64(self, package: str) -> str:
        return package + "t64" if self.time64 else package

    @property
    def guest_packages(self) -> list[str]:
        return [
            "systemd", "systemd-sysv", "dbus", "polkitd", "kmod", "udev", "procps", "openssl",
            "libjansson4", self.t64("libelf1"), "libglib2.0-bin", "python3-minimal", "python3-dbus",
            "zstd", "xz-utils", "strace", "e2fsprogs",
        ]  # fmt: skip

    @property
    def builder_packages(self) -> list[str]:
        """For the test modules, and for the tree where the machine runs another suite."""
        return [
            "gcc", "libc6-dev", "make", "kmod", "openssl", "python3", "xz-utils", "zstd",
            "meson", "pkg-config", "scdoc", "libsystemd-dev", "libkmod-dev", "libelf-dev", "libssl-dev",
            "libjansson-dev", "zlib1g-dev", "liblzma-dev", "libzstd-dev", "systemd-dev" if self.time64 else "systemd",
            "libdbus-1-dev", "libpolkit-gobject-1-dev", "gettext",
        ]  # fmt: skip


SUITES = {
    "bookworm": Suite("bookworm", time64=False),
    "trixie": Suite("trixie", time64=True),
    "forky": Suite("forky", time64=True),
}
