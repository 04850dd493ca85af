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


@dataclass(frozen=True)
class Kind:
    """A guest image with more in it than the base; a scenario asks for one by name."""

    name: str
    packages: tuple[str, ...] = ()
    # packages of another suite, for what the guest's own does not have
    foreign: tuple[str, ...] = ()
    foreign_suite: str = "trixie"


KINDS = {
    "base": Kind("base"),
    # kpatch is a shell script that runs readelf, and not in bookworm
    "bench": Kind("bench", packages=("binutils",), foreign=("kpatch",)),
    "feed": Kind("feed", packages=("nginx-light", "curl", "ca-certificates", "iproute2")),
    "cockpit": Kind("cockpit", packages=("cockpit-ws", "cockpit-bridge", "cockpit-system", "iproute2")),
}

SUITES = {
    "bookworm": Suite("bookworm", time64=False),
    "trixie": Suite("trixie", time64=True),
    "forky": Suite("forky", time64=True),
}
