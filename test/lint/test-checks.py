#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The checks can fail: each mistake below, made in a copy of the tree, is found by the check that is there for it."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
API, CTL = "docs/man/org.livepatch.5.scd", "docs/man/livepatchctl.1.scd"
DAEMON, CONF = "docs/man/livepatchd.8.scd", "docs/man/livepatch.conf.5.scd"

# Which check has to notice, in which file, what is put in the place of what.
DOC_MISTAKES = [
    ("org.livepatch.Manager and its manual page", "dbus/org.livepatch.Manager.xml",
     '<method name="ListJobs">', '<method name="ListAllJobs">'),
    ("org.livepatch.Manager and its manual page", API, "*Reapply*() → (o job)", "*Reapply*() → (s job)"),
    ("org.livepatch.Patch and its manual page", API, "*SetReapply*(b reapply)", "*SetReapply*(b enable)"),
    ("org.livepatch.Patch and its manual page", "dbus/org.livepatch.Patch.xml",
     'name="AppliedAt" type="t"', 'name="AppliedAt" type="x"'),
    ("org.livepatch.Job and its manual page", API, ", *TasksPending* (u)", ""),
    ("bus policy", "dbus/org.livepatch.conf", 'send_member="Cancel"', 'send_member="Force"'),
    ("bus policy", "dbus/org.livepatch.conf", '<deny send_destination="org.livepatch"/>', ""),
    ("bus policy", "dbus/org.livepatch.conf", '<deny send_destination="org.livepatch"/>', "<deny send_destination=\"*\"/>"),
    ("actions in the security review", "src/daemon/bus-polkit.c",
     '"Stage", LP_ACTION_STAGE', '"Stage", LP_ACTION_APPLY'),
    ("actions in the security review", "docs/SECURITY-REVIEW.md", "| Manager.ListTrust |", "| Manager.Trust |"),
    ("actions in the manual page", API, "minute. No authorisation.", "minute."),
    ("actions in the manual page", API, "kernel that is installed. With", "kernel. Action: *org.livepatch.apply*. With"),
    ("words of patch_state", "src/common/types.c", '"superseded"', '"replaced"'),
    ("words of job_result", API, '"stalled". A', '"stuck". A'),
    ("states", CTL, "*external*\n", "*foreign*\n"),
    ("errors", "src/common/failure.c", '"The module is not signed"', '"No signature"'),
    ("errors", API, "|  Conflict\n:  5", "|  Conflict\n:  1"),
    ("exit statuses", CTL, "|  *7*\n", "|  *8*\n"),
    ("settings", "src/daemon/config.c", '"OnStall"', '"OnStalled"'),
    ("settings", "units/livepatch.conf", "#ExitIdleSec=30s", "#ExitIdleSec=31s"),
    ("settings", CONF, "*BootTimeoutSec=*\n", "*StartTimeoutSec=*\n"),
    ("message catalog", "units/livepatchd.catalog", "-- 9f1dc3df", "-- 9f1dc3de"),
    ("message catalog", "units/livepatchd.catalog", "@LIVEPATCH_KERNEL@", "@LIVEPATCH_RELEASE@"),
    ("every message is logged", "src/daemon/manager-trust.c", "LP_MESSAGE_TRUST_CHANGED", "LP_MESSAGE_STAGED"),
    ("message ids in the manual page", DAEMON, "|  3e1139b7", "|  3e1139b8"),
    ("journal fields", "src/common/names.h", '"LIVEPATCH_SIGNER"', '"LIVEPATCH_SIGNED_BY"'),
    ("polkit actions", "polkit/org.livepatch.policy", 'id="org.livepatch.stage"', 'id="org.livepatch.store"'),
    ("polkit actions", "polkit/org.livepatch.policy", "<allow_any>auth_admin</allow_any>", "<allow_any>yes</allow_any>"),
    ("polkit actions", "polkit/org.livepatch.policy", "of the running kernel with", "of $(kernel) with"),
    ("kill switches", "units/livepatch-reapply.service.in", "!livepatch=off", "!livepatch.off"),
    ("references between manual pages", CTL, "*livepatchd*(8),", "*livepatchd*(1),"),
]

