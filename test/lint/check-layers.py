#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may include what (docs/ARCHITECTURE.md, "Layers"), and the form of C files."""

from __future__ import annotations

import argparse
import fnmatch
import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lint import Report, read  # noqa: E402

# A header that only these files may include.
CONFINED = {
    "systemd/sd-bus.h": ("src/daemon/bus*", "src/daemon/main.c", "src/ctl/client*", "src/ctl/verb-*",
                         "src/ctl/polkit-agent*"),
    "systemd/sd-event.h": ("src/daemon/*",),
    "systemd/sd-daemon.h": ("src/daemon/*",),
    "libkmod.h": ("src/kmod/*.c",),
    "libelf.h": ("src/kmod/*.c",),
    "gelf.h": ("src/kmod/*.c",),
    "openssl/*": ("src/kmod/*.c",),
    "zlib.h": ("src/kmod/*.c",),
    "lzma.h": ("src/kmod/*.c",),
    "zstd.h": ("src/kmod/*.c",),
    "daemon/bus*": ("src/daemon/bus*", "src/daemon/main.c"),
}

# The directories whose headers the files of a directory may include.
BELOW = {
    "src/common": {"common"},
    "src/kmod": {"common", "kmod"},
    "src/daemon": {"common", "kmod", "daemon"},
    "src/ctl": {"common", "kmod", "ctl"},
}

# Inspection, which needs no daemon, looks at modules on the client's side; so does what the daemon may not read.
CTL_KMOD = ("src/ctl/verb-inspect*", "src/ctl/inspect*", "src/ctl/module-file*", "src/ctl/blockers-stack*")

LINE_MAX = 120


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def sources(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.glob("src/*/*") if p.suffix in (".c", ".h"))


def includes(root: Path, path: str) -> Iterator[tuple[str, str]]:
    """Delimiter and name of each #include."""
    yield from re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', read(root, path), re.M)


def check_confined(root: Path, header: str) -> list[str]:
    users = [path for path in sources(root) for _, name in includes(root, path) if fnmatch.fnmatch(name, header)]
    return [f"{path} includes {header}" for path in users if not matches(path, CONFINED[header])]


def check_directory(root: Path, directory: str) -> list[str]:
    problems = []
    for path in sources(root):
        if not path.startswith(directory + "/"):
            continue
        for delimiter, name in includes(root, path):
            layer = name.partition("/")[0]
            if delimiter == "<":
                continue
            if "/" not in name:
                problems.append(f"{path}: {name} without its directory")
            elif layer not in BELOW[directory]:
                problems.append(f"{path} includes {name}")
            elif directory == "src/ctl" and layer == "kmod" and not matches(path, CTL_KMOD):
                problems.append(f"{path} includes {name}")
    return problems


def check_main_size(root: Path) -> list[str]:
    lines = {p: len(read(root, p).splitlines()) for p in sources(root) if p.endswith("/main.c")}
    return [f"{path}: {n} lines; logic belongs elsewhere" for path, n in lines.items() if n >= 200]


def check_form(root: Path, path: str) -> list[str]:
    text = read(root, path)
    lines, problems = text.splitlines(), []
    if lines[:1] != ["/* SPDX-License-Identifier: LGPL-2.1-or-later */"]:
        problems.append(f"{path}: does not begin with its license")
    if path.startswith("src/") and not (len(lines) > 1 and lines[1].startswith("/* ")):
        problems.append(f"{path}: no line of purpose after the license")
    if not text.endswith("\n"):
        problems.append(f"{path}: no newline at the end")
    for number, line in enumerate(lines, start=1):
        if line != line.rstrip():
            problems.append(f"{path}:{number}: blanks at the end")
        if "\t" in line:
            problems.append(f"{path}:{number}: a tab")
        if len(line) > LINE_MAX:
            problems.append(f"{path}:{number}: {len(line)} columns")
        if re.search(r"\b(TODO|FIXME|XXX)\b", line):
            problems.append(f"{path}:{number}: unfinished")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="root of the source tree")
    root, report = parser.parse_args().source, Report()

    report.check("there are sources", [] if sources(root) else ["none found"])
    for header in CONFINED:
        report.check(f"who includes {header}", check_confined(root, header))
    for directory in BELOW:
        report.check(f"what {directory} includes", check_directory(root, directory))
    report.check("main files are boring", check_main_size(root))
    tests = (str(p.relative_to(root)) for d in ("fuzz", "mock", "unit") for p in root.glob(f"test/{d}/*.[ch]"))
    report.check("form of files", [problem for path in [*sources(root), *tests] for problem in check_form(root, path)])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
