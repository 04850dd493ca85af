#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds the interfaces against what describes them: D-Bus, settings, errors, messages, actions, verbs and options."""

from __future__ import annotations

import argparse
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import ctl  # noqa: E402
from lint import Report, compare, man_section, man_terms, read  # noqa: E402

API_PAGE = "docs/man/org.livepatch.5.scd"
CTL_PAGE = "docs/man/livepatchctl.1.scd"
DAEMON_PAGE = "docs/man/livepatchd.8.scd"
CONF_PAGE = "docs/man/livepatch.conf.5.scd"
PAGES = (API_PAGE, CTL_PAGE, DAEMON_PAGE, CONF_PAGE)
STANDARD_MEMBERS = {
    "org.freedesktop.DBus.Introspectable.Introspect",
    "org.freedesktop.DBus.ObjectManager.GetManagedObjects",
    "org.freedesktop.DBus.Peer.GetMachineId",
    "org.freedesktop.DBus.Peer.Ping",
    "org.freedesktop.DBus.Properties.Get",
    "org.freedesktop.DBus.Properties.GetAll",
}


# ---- D-Bus ----

def interfaces(root: Path) -> dict[str, ElementTree.Element]:
    found = {}
    for path in sorted(root.glob("dbus/*.xml")):
        for interface in ElementTree.parse(path).getroot().iter("interface"):
            found[interface.get("name", "")] = interface
    return found


def arguments(member: ElementTree.Element, direction: str | None) -> str:
    return ", ".join(f"{a.get('type')} {a.get('name')}" for a in member.iter("arg") if a.get("direction") == direction)


def prototype(member: ElementTree.Element) -> str:
    """A method or signal as the manual page writes it."""
    if member.tag == "signal":
        return f"*{member.get('name')}*({arguments(member, None)})"
    out = arguments(member, "out")
    return f"*{member.get('name')}*({arguments(member, 'in')})" + (f" → ({out})" if out else "")


def check_interface(root: Path, name: str, interface: ElementTree.Element) -> list[str]:
    page = read(root, API_PAGE)
    problems = []
    for tag, heading in (("method", "Methods"), ("signal", "Signals")):
        members = [prototype(m) for m in interface.iter(tag)]
        documented = man_terms(man_section(page, name.upper(), heading))
        if members or documented:
            problems += compare("the XML", members, "the manual page", documented)
    properties = [f"{p.get('name')} ({p.get('type')})" for p in interface.iter("property")]
    terms = "\n".join(man_terms(man_section(page, name.upper(), "Properties")))
    documented = [f"{n} ({t})" for n, t in re.findall(r"\*(\w+)\* \((.+?)\)(?=,|$)", terms, re.M)]
    return problems + compare("the XML", properties, "the manual page", documented)


def check_bus_policy(root: Path) -> list[str]:
    tree = ElementTree.fromstring(read(root, "dbus/org.livepatch.conf"))
    problems = []
    for policy in tree.iter("policy"):
        for rule in policy:
            if rule.get("own") is None and rule.get("send_destination") != "org.livepatch":
                problems.append(f"a rule without send_destination: {rule.attrib}")
    default = tree.find("policy[@context='default']")
    if default is None or default[0].tag != "deny" or set(default[0].keys()) != {"send_destination"}:
        return [*problems, "the default policy does not begin by denying everything"]
    if any(rule.get("own") for rule in default):
        problems.append("somebody besides root may own the name")
    allowed = [f"{r.get('send_interface')}.{r.get('send_member')}" for r in default if r.tag == "allow"]
    members = {f"{name}.{m.get('name')}" for name, i in interfaces(root).items() for m in i.iter("method")}
    return problems + compare("the bus policy", allowed, "the interfaces", members | STANDARD_MEMBERS)


