# SPDX-License-Identifier: LGPL-2.1-or-later
"""The host's end of the agent in the guest: commands over a socket, several at a time (see guest/agent.c)."""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass

MAGIC = 0x4147504C
EXEC, STDIN, KILL, HELLO, STDOUT, STDERR, EXIT = 1, 2, 3, 10, 11, 12, 13
HEADER = struct.Struct("<IIII")
CHUNK = 1 << 16


class GuestGone(Exception):
    """The machine went away (powered off, reset, killed) while something was asked of it."""


class GuestTimeout(Exception):
    """The guest did not do what was asked in the time given."""


@dataclass(frozen=True)
class Result:
    """A finished command."""

    command: str
    rc: int  # the exit code; minus the signal's number where one killed it
    out: str
    err: str
    raw: bytes  # standard output as it came
    seconds: float

    def __str__(self) -> str:
        parts = [f"$ {self.command}", f"exit code {self.rc}"]
        parts += [f"{name}:\n{text.rstrip()}" for name, text in (("stdout", self.out), ("stderr", self.err)) if text]
        return "\n".join(parts)


class Process:
    """A command that runs in the guest."""

    def __init__(self, agent: Agent, number: int, command: str) -> None:
        self._agent = agent
        self.number = number
        self.command = command
        self.started = time.monotonic()
        self.ended = 0.0
        self.status: int | None = None
        self.stdout = bytearray()
        self.stderr = bytearray()

    @property
    def out(self) -> str:
        """Standard output so far."""
        return self.stdout.decode(errors="replace")

    @property
    def err(self) -> str:
        return self.stderr.decode(errors="replace")

    @property
    def running(self) -> bool:
        return self.status is None

    def write(self, data: bytes) -> None:
        """Sends DATA to its standard input."""
        for at in range(0, len(data), CHUNK):
            self._agent.send(STDIN, self.number, data[at : at + CHUNK])

    def close_stdin(self) -> None:
        self._agent.send(STDIN, self.number, b"")

    def kill(self, signal: int = 9) -> None:
        """To the whole process group."""
        self._agent.send(KILL, self.number, struct.pack("<i", signal))

    def wait(self, timeout: float = 60) -> Result:
        with self._agent.changed:
            done = self._agent.changed.wait_for(lambda: self.status is not None or self._agent.gone, timeout)
        if self.status is None:
            if done:
                raise GuestGone(f"the machine went away during: {self.command}")
            self.kill()
            raise GuestTimeout(f"not done after {timeout} s: {self.command}\nstdout: {self.out}\nstderr: {self.err}")
        rc = -(self.status & 0x7F) or (self.status >> 8) & 0xFF
        return Result(self.command, rc, self.out, self.err, bytes(self.stdout), self.ended - self.started)


class Agent:
    """One boot's connection."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._write_lock = threading.Lock()
        self._processes: dict[int, Process] = {}
        self._next = 1
        self.changed = threading.Condition()
        self.boot_id = ""
        self.gone = False
        threading.Thread(target=self._read, name="agent", daemon=True).start()

    def wait_for_hello(self, timeout: float) -> bool:
        with self.changed:
            self.changed.wait_for(lambda: self.boot_id or self.gone, timeout)
            return bool(self.boot_id)

    def ask_for_hello(self) -> None:
        """From a guest that was restored and has said it in its earlier life."""
        self.send(HELLO, 0, b"")

    def send(self, kind: int, number: int, data: bytes) -> None:
        if self.gone:
            raise GuestGone("the machine is not running")
        try:
            with self._write_lock:
                self._sock.sendall(HEADER.pack(MAGIC, kind, number, len(data)) + data)
        except OSError as error:
            raise GuestGone(f"the machine went away: {error}") from error

    def start(self, argv: list[str], shown: str) -> Process:
        with self.changed:
            process = Process(self, self._next, shown)
            self._processes[self._next] = process
            self._next += 1
        self.send(EXEC, process.number, b"".join(word.encode(errors="surrogateescape") + b"\0" for word in argv))
        return process

    def close(self) -> None:
        self._sock.close()

    def _take(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = self._sock.recv(size - len(data))
            if not part:
                raise OSError("end of stream")
            data += part
        return bytes(data)

    def _read(self) -> None:
        try:
            while True:
                magic, kind, number, size = HEADER.unpack(self._take(HEADER.size))
                if magic != MAGIC:
                    raise OSError("out of step with the agent")
                data = self._take(size)
                with self.changed:
                    self._handle(kind, number, data)
                    self.changed.notify_all()
        except OSError:
            with self.changed:
                self.gone = True
                self.changed.notify_all()

    def _handle(self, kind: int, number: int, data: bytes) -> None:
        process = self._processes.get(number)
        if kind == HELLO:
            self.boot_id = data.decode()
        elif process and kind == STDOUT:
            process.stdout += data
        elif process and kind == STDERR:
            process.stderr += data
        elif process and kind == EXIT:
            process.ended = time.monotonic()
            (process.status,) = struct.unpack("<I", data)
            del self._processes[number]
