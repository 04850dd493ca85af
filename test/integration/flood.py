#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""flood.py SOCKET N KIND: makes N calls to livepatchd as fast as it can.

    reads     calls that only read, and want no reply: the bus does not hold them back, as it does who waits for many
    changes   calls that would change something, without a reply, too
    replies   calls of both kinds, whose replies are read as they come

It speaks the protocol by itself, to be fast. Prints 'sending', and when it is done what came of it: the replies and,
among them, the errors by name."""

import collections
import os
import select
import socket
import struct
import sys

METHOD_RETURN, ERROR = 2, 3
NO_REPLY_EXPECTED = 1


def pad(data, n):
    return data + bytes(-len(data) % n)


def text(s):
    return struct.pack('<I', len(s)) + s.encode() + b'\0'


def call(destination, path, interface, member, flags, argument=None, n_descriptors=0):
    """One string as the argument; or, with descriptors, the first of them and no options."""
    fields = b''
    for code, kind, value in ((1, 'o', path), (2, 's', interface), (3, 's', member), (6, 's', destination)):
        fields = pad(fields, 8) + bytes((code, 1)) + kind.encode() + b'\0' + text(value)
    body = b''
    if argument is not None:
        fields = pad(fields, 8) + bytes((8, 1)) + b'g\0' + b'\1s\0'
        body = text(argument)
    if n_descriptors:
        fields = pad(fields, 8) + bytes((8, 1)) + b'g\0' + b'\6ha{sv}\0'
        fields = pad(fields, 8) + bytes((9, 1)) + b'u\0' + struct.pack('<I', n_descriptors)
        body = struct.pack('<II', 0, 0)
    return bytearray(pad(struct.pack('<BBBBIII', ord('l'), 1, flags, 1, len(body), 1, len(fields)) + fields, 8) + body)


class Bus:
    def __init__(self, path):
        self.received = b''
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.sendall(b'\0AUTH EXTERNAL ' + str(os.getuid()).encode().hex().encode() + b'\r\n')
        assert self.socket.recv(1000).startswith(b'OK')
        self.socket.sendall(b'NEGOTIATE_UNIX_FD\r\n')
        assert self.socket.recv(1000).startswith(b'AGREE')
        self.socket.sendall(b'BEGIN\r\n')
        self.ask('Hello')

    def ask(self, member):
        """Answered by the bus when it has taken all before it."""
        self.socket.sendall(call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', member, 0))
        while not any(kind == METHOD_RETURN for kind, _ in self.receive()):
            pass

    def receive(self):
        """Reads once; returns what is complete, as (type, name of the error or None)."""
        data = self.socket.recv(1 << 16)
        assert data, 'the bus has hung up'
        self.received += data
        found, at = [], 0
        while len(self.received) - at >= 16:
            body, _, fields = struct.unpack_from('<III', self.received, at + 4)
            size = 16 + fields + -fields % 8 + body
            if len(self.received) - at < size:
                break
            found.append((self.received[at + 1], self.error(at + 16, fields)))
            at += size
        self.received = self.received[at:]
        return found

    def error(self, at, size):
        """The name in the field of that code, a string."""
        end = self.received.find(b'\4\1s\0', at, at + size)
        if end < 0:
            return None
        length, = struct.unpack_from('<I', self.received, end + 4)
        return self.received[end + 8:end + 8 + length].decode()

    def flood(self, messages, n, wants_replies):
        """All n, and the replies to them."""
        replies = collections.Counter()
        sent, data = 0, b''
        self.socket.setblocking(False)
        while sent < n or data or (wants_replies and sum(replies.values()) < n):
            while sent < n and len(data) < 65536:
                message = messages[sent % len(messages)]
                struct.pack_into('<I', message, 8, sent + 2)
                data += message
                sent += 1
            readable, writable, _ = select.select([self.socket], [self.socket] if data else [], [])
            if writable:
                data = data[self.socket.send(data):]
            if readable:
                replies.update(name or 'done' for kind, name in self.receive() if kind in (METHOD_RETURN, ERROR))
        self.socket.setblocking(True)
        return replies


def main():
    n, kind = int(sys.argv[2]), sys.argv[3]
    flags = 0 if kind == 'replies' else NO_REPLY_EXPECTED
    manager = 'org.livepatch', '/org/livepatch', 'org.livepatch.Manager'
    reads = [call(*manager, 'ListPatches', flags), call(*manager, 'ListJobs', flags),
             call(*manager, 'GetPatch', flags, 'lp_' + 'x' * 1000)]
    changes = [call(*manager, 'Confirm', flags, 'lp_cmdline'), call(*manager, 'RemoveTrust', flags, '1234'),
               call(*manager, 'Subscribe', flags)]
    bus = Bus(sys.argv[1])
    print('sending', flush=True)
    replies = bus.flood({'reads': reads, 'changes': changes, 'replies': reads + changes}[kind], n, flags == 0)
    bus.ask('GetId')
    print(n, *(f'{name}={count}' for name, count in sorted(replies.items())))


if __name__ == '__main__':
    main()
