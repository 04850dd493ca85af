# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the power-cut campaign interrupts: stories, step by step, with all that a boot may find after each.

A world is what `livepatchctl list` says after a boot, in one line: `lp_cmdline:applied+ lp_uptime:staged`, the plus for
"to be reapplied", and `/second` where the build is not the first one of its name. "" is an empty list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FIRST, SECOND = "/opt/modules/signed/lp_cmdline.ko", "/opt/modules/signed/lp_second_build.ko"
UPTIME, CUMULATIVE = "/opt/modules/signed/lp_uptime.ko", "/opt/modules/signed/lp_cumulative.ko"

# Nothing settles within a story, so that what is applied is a suspect; or all of it does, at once.
SUSPECT, SETTLED = "20min", "1s"


@dataclass(frozen=True)
class Step:
    """
    COMMAND succeeds unless it is cut short.

    AFTER: the worlds that the next boot may find once it has succeeded. DURING: those that it may find, besides the ones
    before and after, when it was cut short.
    """

    command: str
    after: tuple[str, ...]
    during: tuple[str, ...] = ()


@dataclass(frozen=True)
class Story:
    name: str
    settle: str
    before: tuple[str, ...]  # the worlds after the preparation
    steps: tuple[Step, ...]
    prepare: tuple[str, ...] = ()  # done without a cut; POWER_CUT, PROVEN + name


POWER_CUT = "<power cut>"
REBOOT = "systemctl reboot"  # ends with the machine off
PROVEN = "<proven> "


def step(command: str, *after: str, during: Sequence[str] = ()) -> Step:
    return Step(command, after, tuple(during))


def ctl(words: str) -> str:
    return f"livepatchctl --no-ask-password {words}"


