#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""livepatchctl with livepatchd itself, over a fake kernel: what the two say to each other fits."""

import json
import os
import signal
import subprocess
import unittest
from unittest import mock

from gi.repository import GLib

import fixtures
import harness

CTL = os.environ.get('LIVEPATCHCTL', os.path.join(harness.BUILD_DIR, 'src/ctl/livepatchctl'))


class CtlTest(harness.IntegrationTest):
    def ctl(self, *arguments, code=0):
        p = subprocess.run([CTL, *arguments], env={**self.environment(), 'LC_ALL': 'C.UTF-8'}, text=True, check=False,
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=harness.TIMEOUT)
        self.assertEqual(p.returncode, code, f'{arguments}: {p.stdout}{p.stderr}')
        return p

    def json(self, *arguments, code=0):
        return json.loads(self.ctl('--json=short', *arguments, code=code).stdout)

    def module(self, data=None, name='module.ko'):
        path = os.path.join(self.directory, name)
        with open(path, 'wb') as f:
            f.write(fixtures.module() if data is None else data)
        return path

    def states(self):
        return {p['name']: (p['state'], p['reapply']) for p in self.json('list')['patches']}


class CtlDaemon(CtlTest):
    def test_life_of_a_patch(self):
        module = self.module()
        self.assertIn("Patch 'lp_one' is staged", self.ctl('stage', module).stdout)
        self.assertEqual(self.states(), {'lp_one': ('staged', False)})
        self.assertIn('will be reapplied at boot', self.ctl('apply', 'lp-one').stdout)
        self.assertEqual(self.states(), {'lp_one': ('applied', True)})
        self.assertIn('already', self.ctl('apply', module).stdout)
        self.ctl('disable', 'lp_one')
        self.assertEqual(self.states(), {'lp_one': ('applied', False)})
        self.ctl('enable', 'lp_one')
        self.assertIn('is reverted', self.ctl('revert', '--runtime', 'lp_one').stdout)
        self.assertEqual(self.states(), {'lp_one': ('staged', True)})
        self.ctl('reapply')
        self.assertEqual(self.states(), {'lp_one': ('applied', True)})
        self.ctl('revert', 'lp_one')
        self.assertEqual(self.states(), {'lp_one': ('staged', False)})
        self.assertIn('not applied', self.ctl('revert', 'lp_one').stdout)
        self.ctl('remove', 'lp_one')
        self.assertEqual(self.states(), {})
        self.ctl('remove', 'lp_one', code=4)

    def test_runtime(self):
        self.assertIn('for this boot only', self.ctl('apply', '--runtime', self.module()).stdout)
        self.assertEqual(self.states(), {'lp_one': ('applied', False)})
        self.assertIn('boot', self.ctl('apply', self.module()).stdout)
        self.assertEqual(self.states(), {'lp_one': ('applied', True)})

    def test_what_is_shown(self):
        self.ctl('apply', self.module())
        out = self.ctl('show', 'lp_one').stdout
        for part in ('State: applied', 'Signature: trusted', 'CN=good', 'patched   cmdline_proc_show',
                     'absent_show (no. 2', 'Build id: 000102030405060708090a0b0c0d0e0f10111213', 'Kind: hand-written',
                     ' by '):
            self.assertIn(part, out)
        status = self.ctl('status').stdout
        self.assertIn(f'Kernel: {fixtures.RELEASE} (x86_64), can be live-patched', status)
        self.assertIn('Patches: 1 applied', status)
        self.assertEqual(self.json('status')['manager']['summary'], {'applied': 1})

    def test_refusals(self):
        for data, code in ((fixtures.module('stranger'), 5), (fixtures.build(), 5), (b'nothing', 5),
                           (fixtures.module(release='6.1.0-99-amd64'), 5), (fixtures.module(plain=True), 5)):
            p = self.ctl('apply', self.module(data), code=code)
            self.assertEqual(p.stdout, '')
            self.assertEqual(len(p.stderr.splitlines()), 1)
        self.assertEqual(self.inserted(), [])
        self.assertEqual(self.states(), {})

    def levels(self):
        """lp_one and lp_two, superseded by lp_new."""
        for i, name in enumerate(('lp_one', 'lp_two')):
            self.ctl('apply', self.module(fixtures.module(name=name, build=i + 1), name + '.ko'))
        self.ctl('apply', self.module(fixtures.module(name='lp_new', build=3, replace=True), 'lp_new.ko'))
        self.assertEqual(self.states(), {'lp_one': ('superseded', False), 'lp_two': ('superseded', False),
                                         'lp_new': ('applied', True)})

    FORMER = {'lp_one': ('applied', True), 'lp_two': ('applied', True), 'lp_new': ('staged', False)}

    def test_rollback(self):
        self.levels()
        self.assertIn("Patch 'lp_new' is rolled back: what it had superseded is applied again, now and at boot",
                      self.ctl('rollback').stdout)
        self.assertEqual(self.states(), self.FORMER)
        self.assertEqual(self.inserted(), ['lp_one', 'lp_two', 'lp_new', 'lp_one', 'lp_two'])
        self.assertFalse(self.exists('sys/module/lp_new'))
        self.ctl('apply', 'lp_new')
        result = self.json('rollback', 'lp_new')['results'][0]
        self.assertEqual((result['patch'], result['result']), ('lp_new', 'done'))
        self.assertEqual(self.states(), self.FORMER)

    def test_rollback_for_this_boot_only(self):
        self.levels()
        self.assertIn('what happens at the next boot has not changed',
                      self.ctl('rollback', '--runtime', 'lp_new').stdout)
        self.assertEqual(self.states(), {'lp_one': ('applied', False), 'lp_two': ('applied', False),
                                         'lp_new': ('staged', True)})

    def test_rollback_to_nothing(self):
        self.ctl('rollback', 'lp_one', code=4)
        self.assertIn('livepatchctl revert', self.ctl('rollback', code=5).stderr)
        self.ctl('stage', self.module())
        self.assertIn('is not applied', self.ctl('rollback', 'lp_one', code=1).stderr)
        self.ctl('apply', 'lp_one')
        self.assertIn('There is no level before', self.ctl('rollback', 'lp_one', code=5).stderr)
        self.ctl('rollback', 'lp_one', 'lp_two', code=2)
        self.assertEqual(self.states(), {'lp_one': ('applied', True)})

    def test_rollback_that_fails(self):
        self.levels()
        self.control('insert-errno.lp_two', 'EINVAL')
        self.assertIn("'lp_new' was not rolled back, and is applied as before", self.ctl('rollback', code=1).stderr)
        self.assertEqual(self.states(), {'lp_one': ('superseded', False), 'lp_two': ('failed', False),
                                         'lp_new': ('applied', True)})
        self.ctl('remove', 'lp_two')
        self.assertIn("'lp_two'", self.ctl('rollback', code=4).stderr)
        self.assertEqual(self.states(), {'lp_one': ('superseded', False), 'lp_new': ('applied', True)})

    def test_trust(self):
        certificate = fixtures.certificate('stranger')
        self.assertIn(fixtures.fingerprint('stranger'), self.ctl('trust', 'add', certificate).stdout)
        self.assertEqual(len(self.json('trust', 'list')['certificates']), 2)
        self.assertIn('CN=stranger', self.ctl('trust').stdout)
        self.ctl('apply', self.module(fixtures.module('stranger')))
        self.ctl('trust', 'remove', fixtures.fingerprint('stranger')[:12])
        self.ctl('trust', 'remove', fixtures.fingerprint('stranger'), code=1)
        self.ctl('trust', 'add', self.module(b'nothing'), code=5)