def method_actions(root: Path) -> dict[str, str]:
    """Which action each method asks for; "nobody" if it does not ask."""
    actions = {f"{name.rpartition('.')[2]}.{m.get('name')}": "nobody"
               for name, i in interfaces(root).items() for m in i.iter("method")}
    macro = macros(root, "LP_ACTION_")
    rows = re.findall(r'\{ LP_IFACE_(\w+), "(\w+)", (LP_ACTION_\w+) \}', read(root, "src/daemon/bus-polkit.c"))
    return actions | {f"{interface.title()}.{member}": macro[action] for interface, member, action in rows} | {
        "Job.Cancel": "the action of the job's type"}


def check_review(root: Path) -> list[str]:
    table = re.findall(r"^\| (\w+\.\w+) \| ([^|]+) \|", read(root, "docs/SECURITY-REVIEW.md"), re.M)
    return compare("bus-polkit.c", (f"{method}: {action}" for method, action in method_actions(root).items()),
                   "SECURITY-REVIEW.md", (f"{method}: {action.strip('`')}" for method, action in table))


def check_documented_actions(root: Path) -> list[str]:
    page, documented = read(root, API_PAGE), {}
    for name in interfaces(root):
        section = man_section(page, name.upper(), "Methods")
        for member, text in re.findall(r"^\*(\w+)\*\(.*\n((?:\t.*\n|\n(?=\t))+)", section, re.M):
            words = " ".join(text.split())
            action = re.search(r"Action: \*(org\.livepatch\.[\w-]+)\*\.", words)
            asks_nobody = "No authorisation." in words
            documented[f"{name.rpartition('.')[2]}.{member}"] = action[1] if action else "nobody" * asks_nobody
    wanted = {m: a for m, a in method_actions(root).items() if m != "Job.Cancel"}
    documented.pop("Job.Cancel", None)
    return compare("bus-polkit.c", map(": ".join, wanted.items()), API_PAGE, map(": ".join, documented.items()))


# ---- Tables of the sources ----

def macros(root: Path, prefix: str) -> dict[str, str]:
    return dict(re.findall(rf'^#define ({prefix}\w+) "([^"]+)"$', read(root, "src/common/names.h"), re.M))


def string_tables(root: Path) -> dict[str, list[str]]:
    """The words of src/common/types.c, by table."""
    source = read(root, "src/common/types.c")
    tables = re.findall(r"^static const char \*const (\w+)_table\[\w+\] = \{(.*?)^\};", source, re.M | re.S)
    return {name: re.findall(r'= "([^"]*)"', body) for name, body in tables}


# Where each table's words have to appear, quoted; "" is not a word.
WORD_PLACES = {
    "patch_state": "State",
    "signature_status": "SignatureStatus",
    "signature_policy": "SignaturePolicy",
    "mode": "Mode",
    "lockdown": "Lockdown",
    "secure_boot": "SecureBoot",
    "tristate": "ModuleSignatureEnforced",
    "origin": "Origin",
    "livepatch_kind": "Kind",
    "job_type": "Type",
    "job_state": "State",
    "job_result": "Result",
}


def check_words(root: Path, table: str, property_name: str) -> list[str]:
    interface = "JOB" if table.startswith("job_") else "PATCH"
    page = read(root, API_PAGE)
    section = man_section(page, f"ORG.LIVEPATCH.{interface}", "Properties")
    if f"*{property_name}*" not in section:
        section = man_section(page, "ORG.LIVEPATCH.MANAGER", "Properties")
    entry = re.search(rf"^.*\*{property_name}\*.*\n((?:\t.*\n|\n(?=\t))+)", section, re.M)
    if not entry:
        return [f"{property_name} is not described"]
    words = re.findall(r'"([^"]+)"', entry[1])
    return compare("types.c", [w for w in string_tables(root)[table] if w], "the manual page", words)


def check_states(root: Path) -> list[str]:
    terms = ", ".join(man_terms(man_section(read(root, CTL_PAGE), "STATES")))
    return compare("types.c", string_tables(root)["patch_state"], CTL_PAGE, re.findall(r"\*([\w-]+)\*", terms))


def refusals(root: Path) -> list[tuple[str, str, str]]:
    """Name, exit status and text of each row of src/common/failure.c."""
    source = read(root, "src/common/failure.c")
    codes = dict(re.findall(r"\b(EXIT_\w+) = (\d+),", source))
    rows = re.findall(r'^\s+\[REFUSED_\w+\] = \{ "(\w+)", (EXIT_\w+),\s+"([^"]+)" \},', source, re.M)
    return [(name, codes[code], text) for name, code, text in rows]


