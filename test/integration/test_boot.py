#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""livepatchd --reapply, over reboots of the fake kernel."""

import os
import signal
import subprocess
import time

import fixtures
import harness


class BootTest(harness.IntegrationTest):
    def mark(self, what):
        subprocess.run([harness.DAEMON, f'--mark-{what}', f'--root={self.root}'], env=self.environment(), check=True)

    def reboot(self, clean=True):
        """Ends the daemon, reboots, and runs the early-boot service; returns its exit status and its output."""
        if self.daemon and self.daemon.process.poll() is None:
            self.stop_daemon()
        if clean:
            self.mark('clean-shutdown')
        self.kernel.kill()
        self.kernel_tool('reboot', self.root)
        harness.shutil.rmtree(self.path('run'))
        os.mkdir(self.path('run'))
        if self.exists('ctl/inserted'):
            os.unlink(self.path('ctl/inserted'))
        self.start_kernel()
        return self.reapply()

    def reapply(self, timeout=harness.TIMEOUT):
        done = subprocess.run([harness.DAEMON, '--reapply', f'--root={self.root}'], env=dict(
            self.environment(), DBUS_SYSTEM_BUS_ADDRESS='unix:path=/nonexistent'), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=timeout, check=False)
        self.assertIsNone(harness.SANITIZER.search(done.stdout), done.stdout)
        return done.returncode, done.stdout

    def states(self):
        return {p['Name']: p['State'] for p in self.client.manager('ListPatches')}

    def path_of(self, name):
        return self.client.manager('GetPatch', '(s)', name)


