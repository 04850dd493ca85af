#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Clients that mean no good: wrong types, descriptors that are no files, unknown options, bursts."""

import os
import signal
import socket
import struct
import subprocess
import tempfile

import fixtures
import flood
import harness
from gi.repository import Gio, GLib

INVALID = harness.FREEDESKTOP_ERROR + 'InvalidArgs'


class Hostile(harness.IntegrationTest):
    def with_fd(self, member, fd):
        arguments = ('(h)', 0) if member == 'AddTrust' else ('(ha{sv})', 0, {})
        return self.client.manager(member, *arguments, fds=[fd])

    def refused_everywhere(self, fd, names=('InvalidFile',)):
        """Every method that takes a descriptor refuses this one; the daemon goes on."""
        for member in ['Apply', 'Stage', 'AddTrust', 'Inspect']:
            try:
                report = self.with_fd(member, fd)
                self.assertEqual(member, 'Inspect')
                self.assertIs(report['would-apply'], False)
                name = report['refusal']
            except harness.CallError as e:
                name = e.name
            self.assertIn(name.removeprefix(harness.ERROR), names, member)
        self.alive()

    def alive(self):
        self.assertEqual(self.client.get(harness.ROOT_PATH, harness.MANAGER, 'KernelRelease'), fixtures.RELEASE)
        self.assertIsNone(self.daemon.process.poll())
        self.assertEqual((self.inserted(), self.stored(), self.client.manager('ListPatches')), ([], [], []))

    def test_directory(self):
        fd = os.open(self.directory, os.O_RDONLY)
        self.addCleanup(os.close, fd)
        self.refused_everywhere(fd)

    def test_fifo(self):
        os.mkfifo(self.path('fifo'))
        fd = os.open(self.path('fifo'), os.O_RDWR)
        self.addCleanup(os.close, fd)
        self.refused_everywhere(fd)

    def test_devices(self):
        for path in ['/dev/zero', '/dev/null', '/dev/full', '/dev/tty']:
            try:
                fd = os.open(path, os.O_RDONLY)
            except OSError:
                continue
            self.addCleanup(os.close, fd)
            self.refused_everywhere(fd)

    def test_sockets_and_others(self):
        pair = socket.socketpair()
        self.addCleanup(pair[0].close)
        self.addCleanup(pair[1].close)
        read_end, write_end = os.pipe()
        self.addCleanup(os.close, read_end)
        self.addCleanup(os.close, write_end)
        for fd in [pair[0].fileno(), read_end, write_end]:
            self.refused_everywhere(fd)

    def test_not_open_for_reading(self):
        with open(self.path('module'), 'wb') as f:
            f.write(fixtures.module())
        for flags in [os.O_WRONLY, os.O_PATH]:
            fd = os.open(self.path('module'), flags)
            self.addCleanup(os.close, fd)
            self.refused_everywhere(fd)

    def test_files_that_are_not_modules(self):
        for data in [b'', b'\0', b'\xff' * 100000, os.urandom(4096)]:
            with harness.memory_file(data) as f:
                self.refused_everywhere(f.fileno(), ('Unsigned', 'MalformedModule', 'InvalidCertificate', 'TooLarge'))

    def test_huge_sparse_file(self):
        with tempfile.TemporaryFile() as f:
            f.truncate(1 << 40)
            self.refused_everywhere(f.fileno(), ('TooLarge', 'InvalidCertificate', 'LimitsExceeded'))

    def test_proc_files(self):
        for path in ['/proc/self/mem', '/proc/self/maps', '/proc/self/status']:
            fd = os.open(path, os.O_RDONLY)
            self.addCleanup(os.close, fd)
            self.refused_everywhere(fd, ('Unsigned', 'MalformedModule', 'InvalidCertificate', 'InvalidFile', 'TooLarge',
                                         'Failed'))

    def test_file_that_blocks(self):
        """Whoever reads it waits for ever; others are served, and the daemon can be stopped."""
        try:
            fd = os.open('/proc/kmsg', os.O_RDONLY)
        except OSError as e:
            self.skipTest(f'no file at hand that blocks: {e}')
        self.addCleanup(os.close, fd)
        blocked = [self.client.begin(harness.ROOT_PATH, harness.MANAGER, 'Inspect', '(ha{sv})', 0, {}, fds=[fd]),
                   self.client.begin(harness.ROOT_PATH, harness.MANAGER, 'AddTrust', '(h)', 0, fds=[fd])]
        self.client.stage(fixtures.module())
        self.stop_daemon()
        for call in blocked:
            call.wait()
            self.assertIsNotNone(call.error)

    def test_file_position_does_not_matter(self):
        with harness.memory_file(fixtures.module()) as f:
            f.seek(0, os.SEEK_END)
            path = self.client.manager('Stage', '(ha{sv})', 0, {}, fds=[f.fileno()])
        self.assertEqual(self.client.state(path), 'staged')

    def test_file_that_changes_afterwards(self):
        """What was verified is what is loaded."""
        self.control('insert-hold', '')
        with open(self.path('module'), 'wb+') as f:
            f.write(fixtures.module())
            f.flush()
            job = self.client.manager('Apply', '(ha{sv})', 0, {}, fds=[f.fileno()])
            f.seek(0)
            f.write(b'\0' * 5000)
            f.flush()
        self.control('insert-hold', None)
        self.assertEqual(self.client.wait_job(job)['Result'], 'done')
        sha256 = self.client.get('/org/livepatch/patch/lp_5fone', harness.PATCH, 'Sha256')
        self.assertEqual(self.read('ctl/inserted').split(), ['lp_one', sha256])

    def test_descriptor_index_out_of_range(self):
        with harness.memory_file(fixtures.module()) as f:
            with self.assertRaises(Exception):
                self.client.manager('Apply', '(ha{sv})', 7, {}, fds=[f.fileno()])
        with self.assertRaises(Exception):
            self.client.manager('Apply', '(ha{sv})', 0, {})
        self.client = self.new_client()
        self.alive()

    def test_wrong_types(self):
        for member, signature, arguments in [
                ('Apply', '(s)', ('x',)), ('Apply', '()', ()), ('Apply', '(a{sv})', ({},)), ('Stage', '(us)', (1, 'x')),
                ('Inspect', '(ah)', ([],)), ('GetPatch', '(u)', (1,)), ('GetPatch', '(ss)', ('a', 'b')),
                ('ListPatches', '(s)', ('x',)), ('Reapply', '(b)', (True,)), ('RemoveTrust', '(ay)', ([1, 2],)),
                ('ListTrust', '(v)', (GLib.Variant('s', 'x'),))]:
            self.assert_error(INVALID, self.client.manager, member, signature, *arguments)
        self.alive()

    def test_unknown_options(self):
        for member in ['Apply', 'Stage', 'Inspect']:
            text = self.assert_error(INVALID, self.with_options, member, {'force': GLib.Variant('b', True)})
            self.assertIn("'force'", text)
        self.assertIn("'runtime'", self.assert_error(INVALID, self.with_options, 'Apply',
                                                     {'Runtime': GLib.Variant('b', True)}))
        self.assertIn("'reapply'", self.assert_error(INVALID, self.with_options, 'Stage',
                                                     {'': GLib.Variant('b', True)}))
        text = self.assert_error(INVALID, self.with_options, 'Apply',
                                 {'a\x1b[2J\u202e' + 'x' * 10000: GLib.Variant('b', True)})
        self.assertNotIn('\x1b', text)
        self.assertLess(len(text), 300)
        self.alive()

    def with_options(self, member, options):
        with harness.memory_file(fixtures.module()) as f:
            return self.client.manager(member, '(ha{sv})', 0, options, fds=[f.fileno()])

    def test_options_of_the_wrong_type(self):
        for value in [GLib.Variant('s', 'yes'), GLib.Variant('u', 1), GLib.Variant('v', GLib.Variant('b', True)),
                      GLib.Variant('ab', [True])]:
            self.assertIn("'runtime'", self.assert_error(INVALID, self.with_options, 'Apply', {'runtime': value}))
        self.alive()

    def test_stall_options(self):
        path = self.client.stage(fixtures.module())
        for options, text in [
                ({'stall-timeout': GLib.Variant('s', '10min')}, "'stall-timeout'"),
                ({'stall-timeout': GLib.Variant('u', 1)}, "'stall-timeout'"),
                ({'stall-timeout': GLib.Variant('t', 366 * 86400 * 10**6)}, 'longer than a year'),
                ({'stall-timeout': GLib.Variant('t', 2**64 - 2)}, 'longer than a year'),
                ({'on-stall': GLib.Variant('b', True)}, "'on-stall'"),
                ({'on-stall': GLib.Variant('s', '')}, "'wait' or 'revert'"),
                ({'on-stall': GLib.Variant('s', 'Revert')}, "'wait' or 'revert'"),
                ({'on-stall': GLib.Variant('s', '\x1b[2J' + 'x' * 10000)}, "'wait' or 'revert'")]:
            for member in ['Apply', 'Revert']:
                found = self.assert_error(INVALID, self.client.patch, path, member, '(a{sv})', options)
                self.assertIn(text, found)
                self.assertLess(len(found), 300)
                self.assertNotIn('\x1b', found)
        self.assertEqual(self.client.state(path), 'staged')
        self.assertEqual(self.inserted(), [])

    def test_option_given_twice(self):
        pair = GLib.Variant('{sv}', ('runtime', GLib.Variant('b', True)))
        options = GLib.Variant.new_array(GLib.VariantType('{sv}'), [pair, pair])
        with harness.memory_file(fixtures.module()) as f:
            arguments = GLib.Variant.new_tuple(GLib.Variant('h', 0), options)
            with self.assertRaises(harness.CallError) as caught:
                self.client._call(harness.NAME, harness.ROOT_PATH, harness.MANAGER, 'Apply', arguments, [f.fileno()])
        self.assertEqual(caught.exception.name, INVALID)
        self.alive()

    def test_options_of_patches(self):
        path = self.client.stage(fixtures.module())
        force = {'force': GLib.Variant('b', True)}
        for member in ['Apply', 'Revert', 'Remove']:
            self.assert_error(INVALID, self.client.patch, path, member, '(a{sv})', force)
        self.assert_error(INVALID, self.client.patch, path, 'Remove', '(a{sv})', {'runtime': GLib.Variant('b', True)})
        self.assert_error(INVALID, self.client.patch, path, 'SetReapply', '(s)', 'yes')
        self.assertEqual(self.client.state(path), 'staged')

    def test_unknown_members(self):
        self.assert_error(harness.FREEDESKTOP_ERROR + 'UnknownMethod', self.client.manager, 'Force')
        self.assert_error(harness.FREEDESKTOP_ERROR + 'UnknownProperty', self.client.get, harness.ROOT_PATH,
                          harness.MANAGER, 'Nonsense')
        with self.assertRaises(harness.CallError):
            self.client.call(harness.ROOT_PATH, harness.PROPERTIES, 'Set', '(ssv)', harness.MANAGER, 'Mode',
                             GLib.Variant('s', 'off'))
        self.alive()

    def test_names_that_polkit_would_show(self):
        for name in ['', 'zz', 'a' * 1000, 'ab\ncd', '12 34', '\u202e12', '$(patch)']:
            self.assert_error(INVALID, self.client.manager, 'RemoveTrust', '(s)', name)

    def test_burst_of_calls(self):
        calls = [self.client.begin(harness.ROOT_PATH, harness.MANAGER, 'ListPatches') for _ in range(100)]
        for call in calls:
            call.wait()
            self.assertIsNone(call.error)
        self.alive()

    def list_patches(self, client, serials):
        """Appends the serial of the reply to the call, when there is one: the daemon counts what it sends."""
        def on_reply(connection, result):
            reply = connection.send_message_with_reply_finish(result)
            self.assertEqual(reply.get_message_type(), Gio.DBusMessageType.METHOD_RETURN)
            serials.append(reply.get_serial())
        call = Gio.DBusMessage.new_method_call(harness.NAME, harness.ROOT_PATH, harness.MANAGER, 'ListPatches')
        client.connection.send_message_with_reply(call, Gio.DBusSendMessageFlags.NONE, 600 * 1000, None, on_reply)

    def test_callers_are_served_in_turn(self):
        """A call that comes last is served after a few of the others', however many they have sent."""
        other = self.new_client()
        first, last = [], []
        for client in [self.client, other]:
            client.manager('ListJobs')
        os.kill(self.daemon.process.pid, signal.SIGSTOP)
        for _ in range(120):
            self.list_patches(self.client, first)
        # Answered when all before it are in the daemon's queue.
        self.client.call_bus('GetId')
        self.list_patches(other, last)
        other.call_bus('GetId')
        os.kill(self.daemon.process.pid, signal.SIGCONT)
        harness.wait_until(lambda: len(first) == 120 and last, 'all are answered')
        self.assertEqual(first, sorted(first))
        self.assertLess(sum(serial < last[0] for serial in first), 10)

    def test_calls_in_work_are_counted(self):
        path = self.client.stage(fixtures.module(name='lp_two'))
        self.control('insert-hold', '')
        job = self.client.apply(fixtures.module())
        harness.wait_until(self.inserted, 'the kernel is busy')
        calls = [self.client.begin(path, harness.PATCH, 'SetReapply', '(b)', i % 2 == 0) for i in range(70)]
        harness.wait_until(lambda: sum(call.done for call in calls) >= 6, 'some are refused')
        self.control('insert-hold', None)
        for call in calls:
            call.wait()
        errors = [call.error for call in calls if call.error]
        self.assertEqual(errors, [harness.ERROR + 'LimitsExceeded'] * 6)
        self.assertEqual(self.client.wait_job(job)['Result'], 'done')

    def test_arguments_of_no_sensible_size(self):
        for member, signature, arguments in [
                ('GetPatch', '(s)', ('x' * 70000,)), ('Plan', '(asa{sv})', (['x' * 1000] * 100, {})),
                ('ListPatches', '(ay)', (b'x' * 70000,)),
                ('Reapply', '(a{sv})', ({f'option-{i}': GLib.Variant('s', 'x') for i in range(10000)},)),
                ('Reapply', '(aaas)', ([[['x' * 100] * 10] * 10] * 10,))]:
            text = self.assert_error(INVALID, self.client.manager, member, signature, *arguments)
            self.assertIn('larger than', text)
        self.assert_error('NoSuchPatch', self.client.manager, 'GetPatch', '(s)', 'x' * 60000)
        self.alive()

    def test_burst_of_modules(self):
        """Many at once are served or refused, each with an answer, and nothing is left behind."""
        with harness.memory_file(fixtures.build()) as f:
            calls = [self.client.begin(harness.ROOT_PATH, harness.MANAGER, 'Apply', '(ha{sv})', 0, {},
                                       fds=[f.fileno()]) for _ in range(100)]
            for call in calls:
                call.wait()
                self.assertIn(call.error, [harness.ERROR + 'Unsigned', harness.ERROR + 'LimitsExceeded'])
        self.alive()
        self.client.apply_and_wait(fixtures.module())

    def test_no_descriptors_leak(self):
        def count():
            return len(os.listdir(f'/proc/{self.daemon.process.pid}/fd'))

        def abuse():
            for _ in range(20):
                with harness.memory_file(b'x') as f:
                    for member in ['Apply', 'Stage', 'AddTrust']:
                        with self.assertRaises(harness.CallError):
                            self.with_fd(member, f.fileno())
        abuse()
        before = count()
        abuse()
        # The last call's are closed after it was answered.
        harness.wait_until(lambda: count() <= before, 'all are closed')