LAYER_MISTAKES = [
    ("who includes systemd/sd-bus.h", "src/daemon/manager.h", "#include <systemd/sd-bus.h>"),
    ("who includes openssl/*", "src/kmod/module-verify.h", "#include <openssl/cms.h>"),
    ("who includes libkmod.h", "src/daemon/patch.c", "#include <libkmod.h>"),
    ("who includes daemon/bus*", "src/daemon/patch.c", '#include "daemon/bus.h"'),
    ("what src/common includes", "src/common/log.c", '#include "kmod/module-image.h"'),
    ("what src/kmod includes", "src/kmod/module-image.c", '#include "daemon/config.h"'),
    ("what src/kmod includes", "src/kmod/module-image.c", '#include "certificate.h"'),
    ("what src/ctl includes", "src/ctl/options.c", '#include "daemon/config.h"'),
    ("what src/ctl includes", "src/ctl/options.c", '#include "kmod/module-verify.h"'),
]

UNIT_MISTAKES = [
    ("exposure of livepatchd.service", "livepatchd.service", "PrivateNetwork=yes", "PrivateNetwork=no"),
    ("nothing harmful in livepatchd.service", "livepatchd.service", "UMask=0077", "ProtectKernelModules=yes"),
    ("systemd-analyze verify", "livepatchd.service", "LockPersonality=", "LockedPersonality="),
    ("same confinement", "livepatch-reapply.service", "RestrictNamespaces=yes", "RestrictNamespaces=no"),
    ("order at boot", "livepatch-reapply.service", "Before=network-pre.target ", "Before="),
    ("order of the crash guard", "livepatch-guard.service", "Conflicts=shutdown.target\n", ""),
    ("order of the crash guard", "livepatch-guard.service", "ExecStop=", "ExecStopPost="),
    ("PrivateDevices=", "livepatch-reapply.service", "After=systemd-tmpfiles-setup.service", "After="),
    ("time limit at boot", "livepatch-reapply.service", "TimeoutStartSec=120s", "TimeoutStartSec=61s"),
]


class Checks(unittest.TestCase):
    source: Path
    units: list[Path]

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.tree = Path(directory.name)

    def copy_tree(self) -> None:
        for part in ("dbus", "docs", "polkit", "src", "units"):
            shutil.copytree(self.source / part, self.tree / part)

    def failing(self, check: str, *arguments: str | Path) -> set[str]:
        out = subprocess.run([sys.executable, HERE / check, *arguments], text=True, stdout=subprocess.PIPE).stdout
        self.assertIn("\n1..", out, "the check did not come to its end")
        return {line.partition(" - ")[2] for line in out.splitlines() if line.startswith("not ok")}

    def replace(self, path: Path, old: str, new: str) -> str:
        text = path.read_text()
        self.assertIn(old, text, "the mistake cannot be made any more")
        path.write_text(text.replace(old, new))
        return text

    def test_documentation(self) -> None:
        self.copy_tree()
        for name, path, old, new in DOC_MISTAKES:
            with self.subTest(check=name, path=path, mistake=new):
                text = self.replace(self.tree / path, old, new)
                self.assertIn(name, self.failing("check-docs.py", f"--source={self.tree}"))
                (self.tree / path).write_text(text)

    def test_layers(self) -> None:
        self.copy_tree()
        for name, path, line in LAYER_MISTAKES:
            with self.subTest(check=name, path=path, mistake=line):
                text = (self.tree / path).read_text()
                (self.tree / path).write_text(f"{text}{line}\n")
                self.assertIn(name, self.failing("check-layers.py", f"--source={self.tree}"))
                (self.tree / path).write_text(text)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not there")
    def test_units(self) -> None:
        copies = [Path(shutil.copy(unit, self.tree)) for unit in self.units]
        for name, unit, old, new in UNIT_MISTAKES:
            with self.subTest(check=name, unit=unit, mistake=new):
                text = self.replace(self.tree / unit, old, new)
                self.assertIn(name, self.failing("check-units.py", f"--source={self.source}", *copies))
                (self.tree / unit).write_text(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("units", type=Path, nargs=3)
    parsed = parser.parse_args()
    Checks.source, Checks.units = parsed.source, parsed.units
    unittest.main(argv=[sys.argv[0]])