class Boot(BootTest):
    def test_nothing_to_do(self):
        status, output = self.reboot()
        self.assertEqual(status, 0, output)
        self.assertIn('0 of 0', output)

    def test_reapplies_in_order(self):
        names = ['lp_c', 'lp_a', 'lp_b']
        for i, name in enumerate(names):
            self.client.apply_and_wait(fixtures.module(name=name, build=i))
        self.client.stage(fixtures.module(name='lp_staged', build=9))
        self.client.apply_and_wait(fixtures.module(name='lp_once', build=10), runtime=True)
        status, output = self.reboot()
        self.assertEqual(status, 0, output)
        self.assertEqual(self.inserted(), names)
        self.assertIn('3 of 3', output)
        self.start()
        self.assertEqual(self.states(), {'lp_a': 'applied', 'lp_b': 'applied', 'lp_c': 'applied',
                                         'lp_staged': 'staged'})
        self.assertEqual(self.client.get(self.path_of('lp_a'), harness.PATCH, 'AppliedBy'), 0)

    def test_what_was_switched_off_stays_off(self):
        for i, name in enumerate(['lp_reverted', 'lp_disabled', 'lp_kept']):
            self.client.apply_and_wait(fixtures.module(name=name, build=i))
        self.client.wait_job(self.client.patch(self.path_of('lp_reverted'), 'Revert'))
        self.client.patch(self.path_of('lp_disabled'), 'SetReapply', '(b)', False)
        self.client.wait_job(self.client.patch(self.path_of('lp_kept'), 'Revert', '(a{sv})',
                                               {'runtime': harness.GLib.Variant('b', True)}))
        status, output = self.reboot()
        self.assertEqual(status, 0, output)
        self.assertEqual(self.inserted(), ['lp_kept'])

    def test_bad_ones_do_not_stop_the_rest(self):
        for i in range(5):
            self.client.apply_and_wait(fixtures.module(name=f'lp_{i}', build=i))
        directory = self.path(f'var/lib/livepatch/patches/{fixtures.RELEASE}/lp_1')
        module, = [f for f in os.listdir(directory) if f.endswith('.ko')]
        with open(os.path.join(directory, module), 'r+b') as f:
            f.seek(100)
            f.write(b'\xff\xff')
        self.control('insert-errno.lp_3', 'EINVAL')
        status, output = self.reboot()
        self.assertEqual(status, 1, output)
        self.assertEqual(self.inserted(), ['lp_0', 'lp_2', 'lp_3', 'lp_4'])
        self.assertIn('3 of 5', output)
        for name in ['lp_1', 'lp_3']:
            self.assertIn(name, output)
        self.start()
        states = self.states()
        self.assertEqual([states[f'lp_{i}'] for i in (0, 2, 4)], ['applied'] * 3)
        for name in ['lp_1', 'lp_3']:
            self.assertEqual(states[name], 'failed')
            self.assertGreater(len(self.client.get(self.path_of(name), harness.PATCH, 'FailureReason')), 10)

    def test_damaged_record(self):
        for i in range(2):
            self.client.apply_and_wait(fixtures.module(name=f'lp_{i}', build=i))
        self.write(f'var/lib/livepatch/patches/{fixtures.RELEASE}/lp_0/manifest.json', '{"format": 1, "na')
        status, output = self.reboot()
        self.assertEqual((status, self.inserted()), (1, ['lp_1']), output)
        self.assertIn('lp_0', output)
        self.assertIn('1 of 1', output)
        self.assertIn('1 record could not be read', output)
        # It was set aside: the next boot knows nothing of it.
        status, output = self.reboot()
        self.assertEqual((status, self.inserted()), (0, ['lp_1']), output)

    def test_revoked_meanwhile(self):
        self.client.apply_and_wait(fixtures.module())
        sha256 = self.client.get(self.path_of('lp_one'), harness.PATCH, 'Sha256')
        self.stop_daemon()
        self.write('etc/livepatch/revoked.d/a.sha256', sha256 + '\n')
        status, output = self.reboot()
        self.assertEqual((status, self.inserted()), (1, []), output)
        self.assertIn('revoked', output)

    def test_kill_switches(self):
        self.client.apply_and_wait(fixtures.module())
        self.stop_daemon()
        cmdline = self.read('proc/cmdline')
        for word in ['livepatch=off', 'livepatch=no-reapply']:
            self.write('proc/cmdline', f'{cmdline.strip()} {word}\n')
            status, output = self.reboot()
            self.assertEqual((status, self.inserted()), (0, []), output)
            self.assertIn('switched off', output)
        self.write('proc/cmdline', cmdline)
        self.write('etc/livepatch/disabled', '')
        status, output = self.reboot()
        self.assertEqual((status, self.inserted()), (0, []), output)
        os.unlink(self.path('etc/livepatch/disabled'))
        status, output = self.reboot()
        self.assertEqual((status, self.inserted()), (0, ['lp_one']), output)

    def test_crash_kernel(self):
        self.client.apply_and_wait(fixtures.module())
        self.write('proc/vmcore', '')
        status, output = self.reboot()
        self.assertEqual((status, self.inserted()), (0, []), output)
        self.assertIn('crash kernel', output)

    def test_another_kernel(self):
        self.client.apply_and_wait(fixtures.module())
        self.stop_daemon()
        self.write('proc/sys/kernel/osrelease', '6.1.0-57-amd64\n')
        status, output = self.reboot()
        self.assertEqual((status, self.inserted()), (0, []), output)

    def test_vendor_patches(self):
        directory = f'usr/lib/livepatch/patches/{fixtures.RELEASE}'
        os.makedirs(self.path(directory))
        with open(self.path(f'{directory}/lp_vendor.ko'), 'wb') as f:
            f.write(fixtures.module(name='lp_vendor', build=4))
        with open(self.path(f'{directory}/lp_bad.ko'), 'wb') as f:
            f.write(fixtures.build(name='lp_bad', build=5))
        _, output = self.reboot()
        self.assertEqual(self.inserted(), ['lp_vendor'], output)
        self.start()
        patch = self.client.get_all(self.path_of('lp_vendor'), harness.PATCH)
        self.assertEqual((patch['State'], patch['Origin'], patch['Reapply']), ('applied', 'vendor', True))
        self.assert_error('ReadOnly', self.client.patch, self.path_of('lp_vendor'), 'Remove')
        self.assertTrue(any('lp_bad' in p for p in self.client.get(harness.ROOT_PATH, harness.MANAGER, 'Problems')))

    def test_twice(self):
        self.client.apply_and_wait(fixtures.module())
        self.reboot()
        status, output = self.reapply()
        self.assertEqual((status, self.inserted()), (0, ['lp_one']), output)

    def test_option_errors(self):
        for arguments in [['--nonsense'], ['argument'], ['--root=/nonexistent'], ['--root']]:
            done = subprocess.run([harness.DAEMON, *arguments], capture_output=True, text=True, check=False,
                                  env=self.environment(), timeout=harness.TIMEOUT)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertTrue(done.stderr)
        done = subprocess.run([harness.DAEMON, '--version'], capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout, 'livepatchd 0.1.0\n')
        done = subprocess.run([harness.DAEMON, '--help'], capture_output=True, text=True, check=True)
        for option in ['--reapply', '--root=DIR', '--version', '--help']:
            self.assertIn(option, done.stdout)

    def test_the_name_is_taken(self):
        other = os.path.join(self.directory, 'other')
        os.mkdir(other)
        self.kernel_tool('create', other)
        done = subprocess.run([harness.DAEMON, f'--root={other}'], capture_output=True, text=True, check=False,
                              env=self.environment(), timeout=harness.TIMEOUT)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("'org.livepatch' is taken", done.stderr)
        self.assertIsNone(harness.SANITIZER.search(done.stderr), done.stderr)
        self.assertIsNone(self.daemon.process.poll())

    def test_no_bus(self):
        self.stop_daemon()
        done = subprocess.run([harness.DAEMON, f'--root={self.root}'], capture_output=True, text=True, check=False,
                              env=dict(self.environment(), DBUS_SYSTEM_BUS_ADDRESS='unix:path=/nonexistent'),
                              timeout=harness.TIMEOUT)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn('system bus', done.stderr)
        self.assertIsNone(harness.SANITIZER.search(done.stderr), done.stderr)

    def test_the_bus_goes_away(self):
        self.bus.kill()
        self.assertEqual(self.daemon.process.wait(harness.TIMEOUT), 1)
        self.assertIsNone(harness.SANITIZER.search(self.daemon.text()), self.daemon.text())


