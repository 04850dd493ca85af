#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Patches on condition: reverted unless somebody confirms them in time."""

import signal
import time

from gi.repository import GLib

import fixtures
import harness

INVALID = harness.FREEDESKTOP_ERROR + 'InvalidArgs'
PATCH_PATH = harness.ROOT_PATH + '/patch/lp_5fone'


class Confirm(harness.IntegrationTest):
    config = 'ExitIdleSec=1s\nSettleTimeSec=1s\n'

    def options(self, seconds, **more):
        return {'confirm-within': GLib.Variant('t', int(seconds * 1e6)),
                **{key: GLib.Variant('b', value) for key, value in more.items()}}

    def apply(self, seconds, **more):
        with harness.memory_file(fixtures.module()) as f:
            job = self.client.manager('Apply', '(ha{sv})', 0, self.options(seconds, **more), fds=[f.fileno()])
        self.assertEqual(self.client.wait_job(job)['Result'], 'done')

    def confirm(self, name='lp_one'):
        return self.client.manager('Confirm', '(s)', name)

    def waits(self):
        p = self.client.get_all(PATCH_PATH, harness.PATCH)
        self.assertEqual(p['Unconfirmed'], p['ConfirmBefore'] > 0)
        return p['Unconfirmed']

    def wait_gone(self):
        harness.wait_until(lambda: not self.exists('sys/module/lp_one'), 'it is unloaded')
        harness.wait_until(lambda: self.client.manager('ListPatches') == [], 'it is forgotten')

    def test_confirmed(self):
        self.apply(3600)
        self.assertTrue(self.waits())
        left = self.client.get(PATCH_PATH, harness.PATCH, 'ConfirmBefore') / 1e6 - time.time()
        self.assertTrue(3500 < left <= 3600, left)
        self.assertIs(self.client.get(PATCH_PATH, harness.PATCH, 'Reapply'), False)
        self.client.signals.clear()
        self.confirm()
        changed = {}
        for change in self.wait_signal('PropertiesChanged', path=PATCH_PATH):
            changed.update(change[3][1])
        self.assertEqual((changed['Unconfirmed'], changed['ConfirmBefore'], changed['Reapply']), (False, 0, True))
        self.assert_error('AlreadyApplied', self.confirm)

    def test_not_confirmed(self):
        self.apply(1.5)
        removed = self.wait_signal('JobRemoved', count=2)
        self.assertEqual([r[3][2] for r in removed], ['done', 'done'])
        self.wait_gone()
        self.assertIn('nobody confirmed it in time', self.daemon.text())
        self.assert_error('NoSuchPatch', self.confirm)

    def test_it_does_not_leave_before(self):
        """Not even one that nobody calls, with no job that it has to show."""
        self.apply(3600)
        guard = f'var/lib/livepatch/guard/{fixtures.RELEASE}/lp_one.json'
        harness.wait_until(lambda: '"phase": "proven"' in self.read(guard), 'it has settled')
        self.stop_daemon()
        self.assertTrue(self.exists('run/livepatch/settling'))
        self.start()
        time.sleep(4)
        self.assertIsNone(self.daemon.process.poll())
        self.client.patch(PATCH_PATH, 'Remove')
        harness.wait_until(lambda: not self.exists('run/livepatch/settling'), 'nothing is watched')

    def test_killed_meanwhile(self):
        self.apply(4)
        self.stop_daemon(signal.SIGKILL)
        self.start()
        self.assertTrue(self.waits())
        self.wait_gone()

    def test_killed_until_it_is_over(self):
        self.apply(1)
        self.stop_daemon(signal.SIGKILL)
        time.sleep(1.5)
        self.start()
        self.wait_gone()

    def test_of_a_patch_that_is_staged(self):
        path = self.client.stage(fixtures.module(), reapply=True)
        job = self.client.patch(path, 'Apply', '(a{sv})', self.options(2))
        self.assertEqual(self.client.wait_job(job)['Result'], 'done')
        self.assertTrue(self.waits())
        self.client.wait_state(path, 'failed')
        self.assertIn('not confirmed within 2s', self.client.get(path, harness.PATCH, 'FailureReason'))
        self.assertIs(self.client.get(path, harness.PATCH, 'Reapply'), True)
        self.assert_error('NotConfirmed', self.confirm)

    def test_nothing_else_confirms_it(self):
        self.apply(3600)
        with harness.memory_file(fixtures.module()) as f:
            self.assertIn('confirm lp_one', self.assert_error(
                'AlreadyApplied', self.client.manager, 'Apply', '(ha{sv})', 0, {}, fds=[f.fileno()]))
        self.assert_error('AlreadyApplied', self.client.patch, PATCH_PATH, 'Apply', '(a{sv})', {})
        self.assert_error('Conflict', self.client.patch, PATCH_PATH, 'SetReapply', '(b)', True)
        self.assertTrue(self.waits())

    def test_times_that_are_none(self):
        path = self.client.stage(fixtures.module())
        for usec in [0, 1, 999999, 7 * 86400 * 1000000 + 1, 2**63, 2**64 - 1]:
            text = self.assert_error(INVALID, self.client.patch, path, 'Apply', '(a{sv})',
                                     {'confirm-within': GLib.Variant('t', usec)})
            self.assertIn('from 1s to 7d', text)
        for value in [GLib.Variant('u', 5000000), GLib.Variant('s', '5min'), GLib.Variant('b', True)]:
            self.assert_error(INVALID, self.client.patch, path, 'Apply', '(a{sv})', {'confirm-within': value})
        self.assert_error(INVALID, self.client.patch, path, 'Revert', '(a{sv})', self.options(5))
        self.assertEqual(self.client.state(path), 'staged')

    def test_names_that_are_none(self):
        for name in ['', 'lp_one', '../lp_one', 'a/b', '@', 'x' * 10000, '\x1b[2J', 'lp_one@']:
            self.assert_error('NoSuchPatch', self.confirm, name)

    def apply_replacing(self, seconds):
        """Over lp_two, which lasts."""
        other = self.client.apply_and_wait(fixtures.module(name='lp_two', build=2))
        with harness.memory_file(fixtures.module(replace=True)) as f:
            job = self.client.manager('Apply', '(ha{sv})', 0, self.options(seconds), fds=[f.fileno()])
        self.assertEqual(self.client.wait_job(job)['Result'], 'done')
        self.assertEqual(self.client.state(other), 'superseded')
        self.assertIs(self.client.get(other, harness.PATCH, 'Reapply'), True)
        return other

    def test_what_was_replaced_comes_back(self):
        other = self.apply_replacing(1.5)
        removed = self.wait_signal('JobRemoved', count=3)
        self.assertEqual([r[3][2] for r in removed], ['done'] * 3)
        harness.wait_until(lambda: self.client.state(other) == 'applied', 'it is applied again')
        harness.wait_until(lambda: not self.exists('sys/module/lp_one'), 'the other one is unloaded')
        self.assertEqual([p['Name'] for p in self.client.manager('ListPatches')], ['lp_two'])
        self.assertIs(self.client.get(other, harness.PATCH, 'Reapply'), True)
        self.assertIn('what it had superseded is applied again', self.daemon.text())

    def test_killed_before_it_comes_back(self):
        other = self.apply_replacing(1)
        self.stop_daemon(signal.SIGKILL)
        time.sleep(1.5)
        self.start()
        harness.wait_until(lambda: self.client.state(other) == 'applied', 'it is applied again')
        harness.wait_until(lambda: not self.exists('sys/module/lp_one'), 'the other one is unloaded')

    def test_confirmed_it_supersedes(self):
        other = self.apply_replacing(3600)
        with harness.memory_file(fixtures.module(name='lp_three', build=3)) as f:
            text = self.assert_error('Conflict', self.client.manager, 'Apply', '(ha{sv})', 0, {}, fds=[f.fileno()])
        self.assertIn('livepatchctl confirm lp_one', text)
        self.confirm()
        harness.wait_until(lambda: not self.client.get(other, harness.PATCH, 'Reapply'), 'it is superseded for good')
        self.assertEqual(self.client.state(other), 'superseded')

    def test_not_where_strangers_would_be_replaced(self):
        with open(self.path('lp_two.ko'), 'wb') as f:
            f.write(fixtures.module(name='lp_two', build=2))
        self.kernel_tool('load', self.root, self.path('lp_two.ko'))
        harness.wait_until(lambda: self.client.manager('ListPatches'), 'it is seen')
        with harness.memory_file(fixtures.module(replace=True)) as f:
            text = self.assert_error('Conflict', self.client.manager, 'Apply', '(ha{sv})', 0, self.options(60),
                                     fds=[f.fileno()])
        self.assertIn("would replace 'lp_two'", text)
        self.assertFalse(self.exists('sys/module/lp_one'))

    def test_others_may_not(self):
        self.apply(3600)
        answer = self.run_as(65534, 'Confirm', '(s)', 'lp_one')
        self.assertIn('error', answer)
        self.assertTrue(self.waits())


if __name__ == '__main__':
    harness.main()
