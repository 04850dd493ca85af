#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What clients are told without asking: objects that come and go, properties that change."""

import fixtures
import harness

PATCH_PATH = harness.ROOT_PATH + '/patch/lp_5fone'


class Signals(harness.IntegrationTest):
    def changes(self, path):
        return [s[3][1] for s in self.client.signals_of('PropertiesChanged') if s[0] == path]

    def wait_change(self, path, name, value):
        harness.wait_until(lambda: any(c.get(name) == value for c in self.changes(path)), f'{name} is told')

    def test_objects_come_and_go(self):
        self.assertEqual(self.client.call(harness.ROOT_PATH, harness.OBJECT_MANAGER, 'GetManagedObjects'), {})
        path = self.client.stage(fixtures.module())
        added, = self.wait_signal('InterfacesAdded')
        self.assertEqual((added[0], added[3][0]), (harness.ROOT_PATH, path))
        self.assertEqual(added[3][1][harness.PATCH], self.client.get_all(path, harness.PATCH))
        objects = self.client.call(harness.ROOT_PATH, harness.OBJECT_MANAGER, 'GetManagedObjects')
        self.assertEqual({p: o[harness.PATCH] for p, o in objects.items()},
                         {path: self.client.get_all(path, harness.PATCH)})
        self.client.patch(path, 'Remove')
        removed = [s for s in self.wait_signal('InterfacesRemoved') if s[3][0] == path]
        self.assertEqual(len(removed), 1)
        self.assertIn(harness.PATCH, removed[0][3][1])
        self.assertEqual([o for o in self.client.call(harness.ROOT_PATH, harness.OBJECT_MANAGER, 'GetManagedObjects')
                          if '/patch/' in o], [])

    def test_managed_objects_with_jobs(self):
        self.client.apply_and_wait(fixtures.module())
        objects = self.client.call(harness.ROOT_PATH, harness.OBJECT_MANAGER, 'GetManagedObjects')
        self.assertEqual(sorted(objects), [harness.ROOT_PATH + '/job/1', PATCH_PATH])
        self.assertEqual(objects[harness.ROOT_PATH + '/job/1'][harness.JOB]['Result'], 'done')

    def test_added_before_the_answer(self):
        """Who gets a path has been told of its object."""
        path = self.client.stage(fixtures.module())
        while harness.GLib.MainContext.default().iteration(False):
            pass
        self.assertEqual([s[3][0] for s in self.client.signals_of('InterfacesAdded')], [path])

    def test_states_of_a_patch(self):
        self.control('transition-ms', 200)
        self.client.apply_and_wait(fixtures.module())
        self.wait_change(PATCH_PATH, 'State', 'applied')
        states = [c['State'] for c in self.changes(PATCH_PATH) if 'State' in c]
        self.assertIn('applying', states)
        self.assertEqual(states[-1], 'applied')
        self.wait_change(PATCH_PATH, 'Reapply', True)
        self.wait_change(harness.ROOT_PATH, 'Summary', {'applied': 1})
        self.client.wait_job(self.client.patch(PATCH_PATH, 'Revert'))
        self.wait_change(PATCH_PATH, 'State', 'reverting')
        self.wait_change(PATCH_PATH, 'State', 'staged')
        self.wait_change(harness.ROOT_PATH, 'Summary', {'staged': 1})

    def test_only_what_has_changed(self):
        path = self.client.stage(fixtures.module())
        self.client.patch(path, 'SetReapply', '(b)', True)
        self.wait_change(path, 'Reapply', True)
        self.assertEqual(self.changes(path)[-1], {'Reapply': True})

    def test_coalesced(self):
        """A job of an instant is not told of in dozens of signals."""
        self.control('transition-ms', 0)
        self.client.apply_and_wait(fixtures.module())
        self.wait_signal('JobRemoved')
        self.assertLess(len(self.changes(PATCH_PATH)), 10)
        self.assertLess(len(self.changes(harness.ROOT_PATH)), 10)

    def test_what_others_do_is_noticed(self):
        path = self.client.apply_and_wait(fixtures.module())
        self.client.signals.clear()
        self.write('sys/kernel/livepatch/lp_one/enabled', '0\n')
        self.client.wait_state(path, 'disabled')
        self.wait_change(path, 'State', 'disabled')

    def test_two_clients(self):
        other = self.new_client()
        self.control('transition-ms', 'stall')
        job = self.client.apply(fixtures.module())
        second = other.apply(fixtures.module(name='lp_two', build=2))
        self.assertNotEqual(job, second)
        self.wait_signal('JobNew', client=other, count=2)
        self.wait_signal('JobNew', client=self.client, count=2)
        self.assertEqual(other.manager('ListJobs'), self.client.manager('ListJobs'))
        self.control('transition-ms', 0)
        for client in (self.client, other):
            self.wait_signal('JobRemoved', client=client, count=2)
            self.assertEqual([s[3][2] for s in client.signals_of('JobRemoved')], ['done', 'done'])
        self.assertEqual(self.client.manager('ListPatches'), other.manager('ListPatches'))

    def test_two_clients_apply_the_same(self):
        other = self.new_client()
        module = fixtures.module()
        with harness.memory_file(module) as f:
            calls = [client.begin(harness.ROOT_PATH, harness.MANAGER, 'Apply', '(ha{sv})', 0, {}, fds=[f.fileno()])
                     for client in (self.client, other)]
            for call in calls:
                call.wait()
        harness.wait_until(lambda: all(self.client.get(j, harness.JOB, 'State') == 'finished'
                                       for j in self.client.manager('ListJobs')), 'the jobs are over')
        self.assertEqual(self.client.state(PATCH_PATH), 'applied')
        self.assertEqual(self.inserted(), ['lp_one'])
        self.assertTrue(any(c.error is None for c in calls))


class LogControl(harness.IntegrationTest):
    PATH = '/org/freedesktop/LogControl1'
    INTERFACE = 'org.freedesktop.LogControl1'

    def set(self, name, value):
        self.client.call(self.PATH, harness.PROPERTIES, 'Set', '(ssv)', self.INTERFACE, name,
                         harness.GLib.Variant('s', value))

    def test_values(self):
        self.assertEqual(self.client.get_all(self.PATH, self.INTERFACE),
                         {'LogLevel': 'info', 'LogTarget': 'console', 'SyslogIdentifier': 'livepatchd'})

    def test_level(self):
        self.client.manager('ListPatches')
        for level in ['debug', 'err', 'info']:
            self.set('LogLevel', level)
            self.assertEqual(self.client.get(self.PATH, self.INTERFACE, 'LogLevel'), level)

    def test_target(self):
        self.set('LogTarget', 'null')
        self.assertEqual(self.client.get(self.PATH, self.INTERFACE, 'LogTarget'), 'null')
        before = self.daemon.text()
        self.client.apply_and_wait(fixtures.module())
        self.assertEqual(self.daemon.text(), before)
        self.set('LogTarget', 'console')
        self.client.apply_and_wait(fixtures.module(name='lp_two', build=2))
        self.assertIn('lp_two', self.daemon.text())

    def test_nonsense(self):
        for name, value in [('LogLevel', 'loud'), ('LogLevel', ''), ('LogTarget', '/etc/passwd')]:
            self.assert_error(harness.FREEDESKTOP_ERROR + 'InvalidArgs', self.set, name, value)
        with self.assertRaises(harness.CallError):
            self.set('SyslogIdentifier', 'x')
        self.test_values()


if __name__ == '__main__':
    harness.main()