class Budget(BootTest):
    config = 'BootTimeoutSec=2s\n'

    def test_stall_does_not_hold_back_the_boot(self):
        for i in range(2):
            self.client.apply_and_wait(fixtures.module(name=f'lp_{i}', build=i))
        self.control('transition-ms.lp_0', 'stall')
        before = time.monotonic()
        status, output = self.reboot()
        self.assertLess(time.monotonic() - before, 20)
        self.assertEqual(status, 1, output)
        self.assertIn('budget', output)
        self.assertIn('lp_0', output)
        # The kernel goes on with it, and the daemon takes over.
        self.assertEqual(self.read('sys/kernel/livepatch/lp_0/transition').strip(), '1')
        self.start()
        self.assertEqual(self.states()['lp_0'], 'applying')
        self.control('transition-ms.lp_0', 0)
        self.client.wait_state(self.path_of('lp_0'), 'applied')
        self.assertIs(self.client.get(self.path_of('lp_0'), harness.PATCH, 'Reapply'), True)

    def test_interrupted(self):
        """Like a shutdown in the middle of the boot."""
        self.client.apply_and_wait(fixtures.module())
        self.stop_daemon()
        self.mark('clean-shutdown')
        self.kernel_tool('reboot', self.root)
        self.control('transition-ms', 'stall')
        process = harness.Process(os.path.join(self.directory, 'boot.log'), harness.DAEMON, '--reapply',
                                  f'--root={self.root}', env=self.environment())
        harness.wait_until(lambda: self.exists('sys/kernel/livepatch/lp_one'), 'the module is loaded')
        status = process.kill(signal.SIGTERM)
        self.assertEqual(status, 1, process.text())
        self.assertIsNone(harness.SANITIZER.search(process.text()), process.text())


class Guard(BootTest):
    """The machine goes down without a regular shutdown."""

    def test_quarantine(self):
        for i, name in enumerate(['lp_bad', 'lp_other']):
            self.client.apply_and_wait(fixtures.module(name=name, build=i))
        self.write('var/lib/systemd/pstore/1/dmesg.txt',
                   'Oops#1 Part1\n<1>[    1.0] BUG: bad\n<4>[    1.0] RIP: 0010:f+0x1/0x2 [lp_bad]\n')
        status, output = self.reboot(clean=False)
        self.assertEqual((status, self.inserted()), (1, []), output)
        self.assertIn("Quarantined 'lp_bad'", output)
        self.assertIn('f+0x1/0x2 [lp_bad]', output)
        self.start()
        self.assertEqual(self.states(), {'lp_bad': 'quarantined', 'lp_other': 'quarantined'})
        path = self.path_of('lp_other')
        self.assertIn("log names 'lp_bad'", self.client.get(path, harness.PATCH, 'QuarantineReason'))
        self.assertEqual(self.client.get(path, harness.PATCH, 'FailureReason'), '')
        with self.assertRaises(harness.CallError) as caught:
            self.client.patch(self.path_of('lp_bad'), 'Apply')
        self.assertEqual(caught.exception.name, harness.ERROR + 'Quarantined')
        self.client.call(path, harness.PATCH, 'ClearQuarantine')
        self.assertEqual(self.client.get(path, harness.PATCH, 'QuarantineReason'), '')
        self.assertEqual(self.states(), {'lp_bad': 'quarantined', 'lp_other': 'staged'})
        with self.assertRaises(harness.CallError) as caught:
            self.client.call(path, harness.PATCH, 'ClearQuarantine')
        self.assertEqual(caught.exception.name, harness.ERROR + 'Conflict')
        status, output = self.reboot()
        self.assertEqual((status, self.inserted()), (1, ['lp_other']), output)

    def test_a_restarted_unit_is_no_shutdown(self):
        self.client.apply_and_wait(fixtures.module())
        self.mark('clean-shutdown')
        self.mark('running')
        self.reboot(clean=False)
        self.start()
        self.assertEqual(self.states(), {'lp_one': 'quarantined'})

    def test_damaged_record(self):
        self.client.apply_and_wait(fixtures.module())
        self.write(f'var/lib/livepatch/guard/{fixtures.RELEASE}/lp_one.json', 'torn')
        status, output = self.reboot(clean=False)
        self.assertEqual((status, self.inserted()), (0, ['lp_one']), output)
        self.assertIn('lp_one.json is damaged', output)


if __name__ == '__main__':
    harness.main()