def check_errors(root: Path) -> list[str]:
    section = man_section(read(root, API_PAGE), "ERRORS")
    documented = re.findall(r"^\|  (\w+)\n:  (\d)\n:  (.+)$", section, re.M)
    rows = [*refusals(root), *(row for row in documented if row[0] == "Failed")]
    return compare("failure.c", map(" / ".join, rows), API_PAGE, map(" / ".join, documented))


def check_exit_codes(root: Path) -> list[str]:
    section = man_section(read(root, CTL_PAGE), "EXIT STATUS")
    documented = re.findall(r"^\|.*\*(\d)\*$", section, re.M)
    return compare("the contract", "01234567", CTL_PAGE, documented) + [
        f"{code}: used by failure.c, not in {CTL_PAGE}" for code in {r[1] for r in refusals(root)} - set(documented)]


# ---- Settings ----

def check_settings(root: Path) -> list[str]:
    source = read(root, "src/daemon/config.c")
    keys = re.findall(r'\.name = "(\w+)"', source)
    section = man_section(read(root, CONF_PAGE), "SETTINGS")
    documented = [term.strip("*=") for term in man_terms(section)]
    example = re.findall(r"^#(\w+)=(\S*)$", read(root, "units/livepatch.conf"), re.M)
    problems = compare("config.c", keys, CONF_PAGE, documented)
    problems += compare("config.c", keys, "livepatch.conf", [key for key, _ in example])
    for key, value in example:
        entry = re.search(rf"^\*{key}=\*\n((?:\t.*\n|\n(?=\t))+)", section, re.M)
        if entry and not value and "default is empty" not in re.sub(r"\s+", " ", entry[1]):
            problems.append(f"{key}: {CONF_PAGE} does not say that the default is empty")
        if entry and value and not re.search(rf"\*{value}\*,\s+the\s+default|default\s+is\s+\*{value}\*", entry[1]):
            problems.append(f"{key}: {CONF_PAGE} does not say that the default is {value}")
    return problems


# ---- Messages ----

def catalog(root: Path) -> dict[str, str]:
    text = re.sub(r"^#.*\n", "", read(root, "units/livepatchd.catalog"), flags=re.M)
    return {entry[:32]: entry[33:] for entry in re.split(r"^-- ", text, flags=re.M)[1:]}


def check_catalog(root: Path) -> list[str]:
    ids = macros(root, "LP_MESSAGE_")
    entries = catalog(root)
    problems = compare("names.h", ids.values(), "the catalog", entries)
    if len(set(ids.values())) != len(ids):
        problems.append("two messages have the same id")
    fields = set(macros(root, "LP_FIELD_").values())
    for message_id, entry in entries.items():
        header, _, body = entry.partition("\n\n")
        names = [line.partition(":")[0] for line in header.splitlines()]
        if names != ["Subject", "Defined-By", "Support", "Documentation"]:
            problems.append(f"{message_id}: header fields are {names}")
        if body.count("\n\n") < 2:
            problems.append(f"{message_id}: needs paragraphs on what happened, the state of the system, what to do")
        problems += [f"{message_id}: no such field {f}" for f in set(re.findall(r"@(\w+)@", entry)) - fields]
    return problems


def check_emitted(root: Path) -> list[str]:
    sources = "\n".join(path.read_text() for path in root.glob("src/daemon/*.c"))
    return [f"{name} is never logged" for name in macros(root, "LP_MESSAGE_") if not re.search(rf"\b{name}\b", sources)]


def check_message_table(root: Path) -> list[str]:
    documented = re.findall(r"^\|  ([0-9a-f]{32})$", man_section(read(root, DAEMON_PAGE), "JOURNAL"), re.M)
    return compare("names.h", macros(root, "LP_MESSAGE_").values(), DAEMON_PAGE, documented)


