# SPDX-License-Identifier: LGPL-2.1-or-later
"""The test machine as a scenario sees it: boots, reboots, loses power, runs commands."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .agent import Agent, GuestGone, GuestTimeout, Process, Result
from .image import Image
from .qemu import Hardware, Qemu
from .shell import run as run_on_host

USERS = {"root": 0, "alice": 1000}
BOOT_TIMEOUT = 180.0

Command = str | Sequence[str]


class CommandFailed(Exception):
    """A command that had to succeed did not."""


class Machine:
    """One virtual machine with its own disk, an overlay on the suite's image. A reboot is a new QEMU on the same disk."""

    def __init__(self, image: Image, directory: Path, hardware: Hardware = Hardware()) -> None:
        self.image = image
        self.directory = directory
        self.hardware = hardware
        self.cmdline_extra = ""
        self.boots = 0
        self._qemu: Qemu | None = None
        self._agent: Agent | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.disk = directory / "disk.qcow2"
        self._overlay(image.disk, "raw")

    def _overlay(self, base: Path, base_format: str) -> None:
        self.disk.unlink(missing_ok=True)
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format, "-b", str(base.resolve()), str(self.disk)]
        run_on_host(argv)

    @property
    def drive(self) -> str:
        """Words for QEMU's -drive."""
        # "unsafe" drops the flushes to the host's own disk. A killed QEMU loses what it has not written yet, which is some
        # of what the guest did not sync: lpvm.campaign's machines have a disk that loses more.
        return f"format=qcow2,cache=unsafe,discard=unmap,file={self.disk}"

    # -- power ----------------------------------------------------------------------------------------------

    @property
    def suite(self) -> str:
        return self.image.suite

    @property
    def release(self) -> str:
        """The guest's kernel release."""
        return self.image.release

    @property
    def running(self) -> bool:
        return self._qemu is not None and self._qemu.running

    @property
    def console(self) -> str:
        """What this boot printed to its serial console."""
        return self._qemu.console.read_text(errors="replace") if self._qemu else ""

    @property
    def boot_id(self) -> str:
        return self._agent.boot_id if self._agent else ""

    def start(self, cmdline_extra: str | None = None, *, wait: bool = True, **hardware: object) -> None:
        """Powers on. CMDLINE_EXTRA (kernel command line words) and HARDWARE (fields of qemu.Hardware) last until changed."""
        if self.running:
            raise RuntimeError("the machine is running already")
        if cmdline_extra is not None:
            self.cmdline_extra = cmdline_extra
        if hardware:
            self.hardware = dataclasses.replace(self.hardware, **hardware)  # type: ignore[arg-type]
        self._drop()
        self.boots += 1
        console = self.directory / f"console-{self.boots}.log"
        self._qemu = Qemu(self.image, self.drive, console, self.hardware, self.cmdline_extra)
        self._agent = Agent(self._qemu.agent_socket)
        if wait:
            self.wait_for_boot()

    def start_warm(self) -> None:
        """The machine as it was after the boot that the image keeps: in a second rather than in ten."""
        warm = self.image.warm
        assert warm and self.boots == 0
        self._overlay(warm / "disk.qcow2", "qcow2")
        self.boots = 1
        self._qemu = Qemu(self.image, self.drive, self.directory / "console-1.log", self.hardware, "", warm / "state")
        self._agent = Agent(self._qemu.agent_socket)
        self._qemu.resume()
        self._agent.ask_for_hello()
        self.wait_for_agent(30)
        self.ok(["date", "-s", f"@{time.time():.3f}"])

    def save_warm(self) -> None:
        """Turns this machine, just booted, into what start_warm() of others begins with."""
        assert self._qemu
        self.ok(["sync"])
        self._qemu.save(self.directory / "state")
        self._drop()

    def wait_for_agent(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Until commands can be run, which is long before the boot is complete."""
        if self._agent is None or not self._agent.wait_for_hello(timeout):
            raise GuestTimeout(f"the guest's agent did not answer within {timeout} s (or the machine went off)")

    def wait_for_boot(self, timeout: float = BOOT_TIMEOUT) -> str:
        """Until systemd has finished its start-up; returns its verdict: running or degraded."""
        end = time.monotonic() + timeout
        self.wait_for_agent(timeout)
        while True:
            r = self.run(["systemctl", "is-system-running", "--wait"], timeout=max(1, end - time.monotonic()))
            state = r.out.strip()
            if state in ("running", "degraded"):
                return state
            if time.monotonic() > end:
                raise GuestTimeout(f"the boot did not finish within {timeout} s: {r}")
            time.sleep(0.2)  # too early for systemctl: systemd has no socket yet

    def reboot(self, cmdline_extra: str | None = None, *, wait: bool = True, timeout: float = 120) -> None:
        """A clean reboot, by the guest's own init."""
        self.popen(["systemctl", "reboot"])
        self.wait_for_reset(timeout)
        self.start(cmdline_extra, wait=wait)

    def shutdown(self, timeout: float = 120) -> None:
        """A clean power-off."""
        self.popen(["systemctl", "poweroff"])
        self.wait_for_off(timeout)

    def wait_for_off(self, timeout: float = 120) -> str:
        """Until the machine ends by itself; returns why, in QEMU's words (guest-shutdown, guest-reset, ...)."""
        assert self._qemu
        if not self._qemu.wait(timeout):
            raise GuestTimeout(f"the machine is still running after {timeout} s")
        time.sleep(0.05)  # the monitor's last event
        return self._qemu.reason

    def wait_for_reset(self, timeout: float = 120) -> None:
        """Until the guest resets itself, after `reboot` or one second after a panic. The machine is off then: start() it."""
        reason = self.wait_for_off(timeout)
        if reason != "guest-reset":
            raise RuntimeError(f"the machine ended, but not by a reset: {reason or 'unknown reason'}")

    def power_cut(self) -> None:
        """Kills QEMU: some of what the guest has not synced is gone."""
        if self._qemu:
            self._qemu.kill()

    def crash(self) -> None:
        """Makes the kernel panic, at once, and waits for the reset."""
        self.popen("echo c > /proc/sysrq-trigger")
        self.wait_for_reset()

    def _drop(self) -> None:
        if self._agent:
            self._agent.close()
        if self._qemu:
            self._qemu.kill()
        self._agent = self._qemu = None

    def close(self, keep: bool = False) -> None:
        self._drop()
        if not keep:
            self.disk.unlink(missing_ok=True)

    # -- commands -------------------------------------------------------------------------------------------

    def popen(
        self,
        command: Command,
        *,
        user: str | int = "root",
        env: dict[str, str] | None = None,
        tty: bool = False,
        stdin: bytes | str | None = b"",
    ) -> Process:
        """Starts a command and does not wait. A string goes through sh. STDIN None leaves standard input open for write()."""
        if self._agent is None:
            raise GuestGone("the machine is not running")
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        shown = command if isinstance(command, str) else shlex.join(command)
        if tty:
            argv = ["script", "--quiet", "--return", "--command", shlex.join(argv), "/dev/null"]
        if env:
            argv = ["env", *(f"{name}={value}" for name, value in env.items()), *argv]
        if user not in ("root", 0):
            uid = str(USERS.get(str(user), user))
            as_user = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--reset-env"]
            argv = [*as_user, *argv]
            shown = f"[{user}] {shown}"
        process = self._agent.start(argv, shown)
        if stdin is not None:
            if stdin:
                process.write(stdin.encode() if isinstance(stdin, str) else stdin)
            process.close_stdin()
        return process

    def run(
        self,
        command: Command,
        *,
        user: str | int = "root",
        env: dict[str, str] | None = None,
        tty: bool = False,
        stdin: bytes | str = b"",
        timeout: float = 60,
    ) -> Result:
        """Runs a command to its end, whatever its exit code."""
        return self.popen(command, user=user, env=env, tty=tty, stdin=stdin).wait(timeout)

    def ok(self, command: Command, **options: object) -> str:
        """Runs a command that has to succeed; returns its standard output."""
        r = self.run(command, **options)  # type: ignore[arg-type]
        if r.rc != 0:
            raise CommandFailed(str(r))
        return r.out

    def user(self, command: Command, **options: object) -> Result:
        """Runs a command as alice, an ordinary user."""
        return self.run(command, user="alice", **options)  # type: ignore[arg-type]

    # -- files, logs, waiting ---------------------------------------------------------------------------------

    def put(self, source: bytes | str | Path, destination: str, mode: int = 0o644) -> None:
        """Writes a file in the guest: SOURCE is its contents, or a Path on the host. Synced to disk."""
        data = source.read_bytes() if isinstance(source, Path) else source.encode() if isinstance(source, str) else source
        target = shlex.quote(destination)
        self.ok(f"umask 022; mkdir -p $(dirname {target}) && cat > {target} && chmod {mode:o} {target} && sync {target}", stdin=data)

    def get(self, path: str) -> bytes:
        r = self.run(["cat", path])
        if r.rc != 0:
            raise CommandFailed(str(r))
        return r.raw

    def read(self, path: str) -> str:
        """The text of a file in the guest, without the final newline."""
        return self.get(path).decode(errors="replace").rstrip("\n")

    def exists(self, path: str) -> bool:
        return self.run(["test", "-e", path]).rc == 0

    def journal(self, *arguments: str) -> str:
        """The journal's messages: this boot's, unless ARGUMENTS say otherwise."""
        which = [] if any(a.startswith(("-b", "--boot", "--list-boots")) for a in arguments) else ["-b"]
        return self.ok(["journalctl", "--no-pager", "-q", "-o", "short-monotonic", *which, *arguments])

    def kmsg(self) -> str:
        """The kernel's log of this boot."""
        return self.ok(["dmesg"])

    def wait_until(self, what: Command | Callable[[], object], timeout: float = 60, interval: float = 0.3) -> bool:
        """Whether WHAT (a command that exits 0, or a function that returns true) comes about within TIMEOUT."""
        end = time.monotonic() + timeout
        while True:
            if what() if callable(what) else self.run(what, timeout=max(10, timeout)).rc == 0:
                return True
            if time.monotonic() > end:
                return False
            time.sleep(interval)

    def settle(self, timeout: float = 30) -> bool:
        """Waits for the kernel to finish the livepatch transition under way, if any."""
        return self.wait_until("! grep -qsx 1 /sys/kernel/livepatch/*/transition", timeout, 0.1)
