# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the power-cut campaign interrupts: stories, step by step, with all that a boot may find after each.

A world is what `livepatchctl list` says after a boot, in one line: `lp_cmdline:applied+ lp_uptime:staged`, the plus for
"to be reapplied", and `/second` where the build is not the first one of its name. "" is an empty list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FIRST, SECOND = "/opt/modules/signed/lp_cmdline.ko", "/opt/modules/signed/lp_second_build.ko"
UPTIME, WARN = "/opt/modules/signed/lp_uptime.ko", "/opt/modules/signed/lp_warn.ko"
CUMULATIVE, LATER = "/opt/modules/signed/lp_cumulative.ko", "/opt/modules/signed/lp_state_less.ko"
PANIC, PANIC_INIT = "/opt/modules/signed/lp_panic.ko", "/opt/modules/signed/lp_panic_init.ko"

# Nothing settles within a story, so that what is applied is a suspect; or all of it does, at once.
SUSPECT, SETTLED = "20min", "1s"


@dataclass(frozen=True)
class Step:
    """
    COMMAND succeeds unless it is cut short.

    AFTER: the worlds that the next boot may find once it has succeeded. DURING: those that it may find, besides the ones
    before and after, when it was cut short. DOWN: it ends with the machine off, rather than by returning.
    """

    command: str
    after: tuple[str, ...]
    during: tuple[str, ...] = ()
    down: bool = False


@dataclass(frozen=True)
class Story:
    name: str
    settle: str
    before: tuple[str, ...]  # the worlds after the preparation
    steps: tuple[Step, ...]
    prepare: tuple[str, ...] = ()  # done without a cut; POWER_CUT
    panics: int = 0  # boots that go down by themselves, at most


POWER_CUT = "<power cut>"
REBOOT = "systemctl reboot"


def step(command: str, *after: str, during: Sequence[str] = (), down: bool = False) -> Step:
    return Step(command, after, tuple(during), down)


def ctl(words: str) -> str:
    return f"livepatchctl --no-ask-password {words}"


def settle_time(value: str) -> str:
    """For what settles from here on."""
    file = "/etc/livepatch/livepatch.conf.d/60-settle.conf"
    return f"printf '[Livepatch]\\nSettleTimeSec={value}\\n' > {file} && sync && systemctl stop livepatchd.service"


def proves(name: str) -> str:
    file = f"/var/lib/livepatch/guard/$(uname -r)/{name}.json"
    return f"until grep -q '\"phase\": \"proven\"' {file}; do sleep 0.1; done"


