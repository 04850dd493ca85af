#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Transitions that do not end: forced, canceled, or left to themselves by livepatchctl."""

import json
import os
import pty
import subprocess

import fixtures
import harness
from gi.repository import GLib

CTL = os.environ.get('LIVEPATCHCTL', os.path.join(harness.BUILD_DIR, 'src/ctl/livepatchctl'))
PATCH = '/org/livepatch/patch/lp_5fone'


class StallTest(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.control('transition-ms', 'stall')
        self.control('unpatch-ms', 50)

    def ctl(self, *arguments, code=0):
        p = subprocess.run([CTL, *arguments], env={**self.environment(), 'LC_ALL': 'C.UTF-8'}, text=True, check=False,
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=harness.TIMEOUT)
        self.assertEqual(p.returncode, code, f'{arguments}: {p.stdout}{p.stderr}')
        return p

    def type(self, text, *arguments, code=0):
        """What a person sees on a terminal who types the text."""
        leader, follower = pty.openpty()
        p = subprocess.Popen([CTL, *arguments], env={**self.environment(), 'LC_ALL': 'C.UTF-8'}, stdin=follower,
                             stdout=follower, stderr=follower, start_new_session=True)
        os.close(follower)
        os.write(leader, text.encode())
        out = b''
        while True:
            try:
                data = os.read(leader, 4096)
            except OSError:
                break
            out += data
        os.close(leader)
        self.assertEqual(p.wait(harness.TIMEOUT), code, out)
        return out.decode()

    def stall(self):
        job = self.client.apply(fixtures.module())
        harness.wait_until(lambda: self.client.get(job, harness.JOB, 'TasksPending') == 1, 'one task is left')
        return job

    def module(self):
        path = os.path.join(self.directory, 'module.ko')
        with open(path, 'wb') as f:
            f.write(fixtures.module())
        return path


class Force(StallTest):
    def test_nothing_to_force(self):
        self.client.stage(fixtures.module())
        self.assert_error('NotInTransition', self.client.patch, PATCH, 'Force', '(a{sv})', {})
        self.assertIn('Nothing was changed', self.ctl('force', '--yes', 'lp_one', code=1).stderr)
        # Nobody is asked about what cannot be.
        self.assertIn('not in transition', self.ctl('force', 'lp_one', code=1).stderr)
        self.ctl('force', '--yes', 'lp_nothing', code=4)

    def test_options(self):
        self.stall()
        for options in [{'yes': GLib.Variant('b', True)}, {'': GLib.Variant('s', '')}]:
            self.assert_error(harness.FREEDESKTOP_ERROR + 'InvalidArgs', self.client.patch, PATCH, 'Force', '(a{sv})',
                              options)
        self.assertEqual(self.client.state(PATCH), 'applying')

    def test_nobody_can_be_asked(self):
        self.stall()
        self.assertIn('--yes', self.ctl('force', 'lp_one', code=2).stderr)
        self.assertEqual(json.loads(self.ctl('--json=short', 'force', 'lp_one', code=2).stdout)['results'][0]['result'],
                         'failed')
        self.assertEqual(self.client.state(PATCH), 'applying')
        self.assertEqual(self.read('sys/kernel/livepatch/lp_one/force').strip(), '0')

    def test_the_name_is_typed(self):
        job = self.stall()
        for text in ['y\n', 'yes\n', 'lp_two\n', '\n', '\x04']:
            out = self.type(text, 'force', 'lp_one', code=1)
            self.assertIn('until the next reboot', out)
            self.assertIn('Nothing was changed', out)
        self.assertEqual(self.client.state(PATCH), 'applying')
        self.assertIn('was forced', self.type('lp_one\n', 'force', 'lp_one'))
        self.assertEqual(self.client.wait_job(job)['Result'], 'done')
        self.assertEqual(self.client.state(PATCH), 'applied')

    def test_a_revert(self):
        self.control('transition-ms', 0)
        self.client.apply_and_wait(fixtures.module())
        self.control('unpatch-ms', 'stall')
        self.ctl('revert', '--no-block', 'lp_one')
        self.client.wait_state(PATCH, 'reverting')
        self.ctl('force', '--yes', 'lp_one')
        self.client.wait_state(PATCH, 'disabled')
        self.assertIn('forced', self.ctl('show', 'lp_one').stdout)
        self.assertIn('before the next reboot', self.ctl('apply', 'lp_one', code=5).stderr)
        p = self.ctl('revert', 'lp_one')
        self.assertIn('the kernel keeps the module', p.stderr.lower())


class Cancel(StallTest):
    def test_running_and_queued(self):
        running, queued = self.stall(), self.client.apply(fixtures.module(name='lp_two', build=2))
        self.assertIn('is canceled', self.ctl('cancel', 'lp_two').stdout)
        self.assertEqual(self.client.wait_job(queued)['Result'], 'canceled')
        result, = json.loads(self.ctl('--json=short', 'cancel', 'lp_one').stdout)['results']
        self.assertEqual((result['result'], result['job']), ('canceled', running))
        self.assertEqual(self.client.manager('ListPatches'), [])

    def test_nothing_to_cancel(self):
        self.client.stage(fixtures.module())
        self.assertIn('has no job', self.ctl('cancel', 'lp_one', code=1).stderr)
        self.ctl('cancel', 'lp_two', code=4)

    def test_without_waiting(self):
        job = self.stall()
        self.ctl('cancel', '--no-block', 'lp_one')
        self.assertEqual(self.client.wait_job(job)['Result'], 'canceled')


class Waiting(StallTest):
    def test_whoever_waits_is_let_go(self):
        p = self.ctl('apply', '--stall-timeout=1s', '--on-stall=wait', self.module(), code=6)
        self.assertIn('1 of ', p.stderr)
        self.assertIn('The job goes on', p.stderr)
        self.assertIn('livepatchctl cancel lp_one', p.stderr)
        self.assertEqual(self.client.state(PATCH), 'applying')
        self.assertIs(self.client.get('/org/livepatch/job/1', harness.JOB, 'Stalled'), True)

    def test_reversed(self):
        self.assertIn('reversed', self.ctl('apply', '--stall-timeout=1s', '--on-stall=revert', self.module(),
                                           code=6).stderr)
        self.assertEqual(self.client.manager('ListPatches'), [])

    def test_a_revert_is_reversed(self):
        self.control('transition-ms', 0)
        self.ctl('apply', self.module())
        self.control('unpatch-ms', 'stall')
        self.assertIn('still applied', self.ctl('revert', '--stall-timeout=1s', '--on-stall=revert', 'lp_one',
                                                code=6).stderr)
        self.assertEqual(self.client.state(PATCH), 'applied')

    def test_wrong_values(self):
        for options in [['--stall-timeout=0'], ['--stall-timeout='], ['--stall-timeout=-1s'], ['--stall-timeout=soon'],
                        ['--on-stall='], ['--on-stall=force']]:
            self.ctl('apply', *options, self.module(), code=2)
        self.ctl('apply', '--stall-timeout=4000d', self.module(), code=1)
        self.ctl('stage', '--on-stall=wait', self.module(), code=2)
        self.assertEqual(self.inserted(), [])


if __name__ == '__main__':
    harness.main()
