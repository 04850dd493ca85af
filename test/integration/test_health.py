#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Health checks: what the daemon asks of the service manager, and what it makes of the answers."""

from gi.repository import Gio, GLib

import fixtures
import harness

SYSTEMD = 'org.freedesktop.systemd1'
SYSTEMD_PATH = '/org/freedesktop/systemd1'
MANAGER = SYSTEMD + '.Manager'
UNIT_PATH = SYSTEMD_PATH + '/unit/check_40lp_5fone_2eservice'

NODE = Gio.DBusNodeInfo.new_for_xml('''<node>
  <interface name="org.freedesktop.systemd1.Manager">
    <method name="Subscribe"/>
    <method name="StartUnit">
      <arg name="name" type="s" direction="in"/>
      <arg name="mode" type="s" direction="in"/>
      <arg name="job" type="o" direction="out"/>
    </method>
  </interface>
  <interface name="org.freedesktop.systemd1.Unit">
    <property name="ActiveState" type="s" access="read"/>
  </interface>
  <interface name="org.freedesktop.systemd1.Service">
    <property name="Result" type="s" access="read"/>
  </interface>
</node>''')


class ServiceManager:
    """Ends every job as it was told, after the news of a job that is somebody else's."""

    def __init__(self, address, result, active_state='inactive', unit_result='success'):
        self.result, self.started, self.subscribed = result, [], False
        self.values = {'ActiveState': active_state, 'Result': unit_result}
        self.client = harness.Client(address)
        connection = self.client.connection
        connection.register_object(SYSTEMD_PATH, NODE.lookup_interface(MANAGER), self.on_call, None, None)
        for interface in (SYSTEMD + '.Unit', SYSTEMD + '.Service'):
            connection.register_object(UNIT_PATH, NODE.lookup_interface(interface), None, self.on_get, None)
        self.client.call_bus('RequestName', GLib.Variant('(su)', (SYSTEMD, 0)))

    def on_get(self, _connection, _sender, _path, _interface, name):
        return GLib.Variant('s', self.values[name])

    def on_call(self, _connection, _sender, _path, _interface, method, arguments, invocation):
        if method == 'Subscribe':
            self.subscribed = True
            invocation.return_value(None)
            return
        unit, mode = arguments.unpack()
        self.started.append((unit, mode))
        if self.result == 'no-such-unit':
            invocation.return_dbus_error(SYSTEMD + '.NoSuchUnit', f'Unit {unit} not found.')
            return
        invocation.return_value(GLib.Variant('(o)', (SYSTEMD_PATH + '/job/7',)))
        self.end_job(8, 'failed', unit)
        if self.result != 'never':
            self.end_job(7, self.result, unit)

    def end_job(self, number, result, unit):
        self.client.connection.emit_signal(
            None, SYSTEMD_PATH, MANAGER, 'JobRemoved',
            GLib.Variant('(uoss)', (number, f'{SYSTEMD_PATH}/job/{number}', unit, result)))


class Health(harness.IntegrationTest):
    config = 'SettleTimeSec=5s\nHealthCheckUnit=check@.service\n'
    start_daemon = False

    def setUp(self):
        super().setUp()
        self.systemd = None
        self.addCleanup(lambda: self.systemd and self.systemd.client.close())

    def apply(self, *behaviour):
        if behaviour:
            self.systemd = ServiceManager(self.address, *behaviour)
        self.start()
        self.client = self.client or self.new_client()
        return self.client.apply_and_wait(fixtures.module())

    def record(self):
        path = f'var/lib/livepatch/guard/{fixtures.RELEASE}/lp_one.json'
        return self.read(path) if self.exists(path) else ''

    def problems(self):
        return '\n'.join(self.client.get(harness.ROOT_PATH, harness.MANAGER, 'Problems'))

    def assert_condemned(self, patch, *words):
        self.client.wait_state(patch, 'quarantined')
        reason = self.client.get(patch, harness.PATCH, 'QuarantineReason')
        for word in ('check@lp_one.service', *words):
            self.assertIn(word, reason)
        self.assertFalse(self.exists('sys/module/lp_one'))

    def assert_unknown(self, patch, word):
        harness.wait_until(lambda: word in self.problems(), f'it is reported that {word}')
        harness.wait_until(lambda: not self.exists('run/livepatch/settling'), 'nothing settles')
        self.assertEqual(self.client.state(patch), 'applied')
        self.assertEqual(self.record(), '')

    def test_success(self):
        self.apply('done')
        harness.wait_until(lambda: '"phase": "proven"' in self.record(), 'it is proven')
        self.assertEqual(self.systemd.started, [('check@lp_one.service', 'replace')])
        self.assertTrue(self.systemd.subscribed)

    def test_success_of_a_service_that_stays(self):
        self.apply('done', 'active')
        harness.wait_until(lambda: '"phase": "proven"' in self.record(), 'it is proven')

    def test_failure(self):
        self.assert_condemned(self.apply('failed', 'failed', 'exit-code'), "'exit-code'")

    def test_failure_by_timeout(self):
        self.assert_condemned(self.apply('timeout', 'failed', 'timeout'), "'timeout'")

    def test_failure_after_the_start(self):
        self.assert_condemned(self.apply('done', 'failed', 'core-dump'), "'core-dump'")

    def test_no_end(self):
        self.assert_condemned(self.apply('never'), 'had not ended')

    def test_canceled(self):
        self.assert_unknown(self.apply('canceled'), "'canceled'")

    def test_dependency(self):
        self.assert_unknown(self.apply('dependency'), "'dependency'")

    def test_no_such_unit(self):
        self.assert_unknown(self.apply('no-such-unit'), 'not found')

    def test_no_service_manager(self):
        self.assert_unknown(self.apply(), 'check@lp_one.service')


if __name__ == '__main__':
    harness.main()