def insmod(file: str) -> str:
    return f"insmod {file}; while grep -qsx 1 /sys/kernel/livepatch/*/transition; do sleep 0.1; done"


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
        prepare=(ctl(f"apply {FIRST}"), proves("lp_cmdline")),
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
            step(REBOOT, "lp_cmdline:applied+ lp_uptime:staged", down=True),
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
        prepare=(ctl(f"apply {FIRST}"), proves("lp_cmdline"), ctl("revert lp_cmdline")),
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
            step(proves("lp_cumulative"), "lp_cmdline:superseded lp_cumulative:applied+ lp_uptime:superseded"),
            step(
                ctl("rollback"), "lp_cmdline:applied+ lp_cumulative:staged lp_uptime:applied+",
                during=[
                    "lp_cmdline:quarantined lp_cumulative:applied+ lp_uptime:superseded",
                    "lp_cmdline:superseded lp_cumulative:applied+ lp_uptime:quarantined",
                ],
            ),
        ),
        prepare=(ctl(f"apply {FIRST} {UPTIME}"), proves("lp_cmdline"), proves("lp_uptime")),
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
            ctl(f"apply {FIRST}"), proves("lp_cmdline"),
            ctl(f"apply {CUMULATIVE}"), proves("lp_cumulative"),
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
    Story(
        # Neither level has settled.
        "trial", SUSPECT, ("lp_cmdline:quarantined+",),
        (
            step(
                ctl(f"apply {CUMULATIVE}"), "lp_cmdline:applied lp_cumulative:quarantined+",
                during=[
                    "lp_cmdline:quarantined+ lp_cumulative:quarantined",
                    "lp_cmdline:quarantined+ lp_cumulative:quarantined+",
                    "lp_cmdline:quarantined lp_cumulative:quarantined+",
                ],
            ),
            step(
                ctl("rollback"), "lp_cmdline:quarantined+ lp_cumulative:staged",
                during=["lp_cmdline:quarantined lp_cumulative:quarantined+"],
            ),
        ),
        prepare=(ctl(f"apply {FIRST}"),),
    ),
    Story(
        "levels", SETTLED, ("lp_cmdline:superseded lp_cumulative:applied+",),
        (
            step(
                ctl(f"apply {LATER}"), "lp_cmdline:superseded lp_cumulative:superseded lp_state_less:applied+",
                "lp_cmdline:superseded lp_cumulative:applied lp_state_less:quarantined+",
                during=[
                    "lp_cmdline:superseded lp_cumulative:applied+ lp_state_less:quarantined",
                    "lp_cmdline:superseded lp_cumulative:applied+ lp_state_less:quarantined+",
                ],
            ),
            step(proves("lp_state_less"), "lp_cmdline:superseded lp_cumulative:superseded lp_state_less:applied+"),
            step(
                ctl("rollback"), "lp_cmdline:superseded lp_cumulative:applied+ lp_state_less:staged",
                during=["lp_cmdline:superseded lp_cumulative:quarantined lp_state_less:applied+"],
            ),
            step(
                ctl("rollback"), "lp_cmdline:applied+ lp_cumulative:staged lp_state_less:staged",
                during=["lp_cmdline:quarantined lp_cumulative:applied+ lp_state_less:staged"],
            ),
        ),
        prepare=(
            ctl(f"apply {FIRST}"), proves("lp_cmdline"),
            ctl(f"apply {CUMULATIVE}"), proves("lp_cumulative"),
        ),
    ),
    Story(
        # Whatever replaces it for this boot only, the level that lasts is the one of the next boot.
        "until-reboot", SETTLED, ("lp_cmdline:applied+",),
        (
            step(
                ctl(f"apply --runtime {CUMULATIVE}"), "lp_cmdline:applied+",
                "lp_cmdline:applied+ lp_cumulative:quarantined",
            ),
            step(proves("lp_cumulative"), "lp_cmdline:applied+"),
            step(ctl("rollback"), "lp_cmdline:applied+", during=["lp_cmdline:quarantined+"]),
        ),
        prepare=(ctl(f"apply {FIRST}"), proves("lp_cmdline")),
    ),
    Story(
        # Nobody confirms it, then somebody does.
        "condition", SETTLED, ("lp_cmdline:applied+",),
        (
            step(
                ctl(f"apply --confirm-within=1s {CUMULATIVE}") +
                " && while [ -e /sys/module/lp_cumulative ]; do sleep 0.1; done",
                "lp_cmdline:applied+",
                during=["lp_cmdline:applied+ lp_cumulative:quarantined", "lp_cmdline:quarantined+"],
            ),
            step(
                ctl(f"apply --confirm-within=1h {CUMULATIVE}"), "lp_cmdline:applied+",
                "lp_cmdline:applied+ lp_cumulative:quarantined",
            ),
            step(proves("lp_cumulative"), "lp_cmdline:applied+"),
            step(ctl("confirm lp_cumulative"), "lp_cmdline:superseded lp_cumulative:applied+"),
            step(
                ctl("rollback"), "lp_cmdline:applied+ lp_cumulative:staged",
                during=["lp_cmdline:quarantined lp_cumulative:applied+"],
            ),
        ),
        prepare=(ctl(f"apply {FIRST}"), proves("lp_cmdline")),
    ),
    Story(
        # The kernel speaks against a patch that has settled in an earlier life, and settles again.
        "health", SETTLED, ("lp_warn:applied+",),
        (
            step(
                "echo Y > /sys/module/lp_warn/parameters/trigger; cat /proc/version; "
                "while [ -e /sys/module/lp_warn ]; do sleep 0.1; done",
                "lp_warn:quarantined+",
            ),
            step(ctl("unquarantine lp_warn"), "lp_warn:applied+"),
            step(ctl("apply lp_warn"), "lp_warn:quarantined+"),
        ),
        prepare=(
            ctl(f"apply {WARN}"), proves("lp_warn"), settle_time(SUSPECT),
            ctl("revert lp_warn"), ctl("apply lp_warn"),
        ),
    ),
    Story(
        "panic", SETTLED, ("lp_cmdline:applied+",),
        (
            step(
                ctl(f"apply {PANIC}"), "lp_cmdline:applied+ lp_panic:quarantined+",
                during=["lp_cmdline:applied+ lp_panic:quarantined"],
            ),
            step("cat /proc/version", "lp_cmdline:applied+ lp_panic:quarantined+", down=True),
            step(ctl("unquarantine lp_panic"), "lp_cmdline:applied+ lp_panic:applied+"),
            step(
                ctl(f"apply {PANIC_INIT}"), "lp_cmdline:applied+ lp_panic:applied+ lp_panic_init:quarantined",
                down=True,
            ),
        ),
        prepare=(ctl(f"apply {FIRST}"), proves("lp_cmdline"), settle_time(SUSPECT)),
    ),
    Story(
        # A boot that panics takes the machine down once, wherever the power is cut.
        "panic-at-boot", SUSPECT, ("lp_panic_init:quarantined+ lp_uptime:applied+",),
        (
            step(REBOOT, "lp_panic_init:quarantined+ lp_uptime:applied+", down=True),
            step(ctl("unquarantine lp_panic_init"), "lp_panic_init:quarantined+ lp_uptime:quarantined+"),
        ),
        prepare=(ctl(f"stage --reapply {PANIC_INIT}"), ctl(f"stage --reapply {UPTIME}")),
        panics=1,
    ),
    Story(
        # What somebody else has loaded is gone after a boot, unless it was adopted.
        "adopt", SUSPECT, ("",),
        (
            step(ctl(f"adopt lp_cmdline {FIRST}"), "lp_cmdline:applied+"),
            step(ctl("revert lp_cmdline"), "lp_cmdline:staged"),
            step(ctl("apply lp_cmdline"), "lp_cmdline:quarantined+", during=["lp_cmdline:quarantined"]),
        ),
        prepare=(insmod(FIRST),),
    ),
    Story(
        "import", SUSPECT, ("",),
        (
            step(
                ctl("import-kpatch"), "lp_cmdline:applied+ lp_uptime:applied+",
                during=["lp_cmdline:applied+"],
            ),
            step(ctl("import-kpatch"), "lp_cmdline:applied+ lp_uptime:applied+"),
            step(ctl("remove lp_cmdline"), "lp_uptime:applied+"),
        ),
        prepare=(
            f"mkdir -p /var/lib/kpatch/$(uname -r) && cp {FIRST} {UPTIME} /var/lib/kpatch/$(uname -r) && sync",
            insmod(FIRST),
        ),
    ),
)
