#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""flood.py SOCKET N: makes N calls to livepatchd without waiting for any.

The bus holds back who waits for too many answers, so these want none, and the daemon gets them all. It speaks the
protocol by itself, to be fast."""

import os
import socket
import struct
import sys


def pad(data, n):
    return data + bytes(-len(data) % n)


def text(s):
    return struct.pack('<I', len(s)) + s.encode() + b'\0'


def call(destination, path, interface, member, flags, argument=None):
    fields = b''
    for code, kind, value in ((1, 'o', path), (2, 's', interface), (3, 's', member), (6, 's', destination)):
        fields = pad(fields, 8) + bytes((code, 1)) + kind.encode() + b'\0' + text(value)
    body = b''
    if argument is not None:
        fields = pad(fields, 8) + bytes((8, 1)) + b'g\0' + b'\1s\0'
        body = text(argument)
    return bytearray(pad(struct.pack('<BBBBIII', ord('l'), 1, flags, 1, len(body), 1, len(fields)) + fields, 8) + body)


bus = socket.socket(socket.AF_UNIX)
bus.connect(sys.argv[1])
bus.sendall(b'\0AUTH EXTERNAL ' + str(os.getuid()).encode().hex().encode() + b'\r\n')
assert bus.recv(1000).startswith(b'OK')
bus.sendall(b'BEGIN\r\n')
bus.sendall(call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'Hello', 0))
greeting = b''
while b'NameAcquired' not in greeting:
    greeting += bus.recv(10000)
manager = '/org/livepatch', 'org.livepatch.Manager'
messages = [call('org.livepatch', *manager, 'ListPatches', 1), call('org.livepatch', *manager, 'ListJobs', 1),
            call('org.livepatch', *manager, 'GetPatch', 1, 'lp_' + 'x' * 1000),
            call('org.livepatch', *manager, 'Confirm', 1, 'lp_cmdline')]
print('sending', flush=True)
n = int(sys.argv[2])
for serial in range(n):
    message = messages[serial % len(messages)]
    struct.pack_into('<I', message, 8, serial + 2)
    bus.sendall(message)
# Answered when all before it have been taken.
bus.sendall(call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'GetId', 0))
bus.recv(10000)
print(n)
