# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes one call, described in JSON by the only argument, and prints the answer as JSON. Run as another user."""

import json
import sys

from gi.repository import Gio, GLib

request = json.loads(sys.argv[1])
connection = Gio.DBusConnection.new_for_address_sync(
    request['address'],
    Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION, None, None)
connection.set_exit_on_close(False)
fds = Gio.UnixFDList.new()
for fd in request['fds']:
    fds.append(fd)
flags = Gio.DBusCallFlags.ALLOW_INTERACTIVE_AUTHORIZATION if request['interactive'] else Gio.DBusCallFlags.NONE
try:
    reply, _ = connection.call_with_unix_fd_list_sync(
        request['name'], request['path'], request['interface'], request['member'],
        GLib.Variant(request['signature'], tuple(request['arguments'])), None, flags, 600 * 1000,
        fds if request['fds'] else None, None)
    print(json.dumps({'value': reply.unpack()}))
except GLib.Error as e:
    name = Gio.DBusError.get_remote_error(e)
    print(json.dumps({'error': name, 'text': e.message.removeprefix(f'GDBus.Error:{name}: ')}))
