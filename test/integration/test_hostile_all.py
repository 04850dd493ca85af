#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every method and property that introspection shows, called as nobody should: one that is added is tried by itself."""

import hashlib
import os
import threading
import xml.etree.ElementTree as ET

from gi.repository import GLib

import fixtures
import harness

INVALID = harness.FREEDESKTOP_ERROR + 'InvalidArgs'
SIGNATURES = ['', 's', 'u', 'b', 'h', 'o', 'as', 'ay', 'a{sv}', 'v', 'ss', '(s)', 'a{ss}', 'ha{sv}s', 'sa{sv}', 'aaaas']
STRINGS = ['', ' ', '/', '..', '../../../etc/passwd', 'a/b', '%s%n%x', '$(reboot)', '`id`', '\x1b[2J', '\u202e', 'a\nb',
           '@', 'lp_one@', '@6.12', 'lp_one@' + '9' * 5000, '-1', 'x' * 255, 'x' * 1000000]


def nested(depth):
    value = GLib.Variant('b', True)
    for _ in range(depth):
        value = GLib.Variant('v', value)
    return value


OPTIONS = [{'': GLib.Variant('b', True)}, {'no-such-option': GLib.Variant('s', 'x')},
           {'x' * 100000: GLib.Variant('b', True)},
           {'runtime\x1b[2J': GLib.Variant('b', True)}, {f'option-{i}': GLib.Variant('u', i) for i in range(1000)},
           {'no-such-option': nested(30)}, {'no-such-option': GLib.Variant('ay', b'\0' * 1000000)}]
NUMBERS = {'b': [True, False], 'y': [0, 255], 'u': [0, 2**32 - 1], 'i': [-2**31, 2**31 - 1], 't': [0, 2**63, 2**64 - 1],
           'x': [-2**63, 2**63 - 1], 'd': [0.0, -1e308, float('inf'), float('nan')]}
LISTS = {'as': [[], STRINGS, ['lp_one'] * 257, ['x' * 100] * 5000]}


