# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads the machine's apt sources and rewrites them for another Debian suite."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

APT = Path("/etc/apt")


@dataclass(frozen=True)
class Source:
    """One archive line: where it is, and which suite and components it offers."""

    uri: str
    suite: str
    components: str

    def line(self) -> str:
        return f"deb {self.uri} {self.suite} {self.components}"


def _one_line_style(text: str) -> list[Source]:
    found = []
    for line in text.splitlines():
        m = re.match(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)", line.split("#")[0].strip())
        if m:
            found.append(Source(m[1], m[2], m[3].strip()))
    return found


def _deb822_style(text: str) -> list[Source]:
    found = []
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for stanza in re.split(r"\n\s*\n", text):
        unfolded = re.sub(r"\n\s+", " ", stanza)
        fields = dict(
            (k.strip().lower(), v.strip())
            for k, sep, v in (line.partition(":") for line in unfolded.splitlines())
            if sep
        )
        if fields.get("enabled", "yes").lower() == "no" or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                found.append(Source(uri, suite, fields.get("components", "")))
    return found


def host_codename() -> str:
    text = Path("/etc/os-release").read_text()
    m = re.search(r'^VERSION_CODENAME="?([a-z]+)', text, re.M)
    if not m:
        raise SystemExit("this machine's /etc/os-release names no Debian codename")
    return m[1]


def host_sources(apt: Path = APT) -> list[Source]:
    found: list[Source] = []
    for path in [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        if path.suffix == ".sources":
            found += _deb822_style(path.read_text())
        elif path.suffix == ".list":
            found += _one_line_style(path.read_text())
    return found


def for_suite(suite: str) -> str:
    """The machine's own Debian mirrors, as sources.list text for SUITE."""
    codename = host_codename()
    lines = []
    for source in host_sources():
        base, dash, pocket = source.suite.partition("-")
        if base not in (codename, "stable", "oldstable", "testing", "unstable"):
            continue
        if pocket in ("", "updates", "security") and "main" in source.components.split():
            lines.append(f"deb {source.uri} {suite}{dash}{pocket} main")
    if not lines:
        raise SystemExit(f"no Debian mirror for {codename} in {APT}; the harness builds its images from there")
    return "\n".join(dict.fromkeys(lines)) + "\n"