def check_fields(root: Path) -> list[str]:
    documented = re.findall(r"\b(LIVEPATCH_\w+)=", man_section(read(root, DAEMON_PAGE), "JOURNAL"))
    return compare("names.h", macros(root, "LP_FIELD_").values(), DAEMON_PAGE, documented)


# ---- Actions and switches ----

def check_actions(root: Path) -> list[str]:
    actions = macros(root, "LP_ACTION_").values()
    policy = ElementTree.fromstring(read(root, "polkit/org.livepatch.policy").encode())
    problems = compare("names.h", actions, "the polkit policy", [a.get("id") for a in policy.iter("action")])
    section = man_section(read(root, API_PAGE), "AUTHORISATION")
    problems += compare("names.h", actions, API_PAGE, re.findall(r"^\|  (org\.livepatch\.[\w-]+)$", section, re.M))
    for action in policy.iter("action"):
        defaults = [d.text for d in action.find("defaults") or []]
        # What cannot be undone is asked for each time.
        kept = "auth_admin" if action.get("id") == "org.livepatch.force" else "auth_admin_keep"
        if defaults != ["auth_admin", "auth_admin", kept]:
            problems.append(f"{action.get('id')}: defaults are {defaults}")
        details = re.findall(r"\$\((\w+)\)", action.findtext("message", ""))
        if details and (details != ["patch"] or action.get("id") not in ("org.livepatch.revert", "org.livepatch.force")):
            problems.append(f"{action.get('id')}: the daemon does not always send {details}")
    return problems


def check_switches(root: Path) -> list[str]:
    switches = [macros(root, "LP_CMDLINE_")[name] for name in ("LP_CMDLINE_OFF", "LP_CMDLINE_NO_REAPPLY")]
    unit = read(root, "units/livepatch-reapply.service.in")
    conditions = re.findall(r"^ConditionKernelCommandLine=!(\S+)$", unit, re.M)
    terms = man_terms(man_section(read(root, DAEMON_PAGE), "BOOT", "Kill switches"))
    return compare("names.h", switches, "the boot unit", conditions) + compare(
        "names.h", [*switches, "/etc/livepatch/disabled"], DAEMON_PAGE, [t.strip("*_") for t in terms])


def check_references(root: Path) -> list[str]:
    """Our pages name each other, and no page of ours that does not exist."""
    own = {Path(page).name.removesuffix(".scd") for page in PAGES}
    problems = compare("this check", own, "docs/man", [p.name.removesuffix(".scd") for p in root.glob("docs/man/*.scd")])
    for page in PAGES:
        for name, section in re.findall(r"\*([\w.-]*livepatch[\w.-]*)\*\((\d)\)", read(root, page)):
            if f"{name}.{section}" not in own:
                problems.append(f"{page}: refers to {name}({section})")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="root of the source tree")
    parser.add_argument("--ctl", type=Path, help="livepatchctl, freshly built")
    parser.add_argument("--daemon", type=Path, help="livepatchd, freshly built")
    args = parser.parse_args()
    root, report = args.source, Report()

    for name, interface in interfaces(root).items():
        report.check(f"{name} and its manual page", check_interface(root, name, interface))
    report.check("bus policy", check_bus_policy(root))
    report.check("actions in the security review", check_review(root))
    report.check("actions in the manual page", check_documented_actions(root))
    for table, property_name in WORD_PLACES.items():
        report.check(f"words of {table}", check_words(root, table, property_name))
    report.check("states", check_states(root))
    report.check("errors", check_errors(root))
    report.check("exit statuses", check_exit_codes(root))
    report.check("settings", check_settings(root))
    report.check("message catalog", check_catalog(root))
    report.check("every message is logged", check_emitted(root))
    report.check("message ids in the manual page", check_message_table(root))
    report.check("journal fields", check_fields(root))
    report.check("polkit actions", check_actions(root))
    report.check("kill switches", check_switches(root))
    report.check("references between manual pages", check_references(root))
    if args.ctl:
        ctl.check_all(report, args.ctl, root, CTL_PAGE)
    if args.daemon:
        ctl.check_program_options(report, args.daemon, root, DAEMON_PAGE)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