STORIES = (
    Story(
        "stage", SUSPECT, ("",),
        (
            step(ctl(f"stage {FIRST}"), "lp_cmdline:staged"),
            step(ctl(f"stage --reapply {UPTIME}"), "lp_cmdline:staged lp_uptime:applied+"),
            step(ctl("enable lp_cmdline"), "lp_cmdline:applied+ lp_uptime:applied+"),
            step(ctl("disable lp_uptime"), "lp_cmdline:applied+ lp_uptime:staged"),
            step(ctl(f"stage {SECOND}"), "lp_cmdline:applied+/second lp_uptime:staged"),
            step(ctl("remove lp_cmdline"), "lp_uptime:staged"),
            step(ctl("remove lp_uptime"), ""),
        ),
    ),
    Story(
        "apply", SUSPECT, ("",),
        (
            step(ctl(f"apply {FIRST}"), "lp_cmdline:quarantined+", during=["lp_cmdline:quarantined"]),
            # Disarmed when it is out of the kernel, and only then switched off for the next boot.
            step(ctl("revert lp_cmdline"), "lp_cmdline:staged", during=["lp_cmdline:applied+"]),
            step(ctl("apply lp_cmdline"), "lp_cmdline:quarantined+", during=["lp_cmdline:quarantined"]),
            step(ctl("remove lp_cmdline"), "", during=["lp_cmdline:applied+"]),
        ),
    ),
    Story(
        "settled", SETTLED, ("lp_cmdline:applied+",),
        (
            step(ctl("revert lp_cmdline"), "lp_cmdline:staged"),
            # While the kernel loads it, having settled before is no excuse.
            step(ctl("apply lp_cmdline"), "lp_cmdline:applied+", during=["lp_cmdline:quarantined"]),
            step(ctl("disable lp_cmdline"), "lp_cmdline:staged"),
            step(ctl("enable lp_cmdline"), "lp_cmdline:applied+"),
            step(ctl("remove lp_cmdline"), ""),
        ),
        prepare=(ctl(f"apply {FIRST}"), PROVEN + "lp_cmdline"),
    ),
    Story(
        "runtime", SUSPECT, ("lp_cmdline:applied+",),
        (
            # The build that lasts waits behind the one of this boot.
            step(ctl(f"apply --runtime {SECOND}"), "lp_cmdline:applied+"),
            step(ctl("revert --runtime lp_cmdline"), "lp_cmdline:applied+"),
            step(ctl(f"apply {FIRST}"), "lp_cmdline:quarantined+"),
        ),
        prepare=(ctl(f"stage --reapply {FIRST}"),),
    ),
    Story(
        "queue", SUSPECT, ("",),
        (
            step(
                ctl(f"apply {FIRST} {UPTIME}"), "lp_cmdline:quarantined+ lp_uptime:quarantined+",
                during=[
                    "lp_cmdline:quarantined",
                    "lp_cmdline:quarantined+",
                    "lp_cmdline:quarantined+ lp_uptime:quarantined",
                ],
            ),
            step(
                ctl("remove lp_cmdline lp_uptime"), "",
                during=["lp_cmdline:applied+ lp_uptime:quarantined+", "lp_uptime:quarantined+", "lp_uptime:applied+"],
            ),
        ),
    ),
    Story(
        "reboot", SUSPECT, ("lp_cmdline:quarantined+ lp_uptime:staged",),
        (
            # What went down cleanly is no suspect.
            step(REBOOT, "lp_cmdline:applied+ lp_uptime:staged"),
        ),
        prepare=(ctl(f"apply {FIRST}"), ctl(f"stage {UPTIME}")),
    ),
    Story(
        "confirm", SETTLED, ("lp_cmdline:staged",),
        (
            step(ctl("apply --confirm-within=1h lp_cmdline"), "lp_cmdline:staged", during=["lp_cmdline:quarantined"]),
            step(ctl("confirm lp_cmdline"), "lp_cmdline:applied+"),
            step(ctl("revert lp_cmdline"), "lp_cmdline:staged"),
        ),
        prepare=(ctl(f"apply {FIRST}"), PROVEN + "lp_cmdline", ctl("revert lp_cmdline")),
    ),
    Story(
        "upgrade", SETTLED, ("lp_cmdline:applied+ lp_uptime:applied+",),
        (
            step(
                ctl(f"apply {CUMULATIVE}"),
                "lp_cmdline:superseded lp_cumulative:applied+ lp_uptime:superseded",
                # It had no time to settle: the former level stands in for it.
                "lp_cmdline:applied lp_cumulative:quarantined+ lp_uptime:applied",
                during=[
                    "lp_cmdline:applied+ lp_cumulative:quarantined lp_uptime:applied+",
                    "lp_cmdline:applied+ lp_cumulative:quarantined+ lp_uptime:applied+",
                    "lp_cmdline:applied lp_cumulative:quarantined+ lp_uptime:applied+",
                ],
            ),
        ),
        prepare=(ctl(f"apply {FIRST} {UPTIME}"), PROVEN + "lp_cmdline", PROVEN + "lp_uptime"),
    ),
    Story(
        "rollback", SETTLED, ("lp_cmdline:superseded lp_cumulative:applied+",),
        (
            # Whoever is cut off while the kernel loads it is a suspect, here as anywhere.
            step(
                ctl("rollback"), "lp_cmdline:applied+ lp_cumulative:staged",
                during=["lp_cmdline:quarantined lp_cumulative:applied+"],
            ),
            step(
                ctl("apply lp_cumulative"), "lp_cmdline:superseded lp_cumulative:applied+",
                during=["lp_cmdline:applied+ lp_cumulative:quarantined"],
            ),
        ),
        prepare=(
            ctl(f"apply {FIRST}"), PROVEN + "lp_cmdline",
            ctl(f"apply {CUMULATIVE}"), PROVEN + "lp_cumulative",
        ),
    ),
    Story(
        "quarantine", SUSPECT, ("lp_cmdline:quarantined+",),
        (
            step(ctl("unquarantine lp_cmdline"), "lp_cmdline:applied+"),
            step(ctl("apply lp_cmdline"), "lp_cmdline:quarantined+"),
        ),
        prepare=(ctl(f"apply {FIRST}"), POWER_CUT),
    ),
)
