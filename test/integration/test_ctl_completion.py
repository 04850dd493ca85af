#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What bash completes for livepatchctl."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

COMPLETION = Path(os.environ.get('LIVEPATCH_SOURCE_DIR', Path(__file__).parents[2])) / 'completions/livepatchctl'

# What readline does, with livepatchctl itself replaced.
SCRIPT = """
livepatchctl() {
        echo "$*" >>"$CALLS"
        case $* in *trust*) echo "1212  admin";; *) printf '%s  applied\\n' lp_a lp_b;; esac
}
source "$COMPLETION"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_livepatchctl
printf '%s\\n' "${COMPREPLY[@]}"
"""


class Completion(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix='livepatchctl-')
        self.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)
        for name in ('patch.ko', 'patch.ko.zst', 'notes.txt', 'a.pem'):
            (self.dir / name).touch()
        (self.dir / 'sub').mkdir()
        (self.dir / 'sub.ko').mkdir()

    def complete(self, *words):
        """The words behind 'livepatchctl', split as bash does; the last one is being typed."""
        p = subprocess.run(['bash', '-c', SCRIPT, 'bash', 'livepatchctl', *words], cwd=self.dir, check=True, text=True,
                           capture_output=True,
                           env={**os.environ, 'COMPLETION': str(COMPLETION), 'CALLS': str(self.dir / '.calls')})
        self.assertEqual(p.stderr, '')
        return sorted(p.stdout.split())

    def calls(self):
        path = self.dir / '.calls'
        return path.read_text().splitlines() if path.exists() else []

    def test_verbs(self):
        self.assertEqual(self.complete('st'), ['stage', 'status'])
        self.assertEqual(len(self.complete('')), 25)
        self.assertEqual(self.complete('nothing'), [])
        self.assertEqual(self.complete('--json', '=', 'short', 'st'), ['stage', 'status'])
        self.assertEqual(self.complete('help', 'rev'), ['revert'])

    def test_options(self):
        self.assertEqual(self.complete('apply', '--r'), ['--runtime'])
        self.assertEqual(self.complete('apply', '--conf'), ['--confirm-within='])
        self.assertEqual(self.complete('revert', '--conf'), [])
        self.assertEqual(self.complete('stage', '--r'), ['--reapply'])
        self.assertEqual(self.complete('list', '--r'), [])
        self.assertEqual(self.complete('--no-p'), ['--no-pager'])

    def test_values_of_options(self):
        self.assertEqual(self.complete('list', '--json', '=', ''), ['off', 'pretty', 'short'])
        self.assertEqual(self.complete('list', '--json', '='), ['off', 'pretty', 'short'])
        self.assertEqual(self.complete('list', '--color', '=', 'al'), ['always'])
        self.assertEqual(self.complete('log', '-n', ''), [])

    def test_names(self):
        for verb in ('show', 'plan', 'revert', 'remove', 'enable', 'disable', 'log'):
            self.assertEqual(self.complete(verb, 'lp_'), ['lp_a', 'lp_b'])
        self.assertEqual(self.complete('show', 'x'), [])

    def test_names_of_another_machine(self):
        self.complete('-H', 'there', 'show', '')
        self.complete('--host', '=', 'there', 'show', '')
        self.assertEqual(self.calls(), ['-H there list --no-legend --no-pager'] * 2)

    def test_nobody_is_asked_without_need(self):
        for words in (['sh'], ['list', ''], ['stage', ''], ['apply', './'], ['--json', '=', '']):
            self.complete(*words)
        self.assertEqual(self.calls(), [])

    def test_files(self):
        self.assertEqual(self.complete('stage', ''), ['patch.ko', 'patch.ko.zst', 'sub.ko/', 'sub/'])
        self.assertEqual(self.complete('apply', './'), ['./patch.ko', './patch.ko.zst', './sub.ko/', './sub/'])
        self.assertEqual(self.complete('apply', ''),
                         ['lp_a', 'lp_b', 'patch.ko', 'patch.ko.zst', 'sub.ko/', 'sub/'])
        self.assertEqual(self.complete('inspect', 'n'), [])

    def test_trust(self):
        self.assertEqual(self.complete('trust', ''), ['add', 'list', 'remove'])
        self.assertEqual(self.complete('trust', 'add', 'a'), ['a.pem'])
        self.assertEqual(self.complete('trust', 'remove', ''), ['1212'])
        self.assertEqual(self.complete('trust', 'list', ''), [])


if __name__ == '__main__':
    unittest.main(verbosity=2)