class Flood(harness.IntegrationTest):
    def environment(self):
        # What AddressSanitizer keeps of freed memory would look like growth.
        env = super().environment()
        return dict(env, ASAN_OPTIONS=env.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=8')

    def begin_flood(self, kind):
        """Ten thousand calls of somebody else."""
        if os.geteuid() != 0:
            self.skipTest('only root can let another user call')
        with open(os.path.join(harness.HERE, 'flood.py'), encoding='utf-8') as f:
            code = f.read()
        process = subprocess.Popen(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '/usr/bin/python3',
                                    '-c', code, f'{self.directory}/bus', '10000', kind], stdout=subprocess.PIPE,
                                   text=True, cwd='/')
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), 'sending\n')
        return process

    def memory(self):
        with open(f'/proc/{self.daemon.process.pid}/status', encoding='utf-8') as f:
            return next(int(line.split()[1]) for line in f if line.startswith('VmHWM:'))

    def flooded(self, kind):
        """Root is served meanwhile; returns what came of the flood."""
        before = self.memory()
        process = self.begin_flood(kind)
        path = self.client.apply_and_wait(fixtures.module())
        n, *replies = process.stdout.readline().split()
        self.assertEqual((n, process.wait(harness.TIMEOUT)), ('10000', 0))
        self.client.patch(path, 'Remove')
        self.assertEqual(self.client.manager('ListPatches'), [])
        self.assertIsNone(self.daemon.process.poll())
        self.assertLess(self.memory() - before, 64 * 1024)
        return dict(reply.split('=') for reply in replies)

    def test_flood_of_calls_that_read(self):
        self.assertEqual(self.flooded('reads'), {})

    def test_flood_of_calls_that_change(self):
        self.assertEqual(self.flooded('changes'), {})

    def test_flood_is_logged_once(self):
        bus = flood.Bus(f'{self.directory}/bus')
        self.addCleanup(bus.socket.close)
        manager = harness.NAME, harness.ROOT_PATH, harness.MANAGER
        # From now on the daemon knows who that is.
        self.assertEqual(bus.flood([flood.call(*manager, 'ListJobs', 0)], 1, True), {'done': 1})
        os.kill(self.daemon.process.pid, signal.SIGSTOP)
        bus.flood([flood.call(*manager, 'Confirm', flood.NO_REPLY_EXPECTED, 'lp_one')], 2000, False)
        bus.ask('GetId')
        os.kill(self.daemon.process.pid, signal.SIGCONT)
        self.client.manager('ListJobs')
        self.assertEqual(self.daemon.text().count(f'User {os.geteuid()} makes more calls than can be served'), 1)

    def apply_if_there_is_room(self):
        """While the bus holds many descriptors for the daemon, it takes nobody's call."""
        try:
            return self.client.apply(fixtures.module())
        except harness.CallError as e:
            self.assertEqual(e.name, harness.FREEDESKTOP_ERROR + 'LimitsExceeded')
            self.assertIn('full message queue', e.text)
            return None

    def test_flood_of_descriptors(self):
        """Of 16 in each call, which nobody asked for. All that wait hold half of what the unit lets the daemon have."""
        def count():
            return len(os.listdir(f'/proc/{self.daemon.process.pid}/fd'))

        before, peak = count(), 0
        buses = [flood.Bus(f'{self.directory}/bus') for _ in range(16)]
        with open('/dev/null', 'rb') as null:
            for serial in range(2, 200):
                message = flood.call(harness.NAME, harness.ROOT_PATH, harness.MANAGER, 'Apply', flood.NO_REPLY_EXPECTED,
                                     n_descriptors=16)
                struct.pack_into('<I', message, 8, serial)
                for bus in buses:
                    socket.send_fds(bus.socket, [message], [null.fileno()] * 16)
                peak = max(peak, count())
        for bus in buses:
            bus.ask('GetId')
            bus.socket.close()
        job = harness.wait_until(self.apply_if_there_is_room, 'the bus takes a call for the daemon')
        self.assertEqual(self.client.wait_job(job)['Result'], 'done')
        self.assertLess(peak, 256 * 16 + 500)
        harness.wait_until(lambda: count() < before + 16, 'all are closed')

    def test_flood_with_replies(self):
        replies = self.flooded('replies')
        self.assertEqual(sum(int(n) for n in replies.values()), 10000)
        # Most of them by the bus, which lets nobody wait for more than 128 replies.
        self.assertGreater(int(replies.pop(harness.FREEDESKTOP_ERROR + 'LimitsExceeded', 0)), 0)
        self.assertLessEqual(set(replies), {'done', harness.FREEDESKTOP_ERROR + 'AccessDenied',
                                            harness.ERROR + 'NoSuchPatch', harness.ERROR + 'LimitsExceeded'})


if __name__ == '__main__':
    harness.main()
