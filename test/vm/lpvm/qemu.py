# SPDX-License-Identifier: LGPL-2.1-or-later
"""One run of QEMU: from power on to power off, reset, panic or power cut."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .image import Image

# Reports to the console what matters (an oops, a panic) and little else: each line costs emulated time.
CMDLINE = "root=/dev/vda rw console=ttyS0 loglevel=5 panic=1 quiet fsck.mode=skip systemd.show_status=no"

# Page tables of four levels rather than five: each miss of the emulated TLB walks them.
CPU = "max,la57=off"


@dataclass(frozen=True)
class Hardware:
    memory: int = 1024  # MiB
    cpus: int = 2
    # thread=multi lets one processor run code that another is patching: kernel 6.12 oopses in text_poke now and then
    accel: str = "tcg,thread=single"
    network: bool = False
    extra: tuple[str, ...] = ()  # further words for QEMU's command line


class Qemu:
    def __init__(self, image: Image, drive: str, console: Path, hardware: Hardware, cmdline_extra: str, state: Path | None = None) -> None:
        agent_host, agent_qemu = socket.socketpair()
        qmp_host, qmp_qemu = socket.socketpair()
        self.agent_socket = agent_host
        self.console = console
        self.reason = ""  # why it ended, in QEMU's words: guest-reset, guest-shutdown, host-signal, ...
        argv = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "pc", "-accel", hardware.accel, "-cpu", CPU, "-smp", str(hardware.cpus), "-m", str(hardware.memory),
            "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", f"{CMDLINE} {cmdline_extra}".strip(),
            "-drive", f"if=none,id=disk,{drive}",
            "-device", "virtio-blk-pci,drive=disk", "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,fd={agent_qemu.fileno()}", "-device", "virtserialport,chardev=agent,name=org.livepatch.test",
            "-chardev", f"file,id=console,path={console}", "-serial", "chardev:console",
            "-chardev", f"socket,id=qmp,fd={qmp_qemu.fileno()}", "-mon", "chardev=qmp,mode=control",
            *(["-nic", "user,model=virtio-net-pci"] if hardware.network else []),
            *(["-S", "-incoming", f"exec:cat {shlex.quote(str(state))}"] if state else []),
            *hardware.extra,
        ]  # fmt: skip
        self.stderr = console.with_suffix(".qemu.log")
        with self.stderr.open("wb") as errors:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True,
                pass_fds=(agent_qemu.fileno(), qmp_qemu.fileno()),
            )  # fmt: skip
        agent_qemu.close()
        qmp_qemu.close()
        self._qmp = qmp_host
        self._answer: dict[str, Any] | None = None
        self._answered = threading.Condition()
        threading.Thread(target=self._watch, name="qmp", daemon=True).start()
        self.qmp("qmp_capabilities")

    def qmp(self, command: str, **arguments: object) -> dict[str, Any]:
        """Runs one monitor command; an empty answer when QEMU is gone."""
        with self._answered:
            self._answer = None
            try:
                self._qmp.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            except OSError:
                return {}
            self._answered.wait_for(lambda: self._answer is not None, 60)
            answer = self._answer or {}
        if "error" in answer:
            raise RuntimeError(f"QEMU refuses {command}: {answer['error']}")
        result = answer.get("return", {})
        return result if isinstance(result, dict) else {}

    def _watch(self) -> None:
        with self._qmp.makefile("r", errors="replace") as lines:
            try:
                for line in lines:
                    self._hear(json.loads(line))
            except (OSError, ValueError):
                pass
        self._hear({"return": {}})

    def _hear(self, message: dict[str, Any]) -> None:
        if message.get("event") == "SHUTDOWN":
            self.reason = message["data"].get("reason", "shutdown")
        elif "return" in message or "error" in message:
            with self._answered:
                self._answer = message
                self._answered.notify_all()

    def save(self, state: Path) -> None:
        """Stops the machine, writes its memory and devices to STATE, and ends; its disk is left as the state needs it."""
        self.qmp("stop")
        self.qmp("migrate", uri=f"exec:cat > {shlex.quote(str(state))}")
        self._wait_for_migration()
        self.qmp("quit")
        self.process.wait(60)

    def resume(self) -> None:
        """Waits until the state given at the start is in, and runs on from there."""
        self._wait_for_migration()
        self.qmp("cont")

    def _wait_for_migration(self) -> None:
        for _ in range(1200):
            status = self.qmp("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled") or not self.running:
                break
            time.sleep(0.05)
        raise RuntimeError(f"QEMU did not save or restore the machine; see {self.stderr}")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """Pulls the plug."""
        if self.running:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.agent_socket.close()
        self._qmp.close()

    def wait(self, timeout: float) -> bool:
        """Whether the machine ended by itself within TIMEOUT."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True
