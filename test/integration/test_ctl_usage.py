#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""livepatchctl without livepatchd and without a bus: wrong usage, help, inspect."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

CTL = os.environ.get('LIVEPATCHCTL', 'livepatchctl')
VERBS = ['status', 'list', 'show', 'inspect', 'apply', 'confirm', 'stage', 'revert', 'remove', 'enable', 'disable',
         'reapply', 'cancel', 'force', 'trust', 'log', 'monitor', 'help', 'version']
OPTIONS = ['--help', '--version', '--host', '--json', '--full', '--quiet', '--no-pager', '--no-legend',
           '--no-ask-password', '--color', '--runtime', '--reapply', '--no-block', '--confirm-within', '--lines',
           '--follow']


class CtlTest(unittest.TestCase):
    def ctl(self, *args, code=0, **kwargs):
        env = {**os.environ, 'DBUS_SYSTEM_BUS_ADDRESS': 'unix:path=/nonexistent'}
        p = subprocess.run([CTL, *args], env=env, capture_output=True, text=True, timeout=60, check=False,
                           **({} if 'input' in kwargs else {'stdin': subprocess.DEVNULL}), **kwargs)
        self.assertEqual(p.returncode, code, f'{args}: {p.stdout}{p.stderr}')
        return p

    def wrong(self, *args):
        """Explained on standard error, and nothing else is said."""
        p = self.ctl(*args, code=2)
        self.assertEqual(p.stdout, '')
        self.assertTrue(p.stderr.startswith('livepatchctl: '), p.stderr)
        return p.stderr


class Usage(CtlTest):
    def test_mistyped_verbs(self):
        self.assertIn("Did you mean 'status'?", self.wrong('statsu'))
        self.assertIn("Did you mean 'revert'?", self.wrong('rever'))
        self.assertIn("Did you mean 'apply'?", self.wrong('aplly', 'x.ko'))
        self.assertNotIn('Did you mean', self.wrong('xyzzy'))
        self.wrong('')

    def test_verbs_of_other_versions_do_not_exist(self):
        for verb in ('force', 'upgrade', 'report'):
            self.wrong(verb)

    def test_missing_arguments(self):
        for verb in ('show', 'inspect', 'apply', 'confirm', 'stage', 'revert', 'remove', 'enable', 'disable'):
            self.assertIn('needs an argument', self.wrong(verb))
        self.wrong('trust', 'add')
        self.wrong('trust', 'remove')

    def test_too_many_arguments(self):
        for args in (['status', 'x'], ['list', 'x'], ['reapply', 'x'], ['monitor', 'x'], ['log', 'x', 'y'],
                     ['version', 'x'], ['help', 'apply', 'x'], ['trust', 'list', 'x'], ['trust', 'replace', 'x']):
            self.wrong(*args)

    def test_options_of_other_verbs(self):
        for args in (['list', '--runtime'], ['stage', '--runtime', 'x.ko'], ['apply', '--reapply', 'x.ko'],
                     ['enable', '--no-block', 'x'], ['apply', '-f', 'x.ko'], ['monitor', '-n', '5'], ['--lines=5'],
                     ['remove', '--no-block', 'x'], ['revert', '--confirm-within=1h', 'x']):
            self.assertIn('has no option --', self.wrong(*args))

    def test_bad_options(self):
        for args in (['--bogus'], ['-x'], ['--json'], ['--json=yaml', 'list'], ['--color=red', 'list'],
                     ['-H', '-oProxy=x'], ['--host=', 'list'], ['log', '--lines=many'], ['log', '-n', '-1'],
                     ['--quiet=yes'], *(['apply', f'--confirm-within={t}', 'x']
                                        for t in ('', '0', 'soon', '-5', '1.5h', 'infinity', '10 parsecs'))):
            self.wrong(*args)

    def test_help_wins_over_missing_arguments(self):
        for verb in VERBS:
            out = self.ctl(verb, '--help').stdout
            self.assertTrue(out.startswith(f'livepatchctl [OPTION...] {verb}'), out)
            self.assertEqual(self.ctl('help', verb).stdout, out)

    def test_help_of_an_unknown_verb(self):
        self.wrong('help', 'aplpy')
        self.wrong('aplpy', '--help')

    def test_help_names_every_verb_and_option(self):
        out = self.ctl('--help').stdout
        self.assertEqual(self.ctl('help').stdout, out)
        for word in OPTIONS:
            self.assertIn(word, out)
        for verb in VERBS:
            self.assertIn(f'\n  {verb} ', out)
        self.assertLessEqual(max(map(len, out.splitlines())), 100)

    def test_version(self):
        self.assertEqual(self.ctl('--version').stdout, self.ctl('version').stdout)

    def test_no_bus(self):
        for verb in (['list'], ['show', 'x'], ['apply', 'x'], ['revert', 'x'], ['trust'], ['reapply'], ['monitor'], []):
            self.assertIn('Failed to connect to the system bus', self.ctl(*verb, code=1).stderr)


class Inspect(CtlTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix='livepatchctl-')
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)

    def test_what_is_no_module(self):
        for name, data in (('empty.ko', b''), ('text.ko', b'hello'), ('elf.ko', b'\x7fELF' + bytes(60))):
            path = self.dir / name
            path.write_bytes(data)
            p = self.ctl('inspect', str(path), code=5)
            self.assertTrue(p.stderr.startswith(f'livepatchctl: {path}: '), p.stderr)
            self.assertEqual(p.stdout, '')

    def test_what_cannot_be_read(self):
        self.ctl('inspect', str(self.dir / 'nothing.ko'), code=1)
        self.ctl('inspect', str(self.dir), code=5)

    def test_standard_input(self):
        self.ctl('inspect', '-', input='not a module', code=5)


if __name__ == '__main__':
    unittest.main(verbosity=2)
