# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds what a program's --help says against its manual page and the shell completions."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from lint import Report, compare, man_section, man_terms, read

COMPLETIONS = ("completions/livepatchctl", "completions/_livepatchctl")


def program_help(program: Path, *arguments: str) -> str:
    """What --help prints; a program that cannot be started fails the whole test."""
    command = [program, *arguments, "--help"]
    return subprocess.run(command, check=True, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout


def help_verbs(text: str) -> list[str]:
    section = re.search(r"^Verbs:\n((?:  .*\n)+)", text, re.M)
    return re.findall(r"^  ([a-z-]+)\b", section[1], re.M) if section else []


def help_options(text: str) -> list[str]:
    """-h, --help, ...: what stands at the beginning of an indented line."""
    starts = re.findall(r"^ +(-\w(?:,? +--[\w-]+)?|--[\w-]+)", text, re.M)
    return [option for start in starts for option in re.findall(r"--?[\w-]+", start)]


def man_options(page: str) -> list[str]:
    terms = "\n".join(man_terms(man_section(page, "OPTIONS")))
    return re.findall(r"\*(--?[\w-]+)\*", terms)


def man_verbs(page: str) -> list[str]:
    return [re.match(r"\*([\w-]+)", term)[1] for term in man_terms(man_section(page, "VERBS"))]


def check_program_options(report: Report, program: Path, root: Path, page: str) -> None:
    options = help_options(program_help(program))
    report.check(f"options of {program.name}", compare("--help", options, page, man_options(read(root, page))))


def check_completions(root: Path, completions: str, verbs: list[str], options: list[str]) -> list[str]:
    """Every word of ours is there, and no long option that does not exist."""
    if not (root / completions).exists():
        return [f"{completions} does not exist"]
    text = re.sub(r"^\s*#.*$", "", read(root, completions), flags=re.M)
    words = set(re.findall(r"(?<![\w-])(?:--?)?[a-z][\w-]*", text))
    problems = [f"{word}: not in {completions}" for word in [*verbs, *options] if word not in words and len(word) > 2]
    unknown = set(re.findall(r"(?<![\w-])--[a-z][\w-]+", text)) - set(options)
    return problems + [f"{word}: in {completions}, not in --help" for word in sorted(unknown)]


def check_all(report: Report, program: Path, root: Path, page: str) -> None:
    text = program_help(program)
    verbs = help_verbs(text)
    report.check("verbs", compare("--help", verbs, page, man_verbs(read(root, page))))
    report.check("help of each verb", [v for v in verbs if not program_help(program, v).strip()])
    check_program_options(report, program, root, page)
    for completions in COMPLETIONS:
        report.check(completions, check_completions(root, completions, verbs, help_options(text)))
