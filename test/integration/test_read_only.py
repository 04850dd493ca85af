#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A daemon that sees its state directory read-only, in its mount namespace, makes room for one that does not."""

import os
import signal
import subprocess
import time

import fixtures
import harness

READ_ONLY = ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"']


class ReadOnly(harness.IntegrationTest):
    config = 'ExitIdleSec=infinity\nSettleTimeSec=1h\n'
    start_daemon = False

    def setUp(self):
        super().setUp()
        self.state = self.path('var/lib/livepatch')
        os.makedirs(self.state, 0o700)
        try:
            subprocess.run([*READ_ONLY, self.state, 'true'], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as e:
            self.skipTest(f'no mount namespace can be made: {e}')

    def start_read_only(self):
        self.start(wrapper=[*READ_ONLY, self.state])

    def wait_exit(self):
        self.assertEqual(self.daemon.process.wait(2 * harness.TIMEOUT), 0, self.daemon.text())
        self.wait_unowned()

    def test_it_leaves(self):
        self.start_read_only()
        self.assertEqual(self.client.manager('ListPatches'), [])
        self.wait_exit()

    def test_what_fails_is_told(self):
        self.start_read_only()
        text = self.assert_error('StoreFailed', self.client.stage, fixtures.module())
        self.assertIn('Read-only file system', text)
        self.assertIn('Make the file system writable', text)
        self.wait_exit()
        self.start()
        self.client.stage(fixtures.module())
        time.sleep(4)
        self.assertIsNone(self.daemon.process.poll())

    def test_a_job_ends_before(self):
        self.start_read_only()
        job = self.client.apply(fixtures.module())
        removed, = self.wait_signal('JobRemoved')
        self.assertEqual(removed[3][1:], (job, 'failed'))
        changed = {}
        for change in self.client.signals_of('PropertiesChanged'):
            changed.update(change[3][1] if change[0] == job else {})
        self.assertEqual(changed['Error'][0], harness.ERROR + 'StoreFailed')
        self.assertEqual(self.inserted(), [])
        self.wait_exit()

    def test_who_calls_is_served(self):
        self.start_read_only()
        until = time.monotonic() + 4
        while time.monotonic() < until:
            self.client.manager('ListJobs')
            time.sleep(0.2)
        self.assertIsNone(self.daemon.process.poll())
        self.wait_exit()

    def test_what_is_watched_keeps_it_for_a_minute(self):
        """As long as nothing was to be written; and the next one is started for it."""
        self.start()
        path = self.client.apply_and_wait(fixtures.module())
        self.stop_daemon(signal.SIGKILL)
        self.start_read_only()
        begin = time.monotonic()
        self.client.manager('Subscribe')
        self.assertEqual(self.client.state(path), 'applied')
        time.sleep(4)
        self.assertIsNone(self.daemon.process.poll())
        self.assert_error('StoreFailed', self.client.patch, path, 'SetReapply', '(b)', False)
        self.wait_exit()
        self.assertGreater(time.monotonic() - begin, 50)
        self.assertTrue(self.exists('run/livepatch/settling'))
        self.start()
        self.assertEqual(self.client.state(path), 'applied')
        self.client.patch(path, 'SetReapply', '(b)', False)


if __name__ == '__main__':
    harness.main()