class CtlKilledDaemon(CtlTest):
    """On a bus that starts the daemon itself: a system bus would need its setuid helper for that."""

    start_daemon = False

    def setUp(self):
        config = harness.BUS_CONFIG.replace('<type>system</type>', '<type>session</type>')
        with mock.patch.object(harness, 'BUS_CONFIG', config):
            super().setUp()
        with open(os.path.join(self.directory, 'services/org.livepatch.service'), 'w', encoding='utf-8') as f:
            f.write(f'[D-BUS Service]\nName=org.livepatch\nExec={harness.DAEMON} --root={self.root}\n')

    def kill_daemon(self):
        process = self.client.call_bus('GetConnectionUnixProcessID', GLib.Variant('(s)', (harness.NAME,)))
        os.kill(process, signal.SIGKILL)

    def begin(self, *arguments):
        p = subprocess.Popen([CTL, *arguments], env=self.environment(), text=True, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(p.communicate, timeout=harness.TIMEOUT)
        return p

    def finish(self, p):
        """The daemon was started once more, and ends with the test."""
        out, err = p.communicate(timeout=harness.TIMEOUT)
        self.kill_daemon()
        return p.returncode, out, err

    def test_apply_goes_on(self):
        self.control('transition-ms', 'stall')
        p = self.begin('apply', self.module())
        harness.wait_until(lambda: self.exists('sys/kernel/livepatch/lp_one'), 'the patch is in the kernel')
        self.kill_daemon()
        self.wait_unowned()
        self.wait_owned()
        self.control('transition-ms', 100)
        code, out, err = self.finish(p)
        self.assertEqual((code, err), (0, ''))
        self.assertIn("Patch 'lp_one' is applied", out)

    def test_revert_goes_on(self):
        self.ctl('apply', self.module())
        self.control('unpatch-ms', 'stall')
        p = self.begin('revert', 'lp_one')
        harness.wait_until(lambda: self.read('sys/kernel/livepatch/lp_one/enabled').strip() == '0', 'it is reverted')
        self.kill_daemon()
        self.wait_unowned()
        self.wait_owned()
        self.control('unpatch-ms', 100)
        code, out, err = self.finish(p)
        self.assertEqual((code, err), (0, ''))
        self.assertIn("Patch 'lp_one' is reverted", out)


if __name__ == '__main__':
    unittest.main(verbosity=2)