class HostileAll(harness.IntegrationTest):
    def setUp(self):
        super().setUp()
        self.control('transition-ms', 'stall')
        self.job = self.client.apply(fixtures.module())
        self.stalled = harness.wait_until(lambda: self.client.manager('GetPatch', '(s)', 'lp_one'), 'it is known')
        guard = f'var/lib/livepatch/guard/{fixtures.RELEASE}/lp_one.json'
        harness.wait_until(lambda: self.exists(guard) and '"settling"' in self.read(guard), 'the kernel has taken it')
        self.before = self.files()

    def files(self):
        return sorted(f for f in self.stored() if '.tmp' not in f)

    def members(self, path, kind):
        """(interface, name, signature of the input or of the property) of all of ours."""
        root = ET.fromstring(self.client.call(path, 'org.freedesktop.DBus.Introspectable', 'Introspect'))
        found = []
        for interface in root.findall('interface'):
            if not interface.get('name').startswith('org.livepatch'):
                continue
            for member in interface.findall(kind):
                signature = member.get('type') or ''.join(
                    a.get('type') for a in member.findall('arg') if a.get('direction', 'in') == 'in')
                found.append((interface.get('name'), member.get('name'), signature))
        self.assertTrue(found, path)
        return found

    def paths(self):
        return [harness.ROOT_PATH, self.stalled, self.job]

    def call(self, path, interface, name, arguments, fds=None):
        """The error's name, or None. No answer at all is an error that is not ours."""
        try:
            self.client._call(harness.NAME, path, interface, name, arguments, fds)
            return None
        except harness.CallError as e:
            self.assertTrue(e.name == INVALID or e.name.startswith(harness.ERROR), f'{name}: {e.name}: {e.text}')
            self.assertNotEqual(e.name, harness.ERROR + 'Failed', f'{name}: {e.text}')
            self.assertLess(len(e.text), 9000, name)
            self.assertNotIn('\x1b', e.text, name)
            return e.name

    def alive(self):
        self.assertIsNone(self.daemon.process.poll())
        self.assertEqual(self.client.state(self.stalled), 'applying')
        self.assertEqual(self.inserted(), ['lp_one'])
        self.assertEqual(self.files(), self.before)

    def arguments(self, signature):
        """Input that has the right types, and nothing else that is right."""
        if signature == '':
            return []
        types = ['a{sv}' if t == 'D' else 'as' if t == 'L' else t
                 for t in signature.replace('a{sv}', 'D').replace('as', 'L')]
        choices = []
        for i, wrong in enumerate(types):
            values = (STRINGS if wrong == 's' else OPTIONS if wrong == 'a{sv}' else LISTS[wrong] if wrong in LISTS
                      else NUMBERS.get(wrong, []))
            for value in values:
                plain = [{'s': 'x', 'a{sv}': {}, 'as': [], 'h': 0}.get(t, NUMBERS.get(t, [0])[0]) for t in types]
                plain[i] = value
                choices.append((wrong, GLib.Variant(f'({signature})', tuple(plain))))
        return choices

    def test_wrong_signatures(self):
        values = {'': (), 's': ('x',), 'u': (1,), 'b': (True,), 'h': (0,), 'o': ('/',), 'as': (['x'],), 'ay': (b'x',),
                  'a{sv}': ({},), 'v': (nested(30),), 'ss': ('x', 'y'), '(s)': (('x',),), 'a{ss}': ({'a': 'b'},),
                  'ha{sv}s': (0, {}, 'x'), 'sa{sv}': ('x', {}), 'aaaas': ([[[['x']]]],)}
        with harness.memory_file(fixtures.module(name='lp_two')) as f:
            for path in self.paths():
                for interface, name, right in self.members(path, 'method'):
                    for signature in SIGNATURES:
                        if signature == right:
                            continue
                        error = self.call(path, interface, name, GLib.Variant(f'({signature})', values[signature]),
                                          [f.fileno()] if 'h' in signature else None)
                        self.assertEqual(error, INVALID, f'{name}({signature})')
        self.alive()

    def test_right_signatures_and_nothing_else(self):
        with harness.memory_file(os.urandom(5000)) as f:
            for path in self.paths():
                for interface, name, signature in self.members(path, 'method'):
                    for wrong, arguments in self.arguments(signature):
                        if wrong in ('b', 'as'):  # may well be meant so
                            self.call(path, interface, name, arguments)
                            continue
                        error = self.call(path, interface, name, arguments, [f.fileno()] if 'h' in signature else None)
                        self.assertIsNotNone(error, f'{name}{str(arguments)[:200]}')
                        if wrong == 'a{sv}':
                            self.assertEqual(error, INVALID, name)
        self.alive()

    def test_properties_cannot_be_set(self):
        for path in self.paths():
            for interface, name, signature in self.members(path, 'property'):
                value = {'s': 'x', 'b': True, 'd': 1.0}.get(signature, [] if signature[0] == 'a' else
                                                            ('', '') if signature[0] == '(' else 1)
                with self.assertRaises(harness.CallError) as caught:
                    self.client.call(path, harness.PROPERTIES, 'Set', '(ssv)', interface, name,
                                     GLib.Variant(signature, value))
                self.assertIn('ReadOnly', caught.exception.name)
        self.alive()

    def test_properties_of_strange_names(self):
        for path in self.paths():
            interface = self.members(path, 'property')[0][0]
            for name in STRINGS:
                for arguments in [(interface, name), (name, 'State')]:
                    with self.assertRaises(harness.CallError):
                        self.client.call(path, harness.PROPERTIES, 'Get', '(ss)', *arguments)
        self.alive()

    def test_paths_of_nothing(self):
        for path in ['/', '/org', '/org/livepatch/patch', '/org/livepatch/patch/lp_two', '/org/livepatch/patch/_',
                     '/org/livepatch/patch/lp_one', '/org/livepatch/patch/' + 'x' * 10000, '/org/livepatch/job',
                     '/org/livepatch/job/0', '/org/livepatch/job/01', '/org/livepatch/job/4294967297',
                     '/org/livepatch/job/_31', self.job + '/x', self.stalled + '/x']:
            for interface, name, signature in (self.members(self.stalled, 'method') + self.members(self.job, 'method')):
                plain = {'': (), 'a{sv}': ({},), 'b': (True,)}.get(signature)
                if plain is None:
                    continue
                with self.assertRaises(harness.CallError) as caught:
                    self.client._call(harness.NAME, path, interface, name, GLib.Variant(f'({signature})', plain))
                self.assertIn('Unknown', caught.exception.name, path)
        self.alive()

    def descriptors(self):
        os.mkfifo(self.path('fifo'))
        with open(self.path('file'), 'wb') as f:
            f.write(fixtures.module(name='lp_two'))
        ends = os.pipe()
        opened = [os.open(self.directory, os.O_RDONLY), os.open(self.path('fifo'), os.O_RDWR),
                  os.open('/dev/zero', os.O_RDONLY), os.open('/dev/full', os.O_RDWR), *ends, os.eventfd(0),
                  os.open(self.path('file'), os.O_WRONLY), os.open(self.path('file'), os.O_PATH),
                  os.memfd_create('empty')]
        for fd in opened:
            self.addCleanup(os.close, fd)
        return opened

    def test_descriptors(self):
        for fd in self.descriptors():
            for path in self.paths():
                for interface, name, signature in self.members(path, 'method'):
                    if 'h' not in signature:
                        continue
                    plain = (0, {}) if signature == 'ha{sv}' else (0,)
                    error = self.call(path, interface, name, GLib.Variant(f'({signature})', plain), [fd])
                    if name != 'Inspect':
                        self.assertIsNotNone(error, f'{name}: {os.readlink(f"/proc/self/fd/{fd}")}')
        self.alive()

    def test_file_that_grows_and_shrinks(self):
        """The daemon reads one length of it, or refuses it."""
        data = fixtures.module(name='lp_two')
        fd = os.memfd_create('changing')
        self.addCleanup(os.close, fd)
        os.pwrite(fd, data, 0)
        over = threading.Event()

        def change():
            while not over.is_set():
                os.pwrite(fd, b'\0' * 4096, len(data))
                os.ftruncate(fd, 1 << 20)
                os.ftruncate(fd, 100)
                os.pwrite(fd, data, 0)
        thread = threading.Thread(target=change)
        thread.start()
        try:
            for interface, name, signature in self.members(harness.ROOT_PATH, 'method') * 20:
                if signature == 'ha{sv}' and name != 'Apply':
                    self.call(harness.ROOT_PATH, interface, name, GLib.Variant('(ha{sv})', (0, {})), [fd])
        finally:
            over.set()
            thread.join()
        for sha256 in [p['Sha256'] for p in self.client.manager('ListPatches') if p['Name'] == 'lp_two']:
            self.assertEqual(sha256, hashlib.sha256(data).hexdigest())
        # What is staged is another file, and nothing else has changed.
        self.before = [f for f in self.files() if 'lp_two' in f] + self.before
        self.before.sort()
        self.alive()


if __name__ == '__main__':
    harness.main()
