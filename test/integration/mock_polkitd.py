#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for polkitd: answers CheckAuthorization as a file says.

    mock_polkitd.py ADDRESS ANSWER-FILE LOG-FILE

The answer file is read at each call and holds yes, no, challenge, never (the call stays open) or vanish (polkit dies);
anything else is an error of polkit's. "release" answers yes, to all that was left open, too. Each call becomes a line
of JSON in the log.
"""

import json
import os
import sys

import dbus
import dbus.bus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

INTERFACE = 'org.freedesktop.PolicyKit1.Authority'


class NotAuthorized(dbus.DBusException):
    _dbus_error_name = 'org.freedesktop.PolicyKit1.Error.Failed'


class Authority(dbus.service.Object):
    def __init__(self, connection, answer_path, log_path):
        super().__init__(connection, '/org/freedesktop/PolicyKit1/Authority')
        self.answer_path = answer_path
        self.log_path = log_path
        self.open_calls = []
        GLib.timeout_add(20, self.look)

    def answer(self):
        with open(self.answer_path, encoding='utf-8') as f:
            return f.read().strip()

    def look(self):
        if self.answer() == 'release':
            for reply in self.open_calls:
                reply((True, False, {}))
            self.open_calls = []
        return True

    @dbus.service.method(INTERFACE, in_signature='(sa{sv})sa{ss}us', out_signature='(bba{ss})',
                         async_callbacks=('reply', 'fail'))
    def CheckAuthorization(self, subject, action, details, flags, cancellation, reply, fail):
        answer = self.answer()
        with open(self.log_path, 'a', encoding='utf-8') as f:
            f.write(json.dumps({'subject': str(subject[0]), 'name': str(subject[1].get('name', '')),
                                'action': str(action), 'details': {str(k): str(v) for k, v in details.items()},
                                'flags': int(flags), 'cancellation': str(cancellation)}) + '\n')
        if answer in ('yes', 'release'):
            reply((True, False, {}))
        elif answer == 'no':
            reply((False, False, {}))
        elif answer == 'challenge':
            reply((False, True, {}))
        elif answer == 'never':
            self.open_calls.append(reply)
        elif answer == 'vanish':
            os._exit(1)
        else:
            fail(NotAuthorized('no such answer: ' + answer))


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    connection = dbus.bus.BusConnection(sys.argv[1])
    authority = Authority(connection, sys.argv[2], sys.argv[3])
    connection.request_name('org.freedesktop.PolicyKit1')
    GLib.MainLoop().run()
    return authority


if __name__ == '__main__':
    main()
