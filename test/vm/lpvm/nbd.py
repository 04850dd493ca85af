# SPDX-License-Identifier: LGPL-2.1-or-later
"""The server's half of the NBD protocol, as much of it as QEMU needs for a disk of ours."""

from __future__ import annotations

import shutil
import socket
import struct
import tempfile
import threading
from pathlib import Path
from typing import Protocol

# https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
INIT_MAGIC = b"NBDMAGIC"
OPTION_MAGIC = b"IHAVEOPT"
FIXED_NEWSTYLE, NO_ZEROES = 1, 2
OPT_EXPORT_NAME, OPT_ABORT, OPT_INFO, OPT_GO = 1, 2, 6, 7
REPLY_MAGIC = 0x3E889045565A9
REP_ACK, REP_INFO, REP_ERR_UNSUP = 1, 3, (1 << 31) + 1
INFO_EXPORT, INFO_BLOCK_SIZE = 0, 3
HAS_FLAGS, SEND_FLUSH, SEND_WRITE_ZEROES = 1 << 0, 1 << 2, 1 << 6
REQUEST_MAGIC, ANSWER_MAGIC = 0x25609513, 0x67446698
READ, WRITE, DISCONNECT, FLUSH, WRITE_ZEROES = 0, 1, 2, 3, 6
REQUEST = struct.Struct(">IHHQQI")
ANSWER = struct.Struct(">IIQ")
EINVAL = 22
LARGEST = 32 << 20


class PowerOff(Exception):
    """A backend without power: nothing is answered any more, and the client is not told why."""


class Backend(Protocol):
    """What is served. Offsets and lengths are multiples of the block size."""

    size: int
    block: int

    def read(self, offset: int, length: int) -> bytes: ...

    def write(self, offset: int, data: bytes) -> None: ...

    def flush(self) -> None: ...


class Server:
    """Serves BACKEND at a socket, one connection after the other, in a thread of its own."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        # The path of a socket must not be longer than 107 characters: a machine's own directory may be.
        self._directory = Path(tempfile.mkdtemp(prefix="lpvm-"))
        self.path = self._directory / "nbd"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(1)
        threading.Thread(target=self._serve, name="nbd", daemon=True).start()

    def close(self) -> None:
        # Wakes accept(), which a close() from another thread does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                try:
                    if self._negotiate(connection):
                        self._transmit(connection)
                except PowerOff:
                    _drain(connection)
                except OSError:
                    pass  # QEMU is gone

    # -- negotiation ------------------------------------------------------------------------------------------

    @property
    def _export(self) -> bytes:
        return struct.pack(">QH", self.backend.size, HAS_FLAGS | SEND_FLUSH | SEND_WRITE_ZEROES)

    def _negotiate(self, connection: socket.socket) -> bool:
        connection.sendall(INIT_MAGIC + OPTION_MAGIC + struct.pack(">H", FIXED_NEWSTYLE | NO_ZEROES))
        _take(connection, 4)
        while True:
            magic, option, length = struct.unpack(">8sII", _take(connection, 16))
            _take(connection, length)
            if magic != OPTION_MAGIC or option == OPT_ABORT:
                return False
            if option == OPT_EXPORT_NAME:
                connection.sendall(self._export)
                return True
            if option not in (OPT_INFO, OPT_GO):
                _reply(connection, option, REP_ERR_UNSUP)
                continue
            _reply(connection, option, REP_INFO, struct.pack(">H", INFO_EXPORT) + self._export)
            sizes = struct.pack(">HIII", INFO_BLOCK_SIZE, self.backend.block, self.backend.block, LARGEST)
            _reply(connection, option, REP_INFO, sizes)
            _reply(connection, option, REP_ACK)
            if option == OPT_GO:
                return True

    # -- requests ---------------------------------------------------------------------------------------------

    def _transmit(self, connection: socket.socket) -> None:
        while True:
            magic, _, kind, handle, offset, length = REQUEST.unpack(_take(connection, REQUEST.size))
            if magic != REQUEST_MAGIC or kind == DISCONNECT:
                return
            error, data = 0, b""
            if kind == READ:
                data = self.backend.read(offset, length)
            elif kind == WRITE:
                self.backend.write(offset, _take(connection, length))
            elif kind == WRITE_ZEROES:
                self.backend.write(offset, bytes(length))
            elif kind == FLUSH:
                self.backend.flush()
            else:
                error = EINVAL
            connection.sendall(ANSWER.pack(ANSWER_MAGIC, error, handle) + data)


def _take(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise OSError("end of stream")
        data += part
    return bytes(data)


def _drain(connection: socket.socket) -> None:
    try:
        while connection.recv(1 << 16):
            pass
    except OSError:
        pass


def _reply(connection: socket.socket, option: int, kind: int, data: bytes = b"") -> None:
    connection.sendall(struct.pack(">QIII", REPLY_MAGIC, option, kind, len(data)) + data)
